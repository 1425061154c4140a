#include "visibility.h"

#include "expiry.h"
#include "message.h"

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

/* Where the store timeline ends, and where what has not expired of it begins. */
static enum tl_err read_bounds(struct tl_visibility *v, const struct tl_limits *limits, uint64_t now)
{
	struct tl_bounds bounds;
	enum tl_err err =
		tl_timeline_reach(v->engine, v->snapshot, tl_partition(TL_PART_STORE, v->conversation_no), &bounds);
	if (err != TL_OK)
		return err;
	v->conversation_head = bounds.head;
	return tl_store_floor(v->engine, v->snapshot, v->conversation_no, &bounds,
	                      tl_retention_ms(&v->conversation, limits), now, &v->conversation_floor);
}

static enum tl_err load(struct tl_visibility *v, const struct tl_limits *limits, uint64_t now, bool dissolved_too)
{
	enum tl_err err = tl_conversation_read(v->engine, v->snapshot, v->conversation_no, &v->conversation, &v->bytes);
	if (err == TL_NOT_FOUND || (err == TL_OK && v->conversation.dissolved && !dissolved_too))
		return TL_NOT_MEMBER;
	if (err == TL_OK)
		err = read_memberships(v);
	if (err == TL_OK)
		err = read_bounds(v, limits, now);
	if (err != TL_OK)
		return err;
	set_bounds(v);
	if (v->first <= v->conversation_floor)
		v->first = v->conversation_floor + 1;
	return TL_OK;
}

static enum tl_err open_visibility(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                   const struct tl_limits *limits, uint64_t now, uint64_t conversation_no,
                                   uint64_t user_no, bool dissolved_too, struct tl_visibility *visibility_out)
{
	*visibility_out = (struct tl_visibility){
		.engine = engine, .snapshot = snapshot, .conversation_no = conversation_no, .user_no = user_no};
	enum tl_err err = load(visibility_out, limits, now, dissolved_too);
	if (err != TL_OK)
		tl_visibility_close(visibility_out);
	return err;
}

static enum tl_err find_numbers(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_slice cid,
                                struct tl_slice user, uint64_t *conversation_no_out, uint64_t *user_no_out)
{
	enum tl_err err = tl_conversation_no(engine, snapshot, cid, conversation_no_out);
	if (err == TL_OK)
		err = tl_user_no(engine, snapshot, user, user_no_out);
	return err == TL_NOT_FOUND ? TL_NOT_MEMBER : err;
}

enum tl_err tl_visibility_open_no(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                  const struct tl_limits *limits, uint64_t now, uint64_t conversation_no,
                                  uint64_t user_no, struct tl_visibility *visibility_out)
{
	return open_visibility(engine, snapshot, limits, now, conversation_no, user_no, false, visibility_out);
}

enum tl_err tl_visibility_open(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                               const struct tl_limits *limits, uint64_t now, struct tl_slice cid, struct tl_slice user,
                               struct tl_visibility *visibility_out)
{
	uint64_t conversation_no, user_no;
	enum tl_err err = find_numbers(engine, snapshot, cid, user, &conversation_no, &user_no);
	if (err != TL_OK)
		return err;
	return open_visibility(engine, snapshot, limits, now, conversation_no, user_no, false, visibility_out);
}

enum tl_err tl_visibility_open_dissolved(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                         const struct tl_limits *limits, uint64_t now, struct tl_slice cid,
                                         struct tl_slice user, struct tl_visibility *visibility_out)
{
	uint64_t conversation_no, user_no;
	enum tl_err err = find_numbers(engine, snapshot, cid, user, &conversation_no, &user_no);
	if (err != TL_OK)
		return err;
	return open_visibility(engine, snapshot, limits, now, conversation_no, user_no, true, visibility_out);
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

uint64_t tl_visible_from(const struct tl_visibility *v, uint64_t cseq)
{
	uint64_t from = v->last + 1;
	if (cseq < v->first)
		cseq = v->first;
	if (cseq > v->last || tl_visible(v, cseq))
		return cseq;
	if (v->present && v->member.since > cseq)
		from = v->member.since;
	for (uint32_t i = 0; i < v->former.count; i++)
		if (v->former.periods[i].from > cseq && v->former.periods[i].from < from)
			from = v->former.periods[i].from;
	return from;
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

/* Shows a message as it is kept, but for an edit's body where that is not for this user. */
static enum tl_err show_kept(const struct tl_visibility *v, uint64_t seq, uint64_t cseq, struct tl_slice message,
                             struct tl_pack *out)
{
	struct tl_pack stripped;
	uint64_t target;
	bool deleted = false;
	if (!tl_message_edit_target(message, &target))
		return tl_message_show(out, seq, v->conversation.cid, cseq, message) ? TL_OK : TL_CORRUPT;
	bool visible = tl_visible(v, target);
	enum tl_err err = visible ? tl_deleted(v, target, &deleted) : TL_OK;
	if (err != TL_OK)
		return err;
	if (visible && !deleted)
		return tl_message_show(out, seq, v->conversation.cid, cseq, message) ? TL_OK : TL_CORRUPT;
	tl_pack_init(&stripped);
	bool ok = tl_message_strip_event(&stripped, message) &&
	          tl_message_show(out, seq, v->conversation.cid, cseq, tl_pack_bytes(&stripped));
	err = ok ? TL_OK : tl_message_wrong(&stripped);
	tl_pack_fini(&stripped);
	return err;
}

enum tl_err tl_visibility_show(const struct tl_visibility *v, uint64_t seq, uint64_t cseq, struct tl_slice message,
                               struct tl_pack *out)
{
	bool deleted;
	enum tl_err err = tl_deleted(v, cseq, &deleted);
	if (err != TL_OK)
		return err;
	if (!deleted)
		return show_kept(v, seq, cseq, message, out);
	tl_message_show_gone(out, seq, v->conversation.cid, cseq, "deleted");
	return TL_OK;
}
