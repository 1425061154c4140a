#include "index_chunk.h"

#include "varint.h"

#include <assert.h>

void tl_index_term_set(struct tl_index_term *copy, struct tl_slice term)
{
	assert(term.len <= TL_INDEX_TERM_MAX);
	copy->len = (uint32_t)term.len;
	if (term.len > 0)
		memcpy(copy->bytes, term.ptr, term.len);
}

int tl_index_posting_compare(struct tl_slice term, uint64_t offset, struct tl_slice other_term, uint64_t other_offset)
{
	int order = tl_slice_compare(term, other_term);
	return order ? order : (offset > other_offset) - (offset < other_offset);
}

/* --- writing --- */

static void put_bytes(struct tl_chunk_writer *writer, const void *bytes, size_t len)
{
	if (len > 0)
		memcpy(writer->out + writer->len, bytes, len);
	writer->len += len;
}

static void put_number(struct tl_chunk_writer *writer, uint64_t value)
{
	writer->len += tl_varint_put(writer->out + writer->len, value);
}

void tl_chunk_begin(struct tl_chunk_writer *writer, struct tl_slice low, uint64_t low_offset)
{
	writer->len = writer->list_len = 0;
	writer->count = 0;
	tl_index_term_set(&writer->base, low);
	writer->offset = low_offset;
	put_number(writer, low.len);
	put_bytes(writer, low.ptr, low.len);
	put_number(writer, low_offset);
	/* What comes next is a term of its own even if it is the same as low. */
	tl_index_term_set(&writer->term, low);
}

static size_t shared_length(struct tl_slice a, struct tl_slice b)
{
	const unsigned char *x = a.ptr, *y = b.ptr;
	size_t most = a.len < b.len ? a.len : b.len, len = 0;
	while (len < most && x[len] == y[len])
		len++;
	return len;
}

/* Completes the entry of the last term (C1). */
static void end_entry(struct tl_chunk_writer *writer)
{
	if (writer->count == 0)
		return;
	size_t shared = shared_length(tl_index_term_slice(&writer->base), tl_index_term_slice(&writer->term));
	put_number(writer, shared);
	put_number(writer, writer->term.len - shared);
	put_bytes(writer, writer->term.bytes + shared, writer->term.len - shared);
	put_number(writer, writer->count);
	if (writer->count > 1)
		put_number(writer, writer->list_len);
	put_bytes(writer, writer->list, writer->list_len);
	tl_index_term_set(&writer->base, tl_index_term_slice(&writer->term)); /* the room behind it is large */
	writer->count = 0;
	writer->list_len = 0;
}

void tl_chunk_add(struct tl_chunk_writer *writer, struct tl_slice term, uint64_t offset)
{
	bool same = writer->count > 0 && tl_slice_equal(term, tl_index_term_slice(&writer->term));
	assert(!tl_chunk_is_full(writer));
	if (!same) {
		end_entry(writer);
		tl_index_term_set(&writer->term, term);
	}
	writer->list_len += tl_varint_put(writer->list + writer->list_len, same ? offset - writer->offset : offset);
	writer->offset = offset;
	writer->count++;
}

bool tl_chunk_is_full(const struct tl_chunk_writer *writer)
{
	return writer->len + writer->list_len >= TL_INDEX_CHUNK_BYTES;
}

struct tl_slice tl_chunk_finish(struct tl_chunk_writer *writer)
{
	end_entry(writer);
	return tl_slice(writer->out, writer->len);
}

/* --- reading --- */

bool tl_chunk_open(struct tl_chunk_reader *reader, struct tl_slice bytes)
{
	uint64_t len;
	reader->next = bytes.ptr;
	reader->end = reader->next + bytes.len;
	reader->damaged = true;
	if (!tl_varint_get(&reader->next, reader->end, &len) || len > TL_INDEX_TERM_MAX ||
	    len > (uint64_t)(reader->end - reader->next))
		return false;
	tl_index_term_set(&reader->low, tl_slice(reader->next, (size_t)len));
	reader->next += len;
	if (!tl_varint_get(&reader->next, reader->end, &reader->low_offset))
		return false;
	reader->term = reader->low;
	reader->damaged = false;
	return true;
}

static bool read_term(struct tl_chunk_reader *reader)
{
	uint64_t shared, rest;
	if (!tl_varint_get(&reader->next, reader->end, &shared) || !tl_varint_get(&reader->next, reader->end, &rest) ||
	    shared > reader->term.len || rest > TL_INDEX_TERM_MAX - shared || shared + rest == 0 ||
	    rest > (uint64_t)(reader->end - reader->next))
		return false;
	memcpy(reader->term.bytes + shared, reader->next, (size_t)rest);
	reader->term.len = (uint32_t)(shared + rest);
	reader->next += rest;
	return true;
}

static bool read_list(struct tl_chunk_reader *reader)
{
	uint64_t bytes, only;
	if (!tl_varint_get(&reader->next, reader->end, &reader->count) || reader->count == 0)
		return false;
	const unsigned char *begin = reader->next;
	if (reader->count == 1) {
		if (!tl_varint_get(&reader->next, reader->end, &only))
			return false;
	} else {
		if (!tl_varint_get(&reader->next, reader->end, &bytes) || bytes > (uint64_t)(reader->end - reader->next))
			return false;
		begin = reader->next;
		reader->next += bytes;
	}
	reader->list = tl_slice(begin, (size_t)(reader->next - begin));
	return reader->count <= reader->list.len;
}

bool tl_chunk_next(struct tl_chunk_reader *reader)
{
	if (reader->damaged || reader->next == reader->end)
		return false;
	reader->damaged = !read_term(reader) || !read_list(reader);
	return !reader->damaged;
}

struct tl_offsets tl_offsets(struct tl_slice list)
{
	const unsigned char *begin = list.ptr;
	return (struct tl_offsets){.next = begin, .end = begin + list.len};
}

bool tl_offsets_next(struct tl_offsets *offsets)
{
	uint64_t difference;
	if (!tl_varint_get(&offsets->next, offsets->end, &difference) ||
	    (offsets->begun && difference == 0) ||
	    __builtin_add_overflow(offsets->value, difference, &offsets->value))
		return false;
	offsets->begun = true;
	return true;
}
