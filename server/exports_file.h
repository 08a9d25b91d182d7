/*
 * The file of exports, in the syntax of exports(5): a line for each path, with the
 * clients that may mount it, each with its options in parentheses; those after a
 * "-" hold for all clients that follow on the line.
 *
 *     /home   -sync,lowerdir=/golden  10.0.0.0/24(upperdir=/up,workdir=/work)
 *     "/two words"  *(ro,lowerdir=/two\040words)
 *
 * A backslash at its end continues a line, "#" begins a comment, double quotes hold
 * together what has blanks, and \ooo is the byte of that octal number.
 */
#ifndef VENEER_SERVER_EXPORTS_FILE_H
#define VENEER_SERVER_EXPORTS_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "server/client.h"
#include "server/export_config.h"

/* What one client may have of one path. */
struct nfsd_exports_entry {
	struct nfsd_client client;
	struct nfsd_export_config config;
	unsigned line;
};

struct nfsd_exports_file {
	struct nfsd_exports_entry *entries; /* in the order of the file */
	size_t count;
};

/*
 * Take in `len` bytes of text; `as_root`: root started the server. 0, -ENOMEM, or -EINVAL with "LINE:COLUMN: " and what
 * is wrong there in `why`; then there is nothing to release.
 */
int nfsd_exports_file_parse(struct nfsd_exports_file *file, const char *text,
                            size_t len, bool as_root, char *why, size_t size);

/* The same of the file at `path`, in which there has to be something; -errno, too,
 * and `path` stands before all else in `why`. */
int nfsd_exports_file_read(struct nfsd_exports_file *file, const char *path,
                           bool as_root, char *why, size_t size);

void nfsd_exports_file_release(struct nfsd_exports_file *file);

#endif
