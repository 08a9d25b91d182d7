/*
 * The server as a whole: exports, programs and transport, put together from
 * options. main runs one; tests run it in their own process.
 *
 * Life cycle: nfsd_server_new, nfsd_server_confine where it is wanted,
 * nfsd_server_start, nfsd_server_free. Used by one
 * thread; the work is done in threads of its own.
 */
#ifndef VENEER_SERVER_SERVER_H
#define VENEER_SERVER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/helper.h"
#include "server/log.h"
#include "server/options.h"

struct nfsd_server;

/*
 * Bind the addresses (with `listen`) and open the layers. The first three are
 * borrowed until nfsd_server_free; without a helper (NULL) nobody is known by name,
 * and nothing is registered. No thread is started. 0, or -errno with one line in
 * `why`, and nothing has been touched.
 */
int nfsd_server_new(const struct nfsd_options *options, struct nfsd_log *log,
                    struct nfsd_helper *helper, bool listen,
                    struct nfsd_server **server, char *why, size_t size);

/*
 * Before it starts: from now on the process can use what the exports are made of, and
 * what the options allow, and nothing else (server/sandbox.h). As above, but that it
 * is to end then.
 */
int nfsd_server_confine(struct nfsd_server *server, char *why, size_t size);

/* Serve, and register with rpcbind as the options say. As above. */
int nfsd_server_start(struct nfsd_server *server, char *why, size_t size);

/* The port listened on, 0 where there is none. */
uint16_t nfsd_server_port(const struct nfsd_server *server);

/* Serve a connected stream socket, which is taken, even on failure. */
int nfsd_server_adopt(struct nfsd_server *server, int fd);

/*
 * Finish the calls in flight, flush, unregister, and let go of everything. NULL
 * is fine.
 */
void nfsd_server_free(struct nfsd_server *server);

/* Log a few lines of statistics. */
void nfsd_server_log_statistics(struct nfsd_server *server);

/*
 * Read the file of exports again (reload.h), where the options have one. What that
 * takes is done step by step: true: it is done; false: to be asked again in a while.
 */
void nfsd_server_reload(struct nfsd_server *server);
bool nfsd_server_reload_step(struct nfsd_server *server);

#endif
