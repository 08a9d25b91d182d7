/*
 * A toy RPC program behind the real server, and the client's side of it, for
 * tests of the transport. Each test runs one server. What fails in here fails
 * the test.
 */
#ifndef VENEER_TESTS_UNIT_TOY_H
#define VENEER_TESTS_UNIT_TOY_H

#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/orpc.h"

/* One program with version 3 alone, and one with versions 1 and 4. */
#define TOY_PROG 400100
#define TOY_OTHER_PROG 400101

enum {
	TOY_NULL,
	TOY_ECHO,     /* opaque<> -> the same */
	TOY_BLOB,     /* n -> opaque<> of n bytes, each n & 255 */
	TOY_RETURN,   /* n -> comes back with this enum orpc_status */
	TOY_HOLE,     /* has no function */
	TOY_WHO,      /* -> struct toy_who */
	TOY_SLOW,     /* n -> n, in the pool, after a post to toy_release */
	TOY_SLOWBLOB, /* as TOY_BLOB, in the pool */
	TOY_CRAM,     /* n -> opaque<> as TOY_BLOB without a reservation */
	TOY_ONCE,     /* as TOY_SLOW, counted in toy_runs, and once */
	TOY_HOLD,     /* as TOY_SLOW, in the loop, which stands still */
	TOY_COUNT,    /* -> how many TOY_NULL and TOY_BLOB have run */
	TOY_PROCS,
};

/* What a procedure sees of its caller, in words. */
struct toy_who {
	uint32_t thread, flavor, uid, gid, ngids, last_gid, family, datagram,
		max_results;
};

extern sem_t toy_begun, toy_release; /* of each TOY_SLOW */
extern struct orpc_server *toy;
extern int toy_log_lines;
extern int toy_runs; /* of TOY_ONCE, to their end */

/* Begin and end; NULL: the defaults, with two loops and four workers. */
void toy_start(const struct orpc_config *config);
void toy_stop(void);

/* The same in two steps, with these addresses ("127.0.0.1") in between. */
void toy_start_at(const struct orpc_config *config, const char *address,
                  uint16_t *port);

/* A socket pair's end; connected sockets. They time out after half a minute. */
int toy_pair(void);
int toy_connect(int type, const char *address, uint16_t port);

/* A record of one call with AUTH_NONE: mark, header, arguments. Its length. */
size_t toy_call(unsigned char *to, uint32_t xid, uint32_t proc,
                const void *args, size_t len);

/* The same with a word, or with nothing, as its arguments; and sent. */
size_t toy_call_word(unsigned char *to, uint32_t xid, uint32_t proc,
                     uint32_t word);
void toy_ask(int fd, uint32_t xid, uint32_t proc, uint32_t word);

void toy_send(int fd, const void *data, size_t len);

/* Wait until the server has read all that was sent on a socket pair. */
void toy_settle(int fd);

/* The next reply without its mark; -1: the connection is closed. */
ssize_t toy_receive(int fd, void *to, size_t size);

/* The next reply is SUCCESS with this xid and word; or without results. */
void toy_expect_word(int fd, uint32_t xid, uint32_t word);
void toy_expect_done(int fd, uint32_t xid);

/* The next reply is SUCCESS with opaque<> of `n` bytes of `fill`. */
void toy_expect_blob(int fd, uint32_t xid, size_t n, unsigned char fill);

/* Nothing comes within a while; the connection is closed, with no reply. */
void toy_expect_silence(int fd);
void toy_expect_closed(int fd);

/* Ask TOY_WHO. */
struct toy_who toy_who(int fd);

struct orpc_stats toy_stats(void);

/* The word at `at`, and putting one there. */
uint32_t toy_word(const void *at);
size_t toy_put(void *at, uint32_t word);

#endif
