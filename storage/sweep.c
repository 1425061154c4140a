#include "sweep.h"

#include "expiry.h"
#include "msgpack_reader.h"

#include <stdlib.h>

struct tl_partition tl_sweep_partition(const struct tl_sweep_item *item)
{
	return tl_partition(item->kind == TL_DUE_STORE ? TL_PART_STORE
	                    : item->kind == TL_DUE_IDS ? TL_PART_DEDUP
	                                               : TL_PART_INBOX,
	                    item->no);
}

static bool is_timeline(const struct tl_sweep_item *item)
{
	return item->kind == TL_DUE_INBOX || item->kind == TL_DUE_STORE;
}

/* --- assessing --- */

struct view {
	struct tl_sweep *sweep;
	struct tl_snapshot *snapshot;
	struct tl_iter *iter;
};

static enum tl_err view_init(struct view *view, struct tl_sweep *sweep)
{
	struct tl_engine *engine = sweep->database->engine;
	*view = (struct view){.sweep = sweep};
	enum tl_err err = tl_snapshot_of_present(engine, &view->snapshot);
	if (err == TL_OK)
		err = tl_iter_new(engine, view->snapshot, tl_partition(TL_PART_META, 0), false, &view->iter);
	if (err != TL_OK)
		tl_snapshot_free(view->snapshot);
	return err;
}

static void view_fini(struct view *view)
{
	tl_iter_free(view->iter);
	tl_snapshot_free(view->snapshot);
}

static enum tl_err read_bounds(struct view *view, struct tl_sweep_item *item, struct tl_bounds *bounds)
{
	struct tl_engine *engine = view->sweep->database->engine;
	enum tl_err err = item->kind == TL_DUE_INBOX
	                      ? tl_inbox_bounds(view->iter, item->no, bounds, NULL)
	                      : tl_timeline_bounds(engine, view->snapshot, view->iter, tl_sweep_partition(item), bounds, NULL,
	                                           NULL);
	if (err == TL_OK) {
		item->from = item->floor = bounds->floor;
		item->head = bounds->head;
	}
	return err;
}

static enum tl_err assess_inbox(struct view *view, struct tl_sweep_item *item)
{
	const struct tl_sweep *sweep = view->sweep;
	struct tl_bounds bounds;
	uint64_t ts;
	enum tl_err err = read_bounds(view, item, &bounds);
	if (err == TL_OK)
		err = tl_inbox_floor(view->iter, item->no, &bounds, sweep->limits, sweep->now, &item->floor);
	if (err != TL_OK || item->floor == item->head || sweep->limits->inbox_ttl_ms == 0)
		return err;
	if ((err = tl_inbox_entry_ts(view->iter, item->no, item->floor + 1, &ts)) == TL_OK)
		item->next = tl_due_time(ts, sweep->limits->inbox_ttl_ms);
	return err;
}

static enum tl_err read_retention(struct view *view, struct tl_sweep_item *item)
{
	struct tl_conversation_record record;
	char *bytes;
	enum tl_err err =
		tl_conversation_read(view->sweep->database->engine, view->snapshot, item->no, &record, &bytes);
	if (err != TL_OK)
		return err;
	item->retention_ms = tl_retention_ms(&record, view->sweep->limits);
	item->custom = record.order == TL_ORDER_CUSTOM;
	free(bytes);
	return TL_OK;
}

static enum tl_err assess_store(struct view *view, struct tl_sweep_item *item)
{
	struct tl_engine *engine = view->sweep->database->engine;
	struct tl_bounds bounds;
	uint64_t ts;
	enum tl_err err = read_retention(view, item);
	if (err == TL_OK)
		err = read_bounds(view, item, &bounds);
	if (err == TL_OK)
		err = tl_store_floor(engine, view->snapshot, item->no, &bounds, item->retention_ms, view->sweep->now,
		                     &item->floor);
	if (err != TL_OK || item->floor == item->head || item->retention_ms == 0)
		return err;
	if ((err = tl_store_entry_ts(engine, view->snapshot, item->no, item->floor + 1, &ts)) == TL_OK)
		item->next = tl_due_time(ts, item->retention_ms);
	return err;
}

static enum tl_err assess(struct view *view, struct tl_sweep_item *item)
{
	switch (item->kind) {
	case TL_DUE_INBOX:
		return assess_inbox(view, item);
	case TL_DUE_STORE:
		return assess_store(view, item);
	default:
		return TL_OK; /* devices are few: they are looked at when they are dropped; of ids all go */
	}
}

/* An item that is not there, or damaged, is left as it is; its marker goes (S4). Any other error stays. */
static enum tl_err pass_over(struct tl_sweep_item *item, enum tl_err err)
{
	if (err != TL_NOT_FOUND && err != TL_CORRUPT)
		return err;
	item->floor = item->from;
	item->damaged = true;
	return TL_OK;
}

/* Whether an item before this one is about the same. */
static bool is_repeated(const struct tl_sweep *sweep, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (sweep->items[j].kind == sweep->items[i].kind && sweep->items[j].no == sweep->items[i].no)
			return true;
	return false;
}

enum tl_err tl_sweep_assess(struct tl_sweep *sweep)
{
	struct view view;
	enum tl_err err = view_init(&view, sweep);
	if (err != TL_OK)
		return err;
	for (size_t i = 0; i < sweep->count && err == TL_OK; i++)
		if (!(sweep->items[i].repeated = is_repeated(sweep, i)))
			err = pass_over(&sweep->items[i], assess(&view, &sweep->items[i]));
	view_fini(&view);
	return err;
}

/* --- what is being dropped is on record: (partition kind, number) → from where --- */

static void delete_dropping(struct tl_batch *batch, const struct tl_sweep_item *item)
{
	struct tl_partition partition = tl_sweep_partition(item);
	struct tl_pair_key key;
	tl_batch_delete(batch, tl_partition(TL_PART_DUE, TL_DUE_DROP), tl_pair_key(&key, partition.kind, partition.no));
}

static bool parse_dropping(struct tl_slice key, struct tl_slice value, struct tl_sweep_item *item)
{
	struct tl_reader reader = tl_reader(value);
	uint64_t kind;
	if (!tl_pair_key_parse(key, &kind, &item->no) || !tl_reader_uint(&reader, &item->from))
		return false;
	item->kind = kind == TL_PART_STORE ? TL_DUE_STORE : kind == TL_PART_DEDUP ? TL_DUE_IDS : TL_DUE_INBOX;
	return kind == TL_PART_STORE || kind == TL_PART_DEDUP || kind == TL_PART_INBOX;
}

/* Its floor is committed, so that is how far it is to be dropped. */
static enum tl_err resume(struct view *view, struct tl_sweep_item *item)
{
	uint64_t from = item->from;
	struct tl_bounds bounds;
	if (!is_timeline(item))
		return TL_OK;
	enum tl_err err = item->kind == TL_DUE_STORE ? read_retention(view, item) : TL_OK;
	if (err == TL_OK)
		err = read_bounds(view, item, &bounds);
	item->from = from;
	return err;
}

enum tl_err tl_sweep_unfinished(struct tl_sweep *sweep)
{
	struct view view;
	enum tl_err err = view_init(&view, sweep);
	if (err != TL_OK)
		return err;
	sweep->count = 0;
	tl_iter_retarget(view.iter, tl_partition(TL_PART_DUE, TL_DUE_DROP));
	bool there = tl_iter_seek(view.iter, tl_slice("", 0));
	for (; there && sweep->count < TL_SWEEP_ITEMS; there = tl_iter_next(view.iter)) {
		struct tl_sweep_item item = {.on_record = true};
		if (parse_dropping(tl_iter_key(view.iter), tl_iter_value(view.iter), &item))
			sweep->items[sweep->count++] = item;
	}
	err = tl_iter_error(view.iter);
	for (size_t i = 0; i < sweep->count && err == TL_OK; i++)
		err = pass_over(&sweep->items[i], resume(&view, &sweep->items[i]));
	view_fini(&view);
	return err;
}

/* --- raising floors, on the writer's thread --- */

bool tl_sweep_is_dropped(const struct tl_sweep_item *item)
{
	return item->kind == TL_DUE_IDS || (is_timeline(item) && item->floor > item->from);
}

bool tl_sweep_raises(const struct tl_sweep *sweep)
{
	for (size_t i = 0; i < sweep->count; i++)
		if (tl_sweep_is_dropped(&sweep->items[i]))
			return true;
	return false;
}

static enum tl_err raise_inbox(struct tl_transaction *txn, const struct tl_sweep_item *item)
{
	struct tl_user *user;
	struct tl_iter *iter;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err == TL_OK)
		err = tl_users_find_no(&txn->users, iter, item->no, &user);
	if (err == TL_OK)
		tl_transaction_raise_inbox_floor(txn, user, item->floor);
	return err;
}

/* A message that stays because it is the last loses its content (S3), and its order key. */
static enum tl_err put_expired(struct tl_transaction *txn, const struct tl_sweep_item *item, struct tl_slice bytes)
{
	struct tl_store_record record;
	struct tl_pack message;
	struct tl_pair_key key;
	if (!tl_store_record_unpack(bytes, &record))
		return TL_CORRUPT;
	uint64_t order = tl_message_order(record.message);
	tl_pack_init(&message);
	bool ok = tl_message_expire(&message, record.message);
	enum tl_err err = ok ? TL_OK : tl_message_wrong(&message);
	record.message = tl_pack_bytes(&message);
	record.edit = 0;
	tl_pack_clear(&txn->pack);
	tl_store_record_pack(&txn->pack, &record);
	tl_pack_check(&txn->pack, txn->batch);
	if (ok)
		tl_timeline_replace(txn->batch, tl_sweep_partition(item), item->floor, tl_pack_bytes(&txn->pack));
	if (ok && order > 0)
		tl_batch_delete(txn->batch, tl_partition(TL_PART_CUSTOM_ORDER, item->no),
		                tl_pair_key(&key, order, item->floor));
	tl_pack_fini(&message);
	return err;
}

static enum tl_err empty_head(struct tl_transaction *txn, const struct tl_sweep_item *item)
{
	char *bytes;
	size_t len;
	enum tl_err err = tl_timeline_get(txn->database->engine, NULL, tl_sweep_partition(item), item->floor, &bytes, &len);
	if (err != TL_OK)
		return err;
	err = put_expired(txn, item, tl_slice(bytes, len));
	free(bytes);
	return err;
}

/* Only upkeep raises these floors, one after the other, so the database has the present one. */
static enum tl_err raise_store(struct tl_transaction *txn, const struct tl_sweep_item *item)
{
	uint64_t floor;
	enum tl_err err = tl_timeline_floor(txn->database->engine, NULL, tl_sweep_partition(item), &floor);
	if (err == TL_OK && item->floor == item->head)
		err = empty_head(txn, item);
	if (err == TL_OK && item->floor > floor) {
		tl_timeline_put_floor(txn->batch, tl_sweep_partition(item), item->floor);
		tl_transaction_mark_index_floor(txn, item->no, item->floor);
	}
	return err;
}

static enum tl_err prepare(struct tl_transaction *txn, const struct tl_sweep_item *item)
{
	switch (item->kind) {
	case TL_DUE_STORE:
		return raise_store(txn, item);
	case TL_DUE_IDS:
		return tl_dedup_forget(&txn->ids, txn->batch, item->no);
	default:
		return raise_inbox(txn, item);
	}
}

enum tl_err tl_sweep_raise(struct tl_sweep *sweep, struct tl_transaction *txn)
{
	enum tl_err err = TL_OK;
	for (size_t i = 0; i < sweep->count && err == TL_OK; i++) {
		struct tl_sweep_item *item = &sweep->items[i];
		if (!tl_sweep_is_dropped(item))
			continue;
		err = pass_over(item, prepare(txn, item));
		if (err == TL_OK)
			err = pass_over(item, tl_due_lower(txn->database->engine, tl_sweep_partition(item), &item->from));
		if (err == TL_OK && tl_sweep_is_dropped(item))
			tl_due_drop(&txn->due, txn->batch, tl_sweep_partition(item), item->from, false);
	}
	return err;
}

/* --- settling, on the writer's thread --- */

/* What was appended since the assessment may have put the very marker that is about to be deleted: if nothing else is to
 * come, the last entry's is put again. */
static enum tl_err mark_new_inbox_entries(struct tl_transaction *txn, const struct tl_sweep_item *item)
{
	const struct tl_limits *limits = txn->limits;
	struct tl_user *user;
	struct tl_iter *iter;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err == TL_OK)
		err = tl_users_find_no(&txn->users, iter, item->no, &user);
	if (err != TL_OK)
		return err;
	if (item->next == 0 && user->inbox_head > item->head)
		tl_due_put(&txn->due, txn->batch, TL_DUE_INBOX, tl_due_time(user->inbox_ts, limits->inbox_ttl_ms), item->no);
	uint64_t length = user->inbox_head - user->inbox_floor;
	if (limits->inbox_max > 0 && length > limits->inbox_max + limits->inbox_max / TL_INBOX_SLACK)
		tl_due_put(&txn->due, txn->batch, TL_DUE_INBOX, tl_due_now(txn->now), item->no);
	return TL_OK;
}

static enum tl_err mark_last_message(struct tl_transaction *txn, const struct tl_sweep_item *item, uint64_t retention_ms)
{
	struct tl_bounds bounds;
	struct tl_iter *iter;
	uint64_t ts;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err == TL_OK)
		err = tl_timeline_bounds(txn->database->engine, NULL, iter, tl_sweep_partition(item), &bounds, NULL, NULL);
	if (err != TL_OK || bounds.head == item->head)
		return err;
	if ((err = tl_store_entry_ts(txn->database->engine, NULL, item->no, bounds.head, &ts)) == TL_OK)
		tl_due_put(&txn->due, txn->batch, TL_DUE_STORE, tl_due_time(ts, retention_ms), item->no);
	return err;
}

/* Likewise where it has been changed meanwhile how long messages live: then the conversation is looked at again. */
static enum tl_err mark_new_messages(struct tl_transaction *txn, const struct tl_sweep_item *item)
{
	struct tl_conversation_record record;
	char *bytes;
	enum tl_err err = tl_conversation_read(txn->database->engine, NULL, item->no, &record, &bytes);
	if (err != TL_OK)
		return err;
	uint64_t retention_ms = tl_retention_ms(&record, txn->limits);
	free(bytes);
	if (retention_ms != item->retention_ms && !item->damaged)
		tl_due_put(&txn->due, txn->batch, TL_DUE_STORE, tl_due_now(txn->now), item->no);
	return item->next > 0 ? TL_OK : mark_last_message(txn, item, retention_ms);
}

/* Whether an inbox has moved on from what has been dropped of it: then the rest is on record, to be dropped next. */
static enum tl_err has_moved_on(struct tl_transaction *txn, const struct tl_sweep_item *item, bool *moved_out)
{
	struct tl_user *user;
	struct tl_iter *iter;
	*moved_out = false;
	if (item->kind != TL_DUE_INBOX || item->damaged)
		return TL_OK;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err == TL_OK)
		err = tl_users_find_no(&txn->users, iter, item->no, &user);
	if (err == TL_OK)
		*moved_out = user->inbox_floor > item->floor;
	return err == TL_NOT_FOUND || err == TL_CORRUPT ? TL_OK : err;
}

static enum tl_err settle_dropped(struct tl_transaction *txn, const struct tl_sweep_item *item)
{
	bool moved;
	enum tl_err err = has_moved_on(txn, item, &moved);
	if (err == TL_OK && !moved)
		delete_dropping(txn->batch, item);
	return err;
}

static enum tl_err settle(struct tl_transaction *txn, const struct tl_sweep_item *item)
{
	enum tl_err err = TL_OK;
	if (tl_sweep_is_dropped(item) || item->on_record)
		err = settle_dropped(txn, item);
	tl_due_put(&txn->due, txn->batch, item->kind, item->next, item->no);
	if (err == TL_OK && item->due > 0 && is_timeline(item) && !item->repeated)
		err = item->kind == TL_DUE_STORE ? mark_new_messages(txn, item) : mark_new_inbox_entries(txn, item);
	return err == TL_NOT_FOUND || err == TL_CORRUPT ? TL_OK : err;
}

static void delete_markers(const struct tl_sweep *sweep, struct tl_transaction *txn)
{
	for (size_t i = 0; i < sweep->count; i++)
		if (sweep->items[i].due > 0)
			tl_due_delete(txn->batch, sweep->items[i].kind, sweep->items[i].due, sweep->items[i].no);
}

/* All that is deleted goes first, because what is put may be the very marker of an item that is repeated. */
enum tl_err tl_sweep_settle(const struct tl_sweep *sweep, struct tl_transaction *txn)
{
	enum tl_err err = TL_OK;
	txn->now = sweep->now;
	delete_markers(sweep, txn);
	for (size_t i = 0; i < sweep->count && err == TL_OK; i++)
		err = settle(txn, &sweep->items[i]);
	if (err == TL_OK && sweep->walk_key)
		tl_database_put_uint(txn->batch, sweep->walk_key, sweep->walk_next);
	return err;
}
