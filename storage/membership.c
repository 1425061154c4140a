#include "membership.h"

#include "blocks.h"
#include "conversations.h"
#include "id.h"
#include "send.h"

#include <stdlib.h>
#include <uthash.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct answer {
	struct tl_standing standing;
	uint32_t version; /* of the name's stripe when it was read */
	UT_hash_handle hh;
	size_t key_len;
	char key[]; /* cid, NUL, uid; no cid: of all direct chats */
};

struct tl_membership {
	struct tl_membership_versions *versions;
	const struct tl_database *database;
	size_t max_entries;
	struct answer *answers; /* oldest first */
};

enum { KEY_MAX = TL_DIRECT_ID_MAX + 1 + TL_ID_MAX };

/* uthash's own goes through a key byte by byte. */
static unsigned hash_of(const char *key, size_t len)
{
	return (unsigned)XXH3_64bits(key, len);
}

static size_t stripe_of(struct tl_slice name)
{
	return XXH3_64bits(name.ptr, name.len) % TL_MEMBERSHIP_STRIPES;
}

void tl_membership_changed(struct tl_membership_versions *versions, struct tl_slice name)
{
	atomic_fetch_add_explicit(&versions->stripes[stripe_of(name)], 1, memory_order_release);
}

enum tl_err tl_membership_new(struct tl_membership_versions *versions, const struct tl_database *database,
                              size_t max_entries, struct tl_membership **membership_out)
{
	struct tl_membership *membership = malloc(sizeof *membership);
	if (!membership)
		return TL_NO_MEMORY;
	*membership =
		(struct tl_membership){.versions = versions, .database = database, .max_entries = max_entries};
	*membership_out = membership;
	return TL_OK;
}

static void forget(struct tl_membership *membership, struct answer *answer)
{
	HASH_DEL(membership->answers, answer);
	free(answer);
}

void tl_membership_free(struct tl_membership *membership)
{
	if (!membership)
		return;
	while (membership->answers)
		forget(membership, membership->answers);
	free(membership);
}

/* The standing as the database has it now. */
static enum tl_err read_standing(const struct tl_database *database, struct tl_slice cid, struct tl_slice user,
                                 struct tl_standing *standing_out)
{
	struct tl_conversation_record record;
	struct tl_member_record member;
	uint64_t no, user_no;
	char *bytes;
	enum tl_err err = tl_conversation_no(database->engine, NULL, cid, &no);
	if (err == TL_OK)
		err = tl_user_no(database->engine, NULL, user, &user_no);
	if (err == TL_OK)
		err = tl_member_read(database->engine, NULL, no, user_no, &member);
	if (err == TL_OK)
		err = tl_conversation_read(database->engine, NULL, no, &record, &bytes);
	if (err == TL_NOT_FOUND) {
		*standing_out = (struct tl_standing){.may_send = TL_NOT_MEMBER};
		return TL_OK;
	}
	if (err != TL_OK)
		return err;
	*standing_out = (struct tl_standing){
		.member = !record.dissolved,
		.since = member.since,
		.may_send = tl_send_allowed(&record, &member, user),
		.needs_order = record.order == TL_ORDER_CUSTOM,
	};
	free(bytes);
	return TL_OK;
}

static void remember(struct tl_membership *membership, struct tl_slice key, const struct tl_standing *standing,
                     uint32_t version)
{
	struct answer *answer = malloc(sizeof *answer + key.len);
	if (!answer)
		return;
	answer->standing = *standing;
	answer->version = version;
	answer->key_len = key.len;
	memcpy(answer->key, key.ptr, key.len);
	if (HASH_COUNT(membership->answers) >= membership->max_entries)
		forget(membership, membership->answers);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, membership->answers, answer->key, answer->key_len,
	                            hash_of(answer->key, answer->key_len), answer);
}

/* Towards all direct chats at once: may send if nobody at all has blocked the user. */
static enum tl_err read_blocked(const struct tl_database *database, struct tl_slice cid, struct tl_slice user,
                                struct tl_standing *standing_out)
{
	struct tl_iter *iter;
	bool any;
	enum tl_err err = tl_iter_new(database->engine, NULL, tl_partition(TL_PART_META, 0), true, &iter);
	(void)cid;
	if (err != TL_OK)
		return err;
	err = tl_blocks_any(iter, user, &any);
	tl_iter_free(iter);
	if (err == TL_OK)
		*standing_out = (struct tl_standing){.member = true, .may_send = any ? TL_NOT_AUTHORISED : TL_OK};
	return err;
}

/* Towards one of them: may send unless the other one has. */
static enum tl_err read_direct(const struct tl_database *database, struct tl_slice cid, struct tl_slice user,
                               struct tl_standing *standing_out)
{
	struct tl_slice other;
	bool blocks;
	if (!tl_direct_id_other(cid, user, &other))
		return TL_NOT_MEMBER;
	enum tl_err err = tl_blocks_read(database->engine, other, user, &blocks);
	if (err == TL_OK)
		*standing_out = (struct tl_standing){.member = true, .may_send = blocks ? TL_NOT_AUTHORISED : TL_OK};
	return err;
}

typedef enum tl_err read_fn(const struct tl_database *database, struct tl_slice cid, struct tl_slice user,
                            struct tl_standing *standing_out);

static enum tl_err find_cached(struct tl_membership *membership, struct tl_slice cid, struct tl_slice user,
                               read_fn *read, struct tl_standing *standing_out)
{
	struct tl_slice name = cid.len > 0 ? cid : user;
	struct answer *answer;
	char key[KEY_MAX];
	size_t len = cid.len + 1 + user.len;
	/* Before reading: what changes afterwards shows as another version. */
	uint32_t version =
		atomic_load_explicit(&membership->versions->stripes[stripe_of(name)], memory_order_acquire);

	memcpy(key, cid.ptr, cid.len);
	key[cid.len] = '\0';
	memcpy(key + cid.len + 1, user.ptr, user.len);
	HASH_FIND_BYHASHVALUE(hh, membership->answers, key, len, hash_of(key, len), answer);
	if (answer && answer->version == version) {
		*standing_out = answer->standing;
		return TL_OK;
	}
	if (answer)
		forget(membership, answer);
	enum tl_err err = read(membership->database, cid, user, standing_out);
	if (err == TL_OK)
		remember(membership, tl_slice(key, len), standing_out, version);
	return err;
}

/* Either of the two is in the chat, whether it exists yet or not. */
static enum tl_err find_direct(struct tl_membership *membership, struct tl_slice cid, struct tl_slice user,
                               struct tl_standing *standing_out)
{
	struct tl_slice other;
	if (!tl_direct_id_other(cid, user, &other)) {
		*standing_out = (struct tl_standing){.may_send = TL_NOT_MEMBER};
		return TL_OK;
	}
	enum tl_err err = find_cached(membership, tl_slice("", 0), user, read_blocked, standing_out);
	bool look = err == TL_OK && standing_out->may_send != TL_OK;
	return look ? find_cached(membership, cid, user, read_direct, standing_out) : err;
}

enum tl_err tl_membership_find(struct tl_membership *membership, struct tl_slice cid, struct tl_slice user,
                               struct tl_standing *standing_out)
{
	bool final = atomic_load_explicit(&membership->versions->pending, memory_order_acquire) == 0;
	enum tl_err err = TL_OK;

	if (cid.len > TL_DIRECT_ID_MAX || (!tl_id_is_direct(cid) && !tl_id_valid(cid, TL_ID_MAX)))
		*standing_out = (struct tl_standing){.may_send = TL_NOT_MEMBER};
	else
		err = tl_id_is_direct(cid) ? find_direct(membership, cid, user, standing_out)
		                           : find_cached(membership, cid, user, read_standing, standing_out);
	if (err == TL_CORRUPT) {
		*standing_out = (struct tl_standing){.may_send = TL_NOT_MEMBER};
		return TL_OK;
	}
	if (err == TL_OK)
		standing_out->final = final || (tl_id_is_direct(cid) && !standing_out->member);
	return err;
}
