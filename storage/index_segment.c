#include "index_segment.h"

static const unsigned char last_key = 0xff; /* behind the id; greater than what any term begins with */

bool tl_index_is_word(struct tl_slice term)
{
	const unsigned char *p = term.ptr;
	return term.len > 0 && term.len <= TL_INDEX_TERM_MAX && p[0] >= 0x20 && p[0] < last_key && !memchr(p, '\0', term.len);
}

/* --- keys --- */

struct tl_slice tl_index_key_begin(struct tl_index_key *key, uint64_t id)
{
	key->len = tl_ordered_int_put(key->bytes, id);
	return tl_slice(key->bytes, key->len);
}

struct tl_slice tl_index_key(struct tl_index_key *key, uint64_t id, struct tl_slice term, uint64_t offset)
{
	tl_index_key_begin(key, id);
	if (term.len > 0)
		memcpy(key->bytes + key->len, term.ptr, term.len);
	key->len += term.len;
	key->bytes[key->len++] = '\0';
	key->len += tl_ordered_int_put(key->bytes + key->len, offset);
	return tl_slice(key->bytes, key->len);
}

static struct tl_slice key_of_last(struct tl_index_key *key, uint64_t id)
{
	tl_index_key_begin(key, id);
	key->bytes[key->len++] = last_key;
	return tl_slice(key->bytes, key->len);
}

/* --- writing --- */

enum tl_err tl_index_has_from(struct tl_iter *iter, uint64_t conversation_no, uint64_t id, bool *has_out)
{
	struct tl_index_key key;
	tl_iter_retarget(iter, tl_partition(TL_PART_INDEX, conversation_no));
	*has_out = tl_iter_seek(iter, tl_index_key_begin(&key, id));
	enum tl_err err = tl_iter_error(iter);
	return err == TL_CORRUPT ? TL_OK : err;
}

void tl_segment_begin(struct tl_segment_writer *writer, struct tl_batch *batch, uint64_t conversation_no,
                      const struct tl_segment *segment)
{
	writer->batch = batch;
	writer->partition = tl_partition(TL_PART_INDEX, conversation_no);
	writer->segment = *segment;
	writer->segment.bytes = 0;
	writer->any = false;
	tl_chunk_begin(&writer->chunk, tl_slice("", 0), 0);
}

static void put_chunk(struct tl_segment_writer *writer, struct tl_slice key)
{
	struct tl_slice chunk = tl_chunk_finish(&writer->chunk);
	tl_batch_put(writer->batch, writer->partition, key, chunk);
	writer->segment.bytes += key.len + chunk.len;
}

void tl_segment_add(struct tl_segment_writer *writer, struct tl_slice term, uint64_t cseq)
{
	struct tl_chunk_writer *chunk = &writer->chunk;
	uint64_t offset = writer->segment.to - cseq;
	struct tl_index_key key;
	struct tl_index_term high;
	if (writer->any && offset == chunk->offset && tl_slice_equal(term, tl_index_term_slice(&chunk->term)))
		return;
	writer->any = true;
	if (tl_chunk_is_full(chunk)) {
		high = chunk->term;
		put_chunk(writer, tl_index_key(&key, writer->segment.id, tl_index_term_slice(&high), chunk->offset));
		tl_chunk_begin(chunk, tl_index_term_slice(&high), chunk->offset);
	}
	tl_chunk_add(chunk, term, offset);
}

void tl_segment_finish(struct tl_segment_writer *writer)
{
	struct tl_index_key key;
	put_chunk(writer, key_of_last(&key, writer->segment.id));
}

/* --- reading --- */

/* What a chunk's key says behind the segment's id: its last posting, or that it is the last chunk. */
static bool read_key(struct tl_segment_scan *scan, struct tl_slice rest)
{
	const unsigned char *p = rest.ptr;
	scan->last = rest.len == 1 && p[0] == last_key;
	if (scan->last)
		return true;
	const unsigned char *nul = memchr(p, '\0', rest.len);
	if (!nul || nul - p > TL_INDEX_TERM_MAX)
		return false;
	size_t term_len = (size_t)(nul - p);
	tl_index_term_set(&scan->high, tl_slice(p, term_len));
	return tl_ordered_int_read(nul + 1, rest.len - term_len - 1, &scan->high_offset);
}

/* Looks at what the iterator is at: it must be a chunk of the segment. */
static enum tl_err open_chunk(struct tl_segment_scan *scan, bool there)
{
	struct tl_index_key prefix;
	enum tl_err err = tl_iter_error(scan->iter);
	if (!there)
		return err == TL_OK ? TL_CORRUPT : err;
	struct tl_slice key = tl_iter_key(scan->iter), begin = tl_index_key_begin(&prefix, scan->segment.id);
	if (key.len <= begin.len || memcmp(key.ptr, begin.ptr, begin.len) != 0)
		return TL_CORRUPT;
	bool ok = read_key(scan, tl_slice((const unsigned char *)key.ptr + begin.len, key.len - begin.len)) &&
	          tl_chunk_open(&scan->chunk, tl_iter_value(scan->iter));
	return ok ? TL_OK : TL_CORRUPT;
}

enum tl_err tl_segment_seek(struct tl_segment_scan *scan, struct tl_iter *iter, const struct tl_segment *segment,
                            struct tl_slice term, uint64_t offset)
{
	struct tl_index_key key;
	scan->iter = iter;
	scan->segment = *segment;
	enum tl_err err = open_chunk(scan, tl_iter_seek(iter, tl_index_key(&key, segment->id, term, offset)));
	if (err != TL_OK)
		return err;
	/* (C2) What is sought could be in a chunk that is missing. */
	bool first = scan->chunk.low.len == 0;
	if (!first && tl_index_posting_compare(tl_index_term_slice(&scan->chunk.low), scan->chunk.low_offset, term,
	                                       offset) >= 0)
		return TL_CORRUPT;
	return TL_OK;
}

enum tl_err tl_segment_next_chunk(struct tl_segment_scan *scan)
{
	struct tl_index_term high = scan->high;
	uint64_t high_offset = scan->high_offset;
	if (scan->chunk.damaged)
		return TL_CORRUPT;
	if (scan->last)
		return TL_END;
	enum tl_err err = open_chunk(scan, tl_iter_next(scan->iter));
	if (err == TL_OK && tl_index_posting_compare(tl_index_term_slice(&high), high_offset,
	                                             tl_index_term_slice(&scan->chunk.low), scan->chunk.low_offset) != 0)
		err = TL_CORRUPT;
	return err;
}

/* Goes to the next posting of the entry at hand, or of those after it. */
static enum tl_err advance(struct tl_posting_scan *scan)
{
	scan->there = false;
	while (!tl_offsets_next(&scan->offsets)) {
		if (tl_chunk_next(&scan->scan.chunk)) {
			scan->offsets = tl_offsets(scan->scan.chunk.list);
			continue;
		}
		enum tl_err err = tl_segment_next_chunk(&scan->scan);
		if (err != TL_OK)
			return err == TL_END ? TL_OK : err;
		scan->offsets = tl_offsets(tl_slice("", 0));
	}
	if (scan->offsets.value >= scan->scan.segment.to)
		return TL_CORRUPT;
	scan->cseq = scan->scan.segment.to - scan->offsets.value;
	scan->there = true;
	return TL_OK;
}

enum tl_err tl_posting_seek(struct tl_posting_scan *scan, struct tl_iter *iter, const struct tl_segment *segment,
                            struct tl_slice term, uint64_t cseq)
{
	uint64_t offset = cseq < segment->to ? segment->to - cseq : 0;
	enum tl_err err = tl_segment_seek(&scan->scan, iter, segment, term, offset);
	scan->offsets = tl_offsets(tl_slice("", 0));
	if (err == TL_OK)
		err = advance(scan);
	while (err == TL_OK && scan->there &&
	       tl_index_posting_compare(tl_index_term_slice(&scan->scan.chunk.term), scan->offsets.value, term, offset) < 0)
		err = advance(scan);
	return err;
}

enum tl_err tl_posting_next(struct tl_posting_scan *scan)
{
	return advance(scan);
}
