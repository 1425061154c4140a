/* The work of the indexer, a piece at a time: seals tails, merges segments, drops garbage, indexes anew. The thread around
 * it is indexer.h; tests call it as they like.
 *
 *     fresh marks ──► seal: tail → segment                     anew marks ──► everything is garbage, upkeep
 *     upkeep marks ─► seal, merge, drop garbage … until nothing is left to do for the conversation
 *     TL_META_REINDEX ─► an anew mark for each conversation
 *
 *   (I1) The store timelines are the truth. A directory claims no entry whose postings are not in the same or an
 *        earlier batch; what it does not claim is the tail, which searches read from the store itself.
 *   (I2) Batches are not synced: a power failure may undo the last ones. What remains of them is noticed when it is
 *        read (index_segment.h, S3).
 *   (I3) Nobody else writes TL_PART_INDEX.
 *   (I4) A mark that does not decode is counted and deleted; it stops none of the others.
 *   (I5) A piece of work holds its snapshot for some tens of milliseconds at most, and nothing in between.
 */
#ifndef TL_INDEX_WORK_H
#define TL_INDEX_WORK_H

#include "database.h"
#include "index_builder.h"
#include "index_merge.h"
#include "index_queue.h"

#include <stdatomic.h>

struct tl_index_work {
	struct tl_database *database; /* borrowed */
	struct tl_batch *batch;
	struct tl_index_builder *builder;
	struct tl_index_output output; /* of sealing */
	struct tl_index_merge merge;
	uint64_t fresh_position; /* there is no fresh mark before it */
	uint64_t upkeep_no;      /* the conversation whose upkeep mark was followed last */
	unsigned turn;           /* which queue is looked at first */
	bool marking;            /* TL_META_REINDEX may be there to be followed */
	/* Figures, read by any thread. */
	_Atomic uint64_t entries, segments, merges, bytes; /* sealed; made by sealing, by merging; of all segments made */
	_Atomic uint64_t unreadable; /* marks that did not decode */
	_Atomic uint64_t oldest_ts; /* ms: of the first fresh mark when last looked at; 0: there was none */
};

TL_MUST_USE enum tl_err tl_index_work_init(struct tl_index_work *work, struct tl_database *database);
void tl_index_work_fini(struct tl_index_work *work);

/* Forgets what is in memory, after an error; the database knows where to go on. */
void tl_index_work_reset(struct tl_index_work *work);

/* Does one piece. *did_out false: there is nothing to do. *marks_done_out: how many fresh marks are done with. After an error
 * (of reading or committing) call tl_index_work_reset. */
TL_MUST_USE enum tl_err tl_index_work_step(struct tl_index_work *work, bool *did_out, uint64_t *marks_done_out);

/* Has one conversation, or all (no 0), indexed anew; by and by. */
TL_MUST_USE enum tl_err tl_index_work_anew(struct tl_index_work *work, uint64_t conversation_no);

/* How many fresh marks there are; the next step begins with the first one. */
TL_MUST_USE enum tl_err tl_index_work_count(struct tl_index_work *work, uint64_t *marks_out);

#endif
