/* One batch in the making: the changes of many queue records, and what is to be told once they are committed.
 *
 *     queue record ── send.c, request_*.c ──► transaction ── commit ──► engine
 *     chore ───────── pull.c …              ──►
 *                                                  └── outcomes, deliveries, appends ──► told afterwards
 *
 *   (X1) Applying a record first reads all that it needs, then changes; an error in between leaves nothing half-done.
 *   (X2) A record is applied exactly once. The watermark tells which records a committed batch covers. An engine that
 *        is atomic only within a partition may have applied parts of a batch whose watermark is missing; so while
 *        records are replayed after a start or a failure (`replaying`), each append first looks whether the
 *        timeline has it already, by the queue position that store records and inbox entries carry. This holds for
 *        messages and creations; a change that finds itself made already makes no event, so with such an engine (not
 *        with LevelDB) its event may be missing after a failure.
 *   (X3) Sequence numbers are given here and nowhere else: head + 1, per conversation and per user.
 *
 * Writer thread only.
 */
#ifndef TL_TRANSACTION_H
#define TL_TRANSACTION_H

#include "arena.h"
#include "commit.h"
#include "conversations.h"
#include "dedup.h"
#include "due.h"
#include "message.h"
#include "store_limits.h"
#include "users.h"

/* How much there is to tell. */
struct tl_told {
	size_t outcomes, deliveries, appends, backlogs, regrouped;
	uint64_t pulled;
};

struct tl_transaction {
	/* given by the writer */
	struct tl_database *database;
	struct tl_users users;
	struct tl_conversations conversations;
	struct tl_dedup ids; /* message ids of late */
	const struct tl_limits *limits;

	/* the batch */
	struct tl_batch *batch;
	struct tl_iter *iter; /* on the state before the batch; made when first needed */
	struct tl_arena arena;
	struct tl_pack pack;  /* scratch */
	struct tl_dedup_pending *dedup; /* ids used in this batch */
	struct tl_inbox_run *runs;         /* what it appends to inboxes and is put when it is finished … */
	size_t run_count, run_bytes;       /* … in so many items that are not put yet, and bytes */
	uint64_t index_marks;              /* fresh ones of the search index in this batch … */
	bool index_upkeep;                 /* … and whether there is one of upkeep */
	struct tl_slice damaged;           /* id of a conversation to which something was refused as it cannot be read; in the arena */
	struct tl_changed_member *changed; /* members whose records are to be put */
	size_t changed_count, changed_room;
	struct tl_due due; /* markers in the batch */
	uint64_t due_ts, due_time; /* when inbox entries of that time are due: computed once for all members */

	/* what is told once the batch is committed, or several together */
	struct tl_told before; /* of the batches before this one */
	struct tl_outcome *outcomes;
	struct tl_delivery *deliveries;
	struct tl_inbox_append *appends;
	struct tl_backlog_change *backlogs;
	uint64_t pulled_count;
	struct tl_slice *regrouped; /* ids of conversations and users, in the arena */
	size_t regrouped_count, regrouped_room;
	size_t outcome_count, outcome_room;
	size_t delivery_count, delivery_room;
	size_t append_count, append_room;
	size_t backlog_count, backlog_room;

	/* the record at hand */
	uint64_t position; /* in the queue, never 0 */
	uint64_t now;      /* ms: of what is appended, when it was accepted; of a chore, when it was made */
	bool replaying;

	uint64_t serial; /* of the batch */
};

TL_MUST_USE enum tl_err tl_transaction_init(struct tl_transaction *txn, struct tl_database *database);
void tl_transaction_fini(struct tl_transaction *txn);

/* Begins anew: an empty batch, nothing to tell. The caches stay. */
void tl_transaction_clear(struct tl_transaction *txn);

/* The same, and nothing is cached any more: for when a batch may not have been applied. */
void tl_transaction_forget(struct tl_transaction *txn);

/* Begins another batch, the last one having been committed; what is to be told stays, and is told with that of this one. What
 * is cached must not be trimmed before that. */
void tl_transaction_next(struct tl_transaction *txn);

/* Begins the batch at hand again, empty, with no more to tell than there was then (but for marks of the search index and of what
 * is due, of which too many do no harm). What is cached is half-changed: it has to be forgotten once all has been told. */
void tl_transaction_retract(struct tl_transaction *txn, const struct tl_told *then);

/* Lets go of what reads from the engine, so that it can be reopened. What is to be told stays. */
void tl_transaction_release(struct tl_transaction *txn);

/* Before each record. */
void tl_transaction_record(struct tl_transaction *txn, uint64_t position, bool replaying);

/* Before the chores of a batch (chores.h). `committed`: everything before this queue position is in the database. */
void tl_transaction_chores(struct tl_transaction *txn, uint64_t committed);

/* An iterator on the state before the batch. */
TL_MUST_USE enum tl_err tl_transaction_iter(struct tl_transaction *txn, struct tl_iter **iter_out);

/* --- what operations do --- */

/* Finds a conversation, which then goes the way that it should (fanout.h). TL_NOT_FOUND if there is none. TL_STORAGE: what has
 * to be known of it cannot be read, and nothing was changed; whoever asked is told so, which concerns nobody else. */
TL_MUST_USE enum tl_err tl_transaction_conversation(struct tl_transaction *txn, struct tl_slice cid,
                                                    struct tl_conversation **conversation_out);

/* While replaying: whether the conversation is what the record at hand has made before, perhaps not to the end (X2). */
TL_MUST_USE enum tl_err tl_transaction_is_own_creation(struct tl_transaction *txn,
                                                       const struct tl_conversation *conversation, bool *own_out);

/* Notes of which conversation it is that something cannot be read. */
void tl_transaction_note_damaged(struct tl_transaction *txn, struct tl_slice cid);

/* Finds a user or makes a new one. */
TL_MUST_USE enum tl_err tl_transaction_user(struct tl_transaction *txn, struct tl_slice uid, struct tl_user **user_out);

/* Finds a user: *user_out is NULL where there is none of that name. */
TL_MUST_USE enum tl_err tl_transaction_find_user(struct tl_transaction *txn, struct tl_slice uid,
                                                 struct tl_user **user_out);

/* What a sender's message id is remembered by in a conversation. */
struct tl_dedup_key tl_transaction_dedup_key(const struct tl_transaction *txn, const struct tl_conversation *conversation,
                                             struct tl_slice sender, struct tl_slice id);

/* Whether this id was used in this conversation within the window: TL_OK and what became of it, or TL_NOT_FOUND. `ts`: now,
 * ms. */
TL_MUST_USE enum tl_err tl_transaction_find_dup(struct tl_transaction *txn, const struct tl_conversation *conversation,
                                                const struct tl_dedup_key *key, uint64_t ts,
                                                struct tl_dedup_record *record_out);

/* Appends a kept message (its time may be raised in place) to the conversation and to every member's inbox, and has
 * it told. */
struct tl_append {
	char *message; /* in the arena */
	size_t len;
	bool event;             /* not counted as a message */
	struct tl_member *sender; /* has seen everything up to this one; NULL for an event */
	uint64_t order;           /* custom order key; 0: none */
	const struct tl_dedup_key *dedup; /* the id to be remembered; NULL: none */
};
TL_MUST_USE enum tl_err tl_transaction_append(struct tl_transaction *txn, struct tl_conversation *conversation,
                                              const struct tl_append *append, uint64_t *cseq_out, uint64_t *ts_out);

/* Appends a kept message to one user's inbox only, and has it told. `conversation` may be NULL. */
TL_MUST_USE enum tl_err tl_transaction_append_private(struct tl_transaction *txn, struct tl_user *user,
                                                      const struct tl_conversation *conversation, char *message,
                                                      size_t len);

/* Appends a reference to an entry of a conversation to a user's inbox, of which nobody is told. */
void tl_transaction_append_pulled(struct tl_transaction *txn, struct tl_user *user, uint64_t conversation_no,
                                  uint64_t cseq, uint64_t ts);

/* Moves the end of a user's inbox to `head`, leaving out what is between, and its floor likewise. */
TL_MUST_USE enum tl_err tl_transaction_skip(struct tl_transaction *txn, struct tl_user *user, uint64_t head);

/* Puts a user's backlog, or deletes it where there is none any more, and has it told; `uid` and `inbox_head` are filled
 * in here. */
TL_MUST_USE enum tl_err tl_transaction_put_backlog(struct tl_transaction *txn, const struct tl_user *user,
                                                   const struct tl_backlog_change *change);

/* Has it told that a user has muted a conversation, or the opposite. Nothing where the member has no backlog, because each
 * append says so itself. */
TL_MUST_USE enum tl_err tl_transaction_tell_sound(struct tl_transaction *txn, const struct tl_user *user,
                                                  const struct tl_conversation *conversation,
                                                  const struct tl_member *member);

/* Has upkeep look at a conversation soon: how long its messages live has changed, of which an event has been appended. */
void tl_transaction_retention_changed(struct tl_transaction *txn, struct tl_conversation *conversation);

/* Puts an inbox's floor if that raises it. */
void tl_transaction_raise_inbox_floor(struct tl_transaction *txn, struct tl_user *user, uint64_t floor);

/* Notes that who is in a conversation, or what they may do there, changes with this batch; or who blocks a user. `name`: the
 * conversation's id or the user's. */
TL_MUST_USE enum tl_err tl_transaction_regrouped(struct tl_transaction *txn, struct tl_slice name);

/* Has a member's record put when the batch is finished. */
TL_MUST_USE enum tl_err tl_transaction_member_changed(struct tl_transaction *txn, struct tl_conversation *conversation,
                                                      struct tl_member *member);

/* Has the indexer look after a conversation whose record changes with this batch: whether it is to be indexed. */
void tl_transaction_mark_index(struct tl_transaction *txn, uint64_t conversation_no);

/* Likewise of which the floor of the store timeline is raised. */
void tl_transaction_mark_index_floor(struct tl_transaction *txn, uint64_t conversation_no, uint64_t floor);

/* How large the batch will be, as far as it goes: puts, with so many more as its inbox entries are worth, which go together
 * in items (inbox.h); and bytes. */
uint64_t tl_transaction_puts(const struct tl_transaction *txn);
uint64_t tl_transaction_bytes(const struct tl_transaction *txn);

/* Puts what has been left for the end. Before the commit. */
void tl_transaction_finish(struct tl_transaction *txn);

/* Has an outcome told; its slices are copied. */
TL_MUST_USE enum tl_err tl_transaction_tell(struct tl_transaction *txn, const struct tl_outcome *outcome);

/* How much there is to tell so far. */
struct tl_told tl_transaction_so_far(const struct tl_transaction *txn);

/* All that is to be told, valid until the next clear or trim; or only what was to be told then. */
struct tl_commit tl_transaction_told(const struct tl_transaction *txn);
struct tl_commit tl_transaction_told_until(const struct tl_transaction *txn, const struct tl_told *then);

#endif
