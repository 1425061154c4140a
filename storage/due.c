#include "due.h"

#include "msgpack_reader.h"
#include "uint_record.h"

#include <stdlib.h>

enum {
	SECOND_MS = 1000,
	DAY_MS = 86400 * 1000,
	GRAINS_PER_TTL = 32,
	GRAINS_PER_DEVICE_TTL = 8,
};

void tl_due_board_init(struct tl_due_board *board)
{
	atomic_init(&board->looked_until, 0);
	atomic_init(&board->asleep_until, 0);
	board->wake = NULL;
	for (int kind = 0; kind < TL_DUE_KINDS; kind++)
		atomic_init(&board->earliest[kind], UINT64_MAX);
}

/* ts + ttl, rounded up to a multiple of the grain; 0 if that is beyond all time. */
static uint64_t round_up(uint64_t ts, uint64_t ttl_ms, uint64_t grain_ms)
{
	uint64_t time;
	if (ttl_ms == 0 || __builtin_add_overflow(ts, ttl_ms, &time) || __builtin_add_overflow(time, grain_ms - 1, &time))
		return 0;
	return time / grain_ms * grain_ms;
}

uint64_t tl_due_time(uint64_t ts, uint64_t ttl_ms)
{
	uint64_t grain_ms = ttl_ms / GRAINS_PER_TTL;
	return round_up(ts, ttl_ms, grain_ms < SECOND_MS ? SECOND_MS : grain_ms > DAY_MS ? DAY_MS : grain_ms);
}

uint64_t tl_due_device_time(uint64_t seen, uint64_t ttl_ms)
{
	uint64_t grain_ms = ttl_ms / GRAINS_PER_DEVICE_TTL;
	return round_up(seen, ttl_ms, grain_ms < SECOND_MS ? SECOND_MS : grain_ms);
}

uint64_t tl_due_now(uint64_t now)
{
	return now < SECOND_MS ? 1 : now / SECOND_MS * SECOND_MS;
}

void tl_due_clear(struct tl_due *due)
{
	for (int kind = 0; kind < TL_DUE_KINDS; kind++)
		due->earliest[kind] = UINT64_MAX;
}

void tl_due_put(struct tl_due *due, struct tl_batch *batch, enum tl_due_kind kind, uint64_t time, uint64_t no)
{
	struct tl_pair_key key;
	if (time == 0)
		return;
	tl_batch_put(batch, tl_partition(TL_PART_DUE, kind), tl_pair_key(&key, time, no), tl_slice("", 0));
	if (time < due->earliest[kind])
		due->earliest[kind] = time;
}

void tl_due_mark(struct tl_due *due, struct tl_batch *batch, enum tl_due_kind kind, uint64_t time, uint64_t no,
                 uint64_t *marked)
{
	/* One whose time has come may have been deleted since. */
	if (time == *marked &&
	    (!due->board || time > atomic_load_explicit(&due->board->looked_until, memory_order_relaxed)))
		return;
	*marked = time;
	tl_due_put(due, batch, kind, time, no);
}

void tl_due_drop(struct tl_due *due, struct tl_batch *batch, struct tl_partition timeline, uint64_t from, bool tell)
{
	struct tl_pair_key key;
	tl_uint_record_put(batch, tl_partition(TL_PART_DUE, TL_DUE_DROP), tl_pair_key(&key, timeline.kind, timeline.no), from);
	if (tell)
		tl_due_hurry(due);
}

void tl_due_hurry(struct tl_due *due)
{
	due->earliest[TL_DUE_DROP] = 0;
}

enum tl_err tl_due_lower(struct tl_engine *engine, struct tl_partition timeline, uint64_t *from)
{
	struct tl_pair_key key;
	char *value;
	size_t len;
	uint64_t recorded;
	enum tl_err err = tl_engine_get(engine, NULL, tl_partition(TL_PART_DUE, TL_DUE_DROP),
	                                tl_pair_key(&key, timeline.kind, timeline.no), &value, &len);
	if (err != TL_OK)
		return err == TL_NOT_FOUND ? TL_OK : err;
	struct tl_reader reader = tl_reader(tl_slice(value, len));
	if (tl_reader_uint(&reader, &recorded) && recorded < *from)
		*from = recorded;
	free(value);
	return TL_OK;
}

void tl_due_delete(struct tl_batch *batch, enum tl_due_kind kind, uint64_t time, uint64_t no)
{
	struct tl_pair_key key;
	tl_batch_delete(batch, tl_partition(TL_PART_DUE, kind), tl_pair_key(&key, time, no));
}

void tl_due_tell(const struct tl_due *due)
{
	struct tl_due_board *board = due->board;
	uint64_t first = UINT64_MAX;
	for (int kind = 0; board && kind < TL_DUE_KINDS; kind++) {
		uint64_t told = due->earliest[kind], known = atomic_load(&board->earliest[kind]);
		while (told < known && !atomic_compare_exchange_weak(&board->earliest[kind], &known, told))
			;
		if (told < first)
			first = told;
	}
	if (board && board->wake && first < atomic_load(&board->asleep_until))
		board->wake(board->ctx);
}

bool tl_due_sleep(struct tl_due_board *board, uint64_t until)
{
	atomic_store(&board->asleep_until, until);
	for (int kind = 0; kind < TL_DUE_KINDS; kind++)
		if (atomic_load(&board->earliest[kind]) < until)
			return false;
	return true;
}

void tl_due_awake(struct tl_due_board *board)
{
	atomic_store(&board->asleep_until, 0);
}

uint64_t tl_due_told(struct tl_due_board *board, enum tl_due_kind kind)
{
	return atomic_exchange(&board->earliest[kind], UINT64_MAX);
}
