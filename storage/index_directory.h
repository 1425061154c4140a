/* The directory of one conversation's part of the search index: up to where it is indexed, and in which segments.
 *
 *     cseq:  1 ─────────────────────────────────────────────► indexed_to │ ────────► head
 *            [   segment, level 2   ][ level 1 ][ 0 ][ 0 ]               │  the tail: not in the index yet
 *
 *   (D1) The segments lie side by side in ascending order and end at indexed_to; the first begins where anything is left.
 *   (D2) The directory stands in the same partition as its segments' chunks, so on any engine a batch changes them
 *        together. What a segment's chunks are put in before the directory names it, or outlive their segment, are listed
 *        as garbage first.
 *   (D3) Ids of segments are never used again. Where a loss of power has left chunks of a segment and not the directory that gave
 *        it its id (index_segment.h, S3), these are dropped before any segment is made.
 *   (D4) The directory of another version counts as none: nothing is indexed.
 *   (D5) Upkeep, which a change of a conversation's record is marked for, switches off the directory of one that is to have no
 *        index, and on again; so sealing, which reads the directory anyway, need not read the record.
 */
#ifndef TL_INDEX_DIRECTORY_H
#define TL_INDEX_DIRECTORY_H

#include "records.h"

enum {
	TL_INDEX_VERSION = 2,   /* of the format and of how text is cut into terms; a new one has everything indexed anew */
	TL_INDEX_SEGMENTS_MAX = 64,
	TL_INDEX_GARBAGE_MAX = 2 * TL_INDEX_SEGMENTS_MAX,
	TL_INDEX_FANOUT = 4,    /* a segment of one level is so many times as large as one of the level below */
	TL_INDEX_MERGE_MAX = 16, /* and not more at a time */
	TL_INDEX_TAIL = 32,     /* messages: a tail of so many becomes a segment */
	TL_INDEX_TAIL_BYTES = 8 * 1024, /* and a tail that ends with a message of so many bytes */
};

struct tl_segment {
	uint64_t id;
	uint64_t from, to; /* cseq, both included: the entries that were read for it */
	uint64_t bytes;    /* of its chunks */
};

struct tl_directory {
	uint64_t indexed_to; /* cseq, 0: nothing is */
	uint64_t next_id;    /* for the next segment, from 1 */
	bool off;            /* the conversation is to have no index (D5) */
	uint32_t segment_count, garbage_count;
	struct tl_segment segments[TL_INDEX_SEGMENTS_MAX];
	uint64_t garbage[TL_INDEX_GARBAGE_MAX]; /* ids of segments whose chunks may be there and are to be dropped */
};

/* Reads a conversation's directory; an empty one where there is none. TL_CORRUPT: it is damaged, or of another version (D4). */
TL_MUST_USE enum tl_err tl_directory_read(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                          uint64_t conversation_no, struct tl_directory *directory_out);

/* Puts it into the batch. */
void tl_directory_put(const struct tl_directory *directory, uint64_t conversation_no, struct tl_batch *batch);

/* Encoding and decoding of the record alone. */
void tl_directory_pack(struct tl_pack *pack, const struct tl_directory *directory);
bool tl_directory_unpack(struct tl_slice bytes, struct tl_directory *directory_out);

/* The segments, if any, that are due to become one: *count_out of them from index *first_out on. */
bool tl_directory_due(const struct tl_directory *directory, uint32_t *first_out, uint32_t *count_out);

/* Adds a segment behind the others; there is room (segment_count < TL_INDEX_SEGMENTS_MAX). */
void tl_directory_add(struct tl_directory *directory, const struct tl_segment *segment);

/* Puts one segment in the place of `count` from index `first` on, whose ids become garbage; there is room for them
 * (tl_directory_has_room). */
void tl_directory_replace(struct tl_directory *directory, uint32_t first, uint32_t count,
                          const struct tl_segment *segment);

/* Drops the segments that end at or before cseq `floor`, whose ids become garbage. False if there is none. */
bool tl_directory_expire(struct tl_directory *directory, uint64_t floor);

/* Whether `count` more ids can become garbage. */
bool tl_directory_has_room(const struct tl_directory *directory, uint32_t count);

/* Notes an id as garbage, or as none any more. There is room. */
void tl_directory_add_garbage(struct tl_directory *directory, uint64_t id);
void tl_directory_remove_garbage(struct tl_directory *directory, uint64_t id);

/* The index of the segment of that id, or segment_count. */
uint32_t tl_directory_find(const struct tl_directory *directory, uint64_t id);

#endif
