/* When a data directory begins another life: how the run before ended, under which boot of the machine, and what the operator
 * says. A run that is not closed has been killed. */
#include "lifetime.h"

#include "temp_dir.h"
#include "wrapped.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	struct temp_dir dir;
	char boot_id[300], mark[300];
	struct tl_database db;
	struct tl_lifetime lifetime;
	unsigned lines;        /* logged */
	enum tl_log level;     /* of the last one */
	bool flushing_fails;   /* once the database is open */
	char seen_at_removal[TL_EPOCH_BYTES + 1]; /* the epoch on the disk when the mark is to be removed … */
	bool removal_fails;                       /* … which then fails */
};

static struct fixture *present;

/* --- what the store asks of the system --- */

WRAPPED(fsync);
WRAPPED(unlinkat);

int __wrap_fsync(int fd)
{
	if (!present->flushing_fails)
		return __real_fsync(fd);
	errno = EIO;
	return -1;
}

int __wrap_unlinkat(int dir_fd, const char *name, int flags)
{
	char *value;
	size_t len;
	assert_int_equal(tl_engine_get(present->db.engine, NULL, tl_partition(TL_PART_META, 0), tl_slice_str(TL_META_EPOCH),
	                               &value, &len), TL_OK);
	assert_int_equal(len, 1 + TL_EPOCH_BYTES);
	memcpy(present->seen_at_removal, value + 1, TL_EPOCH_BYTES);
	free(value);
	if (!present->removal_fails)
		return __real_unlinkat(dir_fd, name, flags);
	errno = EIO;
	return -1;
}

/* --- runs --- */

static void on_log(void *ctx, enum tl_log level, const char *text)
{
	struct fixture *f = ctx;
	assert_non_null(strstr(text, "new epoch"));
	f->level = level;
	f->lines++;
}

/* NULL: it is not known. */
static void set_boot(struct fixture *f, const char *boot)
{
	unlink(f->boot_id);
	if (!boot)
		return;
	FILE *file = fopen(f->boot_id, "w");
	assert_non_null(file);
	fprintf(file, "%s\n", boot);
	assert_int_equal(fclose(file), 0);
}

static void touch_mark(struct fixture *f)
{
	FILE *file = fopen(f->mark, "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
}

static enum tl_err try_begin(struct fixture *f, enum tl_durability durability, struct tl_why *why)
{
	struct tl_engine_options engine = temp_dir_engine(&f->dir);
	const struct tl_lifetime_options options = {
		.dir = f->dir.path, .durability = durability, .boot_id = f->boot_id, .events = {.ctx = f, .log = on_log}};
	const bool fails = f->flushing_fails;
	engine.durable = durability != TL_DURABILITY_OS;
	f->flushing_fails = false;
	if (tl_database_open(&engine, &f->db, why) != TL_OK)
		fail_msg("%s", why->text);
	f->flushing_fails = fails;
	return tl_lifetime_begin(&f->db, &options, &f->lifetime, why);
}

static void begin(struct fixture *f, enum tl_durability durability, const char *boot)
{
	struct tl_why why = {""};
	set_boot(f, boot);
	if (try_begin(f, durability, &why) != TL_OK)
		fail_msg("%s", why.text);
}

static void kill_run(struct fixture *f)
{
	tl_database_close(&f->db);
}

static void close_run(struct fixture *f)
{
	tl_lifetime_end(&f->lifetime, &f->db);
	tl_database_close(&f->db);
}

/* Begins a run that must be of the same life as before, or of another one. */
static void begin_same(struct fixture *f, enum tl_durability durability, const char *boot)
{
	const struct tl_database before = f->db;
	const unsigned lines = f->lines;
	begin(f, durability, boot);
	assert_string_equal(f->db.epoch, before.epoch);
	assert_int_equal(f->db.life, before.life);
	assert_int_equal(f->lines, lines);
}

static void begin_other(struct fixture *f, enum tl_durability durability, const char *boot)
{
	const struct tl_database before = f->db;
	const unsigned lines = f->lines;
	begin(f, durability, boot);
	assert_string_not_equal(f->db.epoch, before.epoch);
	assert_int_equal(f->db.life, before.life + 1);
	assert_int_equal(f->db.secret, before.secret);
	assert_int_equal(f->lines, lines + 1);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	snprintf(f->boot_id, sizeof f->boot_id, "%s/boot_id", f->dir.path);
	snprintf(f->mark, sizeof f->mark, "%s/restored", f->dir.path);
	*state = present = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	kill_run(f);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

/* --- the machine --- */

static void test_first(void **state)
{
	struct fixture *f = *state;
	begin(f, TL_DURABILITY_OS, "a");
	assert_int_equal(f->db.life, 0);
	assert_int_equal(f->lines, 0);
}

/* All that ends otherwise than by a loss of power of what was not flushed. */
static void test_nothing_lost(void **state)
{
	static const struct {
		enum tl_durability durability;
		bool closed;
		const char *before, *after;
	} rows[] = {
		{TL_DURABILITY_OS, false, "a", "a"},     {TL_DURABILITY_OS, true, "a", "b"},
		{TL_DURABILITY_OS, true, "a", "a"},      {TL_DURABILITY_GROUP, false, "a", "b"},
		{TL_DURABILITY_GROUP, true, "a", "b"},   {TL_DURABILITY_STRICT, false, "a", "b"},
		{TL_DURABILITY_STRICT, false, "a", "a"}, {TL_DURABILITY_OS, false, NULL, "b"},
		{TL_DURABILITY_OS, false, "a", NULL},    {TL_DURABILITY_OS, false, NULL, NULL},
	};
	struct fixture *f = *state;
	begin(f, TL_DURABILITY_GROUP, "a");
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		close_run(f);
		begin_same(f, rows[i].durability, rows[i].before);
		(rows[i].closed ? close_run : kill_run)(f);
		for (enum tl_durability next = TL_DURABILITY_STRICT; next <= TL_DURABILITY_OS; next++) {
			begin_same(f, rows[i].durability, rows[i].before);
			(rows[i].closed ? close_run : kill_run)(f);
			begin_same(f, next, rows[i].after);
			close_run(f);
		}
		begin_same(f, TL_DURABILITY_GROUP, "a");
	}
}

static void test_lost(void **state)
{
	struct fixture *f = *state;
	begin(f, TL_DURABILITY_OS, "a");
	for (enum tl_durability next = TL_DURABILITY_STRICT; next <= TL_DURABILITY_OS; next++) {
		kill_run(f);
		begin_other(f, next, "b");
		assert_int_equal(f->level, TL_LOG_WARNING);
		kill_run(f);
		begin_same(f, TL_DURABILITY_OS, "b");
		kill_run(f);
		begin_other(f, TL_DURABILITY_OS, "a");
	}
}

/* What counts is what the last run was, not those before it: it has brought to the disk what they left. */
static void test_other_durability(void **state)
{
	struct fixture *f = *state;
	begin(f, TL_DURABILITY_OS, "a");
	kill_run(f);
	begin_same(f, TL_DURABILITY_GROUP, "a");
	kill_run(f);
	begin_same(f, TL_DURABILITY_OS, "b");
	close_run(f);
	begin_same(f, TL_DURABILITY_GROUP, "b");
	kill_run(f);
	begin_same(f, TL_DURABILITY_OS, "b");
	kill_run(f);
	begin_other(f, TL_DURABILITY_GROUP, "c");
}

/* A run whose end could not be flushed is not closed. */
static void test_end_fails(void **state)
{
	struct fixture *f = *state;
	begin(f, TL_DURABILITY_OS, "a");
	f->flushing_fails = true;
	close_run(f);
	f->flushing_fails = false;
	begin_other(f, TL_DURABILITY_OS, "b");
}

static void test_begin_fails(void **state)
{
	struct fixture *f = *state;
	struct tl_why why = {""};
	begin(f, TL_DURABILITY_OS, "a");
	kill_run(f);
	const struct tl_database before = f->db;
	set_boot(f, "b");
	f->flushing_fails = true;
	assert_int_equal(try_begin(f, TL_DURABILITY_OS, &why), TL_IO);
	assert_non_null(strstr(why.text, "cannot flush"));
	kill_run(f);
	f->flushing_fails = false;
	f->db = before;
	begin_other(f, TL_DURABILITY_OS, "b");
}

/* What has been stored can be read on a disk that is full (Y4); what such a run was is not known afterwards, and need not be. */
static void test_begin_without_note(void **state)
{
	struct fixture *f = *state;
	begin(f, TL_DURABILITY_GROUP, "a");
	close_run(f);
	f->flushing_fails = true;
	begin_same(f, TL_DURABILITY_GROUP, "a");
	assert_false(f->lifetime.begun);
	kill_run(f);
	begin_same(f, TL_DURABILITY_STRICT, "b");
	kill_run(f);
	f->flushing_fails = false;
	begin_same(f, TL_DURABILITY_OS, "b");
}

/* What was noted of the last run does not decode: it is as if nothing were. */
static void test_damaged(void **state)
{
	struct fixture *f = *state;
	struct tl_batch *batch;
	begin(f, TL_DURABILITY_OS, "a");
	assert_int_equal(tl_batch_new(f->db.engine, &batch), TL_OK);
	tl_batch_put(batch, tl_partition(TL_PART_META, 0), tl_slice_str(TL_META_RUN), tl_slice_str("\x92\x02\xa1" "a"));
	assert_int_equal(tl_engine_commit(f->db.engine, batch, true, NULL), TL_OK);
	tl_batch_free(batch);
	kill_run(f);
	begin_same(f, TL_DURABILITY_OS, "b");
}

/* --- the operator --- */

static void test_restored(void **state)
{
	struct fixture *f = *state;
	begin(f, TL_DURABILITY_GROUP, "a");
	for (unsigned i = 0; i < 3; i++) {
		(i == 1 ? kill_run : close_run)(f);
		touch_mark(f);
		begin_other(f, TL_DURABILITY_GROUP, "a");
		assert_int_equal(f->level, TL_LOG_NOTICE);
		assert_int_equal(access(f->mark, F_OK), -1);
		assert_string_equal(f->seen_at_removal, f->db.epoch);
		close_run(f);
		begin_same(f, TL_DURABILITY_GROUP, "b");
	}
}

/* Also where it has lost power before: once is enough. */
static void test_restored_and_lost(void **state)
{
	struct fixture *f = *state;
	begin(f, TL_DURABILITY_OS, "a");
	kill_run(f);
	touch_mark(f);
	begin_other(f, TL_DURABILITY_OS, "b");
	kill_run(f);
	begin_same(f, TL_DURABILITY_OS, "b");
}

/* A crash after the commit and before the removal, or a directory that does not let it be removed: refused, and done again. */
static void test_restored_twice(void **state)
{
	struct fixture *f = *state;
	struct tl_why why = {""};
	begin(f, TL_DURABILITY_GROUP, "a");
	close_run(f);
	const struct tl_database before = f->db;
	touch_mark(f);
	f->removal_fails = true;
	assert_int_equal(try_begin(f, TL_DURABILITY_GROUP, &why), TL_IO);
	assert_non_null(strstr(why.text, "'restored'"));
	assert_int_equal(f->lines, 0);
	assert_string_not_equal(f->seen_at_removal, before.epoch);
	assert_string_equal(f->seen_at_removal, f->db.epoch);
	kill_run(f);
	f->removal_fails = false;
	begin_other(f, TL_DURABILITY_GROUP, "a");
	assert_string_not_equal(f->db.epoch, before.epoch);
	assert_int_equal(access(f->mark, F_OK), -1);
	kill_run(f);
	begin_same(f, TL_DURABILITY_GROUP, "a");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_first),     TEST(test_nothing_lost), TEST(test_lost),     TEST(test_other_durability),
		TEST(test_end_fails), TEST(test_begin_fails), TEST(test_begin_without_note), TEST(test_damaged),  TEST(test_restored),
		TEST(test_restored_and_lost), TEST(test_restored_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
