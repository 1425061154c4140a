/* What a loss of power may leave of LevelDB's log and manifest: they end where they are torn; damage elsewhere is damage
 * (storage/leveldb_env.h). */
#include "crc32c.h"
#include "engine_fixture.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* --- a torn log --- */

/* With room in memory for all that a test puts, so that it stays in the log. */
static void open_durable(struct fixture *f)
{
	struct tl_engine_options options = temp_dir_engine(&f->dir);
	options.durable = true;
	options.write_buffer_bytes = 64 << 20;
	close_engine(f);
	assert_int_equal(tl_engine_open_leveldb(&options, &f->engine, NULL), TL_OK);
}

/* Commits one key with a value of `len` bytes. */
static void put_large(struct fixture *f, const char *key, size_t len, bool sync)
{
	char value[30000];
	struct tl_batch *batch = new_batch(f->engine);
	struct tl_why why;
	assert_true(len <= sizeof value);
	memset(value, 'v', len);
	tl_batch_put(batch, home, str(key), tl_slice(value, len));
	assert_int_equal(tl_engine_commit(f->engine, batch, sync, &why), TL_OK);
	tl_batch_free(batch);
}

static void blank_a_page(int dir, const char *name, void *ctx)
{
	int fd = openat(dir, name, O_RDWR);
	(void)ctx;
	assert_true(fd >= 0);
	blank(fd, 8192, 3000);
	close(fd);
}

/* As a disk may leave the log that had not got to it. */
static void tear_log(struct fixture *f)
{
	close_engine(f);
	each_file(f, ".log", blank_a_page, NULL);
	open_durable(f);
}

/* Of batches that share a flush a disk may have had the last one and not the first when the power failed. LevelDB would show the
 * last one. */
static void test_log_ends_where_it_is_torn(void **state)
{
	struct fixture *f = *state;
	open_durable(f);
	must_put(f->engine, home, "before", "value");
	put_large(f, "first", 20000, false);
	put_large(f, "second", 30000, false);
	put_large(f, "last", 1, true);
	tear_log(f);
	must_hold_str(f->engine, NULL, "before", "value");
	assert_int_equal(get_error(f->engine, NULL, home, "first"), TL_NOT_FOUND);
	assert_int_equal(get_error(f->engine, NULL, home, "second"), TL_NOT_FOUND);
	assert_int_equal(get_error(f->engine, NULL, home, "last"), TL_NOT_FOUND);
}

/* So far from the end of the log all had been synced: it is no reason to lose what stands behind it. */
static void test_log_goes_on_behind_damage(void **state)
{
	enum { BATCHES = 700 };
	struct fixture *f = *state;
	open_durable(f);
	put_large(f, "first", 30000, true);
	for (int i = 0; i < BATCHES; i++)
		put_large(f, "again", 30000, false);
	put_large(f, "last", 1, true);
	tear_log(f);
	assert_int_equal(get_error(f->engine, NULL, home, "first"), TL_NOT_FOUND);
	must_hold_str(f->engine, NULL, "last", "v");
}

/* --- a torn manifest --- */

static int open_manifest(const struct fixture *f)
{
	char path[PATH_MAX], name[64] = "";
	snprintf(path, sizeof path, "%s/CURRENT", f->dir.db);
	FILE *current = fopen(path, "r");
	assert_non_null(current);
	assert_int_equal(fscanf(current, "%63s", name), 1);
	fclose(current);
	snprintf(path, sizeof path, "%s/%s", f->dir.db, name);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	return fd;
}

/* A change of the tables was being written: LevelDB would not open. */
static void test_torn_manifest(void **state)
{
	static const unsigned char torn[300] = {1, 2, 3, 4, 200, 0, 1, 5, 6, 7}; /* a checksum, 200 bytes, all of it, … */
	struct fixture *f = *state;
	put_numbered(f->engine, home, 5000);
	close_engine(f);
	int fd = open_manifest(f);
	overwrite(fd, lseek(fd, 0, SEEK_END), torn, sizeof torn);
	close(fd);
	open_engine(f);
	must_hold_str(f->engine, NULL, "04999", "value");
}

/* Where the record after this one begins. */
static off_t next_record(int fd, off_t record)
{
	unsigned char header[7];
	assert_int_equal(pread(fd, header, sizeof header, record), sizeof header);
	return record + (off_t)sizeof header + header[4] + header[5] * 256;
}

/* Damage before the last record has another cause. A table that the record names would be taken for left over. */
static void test_damaged_manifest(void **state)
{
	struct fixture *f = *state;
	put_numbered(f->engine, home, 5000);
	compact(f->engine, home.kind, UINT64_MAX);
	close_engine(f);
	int fd = open_manifest(f);
	off_t third = next_record(fd, next_record(fd, 0));
	assert_true(next_record(fd, third) < lseek(fd, 0, SEEK_END));
	overwrite(fd, third + 8, "dmg", 3);
	close(fd);
	expect_open_fails(f->dir.db, TL_CORRUPT);
}

/* --- one that is larger than a block --- */

enum { RECORD_HEADER = 7, MANIFEST_BLOCK = 32 * 1024, EDIT_MAX = 3 * MANIFEST_BLOCK };

/* Appends what LevelDB's manifests are made of: bytes in a block, as a record of that type. */
static void append_record(int fd, const unsigned char *bytes, size_t len, unsigned char type)
{
	unsigned char record[MANIFEST_BLOCK] = {[4] = (unsigned char)(len & 0xff), [5] = (unsigned char)(len >> 8), [6] = type};
	assert_true(RECORD_HEADER + len <= sizeof record);
	memcpy(record + RECORD_HEADER, bytes, len);
	uint32_t crc = tl_crc32c((const char *)record + RECORD_HEADER - 1, 1 + len);
	crc = (crc >> 15 | crc << 17) + 0xa282ead8U;
	for (int i = 0; i < 4; i++)
		record[i] = (unsigned char)(crc >> 8 * i);
	overwrite(fd, lseek(fd, 0, SEEK_END), record, RECORD_HEADER + len);
}

/* Appends a change of the tables, of `len` bytes, that changes nothing, and answers where it begins: in as many pieces as there are
 * blocks for it. */
static off_t append_edit(int fd, size_t len)
{
	static unsigned char edit[EDIT_MAX];
	off_t begin = -1;
	assert_true(len % 2 == 0 && len <= sizeof edit);
	for (size_t i = 0; i < len; i += 2)
		edit[i] = 9; /* the log before is … 0 */
	for (size_t done = 0, part; done < len || begin < 0; done += part) {
		off_t end = lseek(fd, 0, SEEK_END);
		size_t room = MANIFEST_BLOCK - (size_t)end % MANIFEST_BLOCK;
		if (room < RECORD_HEADER) {
			blank(fd, end, room);
			room = MANIFEST_BLOCK;
		}
		part = room - RECORD_HEADER < len - done ? room - RECORD_HEADER : len - done;
		bool first = done == 0, last = done + part == len;
		begin = first ? lseek(fd, 0, SEEK_END) : begin;
		append_record(fd, edit + done, part, first && last ? 1 : first ? 2 : last ? 4 : 3);
	}
	return begin;
}

/* Appends changes until there are `room` bytes left in a block, which is even, as is what must be added. */
static void fill_block(int fd, size_t room)
{
	off_t end = lseek(fd, 0, SEEK_END);
	if ((MANIFEST_BLOCK - (size_t)end % MANIFEST_BLOCK - RECORD_HEADER - room) % 2 != 0)
		append_edit(fd, 0); /* seven bytes */
	end = lseek(fd, 0, SEEK_END);
	append_edit(fd, MANIFEST_BLOCK - (size_t)end % MANIFEST_BLOCK - RECORD_HEADER - room);
	assert_int_equal(lseek(fd, 0, SEEK_END) % MANIFEST_BLOCK, MANIFEST_BLOCK - room);
}

/* Ways to tear what lies from `begin` to `end`. */
static void cut(int fd, off_t begin, off_t at, off_t end)
{
	(void)begin, (void)end;
	assert_int_equal(ftruncate(fd, at), 0);
}

static void blank_all(int fd, off_t from, off_t to)
{
	for (off_t end; from < to; from = end) {
		end = from + 3000 < to ? from + 3000 : to;
		blank(fd, from, (size_t)(end - from));
	}
}

static void lose_end(int fd, off_t begin, off_t at, off_t end)
{
	(void)begin;
	blank_all(fd, at, end);
}

static void lose_beginning(int fd, off_t begin, off_t at, off_t end)
{
	(void)end;
	blank_all(fd, begin, at);
}

static void lose_sector(int fd, off_t begin, off_t at, off_t end)
{
	(void)begin;
	blank_all(fd, at, at + 512 < end ? at + 512 : end);
}

typedef void tear_at(int fd, off_t begin, off_t at, off_t end);
static tear_at *const tears[] = {cut, lose_end, lose_beginning, lose_sector};

/* A change of `len` bytes, of which `room` are in one block, torn in each of these ways every `step` bytes. */
static void check_torn_edit(struct fixture *f, size_t room, size_t len, off_t step)
{
	for (size_t i = 0; i < sizeof tears / sizeof tears[0]; i++) {
		off_t at = 0, size;
		do {
			close_engine(f);
			int fd = open_manifest(f);
			fill_block(fd, room);
			off_t begin = append_edit(fd, len), end = lseek(fd, 0, SEEK_END);
			size = end - begin;
			tears[i](fd, begin, begin + at, end);
			close(fd);
			open_engine(f);
			must_hold_str(f->engine, NULL, "04999", "value");
		} while ((at += step) < size);
	}
}

/* Pieces of a change that lies in several blocks may be sound, and not be torn where the first one is. */
static void test_torn_manifest_of_several_blocks(void **state)
{
	static const size_t rooms[] = {1, 6, 7, 8, 13, 14, 100, 1000};
	struct fixture *f = *state;
	put_numbered(f->engine, home, 5000);
	compact(f->engine, home.kind, UINT64_MAX); /* so it is there only as long as the manifest names the table */
	for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++)
		check_torn_edit(f, rooms[i], 80, 29);
	check_torn_edit(f, 40, 80, 3);
	check_torn_edit(f, 100, 80000, 9001);
}

/* A piece of a change that lies in two blocks, and behind it another change: it had been synced. */
static void test_damaged_manifest_of_several_blocks(void **state)
{
	enum { ROOM = 100 };
	static const off_t damaged[] = {0, ROOM - 1, ROOM, ROOM + 50};
	struct fixture *f = *state;
	put_numbered(f->engine, home, 5000);
	close_engine(f);
	int fd = open_manifest(f);
	fill_block(fd, ROOM);
	off_t begin = append_edit(fd, 200);
	append_edit(fd, 20);
	for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
		char as_it_was, other;
		assert_int_equal(pread(fd, &as_it_was, 1, begin + damaged[i]), 1);
		other = as_it_was ^ 1;
		overwrite(fd, begin + damaged[i], &other, 1);
		expect_open_fails(f->dir.db, TL_CORRUPT);
		overwrite(fd, begin + damaged[i], &as_it_was, 1);
	}
	close(fd);
	open_engine(f);
	must_hold_str(f->engine, NULL, "04999", "value");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_log_ends_where_it_is_torn),
		TEST(test_log_goes_on_behind_damage),
		TEST(test_torn_manifest),
		TEST(test_torn_manifest_of_several_blocks),
		TEST(test_damaged_manifest),
		TEST(test_damaged_manifest_of_several_blocks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
