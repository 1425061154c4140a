/* The limits that the operator has set, as far as storage/ applies them or `hello` tells them. */
#ifndef TL_STORE_LIMITS_H
#define TL_STORE_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

struct tl_limits {
	const char *server; /* name and version */
	uint64_t max_body;  /* bytes */
	uint64_t notify_inline_max; /* bytes */
	uint64_t dedup_window_ms;
	uint64_t recall_window_ms;
	uint64_t edit_window_ms;
	uint64_t max_members;       /* of a conversation */
	uint64_t max_conversations; /* of a user, direct chats too, before create and join are refused */
	bool search;                /* messages are indexed and can be searched */
};

#endif
