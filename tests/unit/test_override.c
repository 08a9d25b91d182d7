/*
 * A server without root, and what clients set through it: as an ordinary user,
 * whom root becomes when the layers are there.
 */
#include "config.h"

#include "overlay/override.h"

#include <check.h>
#include <endian.h>
#include <pthread.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "stage.h"

#define FULL_NAME "user.overlay.veneer.override"

static struct ovl_caller alice = {
	.uid = 31000,
	.gid = 31001,
	.may_wait = true,
};
static struct ovl_caller bob = {
	.uid = 32000,
	.gid = 32001,
	.may_wait = true,
};

/* ---- setting it up -------------------------------------------------------- */

/* What root has put into the layers, but for "low", is the user's. */
static void become_user(void)
{
	static const char *const own[] = { "high", "up", "work" };

	stage.userxattr = true;
	if (geteuid() != 0)
		return;
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(fchownat(tree, own[i], 65534, 65534, 0), 0);
	tree_become_user();
}

static void open_as_user(void)
{
	become_user();
	stage_open();
}

static struct stat stat_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(fstatat(tree, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

/* The mode on disk, where the user owns all. */
static mode_t mode_on_disk(const char *name)
{
	struct stat st = stat_of(name);

	ck_assert_uint_eq(st.st_uid, geteuid());
	ck_assert_uint_eq(st.st_gid, getegid());
	return st.st_mode;
}

/* ---- what clients do ------------------------------------------------------ */

static int set(struct ovl_caller *caller, const char *path,
               const struct ovl_setattr *attr)
{
	struct ovl_node *node = get(path);
	int err = ovl_setattr(fs, caller, node, attr, NULL, NULL);

	ovl_node_unref(node);
	return err;
}

static void chmod_to(const char *path, uint32_t mode)
{
	struct ovl_setattr attr = { .has_mode = true, .mode = mode };

	ck_assert_int_eq(set(&root, path, &attr), 0);
}

static void chown_to(const char *path, const struct ovl_caller *owner)
{
	struct ovl_setattr attr = { .has_uid = true,
		                    .has_gid = true,
		                    .uid = owner->uid,
		                    .gid = owner->gid };

	ck_assert_int_eq(set(&root, path, &attr), 0);
}

static void shows(const char *path, const struct ovl_caller *owner,
                  uint32_t mode)
{
	struct ovl_attr attr = attr_of(path);

	ck_assert_uint_eq(attr.uid, owner->uid);
	ck_assert_uint_eq(attr.gid, owner->gid);
	ck_assert_uint_eq(attr.mode, mode);
}

/* Set by hand what a file in the tree shows. */
static void forge(const char *path, const void *value, size_t size)
{
	if (setxattr(tree_at(path), FULL_NAME, value, size, 0))
		ck_abort_msg("%s: %s", path, strerror(errno));
}

/* The value as it is on disk; see override.c. */
struct value {
	char magic[8];
	uint32_t uid, gid, mode, major, minor;
};

static struct value value_of(uint32_t uid, uint32_t mode)
{
	struct value value = { .uid = htole32(uid),
		               .gid = htole32(31001),
		               .mode = htole32(mode) };

	memcpy(value.magic, "veneer\1\1", 8);
	return value;
}

/* ---- files and directories ------------------------------------------------ */

START_TEST(what_clients_set_is_kept)
{
	open_as_user();
	ck_assert_int_eq(make_file("", "file"), 0);
	chown_to("file", &alice);
	chmod_to("file", 06755);
	ck_assert_int_eq(make_dir("", "dir"), 0);
	chown_to("dir", &bob);
	chmod_to("dir", 03770);
	for (unsigned i = 0; i < 2; i++) {
		shows("file", &alice, S_IFREG | 06755);
		shows("dir", &bob, S_IFDIR | 03770);
		stage_reopen();
	}
}
END_TEST

/* Other users of the host get no more than what everybody may read. */
START_TEST(on_disk_it_is_the_servers)
{
	static const struct {
		uint32_t set, disk;
	} modes[] = {
		{ 0, 0600 },    { 07777, 0755 }, { 0444, 0644 }, { 0666, 0644 },
		{ 0060, 0600 }, { 04711, 0711 }, { 0111, 0711 }, { 0070, 0600 },
	};

	open_as_user();
	ck_assert_int_eq(make_file("", "file"), 0);
	ck_assert_int_eq(make_dir("", "dir"), 0);
	chown_to("file", &alice);
	chown_to("dir", &alice);
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		chmod_to("file", modes[i].set);
		chmod_to("dir", modes[i].set);
		ck_assert_uint_eq(mode_on_disk("up/file"),
		                  S_IFREG | modes[i].disk);
		ck_assert_uint_eq(mode_on_disk("up/dir"),
		                  S_IFDIR | modes[i].disk | 0700);
	}
}
END_TEST

START_TEST(a_mode_closes_nothing_to_the_server)
{
	struct ovl_setattr closed = { .has_mode = true };
	struct ovl_node *dir, *node = NULL;

	tree_file("low/file", "text");
	open_as_user();
	chmod_to("file", 0);
	write_text("file", "TEXT");
	dir = get("");
	ck_assert_int_eq(ovl_mkdir(fs, &root, dir, "dir", &closed, &node, NULL),
	                 0);
	ovl_node_unref(node);
	ck_assert_int_eq(make_file("dir", "in"), 0);
	ck_assert_int_eq(ovl_create(fs, &root, dir, "new", OVL_EXCLUSIVE,
	                            &nothing, 42, &node, NULL),
	                 0);
	ovl_node_unref(node);
	ovl_node_unref(dir);
	stage_reopen();
	ck_assert_uint_eq(attr_of("file").mode, S_IFREG);
	ck_assert_uint_eq(attr_of("dir").mode, S_IFDIR);
	ck_assert_uint_eq(attr_of("new").mode, S_IFREG);
	ck_assert(has_text("file", "TEXT"));
	ck_assert_int_eq(seen("dir/in"), 0);
	/* The verifier is there, and can be read. */
	dir = get("");
	ck_assert_int_eq(ovl_create(fs, &root, dir, "new", OVL_EXCLUSIVE,
	                            &nothing, 42, &node, NULL),
	                 0);
	ovl_node_unref(node);
	ovl_node_unref(dir);
}
END_TEST

START_TEST(permissions_go_by_what_shows)
{
	struct ovl_setattr mode = { .has_mode = true, .mode = 0600 };
	struct ovl_node *file;
	int granted;
	char byte;
	bool eof;

	open_as_user();
	ck_assert_int_eq(make_file("", "file"), 0);
	chown_to("file", &alice);
	chmod_to("file", 0600);
	file = get("file");
	ck_assert_int_eq(ovl_read(fs, &bob, file, &byte, 1, 0, &eof), -EACCES);
	ck_assert_int_eq(ovl_read(fs, &alice, file, &byte, 1, 0, &eof), 0);
	ck_assert_int_eq(ovl_write(fs, &bob, file, "", 1, 0, OVL_UNSTABLE,
	                           NULL),
	                 -EACCES);
	ck_assert_int_eq(ovl_access(fs, &alice, file, R_OK | W_OK, &granted),
	                 0);
	ck_assert_int_eq(granted, R_OK | W_OK);
	ck_assert_int_eq(set(&bob, "file", &mode), -EPERM);
	ck_assert_int_eq(set(&alice, "file", &mode), 0);
	/* He who runs the server is nobody special. */
	alice.uid = geteuid();
	ck_assert_int_eq(ovl_read(fs, &alice, file, &byte, 1, 0, &eof),
	                 -EACCES);
	ovl_node_unref(file);
}
END_TEST

START_TEST(a_write_takes_setuid_away)
{
	struct ovl_node *file;

	open_as_user();
	ck_assert_int_eq(make_file("", "file"), 0);
	chown_to("file", &alice);
	chmod_to("file", 06777);
	file = get("file");
	ck_assert_int_eq(
		ovl_write(fs, &bob, file, "x", 1, 0, OVL_UNSTABLE, NULL), 1);
	ovl_node_unref(file);
	shows("file", &alice, S_IFREG | 0777);
	stage_reopen();
	shows("file", &alice, S_IFREG | 0777);
}
END_TEST

static void *change_modes(void *arg)
{
	(void)arg;
	for (uint32_t mode = 0; mode < 300; mode++)
		chmod_to("file", mode);
	return NULL;
}

START_TEST(what_two_set_at_once_is_both_kept)
{
	struct ovl_caller owner = bob;
	pthread_t thread;

	open_as_user();
	ck_assert_int_eq(make_file("", "file"), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, change_modes, NULL), 0);
	for (uint32_t i = 0; i < 300; i++) {
		owner.uid = i;
		chown_to("file", &owner);
	}
	pthread_join(thread, NULL);
	shows("file", &owner, S_IFREG | 299);
}
END_TEST

/* ---- other types ---------------------------------------------------------- */

static int make_node(const char *name, mode_t type, dev_t rdev)
{
	struct ovl_node *dir = get(""), *node = NULL;
	int err = ovl_mknod(fs, &root, dir, name, type, rdev, &nothing, &node,
	                    NULL);

	ovl_node_unref(dir);
	ovl_node_unref(node);
	return err;
}

static int make_symlink(const char *name)
{
	struct ovl_node *dir = get(""), *node = NULL;
	int err = ovl_symlink(fs, &alice, dir, name, "target", &nothing, &node,
	                      NULL);

	ovl_node_unref(dir);
	ovl_node_unref(node);
	return err;
}

static bool is_symlink_to_target(const char *path)
{
	struct ovl_node *node = get(path);
	char target[16];
	ssize_t n = ovl_readlink(fs, &root, node, target, sizeof(target));

	ovl_node_unref(node);
	return n == 6 && !memcmp(target, "target", 6);
}

START_TEST(devices_sockets_and_fifos_are_placeholders)
{
	static const mode_t types[] = { S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK };
	static const char *const names[] = { "chr", "blk", "fifo", "sock" };
	dev_t rdev = makedev(511, 70000);
	struct ovl_attr attr;
	struct ovl_id ids[4];
	char path[16];

	open_as_user();
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(
			make_node(names[i], types[i], i < 2 ? rdev : 0), 0);
		chown_to(names[i], &alice);
		chmod_to(names[i], 0620);
		ids[i] = id_of(names[i]);
		snprintf(path, sizeof(path), "up/%s", names[i]);
		ck_assert_uint_eq(mode_on_disk(path), S_IFREG | 0600);
	}
	stage_reopen();
	for (unsigned i = 0; i < 4; i++) {
		shows(names[i], &alice, types[i] | 0620);
		attr = attr_of(names[i]);
		ck_assert_uint_eq(attr.rdev_major, i < 2 ? 511 : 0);
		ck_assert_uint_eq(attr.rdev_minor, i < 2 ? 70000 : 0);
		ck_assert(same_id(ids[i], id_of(names[i])));
		/* It is what it shows, in what can be done with it. */
		ck_assert_int_eq(rename_name("", names[i], "", "other"), 0);
		ck_assert_int_eq(link_name("other", "", names[i]), 0);
		ck_assert_int_eq(remove_name("", "other"), 0);
		ck_assert_int_eq(remove_name("", names[i]), 0);
	}
	ck_assert_int_eq(count_names("up"), 0);
}
END_TEST

START_TEST(a_placeholder_is_no_file_to_a_client)
{
	struct ovl_setattr cut = { .has_size = true };
	struct ovl_node *node;
	char byte;
	bool eof;

	open_as_user();
	ck_assert_int_eq(make_node("fifo", S_IFIFO, 0), 0);
	node = get("fifo");
	ck_assert_int_eq(ovl_read(fs, &root, node, &byte, 1, 0, &eof), -EINVAL);
	ck_assert_int_eq(ovl_write(fs, &root, node, "", 1, 0, OVL_UNSTABLE,
	                           NULL),
	                 -EINVAL);
	ck_assert_int_eq(set(&root, "fifo", &cut), -EINVAL);
	ovl_node_unref(node);
}
END_TEST

START_TEST(a_symlink_keeps_its_owner)
{
	open_as_user();
	ck_assert_int_eq(make_symlink("link"), -EACCES); /* alice's it is not */
	chmod_to("", 0777);
	ck_assert_int_eq(make_symlink("link"), 0);
	ck_assert_int_eq(make_symlink("mine"), 0);
	chown_to("link", &bob);
	for (unsigned i = 0; i < 2; i++) {
		shows("link", &bob, S_IFLNK | 0777);
		shows("mine", &alice, S_IFLNK | 0777);
		ck_assert(is_symlink_to_target("link"));
		ck_assert(S_ISLNK(stat_of("up/link").st_mode));
		stage_reopen();
	}
}
END_TEST

START_TEST(a_symlinks_standin_goes_with_its_last_name)
{
	open_as_user();
	chmod_to("", 0777);
	ck_assert_int_eq(make_symlink("link"), 0);
	ck_assert_int_eq(make_symlink("link"), -EEXIST);
	ck_assert_int_eq(count_names("work/veneer/standins"), 1);
	ck_assert_int_eq(link_name("link", "", "other"), 0);
	ck_assert_int_eq(remove_name("", "link"), 0);
	shows("other", &alice, S_IFLNK | 0777);
	ck_assert_int_eq(count_names("work/veneer/standins"), 1);
	ck_assert_int_eq(remove_name("", "other"), 0);
	ck_assert_int_eq(count_names("work/veneer/standins"), 0);
	/* A rename over it ends it as well. */
	ck_assert_int_eq(make_symlink("link"), 0);
	ck_assert_int_eq(make_file("", "file"), 0);
	ck_assert_int_eq(rename_name("", "file", "", "link"), 0);
	ck_assert_int_eq(count_names("work/veneer/standins"), 0);
}
END_TEST

START_TEST(a_new_symlink_has_nothing_of_an_old_one)
{
	struct ovl_caller host;

	open_as_user();
	chmod_to("", 0777);
	ck_assert_int_eq(make_symlink("link"), 0);
	stage_close();
	/* By the host's own hand; the inode number may be the same again. */
	ck_assert_int_eq(unlinkat(tree, "up/link", 0), 0);
	ck_assert_int_eq(symlinkat("target", tree, "up/link"), 0);
	stage_open();
	host.uid = geteuid();
	host.gid = getegid();
	shows("link", &host, S_IFLNK | 0777);
	/* And it takes what is set now. */
	chown_to("link", &bob);
	shows("link", &bob, S_IFLNK | 0777);
}
END_TEST

/* ---- what the host has ---------------------------------------------------- */

START_TEST(a_lower_file_of_another_is_copied_up)
{
	static const char *const names[] = { "file", "dir", "link", "fifo",
		                             "disk" };
	struct ovl_attr before[5], after;
	struct ovl_id ids[5];

	if (geteuid() != 0)
		tree_skip("needs root first");
	tree_file("low/file", "text");
	tree_mkdir("low/dir");
	ck_assert_int_eq(symlinkat("target", tree, "low/link"), 0);
	ck_assert_int_eq(mkfifoat(tree, "low/fifo", 0), 0);
	ck_assert_int_eq(mknodat(tree, "low/disk", S_IFBLK, makedev(7, 9)), 0);
	for (unsigned i = 0; i < 5; i++) {
		char path[16];

		snprintf(path, sizeof(path), "low/%s", names[i]);
		ck_assert_int_eq(fchownat(tree, path, 1000 + i, 2000 + i,
		                          AT_SYMLINK_NOFOLLOW),
		                 0);
		if (i != 2)
			ck_assert_int_eq(fchmodat(tree, path, 04755, 0), 0);
	}
	open_as_user();
	for (unsigned i = 0; i < 5; i++) {
		struct ovl_setattr times = { .set_mtime = OVL_TIME_GIVEN,
			                     .mtime = { 1234, 5678 } };

		before[i] = attr_of(names[i]);
		ids[i] = id_of(names[i]);
		ck_assert_int_eq(set(&root, names[i], &times), 0);
	}
	ck_assert_int_eq(count_names("up"), 5);
	for (unsigned i = 0; i < 5; i++) {
		if (i == 0)
			stage_reopen();
		after = attr_of(names[i]);
		ck_assert_uint_eq(after.uid, 1000 + i);
		ck_assert_uint_eq(after.gid, 2000 + i);
		ck_assert_uint_eq(after.mode, before[i].mode);
		ck_assert_uint_eq(after.rdev_major, i == 4 ? 7 : 0);
		ck_assert_uint_eq(after.rdev_minor, i == 4 ? 9 : 0);
		ck_assert_int_eq(after.mtime.tv_nsec, 5678);
		ck_assert(same_id(ids[i], id_of(names[i])));
	}
	ck_assert(has_text("file", "text"));
	ck_assert(is_symlink_to_target("link"));
}
END_TEST

START_TEST(what_the_server_may_not_read_is_refused_and_the_rest_served)
{
	struct ovl_node *node;
	char byte;
	bool eof;

	tree_file("low/secret", "text");
	tree_file("low/open", "text");
	tree_mkdir("low/closed");
	tree_file("low/closed/file", "");
	ck_assert_int_eq(fchmodat(tree, "low/secret", 0, 0), 0);
	ck_assert_int_eq(fchmodat(tree, "low/closed", 0, 0), 0);
	stage.cache = OVL_CACHE_NEVER;
	open_as_user();
	ck_assert_uint_eq(attr_of("secret").mode, S_IFREG);
	ck_assert_uint_eq(attr_of("closed").mode, S_IFDIR);
	node = get("secret");
	ck_assert_int_eq(ovl_read(fs, &root, node, &byte, 1, 0, &eof), -EACCES);
	ck_assert_int_eq(ovl_write(fs, &root, node, "", 1, 0, OVL_UNSTABLE,
	                           NULL),
	                 -EACCES);
	ovl_node_unref(node);
	ck_assert_int_eq(seen("closed/file"), -EACCES);
	ck_assert(has_text("open", "text"));
	ck_assert_int_eq(count_names("up"), 0);
	ck_assert_int_eq(count_names("work/veneer/tmp"), 0);
	/* For those who take the tree away. */
	if (geteuid() != 0 && !tree_is_user)
		ck_assert_int_eq(fchmodat(tree, "low/closed", 0700, 0), 0);
}
END_TEST

START_TEST(what_the_host_puts_there_shows_as_his)
{
	struct ovl_caller host;

	become_user();
	host.uid = geteuid();
	host.gid = getegid();
	tree_file("up/file", "text");
	ck_assert_int_eq(fchmodat(tree, "up/file", 0640, 0), 0);
	ck_assert_int_eq(symlinkat("target", tree, "up/link"), 0);
	ck_assert_int_eq(mkfifoat(tree, "up/fifo", 0600), 0);
	stage_open();
	shows("file", &host, S_IFREG | 0640);
	shows("link", &host, S_IFLNK | 0777);
	shows("fifo", &host, S_IFIFO | 0600);
	/* From then on it shows what was set, a true FIFO too. */
	chown_to("fifo", &alice);
	chmod_to("fifo", 0644);
	chmod_to("file", 04640);
	stage_reopen();
	shows("fifo", &alice, S_IFIFO | 0644);
	shows("file", &host, S_IFREG | 04640);
}
END_TEST

START_TEST(the_hosts_own_may_show_as_somebody_elses)
{
	struct ovl_caller host;

	tree_file("high/lower", "");
	if (geteuid() == 0)
		ck_assert_int_eq(fchownat(tree, "high/lower", 65534, 65534, 0),
		                 0);
	become_user();
	host.uid = geteuid();
	host.gid = getegid();
	tree_file("up/file", "");
	stage.has_host_uid = stage.has_host_gid = true;
	stage.host_uid = alice.uid;
	stage.host_gid = alice.gid;
	stage_open();
	shows("file", &alice, S_IFREG | 0644);
	/* What clients have set is theirs, and a lower layer's is its own. */
	ck_assert_int_eq(make_file("", "new"), 0);
	shows("new", &root, S_IFREG | 0666);
	chown_to("new", &host);
	shows("new", &host, S_IFREG | 0666);
	shows("lower", &host, S_IFREG | 0644);
	stage.has_host_gid = false;
	stage_reopen();
	ck_assert_uint_eq(attr_of("file").uid, alice.uid);
	ck_assert_uint_eq(attr_of("file").gid, host.gid);
}
END_TEST

START_TEST(what_the_host_has_closed_a_client_opens)
{
	become_user();
	tree_file("up/file", "text");
	ck_assert_int_eq(fchmodat(tree, "up/file", 0, 0), 0);
	stage_open();
	ck_assert_uint_eq(attr_of("file").mode, S_IFREG);
	chmod_to("file", 0444);
	ck_assert_uint_eq(attr_of("file").mode, S_IFREG | 0444);
	ck_assert(has_text("file", "text"));
}
END_TEST

/* ---- other servers -------------------------------------------------------- */

/* In the place of what was there; false: such a thing cannot be made here. */
static bool put_closed(const char *path, mode_t type)
{
	ck_assert_int_eq(unlinkat(tree, path, 0), 0);
	return !mknodat(tree, path, type, 0);
}

/* A whiteout too is closed to the server, which only root does not notice. */
START_TEST(what_is_closed_where_a_file_was_is_not_the_file)
{
	const mode_t type = _i ? S_IFREG : S_IFCHR;
	struct ovl_caller hasty = { .may_wait = false };
	struct ovl_node *linked, *single;
	char data[16];
	bool eof;

	become_user();
	stage.cache = OVL_CACHE_ALWAYS;
	stage_open();
	ck_assert_int_eq(make_file("", "a"), 0);
	ck_assert_int_eq(make_file("", "single"), 0);
	ck_assert_int_eq(link_name("a", "", "b"), 0);
	stage_reopen(); /* nobody has them open */
	linked = get("a");
	single = get("single");
	ck_assert_int_eq(seen("b"), 0);
	if (put_closed("up/a", type) && put_closed("up/single", type)) {
		ck_assert_int_eq(ovl_read(fs, &hasty, linked, data, 16, 0,
		                          &eof),
		                 -EAGAIN);
		ck_assert_int_eq(ovl_read(fs, &root, linked, data, 16, 0, &eof),
		                 0);
		ck_assert_int_eq(ovl_read(fs, &root, single, data, 16, 0, &eof),
		                 -ESTALE);
	} else {
		ck_assert_int_eq(errno, EPERM);
		printf("%s: skipped: no whiteouts here\n", __func__);
	}
	ovl_node_unref(linked);
	ovl_node_unref(single);
}
END_TEST

START_TEST(a_copy_of_the_file_has_its_override)
{
	char value[64];
	ssize_t len;

	open_as_user();
	ck_assert_int_eq(make_file("", "file"), 0);
	chown_to("file", &alice);
	chmod_to("file", 04711);
	len = getxattr(tree_at("up/file"), FULL_NAME, value, sizeof(value));
	ck_assert_int_gt(len, 0);
	tree_file("up/copy", "");
	forge("up/copy", value, (size_t)len);
	stage_reopen();
	shows("copy", &alice, S_IFREG | 04711);
}
END_TEST

START_TEST(a_lower_layers_override_shows_and_is_copied_up)
{
	struct value value = value_of(alice.uid, S_IFREG | 04755);
	struct value device = value_of(alice.uid, S_IFCHR | 0666);

	device.major = htole32(1);
	device.minor = htole32(3);
	tree_file("low/file", "text");
	forge("low/file", &value, sizeof(value));
	tree_file("low/null", "");
	forge("low/null", &device, sizeof(device));
	open_as_user();
	for (unsigned i = 0; i < 2; i++) {
		shows("file", &alice, S_IFREG | 04755);
		shows("null", &alice, S_IFCHR | 0666);
		ck_assert_uint_eq(attr_of("null").rdev_major, 1);
		ck_assert_uint_eq(attr_of("null").rdev_minor, 3);
		ck_assert_int_eq(link_name("file", "", "link"), 0);
		ck_assert_int_eq(link_name("null", "", "zero"), 0);
		ck_assert_int_eq(remove_name("", "link"), 0);
		ck_assert_int_eq(remove_name("", "zero"), 0);
	}
	ck_assert(tree_has("up/file") && tree_has("up/null"));
}
END_TEST

START_TEST(root_reads_it_with_userxattr_and_only_then)
{
	struct ovl_caller user = { .uid = 65534, .gid = 65534 };

	if (geteuid() != 0)
		tree_skip("needs root");
	open_as_user();
	ck_assert_int_eq(make_file("", "file"), 0);
	chown_to("file", &alice);
	chmod_to("file", 06755);
	stage_close();
	ck_assert_int_eq(setresuid(0, 0, 0), 0);
	tree_is_user = false;
	stage_open();
	shows("file", &alice, S_IFREG | 06755);
	/* What root's server sets is in the override as well. */
	chown_to("file", &bob);
	chmod_to("file", 04755);
	ck_assert_uint_eq(stat_of("up/file").st_uid, 65534);
	stage_close();
	stage.userxattr = false;
	stage_open();
	shows("file", &user, S_IFREG | 0755);
	stage_close();
	stage.userxattr = true;
	stage_open();
	shows("file", &bob, S_IFREG | 04755);
}
END_TEST

START_TEST(without_userxattr_a_forged_one_has_no_effect)
{
	struct value value = value_of(0, S_IFREG | 06777);

	if (geteuid() != 0)
		tree_skip("without root it is always with userxattr");
	stage.userxattr = false;
	tree_file("low/lower", "");
	tree_file("up/upper", "");
	ck_assert_int_eq(fchownat(tree, "low/lower", 31000, 31001, 0), 0);
	ck_assert_int_eq(fchownat(tree, "up/upper", 31000, 31001, 0), 0);
	forge("low/lower", &value, sizeof(value));
	forge("up/upper", &value, sizeof(value));
	stage_open();
	shows("lower", &alice, S_IFREG | 0644);
	shows("upper", &alice, S_IFREG | 0644);
	/* Nor does it go along at copy-up. */
	write_text("lower", "x");
	ck_assert_int_lt(getxattr(tree_at("up/lower"), FULL_NAME, NULL, 0), 0);
	shows("lower", &alice, S_IFREG | 0644);
}
END_TEST

START_TEST(one_that_makes_no_sense_is_none)
{
	struct value bad[8];
	struct ovl_caller host;

	for (unsigned i = 0; i < 8; i++)
		bad[i] = value_of(alice.uid, S_IFREG | 0777);
	bad[0].magic[7] = 2;
	bad[1].uid = UINT32_MAX;
	bad[2].gid = UINT32_MAX;
	bad[3].mode = htole32(S_IFDIR | 0777);
	bad[4].mode = htole32(S_IFLNK | 0777);
	bad[5].mode = htole32(S_IFCHR | 0777); /* 0:0, a whiteout */
	bad[6].mode = htole32(0777);
	bad[7].mode = htole32(S_IFREG | 0777 | 1 << 20);
	become_user();
	host.uid = geteuid();
	host.gid = getegid();
	for (unsigned i = 0; i < 10; i++) {
		char path[16], name[8];
		size_t size = sizeof(bad[0]);

		snprintf(name, sizeof(name), "%u", i);
		snprintf(path, sizeof(path), "up/%u", i);
		tree_file(path, "");
		if (i >= 8) /* too short, too long */
			size = i == 8 ? 4 : 64;
		forge(path, i < 8 ? (void *)&bad[i] : (char[64]){ "veneer" },
		      size);
	}
	tree_mkdir("up/dir");
	forge("up/dir", &bad[6], sizeof(bad[6]));
	stage_open();
	for (unsigned i = 0; i < 10; i++) {
		char name[8];

		snprintf(name, sizeof(name), "%u", i);
		shows(name, &host, S_IFREG | 0644);
	}
	shows("dir", &host, S_IFDIR | 0755);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("override");
	TCase *tcase = tcase_create("override");

	tcase_add_test(tcase, what_clients_set_is_kept);
	tcase_add_test(tcase, on_disk_it_is_the_servers);
	tcase_add_test(tcase, a_mode_closes_nothing_to_the_server);
	tcase_add_test(tcase, permissions_go_by_what_shows);
	tcase_add_test(tcase, a_write_takes_setuid_away);
	tcase_add_test(tcase, what_two_set_at_once_is_both_kept);
	tcase_add_test(tcase, devices_sockets_and_fifos_are_placeholders);
	tcase_add_test(tcase, a_placeholder_is_no_file_to_a_client);
	tcase_add_test(tcase, a_symlink_keeps_its_owner);
	tcase_add_test(tcase, a_symlinks_standin_goes_with_its_last_name);
	tcase_add_test(tcase, a_new_symlink_has_nothing_of_an_old_one);
	tcase_add_test(tcase, a_lower_file_of_another_is_copied_up);
	tcase_add_test(
		tcase,
		what_the_server_may_not_read_is_refused_and_the_rest_served);
	tcase_add_test(tcase, what_the_host_puts_there_shows_as_his);
	tcase_add_test(tcase, the_hosts_own_may_show_as_somebody_elses);
	tcase_add_test(tcase, what_the_host_has_closed_a_client_opens);
	tcase_add_loop_test(
		tcase, what_is_closed_where_a_file_was_is_not_the_file, 0, 2);
	tcase_add_test(tcase, a_copy_of_the_file_has_its_override);
	tcase_add_test(tcase, a_lower_layers_override_shows_and_is_copied_up);
	tcase_add_test(tcase, root_reads_it_with_userxattr_and_only_then);
	tcase_add_test(tcase, without_userxattr_a_forged_one_has_no_effect);
	tcase_add_test(tcase, one_that_makes_no_sense_is_none);
	return stage_run(suite, tcase);
}
