#include "store_reader.h"

#include <stdlib.h>

enum tl_err tl_store_reader_init(struct tl_store_reader *reader, struct tl_engine *engine,
                                 const struct tl_snapshot *snapshot)
{
	*reader = (struct tl_store_reader){.engine = engine, .snapshot = snapshot};
	return tl_iter_new(engine, snapshot, tl_partition(TL_PART_META, 0), true, &reader->iter);
}

void tl_store_reader_fini(struct tl_store_reader *reader)
{
	tl_iter_free(reader->iter);
	free(reader->bytes);
	*reader = (struct tl_store_reader){0};
}

/* Moves the cursor to the first entry from `cseq` on. */
static enum tl_err move(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t cseq)
{
	bool same = reader->from > 0 && reader->conversation_no == conversation_no && cseq >= reader->from;
	if (same && (!reader->there || reader->cursor.seq >= cseq))
		return TL_OK;
	if (same && reader->cursor.seq + 1 == cseq)
		reader->there = tl_cursor_next(&reader->cursor);
	else
		reader->there = tl_cursor_seek(&reader->cursor, reader->iter, tl_partition(TL_PART_STORE, conversation_no), cseq);
	enum tl_err err = tl_iter_error(reader->iter);
	reader->conversation_no = conversation_no;
	reader->from = err == TL_OK ? cseq : 0;
	return err;
}

static enum tl_err read_by_itself(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t cseq,
                                  struct tl_slice *entry_out)
{
	size_t len;
	enum tl_err err = tl_timeline_get(reader->engine, reader->snapshot, tl_partition(TL_PART_STORE, conversation_no), cseq,
	                                  &reader->bytes, &len);
	if (err == TL_OK)
		*entry_out = tl_slice(reader->bytes, len);
	return err;
}

enum tl_err tl_store_reader_find(struct tl_store_reader *reader, uint64_t conversation_no, uint64_t cseq,
                                 struct tl_store_record *record_out)
{
	struct tl_slice entry = {0};
	free(reader->bytes);
	reader->bytes = NULL;
	enum tl_err err = move(reader, conversation_no, cseq);
	if (err == TL_CORRUPT)
		err = read_by_itself(reader, conversation_no, cseq, &entry);
	else if (err == TL_OK && (!reader->there || reader->cursor.seq != cseq))
		err = TL_NOT_FOUND;
	else if (err == TL_OK)
		entry = reader->cursor.entry;
	if (err != TL_OK)
		return err;
	return tl_store_record_unpack(entry, record_out) ? TL_OK : TL_CORRUPT;
}
