/* What a sweep does on upkeep's own thread once the floors are committed: it drops what is below them. */
#include "sweep.h"

#include "expiry.h"
#include "ordered_int.h"

enum {
	ORDER_KEYS = 1000,   /* deletes in one batch */
	MARKER_BYTES = 40,   /* of one that is put and deleted, about */
	MEMBERS_MAX = 1000,  /* members, or former ones, whose own deletions in a conversation are looked after */
};

static enum tl_err drop_range(struct tl_sweep *sweep, struct tl_partition partition, struct tl_slice from,
                              struct tl_slice to)
{
	struct tl_drop drop = {.limit = UINT64_MAX, .go_on = sweep->go_on, .ctx = sweep->ctx};
	enum tl_err err = tl_engine_drop_range(sweep->database->engine, partition, from, to, &drop);
	sweep->bytes[tl_partition_family(partition)] += drop.bytes;
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
	struct tl_batch *batch = NULL;
	struct tl_iter *iter;
	bool there = true;
	enum tl_err err = tl_batch_new(engine, &batch);
	while (err == TL_OK && there && cursor.seq < end_of_dropped(item)) {
		/* An iterator of its own for each batch, so that nobody waits for a long one. */
		if ((err = tl_iter_new(engine, NULL, tl_sweep_partition(item), false, &iter)) != TL_OK)
			break;
		tl_batch_clear(batch);
		there = tl_cursor_seek(&cursor, iter, tl_sweep_partition(item), cursor.seq);
		err = collect_order_keys(&cursor, item, batch, &there);
		tl_iter_free(iter);
		sweep->bytes[TL_FAMILY_CONVERSATION] += tl_batch_bytes(batch);
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
		err = drop_range(sweep, tl_sweep_partition(item),
		                 tl_slice(from, tl_ordered_int_put(from, first_dropped(item))),
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
	sweep->bytes[TL_FAMILY_USER] += tl_batch_bytes(batch);
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
			err = drop_range(sweep, tl_sweep_partition(item), tl_slice("", 0), tl_slice("", 0));
		else if (tl_sweep_is_dropped(item))
			err = drop_timeline(sweep, item);
		/* Damaged data: the rest of the range stays on disk, below the floor. */
		if (err == TL_CORRUPT)
			err = TL_OK;
	}
	return err;
}
