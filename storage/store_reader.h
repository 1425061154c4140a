/* Looks up entries of store timelines one after the other. Those of one conversation that are asked for in a row, upwards or
 * downwards, are read on from where the last one was, which is several times as fast as looking each one up. But an iterator has
 * to look into each of LevelDB's tables before it is anywhere, where a get asks filters; so the first few are got.
 *
 *   (K1) An unreadable block costs what is in it and nothing else: an iterator that has met one is no use any more, so
 *        entries are then read one by one, until one can be, and the next one with an iterator made anew.
 *   (K2) Where an entry has to stand for one that cannot be read, TL_DAMAGE_MAX are tried.
 *
 * One thread at a time. */
#ifndef TL_STORE_READER_H
#define TL_STORE_READER_H

#include "records.h"
#include "timeline.h"

enum { TL_DAMAGE_MAX = 256 }; /* entries; a block holds some dozens, rarely more */

struct tl_store_reader {
	struct tl_engine *engine;
	const struct tl_snapshot *snapshot;
	struct tl_iter *iter; /* NULL: none was needed yet */
	uint64_t conversation_no;
	uint64_t got;  /* the last cseq that was got, 0: none since the cursor has stood somewhere … */
	unsigned gets; /* … and how many before it in a row */
	uint64_t from; /* the cursor stands at the first entry from this cseq on, if there is one; 0: nowhere */
	struct tl_cursor cursor;
	bool there;  /* the cursor is at an entry */
	bool amid_damage; /* the last entry asked for could not be read (K1) */
	char *bytes; /* of an entry that was read by itself */
};

/* `snapshot` NULL: the present state. */
void tl_store_reader_init(struct tl_store_reader *reader, struct tl_engine *engine, const struct tl_snapshot *snapshot);

/* On a zeroed one this does nothing. */
void tl_store_reader_fini(struct tl_store_reader *reader);

/* An entry of a conversation, > 0 and above the floor of its store; *record_out points into it and is valid until the next
 * call. TL_NOT_FOUND: it is not there. TL_CORRUPT: it cannot be read; others may be. */
TL_MUST_USE enum tl_err tl_store_reader_find(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t cseq,
                                             struct tl_store_record *record_out);

/* The same by a get, for one that is not near the last one. */
TL_MUST_USE enum tl_err tl_store_reader_get(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t cseq,
                                            struct tl_store_record *record_out);

/* The first entry of [low, high) of the time `ts`, ms, or later; `high` if there is none. Times never decrease along a store,
 * so it is found by halving; what cannot be read counts as of the time of the next entry that can. */
TL_MUST_USE enum tl_err tl_store_reader_find_time(struct tl_store_reader *reader, uint64_t conversation_no,
                                                  uint64_t low, uint64_t high, uint64_t ts, uint64_t *cseq_out);

/* The first message of [low, high), events left out, that can be read; `high` if there is none. Each entry tells how many messages
 * there are up to it, so it is found by halving. Where much around it cannot be read, it may be a later one, or `high` (K2). */
TL_MUST_USE enum tl_err tl_store_reader_find_message(struct tl_store_reader *reader, uint64_t conversation_no,
                                                     uint64_t low, uint64_t high, uint64_t *cseq_out);

/* The last entry that can be read, up to cseq *cseq, which becomes its place; *bytes_out is malloc'ed, the caller's, and what
 * record_out points into. TL_NOT_FOUND: there is none; TL_CORRUPT: none of those tried can be read (K2). */
TL_MUST_USE enum tl_err tl_store_readable(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                          uint64_t conversation_no, uint64_t *cseq, struct tl_store_record *record_out,
                                          char **bytes_out);

/* Where a store ends and when that came into being, by one seek of `iter`, an iterator on the snapshot; of one with a
 * damaged end, the last entry that can be read. Errors as of tl_store_readable. */
TL_MUST_USE enum tl_err tl_store_last(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_iter *iter,
                                      uint64_t conversation_no, uint64_t *cseq_out, uint64_t *ts_out);

#endif
