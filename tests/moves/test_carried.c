/*
 * Another machine: a copy of the filesystems, on other devices and at other paths,
 * is served with the same handles. It takes root, and filesystem images.
 */
#include "config.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/suite.h"
#include "tests/moves/layers.h"
#include "tests/moves/world.h"
#include "tests/unit/seed.h"
#include "tests/unit/tree.h"

#define MACHINES 3
#define STEPS 20
#define MAX_FILLERS 4
#define MAX_IMAGES 2

static struct daemon *veneerd;
static struct world world;

static const char *const types[] = { "ext4", "xfs" };
#define NTYPES (int)(sizeof(types) / sizeof(types[0]))

static void setup(void)
{
	tree_setup();
	veneerd = daemon_new();
}

static void teardown(void)
{
	daemon_free(veneerd);
	tree_teardown();
}

/* ---- machines ------------------------------------------------------------------ */

/* Filesystems that go from machine to machine, as image files. */
struct carried {
	const char *type;
	unsigned nimages;
	unsigned machine; /* by which they are mounted, from 0 */
	dev_t device;     /* of the first, at the machine before */
};

static void name_image(const struct carried *carried, unsigned machine,
                       unsigned image, char name[64])
{
	snprintf(name, 64, "%s-%u-%u.img", carried->type, machine, image);
}

/* Where an image is mounted: at each machine elsewhere. */
static void name_place(const struct carried *carried, unsigned image,
                       char place[64])
{
	static const char *const dirs[MACHINES] = { "a", "b/deeper", "c" };

	snprintf(place, 64, "%s/image%u", dirs[carried->machine], image);
}

static bool make_images(struct carried *carried)
{
	char name[64];

	for (unsigned i = 0; i < carried->nimages; i++) {
		name_image(carried, 0, i, name);
		if (!tree_make_image(carried->type, name))
			return false;
	}
	return true;
}

static void unmount_image(const struct carried *carried, unsigned image)
{
	char place[64];

	name_place(carried, image, place);
	tree_unmount(place);
}

static void unmount_images(const struct carried *carried)
{
	for (unsigned i = carried->nimages; i-- > 0;)
		unmount_image(carried, i);
}

static bool mount_image(const struct carried *carried, unsigned image,
                        dev_t *device)
{
	char name[64], place[64];
	struct stat st;

	name_image(carried, carried->machine, image, name);
	name_place(carried, image, place);
	ck_assert(tree_run_command("mkdir -p %s", place));
	if (!tree_mount_loop(name, place))
		return false;
	ck_assert_int_eq(stat(tree_at(place), &st), 0);
	*device = st.st_dev;
	return true;
}

/* Elsewhere, the first on another device than at the last machine. */
static bool mount_images(struct carried *carried)
{
	dev_t devices[MAX_IMAGES];

	for (unsigned i = 0; i < carried->nimages; i++) {
		if (!mount_image(carried, i, &devices[i])) {
			while (i-- > 0)
				unmount_image(carried, i);
			return false;
		}
	}
	if (devices[0] == carried->device) {
		unmount_images(carried);
		return false;
	}
	carried->device = devices[0];
	return true;
}

/* Take a device, so that the next image gets another. */
static bool mount_filler(const struct carried *carried, unsigned number)
{
	char image[64], place[64];

	snprintf(image, sizeof(image), "filler-%u-%u.img", carried->machine,
	         number);
	snprintf(place, sizeof(place), "filler-%u-%u", carried->machine,
	         number);
	tree_mkdir(place);
	return tree_run_command("truncate -s 8M %s && mkfs.ext4 %s", image,
	                        image) &&
	       tree_mount_loop(image, place);
}

/* To the next machine go copies. */
static bool carry(struct carried *carried)
{
	char from[64], to[64];
	unsigned fillers = 0;

	for (unsigned i = 0; i < carried->nimages; i++) {
		name_image(carried, carried->machine, i, from);
		name_image(carried, carried->machine + 1, i, to);
		ck_assert(
			tree_run_command("cp %s %s && rm %s", from, to, from));
	}
	carried->machine++;
	while (!mount_images(carried))
		if (fillers == MAX_FILLERS || !mount_filler(carried, fillers++))
			return false;
	return true;
}

/* ---- serving --------------------------------------------------------------------- */

/* What is carried. */
struct luggage {
	unsigned nimages; /* 2: the lowest layer is the root of the first, and
	                   * the others are in the second */
	bool state;       /* what is kept is apart */
	bool read_only;   /* there is no upper layer */
	bool userxattr;
};

static void print_layers(const struct carried *carried,
                         const struct luggage *luggage, char *options,
                         size_t size)
{
	char first[64], last[64];
	size_t n;

	name_place(carried, 0, first);
	name_place(carried, luggage->nimages - 1, last);
	n = (size_t)snprintf(options, size,
	                     "lowerdir=%1$s/%3$s/high:%1$s/%2$s%4$s", tree_path,
	                     first, last, luggage->nimages == 1 ? "/low" : "");
	if (!luggage->read_only)
		n += (size_t)snprintf(options + n, size - n,
		                      ",upperdir=%1$s/%2$s/upper,"
		                      "workdir=%1$s/%2$s/work",
		                      tree_path, last);
	if (luggage->state)
		snprintf(options + n, size - n, ",statedir=%s/state%u",
		         tree_path, carried->machine);
}

static void serve(const struct carried *carried, const struct luggage *luggage)
{
	char layers[2048];
	const char *const arguments[] = {
		"-o",
		layers,
		"-o",
		luggage->userxattr ? "insecure,no_root_squash,async,userxattr"
				   : "insecure,no_root_squash,async",
		NULL,
	};

	print_layers(carried, luggage, layers, sizeof(layers));
	daemon_serve(veneerd, arguments);
	world_connect(&world, veneerd);
}

static void make_layers(const struct carried *carried,
                        const struct luggage *luggage)
{
	char first[64], last[64], low[PATH_MAX], high[PATH_MAX];
	char upper[PATH_MAX];

	name_place(carried, 0, first);
	name_place(carried, luggage->nimages - 1, last);
	ck_assert(tree_run_command("cd %s && mkdir high low upper work", last));
	snprintf(low, sizeof(low), "%s/%s%s", tree_path, first,
	         luggage->nimages == 1 ? "/low" : "");
	snprintf(high, sizeof(high), "%s/%s/high", tree_path, last);
	snprintf(upper, sizeof(upper), "%s/%s/upper", tree_path, last);
	layers_make(high, low, luggage->read_only ? NULL : upper,
	            luggage->userxattr, &world.model);
}

/* All is as it was at the last machine, and goes on from there. */
static void use(const struct luggage *luggage)
{
	world_audit(&world);
	for (unsigned i = 0; i < STEPS && !luggage->read_only; i++) {
		world_step(&world);
		world_glance(&world);
	}
	world_audit(&world);
	world_leave(&world);
	if (test_random(&world.random) % 2)
		ck_assert_int_eq(daemon_end(veneerd, SIGTERM), 0);
	else
		daemon_end(veneerd, SIGKILL);
}

static void go_from_machine_to_machine(const char *type,
                                       const struct luggage *luggage)
{
	struct carried carried = { .type = type, .nimages = luggage->nimages };

	if (!tree_may_mount() || !make_images(&carried) ||
	    !mount_images(&carried))
		tree_skip("no filesystem of this type can be mounted");
	world.random = test_seed();
	make_layers(&carried, luggage);
	for (;;) {
		serve(&carried, luggage);
		use(luggage);
		unmount_images(&carried);
		if (carried.machine + 1 == MACHINES)
			return;
		if (luggage->state)
			ck_assert(tree_run_command(
				"cp -a state%1$u state%2$u && rm -r state%1$u",
				carried.machine, carried.machine + 1));
		if (!carry(&carried))
			tree_skip("no other loop device is to be had");
	}
}

/* ---- the tests -------------------------------------------------------------------- */

START_TEST(handles_are_the_same_on_another_machine)
{
	go_from_machine_to_machine(types[_i],
	                           &(struct luggage){ .nimages = 1 });
}
END_TEST

START_TEST(so_they_are_with_attributes_of_users)
{
	go_from_machine_to_machine(types[_i],
	                           &(struct luggage){ .nimages = 1,
	                                              .userxattr = true });
}
END_TEST

START_TEST(lower_layers_are_carried_apart_from_the_upper)
{
	go_from_machine_to_machine(
		types[_i], &(struct luggage){ .nimages = 2, .state = true });
}
END_TEST

START_TEST(a_read_only_export_is_carried_with_its_statedir)
{
	go_from_machine_to_machine(types[_i],
	                           &(struct luggage){ .nimages = 1,
	                                              .state = true,
	                                              .read_only = true });
}
END_TEST

/* A new image of the same files: its root has the first one's inode number. */
START_TEST(another_image_in_place_of_a_lower_one_is_refused)
{
	struct carried carried = { .type = types[_i], .nimages = 2 };
	const struct luggage luggage = { .nimages = 2, .state = true };
	char layers[2048], text[4096], name[64];
	const char *const arguments[] = { "-p",          "0",  "-b",
		                          "127.0.0.1",   "-o", layers,
		                          DAEMON_EXPORT, NULL };

	if (!tree_may_mount() || !make_images(&carried) ||
	    !mount_images(&carried))
		tree_skip("no filesystem of this type can be mounted");
	make_layers(&carried, &luggage);
	serve(&carried, &luggage);
	world_leave(&world);
	ck_assert_int_eq(daemon_end(veneerd, SIGTERM), 0);
	ck_assert(tree_run_command("cp -a a/image0 files"));
	unmount_images(&carried);
	usleep(1100000); /* some filesystems tell seconds only */
	name_image(&carried, 0, 0, name);
	ck_assert(tree_run_command("rm %s", name));
	ck_assert(tree_make_image(types[_i], name));
	carried.device = 0; /* any will do */
	ck_assert(mount_images(&carried));
	ck_assert(tree_run_command("rm -rf files/lost+found && "
	                           "cp -a files/. a/image0"));
	print_layers(&carried, &luggage, layers, sizeof(layers));
	ck_assert_int_eq(daemon_run(arguments, text, sizeof(text)), 1);
	ck_assert_msg(strstr(text, "not the lower layer") != NULL, "%s", text);
}
END_TEST

static Suite *suite(void)
{
	const TTest *const tests[] = {
		handles_are_the_same_on_another_machine,
		so_they_are_with_attributes_of_users,
		lower_layers_are_carried_apart_from_the_upper,
		a_read_only_export_is_carried_with_its_statedir,
		another_image_in_place_of_a_lower_one_is_refused,
	};
	Suite *suite = suite_create("carried");
	TCase *tcase = tcase_create("carried");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_loop_test(tcase, tests[i], 0, NTYPES);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	if (getenv("VENEERD") == NULL) {
		puts("VENEERD is not set");
		return 77;
	}
	return suite_run(suite());
}
