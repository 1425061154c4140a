/* Checkpoints that are noted or written in the very moment in which somebody else looks: each must be kept when the
 * store is closed, and each device listed once. The moments are made by wrapping functions with the linker (--wrap):
 *
 *     tl_ingest_queue_wake ──► the writer has been told to stop: lets it out of the event that it is held in
 *     tl_iter_new ──► `devices` has listed what is in memory and is about to read the database
 */
#include "ingest_queue.h"
#include "msgpack_reader.h"
#include "store.h"
#include "temp_dir.h"
#include "wrapped.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 60000 };

struct fixture {
	struct temp_dir dir;
	struct tl_store *store;
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t changed;
	unsigned outcomes;
	bool held; /* the writer waits in its event until this is over */
};

static struct fixture *at_wake; /* whose writer is let go */
static struct fixture *at_list; /* for whom something happens … */
static void (*meanwhile)(struct fixture *f); /* … and what */

WRAPPED(tl_ingest_queue_wake);
WRAPPED(tl_iter_new);

static void hold(struct fixture *f, bool held)
{
	pthread_mutex_lock(&f->lock);
	f->held = held;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

void __wrap_tl_ingest_queue_wake(struct tl_ingest_queue *queue)
{
	if (at_wake)
		hold(at_wake, false);
	__real_tl_ingest_queue_wake(queue);
}

enum tl_err __wrap_tl_iter_new(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                               struct tl_partition partition, bool fill_cache, struct tl_iter **iter_out)
{
	if (partition.kind == TL_PART_DEVICES && at_list) {
		struct fixture *f = at_list;
		at_list = NULL;
		meanwhile(f);
	}
	return __real_tl_iter_new(engine, snapshot, partition, fill_cache, iter_out);
}

/* --- the store --- */

static void on_committed(void *ctx, const struct tl_commit *commit)
{
	struct fixture *f = ctx;
	pthread_mutex_lock(&f->lock);
	f->outcomes += (unsigned)commit->outcome_count;
	pthread_cond_broadcast(&f->changed);
	while (f->held)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

static void on_log(void *ctx, enum tl_log level, const char *text)
{
	(void)ctx, (void)level, (void)text;
}

static void open_store(struct fixture *f)
{
	struct tl_why why;
	const struct tl_store_options options = {
		.dir = f->dir.path, .durability = TL_DURABILITY_OS, .queue_max_bytes = 1 << 26, .block_cache_bytes = 1 << 20,
		.write_buffer_bytes = 1 << 20, .cached_users = 100, .cached_conversations = 100,
		.limits = {.server = "test", .max_members = 4, .max_conversations = 100},
		.events = {f, on_committed, on_log},
	};
	assert_int_equal(tl_store_open(&options, &f->store, &why), TL_OK);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	open_store(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	at_wake = at_list = NULL;
	tl_store_close(f->store);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

/* Alice writes to herself, and it is committed; the writer may be held in telling it. */
static void write_one(struct fixture *f)
{
	const struct tl_submission from = {{"", 0}, tl_slice_str("alice"), {"d", 1}};
	struct tl_message message = {.ts = 1, .from = from.user, .device = from.device, .type = {"text", 4}};
	pthread_mutex_lock(&f->lock);
	unsigned before = f->outcomes;
	assert_int_equal(tl_store_send(f->store, &from, true, from.user, tl_slice("", 0), &message, tl_slice("x", 1)),
	                 TL_OK);
	while (f->outcomes == before)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

static void ask(struct fixture *f, const char *op, struct tl_slice args, struct tl_pack *answer_out)
{
	struct tl_answer answer;
	const struct tl_call call = {.user = tl_slice_str("alice"), .device = {"d", 1}, .raw = args, .now = 5};
	tl_answer_init(&answer);
	assert_int_equal(tl_store_read(f->store, tl_request_find(tl_slice_str(op)), call, &answer), TL_OK);
	tl_pack_clear(answer_out);
	tl_pack_map(answer_out, answer.field_count);
	tl_pack_raw(answer_out, tl_pack_bytes(&answer.fields));
	tl_answer_fini(&answer);
}

static void sync_after_one(struct fixture *f)
{
	struct tl_pack answer;
	tl_pack_init(&answer);
	ask(f, "sync", tl_slice("\x81\xa5" "after\x01", 8), &answer);
	tl_pack_fini(&answer);
}

/* How many elements an array of the answer has. */
static uint32_t count_of(struct fixture *f, const char *op, const char *key)
{
	struct tl_reader reader;
	struct tl_pack answer;
	uint32_t count = 0;
	tl_pack_init(&answer);
	ask(f, op, tl_slice("\x80", 1), &answer);
	assert_true(tl_msgpack_find(tl_pack_bytes(&answer), key, &reader) && tl_reader_array(&reader, &count));
	tl_pack_fini(&answer);
	return count;
}

/* --- closing --- */

static void test_closing_while_the_writer_is_busy(void **state)
{
	struct fixture *f = *state;
	write_one(f);
	hold(f, true);
	write_one(f);
	sync_after_one(f);
	at_wake = f;
	tl_store_close(f->store);
	open_store(f);
	assert_int_equal(count_of(f, "sync", "messages"), 1); /* from the checkpoint on, not from the floor */
}

/* --- nothing else to be written --- */

/* The writer sleeps for good where nothing waits: the first checkpoint wakes it, each time. */
static void test_written_without_company(void **state)
{
	struct fixture *f = *state;
	write_one(f);
	for (int i = 0; i < 2; i++) {
		uint64_t batches = tl_store_stats(f->store).writer.batches;
		unsigned ms = 0;
		sync_after_one(f);
		while (tl_store_stats(f->store).writer.batches == batches && ms++ < PATIENCE_MS)
			usleep(1000);
		assert_int_equal(tl_store_stats(f->store).writer.batches, batches + 1);
	}
}

/* --- listing --- */

static void test_written_while_listing(void **state)
{
	struct fixture *f = *state;
	write_one(f);
	sync_after_one(f);
	at_list = f;
	meanwhile = write_one; /* the checkpoint goes along */
	assert_int_equal(count_of(f, "devices", "devices"), 1);
}

static void test_noted_while_listing(void **state)
{
	struct fixture *f = *state;
	write_one(f);
	sync_after_one(f);
	write_one(f);
	at_list = f;
	meanwhile = sync_after_one;
	assert_int_equal(count_of(f, "devices", "devices"), 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_closing_while_the_writer_is_busy),
		TEST(test_written_without_company),
		TEST(test_written_while_listing),
		TEST(test_noted_while_listing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
