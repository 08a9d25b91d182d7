#include "config.h"

#include "server/memory.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "rpc/orpc.h"
#include "tests/lib/suite.h"

START_TEST(the_parts_make_the_whole)
{
	static const uint64_t totals[] = { NFSD_MIN_MEMORY, NFSD_MIN_MEMORY + 1,
		                           1000000007, (uint64_t)1 << 40 };

	for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++) {
		struct nfsd_memory memory = nfsd_memory_divide(totals[i]);

		ck_assert_uint_eq(memory.cache + memory.buffers +
		                          memory.replies,
		                  totals[i]);
		ck_assert_uint_eq(memory.replies, totals[i] / 64);
		ck_assert_uint_ge(memory.buffers, totals[i] / 4);
		ck_assert_uint_gt(memory.cache, memory.buffers);
	}
}
END_TEST

START_TEST(the_default_is_a_quarter_of_the_machine)
{
	uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) *
	                   (uint64_t)sysconf(_SC_PAGESIZE);

	ck_assert_uint_ge(nfsd_memory_default(1), 64u << 20);
	ck_assert_uint_ge(nfsd_memory_default(1), machine / 4);
	if (machine / 4 > 64u << 20)
		ck_assert_uint_eq(nfsd_memory_default(1), machine / 4);
	ck_assert_uint_ge(nfsd_memory_default(0), nfsd_memory_default(1));
}
END_TEST

/* Loops of both ends: what is the least for one, and the default for many. */
START_TEST(the_loops_can_work_with_their_part)
{
	for (unsigned threads = 1; threads <= 1024; threads *= 32) {
		struct nfsd_memory memory = nfsd_memory_divide(
			threads == 1 ? NFSD_MIN_MEMORY
				     : nfsd_memory_default(threads));
		struct orpc_config config = { .threads = threads,
			                      .max_bytes = memory.buffers };
		struct orpc_server *server = NULL;
		int err = orpc_server_new(&config, NULL, 0, &server);

		/* A thousand may take more descriptors than there are. */
		ck_assert_int_ne(err, -ENOBUFS);
		orpc_server_free(server);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memory");
	TCase *tcase = tcase_create("memory");

	tcase_add_test(tcase, the_parts_make_the_whole);
	tcase_add_test(tcase, the_default_is_a_quarter_of_the_machine);
	tcase_add_test(tcase, the_loops_can_work_with_their_part);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
