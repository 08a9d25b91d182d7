#include "config.h"

#include "rpc/rpcbind.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <rpc/rpc.h>
#include <rpc/rpcb_prot.h>

/*
 * libtirpc's rpcb_set would wait a minute for an rpcbind that hangs, at each
 * registration; so we take its client and its codecs, and a time of our own.
 */
static const struct timeval timeout = { .tv_sec = 3 };

#define UADDR_SIZE (INET6_ADDRSTRLEN + sizeof(".255.255"))

/* What is to be registered: the same universal address by two transports. */
struct endpoint {
	const char *netids[2];
	char uaddr[UADDR_SIZE]; /* empty: nothing of this family */
};

struct endpoints {
	struct endpoint inet, inet6;
};

/* ---- Universal addresses (RFC 5665): "host.port-high.port-low" ---- */

static void set_uaddr(struct endpoint *endpoint, const char *host,
                      const char *any, uint16_t port)
{
	/* Of several addresses none is the right one for all who ask. */
	if (endpoint->uaddr[0])
		host = any;
	snprintf(endpoint->uaddr, sizeof(endpoint->uaddr), "%s.%u.%u", host,
	         port >> 8, port & 0xffu);
}

static int find_endpoints(const char *const *addresses, size_t n, uint16_t port,
                          struct endpoints *endpoints)
{
	*endpoints = (struct endpoints){
		.inet.netids = { "udp", "tcp" },
		.inet6.netids = { "udp6", "tcp6" },
	};
	for (size_t i = 0; i < n; i++) {
		unsigned char binary[sizeof(struct in6_addr)];
		char host[INET6_ADDRSTRLEN];

		/* Universal addresses have no scopes. */
		snprintf(host, sizeof(host), "%.*s",
		         (int)strcspn(addresses[i], "%"), addresses[i]);
		if (inet_pton(AF_INET, host, binary) == 1)
			set_uaddr(&endpoints->inet, host, "0.0.0.0", port);
		else if (inet_pton(AF_INET6, host, binary) == 1)
			set_uaddr(&endpoints->inet6, host, "::", port);
		else
			return -EINVAL;
	}
	return 0;
}

/* ---- rpcbind, as a client sees it ---- */

/* Takes `fd`. */
static CLIENT *client_of(int fd, void *address, unsigned len, bool stream)
{
	struct netbuf peer = { .maxlen = len, .len = len, .buf = address };
	CLIENT *client =
		stream ? clnt_vc_create(fd, &peer, RPCBPROG, RPCBVERS, 0, 0)
		       : clnt_dg_create(fd, &peer, RPCBPROG, RPCBVERS, 0, 0);

	if (client)
		clnt_control(client, CLSET_FD_CLOSE, NULL);
	else
		close(fd);
	return client;
}

/* By its socket rpcbind sees who we are, and so lets us undo what we did. */
static CLIENT *connect_local(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX,
		                       .sun_path = _PATH_RPCBINDSOCK };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return NULL;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return NULL;
	}
	return client_of(fd, &address, sizeof(address), true);
}

/* Where there is no such socket (containers); root has a reserved port. */
static CLIENT *connect_loopback(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(PMAPPORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return NULL;
	bindresvport(fd, NULL);
	return client_of(fd, &address, sizeof(address), false);
}

static CLIENT *connect_rpcbind(void)
{
	CLIENT *client = connect_local();

	return client ? client : connect_loopback();
}

static int call_rpcbind(CLIENT *client, rpcproc_t proc, rpcprog_t prog,
                        rpcvers_t vers, const char *netid, const char *uaddr)
{
	rpcb what = { .r_prog = prog,
		      .r_vers = vers,
		      .r_netid = (char *)netid,
		      .r_addr = (char *)uaddr,
		      .r_owner = (char *)"" }; /* rpcbind sees for itself */
	bool_t done = FALSE;
	struct rpc_err error;

	switch (clnt_call(client, proc, (xdrproc_t)xdr_rpcb, &what,
	                  (xdrproc_t)xdr_bool, &done, timeout)) {
	case RPC_SUCCESS:
		return done ? 0 : -EACCES;
	case RPC_AUTHERROR:
		return -EACCES;
	case RPC_TIMEDOUT:
		return -ETIMEDOUT;
	default:
		clnt_geterr(client, &error);
		return error.re_errno == ECONNREFUSED ? -ECONNREFUSED : -EIO;
	}
}

/* ---- Programs ---- */

static int set_at(CLIENT *client, rpcprog_t prog, rpcvers_t vers,
                  const struct endpoint *endpoint)
{
	int err = 0;

	if (!endpoint->uaddr[0])
		return 0;
	for (int i = 0; i < 2 && !err; i++)
		err = call_rpcbind(client, RPCBPROC_SET, prog, vers,
		                   endpoint->netids[i], endpoint->uaddr);
	return err;
}

static int set_version(CLIENT *client, rpcprog_t prog, rpcvers_t vers,
                       const struct endpoints *endpoints)
{
	/* No netid means all. That nothing was there is no error. */
	int err = call_rpcbind(client, RPCBPROC_UNSET, prog, vers, "", "");

	if (err && err != -EACCES)
		return err;
	err = set_at(client, prog, vers, &endpoints->inet);
	return err ? err : set_at(client, prog, vers, &endpoints->inet6);
}

static void unset_all(CLIENT *client, const struct orpc_program *programs,
                      size_t nprograms)
{
	for (size_t i = 0; i < nprograms; i++) {
		for (size_t j = 0; j < programs[i].nversions; j++) {
			int err = call_rpcbind(client, RPCBPROC_UNSET,
			                       programs[i].prog,
			                       programs[i].versions[j].vers, "",
			                       "");

			if (err && err != -EACCES)
				return; /* it has gone: so have they */
		}
	}
}

static int set_all(CLIENT *client, const struct orpc_program *programs,
                   size_t nprograms, const struct endpoints *endpoints)
{
	for (size_t i = 0; i < nprograms; i++) {
		for (size_t j = 0; j < programs[i].nversions; j++) {
			int err = set_version(client, programs[i].prog,
			                      programs[i].versions[j].vers,
			                      endpoints);

			if (err)
				return err;
		}
	}
	return 0;
}

int orpc_rpcbind_set(const struct orpc_program *programs, size_t nprograms,
                     const char *const *addresses, size_t naddresses,
                     uint16_t port)
{
	struct endpoints endpoints;
	CLIENT *client;
	int err;

	err = find_endpoints(addresses, naddresses, port, &endpoints);
	if (err)
		return err;
	client = connect_rpcbind();
	if (!client)
		return -ECONNREFUSED;
	err = set_all(client, programs, nprograms, &endpoints);
	if (err)
		unset_all(client, programs, nprograms);
	clnt_destroy(client);
	return err;
}

void orpc_rpcbind_unset(const struct orpc_program *programs, size_t nprograms)
{
	CLIENT *client = connect_rpcbind();

	if (!client)
		return;
	unset_all(client, programs, nprograms);
	clnt_destroy(client);
}
