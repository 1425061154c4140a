#include "transaction_parts.h"

#include "timeline.h"

/* An inbox that is longer than it may be is looked at every so many entries. */
static bool is_overdue(const struct tl_user *user, uint64_t inbox_max)
{
	return inbox_max > 0 && user->inbox_head > inbox_max &&
	       (user->inbox_head - inbox_max) % (inbox_max / TL_INBOX_SLACK + 1) == 0;
}

static void mark_inbox(struct tl_transaction *txn, struct tl_user *user, uint64_t ts)
{
	if (ts != txn->due_ts) {
		txn->due_ts = ts;
		txn->due_time = tl_due_time(ts, txn->limits->inbox_ttl_ms);
	}
	tl_due_mark(&txn->due, txn->batch, TL_DUE_INBOX, txn->due_time, user->no, &user->marked);
	if (is_overdue(user, txn->limits->inbox_max))
		tl_due_put(&txn->due, txn->batch, TL_DUE_INBOX, tl_due_now(ts), user->no);
}

void tl_transaction_raise_inbox_floor(struct tl_transaction *txn, struct tl_user *user, uint64_t floor)
{
	if (floor <= user->inbox_floor)
		return;
	user->inbox_floor = floor;
	tl_timeline_put_floor(txn->batch, tl_partition(TL_PART_INBOX, user->no), floor);
}

void tl_transaction_put_inbox(struct tl_transaction *txn, struct tl_user *user, struct tl_slice entry, uint64_t ts,
                      uint32_t delivery, bool quiet)
{
	if (txn->replaying && user->position >= txn->position) {
		mark_inbox(txn, user, ts); /* its marker may not be there */
		return;
	}
	user->inbox_head++;
	user->position = txn->position;
	user->inbox_ts = ts;
	mark_inbox(txn, user, ts);
	tl_timeline_put(txn->batch, tl_partition(TL_PART_INBOX, user->no), user->inbox_head, entry);
	txn->appends[txn->append_count++] = (struct tl_inbox_append){
		.uid = tl_slice(user->uid, user->uid_len), .seq = user->inbox_head, .delivery = delivery, .quiet = quiet};
}

void tl_transaction_put_inbox_late(struct tl_transaction *txn, struct tl_user *user, struct tl_inbox_entry entry,
                           uint32_t delivery, bool quiet)
{
	struct tl_pack pack;
	entry.ts = user->inbox_ts;
	tl_pack_init(&pack);
	tl_inbox_entry_pack(&pack, &entry);
	tl_pack_check(&pack, txn->batch);
	tl_transaction_put_inbox(txn, user, tl_pack_bytes(&pack), entry.ts, delivery, quiet);
	tl_pack_fini(&pack);
}

void tl_transaction_append_pulled(struct tl_transaction *txn, struct tl_user *user, uint64_t conversation_no,
                                  uint64_t cseq, uint64_t ts)
{
	const struct tl_inbox_entry entry = {.conversation_no = conversation_no,
	                                     .cseq = cseq,
	                                     .ts = ts > user->inbox_ts ? ts : user->inbox_ts,
	                                     .position = txn->position};
	tl_pack_clear(&txn->pack);
	tl_inbox_entry_pack(&txn->pack, &entry);
	tl_pack_check(&txn->pack, txn->batch);
	user->inbox_head++;
	user->inbox_ts = entry.ts;
	user->position = txn->position;
	mark_inbox(txn, user, entry.ts);
	tl_timeline_put(txn->batch, tl_partition(TL_PART_INBOX, user->no), user->inbox_head, tl_pack_bytes(&txn->pack));
	txn->pulled_count++;
}

/* Has all that is on disk dropped: from the committed floor on, because upkeep may still be dropping what is below the one
 * of this batch. At the floor, too, there may be an entry: the head of before. */
static enum tl_err drop_all(struct tl_transaction *txn, const struct tl_user *user)
{
	const struct tl_partition inbox = tl_partition(TL_PART_INBOX, user->no);
	uint64_t from;
	enum tl_err err = tl_timeline_floor(txn->database->engine, NULL, inbox, &from);
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
	user->inbox_head = head;
	user->position = txn->position;
	tl_transaction_raise_inbox_floor(txn, user, head);
	return TL_OK;
}
