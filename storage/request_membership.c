/* `join`, `leave`, `add`, `remove`: who is in a group or channel. Whoever comes or goes gets the event that says so.
 * Each may be sent twice with the same outcome; what changes nothing makes no event. */
#include "actor.h"
#include "endings.h"
#include "event.h"
#include "fanout.h"
#include "msgpack_reader.h"
#include "roster.h"

enum { ARG_CONV, ARG_USERS };

enum { USERS_MAX = 8192 }; /* of one request */

const struct tl_param tl_join_params[] = {
	[ARG_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	{.key = NULL},
};
const struct tl_param tl_leave_params[] = {
	[ARG_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	{.key = NULL},
};
const struct tl_param tl_add_params[] = {
	[ARG_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	[ARG_USERS] = {.key = "users", .type = TL_PARAM_UIDS, .required = true, .max = USERS_MAX},
	{.key = NULL},
};
const struct tl_param tl_remove_params[] = {
	[ARG_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	[ARG_USERS] = {.key = "users", .type = TL_PARAM_UIDS, .required = true, .max = USERS_MAX},
	{.key = NULL},
};

/* Users to come or to go, each once. */
struct group {
	struct tl_user **users; /* in the arena */
	uint32_t count;
	struct tl_pack uids;
};

/* Takes those of the named who are members, or who are not. */
static enum tl_err select_users(struct tl_transaction *txn, struct tl_conversation *conversation,
                                const struct tl_arg *args, bool members, struct tl_named_users *named)
{
	struct tl_reader reader = tl_reader(args->bytes);
	struct tl_named_user *user;
	struct tl_slice uid;
	enum tl_err err = TL_OK;
	while (err == TL_OK && tl_reader_str(&reader, &uid)) {
		struct tl_member *member = NULL;
		err = tl_named_users_add(named, uid, &user);
		if (err == TL_OK && user && user->user)
			err = tl_conversations_member(&txn->conversations, conversation, user->user->no, &member);
		if (err == TL_OK && user && (member != NULL) != members)
			tl_named_users_drop_last(named);
	}
	return err;
}

static enum tl_err append_event(struct tl_transaction *txn, const struct tl_call *call,
                                struct tl_conversation *conversation, const char *kind, const struct group *group)
{
	struct tl_event event;
	tl_event_begin(&event, call, kind);
	tl_event_array(&event, "users", group->count, tl_pack_bytes(&group->uids));
	return tl_event_append(&event, txn, conversation);
}

/* They are members from the event on, so they get it. */
static enum tl_err come(struct tl_transaction *txn, const struct tl_call *call, struct tl_conversation *conversation,
                        const char *kind, const struct group *group)
{
	uint64_t since = conversation->head + 1;
	enum tl_err err = tl_transaction_regrouped(txn, conversation->record.cid);
	if (err == TL_OK)
		err = tl_conversations_add(&txn->conversations, txn->batch, conversation, group->users, group->count, since);
	if (err == TL_OK)
		err = tl_fanout_joined(txn, conversation, group->users, group->count);
	if (err == TL_OK)
		err = tl_roster_count(txn, group->users, group->count, true);
	return err == TL_OK ? append_event(txn, call, conversation, kind, group) : err;
}

/* They are members up to the event, so they get it. */
static enum tl_err go(struct tl_transaction *txn, struct tl_conversation *conversation, const struct group *group)
{
	enum tl_err err = tl_transaction_regrouped(txn, conversation->record.cid);
	if (err == TL_OK)
		err = tl_fanout_leaving(txn, conversation, group->users, group->count);
	if (err == TL_OK)
		err = tl_conversations_remove(&txn->conversations, txn->batch, conversation, group->users, group->count,
		                              conversation->head);
	return err == TL_OK ? tl_roster_count(txn, group->users, group->count, false) : err;
}

static enum tl_err group_init(struct tl_transaction *txn, struct group *group, size_t room)
{
	*group = (struct group){.users = tl_arena_alloc(&txn->arena, (room + 1) * sizeof(struct tl_user *))};
	tl_pack_init(&group->uids);
	return group->users ? TL_OK : TL_NO_MEMORY;
}

static enum tl_err group_of_caller(struct tl_transaction *txn, const struct tl_call *call, struct tl_user *user,
                                   struct group *group)
{
	enum tl_err err = group_init(txn, group, 1);
	if (err != TL_OK)
		return err;
	group->users[group->count++] = user;
	tl_pack_str(&group->uids, call->user);
	return group->uids.failed ? TL_NO_MEMORY : TL_OK;
}

/* --- add, remove --- */

/* Makes those that nobody has heard of. */
static enum tl_err group_of_named(struct tl_named_users *named, struct group *group)
{
	enum tl_err err = group_init(named->txn, group, named->count);
	if (err == TL_OK)
		err = tl_named_users_make(named);
	for (size_t i = 0; i < named->count && err == TL_OK; i++) {
		group->users[group->count++] = named->list[i].user;
		tl_pack_str(&group->uids, named->list[i].uid);
	}
	return err == TL_OK && group->uids.failed ? TL_NO_MEMORY : err;
}

/* Whether there is room for them, and each of them can be added by the caller. */
static enum tl_err check_named(struct tl_transaction *txn, const struct tl_call *call,
                               const struct tl_conversation *conversation, const struct tl_named_users *named,
                               struct tl_why *why)
{
	enum tl_err err = tl_roster_check_size(txn, conversation->record.member_count + named->count, why);
	for (size_t i = 0; i < named->count && err == TL_OK; i++)
		err = tl_roster_check_named(txn, call, &named->list[i], why);
	return err;
}

static enum tl_err add(struct tl_transaction *txn, const struct tl_call *call, struct tl_conversation *conversation,
                       struct tl_named_users *named, struct tl_why *why)
{
	struct group group;
	enum tl_err err = select_users(txn, conversation, &call->args[ARG_USERS], false, named);
	if (err == TL_OK)
		err = check_named(txn, call, conversation, named, why);
	if (err != TL_OK || named->count == 0)
		return err;
	err = group_of_named(named, &group);
	if (err == TL_OK)
		err = come(txn, call, conversation, "add", &group);
	tl_pack_fini(&group.uids);
	return err;
}

static bool names_owner(const struct tl_conversation *conversation, const struct tl_named_users *named)
{
	for (size_t i = 0; i < named->count; i++)
		if (tl_slice_equal(conversation->record.owner, named->list[i].uid))
			return true;
	return false;
}

static enum tl_err remove_named(struct tl_transaction *txn, const struct tl_call *call,
                                struct tl_conversation *conversation, struct tl_named_users *named, struct tl_why *why)
{
	struct group group;
	enum tl_err err = select_users(txn, conversation, &call->args[ARG_USERS], true, named);
	if (err == TL_OK && names_owner(conversation, named))
		err = tl_fail(why, TL_NOT_AUTHORISED, "the owner cannot be removed");
	if (err != TL_OK || named->count == 0)
		return err;
	err = group_of_named(named, &group);
	if (err == TL_OK)
		err = append_event(txn, call, conversation, "remove", &group);
	if (err == TL_OK)
		err = go(txn, conversation, &group);
	tl_pack_fini(&group.uids);
	return err;
}

typedef enum tl_err (*change_named)(struct tl_transaction *txn, const struct tl_call *call,
                                    struct tl_conversation *conversation, struct tl_named_users *named,
                                    struct tl_why *why);

static enum tl_err change_members(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer,
                                  change_named change)
{
	struct tl_named_users named;
	struct tl_actor actor;
	enum tl_err err = tl_actor_require(txn, call, call->args[ARG_CONV].bytes, TL_RANK_ADMIN, &actor, &answer->why);
	if (err != TL_OK)
		return err;
	err = tl_named_users_init(&named, txn, (size_t)call->args[ARG_USERS].uint);
	if (err == TL_OK)
		err = change(txn, call, actor.conversation, &named, &answer->why);
	if (err == TL_OK)
		tl_answer_info(answer, &actor.conversation->record, actor.conversation->head);
	tl_named_users_fini(&named);
	return err;
}

enum tl_err tl_add(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	return change_members(txn, call, answer, add);
}

enum tl_err tl_remove(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	return change_members(txn, call, answer, remove_named);
}

/* --- join --- */

static enum tl_err join(struct tl_transaction *txn, const struct tl_call *call, struct tl_actor *actor,
                        struct tl_answer *answer)
{
	struct group group;
	if (actor->conversation->record.join != TL_JOIN_OPEN)
		return TL_NOT_MEMBER; /* a stranger cannot tell that it exists */
	enum tl_err err = tl_roster_check_size(txn, actor->conversation->record.member_count + 1, &answer->why);
	if (err == TL_OK)
		err = tl_roster_check_self(txn, actor->user, &answer->why);
	if (err == TL_OK)
		err = tl_transaction_user(txn, call->user, &actor->user);
	if (err != TL_OK)
		return err;
	err = group_of_caller(txn, call, actor->user, &group);
	if (err == TL_OK)
		err = come(txn, call, actor->conversation, "join", &group);
	tl_pack_fini(&group.uids);
	return err;
}

enum tl_err tl_join(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	struct tl_actor actor;
	enum tl_err err = tl_actor_find(txn, call, call->args[ARG_CONV].bytes, &actor);
	if (err == TL_OK && !actor.member)
		err = actor.conversation->record.kind == TL_DIRECT ? TL_NOT_MEMBER : join(txn, call, &actor, answer);
	if (err == TL_OK)
		tl_answer_info(answer, &actor.conversation->record, actor.conversation->head);
	return err;
}

/* --- leave --- */

/* Who comes before whom when the owner leaves: admins before members, then by how long they have been there. */
static bool is_senior(const struct tl_member *a, const struct tl_member *b)
{
	bool a_admin = a->record.role == TL_ROLE_ADMIN, b_admin = b->record.role == TL_ROLE_ADMIN;
	if (a_admin != b_admin)
		return a_admin;
	return a->record.since < b->record.since; /* of equals the lower number, known longest, who comes first */
}

struct succession {
	uint64_t owner_no;
	struct tl_member heir; /* user number 0: nobody yet */
};

static enum tl_err consider(void *ctx, const struct tl_member *member)
{
	struct succession *succession = ctx;
	if (member->user_no != succession->owner_no &&
	    (succession->heir.user_no == 0 || is_senior(member, &succession->heir)))
		succession->heir = *member;
	return TL_OK;
}

static enum tl_err find_heir(struct tl_transaction *txn, const struct tl_actor *owner, struct tl_user **heir_out)
{
	struct succession succession = {.owner_no = owner->user->no};
	struct tl_iter *iter;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err == TL_OK)
		err = tl_conversations_each_member(&txn->conversations, iter, owner->conversation, consider, &succession);
	*heir_out = NULL;
	if (err != TL_OK || succession.heir.user_no == 0)
		return err;
	return tl_users_find_no(&txn->users, iter, succession.heir.user_no, heir_out);
}

static enum tl_err set_owner(struct tl_transaction *txn, struct tl_conversation *conversation,
                             const struct tl_user *heir)
{
	struct tl_conversation_record record = conversation->record;
	record.owner = tl_slice(heir->uid, heir->uid_len);
	return tl_conversation_change(conversation, txn->batch, &record);
}

static enum tl_err leave(struct tl_transaction *txn, const struct tl_call *call, struct tl_actor *actor)
{
	struct tl_conversation *conversation = actor->conversation;
	struct tl_user *heir = NULL;
	struct tl_event event;
	struct group group;
	enum tl_err err = actor->rank == TL_RANK_OWNER ? find_heir(txn, actor, &heir) : TL_OK;
	if (err != TL_OK)
		return err;
	err = group_of_caller(txn, call, actor->user, &group);
	if (err != TL_OK)
		goto done;
	tl_event_begin(&event, call, "leave");
	tl_event_array(&event, "users", group.count, tl_pack_bytes(&group.uids));
	if (heir)
		tl_event_str(&event, "owner", tl_slice(heir->uid, heir->uid_len));
	if ((err = tl_event_append(&event, txn, conversation)) != TL_OK)
		goto done;
	if ((err = go(txn, conversation, &group)) != TL_OK)
		goto done;
	if (heir)
		err = set_owner(txn, conversation, heir);
	else if (conversation->record.member_count == 0)
		err = tl_conversation_dissolve(txn, conversation);
done:
	tl_pack_fini(&group.uids);
	return err;
}

/* Someone who has left already gets the same answer again; the last one, too, whose leaving ended the conversation. */
static enum tl_err has_left(struct tl_transaction *txn, const struct tl_call *call)
{
	struct tl_conversation *conversation;
	struct tl_former_record former;
	struct tl_user *user;
	enum tl_err err = tl_transaction_conversation(txn, call->args[ARG_CONV].bytes, &conversation);
	if (err == TL_OK && conversation->record.dissolved &&
	    (conversation->record.member_count > 0 || !tl_slice_equal(conversation->record.owner, call->user)))
		return TL_NOT_MEMBER;
	if (err == TL_OK)
		err = tl_transaction_find_user(txn, call->user, &user);
	if (err == TL_OK && !user)
		err = TL_NOT_MEMBER;
	if (err == TL_OK)
		err = tl_former_read(txn->database->engine, NULL, conversation->no, user->no, &former);
	return err == TL_NOT_FOUND ? TL_NOT_MEMBER : err;
}

enum tl_err tl_leave(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	struct tl_actor actor;
	enum tl_err err = tl_actor_find(txn, call, call->args[ARG_CONV].bytes, &actor);
	if (err == TL_NOT_MEMBER || (err == TL_OK && !actor.member))
		return has_left(txn, call);
	if (err != TL_OK)
		return err;
	if (actor.conversation->record.kind == TL_DIRECT)
		return tl_fail(&answer->why, TL_NOT_AUTHORISED, "not in a direct chat");
	return leave(txn, call, &actor);
}

/* --- the end of a conversation --- */

enum tl_err tl_conversation_dissolve(struct tl_transaction *txn, struct tl_conversation *conversation)
{
	struct tl_conversation_record record = conversation->record;
	enum tl_err err = record.member_count > 0 ? tl_endings_begin(txn, conversation->no) : TL_OK;
	record.dissolved = true;
	tl_transaction_mark_index(txn, conversation->no);
	if (err == TL_OK)
		err = tl_transaction_regrouped(txn, record.cid);
	return err == TL_OK ? tl_conversation_change(conversation, txn->batch, &record) : err;
}
