/* `create`: a new group or channel with its first members, who learn of it by an event, the conversation's first
 * entry. The same request sent again by the same user finds its conversation and answers as the first one did. */
#include "requests.h"

#include "fanout.h"
#include "msgpack_reader.h"
#include "roster.h"
#include "settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

enum { ARG_CONV, ARG_KIND, ARG_MEMBERS, ARG_SETTINGS };

enum { MEMBERS_MAX = 8192 }; /* of one request; those of the conversation are limited by the options */

const struct tl_param tl_create_params[] = {
	[ARG_CONV] = {.key = "conv", .type = TL_PARAM_NEW_CID},
	[ARG_KIND] = {.key = "kind", .type = TL_PARAM_CHOICE, .choices = tl_conversation_kinds + TL_GROUP},
	[ARG_MEMBERS] = {.key = "members", .type = TL_PARAM_UIDS, .max = MEMBERS_MAX},
	TL_SETTING_PARAMS(ARG_SETTINGS),
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
		.owner = call->user,
		.created_by = hash,
		.kind = (uint8_t)(TL_GROUP + args[ARG_KIND].uint),
	};
	tl_settings_apply(&record, &args[ARG_SETTINGS]);
	if (record.kind == TL_CHANNEL && !args[ARG_SETTINGS + TL_SETTING_POST].given)
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

/* The creator and everyone named, each once; none of them is made unless all can come in. */
static enum tl_err check_members(struct tl_transaction *txn, const struct tl_call *call, struct tl_named_users *named,
                                 struct tl_why *why)
{
	struct tl_reader reader = tl_reader(call->args[ARG_MEMBERS].bytes);
	struct tl_slice uid = call->user;
	struct tl_named_user *user;
	do {
		enum tl_err err = tl_named_users_add(named, uid, &user);
		if (err == TL_OK && user)
			err = tl_slice_equal(uid, call->user) ? tl_roster_check_self(txn, user->user, why)
			                                      : tl_roster_check_named(txn, call, user, why);
		if (err != TL_OK)
			return err;
	} while (tl_reader_str(&reader, &uid));
	return tl_roster_check_size(txn, named->count, why);
}

static enum tl_err make_members(struct tl_transaction *txn, struct tl_named_users *named, struct tl_member **members_out)
{
	struct tl_member *members = tl_arena_alloc(&txn->arena, named->count * sizeof *members);
	enum tl_err err = members ? tl_named_users_make(named) : TL_NO_MEMORY;
	if (err != TL_OK)
		return err;
	for (size_t i = 0; i < named->count; i++)
		members[i] = (struct tl_member){.user_no = named->list[i].user->no,
		                                .record = {.role = TL_ROLE_MEMBER, .since = 1}};
	*members_out = members;
	return TL_OK;
}

static enum tl_err gather_members(struct tl_transaction *txn, const struct tl_call *call, struct tl_member **members_out,
                                  size_t *count_out, struct tl_why *why)
{
	struct tl_named_users named;
	enum tl_err err = tl_named_users_init(&named, txn, (size_t)call->args[ARG_MEMBERS].uint + 1);
	if (err == TL_OK)
		err = check_members(txn, call, &named, why);
	if (err == TL_OK)
		err = make_members(txn, &named, members_out);
	if (err == TL_OK)
		*count_out = tl_members_sort(*members_out, named.count);
	tl_named_users_fini(&named);
	return err;
}

/* Says who is in it, and whatever of the settings was given. */
static enum tl_err append_event(struct tl_transaction *txn, const struct tl_call *call,
                                struct tl_conversation *conversation)
{
	const struct tl_arg *users = &call->args[ARG_MEMBERS], *settings = &call->args[ARG_SETTINGS];
	struct tl_event event;

	tl_event_begin(&event, call, "create");
	tl_event_array(&event, "users", (uint32_t)users->uint, users->bytes);
	tl_settings_tell(&event, settings, tl_settings_given(settings));
	return tl_event_append(&event, txn, conversation);
}

/* What is left to do when the conversation is there. */
static enum tl_err complete(struct tl_transaction *txn, const struct tl_call *call,
                            struct tl_conversation *conversation)
{
	enum tl_err err = tl_roster_count_all(txn, conversation);
	return err == TL_OK ? append_event(txn, call, conversation) : err;
}

static enum tl_err make(struct tl_transaction *txn, const struct tl_call *call,
                        struct tl_conversation_record *record, struct tl_conversation **conversation_out,
                        struct tl_why *why)
{
	struct tl_member *members;
	size_t count;
	enum tl_err err = gather_members(txn, call, &members, &count, why);
	if (err != TL_OK)
		return err;
	record->member_count = count;
	record->on_read = tl_fanout_on_read(record, txn->limits->write_fanout_max);
	err = tl_conversations_create(&txn->conversations, txn->batch, record, members, count, conversation_out);
	if (err == TL_OK && record->on_read)
		err = tl_fanout_begin_all(txn, *conversation_out);
	if (err == TL_OK)
		err = tl_transaction_regrouped(txn, record->cid);
	return err == TL_OK ? complete(txn, call, *conversation_out) : err;
}

/* The id is taken, unless this is the request that took it, sent again by one who is still a member; or replayed, when it
 * may have got as far as the conversation and not to its event. */
static enum tl_err repeat(struct tl_transaction *txn, const struct tl_call *call, struct tl_conversation *conversation,
                          uint64_t hash)
{
	struct tl_member *member = NULL;
	struct tl_user *user;
	bool own;
	if (conversation->record.created_by != hash || conversation->record.dissolved)
		return TL_EXISTS;
	enum tl_err err = tl_transaction_find_user(txn, call->user, &user);
	if (err == TL_OK && user)
		err = tl_conversations_member(&txn->conversations, conversation, user->no, &member);
	if (err == TL_OK && !member)
		err = TL_EXISTS;
	if (err == TL_OK)
		err = tl_transaction_is_own_creation(txn, conversation, &own);
	return err == TL_OK && own ? complete(txn, call, conversation) : err;
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
	if (err == TL_NOT_FOUND)
		err = make(txn, call, &record, &conversation, &answer->why);
	if (err == TL_OK)
		tl_answer_info(answer, &conversation->record, conversation->head);
	return err;
}
