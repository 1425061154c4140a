/* `read`, `set`: where a member stands. Nobody else learns of it, but all of the user's devices do, by an event in the
 * user's own inbox. What changes nothing makes no event. */
#include "actor.h"
#include "event.h"
#include "expiry.h"

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
		return tl_transaction_puts(txn) > 0 ? TL_CONFLICT : TL_CORRUPT;
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
	err = tl_transaction_member_changed(txn, actor.conversation, actor.member);
	if (err == TL_OK)
		err = tl_transaction_tell_sound(txn, actor.user, actor.conversation, actor.member);
	if (err != TL_OK) {
		tl_event_drop(&event);
		return err;
	}
	return tl_event_append_private(&event, txn, actor.user, actor.conversation);
}
