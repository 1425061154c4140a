#include "conversation_parts.h"

#include <stdlib.h>

/* A member found by number, of a conversation whose members are not all at hand. */
struct tl_looked_up {
	struct tl_member member;
	UT_hash_handle hh;
};

void tl_conversation_free_members(struct tl_conversation *conversation)
{
	struct tl_looked_up *found, *next;
	HASH_ITER(hh, conversation->looked_up, found, next)
	{
		HASH_DEL(conversation->looked_up, found);
		free(found);
	}
	free(conversation->members);
	conversation->members = NULL;
	conversation->member_count = 0;
}

/* Calls `each` for every member in the database, by ascending number. */
static enum tl_err each_stored(struct tl_iter *iter, uint64_t conversation_no,
                               enum tl_err (*each)(void *ctx, const struct tl_member *member), void *ctx)
{
	enum tl_err err = TL_OK;
	tl_iter_retarget(iter, tl_partition(TL_PART_MEMBERS, conversation_no));
	for (bool there = tl_iter_seek(iter, tl_slice("", 0)); there && err == TL_OK; there = tl_iter_next(iter)) {
		struct tl_slice key = tl_iter_key(iter);
		struct tl_member member = {0};
		if (!tl_ordered_int_read(key.ptr, key.len, &member.user_no) ||
		    !tl_member_record_unpack(tl_iter_value(iter), &member.record))
			return TL_CORRUPT;
		err = each(ctx, &member);
	}
	return err == TL_OK ? tl_iter_error(iter) : err;
}

/* Members being loaded. */
struct loading {
	struct tl_member *members;
	size_t count, room;
};

static enum tl_err load_member(void *ctx, const struct tl_member *member)
{
	struct loading *loading = ctx;
	if (loading->count == loading->room) {
		size_t more = loading->room ? loading->room * 2 : 2;
		struct tl_member *grown = realloc(loading->members, more * sizeof *grown);
		if (!grown)
			return TL_NO_MEMORY;
		loading->members = grown;
		loading->room = more;
	}
	loading->members[loading->count++] = *member;
	return TL_OK;
}

enum tl_err tl_conversation_load_members(struct tl_iter *iter, struct tl_conversation *conversation)
{
	struct loading loading = {0};
	enum tl_err err = each_stored(iter, conversation->no, load_member, &loading);
	if (err != TL_OK) {
		free(loading.members);
		return err;
	}
	for (size_t i = 0; i < loading.count; i++) {
		struct tl_looked_up *newer;
		HASH_FIND(hh, conversation->looked_up, &loading.members[i].user_no, sizeof(uint64_t), newer);
		if (newer)
			loading.members[i] = newer->member;
		tl_last_sends_apply(&conversation->sends, loading.members[i].user_no, &loading.members[i].record);
	}
	tl_conversation_free_members(conversation);
	conversation->members = loading.members;
	conversation->member_count = loading.count;
	conversation->whole = true;
	return TL_OK;
}

enum tl_err tl_conversations_load_members(struct tl_conversations *conversations, struct tl_iter *iter,
                                          struct tl_conversation *conversation)
{
	size_t before = conversation->member_count;
	if (conversation->whole)
		return TL_OK;
	enum tl_err err = tl_conversation_load_members(iter, conversation);
	conversations->member_count += conversation->member_count - before;
	return err;
}

void tl_conversations_forget_members(struct tl_conversations *conversations, struct tl_conversation *conversation)
{
	conversations->member_count -= conversation->member_count;
	tl_conversation_free_members(conversation);
	conversation->whole = false;
}

/* Reads the record of a direct chat's member of whom only the name has told so far. What was sent meanwhile is seen. */
static enum tl_err complete(const struct tl_conversations *conversations, const struct tl_conversation *conversation,
                            struct tl_member *member)
{
	struct tl_member_record record;
	if (!member->bare)
		return TL_OK;
	enum tl_err err =
		tl_member_read(conversations->database->engine, NULL, conversation->no, member->user_no, &record);
	if (err != TL_OK)
		return err == TL_NOT_FOUND ? TL_CORRUPT : err;
	tl_last_sends_apply(&conversation->sends, member->user_no, &record);
	member->record = record;
	member->bare = false;
	return TL_OK;
}

enum tl_err tl_conversations_each_member(struct tl_conversations *conversations, struct tl_iter *iter,
                                         struct tl_conversation *conversation,
                                         enum tl_err (*each)(void *ctx, const struct tl_member *member), void *ctx)
{
	enum tl_err err = TL_OK;
	if (!conversation->whole)
		return each_stored(iter, conversation->no, each, ctx);
	for (size_t i = 0; i < conversation->member_count && err == TL_OK; i++) {
		err = complete(conversations, conversation, &conversation->members[i]);
		if (err == TL_OK)
			err = each(ctx, &conversation->members[i]);
	}
	return err;
}

/* --- finding, putting --- */

static int by_user_no(const void *a, const void *b)
{
	uint64_t x = ((const struct tl_member *)a)->user_no, y = ((const struct tl_member *)b)->user_no;
	return (x > y) - (x < y);
}

size_t tl_members_sort(struct tl_member *members, size_t count)
{
	size_t kept = 0;
	qsort(members, count, sizeof *members, by_user_no);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || members[kept - 1].user_no != members[i].user_no)
			members[kept++] = members[i];
	return kept;
}

void tl_conversation_put_member(const struct tl_conversation *conversation, struct tl_batch *batch,
                                const struct tl_member *member)
{
	struct tl_member_key key;
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_member_record_pack(&pack, &member->record);
	tl_batch_put_pack(batch, tl_partition(TL_PART_MEMBERS, conversation->no), tl_member_key(&key, member->user_no), &pack);
	tl_pack_fini(&pack);
}

void tl_conversation_put_new_member(const struct tl_conversation *conversation, struct tl_batch *batch,
                           const struct tl_member *member)
{
	struct tl_member_key key;
	tl_conversation_put_member(conversation, batch, member);
	tl_batch_put(batch, tl_partition(TL_PART_USER_CONVERSATIONS, member->user_no), tl_member_key(&key, conversation->no),
	             tl_slice("", 0));
	tl_batch_delete(batch, tl_partition(TL_PART_LEFT_CONVERSATIONS, member->user_no),
	                tl_member_key(&key, conversation->no));
}

struct tl_member *tl_conversation_member(const struct tl_conversation *conversation, uint64_t user_no)
{
	struct tl_member wanted = {.user_no = user_no};
	struct tl_looked_up *found;
	if (conversation->member_count == 0)
		return NULL;
	if (conversation->whole)
		return bsearch(&wanted, conversation->members, conversation->member_count, sizeof wanted, by_user_no);
	HASH_FIND(hh, conversation->looked_up, &user_no, sizeof user_no, found);
	return found ? &found->member : NULL;
}

static struct tl_looked_up *remember(struct tl_conversations *conversations, struct tl_conversation *conversation,
                                     const struct tl_member *member)
{
	struct tl_looked_up *found = malloc(sizeof *found);
	if (!found)
		return NULL;
	found->member = *member;
	HASH_ADD(hh, conversation->looked_up, member.user_no, sizeof found->member.user_no, found);
	conversation->member_count++;
	conversations->member_count++;
	return found;
}

enum tl_err tl_conversations_member(struct tl_conversations *conversations, struct tl_conversation *conversation,
                                    uint64_t user_no, struct tl_member **member_out)
{
	struct tl_member member = {.user_no = user_no}, *at_hand = tl_conversation_member(conversation, user_no);
	enum tl_err err = at_hand ? complete(conversations, conversation, at_hand) : TL_OK;
	if (at_hand || conversation->whole) {
		if (err == TL_OK)
			*member_out = at_hand;
		return err;
	}
	err = tl_member_read(conversations->database->engine, NULL, conversation->no, user_no, &member.record);
	if (err == TL_NOT_FOUND) {
		*member_out = NULL;
		return TL_OK;
	}
	if (err != TL_OK)
		return err;
	tl_last_sends_apply(&conversation->sends, user_no, &member.record);
	struct tl_looked_up *found = remember(conversations, conversation, &member);
	if (!found)
		return TL_NO_MEMORY;
	*member_out = &found->member;
	return TL_OK;
}

/* --- coming and going --- */

static enum tl_err change_count(struct tl_conversation *conversation, struct tl_batch *batch, uint64_t count)
{
	struct tl_conversation_record record = conversation->record;
	record.member_count = count;
	return tl_conversation_change(conversation, batch, &record);
}

/* A member as of `since`, with what an earlier membership has left behind. */
static enum tl_err make_member(struct tl_engine *engine, const struct tl_conversation *conversation, uint64_t user_no,
                               uint64_t since, struct tl_member *member_out)
{
	struct tl_former_record former = {0};
	enum tl_err err = tl_former_read(engine, NULL, conversation->no, user_no, &former);
	if (err != TL_OK && err != TL_NOT_FOUND)
		return err;
	*member_out = (struct tl_member){
		.user_no = user_no,
		.record = {.role = former.muted ? TL_ROLE_MUTED : TL_ROLE_MEMBER,
	               .since = since,
	               .seen = since - 1,
	               .seen_running = conversation->running,
	               .cleared = former.cleared,
	               .deleted_some = former.deleted_some},
	};
	return TL_OK;
}

/* Makes room for more members at hand. */
static enum tl_err grow(struct tl_conversation *conversation, size_t more)
{
	if (!conversation->whole)
		return TL_OK;
	struct tl_member *grown =
		realloc(conversation->members, (conversation->member_count + more + 1) * sizeof *grown);
	if (!grown)
		return TL_NO_MEMORY;
	conversation->members = grown;
	return TL_OK;
}

static enum tl_err add_at_hand(struct tl_conversations *conversations, struct tl_conversation *conversation,
                               const struct tl_member *member)
{
	if (!conversation->whole)
		return remember(conversations, conversation, member) ? TL_OK : TL_NO_MEMORY;
	conversation->members[conversation->member_count++] = *member;
	conversations->member_count++;
	return TL_OK;
}

enum tl_err tl_conversations_add(struct tl_conversations *conversations, struct tl_batch *batch,
                                 struct tl_conversation *conversation, struct tl_user *const *users, size_t count,
                                 uint64_t since)
{
	struct tl_member member;
	enum tl_err err = grow(conversation, count);
	for (size_t i = 0; i < count && err == TL_OK; i++) {
		err = make_member(conversations->database->engine, conversation, users[i]->no, since, &member);
		if (err == TL_OK)
			err = add_at_hand(conversations, conversation, &member);
		if (err == TL_OK)
			tl_conversation_put_new_member(conversation, batch, &member);
	}
	if (err != TL_OK)
		return err;
	if (conversation->whole)
		qsort(conversation->members, conversation->member_count, sizeof member, by_user_no);
	return change_count(conversation, batch, conversation->record.member_count + count);
}

static void add_period(struct tl_former_record *former, uint64_t from, uint64_t to)
{
	if (former->count == TL_PERIODS_MAX) {
		memmove(&former->periods[0], &former->periods[1], (TL_PERIODS_MAX - 1) * sizeof former->periods[0]);
		former->count--;
	}
	former->periods[former->count++] = (struct tl_period){from, to};
}

void tl_conversation_put_former(const struct tl_conversation *conversation, struct tl_batch *batch, uint64_t user_no,
                                const struct tl_former_record *former)
{
	struct tl_member_key key;
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_former_record_pack(&pack, former);
	tl_batch_put_pack(batch, tl_partition(TL_PART_FORMER, conversation->no), tl_member_key(&key, user_no), &pack);
	tl_pack_fini(&pack);
}

static void delete_member(struct tl_batch *batch, const struct tl_conversation *conversation, uint64_t user_no)
{
	struct tl_member_key key;
	tl_batch_delete(batch, tl_partition(TL_PART_MEMBERS, conversation->no), tl_member_key(&key, user_no));
	tl_batch_delete(batch, tl_partition(TL_PART_USER_CONVERSATIONS, user_no), tl_member_key(&key, conversation->no));
	tl_batch_put(batch, tl_partition(TL_PART_LEFT_CONVERSATIONS, user_no), tl_member_key(&key, conversation->no),
	             tl_slice("", 0));
}

/* Puts what the member may still see, and marks the member as gone. Who has become the owner is muted no longer, whatever his role
 * was before. */
static enum tl_err remove_member(struct tl_engine *engine, struct tl_batch *batch,
                                 const struct tl_conversation *conversation, const struct tl_user *user,
                                 struct tl_member *member, uint64_t last)
{
	struct tl_former_record former = {0};
	enum tl_err err = tl_former_read(engine, NULL, conversation->no, member->user_no, &former);
	if (err != TL_OK && err != TL_NOT_FOUND)
		return err;
	former.cleared = member->record.cleared;
	former.deleted_some = member->record.deleted_some;
	former.muted = member->record.role == TL_ROLE_MUTED &&
	               !tl_slice_equal(conversation->record.owner, tl_slice(user->uid, user->uid_len));
	add_period(&former, member->record.since, last);
	tl_conversation_put_former(conversation, batch, member->user_no, &former);
	delete_member(batch, conversation, member->user_no);
	member->gone = true;
	return TL_OK;
}

/* Of members that are all at hand. */
static void forget_gone(struct tl_conversation *conversation)
{
	size_t kept = 0;
	for (size_t i = 0; i < conversation->member_count; i++)
		if (!conversation->members[i].gone)
			conversation->members[kept++] = conversation->members[i];
	conversation->member_count = kept;
}

static void forget_looked_up(struct tl_conversation *conversation, uint64_t user_no)
{
	struct tl_looked_up *found;
	HASH_FIND(hh, conversation->looked_up, &user_no, sizeof user_no, found);
	if (!found)
		return;
	HASH_DEL(conversation->looked_up, found);
	free(found);
	conversation->member_count--;
}

/* Where few of a large conversation's members go, the others at hand are not looked at. */
static void forget(struct tl_conversations *conversations, struct tl_conversation *conversation,
                   struct tl_user *const *users, size_t count)
{
	size_t before = conversation->member_count;
	if (conversation->whole)
		forget_gone(conversation);
	for (size_t i = 0; i < count && !conversation->whole; i++)
		forget_looked_up(conversation, users[i]->no);
	conversations->member_count -= before - conversation->member_count;
}

enum tl_err tl_conversations_remove(struct tl_conversations *conversations, struct tl_batch *batch,
                                    struct tl_conversation *conversation, struct tl_user *const *users, size_t count,
                                    uint64_t last)
{
	for (size_t i = 0; i < count; i++) {
		struct tl_member *member = NULL;
		enum tl_err err = tl_conversations_member(conversations, conversation, users[i]->no, &member);
		if (err == TL_OK && member)
			err = remove_member(conversations->database->engine, batch, conversation, users[i], member, last);
		if (err != TL_OK)
			return err;
	}
	forget(conversations, conversation, users, count);
	return change_count(conversation, batch, conversation->record.member_count - count);
}
