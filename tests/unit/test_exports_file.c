#include "config.h"

#include "server/exports_file.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static struct nfsd_exports_file file;
static char why[512];

static void teardown(void)
{
	nfsd_exports_file_release(&file);
}

static int parse(const char *text)
{
	return nfsd_exports_file_parse(&file, text, strlen(text),
	                               geteuid() == 0, why, sizeof(why));
}

static const struct nfsd_exports_entry *entry(size_t i)
{
	ck_assert_uint_lt(i, file.count);
	return &file.entries[i];
}

static void assert_good(const char *text)
{
	ck_assert_msg(parse(text) == 0, "%s: %s", text, why);
}

static void assert_entry(size_t i, unsigned line, const char *path,
                         const char *client)
{
	ck_assert_uint_eq(entry(i)->line, line);
	ck_assert_str_eq(entry(i)->config.path, path);
	ck_assert_str_eq(entry(i)->client.text, client);
}

/* ---- what is taken ----------------------------------------------------------- */

START_TEST(a_line_is_a_path_and_its_clients)
{
	assert_good("/srv  pc7(rw,upperdir=/u,workdir=/w)\t"
	            "10.0.0.0/8(ro,lowerdir=/l,no_root_squash)\n"
	            "\n"
	            "/other *(lowerdir=/m:/n)");
	ck_assert_uint_eq(file.count, 3);
	assert_entry(0, 1, "/srv", "pc7");
	ck_assert(!entry(0)->config.access.read_only);
	ck_assert_str_eq(entry(0)->config.upperdir, "/u");
	assert_entry(1, 1, "/srv", "10.0.0.0/8");
	ck_assert(entry(1)->config.access.read_only);
	ck_assert(!entry(1)->config.access.root_squash);
	ck_assert(entry(0)->config.access.root_squash);
	assert_entry(2, 3, "/other", "*");
	ck_assert_uint_eq(entry(2)->config.nlowerdirs, 2);
}
END_TEST

START_TEST(options_after_a_dash_are_for_all_that_follow)
{
	assert_good("/srv -lowerdir=/l,insecure a b(secure) "
	            "-lowerdir=/m,async c @g(lowerdir=/n)\n"
	            "/next -lowerdir=/l,statedir=/s *");
	ck_assert_uint_eq(file.count, 5);
	ck_assert(!entry(0)->config.access.secure);
	ck_assert(entry(1)->config.access.secure);
	ck_assert_str_eq(entry(1)->config.lowerdirs[0], "/l");
	ck_assert_str_eq(entry(2)->config.lowerdirs[0], "/m");
	ck_assert_int_eq(entry(2)->config.sync, OVL_ASYNC);
	ck_assert(entry(2)->config.access.secure);
	ck_assert_str_eq(entry(3)->config.lowerdirs[0], "/n");
	ck_assert_int_eq(entry(3)->client.kind, NFSD_CLIENT_NETGROUP);
	ck_assert_int_eq(entry(4)->config.sync, OVL_SYNC);
}
END_TEST

START_TEST(comments_and_ends_of_lines)
{
	assert_good("# nothing\n"
	            "   # nothing more\r\n"
	            "\t\n"
	            "/srv \\\n"
	            "  -lowerdir=/l\\\n"
	            "ong \\\n"
	            "  a \\\n"
	            "  b # (and not c)\r\n"
	            "#/gone *\n"
	            "/last -lowerdir=/l c");
	ck_assert_uint_eq(file.count, 3);
	assert_entry(0, 7, "/srv", "a");
	assert_entry(1, 8, "/srv", "b");
	ck_assert_str_eq(entry(1)->config.lowerdirs[0], "/long");
	assert_entry(2, 10, "/last", "c");
}
END_TEST

START_TEST(quotes_and_octal_numbers)
{
	assert_good("\"/two words\" *(lowerdir=\"/a b\"/c)\n"
	            "/two\\040more *(lowerdir=/a\\134\\054b)\n"
	            "/\"(x)\" *(lowerdir=\"/a)b\")\n");
	assert_entry(0, 1, "/two words", "*");
	ck_assert_str_eq(entry(0)->config.lowerdirs[0], "/a b/c");
	assert_entry(1, 2, "/two more", "*");
	ck_assert_str_eq(entry(1)->config.lowerdirs[0], "/a,b");
	assert_entry(2, 3, "/(x)", "*");
	ck_assert_str_eq(entry(2)->config.lowerdirs[0], "/a)b");
}
END_TEST

/* The backslashes of the overlay's options are left to them. */
START_TEST(escapes_of_options_are_theirs)
{
	assert_good("/srv *(lowerdir=/a\\:b:/c\\,d,ro)");
	ck_assert_uint_eq(entry(0)->config.nlowerdirs, 2);
	ck_assert_str_eq(entry(0)->config.lowerdirs[0], "/a:b");
	ck_assert_str_eq(entry(0)->config.lowerdirs[1], "/c,d");
}
END_TEST

START_TEST(nothing_is_no_exports)
{
	assert_good("");
	ck_assert_uint_eq(file.count, 0);
	assert_good("# only this");
	ck_assert_uint_eq(file.count, 0);
}
END_TEST

/* ---- what is not -------------------------------------------------------------- */

START_TEST(what_is_wrong_is_told_with_line_and_column)
{
	static const struct {
		const char *text, *line;
	} wrong[] = {
		{ "/srv\n", "1:1: /srv has no clients: * is everybody" },
		{ "\n  srv *(lowerdir=/l)",
		  "2:3: export \"srv\": not an absolute path without \"..\" of "
		  "at most 1024 bytes" },
		{ "/srv (ro)",
		  "1:6: no client before \"(\": *(...) is everybody" },
		{ "/srv host (ro)",
		  "1:6: neither lowerdir= nor upperdir= given" },
		{ "/srv -lowerdir=/l host (ro)",
		  "1:24: no client before \"(\": *(...) is everybody" },
		{ "/srv *(ro", "1:7: no \")\" before the end of the line" },
		{ "/srv *(ro\n)", "1:7: no \")\" before the end of the line" },
		{ "/srv *(ro, rw)", "1:11: a blank among options" },
		{ "/srv *(lowerdir=/l)x", "1:20: no blank after \")\"" },
		{ "/srv a) b", "1:7: \")\" without \"(\"" },
		{ "/srv -lowerdir=/l *\n/b *(lowerdir=/l,\\\n sync)",
		  "3:1: a blank among options" },
		{ "/srv *(lowerdir=/l,bogus,ro)",
		  "1:20: unknown option \"bogus\"" },
		{ "/srv -lowerdir=/l,cache=x *",
		  "1:19: option cache: bad value \"x\"" },
		{ "/srv *(lowerdir=/l,\\\nro,fsid=0)",
		  "2:4: option fsid: the id of an export is in its statedir" },
		{ "/srv 10.0.0.0/99(lowerdir=/l)",
		  "1:6: client \"10.0.0.0/99\": neither a prefix of 0 to 32 bits "
		  "nor a netmask" },
		{ "/srv *(upperdir=/u)", "1:6: upperdir= needs workdir=" },
		{ "/srv -lowerdir=/l a b\n/srv/ a(lowerdir=/l)",
		  "2:7: client \"a\" of /srv/: line 1 has it, too" },
		{ "\"/srv *", "1:1: no \" before the end of the line" },
		{ "/srv *(lowerdir=\"/l)\n",
		  "1:17: no \" before the end of the line" },
		{ "/s\\000v *(lowerdir=/l)", "1:3: a NUL byte" },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert_msg(parse(wrong[i].text) == -EINVAL, "%s: taken",
		              wrong[i].text);
		ck_assert_str_eq(why, wrong[i].line);
		ck_assert_uint_eq(file.count, 0);
	}
}
END_TEST

/* Whatever is cut off, or in the way, there is an answer. */
START_TEST(any_part_of_a_file_is_taken_or_refused)
{
	static const char text[] =
		"# x\n\"/two words\" -lowerdir=/a\\040b,ro \\\n pc[0-9](rw)"
		" 10.0.0.0/8(anonuid=7)\t@g *(sync)\n/b *(lowerdir=/c\\:d:/e)\n";
	char copy[sizeof(text)];

	for (size_t len = 0; len < sizeof(text); len++)
		for (unsigned c = 0; c < 256; c += 3) {
			memcpy(copy, text, sizeof(text));
			copy[len] = (char)c;
			nfsd_exports_file_parse(&file, copy, len + 1,
			                        geteuid() == 0, why,
			                        sizeof(why));
			nfsd_exports_file_release(&file);
		}
}
END_TEST

START_TEST(a_file_is_read_whole)
{
	char dir[256], path[300];
	FILE *out;

	scratch_make(dir, sizeof(dir), "exports");
	snprintf(path, sizeof(path), "%s/exports", dir);
	ck_assert_int_eq(nfsd_exports_file_read(&file, path, geteuid() == 0,
	                                        why, sizeof(why)),
	                 -ENOENT);
	ck_assert_ptr_nonnull(strstr(why, "/exports: No such file"));
	ck_assert_int_eq(nfsd_exports_file_read(&file, dir, geteuid() == 0, why,
	                                        sizeof(why)),
	                 -EISDIR);
	out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	for (unsigned i = 0; i < 1000; i++)
		fprintf(out, "/export/%u *(lowerdir=/l)\n", i);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_int_eq(nfsd_exports_file_read(&file, path, geteuid() == 0,
	                                        why, sizeof(why)),
	                 0);
	ck_assert_uint_eq(file.count, 1000);
	assert_entry(999, 1000, "/export/999", "*");
	nfsd_exports_file_release(&file);
	out = fopen(path, "a");
	fputs("/more *(nothing)\n", out);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_int_eq(nfsd_exports_file_read(&file, path, geteuid() == 0,
	                                        why, sizeof(why)),
	                 -EINVAL);
	ck_assert_ptr_nonnull(
		strstr(why, "/exports:1001:9: unknown option \"nothing\""));
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("exports_file");
	TCase *tcase = tcase_create("exports_file");

	tcase_add_checked_fixture(tcase, NULL, teardown);
	tcase_add_test(tcase, a_line_is_a_path_and_its_clients);
	tcase_add_test(tcase, options_after_a_dash_are_for_all_that_follow);
	tcase_add_test(tcase, comments_and_ends_of_lines);
	tcase_add_test(tcase, quotes_and_octal_numbers);
	tcase_add_test(tcase, escapes_of_options_are_theirs);
	tcase_add_test(tcase, nothing_is_no_exports);
	tcase_add_test(tcase, what_is_wrong_is_told_with_line_and_column);
	tcase_add_test(tcase, any_part_of_a_file_is_taken_or_refused);
	tcase_add_test(tcase, a_file_is_read_whole);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
