/* Files of the database that are damaged, missing or cannot be read: asking for what is in them is an error, and the rest is there
 * (storage/engine.h, storage/leveldb_env.h). */
#include "engine_fixture.h"
#include "varint.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- damaged tables --- */

struct damaging {
	void (*damage)(int fd);
	unsigned tables; /* so far */
};

static void damage_one(int dir, const char *name, void *ctx)
{
	struct damaging *damaging = ctx;
	int fd = openat(dir, name, O_RDWR);
	assert_true(fd >= 0);
	damaging->damage(fd);
	close(fd);
	damaging->tables++;
}

static void damage_tables(const struct fixture *f, void (*damage)(int fd))
{
	struct damaging damaging = {.damage = damage};
	each_file(f, ".ldb", damage_one, &damaging);
	assert_true(damaging.tables > 0);
}

/* Damages the first data block. */
static void damage_first_block(int fd)
{
	overwrite(fd, 20, "damage", 6);
}

static void test_damage_is_reported(void **state)
{
	struct fixture *f = *state;
	put_numbered(f->engine, home, 5000);
	compact(f->engine, home.kind, UINT64_MAX);
	close_engine(f);
	damage_tables(f, damage_first_block);
	open_engine(f);
	assert_int_equal(get_error(f->engine, NULL, home, "00000"), TL_CORRUPT);
	struct tl_iter *iter = new_iter(f->engine, NULL, home);
	assert_false(tl_iter_seek(iter, str("")));
	assert_int_equal(tl_iter_error(iter), TL_CORRUPT);
	tl_iter_free(iter);
	/* Backwards it runs into the damage at the end, and says so. */
	iter = new_iter(f->engine, NULL, home);
	bool more = tl_iter_seek_last(iter);
	assert_true(more);
	while (more)
		more = tl_iter_prev(iter);
	assert_int_equal(tl_iter_error(iter), TL_CORRUPT);
	tl_iter_free(iter);
}

enum { FOOTER = 48 }; /* bytes, at the end */

/* Makes the footer say that the table's first block is far larger than the table. */
static void damage_footer(int fd)
{
	static const unsigned char large[] = {0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
	off_t footer = lseek(fd, 0, SEEK_END) - FOOTER;
	for (int block = 0; block < 2; block++)
		overwrite(fd, footer + block * (off_t)sizeof large, large, sizeof large);
}

/* LevelDB would ask for as much memory, and with it end the process. */
static void test_damaged_footer(void **state)
{
	struct fixture *f = *state;
	put_numbered(f->engine, home, 5000);
	compact(f->engine, home.kind, UINT64_MAX);
	close_engine(f);
	damage_tables(f, damage_footer);
	open_engine(f);
	assert_int_equal(get_error(f->engine, NULL, home, "00010"), TL_CORRUPT);
}

/* Where the list of filters begins, and where the index does. */
static void read_footer(int fd, uint64_t *filters_out, uint64_t *index_out)
{
	unsigned char footer[FOOTER];
	const unsigned char *at = footer, *end = footer + sizeof footer;
	uint64_t filters_len = 0;
	assert_int_equal(pread(fd, footer, sizeof footer, lseek(fd, 0, SEEK_END) - FOOTER), sizeof footer);
	assert_true(tl_varint_get(&at, end, filters_out));
	assert_true(tl_varint_get(&at, end, &filters_len));
	assert_true(tl_varint_get(&at, end, index_out));
}

/* Blanks a part of the filter, which ends, with where in it whose filter is and its trailer, where the list of filters begins. */
static void damage_filter(int fd)
{
	enum { LEN = 2000 };
	uint64_t filters = 0, index = 0;
	read_footer(fd, &filters, &index);
	blank(fd, (off_t)filters - 1000 - LEN, LEN);
}

static void damage_index(int fd)
{
	uint64_t filters = 0, index = 0;
	read_footer(fd, &filters, &index);
	blank(fd, (off_t)index + 10, 300);
}

/* Of which the filter notes each key. */
static const struct tl_partition each_noted = {TL_FAMILIES_END, 42, 0};

static enum tl_err get_numbered(struct tl_engine *engine, int number)
{
	char key[16];
	snprintf(key, sizeof key, "%05d", number);
	return get_error(engine, NULL, each_noted, key);
}

/* LevelDB checks neither: it would trip over the one, and find too little with the other. */
static void test_damaged_index_and_filter(void **state)
{
	struct fixture *f = *state;
	open_uncompressed(f);
	put_numbered(f->engine, each_noted, 5000);
	compact(f->engine, each_noted.kind, UINT64_MAX);
	damage_tables(f, damage_filter);
	open_uncompressed(f);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(get_numbered(f->engine, i), TL_OK);
	damage_tables(f, damage_index);
	open_uncompressed(f);
	for (int i = 0; i < 5000; i += 100)
		assert_int_equal(get_numbered(f->engine, i), TL_CORRUPT);
}

static void empty(int fd)
{
	assert_int_equal(ftruncate(fd, 0), 0);
}

/* Reading a mapped file whose blocks are not there would be SIGBUS. */
static void test_unreadable_table_is_an_error(void **state)
{
	struct fixture *f = *state;
	put_numbered(f->engine, home, 5000);
	compact(f->engine, home.kind, UINT64_MAX);
	struct tl_why why;
	assert_int_equal(tl_engine_reopen(f->engine, &why), TL_OK);
	must_hold_str(f->engine, NULL, "00000", "value"); /* so its table is open */
	damage_tables(f, empty);
	assert_int_equal(get_error(f->engine, NULL, home, "04999"), TL_CORRUPT);
}

static void blank_beginning(int fd)
{
	blank(fd, 100, 3000);
}

/* LevelDB does not check what it merges: it would trip over it, or copy it as sound. */
static void test_damage_is_not_merged(void **state)
{
	struct fixture *f = *state;
	open_uncompressed(f);
	put_numbered(f->engine, home, 5000);
	compact(f->engine, home.kind, UINT64_MAX);
	damage_tables(f, blank_beginning);
	open_uncompressed(f);
	must_put(f->engine, home, "00000+", "value");
	compact(f->engine, home.kind, UINT64_MAX);
	assert_int_equal(get_error(f->engine, NULL, home, "00010"), TL_CORRUPT);
	must_hold_str(f->engine, NULL, "04999", "value");
}

/* After a merge that met a damaged table LevelDB does not write any more. Opened again it does, for as long as it can do
 * without merging. */
static void test_writing_goes_on_beside_damage(void **state)
{
	enum { MEMTABLE = 5000, TRIES_MAX = 100, MORE = 3 };
	struct fixture *f = *state;
	struct tl_why why;
	for (int i = 0; i < 4; i++) /* all over the same range, so that they are on several levels */
		put_random(f->engine, home, MEMTABLE);
	damage_tables(f, blank_beginning);
	open_uncompressed(f);
	for (int i = 0; i < 3; i++)
		put_random(f->engine, home, MEMTABLE);
	enum tl_err err = TL_OK;
	for (int i = 0; i < TRIES_MAX && err == TL_OK; i++) {
		usleep(10000); /* level 0 is full, and is being merged */
		err = put(f->engine, home, str("00000"), str("value"));
	}
	assert_int_equal(err, TL_IO);
	assert_int_equal(tl_engine_reopen(f->engine, &why), TL_OK);
	for (int i = 0; i < MORE; i++) {
		put_random(f->engine, home, MEMTABLE);
		usleep(50000);
	}
}

/* --- unreadable and missing files --- */

static void note_name(int dir, const char *name, void *ctx)
{
	(void)dir;
	snprintf(ctx, NAME_MAX + 1, "%s", name);
}

/* The database's log gets another name, and something that cannot be opened or read gets its own; and back again. */
static void hide_log(const struct fixture *f, bool hide, int (*make)(const char *path))
{
	char name[NAME_MAX + 1] = "", log[640], aside[320];
	each_file(f, ".log", note_name, name);
	assert_true(name[0] != '\0');
	snprintf(log, sizeof log, "%s/%s", f->dir.db, name);
	snprintf(aside, sizeof aside, "%s/aside", f->dir.path);
	assert_int_equal(hide ? rename(log, aside) : remove(log), 0);
	assert_int_equal(hide ? make(log) : rename(aside, log), 0);
}

static int make_unreadable(const char *path)
{
	return mkdir(path, 0700);
}

static int make_unopenable(const char *path)
{
	return symlink(path, path);
}

/* A failure to read the log, which may be over the next time, must not cost what is in it. */
static void test_unreadable_log_is_an_error(void **state)
{
	int (*const make[])(const char *) = {make_unreadable, make_unopenable};
	struct fixture *f = *state;
	must_put(f->engine, home, "a", "1");
	for (size_t i = 0; i < sizeof make / sizeof make[0]; i++) {
		must_put(f->engine, home, "b", i ? "1" : "0");
		close_engine(f);
		hide_log(f, true, make[i]);
		expect_open_fails(f->dir.db, TL_IO);
		expect_open_fails(f->dir.db, TL_IO);
		hide_log(f, false, NULL);
		open_engine(f);
		must_hold_str(f->engine, NULL, "a", "1");
		must_hold_str(f->engine, NULL, "b", i ? "1" : "0");
	}
}

/* LevelDB would make a new one instead, and delete what it takes for left over. */
static void test_missing_current_is_an_error(void **state)
{
	struct fixture *f = *state;
	char current[320], aside[320];
	snprintf(current, sizeof current, "%s/CURRENT", f->dir.db);
	snprintf(aside, sizeof aside, "%s/aside", f->dir.path);
	must_put(f->engine, home, "a", "1");
	for (int i = 0; i < 3; i++) { /* in the log only; in a table, too */
		close_engine(f);
		assert_int_equal(rename(current, aside), 0);
		expect_open_fails(f->dir.db, TL_CORRUPT);
		assert_int_equal(rename(aside, current), 0);
		open_engine(f);
		must_hold_str(f->engine, NULL, "a", "1");
	}
}

static void test_missing_database_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct tl_engine *engine = NULL;
	char path[320];
	snprintf(path, sizeof path, "%s/other", f->dir.path);
	struct tl_engine_options options = options_for(path);
	options.must_exist = true;
	assert_int_equal(tl_engine_open_leveldb(&options, &engine, NULL), TL_CORRUPT);
	options.must_exist = false;
	assert_int_equal(tl_engine_open_leveldb(&options, &engine, NULL), TL_OK);
	tl_engine_close(engine);
	options.must_exist = true;
	assert_int_equal(tl_engine_open_leveldb(&options, &engine, NULL), TL_OK);
	tl_engine_close(engine);
}

/* --- files that do not belong together, as in a copy that was made while the database was written to --- */

static void remove_file(int dir, const char *name, void *ctx)
{
	(void)ctx;
	assert_int_equal(unlinkat(dir, name, 0), 0);
}

static void test_missing_log(void **state)
{
	struct fixture *f = *state;
	struct tl_engine_options options = options_for(f->dir.db);
	options.durable = true;
	must_put(f->engine, home, "a", "1");
	close_engine(f);
	each_file(f, ".log", remove_file, NULL);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(tl_engine_open_leveldb(&options, &f->engine, NULL), TL_CORRUPT);
	open_engine(f); /* where logs are not synced, a loss of power may have done that */
	assert_int_equal(get_error(f->engine, NULL, home, "a"), TL_NOT_FOUND);
}

static void cut_one_byte(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
}

static void test_short_table(void **state)
{
	struct fixture *f = *state;
	put_numbered(f->engine, home, 5000);
	compact(f->engine, home.kind, UINT64_MAX);
	close_engine(f);
	damage_tables(f, cut_one_byte);
	expect_open_fails(f->dir.db, TL_CORRUPT);
	expect_open_fails(f->dir.db, TL_CORRUPT);
}

static void run_shell(const char *format, const struct fixture *f)
{
	char command[1000];
	assert_true((size_t)snprintf(command, sizeof command, format, f->dir.path) < sizeof command);
	assert_int_equal(system(command), 0);
}

static void open_durable(struct fixture *f)
{
	struct tl_engine_options options = temp_dir_engine(&f->dir);
	options.durable = true;
	close_engine(f);
	assert_int_equal(tl_engine_open_leveldb(&options, &f->engine, NULL), TL_OK);
}

enum { PUT_BYTES = 7 + 12 + 1 + 1 + 4 + 1 + 1 }; /* of a log: heads of the record and the batch, tag, key and value */

/* Leaves a database with two logs: of the first one, so many bytes, which hold "a" and "b" if there are enough, and one with "c". */
static void make_two_logs(struct fixture *f, off_t first_bytes)
{
	char name[NAME_MAX + 1] = "", path[640];
	close_engine(f);
	run_shell("rm -rf %s/*", f);
	open_durable(f);
	must_put(f->engine, home, "a", "1");
	must_put(f->engine, home, "b", "1");
	close_engine(f);
	each_file(f, ".log", note_name, name);
	run_shell("cd %s && cp -r db before", f);
	open_durable(f);
	must_put(f->engine, home, "c", "1");
	close_engine(f);
	run_shell("cd %s && mv db/*.log before && rm -r db && mv before db", f);
	snprintf(path, sizeof path, "%s/%s", f->dir.db, name);
	assert_int_equal(truncate(path, first_bytes), 0);
}

static void remove_first(int dir, const char *name, void *ctx)
{
	if (strcmp(name, ctx) == 0)
		assert_int_equal(unlinkat(dir, name, 0), 0);
}

static void note_first(int dir, const char *name, void *ctx)
{
	char *first = ctx;
	if (first[0] == '\0' || strcmp(name, first) < 0)
		note_name(dir, name, ctx);
}

/* No loss of power does that: the later one was begun when the manifest named the earlier one. */
static void test_missing_first_log(void **state)
{
	struct fixture *f = *state;
	char first[NAME_MAX + 1] = "";
	make_two_logs(f, 2 * PUT_BYTES);
	each_file(f, ".log", note_first, first);
	each_file(f, ".log", remove_first, first);
	expect_open_fails(f->dir.db, TL_CORRUPT);
	expect_open_fails(f->dir.db, TL_CORRUPT);
}

/* What stands in the later log is there only with all of the earlier one, where both end with the last batch or within it. */
static void test_log_follows(void **state)
{
	static const struct {
		off_t bytes; /* of the first log */
		enum tl_err a, b, c;
	} rows[] = {
		{2 * PUT_BYTES, TL_OK, TL_OK, TL_OK},
		{2 * PUT_BYTES - 1, TL_OK, TL_NOT_FOUND, TL_NOT_FOUND},
		{PUT_BYTES + 8, TL_OK, TL_NOT_FOUND, TL_NOT_FOUND},
		{PUT_BYTES, TL_OK, TL_NOT_FOUND, TL_NOT_FOUND},
		{PUT_BYTES - 1, TL_NOT_FOUND, TL_NOT_FOUND, TL_NOT_FOUND},
		{0, TL_NOT_FOUND, TL_NOT_FOUND, TL_NOT_FOUND},
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		make_two_logs(f, rows[i].bytes);
		for (unsigned again = 0; again < 2; again++) {
			open_durable(f);
			assert_int_equal(get_error(f->engine, NULL, home, "a"), rows[i].a);
			assert_int_equal(get_error(f->engine, NULL, home, "b"), rows[i].b);
			assert_int_equal(get_error(f->engine, NULL, home, "c"), rows[i].c);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_damage_is_reported),
		TEST(test_damaged_index_and_filter),
		TEST(test_damaged_footer),
		TEST(test_damage_is_not_merged),
		TEST(test_unreadable_table_is_an_error),
		TEST(test_writing_goes_on_beside_damage),
		TEST(test_unreadable_log_is_an_error),
		TEST(test_missing_current_is_an_error),
		TEST(test_missing_database_is_an_error),
		TEST(test_missing_log),
		TEST(test_missing_first_log),
		TEST(test_short_table),
		TEST(test_log_follows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
