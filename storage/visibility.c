#include "visibility.h"

#include "timeline.h"

#include <stdlib.h>

/* What was before the present membership matters only where that does not show everything. */
static enum tl_err read_memberships(struct tl_visibility *v)
{
	enum tl_err err = tl_member_read(v->engine, v->snapshot, v->conversation_no, v->user_no, &v->member);
	if (err != TL_OK && err != TL_NOT_FOUND)
		return err;
	v->present = err == TL_OK;
	if (v->present && v->conversation.history == TL_HISTORY_ALL)
		return TL_OK;
	err = tl_former_read(v->engine, v->snapshot, v->conversation_no, v->user_no, &v->former);
	if (err == TL_NOT_FOUND)
		return v->present ? TL_OK : TL_NOT_MEMBER;
	return err;
}

/* The outer bounds; periods in between are looked at one by one. */
static void set_bounds(struct tl_visibility *v)
{
	const struct tl_former_record *former = &v->former;
	bool all = v->conversation.history == TL_HISTORY_ALL;
	uint64_t cleared = v->present ? v->member.cleared : former->cleared;

	v->first = 1;
	if (!all)
		v->first = former->count > 0 ? former->periods[0].from : v->member.since;
	if (v->first <= cleared)
		v->first = cleared + 1;
	v->last = v->present ? v->conversation_head : former->count > 0 ? former->periods[former->count - 1].to : 0;
}

static enum tl_err load(struct tl_visibility *v)
{
	struct tl_bounds bounds;
	enum tl_err err = tl_conversation_read(v->engine, v->snapshot, v->conversation_no, &v->conversation, &v->bytes);
	if (err == TL_NOT_FOUND || (err == TL_OK && v->conversation.dissolved))
		return TL_NOT_MEMBER;
	if (err == TL_OK)
		err = read_memberships(v);
	if (err == TL_OK)
		err = tl_timeline_bounds(v->engine, v->snapshot, NULL, tl_partition(TL_PART_STORE, v->conversation_no),
		                         &bounds, NULL, NULL);
	if (err != TL_OK)
		return err;
	v->conversation_head = bounds.head;
	set_bounds(v);
	if (v->first <= bounds.floor)
		v->first = bounds.floor + 1;
	return TL_OK;
}

enum tl_err tl_visibility_open_no(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                  uint64_t conversation_no, uint64_t user_no, struct tl_visibility *visibility_out)
{
	*visibility_out = (struct tl_visibility){
		.engine = engine, .snapshot = snapshot, .conversation_no = conversation_no, .user_no = user_no};
	enum tl_err err = load(visibility_out);
	if (err != TL_OK)
		tl_visibility_close(visibility_out);
	return err;
}

enum tl_err tl_visibility_open(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_slice cid,
                               struct tl_slice user, struct tl_visibility *visibility_out)
{
	uint64_t conversation_no, user_no;
	enum tl_err err = tl_conversation_no(engine, snapshot, cid, &conversation_no);
	if (err == TL_OK)
		err = tl_user_no(engine, snapshot, user, &user_no);
	if (err != TL_OK)
		return err == TL_NOT_FOUND ? TL_NOT_MEMBER : err;
	return tl_visibility_open_no(engine, snapshot, conversation_no, user_no, visibility_out);
}

void tl_visibility_close(struct tl_visibility *visibility)
{
	free(visibility->bytes);
	visibility->bytes = NULL;
}

bool tl_visible(const struct tl_visibility *v, uint64_t cseq)
{
	if (cseq < v->first || cseq > v->last)
		return false;
	if (v->conversation.history == TL_HISTORY_ALL || (v->present && cseq >= v->member.since))
		return true;
	for (uint32_t i = 0; i < v->former.count; i++)
		if (cseq >= v->former.periods[i].from && cseq <= v->former.periods[i].to)
			return true;
	return false;
}

enum tl_err tl_deleted_by(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t user_no,
                          uint64_t conversation_no, uint64_t cseq, bool *deleted_out)
{
	struct tl_pair_key key;
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(engine, snapshot, tl_partition(TL_PART_DELETED, user_no),
	                                tl_pair_key(&key, conversation_no, cseq), &value, &len);
	*deleted_out = err == TL_OK;
	if (err == TL_OK)
		free(value);
	return err == TL_NOT_FOUND ? TL_OK : err;
}

enum tl_err tl_deleted(const struct tl_visibility *v, uint64_t cseq, bool *deleted_out)
{
	*deleted_out = false;
	if (!(v->present ? v->member.deleted_some : v->former.deleted_some))
		return TL_OK;
	return tl_deleted_by(v->engine, v->snapshot, v->user_no, v->conversation_no, cseq, deleted_out);
}
