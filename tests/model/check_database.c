/* What the database holds while no store is open: records that say the same of each other. What the writer has read too early and
 * written back shows here, long before any client could notice.
 *
 *   - A user counts as many groups and channels as are in the user's list.
 *   - Who is a member of a conversation that has not been dissolved has it in the list, and the other way around; and it counts them.
 *   - A member's backlog is there where the member's record says so, and in any conversation that is on read.
 *   - A direct chat's name tells who has muted it.
 *   - What is to expire has a marker (due.h D1). */
#include "checks.h"

#include "check.h"
#include "conversation_parts.h"
#include "due.h"
#include "expiry.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBERS_MAX = 65536 };

struct view {
	struct tl_database database;
	struct tl_limits limits;
	uint64_t latest_op; /* ms: no operation has a later time */
	struct tl_iter *iter, *names;
	uint64_t due[TL_DUE_KINDS][NUMBERS_MAX]; /* ms: the first marker; 0: none */
};

static bool has_key(const struct view *view, struct tl_partition partition, struct tl_slice key)
{
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(view->database.engine, NULL, partition, key, &value, &len);
	CHECK(err == TL_OK || err == TL_NOT_FOUND);
	if (err == TL_OK)
		free(value);
	return err == TL_OK;
}

static void read_markers(struct view *view, enum tl_due_kind kind)
{
	uint64_t time, no;
	tl_iter_retarget(view->iter, tl_partition(TL_PART_DUE, kind));
	for (bool there = tl_iter_seek(view->iter, tl_slice("", 0)); there; there = tl_iter_next(view->iter)) {
		CHECK(tl_pair_key_parse(tl_iter_key(view->iter), &time, &no) && no < NUMBERS_MAX);
		if (view->due[kind][no] == 0)
			view->due[kind][no] = time;
	}
	CHECK(tl_iter_error(view->iter) == TL_OK);
}

/* When the first and the last entry that are left are to be looked at. Where the time of the first has come, a sweep may have deleted
 * the marker while the entry, or a shorter life for all of them, was on its way: then there is another one, of the last at the latest. */
static void check_marker(const struct view *view, enum tl_due_kind kind, uint64_t no, uint64_t first, uint64_t last)
{
	uint64_t latest = first;
	if (first <= view->latest_op)
		latest = last > view->latest_op ? last : view->latest_op;
	CHECK(no < NUMBERS_MAX && view->due[kind][no] > 0 && view->due[kind][no] <= latest);
}

/* --- conversations --- */

static void check_backlog(const struct view *view, const struct tl_conversation_record *record, uint64_t no,
                          const struct tl_member *member)
{
	struct tl_pair_key key;
	CHECK(!record->on_read || member->record.backlog > 0);
	if (member->record.backlog > 0)
		CHECK(has_key(view, tl_partition(TL_PART_BACKLOG, member->user_no), tl_pair_key(&key, no, member->record.backlog)));
}

static void check_muted(const struct tl_conversation_name *name, const struct tl_member *member)
{
	for (size_t i = 0; i < 2; i++)
		CHECK(name->users[i] != member->user_no || name->muted[i] == member->record.mute);
}

static void check_all_members(struct view *view, const struct tl_conversation_record *record,
                              const struct tl_conversation_name *name)
{
	struct tl_member_key key;
	uint64_t count = 0;
	tl_iter_retarget(view->iter, tl_partition(TL_PART_MEMBERS, name->no));
	for (bool there = tl_iter_seek(view->iter, tl_slice("", 0)); there; there = tl_iter_next(view->iter), count++) {
		struct tl_slice number = tl_iter_key(view->iter);
		struct tl_member member;
		CHECK(tl_ordered_int_read(number.ptr, number.len, &member.user_no));
		CHECK(tl_member_record_unpack(tl_iter_value(view->iter), &member.record));
		CHECK(has_key(view, tl_partition(TL_PART_USER_CONVERSATIONS, member.user_no), tl_member_key(&key, name->no)));
		check_backlog(view, record, name->no, &member);
		check_muted(name, &member);
	}
	CHECK(tl_iter_error(view->iter) == TL_OK && count == record->member_count);
}

static void check_store_marker(struct view *view, const struct tl_conversation_record *record, uint64_t no)
{
	uint64_t retention_ms = tl_retention_ms(record, &view->limits), first, last;
	struct tl_bounds bounds;
	CHECK(tl_timeline_bounds(view->database.engine, NULL, view->iter, tl_partition(TL_PART_STORE, no), &bounds, NULL, NULL) ==
	      TL_OK);
	if (retention_ms == 0 || bounds.floor == bounds.head)
		return;
	CHECK(tl_store_entry_ts(view->database.engine, NULL, no, bounds.floor + 1, &first) == TL_OK);
	CHECK(tl_store_entry_ts(view->database.engine, NULL, no, bounds.head, &last) == TL_OK);
	check_marker(view, TL_DUE_STORE, no, tl_due_time(first, retention_ms), tl_due_time(last, retention_ms));
}

/* A name may be there and nothing else: its creation got no further. */
static void check_conversation(struct view *view, const struct tl_conversation_name *name)
{
	struct tl_conversation_record record;
	char *bytes;
	enum tl_err err = tl_conversation_read(view->database.engine, NULL, name->no, &record, &bytes);
	CHECK(err == TL_OK || err == TL_NOT_FOUND);
	if (err == TL_NOT_FOUND)
		return;
	if (!record.dissolved)
		check_all_members(view, &record, name);
	check_store_marker(view, &record, name->no);
	free(bytes);
}

/* --- users --- */

/* Whether a conversation of the user's list is a group or channel. */
static bool check_listed(const struct view *view, uint64_t user_no, uint64_t no)
{
	struct tl_conversation_record record;
	struct tl_member_key key;
	char *bytes;
	CHECK(tl_conversation_read(view->database.engine, NULL, no, &record, &bytes) == TL_OK);
	bool counts = record.kind != TL_DIRECT;
	free(bytes);
	CHECK(has_key(view, tl_partition(TL_PART_MEMBERS, no), tl_member_key(&key, user_no)));
	return counts;
}

static uint64_t count_listed(struct view *view, uint64_t user_no)
{
	uint64_t count = 0, no;
	tl_iter_retarget(view->iter, tl_partition(TL_PART_USER_CONVERSATIONS, user_no));
	for (bool there = tl_iter_seek(view->iter, tl_slice("", 0)); there; there = tl_iter_next(view->iter)) {
		struct tl_slice key = tl_iter_key(view->iter);
		CHECK(tl_ordered_int_read(key.ptr, key.len, &no));
		count += check_listed(view, user_no, no);
	}
	CHECK(tl_iter_error(view->iter) == TL_OK);
	return count;
}

static void check_inbox_marker(struct view *view, uint64_t user_no)
{
	const uint64_t ttl_ms = view->limits.inbox_ttl_ms;
	struct tl_inbox_entry last;
	struct tl_bounds bounds;
	uint64_t first;
	CHECK(tl_inbox_bounds(view->iter, user_no, &bounds, &last) == TL_OK);
	if (ttl_ms == 0 || bounds.floor == bounds.head)
		return;
	CHECK(tl_inbox_entry_ts(view->iter, user_no, bounds.floor + 1, &first) == TL_OK);
	check_marker(view, TL_DUE_INBOX, user_no, tl_due_time(first, ttl_ms), tl_due_time(last.ts, ttl_ms));
}

static void check_user(struct view *view, uint64_t no)
{
	struct tl_user_record record;
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(view->database.engine, NULL, tl_partition(TL_PART_USER, no), tl_own_record, &value, &len);
	CHECK(err == TL_OK || err == TL_NOT_FOUND);
	if (err == TL_NOT_FOUND)
		return;
	CHECK(tl_user_record_unpack(tl_slice(value, len), &record));
	CHECK(record.groups == count_listed(view, no));
	free(value);
	check_inbox_marker(view, no);
}

/* --- all of it --- */

static void check_conversations(struct view *view)
{
	struct tl_conversation_name name;
	tl_iter_retarget(view->names, tl_partition(TL_PART_CONVERSATION_NAMES, 0));
	for (bool there = tl_iter_seek(view->names, tl_slice("", 0)); there; there = tl_iter_next(view->names)) {
		CHECK(tl_conversation_name_unpack(tl_iter_value(view->names), &name));
		check_conversation(view, &name);
	}
	CHECK(tl_iter_error(view->names) == TL_OK);
}

static void check_users(struct view *view)
{
	uint64_t no;
	tl_iter_retarget(view->names, tl_partition(TL_PART_USER_NAMES, 0));
	for (bool there = tl_iter_seek(view->names, tl_slice("", 0)); there; there = tl_iter_next(view->names)) {
		struct tl_reader reader = tl_reader(tl_iter_value(view->names));
		CHECK(tl_reader_uint(&reader, &no));
		check_user(view, no);
	}
	CHECK(tl_iter_error(view->names) == TL_OK);
}

static void open_view(struct view *view, const char *path)
{
	const struct tl_engine_options options = {.path = path, .cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20,
	                                          .max_open_files = 100, .bloom_bits = 10, .compress = true, .must_exist = true};
	struct tl_why why;
	CHECK(tl_database_open(&options, &view->database, &why) == TL_OK);
	CHECK(tl_iter_new(view->database.engine, NULL, tl_partition(TL_PART_META, 0), true, &view->iter) == TL_OK);
	CHECK(tl_iter_new(view->database.engine, NULL, tl_partition(TL_PART_META, 0), true, &view->names) == TL_OK);
}

void check_database(const struct child *child)
{
	static struct view view;
	char path[PATH_MAX];
	if (child->model->next == 0) /* it may not have been made, or only in part */
		return;
	snprintf(path, sizeof path, "%s/db", child->dir);
	memset(&view, 0, sizeof view);
	view.limits = (struct tl_limits){.inbox_ttl_ms = child->setup->limits.inbox_ttl_ms,
	                                 .retention_ms = child->setup->limits.retention_ms};
	view.latest_op = model_latest_time(child->model, child->model->next);
	check_about(NOBODY, NOWHERE);
	open_view(&view, path);
	read_markers(&view, TL_DUE_INBOX);
	read_markers(&view, TL_DUE_STORE);
	check_conversations(&view);
	check_users(&view);
	tl_iter_free(view.iter);
	tl_iter_free(view.names);
	tl_database_close(&view.database);
}
