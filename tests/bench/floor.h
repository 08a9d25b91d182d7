/*
 * The system calls that no server can do without, for whom handles and attributes
 * have to be told, a change is seen whole or not at all, and a lower layer stays as
 * it is: what is left of each operation where there is no protocol, no cache, no
 * permission and no merge. A server whose figures are near those has nothing more to
 * win but by fewer of them.
 */
#ifndef VENEER_TESTS_BENCH_FLOOR_H
#define VENEER_TESTS_BENCH_FLOOR_H

#include <stddef.h>
#include <stdint.h>

/* Below `lower` are the files of tests/bench/run; `upper` is empty. Ends the program
 * where it cannot. */
void floor_open(const char *lower, const char *upper);

void floor_read(void *data, size_t count, uint64_t offset);
/* The same, of whole pages up to a mebibyte, to a connection. */
void floor_send(int fd, size_t count, uint64_t offset);
void floor_write(const void *data, size_t count, uint64_t offset);
/* To a lower file that nobody has written to. */
void floor_first_write(const void *data, size_t count);
void floor_chmod(void); /* of a lower file */
void floor_create(void);
void floor_remove(void); /* the first of those that were created */

#endif
