/*
 * A real server in this process, over layers in a directory of its own, and a
 * client at the other end of a socket pair.
 *
 * Layers are prepared between fixture_new and fixture_start, through the paths
 * here; lower0 is the top. The server can be stopped and started again.
 */
#ifndef VENEER_TESTS_LIB_FIXTURE_H
#define VENEER_TESTS_LIB_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/log.h"
#include "server/options.h"
#include "server/server.h"
#include "tests/lib/client.h"

#define FIXTURE_EXPORT "/export"

/* What most tests want: root is root, and any port will do. */
#define FIXTURE_OPTIONS "insecure,no_root_squash,async"

/*
 * Can this user mount a tmpfs? It takes root, and a machine that lets root do
 * it; where not, this says so.
 */
bool fixture_can_mount(void);

struct fixture {
	char top[256]; /* a temporary directory that holds all below */
	int topfd;
	bool mounted; /* it is a tmpfs of its own */
	struct nfsd_log log;
	const char *stats; /* as the server's options: a test's to set */
	uint64_t max_memory;
	unsigned max_files;
	struct nfsd_options options;
	struct nfsd_server *server;
	struct client *client;
};

/* Directories lower0, lower1 (as many as `lowers`), upper, work and state. */
struct fixture *fixture_new(unsigned lowers);

/*
 * The same on a tmpfs with these mount options, which goes with the process.
 * For who can mount.
 */
struct fixture *fixture_new_in_memory(unsigned lowers, const char *options);

/* Ends everything and removes the directories. NULL is fine. */
void fixture_free(struct fixture *fixture);

/*
 * Serve the layers with these options besides; "ro" leaves the upper out
 * altogether. With `listen`, on 127.0.0.1 and a free port too.
 */
void fixture_start(struct fixture *fixture, const char *options, bool listen);
void fixture_stop(struct fixture *fixture);

/* Another client of the running server. To be freed. */
struct client *fixture_connect(struct fixture *fixture);

/*
 * A client by TCP of a fixture that listens, from a privileged port or another;
 * NULL where this user cannot have one.
 */
struct client *fixture_connect_tcp(struct fixture *fixture, bool privileged);

/* A client by UDP of a fixture that listens. */
struct client *fixture_connect_udp(struct fixture *fixture);

/* By TCP (SOCK_STREAM) or UDP, from this address of the loopback interface. */
struct client *fixture_connect_from(struct fixture *fixture, int type,
                                    const char *address);

/* ---- preparing and looking at layers, by paths below the top -------------- */

void fixture_mkdir(struct fixture *fixture, const char *path, mode_t mode);
void fixture_write(struct fixture *fixture, const char *path, const char *text,
                   mode_t mode);
void fixture_symlink(struct fixture *fixture, const char *path,
                     const char *target);
bool fixture_exists(struct fixture *fixture, const char *path);

/* How many names a directory has, beside "." and "..". */
unsigned fixture_count(struct fixture *fixture, const char *path);

/* That the file holds this text, and nothing else. */
void fixture_assert_text(struct fixture *fixture, const char *path,
                         const char *text);

#endif
