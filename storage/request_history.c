/* `history` and `get`: the store timeline of one conversation, as far as the user may see it.
 *
 * By cseq the pages follow the timeline itself. What of it cannot be read keeps its place and is shown as damaged, so that
 * pages are contiguous whatever the disk has lost. In a conversation with custom order they follow the index of order keys,
 * where equal keys stand in order of arrival; what cannot be read is left out, as its key may be lost too. A cursor is the
 * last place of the page before and the direction:
 *     "a<cseq>" "b<cseq>"          after and before, by cseq
 *     "a<order>.<cseq>" "b…"       the same, by order key
 */
#include "requests.h"
#include "store_reader.h"
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
	[ARG_CURSOR] = {.key = "cursor", .type = TL_PARAM_CURSOR, .min = 1, .max = 48},
	{.key = NULL},
};

/* Where to begin: exclusive, in either direction. `order` is used with custom order only. */
struct start {
	bool forwards;
	uint64_t order, cseq;
};

/* A page in the making. */
struct page {
	const struct tl_visibility *visibility;
	struct tl_store_reader store;
	bool custom; /* by order key */
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

/* Packs what the user sees at a visible place, where reading the entry has answered `err`. Between floor and head one that is
 * not there has been lost. */
static enum tl_err show(struct tl_answer *answer, const struct tl_visibility *v, uint64_t cseq, enum tl_err err,
                        const struct tl_store_record *record)
{
	size_t before = answer->fields.buffer.size;
	if (err == TL_OK)
		err = tl_visibility_show(v, 0, cseq, record->message, &answer->fields);
	if (err != TL_CORRUPT && err != TL_NOT_FOUND)
		return err;
	answer->fields.buffer.size = before;
	tl_message_show_gone(&answer->fields, 0, v->conversation.cid, cseq, "damaged");
	answer->damaged = v->conversation_no;
	return TL_OK;
}

/* The same on a page. TL_NOT_FOUND: nothing is shown there. */
static enum tl_err show_place(struct page *page, uint64_t cseq)
{
	const struct tl_visibility *v = page->visibility;
	struct tl_store_record record;
	if (!page->custom)
		return show(page->answer, v, cseq, tl_store_reader_find(&page->store, v->conversation_no, cseq, &record), &record);
	enum tl_err err = tl_store_reader_get(&page->store, v->conversation_no, cseq, &record);
	if (err == TL_CORRUPT)
		page->answer->damaged = v->conversation_no;
	if (err != TL_OK)
		return err == TL_CORRUPT ? TL_NOT_FOUND : err;
	return show(page->answer, v, cseq, err, &record);
}

/* Adds an entry if it is visible. Sets page->full, and adds nothing, where there is no room for it. */
static enum tl_err add(struct page *page, uint64_t order, uint64_t cseq)
{
	size_t before = page->out->buffer.size;
	bool visible = tl_visible(page->visibility, cseq);
	if (page->looked_at++ == PLACES_MAX || (visible && page->count == page->limit)) {
		page->full = true;
		return TL_OK;
	}
	enum tl_err err = visible ? show_place(page, cseq) : TL_NOT_FOUND;
	if (err != TL_OK && err != TL_NOT_FOUND)
		return err;
	size_t weight = err == TL_OK ? tl_answer_weight(page->call, page->answer, before) : 0;
	if (page->count > 0 && page->bytes + weight > TL_PAGE_BYTES) {
		page->out->buffer.size = before;
		page->full = true;
		return TL_OK;
	}
	page->bytes += weight;
	page->count += err == TL_OK;
	page->order = order;
	page->cseq = cseq;
	return TL_OK;
}

/* --- by cseq --- */

static enum tl_err fill_by_cseq(struct page *page, const struct start *start)
{
	const struct tl_visibility *v = page->visibility;
	uint64_t cseq = start->cseq <= v->last ? start->cseq - 1 : v->last; /* 0 - 1 is beyond the last one */
	enum tl_err err = TL_OK;
	if (start->forwards)
		cseq = start->cseq >= v->first ? start->cseq + (start->cseq < UINT64_MAX) : v->first;
	while (err == TL_OK && !page->full && cseq >= v->first && cseq <= v->last) {
		err = add(page, 0, cseq);
		cseq += start->forwards ? 1 : UINT64_MAX;
	}
	return err;
}

/* --- by order key --- */

static bool seek_order(struct tl_iter *iter, const struct start *start)
{
	struct tl_pair_key key;
	if (!start->forwards)
		return tl_iter_seek_before(iter, tl_pair_key(&key, start->order, start->cseq));
	bool there = tl_iter_seek(iter, tl_pair_key(&key, start->order, start->cseq));
	if (there && tl_slice_equal(tl_iter_key(iter), tl_slice(key.bytes, key.len)))
		there = tl_iter_next(iter);
	return there;
}

static enum tl_err fill_by_order(struct page *page, const struct start *start)
{
	const struct tl_visibility *v = page->visibility;
	struct tl_iter *iter;
	uint64_t order, cseq;
	enum tl_err err = tl_iter_new(v->engine, v->snapshot, tl_partition(TL_PART_CUSTOM_ORDER, v->conversation_no), true,
	                              &iter);
	if (err != TL_OK)
		return err;
	tl_iter_pass_damage(iter);
	bool there = seek_order(iter, start);
	while (there && !page->full && err == TL_OK) {
		if (tl_pair_key_parse(tl_iter_key(iter), &order, &cseq))
			err = add(page, order, cseq);
		there = start->forwards ? tl_iter_next(iter) : tl_iter_prev(iter);
	}
	if (err == TL_OK)
		err = tl_iter_error(iter);
	if (err == TL_CORRUPT)
		page->answer->damaged = v->conversation_no;
	tl_iter_free(iter);
	return err == TL_CORRUPT ? TL_OK : err;
}

/* --- where to begin --- */

/* The first message from `cseq` on that the user can see, or behind the last entry. Where one is out of sight, so is all up to
 * the next membership, of which there are not many. */
static enum tl_err find_message(struct page *page, uint64_t cseq, uint64_t *cseq_out)
{
	const struct tl_visibility *v = page->visibility;
	enum tl_err err = TL_OK;
	cseq = tl_visible_from(v, cseq);
	while (err == TL_OK && cseq <= v->last) {
		err = tl_store_reader_find_message(&page->store, v->conversation_no, cseq, v->last + 1, &cseq);
		if (err == TL_OK && tl_visible(v, cseq))
			break;
		cseq = tl_visible_from(v, cseq);
	}
	*cseq_out = cseq;
	return err;
}

/* Before the first message from `cseq` on that the user can see; behind all of them if there is none. */
static enum tl_err begin_with_message(struct page *page, uint64_t cseq, struct start *start)
{
	struct tl_store_record record;
	enum tl_err err = find_message(page, cseq, &cseq);
	start->order = start->cseq = UINT64_MAX;
	if (err != TL_OK || cseq > page->visibility->last)
		return err;
	err = tl_store_reader_find(&page->store, page->visibility->conversation_no, cseq, &record);
	if (err == TL_OK && tl_message_order(record.message) > 0) {
		start->order = tl_message_order(record.message);
		start->cseq = cseq - 1;
	}
	return err == TL_CORRUPT || err == TL_NOT_FOUND ? TL_OK : err;
}

/* Behind the last entry before the first one of that time or later; in custom order, before a message. */
static enum tl_err find_time(struct page *page, uint64_t ts, struct start *start)
{
	const struct tl_visibility *v = page->visibility;
	uint64_t cseq = v->first;
	enum tl_err err = TL_OK;
	if (v->first <= v->last)
		err = tl_store_reader_find_time(&page->store, v->conversation_no, v->first, v->last + 1, ts, &cseq);
	if (err == TL_OK && page->custom)
		return begin_with_message(page, cseq, start);
	start->cseq = cseq - 1;
	return err;
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

static enum tl_err find_start(struct page *page, const struct tl_arg *args, struct start *start, struct tl_why *why)
{
	bool custom = page->custom;
	if (args[ARG_CURSOR].given) /* where its first page began may stand beside it, as in the request for that page */
		return parse_cursor(args[ARG_CURSOR].bytes, custom, start)
		           ? TL_OK
		           : tl_fail(why, TL_BAD_REQUEST, "'cursor' is none of this conversation's");
	if (args[ARG_BEFORE].given + args[ARG_AFTER].given + args[ARG_AT].given > 1)
		return tl_fail(why, TL_BAD_REQUEST, "only one of 'before', 'after' and 'at' can be given");
	*start = (struct start){.order = UINT64_MAX, .cseq = UINT64_MAX};
	if (args[ARG_BEFORE].given) {
		*(custom ? &start->order : &start->cseq) = args[ARG_BEFORE].uint;
		if (custom)
			start->cseq = 0; /* before the first of those with this key */
	} else if (args[ARG_AFTER].given) {
		*(custom ? &start->order : &start->cseq) = args[ARG_AFTER].uint;
		start->forwards = true;
	} else if (args[ARG_AT].given) {
		start->forwards = true;
		return find_time(page, args[ARG_AT].uint, start);
	}
	return TL_OK;
}

/* --- the page --- */

static void answer_cursor(struct tl_answer *answer, const struct page *page, const struct start *start)
{
	char cursor[64];
	int len = page->custom ? snprintf(cursor, sizeof cursor, "%c%" PRIu64 ".%" PRIu64, start->forwards ? 'a' : 'b',
	                            page->order, page->cseq)
	                 : snprintf(cursor, sizeof cursor, "%c%" PRIu64, start->forwards ? 'a' : 'b', page->cseq);
	tl_answer_cursor(answer, page->call, tl_slice(cursor, (size_t)len));
}

static enum tl_err fill(struct page *page, const struct start *start)
{
	struct tl_answer *answer = page->answer;
	tl_pack_cstr(&answer->fields, "messages");
	answer->field_count++;
	struct tl_pack_open messages = tl_pack_array_begin(&answer->fields);
	enum tl_err err = page->custom ? fill_by_order(page, start) : fill_by_cseq(page, start);
	if (err != TL_OK)
		return err;
	tl_pack_array_end(&answer->fields, messages, page->count);
	tl_answer_bool(answer, "more", page->full);
	if (page->full)
		answer_cursor(answer, page, start);
	tl_answer_uint(answer, "head", page->visibility->last);
	return TL_OK;
}

static enum tl_err answer_page(const struct tl_visibility *v, const struct tl_call *call, struct tl_answer *answer)
{
	struct page page = {
		.visibility = v,
		.custom = v->conversation.order == TL_ORDER_CUSTOM,
		.call = call,
		.answer = answer,
		.out = &answer->fields,
		.limit = tl_arg_uint(&call->args[ARG_LIMIT], TL_PAGE_DEFAULT),
	};
	struct start start;
	tl_store_reader_init(&page.store, v->engine, v->snapshot);
	enum tl_err err = find_start(&page, call->args, &start, &answer->why);
	if (err == TL_OK)
		err = fill(&page, &start);
	tl_store_reader_fini(&page.store);
	return err;
}

enum tl_err tl_history(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer)
{
	return tl_answer_visible(reading, call, answer, answer_page);
}

/* --- get --- */

enum { GET_CONV, GET_CSEQ };

const struct tl_param tl_get_params[] = {
	[GET_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	[GET_CSEQ] = {.key = "cseq", .type = TL_PARAM_UINT, .required = true, .min = 1, .max = UINT64_MAX},
	{.key = NULL},
};

static enum tl_err answer_message(const struct tl_visibility *v, const struct tl_call *call, struct tl_answer *answer)
{
	const uint64_t cseq = call->args[GET_CSEQ].uint;
	struct tl_store_record record;
	char *bytes = NULL;
	size_t len;
	if (!tl_visible(v, cseq))
		return TL_NO_SUCH_MESSAGE;
	enum tl_err err = tl_timeline_get(v->engine, v->snapshot, tl_partition(TL_PART_STORE, v->conversation_no), cseq,
	                                  &bytes, &len);
	if (err == TL_OK && !tl_store_record_unpack(tl_slice(bytes, len), &record))
		err = TL_CORRUPT;
	tl_pack_cstr(&answer->fields, "message");
	answer->field_count++;
	err = show(answer, v, cseq, err, &record);
	free(bytes);
	return err;
}

enum tl_err tl_get(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer)
{
	return tl_answer_visible(reading, call, answer, answer_message);
}
