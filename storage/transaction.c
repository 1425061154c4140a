#include "transaction.h"

#include "expiry.h"
#include "fanout.h"
#include "id.h"
#include "index_queue.h"
#include "transaction_parts.h"

#include <stddef.h>
#include <stdlib.h>

/* An id that was used in the batch at hand and so cannot be read from the database yet; in the arena. */
struct tl_dedup_pending {
	struct tl_dedup_key key;
	struct tl_dedup_record record;
	UT_hash_handle hh;
};

/* A member who has changed; found again by number, because adding and removing moves members. */
struct tl_changed_member {
	struct tl_conversation *conversation;
	uint64_t user_no;
};

enum tl_err tl_transaction_init(struct tl_transaction *txn, struct tl_database *database)
{
	*txn = (struct tl_transaction){.database = database, .serial = 1};
	enum tl_err err = tl_batch_new(database->engine, &txn->batch);
	if (err != TL_OK)
		return err;
	tl_users_init(&txn->users, database);
	tl_conversations_init(&txn->conversations, database, &txn->users);
	tl_dedup_init(&txn->ids, database);
	tl_pack_init(&txn->pack);
	tl_due_clear(&txn->due);
	return TL_OK;
}

void tl_transaction_fini(struct tl_transaction *txn)
{
	tl_transaction_clear(txn);
	tl_batch_free(txn->batch);
	tl_users_fini(&txn->users);
	tl_conversations_fini(&txn->conversations);
	tl_arena_fini(&txn->arena);
	tl_pack_fini(&txn->pack);
	free(txn->outcomes);
	free(txn->deliveries);
	free(txn->appends);
	free(txn->backlogs);
	free(txn->changed);
	free(txn->regrouped);
}

void tl_transaction_release(struct tl_transaction *txn)
{
	tl_iter_free(txn->iter);
	txn->iter = NULL;
}

void tl_transaction_next(struct tl_transaction *txn)
{
	tl_batch_clear(txn->batch);
	tl_users_next_batch(&txn->users);
	tl_transaction_forget_runs(txn);
	tl_transaction_release(txn);
	HASH_CLEAR(hh, txn->dedup);
	txn->before = tl_transaction_so_far(txn);
	txn->serial++;
	txn->changed_count = 0;
	txn->damaged = tl_slice("", 0);
}

void tl_transaction_retract(struct tl_transaction *txn, const struct tl_told *then)
{
	txn->outcome_count = then->outcomes;
	txn->delivery_count = then->deliveries;
	txn->append_count = then->appends;
	txn->backlog_count = then->backlogs;
	txn->regrouped_count = then->regrouped;
	txn->pulled_count = then->pulled;
	tl_transaction_next(txn);
}

void tl_transaction_clear(struct tl_transaction *txn)
{
	const struct tl_told nothing = {0};
	tl_transaction_retract(txn, &nothing);
	tl_arena_clear(&txn->arena);
	tl_due_clear(&txn->due);
	txn->index_marks = 0;
	txn->index_upkeep = false;
}

void tl_transaction_forget(struct tl_transaction *txn)
{
	tl_transaction_clear(txn);
	tl_users_clear(&txn->users);
	tl_conversations_clear(&txn->conversations);
	tl_dedup_clear(&txn->ids);
	txn->users.numbers.next = txn->users.numbers.reserved = 0;
	txn->conversations.numbers.next = txn->conversations.numbers.reserved = 0;
}

void tl_transaction_record(struct tl_transaction *txn, uint64_t position, bool replaying)
{
	txn->position = position;
	txn->replaying = txn->users.replaying = txn->conversations.replaying = replaying;
}

/* What chores append comes after all that is applied and before the next record. */
void tl_transaction_chores(struct tl_transaction *txn, uint64_t committed)
{
	tl_transaction_record(txn, committed > 0 ? committed - 1 : 0, false);
}

enum tl_err tl_transaction_iter(struct tl_transaction *txn, struct tl_iter **iter_out)
{
	if (!txn->iter) {
		enum tl_err err =
			tl_iter_new(txn->database->engine, NULL, tl_partition(TL_PART_META, 0), true, &txn->iter);
		if (err != TL_OK)
			return err;
	}
	*iter_out = txn->iter;
	return TL_OK;
}

enum tl_err tl_transaction_conversation(struct tl_transaction *txn, struct tl_slice cid,
                                        struct tl_conversation **conversation_out)
{
	struct tl_iter *iter;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err == TL_OK)
		err = tl_conversations_find(&txn->conversations, iter, cid, conversation_out);
	if (err == TL_CORRUPT) {
		tl_transaction_note_damaged(txn, cid);
		return TL_STORAGE;
	}
	if (err == TL_OK && txn->replaying)
		tl_conversation_settle_name(*conversation_out, txn->batch);
	return err == TL_OK ? tl_fanout_settle(txn, *conversation_out) : err;
}

void tl_transaction_note_damaged(struct tl_transaction *txn, struct tl_slice cid)
{
	const char *copy = tl_arena_copy(&txn->arena, cid);
	if (copy)
		txn->damaged = tl_slice(copy, cid.len);
}

enum tl_err tl_transaction_user(struct tl_transaction *txn, struct tl_slice uid, struct tl_user **user_out)
{
	struct tl_iter *iter;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	return err == TL_OK ? tl_users_take(&txn->users, txn->batch, iter, uid, user_out) : err;
}

enum tl_err tl_transaction_find_user(struct tl_transaction *txn, struct tl_slice uid, struct tl_user **user_out)
{
	struct tl_iter *iter;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err == TL_OK)
		err = tl_users_find(&txn->users, txn->batch, iter, uid, user_out);
	if (err == TL_NOT_FOUND)
		*user_out = NULL;
	return err == TL_NOT_FOUND ? TL_OK : err;
}

/* Queue position and time of the message with this cseq; TL_NOT_FOUND if it is not there. */
static enum tl_err position_of(struct tl_transaction *txn, uint64_t conversation_no, uint64_t cseq,
                               uint64_t *position_out, uint64_t *ts_out)
{
	struct tl_store_record record;
	char *value;
	size_t len;
	enum tl_err err = tl_timeline_get(txn->database->engine, NULL, tl_partition(TL_PART_STORE, conversation_no), cseq,
	                                  &value, &len);
	if (err != TL_OK)
		return err;
	bool ok = tl_store_record_unpack(tl_slice(value, len), &record);
	if (ok) {
		*position_out = record.position;
		*ts_out = tl_message_ts(record.message);
	}
	free(value);
	return ok ? TL_OK : TL_CORRUPT;
}

enum tl_err tl_transaction_is_own_creation(struct tl_transaction *txn, const struct tl_conversation *conversation,
                                           bool *own_out)
{
	uint64_t position, ts;
	*own_out = false;
	if (!txn->replaying)
		return TL_OK;
	enum tl_err err = position_of(txn, conversation->no, 1, &position, &ts);
	*own_out = err == TL_NOT_FOUND ? conversation->head == 0 : err == TL_OK && position == txn->position;
	return err == TL_NOT_FOUND ? TL_OK : err;
}

/* --- deduplication --- */

struct tl_dedup_key tl_transaction_dedup_key(const struct tl_transaction *txn, const struct tl_conversation *conversation,
                                             struct tl_slice sender, struct tl_slice id)
{
	struct tl_dedup_key key = {.conversation_no = conversation->no};
	tl_dedup_hash(txn->database->secret, sender, id, key.hash);
	return key;
}

/* Of a key, without what pads it. */
enum { DEDUP_KEY_BYTES = offsetof(struct tl_dedup_key, hash) + TL_DEDUP_KEY_BYTES };

/* A part of what is a hash already. */
static unsigned pending_hash(const struct tl_dedup_key *key)
{
	unsigned hash;
	memcpy(&hash, key->hash, sizeof hash);
	return hash;
}

/* No id in the conversation is of a later time, unless one has been applied without its message (X2). */
static uint64_t latest_id_ts(const struct tl_transaction *txn, const struct tl_conversation *conversation)
{
	bool unknown = txn->replaying || (conversation->head > 0 && conversation->ts == 0);
	return unknown ? UINT64_MAX : conversation->ts;
}

static enum tl_err read_dedup(struct tl_transaction *txn, const struct tl_conversation *conversation,
                              const struct tl_dedup_key *key, uint64_t ts, struct tl_dedup_record *record_out)
{
	struct tl_dedup_pending *pending;
	HASH_FIND_BYHASHVALUE(hh, txn->dedup, key, DEDUP_KEY_BYTES, pending_hash(key), pending);
	if (!pending)
		return tl_dedup_find(&txn->ids, key, ts, txn->limits->dedup_window_ms, latest_id_ts(txn, conversation),
		                     record_out);
	*record_out = pending->record;
	return tl_expired(record_out->ts, txn->limits->dedup_window_ms, ts) ? TL_NOT_FOUND : TL_OK;
}

/* While replaying, the id that is found may be the record's own, applied without the rest (X2). */
static enum tl_err is_own(struct tl_transaction *txn, const struct tl_conversation *conversation, uint64_t cseq,
                          bool *own_out)
{
	uint64_t position, ts;
	*own_out = cseq > conversation->head;
	if (*own_out)
		return TL_OK;
	enum tl_err err = position_of(txn, conversation->no, cseq, &position, &ts);
	if (err == TL_OK)
		*own_out = position == txn->position;
	return err == TL_NOT_FOUND ? TL_OK : err;
}

enum tl_err tl_transaction_find_dup(struct tl_transaction *txn, const struct tl_conversation *conversation,
                                    const struct tl_dedup_key *key, uint64_t ts, struct tl_dedup_record *record_out)
{
	struct tl_dedup_record record;
	bool own = false;
	enum tl_err err = txn->limits->dedup_window_ms > 0 ? read_dedup(txn, conversation, key, ts, &record) : TL_NOT_FOUND;
	if (err != TL_OK)
		return err;
	if (txn->replaying && (err = is_own(txn, conversation, record.cseq, &own)) != TL_OK)
		return err;
	if (own)
		return TL_NOT_FOUND;
	*record_out = record;
	return TL_OK;
}

/* Whether the message's id is to be remembered. */
static bool has_id(const struct tl_transaction *txn, const struct tl_append *append)
{
	return append->dedup && txn->limits->dedup_window_ms > 0;
}

static void remember_id(struct tl_transaction *txn, const struct tl_append *append, struct tl_dedup_pending *pending)
{
	if (!has_id(txn, append))
		return;
	pending->key = *append->dedup;
	tl_dedup_put(&txn->ids, txn->batch, &pending->key, &pending->record);
	struct tl_dedup_pending *earlier; /* from before the window; it stays in the arena */
	HASH_REPLACE_BYHASHVALUE(hh, txn->dedup, key, DEDUP_KEY_BYTES, pending_hash(&pending->key), pending, earlier);
	(void)earlier;
}

/* --- appending --- */

/* In a direct chat the members' names are those of the chat. While a batch may have been applied in part, the record shows
 * that the user is there. */
static enum tl_err find_receiver(struct tl_transaction *txn, struct tl_iter *iter,
                                 const struct tl_conversation *conversation, uint64_t user_no, struct tl_user **user_out)
{
	struct tl_slice one, other;
	if ((*user_out = tl_users_at_hand(&txn->users, user_no)))
		return TL_OK;
	if (txn->replaying || conversation->name.users[0] == 0 ||
	    !tl_direct_id_parse(conversation->record.cid, &one, &other))
		return tl_users_find_no(&txn->users, iter, user_no, user_out);
	return tl_users_load_named(&txn->users, iter, user_no, user_no == conversation->name.users[0] ? one : other,
	                           user_out);
}

/* The users of the members whose inboxes it goes to, all of them read before anything is changed (X1); NULL for a member
 * with a backlog (F3). */
static enum tl_err gather(struct tl_transaction *txn, const struct tl_conversation *conversation,
                          struct tl_user ***users_out)
{
	struct tl_iter *iter;
	if (conversation->record.on_read)
		return TL_OK;
	struct tl_user **users = tl_arena_alloc(&txn->arena, (conversation->member_count + 1) * sizeof(struct tl_user *));
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (!users)
		return TL_NO_MEMORY;
	for (size_t i = 0; i < conversation->member_count && err == TL_OK; i++) {
		users[i] = NULL;
		if (conversation->members[i].record.backlog == 0)
			err = find_receiver(txn, iter, conversation, conversation->members[i].user_no, &users[i]);
	}
	if (err == TL_OK)
		*users_out = users;
	return err;
}

/* While replaying: whether the store timeline has the record at hand already, and where (X2). */
static enum tl_err find_applied(struct tl_transaction *txn, const struct tl_conversation *conversation,
                                uint64_t *cseq_out, uint64_t *ts_out)
{
	uint64_t position;
	*cseq_out = 0;
	if (!txn->replaying || conversation->position < txn->position)
		return TL_OK;
	for (uint64_t cseq = conversation->head; cseq > 0; cseq--) {
		enum tl_err err = position_of(txn, conversation->no, cseq, &position, ts_out);
		if (err != TL_OK || position < txn->position)
			return err == TL_NOT_FOUND ? TL_OK : err;
		if (position == txn->position) {
			*cseq_out = cseq;
			return TL_OK;
		}
	}
	return TL_OK;
}

enum tl_err tl_transaction_member_changed(struct tl_transaction *txn, struct tl_conversation *conversation,
                                          struct tl_member *member)
{
	if (member->changed)
		return TL_OK;
	void *changed = tl_grow(txn->changed, txn->changed_count, 1, &txn->changed_room, sizeof *txn->changed);
	if (!changed)
		return TL_NO_MEMORY;
	txn->changed = changed;
	txn->changed[txn->changed_count++] = (struct tl_changed_member){conversation, member->user_no};
	member->changed = true;
	return TL_OK;
}

uint64_t tl_transaction_puts(const struct tl_transaction *txn)
{
	enum { ENTRIES_PER_PUT = 8 }; /* entries that cost as much */
	uint64_t entries = txn->append_count - txn->before.appends + txn->pulled_count - txn->before.pulled;
	return tl_batch_count(txn->batch) + txn->run_count + txn->changed_count + entries / ENTRIES_PER_PUT;
}

uint64_t tl_transaction_bytes(const struct tl_transaction *txn)
{
	return tl_batch_bytes(txn->batch) + txn->run_bytes;
}

void tl_transaction_finish(struct tl_transaction *txn)
{
	tl_transaction_put_runs(txn);
	for (size_t i = 0; i < txn->changed_count; i++) {
		struct tl_conversation *conversation = txn->changed[i].conversation;
		struct tl_member *member = tl_conversation_member(conversation, txn->changed[i].user_no);
		if (!member || !member->changed)
			continue;
		member->changed = false;
		tl_conversation_put_member(conversation, txn->batch, member);
		tl_conversation_settle_name(conversation, txn->batch);
	}
	txn->changed_count = 0;
}

/* One's own message is seen. In a direct chat the message's own record says so. */
static enum tl_err sender_has_seen(struct tl_transaction *txn, struct tl_conversation *conversation,
                                   struct tl_member *sender, uint64_t cseq, uint64_t running)
{
	if (!sender || sender->record.seen >= cseq)
		return TL_OK;
	sender->record.seen = cseq;
	sender->record.seen_running = running;
	return conversation->record.kind == TL_DIRECT ? TL_OK : tl_transaction_member_changed(txn, conversation, sender);
}

static void put_order(struct tl_transaction *txn, const struct tl_conversation *conversation, uint64_t order)
{
	struct tl_pair_key key;
	if (order > 0)
		tl_batch_put(txn->batch, tl_partition(TL_PART_CUSTOM_ORDER, conversation->no),
		             tl_pair_key(&key, order, conversation->head), tl_slice("", 0));
}

static void put_store(struct tl_transaction *txn, struct tl_conversation *conversation, const struct tl_append *append,
                      uint64_t ts)
{
	conversation->head++;
	conversation->running += !append->event;
	conversation->ts = ts;
	conversation->position = txn->position;
	if (append->sender && conversation->record.kind == TL_DIRECT)
		tl_last_sends_note(&conversation->sends, append->sender->user_no, conversation->head, conversation->running);
	struct tl_store_record record = {
		.position = txn->position,
		.running = conversation->running,
		.sends = conversation->sends,
		.message = tl_slice(append->message, append->len),
	};
	tl_pack_clear(&txn->pack);
	tl_store_record_pack(&txn->pack, &record);
	tl_pack_check(&txn->pack, txn->batch);
	tl_timeline_append(txn->batch, tl_partition(TL_PART_STORE, conversation->no), conversation->head,
	                   tl_pack_bytes(&txn->pack), conversation->far_from_mark);
	conversation->far_from_mark = false;
	put_order(txn, conversation, append->order);
}

/* Has the tail of the search index sealed where it is long enough; replaying puts the same mark again (X2). */
static void mark_index(struct tl_transaction *txn, const struct tl_conversation *conversation, uint64_t cseq, uint64_t ts,
                       size_t bytes)
{
	if (!txn->limits->search || conversation->record.no_index || !tl_index_is_due(cseq, bytes))
		return;
	tl_index_mark(txn->batch, txn->position, conversation->no, cseq, ts);
	txn->index_marks++;
}

static void mark_index_upkeep(struct tl_transaction *txn, uint64_t conversation_no, uint64_t number)
{
	if (!txn->limits->search)
		return;
	tl_index_mark_upkeep(txn->batch, conversation_no, number);
	txn->index_upkeep = true;
}

void tl_transaction_mark_index(struct tl_transaction *txn, uint64_t conversation_no)
{
	mark_index_upkeep(txn, conversation_no, txn->position);
}

void tl_transaction_mark_index_floor(struct tl_transaction *txn, uint64_t conversation_no, uint64_t floor)
{
	mark_index_upkeep(txn, conversation_no, tl_index_floor_number(floor));
}

/* Before the append: the last entry has its marker, which need not be put again. */
static void note_store_marker(struct tl_transaction *txn, struct tl_conversation *conversation)
{
	if (conversation->marked == 0 && conversation->head > 0 && !txn->replaying)
		conversation->marked = tl_due_time(conversation->ts, tl_retention_ms(&conversation->record, txn->limits));
}

static void mark_store(struct tl_transaction *txn, struct tl_conversation *conversation, uint64_t ts)
{
	uint64_t retention_ms = tl_retention_ms(&conversation->record, txn->limits);
	tl_due_mark(&txn->due, txn->batch, TL_DUE_STORE, tl_due_time(ts, retention_ms), conversation->no,
	            &conversation->marked);
}

void tl_transaction_retention_changed(struct tl_transaction *txn, struct tl_conversation *conversation)
{
	tl_due_put(&txn->due, txn->batch, TL_DUE_STORE, tl_due_now(txn->now), conversation->no);
}

/* The same reference goes to every member; on read, to none. */
static void put_inboxes(struct tl_transaction *txn, const struct tl_conversation *conversation,
                        struct tl_user *const *users, const struct tl_inbox_entry *entry, uint32_t delivery)
{
	if (!users)
		return;
	struct tl_slice packed = tl_transaction_pack_entry(txn, entry);
	for (size_t i = 0; i < conversation->member_count; i++) {
		bool quiet = conversation->members[i].record.mute;
		if (!users[i])
			continue;
		if (users[i]->inbox_ts > entry->ts)
			tl_transaction_put_inbox_late(txn, users[i], *entry, delivery, quiet);
		else
			tl_transaction_put_inbox(txn, users[i], packed, entry->ts, delivery, quiet);
	}
}

/* What is told outlives the conversation's present record. */
static enum tl_err copy_cid(struct tl_transaction *txn, const struct tl_conversation *conversation,
                            struct tl_slice *cid_out)
{
	*cid_out = tl_slice("", 0);
	if (!conversation)
		return TL_OK;
	cid_out->len = conversation->record.cid.len;
	cid_out->ptr = tl_arena_copy(&txn->arena, conversation->record.cid);
	return cid_out->ptr ? TL_OK : TL_NO_MEMORY;
}

enum tl_err tl_transaction_append(struct tl_transaction *txn, struct tl_conversation *conversation,
                                  const struct tl_append *append, uint64_t *cseq_out, uint64_t *ts_out)
{
	struct tl_dedup_pending *pending = tl_arena_alloc(&txn->arena, sizeof *pending);
	uint64_t ts = tl_message_ts(tl_slice(append->message, append->len)), applied, applied_ts;
	struct tl_user **users = NULL;
	struct tl_slice cid;
	txn->now = ts;
	enum tl_err err = pending ? gather(txn, conversation, &users) : TL_NO_MEMORY;
	if (err == TL_OK)
		err = copy_cid(txn, conversation, &cid);
	if (err == TL_OK)
		err = tl_transaction_room_to_tell(txn, conversation->member_count);
	if (err == TL_OK)
		err = find_applied(txn, conversation, &applied, &applied_ts);
	if (err == TL_OK && has_id(txn, append))
		err = tl_dedup_prepare(&txn->ids, txn->batch, ts, txn->limits->dedup_window_ms);
	if (err != TL_OK)
		return err;

	if (applied)
		ts = applied_ts;
	else if (ts < conversation->ts)
		ts = conversation->ts;
	if (!tl_message_set_ts(append->message, append->len, ts))
		return TL_CORRUPT;
	note_store_marker(txn, conversation);
	if (!applied)
		put_store(txn, conversation, append, ts);
	mark_store(txn, conversation, ts);
	uint64_t cseq = applied ? applied : conversation->head;
	mark_index(txn, conversation, cseq, ts, append->len);
	*pending = (struct tl_dedup_pending){.record = {.cseq = cseq, .ts = ts}};
	remember_id(txn, append, pending);
	struct tl_inbox_entry entry = {
		.conversation_no = conversation->no, .cseq = cseq, .ts = ts, .position = txn->position};
	const struct tl_delivery delivery = {.cid = cid,
	                                     .conversation_no = conversation->no,
	                                     .cseq = cseq,
	                                     .message = tl_slice(append->message, append->len)};
	put_inboxes(txn, conversation, users, &entry, tl_transaction_tell_delivery(txn, &delivery));
	*cseq_out = cseq;
	*ts_out = ts;
	if (txn->pack.failed)
		return TL_NO_MEMORY;
	return sender_has_seen(txn, conversation, append->sender, cseq, conversation->running);
}

enum tl_err tl_transaction_append_private(struct tl_transaction *txn, struct tl_user *user,
                                          const struct tl_conversation *conversation, char *message, size_t len)
{
	struct tl_slice kept = tl_slice(message, len), cid;
	txn->now = tl_message_ts(kept);
	enum tl_err err = tl_transaction_room_to_tell(txn, 1);
	if (err == TL_OK)
		err = copy_cid(txn, conversation, &cid);
	if (err != TL_OK)
		return err;
	struct tl_inbox_entry entry = {.conversation_no = conversation ? conversation->no : 0,
	                               .ts = txn->now > user->inbox_ts ? txn->now : user->inbox_ts,
	                               .position = txn->position,
	                               .message = kept};
	const struct tl_delivery delivery = {.cid = cid, .message = kept};
	struct tl_slice packed = tl_transaction_pack_entry(txn, &entry);
	tl_transaction_put_inbox(txn, user, packed, entry.ts, tl_transaction_tell_delivery(txn, &delivery), false);
	return TL_OK;
}
