#include "config.h"

#include "server/template.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX 256

unsigned nfsd_template_kinds(const char *path)
{
	unsigned kinds = 0;

	while ((path = strchr(path, '%')) != NULL) {
		switch (path[1]) {
		case 'a':
			kinds |= NFSD_TEMPLATE_ADDRESS;
			break;
		case 'h':
			kinds |= NFSD_TEMPLATE_NAME;
			break;
		case 'n':
			kinds |= NFSD_TEMPLATE_NETWORK;
			break;
		case '%':
			kinds |= NFSD_TEMPLATE_PERCENT;
			break;
		default:
			return kinds | NFSD_TEMPLATE_WRONG;
		}
		path += 2;
	}
	return kinds;
}

char *nfsd_template_of(const char *path)
{
	char *text = malloc(2 * strlen(path) + 1), *end = text;

	if (text == NULL)
		return NULL;
	for (; *path != '\0'; path++) {
		if (*path == '%')
			*end++ = '%';
		*end++ = *path;
	}
	*end = '\0';
	return text;
}

static void print_address(const struct in6_addr *address, char *text)
{
	if (IN6_IS_ADDR_V4MAPPED(address))
		inet_ntop(AF_INET, &address->s6_addr[12], text, VALUE_MAX);
	else
		inet_ntop(AF_INET6, address, text, VALUE_MAX);
}

static void print_network(const struct nfsd_client *client, char *text)
{
	const unsigned mapped = IN6_IS_ADDR_V4MAPPED(&client->address) ? 96 : 0;

	print_address(&client->address, text);
	sprintf(text + strlen(text), "-%u", client->prefix - mapped);
}

/* As in DNS; nothing that leads out of a directory. */
static bool is_host_name(const char *name)
{
	if (!isalnum((unsigned char)name[0]) || strlen(name) >= VALUE_MAX)
		return false;
	while (isalnum((unsigned char)*name) || *name == '-' || *name == '.' ||
	       *name == '_')
		name++;
	return *name == '\0';
}

/* What stands for "%KIND". False: it cannot. */
static bool print_value(char kind, const struct nfsd_template_values *values,
                        char text[VALUE_MAX])
{
	switch (kind) {
	case 'a':
		print_address(values->address, text);
		return true;
	case 'h':
		if (values->name == NULL || !is_host_name(values->name))
			return false;
		strcpy(text, values->name);
		return true;
	case 'n':
		print_network(values->network, text);
		return true;
	default:
		strcpy(text, "%");
		return true;
	}
}

char *nfsd_template_fill(const char *path,
                         const struct nfsd_template_values *values)
{
	char value[VALUE_MAX], *text = NULL;
	size_t len, size;
	FILE *out = open_memstream(&text, &size);
	bool ok = out != NULL;

	while (ok && *path != '\0') {
		len = strcspn(path, "%");
		fwrite(path, 1, len, out);
		path += len;
		if (*path == '\0')
			break;
		ok = print_value(path[1], values, value);
		if (ok)
			fputs(value, out);
		path += 2;
	}
	if (out != NULL && fclose(out) != 0)
		ok = false;
	if (ok)
		return text;
	free(text);
	return NULL;
}

/* Whatever comes before the first directory that is not the same for all. */
char *nfsd_template_common(const char *path)
{
	size_t end = 0, i;
	char *begin, *common;

	for (i = 0; path[i] != '\0'; i += path[i] == '%' ? 2 : 1) {
		if (path[i] == '/')
			end = i;
		if (path[i] == '%' && path[i + 1] != '%')
			break;
	}
	begin = strndup(path, path[i] == '\0' ? i : end);
	if (begin == NULL)
		return NULL;
	if (*begin != '\0')
		common = nfsd_template_fill(
			begin, &(struct nfsd_template_values){ 0 });
	else
		common = strdup(*path == '/' ? "/" : ".");
	free(begin);
	return common;
}
