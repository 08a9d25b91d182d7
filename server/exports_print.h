/*
 * Exports as they were understood, in their own syntax: every option is there, and
 * what is printed means the same when it is read again.
 */
#ifndef VENEER_SERVER_EXPORTS_PRINT_H
#define VENEER_SERVER_EXPORTS_PRINT_H

#include <stdio.h>

#include "server/exports_file.h"

/* A line for each client of each path. */
void nfsd_exports_print(const struct nfsd_exports_file *file, FILE *out);

#endif
