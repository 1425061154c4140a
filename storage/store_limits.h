/* The limits that the operator has set, as far as storage/ applies them or `hello` tells them. */
#ifndef TL_STORE_LIMITS_H
#define TL_STORE_LIMITS_H

#include <stdbool.h>
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
	uint64_t write_fanout_max;  /* members up to whom a message is written to every inbox */
	uint64_t max_members;       /* of a conversation */
	uint64_t max_conversations; /* groups and channels that a user can be in; see roster.h */
	uint64_t message_rate;  /* of a user, a second; 0: no limit … */
	uint64_t message_burst; /* … and how many at once */
	uint64_t request_rate, request_burst; /* likewise for requests */
	uint64_t inbox_ttl_ms;      /* how long an inbox entry lives; 0: for ever */
	uint64_t inbox_max;         /* entries of an inbox; 0: any number */
	uint64_t retention_ms;      /* how long messages live where the conversation does not say; 0: for ever */
	uint64_t device_ttl_ms;     /* how long an absent device's checkpoint lives; 0: for ever */
	bool search;                /* messages are indexed and can be searched */
	uint64_t ending_step;       /* memberships of a dissolved conversation that end in one batch, for tests; 0: as endings.h says */
};

#endif
