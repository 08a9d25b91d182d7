/*
 * The sockets that a server listens on.
 */
#ifndef VENEER_RPC_BIND_H
#define VENEER_RPC_BIND_H

#include <stdint.h>
#include <sys/socket.h>

struct orpc_sockets {
	int tcp, udp;
	sa_family_t family;
};

/*
 * Bind a numeric address by TCP (listening) and UDP, on one port; port 0 picks
 * one free for both. The sockets are the caller's, and `*port` is set. 0,
 * -EINVAL (no numeric address), -EADDRINUSE, or what bind(2) says.
 */
int orpc_bind(const char *address, uint16_t *port,
              struct orpc_sockets *sockets);

void orpc_sockets_close(struct orpc_sockets *sockets);

#endif
