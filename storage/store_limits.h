/* The limits that the operator has set, as far as storage/ applies them or `hello` tells them. */
#ifndef TL_STORE_LIMITS_H
#define TL_STORE_LIMITS_H

#include <stdint.h>

/* An inbox is cut when it is longer than inbox_max by this part of it. */
enum { TL_INBOX_SLACK = 8 };

struct tl_limits {
	const char *server; /* name and version */
	uint64_t max_body;  /* bytes */
	uint64_t notify_inline_max; /* bytes */
	uint64_t dedup_window_ms;
	uint64_t recall_window_ms;
	uint64_t edit_window_ms;
	uint64_t max_members;       /* of a conversation */
	uint64_t max_conversations; /* of a user, direct chats too, before create and join are refused */
	uint64_t inbox_ttl_ms;      /* how long an inbox entry lives; 0: for ever */
	uint64_t inbox_max;         /* entries of an inbox; 0: any number */
	uint64_t retention_ms;      /* how long messages live where the conversation does not say; 0: for ever */
	uint64_t device_ttl_ms;     /* how long an absent device's checkpoint lives; 0: for ever */
};

#endif
