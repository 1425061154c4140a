/* The ingest queue against its contract (Q1)–(Q4): on a real directory, damaged by hand between close and open. */
#include "ingest_queue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { HEADER = 32, RECORD_HEADER = 8, MAX_RECORDS = 64 };

/* A queue in a directory of its own, and where its records stand. */
struct fixture {
	char dir[64];
	struct tl_ingest_queue_options options;
	struct tl_ingest_queue *queue;
	uint64_t positions[MAX_RECORDS + 1]; /* of record i; of the end behind the last one */
	unsigned count;
};

/* ── the directory ── */

static void path_of(const struct fixture *f, const char *name, char out[static 128])
{
	snprintf(out, 128, "%s/%s", f->dir, name);
}

static void segment_path(const struct fixture *f, uint64_t first, char out[static 128])
{
	snprintf(out, 128, "%s/%020" PRIu64 ".queue", f->dir, first);
}

/* The files in the directory; with `remove`, none any more. */
static unsigned count_files(const struct fixture *f, bool remove)
{
	unsigned count = 0;
	DIR *dir = opendir(f->dir);
	if (!dir)
		return 0;
	for (const struct dirent *entry; (entry = readdir(dir));) {
		char path[512];
		snprintf(path, sizeof path, "%s/%s", f->dir, entry->d_name);
		if (entry->d_name[0] == '.')
			continue;
		count++;
		if (remove)
			unlink(path);
	}
	closedir(dir);
	return count;
}

static off_t file_size(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 ? status.st_size : -1;
}

static void flip(const char *path, off_t offset)
{
	unsigned char byte;
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
	close(fd);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

/* ── the queue ── */

static uint64_t open_at(struct fixture *f, uint64_t committed)
{
	uint64_t lost = UINT64_MAX;
	struct tl_why why = {""};
	enum tl_err err = tl_ingest_queue_open(&f->options, committed, &f->queue, &lost, &why);
	if (err)
		print_error("open: %s\n", why.text);
	assert_int_equal(err, TL_OK);
	return lost;
}

static void close_queue(struct fixture *f)
{
	tl_ingest_queue_close(f->queue);
	f->queue = NULL;
}

/* The payload of record i: its number, then bytes that depend on it; 20 to 56 bytes. */
static size_t make_record(unsigned i, unsigned char out[static 64])
{
	size_t len = 20 + (i * 7) % 37;
	memcpy(out, &i, sizeof i);
	for (size_t k = sizeof i; k < len; k++)
		out[k] = (unsigned char)(i * 31 + k);
	return len;
}

static void append_one(struct fixture *f)
{
	unsigned char record[64];
	size_t len = make_record(f->count, record);
	struct tl_slice parts[] = {tl_slice(record, 5), tl_slice(NULL, 0), tl_slice(record + 5, len - 5)};
	assert_int_equal(tl_ingest_queue_append(f->queue, parts, 3, &f->positions[f->count]), TL_OK);
	f->count++;
	f->positions[f->count] = tl_ingest_queue_end(f->queue);
}

static void append_many(struct fixture *f, unsigned count)
{
	while (count--)
		append_one(f);
}

/* Reads at *position and expects record i there, or after it. */
static void expect_record(struct fixture *f, unsigned i, uint64_t *position)
{
	unsigned char expected[64];
	size_t len = make_record(i, expected);
	struct tl_slice record;
	uint64_t next;
	assert_int_equal(tl_ingest_queue_read(f->queue, position, &record, &next), TL_OK);
	assert_int_equal(*position, f->positions[i]);
	assert_int_equal(record.len, len);
	assert_memory_equal(record.ptr, expected, len);
	assert_int_equal(next, *position + RECORD_HEADER + len);
	*position = next;
}

static void expect_end(struct fixture *f, uint64_t position)
{
	struct tl_slice record = {NULL, 77};
	uint64_t next = 78, at = position;
	assert_int_equal(tl_ingest_queue_read(f->queue, &at, &record, &next), TL_END);
	assert_int_equal(at, position);
	assert_int_equal(record.len, 77);
	assert_int_equal(next, 78);
}

/* Records from..to-1 and then nothing; what comes next. */
static uint64_t expect_records(struct fixture *f, uint64_t position, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		expect_record(f, i, &position);
	expect_end(f, position);
	return position;
}

/* The record with which the segment begins in which record i stands; the one with which the next begins. */
static unsigned segment_start(const struct fixture *f, unsigned i)
{
	char path[128];
	for (;; i--) {
		segment_path(f, f->positions[i], path);
		if (i == 0 || file_size(path) >= 0)
			return i;
	}
}

static unsigned segment_next(const struct fixture *f, unsigned i)
{
	char path[128];
	while (++i < f->count) {
		segment_path(f, f->positions[i], path);
		if (file_size(path) >= 0)
			break;
	}
	return i;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	strcpy(f->dir, "/tmp/tl-queue-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->options = (struct tl_ingest_queue_options){f->dir, 1 << 20, 200, false};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	close_queue(f);
	count_files(f, true);
	rmdir(f->dir);
	free(f);
	return 0;
}

/* Empties the directory and fills it with `count` records from position 0 on, over several segments; closed. */
static void refill(struct fixture *f, unsigned count)
{
	close_queue(f);
	count_files(f, true);
	f->count = 0;
	open_at(f, 0);
	append_many(f, count);
	close_queue(f);
}

/* ── reading, releasing, reopening ── */

static void test_append_read_release(void **state)
{
	struct fixture *f = *state;
	uint64_t position = 0;
	assert_int_equal(open_at(f, 0), 0);
	expect_end(f, 0);
	append_many(f, 40);
	assert_true(count_files(f, false) > 5);
	assert_int_equal(tl_ingest_queue_backlog_bytes(f->queue), tl_ingest_queue_end(f->queue));
	for (unsigned i = 0; i < 40; i++) {
		expect_record(f, i, &position);
		tl_ingest_queue_release(f->queue, position);
		char path[128];
		segment_path(f, 0, path);
		assert_int_equal(file_size(path) >= 0, position < f->positions[segment_next(f, 0)]);
	}
	assert_int_equal(tl_ingest_queue_backlog_bytes(f->queue), 0);
	assert_int_equal(count_files(f, false), 1);
	append_many(f, 10);
	tl_ingest_queue_release(f->queue, expect_records(f, position, 40, 50));
	assert_int_equal(count_files(f, false), 1);
	tl_ingest_queue_release(f->queue, UINT64_MAX); /* a caller's slip does no harm */
	append_one(f);
	expect_records(f, f->positions[50], 50, 51);
}

static void test_positions_are_contiguous(void **state)
{
	struct fixture *f = *state;
	open_at(f, 0);
	append_many(f, 30);
	for (unsigned i = 0; i < 30; i++) {
		unsigned char record[64];
		assert_int_equal(f->positions[i + 1], f->positions[i] + RECORD_HEADER + make_record(i, record));
	}
}

static void test_reading_again(void **state)
{
	struct fixture *f = *state;
	open_at(f, 0);
	append_many(f, 20);
	expect_records(f, 0, 0, 20);
	expect_records(f, f->positions[3], 3, 20);
	expect_records(f, f->positions[19], 19, 20);
	expect_records(f, 0, 0, 20);
}

static void reopen_everywhere(struct fixture *f)
{
	for (unsigned i = 0; i <= 30; i++) {
		refill(f, 30);
		assert_int_equal(open_at(f, f->positions[i]), 0);
		assert_int_equal(tl_ingest_queue_end(f->queue), f->positions[30]);
		assert_int_equal(tl_ingest_queue_backlog_bytes(f->queue), f->positions[30] - f->positions[i]);
		expect_records(f, f->positions[i], i, 30);
		append_many(f, 5);
		expect_records(f, f->positions[i], i, 35);
		close_queue(f);
		assert_int_equal(open_at(f, f->positions[i]), 0);
		expect_records(f, f->positions[i], i, 35);
	}
}

static void test_reopen_at_every_record(void **state)
{
	struct fixture *f = *state;
	reopen_everywhere(f);
	f->options.sync = true;
	reopen_everywhere(f);
}

/* A watermark that is no record's position is damage: on to the next segment; nothing appended later is lost (Q1). */
static void test_reopen_inside_a_record(void **state)
{
	struct fixture *f = *state;
	refill(f, 14);
	for (uint64_t committed = 1; committed < f->positions[14]; committed++) {
		unsigned i = 0;
		refill(f, 14);
		while (f->positions[i + 1] <= committed)
			i++;
		if (f->positions[i] == committed)
			continue;
		unsigned next = segment_next(f, i);
		assert_int_equal(open_at(f, committed), f->positions[next] - committed);
		append_many(f, 2);
		expect_records(f, committed, next, 16);
		close_queue(f);
		assert_int_equal(open_at(f, committed), f->positions[next] - committed);
		expect_records(f, committed, next, 16);
	}
}

static void test_committed_beyond_end(void **state)
{
	struct fixture *f = *state;
	for (unsigned ahead = 1; ahead < 300; ahead += 13) {
		refill(f, 12);
		uint64_t committed = f->positions[12] + ahead;
		assert_int_equal(open_at(f, committed), 0);
		assert_int_equal(tl_ingest_queue_end(f->queue), committed);
		assert_int_equal(tl_ingest_queue_backlog_bytes(f->queue), 0);
		expect_end(f, committed);
		expect_end(f, 0); /* nothing is left from before */
		assert_false(tl_ingest_queue_wait(f->queue, 0, 0));
		append_many(f, 3);
		assert_int_equal(f->positions[12], committed); /* (Q4) */
		expect_records(f, committed, 12, 15);
		close_queue(f);
		assert_int_equal(open_at(f, committed), 0);
		expect_records(f, committed, 12, 15);
	}
}

/* ── damage ── */

static void test_torn_tail_at_every_byte(void **state)
{
	struct fixture *f = *state;
	char path[128];
	refill(f, 18);
	unsigned start = segment_start(f, 17);
	off_t record = HEADER + (off_t)(f->positions[17] - f->positions[start]);
	off_t end = HEADER + (off_t)(f->positions[18] - f->positions[start]);
	assert_true(start < 17);
	for (off_t size = record; size < end; size++) {
		refill(f, 18);
		segment_path(f, f->positions[start], path);
		assert_int_equal(truncate(path, size), 0);
		assert_int_equal(open_at(f, 0), 0);
		assert_int_equal(file_size(path), record);
		assert_int_equal(tl_ingest_queue_end(f->queue), f->positions[17]);
		expect_records(f, 0, 0, 17);
		f->count = 17;
		append_many(f, 3);
		expect_records(f, 0, 0, 20);
	}
}

static void test_flipped_tail_at_every_byte(void **state)
{
	struct fixture *f = *state;
	char path[128];
	refill(f, 18);
	unsigned start = segment_start(f, 17);
	off_t end = HEADER + (off_t)(f->positions[18] - f->positions[start]);
	for (off_t at = HEADER + (off_t)(f->positions[17] - f->positions[start]); at < end; at++) {
		refill(f, 18);
		segment_path(f, f->positions[start], path);
		flip(path, at);
		assert_int_equal(open_at(f, 0), 0);
		expect_records(f, 0, 0, 17);
		f->count = 17;
		append_many(f, 3);
		expect_records(f, 0, 0, 20);
	}
}

static void test_flipped_byte_in_a_middle_segment(void **state)
{
	struct fixture *f = *state;
	char path[128];
	refill(f, 20);
	unsigned start = segment_next(f, segment_next(f, 0)), next = segment_next(f, start);
	off_t size = HEADER + (off_t)(f->positions[next] - f->positions[start]);
	for (off_t at = 0; at < size; at++) {
		unsigned hit = start; /* a damaged header takes all records with it */
		while (at >= HEADER && f->positions[hit + 1] - f->positions[start] <= (uint64_t)(at - HEADER))
			hit++;
		refill(f, 20);
		segment_path(f, f->positions[start], path);
		flip(path, at);
		assert_int_equal(open_at(f, 0), f->positions[next] - f->positions[hit]);
		uint64_t position = 0;
		for (unsigned i = 0; i < hit; i++)
			expect_record(f, i, &position);
		position = expect_records(f, position, next, 20);
		tl_ingest_queue_release(f->queue, position);
		assert_int_equal(tl_ingest_queue_backlog_bytes(f->queue), 0);
		close_queue(f);
		/* What lies before the watermark is lost to nobody. */
		assert_int_equal(open_at(f, f->positions[next]), 0);
		expect_records(f, f->positions[next], next, 20);
	}
}

static void test_missing_segments(void **state)
{
	struct fixture *f = *state;
	char path[128];
	refill(f, 20);
	unsigned second = segment_next(f, 0), third = segment_next(f, second);
	segment_path(f, f->positions[second], path);
	unlink(path);
	assert_int_equal(open_at(f, 0), f->positions[third] - f->positions[second]);
	uint64_t position = 0;
	for (unsigned i = 0; i < second; i++)
		expect_record(f, i, &position);
	expect_records(f, position, third, 20);
	close_queue(f);
	segment_path(f, 0, path);
	unlink(path);
	assert_int_equal(open_at(f, 0), f->positions[third]);
	expect_records(f, 0, third, 20);
}

/* Damage that happens while the queue is open, in the segment being appended to. */
static void test_damage_under_the_running_queue(void **state)
{
	struct fixture *f = *state;
	char path[128];
	f->options.segment_bytes = 1 << 20;
	open_at(f, 0);
	append_many(f, 10);
	segment_path(f, 0, path);
	flip(path, HEADER + (off_t)f->positions[4] + 10);
	uint64_t position = 0;
	for (unsigned i = 0; i < 4; i++)
		expect_record(f, i, &position);
	expect_end(f, position);
	assert_false(tl_ingest_queue_wait(f->queue, position, 0));
	append_many(f, 2);
	assert_true(tl_ingest_queue_wait(f->queue, position, 0));
	expect_records(f, position, 10, 12);
}

/* ── headers ── */

static const unsigned char newer_header[HEADER] = {
	't', 'l', 'q', 'u', 'e', 'u', 'e', 0, 2, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x42, 0x0f, 0, 0, 0, 0, 0,
	/* XXH3 of the above */
	0x6b, 0x06, 0x65, 0x98, 0x6c, 0x6e, 0x36, 0xa0,
};

static void test_newer_version_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct tl_ingest_queue *queue = NULL;
	struct tl_why why = {""};
	uint64_t lost = 77;
	char path[128];
	refill(f, 20);
	unsigned files = count_files(f, false);
	segment_path(f, 1000000, path);
	write_file(path, newer_header, sizeof newer_header);
	assert_int_equal(tl_ingest_queue_open(&f->options, 2000000, &queue, &lost, &why), TL_VERSION);
	assert_non_null(strstr(why.text, "00000000000001000000.queue"));
	assert_null(queue);
	assert_int_equal(lost, 77);
	assert_int_equal(count_files(f, false), files + 1);
	assert_int_equal(file_size(path), HEADER);
}

/* The bytes as FORMAT.md draws them; the checksums were computed by other code, from XXH3's specification. */
static void test_format(void **state)
{
	static const unsigned char expected[] = {
		't', 'l', 'q', 'u', 'e', 'u', 'e', 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x88, 0x13, 0, 0, 0, 0, 0, 0,
		0x58, 0x64, 0x5a, 0x8d, 0x2a, 0xcb, 0x6b, 0xd7,
		5, 0, 0, 0, 0xfe, 0xf0, 0xb3, 0x3b, 'h', 'e', 'l', 'l', 'o',
	};
	struct fixture *f = *state;
	struct tl_slice parts[] = {tl_slice_str("he"), tl_slice_str("llo")};
	unsigned char bytes[100];
	char path[128];
	uint64_t position;
	open_at(f, 5000);
	assert_int_equal(tl_ingest_queue_append(f->queue, parts, 2, &position), TL_OK);
	assert_int_equal(position, 5000);
	segment_path(f, 5000, path);
	int fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, bytes, sizeof bytes), sizeof bytes);
	close(fd);
	assert_memory_equal(bytes, expected, sizeof expected);
	for (size_t i = sizeof expected; i < sizeof bytes; i++)
		assert_int_equal(bytes[i], 0); /* reserved */
	close_queue(f);
	assert_int_equal(file_size(path), sizeof expected);
}

/* What a killed process had reserved is no record, and is cut off; whatever length of it is left. */
static void test_reserved_room(void **state)
{
	struct fixture *f = *state;
	char path[128];
	for (off_t room = 1; room < 300000; room = room * 3 + 1) {
		refill(f, 18);
		unsigned start = segment_start(f, 17);
		off_t end = HEADER + (off_t)(f->positions[18] - f->positions[start]);
		segment_path(f, f->positions[start], path);
		assert_int_equal(file_size(path), end);
		assert_int_equal(truncate(path, end + room), 0);
		assert_int_equal(open_at(f, 0), 0);
		assert_int_equal(file_size(path), end);
		append_many(f, 20);
		expect_records(f, 0, 0, 38);
	}
}

/* A copy into what is no longer there fails, and the process lives. */
static void test_fault_of_a_copy(void **state)
{
	struct fixture *f = *state;
	struct sigaction before, after;
	char record[1000] = {1}, path[128];
	const struct tl_slice part = tl_slice(record, sizeof record);
	uint64_t position;
	sigaction(SIGBUS, NULL, &before);
	f->options.segment_bytes = 1 << 20;
	open_at(f, 0);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(tl_ingest_queue_append(f->queue, &part, 1, &position), TL_OK);
	uint64_t end = tl_ingest_queue_end(f->queue);
	segment_path(f, 0, path);
	assert_int_equal(truncate(path, HEADER), 0);
	assert_int_equal(tl_ingest_queue_append(f->queue, &part, 1, &position), TL_IO);
	assert_int_equal(tl_ingest_queue_end(f->queue), end);
	assert_int_equal(tl_ingest_queue_append(f->queue, &part, 1, &position), TL_OK);
	assert_int_equal(position, end);
	close_queue(f);
	sigaction(SIGBUS, NULL, &after);
	assert_ptr_equal((void *)(uintptr_t)before.sa_handler, (void *)(uintptr_t)after.sa_handler);
}

/* A crash while a segment was made: any part of its header, or garbage of that size. */
static void test_creation_cut_short(void **state)
{
	struct fixture *f = *state;
	unsigned char garbage[HEADER] = {0};
	char path[128];
	for (size_t size = 0; size <= HEADER; size++) {
		refill(f, 12);
		segment_path(f, f->positions[12], path);
		write_file(path, garbage, size);
		assert_int_equal(open_at(f, 0), 0);
		assert_int_equal(tl_ingest_queue_end(f->queue), f->positions[12]);
		append_many(f, 3);
		expect_records(f, 0, 0, 15);
		close_queue(f);
		assert_int_equal(open_at(f, 0), 0);
		expect_records(f, 0, 0, 15);
	}
}

static void test_damaged_header_of_the_last_segment(void **state)
{
	struct fixture *f = *state;
	char path[128];
	refill(f, 16);
	unsigned start = segment_start(f, 15);
	segment_path(f, f->positions[start], path);
	for (off_t at = 0; at < HEADER; at++) {
		refill(f, 16);
		flip(path, at);
		assert_int_equal(open_at(f, 0), f->positions[16] - f->positions[start]);
		append_many(f, 3);
		uint64_t position = 0;
		for (unsigned i = 0; i < start; i++)
			expect_record(f, i, &position);
		expect_records(f, position, 16, 19);
	}
}

static void test_foreign_files(void **state)
{
	static const char *const names[] = {
		"README", "0.queue", "00000000000000000000.queue~", "0000000000000000000x.queue", "99999999999999999999.queue",
		"18446744073709551617.queue",
	};
	struct fixture *f = *state;
	char path[128];
	refill(f, 12);
	unsigned files = count_files(f, false);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		path_of(f, names[i], path);
		write_file(path, "what is this", 12);
	}
	assert_int_equal(open_at(f, 0), 0);
	tl_ingest_queue_release(f->queue, expect_records(f, 0, 0, 12));
	assert_int_equal(count_files(f, false), sizeof names / sizeof names[0] + 1);
	assert_true(files > 1);
}

static void test_unusable_directory(void **state)
{
	struct fixture *f = *state;
	struct tl_ingest_queue *queue;
	struct tl_why why = {""};
	uint64_t lost;
	char path[128];
	path_of(f, "no/where", path);
	f->options.dir = path;
	assert_int_equal(tl_ingest_queue_open(&f->options, 0, &queue, &lost, &why), TL_IO);
	assert_non_null(strstr(why.text, "no/where"));
	path_of(f, "file", path);
	write_file(path, "", 0);
	assert_int_equal(tl_ingest_queue_open(&f->options, 0, &queue, &lost, &why), TL_IO);
	tl_ingest_queue_close(NULL);
}

static void test_directory_is_made(void **state)
{
	struct fixture *f = *state;
	f->options.sync = true;
	assert_int_equal(rmdir(f->dir), 0);
	assert_int_equal(open_at(f, 0), 0);
	append_many(f, 20);
	expect_records(f, 0, 0, 20);
}

/* ── limits ── */

static void test_full(void **state)
{
	struct fixture *f = *state;
	struct tl_slice part = tl_slice_str("one too many");
	uint64_t position = 0, unused = 77;
	f->options.max_bytes = 1000;
	open_at(f, 0);
	while (tl_ingest_queue_backlog_bytes(f->queue) < 1000)
		append_one(f);
	assert_int_equal(tl_ingest_queue_append(f->queue, &part, 1, &unused), TL_FULL);
	assert_int_equal(unused, 77);
	expect_record(f, 0, &position);
	assert_int_equal(tl_ingest_queue_append(f->queue, &part, 1, &unused), TL_FULL);
	for (unsigned i = 1; i < f->count; i++)
		expect_record(f, i, &position);
	tl_ingest_queue_release(f->queue, position);
	unsigned before = f->count;
	append_one(f);
	expect_records(f, position, before, before + 1);
}

/* Bytes that no reader can ever consume do not keep the queue full. */
static void test_damage_does_not_fill(void **state)
{
	struct fixture *f = *state;
	char path[128];
	refill(f, 20);
	f->options.max_bytes = 100;
	for (unsigned i = 0; i < 20; i = segment_next(f, i)) {
		segment_path(f, f->positions[i], path);
		flip(path, HEADER + 9);
	}
	assert_true(open_at(f, 0) > 0);
	assert_true(tl_ingest_queue_backlog_bytes(f->queue) >= 100);
	expect_end(f, 0);
	assert_false(tl_ingest_queue_wait(f->queue, 0, 0));
	assert_int_equal(tl_ingest_queue_backlog_bytes(f->queue), 0);
	f->positions[20] = tl_ingest_queue_end(f->queue);
	append_one(f);
	expect_records(f, 0, 20, 21);
}

static void test_too_large(void **state)
{
	struct fixture *f = *state;
	struct tl_slice huge[3] = {tl_slice("", (size_t)1 << 30), tl_slice("x", 1), tl_slice("", SIZE_MAX)};
	struct tl_slice many[17];
	uint64_t position = 77;
	open_at(f, 0);
	assert_int_equal(tl_ingest_queue_append(f->queue, huge, 2, &position), TL_TOO_LARGE);
	assert_int_equal(tl_ingest_queue_append(f->queue, huge + 1, 2, &position), TL_TOO_LARGE);
	for (unsigned i = 0; i < 17; i++)
		many[i] = tl_slice("abc", 3);
	assert_int_equal(tl_ingest_queue_append(f->queue, many, 17, &position), TL_TOO_LARGE);
	assert_int_equal(position, 77);
	assert_int_equal(tl_ingest_queue_end(f->queue), 0);
}

/* Around the limits at which append and read change their ways, and in sixteen parts. */
static void test_sizes(void **state)
{
	static const size_t sizes[] = {0,      1,      4087,   4088,    4089,    100000, 262135,
	                               262136, 262137, 524288, 1048575, 3000000, 10,     0};
	enum { COUNT = sizeof sizes / sizeof sizes[0] };
	struct fixture *f = *state;
	unsigned char *bytes = malloc(3000000);
	uint64_t position, next;
	for (size_t i = 0; i < 3000000; i++)
		bytes[i] = (unsigned char)(i * 2654435761u >> 13);
	f->options.max_bytes = f->options.segment_bytes = 100000000;
	open_at(f, 0);
	for (unsigned i = 0; i < COUNT; i++) {
		struct tl_slice parts[16];
		size_t each = sizes[i] / 16;
		for (unsigned k = 0; k < 16; k++)
			parts[k] = tl_slice(bytes + k * each, k < 15 ? each : sizes[i] - 15 * each);
		assert_int_equal(tl_ingest_queue_append(f->queue, parts, i % 2 ? 16 : 0, &position), TL_OK);
		struct tl_slice whole = tl_slice(bytes, sizes[i]);
		assert_int_equal(tl_ingest_queue_append(f->queue, &whole, 1, &position), TL_OK);
	}
	position = 0;
	for (unsigned i = 0; i < 2 * COUNT; i++, position = next) {
		struct tl_slice record;
		assert_int_equal(tl_ingest_queue_read(f->queue, &position, &record, &next), TL_OK);
		assert_int_equal(record.len, i % 2 || i / 2 % 2 ? sizes[i / 2] : 0);
		assert_memory_equal(record.ptr, bytes, record.len);
	}
	free(bytes);
}

/* ── threads ── */

enum { THREAD_RECORDS = 1000000 };

static void *produce(void *argument)
{
	struct fixture *f = argument;
	for (uint64_t i = 0; i < THREAD_RECORDS;) {
		uint64_t bytes[3] = {i, i * 0x9e3779b97f4a7c15u, ~i}, position;
		struct tl_slice parts[2] = {tl_slice(bytes, 8), tl_slice(bytes + 1, (size_t)(i % 17))};
		enum tl_err err = tl_ingest_queue_append(f->queue, parts, 2, &position);
		if (err == TL_OK)
			i++;
		else if (err != TL_FULL)
			return "append failed";
		else
			sched_yield();
	}
	return NULL;
}

static void check_produced(uint64_t i, struct tl_slice record)
{
	uint64_t bytes[3] = {i, i * 0x9e3779b97f4a7c15u, ~i};
	if (record.len != 8 + i % 17 || memcmp(record.ptr, bytes, record.len) != 0)
		fail_msg("record %" PRIu64 " is wrong", i);
}

static void test_threads(void **state)
{
	struct fixture *f = *state;
	pthread_t producer;
	void *failure;
	uint64_t position = 0, next;
	f->options.max_bytes = 1 << 20;
	f->options.segment_bytes = 1 << 16;
	open_at(f, 0);
	pthread_create(&producer, NULL, produce, f);
	for (uint64_t i = 0; i < THREAD_RECORDS; i++) {
		struct tl_slice record;
		enum tl_err err;
		while ((err = tl_ingest_queue_read(f->queue, &position, &record, &next)) == TL_END) {
			tl_ingest_queue_release(f->queue, position);
			/* Long enough that a lost wake-up would be seen. */
			assert_true(tl_ingest_queue_wait(f->queue, position, 60000));
		}
		assert_int_equal(err, TL_OK);
		check_produced(i, record);
		position = next;
		if (i % 1000 == 0)
			tl_ingest_queue_release(f->queue, position);
	}
	pthread_join(producer, &failure);
	assert_null(failure);
	expect_end(f, position);
}

/* Each side waits for the other: a wake-up lost once would stop both. */
struct ping {
	struct fixture *f;
	atomic_uint taken;
};

static void *answer(void *argument)
{
	struct ping *ping = argument;
	uint64_t position = 0, next;
	for (unsigned i = 0; i < 20000; i++) {
		struct tl_slice record;
		if (!tl_ingest_queue_wait(ping->f->queue, position, 60000) ||
		    tl_ingest_queue_read(ping->f->queue, &position, &record, &next) != TL_OK)
			return "nothing came";
		position = next;
		tl_ingest_queue_release(ping->f->queue, position);
		atomic_store(&ping->taken, i + 1);
	}
	return NULL;
}

static void test_no_wake_up_is_lost(void **state)
{
	struct ping ping = {.f = *state};
	struct tl_slice part = tl_slice_str("ping");
	pthread_t consumer;
	void *failure;
	uint64_t position;
	open_at(ping.f, 0);
	pthread_create(&consumer, NULL, answer, &ping);
	for (unsigned i = 0; i < 20000; i++) {
		assert_int_equal(tl_ingest_queue_append(ping.f->queue, &part, 1, &position), TL_OK);
		while (atomic_load(&ping.taken) <= i)
			sched_yield();
	}
	pthread_join(consumer, &failure);
	assert_null(failure);
}

static void *wake(void *queue)
{
	tl_ingest_queue_wake(queue);
	return NULL;
}

static void test_wait_and_wake(void **state)
{
	struct fixture *f = *state;
	pthread_t waker;
	struct timespec before, after;
	open_at(f, 0);
	assert_false(tl_ingest_queue_wait(f->queue, 0, 0));
	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_false(tl_ingest_queue_wait(f->queue, 0, 30));
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 >= 29);
	/* A wake that nobody waited for ends the next wait: with the longest timeout the test would hang otherwise. */
	tl_ingest_queue_wake(f->queue);
	assert_false(tl_ingest_queue_wait(f->queue, 0, UINT32_MAX));
	assert_false(tl_ingest_queue_wait(f->queue, 0, 1)); /* but only one */
	pthread_create(&waker, NULL, wake, f->queue);
	assert_false(tl_ingest_queue_wait(f->queue, 0, UINT32_MAX));
	pthread_join(waker, NULL);
	append_one(f);
	assert_true(tl_ingest_queue_wait(f->queue, 0, UINT32_MAX));
	assert_false(tl_ingest_queue_wait(f->queue, f->positions[1], 0));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_append_read_release),
		TEST(test_positions_are_contiguous),
		TEST(test_reading_again),
		TEST(test_reopen_at_every_record),
		TEST(test_reopen_inside_a_record),
		TEST(test_committed_beyond_end),
		TEST(test_torn_tail_at_every_byte),
		TEST(test_flipped_tail_at_every_byte),
		TEST(test_flipped_byte_in_a_middle_segment),
		TEST(test_missing_segments),
		TEST(test_damage_under_the_running_queue),
		TEST(test_newer_version_is_left_alone),
		TEST(test_format),
		TEST(test_reserved_room),
		TEST(test_fault_of_a_copy),
		TEST(test_creation_cut_short),
		TEST(test_damaged_header_of_the_last_segment),
		TEST(test_foreign_files),
		TEST(test_unusable_directory),
		TEST(test_directory_is_made),
		TEST(test_full),
		TEST(test_damage_does_not_fill),
		TEST(test_too_large),
		TEST(test_sizes),
		TEST(test_threads),
		TEST(test_no_wake_up_is_lost),
		TEST(test_wait_and_wake),
	};
	return cmocka_run_group_tests_name("ingest_queue", tests, NULL, NULL);
}
