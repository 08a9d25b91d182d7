/*
 * One sequence: random steps over random layers, the same on a kernel overlay and
 * through veneerd, in a process, a mount namespace and a tmpfs of its own.
 *
 * Life cycle: sequence_start, sequence_end; several may run at a time.
 */
#ifndef VENEER_TESTS_AGREEMENT_SEQUENCE_H
#define VENEER_TESTS_AGREEMENT_SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_STEPS 1000

struct sequence {
	uint64_t seed;
	bool user; /* an ordinary user's, in a user namespace */
	unsigned steps;
	const bool *kept; /* which of them; NULL: all */
	bool careful;     /* compares everything after each step */
	bool verbose;     /* tells of each step */
};

struct running {
	pid_t pid;
	int report; /* a file */
};

/* `dir`: an empty directory, to be mounted on. */
struct running sequence_start(const struct sequence *sequence, const char *dir);

/*
 * When its process has ended, with this status of waitpid(2): whether the two
 * agreed. What it has to say is in *report, to be freed.
 */
bool sequence_end(const struct running *running, int status, char **report);

/*
 * Whether sequences can be run here: the kernel mounts an overlay, and veneerd is
 * where its user may get at it.
 */
bool sequence_is_possible(bool user, const char *dir);

#endif
