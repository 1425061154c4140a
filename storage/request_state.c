/* `read`, `set`, `delete`, `block`: what a user does for himself. Nobody else learns of it, but all of the user's devices
 * do, by an event in the user's own inbox. What changes nothing makes no event. */
#include "actor.h"
#include "event.h"
#include "expiry.h"
#include "id.h"
#include "msgpack_reader.h"
#include "visibility.h"

/* A member, of a direct chat too. */
static enum tl_err require_member(struct tl_transaction *txn, const struct tl_call *call, struct tl_slice cid,
                                  struct tl_actor *actor)
{
	enum tl_err err = tl_actor_find(txn, call, cid, actor);
	return err == TL_OK && !actor->member ? TL_NOT_MEMBER : err;
}

/* The running number at cseq: how many messages there are up to and with it. Where retention has dropped the entry, what
 * is before the next one that is left. TL_CONFLICT: the entry is in the batch at hand. */
static enum tl_err running_at(struct tl_transaction *txn, const struct tl_conversation *conversation, uint64_t cseq,
                              uint64_t *running_out)
{
	struct tl_engine *engine = txn->database->engine;
	uint64_t floor;
	*running_out = conversation->running;
	if (cseq >= conversation->head)
		return TL_OK;
	enum tl_err err = tl_timeline_floor(engine, NULL, tl_partition(TL_PART_STORE, conversation->no), &floor);
	if (err == TL_OK)
		err = tl_store_running(engine, NULL, conversation->no, cseq > floor ? cseq : floor, running_out);
	if (err == TL_NOT_FOUND)
		return tl_batch_count(txn->batch) > 0 ? TL_CONFLICT : TL_CORRUPT;
	return err;
}

/* How many messages the member has not seen, of those that have not expired. What is in the batch at hand has not. */
static enum tl_err count_unread(struct tl_transaction *txn, const struct tl_call *call, const struct tl_actor *actor,
                                uint64_t *unread_out)
{
	const struct tl_conversation *conversation = actor->conversation;
	struct tl_engine *engine = txn->database->engine;
	struct tl_bounds bounds;
	struct tl_iter *iter;
	uint64_t floor;
	*unread_out = 0;
	if (actor->member->record.seen >= conversation->head)
		return TL_OK;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err == TL_OK)
		err = tl_timeline_bounds(engine, NULL, iter, tl_partition(TL_PART_STORE, conversation->no), &bounds, NULL,
		                         NULL);
	if (err == TL_OK)
		err = tl_store_floor(engine, NULL, conversation->no, &bounds,
		                     tl_retention_ms(&conversation->record, txn->limits), call->now, &floor);
	return err == TL_OK ? tl_store_unread(engine, NULL, conversation->no, floor, conversation->running,
	                                      &actor->member->record, unread_out)
	                    : err;
}

/* Nothing up to cseq counts as unread any more. */
static enum tl_err has_seen(struct tl_transaction *txn, const struct tl_actor *actor, uint64_t cseq)
{
	struct tl_member_record *record = &actor->member->record;
	uint64_t running;
	if (cseq <= record->seen)
		return TL_OK;
	enum tl_err err = running_at(txn, actor->conversation, cseq, &running);
	if (err != TL_OK)
		return err;
	record->seen = cseq;
	record->seen_running = running;
	return TL_OK;
}

/* --- read --- */

enum { READ_CONV, READ_CSEQ };

const struct tl_param tl_read_params[] = {
	[READ_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	[READ_CSEQ] = {.key = "cseq", .type = TL_PARAM_UINT, .required = true, .max = UINT64_MAX},
	{.key = NULL},
};

static enum tl_err move_read(struct tl_transaction *txn, const struct tl_call *call, const struct tl_actor *actor,
                             uint64_t cseq)
{
	struct tl_event event;
	enum tl_err err = has_seen(txn, actor, cseq);
	if (err != TL_OK)
		return err;
	actor->member->record.read = cseq;
	if ((err = tl_transaction_member_changed(txn, actor->conversation, actor->member)) != TL_OK)
		return err;
	tl_event_begin(&event, call, "read");
	tl_event_uint(&event, "cseq", cseq);
	return tl_event_append_private(&event, txn, actor->user, actor->conversation);
}

enum tl_err tl_read(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	uint64_t cseq = call->args[READ_CSEQ].uint, unread;
	struct tl_actor actor;
	enum tl_err err = require_member(txn, call, call->args[READ_CONV].bytes, &actor);
	if (err != TL_OK)
		return err;
	if (cseq > actor.conversation->head)
		return tl_fail(&answer->why, TL_NO_SUCH_MESSAGE, "'cseq' is beyond the last message");
	if (cseq > actor.member->record.read)
		err = move_read(txn, call, &actor, cseq);
	if (err == TL_OK)
		err = count_unread(txn, call, &actor, &unread);
	if (err == TL_OK)
		tl_answer_uint(answer, "unread", unread);
	return err;
}

/* --- set --- */

enum { SET_CONV, SET_MUTE, SET_PIN };

const struct tl_param tl_set_params[] = {
	[SET_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	[SET_MUTE] = {.key = "mute", .type = TL_PARAM_BOOL},
	[SET_PIN] = {.key = "pin", .type = TL_PARAM_BOOL},
	{.key = NULL},
};

static bool set_flag(struct tl_event *event, bool *flag, const struct tl_arg *arg, const char *key)
{
	if (!arg->given || *flag == (arg->uint != 0))
		return false;
	*flag = arg->uint != 0;
	tl_event_bool(event, key, *flag);
	return true;
}

enum tl_err tl_set(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	struct tl_actor actor;
	struct tl_event event;
	enum tl_err err = require_member(txn, call, call->args[SET_CONV].bytes, &actor);
	(void)answer;
	if (err != TL_OK)
		return err;
	tl_event_begin(&event, call, "set");
	bool changed = set_flag(&event, &actor.member->record.mute, &call->args[SET_MUTE], "mute");
	changed |= set_flag(&event, &actor.member->record.pin, &call->args[SET_PIN], "pin");
	if (!changed) {
		tl_event_drop(&event);
		return TL_OK;
	}
	if ((err = tl_transaction_member_changed(txn, actor.conversation, actor.member)) != TL_OK) {
		tl_event_drop(&event);
		return err;
	}
	return tl_event_append_private(&event, txn, actor.user, actor.conversation);
}

/* --- delete --- */

enum { DELETE_CONV, DELETE_CSEQS, DELETE_ALL };
enum { CSEQS_MAX = 1000 };

const struct tl_param tl_delete_params[] = {
	[DELETE_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	[DELETE_CSEQS] = {.key = "cseqs", .type = TL_PARAM_UINTS, .max = CSEQS_MAX},
	[DELETE_ALL] = {.key = "all", .type = TL_PARAM_BOOL},
	{.key = NULL},
};

/* Marks those that are there and not deleted yet; *count_out and `kept` say which. */
static enum tl_err mark_deleted(struct tl_transaction *txn, const struct tl_actor *actor, const struct tl_arg *cseqs,
                                struct tl_pack *kept, uint32_t *count_out)
{
	struct tl_reader reader = tl_reader(cseqs->bytes);
	uint64_t cseq, floor;
	*count_out = 0;
	enum tl_err err = tl_timeline_floor(txn->database->engine, NULL,
	                                    tl_partition(TL_PART_STORE, actor->conversation->no), &floor);
	if (err != TL_OK)
		return err;
	while (tl_reader_uint(&reader, &cseq)) {
		struct tl_pair_key key;
		bool deleted;
		if (cseq > actor->conversation->head || cseq <= actor->member->record.cleared || cseq <= floor)
			continue;
		err = tl_deleted_by(txn->database->engine, NULL, actor->user->no, actor->conversation->no, cseq,
		                                &deleted);
		if (err != TL_OK)
			return err;
		if (deleted)
			continue;
		tl_batch_put(txn->batch, tl_partition(TL_PART_DELETED, actor->user->no),
		             tl_pair_key(&key, actor->conversation->no, cseq), tl_slice("", 0));
		tl_pack_uint(kept, cseq);
		++*count_out;
	}
	return kept->failed ? TL_NO_MEMORY : TL_OK;
}

static enum tl_err delete_some(struct tl_transaction *txn, const struct tl_call *call, const struct tl_actor *actor)
{
	struct tl_event event;
	struct tl_pack kept;
	uint32_t count;
	tl_pack_init(&kept);
	enum tl_err err = mark_deleted(txn, actor, &call->args[DELETE_CSEQS], &kept, &count);
	if (err == TL_OK && count > 0) {
		actor->member->record.deleted_some = true;
		err = tl_transaction_member_changed(txn, actor->conversation, actor->member);
		tl_event_begin(&event, call, "delete");
		tl_event_array(&event, "cseqs", count, tl_pack_bytes(&kept));
		if (err == TL_OK)
			err = tl_event_append_private(&event, txn, actor->user, actor->conversation);
		else
			tl_event_drop(&event);
	}
	tl_pack_fini(&kept);
	return err;
}

static enum tl_err delete_all(struct tl_transaction *txn, const struct tl_call *call, const struct tl_actor *actor)
{
	struct tl_event event;
	uint64_t head = actor->conversation->head;
	if (actor->member->record.cleared == head)
		return TL_OK;
	enum tl_err err = has_seen(txn, actor, head);
	if (err != TL_OK)
		return err;
	actor->member->record.cleared = head;
	if ((err = tl_transaction_member_changed(txn, actor->conversation, actor->member)) != TL_OK)
		return err;
	tl_event_begin(&event, call, "delete");
	tl_event_bool(&event, "all", true);
	tl_event_uint(&event, "cseq", head);
	return tl_event_append_private(&event, txn, actor->user, actor->conversation);
}

enum tl_err tl_delete(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	struct tl_actor actor;
	bool all = call->args[DELETE_ALL].uint != 0;
	if (all == call->args[DELETE_CSEQS].given)
		return tl_fail(&answer->why, TL_BAD_REQUEST, "either 'cseqs' or 'all':true must be given");
	enum tl_err err = require_member(txn, call, call->args[DELETE_CONV].bytes, &actor);
	if (err != TL_OK)
		return err;
	return all ? delete_all(txn, call, &actor) : delete_some(txn, call, &actor);
}

/* --- block --- */

enum { BLOCK_USER, BLOCK_ON };

const struct tl_param tl_block_params[] = {
	[BLOCK_USER] = {.key = "user", .type = TL_PARAM_UID},
	[BLOCK_ON] = {.key = "on", .type = TL_PARAM_BOOL},
	{.key = NULL},
};

static enum tl_err list_blocked(struct tl_transaction *txn, const struct tl_user *user, struct tl_answer *answer)
{
	struct tl_iter *iter;
	uint32_t count = 0;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err != TL_OK)
		return err;
	tl_iter_retarget(iter, tl_partition(TL_PART_BLOCKED, user->no));
	tl_pack_cstr(&answer->fields, "users");
	struct tl_pack_open users = tl_pack_array_begin(&answer->fields);
	for (bool there = tl_iter_seek(iter, tl_slice("", 0)); there; there = tl_iter_next(iter)) {
		tl_pack_str(&answer->fields, tl_iter_key(iter));
		count++;
	}
	tl_pack_array_end(&answer->fields, users, count);
	answer->field_count++;
	return tl_iter_error(iter);
}

/* The chat, if there is one at hand, refuses from now on, or takes again. */
static enum tl_err tell_chat(struct tl_transaction *txn, struct tl_slice cid, const struct tl_user *user, bool on)
{
	struct tl_conversation *conversation;
	enum tl_err err = tl_transaction_conversation(txn, cid, &conversation);
	if (err == TL_NOT_FOUND)
		return TL_OK;
	if (err != TL_OK)
		return err;
	struct tl_member *member = tl_conversation_member(conversation, user->no);
	if (member)
		member->blocks = on;
	return TL_OK;
}

static enum tl_err set_block(struct tl_transaction *txn, const struct tl_call *call, struct tl_user *user, bool on)
{
	char direct[TL_DIRECT_ID_MAX];
	struct tl_slice other = call->args[BLOCK_USER].bytes, cid = tl_direct_id(call->user, other, direct);
	struct tl_partition blocked = tl_partition(TL_PART_BLOCKED, user->no);
	struct tl_event event;
	struct tl_pack users;
	enum tl_err err = tell_chat(txn, cid, user, on);
	if (err == TL_OK)
		err = tl_transaction_regrouped(txn, cid);
	if (err != TL_OK)
		return err;
	if (on)
		tl_batch_put(txn->batch, blocked, other, tl_slice("", 0));
	else
		tl_batch_delete(txn->batch, blocked, other);
	tl_pack_init(&users);
	tl_pack_str(&users, other);
	tl_event_begin(&event, call, "block");
	tl_event_array(&event, "users", 1, tl_pack_bytes(&users));
	tl_event_bool(&event, "on", on);
	tl_pack_fini(&users);
	return tl_event_append_private(&event, txn, user, NULL);
}

enum tl_err tl_block(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	const struct tl_arg *other = &call->args[BLOCK_USER];
	bool on = !call->args[BLOCK_ON].given || call->args[BLOCK_ON].uint != 0, is_on;
	struct tl_user *user;
	enum tl_err err = tl_transaction_user(txn, call->user, &user);
	if (err != TL_OK)
		return err;
	if (!other->given)
		return list_blocked(txn, user, answer);
	if (tl_slice_equal(other->bytes, call->user))
		return tl_fail(&answer->why, TL_BAD_REQUEST, "'user' is yourself");
	if ((err = tl_block_read(txn->database->engine, user->no, other->bytes, &is_on)) != TL_OK)
		return err;
	return is_on == on ? TL_OK : set_block(txn, call, user, on);
}
