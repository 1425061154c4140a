/* A segment on its way into the database: in one batch with the directory that names it where it is small, else in several
 * of bounded size, of which the first lists it as garbage and marks the conversation for upkeep, so that a crash in
 * between leaves nothing behind.
 *
 *     begin ── add … add ── [batch is large: commit it] ── add … ── end: the directory names it (the caller's to put)
 *
 * Indexer's thread. */
#ifndef TL_INDEX_OUTPUT_H
#define TL_INDEX_OUTPUT_H

#include "index_segment.h"

enum { TL_INDEX_BATCH_BYTES = 512 * 1024 }; /* a batch of the indexer is committed when it has this many */

struct tl_index_output {
	struct tl_engine *engine;
	uint64_t conversation_no;
	bool listed; /* as garbage */
	struct tl_segment_writer writer;
};

void tl_index_output_begin(struct tl_index_output *output, struct tl_engine *engine, struct tl_batch *batch,
                           uint64_t conversation_no, const struct tl_segment *segment);

/* Adds a posting as tl_segment_add does. *committed_out: the batch was large, and has been committed and cleared. */
TL_MUST_USE enum tl_err tl_index_output_add(struct tl_index_output *output, struct tl_slice term, uint64_t cseq,
                                            bool *committed_out);

/* Puts the last chunk. The segment as the directory is to name it; the caller's directory must not list it as garbage. */
struct tl_segment tl_index_output_end(struct tl_index_output *output);

#endif
