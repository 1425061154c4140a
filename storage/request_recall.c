/* `recall` and `edit`: taking a message back, or giving it another body. Its entry keeps its place in every timeline;
 * the store has the new form at once, and an event tells those who have the old one. Either may be sent again, long
 * after, with the same outcome: what has been done already is not refused for coming too late. */
#include "actor.h"
#include "blocks.h"
#include "event.h"
#include "id.h"
#include "send.h"
#include "timeline.h"
#include "visibility.h"

#include <inttypes.h>
#include <stdlib.h>

/* A message that is to be changed. */
struct target {
	struct tl_actor actor;
	uint64_t cseq;
	struct tl_store_record record; /* points into `bytes` */
	char *bytes;
};

static enum tl_err read_target(struct tl_transaction *txn, struct target *target)
{
	size_t len;
	enum tl_err err = tl_timeline_get(txn->database->engine, NULL,
	                                  tl_partition(TL_PART_STORE, target->actor.conversation->no), target->cseq,
	                                  &target->bytes, &len);
	if (err != TL_OK)
		return err == TL_NOT_FOUND ? TL_NO_SUCH_MESSAGE : err;
	if (tl_store_record_unpack(tl_slice(target->bytes, len), &target->record))
		return TL_OK;
	free(target->bytes);
	target->bytes = NULL;
	return TL_CORRUPT;
}

/* The message, for a member who can see it. Free target->bytes. */
static enum tl_err find_target(struct tl_transaction *txn, const struct tl_call *call, struct tl_slice cid,
                               uint64_t cseq, struct target *target)
{
	*target = (struct target){.cseq = cseq};
	struct tl_visibility visibility;
	enum tl_err err = tl_actor_find(txn, call, cid, &target->actor);
	if (err == TL_OK && !target->actor.member)
		return TL_NOT_MEMBER;
	if (err == TL_OK)
		err = tl_visibility_open(txn->database->engine, NULL, txn->limits, call->now, cid, call->user, &visibility);
	if (err != TL_OK)
		return err;
	bool visible = tl_visible(&visibility, cseq);
	tl_visibility_close(&visibility);
	return visible ? read_target(txn, target) : TL_NO_SUCH_MESSAGE;
}

static bool is_own(const struct target *target, const struct tl_call *call)
{
	return tl_slice_equal(tl_message_str(target->record.message, "from"), call->user);
}

static bool is_within(const struct target *target, const struct tl_call *call, uint64_t window_ms)
{
	uint64_t ts = tl_message_ts(target->record.message);
	return call->now < ts || call->now - ts <= window_ms;
}

/* Puts a record with another message in its place. */
static enum tl_err put_changed(struct tl_transaction *txn, uint64_t conversation_no, uint64_t cseq,
                               struct tl_store_record record, const struct tl_pack *message)
{
	if (message->failed)
		return TL_NO_MEMORY;
	record.message = tl_pack_bytes(message);
	tl_pack_clear(&txn->pack);
	tl_store_record_pack(&txn->pack, &record);
	if (txn->pack.failed)
		return TL_NO_MEMORY;
	tl_timeline_replace(txn->batch, tl_partition(TL_PART_STORE, conversation_no), cseq, tl_pack_bytes(&txn->pack));
	return TL_OK;
}

/* Only the latest edit event carries a body, so that a recall need not look for others. */
static enum tl_err strip_last_edit(struct tl_transaction *txn, const struct target *target)
{
	uint64_t no = target->actor.conversation->no, cseq = target->record.edit;
	struct tl_store_record record;
	struct tl_pack message;
	char *bytes;
	size_t len;
	if (cseq == 0)
		return TL_OK;
	enum tl_err err =
		tl_timeline_get(txn->database->engine, NULL, tl_partition(TL_PART_STORE, no), cseq, &bytes, &len);
	if (err != TL_OK)
		return err == TL_NOT_FOUND ? TL_OK : err;
	tl_pack_init(&message);
	bool ok = tl_store_record_unpack(tl_slice(bytes, len), &record) && tl_message_strip_event(&message, record.message);
	err = ok ? put_changed(txn, no, cseq, record, &message) : tl_message_wrong(&message);
	tl_pack_fini(&message);
	free(bytes);
	return err;
}

/* --- recall --- */

enum { RECALL_CONV, RECALL_CSEQ };

const struct tl_param tl_recall_params[] = {
	[RECALL_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	[RECALL_CSEQ] = {.key = "cseq", .type = TL_PARAM_UINT, .required = true, .min = 1, .max = UINT64_MAX},
	{.key = NULL},
};

static enum tl_err may_recall(struct tl_transaction *txn, const struct target *target, const struct tl_call *call,
                              bool recalled, struct tl_why *why)
{
	bool direct = target->actor.conversation->record.kind == TL_DIRECT;
	if (!direct && target->actor.rank >= TL_RANK_ADMIN)
		return TL_OK;
	if (!is_own(target, call))
		return tl_fail(why, TL_NOT_AUTHORISED, "only the sender%s may recall a message",
		               direct ? "" : ", the owner and admins");
	if (!recalled && !is_within(target, call, txn->limits->recall_window_ms))
		return tl_fail(why, TL_NOT_AUTHORISED, "the message is too old to be recalled");
	return TL_OK;
}

static enum tl_err recall(struct tl_transaction *txn, const struct tl_call *call, const struct target *target)
{
	struct tl_event event;
	struct tl_pack message;
	tl_pack_init(&message);
	enum tl_err err = tl_message_recall(&message, target->record.message) ? TL_OK : tl_message_wrong(&message);
	if (err == TL_OK)
		err = strip_last_edit(txn, target);
	struct tl_store_record record = target->record;
	record.edit = 0;
	if (err == TL_OK)
		err = put_changed(txn, target->actor.conversation->no, target->cseq, record, &message);
	tl_pack_fini(&message);
	if (err != TL_OK)
		return err;
	tl_event_begin(&event, call, "recall");
	tl_event_uint(&event, "cseq", target->cseq);
	return tl_event_append(&event, txn, target->actor.conversation);
}

enum tl_err tl_recall(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	struct target target;
	struct tl_slice body;
	enum tl_err err =
		find_target(txn, call, call->args[RECALL_CONV].bytes, call->args[RECALL_CSEQ].uint, &target);
	if (err != TL_OK)
		return err;
	bool recalled = tl_message_str(target.record.message, "gone").len > 0;
	err = may_recall(txn, &target, call, recalled, &answer->why);
	if (err == TL_OK && !recalled)
		err = tl_message_body(target.record.message, &body)
		          ? recall(txn, call, &target)
		          : tl_fail(&answer->why, TL_NO_SUCH_MESSAGE, "an event cannot be recalled");
	free(target.bytes);
	return err;
}

/* --- edit --- */

enum { EDIT_CONV, EDIT_CSEQ, EDIT_BODY };

const struct tl_param tl_edit_params[] = {
	[EDIT_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	[EDIT_CSEQ] = {.key = "cseq", .type = TL_PARAM_UINT, .required = true, .min = 1, .max = UINT64_MAX},
	[EDIT_BODY] = {.key = "body", .type = TL_PARAM_BODY, .required = true},
	{.key = NULL},
};

/* An edit is a way of saying something: not for those who may not. */
static enum tl_err may_speak(struct tl_transaction *txn, const struct target *target, const struct tl_call *call)
{
	const struct tl_conversation *conversation = target->actor.conversation;
	struct tl_slice other;
	enum tl_err err = TL_OK;
	if (tl_direct_id_other(conversation->record.cid, call->user, &other))
		err = tl_blocks_check(txn, call->user, other);
	if (err == TL_OK && tl_send_allowed(&conversation->record, &target->actor.member->record, call->user) != TL_OK)
		err = TL_NOT_AUTHORISED;
	return err;
}

static enum tl_err may_edit(struct tl_transaction *txn, const struct target *target, const struct tl_call *call,
                            struct tl_why *why)
{
	enum tl_err err = may_speak(txn, target, call);
	if (err != TL_OK)
		return err;
	if (!is_within(target, call, txn->limits->edit_window_ms))
		return tl_fail(why, TL_NOT_AUTHORISED, "the message is too old to be edited");
	if (call->args[EDIT_BODY].bytes.len > txn->limits->max_body)
		return tl_fail(why, TL_TOO_LARGE, "a message has at most %" PRIu64 " bytes", txn->limits->max_body);
	return TL_OK;
}

static enum tl_err edit(struct tl_transaction *txn, const struct tl_call *call, const struct target *target)
{
	struct tl_event event;
	struct tl_pack message;
	struct tl_slice body = call->args[EDIT_BODY].bytes;
	tl_pack_init(&message);
	enum tl_err err = tl_message_edit(&message, target->record.message, body) ? TL_OK : tl_message_wrong(&message);
	if (err == TL_OK)
		err = strip_last_edit(txn, target);
	struct tl_store_record record = target->record;
	record.edit = target->actor.conversation->head + 1; /* where the event will stand */
	if (err == TL_OK)
		err = put_changed(txn, target->actor.conversation->no, target->cseq, record, &message);
	tl_pack_fini(&message);
	if (err != TL_OK)
		return err;
	tl_event_begin(&event, call, "edit");
	tl_event_uint(&event, "cseq", target->cseq);
	tl_event_bin(&event, "body", body);
	return tl_event_append(&event, txn, target->actor.conversation);
}

enum tl_err tl_edit(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	struct target target;
	struct tl_slice body;
	enum tl_err err = find_target(txn, call, call->args[EDIT_CONV].bytes, call->args[EDIT_CSEQ].uint, &target);
	if (err != TL_OK)
		return err;
	if (!tl_message_body(target.record.message, &body))
		err = TL_NO_SUCH_MESSAGE;
	else if (!is_own(&target, call))
		err = tl_fail(&answer->why, TL_NOT_AUTHORISED, "only the sender may edit a message");
	else if (!tl_slice_equal(body, call->args[EDIT_BODY].bytes) &&
	         (err = may_edit(txn, &target, call, &answer->why)) == TL_OK)
		err = edit(txn, call, &target);
	free(target.bytes);
	return err;
}
