#include "endings.h"

#include "conversation_parts.h"
#include "msgpack_reader.h"
#include "uint_record.h"

#include <stdlib.h>

static struct tl_partition on_record(void)
{
	return tl_partition(TL_PART_DUE, TL_DUE_ENDINGS);
}

/* --- who comes next --- */

static size_t step_of(const struct tl_limits *limits)
{
	return limits->ending_step > 0 && limits->ending_step < TL_ENDINGS_STEP ? (size_t)limits->ending_step : TL_ENDINGS_STEP;
}

/* Adds the member at hand. Behind something damaged it may be one who is gone. */
static enum tl_err add(const struct tl_database *database, const struct tl_iter *iter, struct tl_ending *ending)
{
	struct tl_slice key = tl_iter_key(iter);
	struct tl_member_record member;
	uint64_t no;
	enum tl_err err = TL_OK;
	if (!tl_ordered_int_read(key.ptr, key.len, &no))
		return TL_OK;
	if (tl_iter_error(iter) != TL_OK)
		err = tl_member_read(database->engine, NULL, ending->conversation_no, no, &member);
	if (err == TL_OK)
		ending->users[ending->count++] = no;
	return err == TL_NOT_FOUND || err == TL_CORRUPT ? TL_OK : err;
}

/* Fills in the users. */
static enum tl_err gather(const struct tl_database *database, struct tl_iter *iter, const struct tl_limits *limits,
                          struct tl_ending *ending)
{
	struct tl_member_key from;
	const size_t step = step_of(limits);
	enum tl_err err = TL_OK;
	ending->count = 0;
	tl_iter_retarget(iter, tl_partition(TL_PART_MEMBERS, ending->conversation_no));
	tl_iter_pass_damage(iter);
	bool there = tl_iter_seek(iter, tl_member_key(&from, ending->from));
	for (; there && err == TL_OK && ending->count < step; there = tl_iter_next(iter))
		err = add(database, iter, ending);
	ending->more = there;
	if (err == TL_OK)
		err = tl_iter_error(iter);
	return err == TL_CORRUPT ? TL_OK : err;
}

static bool parse(struct tl_iter *iter, struct tl_ending *ending)
{
	struct tl_reader reader = tl_reader(tl_iter_value(iter));
	return tl_pair_key_parse(tl_iter_key(iter), &ending->position, &ending->conversation_no) &&
	       tl_reader_uint(&reader, &ending->from);
}

/* The first one on record that says what it should. */
static enum tl_err find_first(struct tl_iter *iter, struct tl_ending *ending)
{
	tl_iter_retarget(iter, on_record());
	tl_iter_pass_damage(iter);
	for (bool there = tl_iter_seek(iter, tl_slice("", 0)); there; there = tl_iter_next(iter))
		if (parse(iter, ending))
			return TL_OK;
	enum tl_err err = tl_iter_error(iter);
	return err == TL_OK || err == TL_CORRUPT ? TL_NOT_FOUND : err;
}

/* Has what the writer is going to read at hand. What cannot be read is the writer's matter. */
static void read_ahead(const struct tl_database *database, const struct tl_ending *ending)
{
	struct tl_slice uid;
	char *bytes;
	for (size_t i = 0; i < ending->count; i++)
		if (tl_user_uid(database->engine, NULL, ending->users[i], &uid, &bytes) == TL_OK)
			free(bytes);
}

enum tl_err tl_endings_next(const struct tl_database *database, const struct tl_limits *limits,
                            struct tl_ending *ending_out)
{
	struct tl_iter *iter;
	enum tl_err err = tl_iter_new(database->engine, NULL, on_record(), false, &iter);
	if (err != TL_OK)
		return err;
	err = find_first(iter, ending_out);
	if (err == TL_OK)
		err = gather(database, iter, limits, ending_out);
	tl_iter_free(iter);
	if (err == TL_OK)
		read_ahead(database, ending_out);
	return err;
}

/* --- ending --- */

typedef enum tl_err (*count_function)(struct tl_transaction *txn, uint64_t user_no, uint64_t position);

static enum tl_err end_all(struct tl_transaction *txn, const struct tl_ending *ending, count_function count)
{
	struct tl_member_key key;
	struct tl_slice number = tl_member_key(&key, ending->conversation_no);
	enum tl_err err = TL_OK;
	for (size_t i = 0; i < ending->count && err == TL_OK; i++) {
		tl_batch_delete(txn->batch, tl_partition(TL_PART_USER_CONVERSATIONS, ending->users[i]), number);
		err = count(txn, ending->users[i], ending->position);
		if (err == TL_CORRUPT)
			err = TL_OK;
	}
	return err;
}

/* Puts on record who comes after them. */
static void put_rest(struct tl_transaction *txn, const struct tl_ending *ending)
{
	struct tl_pair_key key;
	tl_uint_record_put(txn->batch, on_record(), tl_pair_key(&key, ending->position, ending->conversation_no),
	                   ending->users[ending->count - 1] + 1);
}

/* By the queue record, as any other leaving. */
static enum tl_err count_at_once(struct tl_transaction *txn, uint64_t user_no, uint64_t position)
{
	return tl_users_count_group(&txn->users, txn->batch, user_no, position, false);
}

enum tl_err tl_endings_begin(struct tl_transaction *txn, uint64_t conversation_no)
{
	struct tl_ending ending = {.position = txn->position, .conversation_no = conversation_no};
	struct tl_iter *iter;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err == TL_OK)
		err = gather(txn->database, iter, txn->limits, &ending);
	if (err == TL_OK)
		err = end_all(txn, &ending, count_at_once);
	if (err != TL_OK || !ending.more)
		return err;
	put_rest(txn, &ending);
	tl_due_hurry(&txn->due);
	return TL_OK;
}

static enum tl_err count_later(struct tl_transaction *txn, uint64_t user_no, uint64_t position)
{
	return tl_users_count_ending(&txn->users, txn->batch, user_no, position);
}

enum tl_err tl_endings_apply(struct tl_transaction *txn, const struct tl_ending *ending)
{
	struct tl_pair_key key;
	enum tl_err err = end_all(txn, ending, count_later);
	if (err == TL_OK && ending->more)
		put_rest(txn, ending);
	else if (err == TL_OK)
		tl_batch_delete(txn->batch, on_record(), tl_pair_key(&key, ending->position, ending->conversation_no));
	return err;
}

/* --- those of one user --- */

/* Whether the user's membership has yet to end. */
static enum tl_err is_of(struct tl_transaction *txn, const struct tl_user *user, const struct tl_ending *ending,
                         bool *is_out)
{
	struct tl_member_record member;
	*is_out = false;
	if (user->no < ending->from || user->ended >= ending->position)
		return TL_OK;
	enum tl_err err = tl_member_read(txn->database->engine, NULL, ending->conversation_no, user->no, &member);
	*is_out = err == TL_OK;
	return err == TL_NOT_FOUND || err == TL_CORRUPT ? TL_OK : err;
}

enum tl_err tl_endings_of(struct tl_transaction *txn, const struct tl_user *user, uint64_t *count_out)
{
	struct tl_ending ending;
	struct tl_iter *iter;
	uint64_t count = 0;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err != TL_OK)
		return err;
	tl_iter_retarget(iter, on_record());
	tl_iter_pass_damage(iter);
	bool there = tl_iter_seek(iter, tl_slice("", 0)), is;
	for (; there && err == TL_OK; there = tl_iter_next(iter)) {
		if (!parse(iter, &ending))
			continue;
		err = is_of(txn, user, &ending, &is);
		count += err == TL_OK && is;
	}
	if (err == TL_OK)
		err = tl_iter_error(iter);
	if (err != TL_OK && err != TL_CORRUPT)
		return err;
	*count_out = count;
	return TL_OK;
}
