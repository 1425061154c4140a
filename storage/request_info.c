/* `info` and `members`: what a conversation is and who is in it, for its members of now. */
#include "ordered_int.h"
#include "requests.h"
#include "visibility.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARG_CONV };

const struct tl_param tl_info_params[] = {
	[ARG_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	{.key = NULL},
};

void tl_answer_info(struct tl_answer *answer, const struct tl_conversation_record *record, uint64_t head)
{
	tl_answer_str(answer, "conv", record->cid);
	tl_answer_str(answer, "kind", tl_slice_str(tl_conversation_kinds[record->kind]));
	if (record->kind != TL_DIRECT) {
		if (record->name.len > 0)
			tl_answer_str(answer, "name", record->name);
		tl_answer_str(answer, "owner", record->owner);
		tl_answer_str(answer, "join", tl_slice_str(tl_joins[record->join]));
		tl_answer_str(answer, "post", tl_slice_str(tl_posts[record->post]));
	}
	tl_answer_str(answer, "history", tl_slice_str(tl_histories[record->history]));
	tl_answer_str(answer, "order", tl_slice_str(tl_orders[record->order]));
	tl_answer_str(answer, "fanout", tl_slice_str(tl_fanouts[record->fanout]));
	if (record->retention.len > 0)
		tl_answer_str(answer, "retention", record->retention);
	tl_answer_bool(answer, "index", !record->no_index);
	tl_answer_uint(answer, "head", head);
	tl_answer_uint(answer, "count", record->member_count);
}

static enum tl_err answer_info(const struct tl_visibility *v, const struct tl_call *call, struct tl_answer *answer)
{
	(void)call;
	if (!v->present)
		return TL_NOT_MEMBER;
	tl_answer_info(answer, &v->conversation, v->conversation_head);
	return TL_OK;
}

enum tl_err tl_info(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer)
{
	return tl_answer_visible(reading, call, answer, answer_info);
}

/* --- members: in the order of their numbers; a cursor is the last number of the page before --- */

enum { MEMBERS_CONV, MEMBERS_LIMIT, MEMBERS_CURSOR };

const struct tl_param tl_members_params[] = {
	[MEMBERS_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	[MEMBERS_LIMIT] = {.key = "limit", .type = TL_PARAM_UINT, .min = 1, .max = TL_PAGE_MAX},
	[MEMBERS_CURSOR] = {.key = "cursor", .type = TL_PARAM_CURSOR, .min = 1, .max = 24},
	{.key = NULL},
};

static enum tl_err pack_member(struct tl_pack *out, const struct tl_visibility *v, uint64_t user_no,
                               struct tl_slice bytes)
{
	struct tl_member_record member;
	struct tl_slice uid;
	char *user_bytes;
	if (!tl_member_record_unpack(bytes, &member))
		return TL_CORRUPT;
	enum tl_err err = tl_user_uid(v->engine, v->snapshot, user_no, &uid, &user_bytes);
	if (err != TL_OK)
		return err;
	bool owner = tl_slice_equal(v->conversation.owner, uid);
	tl_pack_map(out, 3);
	tl_pack_cstr(out, "user");
	tl_pack_str(out, uid);
	tl_pack_cstr(out, "role");
	tl_pack_cstr(out, owner ? "owner" : tl_roles[member.role]);
	tl_pack_cstr(out, "since");
	tl_pack_uint(out, member.since);
	free(user_bytes);
	return TL_OK;
}

static bool parse_cursor(const struct tl_arg *cursor, uint64_t *after_out)
{
	*after_out = 0;
	return !cursor->given || (tl_cursor_numbers(cursor->bytes, 1, after_out) && *after_out < UINT64_MAX);
}

static enum tl_err list_members(const struct tl_visibility *v, struct tl_iter *iter, uint64_t after,
                                const struct tl_call *call, struct tl_answer *answer)
{
	uint64_t limit = tl_arg_uint(&call->args[MEMBERS_LIMIT], TL_PAGE_DEFAULT);
	unsigned char key[TL_ORDERED_INT_MAX];
	uint64_t user_no = after;
	uint32_t count = 0;
	char cursor[32];
	tl_pack_cstr(&answer->fields, "members");
	answer->field_count++;
	struct tl_pack_open members = tl_pack_array_begin(&answer->fields);
	bool there = tl_iter_seek(iter, tl_slice(key, tl_ordered_int_put(key, after + 1)));
	for (; there && count < limit; there = tl_iter_next(iter), count++) {
		struct tl_slice at = tl_iter_key(iter);
		if (!tl_ordered_int_read(at.ptr, at.len, &user_no))
			return TL_CORRUPT;
		enum tl_err err = pack_member(&answer->fields, v, user_no, tl_iter_value(iter));
		if (err != TL_OK)
			return err;
	}
	tl_pack_array_end(&answer->fields, members, count);
	if (there) {
		int len = snprintf(cursor, sizeof cursor, "%" PRIu64, user_no);
		tl_answer_cursor(answer, call, tl_slice(cursor, (size_t)len));
	}
	return tl_iter_error(iter);
}

static enum tl_err answer_members(const struct tl_visibility *v, const struct tl_call *call, struct tl_answer *answer)
{
	struct tl_iter *iter;
	uint64_t after;
	if (!v->present)
		return TL_NOT_MEMBER;
	if (!parse_cursor(&call->args[MEMBERS_CURSOR], &after))
		return tl_fail(&answer->why, TL_BAD_REQUEST, "'cursor' is none of this request's");
	enum tl_err err =
		tl_iter_new(v->engine, v->snapshot, tl_partition(TL_PART_MEMBERS, v->conversation_no), true, &iter);
	if (err != TL_OK)
		return err;
	err = list_members(v, iter, after, call, answer);
	tl_iter_free(iter);
	return err;
}

enum tl_err tl_members(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer)
{
	return tl_answer_visible(reading, call, answer, answer_members);
}
