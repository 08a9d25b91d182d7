#include "config.h"

#include "server/export.h"
#include "tests/lib/suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <rpc/auth.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/everybody.h"
#include "tests/unit/fake_ovl.h"

static struct ovl one, two, three;
static struct nfsd_exports *exports;
static const struct nfsd_access defaults = {
	.secure = true,
	.root_squash = true,
	.anonuid = NFSD_ANONYMOUS_ID,
	.anongid = NFSD_ANONYMOUS_ID,
};

static void setup(void)
{
	one = (struct ovl){ .id = 1 };
	two = (struct ovl){ .id = 2 };
	three = (struct ovl){ .id = 3 };
	exports = nfsd_exports_new(NULL, NULL);
	ck_assert_ptr_nonnull(exports);
}

static void teardown(void)
{
	nfsd_exports_free(exports);
}

static int add(const char *path, struct ovl *fs)
{
	return add_for_everybody(exports, path, fs, &defaults);
}

static void assert_found(const char *path, struct ovl *fs, const char *rest)
{
	const char *below = NULL;
	const struct nfsd_point *point;

	point = nfsd_exports_by_path(exports, path, &below);
	ck_assert_ptr_nonnull(point);
	ck_assert_uint_eq(point->ngrants, 1);
	ck_assert_ptr_eq(point->grants[0].export->fs, fs);
	ck_assert_str_eq(below, rest);
}

static void assert_not_found(const char *path)
{
	const char *below;

	ck_assert_ptr_null(nfsd_exports_by_path(exports, path, &below));
}

/* ---- the table ---------------------------------------------------------- */

START_TEST(an_export_is_found_by_its_id)
{
	ck_assert_int_eq(add("/one", &one), 0);
	ck_assert_int_eq(add("/two", &two), 0);
	ck_assert_ptr_eq(nfsd_exports_by_id(exports, 2)->fs, &two);
	ck_assert_ptr_null(nfsd_exports_by_id(exports, 3));
}
END_TEST

START_TEST(an_id_is_given_once)
{
	struct ovl twin = { .id = 1 };

	ck_assert_int_eq(add("/one", &one), 0);
	ck_assert_int_eq(add("/one", &twin), -EEXIST);
	ck_assert_int_eq(add("/other", &twin), -EEXIST);
	ck_assert_uint_eq(nfsd_exports_count(exports), 1);
	ck_assert_uint_eq(twin.closed, 0);
}
END_TEST

START_TEST(a_path_below_an_export_is_of_that_export)
{
	ck_assert_int_eq(add("/srv/img", &one), 0);
	assert_found("/srv/img", &one, "");
	assert_found("/srv/img/a/b", &one, "a/b");
	assert_not_found("/srv/image");
	assert_not_found("/srv");
	assert_not_found("/");
}
END_TEST

START_TEST(the_nearest_export_counts)
{
	ck_assert_int_eq(add("/srv/img", &two), 0);
	ck_assert_int_eq(add("/", &one), 0);
	ck_assert_int_eq(add("/srv", &three), 0);
	assert_found("/srv/img/x", &two, "x");
	assert_found("/srv/imgs", &three, "imgs");
	assert_found("/srv", &three, "");
	assert_found("/usr/lib", &one, "usr/lib");
	assert_found("/", &one, "");
}
END_TEST

START_TEST(the_table_closes_what_it_owns)
{
	ck_assert_int_eq(add("/one", &one), 0);
	ck_assert_int_eq(add("/two", &two), 0);
	nfsd_exports_free(exports);
	exports = NULL;
	ck_assert_uint_eq(one.closed, 1);
	ck_assert_uint_eq(two.closed, 1);
	ck_assert_uint_eq(three.closed, 0);
}
END_TEST

/* ---- who may call --------------------------------------------------------- */

static const struct nfsd_point *point(void)
{
	return nfsd_exports_point(exports, 0);
}

/* The overlay that the peer gets; NULL: none. */
static struct ovl *admit(const void *peer)
{
	const struct nfsd_grant *grant;
	int err = nfsd_exports_admit(exports, point(), peer, true, &grant);

	ck_assert(err == 0 || err == -EACCES);
	return err == 0 ? grant->export->fs : NULL;
}

static struct ovl *admit4(const char *address, uint16_t port)
{
	struct sockaddr_in peer = { .sin_family = AF_INET,
		                    .sin_port = htons(port) };

	ck_assert_int_eq(inet_pton(AF_INET, address, &peer.sin_addr), 1);
	return admit(&peer);
}

static struct ovl *admit6(const char *address, uint16_t port)
{
	struct sockaddr_in6 peer = { .sin6_family = AF_INET6,
		                     .sin6_port = htons(port) };

	ck_assert_int_eq(inet_pton(AF_INET6, address, &peer.sin6_addr), 1);
	return admit(&peer);
}

START_TEST(a_secure_export_admits_ports_below_1024)
{
	ck_assert_int_eq(add("/one", &one), 0);
	ck_assert_ptr_eq(admit4("10.1.2.3", 1023), &one);
	ck_assert_ptr_null(admit4("10.1.2.3", 1024));
	ck_assert_ptr_null(admit4("10.1.2.3", 65535));
	ck_assert_ptr_eq(admit6("::1", 1023), &one);
	ck_assert_ptr_null(admit6("::1", 1024));
}
END_TEST

START_TEST(an_insecure_export_admits_any_port)
{
	const struct nfsd_access access = { .secure = false };

	ck_assert_int_eq(add_for_everybody(exports, "/one", &one, &access), 0);
	ck_assert_ptr_eq(admit4("10.1.2.3", 1023), &one);
	ck_assert_ptr_eq(admit4("10.1.2.3", 65535), &one);
	ck_assert_ptr_eq(admit6("::1", 65535), &one);
}
END_TEST

/* Let clients use an overlay, which is added where it is not there. */
static void allow(struct ovl *fs, const char *text,
                  const struct nfsd_access *access)
{
	const struct nfsd_export *export;
	struct nfsd_client client;
	char why[256];

	export = nfsd_exports_by_id(exports, fs->id);
	if (export == NULL)
		ck_assert_int_eq(
			nfsd_exports_add(exports, "/x", NULL, fs, &export), 0);
	ck_assert_int_eq(nfsd_client_parse(&client, text, why, sizeof(why)), 0);
	ck_assert_int_eq(nfsd_exports_allow(exports, export, &client, access),
	                 0);
	nfsd_client_release(&client);
}

START_TEST(a_local_socket_is_anybody)
{
	const struct sockaddr peer = { .sa_family = AF_UNIX };

	allow(&one, "0.0.0.0/0", &defaults);
	allow(&one, "::/0", &defaults);
	ck_assert_ptr_null(admit(&peer));
	allow(&two, "*", &defaults);
	ck_assert_ptr_eq(admit(&peer), &two);
}
END_TEST

/* Wherever it stands. */
START_TEST(the_most_specific_grant_counts)
{
	const struct nfsd_access open = { .secure = false };

	allow(&three, "*", &open);
	allow(&two, "10.0.0.0/8", &open);
	allow(&one, "10.1.2.3", &open);
	allow(&one, "10.1.2.3", &defaults); /* too late */
	allow(&one, "10.1.0.0/16", &defaults);
	allow(&two, "2001:db8::/32", &open);
	ck_assert_uint_eq(point()->ngrants, 6);
	ck_assert_ptr_eq(admit4("10.1.2.3", 2000), &one);
	ck_assert_ptr_eq(admit6("::ffff:10.1.2.3", 2000), &one);
	ck_assert_ptr_eq(admit4("10.2.0.1", 2000), &two);
	ck_assert_ptr_eq(admit4("11.0.0.1", 2000), &three);
	ck_assert_ptr_eq(admit6("2001:db8::7", 2000), &two);
	ck_assert_ptr_eq(admit6("2001:db9::7", 2000), &three);
	/* It is more specific, and does not let in: none behind it does. */
	ck_assert_ptr_null(admit4("10.1.2.4", 2000));
	ck_assert_ptr_eq(admit4("10.1.2.4", 1000), &one);
}
END_TEST

START_TEST(who_is_no_client_is_not_admitted)
{
	allow(&one, "10.0.0.0/8", &defaults);
	ck_assert_ptr_eq(admit4("10.255.0.1", 700), &one);
	ck_assert_ptr_null(admit4("11.0.0.1", 700));
	ck_assert_ptr_null(admit6("::1", 700));
}
END_TEST

/* ---- squashing ------------------------------------------------------------ */

static uint32_t groups[ORPC_MAX_GIDS];

static struct ovl_caller squash(struct nfsd_access access,
                                struct orpc_cred cred)
{
	struct ovl_caller caller = { 0 };

	nfsd_grant_squash(&access, &cred, &caller, groups);
	return caller;
}

static struct orpc_cred user(uint32_t uid, uint32_t gid)
{
	return (struct orpc_cred){ .flavor = AUTH_SYS, .uid = uid, .gid = gid };
}

START_TEST(a_user_stays_with_his_groups)
{
	struct orpc_cred cred = user(1000, 100);
	struct ovl_caller caller;

	cred.ngids = ORPC_MAX_GIDS;
	for (uint32_t i = 0; i < ORPC_MAX_GIDS; i++)
		cred.gids[i] = 500 + i;
	caller = squash(defaults, cred);
	ck_assert_uint_eq(caller.uid, 1000);
	ck_assert_uint_eq(caller.gid, 100);
	ck_assert_uint_eq(caller.ngroups, ORPC_MAX_GIDS);
	for (uint32_t i = 0; i < ORPC_MAX_GIDS; i++)
		ck_assert_uint_eq(caller.groups[i], 500 + i);
}
END_TEST

START_TEST(root_squash_takes_uid_0_and_gid_0_everywhere)
{
	struct orpc_cred cred = user(0, 0);
	struct ovl_caller caller;

	cred.ngids = 2;
	cred.gids[0] = 0;
	cred.gids[1] = 7;
	caller = squash(defaults, cred);
	ck_assert_uint_eq(caller.uid, NFSD_ANONYMOUS_ID);
	ck_assert_uint_eq(caller.gid, NFSD_ANONYMOUS_ID);
	ck_assert_uint_eq(caller.ngroups, 2);
	ck_assert_uint_eq(caller.groups[0], NFSD_ANONYMOUS_ID);
	ck_assert_uint_eq(caller.groups[1], 7);
}
END_TEST

START_TEST(no_root_squash_leaves_root)
{
	struct nfsd_access access = defaults;
	struct ovl_caller caller;

	access.root_squash = false;
	caller = squash(access, user(0, 0));
	ck_assert_uint_eq(caller.uid, 0);
	ck_assert_uint_eq(caller.gid, 0);
}
END_TEST

START_TEST(all_squash_takes_everybody_and_his_groups)
{
	struct nfsd_access access = { .all_squash = true,
		                      .anonuid = 33,
		                      .anongid = 44 };
	struct orpc_cred cred = user(1000, 100);
	struct ovl_caller caller;

	cred.ngids = 1;
	cred.gids[0] = 27;
	caller = squash(access, cred);
	ck_assert_uint_eq(caller.uid, 33);
	ck_assert_uint_eq(caller.gid, 44);
	ck_assert_uint_eq(caller.ngroups, 0);
}
END_TEST

START_TEST(a_call_without_credential_is_anonymous)
{
	struct nfsd_access access = defaults;
	struct ovl_caller caller;

	access.root_squash = false;
	caller = squash(access, (struct orpc_cred){ .flavor = AUTH_NONE });
	ck_assert_uint_eq(caller.uid, NFSD_ANONYMOUS_ID);
	ck_assert_uint_eq(caller.gid, NFSD_ANONYMOUS_ID);
	ck_assert_uint_eq(caller.ngroups, 0);
}
END_TEST

START_TEST(who_may_only_read_changes_nothing)
{
	struct nfsd_access access = defaults;

	ck_assert(!squash(access, user(1000, 100)).read_only);
	access.read_only = true;
	ck_assert(squash(access, user(1000, 100)).read_only);
}
END_TEST

/* chown(2) takes it for "leave alone": nobody may have it. */
START_TEST(the_highest_id_is_nobodys)
{
	struct nfsd_access access = defaults;
	struct ovl_caller caller;

	access.root_squash = false;
	caller = squash(access, user(UINT32_MAX, UINT32_MAX));
	ck_assert_uint_eq(caller.uid, NFSD_ANONYMOUS_ID);
	ck_assert_uint_eq(caller.gid, NFSD_ANONYMOUS_ID);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("export");
	TCase *tcase = tcase_create("export");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, an_export_is_found_by_its_id);
	tcase_add_test(tcase, an_id_is_given_once);
	tcase_add_test(tcase, a_path_below_an_export_is_of_that_export);
	tcase_add_test(tcase, the_nearest_export_counts);
	tcase_add_test(tcase, the_table_closes_what_it_owns);
	tcase_add_test(tcase, a_secure_export_admits_ports_below_1024);
	tcase_add_test(tcase, an_insecure_export_admits_any_port);
	tcase_add_test(tcase, a_local_socket_is_anybody);
	tcase_add_test(tcase, the_most_specific_grant_counts);
	tcase_add_test(tcase, who_is_no_client_is_not_admitted);
	tcase_add_test(tcase, a_user_stays_with_his_groups);
	tcase_add_test(tcase, root_squash_takes_uid_0_and_gid_0_everywhere);
	tcase_add_test(tcase, no_root_squash_leaves_root);
	tcase_add_test(tcase, all_squash_takes_everybody_and_his_groups);
	tcase_add_test(tcase, a_call_without_credential_is_anonymous);
	tcase_add_test(tcase, who_may_only_read_changes_nothing);
	tcase_add_test(tcase, the_highest_id_is_nobodys);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
