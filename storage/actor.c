#include "actor.h"

static enum tl_rank rank_of(const struct tl_conversation_record *conversation, const struct tl_member_record *member,
                            struct tl_slice user)
{
	if (!member)
		return TL_RANK_NONE;
	if (tl_slice_equal(conversation->owner, user))
		return TL_RANK_OWNER;
	return member->role == TL_ROLE_ADMIN ? TL_RANK_ADMIN : member->role == TL_ROLE_MUTED ? TL_RANK_MUTED : TL_RANK_MEMBER;
}

enum tl_err tl_actor_find(struct tl_transaction *txn, const struct tl_call *call, struct tl_slice cid,
                          struct tl_actor *actor_out)
{
	struct tl_actor actor;
	enum tl_err err = tl_transaction_conversation(txn, cid, &actor.conversation);
	if (err == TL_NOT_FOUND || (err == TL_OK && actor.conversation->record.dissolved))
		return TL_NOT_MEMBER;
	if (err == TL_OK)
		err = tl_transaction_find_user(txn, call->user, &actor.user);
	actor.member = NULL;
	if (err == TL_OK && actor.user)
		err = tl_conversations_member(&txn->conversations, actor.conversation, actor.user->no, &actor.member);
	if (err != TL_OK)
		return err;
	actor.rank = rank_of(&actor.conversation->record, actor.member ? &actor.member->record : NULL, call->user);
	*actor_out = actor;
	return TL_OK;
}

enum tl_err tl_actor_require(struct tl_transaction *txn, const struct tl_call *call, struct tl_slice cid,
                             enum tl_rank rank, struct tl_actor *actor_out, struct tl_why *why)
{
	enum tl_err err = tl_actor_find(txn, call, cid, actor_out);
	if (err != TL_OK)
		return err;
	if (actor_out->rank == TL_RANK_NONE)
		return TL_NOT_MEMBER;
	if (actor_out->conversation->record.kind == TL_DIRECT)
		return tl_fail(why, TL_NOT_AUTHORISED, "not in a direct chat");
	if (actor_out->rank < rank)
		return tl_fail(why, TL_NOT_AUTHORISED, "only %s may do this",
		               rank == TL_RANK_OWNER ? "the owner" : "the owner and admins");
	return TL_OK;
}
