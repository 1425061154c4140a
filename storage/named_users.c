#include "named_users.h"

enum tl_err tl_named_users_init(struct tl_named_users *named, struct tl_transaction *txn, size_t room)
{
	*named = (struct tl_named_users){.txn = txn, .list = tl_arena_alloc(&txn->arena, (room + 1) * sizeof *named->list)};
	return named->list ? TL_OK : TL_NO_MEMORY;
}

void tl_named_users_fini(struct tl_named_users *named)
{
	HASH_CLEAR(hh, named->by_uid);
}

enum tl_err tl_named_users_add(struct tl_named_users *named, struct tl_slice uid, struct tl_named_user **user_out)
{
	struct tl_named_user *found, *added = &named->list[named->count];
	HASH_FIND(hh, named->by_uid, uid.ptr, uid.len, found);
	*user_out = NULL;
	if (found)
		return TL_OK;
	*added = (struct tl_named_user){.uid = uid};
	enum tl_err err = tl_transaction_find_user(named->txn, uid, &added->user);
	if (err != TL_OK)
		return err;
	HASH_ADD_KEYPTR(hh, named->by_uid, added->uid.ptr, added->uid.len, added);
	named->count++;
	*user_out = added;
	return TL_OK;
}

void tl_named_users_drop_last(struct tl_named_users *named)
{
	HASH_DEL(named->by_uid, &named->list[--named->count]);
}

enum tl_err tl_named_users_make(struct tl_named_users *named)
{
	enum tl_err err = TL_OK;
	for (size_t i = 0; i < named->count && err == TL_OK; i++)
		if (!named->list[i].user)
			err = tl_transaction_user(named->txn, named->list[i].uid, &named->list[i].user);
	return err;
}
