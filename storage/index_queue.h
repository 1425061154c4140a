/* What the indexer has to do, kept in the database so that nothing is forgotten over a crash.
 *
 *     fresh   (queue position, conversation) → [cseq, ts ms]   this conversation's tail has grown to cseq: seal it
 *     upkeep  (conversation) → [number]                        look after this conversation: seal, merge, drop garbage
 *     anew    (conversation) → []                              forget its index, then the same
 *
 * A fresh mark comes in the batch of the message that makes it due, so that the writer needs to look at nothing; an
 * obsolete one does no harm. Fresh marks stand in the order of time, so the first one tells how far the indexer is
 * behind, and each stands for about TL_INDEX_TAIL messages. */
#ifndef TL_INDEX_QUEUE_H
#define TL_INDEX_QUEUE_H

#include "index_directory.h"

/* Numbers of TL_PART_INDEX_QUEUE. */
enum { TL_INDEX_QUEUE_FRESH, TL_INDEX_QUEUE_UPKEEP, TL_INDEX_QUEUE_ANEW };

/* Whether a conversation's entry with this cseq and so many bytes makes its tail due to be sealed. */
bool tl_index_is_due(uint64_t cseq, size_t bytes);

/* Puts a fresh mark. `position`: the queue's of the record that is being applied. */
void tl_index_mark(struct tl_batch *batch, uint64_t position, uint64_t conversation_no, uint64_t cseq, uint64_t ts);

/* Puts an upkeep mark. `number` makes it differ from an earlier one that the indexer is about to delete: the queue position of the
 * record that is being applied, tl_index_floor_number, or 0 on the indexer's own thread. */
void tl_index_mark_upkeep(struct tl_batch *batch, uint64_t conversation_no, uint64_t number);

/* The number of a mark that comes with a floor, which only rises; no queue position is as great. */
static inline uint64_t tl_index_floor_number(uint64_t floor)
{
	return UINT64_MAX - floor;
}

/* Puts an anew mark. Indexer's thread. */
void tl_index_mark_anew(struct tl_batch *batch, uint64_t conversation_no);

struct tl_index_mark {
	uint64_t position, conversation_no; /* the key */
	uint64_t cseq, ts;
};

/* The fresh mark that the iterator is at. False if it is damaged: then *mark_out has the key if that is not, else zeros. */
bool tl_index_mark_read(const struct tl_iter *iter, struct tl_index_mark *mark_out);
void tl_index_mark_delete(struct tl_batch *batch, const struct tl_index_mark *mark);

/* The conversation of the upkeep or anew mark that the iterator is at. */
bool tl_index_upkeep_read(const struct tl_iter *iter, uint64_t *conversation_no_out);

/* Deletes an upkeep mark, guarded: the commit is refused (TL_CONFLICT) where the mark has been put again since it had this
 * value. */
void tl_index_upkeep_delete(struct tl_batch *batch, uint64_t conversation_no, struct tl_slice value);
void tl_index_anew_delete(struct tl_batch *batch, uint64_t conversation_no);

/* Deletes the damaged mark that the iterator is at. */
void tl_index_damaged_delete(struct tl_batch *batch, uint64_t queue, const struct tl_iter *iter);

#endif
