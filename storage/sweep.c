#include "sweep.h"

#include "expiry.h"
#include "msgpack_reader.h"
#include "ordered_int.h"

#include <stdlib.h>

enum {
	ORDER_KEYS = 1000,   /* deletes in one batch */
	MARKER_BYTES = 40,   /* of one that is put and deleted, about */
	MEMBERS_MAX = 1000,  /* members, or former ones, whose own deletions in a conversation are looked after */
};

/* What an item is about: a timeline, or a bucket. */
static struct tl_partition partition_of(const struct tl_sweep_item *item)
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
	enum tl_err err = tl_snapshot_new(engine, &view->snapshot);
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
	enum tl_err err = tl_timeline_bounds(view->sweep->database->engine, view->snapshot, view->iter, partition_of(item),
	                                     bounds, NULL, NULL);
	if (err == TL_OK) {
		item->from = item->floor = bounds->floor;
		item->head = bounds->head;
	}
	return err;
}

static enum tl_err assess_inbox(struct view *view, struct tl_sweep_item *item)
{
	const struct tl_sweep *sweep = view->sweep;
	struct tl_engine *engine = sweep->database->engine;
	struct tl_bounds bounds;
	uint64_t ts;
	enum tl_err err = read_bounds(view, item, &bounds);
	if (err == TL_OK)
		err = tl_inbox_floor(engine, view->snapshot, item->no, &bounds, sweep->limits, sweep->now, &item->floor);
	if (err != TL_OK || item->floor == item->head || sweep->limits->inbox_ttl_ms == 0)
		return err;
	if ((err = tl_inbox_entry_ts(engine, view->snapshot, item->no, item->floor + 1, &ts)) == TL_OK)
		item->next = tl_due_time(ts, sweep->limits->inbox_ttl_ms);
	return err;
}

static enum tl_err read_retention(struct view *view, struct tl_sweep_item *item, uint64_t *retention_ms_out)
{
	struct tl_conversation_record record;
	char *bytes;
	enum tl_err err =
		tl_conversation_read(view->sweep->database->engine, view->snapshot, item->no, &record, &bytes);
	if (err != TL_OK)
		return err;
	*retention_ms_out = tl_retention_ms(&record, view->sweep->limits);
	item->custom = record.order == TL_ORDER_CUSTOM;
	free(bytes);
	return TL_OK;
}

static enum tl_err assess_store(struct view *view, struct tl_sweep_item *item)
{
	struct tl_engine *engine = view->sweep->database->engine;
	struct tl_bounds bounds;
	uint64_t retention_ms, ts;
	enum tl_err err = read_retention(view, item, &retention_ms);
	if (err == TL_OK)
		err = read_bounds(view, item, &bounds);
	if (err == TL_OK)
		err = tl_store_floor(engine, view->snapshot, item->no, &bounds, retention_ms, view->sweep->now, &item->floor);
	if (err != TL_OK || item->floor == item->head || retention_ms == 0)
		return err;
	if ((err = tl_store_entry_ts(engine, view->snapshot, item->no, item->floor + 1, &ts)) == TL_OK)
		item->next = tl_due_time(ts, retention_ms);
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

static void put_dropping(struct tl_transaction *txn, const struct tl_sweep_item *item)
{
	struct tl_partition partition = partition_of(item);
	struct tl_pair_key key;
	tl_pack_clear(&txn->pack);
	tl_pack_uint(&txn->pack, item->from);
	tl_pack_check(&txn->pack, txn->batch);
	tl_batch_put(txn->batch, tl_partition(TL_PART_DUE, TL_DUE_DROP), tl_pair_key(&key, partition.kind, partition.no),
	             tl_pack_bytes(&txn->pack));
}

static void delete_dropping(struct tl_batch *batch, const struct tl_sweep_item *item)
{
	struct tl_partition partition = partition_of(item);
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
	uint64_t from = item->from, retention_ms;
	struct tl_bounds bounds;
	if (!is_timeline(item))
		return TL_OK;
	enum tl_err err = item->kind == TL_DUE_STORE ? read_retention(view, item, &retention_ms) : TL_OK;
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

/* Whether there is anything to drop, once that is on record. */
static bool is_dropped(const struct tl_sweep_item *item)
{
	return item->kind == TL_DUE_IDS || (is_timeline(item) && item->floor > item->from);
}

bool tl_sweep_raises(const struct tl_sweep *sweep)
{
	for (size_t i = 0; i < sweep->count; i++)
		if (is_dropped(&sweep->items[i]))
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
	record.message = tl_pack_bytes(&message);
	record.edit = 0;
	tl_pack_clear(&txn->pack);
	tl_store_record_pack(&txn->pack, &record);
	tl_pack_check(&txn->pack, txn->batch);
	if (ok)
		tl_timeline_put(txn->batch, partition_of(item), item->floor, tl_pack_bytes(&txn->pack));
	if (ok && order > 0)
		tl_batch_delete(txn->batch, tl_partition(TL_PART_CUSTOM_ORDER, item->no),
		                tl_pair_key(&key, order, item->floor));
	tl_pack_fini(&message);
	return ok ? TL_OK : TL_CORRUPT;
}

static enum tl_err empty_head(struct tl_transaction *txn, const struct tl_sweep_item *item)
{
	char *bytes;
	size_t len;
	enum tl_err err = tl_timeline_get(txn->database->engine, NULL, partition_of(item), item->floor, &bytes, &len);
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
	enum tl_err err = tl_timeline_floor(txn->database->engine, NULL, partition_of(item), &floor);
	if (err == TL_OK && item->floor == item->head)
		err = empty_head(txn, item);
	if (err == TL_OK && item->floor > floor)
		tl_timeline_put_floor(txn->batch, partition_of(item), item->floor);
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
		if (!is_dropped(item))
			continue;
		err = pass_over(item, prepare(txn, item));
		if (err == TL_OK && is_dropped(item))
			put_dropping(txn, item);
	}
	return err;
}

/* --- dropping --- */

static enum tl_err drop_range(struct tl_sweep *sweep, struct tl_partition partition, struct tl_slice from,
                              struct tl_slice to)
{
	struct tl_drop drop = {.limit = UINT64_MAX, .go_on = sweep->go_on, .ctx = sweep->ctx};
	enum tl_err err = tl_engine_drop_range(sweep->database->engine, partition, from, to, &drop);
	sweep->bytes[partition.kind] += drop.bytes;
	return err;
}

/* What of a timeline is to be dropped: [first, end), without the head. */
static uint64_t first_dropped(const struct tl_sweep_item *item)
{
	return item->from > 0 ? item->from : 1;
}

static uint64_t end_of_dropped(const struct tl_sweep_item *item)
{
	return item->floor < item->head ? item->floor + 1 : item->head;
}

/* Collects the order keys of the messages from the cursor on into the batch, at most so many; *more: there are more. */
static enum tl_err collect_order_keys(struct tl_cursor *cursor, const struct tl_sweep_item *item,
                                      struct tl_batch *batch, bool *there)
{
	struct tl_store_record record;
	struct tl_pair_key key;
	while (*there && cursor->seq < end_of_dropped(item) && tl_batch_count(batch) < ORDER_KEYS) {
		if (!tl_store_record_unpack(cursor->entry, &record))
			return TL_CORRUPT;
		uint64_t order = tl_message_order(record.message);
		if (order > 0)
			tl_batch_delete(batch, tl_partition(TL_PART_CUSTOM_ORDER, item->no),
			                tl_pair_key(&key, order, cursor->seq));
		*there = tl_cursor_next(cursor);
	}
	return tl_iter_error(cursor->iter);
}

/* The order keys go before the messages that tell what they are. */
static enum tl_err drop_order_keys(struct tl_sweep *sweep, const struct tl_sweep_item *item)
{
	struct tl_engine *engine = sweep->database->engine;
	struct tl_cursor cursor = {.seq = first_dropped(item)};
	struct tl_batch *batch;
	struct tl_iter *iter;
	bool there = true;
	enum tl_err err = tl_batch_new(engine, &batch);
	while (err == TL_OK && there && cursor.seq < end_of_dropped(item)) {
		/* An iterator of its own for each batch, so that nobody waits for a long one. */
		if ((err = tl_iter_new(engine, NULL, partition_of(item), false, &iter)) != TL_OK)
			break;
		tl_batch_clear(batch);
		there = tl_cursor_seek(&cursor, iter, partition_of(item), cursor.seq);
		err = collect_order_keys(&cursor, item, batch, &there);
		tl_iter_free(iter);
		sweep->bytes[TL_PART_CUSTOM_ORDER] += tl_batch_bytes(batch);
		if (err == TL_OK && tl_batch_count(batch) > 0)
			err = tl_engine_commit(engine, batch, false, NULL);
		if (err == TL_OK && sweep->go_on && !sweep->go_on(sweep->ctx))
			err = TL_CLOSED;
	}
	tl_batch_free(batch);
	return err;
}

/* Whether a member, or a former one, has deleted entries one by one. */
static bool has_deleted(enum tl_partition_kind kind, struct tl_slice value)
{
	struct tl_member_record member;
	struct tl_former_record former;
	return kind == TL_PART_MEMBERS ? tl_member_record_unpack(value, &member) && member.deleted_some
	                               : tl_former_record_unpack(value, &former) && former.deleted_some;
}

/* Those of a small conversation who have; the list is the caller's. */
static enum tl_err list_deleters(struct tl_sweep *sweep, const struct tl_sweep_item *item, enum tl_partition_kind kind,
                                 uint64_t *list, size_t *count)
{
	struct tl_iter *iter;
	size_t looked_at = 0;
	enum tl_err err = tl_iter_new(sweep->database->engine, NULL, tl_partition(kind, item->no), false, &iter);
	if (err != TL_OK)
		return err;
	for (bool there = tl_iter_seek(iter, tl_slice("", 0)); there && looked_at < MEMBERS_MAX;
	     there = tl_iter_next(iter), looked_at++) {
		struct tl_slice key = tl_iter_key(iter);
		if (has_deleted(kind, tl_iter_value(iter)) && tl_ordered_int_read(key.ptr, key.len, &list[*count]))
			++*count;
	}
	err = tl_iter_error(iter);
	tl_iter_free(iter);
	return err;
}

/* What members have deleted for themselves need not be remembered of messages that nobody sees any more. In a large
 * conversation it is: a few bytes are not worth a look at all its members. */
static enum tl_err drop_deletions(struct tl_sweep *sweep, const struct tl_sweep_item *item)
{
	uint64_t users[2 * MEMBERS_MAX];
	struct tl_pair_key from, to;
	size_t count = 0;
	enum tl_err err = list_deleters(sweep, item, TL_PART_MEMBERS, users, &count);
	if (err == TL_OK)
		err = list_deleters(sweep, item, TL_PART_FORMER, users, &count);
	tl_pair_key(&from, item->no, 0);
	tl_pair_key(&to, item->no, item->floor + 1);
	for (size_t i = 0; i < count && err == TL_OK; i++)
		err = drop_range(sweep, tl_partition(TL_PART_DELETED, users[i]), tl_slice(from.bytes, from.len),
		                 tl_slice(to.bytes, to.len));
	return err;
}

static enum tl_err drop_timeline(struct tl_sweep *sweep, const struct tl_sweep_item *item)
{
	unsigned char from[TL_ORDERED_INT_MAX], to[TL_ORDERED_INT_MAX];
	enum tl_err err = TL_OK;
	if (item->kind == TL_DUE_STORE && item->custom)
		err = drop_order_keys(sweep, item);
	if (err == TL_OK && item->kind == TL_DUE_STORE)
		err = drop_deletions(sweep, item);
	if (err == TL_OK)
		err = drop_range(sweep, partition_of(item), tl_slice(from, tl_ordered_int_put(from, first_dropped(item))),
		                 tl_slice(to, tl_ordered_int_put(to, end_of_dropped(item))));
	if (err == TL_OK)
		*(item->kind == TL_DUE_STORE ? &sweep->messages : &sweep->entries) += item->floor - item->from;
	return err;
}

/* Deletes the devices that have been away for too long, unless the writer puts them anew at this moment. */
static enum tl_err drop_device(struct tl_sweep *sweep, struct tl_partition devices, struct tl_slice device,
                               struct tl_slice value)
{
	struct tl_batch *batch;
	enum tl_err err = tl_batch_new(sweep->database->engine, &batch);
	if (err != TL_OK)
		return err;
	tl_batch_guard(batch, devices, device, &value);
	tl_batch_delete(batch, devices, device);
	err = tl_engine_commit(sweep->database->engine, batch, false, NULL);
	sweep->bytes[TL_PART_DEVICES] += tl_batch_bytes(batch);
	sweep->devices += err == TL_OK;
	tl_batch_free(batch);
	return err == TL_CONFLICT ? TL_OK : err;
}

static enum tl_err drop_devices(struct tl_sweep *sweep, struct tl_sweep_item *item)
{
	const struct tl_partition devices = tl_partition(TL_PART_DEVICES, item->no);
	const uint64_t ttl_ms = sweep->limits->device_ttl_ms;
	struct tl_device_record record;
	struct tl_iter *iter;
	enum tl_err err = tl_iter_new(sweep->database->engine, NULL, devices, false, &iter);
	if (err != TL_OK)
		return err;
	item->next = 0;
	for (bool there = tl_iter_seek(iter, tl_slice("", 0)); there && err == TL_OK; there = tl_iter_next(iter)) {
		if (!tl_device_record_unpack(tl_iter_value(iter), &record))
			continue;
		uint64_t time = tl_due_device_time(record.seen, ttl_ms);
		if (tl_expired(record.seen, ttl_ms, sweep->now))
			err = drop_device(sweep, devices, tl_iter_key(iter), tl_iter_value(iter));
		else if (time > 0 && (item->next == 0 || time < item->next))
			item->next = time;
	}
	if (err == TL_OK)
		err = tl_iter_error(iter);
	tl_iter_free(iter);
	return err;
}

enum tl_err tl_sweep_drop(struct tl_sweep *sweep)
{
	enum tl_err err = TL_OK;
	for (size_t i = 0; i < sweep->count && err == TL_OK; i++) {
		struct tl_sweep_item *item = &sweep->items[i];
		if (item->due > 0)
			sweep->bytes[TL_PART_DUE] += MARKER_BYTES;
		if (item->kind == TL_DUE_DEVICES && !item->repeated)
			err = drop_devices(sweep, item);
		else if (item->kind == TL_DUE_IDS)
			err = drop_range(sweep, partition_of(item), tl_slice("", 0), tl_slice("", 0));
		else if (is_dropped(item))
			err = drop_timeline(sweep, item);
		/* Damaged data: the rest of the range stays on disk, below the floor. */
		if (err == TL_CORRUPT)
			err = TL_OK;
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
		tl_due_put(&txn->due, txn->batch, TL_DUE_INBOX, tl_due_now(user->inbox_ts), item->no);
	return TL_OK;
}

static enum tl_err mark_new_messages(struct tl_transaction *txn, const struct tl_sweep_item *item)
{
	struct tl_conversation_record record;
	struct tl_bounds bounds;
	struct tl_iter *iter;
	char *bytes;
	uint64_t ts;
	if (item->next > 0)
		return TL_OK;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err == TL_OK)
		err = tl_timeline_bounds(txn->database->engine, NULL, iter, partition_of(item), &bounds, NULL, NULL);
	if (err != TL_OK || bounds.head == item->head)
		return err;
	if ((err = tl_store_entry_ts(txn->database->engine, NULL, item->no, bounds.head, &ts)) == TL_OK)
		err = tl_conversation_read(txn->database->engine, NULL, item->no, &record, &bytes);
	if (err != TL_OK)
		return err;
	tl_due_put(&txn->due, txn->batch, TL_DUE_STORE, tl_due_time(ts, tl_retention_ms(&record, txn->limits)), item->no);
	free(bytes);
	return TL_OK;
}

static enum tl_err settle(struct tl_transaction *txn, const struct tl_sweep_item *item)
{
	enum tl_err err = TL_OK;
	if (item->due > 0)
		tl_due_delete(txn->batch, item->kind, item->due, item->no);
	if (is_dropped(item) || item->on_record)
		delete_dropping(txn->batch, item);
	tl_due_put(&txn->due, txn->batch, item->kind, item->next, item->no);
	if (item->due > 0 && is_timeline(item) && !item->repeated)
		err = item->kind == TL_DUE_STORE ? mark_new_messages(txn, item) : mark_new_inbox_entries(txn, item);
	return err == TL_NOT_FOUND || err == TL_CORRUPT ? TL_OK : err;
}

enum tl_err tl_sweep_settle(const struct tl_sweep *sweep, struct tl_transaction *txn)
{
	enum tl_err err = TL_OK;
	for (size_t i = 0; i < sweep->count && err == TL_OK; i++)
		err = settle(txn, &sweep->items[i]);
	if (err == TL_OK && sweep->walk_key)
		tl_database_put_uint(txn->batch, sweep->walk_key, sweep->walk_next);
	return err;
}
