/* `history` and `get`: the store timeline of one conversation, as far as the user may see it.
 *
 * By cseq the pages follow the timeline itself. In a conversation with custom order they follow the index of order keys,
 * where equal keys stand in order of arrival. A cursor is the last place of the page before and the direction:
 *     "a<cseq>" "b<cseq>"          after and before, by cseq
 *     "a<order>.<cseq>" "b…"       the same, by order key
 */
#include "msgpack_reader.h"
#include "ordered_int.h"
#include "requests.h"
#include "timeline.h"
#include "visibility.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PLACES_MAX = 10000 }; /* looked at for one page; then it ends, perhaps short, and goes on by its cursor */

enum { ARG_CONV, ARG_BEFORE, ARG_AFTER, ARG_AT, ARG_LIMIT, ARG_CURSOR };

const struct tl_param tl_history_params[] = {
	[ARG_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	[ARG_BEFORE] = {.key = "before", .type = TL_PARAM_UINT, .max = UINT64_MAX},
	[ARG_AFTER] = {.key = "after", .type = TL_PARAM_UINT, .max = UINT64_MAX},
	[ARG_AT] = {.key = "at", .type = TL_PARAM_UINT, .max = UINT64_MAX},
	[ARG_LIMIT] = {.key = "limit", .type = TL_PARAM_UINT, .min = 1, .max = TL_PAGE_MAX},
	[ARG_CURSOR] = {.key = "cursor", .type = TL_PARAM_STR, .min = 1, .max = 48},
	{.key = NULL},
};

/* Where to begin: exclusive, in either direction. `order` is used with custom order only. */
struct start {
	bool forwards;
	uint64_t order, cseq;
};

/* A page in the making. */
struct page {
	struct tl_visibility *visibility;
	const struct tl_call *call;
	struct tl_answer *answer;
	struct tl_pack *out; /* the answer's fields */
	uint64_t limit;
	uint32_t count;
	size_t bytes; /* that they take on the wire */
	uint64_t order, cseq; /* of the last place looked at, for the cursor */
	uint32_t looked_at;   /* places, visible or not */
	bool full;            /* the page is full and there may be more */
};

/* --- one entry --- */

/* Packs what the user sees at a visible place. */
static enum tl_err show(struct tl_pack *out, const struct tl_visibility *v, uint64_t cseq, struct tl_slice bytes)
{
	struct tl_store_record record;
	if (!tl_store_record_unpack(bytes, &record))
		return TL_CORRUPT;
	return tl_visibility_show(v, 0, cseq, record.message, out);
}

/* Adds an entry if it is visible. Sets page->full, and adds nothing, where there is no room for it. */
static enum tl_err add(struct page *page, uint64_t order, uint64_t cseq, struct tl_slice bytes)
{
	size_t before = page->out->buffer.size;
	if (page->looked_at++ == PLACES_MAX) {
		page->full = true;
		return TL_OK;
	}
	if (tl_visible(page->visibility, cseq)) {
		if (page->count == page->limit) {
			page->full = true;
			return TL_OK;
		}
		enum tl_err err = show(page->out, page->visibility, cseq, bytes);
		if (err != TL_OK)
			return err;
		size_t weight = tl_answer_weight(page->call, page->answer, before);
		if (page->count > 0 && page->bytes + weight > TL_PAGE_BYTES) {
			page->out->buffer.size = before;
			page->full = true;
			return TL_OK;
		}
		page->bytes += weight;
		page->count++;
	}
	page->order = order;
	page->cseq = cseq;
	return TL_OK;
}

/* --- by cseq --- */

static bool cseq_at(struct tl_iter *iter, uint64_t *cseq_out)
{
	struct tl_slice key = tl_iter_key(iter);
	return tl_ordered_int_read(key.ptr, key.len, cseq_out);
}

static bool seek(struct tl_iter *iter, const struct start *start, const struct tl_visibility *v)
{
	unsigned char key[TL_ORDERED_INT_MAX];
	if (start->forwards) {
		uint64_t from = start->cseq + 1 > v->first ? start->cseq + 1 : v->first;
		if (start->cseq == UINT64_MAX)
			return false;
		return tl_iter_seek(iter, tl_slice(key, tl_ordered_int_put(key, from)));
	}
	uint64_t to = start->cseq <= v->last ? start->cseq : v->last + 1;
	return tl_iter_seek_before(iter, tl_slice(key, tl_ordered_int_put(key, to)));
}

static enum tl_err fill_by_cseq(struct page *page, const struct start *start)
{
	const struct tl_visibility *v = page->visibility;
	struct tl_iter *iter;
	uint64_t cseq;
	enum tl_err err = tl_iter_new(v->engine, v->snapshot, tl_partition(TL_PART_STORE, v->conversation_no), true, &iter);
	if (err != TL_OK)
		return err;
	bool there = seek(iter, start, v);
	while (there && !page->full && err == TL_OK && cseq_at(iter, &cseq) && cseq >= v->first && cseq <= v->last) {
		err = add(page, 0, cseq, tl_iter_value(iter));
		there = start->forwards ? tl_iter_next(iter) : tl_iter_prev(iter);
	}
	if (err == TL_OK)
		err = tl_iter_error(iter);
	tl_iter_free(iter);
	return err;
}

/* --- by order key --- */

static enum tl_err add_ordered(struct page *page, uint64_t order, uint64_t cseq)
{
	const struct tl_visibility *v = page->visibility;
	char *bytes;
	size_t len;
	enum tl_err err = tl_timeline_get(v->engine, v->snapshot, tl_partition(TL_PART_STORE, v->conversation_no), cseq,
	                                  &bytes, &len);
	if (err != TL_OK)
		return err == TL_NOT_FOUND ? TL_OK : err; /* retention has dropped it */
	err = add(page, order, cseq, tl_slice(bytes, len));
	free(bytes);
	return err;
}

static enum tl_err fill_by_order(struct page *page, const struct start *start)
{
	const struct tl_visibility *v = page->visibility;
	struct tl_pair_key key;
	struct tl_iter *iter;
	uint64_t order, cseq;
	bool there;
	enum tl_err err = tl_iter_new(v->engine, v->snapshot, tl_partition(TL_PART_CUSTOM_ORDER, v->conversation_no), true,
	                              &iter);
	if (err != TL_OK)
		return err;
	if (start->forwards) {
		there = tl_iter_seek(iter, tl_pair_key(&key, start->order, start->cseq));
		if (there && tl_slice_equal(tl_iter_key(iter), tl_slice(key.bytes, key.len)))
			there = tl_iter_next(iter);
	} else {
		there = tl_iter_seek_before(iter, tl_pair_key(&key, start->order, start->cseq));
	}
	while (there && !page->full && err == TL_OK) {
		if (!tl_pair_key_parse(tl_iter_key(iter), &order, &cseq))
			err = TL_CORRUPT;
		else
			err = add_ordered(page, order, cseq);
		there = start->forwards ? tl_iter_next(iter) : tl_iter_prev(iter);
	}
	if (err == TL_OK)
		err = tl_iter_error(iter);
	tl_iter_free(iter);
	return err;
}

/* --- where to begin --- */

/* The last entry before the first one of that time or later; times never decrease, so it is found by halving. */
static enum tl_err find_time(const struct tl_visibility *v, uint64_t ts, uint64_t *cseq_out)
{
	struct tl_cursor cursor;
	struct tl_store_record record;
	struct tl_iter *iter;
	uint64_t low = v->first, high = v->last + 1;
	enum tl_err err = tl_iter_new(v->engine, v->snapshot, tl_partition(TL_PART_STORE, v->conversation_no), true, &iter);
	if (err != TL_OK)
		return err;
	while (low < high && err == TL_OK) {
		uint64_t middle = low + (high - low) / 2;
		if (!tl_cursor_seek(&cursor, iter, tl_partition(TL_PART_STORE, v->conversation_no), middle) ||
		    cursor.seq >= high)
			high = middle;
		else if (!tl_store_record_unpack(cursor.entry, &record))
			err = TL_CORRUPT;
		else if (tl_message_ts(record.message) >= ts)
			high = middle;
		else
			low = cursor.seq + 1;
	}
	if (err == TL_OK)
		err = tl_iter_error(iter);
	tl_iter_free(iter);
	*cseq_out = low - 1;
	return err;
}

/* The order key of the first message that the user can see of that time or later; behind all of them if there is
 * none. */
static enum tl_err find_time_by_order(const struct tl_visibility *v, uint64_t ts, struct start *start)
{
	struct tl_store_record record;
	struct tl_reader value;
	char *bytes;
	size_t len;
	uint64_t cseq;
	enum tl_err err = find_time(v, ts, &cseq);
	start->order = UINT64_MAX;
	start->cseq = UINT64_MAX;
	while (err == TL_OK && ++cseq <= v->last) {
		if (!tl_visible(v, cseq))
			continue;
		err = tl_timeline_get(v->engine, v->snapshot, tl_partition(TL_PART_STORE, v->conversation_no), cseq, &bytes,
		                      &len);
		if (err != TL_OK)
			break;
		bool found = tl_store_record_unpack(tl_slice(bytes, len), &record) &&
		             tl_msgpack_find(record.message, "order", &value) && tl_reader_uint(&value, &start->order);
		free(bytes);
		if (found) {
			start->cseq = cseq - 1;
			break;
		}
	}
	return err == TL_NOT_FOUND ? TL_OK : err;
}

static bool parse_cursor(struct tl_slice text, bool custom, struct start *start)
{
	const char *p = text.ptr;
	uint64_t numbers[2];
	if ((p[0] != 'a' && p[0] != 'b') || !tl_cursor_numbers(tl_slice(p + 1, text.len - 1), custom ? 2 : 1, numbers))
		return false;
	start->forwards = p[0] == 'a';
	start->order = numbers[0];
	start->cseq = numbers[custom ? 1 : 0];
	return true;
}

static enum tl_err find_start(const struct tl_visibility *v, const struct tl_arg *args, bool custom,
                              struct start *start, struct tl_why *why)
{
	int given = args[ARG_BEFORE].given + args[ARG_AFTER].given + args[ARG_AT].given + args[ARG_CURSOR].given;
	if (given > 1)
		return tl_fail(why, TL_BAD_REQUEST, "only one of 'before', 'after', 'at' and 'cursor' can be given");
	*start = (struct start){.order = UINT64_MAX, .cseq = UINT64_MAX};
	if (args[ARG_CURSOR].given)
		return parse_cursor(args[ARG_CURSOR].bytes, custom, start)
		           ? TL_OK
		           : tl_fail(why, TL_BAD_REQUEST, "'cursor' is none of this conversation's");
	if (args[ARG_BEFORE].given) {
		*(custom ? &start->order : &start->cseq) = args[ARG_BEFORE].uint;
		if (custom)
			start->cseq = 0; /* before the first of those with this key */
	} else if (args[ARG_AFTER].given) {
		*(custom ? &start->order : &start->cseq) = args[ARG_AFTER].uint;
		start->forwards = true;
	} else if (args[ARG_AT].given) {
		start->forwards = true;
		return custom ? find_time_by_order(v, args[ARG_AT].uint, start)
		              : find_time(v, args[ARG_AT].uint, &start->cseq);
	}
	return TL_OK;
}

/* --- the page --- */

static void answer_cursor(struct tl_answer *answer, const struct page *page, const struct start *start, bool custom)
{
	char cursor[64];
	int len = custom ? snprintf(cursor, sizeof cursor, "%c%" PRIu64 ".%" PRIu64, start->forwards ? 'a' : 'b',
	                            page->order, page->cseq)
	                 : snprintf(cursor, sizeof cursor, "%c%" PRIu64, start->forwards ? 'a' : 'b', page->cseq);
	tl_answer_str(answer, "cursor", tl_slice(cursor, (size_t)len));
}

static enum tl_err answer_page(struct tl_visibility *v, const struct tl_call *call, struct tl_answer *answer)
{
	const struct tl_arg *limit = &call->args[ARG_LIMIT];
	bool custom = v->conversation.order == TL_ORDER_CUSTOM;
	struct page page = {
		.visibility = v,
		.call = call,
		.answer = answer,
		.out = &answer->fields,
		.limit = limit->given ? limit->uint : TL_PAGE_DEFAULT,
	};
	struct start start;
	enum tl_err err = find_start(v, call->args, custom, &start, &answer->why);
	if (err != TL_OK)
		return err;
	tl_pack_cstr(&answer->fields, "messages");
	answer->field_count++;
	struct tl_pack_open messages = tl_pack_array_begin(&answer->fields);
	err = custom ? fill_by_order(&page, &start) : fill_by_cseq(&page, &start);
	if (err != TL_OK)
		return err;
	tl_pack_array_end(&answer->fields, messages, page.count);
	tl_answer_bool(answer, "more", page.full);
	if (page.full)
		answer_cursor(answer, &page, &start, custom);
	tl_answer_uint(answer, "head", v->last);
	return TL_OK;
}

enum tl_err tl_history(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer)
{
	struct tl_visibility visibility;
	struct tl_snapshot *snapshot;
	enum tl_err err = tl_snapshot_new(reading->database->engine, &snapshot);
	if (err != TL_OK)
		return err;
	err = tl_visibility_open(reading->database->engine, snapshot, reading->limits, call->now,
	                         call->args[ARG_CONV].bytes, call->user, &visibility);
	if (err == TL_OK) {
		err = answer_page(&visibility, call, answer);
		tl_visibility_close(&visibility);
	}
	tl_snapshot_free(snapshot);
	return err;
}

/* --- get --- */

enum { GET_CONV, GET_CSEQ };

const struct tl_param tl_get_params[] = {
	[GET_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	[GET_CSEQ] = {.key = "cseq", .type = TL_PARAM_UINT, .required = true, .min = 1, .max = UINT64_MAX},
	{.key = NULL},
};

static enum tl_err answer_message(const struct tl_visibility *v, uint64_t cseq, struct tl_answer *answer)
{
	char *bytes;
	size_t len;
	if (!tl_visible(v, cseq))
		return TL_NO_SUCH_MESSAGE;
	enum tl_err err = tl_timeline_get(v->engine, v->snapshot, tl_partition(TL_PART_STORE, v->conversation_no), cseq,
	                                  &bytes, &len);
	if (err != TL_OK)
		return err == TL_NOT_FOUND ? TL_NO_SUCH_MESSAGE : err;
	tl_pack_cstr(&answer->fields, "message");
	answer->field_count++;
	err = show(&answer->fields, v, cseq, tl_slice(bytes, len));
	free(bytes);
	return err;
}

enum tl_err tl_get(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer)
{
	struct tl_visibility visibility;
	struct tl_snapshot *snapshot;
	enum tl_err err = tl_snapshot_new(reading->database->engine, &snapshot);
	if (err != TL_OK)
		return err;
	err = tl_visibility_open(reading->database->engine, snapshot, reading->limits, call->now,
	                         call->args[GET_CONV].bytes, call->user, &visibility);
	if (err == TL_OK) {
		err = answer_message(&visibility, call->args[GET_CSEQ].uint, answer);
		tl_visibility_close(&visibility);
	}
	tl_snapshot_free(snapshot);
	return err;
}
