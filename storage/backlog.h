/* A user's inbox as devices see it: what is in it, and what has yet to enter it from conversations with fan-out on read.
 *
 *       floor        bounds.head      head                      latest
 *         │   entries    │   skipped    │   backlogs, by acceptance  │
 *         └──────────────┴──────────────┴────────────────────────────┘
 *
 *   (B1) What has expired before it could enter an inbox that is otherwise empty, and what `inbox_max` leaves no room
 *        for, gets its place in the sequence but is never written: the inbox begins behind it.
 *   (B2) What has expired while something before it in the inbox has not, enters it, and is shown as expired.
 *   (B3) A device is told of a floor only once what it skips is skipped in the database (pull.h): what is written to the
 *        inbox meanwhile would else get a place below that floor.
 *   (B4) Of a conversation whose store's end cannot be read, nothing has yet to enter, until it can be read again: it
 *        does not cost the user the others.
 *
 * Read from one view of the database; any thread. */
#ifndef TL_BACKLOG_H
#define TL_BACKLOG_H

#include "database.h"
#include "store_limits.h"
#include "timeline.h"

/* One conversation's part. */
struct tl_backlog {
	uint64_t conversation_no;
	uint64_t since; /* cseq at which it began */
	struct tl_backlog_record record; /* `pulled` without what is skipped */
	uint64_t stored_pulled;          /* as in the database */
	uint64_t floor; /* of the conversation's store timeline */
	uint64_t head;  /* likewise */
	uint64_t last;  /* the last cseq that the user gets so far */
	bool quiet;     /* the user has muted the conversation; only tl_inbox_with_quiet says so */
};

struct tl_inbox {
	struct tl_bounds bounds; /* of the inbox timeline in the database */
	uint64_t floor;          /* up to which nothing is shown any more */
	uint64_t head;           /* with what is skipped */
	uint64_t latest;         /* with all that has yet to enter it */
	struct tl_backlog *backlogs;
	size_t count;
	uint64_t damaged; /* number of a conversation whose store's end cannot be read (B4); 0: of none */
};

/* Reads it, as of `now`, ms. `iter` is any iterator on `snapshot`, moved by this. `pulled_floor`: where the inbox began
 * when it was filled up a moment ago; what has come since moves it no further (pull.h L3). NULL: it was not. */
TL_MUST_USE enum tl_err tl_inbox_read(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                      struct tl_iter *iter, uint64_t user_no, const struct tl_limits *limits,
                                      uint64_t now, const uint64_t *pulled_floor, struct tl_inbox *inbox_out);

/* As tl_inbox_read, on the present state, for a user by name; of one who is unknown, an empty one. */
TL_MUST_USE enum tl_err tl_inbox_of(struct tl_engine *engine, const struct tl_limits *limits, uint64_t now,
                                    struct tl_slice user, const uint64_t *pulled_floor, struct tl_inbox *inbox_out);

/* The same with what the user has muted, which costs a read for each backlog. */
TL_MUST_USE enum tl_err tl_inbox_with_quiet(struct tl_engine *engine, const struct tl_limits *limits, uint64_t now,
                                            struct tl_slice user, struct tl_inbox *inbox_out);

void tl_inbox_free(struct tl_inbox *inbox);

/* Whether the floor skips what is yet to be skipped in the database (B3). */
static inline bool tl_inbox_skips(const struct tl_inbox *inbox)
{
	return inbox->head > inbox->bounds.head;
}

/* How much of one conversation has yet to enter. */
static inline uint64_t tl_backlog_pending(const struct tl_backlog *backlog)
{
	return backlog->last > backlog->record.pulled ? backlog->last - backlog->record.pulled : 0;
}

#endif
