/* The engine's contract (storage/engine.h) and the rules of its LevelDB implementation (storage/engine_leveldb.h). Files that are
 * damaged, missing or torn are in test_engine_damage.c and test_engine_torn.c, merging is in test_engine_merge.c. */
#include "engine_fixture.h"

#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- helpers --- */

static void expect_at(struct tl_iter *iter, bool found, const char *key)
{
	assert_int_equal(tl_iter_error(iter), TL_OK);
	assert_true(found);
	assert_true(tl_slice_equal(tl_iter_key(iter), str(key)));
}

static void expect_nothing(struct tl_iter *iter, bool found)
{
	assert_int_equal(tl_iter_error(iter), TL_OK);
	assert_false(found);
}

/* --- opening --- */

/* SIGTERM's bit in SigBlk of the thread. */
static bool blocks_sigterm(const char *tid)
{
	char path[300], line[200];
	snprintf(path, sizeof path, "/proc/self/task/%s/status", tid);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	unsigned long long mask = 0;
	while (fgets(line, sizeof line, file))
		sscanf(line, "SigBlk: %llx", &mask);
	fclose(file);
	return mask >> (SIGTERM - 1) & 1;
}

static void test_background_thread_takes_no_signals(void **state)
{
	(void)state; /* the engine is open */
	int others = 0;
	DIR *tasks = opendir("/proc/self/task");
	assert_non_null(tasks);
	for (struct dirent *task; (task = readdir(tasks));) {
		if (task->d_name[0] == '.')
			continue;
		bool own = atol(task->d_name) == (long)syscall(SYS_gettid);
		assert_int_equal(blocks_sigterm(task->d_name), !own);
		others += !own;
	}
	closedir(tasks);
	assert_true(others >= 1);
}

/* What another process gets when it opens `path`: this program, started with the path as its argument. */
static int open_elsewhere(const char *path)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		execl("/proc/self/exe", "test_engine", path, (char *)NULL);
		_exit(127);
	}
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int be_elsewhere(const char *path)
{
	struct tl_engine *engine = NULL;
	struct tl_engine_options options = options_for(path);
	enum tl_err err = tl_engine_open_leveldb(&options, &engine, NULL);
	tl_engine_close(engine);
	return (int)err;
}

static void test_second_open_is_locked_out(void **state)
{
	struct fixture *f = *state;
	char other_spelling[320];
	snprintf(other_spelling, sizeof other_spelling, "%s/./db", f->dir.path);
	for (int i = 0; i < 2; i++) { /* the first attempt must not have opened the door for the second */
		expect_open_fails(f->dir.db, TL_LOCKED);
		expect_open_fails(other_spelling, TL_LOCKED);
		assert_int_equal(open_elsewhere(f->dir.db), TL_LOCKED);
	}
	must_put(f->engine, home, "a", "1");
	close_engine(f);
	assert_int_equal(open_elsewhere(f->dir.db), TL_OK);
	open_engine(f);
	must_hold_str(f->engine, NULL, "a", "1");
}

static void test_unusable_path(void **state)
{
	struct fixture *f = *state;
	char path[320];
	snprintf(path, sizeof path, "%s/missing/db", f->dir.path);
	expect_open_fails(path, TL_IO);
	snprintf(path, sizeof path, "%s/file", f->dir.path);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
	expect_open_fails(path, TL_IO);
}

static void test_directory_is_private(void **state)
{
	struct fixture *f = *state;
	struct stat info;
	assert_int_equal(stat(f->dir.db, &info), 0);
	assert_int_equal(info.st_mode & 077, 0);
}

static void test_messages_become_errors(void **state)
{
	(void)state;
	static const struct {
		const char *message;
		enum tl_err err;
	} cases[] = {
		{"IO error: /d/000005.log: No space left on device", TL_NO_SPACE},
		{"IO error: /d/000005.log: Disk quota exceeded", TL_NO_SPACE},
		{"IO error: /No space left on device/000005.log: Input/output error", TL_IO},
		{"IO error: lock /d/LOCK: already held by process", TL_LOCKED},
		{"IO error: lock /d/LOCK: Resource temporarily unavailable", TL_LOCKED},
		{"IO error: lock /d/LOCK: No locks available", TL_IO},
		{"IO error: /d/LOCK: Permission denied", TL_IO},
		{"Corruption: block checksum mismatch", TL_CORRUPT},
		{"NotFound: /d/LOCK: No such file or directory", TL_IO},
		{"", TL_IO},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct tl_why why = {""};
		assert_int_equal(tl_db_error_take(strdup(cases[i].message), "read", &why), cases[i].err);
		assert_non_null(strstr(why.text, cases[i].message));
	}
	assert_int_equal(tl_db_error_take(NULL, "read", NULL), TL_OK);
}

static void test_no_bloom_no_compression(void **state)
{
	struct fixture *f = *state;
	close_engine(f);
	struct tl_engine_options options = {.path = f->dir.db, .write_buffer_bytes = 1 << 16};
	assert_int_equal(tl_engine_open_leveldb(&options, &f->engine, NULL), TL_OK);
	must_put(f->engine, home, "a", "1");
	must_hold_str(f->engine, NULL, "a", "1");
}

/* --- reads --- */

static void test_put_get_delete(void **state)
{
	struct fixture *f = *state;
	char *untouched = (char *)f;
	size_t len = 77;
	assert_int_equal(tl_engine_get(f->engine, NULL, home, str("a"), &untouched, &len), TL_NOT_FOUND);
	assert_ptr_equal(untouched, f);
	assert_int_equal(len, 77);

	must_put(f->engine, home, "a", "1");
	must_hold_str(f->engine, NULL, "a", "1");
	must_put(f->engine, home, "a", "2");
	must_hold_str(f->engine, NULL, "a", "2");

	struct tl_batch *batch = new_batch(f->engine);
	tl_batch_delete(batch, home, str("a"));
	tl_batch_delete(batch, home, str("never there"));
	assert_int_equal(commit_and_free(f->engine, batch), TL_OK);
	assert_int_equal(get_error(f->engine, NULL, home, "a"), TL_NOT_FOUND);
}

static void test_empty_and_long(void **state)
{
	struct fixture *f = *state;
	struct tl_slice nothing = tl_slice(NULL, 0);
	assert_int_equal(put(f->engine, home, str("empty"), nothing), TL_OK);
	assert_int_equal(put(f->engine, home, nothing, str("no key")), TL_OK);
	must_hold(f->engine, NULL, home, str("empty"), nothing);
	must_hold(f->engine, NULL, home, nothing, str("no key"));

	char bytes[5000];
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)(i * 7);
	static const size_t lens[] = {TL_DB_KEY_STACK - 4, TL_DB_KEY_STACK - 3, TL_DB_KEY_STACK - 2, TL_DB_KEY_STACK, 5000};
	for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
		struct tl_slice key = tl_slice(bytes, lens[i]);
		assert_int_equal(put(f->engine, home, key, tl_slice(bytes, i)), TL_OK);
		must_hold(f->engine, NULL, home, key, tl_slice(bytes, i));
	}
	struct tl_iter *iter = new_iter(f->engine, NULL, home);
	assert_true(tl_iter_seek(iter, tl_slice(bytes, 5000)));
	assert_int_equal(tl_iter_key(iter).len, 5000);
	assert_true(tl_iter_seek_before(iter, tl_slice(bytes, 5000)));
	assert_int_equal(tl_iter_key(iter).len, TL_DB_KEY_STACK);
	tl_iter_free(iter);
}

static void test_ordered_ints_sort_like_numbers(void **state)
{
	struct fixture *f = *state;
	uint64_t numbers[3 * 64 + 1];
	size_t count = 0;
	numbers[count++] = 0;
	for (int bit = 0; bit < 64; bit++) { /* around every power of two, ascending and without repeats */
		uint64_t power = (uint64_t)1 << bit;
		for (uint64_t n = power - (bit > 1); n <= power + (bit > 1); n++) {
			if (n > numbers[count - 1])
				numbers[count++] = n;
		}
	}
	numbers[count++] = UINT64_MAX;
	struct tl_batch *batch = new_batch(f->engine);
	for (size_t i = count; i-- > 0;) {
		unsigned char key[TL_ORDERED_INT_MAX];
		size_t len = tl_ordered_int_put(key, numbers[i]);
		tl_batch_put(batch, home, tl_slice(key, len), str("x"));
	}
	assert_int_equal(commit_and_free(f->engine, batch), TL_OK);

	struct tl_iter *iter = new_iter(f->engine, NULL, home);
	bool found = tl_iter_seek(iter, str(""));
	for (size_t i = 0; i < count; i++, found = tl_iter_next(iter)) {
		uint64_t number = 1;
		assert_true(found);
		struct tl_slice key = tl_iter_key(iter);
		assert_int_equal(tl_ordered_int_get(key.ptr, key.len, &number), key.len);
		assert_true(number == numbers[i]);
	}
	expect_nothing(iter, found);
	tl_iter_free(iter);
}

/* In reading order. The items are "", "m" and 12 bytes of 0xff: at the very edges of a partition. */
static const struct tl_partition partitions[] = {
	{0, 0, 0}, {0, 1, 0},          {0, 255, 0}, {0, 256, 0},   {0, 257, 0},
	{1, 0, 0}, {7, UINT64_MAX, 0}, {8, 0, 0},   {255, 255, 0}, {255, UINT64_MAX - 255, 0},
	{255, UINT64_MAX, 0},
};
static const char *const edge_keys[] = {"", "m", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"};
enum { PARTITIONS = sizeof partitions / sizeof partitions[0], EDGE_KEYS = 3 };

static void expect_own_item(struct tl_iter *iter, bool found, size_t partition, size_t key)
{
	expect_at(iter, found, edge_keys[key]);
	assert_int_equal(tl_iter_value(iter).len, 1);
	assert_int_equal(*(const char *)tl_iter_value(iter).ptr, (char)partition);
}

static void check_partition(struct tl_iter *iter, size_t p)
{
	bool found = tl_iter_seek(iter, str(""));
	for (size_t k = 0; k < EDGE_KEYS; k++, found = tl_iter_next(iter))
		expect_own_item(iter, found, p, k);
	expect_nothing(iter, found);

	found = tl_iter_seek_last(iter);
	for (size_t k = EDGE_KEYS; k-- > 0; found = tl_iter_prev(iter))
		expect_own_item(iter, found, p, k);
	expect_nothing(iter, found);

	expect_nothing(iter, tl_iter_seek_before(iter, str("")));
	expect_own_item(iter, tl_iter_seek_before(iter, str("a")), p, 0);
	expect_own_item(iter, tl_iter_seek_before(iter, str("m")), p, 0);
	expect_own_item(iter, tl_iter_seek_before(iter, str("n")), p, 1);
	expect_own_item(iter, tl_iter_seek_before(iter, str(edge_keys[2])), p, 1);
	char above[64];
	memset(above, 0xff, sizeof above);
	expect_own_item(iter, tl_iter_seek_before(iter, tl_slice(above, sizeof above)), p, 2);
	expect_nothing(iter, tl_iter_seek(iter, tl_slice(above, sizeof above)));
}

static void test_partitions_are_isolated(void **state)
{
	struct fixture *f = *state;
	for (size_t p = 0; p < PARTITIONS; p++) {
		char value = (char)p;
		for (size_t k = 0; k < EDGE_KEYS; k++)
			assert_int_equal(put(f->engine, partitions[p], str(edge_keys[k]), tl_slice(&value, 1)), TL_OK);
	}
	struct tl_iter *wanderer = new_iter(f->engine, NULL, home);
	for (size_t p = 0; p < PARTITIONS; p++) {
		struct tl_iter *iter = new_iter(f->engine, NULL, partitions[p]);
		check_partition(iter, p);
		tl_iter_free(iter);
		tl_iter_retarget(wanderer, partitions[PARTITIONS - 1 - p]);
		check_partition(wanderer, PARTITIONS - 1 - p);
	}
	tl_iter_free(wanderer);
}

static void test_empty_partitions_show_nothing(void **state)
{
	struct fixture *f = *state;
	static const struct tl_partition empty[] = {{0, 0, 0}, {7, 41, 0}, {7, 43, 0}, {7, UINT64_MAX, 0}, {255, UINT64_MAX, 0}};
	for (int filled = 0; filled < 2; filled++) { /* an empty database first, then one with a neighbour */
		struct tl_iter *iter = new_iter(f->engine, NULL, home);
		for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
			tl_iter_retarget(iter, empty[i]);
			expect_nothing(iter, tl_iter_seek(iter, str("")));
			expect_nothing(iter, tl_iter_seek_last(iter));
			expect_nothing(iter, tl_iter_seek_before(iter, str("")));
			expect_nothing(iter, tl_iter_seek_before(iter, str("zzz")));
		}
		tl_iter_free(iter);
		must_put(f->engine, home, "a", "1");
	}
}

static void test_seek(void **state)
{
	struct fixture *f = *state;
	must_put(f->engine, home, "b", "1");
	must_put(f->engine, home, "d", "2");
	must_put(f->engine, home, "dd", "3");
	struct tl_iter *iter = new_iter(f->engine, NULL, home);
	expect_at(iter, tl_iter_seek(iter, str("a")), "b");
	expect_at(iter, tl_iter_seek(iter, str("b")), "b");
	expect_at(iter, tl_iter_seek(iter, str("c")), "d");
	expect_at(iter, tl_iter_seek(iter, str("da")), "dd");
	expect_nothing(iter, tl_iter_seek(iter, str("e")));
	expect_at(iter, tl_iter_seek_before(iter, str("dd")), "d");
	expect_at(iter, tl_iter_seek_before(iter, str("e")), "dd");
	expect_nothing(iter, tl_iter_seek_before(iter, str("b")));
	expect_at(iter, tl_iter_seek_last(iter), "dd");
	/* turning round */
	expect_at(iter, tl_iter_prev(iter), "d");
	expect_at(iter, tl_iter_next(iter), "dd");
	expect_at(iter, tl_iter_prev(iter), "d");
	expect_at(iter, tl_iter_prev(iter), "b");
	expect_nothing(iter, tl_iter_prev(iter));
	tl_iter_free(iter);
	tl_iter_free(NULL);
}

static void test_snapshot_is_frozen(void **state)
{
	struct fixture *f = *state;
	must_put(f->engine, home, "a", "old");
	must_put(f->engine, home, "b", "kept");
	struct tl_snapshot *snapshot = NULL;
	assert_int_equal(tl_snapshot_new(f->engine, &snapshot), TL_OK);
	must_put(f->engine, home, "a", "new");
	must_put(f->engine, home, "c", "later");
	struct tl_batch *batch = new_batch(f->engine);
	tl_batch_delete(batch, home, str("b"));
	assert_int_equal(commit_and_free(f->engine, batch), TL_OK);

	must_hold_str(f->engine, snapshot, "a", "old");
	must_hold_str(f->engine, snapshot, "b", "kept");
	assert_int_equal(get_error(f->engine, snapshot, home, "c"), TL_NOT_FOUND);
	struct tl_iter *iter = new_iter(f->engine, snapshot, home);
	expect_at(iter, tl_iter_seek_last(iter), "b");
	expect_at(iter, tl_iter_prev(iter), "a");
	assert_true(tl_slice_equal(tl_iter_value(iter), str("old")));
	tl_iter_free(iter);
	tl_snapshot_free(snapshot);
	tl_snapshot_free(NULL);

	must_hold_str(f->engine, NULL, "a", "new");
	assert_int_equal(get_error(f->engine, NULL, home, "b"), TL_NOT_FOUND);
}

/* --- writes --- */

static void test_batch(void **state)
{
	struct fixture *f = *state;
	struct tl_batch *batch = new_batch(f->engine);
	size_t empty_bytes = tl_batch_bytes(batch);
	assert_int_equal(tl_batch_count(batch), 0);
	tl_batch_put(batch, home, str("dropped"), str("x"));
	tl_batch_guard(batch, home, str("dropped"), &(struct tl_slice){"nobody's", 8});
	tl_batch_clear(batch);
	assert_int_equal(tl_batch_count(batch), 0);
	assert_int_equal(tl_batch_bytes(batch), empty_bytes);

	tl_batch_put(batch, home, str("a"), str("first"));
	tl_batch_put(batch, home, str("a"), str("second"));
	tl_batch_put(batch, home, str("b"), str("gone"));
	tl_batch_delete(batch, home, str("b"));
	tl_batch_delete(batch, home, str("c"));
	tl_batch_put(batch, home, str("c"), str("back"));
	assert_int_equal(tl_batch_count(batch), 6);
	assert_in_range(tl_batch_bytes(batch), empty_bytes + 21, empty_bytes + 200);
	assert_int_equal(get_error(f->engine, NULL, home, "a"), TL_NOT_FOUND);

	struct tl_why why;
	for (int i = 0; i < 2; i++) { /* it stays as it is, and can be committed again */
		assert_int_equal(tl_engine_commit(f->engine, batch, i, &why), TL_OK);
		assert_int_equal(tl_batch_count(batch), 6);
		must_hold_str(f->engine, NULL, "a", "second");
		assert_int_equal(get_error(f->engine, NULL, home, "b"), TL_NOT_FOUND);
		must_hold_str(f->engine, NULL, "c", "back");
		assert_int_equal(get_error(f->engine, NULL, home, "dropped"), TL_NOT_FOUND);
	}
	tl_batch_clear(batch);
	assert_int_equal(tl_engine_commit(f->engine, batch, true, &why), TL_OK);
	tl_batch_free(batch);
	tl_batch_free(NULL);
}

static enum tl_err put_guarded(struct tl_engine *engine, const char *key, const char *expected, const char *value)
{
	struct tl_batch *batch = new_batch(engine);
	struct tl_slice slice = str(expected ? expected : "");
	tl_batch_guard(batch, home, str("untouched"), NULL);
	tl_batch_guard(batch, home, str(key), expected ? &slice : NULL);
	tl_batch_put(batch, home, str(key), str(value));
	return commit_and_free(engine, batch);
}

static void test_guards(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(put_guarded(f->engine, "a", "1", "2"), TL_CONFLICT);
	assert_int_equal(put_guarded(f->engine, "a", "", "2"), TL_CONFLICT);
	assert_int_equal(get_error(f->engine, NULL, home, "a"), TL_NOT_FOUND);
	assert_int_equal(put_guarded(f->engine, "a", NULL, ""), TL_OK);
	assert_int_equal(put_guarded(f->engine, "a", NULL, "2"), TL_CONFLICT);
	assert_int_equal(put_guarded(f->engine, "a", "", "3"), TL_OK);
	assert_int_equal(put_guarded(f->engine, "a", "33", "4"), TL_CONFLICT);
	assert_int_equal(put_guarded(f->engine, "a", "3", "4"), TL_OK);
	must_hold_str(f->engine, NULL, "a", "4");
	must_put(f->engine, home, "untouched", "no more");
	assert_int_equal(put_guarded(f->engine, "a", "4", "5"), TL_CONFLICT);
	must_hold_str(f->engine, NULL, "a", "4");
}

enum { INCREMENTS = 200 };

static void increment(struct tl_engine *engine)
{
	enum tl_err err = TL_CONFLICT;
	while (err == TL_CONFLICT) {
		char *value = NULL, next[24];
		size_t len = 0;
		if (tl_engine_get(engine, NULL, home, str("n"), &value, &len) != TL_OK)
			abort();
		struct tl_slice expected = tl_slice(value, len);
		struct tl_batch *batch = NULL;
		if (tl_batch_new(engine, &batch) != TL_OK)
			abort();
		snprintf(next, sizeof next, "%.*d", 6, atoi(value) + 1);
		tl_batch_guard(batch, home, str("n"), &expected);
		tl_batch_put(batch, home, str("n"), tl_slice(next, strlen(next) + 1));
		err = tl_engine_commit(engine, batch, false, NULL);
		tl_batch_free(batch);
		free(value);
	}
	if (err)
		abort();
}

static void *increment_many(void *arg)
{
	for (int i = 0; i < INCREMENTS; i++)
		increment(arg);
	return NULL;
}

static void test_guards_of_several_writers(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(put(f->engine, home, str("n"), tl_slice("0", 2)), TL_OK);
	pthread_t others[2];
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&others[i], NULL, increment_many, f->engine), 0);
	increment_many(f->engine);
	for (int i = 0; i < 2; i++)
		pthread_join(others[i], NULL);
	char expected[24];
	snprintf(expected, sizeof expected, "%.*d", 6, 3 * INCREMENTS);
	must_hold(f->engine, NULL, home, str("n"), tl_slice(expected, strlen(expected) + 1));
}

/* --- failures --- */

/* Writes of more than 8 KiB fail, as on a full disk. */
static void limit_file_size(bool limited)
{
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = limited ? 8192 : limit.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_failed_write_stops_writing_until_reopen(void **state)
{
	struct fixture *f = *state;
	must_put(f->engine, home, "before", "1");
	char *large = calloc(1, 200000);
	assert_non_null(large);
	limit_file_size(true);
	enum tl_err err = put(f->engine, home, str("large"), tl_slice(large, 200000));
	limit_file_size(false);
	free(large);
	assert_int_equal(err, TL_IO);
	/* There is room again, but behind a torn record nothing would survive. */
	assert_int_equal(put(f->engine, home, str("lost"), str("1")), TL_IO);
	must_hold_str(f->engine, NULL, "before", "1");

	struct tl_why why;
	assert_int_equal(tl_engine_reopen(f->engine, &why), TL_OK);
	must_put(f->engine, home, "after", "1");
	assert_int_equal(tl_engine_reopen(f->engine, &why), TL_OK);
	must_hold_str(f->engine, NULL, "before", "1");
	must_hold_str(f->engine, NULL, "after", "1");
	assert_int_equal(get_error(f->engine, NULL, home, "large"), TL_NOT_FOUND);
	assert_int_equal(get_error(f->engine, NULL, home, "lost"), TL_NOT_FOUND);
}

static void expect_out_of_order(struct tl_engine *engine)
{
	struct tl_snapshot *snapshot = NULL;
	struct tl_iter *iter = NULL;
	struct tl_drop dropped = {.limit = 10};
	assert_int_equal(get_error(engine, NULL, home, "a"), TL_IO);
	assert_int_equal(tl_snapshot_new(engine, &snapshot), TL_IO);
	assert_int_equal(tl_iter_new(engine, NULL, home, true, &iter), TL_IO);
	assert_int_equal(put(engine, home, str("a"), str("2")), TL_IO);
	assert_int_equal(tl_engine_drop_range(engine, home, str(""), str(""), &dropped), TL_IO);
	assert_int_equal(tl_engine_size(engine, home, str(""), str("")), 0);
	struct tl_compact_place place = {{0}};
	assert_int_equal(tl_engine_family_size(engine, home.kind), 0);
	assert_false(tl_engine_compact_next(engine, home.kind, &place, 1000));
}

static void test_failed_reopen(void **state)
{
	struct fixture *f = *state;
	must_put(f->engine, home, "a", "1");
	char aside[320], left_over[320];
	snprintf(aside, sizeof aside, "%s/aside", f->dir.path);
	snprintf(left_over, sizeof left_over, "%s/left_over", f->dir.path);
	struct tl_why why = {""};
	assert_int_equal(rename(f->dir.db, aside), 0);
	assert_int_equal(tl_engine_reopen(f->engine, &why), TL_IO); /* not an empty database */
	assert_true(why.text[0]);
	expect_out_of_order(f->engine);
	assert_int_not_equal(tl_engine_reopen(f->engine, &why), TL_OK);
	assert_int_equal(rename(f->dir.db, left_over), 0);
	assert_int_equal(rename(aside, f->dir.db), 0);
	assert_int_equal(tl_engine_reopen(f->engine, &why), TL_OK);
	must_hold_str(f->engine, NULL, "a", "1");
}

/* --- reopen --- */

static void test_reopen_keeps_data(void **state)
{
	struct fixture *f = *state;
	must_put(f->engine, home, "a", "1");
	struct tl_batch *batch = new_batch(f->engine);
	tl_batch_put(batch, home, str("b"), str("2"));
	struct tl_why why;
	for (int i = 0; i < 3; i++)
		assert_int_equal(tl_engine_reopen(f->engine, &why), TL_OK);
	must_hold_str(f->engine, NULL, "a", "1");
	assert_int_equal(commit_and_free(f->engine, batch), TL_OK); /* a batch outlives it */
	must_hold_str(f->engine, NULL, "b", "2");
	expect_open_fails(f->dir.db, TL_LOCKED);
}

struct reopener {
	struct tl_engine *engine;
	pthread_t thread;
	atomic_bool done;
	enum tl_err err;
};

static void *reopen_it(void *arg)
{
	struct reopener *r = arg;
	r->err = tl_engine_reopen(r->engine, NULL);
	atomic_store(&r->done, true);
	return NULL;
}

/* Starts a reopen in another thread, and returns when it waits for us. */
static void start_reopen(struct reopener *r, struct tl_engine *engine)
{
	*r = (struct reopener){.engine = engine};
	assert_int_equal(pthread_create(&r->thread, NULL, reopen_it, r), 0);
	enum tl_db_state now = TL_DB_READY;
	while (now != TL_DB_DRAINING) {
		pthread_mutex_lock(&engine->mutex);
		now = engine->state;
		pthread_mutex_unlock(&engine->mutex);
	}
}

static void finish_reopen(struct reopener *r)
{
	pthread_join(r->thread, NULL);
	assert_int_equal(r->err, TL_OK);
}

static void test_reopen_waits_for_snapshot(void **state)
{
	struct fixture *f = *state;
	must_put(f->engine, home, "a", "1");
	struct tl_snapshot *snapshot = NULL;
	assert_int_equal(tl_snapshot_new(f->engine, &snapshot), TL_OK);
	struct reopener r;
	start_reopen(&r, f->engine);
	/* What the snapshot covers goes on. */
	must_hold_str(f->engine, snapshot, "a", "1");
	struct tl_iter *iter = new_iter(f->engine, snapshot, home);
	expect_at(iter, tl_iter_seek(iter, str("")), "a");
	tl_iter_free(iter);
	assert_false(atomic_load(&r.done));
	tl_snapshot_free(snapshot);
	finish_reopen(&r);
	must_hold_str(f->engine, NULL, "a", "1");
}

/* What is needed for opening is held from before the database is closed until then; one large batch in the log may need
 * more than the write buffer. */
static void test_reopen_holds_room(void **state)
{
	struct fixture *f = *state;
	char room[320];
	struct stat st;
	struct tl_snapshot *snapshot = NULL;
	struct reopener r;
	size_t len = (size_t)f->engine->write_buffer_bytes * 2;
	char *big = calloc(1, len + 1);
	assert_non_null(big);
	memset(big, 'x', len);
	must_put(f->engine, home, "big", big);
	snprintf(room, sizeof room, "%s/room", f->dir.db);
	assert_int_equal(tl_snapshot_new(f->engine, &snapshot), TL_OK);
	start_reopen(&r, f->engine);
	assert_int_equal(stat(room, &st), 0);
	assert_true((size_t)st.st_size > len);
	tl_snapshot_free(snapshot);
	finish_reopen(&r);
	assert_int_not_equal(stat(room, &st), 0);
	must_hold_str(f->engine, NULL, "big", big);
	free(big);
}

static void test_reopen_does_not_deadlock_with_a_reader_that_reads_on(void **state)
{
	struct fixture *f = *state;
	must_put(f->engine, home, "a", "1");
	struct tl_iter *iter = new_iter(f->engine, NULL, home);
	struct reopener r;
	start_reopen(&r, f->engine);
	/* The reopen waits for our iterator, and this get would wait for the reopen (L3). */
	must_hold_str(f->engine, NULL, "a", "1");
	must_put(f->engine, home, "b", "2");
	expect_at(iter, tl_iter_seek(iter, str("")), "a");
	assert_false(atomic_load(&r.done));
	tl_iter_free(iter);
	finish_reopen(&r);
	must_hold_str(f->engine, NULL, "b", "2");
}

struct readers {
	struct tl_engine *engine;
	atomic_bool stop;
	atomic_uint errors;
	atomic_uint reads;
};

static void *read_on(void *arg)
{
	struct readers *r = arg;
	while (!atomic_load(&r->stop)) {
		struct tl_snapshot *snapshot = NULL;
		char *value = NULL;
		size_t len = 0;
		if (tl_snapshot_new(r->engine, &snapshot) != TL_OK ||
		    tl_engine_get(r->engine, snapshot, home, str("a"), &value, &len) != TL_OK)
			atomic_fetch_add(&r->errors, 1);
		free(value);
		tl_snapshot_free(snapshot);
		if (get_error(r->engine, NULL, home, "a") != TL_OK)
			atomic_fetch_add(&r->errors, 1);
		atomic_fetch_add(&r->reads, 1);
	}
	return NULL;
}

static void test_reopen_under_load(void **state)
{
	struct fixture *f = *state;
	must_put(f->engine, home, "a", "1");
	struct readers r = {.engine = f->engine};
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_on, &r), 0);
	for (int i = 0; i < 10; i++) {
		unsigned reads = atomic_load(&r.reads);
		assert_int_equal(tl_engine_reopen(f->engine, NULL), TL_OK);
		must_put(f->engine, home, "b", "2");
		while (atomic_load(&r.reads) == reads) /* they all go on afterwards */
			sched_yield();
	}
	atomic_store(&r.stop, true);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&r.errors), 0);
}

/* --- upkeep --- */

static bool count_down(void *ctx)
{
	return --*(unsigned *)ctx > 0;
}

/* It is asked after each batch whether to go on. */
static void test_drop_is_stopped(void **state)
{
	struct fixture *f = *state;
	unsigned batches = 2;
	struct tl_drop dropped = {.limit = UINT64_MAX, .go_on = count_down, .ctx = &batches};
	put_numbered(f->engine, home, 3500);
	assert_int_equal(tl_engine_drop_range(f->engine, home, str(""), str(""), &dropped), TL_CLOSED);
	assert_int_equal(dropped.keys, 2000);
	batches = 100;
	assert_int_equal(tl_engine_drop_range(f->engine, home, str(""), str(""), &dropped), TL_OK);
	assert_int_equal(dropped.keys, 3500);
	assert_int_equal(count_items(f->engine, home), 0);
}

static void test_drop_range(void **state)
{
	struct fixture *f = *state;
	const struct tl_partition before = {7, 41, 0}, after = {7, 43, 0};
	put_numbered(f->engine, before, 3);
	put_numbered(f->engine, home, 3500);
	put_numbered(f->engine, after, 3);

	assert_int_equal(drop(f->engine, home, "", "", 0), 0);
	assert_int_equal(drop(f->engine, home, "00010", "00010", 100), 0);
	assert_int_equal(drop(f->engine, home, "00010", "00020", 100), 10);
	assert_int_equal(get_error(f->engine, NULL, home, "00009"), TL_OK);
	assert_int_equal(get_error(f->engine, NULL, home, "00010"), TL_NOT_FOUND);
	assert_int_equal(get_error(f->engine, NULL, home, "00019"), TL_NOT_FOUND);
	assert_int_equal(get_error(f->engine, NULL, home, "00020"), TL_OK);
	assert_int_equal(drop(f->engine, home, "", "", 5), 5);
	assert_int_equal(get_error(f->engine, NULL, home, "00004"), TL_NOT_FOUND);
	assert_int_equal(get_error(f->engine, NULL, home, "00005"), TL_OK);
	assert_int_equal(drop(f->engine, home, "", "01000", 1000), 985); /* 5–9 and 20–999 */
	assert_int_equal(drop(f->engine, home, "", "02000", 1000), 1000); /* exactly a batch */
	assert_int_equal(drop(f->engine, home, "", "", 1200), 1200);
	assert_int_equal(drop(f->engine, home, "", "", UINT64_MAX), 300);
	assert_int_equal(drop(f->engine, home, "", "", UINT64_MAX), 0);

	assert_int_equal(count_items(f->engine, home), 0);
	assert_int_equal(count_items(f->engine, before), 3);
	assert_int_equal(count_items(f->engine, after), 3);
}

/* Calls of read(2) and its like that this process has made so far. */
static unsigned long reads_so_far(void)
{
	char line[100];
	unsigned long count = 0;
	FILE *file = fopen("/proc/self/io", "r");
	assert_non_null(file);
	while (fgets(line, sizeof line, file))
		sscanf(line, "syscr: %lu", &count);
	fclose(file);
	return count;
}

/* What is in no table is not looked for in one: of a family by its number, of no family by its key. */
static void test_filter(void **state)
{
	enum { NUMBERS = 4000, ASKED = 200 };
	struct fixture *f = *state;
	for (uint8_t family = 0; family < 2; family++) {
		struct tl_partition partition = {.kind = 'u', .family = family};
		for (partition.no = 0; partition.no < 2 * NUMBERS; partition.no += 2)
			put_random(f->engine, partition, 1);
		compact(f->engine, tl_partition_family(partition), UINT64_MAX);
		struct tl_why why;
		assert_int_equal(tl_engine_reopen(f->engine, &why), TL_OK);
		partition.no = 0;
		assert_int_equal(count_items(f->engine, partition), 1); /* so the table is open */
		unsigned long before = reads_so_far();
		for (partition.no = 1; partition.no < 2 * NUMBERS; partition.no += 2 * NUMBERS / ASKED)
			assert_int_equal(get_error(f->engine, NULL, partition, ""), TL_NOT_FOUND);
		assert_in_range(reads_so_far() - before, 0, ASKED / 5);
		for (partition.no = 0; partition.no < 2 * NUMBERS; partition.no += 2)
			assert_int_equal(count_items(f->engine, partition), 1);
	}
}

/* Partitions of a family: side by side on disk, and none shows what is another's. */
static void test_family(void **state)
{
	enum { FAMILY = 1 };
	static const uint8_t kinds[] = {'M', 'c', 0xfe};
	struct fixture *f = *state;
	struct tl_batch *batch;
	struct tl_iter *iter;
	assert_int_equal(tl_batch_new(f->engine, &batch), TL_OK);
	for (uint64_t no = 254; no < 258; no++)
		for (size_t i = 0; i < 3; i++) {
			struct tl_partition partition = {.kind = kinds[i], .no = no, .family = FAMILY};
			tl_batch_put(batch, partition, str(""), str("first"));
			tl_batch_put(batch, partition, tl_slice("\xff\xff", 2), str("last"));
		}
	assert_int_equal(commit_and_free(f->engine, batch), TL_OK);
	for (uint64_t no = 254; no < 258; no++)
		for (size_t i = 0; i < 3; i++) {
			struct tl_partition partition = {.kind = kinds[i], .no = no, .family = FAMILY};
			assert_int_equal(tl_iter_new(f->engine, NULL, partition, true, &iter), TL_OK);
			assert_true(tl_iter_seek(iter, str("")));
			assert_true(tl_slice_equal(tl_iter_value(iter), str("first")));
			assert_false(tl_iter_prev(iter));
			assert_true(tl_iter_seek_last(iter));
			assert_true(tl_slice_equal(tl_iter_value(iter), str("last")));
			assert_false(tl_iter_next(iter));
			tl_iter_free(iter);
			assert_int_equal(count_items(f->engine, partition), 2);
		}
	struct tl_drop dropped = {.limit = UINT64_MAX};
	assert_int_equal(tl_engine_drop_range(f->engine, (struct tl_partition){.kind = 'c', .no = 255, .family = FAMILY},
	                                      str(""), str(""), &dropped),
	                 TL_OK);
	assert_int_equal(dropped.keys, 2);
	assert_int_equal(count_items(f->engine, (struct tl_partition){.kind = 'c', .no = 255}), 0);
	assert_int_equal(count_items(f->engine, (struct tl_partition){.kind = 'M', .no = 255, .family = FAMILY}), 2);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return be_elsewhere(argv[1]);
	const struct CMUnitTest tests[] = {
		TEST(test_background_thread_takes_no_signals), /* first: later tests make threads of their own */
		TEST(test_second_open_is_locked_out),
		TEST(test_unusable_path),
		TEST(test_directory_is_private),
		TEST(test_messages_become_errors),
		TEST(test_no_bloom_no_compression),
		TEST(test_put_get_delete),
		TEST(test_empty_and_long),
		TEST(test_ordered_ints_sort_like_numbers),
		TEST(test_partitions_are_isolated),
		TEST(test_empty_partitions_show_nothing),
		TEST(test_seek),
		TEST(test_snapshot_is_frozen),
		TEST(test_batch),
		TEST(test_guards),
		TEST(test_guards_of_several_writers),
		TEST(test_failed_write_stops_writing_until_reopen),
		TEST(test_failed_reopen),
		TEST(test_reopen_keeps_data),
		TEST(test_reopen_waits_for_snapshot),
		TEST(test_reopen_holds_room),
		TEST(test_reopen_does_not_deadlock_with_a_reader_that_reads_on),
		TEST(test_reopen_under_load),
		TEST(test_drop_range),
		TEST(test_drop_is_stopped),
		TEST(test_family),
		TEST(test_filter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
