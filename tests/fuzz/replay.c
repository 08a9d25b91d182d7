/*
 * A fuzz target without a fuzzer: each input of its corpus, once. That is
 * tests/fuzz/corpus/NAME for the program fuzz_NAME, or what is named after it:
 * files, or directories of them.
 */
#include "config.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

#define MAX_BYTES (4u << 20)

/* Targets that need none have none. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

/* The size of the allocation is that of the input: ASan sees its end. */
static void replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *data;

	FUZZ_MUST(file != NULL && fstat(fileno(file), &st) == 0);
	FUZZ_MUST(st.st_size <= MAX_BYTES);
	data = malloc((size_t)st.st_size + (st.st_size == 0));
	FUZZ_MUST(data != NULL);
	FUZZ_MUST(fread(data, 1, (size_t)st.st_size, file) ==
	          (size_t)st.st_size);
	fclose(file);
	/* The last line of a log says which one it was. */
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
	free(data);
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* How many inputs there were; a path that is none ends it. */
static unsigned replay(const char *path)
{
	struct dirent **names;
	char full[PATH_MAX];
	unsigned count = 0;
	int n;

	if (!is_dir(path)) {
		replay_file(path);
		return 1;
	}
	n = scandir(path, &names, NULL, alphasort);
	FUZZ_MUST(n >= 0);
	for (int i = 0; i < n; i++) {
		snprintf(full, sizeof(full), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.' && !is_dir(full)) {
			replay_file(full);
			count++;
		}
		free(names[i]);
	}
	free(names);
	return count;
}

/* Of the program fuzz_NAME, in the tree that make names. */
static unsigned replay_corpus(const char *program)
{
	const char *name = strrchr(program, '_'), *top = getenv("srcdir");
	char path[PATH_MAX];

	FUZZ_MUST(name != NULL);
	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s",
	         top != NULL ? top : ".", name + 1);
	FUZZ_MUST(is_dir(path));
	return replay(path);
}

int main(int argc, char **argv)
{
	unsigned count = 0;

	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);
	if (argc < 2)
		count = replay_corpus(argv[0]);
	for (int i = 1; i < argc; i++)
		count += replay(argv[i]);
	FUZZ_MUST(count > 0);
	/* As libcheck says it: a corpus is one case. */
	printf("%u inputs\n100%%: Checks: 1, Failures: 0, Errors: 0\n", count);
	return EXIT_SUCCESS;
}
