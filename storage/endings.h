/* Endings: the memberships of conversations that have been dissolved. One has ended when the conversation is no longer in the
 * user's list (TL_PART_USER_CONVERSATIONS) and does not count among the user's groups. The member's own record stays: it
 * tells what is shown of what lies in the inbox.
 *
 *     writer: dissolve ── the first few hundred end in the same batch ──► the rest is on record
 *     upkeep: ◄── the oldest record: who comes next? ──► chore: these end, the record moves on ──► … ──► it is deleted
 *
 *   (O1) Nobody is in a conversation that is dissolved, however far this is. Who reads a user's list looks into the
 *        conversation's record, too; whom a user's count would keep out of another group is counted again (tl_endings_of).
 *   (O2) Conversations come in the order in which they were dissolved, one after the other, and a user's record tells the
 *        queue position of the last one that has been counted in this way: so each counts once, whatever is done again.
 *   (O3) What is damaged is passed over: it stops neither the writer nor the rest. */
#ifndef TL_ENDINGS_H
#define TL_ENDINGS_H

#include "transaction.h"

enum { TL_ENDINGS_STEP = 200 }; /* memberships that end in one batch, with two changes each */

/* A conversation with memberships that have yet to end, and the users of the next of them. */
struct tl_ending {
	uint64_t position; /* in the queue, of what dissolved it */
	uint64_t conversation_no;
	uint64_t from; /* user number: nobody before has a membership that has yet to end */
	uint64_t users[TL_ENDINGS_STEP];
	size_t count;
	bool more; /* there are others behind them */
};

/* Ends the first memberships of a conversation that the record at hand dissolves, and puts the rest on record. Writer thread. */
TL_MUST_USE enum tl_err tl_endings_begin(struct tl_transaction *txn, uint64_t conversation_no);

/* How many of the groups and channels that are counted of a user have been dissolved. Costs a look for each conversation on
 * record. Writer thread. */
TL_MUST_USE enum tl_err tl_endings_of(struct tl_transaction *txn, const struct tl_user *user, uint64_t *count_out);

/* The next memberships to end; TL_NOT_FOUND: there is nothing on record. What the writer is going to read has been read
 * then. Upkeep's thread. */
TL_MUST_USE enum tl_err tl_endings_next(const struct tl_database *database, const struct tl_limits *limits,
                                        struct tl_ending *ending_out);

/* Ends them, and moves the record on or deletes it; once more does no harm. Writer thread. */
TL_MUST_USE enum tl_err tl_endings_apply(struct tl_transaction *txn, const struct tl_ending *ending);

#endif
