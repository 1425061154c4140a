#include "users.h"

#include "msgpack_reader.h"
#include "timeline.h"

#include <stdlib.h>

static const struct tl_slice own_record = {"", 0};

void tl_users_init(struct tl_users *users, struct tl_database *database)
{
	*users = (struct tl_users){.database = database, .numbers = {.key = TL_META_NEXT_USER}};
}

void tl_users_clear(struct tl_users *users)
{
	struct tl_user *user, *next;
	HASH_CLEAR(by_uid, users->by_uid);
	HASH_ITER(by_no, users->by_no, user, next)
	{
		HASH_DELETE(by_no, users->by_no, user);
		free(user);
	}
}

void tl_users_fini(struct tl_users *users)
{
	tl_users_clear(users);
}

/* Second chance: in the order of arrival, whoever was used since the last time goes to the end of the line. */
void tl_users_trim(struct tl_users *users, size_t max)
{
	size_t excess = HASH_CNT(by_no, users->by_no);
	excess = excess > max ? excess - max : 0;
	while (excess > 0) {
		struct tl_user *user = users->by_no;
		HASH_DELETE(by_no, users->by_no, user);
		if (user->used) {
			user->used = false;
			HASH_ADD(by_no, users->by_no, no, sizeof user->no, user);
			continue;
		}
		HASH_DELETE(by_uid, users->by_uid, user);
		free(user);
		excess--;
	}
}

static struct tl_user *user_new(struct tl_slice uid, uint64_t no)
{
	struct tl_user *user = calloc(1, sizeof *user + uid.len);
	if (!user)
		return NULL;
	user->no = no;
	user->uid_len = uid.len;
	memcpy(user->uid, uid.ptr, uid.len);
	return user;
}

static void cache(struct tl_users *users, struct tl_user *user)
{
	HASH_ADD(by_no, users->by_no, no, sizeof user->no, user);
	HASH_ADD_KEYPTR(by_uid, users->by_uid, user->uid, user->uid_len, user);
}

static enum tl_err load_inbox(struct tl_users *users, struct tl_iter *iter, struct tl_user *user)
{
	struct tl_engine *engine = users->database->engine;
	struct tl_inbox_entry entry;
	struct tl_bounds bounds;
	char *last;
	size_t last_len;
	enum tl_err err =
		tl_timeline_bounds(engine, NULL, iter, tl_partition(TL_PART_INBOX, user->no), &bounds, &last, &last_len);
	if (err != TL_OK)
		return err;
	user->inbox_head = bounds.head;
	user->inbox_floor = bounds.floor;
	if (last && tl_inbox_entry_unpack(tl_slice(last, last_len), &entry)) {
		user->position = entry.position;
		user->inbox_ts = entry.ts;
	} else if (last) {
		err = TL_CORRUPT;
	}
	free(last);
	return err;
}

/* Makes the user at hand one of the cache, or frees it. */
static enum tl_err admit(struct tl_users *users, struct tl_iter *iter, struct tl_user *user, struct tl_user **user_out)
{
	if (!user)
		return TL_NO_MEMORY;
	enum tl_err err = load_inbox(users, iter, user);
	if (err != TL_OK) {
		free(user);
		return err;
	}
	user->used = true;
	cache(users, user);
	*user_out = user;
	return TL_OK;
}

static void put_records(struct tl_batch *batch, const struct tl_user *user)
{
	struct tl_pack pack;
	struct tl_slice uid = tl_slice(user->uid, user->uid_len);

	tl_pack_init(&pack);
	tl_pack_uint(&pack, user->no);
	tl_pack_check(&pack, batch);
	tl_batch_put(batch, tl_partition(TL_PART_USER_NAMES, 0), uid, tl_pack_bytes(&pack));
	tl_pack_clear(&pack);
	tl_pack_array(&pack, 1);
	tl_pack_str(&pack, uid);
	tl_pack_check(&pack, batch);
	tl_batch_put(batch, tl_partition(TL_PART_USER, user->no), own_record, tl_pack_bytes(&pack));
	tl_pack_fini(&pack);
}

/* A brand-new user has no inbox to look for, so nothing is read. */
static enum tl_err make(struct tl_users *users, struct tl_batch *batch, struct tl_slice uid, struct tl_user **user_out)
{
	uint64_t no;
	enum tl_err err = tl_numbers_name(&users->numbers, users->database, TL_PART_USER_NAMES, uid, &no);
	if (err != TL_OK)
		return err;
	struct tl_user *user = user_new(uid, no);
	if (!user)
		return TL_NO_MEMORY;
	user->used = true;
	cache(users, user);
	put_records(batch, user);
	*user_out = user;
	return TL_OK;
}

/* A name is committed before what goes with it, which may have been lost on the way: then it is put now. */
static enum tl_err complete(struct tl_users *users, struct tl_batch *batch, const struct tl_user *user)
{
	struct tl_slice uid;
	char *bytes;
	enum tl_err err = tl_user_uid(users->database->engine, NULL, user->no, &uid, &bytes);
	if (err == TL_OK)
		free(bytes);
	else if (err == TL_CORRUPT)
		put_records(batch, user);
	return err == TL_CORRUPT ? TL_OK : err;
}

enum tl_err tl_users_take(struct tl_users *users, struct tl_batch *batch, struct tl_iter *iter, struct tl_slice uid,
                          struct tl_user **user_out)
{
	struct tl_user *user;
	uint64_t no;

	HASH_FIND(by_uid, users->by_uid, uid.ptr, uid.len, user);
	if (user) {
		user->used = true;
		*user_out = user;
		return TL_OK;
	}
	enum tl_err err = tl_user_no(users->database->engine, NULL, uid, &no);
	if (err == TL_NOT_FOUND)
		return make(users, batch, uid, user_out);
	if (err == TL_OK)
		err = admit(users, iter, user_new(uid, no), user_out);
	if (err == TL_OK)
		err = complete(users, batch, *user_out);
	return err;
}

enum tl_err tl_user_uid(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t no,
                        struct tl_slice *uid_out, char **bytes_out)
{
	char *value;
	size_t len;
	uint32_t count;
	enum tl_err err = tl_engine_get(engine, snapshot, tl_partition(TL_PART_USER, no), own_record, &value, &len);
	if (err != TL_OK)
		return err == TL_NOT_FOUND ? TL_CORRUPT : err;
	struct tl_reader reader = tl_reader(tl_slice(value, len));
	if (!tl_reader_array(&reader, &count) || count < 1 || !tl_reader_str(&reader, uid_out)) {
		free(value);
		return TL_CORRUPT;
	}
	*bytes_out = value;
	return TL_OK;
}

enum tl_err tl_users_find(struct tl_users *users, struct tl_batch *batch, struct tl_iter *iter, struct tl_slice uid,
                          struct tl_user **user_out)
{
	struct tl_user *user;
	uint64_t no;
	HASH_FIND(by_uid, users->by_uid, uid.ptr, uid.len, user);
	enum tl_err err = user ? TL_OK : tl_user_no(users->database->engine, NULL, uid, &no);
	return err == TL_OK ? tl_users_take(users, batch, iter, uid, user_out) : err;
}

enum tl_err tl_users_find_no(struct tl_users *users, struct tl_iter *iter, uint64_t no, struct tl_user **user_out)
{
	struct tl_user *user;
	HASH_FIND(by_no, users->by_no, &no, sizeof no, user);
	if (user) {
		user->used = true;
		*user_out = user;
		return TL_OK;
	}
	struct tl_slice uid;
	char *bytes;
	enum tl_err err = tl_user_uid(users->database->engine, NULL, no, &uid, &bytes);
	if (err != TL_OK)
		return err;
	user = user_new(uid, no);
	free(bytes);
	return admit(users, iter, user, user_out);
}

enum tl_err tl_user_no(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_slice uid,
                       uint64_t *no_out)
{
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(engine, snapshot, tl_partition(TL_PART_USER_NAMES, 0), uid, &value, &len);
	if (err != TL_OK)
		return err;
	struct tl_reader reader = tl_reader(tl_slice(value, len));
	bool ok = tl_reader_uint(&reader, no_out);
	free(value);
	return ok ? TL_OK : TL_CORRUPT;
}
