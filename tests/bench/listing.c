#include "config.h"

#include "tests/bench/listing.h"

#include <stdlib.h>
#include <string.h>

#include "tests/bench/results.h"

#define PAGE 65536
#define TYPE_DIR 2

struct page {
	struct handle dir;
	uint64_t cookie;
	uint32_t verifier[2];
};

/* What has been listed, and what is to be. */
struct listing {
	int fd;
	bool deep;
	bool keeps_all; /* handles of all types, not of directories alone */
	struct page *pages;
	size_t npages, pages_room;
	struct handle *dirs;
	size_t ndirs, dirs_room;
	uint64_t entries;
};

/* Room for one more. */
static void *grown(void *array, size_t n, size_t *room, size_t size)
{
	if (n < *room)
		return array;
	*room = 2 * n + 64;
	array = realloc(array, *room * size);
	if (!array)
		bench_fail("no memory");
	return array;
}

static void add_dir(struct listing *listing, const struct handle *dir)
{
	listing->dirs = grown(listing->dirs, listing->ndirs,
	                      &listing->dirs_room, sizeof(*dir));
	listing->dirs[listing->ndirs++] = *dir;
}

static void add_page(struct listing *listing, const struct page *page)
{
	listing->pages = grown(listing->pages, listing->npages,
	                       &listing->pages_room, sizeof(*page));
	listing->pages[listing->npages++] = *page;
}

static void put_page(struct calls *calls, const struct page *page)
{
	calls_begin(calls, NFS, PROC_READDIRPLUS);
	calls_put_handle(calls, &page->dir);
	calls_put64(calls, page->cookie);
	calls_put(calls, page->verifier[0]);
	calls_put(calls, page->verifier[1]);
	calls_put(calls, PAGE);
	calls_put(calls, PAGE);
}

/* One entry; a directory has its turn later. */
static void take_entry(struct listing *listing, struct results *results,
                       struct page *page)
{
	uint32_t type = 0, len;
	struct handle handle;
	bool dots;

	results_take64(results); /* the fileid */
	len = results_take(results);
	dots = (len == 1 || len == 2) && results->len - results->at > len &&
	       !memcmp(results->bytes + results->at, "..", len);
	results_pass(results, len);
	page->cookie = results_take64(results);
	if (results_take(results)) {
		type = results_take(results);
		results_pass(results, FATTR_BYTES - sizeof(type));
	}
	if (results_take(results)) {
		handle = results_take_handle(results);
		if (!dots &&
		    (listing->keeps_all || (listing->deep && type == TYPE_DIR)))
			add_dir(listing, &handle);
	}
	listing->entries++;
}

/* False: it was the last page of its directory. `page` is the next then. */
static bool list_page(struct listing *listing, struct page *page)
{
	struct calls calls = { 0 };
	struct results *results;

	add_page(listing, page);
	put_page(&calls, page);
	results = results_ask(listing->fd, &calls);
	if (results_take(results))
		bench_fail("a directory cannot be listed");
	if (results_take(results))
		results_pass(results, FATTR_BYTES);
	page->verifier[0] = results_take(results);
	page->verifier[1] = results_take(results);
	while (results_take(results))
		take_entry(listing, results, page);
	return !results_take(results);
}

uint64_t listing_put(int fd, const struct handle *dir, bool deep,
                     struct calls *calls, unsigned n)
{
	struct listing listing = { .fd = fd, .deep = deep };
	struct page page;

	add_dir(&listing, dir);
	while (listing.ndirs > 0) {
		page = (struct page){ .dir = listing.dirs[--listing.ndirs] };
		while (list_page(&listing, &page))
			;
	}
	for (size_t i = 0; i < n * listing.npages; i++) {
		put_page(calls, &listing.pages[i % listing.npages]);
		calls_end(calls);
	}
	free(listing.pages);
	free(listing.dirs);
	return n * listing.entries;
}

struct handle *listing_handles(int fd, const struct handle *dir, size_t *n)
{
	struct listing listing = { .fd = fd, .keeps_all = true };
	struct page page = { .dir = *dir };

	while (list_page(&listing, &page))
		;
	free(listing.pages);
	*n = listing.ndirs;
	return listing.dirs;
}
