/*
 * A connection to a server that may go at any moment: one call at a time, over
 * TCP, encoded and decoded by the codecs of rpcgen. Nothing here fails a test. One
 * thread at a time.
 */
#ifndef VENEER_TESTS_CRASH_LINK_H
#define VENEER_TESTS_CRASH_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "server/nfs3_prot.h"

struct crash_link;

/* To 127.0.0.1, as root by AUTH_SYS. NULL: nobody answers there. */
struct crash_link *crash_link_new(uint16_t port);
void crash_link_free(struct crash_link *link); /* NULL is fine */

/*
 * A call of NFS version 3; `res` is the struct of its results, zeroed before, and
 * to be given to crash_link_done afterwards. A JUKEBOX is asked again. False: no
 * answer.
 */
bool crash_link_call(struct crash_link *link, uint32_t proc, const void *args,
                     void *res);
void crash_link_done(uint32_t proc, void *res);

/* The handle of an export's root. False: no answer, or it is refused. */
#define CRASH_HANDLE_BYTES 32
bool crash_link_mount(struct crash_link *link, const char *path,
                      char root[CRASH_HANDLE_BYTES]);

#endif
