#include "transaction_parts.h"

#include "inbox.h"

/* An entry of a run in the making; in the arena. */
struct piece {
	struct piece *next;
	struct tl_slice entry;
};

/* What the batch at hand appends to one inbox (inbox.h); in the arena. */
struct tl_inbox_run {
	struct tl_inbox_run *next; /* of another user */
	struct tl_user *user;
	struct piece *first, **last;
	size_t bytes;
};

/* An inbox that is longer than it may be is looked at every so many entries. */
static bool is_overdue(const struct tl_user *user, uint64_t inbox_max)
{
	return inbox_max > 0 && user->inbox_head > inbox_max &&
	       (user->inbox_head - inbox_max) % (inbox_max / TL_INBOX_SLACK + 1) == 0;
}

/* When what is of that time is due: computed once for all members. */
static uint64_t due_time(struct tl_transaction *txn, uint64_t ts)
{
	if (ts != txn->due_ts) {
		txn->due_ts = ts;
		txn->due_time = tl_due_time(ts, txn->limits->inbox_ttl_ms);
	}
	return txn->due_time;
}

/* Before the append: the last entry has its marker (due.h D1), which need not be put again. */
static void note_marker(const struct tl_transaction *txn, struct tl_user *user)
{
	if (user->marked == 0 && user->inbox_ts > 0 && !txn->replaying)
		user->marked = tl_due_time(user->inbox_ts, txn->limits->inbox_ttl_ms);
}

static void mark_inbox(struct tl_transaction *txn, struct tl_user *user, uint64_t ts)
{
	tl_due_mark(&txn->due, txn->batch, TL_DUE_INBOX, due_time(txn, ts), user->no, &user->marked);
	if (is_overdue(user, txn->limits->inbox_max))
		tl_due_put(&txn->due, txn->batch, TL_DUE_INBOX, tl_due_now(txn->now), user->no);
}

void tl_transaction_raise_inbox_floor(struct tl_transaction *txn, struct tl_user *user, uint64_t floor)
{
	if (floor <= user->inbox_floor)
		return;
	user->inbox_floor = floor;
	tl_inbox_put_floor(txn->batch, user->no, floor);
}

/* --- runs --- */

static struct tl_inbox_run *run_of(struct tl_transaction *txn, struct tl_user *user)
{
	struct tl_inbox_run *run = user->run;
	if (run)
		return run;
	if (!(run = tl_arena_alloc(&txn->arena, sizeof *run)))
		return NULL;
	*run = (struct tl_inbox_run){.next = txn->runs, .user = user, .last = &run->first};
	txn->runs = user->run = run;
	return run;
}

/* Puts a run that is not empty, whose last entry is the inbox's head, and begins it anew. */
static void put_run(struct tl_transaction *txn, struct tl_inbox_run *run)
{
	struct tl_slice item = run->first->entry;
	if (run->first->next) {
		char *joined = tl_arena_alloc(&txn->arena, run->bytes), *to = joined;
		for (struct piece *piece = run->first; piece && joined; piece = piece->next) {
			memcpy(to, piece->entry.ptr, piece->entry.len);
			to += piece->entry.len;
		}
		item = tl_slice(joined, joined ? run->bytes : 0);
		if (!joined)
			tl_batch_fail(txn->batch);
	}
	tl_inbox_put(txn->batch, run->user->no, run->user->inbox_head, item);
	txn->run_count--;
	txn->run_bytes -= run->bytes;
	run->first = NULL;
	run->last = &run->first;
	run->bytes = 0;
}

/* Appends an entry, which is in the arena, as the one after the inbox's head. */
static void append(struct tl_transaction *txn, struct tl_user *user, struct tl_slice entry)
{
	struct tl_inbox_run *run = run_of(txn, user);
	struct piece *piece = tl_arena_alloc(&txn->arena, sizeof *piece);
	if (!run || !piece) {
		tl_batch_fail(txn->batch);
		return;
	}
	if (run->first && run->bytes + entry.len > TL_INBOX_RUN_BYTES)
		put_run(txn, run);
	txn->run_count += !run->first;
	txn->run_bytes += entry.len;
	*piece = (struct piece){.entry = entry};
	*run->last = piece;
	run->last = &piece->next;
	run->bytes += entry.len;
	user->inbox_head++;
}

void tl_transaction_put_runs(struct tl_transaction *txn)
{
	for (struct tl_inbox_run *run = txn->runs; run; run = run->next)
		if (run->first)
			put_run(txn, run);
}

void tl_transaction_forget_runs(struct tl_transaction *txn)
{
	for (struct tl_inbox_run *run = txn->runs; run; run = run->next)
		run->user->run = NULL;
	txn->runs = NULL;
	txn->run_count = txn->run_bytes = 0;
}

/* --- appending --- */

struct tl_slice tl_transaction_pack_entry(struct tl_transaction *txn, const struct tl_inbox_entry *entry)
{
	tl_pack_clear(&txn->pack);
	tl_inbox_entry_pack(&txn->pack, entry);
	tl_pack_check(&txn->pack, txn->batch);
	struct tl_slice packed = tl_pack_bytes(&txn->pack);
	const void *copy = tl_arena_copy(&txn->arena, packed);
	if (!copy)
		tl_batch_fail(txn->batch);
	return tl_slice(copy, copy ? packed.len : 0);
}

void tl_transaction_put_inbox(struct tl_transaction *txn, struct tl_user *user, struct tl_slice entry, uint64_t ts,
                              uint32_t delivery, bool quiet)
{
	if (txn->replaying && user->position >= txn->position) {
		mark_inbox(txn, user, ts); /* its marker may not be there */
		return;
	}
	note_marker(txn, user);
	append(txn, user, entry);
	user->position = txn->position;
	user->inbox_ts = ts;
	mark_inbox(txn, user, ts);
	txn->appends[txn->append_count++] = (struct tl_inbox_append){
		.uid = tl_slice(user->uid, user->uid_len), .seq = user->inbox_head, .delivery = delivery, .quiet = quiet};
}

void tl_transaction_put_inbox_late(struct tl_transaction *txn, struct tl_user *user, struct tl_inbox_entry entry,
                                   uint32_t delivery, bool quiet)
{
	entry.ts = user->inbox_ts;
	tl_transaction_put_inbox(txn, user, tl_transaction_pack_entry(txn, &entry), entry.ts, delivery, quiet);
}

void tl_transaction_append_pulled(struct tl_transaction *txn, struct tl_user *user, uint64_t conversation_no,
                                  uint64_t cseq, uint64_t ts)
{
	const struct tl_inbox_entry entry = {.conversation_no = conversation_no,
	                                     .cseq = cseq,
	                                     .ts = ts > user->inbox_ts ? ts : user->inbox_ts,
	                                     .position = txn->position};
	note_marker(txn, user);
	append(txn, user, tl_transaction_pack_entry(txn, &entry));
	user->inbox_ts = entry.ts;
	user->position = txn->position;
	mark_inbox(txn, user, entry.ts);
	txn->pulled_count++;
}

/* Has all that is on disk dropped: from the committed floor on, because upkeep may still be dropping what is below the one
 * of this batch. At the floor, too, there may be an entry: the head of before. */
static enum tl_err drop_all(struct tl_transaction *txn, const struct tl_user *user)
{
	const struct tl_partition inbox = tl_partition(TL_PART_INBOX, user->no);
	uint64_t from;
	enum tl_err err = tl_inbox_stored_floor(txn->database->engine, user->no, &from);
	if (err == TL_OK)
		err = tl_due_lower(txn->database->engine, inbox, &from);
	if (err == TL_OK)
		tl_due_drop(&txn->due, txn->batch, inbox, from, true);
	return err;
}

enum tl_err tl_transaction_skip(struct tl_transaction *txn, struct tl_user *user, uint64_t head)
{
	enum tl_err err = user->inbox_head > 0 ? drop_all(txn, user) : TL_OK;
	if (err != TL_OK)
		return err;
	if (user->run && user->run->first)
		put_run(txn, user->run);
	user->inbox_head = head;
	user->position = txn->position;
	tl_transaction_raise_inbox_floor(txn, user, head);
	return TL_OK;
}
