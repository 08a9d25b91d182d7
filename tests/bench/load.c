/*
 * The load generator: makes calls of one kind, and prints what each cost: a line
 * `CPU WALL MEDIAN P99 COLD-CPU COLD-WALL`, microseconds; the last two are of what
 * was done before, for the first time. -H: then a histogram of how long they took.
 * What it costs itself shows with tests/bench/responder as the server.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/operation.h"

static void usage(void)
{
	fprintf(stderr,
	        "usage: load [-a ADDRESS] [-c CONNECTIONS] [-i IDLE-ONES]\n"
	        "            [-d DEPTH]\n"
	        "            [-n CALLS] [-t TAG] [-p PID] [-m MOUNT-PORT] [-H]\n"
	        "            PORT EXPORT OPERATION\n"
	        "operations:");
	for (const struct operation *op = operations; op->name; op++)
		fprintf(stderr, " %s", op->name);
	fprintf(stderr, "\n");
	exit(2);
}

static unsigned number(const char *text, unsigned max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || end == text || value > max)
		usage();
	return (unsigned)value;
}

static const struct operation *find(const char *name)
{
	const struct operation *op = operations;

	while (op->name && strcmp(op->name, name))
		op++;
	if (!op->name)
		usage();
	return op;
}

static void print_histogram(const struct figures *figures)
{
	for (unsigned i = 0; i < LATENCIES; i++)
		if (figures->latencies[i])
			printf("# < %8lu us: %zu\n", 1ul << i,
			       figures->latencies[i]);
}

static void measure(struct bench *bench, const struct operation *op, unsigned n,
                    bool histogram)
{
	const pid_t pid = bench->target.pid;
	struct calls calls = { 0 };
	struct figures figures;
	double cpu, wall, things, per;

	bench_mount(bench);
	cpu = drive_cpu(pid);
	wall = drive_clock();
	things = (double)op->prepare(bench, &calls, n);
	cpu = drive_cpu(pid) - cpu;
	wall = drive_clock() - wall;
	figures = drive(&bench->target, &calls, op->has_status);
	per = (double)calls.n / things;
	things /= n;
	printf("%.3f %.3f %.1f %.1f %.3f %.3f\n", figures.cpu * per,
	       figures.wall * per, figures.median, figures.p99, cpu / things,
	       wall / things);
	if (histogram)
		print_histogram(&figures);
	calls_release(&calls);
}

int main(int argc, char **argv)
{
	struct bench bench = { .target = { .connections = 1, .depth = 32 } };
	const struct operation *op;
	bool histogram = false;
	unsigned n = 0;
	int option;

	while ((option = getopt(argc, argv, "a:c:d:i:n:t:p:m:H")) != -1) {
		switch (option) {
		case 'a':
			drive_call_from(optarg);
			break;
		case 'c':
			bench.target.connections = number(optarg, 10000);
			break;
		case 'd':
			bench.target.depth = number(optarg, 10000);
			break;
		case 'i':
			bench.target.idle = number(optarg, 10000);
			break;
		case 'H':
			histogram = true;
			break;
		case 'n':
			n = number(optarg, 10000000);
			break;
		case 't':
			bench.tag = number(optarg, 1000000);
			break;
		case 'p':
			bench.target.pid = (pid_t)number(optarg, 1 << 30);
			break;
		case 'm':
			bench.target.mount_port =
				(uint16_t)number(optarg, UINT16_MAX);
			break;
		default:
			usage();
		}
	}
	if (argc - optind != 3 || !bench.target.connections ||
	    !bench.target.depth)
		usage();
	bench.target.nfs_port = (uint16_t)number(argv[optind], UINT16_MAX);
	if (!bench.target.mount_port)
		bench.target.mount_port = bench.target.nfs_port;
	bench.export_path = argv[optind + 1];
	op = find(argv[optind + 2]);
	measure(&bench, op, n ? n : op->n, histogram);
	return 0;
}
