/* Makes one segment of several that lie side by side, in steps of bounded size between which nothing is held: each step
 * finds its place again by the last posting written. Indexer's thread. */
#ifndef TL_INDEX_MERGE_H
#define TL_INDEX_MERGE_H

#include "index_output.h"

struct tl_index_merge {
	bool active;
	uint64_t conversation_no;
	uint64_t floor; /* entries up to this cseq are dropped */
	uint32_t count;
	struct tl_segment inputs[TL_INDEX_MERGE_MAX]; /* oldest first */
	struct tl_index_output output;
	struct tl_index_term term; /* of the last posting written; empty: none has been … */
	uint64_t cseq;             /* … and its message */
};

/* Begins to merge `count` segments from index `first` on. Takes the new segment's id from the directory (next_id), which is the
 * caller's copy and need not be put. */
void tl_index_merge_begin(struct tl_index_merge *merge, struct tl_engine *engine, struct tl_batch *batch,
                          uint64_t conversation_no, struct tl_directory *directory, uint32_t first, uint32_t count,
                          uint64_t floor);

/* Goes on, until the batch has been committed because it was large, or to the end: then the batch holds the rest and the
 * directory, for the caller to commit. TL_OK and merge->active false: it is at the end. TL_CORRUPT: an input is damaged. After an error
 * the merge is over. */
TL_MUST_USE enum tl_err tl_index_merge_step(struct tl_index_merge *merge);

#endif
