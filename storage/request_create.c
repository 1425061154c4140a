/* `create`: a new group or channel with its first members, who learn of it by an event, the conversation's first
 * entry. The same request sent again by the same user finds its conversation and answers as the first one did. */
#include "requests.h"

#include "actor.h"
#include "event.h"
#include "msgpack_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

enum {
	ARG_CONV,
	ARG_KIND,
	ARG_NAME,
	ARG_MEMBERS,
	ARG_HISTORY,
	ARG_JOIN,
	ARG_POST,
	ARG_ORDER,
	ARG_FANOUT,
	ARG_RETENTION,
	ARG_INDEX,
};

enum { MEMBERS_MAX = 8192 }; /* of one request; those of the conversation are limited by the options */

const struct tl_param tl_create_params[] = {
	[ARG_CONV] = {.key = "conv", .type = TL_PARAM_NEW_CID},
	[ARG_KIND] = {.key = "kind", .type = TL_PARAM_CHOICE, .choices = tl_conversation_kinds + TL_GROUP},
	[ARG_NAME] = {.key = "name", .type = TL_PARAM_STR, .max = TL_NAME_MAX},
	[ARG_MEMBERS] = {.key = "members", .type = TL_PARAM_UIDS, .max = MEMBERS_MAX},
	[ARG_HISTORY] = {.key = "history", .type = TL_PARAM_CHOICE, .choices = tl_histories},
	[ARG_JOIN] = {.key = "join", .type = TL_PARAM_CHOICE, .choices = tl_joins},
	[ARG_POST] = {.key = "post", .type = TL_PARAM_CHOICE, .choices = tl_posts},
	[ARG_ORDER] = {.key = "order", .type = TL_PARAM_CHOICE, .choices = tl_orders},
	[ARG_FANOUT] = {.key = "fanout", .type = TL_PARAM_CHOICE, .choices = tl_fanouts},
	[ARG_RETENTION] = {.key = "retention", .type = TL_PARAM_DURATION},
	[ARG_INDEX] = {.key = "index", .type = TL_PARAM_BOOL},
	{.key = NULL},
};

/* Tells this user's request from any other; never 0. */
static uint64_t request_hash(const struct tl_transaction *txn, const struct tl_call *call)
{
	uint64_t user = XXH3_64bits_withSeed(call->user.ptr, call->user.len, txn->database->secret);
	return XXH3_64bits_withSeed(call->raw.ptr, call->raw.len, user) | 1;
}

static struct tl_conversation_record describe(const struct tl_call *call, struct tl_slice cid, uint64_t hash)
{
	const struct tl_arg *args = call->args;
	struct tl_conversation_record record = {
		.cid = cid,
		.name = args[ARG_NAME].bytes,
		.owner = call->user,
		.retention = args[ARG_RETENTION].uint > 0 ? args[ARG_RETENTION].bytes : tl_slice("", 0),
		.created_by = hash,
		.kind = (uint8_t)(TL_GROUP + args[ARG_KIND].uint),
		.history = (uint8_t)args[ARG_HISTORY].uint,
		.join = (uint8_t)args[ARG_JOIN].uint,
		.post = (uint8_t)args[ARG_POST].uint,
		.order = (uint8_t)args[ARG_ORDER].uint,
		.fanout = (uint8_t)args[ARG_FANOUT].uint,
		.no_index = args[ARG_INDEX].given && !args[ARG_INDEX].uint,
	};
	if (record.kind == TL_CHANNEL && !args[ARG_POST].given)
		record.post = TL_POST_ADMINS;
	return record;
}

/* Without an id of the client's, one is made: from the request where it carries a rid, so that repeating it finds the
 * same conversation, else from its place in the queue. */
static struct tl_slice make_cid(const struct tl_transaction *txn, const struct tl_call *call, uint64_t hash,
                                char *out, size_t size)
{
	struct tl_reader rid;
	if (!tl_msgpack_find(call->raw, "rid", &rid))
		hash = XXH3_64bits_withSeed(&txn->position, sizeof txn->position, txn->database->secret);
	return tl_slice(out, (size_t)snprintf(out, size, "g-%016" PRIx64, hash));
}

static void add_member(struct tl_member *members, size_t *count, uint64_t user_no)
{
	members[(*count)++] = (struct tl_member){.user_no = user_no, .record = {.role = TL_ROLE_MEMBER, .since = 1}};
}

static int by_user_no(const void *a, const void *b)
{
	uint64_t x = ((const struct tl_member *)a)->user_no, y = ((const struct tl_member *)b)->user_no;
	return (x > y) - (x < y);
}

static size_t drop_repeated(struct tl_member *members, size_t count)
{
	size_t kept = 0;
	qsort(members, count, sizeof *members, by_user_no);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || members[kept - 1].user_no != members[i].user_no)
			members[kept++] = members[i];
	return kept;
}

/* The creator and everyone named, each once. */
static enum tl_err gather_members(struct tl_transaction *txn, const struct tl_call *call, struct tl_member **members_out,
                                  size_t *count_out)
{
	const struct tl_arg *named = &call->args[ARG_MEMBERS];
	struct tl_member *members = tl_arena_alloc(&txn->arena, (named->uint + 1) * sizeof *members);
	struct tl_reader reader = tl_reader(named->bytes);
	struct tl_slice uid = call->user;
	struct tl_user *user;
	size_t count = 0;

	if (!members)
		return TL_NO_MEMORY;
	do {
		enum tl_err err = tl_transaction_user(txn, uid, &user);
		if (err != TL_OK)
			return err;
		add_member(members, &count, user->no);
	} while (tl_reader_str(&reader, &uid));
	*members_out = members;
	*count_out = drop_repeated(members, count);
	return TL_OK;
}

/* Says who is in it, and whatever of the settings was given. */
static enum tl_err append_event(struct tl_transaction *txn, const struct tl_call *call,
                                struct tl_conversation *conversation)
{
	static const int settings[] = {ARG_NAME, ARG_HISTORY, ARG_JOIN, ARG_POST, ARG_ORDER, ARG_FANOUT, ARG_RETENTION};
	const struct tl_arg *users = &call->args[ARG_MEMBERS];
	struct tl_event event;

	tl_event_begin(&event, call, "create");
	tl_event_array(&event, "users", (uint32_t)users->uint, users->bytes);
	for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
		if (call->args[settings[i]].given)
			tl_event_str(&event, tl_create_params[settings[i]].key, call->args[settings[i]].bytes);
	if (call->args[ARG_INDEX].given)
		tl_event_bool(&event, "index", call->args[ARG_INDEX].uint);
	return tl_event_append(&event, txn, conversation);
}

static enum tl_err make(struct tl_transaction *txn, const struct tl_call *call,
                        struct tl_conversation_record *record, struct tl_conversation **conversation_out,
                        struct tl_why *why)
{
	struct tl_member *members;
	size_t count;
	enum tl_err err = gather_members(txn, call, &members, &count);
	if (err != TL_OK)
		return err;
	if (count > txn->limits->max_members)
		return tl_fail(why, TL_TOO_LARGE, "a conversation has at most %" PRIu64 " members", txn->limits->max_members);
	record->member_count = count;
	err = tl_conversations_create(&txn->conversations, txn->batch, record, members, count, conversation_out);
	if (err == TL_OK)
		err = tl_transaction_regrouped(txn, record->cid);
	return err == TL_OK ? append_event(txn, call, *conversation_out) : err;
}

/* The id is taken, unless this is the request that took it, sent again by one who is still a member; or replayed, when it
 * may have got as far as the conversation and not to its event. */
static enum tl_err repeat(struct tl_transaction *txn, const struct tl_call *call, struct tl_conversation *conversation,
                          uint64_t hash)
{
	struct tl_user *user;
	bool own;
	if (conversation->record.created_by != hash || conversation->record.dissolved)
		return TL_EXISTS;
	enum tl_err err = tl_transaction_find_user(txn, call->user, &user);
	if (err == TL_OK && (!user || !tl_conversation_member(conversation, user->no)))
		err = TL_EXISTS;
	if (err == TL_OK)
		err = tl_transaction_is_own_creation(txn, conversation, &own);
	return err == TL_OK && own ? append_event(txn, call, conversation) : err;
}

/* Whether the caller may have one more conversation. */
static enum tl_err check_room(struct tl_transaction *txn, const struct tl_call *call, struct tl_why *why)
{
	struct tl_user *user;
	enum tl_err err = tl_transaction_user(txn, call->user, &user);
	if (err == TL_OK)
		err = tl_user_has_room(txn, user, why);
	return err;
}

enum tl_err tl_create(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	char made[32];
	uint64_t hash = request_hash(txn, call);
	struct tl_slice cid = call->args[ARG_CONV].given ? call->args[ARG_CONV].bytes
	                                                 : make_cid(txn, call, hash, made, sizeof made);
	struct tl_conversation_record record = describe(call, cid, hash);
	struct tl_conversation *conversation;

	enum tl_err err = tl_transaction_conversation(txn, cid, &conversation);
	if (err == TL_OK)
		err = repeat(txn, call, conversation, hash);
	if (err == TL_NOT_FOUND && (err = check_room(txn, call, &answer->why)) == TL_OK)
		err = make(txn, call, &record, &conversation, &answer->why);
	if (err == TL_OK)
		tl_answer_info(answer, &conversation->record, conversation->head);
	return err;
}
