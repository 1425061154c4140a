/* Upkeep within a store whose clock the test turns, while the engine fails beneath it: (S1), (S2) and (S4) of
 * storage/sweep.h, (W3) of storage/writer.h. The engine's functions are wrapped by the linker (--wrap):
 *
 *     tl_engine_commit ──► as it is | fails, nothing applied | fails, all applied
 *     tl_engine_drop_range ──► as it is | fails | drops a part and fails
 *     tl_iter_new ──► as it is; those on markers are counted
 *
 * After each run the database is looked at: floors, what is left on disk, and that nothing is left to be done. */
#include "database_fixture.h"
#include "expiry.h"
#include "read_inbox.h"
#include "store.h"
#include "wrapped.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { TTL = 60000, RETENTION = 40000, START = 1000000, PATIENCE_MS = 60000, MESSAGES = 60 };

enum fault { FAULT_NONE, FAULT_COMMIT_NOTHING, FAULT_COMMIT_ALL, FAULT_DROP, FAULT_DROP_PART };

static struct {
	_Atomic int kind;       /* enum fault */
	_Atomic int countdown;  /* of the calls that could fail; the one at 0 does */
	_Atomic unsigned happened;
} faults;

static _Atomic uint64_t clock_ms;

static uint64_t fake_now(void)
{
	return atomic_load(&clock_ms);
}

static bool is_due(enum fault kind)
{
	if (atomic_load(&faults.kind) != (int)kind || atomic_fetch_sub(&faults.countdown, 1) != 0)
		return false;
	atomic_fetch_add(&faults.happened, 1);
	return true;
}

WRAPPED(tl_engine_commit);
WRAPPED(tl_engine_drop_range);
WRAPPED(tl_iter_new);

static _Atomic unsigned marker_reads;

enum tl_err __wrap_tl_iter_new(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                               struct tl_partition partition, bool fill_cache, struct tl_iter **iter_out)
{
	if (partition.kind == TL_PART_DUE && partition.no != TL_DUE_DROP)
		atomic_fetch_add(&marker_reads, 1);
	return __real_tl_iter_new(engine, snapshot, partition, fill_cache, iter_out);
}

enum tl_err __wrap_tl_engine_commit(struct tl_engine *engine, struct tl_batch *batch, bool sync, struct tl_why *why)
{
	if (is_due(FAULT_COMMIT_NOTHING))
		return tl_fail(why, TL_IO, "injected");
	enum tl_err err = __real_tl_engine_commit(engine, batch, sync, why);
	return is_due(FAULT_COMMIT_ALL) ? tl_fail(why, TL_IO, "injected") : err;
}

enum tl_err __wrap_tl_engine_drop_range(struct tl_engine *engine, struct tl_partition partition, struct tl_slice from,
                                        struct tl_slice to, struct tl_drop *drop)
{
	struct tl_drop part = {.limit = 3};
	if (is_due(FAULT_DROP))
		return TL_IO;
	if (is_due(FAULT_DROP_PART))
		return __real_tl_engine_drop_range(engine, partition, from, to, &part) == TL_OK ? TL_IO : TL_CORRUPT;
	return __real_tl_engine_drop_range(engine, partition, from, to, drop);
}

static void arm(enum fault kind, int countdown)
{
	atomic_store(&faults.kind, FAULT_NONE);
	atomic_store(&faults.happened, 0);
	atomic_store(&faults.countdown, countdown);
	atomic_store(&faults.kind, kind);
}

/* --- the store --- */

struct fixture {
	struct temp_dir dir;
	struct tl_store *store;
	struct tl_limits limits;
	_Atomic unsigned outcomes;
	unsigned sent;
};

static void on_committed(void *ctx, const struct tl_commit *commit)
{
	struct fixture *f = ctx;
	for (size_t i = 0; i < commit->outcome_count; i++)
		assert_int_equal(commit->outcomes[i].err, TL_OK);
	atomic_fetch_add(&f->outcomes, (unsigned)commit->outcome_count);
}

static void on_log(void *ctx, enum tl_log level, const char *text)
{
	(void)ctx, (void)level;
	if (getenv("TL_VERBOSE"))
		fprintf(stderr, "%s\n", text);
}

static void open_store(struct fixture *f)
{
	const struct tl_store_options options = {
		.dir = f->dir.path, .durability = TL_DURABILITY_OS, .queue_max_bytes = 1 << 26, .block_cache_bytes = 1 << 20,
		.write_buffer_bytes = 1 << 20, .cached_users = 100, .cached_conversations = 100, .limits = f->limits,
		.now = fake_now, .events = {f, on_committed, on_log},
	};
	struct tl_why why;
	if (tl_store_open(&options, &f->store, &why) != TL_OK)
		fail_msg("%s", why.text);
}

static void close_store(struct fixture *f)
{
	tl_store_close(f->store);
	f->store = NULL;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->limits = (struct tl_limits){.server = "test 1", .dedup_window_ms = 1000, .max_members = 4,
	                               .max_conversations = 100, .inbox_ttl_ms = TTL, .retention_ms = RETENTION,
	                               .device_ttl_ms = TTL};
	atomic_store(&clock_ms, START);
	arm(FAULT_NONE, 0);
	open_store(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	arm(FAULT_NONE, 0);
	close_store(f);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void wait_for(bool (*condition)(struct fixture *f, uint64_t value), struct fixture *f, uint64_t value)
{
	for (unsigned ms = 0; ms < PATIENCE_MS; ms++) {
		if (condition(f, value))
			return;
		usleep(1000);
	}
	fail_msg("waited in vain");
}

static bool has_outcomes(struct fixture *f, uint64_t count)
{
	return atomic_load(&f->outcomes) >= count;
}

static bool has_looked(struct fixture *f, uint64_t looks)
{
	return tl_store_stats(f->store).upkeep.looks >= looks;
}

/* Until upkeep has found twice that there is nothing more to do at this time: once may have been before it. */
static void wait_until_done(struct fixture *f)
{
	wait_for(has_looked, f, tl_store_stats(f->store).upkeep.looks + 2);
}

static void send_to(struct fixture *f, const char *to)
{
	const struct tl_submission from = {{"", 0}, {"alice", 5}, {"phone", 5}};
	struct tl_message message = {.ts = fake_now(), .from = from.user, .device = from.device, .type = {"text", 4}};
	char id[24];
	snprintf(id, sizeof id, "m%u", f->sent++);
	assert_int_equal(tl_store_send(f->store, &from, true, tl_slice_str(to), tl_slice_str(id), &message,
	                               tl_slice_str("something to say")),
	                 TL_OK);
}

/* A message a second, to bob and carol in turn. */
static void send_all(struct fixture *f, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		send_to(f, i % 2 ? "carol" : "bob");
		atomic_fetch_add(&clock_ms, 1000);
	}
	wait_for(has_outcomes, f, f->sent);
}

/* --- what is on disk --- */

/* The floor, the entries above it, and perhaps one that was the head when the floor came up to it. */
static void check_keys(unsigned count, const struct tl_bounds *bounds)
{
	uint64_t expected = (bounds->floor > 0) + bounds->head - bounds->floor;
	assert_in_range(count, expected, expected + (bounds->floor > 0));
}

/* An inbox's items hold all that is above the floor, and none lies wholly below it but perhaps the one that was the head
 * when the floor came up to it. */
static void check_items(struct tl_engine *engine, uint64_t user_no, const struct tl_bounds *bounds)
{
	struct tl_inbox_cursor cursor;
	struct tl_cursor first;
	struct tl_iter *iter;
	assert_int_equal(tl_iter_new(engine, NULL, tl_partition(TL_PART_INBOX, user_no), true, &iter), TL_OK);
	assert_true(tl_cursor_seek(&first, iter, tl_partition(TL_PART_INBOX, user_no), 1));
	assert_true(first.seq >= bounds->floor);
	enum tl_err err = tl_inbox_seek(&cursor, iter, user_no, bounds->floor + 1);
	for (uint64_t seq = bounds->floor + 1; seq <= bounds->head; seq++) {
		assert_int_equal(err, TL_OK);
		assert_int_equal(cursor.seq, seq);
		err = tl_inbox_next(&cursor);
	}
	assert_int_equal(err, TL_END);
	tl_iter_free(iter);
}

static void check_inbox(struct tl_engine *engine, const struct tl_limits *limits, const char *uid, uint64_t head)
{
	uint64_t no, floor;
	assert_int_equal(tl_user_no(engine, NULL, tl_slice_str(uid), &no), TL_OK);
	struct tl_bounds bounds = read_inbox_bounds(engine, no);
	assert_int_equal(bounds.head, head);
	struct tl_iter *iter;
	assert_int_equal(tl_iter_new(engine, NULL, tl_partition(TL_PART_META, 0), true, &iter), TL_OK);
	assert_int_equal(tl_inbox_floor(iter, no, &bounds, limits, fake_now(), &floor), TL_OK);
	tl_iter_free(iter);
	assert_in_range(bounds.floor, floor > 1 ? floor - 1 : 0, floor); /* a bucket is a second at least */
	check_items(engine, no, &bounds);
}

static void check_store(struct tl_engine *engine, const struct tl_limits *limits, const char *cid, uint64_t head)
{
	struct tl_bounds bounds;
	uint64_t no, floor;
	assert_int_equal(tl_conversation_no(engine, NULL, tl_slice_str(cid), &no), TL_OK);
	assert_int_equal(tl_timeline_bounds(engine, NULL, NULL, tl_partition(TL_PART_STORE, no), &bounds, NULL, NULL), TL_OK);
	assert_int_equal(bounds.head, head);
	assert_int_equal(tl_store_floor(engine, NULL, no, &bounds, limits->retention_ms, fake_now(), &floor), TL_OK);
	assert_in_range(bounds.floor, floor > 1 ? floor - 1 : 0, floor);
	check_keys(count_keys(engine, TL_PART_STORE, no), &bounds);
}

/* Buckets of message ids are on the list or empty, and only the newest is there after its window. */
static void check_ids(struct tl_database *db, const struct tl_limits *limits)
{
	struct tl_dedup_list list;
	size_t i = 0;
	assert_int_equal(tl_dedup_read_list(db, &list), TL_OK);
	assert_true(list.count > 0);
	for (uint64_t no = 1; no <= list.buckets[list.count - 1].no; no++) {
		bool listed = list.buckets[i].no == no;
		if (listed)
			assert_false(tl_dedup_is_over(&list.buckets[i++], limits->dedup_window_ms, fake_now()));
		assert_true(listed == (count_keys(db->engine, TL_PART_DEDUP, no) > 0));
	}
	assert_int_equal(i, list.count);
}

/* With the store closed. */
static void check_database(struct fixture *f)
{
	struct tl_database db = open_database(&f->dir);
	check_inbox(db.engine, &f->limits, "alice", f->sent);
	check_inbox(db.engine, &f->limits, "bob", (f->sent + 1) / 2);
	check_inbox(db.engine, &f->limits, "carol", f->sent / 2);
	check_store(db.engine, &f->limits, "d:alice:bob", (f->sent + 1) / 2);
	check_store(db.engine, &f->limits, "d:alice:carol", f->sent / 2);
	check_ids(&db, &f->limits);
	assert_int_equal(count_keys(db.engine, TL_PART_DUE, TL_DUE_DROP), 0);
	tl_database_close(&db);
}

static void check_disk(struct fixture *f)
{
	close_store(f);
	check_database(f);
	open_store(f);
}

/* How many ids are on disk; with the store closed. */
static unsigned count_ids(struct fixture *f)
{
	struct tl_database db = open_database(&f->dir);
	struct tl_dedup_list list;
	unsigned count = 0;
	assert_int_equal(tl_dedup_read_list(&db, &list), TL_OK);
	assert_true(list.count > 0);
	for (uint64_t no = 1; no <= list.buckets[list.count - 1].no; no++)
		count += count_keys(db.engine, TL_PART_DEDUP, no);
	tl_database_close(&db);
	return count;
}

/* Where ids are deduplicated no more, those that were remembered go. */
static void test_no_window(void **state)
{
	struct fixture *f = *state;
	send_all(f, MESSAGES);
	close_store(f);
	assert_int_equal(count_ids(f), MESSAGES);
	f->limits.dedup_window_ms = 0;
	atomic_fetch_add(&clock_ms, 60000);
	open_store(f);
	atomic_fetch_add(&clock_ms, 61000); /* nobody knows how late the last of them is */
	wait_until_done(f);
	close_store(f);
	assert_int_equal(count_ids(f), 0);
}

static void test_expiry(void **state)
{
	struct fixture *f = *state;
	send_all(f, MESSAGES);
	for (int i = 0; i < 4; i++) {
		wait_until_done(f);
		check_disk(f);
		atomic_fetch_add(&clock_ms, 15000);
	}
	atomic_fetch_add(&clock_ms, 1000000);
	wait_until_done(f);
	assert_true(tl_store_stats(f->store).upkeep.entries > 0);
	check_disk(f);
	send_all(f, 2);
	wait_until_done(f);
	check_disk(f);
}

/* The calls that upkeep and the writer make for it fail one after the other. */
static void test_faults(void **state)
{
	struct fixture *f = *state;
	send_all(f, MESSAGES);
	for (int kind = FAULT_COMMIT_NOTHING; kind <= FAULT_DROP_PART; kind++)
		for (int countdown = 0; countdown < 4; countdown++) {
			send_all(f, 4);
			arm((enum fault)kind, countdown);
			atomic_fetch_add(&clock_ms, 6000);
			wait_until_done(f);
			arm(FAULT_NONE, 0);
			check_disk(f);
		}
	atomic_fetch_add(&clock_ms, 1000000);
	arm(FAULT_DROP, 1);
	wait_until_done(f);
	assert_true(atomic_load(&faults.happened) > 0);
	check_disk(f);
}

/* A store that is closed while upkeep is at work goes on when it is opened again. */
static void test_closed_meanwhile(void **state)
{
	struct fixture *f = *state;
	for (int round = 0; round < 10; round++) {
		send_all(f, 20);
		atomic_fetch_add(&clock_ms, 20000);
		usleep((unsigned)round * 3000); /* wherever it is by then */
		close_store(f);
		open_store(f);
	}
	wait_until_done(f);
	check_disk(f);
}

/* Other options than at the last start are applied to all that is there. */
static void test_other_options(void **state)
{
	struct fixture *f = *state;
	static const struct tl_limits options[] = {
		{.inbox_ttl_ms = 0, .retention_ms = 0},         {.inbox_ttl_ms = 50000, .retention_ms = 0},
		{.inbox_ttl_ms = 50000, .retention_ms = 30000}, {.inbox_max = 10, .retention_ms = 25000},
		{.inbox_ttl_ms = 3600000, .retention_ms = 3600000},
	};
	send_all(f, MESSAGES);
	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
		close_store(f);
		f->limits.inbox_ttl_ms = options[i].inbox_ttl_ms;
		f->limits.inbox_max = options[i].inbox_max;
		f->limits.retention_ms = options[i].retention_ms;
		open_store(f);
		wait_until_done(f);
		check_disk(f);
	}
	atomic_fetch_add(&clock_ms, 3610000);
	wait_until_done(f);
	check_disk(f);
}

/* A walk that is cut off goes on where it was. */
static void test_walk_is_resumed(void **state)
{
	struct fixture *f = *state;
	send_all(f, MESSAGES);
	wait_until_done(f);
	close_store(f);
	f->limits.inbox_ttl_ms = f->limits.retention_ms = 5000;
	for (int i = 0; i < 5; i++) {
		arm(FAULT_COMMIT_NOTHING, 2 + i); /* those of the start, which notes the run and the options, succeed */
		open_store(f);
		close_store(f);
	}
	arm(FAULT_NONE, 0);
	open_store(f);
	wait_until_done(f);
	check_disk(f);
}

static _Atomic uint64_t disk_bytes;

static int add_size(const char *path, const struct stat *info, int type, struct FTW *walk)
{
	(void)path, (void)walk;
	if (type == FTW_F)
		atomic_fetch_add(&disk_bytes, (uint64_t)info->st_size);
	return 0;
}

static uint64_t data_size(struct fixture *f)
{
	atomic_store(&disk_bytes, 0);
	nftw(f->dir.path, add_size, 16, FTW_PHYS);
	return atomic_load(&disk_bytes);
}

static bool is_reclaimed(struct fixture *f, uint64_t bytes)
{
	return tl_store_stats(f->store).upkeep.reclaimed > 0 && data_size(f) < bytes;
}

/* What cannot be compressed, 64 MiB of it. */
static void send_much(struct fixture *f)
{
	static uint64_t body[8192];
	const struct tl_submission from = {{"", 0}, {"alice", 5}, {"phone", 5}};
	uint64_t random = 1;
	for (unsigned n = 0; n < 1024; n++) {
		struct tl_message message = {.ts = fake_now(), .from = from.user, .device = from.device, .type = {"text", 4}};
		for (size_t i = 0; i < sizeof body / sizeof body[0]; i++)
			body[i] = random = random * 6364136223846793005 + 1442695040888963407;
		assert_int_equal(tl_store_send(f->store, &from, true, tl_slice_str("bob"), tl_slice("", 0), &message,
		                               tl_slice(body, sizeof body)),
		                 TL_OK);
		f->sent++;
		wait_for(has_outcomes, f, f->sent); /* so that the queue stays short */
	}
}

/* What has expired leaves the disk, too. */
static void test_space_comes_back(void **state)
{
	struct fixture *f = *state;
	send_much(f);
	assert_true(data_size(f) > 60 << 20);
	atomic_fetch_add(&clock_ms, RETENTION + 1000);
	wait_for(is_reclaimed, f, 8 << 20);
	assert_int_equal(tl_store_stats(f->store).upkeep.messages, 1024);
}

/* Where the first marker's time has not come no marker is read; when that of one that was put before it has, it is. */
static void test_rest(void **state)
{
	struct fixture *f = *state;
	send_all(f, 4);
	wait_until_done(f);
	unsigned reads = atomic_load(&marker_reads);
	wait_until_done(f);
	assert_int_equal(atomic_load(&marker_reads), reads);
	atomic_store(&clock_ms, START - 20000); /* set back: what comes now is due earlier */
	send_to(f, "dora");
	wait_for(has_outcomes, f, f->sent);
	wait_until_done(f);
	assert_int_equal(atomic_load(&marker_reads), reads);
	atomic_store(&clock_ms, START - 10000 + RETENTION);
	wait_until_done(f);
	assert_in_range(atomic_load(&marker_reads), reads + 1, UINT32_MAX);
	atomic_store(&clock_ms, START + 2 * TTL);
	wait_until_done(f);
	assert_true(tl_store_stats(f->store).upkeep.entries > 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_window), TEST(test_expiry), TEST(test_faults), TEST(test_closed_meanwhile), TEST(test_other_options),
		TEST(test_walk_is_resumed), TEST(test_space_comes_back),
		TEST(test_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
