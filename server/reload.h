/*
 * The file of exports, read again while they are served.
 *
 * What is wrong in it, or needs a directory that the server has locked itself out of
 * (sandbox.h), leaves the old exports in force. What is the same stays open;
 * what is gone is closed to new calls, and let go of when the last one has ended that
 * had it. Where the new needs a layer that the old has in use, its clients are told to
 * come again until then; if it cannot be opened at last, the old exports come back.
 *
 * Used by one thread. Nothing here waits for calls: it goes on step by step.
 */
#ifndef VENEER_SERVER_RELOAD_H
#define VENEER_SERVER_RELOAD_H

#include <stdbool.h>

#include "server/exports_file.h"
#include "server/exports_open.h"
#include "server/sandbox.h"
#include "server/serving.h"

struct nfsd_reload {
	/* Set by the owner, and borrowed. */
	const char *path;
	struct nfsd_serving *serving;
	struct nfsd_hosts *hosts;
	struct nfsd_groups *groups;
	struct nfsd_overlay_limits limits;
	struct nfsd_log *log;
	const struct nfsd_sandbox *sandbox;    /* NULL: all can be opened */
	const struct nfsd_exports_file *first; /* in force at the start */

	/* All zero at first. */
	struct nfsd_exports_file file; /* of what is in force; empty: `first` */
	struct nfsd_exports_file
		before; /* of what was, while calls may have it */
	size_t ndeferred;
	bool is_under_way;
	bool again;     /* asked for meanwhile */
	bool goes_back; /* to what was in force before */
};

/*
 * Read the file, and have the exports replaced. What `file` holds goes with
 * nfsd_reload_release.
 */
void nfsd_reload_begin(struct nfsd_reload *reload);

/* Go on. True: it is done, or none was begun; false: to be asked again in a while. */
bool nfsd_reload_step(struct nfsd_reload *reload);

/* After the exports. */
void nfsd_reload_release(struct nfsd_reload *reload);

#endif
