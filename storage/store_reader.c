#include "store_reader.h"

#include "message.h"
#include "ordered_int.h"

#include <stdlib.h>

enum { GETS_MAX = 4 }; /* in a row, before reading on */

void tl_store_reader_init(struct tl_store_reader *reader, struct tl_engine *engine, const struct tl_snapshot *snapshot)
{
	*reader = (struct tl_store_reader){.engine = engine, .snapshot = snapshot};
}

void tl_store_reader_fini(struct tl_store_reader *reader)
{
	tl_iter_free(reader->iter);
	free(reader->bytes);
	*reader = (struct tl_store_reader){0};
}

/* Whether the cursor tells already what there is at `cseq`. */
static bool is_covered(const struct tl_store_reader *reader, uint64_t cseq)
{
	return cseq >= reader->from && (!reader->there || reader->cursor.seq >= cseq);
}

/* Moves the cursor to the first entry from `cseq` on; downwards, from a neighbour, only if that is `cseq` itself. */
static enum tl_err move(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t cseq)
{
	bool same = reader->from > 0 && reader->conversation_no == conversation_no, down = false;
	if (same && is_covered(reader, cseq))
		return TL_OK;
	if (same && reader->there && reader->cursor.seq + 1 == cseq)
		reader->there = tl_cursor_next(&reader->cursor);
	else if (same && reader->there && (down = reader->cursor.seq == cseq + 1))
		reader->there = tl_cursor_prev(&reader->cursor) && reader->cursor.seq == cseq;
	else
		reader->there = tl_cursor_seek(&reader->cursor, reader->iter, tl_partition(TL_PART_STORE, conversation_no), cseq);
	enum tl_err err = tl_iter_error(reader->iter);
	reader->from = err == TL_OK && (reader->there || !down) ? cseq : 0;
	return err;
}

static enum tl_err get(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t cseq, struct tl_slice *entry_out)
{
	size_t len;
	enum tl_err err = tl_timeline_get(reader->engine, reader->snapshot, tl_partition(TL_PART_STORE, conversation_no), cseq,
	                                  &reader->bytes, &len);
	reader->from = 0;
	reader->got = cseq;
	if (err == TL_OK)
		*entry_out = tl_slice(reader->bytes, len);
	return err;
}

static enum tl_err read_on(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t cseq,
                           struct tl_slice *entry_out)
{
	enum tl_err err = TL_OK;
	reader->got = 0;
	if (!reader->iter)
		err = tl_iter_new(reader->engine, reader->snapshot, tl_partition(TL_PART_META, 0), true, &reader->iter);
	if (err == TL_OK)
		err = move(reader, conversation_no, cseq);
	if (err == TL_OK && (!reader->there || reader->cursor.seq != cseq))
		return TL_NOT_FOUND;
	if (err == TL_OK)
		*entry_out = reader->cursor.entry;
	return err;
}

enum way { GET, READ_ON, EITHER };

static bool is_next_to(uint64_t cseq, uint64_t other)
{
	return cseq == other + 1 || cseq + 1 == other;
}

/* Whether the cursor is near already, or enough have been got in a row. */
static bool pays_to_read_on(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t cseq)
{
	bool same = reader->conversation_no == conversation_no;
	if (same && reader->from > 0 && (is_covered(reader, cseq) || is_next_to(cseq, reader->cursor.seq)))
		return true;
	reader->gets = same && reader->got > 0 && is_next_to(cseq, reader->got) ? reader->gets + 1 : 0;
	return reader->gets >= GETS_MAX;
}

static enum tl_err find(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t cseq, enum way way,
                        struct tl_store_record *record_out)
{
	struct tl_slice entry = {0};
	enum tl_err err;
	free(reader->bytes);
	reader->bytes = NULL;
	bool amid_damage = reader->amid_damage && reader->conversation_no == conversation_no;
	bool by_get = way == GET || amid_damage || (way == EITHER && !pays_to_read_on(reader, conversation_no, cseq));
	err = by_get ? get(reader, conversation_no, cseq, &entry) : read_on(reader, conversation_no, cseq, &entry);
	if (!by_get && err == TL_CORRUPT)
		err = get(reader, conversation_no, cseq, &entry);
	reader->conversation_no = conversation_no;
	reader->amid_damage = err == TL_CORRUPT;
	if (err != TL_OK)
		return err;
	return tl_store_record_unpack(entry, record_out) ? TL_OK : TL_CORRUPT;
}

enum tl_err tl_store_reader_find(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t cseq,
                                 struct tl_store_record *record_out)
{
	return find(reader, conversation_no, cseq, EITHER, record_out);
}

enum tl_err tl_store_reader_get(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t cseq,
                                struct tl_store_record *record_out)
{
	return find(reader, conversation_no, cseq, GET, record_out);
}

/* The first entry from *cseq on and below `end` that can be read, *cseq becomes its place; TL_NOT_FOUND: none of those
 * tried. */
static enum tl_err find_readable(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t *cseq, uint64_t end,
                                 struct tl_store_record *record_out)
{
	for (unsigned i = 0; i < TL_DAMAGE_MAX && *cseq < end; i++) {
		enum tl_err err = find(reader, conversation_no, *cseq, READ_ON, record_out);
		if (err != TL_NOT_FOUND && err != TL_CORRUPT)
			return err;
		bool dropped = err == TL_NOT_FOUND && reader->from > 0;
		if (dropped && !reader->there)
			return TL_NOT_FOUND;
		*cseq = dropped ? reader->cursor.seq : *cseq + 1;
	}
	return TL_NOT_FOUND;
}

/* The first entry of [low, high) that is not before what is looked for. */
static enum tl_err halve(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t low, uint64_t high,
                         bool (*is_before)(const struct tl_store_record *record, uint64_t what), uint64_t what,
                         uint64_t *cseq_out)
{
	struct tl_store_record record;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2, at = middle;
		enum tl_err err = find_readable(reader, conversation_no, &at, high, &record);
		if (err != TL_OK && err != TL_NOT_FOUND)
			return err;
		if (err == TL_OK && is_before(&record, what))
			low = at + 1;
		else
			high = middle;
	}
	*cseq_out = low;
	return TL_OK;
}

static bool is_earlier(const struct tl_store_record *record, uint64_t ts)
{
	return tl_message_ts(record->message) < ts;
}

enum tl_err tl_store_reader_find_time(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t low,
                                      uint64_t high, uint64_t ts, uint64_t *cseq_out)
{
	return halve(reader, conversation_no, low, high, is_earlier, ts, cseq_out);
}

/* No more messages up to it than so many. */
static bool has_no_more(const struct tl_store_record *record, uint64_t running)
{
	return record->running <= running;
}

enum tl_err tl_store_reader_find_message(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t low,
                                         uint64_t high, uint64_t *cseq_out)
{
	struct tl_store_record record;
	enum tl_err err = TL_OK;
	/* Once more only where the message that halving has led to cannot be read. */
	for (unsigned i = 0; i < TL_DAMAGE_MAX && err == TL_OK && low < high; i++) {
		err = find_readable(reader, conversation_no, &low, high, &record);
		if (err == TL_OK && !tl_message_is_event(record.message)) {
			*cseq_out = low;
			return TL_OK;
		}
		if (err == TL_OK)
			err = halve(reader, conversation_no, low + 1, high, has_no_more, record.running, &low);
	}
	*cseq_out = high;
	return err == TL_NOT_FOUND ? TL_OK : err;
}

enum tl_err tl_store_readable(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t conversation_no,
                              uint64_t *cseq, struct tl_store_record *record_out, char **bytes_out)
{
	uint64_t at = *cseq, end = at > TL_DAMAGE_MAX ? at - TL_DAMAGE_MAX : 0;
	for (; at > end; at--) {
		size_t len;
		enum tl_err err =
			tl_timeline_get(engine, snapshot, tl_partition(TL_PART_STORE, conversation_no), at, bytes_out, &len);
		if (err == TL_OK && tl_store_record_unpack(tl_slice(*bytes_out, len), record_out)) {
			*cseq = at;
			return TL_OK;
		}
		if (err == TL_OK)
			free(*bytes_out);
		else if (err == TL_NOT_FOUND)
			break;
		else if (err != TL_CORRUPT)
			return err;
	}
	return at == *cseq ? TL_NOT_FOUND : TL_CORRUPT;
}

/* The same where seeking shows no sound entry. */
static enum tl_err find_last(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t conversation_no,
                             uint64_t *cseq_out, uint64_t *ts_out)
{
	struct tl_store_record record;
	struct tl_bounds bounds;
	char *bytes;
	enum tl_err err = tl_timeline_reach(engine, snapshot, tl_partition(TL_PART_STORE, conversation_no), &bounds);
	if (err == TL_OK)
		err = tl_store_readable(engine, snapshot, conversation_no, &bounds.head, &record, &bytes);
	if (err != TL_OK)
		return err;
	*cseq_out = bounds.head;
	*ts_out = tl_message_ts(record.message);
	free(bytes);
	return TL_OK;
}

enum tl_err tl_store_last(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_iter *iter,
                          uint64_t conversation_no, uint64_t *cseq_out, uint64_t *ts_out)
{
	struct tl_store_record record;
	tl_iter_retarget(iter, tl_partition(TL_PART_STORE, conversation_no));
	bool there = tl_iter_seek_last(iter);
	enum tl_err err = tl_iter_error(iter);
	if (err == TL_OK && (!there || tl_iter_key(iter).len == 0))
		return TL_NOT_FOUND;
	if (err == TL_OK && tl_ordered_int_read(tl_iter_key(iter).ptr, tl_iter_key(iter).len, cseq_out) &&
	    *cseq_out <= TL_SEQ_MAX && tl_store_record_unpack(tl_iter_value(iter), &record)) {
		*ts_out = tl_message_ts(record.message);
		return TL_OK;
	}
	return err == TL_OK || err == TL_CORRUPT ? find_last(engine, snapshot, conversation_no, cseq_out, ts_out) : err;
}
