#include "blocks.h"

#include <stdlib.h>

static struct tl_partition blocked_by(void)
{
	return tl_partition(TL_PART_BLOCKED_BY, 0);
}

static void put(struct tl_batch *batch, struct tl_partition partition, struct tl_slice key, bool on)
{
	if (on)
		tl_batch_put(batch, partition, key, tl_slice("", 0));
	else
		tl_batch_delete(batch, partition, key);
}

void tl_blocks_put(struct tl_batch *batch, const struct tl_user *user, struct tl_slice other, bool on)
{
	struct tl_blocked_by_key key;
	put(batch, tl_partition(TL_PART_BLOCKED, user->no), other, on);
	put(batch, blocked_by(), tl_blocked_by_key(&key, other, tl_slice(user->uid, user->uid_len)), on);
}

static enum tl_err is_there(struct tl_engine *engine, struct tl_partition partition, struct tl_slice key,
                            bool *there_out)
{
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(engine, NULL, partition, key, &value, &len);
	if (err != TL_OK && err != TL_NOT_FOUND)
		return err;
	*there_out = err == TL_OK;
	if (err == TL_OK)
		free(value);
	return TL_OK;
}

enum tl_err tl_blocks_are(struct tl_engine *engine, const struct tl_user *user, struct tl_slice other, bool on,
                          bool *are_out)
{
	bool listed, blocks;
	enum tl_err err = is_there(engine, tl_partition(TL_PART_BLOCKED, user->no), other, &listed);
	if (err == TL_OK)
		err = tl_blocks_read(engine, tl_slice(user->uid, user->uid_len), other, &blocks);
	if (err == TL_OK)
		*are_out = listed == on && blocks == on;
	return err;
}

enum tl_err tl_blocks_read(struct tl_engine *engine, struct tl_slice user, struct tl_slice other, bool *blocks_out)
{
	struct tl_blocked_by_key key;
	return is_there(engine, blocked_by(), tl_blocked_by_key(&key, other, user), blocks_out);
}

static bool starts_with(struct tl_slice bytes, struct tl_slice start)
{
	return bytes.len >= start.len && memcmp(bytes.ptr, start.ptr, start.len) == 0;
}

enum tl_err tl_blocks_any(struct tl_iter *iter, struct tl_slice user, bool *any_out)
{
	struct tl_blocked_by_key first;
	struct tl_slice from = tl_blocked_by_key(&first, user, tl_slice("", 0));
	tl_iter_retarget(iter, blocked_by());
	bool any = tl_iter_seek(iter, from) && starts_with(tl_iter_key(iter), from);
	enum tl_err err = tl_iter_error(iter);
	if (err == TL_OK)
		*any_out = any;
	return err;
}

static enum tl_err look_up(struct tl_transaction *txn, struct tl_user *user)
{
	struct tl_iter *iter;
	bool any;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err == TL_OK)
		err = tl_blocks_any(iter, tl_slice(user->uid, user->uid_len), &any);
	if (err == TL_OK)
		user->blocked = any ? TL_BLOCKED_BY_SOMEBODY : TL_BLOCKED_BY_NOBODY;
	return err;
}

enum tl_err tl_blocks_check(struct tl_transaction *txn, struct tl_slice sender, struct tl_slice other)
{
	struct tl_user *user;
	bool blocks;
	enum tl_err err = tl_transaction_find_user(txn, sender, &user);
	if (err == TL_OK && user && user->blocked == TL_BLOCKED_UNKNOWN)
		err = look_up(txn, user);
	if (err != TL_OK || (user && user->blocked == TL_BLOCKED_BY_NOBODY))
		return err;
	err = tl_blocks_read(txn->database->engine, other, sender, &blocks);
	return err == TL_OK && blocks ? TL_NOT_AUTHORISED : err;
}
