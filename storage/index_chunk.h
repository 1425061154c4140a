/* A chunk of the search index: some of a segment's postings, in order, packed.
 *
 * A posting is a term and an offset, which is how far below the segment's last cseq the message stands; so the newest
 * message of a term comes first. Postings go by term in byte order, then by offset. A chunk holds those of (low, high]:
 *
 *     +-----------------+------------+-----------------------------------------------------------------+ …
 *     | low term        | low offset | shared  rest  rest   count  [bytes]  first offset  differences  |
 *     | length, bytes   |            | length  length bytes            one entry for each term          |
 *     +-----------------+------------+-----------------------------------------------------------------+ …
 *                                          numbers are LEB128; `bytes`, of what follows, only if count > 1
 *
 *   (C1) A term shares its beginning with the term before it, the first one with `low`, and is never empty.
 *   (C2) `high` is the chunk's key and `low` the high of the chunk before (empty and 0 in a segment's first), so a missing
 *        chunk is noticed by whoever looks for what would be in it.
 *   (C3) Nothing here allocates; a chunk has a bounded size.
 */
#ifndef TL_INDEX_CHUNK_H
#define TL_INDEX_CHUNK_H

#include "slice.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	TL_INDEX_TERM_MAX = 255,   /* bytes of a term */
	TL_INDEX_CHUNK_BYTES = 2048, /* a chunk is closed when it has this many … */
	TL_INDEX_CHUNK_MAX = TL_INDEX_CHUNK_BYTES + 2 * TL_INDEX_TERM_MAX + 64, /* … and never has more than these */
};

/* A term in a place of its own. */
struct tl_index_term {
	uint32_t len;
	unsigned char bytes[TL_INDEX_TERM_MAX];
};

/* `term` has at most TL_INDEX_TERM_MAX bytes. */
void tl_index_term_set(struct tl_index_term *copy, struct tl_slice term);
static inline struct tl_slice tl_index_term_slice(const struct tl_index_term *term)
{
	return tl_slice(term->bytes, term->len);
}

/* The order of postings: <0, 0, >0. */
int tl_index_posting_compare(struct tl_slice term, uint64_t offset, struct tl_slice other_term, uint64_t other_offset);

/* --- writing --- */

struct tl_chunk_writer {
	size_t len;                /* of `out`: the head and the entries that are complete */
	size_t list_len;           /* of `list` */
	uint64_t count;            /* postings of the last term */
	uint64_t offset;           /* of the last posting */
	struct tl_index_term term; /* of the last posting */
	struct tl_index_term base; /* what the last term shares its beginning with */
	unsigned char list[TL_INDEX_CHUNK_BYTES + 16]; /* the last term's offsets, packed */
	unsigned char out[TL_INDEX_CHUNK_MAX];
};

/* Begins a chunk behind the posting (low, low_offset). */
void tl_chunk_begin(struct tl_chunk_writer *writer, struct tl_slice low, uint64_t low_offset);

/* Adds a posting that is greater than the one before; not to a full chunk. */
void tl_chunk_add(struct tl_chunk_writer *writer, struct tl_slice term, uint64_t offset);

/* Whether the chunk has to be finished before anything is added. */
bool tl_chunk_is_full(const struct tl_chunk_writer *writer);

/* The chunk's bytes, valid until the next begin. What was added last is its high: writer->term and writer->offset. */
struct tl_slice tl_chunk_finish(struct tl_chunk_writer *writer);

/* --- reading --- */

struct tl_chunk_reader {
	const unsigned char *next, *end;
	bool damaged;
	struct tl_index_term low;
	uint64_t low_offset;
	struct tl_index_term term; /* of the entry at hand */
	uint64_t count;            /* its postings */
	struct tl_slice list;      /* and their offsets, packed; a part of the chunk */
};

/* Opens a chunk, whose bytes must stay where they are. False if it is damaged. */
bool tl_chunk_open(struct tl_chunk_reader *reader, struct tl_slice bytes);

/* Goes to the next entry. False at the end, or where the chunk is damaged (reader->damaged). */
bool tl_chunk_next(struct tl_chunk_reader *reader);

/* The offsets of an entry, ascending. */
struct tl_offsets {
	const unsigned char *next, *end;
	uint64_t value; /* the one at hand */
	bool begun;
};

struct tl_offsets tl_offsets(struct tl_slice list);

/* Goes to the next offset. False at the end; a list that is damaged ends early. */
bool tl_offsets_next(struct tl_offsets *offsets);

#endif
