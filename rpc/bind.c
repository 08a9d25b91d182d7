#include "config.h"

#include "rpc/bind.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

/* A port that TCP gives us may be in use by UDP: so often is another tried. */
#define TRIES 64

/* A client that takes no replies for so long has gone. */
#define UNSENT_MS 120000

/* Datagrams that may wait in the kernel while a loop is busy. */
#define UDP_BUFFER (1 << 20)

union address {
	struct sockaddr any;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
	struct sockaddr_storage storage;
};

/* A numeric address as getaddrinfo(3) takes it, a scope included. */
static int parse(const char *text, union address *address, socklen_t *len)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_PASSIVE,
		                  .ai_socktype = SOCK_STREAM };
	struct addrinfo *info;

	if (getaddrinfo(text, NULL, &hints, &info))
		return -EINVAL;
	memcpy(address, info->ai_addr, info->ai_addrlen);
	*len = info->ai_addrlen;
	freeaddrinfo(info);
	return 0;
}

static void set_port(union address *address, uint16_t port)
{
	if (address->any.sa_family == AF_INET6)
		address->in6.sin6_port = htons(port);
	else
		address->in4.sin_port = htons(port);
}

static int get_port(int fd, uint16_t *port)
{
	union address address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, &address.any, &len))
		return -errno;
	*port = ntohs(address.any.sa_family == AF_INET6 ? address.in6.sin6_port
	                                                : address.in4.sin_port);
	return 0;
}

static int set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

/* The sockets that accept(2) makes of this one inherit the options. */
static int set_tcp_options(int fd)
{
	return set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) ||
	       set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) ||
	       set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) ||
	       set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNSENT_MS);
}

/* A bound socket of this type, or -errno. */
static int open_socket(const union address *address, socklen_t len, int type)
{
	int fd = socket(address->any.sa_family,
	                type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (address->any.sa_family == AF_INET6)
		err = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (!err && type == SOCK_STREAM)
		err = set_tcp_options(fd);
	if (!err && type == SOCK_DGRAM) /* what the system allows of it */
		set_option(fd, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER);
	if (!err)
		err = bind(fd, &address->any, len);
	if (!err && type == SOCK_STREAM)
		err = listen(fd, SOMAXCONN);
	if (err) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* Both sockets, on the port of the address or on one that TCP picks. */
static int open_both(union address *address, socklen_t len, uint16_t *port,
                     struct orpc_sockets *sockets)
{
	int tcp, udp, err;

	tcp = open_socket(address, len, SOCK_STREAM);
	if (tcp < 0)
		return tcp;
	err = get_port(tcp, port);
	if (!err) {
		set_port(address, *port);
		udp = open_socket(address, len, SOCK_DGRAM);
		err = udp < 0 ? udp : 0;
	}
	if (err) {
		close(tcp);
		return err;
	}
	sockets->tcp = tcp;
	sockets->udp = udp;
	sockets->family = address->any.sa_family;
	return 0;
}

int orpc_bind(const char *text, uint16_t *port, struct orpc_sockets *sockets)
{
	union address address;
	uint16_t found = 0;
	socklen_t len;
	int err;

	err = parse(text, &address, &len);
	if (err)
		return err;
	err = -EADDRINUSE;
	for (int i = 0; i < (*port ? 1 : TRIES) && err == -EADDRINUSE; i++) {
		set_port(&address, *port);
		err = open_both(&address, len, &found, sockets);
	}
	if (!err)
		*port = found;
	return err;
}

void orpc_sockets_close(struct orpc_sockets *sockets)
{
	if (sockets->tcp >= 0)
		close(sockets->tcp);
	if (sockets->udp >= 0)
		close(sockets->udp);
	sockets->tcp = sockets->udp = -1;
}
