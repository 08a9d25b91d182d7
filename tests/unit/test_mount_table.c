#include "config.h"

#include "server/mount_table.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/mount_prot.h"
#include "tests/lib/suite.h"

#define ROOM (1u << 20)
#define THREADS 4

static struct nfsd_mount_table *table;
static char text[65536]; /* the table, by listed() */

static void setup(void)
{
	table = nfsd_mount_table_new();
	ck_assert_ptr_nonnull(table);
}

static void teardown(void)
{
	nfsd_mount_table_free(table);
}

static void add(const char *host, const char *path)
{
	nfsd_mount_table_add(table, host, path);
}

/* As a client sees what fits into `room`: "host:path ", oldest first. */
static const char *listed(size_t room)
{
	char *bytes = malloc(ROOM), *end = text;
	mountlist list = NULL;
	XDR xdr;

	xdrmem_create(&xdr, bytes, (u_int)room, XDR_ENCODE);
	ck_assert(nfsd_mount_table_encode(table, &xdr, room));
	xdrmem_create(&xdr, bytes, xdr_getpos(&xdr), XDR_DECODE);
	ck_assert(xdr_mountlist(&xdr, &list));
	*end = '\0';
	for (mountlist entry = list; entry; entry = entry->ml_next)
		end += sprintf(end, "%s:%s ", entry->ml_hostname,
		               entry->ml_directory);
	xdr_free((xdrproc_t)xdr_mountlist, &list);
	free(bytes);
	return text;
}

START_TEST(an_empty_table_is_an_empty_list)
{
	ck_assert_str_eq(listed(ROOM), "");
	ck_assert_uint_eq(nfsd_mount_table_bytes(table), 4);
	nfsd_mount_table_remove(table, "a", "/x");
	nfsd_mount_table_remove(table, "a", NULL);
	ck_assert_str_eq(listed(ROOM), "");
}
END_TEST

START_TEST(entries_are_listed_oldest_first)
{
	char host[] = "b", path[] = "/x";

	add(host, path);
	host[0] = path[1] = 'z'; /* they were copied */
	add("a", "/x");
	add("a", "/y");
	ck_assert_str_eq(listed(ROOM), "b:/x a:/x a:/y ");
}
END_TEST

START_TEST(mounting_twice_is_once_and_the_newest)
{
	add("a", "/x");
	add("b", "/x");
	add("a", "/x");
	ck_assert_str_eq(listed(ROOM), "b:/x a:/x ");
}
END_TEST

START_TEST(what_goes_is_of_that_host_and_that_path)
{
	add("a", "/x");
	add("a", "/y");
	add("b", "/x");
	add("a", "/z");
	nfsd_mount_table_remove(table, "a", "/x/y");
	nfsd_mount_table_remove(table, "c", "/x");
	nfsd_mount_table_remove(table, "a", "/y");
	ck_assert_str_eq(listed(ROOM), "a:/x b:/x a:/z ");
	nfsd_mount_table_remove(table, "a", NULL);
	ck_assert_str_eq(listed(ROOM), "b:/x ");
}
END_TEST

START_TEST(a_full_table_loses_its_oldest)
{
	char host[32];

	for (int i = 0; i < NFSD_MOUNT_TABLE_MAX + 2; i++) {
		snprintf(host, sizeof(host), "h%d", i);
		add(host, "/");
	}
	ck_assert_ptr_eq(strstr(listed(ROOM), "h2:/ h3:/ "), text);
	snprintf(host, sizeof(host), "h%d:/ ", NFSD_MOUNT_TABLE_MAX + 1);
	ck_assert_ptr_nonnull(strstr(text, host));
	/* One that is there takes nobody's place. */
	add("h500", "/");
	ck_assert_ptr_eq(strstr(listed(ROOM), "h2:/ "), text);
}
END_TEST

START_TEST(its_size_is_that_of_its_encoding)
{
	static const char *const hosts[] = { "a", "bc", "def", "ghij", "" };
	char *bytes = malloc(ROOM);
	XDR xdr;

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		add(hosts[i], "/some/path");
		xdrmem_create(&xdr, bytes, ROOM, XDR_ENCODE);
		ck_assert(nfsd_mount_table_encode(table, &xdr, ROOM));
		ck_assert_uint_eq(xdr_getpos(&xdr),
		                  nfsd_mount_table_bytes(table));
	}
	free(bytes);
}
END_TEST

START_TEST(a_list_without_room_for_all_is_cut_between_two)
{
	size_t room;

	add("a", "/x");
	add("b", "/x");
	room = nfsd_mount_table_bytes(table);
	add("c", "/x");
	ck_assert_str_eq(listed(room), "a:/x b:/x ");
	ck_assert_str_eq(listed(room - 1), "a:/x ");
	ck_assert_str_eq(listed(4), "");
	ck_assert_str_eq(listed(nfsd_mount_table_bytes(table)),
	                 "a:/x b:/x c:/x ");
}
END_TEST

START_TEST(a_stream_with_less_than_the_room_is_told)
{
	char bytes[16];
	XDR xdr;

	add("a", "/x");
	xdrmem_create(&xdr, bytes, sizeof(bytes), XDR_ENCODE);
	ck_assert(!nfsd_mount_table_encode(table, &xdr, ROOM));
}
END_TEST

static void *come_and_go(void *arg)
{
	const char *host = arg;
	char path[32];

	for (int i = 0; i < 300; i++) {
		snprintf(path, sizeof(path), "/%d", i % 7);
		add(host, path);
		nfsd_mount_table_bytes(table);
		nfsd_mount_table_remove(table, host, i % 3 ? path : NULL);
	}
	add(host, "/last");
	return NULL;
}

START_TEST(many_threads_may_use_it)
{
	static char hosts[THREADS][2] = { "a", "b", "c", "d" };
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go,
		                                hosts[i]),
		                 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < THREADS; i++) {
		char entry[16];

		snprintf(entry, sizeof(entry), "%s:/last ", hosts[i]);
		ck_assert_ptr_nonnull(strstr(listed(ROOM), entry));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mount_table");
	TCase *tcase = tcase_create("mount_table");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, an_empty_table_is_an_empty_list);
	tcase_add_test(tcase, entries_are_listed_oldest_first);
	tcase_add_test(tcase, mounting_twice_is_once_and_the_newest);
	tcase_add_test(tcase, what_goes_is_of_that_host_and_that_path);
	tcase_add_test(tcase, a_full_table_loses_its_oldest);
	tcase_add_test(tcase, its_size_is_that_of_its_encoding);
	tcase_add_test(tcase, a_list_without_room_for_all_is_cut_between_two);
	tcase_add_test(tcase, a_stream_with_less_than_the_room_is_told);
	tcase_add_test(tcase, many_threads_may_use_it);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
