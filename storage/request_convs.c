/* `convs`: the conversations that the user is in, most recently active first, with what a list of chats shows.
 *
 * When a conversation was last active is the time of its last entry, which lies at the end of its store timeline; it is
 * read for each of the user's conversations rather than kept in an order that every message would change for every member.
 * So a page costs in proportion to the number of the user's conversations and not to what is stored in them.
 *
 * What of a conversation cannot be read does not cost the user the others: one whose last entry is damaged says so, and
 * counts as active and unread up to the last entry that can be read; one whose own record or member's cannot be read is
 * left out.
 *
 * A cursor is the last place of the page before: "<ts>.<conversation number>".
 */
#include "expiry.h"
#include "msgpack_reader.h"
#include "ordered_int.h"
#include "requests.h"
#include "store_reader.h"
#include "visibility.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARG_LIMIT, ARG_CURSOR };
enum { PREVIEW_BYTES = 512 };

const struct tl_param tl_convs_params[] = {
	[ARG_LIMIT] = {.key = "limit", .type = TL_PARAM_UINT, .min = 1, .max = TL_PAGE_MAX},
	[ARG_CURSOR] = {.key = "cursor", .type = TL_PARAM_CURSOR, .min = 1, .max = 48},
	{.key = NULL},
};

/* One of the user's conversations and when it was last active. */
struct activity {
	uint64_t ts;
	uint64_t no;
};

struct listing {
	struct tl_engine *engine;
	struct tl_snapshot *snapshot;
	struct tl_iter *iter;
	const struct tl_limits *limits;
	uint64_t now; /* ms */
	struct tl_slice user;
	uint64_t user_no;
	struct activity *all;
	size_t count, room;
	uint64_t damaged; /* number of a conversation of which something is left out; 0: of none */
};

static void listing_fini(struct listing *l)
{
	free(l->all);
	tl_iter_free(l->iter);
	tl_snapshot_free(l->snapshot);
}

static enum tl_err listing_init(struct listing *l, const struct tl_reading *reading, const struct tl_call *call)
{
	struct tl_engine *engine = reading->database->engine;
	*l = (struct listing){.engine = engine, .limits = reading->limits, .now = call->now, .user = call->user};
	enum tl_err err = tl_snapshot_new(engine, &l->snapshot);
	if (err == TL_OK)
		err = tl_iter_new(engine, l->snapshot, tl_partition(TL_PART_META, 0), true, &l->iter);
	if (err == TL_OK)
		err = tl_user_no(engine, l->snapshot, l->user, &l->user_no);
	if (err != TL_OK)
		listing_fini(l);
	return err;
}

static bool append(struct listing *l, uint64_t no)
{
	if (l->count == l->room) {
		size_t more = l->room ? l->room * 2 : 64;
		struct activity *grown = realloc(l->all, more * sizeof *grown);
		if (!grown)
			return false;
		l->all = grown;
		l->room = more;
	}
	l->all[l->count++] = (struct activity){.no = no};
	return true;
}

static enum tl_err collect(struct listing *l)
{
	uint64_t no;
	tl_iter_retarget(l->iter, tl_partition(TL_PART_USER_CONVERSATIONS, l->user_no));
	tl_iter_pass_damage(l->iter);
	for (bool there = tl_iter_seek(l->iter, tl_slice("", 0)); there; there = tl_iter_next(l->iter)) {
		struct tl_slice key = tl_iter_key(l->iter);
		if (tl_ordered_int_read(key.ptr, key.len, &no) && !append(l, no))
			return TL_NO_MEMORY;
	}
	enum tl_err err = tl_iter_error(l->iter);
	return err == TL_CORRUPT ? TL_OK : err;
}

/* Of one that has no entry, or none that can be read, long ago. */
static enum tl_err read_activity(struct listing *l, struct activity *activity)
{
	uint64_t cseq;
	enum tl_err err = tl_store_last(l->engine, l->snapshot, l->iter, activity->no, &cseq, &activity->ts);
	return err == TL_NOT_FOUND || err == TL_CORRUPT ? TL_OK : err;
}

static int latest_first(const void *a, const void *b)
{
	const struct activity *x = a, *y = b;
	if (x->ts != y->ts)
		return x->ts < y->ts ? 1 : -1;
	return (x->no < y->no) - (x->no > y->no);
}

static enum tl_err sort(struct listing *l)
{
	for (size_t i = 0; i < l->count; i++) {
		enum tl_err err = read_activity(l, &l->all[i]);
		if (err != TL_OK)
			return err;
	}
	if (l->count > 0)
		qsort(l->all, l->count, sizeof *l->all, latest_first);
	return TL_OK;
}

/* The first place behind the cursor. */
static enum tl_err find_start(const struct listing *l, const struct tl_arg *cursor, size_t *start_out,
                              struct tl_why *why)
{
	uint64_t numbers[2];
	*start_out = 0;
	if (!cursor->given)
		return TL_OK;
	if (!tl_cursor_numbers(cursor->bytes, 2, numbers))
		return tl_fail(why, TL_BAD_REQUEST, "'cursor' is none of this request's");
	const struct activity last = {.ts = numbers[0], .no = numbers[1]};
	while (*start_out < l->count && latest_first(&l->all[*start_out], &last) <= 0)
		++*start_out;
	return TL_OK;
}

/* --- one conversation --- */

static const char *role_name(const struct tl_visibility *v, struct tl_slice user)
{
	return tl_slice_equal(v->conversation.owner, user) ? "owner" : tl_roles[v->member.role];
}

/* Cuts a text of more than PREVIEW_BYTES where a character ends. */
static struct tl_slice preview(struct tl_slice body)
{
	const unsigned char *p = body.ptr;
	size_t len = PREVIEW_BYTES;
	while (len > 0 && (p[len] & 0xc0) == 0x80)
		len--;
	return tl_slice(body.ptr, len ? len : PREVIEW_BYTES);
}

/* The message with its body cut; an edit without the new body. */
static bool pack_preview(struct tl_pack *out, const struct tl_visibility *v, struct tl_slice message)
{
	struct tl_slice body;
	struct tl_pack cut;
	uint64_t edited;
	bool has_body = tl_message_body(message, &body), ok;
	if (has_body ? body.len <= PREVIEW_BYTES : !tl_message_edit_target(message, &edited))
		return tl_message_show(out, 0, v->conversation.cid, v->last, message);
	tl_pack_init(&cut);
	ok = has_body ? tl_message_cut(&cut, message, preview(body)) : tl_message_strip_event(&cut, message);
	ok = ok && tl_message_show(out, 0, v->conversation.cid, v->last, tl_pack_bytes(&cut));
	tl_pack_fini(&cut);
	return ok;
}

/* `record` NULL: it cannot be read. */
static enum tl_err pack_last(struct tl_pack *out, const struct tl_visibility *v, const struct tl_store_record *record)
{
	size_t before = out->buffer.size;
	bool deleted;
	enum tl_err err = record ? tl_deleted(v, v->last, &deleted) : TL_CORRUPT;
	if (err == TL_OK && deleted) {
		tl_message_show_gone(out, 0, v->conversation.cid, v->last, "deleted");
		return TL_OK;
	}
	if (err == TL_OK && pack_preview(out, v, record->message))
		return TL_OK;
	if (err != TL_OK && err != TL_CORRUPT)
		return err;
	out->buffer.size = before;
	tl_message_show_gone(out, 0, v->conversation.cid, v->last, "damaged");
	return TL_OK;
}

static enum tl_err count_unread(const struct tl_visibility *v, const struct tl_store_record *record, uint64_t *unread_out)
{
	struct tl_member_record member = v->member;
	struct tl_last_sends sends = record->sends;
	tl_last_sends_apply(&sends, v->user_no, &member);
	return tl_store_unread(v->engine, v->snapshot, v->conversation_no, v->conversation_floor, record->running, &member,
	                       unread_out);
}

/* The last entry, if the user may see it; its running number, or that of the last one that can be read, tells what is
 * unread. */
static enum tl_err pack_head(struct tl_pack *out, struct listing *l, const struct tl_visibility *v, uint32_t *pairs)
{
	struct tl_store_record record;
	uint64_t unread = 0, cseq = v->conversation_head;
	char *bytes = NULL;
	enum tl_err err = tl_store_readable(v->engine, v->snapshot, v->conversation_no, &cseq, &record, &bytes);
	bool is_empty = err == TL_NOT_FOUND, damaged = err == TL_CORRUPT || cseq < v->conversation_head;
	if (err == TL_OK)
		err = count_unread(v, &record, &unread);
	else if (is_empty || damaged)
		err = TL_OK;
	if (damaged)
		l->damaged = v->conversation_no;
	tl_pack_cstr(out, "unread");
	tl_pack_uint(out, unread);
	++*pairs;
	if (err == TL_OK && !is_empty && tl_visible(v, v->last)) {
		tl_pack_cstr(out, "last");
		err = pack_last(out, v, damaged ? NULL : &record);
		++*pairs;
	}
	free(bytes);
	return err;
}

static enum tl_err pack_conversation(struct tl_pack *out, struct listing *l, const struct tl_visibility *v)
{
	struct tl_pack_open map = tl_pack_map_begin(out);
	uint32_t pairs = 7;
	tl_pack_cstr(out, "conv");
	tl_pack_str(out, v->conversation.cid);
	tl_pack_cstr(out, "kind");
	tl_pack_cstr(out, tl_conversation_kinds[v->conversation.kind]);
	if (v->conversation.name.len > 0) {
		tl_pack_cstr(out, "name");
		tl_pack_str(out, v->conversation.name);
		pairs++;
	}
	tl_pack_cstr(out, "role");
	tl_pack_cstr(out, role_name(v, l->user));
	tl_pack_cstr(out, "head");
	tl_pack_uint(out, v->last);
	tl_pack_cstr(out, "read");
	tl_pack_uint(out, v->member.read);
	tl_pack_cstr(out, "mute");
	tl_pack_bool(out, v->member.mute);
	tl_pack_cstr(out, "pin");
	tl_pack_bool(out, v->member.pin);
	enum tl_err err = pack_head(out, l, v, &pairs);
	tl_pack_map_end(out, map, pairs);
	return err;
}

/* TL_NOT_MEMBER: the user is in it no more, and the list does not say so yet (endings.h), or cannot be read. */
static enum tl_err try_add(struct tl_pack *out, struct listing *l, uint64_t no)
{
	struct tl_visibility v;
	enum tl_err err = tl_visibility_open_no(l->engine, l->snapshot, l->limits, l->now, no, l->user_no, &v);
	if (err != TL_OK)
		return err;
	err = v.present ? pack_conversation(out, l, &v) : TL_NOT_MEMBER;
	tl_visibility_close(&v);
	return err;
}

/* Adds one, unless it has to be left out. */
static enum tl_err add(struct tl_pack *out, struct listing *l, uint64_t no, uint32_t *count)
{
	size_t before = out->buffer.size;
	enum tl_err err = try_add(out, l, no);
	if (err == TL_OK)
		++*count;
	if (err != TL_CORRUPT && err != TL_NOT_MEMBER)
		return err;
	out->buffer.size = before;
	if (err == TL_CORRUPT)
		l->damaged = no;
	return TL_OK;
}

/* --- the page --- */

static enum tl_err answer_page(struct listing *l, const struct tl_call *call, struct tl_answer *answer)
{
	uint64_t limit = tl_arg_uint(&call->args[ARG_LIMIT], TL_PAGE_DEFAULT);
	struct tl_pack *out = &answer->fields;
	uint32_t count = 0;
	char cursor[64];
	size_t at;
	enum tl_err err = find_start(l, &call->args[ARG_CURSOR], &at, &answer->why);
	if (err != TL_OK)
		return err;
	tl_pack_cstr(out, "convs");
	answer->field_count++;
	struct tl_pack_open convs = tl_pack_array_begin(out);
	for (size_t bytes = 0; at < l->count; at++) {
		size_t before = out->buffer.size;
		if ((err = add(out, l, l->all[at].no, &count)) != TL_OK)
			return err;
		bytes += out->buffer.size > before ? tl_answer_weight(call, answer, before) : 0;
		if (count > limit || (count > 1 && bytes > TL_PAGE_BYTES)) {
			out->buffer.size = before;
			count--;
			break;
		}
	}
	tl_pack_array_end(out, convs, count);
	if (at < l->count) {
		int len = snprintf(cursor, sizeof cursor, "%" PRIu64 ".%" PRIu64, l->all[at - 1].ts, l->all[at - 1].no);
		tl_answer_cursor(answer, call, tl_slice(cursor, (size_t)len));
	}
	return TL_OK;
}

enum tl_err tl_convs(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer)
{
	struct listing l;
	enum tl_err err = listing_init(&l, reading, call);
	if (err == TL_NOT_FOUND) {
		tl_pack_cstr(&answer->fields, "convs");
		tl_pack_array(&answer->fields, 0);
		answer->field_count++;
		return TL_OK;
	}
	if (err != TL_OK)
		return err;
	err = collect(&l);
	if (err == TL_OK)
		err = sort(&l);
	if (err == TL_OK)
		err = answer_page(&l, call, answer);
	answer->damaged = l.damaged;
	listing_fini(&l);
	return err;
}
