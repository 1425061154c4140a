/* Where a page of `sync` has its messages from: the conversations that the user's inbox refers to, each with what it takes
 * to show one of its messages. Inboxes mix few conversations that are busy at the same time, so the last ones used stay at
 * hand, and each is read on from where it was.
 *
 * One thread, on one snapshot. */
#ifndef TL_SYNC_SOURCE_H
#define TL_SYNC_SOURCE_H

#include "conversations.h"
#include "store_limits.h"
#include "store_reader.h"

enum { TL_SYNC_SOURCES = 16 };

struct tl_sync_source {
	uint64_t no; /* of the conversation, 0: none */
	struct tl_conversation_record conversation;
	char *bytes; /* that it points into */
	uint64_t retention_ms;
	uint64_t floor; /* of the store timeline, as stored */
	uint64_t cleared;  /* what the user has deleted there: all up to here … */
	bool deleted_some; /* … and perhaps single entries */
	struct tl_store_reader store;
	uint64_t used; /* when it was used last, counted in uses */
};

struct tl_sync_sources {
	struct tl_engine *engine;
	const struct tl_snapshot *snapshot;
	const struct tl_limits *limits;
	uint64_t user_no;
	uint64_t uses;
	struct tl_sync_source list[TL_SYNC_SOURCES];
};

void tl_sync_sources_init(struct tl_sync_sources *sources, struct tl_engine *engine,
                          const struct tl_snapshot *snapshot, const struct tl_limits *limits, uint64_t user_no);
void tl_sync_sources_fini(struct tl_sync_sources *sources);

/* The source of that number, valid until the next call. TL_CORRUPT: there is no such conversation, or it cannot be read. */
TL_MUST_USE enum tl_err tl_sync_source_find(struct tl_sync_sources *sources, uint64_t conversation_no,
                                            struct tl_sync_source **source_out);

#endif
