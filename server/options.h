/*
 * The command line of veneerd.
 *
 * Life cycle: nfsd_options_init, nfsd_options_parse, nfsd_options_release.
 */
#ifndef VENEER_SERVER_OPTIONS_H
#define VENEER_SERVER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/export_config.h"
#include "server/exports_file.h"

#define NFSD_PORT 2049
#define NFSD_EXPORTS_FILE "/etc/veneer/exports"
#define NFSD_MAX_ADDRESSES 32
#define NFSD_MAX_ALLOWED 64

enum nfsd_rpcbind {
	NFSD_RPCBIND_AUTO, /* on NFSD_PORT, and no harm where there is none */
	NFSD_RPCBIND_YES,  /* or do not start */
	NFSD_RPCBIND_NO,
};

struct nfsd_options {
	enum {
		NFSD_SERVE,
		NFSD_CHECK,
		NFSD_SHOW_HELP,
		NFSD_SHOW_VERSION
	} action;
	const char *exports; /* the file of them, of argv; NULL: `export` */
	struct nfsd_exports_file file;
	struct nfsd_export_config export;          /* for everybody */
	const char *addresses[NFSD_MAX_ADDRESSES]; /* of argv; none: loopback */
	size_t naddresses;
	uint16_t port; /* 0: any */
	enum nfsd_rpcbind rpcbind;
	bool accept_changed_lower;
	unsigned threads;         /* 0: one a CPU */
	unsigned max_connections; /* 0: the default of rpc/ */
	unsigned max_entries;
	unsigned max_replies; /* 0: the default of rpc/ */
	unsigned max_files;   /* 0: by the limit of descriptors */
	uint64_t max_memory;  /* bytes; 0: by the machine's memory */
	const char *stats;    /* a file, of argv; NULL: none */
	bool as_root;         /* root started it */
	const char *user;     /* whom to become, of argv; NULL: nobody else */
	bool no_sandbox;
	const char *allowed[NFSD_MAX_ALLOWED]; /* directories, of argv */
	size_t nallowed;
	int log_level;
};

void nfsd_options_init(struct nfsd_options *options);
void nfsd_options_release(struct nfsd_options *options);

/*
 * 0, -ENOMEM, or -EINVAL with one line in `why`. Strings of `argv` are kept.
 */
int nfsd_options_parse(struct nfsd_options *options, int argc, char **argv,
                       char *why, size_t size);

/* What --help prints. */
extern const char nfsd_options_help[];

#endif
