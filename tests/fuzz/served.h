/*
 * The whole server for fuzz targets: the real transport, which goes on from one
 * input to the next, and behind it NFS and MOUNT over an overlay of each input's
 * own. The layers below are made once; the upper one is new each time.
 */
#ifndef VENEER_TESTS_FUZZ_SERVED_H
#define VENEER_TESTS_FUZZ_SERVED_H

#include <stddef.h>
#include <stdint.h>

#define SERVED_EXPORT "/export"

/* The longest call and reply, without their record marks. */
#define SERVED_MAX_CALL (64u << 10)
#define SERVED_MAX_REPLY ((1u << 20) + 65536)

/* Once. `lowers`: names of directories in the place (place.h), top first. */
void served_init(const char *const *lowers, size_t n);

/* A new upper, and the export with these options besides. */
void served_begin(const char *options);
void served_end(void);

/*
 * One record, and what comes back within seconds: how many bytes. 0: the server
 * has closed the connection; there is another one now.
 */
size_t served_call(const uint8_t *record, size_t len, uint8_t *reply);

#endif
