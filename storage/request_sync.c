/* `sync`: the next page of a user's inbox after a position. What lies in the inbox are references; the messages are
 * read from their store timelines. What of these cannot be read keeps its place and is shown as damaged, so that a device
 * gets past it to all the rest.
 */
#include "requests.h"

#include "backlog.h"
#include "expiry.h"
#include "sync_source.h"
#include "visibility.h"

#include <stdlib.h>

enum { ARG_AFTER, ARG_LIMIT };

const struct tl_param tl_sync_params[] = {
	[ARG_AFTER] = {.key = "after", .type = TL_PARAM_UINT, .max = UINT64_MAX},
	[ARG_LIMIT] = {.key = "limit", .type = TL_PARAM_UINT, .min = 1, .max = TL_PAGE_MAX},
	{.key = NULL},
};

/* A page in the making. */
struct page {
	struct tl_engine *engine;
	struct tl_snapshot *snapshot;
	struct tl_iter *inbox_iter;
	struct tl_sync_sources sources;
	const struct tl_call *call;
	const struct tl_limits *limits;
	struct tl_answer *answer;
	struct tl_pack *out; /* the answer's fields */
	uint64_t limit;
	uint32_t count; /* messages on the page */
	size_t bytes;   /* that they take on the wire */
	uint64_t next;  /* the last seq on the page */
	struct tl_sync_source *source; /* the conversation of the entry at hand; NULL: none, or not known */
};

static void page_fini(struct page *page)
{
	tl_iter_free(page->inbox_iter);
	tl_sync_sources_fini(&page->sources);
	tl_snapshot_free(page->snapshot);
}

static enum tl_err page_init(struct page *page, const struct tl_reading *reading, const struct tl_call *call,
                             uint64_t user_no, struct tl_answer *answer)
{
	struct tl_engine *engine = reading->database->engine;
	const struct tl_partition nowhere = tl_partition(TL_PART_META, 0);
	*page = (struct page){.engine = engine,
	                      .call = call,
	                      .limits = reading->limits,
	                      .answer = answer,
	                      .out = &answer->fields,
	                      .limit = tl_arg_uint(&call->args[ARG_LIMIT], TL_PAGE_DEFAULT)};
	enum tl_err err = tl_snapshot_new(engine, &page->snapshot);
	if (err == TL_OK)
		err = tl_iter_new(engine, page->snapshot, nowhere, true, &page->inbox_iter);
	tl_sync_sources_init(&page->sources, engine, page->snapshot, reading->limits, user_no);
	if (err != TL_OK)
		page_fini(page);
	return err;
}

/* The message that is referred to. TL_NOT_FOUND if it has expired. */
static enum tl_err find_message(struct page *page, const struct tl_inbox_entry *entry,
                                struct tl_store_record *record_out)
{
	struct tl_sync_source *source = page->source;
	if (entry->cseq <= source->floor)
		return TL_NOT_FOUND;
	enum tl_err err = tl_store_reader_find(&source->store, source->no, entry->cseq, record_out);
	if (err != TL_OK)
		return err;
	uint64_t ts = tl_message_ts(record_out->message), now = page->call->now;
	/* An inbox's entries expire in order; one that came in late is expired by itself (backlog.h B2). */
	bool expired = tl_expired(ts, source->retention_ms, now) || tl_expired(ts, page->limits->inbox_ttl_ms, now);
	return expired ? TL_NOT_FOUND : TL_OK;
}

static enum tl_err is_deleted(const struct page *page, const struct tl_inbox_entry *entry, bool *deleted_out)
{
	*deleted_out = entry->cseq <= page->source->cleared;
	if (*deleted_out || !page->source->deleted_some)
		return TL_OK;
	return tl_deleted_by(page->engine, page->snapshot, page->sources.user_no, entry->conversation_no, entry->cseq,
	                     deleted_out);
}

/* An edit: whether its body is for this user takes more than most entries need to know. */
static enum tl_err show_edit(struct page *page, uint64_t seq, const struct tl_inbox_entry *entry,
                             struct tl_slice message)
{
	struct tl_visibility visibility;
	enum tl_err err = tl_visibility_open_dissolved(page->engine, page->snapshot, page->limits, page->call->now,
	                                               page->source->conversation.cid, page->call->user, &visibility);
	if (err != TL_OK)
		return err == TL_NOT_MEMBER ? TL_CORRUPT : err; /* whoever got the entry was a member */
	err = tl_visibility_show(&visibility, seq, entry->cseq, message, page->out);
	tl_visibility_close(&visibility);
	return err;
}

/* A reference, shown as the message that it refers to or as what became of it. */
static enum tl_err show_reference(struct page *page, uint64_t seq, const struct tl_inbox_entry *entry)
{
	struct tl_store_record record;
	uint64_t edited;
	bool deleted;
	enum tl_err err = is_deleted(page, entry, &deleted);
	if (err != TL_OK)
		return err;
	if (deleted) {
		tl_message_show_gone(page->out, seq, page->source->conversation.cid, entry->cseq, "deleted");
		return TL_OK;
	}
	err = find_message(page, entry, &record);
	if (err == TL_NOT_FOUND) {
		tl_message_show_gone(page->out, seq, page->source->conversation.cid, entry->cseq, "expired");
		return TL_OK;
	}
	if (err != TL_OK)
		return err;
	if (tl_message_edit_target(record.message, &edited))
		return show_edit(page, seq, entry, record.message);
	return tl_message_show(page->out, seq, page->source->conversation.cid, entry->cseq, record.message) ? TL_OK : TL_CORRUPT;
}

static enum tl_err show_entry(struct page *page, uint64_t seq, const struct tl_inbox_entry *entry)
{
	page->source = NULL;
	if (entry->conversation_no != 0) {
		enum tl_err err = tl_sync_source_find(&page->sources, entry->conversation_no, &page->source);
		if (err != TL_OK)
			return err;
	}
	if (entry->cseq > 0)
		return page->source ? show_reference(page, seq, entry) : TL_CORRUPT;
	struct tl_slice cid = page->source ? page->source->conversation.cid : tl_slice("", 0);
	return tl_message_show(page->out, seq, cid, 0, entry->message) ? TL_OK : TL_CORRUPT;
}

/* What cannot be read: nothing but its place, and its conversation if that much is known. */
static void show_damaged(struct page *page, uint64_t seq, const struct tl_inbox_entry *entry)
{
	struct tl_slice cid = page->source ? page->source->conversation.cid : tl_slice("", 0);
	tl_message_show_gone(page->out, seq, cid, entry->cseq, "damaged");
	page->answer->damaged = entry->conversation_no;
}

/* Appends one entry to the page; false in *room_out, and nothing appended, where the page is full. */
static enum tl_err add_entry(struct page *page, uint64_t seq, const struct tl_inbox_entry *entry, bool *room_out)
{
	size_t before = page->out->buffer.size;
	enum tl_err err = show_entry(page, seq, entry);
	if (err == TL_CORRUPT) {
		page->out->buffer.size = before;
		show_damaged(page, seq, entry);
	} else if (err != TL_OK) {
		return err;
	}
	size_t weight = tl_answer_weight(page->call, page->answer, before);
	*room_out = page->count == 0 || page->bytes + weight <= TL_PAGE_BYTES;
	if (!*room_out) {
		page->out->buffer.size = before;
		return TL_OK;
	}
	page->bytes += weight;
	page->count++;
	page->next = seq;
	return TL_OK;
}

static enum tl_err fill(struct page *page, uint64_t user_no, uint64_t after)
{
	struct tl_inbox_cursor inbox;
	struct tl_pack_open messages = tl_pack_array_begin(page->out);
	bool room = true;

	page->next = after;
	enum tl_err err = tl_inbox_seek(&inbox, page->inbox_iter, user_no, after + 1);
	while (err == TL_OK && room && page->count < page->limit) {
		if (inbox.seq != page->next + 1)
			return TL_CORRUPT; /* a gap would be passed on to the device for good */
		err = add_entry(page, inbox.seq, &inbox.entry, &room);
		if (err == TL_OK)
			err = tl_inbox_next(&inbox);
	}
	tl_pack_array_end(page->out, messages, page->count);
	return err == TL_END ? TL_OK : err;
}

/* Where to begin: as asked, else the device's checkpoint, else the floor. */
static enum tl_err position(const struct tl_reading *reading, const struct tl_call *call, uint64_t user_no,
                            uint64_t floor, uint64_t *after_out)
{
	if (call->args[ARG_AFTER].given) {
		*after_out = call->args[ARG_AFTER].uint;
		return TL_OK;
	}
	enum tl_err err = tl_checkpoints_find(reading->checkpoints, reading->database->engine, user_no, call->device,
	                                      reading->limits->device_ttl_ms, call->now, after_out);
	if (err == TL_NOT_FOUND) {
		*after_out = floor;
		return TL_OK;
	}
	return err;
}

static void answer_position(const struct tl_reading *reading, struct tl_answer *answer, const struct tl_inbox *inbox,
                            uint64_t next)
{
	answer->next = next;
	tl_answer_uint(answer, "next", next);
	tl_answer_uint(answer, "latest", inbox->latest);
	tl_answer_uint(answer, "floor", inbox->floor);
	tl_answer_bool(answer, "more", next < inbox->latest);
	tl_answer_str(answer, "epoch", tl_slice_str(reading->database->epoch));
}

static void answer_nothing(const struct tl_reading *reading, struct tl_answer *answer, const struct tl_inbox *inbox,
                           bool reset)
{
	tl_pack_cstr(&answer->fields, "messages");
	tl_pack_array(&answer->fields, 0);
	answer->field_count++;
	answer_position(reading, answer, inbox, inbox->floor);
	if (reset)
		tl_answer_bool(answer, "reset", true);
}

/* Whether the page needs entries that have yet to enter the inbox. Once it has been filled up, the page ends where the
 * inbox does, if it holds anything: other devices of the user and what has expired may have moved it on. */
static bool is_missing(const struct page *page, const struct tl_inbox *inbox, uint64_t after)
{
	uint64_t upto = inbox->latest - after < page->limit ? inbox->latest : after + page->limit;
	bool missing = upto > inbox->bounds.head;
	return missing && !(page->call->pulled_floor && inbox->bounds.head > after);
}

/* Has the inbox filled up. */
static enum tl_err pull(struct tl_answer *answer, uint64_t after, uint64_t limit)
{
	answer->pull_after = after;
	answer->pull_limit = limit;
	return TL_AGAIN;
}

static enum tl_err answer_page(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer,
                               struct page *page, uint64_t user_no, const struct tl_inbox *inbox)
{
	uint64_t after, floor = inbox->floor;
	enum tl_err err = position(reading, call, user_no, floor, &after);
	if (err != TL_OK)
		return err;
	if (after > inbox->latest && tl_inbox_skips(inbox))
		return pull(answer, 0, 0);
	if (after > inbox->latest) {
		answer_nothing(reading, answer, inbox, true);
		return TL_OK;
	}
	bool gap = after < floor;
	if (!call->unheard && is_missing(page, inbox, gap ? floor : after))
		return pull(answer, after, page->limit);
	if (call->args[ARG_AFTER].given)
		tl_checkpoints_note(reading->checkpoints, user_no, call->device, after, call->now);
	if (call->unheard)
		return TL_OK;
	tl_pack_cstr(&answer->fields, "messages");
	answer->field_count++;
	if ((err = fill(page, user_no, gap ? floor : after)) != TL_OK)
		return err;
	answer_position(reading, answer, inbox, page->next);
	if (gap)
		tl_answer_bool(answer, "gap", true);
	return TL_OK;
}

enum tl_err tl_sync(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer)
{
	struct tl_inbox inbox;
	struct page page;
	uint64_t user_no;
	enum tl_err err = tl_user_no(reading->database->engine, NULL, call->user, &user_no);
	if (err == TL_NOT_FOUND) {
		const struct tl_inbox empty = {.latest = 0};
		answer_nothing(reading, answer, &empty, call->args[ARG_AFTER].given && call->args[ARG_AFTER].uint > 0);
		return TL_OK;
	}
	if (err == TL_OK)
		err = page_init(&page, reading, call, user_no, answer);
	if (err != TL_OK)
		return err;
	err = tl_inbox_read(page.engine, page.snapshot, page.inbox_iter, user_no, reading->limits, call->now,
	                    call->pulled_floor, &inbox);
	if (err == TL_OK) {
		answer->damaged = inbox.damaged;
		err = answer_page(reading, call, answer, &page, user_no, &inbox);
		tl_inbox_free(&inbox);
	}
	page_fini(&page);
	return err;
}
