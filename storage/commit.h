/* What the store tells the layer above after each commit: answers for those who sent or asked, new entries for those
 * who are online. Everything in here is valid during the call only. */
#ifndef TL_COMMIT_H
#define TL_COMMIT_H

#include "error.h"
#include "records.h"
#include "slice.h"

#include <stdbool.h>
#include <stdint.h>

/* The answer to one record of the queue. */
struct tl_outcome {
	struct tl_slice route;  /* as submitted */
	struct tl_slice user;   /* as submitted */
	struct tl_slice device; /* as submitted */
	const char *op;         /* "send" or the request's name */
	enum tl_err err;
	const char *why;        /* on failure, for a person; "" where the code says it all */
	struct tl_slice fields; /* packed pairs of the response, beside op, ok and error */
	uint32_t field_count;
};

/* A message that is now in its store timeline, or an event that is now in one user's inbox. */
struct tl_delivery {
	struct tl_slice cid; /* empty: about no conversation */
	uint64_t conversation_no; /* 0: about none */
	uint64_t cseq;       /* 0: an event for one user */
	struct tl_slice message; /* as kept, see message.h */
};

/* An entry that is now in an inbox. Those of one user come in ascending order. */
struct tl_inbox_append {
	struct tl_slice uid;
	uint64_t seq;
	uint32_t delivery; /* index of the message it refers to */
	bool quiet;        /* the user has muted the conversation */
};

/* What one user has yet to take in of one conversation, as it is now: everything above `record.pulled`, up to
 * `record.until` or for ever. Once these are equal there is no such backlog any more. Those of one user and conversation
 * come in the order in which they happened. */
enum tl_sound { TL_SOUND_AS_BEFORE, TL_SOUND_QUIET, TL_SOUND_LOUD };

struct tl_backlog_change {
	struct tl_slice uid;
	uint64_t inbox_head;      /* the last seq in the user's inbox */
	uint64_t conversation_no;
	uint64_t since;           /* cseq at which it began; tells several of one conversation apart */
	struct tl_backlog_record record;
	enum tl_sound sound;      /* whether the user has muted the conversation */
};

struct tl_commit {
	const struct tl_outcome *outcomes;
	size_t outcome_count;
	const struct tl_delivery *deliveries;
	size_t delivery_count;
	const struct tl_inbox_append *appends;
	size_t append_count;
	const struct tl_backlog_change *backlogs;
	size_t backlog_count;
	uint64_t pulled_count; /* inbox entries that members have taken in, told to nobody */
	const struct tl_slice *regrouped; /* conversations whose members, or what they may do, have changed; users
	                                   * whom somebody has blocked, or no longer */
	size_t regrouped_count;
};

#endif
