/*
 * The overlay's own struct, for the sources that make up struct ovl's functions.
 */
#ifndef VENEER_OVERLAY_FS_H
#define VENEER_OVERLAY_FS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "overlay/batch.h"
#include "overlay/copying.h"
#include "overlay/layer.h"
#include "overlay/log.h"
#include "overlay/tree.h"
#include "overlay/overlay.h"
#include "overlay/stack.h"
#include "overlay/standin.h"
#include "overlay/state.h"
#include "overlay/walk.h"
#include "overlay/workdir.h"

/* Locks for overrides; objects share them by their inode numbers. */
#define OVL_OVERRIDE_LOCKS 64

struct ovl {
	/* Never change after ovl_open. */
	struct ovl_state state;
	enum ovl_cache cache;
	enum ovl_sync sync;
	enum ovl_redirect redirect_dir;
	bool metacopy;
	bool has_upper;
	bool read_only;
	bool whiteouts_by_attribute; /* whiteout.h */
	struct ovl_stack *stack;
	bool shares_stack;             /* that it was opened over */
	struct ovl_layer upper;        /* where there is one */
	struct ovl_workdir *workdir;   /* likewise */
	struct ovl_standins *standins; /* where that has overrides; or NULL */
	struct ovl_log log;

	struct ovl_tree tree; /* what has an upper part */
	struct ovl_walk walk; /* over that */

	pthread_mutex_t rename; /* see node.h */

	/* Held from reading an override to writing it back. */
	pthread_mutex_t overriding[OVL_OVERRIDE_LOCKS];

	struct ovl_copies copies; /* under way */
	struct ovl_batch batch;   /* of flushes; where there is an upper */

	atomic_uint_fast64_t verifier; /* of unstable writes */
	atomic_uint_fast64_t copyups, copied_bytes, flushes;
};

#endif
