#include "conversation_parts.h"

#include "id.h"
#include "message.h"
#include "msgpack_reader.h"
#include "timeline.h"

#include <stdlib.h>

void tl_conversations_init(struct tl_conversations *conversations, struct tl_database *database,
                           struct tl_users *users)
{
	*conversations = (struct tl_conversations){.database = database, .users = users, .numbers = {.key = TL_META_NEXT_CONVERSATION}};
}

static void conversation_free(struct tl_conversation *conversation)
{
	if (!conversation)
		return;
	tl_conversation_free_members(conversation);
	free(conversation->bytes);
	free(conversation);
}

static void forget(struct tl_conversations *conversations, struct tl_conversation *conversation)
{
	HASH_DELETE(by_cid, conversations->by_cid, conversation);
	conversations->member_count -= conversation->member_count;
	conversation_free(conversation);
}

static void cache(struct tl_conversations *conversations, struct tl_conversation *conversation)
{
	const struct tl_slice *cid = &conversation->record.cid;
	HASH_ADD_KEYPTR(by_cid, conversations->by_cid, cid->ptr, cid->len, conversation);
}

void tl_conversations_clear(struct tl_conversations *conversations)
{
	struct tl_conversation *conversation, *next;
	HASH_ITER(by_cid, conversations->by_cid, conversation, next)
	forget(conversations, conversation);
}

void tl_conversations_fini(struct tl_conversations *conversations)
{
	tl_conversations_clear(conversations);
}

/* Second chance, as for users. */
void tl_conversations_trim(struct tl_conversations *conversations, uint64_t max, uint64_t max_members)
{
	while (HASH_CNT(by_cid, conversations->by_cid) > max || conversations->member_count > max_members) {
		struct tl_conversation *conversation = conversations->by_cid;
		if (!conversation->used) {
			forget(conversations, conversation);
			continue;
		}
		HASH_DELETE(by_cid, conversations->by_cid, conversation);
		conversation->used = false;
		cache(conversations, conversation);
	}
}

/* Where the store timeline ends, and what its last entry says. */
static enum tl_err load_head(struct tl_engine *engine, struct tl_iter *iter, struct tl_conversation *conversation)
{
	struct tl_store_record record;
	char *last;
	size_t last_len;
	enum tl_err err = tl_timeline_head(engine, NULL, iter, tl_partition(TL_PART_STORE, conversation->no),
	                                   &conversation->head, &conversation->far_from_mark, &last, &last_len);
	if (err != TL_OK)
		return err;
	if (last && tl_store_record_unpack(tl_slice(last, last_len), &record)) {
		conversation->running = record.running;
		conversation->position = record.position;
		conversation->sends = record.sends;
		conversation->ts = tl_message_ts(record.message);
	} else if (last) {
		err = TL_CORRUPT;
	}
	free(last);
	return err;
}

/* Whether the user of that number is this one. The users of a conversation are needed with the next message anyway, so
 * they are asked before the name is, which lies elsewhere in the database. */
static enum tl_err is_user(struct tl_conversations *conversations, struct tl_iter *iter, uint64_t user_no,
                           struct tl_slice uid, bool *is_out)
{
	struct tl_user *user;
	uint64_t no = 0;
	enum tl_err err = tl_users_find_no(conversations->users, iter, user_no, &user);
	if (err == TL_OK) {
		*is_out = tl_slice_equal(tl_slice(user->uid, user->uid_len), uid);
		return TL_OK;
	}
	if (err != TL_CORRUPT)
		return err;
	/* The record may have been lost on the way, and is put when the user is next asked for by name. */
	err = tl_user_no(conversations->database->engine, NULL, uid, &no);
	*is_out = no == user_no;
	return err == TL_NOT_FOUND ? TL_OK : err;
}

/* Who the two of a direct chat are, where its name has been put without; unknown it stays where a member is missing. */
static enum tl_err complete_name(struct tl_conversations *conversations, struct tl_iter *iter,
                                 struct tl_conversation *conversation)
{
	const struct tl_member *members = conversation->members;
	struct tl_slice one, other;
	bool in_order;
	if (conversation->record.kind != TL_DIRECT || conversation->name.users[0] > 0 ||
	    !tl_direct_id_parse(conversation->record.cid, &one, &other) ||
	    conversation->member_count != (tl_slice_equal(one, other) ? 1 : 2))
		return TL_OK;
	size_t last = conversation->member_count - 1;
	enum tl_err err = is_user(conversations, iter, members[0].user_no, one, &in_order);
	if (err != TL_OK)
		return err;
	conversation->name.users[0] = members[in_order ? 0 : last].user_no;
	conversation->name.users[1] = members[in_order ? last : 0].user_no;
	conversation->name_unsettled = true;
	return TL_OK;
}

/* The record and the members as they are stored. */
static enum tl_err load_stored(struct tl_conversations *conversations, struct tl_iter *iter,
                               struct tl_conversation *conversation)
{
	struct tl_engine *engine = conversations->database->engine;
	enum tl_err err =
		tl_conversation_read(engine, NULL, conversation->no, &conversation->record, &conversation->bytes);
	if (err == TL_OK)
		err = load_head(engine, iter, conversation);
	if (err == TL_OK && !conversation->record.on_read)
		err = tl_conversation_load_members(iter, conversation);
	if (err == TL_OK)
		err = complete_name(conversations, iter, conversation);
	return err;
}

/* A direct chat's record never changes: this is it. */
static struct tl_conversation_record direct_record(struct tl_slice cid, const struct tl_conversation_name *name)
{
	const struct tl_slice none = {"", 0};
	return (struct tl_conversation_record){.cid = cid,
	                                       .name = none,
	                                       .owner = none,
	                                       .retention = none,
	                                       .kind = TL_DIRECT,
	                                       .member_count = name->users[0] == name->users[1] ? 1 : 2};
}

/* A direct chat as its name tells it. */
static enum tl_err load_named(struct tl_conversations *conversations, struct tl_iter *iter, struct tl_slice cid,
                              struct tl_conversation *conversation)
{
	const struct tl_conversation_name *name = &conversation->name;
	conversation->bytes = malloc(cid.len + 1);
	conversation->members = calloc(2, sizeof *conversation->members);
	if (!conversation->bytes || !conversation->members)
		return TL_NO_MEMORY;
	memcpy(conversation->bytes, cid.ptr, cid.len);
	conversation->record = direct_record(tl_slice(conversation->bytes, cid.len), name);
	for (size_t i = 0; i < 2; i++)
		conversation->members[i] = (struct tl_member){.user_no = name->users[i],
		                                              .record = {.mute = name->muted[i]},
		                                              .bare = true};
	conversation->member_count = tl_members_sort(conversation->members, 2);
	conversation->whole = true;
	return load_head(conversations->database->engine, iter, conversation);
}

/* While a batch may have been applied in part, the name does not tell that the rest is there. */
static enum tl_err load(struct tl_conversations *conversations, struct tl_iter *iter, struct tl_slice cid,
                        const struct tl_conversation_name *name, struct tl_conversation **conversation_out)
{
	struct tl_conversation *conversation = calloc(1, sizeof *conversation);
	if (!conversation)
		return TL_NO_MEMORY;
	conversation->no = name->no;
	conversation->name = *name;
	enum tl_err err = name->users[0] > 0 && !conversations->replaying
	                      ? load_named(conversations, iter, cid, conversation)
	                      : load_stored(conversations, iter, conversation);
	if (err != TL_OK) {
		conversation_free(conversation);
		return err;
	}
	*conversation_out = conversation;
	return TL_OK;
}

static bool has_members(struct tl_iter *iter, const struct tl_conversation *conversation)
{
	if (conversation->whole)
		return conversation->member_count > 0;
	tl_iter_retarget(iter, tl_partition(TL_PART_MEMBERS, conversation->no));
	return tl_iter_seek(iter, tl_slice("", 0));
}

enum tl_err tl_conversations_find(struct tl_conversations *conversations, struct tl_iter *iter, struct tl_slice cid,
                                  struct tl_conversation **conversation_out)
{
	struct tl_engine *engine = conversations->database->engine;
	struct tl_conversation *conversation;
	struct tl_conversation_name name;

	HASH_FIND(by_cid, conversations->by_cid, cid.ptr, cid.len, conversation);
	if (!conversation) {
		enum tl_err err = tl_conversation_name(engine, NULL, cid, &name);
		if (err == TL_OK)
			err = load(conversations, iter, cid, &name, &conversation);
		if (err != TL_OK)
			return err; /* a name without a record: its creation got no further, and is done again */
		if (conversations->replaying && !has_members(iter, conversation) && !conversation->record.dissolved) {
			conversation_free(conversation);
			return TL_NOT_FOUND; /* nor did this one */
		}
		cache(conversations, conversation);
		conversations->member_count += conversation->member_count;
	}
	conversation->used = true;
	*conversation_out = conversation;
	return TL_OK;
}

/* --- making --- */

static void put_name(struct tl_batch *batch, const struct tl_conversation *conversation)
{
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_conversation_name_pack(&pack, &conversation->name);
	tl_batch_put_pack(batch, tl_partition(TL_PART_CONVERSATION_NAMES, 0), conversation->record.cid, &pack);
	tl_pack_fini(&pack);
}

static void put_records(struct tl_batch *batch, const struct tl_conversation *conversation, struct tl_slice bytes)
{
	put_name(batch, conversation);
	tl_batch_put(batch, tl_partition(TL_PART_CONVERSATION, conversation->no), tl_own_record, bytes);
	for (size_t i = 0; i < conversation->member_count; i++)
		tl_conversation_put_new_member(conversation, batch, &conversation->members[i]);
}

/* Owned copies of the record and the members. */
static enum tl_err fill(struct tl_conversation *conversation, struct tl_slice bytes, const struct tl_member *members,
                        size_t member_count)
{
	conversation->bytes = malloc(bytes.len + 1);
	conversation->members = malloc((member_count + 1) * sizeof *members);
	if (!conversation->bytes || !conversation->members)
		return TL_NO_MEMORY;
	memcpy(conversation->bytes, bytes.ptr, bytes.len);
	memcpy(conversation->members, members, member_count * sizeof *members);
	conversation->member_count = member_count;
	conversation->whole = true;
	tl_members_sort(conversation->members, member_count);
	bool ok = tl_conversation_record_unpack(tl_slice(conversation->bytes, bytes.len), &conversation->record);
	return ok ? TL_OK : TL_CORRUPT;
}

/* `members`: in the order in which they were given. */
static void make_name(struct tl_conversation *conversation, const struct tl_member *members, size_t member_count)
{
	conversation->name = (struct tl_conversation_name){.no = conversation->no};
	if (conversation->record.kind != TL_DIRECT || member_count == 0)
		return;
	conversation->name.users[0] = members[0].user_no;
	conversation->name.users[1] = members[member_count - 1].user_no;
}

/* Brings a direct chat's name up to date; whether that changes it. */
static bool renew_name(struct tl_conversation *conversation)
{
	struct tl_conversation_name *name = &conversation->name;
	const struct tl_conversation_name before = *name;
	for (size_t i = 0; i < 2; i++) {
		const struct tl_member *member = tl_conversation_member(conversation, name->users[i]);
		name->muted[i] = member && member->record.mute;
	}
	return name->muted[0] != before.muted[0] || name->muted[1] != before.muted[1];
}

/* The number that the name has, if an earlier creation got no further, or a new one. */
static enum tl_err take_number(struct tl_conversations *conversations, struct tl_slice cid, uint64_t *no_out)
{
	struct tl_database *database = conversations->database;
	enum tl_err err = tl_conversation_no(database->engine, NULL, cid, no_out);
	if (err == TL_NOT_FOUND)
		err = tl_numbers_name(&conversations->numbers, database, TL_PART_CONVERSATION_NAMES, cid, no_out);
	return err;
}

enum tl_err tl_conversations_create(struct tl_conversations *conversations, struct tl_batch *batch,
                                    const struct tl_conversation_record *record, const struct tl_member *members,
                                    size_t member_count, struct tl_conversation **conversation_out)
{
	struct tl_conversation *conversation = calloc(1, sizeof *conversation);
	struct tl_pack pack;
	enum tl_err err = TL_NO_MEMORY;

	tl_pack_init(&pack);
	if (!conversation)
		goto done;
	tl_conversation_record_pack(&pack, record);
	if (pack.failed)
		goto done;
	if ((err = take_number(conversations, record->cid, &conversation->no)) != TL_OK)
		goto done;
	if ((err = fill(conversation, tl_pack_bytes(&pack), members, member_count)) != TL_OK)
		goto done;
	make_name(conversation, members, member_count);
	(void)renew_name(conversation);
	put_records(batch, conversation, tl_pack_bytes(&pack));
	conversation->used = true;
	cache(conversations, conversation);
	conversations->member_count += member_count;
	*conversation_out = conversation;
	conversation = NULL;
done:
	tl_pack_fini(&pack);
	conversation_free(conversation);
	return err;
}

/* --- changing --- */

void tl_conversation_settle_name(struct tl_conversation *conversation, struct tl_batch *batch)
{
	if (conversation->record.kind != TL_DIRECT || conversation->name.users[0] == 0)
		return;
	if (renew_name(conversation) || conversation->name_unsettled)
		put_name(batch, conversation);
	conversation->name_unsettled = false;
}

/* The hash table's key lies in the old bytes, but the id itself never changes. */
enum tl_err tl_conversation_change(struct tl_conversation *conversation, struct tl_batch *batch,
                                   const struct tl_conversation_record *record)
{
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_conversation_record_pack(&pack, record);
	struct tl_slice packed = tl_pack_bytes(&pack);
	char *bytes = pack.failed ? NULL : malloc(packed.len + 1);
	if (!bytes) {
		tl_pack_fini(&pack);
		return TL_NO_MEMORY;
	}
	memcpy(bytes, packed.ptr, packed.len);
	tl_batch_put(batch, tl_partition(TL_PART_CONVERSATION, conversation->no), tl_own_record, packed);
	tl_pack_fini(&pack);
	bool ok = tl_conversation_record_unpack(tl_slice(bytes, packed.len), &conversation->record);
	conversation->by_cid.key = conversation->record.cid.ptr;
	free(conversation->bytes);
	conversation->bytes = bytes;
	return ok ? TL_OK : TL_CORRUPT;
}
