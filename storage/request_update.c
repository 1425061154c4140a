/* `update`, `role`, `dissolve`: changes of a group or channel that are not about who is in it. Each may be sent twice
 * with the same outcome; what changes nothing makes no event. */
#include "actor.h"
#include "settings.h"

/* --- update --- */

enum { ARG_CONV, ARG_SETTINGS };

const struct tl_param tl_update_params[] = {
	[ARG_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	TL_SETTING_PARAMS(ARG_SETTINGS),
	{.key = NULL},
};

static enum tl_err change_settings(struct tl_transaction *txn, const struct tl_call *call,
                                   struct tl_conversation *conversation)
{
	struct tl_conversation_record record = conversation->record;
	tl_settings changed = tl_settings_apply(&record, &call->args[ARG_SETTINGS]);
	struct tl_event event;
	if (!changed)
		return TL_OK;
	bool retention = !tl_slice_equal(record.retention, conversation->record.retention);
	tl_event_begin(&event, call, "update");
	tl_settings_tell(&event, &call->args[ARG_SETTINGS], changed);
	enum tl_err err = tl_event_append(&event, txn, conversation);
	if (err == TL_OK)
		err = tl_transaction_regrouped(txn, conversation->record.cid);
	if (err == TL_OK && retention)
		tl_transaction_retention_changed(txn, conversation);
	if (record.no_index != conversation->record.no_index)
		tl_transaction_mark_index(txn, conversation->no);
	return err == TL_OK ? tl_conversation_change(conversation, txn->batch, &record) : err;
}

enum tl_err tl_update(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	const struct tl_arg *order = &call->args[ARG_SETTINGS + TL_SETTING_ORDER];
	struct tl_actor actor;
	enum tl_err err = tl_actor_require(txn, call, call->args[ARG_CONV].bytes, TL_RANK_ADMIN, &actor, &answer->why);
	if (err != TL_OK)
		return err;
	if (order->given && order->uint != actor.conversation->record.order)
		return tl_fail(&answer->why, TL_BAD_REQUEST, "'order' cannot be changed");
	err = change_settings(txn, call, actor.conversation);
	if (err == TL_OK)
		tl_answer_info(answer, &actor.conversation->record, actor.conversation->head);
	return err;
}

/* --- role --- */

enum { ROLE_CONV, ROLE_USER, ROLE_ROLE };

/* `owner` is no role of a member's record but stands in the conversation's. */
enum { ROLE_OWNER = TL_ROLE_MUTED + 1 };
static const char *const role_names[] = {"member", "admin", "muted", "owner", NULL};

const struct tl_param tl_role_params[] = {
	[ROLE_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	[ROLE_USER] = {.key = "user", .type = TL_PARAM_UID, .required = true},
	[ROLE_ROLE] = {.key = "role", .type = TL_PARAM_CHOICE, .required = true, .choices = role_names},
	{.key = NULL},
};

/* The old owner stays as an admin. */
static enum tl_err make_owner(struct tl_transaction *txn, struct tl_conversation *conversation, struct tl_slice user)
{
	struct tl_conversation_record record = conversation->record;
	struct tl_member *member;
	struct tl_user *old;
	enum tl_err err = tl_transaction_user(txn, record.owner, &old);
	if (err == TL_OK)
		err = tl_conversations_member(&txn->conversations, conversation, old->no, &member);
	if (err != TL_OK)
		return err;
	if (member) {
		member->record.role = TL_ROLE_ADMIN;
		tl_conversation_put_member(conversation, txn->batch, member);
	}
	record.owner = user;
	return tl_conversation_change(conversation, txn->batch, &record);
}

static enum tl_err set_role(struct tl_transaction *txn, const struct tl_call *call, const struct tl_actor *actor,
                            struct tl_member *target)
{
	const struct tl_arg *user = &call->args[ROLE_USER], *role = &call->args[ROLE_ROLE];
	struct tl_conversation *conversation = actor->conversation;
	struct tl_event event;

	tl_event_begin(&event, call, "role");
	tl_event_str(&event, "role", role->bytes);
	tl_event_user(&event, user->bytes);
	enum tl_err err = tl_event_append(&event, txn, conversation);
	if (err == TL_OK)
		err = tl_transaction_regrouped(txn, conversation->record.cid);
	if (err != TL_OK)
		return err;
	target->record.role = role->uint == ROLE_OWNER ? TL_ROLE_MEMBER : (uint8_t)role->uint;
	tl_conversation_put_member(conversation, txn->batch, target);
	return role->uint == ROLE_OWNER ? make_owner(txn, conversation, user->bytes) : TL_OK;
}

static bool has_role(const struct tl_actor *actor, const struct tl_member *target, struct tl_slice user, uint64_t role)
{
	bool owner = tl_slice_equal(actor->conversation->record.owner, user);
	return role == ROLE_OWNER ? owner : !owner && target->record.role == role;
}

enum tl_err tl_role(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	struct tl_slice user = call->args[ROLE_USER].bytes;
	uint64_t role = call->args[ROLE_ROLE].uint;
	struct tl_actor actor;
	struct tl_member *target = NULL;
	struct tl_user *target_user;
	enum tl_err err = tl_actor_require(txn, call, call->args[ROLE_CONV].bytes, TL_RANK_ADMIN, &actor, &answer->why);
	if (err == TL_OK)
		err = tl_transaction_find_user(txn, user, &target_user);
	if (err == TL_OK && target_user)
		err = tl_conversations_member(&txn->conversations, actor.conversation, target_user->no, &target);
	if (err != TL_OK)
		return err;
	if (!target)
		return tl_fail(&answer->why, TL_BAD_REQUEST, "'user' is not a member of this conversation");
	if (!has_role(&actor, target, user, role)) {
		if (role == ROLE_OWNER && actor.rank != TL_RANK_OWNER)
			return tl_fail(&answer->why, TL_NOT_AUTHORISED, "only the owner may do this");
		if (tl_slice_equal(actor.conversation->record.owner, user))
			return tl_fail(&answer->why, TL_NOT_AUTHORISED, "the owner's role cannot be changed: make another owner");
		if ((err = set_role(txn, call, &actor, target)) != TL_OK)
			return err;
	}
	tl_answer_info(answer, &actor.conversation->record, actor.conversation->head);
	return TL_OK;
}

/* --- dissolve --- */

enum { DISSOLVE_CONV };

const struct tl_param tl_dissolve_params[] = {
	[DISSOLVE_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	{.key = NULL},
};

/* Whether it is the caller's own conversation and dissolved already, so that this is the request sent again. */
static bool is_repeated(const struct tl_call *call, const struct tl_conversation *conversation)
{
	return conversation->record.dissolved && tl_slice_equal(conversation->record.owner, call->user);
}

/* Replayed, it may have got as far as the conversation and not to its members (X2). */
static bool is_half_done(const struct tl_transaction *txn, const struct tl_conversation *conversation)
{
	return txn->replaying && conversation->position == txn->position;
}

enum tl_err tl_dissolve(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	struct tl_conversation *conversation;
	struct tl_actor actor;
	struct tl_event event;
	enum tl_err err = tl_transaction_conversation(txn, call->args[DISSOLVE_CONV].bytes, &conversation);
	if (err == TL_OK && is_repeated(call, conversation))
		return is_half_done(txn, conversation) ? tl_conversation_dissolve(txn, conversation) : TL_OK;
	if (err == TL_OK || err == TL_NOT_FOUND)
		err = tl_actor_require(txn, call, call->args[DISSOLVE_CONV].bytes, TL_RANK_OWNER, &actor, &answer->why);
	if (err != TL_OK)
		return err;
	tl_event_begin(&event, call, "dissolve");
	err = tl_event_append(&event, txn, actor.conversation);
	return err == TL_OK ? tl_conversation_dissolve(txn, actor.conversation) : err;
}
