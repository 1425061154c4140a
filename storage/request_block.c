/* `block`: whose direct messages and signals a user refuses. With `user` it changes that, without it lists them, in the
 * order of their ids; a cursor is the last id of the page before. */
#include "blocks.h"
#include "event.h"
#include "id.h"

enum { BLOCK_USER, BLOCK_ON, BLOCK_LIMIT, BLOCK_CURSOR };

const struct tl_param tl_block_params[] = {
	[BLOCK_USER] = {.key = "user", .type = TL_PARAM_UID},
	[BLOCK_ON] = {.key = "on", .type = TL_PARAM_BOOL},
	[BLOCK_LIMIT] = {.key = "limit", .type = TL_PARAM_UINT, .min = 1, .max = TL_PAGE_MAX},
	[BLOCK_CURSOR] = {.key = "cursor", .type = TL_PARAM_CURSOR, .min = 1, .max = TL_ID_MAX},
	{.key = NULL},
};

/* --- the list --- */

static enum tl_err list_blocked(struct tl_iter *iter, const struct tl_call *call, struct tl_slice cursor, uint64_t limit,
                                struct tl_answer *answer)
{
	struct tl_slice last = cursor;
	uint32_t count = 0;
	char copy[TL_ID_MAX];
	tl_pack_cstr(&answer->fields, "users");
	answer->field_count++;
	struct tl_pack_open users = tl_pack_array_begin(&answer->fields);
	bool there = tl_iter_seek(iter, cursor);
	if (there && cursor.len > 0 && tl_slice_equal(tl_iter_key(iter), cursor))
		there = tl_iter_next(iter);
	for (; there && count < limit; there = tl_iter_next(iter), count++) {
		struct tl_slice uid = tl_iter_key(iter);
		if (uid.len > sizeof copy)
			return TL_CORRUPT;
		tl_pack_str(&answer->fields, uid);
		memcpy(copy, uid.ptr, uid.len);
		last = tl_slice(copy, uid.len);
	}
	tl_pack_array_end(&answer->fields, users, count);
	if (there)
		tl_answer_cursor(answer, call, last);
	return tl_iter_error(iter);
}

static void answer_nobody(struct tl_answer *answer)
{
	tl_pack_cstr(&answer->fields, "users");
	tl_pack_array(&answer->fields, 0);
	answer->field_count++;
}

static enum tl_err list_for(const struct tl_reading *reading, const struct tl_snapshot *snapshot, const struct tl_call *call,
                            struct tl_answer *answer)
{
	const struct tl_arg *cursor = &call->args[BLOCK_CURSOR];
	struct tl_engine *engine = reading->database->engine;
	struct tl_iter *iter;
	uint64_t user_no;
	if (cursor->given && !tl_uid_valid(cursor->bytes))
		return tl_fail(&answer->why, TL_BAD_REQUEST, "'cursor' is none of this request's");
	enum tl_err err = tl_user_no(engine, snapshot, call->user, &user_no);
	if (err == TL_NOT_FOUND) {
		answer_nobody(answer);
		return TL_OK;
	}
	if (err == TL_OK)
		err = tl_iter_new(engine, snapshot, tl_partition(TL_PART_BLOCKED, user_no), true, &iter);
	if (err != TL_OK)
		return err;
	err = list_blocked(iter, call, cursor->given ? cursor->bytes : tl_slice("", 0),
	                   tl_arg_uint(&call->args[BLOCK_LIMIT], TL_PAGE_DEFAULT), answer);
	tl_iter_free(iter);
	return err;
}

enum tl_err tl_block_list(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer)
{
	struct tl_snapshot *snapshot;
	enum tl_err err = tl_snapshot_new(reading->database->engine, &snapshot);
	if (err != TL_OK)
		return err;
	err = list_for(reading, snapshot, call, answer);
	tl_snapshot_free(snapshot);
	return err;
}

/* --- the change --- */

/* Has it told how the other one stands, towards the chat and at all (membership.h). Also where nothing is left to do: a batch
 * that failed may have done it in part. */
static enum tl_err tell_standing(struct tl_transaction *txn, struct tl_slice cid, struct tl_slice other)
{
	enum tl_err err = tl_transaction_regrouped(txn, cid);
	return err == TL_OK ? tl_transaction_regrouped(txn, other) : err;
}

static enum tl_err set_block(struct tl_transaction *txn, const struct tl_call *call, struct tl_user *user, bool on)
{
	struct tl_slice other = call->args[BLOCK_USER].bytes;
	struct tl_event event;
	tl_blocks_put(txn->batch, user, other, on);
	tl_users_blocked_changed(&txn->users, other);
	tl_event_begin(&event, call, "block");
	tl_event_user(&event, other);
	tl_event_bool(&event, "on", on);
	return tl_event_append_private(&event, txn, user, NULL);
}

enum tl_err tl_block(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	const struct tl_arg *other = &call->args[BLOCK_USER];
	bool on = !call->args[BLOCK_ON].given || call->args[BLOCK_ON].uint != 0, done;
	char direct[TL_DIRECT_ID_MAX];
	struct tl_user *user;
	if (!other->given)
		return tl_fail(&answer->why, TL_BAD_REQUEST, "'user' is missing");
	enum tl_err err = tl_transaction_user(txn, call->user, &user);
	if (err != TL_OK)
		return err;
	if (tl_slice_equal(other->bytes, call->user))
		return tl_fail(&answer->why, TL_BAD_REQUEST, "'user' is yourself");
	struct tl_slice cid = tl_direct_id(call->user, other->bytes, direct);
	if ((err = tell_standing(txn, cid, other->bytes)) != TL_OK)
		return err;
	err = tl_blocks_are(txn->database->engine, user, other->bytes, on, &done);
	return err != TL_OK || done ? err : set_block(txn, call, user, on);
}
