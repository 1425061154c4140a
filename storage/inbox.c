#include "inbox.h"

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
		if (!tl_reader_skip(&reader))
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
		if (!tl_reader_skip(&cursor->rest))
			return TL_CORRUPT;
		cursor->seq++;
	}
	return err == TL_OK ? tl_inbox_next(cursor) : err;
}

enum tl_err tl_inbox_last(struct tl_slice item, struct tl_inbox_entry *entry_out)
{
	struct tl_reader reader = tl_reader(item);
	do {
		if (!tl_inbox_entry_read(&reader, entry_out))
			return TL_CORRUPT;
	} while (reader.next < reader.end);
	return TL_OK;
}
