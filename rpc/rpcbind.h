/*
 * Registration with the rpcbind of this machine (RFC 1833), by libtirpc.
 *
 * Blocking: call it from no event loop. No state of its own.
 */
#ifndef VENEER_RPC_RPCBIND_H
#define VENEER_RPC_RPCBIND_H

#include <stddef.h>
#include <stdint.h>

#include "rpc/orpc.h"

/*
 * Register every version of the programs at `port`, for udp, tcp, udp6 and
 * tcp6 as the numeric addresses in `addresses` call for. What was registered
 * for these programs is replaced, as far as rpcbind lets us. 0, -EINVAL (no
 * numeric address), -ECONNREFUSED (no rpcbind), -ETIMEDOUT (it hangs; after
 * seconds), -EACCES (it refuses), -EIO; on failure nothing of ours stays
 * registered.
 */
int orpc_rpcbind_set(const struct orpc_program *programs, size_t nprograms,
                     const char *const *addresses, size_t naddresses,
                     uint16_t port);

/* Take them back. What is not there is no error. */
void orpc_rpcbind_unset(const struct orpc_program *programs, size_t nprograms);

#endif
