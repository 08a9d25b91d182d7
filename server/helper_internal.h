/*
 * What goes over a channel, a socket that keeps messages apart: a question to the
 * helper, and its answer. Both sides are of one program, so numbers are as in memory;
 * but each checks what it gets, as the other may have been taken over.
 */
#ifndef VENEER_SERVER_HELPER_INTERNAL_H
#define VENEER_SERVER_HELPER_INTERNAL_H

#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/helper.h"

#define HELPER_MAX_PROGRAMS 16
#define HELPER_MAX_ADDRESSES 32
#define HELPER_CHANNELS 7

enum helper_what {
	HELPER_IS_CLIENT,
	HELPER_NAME,
	HELPER_GROUPS,
	HELPER_REGISTER,
	HELPER_UNREGISTER
};

/* Texts are terminated. */
struct helper_client {
	uint32_t kind; /* enum nfsd_client_kind */
	struct in6_addr address;
	char text[NI_MAXHOST];
};

struct helper_registration {
	uint32_t nprograms;
	struct {
		uint32_t prog, vers;
	} programs[HELPER_MAX_PROGRAMS];
	uint32_t port, naddresses;
	char addresses[HELPER_MAX_ADDRESSES][INET6_ADDRSTRLEN + 16];
};

struct helper_user {
	uint32_t uid;
};

struct helper_question {
	uint32_t number; /* of the channel's questions; not 0 */
	uint32_t what;   /* enum helper_what */
	union {
		struct helper_client client;
		struct helper_user user;
		struct helper_registration registration;
	};
};

struct helper_answer {
	uint32_t number; /* of the question; 0: of none, at the start */
	int32_t result;  /* as the function returns it that was asked for */
	union {
		char name[NI_MAXHOST]; /* terminated */
		uint32_t groups[NFSD_HELPER_MAX_GROUPS];
	};
};

/* Bytes of a question of this kind; 0: there is no such kind. */
size_t helper_question_bytes(uint32_t what);

/* The helper's life; `channels` are its ends of them. */
_Noreturn void helper_serve(const int channels[HELPER_CHANNELS]);

#endif
