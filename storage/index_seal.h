/* Seals the tail of a conversation: makes a segment of the entries behind what is indexed. Indexer's thread. */
#ifndef TL_INDEX_SEAL_H
#define TL_INDEX_SEAL_H

#include "index_work.h"

/* Unless everything up to `cseq` is indexed: puts a segment of what follows indexed_to into the work's batch, as much as is
 * seemly for one segment, and the directory; an upkeep mark too where something is left to do then. *to_out: the cseq up to
 * which a fresh mark is done with; nothing in the batch and UINT64_MAX where there is nothing to seal, because the conversation
 * is to have no index or nothing is left of it behind indexed_to. What of it cannot be read has no words. `store`: an iterator
 * on the snapshot. */
TL_MUST_USE enum tl_err tl_index_seal(struct tl_index_work *work, const struct tl_snapshot *snapshot,
                                      struct tl_iter *store, uint64_t conversation_no, uint64_t cseq, uint64_t *to_out);

#endif
