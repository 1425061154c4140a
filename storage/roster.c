#include "roster.h"

#include "blocks.h"
#include "endings.h"

#include <inttypes.h>

enum tl_err tl_roster_check_size(const struct tl_transaction *txn, uint64_t members, struct tl_why *why)
{
	uint64_t limit = txn->limits->max_members;
	if (members <= limit)
		return TL_OK;
	return tl_fail(why, TL_TOO_LARGE, "a conversation has at most %" PRIu64 " members", limit);
}

/* Without the one that the record at hand has counted already, before a failure. */
static uint64_t groups_of(const struct tl_transaction *txn, const struct tl_user *user)
{
	return !user ? 0 : user->groups - (user->groups > 0 && user->groups_position == txn->position);
}

/* Whether the user is in fewer than so many. Those that have been dissolved may still be counted. */
static enum tl_err is_below(struct tl_transaction *txn, const struct tl_user *user, uint64_t limit, bool *below_out)
{
	uint64_t groups = groups_of(txn, user), dissolved = 0;
	enum tl_err err = user && groups >= limit ? tl_endings_of(txn, user, &dissolved) : TL_OK;
	if (err == TL_OK)
		*below_out = groups < limit + dissolved;
	return err;
}

enum tl_err tl_roster_check_self(struct tl_transaction *txn, const struct tl_user *user, struct tl_why *why)
{
	uint64_t limit = txn->limits->max_conversations;
	bool below;
	enum tl_err err = is_below(txn, user, limit, &below);
	if (err != TL_OK || below)
		return err;
	return tl_fail(why, TL_TOO_LARGE, "a user is in at most %" PRIu64 " groups and channels", limit);
}

enum tl_err tl_roster_check_named(struct tl_transaction *txn, const struct tl_call *call,
                                  const struct tl_named_user *named, struct tl_why *why)
{
	uint64_t limit = txn->limits->max_conversations - txn->limits->max_conversations / 4;
	bool below;
	enum tl_err err = tl_blocks_check(txn, call->user, named->uid);
	if (err == TL_NOT_AUTHORISED)
		return tl_fail(why, err, "'%.*s' cannot be added by you", (int)named->uid.len, (const char *)named->uid.ptr);
	if (err == TL_OK)
		err = is_below(txn, named->user, limit, &below);
	if (err != TL_OK || below)
		return err;
	return tl_fail(why, TL_TOO_LARGE, "'%.*s' is in %" PRIu64 " groups and channels, and is not added to more by others",
	               (int)named->uid.len, (const char *)named->uid.ptr, limit);
}

static enum tl_err count_member(void *ctx, const struct tl_member *member)
{
	struct tl_transaction *txn = ctx;
	return tl_users_count_group(&txn->users, txn->batch, member->user_no, txn->position, true);
}

enum tl_err tl_roster_count_all(struct tl_transaction *txn, struct tl_conversation *conversation)
{
	struct tl_iter *iter;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err != TL_OK)
		return err;
	return tl_conversations_each_member(&txn->conversations, iter, conversation, count_member, txn);
}

enum tl_err tl_roster_count(struct tl_transaction *txn, struct tl_user *const *users, size_t count, bool in)
{
	enum tl_err err = TL_OK;
	for (size_t i = 0; i < count && err == TL_OK; i++)
		err = tl_users_count_group(&txn->users, txn->batch, users[i]->no, txn->position, in);
	return err;
}
