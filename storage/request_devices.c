/* `devices`: the user's devices that have synced, and how far, as long as they are remembered, in the order of their ids.
 * Those of which something newer has been noted than what is stored are merged in. A cursor is the last id of the page
 * before. */
#include "expiry.h"
#include "requests.h"

#include "id.h"

#include <stdlib.h>

enum { ARG_LIMIT, ARG_CURSOR };

const struct tl_param tl_devices_params[] = {
	[ARG_LIMIT] = {.key = "limit", .type = TL_PARAM_UINT, .min = 1, .max = TL_PAGE_MAX},
	[ARG_CURSOR] = {.key = "cursor", .type = TL_PARAM_CURSOR, .min = 1, .max = TL_ID_MAX},
	{.key = NULL},
};

struct noted {
	struct tl_device_record record;
	size_t device_len;
	char device[TL_ID_MAX];
};

/* Behind the cursor, by ascending id. */
struct noted_list {
	struct tl_slice cursor; /* empty: from the first one */
	struct noted *all;
	size_t count, room;
	bool failed; /* memory ran out */
};

/* A page in the making. */
struct page {
	struct tl_pack *out;
	uint64_t limit;
	uint64_t now, ttl_ms; /* who has been away for too long is left out … */
	uint64_t life;        /* … and who has been seen in another one only */
	uint32_t count;
	size_t last_len;
	char last[TL_ID_MAX]; /* the last id on it */
	bool full;            /* and there is more */
};

/* Like the engine's order of keys. */
static int compare(struct tl_slice a, struct tl_slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_device(const void *a, const void *b)
{
	const struct noted *x = a, *y = b;
	return compare(tl_slice(x->device, x->device_len), tl_slice(y->device, y->device_len));
}

static bool grow(struct noted_list *list)
{
	size_t more = list->room ? list->room * 2 : 8;
	struct noted *grown = realloc(list->all, more * sizeof *grown);
	if (!grown)
		return false;
	list->all = grown;
	list->room = more;
	return true;
}

static void add_noted(void *ctx, struct tl_slice device, const struct tl_device_record *record)
{
	struct noted_list *list = ctx;
	if (device.len > TL_ID_MAX || (list->cursor.len > 0 && compare(device, list->cursor) <= 0))
		return;
	if (list->failed || (list->count == list->room && !grow(list))) {
		list->failed = true;
		return;
	}
	struct noted *noted = &list->all[list->count++];
	noted->record = *record;
	noted->device_len = device.len;
	memcpy(noted->device, device.ptr, device.len);
}

static void add(struct page *page, struct tl_slice device, const struct tl_device_record *record)
{
	page->full = page->count == page->limit;
	if (page->full || device.len > sizeof page->last)
		return;
	tl_pack_map(page->out, 3);
	tl_pack_cstr(page->out, "device");
	tl_pack_str(page->out, device);
	tl_pack_cstr(page->out, "checkpoint");
	tl_pack_uint(page->out, record->checkpoint);
	tl_pack_cstr(page->out, "seen");
	tl_pack_uint(page->out, record->seen);
	page->count++;
	page->last_len = device.len;
	memcpy(page->last, device.ptr, device.len);
}

static enum tl_err add_stored(struct page *page, struct tl_iter *iter)
{
	struct tl_device_record record;
	if (!tl_device_record_unpack(tl_iter_value(iter), &record))
		return TL_CORRUPT;
	if (record.life == page->life && !tl_expired(record.seen, page->ttl_ms, page->now))
		add(page, tl_iter_key(iter), &record);
	return TL_OK;
}

static enum tl_err merge(struct page *page, struct tl_iter *iter, const struct noted_list *noted)
{
	bool there = tl_iter_seek(iter, noted->cursor);
	enum tl_err err = TL_OK;
	if (there && noted->cursor.len > 0 && tl_slice_equal(tl_iter_key(iter), noted->cursor))
		there = tl_iter_next(iter);
	for (size_t i = 0; err == TL_OK && !page->full && (there || i < noted->count);) {
		struct tl_slice device = i < noted->count ? tl_slice(noted->all[i].device, noted->all[i].device_len)
		                                          : tl_slice("", 0);
		int order = !there ? 1 : i == noted->count ? -1 : compare(tl_iter_key(iter), device);
		if (order < 0)
			err = add_stored(page, iter);
		else
			add(page, device, &noted->all[i++].record);
		if (order <= 0)
			there = tl_iter_next(iter);
	}
	return err == TL_OK ? tl_iter_error(iter) : err;
}

static enum tl_err fill(const struct tl_reading *reading, uint64_t user_no, struct tl_slice cursor, struct page *page)
{
	struct noted_list noted = {.cursor = cursor};
	struct tl_iter *iter = NULL;
	/* In this order: what is committed meanwhile is in both, and nothing in neither. */
	tl_checkpoints_each(reading->checkpoints, user_no, add_noted, &noted);
	enum tl_err err = noted.failed ? TL_NO_MEMORY : TL_OK;
	if (noted.count > 0)
		qsort(noted.all, noted.count, sizeof *noted.all, by_device);
	if (err == TL_OK)
		err = tl_iter_new(reading->database->engine, NULL, tl_partition(TL_PART_DEVICES, user_no), true, &iter);
	if (err == TL_OK)
		err = merge(page, iter, &noted);
	tl_iter_free(iter);
	free(noted.all);
	return err;
}

enum tl_err tl_devices(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer)
{
	const struct tl_arg *cursor = &call->args[ARG_CURSOR];
	struct page page = {.out = &answer->fields,
	                    .limit = tl_arg_uint(&call->args[ARG_LIMIT], TL_PAGE_DEFAULT),
	                    .now = call->now,
	                    .life = reading->checkpoints->life,
	                    .ttl_ms = reading->limits->device_ttl_ms};
	uint64_t user_no;
	tl_pack_cstr(&answer->fields, "devices");
	answer->field_count++;
	struct tl_pack_open devices = tl_pack_array_begin(&answer->fields);
	enum tl_err err = tl_user_no(reading->database->engine, NULL, call->user, &user_no);
	if (err == TL_OK)
		err = fill(reading, user_no, cursor->given ? cursor->bytes : tl_slice("", 0), &page);
	tl_pack_array_end(&answer->fields, devices, page.count);
	if (page.full)
		tl_answer_cursor(answer, call, tl_slice(page.last, page.last_len));
	return err == TL_NOT_FOUND ? TL_OK : err;
}
