/*
 * veneerd is killed at any moment, while several clients change what they have
 * of its export, and started again over the same layers, again and again: after
 * each start all is there that it had acknowledged, and nothing half-done.
 *
 * In the environment:
 *   TEST_SEED=NUMBER    of the first world; the next has the next
 *   KILL_WORLDS=N       so many worlds: layers, and a few kills
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/kill_layers.h"
#include "tests/crash/kill_load.h"
#include "tests/crash/look.h"
#include "tests/lib/daemon.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"
#include "tests/unit/seed.h"

#define CLIENTS 4
#define KILLS 10 /* in one world */
#define SAMPLE_WORLDS 2
#define ALL_WORLDS 30
#define LONGEST_MS 400
#define USER 12345
#define RUBBISH 100 /* files that a start has to clean away */

static uint64_t seed;
static char scratch[256]; /* an ordinary user's */

struct world {
	uint64_t random;
	struct daemon *daemon;
	char layers[2048], options[128];
	char low[PATH_MAX], bottom[PATH_MAX];
	uint64_t lower_sum;
	struct kill_load loads[CLIENTS];
	char own[CLIENTS][8];
};

static unsigned below(struct world *world, unsigned n)
{
	return (unsigned)(test_random(&world->random) % n);
}

static void sleep_us(unsigned us)
{
	nanosleep(&(struct timespec){ .tv_sec = us / 1000000,
	                              .tv_nsec = us % 1000000 * 1000 },
	          NULL);
}

/* ---- the server ------------------------------------------------------------ */

static struct client *connect_to(const struct daemon *daemon)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_port = htons(daemon->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(
		connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return client_new(fd);
}

/* Those before its end must not have crashed it. */
static void kill_it(struct world *world)
{
	int status = daemon_end(world->daemon, SIGKILL);
	char path[PATH_MAX], line[256];
	FILE *log;

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return;
	log = fopen(daemon_path(world->daemon, "log", path), "re");
	while (log && fgets(line, sizeof(line), log))
		fputs(line, stdout);
	ck_abort_msg("veneerd has ended by itself: %x", (unsigned)status);
}

/* A start has something to do, and is killed before, while or after it does. */
static void kill_a_start(struct world *world, const char *const arguments[])
{
	char name[64], path[PATH_MAX];
	int fd;

	for (unsigned i = 0; i < RUBBISH; i++) {
		snprintf(name, sizeof(name), "work/veneer/tmp/r%u", i);
		daemon_path(world->daemon, name, path);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd >= 0) /* the first start has yet to make it */
			close(fd);
	}
	daemon_begin(world->daemon, arguments);
	sleep_us(below(world, 40000));
	kill_it(world);
}

static unsigned count_rubbish(struct world *world)
{
	char path[PATH_MAX];
	DIR *dir = opendir(daemon_path(world->daemon, "work/veneer/tmp", path));
	struct dirent *entry;
	unsigned n = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void start(struct world *world)
{
	const char *const arguments[] = { "-o", world->layers, "-o",
		                          world->options, NULL };

	/* Clients come to the same port, or are told of another. */
	if (below(world, 4) == 0)
		world->daemon->port = 0;
	while (below(world, 3) == 0)
		kill_a_start(world, arguments);
	daemon_serve(world->daemon, arguments);
	ck_assert_uint_eq(count_rubbish(world), 0);
}

/* ---- a world --------------------------------------------------------------- */

static const char *choose(struct world *world, const char *const words[],
                          unsigned n)
{
	return words[below(world, n)];
}

static void choose_options(struct world *world)
{
	static const char *const syncs[] = { "sync", "async", "volatile" };
	static const char *const caches[] = { "auto", "always", "never" };
	static const char *const switches[] = { "on", "off" };

	snprintf(world->options, sizeof(world->options),
	         "insecure,no_root_squash,%s,cache=%s,metacopy=%s",
	         choose(world, syncs, 3), choose(world, caches, 3),
	         choose(world, switches, 2));
}

static uint64_t sum_lowers(const struct world *world)
{
	return kill_layers_sum(world->low) + kill_layers_sum(world->bottom);
}

static void make_layers(struct world *world)
{
	struct daemon *daemon = world->daemon;
	int top, bottom;

	daemon_mkdir(daemon, "bottom");
	top = open(daemon_path(daemon, "lower", world->low),
	           O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bottom = open(daemon_path(daemon, "bottom", world->bottom),
	              O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert(top >= 0 && bottom >= 0);
	kill_layers_make(top, bottom, CLIENTS);
	close(top);
	close(bottom);
	world->lower_sum = sum_lowers(world);
	snprintf(world->layers, sizeof(world->layers),
	         "lowerdir=%1$s/lower:%1$s/bottom,upperdir=%1$s/upper,"
	         "workdir=%1$s/work",
	         daemon->top);
}

static void prepare_loads(struct world *world)
{
	struct client *client = connect_to(world->daemon);

	for (unsigned i = 0; i < CLIENTS; i++) {
		struct kill_load *load = &world->loads[i];

		snprintf(world->own[i], sizeof(world->own[i]), "own%c",
		         'a' + i);
		load->roots[MODEL_OWN] = world->own[i];
		load->roots[MODEL_SHARED] = "shared";
		load->letter = (char)('a' + i);
		load->random = test_random(&world->random);
		load->numbers = i << 28;
		kill_load_begin(load, client);
	}
	client_free(client);
}

/* The names that all quarrel for: each file has as many links as names. */
static void judge_quarrel(struct client *client)
{
	static const char *const roots[] = { "shared", "shared" };
	static struct model seen;
	unsigned names[MODEL_OBJECTS] = { 0 };

	look_at_all(client, roots, 's', &seen);
	for (int i = 0; i < MODEL_NAMES; i++)
		if (seen.names[i].object >= 0 &&
		    seen.names[i].dir == MODEL_SHARED)
			names[seen.names[i].object]++;
	for (int i = MODEL_ROOTS; i < MODEL_OBJECTS; i++)
		if (names[i])
			ck_assert_uint_eq(names[i], seen.objects[i].nlink);
}

static void live_and_die(struct world *world)
{
	pthread_t threads[CLIENTS];
	struct client *client;

	for (unsigned i = 0; i < CLIENTS; i++) {
		world->loads[i].client = connect_to(world->daemon);
		world->loads[i].client->may_end = true;
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
		                                kill_load_run,
		                                &world->loads[i]),
		                 0);
	}
	/* As often within milliseconds as after a hundred. */
	sleep_us(below(world, LONGEST_MS * 1000) >> below(world, 7));
	kill_it(world);
	for (unsigned i = 0; i < CLIENTS; i++) {
		pthread_join(threads[i], NULL);
		client_free(world->loads[i].client);
	}
	start(world);
	client = connect_to(world->daemon);
	for (unsigned i = 0; i < CLIENTS; i++)
		kill_load_judge(&world->loads[i], client);
	judge_quarrel(client);
	client_free(client);
}

static void run_world(uint64_t number)
{
	struct world *world = calloc(1, sizeof(*world));
	unsigned changes = 0;

	ck_assert_ptr_nonnull(world);
	world->random = number;
	world->daemon = daemon_new();
	choose_options(world);
	printf("world %llu: %s\n", (unsigned long long)number, world->options);
	make_layers(world);
	start(world);
	prepare_loads(world);
	for (unsigned i = 0; i < KILLS; i++)
		live_and_die(world);
	ck_assert_uint_eq(sum_lowers(world), world->lower_sum);
	for (unsigned i = 0; i < CLIENTS; i++)
		changes += world->loads[i].changes;
	printf("%u changes\n", changes);
	fflush(stdout);
	daemon_free(world->daemon);
	free(world);
}

static void run_worlds(void)
{
	int worlds = test_rounds("KILL_WORLDS", SAMPLE_WORLDS, ALL_WORLDS);

	for (int i = 0; i < worlds; i++)
		run_world(seed + (uint64_t)i);
}

START_TEST(what_was_acknowledged_survives_any_kill)
{
	if (geteuid() != 0) {
		puts("kill: skipped: it takes root");
		return;
	}
	run_worlds();
}
END_TEST

/* Becomes one, if it is root. */
static bool become_user(void)
{
	if (geteuid() != 0)
		return true;
	ck_assert_int_eq(chown(scratch, USER, USER), 0);
	ck_assert_int_eq(setresgid(USER, USER, USER), 0);
	ck_assert_int_eq(setresuid(USER, USER, USER), 0);
	return access(getenv("VENEERD"), X_OK) == 0 &&
	       access(scratch, W_OK | X_OK) == 0;
}

START_TEST(what_was_acknowledged_survives_any_kill_of_a_user_s_server)
{
	if (!become_user()) {
		puts("kill: skipped: an ordinary user can't get here");
		return;
	}
	setenv("TMPDIR", scratch, 1);
	run_worlds();
}
END_TEST

/* ---- the suite ------------------------------------------------------------- */

static void setup(void)
{
	scratch_make(scratch, sizeof(scratch), "kill");
}

static void teardown(void)
{
	rmdir(scratch);
}

static TCase *case_of(const char *name, const TTest *test)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, 3600);
	tcase_add_unchecked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("kill");

	seed = test_seed();
	suite_add_tcase(suite,
	                case_of("root",
	                        what_was_acknowledged_survives_any_kill));
	suite_add_tcase(
		suite,
		case_of("user",
	                what_was_acknowledged_survives_any_kill_of_a_user_s_server));
	return suite_run(suite);
}
