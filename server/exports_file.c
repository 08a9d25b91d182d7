#include "config.h"

#include "server/exports_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/template.h"

/* More is no list of exports. */
#define MAX_BYTES ((off_t)16 << 20)

struct place {
	unsigned line, column; /* from 1; columns are bytes */
};

/* What is read, and where the error is to be said. */
struct reader {
	const char *next, *end;
	struct place at; /* of `next` */
	bool as_root;
	char *why;
	size_t size;
};

/* A word without its quotes; `at` tells where each byte of it was, and its end. */
struct word {
	char *text;
	struct place *at;
	size_t len, room;
};

__attribute__((format(printf, 3, 4))) static int
refuse(struct reader *reader, struct place at, const char *format, ...)
{
	int n = snprintf(reader->why, reader->size, "%u:%u: ", at.line,
	                 at.column);
	va_list args;

	va_start(args, format);
	if (n > 0 && (size_t)n < reader->size)
		vsnprintf(reader->why + n, reader->size - (size_t)n, format,
		          args);
	va_end(args);
	return -EINVAL;
}

/* ---- bytes ------------------------------------------------------------------- */

static bool is_octal(const char *text, const char *end)
{
	if (end - text < 3 || text[0] > '3')
		return false;
	for (unsigned i = 0; i < 3; i++)
		if (text[i] < '0' || text[i] > '7')
			return false;
	return true;
}

static void step(struct reader *reader, size_t n)
{
	while (n-- > 0) {
		if (*reader->next++ == '\n') {
			reader->at.line++;
			reader->at.column = 1;
		} else {
			reader->at.column++;
		}
	}
}

/* Past the ends of lines that go on. */
static void join_lines(struct reader *reader)
{
	while (reader->end - reader->next >= 2 && reader->next[0] == '\\' &&
	       reader->next[1] == '\n')
		step(reader, 2);
}

/* What comes next; '\n': the line ends, or all does. */
static char peek(struct reader *reader)
{
	join_lines(reader);
	return reader->next == reader->end ? '\n' : *reader->next;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void skip_line(struct reader *reader)
{
	while (reader->next < reader->end && *reader->next != '\n')
		step(reader, 1);
	if (reader->next < reader->end)
		step(reader, 1);
}

/* Past blanks and a comment. True: the line goes on with a word. */
static bool find_word(struct reader *reader)
{
	while (is_blank(peek(reader)))
		step(reader, 1);
	return peek(reader) != '\n' && peek(reader) != '#';
}

/* ---- words ------------------------------------------------------------------- */

static void word_release(struct word *word)
{
	free(word->text);
	free(word->at);
	*word = (struct word){ 0 };
}

/* One more byte of it, with room for an end. */
static int put(struct word *word, char c, struct place at)
{
	const size_t room = word->room * 2 + 64;
	struct place *places;
	char *text;

	if (word->len + 2 > word->room) {
		text = realloc(word->text, room);
		if (text == NULL)
			return -ENOMEM;
		word->text = text;
		places = reallocarray(word->at, room, sizeof(*places));
		if (places == NULL)
			return -ENOMEM;
		word->at = places;
		word->room = room;
	}
	word->text[word->len] = c;
	word->at[word->len++] = at;
	return 0;
}

/* The byte that stands next, taken. */
static char take(struct reader *reader)
{
	const char *next = reader->next;

	if (next[0] == '\\' && is_octal(next + 1, reader->end)) {
		step(reader, 4);
		return (char)((next[1] - '0') << 6 | (next[2] - '0') << 3 |
		              (next[3] - '0'));
	}
	step(reader, 1);
	return *next;
}

/*
 * Up to a blank, the end of the line, or one of `ends`, none of them in quotes. What
 * is there already goes before it.
 */
static int read_word(struct reader *reader, const char *ends, struct word *word)
{
	struct place quote = reader->at;
	bool quoted = false;
	int err = 0;
	char c;

	while (err == 0) {
		c = peek(reader);
		if (c == '\n' ||
		    (!quoted && (is_blank(c) || strchr(ends, c) != NULL)))
			break;
		if (c == '\0')
			return refuse(reader, reader->at, "a NUL byte");
		if (c == '"') {
			quote = reader->at;
			quoted = !quoted;
			step(reader, 1);
		} else {
			struct place at = reader->at;

			c = take(reader);
			if (c == '\0')
				return refuse(reader, at, "a NUL byte");
			err = put(word, c, at);
		}
	}
	if (err == 0 && quoted)
		return refuse(reader, quote,
		              "no \" before the end of the line");
	if (err == 0)
		err = put(word, '\0', reader->at);
	word->len--;
	return err;
}

/* ---- lines ------------------------------------------------------------------- */

/* What is known of a line when its next client comes. */
struct line {
	struct word path;
	struct word defaults; /* the options after the last "-" */
};

static int take_options(struct reader *reader, const struct word *options,
                        struct nfsd_export_config *config)
{
	char why[256];
	size_t at = 0;
	int err;

	if (options->text == NULL)
		return 0;
	err = nfsd_export_config_parse(config, options->text, &at, why,
	                               sizeof(why));
	return err == -EINVAL ? refuse(reader, options->at[at], "%s", why)
	                      : err;
}

static void entry_release(struct nfsd_exports_entry *entry)
{
	nfsd_client_release(&entry->client);
	nfsd_export_config_release(&entry->config);
}

/* The entry of a client, from what stands on its line. */
static int fill(struct reader *reader, const struct line *line,
                const struct word *client, const struct word *options,
                struct nfsd_exports_entry *entry)
{
	char why[256];
	int err;

	entry->line = client->at[0].line;
	nfsd_export_config_init(&entry->config, reader->as_root);
	err = nfsd_client_parse(&entry->client, client->text, why, sizeof(why));
	if (err == -EINVAL)
		return refuse(reader, client->at[0], "%s", why);
	if (err == 0)
		err = take_options(reader, &line->defaults, &entry->config);
	if (err == 0)
		err = take_options(reader, options, &entry->config);
	if (err != 0)
		return err;
	err = nfsd_export_config_set_path(&entry->config, line->path.text, why,
	                                  sizeof(why));
	if (err == -EINVAL)
		return refuse(reader, line->path.at[0], "%s", why);
	if (err == 0)
		err = nfsd_export_config_finish(&entry->config, why,
		                                sizeof(why));
	if (err == 0 && entry->client.kind != NFSD_CLIENT_NETWORK &&
	    nfsd_export_config_kinds(&entry->config) & NFSD_TEMPLATE_NETWORK)
		return refuse(reader, client->at[0],
		              "%%n: \"%s\" is no network", client->text);
	return err == -EINVAL ? refuse(reader, client->at[0], "%s", why) : err;
}

static const struct nfsd_exports_entry *
find_entry(const struct nfsd_exports_file *file,
           const struct nfsd_exports_entry *like)
{
	for (size_t i = 0; i < file->count; i++) {
		const struct nfsd_exports_entry *entry = &file->entries[i];

		if (entry->client.kind == like->client.kind &&
		    strcmp(entry->client.text, like->client.text) == 0 &&
		    strcmp(entry->config.path, like->config.path) == 0)
			return entry;
	}
	return NULL;
}

/* Clients of one path may share an overlay, which has its options but once. */
static int check_overlay(struct reader *reader,
                         const struct nfsd_exports_file *file,
                         const struct nfsd_exports_entry *entry,
                         struct place at)
{
	char why[64];

	for (size_t i = 0; i < file->count; i++) {
		const struct nfsd_exports_entry *other = &file->entries[i];

		if (strcmp(entry->config.path, other->config.path) == 0 &&
		    nfsd_export_config_same(&entry->config, &other->config, why,
		                            sizeof(why)) < 0)
			return refuse(reader, at,
			              "client \"%s\" of %s: line %u has the "
			              "same layers for \"%s\", with another %s",
			              entry->client.text, entry->config.path,
			              other->line, other->client.text, why);
	}
	return 0;
}

static int add_entry(struct nfsd_exports_file *file,
                     const struct nfsd_exports_entry *entry)
{
	struct nfsd_exports_entry *entries;

	entries =
		reallocarray(file->entries, file->count + 1, sizeof(*entries));
	if (entries == NULL)
		return -ENOMEM;
	entries[file->count++] = *entry;
	file->entries = entries;
	return 0;
}

static int add_client(struct reader *reader, struct nfsd_exports_file *file,
                      const struct line *line, const struct word *client,
                      const struct word *options)
{
	struct nfsd_exports_entry entry = { 0 };
	const struct nfsd_exports_entry *other;
	int err = fill(reader, line, client, options, &entry);

	if (err == 0) {
		other = find_entry(file, &entry);
		if (other != NULL)
			err = refuse(reader, client->at[0],
			             "client \"%s\" of %s: line %u has it, too",
			             client->text, line->path.text,
			             other->line);
	}
	if (err == 0)
		err = check_overlay(reader, file, &entry, client->at[0]);
	if (err == 0)
		err = add_entry(file, &entry);
	if (err != 0)
		entry_release(&entry);
	return err;
}

/* The options in the parentheses that stand next. */
static int read_options(struct reader *reader, struct word *options)
{
	const struct place open = reader->at;
	int err;

	step(reader, 1);
	err = read_word(reader, ")", options);
	if (err != 0)
		return err;
	if (is_blank(peek(reader)))
		return refuse(reader, reader->at, "a blank among options");
	if (peek(reader) != ')')
		return refuse(reader, open,
		              "no \")\" before the end of the line");
	step(reader, 1);
	if (!is_blank(peek(reader)) && peek(reader) != '\n')
		return refuse(reader, reader->at, "no blank after \")\"");
	return 0;
}

/* CLIENT or CLIENT(OPTIONS). */
static int read_client(struct reader *reader, struct nfsd_exports_file *file,
                       const struct line *line)
{
	struct word client = { 0 }, options = { 0 };
	int err;

	if (peek(reader) == '(')
		return refuse(reader, reader->at,
		              "no client before \"(\": *(...) is everybody");
	err = read_word(reader, "()", &client);
	if (err == 0 && peek(reader) == '(')
		err = read_options(reader, &options);
	else if (err == 0 && peek(reader) == ')')
		err = refuse(reader, reader->at, "\")\" without \"(\"");
	if (err == 0)
		err = add_client(reader, file, line, &client, &options);
	word_release(&client);
	word_release(&options);
	return err;
}

/* "-OPTIONS": from here on, instead of those before. */
static int read_defaults(struct reader *reader, struct line *line)
{
	word_release(&line->defaults);
	step(reader, 1);
	return read_word(reader, "", &line->defaults);
}

static int read_clients(struct reader *reader, struct nfsd_exports_file *file,
                        struct line *line)
{
	const size_t before = file->count;
	int err = 0;

	while (err == 0 && find_word(reader))
		err = peek(reader) == '-' ? read_defaults(reader, line)
		                          : read_client(reader, file, line);
	if (err == 0 && file->count == before)
		return refuse(reader, line->path.at[0],
		              "%s has no clients: * is everybody",
		              line->path.text);
	return err;
}

static int read_line(struct reader *reader, struct nfsd_exports_file *file)
{
	struct line line = { 0 };
	int err = 0;

	if (find_word(reader)) {
		err = read_word(reader, "", &line.path);
		if (err == 0)
			err = read_clients(reader, file, &line);
		word_release(&line.path);
		word_release(&line.defaults);
	}
	skip_line(reader);
	return err;
}

int nfsd_exports_file_parse(struct nfsd_exports_file *file, const char *text,
                            size_t len, bool as_root, char *why, size_t size)
{
	struct reader reader = {
		.next = text,
		.end = text + len,
		.at = { 1, 1 },
		.as_root = as_root,
		.why = why,
		.size = size,
	};
	int err = 0;

	*file = (struct nfsd_exports_file){ 0 };
	while (err == 0 && reader.next < reader.end)
		err = read_line(&reader, file);
	if (err != 0)
		nfsd_exports_file_release(file);
	return err;
}

/* ---- the file ------------------------------------------------------------------ */

/* All of it; to be freed. 0 or -errno. */
static int read_all(int fd, char **text, size_t *len)
{
	struct stat st;
	ssize_t n = 1;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (st.st_size > MAX_BYTES)
		return -EFBIG;
	*text = malloc((size_t)st.st_size + 1);
	if (*text == NULL)
		return -ENOMEM;
	while (n > 0 && *len < (size_t)st.st_size) {
		n = read(fd, *text + *len, (size_t)st.st_size - *len);
		if (n > 0)
			*len += (size_t)n;
	}
	return n < 0 ? -errno : 0;
}

int nfsd_exports_file_read(struct nfsd_exports_file *file, const char *path,
                           bool as_root, char *why, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char *text = NULL, wrong[512];
	size_t len = 0;
	int err = fd < 0 ? -errno : read_all(fd, &text, &len);

	if (fd >= 0)
		close(fd);
	strcpy(wrong, "");
	if (err == 0)
		err = nfsd_exports_file_parse(file, text, len, as_root, wrong,
		                              sizeof(wrong));
	free(text);
	if (err == 0 && file->count == 0) {
		snprintf(why, size, "%s: nothing is exported", path);
		return -EINVAL;
	}
	if (err != 0 && *wrong != '\0')
		snprintf(why, size, "%s:%s", path, wrong);
	else if (err != 0)
		snprintf(why, size, "%s: %s", path, strerror(-err));
	return err;
}

void nfsd_exports_file_release(struct nfsd_exports_file *file)
{
	for (size_t i = 0; i < file->count; i++)
		entry_release(&file->entries[i]);
	free(file->entries);
	*file = (struct nfsd_exports_file){ 0 };
}
