#include "inbox.h"

#include "ordered_int.h"
#include "uint_record.h"

static const struct tl_slice floor_key = {"\xff", 1}; /* behind all entries */

/* Begins the item that the cursor is at; its entries are counted, because its key tells which the last one is. */
static enum tl_err open_item(struct tl_inbox_cursor *cursor, bool there)
{
	uint64_t count = 0;
	if (!there) {
		enum tl_err err = tl_iter_error(cursor->item.iter);
		return err == TL_OK ? TL_END : err;
	}
	struct tl_reader reader = cursor->rest = tl_reader(cursor->item.entry);
	while (reader.next < reader.end) {
		struct tl_inbox_entry passed;
		if (!tl_inbox_entry_read(&reader, &passed))
			return TL_CORRUPT;
		count++;
	}
	if (count == 0 || count > cursor->item.seq)
		return TL_CORRUPT;
	cursor->seq = cursor->item.seq - count;
	return TL_OK;
}

enum tl_err tl_inbox_next(struct tl_inbox_cursor *cursor)
{
	if (cursor->rest.next == cursor->rest.end) {
		enum tl_err err = open_item(cursor, tl_cursor_next(&cursor->item));
		if (err != TL_OK)
			return err;
	}
	cursor->seq++;
	return tl_inbox_entry_read(&cursor->rest, &cursor->entry) ? TL_OK : TL_CORRUPT;
}

enum tl_err tl_inbox_seek(struct tl_inbox_cursor *cursor, struct tl_iter *iter, uint64_t user_no, uint64_t seq)
{
	bool there = tl_cursor_seek(&cursor->item, iter, tl_partition(TL_PART_INBOX, user_no), seq);
	enum tl_err err = open_item(cursor, there);
	while (err == TL_OK && cursor->seq + 1 < seq) {
		struct tl_inbox_entry passed;
		if (!tl_inbox_entry_read(&cursor->rest, &passed))
			return TL_CORRUPT;
		cursor->seq++;
	}
	return err == TL_OK ? tl_inbox_next(cursor) : err;
}

static bool read_last(struct tl_slice item, struct tl_inbox_entry *entry_out)
{
	struct tl_reader reader = tl_reader(item);
	do {
		if (!tl_inbox_entry_read(&reader, entry_out))
			return false;
	} while (reader.next < reader.end);
	entry_out->message = tl_slice(NULL, 0);
	return true;
}

/* The floor, if that is where the iterator is: it stands last, where one looks for the head. */
static enum tl_err take_floor(struct tl_iter *iter, bool *there, uint64_t *floor_out)
{
	*floor_out = 0;
	if (!*there || !tl_slice_equal(tl_iter_key(iter), floor_key))
		return TL_OK;
	struct tl_reader reader = tl_reader(tl_iter_value(iter));
	if (!tl_reader_uint(&reader, floor_out) || *floor_out > TL_SEQ_MAX)
		return TL_CORRUPT;
	*there = tl_iter_prev(iter);
	return TL_OK;
}

enum tl_err tl_inbox_bounds(struct tl_iter *iter, uint64_t user_no, struct tl_bounds *bounds_out,
                            struct tl_inbox_entry *last_out)
{
	struct tl_inbox_entry last = {0};
	struct tl_bounds bounds = {0};
	tl_iter_retarget(iter, tl_partition(TL_PART_INBOX, user_no));
	bool there = tl_iter_seek_last(iter);
	enum tl_err err = take_floor(iter, &there, &bounds.floor);
	if (err == TL_OK)
		err = tl_iter_error(iter);
	if (err != TL_OK)
		return err;
	if (there && !(tl_ordered_int_read(tl_iter_key(iter).ptr, tl_iter_key(iter).len, &bounds.head) &&
	               bounds.head <= TL_SEQ_MAX && read_last(tl_iter_value(iter), &last)))
		return TL_CORRUPT;
	if (bounds.head < bounds.floor)
		bounds.head = bounds.floor;
	*bounds_out = bounds;
	if (last_out)
		*last_out = last;
	return TL_OK;
}

enum tl_err tl_inbox_stored_floor(struct tl_engine *engine, uint64_t user_no, uint64_t *floor_out)
{
	uint64_t floor = 0;
	enum tl_err err = tl_uint_record_get(engine, NULL, tl_partition(TL_PART_INBOX, user_no), floor_key, &floor);
	if (err != TL_OK && err != TL_NOT_FOUND)
		return err;
	if (floor > TL_SEQ_MAX)
		return TL_CORRUPT;
	*floor_out = floor;
	return TL_OK;
}

void tl_inbox_put(struct tl_batch *batch, uint64_t user_no, uint64_t seq, struct tl_slice entries)
{
	unsigned char key[TL_ORDERED_INT_MAX];
	tl_batch_put(batch, tl_partition(TL_PART_INBOX, user_no), tl_slice(key, tl_ordered_int_put(key, seq)), entries);
}

void tl_inbox_put_floor(struct tl_batch *batch, uint64_t user_no, uint64_t floor)
{
	tl_uint_record_put(batch, tl_partition(TL_PART_INBOX, user_no), floor_key, floor);
}
