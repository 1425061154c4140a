/* Looks up entries of store timelines one after the other. Those of one conversation that are asked for in a row are read
 * on from where the last one was, which is several times as fast as looking each one up.
 *
 *   (K1) An unreadable block costs what is in it and nothing else: an iterator that has met one is no use any more, so
 *        the entry is then read by itself, and the next one with an iterator made anew.
 *
 * One thread at a time. */
#ifndef TL_STORE_READER_H
#define TL_STORE_READER_H

#include "records.h"
#include "timeline.h"

struct tl_store_reader {
	struct tl_engine *engine;
	const struct tl_snapshot *snapshot;
	struct tl_iter *iter;
	uint64_t conversation_no;
	uint64_t from; /* the cursor stands at the first entry from this cseq on, if there is one; 0: nowhere */
	struct tl_cursor cursor;
	bool there;  /* the cursor is at an entry */
	char *bytes; /* of an entry that was read by itself */
};

/* `snapshot` NULL: the present state. TL_OK, or why there can be no iterator, and nothing is to be ended then. */
TL_MUST_USE enum tl_err tl_store_reader_init(struct tl_store_reader *reader, struct tl_engine *engine,
                                             const struct tl_snapshot *snapshot);

/* After a failed init, or on a zeroed one, this does nothing. */
void tl_store_reader_fini(struct tl_store_reader *reader);

/* An entry of a conversation, > 0 and above the floor of its store; *record_out points into it and is valid until the next
 * call. TL_NOT_FOUND: it is not there. TL_CORRUPT: it cannot be read; others may be. */
TL_MUST_USE enum tl_err tl_store_reader_find(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t cseq,
                                             struct tl_store_record *record_out);

#endif
