#include "engine_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const struct tl_partition home = {7, 42, 0};

/* --- opening --- */

struct tl_engine_options options_for(const char *path)
{
	struct tl_engine_options options = temp_dir_engine(&(struct temp_dir){.db = ""});
	options.path = path;
	return options;
}

void open_engine(struct fixture *f)
{
	struct tl_engine_options options = temp_dir_engine(&f->dir);
	struct tl_why why = {""};
	if (tl_engine_open_leveldb(&options, &f->engine, &why) != TL_OK)
		fail_msg("%s", why.text);
}

void close_engine(struct fixture *f)
{
	tl_engine_close(f->engine);
	f->engine = NULL;
}

int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	assert_non_null(f);
	assert_true(temp_dir_make(&f->dir));
	open_engine(f);
	*state = f;
	return 0;
}

int tear_down(void **state)
{
	struct fixture *f = *state;
	close_engine(f);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

void open_uncompressed(struct fixture *f)
{
	struct tl_engine_options options = temp_dir_engine(&f->dir);
	options.compress = false;
	close_engine(f);
	assert_int_equal(tl_engine_open_leveldb(&options, &f->engine, NULL), TL_OK);
}

void expect_open_fails(const char *path, enum tl_err expected)
{
	struct tl_engine *engine = NULL;
	struct tl_engine_options options = options_for(path);
	struct tl_why why = {""};
	assert_int_equal(tl_engine_open_leveldb(&options, &engine, &why), expected);
	assert_null(engine);
	assert_true(why.text[0] != '\0' && !strchr(why.text, '\n'));
}

/* --- writing --- */

struct tl_batch *new_batch(struct tl_engine *engine)
{
	struct tl_batch *batch = NULL;
	assert_int_equal(tl_batch_new(engine, &batch), TL_OK);
	return batch;
}

enum tl_err commit_and_free(struct tl_engine *engine, struct tl_batch *batch)
{
	struct tl_why why;
	enum tl_err err = tl_engine_commit(engine, batch, true, &why);
	tl_batch_free(batch);
	return err;
}

enum tl_err put(struct tl_engine *engine, struct tl_partition partition, struct tl_slice key, struct tl_slice value)
{
	struct tl_batch *batch = new_batch(engine);
	tl_batch_put(batch, partition, key, value);
	return commit_and_free(engine, batch);
}

void must_put(struct tl_engine *engine, struct tl_partition partition, const char *key, const char *value)
{
	assert_int_equal(put(engine, partition, str(key), str(value)), TL_OK);
}

void put_numbered(struct tl_engine *engine, struct tl_partition partition, int count)
{
	struct tl_batch *batch = new_batch(engine);
	for (int i = 0; i < count; i++) {
		char key[16];
		snprintf(key, sizeof key, "%05d", i);
		tl_batch_put(batch, partition, str(key), str("value"));
	}
	assert_int_equal(commit_and_free(engine, batch), TL_OK);
}

void put_random(struct tl_engine *engine, struct tl_partition partition, unsigned count)
{
	struct tl_batch *batch = new_batch(engine);
	uint64_t random = partition.no + 1;
	for (uint64_t i = 0; i < count; i++) {
		unsigned char key[TL_ORDERED_INT_MAX];
		uint64_t value[32];
		for (size_t word = 0; word < 32; word++) /* nothing that can be compressed */
			value[word] = random = random * 6364136223846793005 + 1442695040888963407;
		tl_batch_put(batch, partition, tl_slice(key, tl_ordered_int_put(key, i)), tl_slice(value, sizeof value));
	}
	assert_int_equal(commit_and_free(engine, batch), TL_OK);
}

uint64_t drop(struct tl_engine *engine, struct tl_partition partition, const char *from, const char *to, uint64_t limit)
{
	struct tl_drop dropped = {.limit = limit};
	assert_int_equal(tl_engine_drop_range(engine, partition, str(from), str(to), &dropped), TL_OK);
	assert_true(dropped.bytes >= 5 * dropped.keys);
	return dropped.keys;
}

unsigned compact(struct tl_engine *engine, uint8_t family, uint64_t bytes)
{
	struct tl_compact_place place = {{0}};
	unsigned parts = 1;
	while (tl_engine_compact_next(engine, family, &place, bytes))
		parts++;
	return parts;
}

/* --- reading --- */

enum tl_err get_error(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_partition partition,
                      const char *key)
{
	char *value = NULL;
	size_t len = 0;
	enum tl_err err = tl_engine_get(engine, snapshot, partition, str(key), &value, &len);
	free(value);
	return err;
}

void must_hold(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_partition partition,
               struct tl_slice key, struct tl_slice expected)
{
	char *value = NULL;
	size_t len = 0;
	assert_int_equal(tl_engine_get(engine, snapshot, partition, key, &value, &len), TL_OK);
	assert_non_null(value);
	assert_true(tl_slice_equal(expected, tl_slice(value, len)));
	free(value);
}

void must_hold_str(struct tl_engine *engine, const struct tl_snapshot *snapshot, const char *key, const char *expected)
{
	must_hold(engine, snapshot, home, str(key), str(expected));
}

struct tl_iter *new_iter(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_partition partition)
{
	struct tl_iter *iter = NULL;
	assert_int_equal(tl_iter_new(engine, snapshot, partition, true, &iter), TL_OK);
	return iter;
}

int count_items(struct tl_engine *engine, struct tl_partition partition)
{
	struct tl_iter *iter = new_iter(engine, NULL, partition);
	int count = 0;
	for (bool more = tl_iter_seek(iter, str("")); more; more = tl_iter_next(iter))
		count++;
	assert_int_equal(tl_iter_error(iter), TL_OK);
	tl_iter_free(iter);
	return count;
}

/* --- files --- */

void each_file(const struct fixture *f, const char *suffix, void (*visit)(int dir, const char *name, void *ctx),
               void *ctx)
{
	DIR *dir = opendir(f->dir.db);
	assert_non_null(dir);
	for (const struct dirent *entry; (entry = readdir(dir));) {
		const char *end = strrchr(entry->d_name, '.');
		if (end && strcmp(end, suffix) == 0)
			visit(dirfd(dir), entry->d_name, ctx);
	}
	closedir(dir);
}

void overwrite(int fd, off_t at, const void *bytes, size_t len)
{
	assert_int_equal(pwrite(fd, bytes, len, at), len);
}

void blank(int fd, off_t at, size_t len)
{
	static const char zeros[3000] = {0};
	assert_true(len <= sizeof zeros);
	overwrite(fd, at, zeros, len);
}
