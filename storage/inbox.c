#include "inbox.h"

#include "ordered_int.h"

#include <stdlib.h>

static const struct tl_slice end_key = {"\xff", 1}; /* behind all entries */

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

enum tl_err tl_inbox_end(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t user_no,
                         struct tl_inbox_end *end_out)
{
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(engine, snapshot, tl_partition(TL_PART_INBOX, user_no), end_key, &value, &len);
	if (err == TL_NOT_FOUND) {
		*end_out = (struct tl_inbox_end){0};
		return TL_OK;
	}
	if (err != TL_OK)
		return err;
	bool ok = tl_inbox_end_unpack(tl_slice(value, len), end_out);
	free(value);
	return ok ? TL_OK : TL_CORRUPT;
}

void tl_inbox_put(struct tl_batch *batch, uint64_t user_no, uint64_t seq, struct tl_slice entries)
{
	unsigned char key[TL_ORDERED_INT_MAX];
	tl_batch_put(batch, tl_partition(TL_PART_INBOX, user_no), tl_slice(key, tl_ordered_int_put(key, seq)), entries);
}

void tl_inbox_put_end(struct tl_batch *batch, uint64_t user_no, const struct tl_inbox_end *end)
{
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_inbox_end_pack(&pack, end);
	tl_pack_check(&pack, batch);
	tl_batch_put(batch, tl_partition(TL_PART_INBOX, user_no), end_key, tl_pack_bytes(&pack));
	tl_pack_fini(&pack);
}
