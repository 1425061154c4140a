/* A segment of the search index: the postings of the entries [from, to] of one conversation, in chunks.
 *
 *     partition (TL_PART_INDEX, conversation):
 *        segment id · term · NUL · offset  →  chunk up to this posting        … one after the other …
 *        segment id · FF                   →  the last chunk
 *
 *   (S1) What is looked for is in the first chunk whose key is not below it, which a forward seek finds.
 *   (S2) Every segment has a last chunk, even one without postings; so a segment that is not there is noticed.
 *   (S3) Index batches are not synced. After a power failure a directory may name segments that lack chunks; that shows when
 *        they are read (C2, S2) as TL_CORRUPT, as what cannot be read does, and the conversation is searched without its index and indexed anew.
 *        Or chunks are there whose segment no directory has ever named: they are found by their id, which is still to be given.
 *   (S4) A posting may stand below `from`: an edit event in [from, to] has its message indexed again.
 *
 * Terms hold no NUL and do not begin with FF: they are UTF-8, or one byte that says which field, and UTF-8.
 */
#ifndef TL_INDEX_SEGMENT_H
#define TL_INDEX_SEGMENT_H

#include "index_chunk.h"
#include "index_directory.h"
#include "ordered_int.h"

/* Fields of a message are indexed as terms of a namespace of their own; words begin with neither. */
enum {
	TL_INDEX_FROM = 0x01,   /* and the sender */
	TL_INDEX_TYPE = 0x02,   /* and the type */
	TL_INDEX_EDITED = 0x03, /* alone: this message stands here because it was edited */
};

/* Whether these bytes can be a term of the text. */
bool tl_index_is_word(struct tl_slice term);

/* --- keys --- */

struct tl_index_key {
	size_t len;
	unsigned char bytes[2 * TL_ORDERED_INT_MAX + TL_INDEX_TERM_MAX + 1];
};

/* The key of the chunk that ends with this posting; its beginning for `term` empty. */
struct tl_slice tl_index_key(struct tl_index_key *key, uint64_t id, struct tl_slice term, uint64_t offset);

/* Where the keys of a segment begin; those of id + 1 are where they end. */
struct tl_slice tl_index_key_begin(struct tl_index_key *key, uint64_t id);

/* Whether there are chunks of segments from `id` on, which no directory can have named (S3). `iter` is moved. What cannot be read
 * counts as none. */
TL_MUST_USE enum tl_err tl_index_has_from(struct tl_iter *iter, uint64_t conversation_no, uint64_t id, bool *has_out);

/* --- writing --- */

struct tl_segment_writer {
	struct tl_batch *batch; /* borrowed: where the chunks go; the caller commits it before it grows too large */
	struct tl_partition partition;
	struct tl_segment segment; /* `bytes` grows */
	bool any;                  /* something has been added */
	struct tl_chunk_writer chunk;
};

void tl_segment_begin(struct tl_segment_writer *writer, struct tl_batch *batch, uint64_t conversation_no,
                      const struct tl_segment *segment);

/* Adds a posting: in the order of terms, and for each term the newest message first. One that repeats is passed over. */
void tl_segment_add(struct tl_segment_writer *writer, struct tl_slice term, uint64_t cseq);

/* Puts the last chunk. */
void tl_segment_finish(struct tl_segment_writer *writer);

/* --- reading --- */

/* A walk over a segment's postings, chunk by chunk. */
struct tl_segment_scan {
	struct tl_iter *iter; /* borrowed; on the conversation's TL_PART_INDEX; may be shared by walks that copy what they need */
	struct tl_segment segment;
	struct tl_chunk_reader chunk; /* points into what the iterator is at */
	bool last;                    /* this is the segment's last chunk; else … */
	struct tl_index_term high;    /* … this and its offset are the last posting in it */
	uint64_t high_offset;
};

/* Opens the chunk that has the first posting not below (term, offset), if any has it. TL_OK; TL_CORRUPT (S3); trouble. */
TL_MUST_USE enum tl_err tl_segment_seek(struct tl_segment_scan *scan, struct tl_iter *iter,
                                        const struct tl_segment *segment, struct tl_slice term, uint64_t offset);

/* Opens the chunk after this one; the iterator must stand where it stood. TL_END: it was the last. */
TL_MUST_USE enum tl_err tl_segment_next_chunk(struct tl_segment_scan *scan);

/* The same walk posting by posting. It needs an iterator of its own. */
struct tl_posting_scan {
	struct tl_segment_scan scan;
	struct tl_offsets offsets;
	bool there;          /* a posting is at hand: scan.chunk.term and cseq */
	uint64_t cseq;
};

/* Begins at the first posting not below (term, cseq): terms ascend, and for each term cseqs descend. */
TL_MUST_USE enum tl_err tl_posting_seek(struct tl_posting_scan *scan, struct tl_iter *iter,
                                        const struct tl_segment *segment, struct tl_slice term, uint64_t cseq);
TL_MUST_USE enum tl_err tl_posting_next(struct tl_posting_scan *scan);

#endif
