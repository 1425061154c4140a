#include "users.h"

#include "inbox.h"
#include "uint_record.h"

#include <stdlib.h>

static const struct tl_slice own_record = {"", 0};

/* A record that the batch at hand changes, of a user who is not at hand. */
struct tl_recounted {
	uint64_t no;
	uint64_t groups, position, ended;
	UT_hash_handle hh;
};

void tl_users_init(struct tl_users *users, struct tl_database *database)
{
	*users = (struct tl_users){.database = database, .numbers = {.key = TL_META_NEXT_USER}};
}

void tl_users_next_batch(struct tl_users *users)
{
	struct tl_recounted *recounted, *next;
	HASH_ITER(hh, users->recounted, recounted, next)
	{
		HASH_DEL(users->recounted, recounted);
		free(recounted);
	}
}

void tl_users_clear(struct tl_users *users)
{
	struct tl_user *user, *next;
	tl_users_next_batch(users);
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
void tl_users_trim(struct tl_users *users, uint64_t max)
{
	uint64_t excess = HASH_CNT(by_no, users->by_no);
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

static enum tl_err load_inbox(struct tl_iter *iter, struct tl_user *user)
{
	struct tl_inbox_entry last;
	struct tl_bounds bounds;
	enum tl_err err = tl_inbox_bounds(iter, user->no, &bounds, &last);
	if (err != TL_OK)
		return err;
	user->inbox_head = bounds.head;
	user->inbox_floor = bounds.floor;
	user->position = last.position;
	user->inbox_ts = last.ts;
	return TL_OK;
}

/* Makes the user at hand one of the cache, or frees it. */
static enum tl_err admit(struct tl_users *users, struct tl_iter *iter, struct tl_user *user, struct tl_user **user_out)
{
	if (!user)
		return TL_NO_MEMORY;
	enum tl_err err = load_inbox(iter, user);
	if (err != TL_OK) {
		free(user);
		return err;
	}
	user->used = true;
	cache(users, user);
	*user_out = user;
	return TL_OK;
}

static void put_record(struct tl_batch *batch, uint64_t no, const struct tl_user_record *record)
{
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_user_record_pack(&pack, record);
	tl_batch_put_pack(batch, tl_partition(TL_PART_USER, no), own_record, &pack);
	tl_pack_fini(&pack);
}

static struct tl_user_record record_of(const struct tl_user *user)
{
	return (struct tl_user_record){.uid = tl_slice(user->uid, user->uid_len),
	                               .groups = user->groups,
	                               .position = user->groups_position,
	                               .ended = user->ended};
}

static void put_records(struct tl_batch *batch, const struct tl_user *user)
{
	struct tl_user_record record = record_of(user);
	tl_uint_record_put(batch, tl_partition(TL_PART_USER_NAMES, 0), record.uid, user->no);
	put_record(batch, user->no, &record);
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

/* The record of a user who must exist (TL_CORRUPT); free *bytes_out. */
static enum tl_err read_record(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t no,
                               struct tl_user_record *record_out, char **bytes_out)
{
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(engine, snapshot, tl_partition(TL_PART_USER, no), own_record, &value, &len);
	if (err != TL_OK)
		return err == TL_NOT_FOUND ? TL_CORRUPT : err;
	if (!tl_user_record_unpack(tl_slice(value, len), record_out)) {
		free(value);
		return TL_CORRUPT;
	}
	*bytes_out = value;
	return TL_OK;
}

/* As read_record, with what the batch at hand has changed in it. */
static enum tl_err read_latest(struct tl_users *users, uint64_t no, struct tl_user_record *record_out, char **bytes_out)
{
	struct tl_recounted *recounted;
	enum tl_err err = read_record(users->database->engine, NULL, no, record_out, bytes_out);
	if (err != TL_OK)
		return err;
	HASH_FIND(hh, users->recounted, &no, sizeof no, recounted);
	if (recounted) {
		record_out->groups = recounted->groups;
		record_out->position = recounted->position;
		record_out->ended = recounted->ended;
	}
	return TL_OK;
}

/* Keeps what the batch at hand makes of the record. */
static enum tl_err keep_recounted(struct tl_users *users, uint64_t no, const struct tl_user_record *record)
{
	struct tl_recounted *recounted;
	HASH_FIND(hh, users->recounted, &no, sizeof no, recounted);
	if (!recounted) {
		if (!(recounted = malloc(sizeof *recounted)))
			return TL_NO_MEMORY;
		recounted->no = no;
		HASH_ADD(hh, users->recounted, no, sizeof no, recounted);
	}
	recounted->groups = record->groups;
	recounted->position = record->position;
	recounted->ended = record->ended;
	return TL_OK;
}

static void take_groups(struct tl_user *user, const struct tl_user_record *record)
{
	user->groups = record->groups;
	user->groups_position = record->position;
	user->ended = record->ended;
	user->named_only = false;
}

/* A name is committed before what goes with it, which may have been lost on the way: then it is put now. */
static enum tl_err complete(struct tl_users *users, struct tl_batch *batch, struct tl_user *user)
{
	struct tl_user_record record;
	char *bytes;
	enum tl_err err = read_latest(users, user->no, &record, &bytes);
	if (err == TL_OK) {
		take_groups(user, &record);
		free(bytes);
	} else if (err == TL_CORRUPT) {
		put_records(batch, user);
		user->named_only = false;
	}
	return err == TL_CORRUPT ? TL_OK : err;
}

enum tl_err tl_users_take(struct tl_users *users, struct tl_batch *batch, struct tl_iter *iter, struct tl_slice uid,
                          struct tl_user **user_out)
{
	struct tl_user *user;
	uint64_t no;

	HASH_FIND(by_uid, users->by_uid, uid.ptr, uid.len, user);
	if (user) {
		enum tl_err err = user->named_only ? complete(users, batch, user) : TL_OK;
		user->used = true;
		if (err == TL_OK)
			*user_out = user;
		return err;
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
	struct tl_user_record record;
	enum tl_err err = read_record(engine, snapshot, no, &record, bytes_out);
	if (err == TL_OK)
		*uid_out = record.uid;
	return err;
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

void tl_users_blocked_changed(struct tl_users *users, struct tl_slice uid)
{
	struct tl_user *user;
	HASH_FIND(by_uid, users->by_uid, uid.ptr, uid.len, user);
	if (user)
		user->blocked = TL_BLOCKED_UNKNOWN;
}

struct tl_user *tl_users_at_hand(struct tl_users *users, uint64_t no)
{
	struct tl_user *user;
	HASH_FIND(by_no, users->by_no, &no, sizeof no, user);
	if (user)
		user->used = true;
	return user;
}

enum tl_err tl_users_load_named(struct tl_users *users, struct tl_iter *iter, uint64_t no, struct tl_slice uid,
                                struct tl_user **user_out)
{
	struct tl_user *user = user_new(uid, no);
	if (user)
		user->named_only = true;
	return admit(users, iter, user, user_out);
}

enum tl_err tl_users_find_no(struct tl_users *users, struct tl_iter *iter, uint64_t no, struct tl_user **user_out)
{
	struct tl_user *user = tl_users_at_hand(users, no);
	if (user) {
		*user_out = user;
		return TL_OK;
	}
	struct tl_user_record record;
	char *bytes;
	enum tl_err err = read_latest(users, no, &record, &bytes);
	if (err != TL_OK)
		return err;
	user = user_new(record.uid, no);
	if (user)
		take_groups(user, &record);
	free(bytes);
	return admit(users, iter, user, user_out);
}

static void count_in(struct tl_user_record *record, uint64_t position)
{
	if (record->position >= position)
		return;
	record->position = position;
	record->groups++;
}

static void count_out(struct tl_user_record *record, uint64_t position)
{
	if (record->position >= position)
		return;
	record->position = position;
	record->groups -= record->groups > 0;
}

static void count_ending(struct tl_user_record *record, uint64_t position)
{
	if (record->ended >= position)
		return;
	record->ended = position;
	record->groups -= record->groups > 0;
}

/* Changes the user's record by `count`. */
static enum tl_err recount(struct tl_users *users, struct tl_batch *batch, uint64_t no, uint64_t position,
                           void (*count)(struct tl_user_record *record, uint64_t position))
{
	struct tl_user_record record;
	struct tl_user *user;
	char *bytes = NULL;
	HASH_FIND(by_no, users->by_no, &no, sizeof no, user);
	bool known = user && !user->named_only;
	enum tl_err err = known ? TL_OK : read_latest(users, no, &record, &bytes);
	if (err != TL_OK)
		return err;
	if (known)
		record = record_of(user);
	count(&record, position);
	if (user)
		take_groups(user, &record);
	else
		err = keep_recounted(users, no, &record);
	if (err == TL_OK)
		put_record(batch, no, &record);
	free(bytes);
	return err;
}

enum tl_err tl_users_count_group(struct tl_users *users, struct tl_batch *batch, uint64_t no, uint64_t position,
                                 bool in)
{
	return recount(users, batch, no, position, in ? count_in : count_out);
}

enum tl_err tl_users_count_ending(struct tl_users *users, struct tl_batch *batch, uint64_t no, uint64_t position)
{
	return recount(users, batch, no, position, count_ending);
}

enum tl_err tl_user_no(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_slice uid,
                       uint64_t *no_out)
{
	return tl_uint_record_get(engine, snapshot, tl_partition(TL_PART_USER_NAMES, 0), uid, no_out);
}
