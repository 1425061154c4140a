/* `info`: what a conversation is, for its members. */
#include "requests.h"

#include "timeline.h"

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
	tl_answer_uint(answer, "head", head);
	tl_answer_uint(answer, "count", record->member_count);
}

/* TL_NOT_MEMBER where the user is not a member, whether there is such a conversation or not. */
static enum tl_err member_of(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_slice cid,
                             struct tl_slice user, uint64_t *conversation_no_out)
{
	struct tl_member_record member;
	uint64_t no, user_no;
	enum tl_err err = tl_conversation_no(engine, snapshot, cid, &no);
	if (err == TL_OK)
		err = tl_user_no(engine, snapshot, user, &user_no);
	if (err == TL_OK)
		err = tl_member_read(engine, snapshot, no, user_no, &member);
	if (err == TL_OK)
		*conversation_no_out = no;
	return err == TL_NOT_FOUND ? TL_NOT_MEMBER : err;
}

static enum tl_err answer(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t no,
                          struct tl_answer *answer_out)
{
	struct tl_conversation_record record;
	struct tl_bounds bounds;
	char *bytes;
	enum tl_err err = tl_timeline_bounds(engine, snapshot, NULL, tl_partition(TL_PART_STORE, no), &bounds, NULL, NULL);
	if (err == TL_OK)
		err = tl_conversation_read(engine, snapshot, no, &record, &bytes);
	if (err != TL_OK)
		return err;
	tl_answer_info(answer_out, &record, bounds.head);
	free(bytes);
	return TL_OK;
}

enum tl_err tl_info(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer_out)
{
	struct tl_engine *engine = reading->database->engine;
	struct tl_snapshot *snapshot;
	uint64_t no;
	enum tl_err err = tl_snapshot_new(engine, &snapshot);
	if (err != TL_OK)
		return err;
	err = member_of(engine, snapshot, call->args[ARG_CONV].bytes, call->user, &no);
	if (err == TL_OK)
		err = answer(engine, snapshot, no, answer_out);
	tl_snapshot_free(snapshot);
	return err;
}
