#include "index_seal.h"

#include "index_builder.h"
#include "timeline.h"

#include <stdlib.h>

enum {
	ENTRIES_MAX = 1024,       /* of one segment … */
	BODIES_MAX = 512 * 1024,  /* … and bytes of their bodies, if there is more than one */
};

struct seal {
	struct tl_index_work *work;
	const struct tl_snapshot *snapshot;
	struct tl_iter *store;
	uint64_t no;
	uint64_t to;    /* cseq of the last entry read */
	uint64_t bytes; /* of bodies */
	uint64_t count; /* of entries */
	struct tl_directory directory;
};

/* An edited message that is indexed already is indexed once more, as it is now (index_segment.h, S4). */
static enum tl_err add_edited(struct seal *seal, uint64_t cseq)
{
	struct tl_store_record record;
	struct tl_message_view message;
	char *bytes;
	size_t len;
	if (cseq == 0 || cseq > seal->directory.indexed_to)
		return TL_OK;
	enum tl_err err = tl_timeline_get(seal->work->database->engine, seal->snapshot,
	                                  tl_partition(TL_PART_STORE, seal->no), cseq, &bytes, &len);
	if (err != TL_OK)
		return err == TL_NOT_FOUND || err == TL_CORRUPT ? TL_OK : err;
	if (tl_store_record_unpack(tl_slice(bytes, len), &record) && tl_message_view(record.message, &message) &&
	    message.has_body) {
		seal->bytes += message.body.len;
		err = tl_index_builder_add_edited(seal->work->builder, cseq, &message);
	}
	free(bytes);
	return err;
}

/* A damaged entry has no words. */
static enum tl_err add_entry(struct seal *seal, uint64_t cseq, struct tl_slice entry)
{
	struct tl_store_record record;
	struct tl_message_view message;
	uint64_t edited;
	seal->to = cseq;
	seal->count++;
	if (!tl_store_record_unpack(entry, &record) || !tl_message_view(record.message, &message))
		return TL_OK;
	seal->bytes += message.body.len;
	enum tl_err err = tl_index_builder_add(seal->work->builder, cseq, &message);
	if (err == TL_OK && tl_message_edits(&message, &edited))
		err = add_edited(seal, edited);
	return err;
}

static bool has_room(const struct seal *seal)
{
	return seal->count < ENTRIES_MAX && seal->bytes < BODIES_MAX;
}

/* Reads on, up to `end`, behind a block that cannot be read: what is in it, like a damaged entry, has no words. */
static enum tl_err read_singly(struct seal *seal, uint64_t end)
{
	enum tl_err err = TL_OK;
	while (err == TL_OK && seal->to < end && has_room(seal)) {
		uint64_t cseq = seal->to + 1;
		char *bytes = NULL;
		size_t len = 0;
		err = tl_timeline_get(seal->work->database->engine, seal->snapshot, tl_partition(TL_PART_STORE, seal->no), cseq,
		                      &bytes, &len);
		if (err == TL_OK || err == TL_NOT_FOUND || err == TL_CORRUPT)
			err = add_entry(seal, cseq, tl_slice(bytes, len));
		free(bytes);
	}
	return err;
}

static enum tl_err read_tail(struct seal *seal, uint64_t end)
{
	struct tl_cursor cursor;
	enum tl_err err = TL_OK;
	seal->to = seal->directory.indexed_to;
	bool there = tl_cursor_seek(&cursor, seal->store, tl_partition(TL_PART_STORE, seal->no), seal->to + 1);
	for (; there && has_room(seal); there = tl_cursor_next(&cursor))
		if ((err = add_entry(seal, cursor.seq, cursor.entry)) != TL_OK)
			return err;
	err = tl_iter_error(seal->store);
	return err == TL_CORRUPT ? read_singly(seal, end) : err;
}

static enum tl_err write_segment(struct seal *seal)
{
	struct tl_index_work *work = seal->work;
	struct tl_directory *directory = &seal->directory;
	const struct tl_segment segment = {
		.id = directory->next_id++, .from = directory->indexed_to + 1, .to = seal->to};
	struct tl_slice term;
	size_t count;
	uint64_t cseq;
	bool committed;
	enum tl_err err = TL_OK;
	tl_index_builder_sort(work->builder, &count);
	tl_index_output_begin(&work->output, work->database->engine, work->batch, seal->no, &segment);
	for (size_t i = 0; i < count && err == TL_OK; i++) {
		tl_index_builder_posting(work->builder, i, &term, &cseq);
		err = tl_index_output_add(&work->output, term, cseq, &committed);
	}
	if (err != TL_OK)
		return err;
	const struct tl_segment done = tl_index_output_end(&work->output);
	tl_directory_add(directory, &done);
	atomic_fetch_add_explicit(&work->segments, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&work->entries, seal->count, memory_order_relaxed);
	atomic_fetch_add_explicit(&work->bytes, done.bytes, memory_order_relaxed);
	return TL_OK;
}

static enum tl_err seal_tail(struct seal *seal, uint64_t end)
{
	struct tl_index_work *work = seal->work;
	uint32_t first, count;
	tl_index_builder_clear(work->builder);
	enum tl_err err = read_tail(seal, end);
	if (err == TL_OK && seal->count > 0)
		err = write_segment(seal);
	tl_index_builder_clear(work->builder);
	if (err != TL_OK || seal->count == 0)
		return err;
	tl_directory_put(&seal->directory, seal->no, work->batch);
	if (tl_directory_due(&seal->directory, &first, &count))
		tl_index_mark_upkeep(work->batch, seal->no, 0);
	return TL_OK;
}

/* Whether upkeep has to put something straight first: a directory that cannot be read or is full, chunks left over (D3). */
static enum tl_err is_unfit(const struct seal *seal, enum tl_err err, bool *unfit_out)
{
	const struct tl_directory *directory = &seal->directory;
	*unfit_out = err == TL_CORRUPT || (err == TL_OK && directory->segment_count == TL_INDEX_SEGMENTS_MAX);
	if (err != TL_OK || *unfit_out || directory->off)
		return err == TL_CORRUPT ? TL_OK : err;
	return tl_index_has_from(seal->store, seal->no, directory->next_id, unfit_out);
}

enum tl_err tl_index_seal(struct tl_index_work *work, const struct tl_snapshot *snapshot, struct tl_iter *store,
                          uint64_t conversation_no, uint64_t cseq, uint64_t *to_out)
{
	struct seal seal = {.work = work, .snapshot = snapshot, .store = store, .no = conversation_no};
	enum tl_err err = tl_directory_read(work->database->engine, snapshot, conversation_no, &seal.directory);
	bool unfit;
	*to_out = UINT64_MAX;
	err = is_unfit(&seal, err, &unfit);
	if (err == TL_OK && unfit) {
		tl_index_mark_upkeep(work->batch, conversation_no, 0); /* which mends it, and seals then */
		return TL_OK;
	}
	if (err != TL_OK || seal.directory.off)
		return err;
	if (seal.directory.indexed_to < cseq) {
		err = seal_tail(&seal, cseq);
		if (err == TL_OK && seal.count == 0) /* nothing is left: a mark would be followed for ever */
			return TL_OK;
	}
	*to_out = seal.directory.indexed_to;
	return err;
}
