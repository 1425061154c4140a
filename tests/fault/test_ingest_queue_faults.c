/* The ingest queue when the world fails it: the n-th system call or allocation, a full disk, kill -9. After each the
 * same question: are exactly the records there whose append returned TL_OK, in order (Q1), and none that failed (Q2)?
 *
 * Needs the linker to wrap, with -Wl,--wrap=<name>: pwritev64 pread64 posix_fallocate64 mmap64 fdatasync fsync ftruncate64
 * openat64 unlinkat malloc calloc realloc. The names in 64 are those that the C library gives the functions in a program with
 * _FILE_OFFSET_BITS=64. */
#include "failing_allocation.h"
#include "ingest_queue.h"
#include "wrapped.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ── faults ── */

enum fault { FAULT_NO_SPACE, FAULT_IO, FAULT_SHORT, FAULT_COUNT };

/* While armed, calls are counted, and those from the n-th on fail, `width` of them. */
static struct {
	bool armed;
	enum fault fault;
	unsigned first, width, calls;
} inject;

static bool fails(void)
{
	if (!inject.armed)
		return false;
	unsigned call = inject.calls++;
	bool hit = call >= inject.first && call - inject.first < inject.width;
	if (hit)
		errno = inject.fault == FAULT_IO ? EIO : ENOSPC;
	return hit;
}

WRAPPED(pwritev64);
WRAPPED(pread64);
WRAPPED(posix_fallocate64);
WRAPPED(mmap64);
WRAPPED(fdatasync);
WRAPPED(fsync);
WRAPPED(ftruncate64);
WRAPPED(openat64);
WRAPPED(unlinkat);

/* A short write takes all but the last byte. */
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int count, off_t offset)
{
	struct iovec part[17];
	if (!fails())
		return __real_pwritev64(fd, iov, count, offset);
	if (inject.fault != FAULT_SHORT)
		return -1;
	memcpy(part, iov, (size_t)count * sizeof *iov);
	while (count > 1 && part[count - 1].iov_len == 0)
		count--;
	part[count - 1].iov_len--;
	return __real_pwritev64(fd, part, count, offset);
}

ssize_t __wrap_pread64(int fd, void *out, size_t len, off_t offset)
{
	if (!fails())
		return __real_pread64(fd, out, len, offset);
	/* A short read is no fault, but has to be put up with. */
	return inject.fault == FAULT_SHORT ? __real_pread64(fd, out, len > 1 ? len / 2 : len, offset) : -1;
}

/* Short of space, it may have taken what there was. */
int __wrap_posix_fallocate64(int fd, off_t offset, off_t len)
{
	if (!fails())
		return __real_posix_fallocate64(fd, offset, len);
	if (inject.fault == FAULT_SHORT && len > 1)
		return __real_posix_fallocate64(fd, offset, len / 2) ? EIO : ENOSPC;
	return errno;
}

void *__wrap_mmap64(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
	return fails() ? MAP_FAILED : __real_mmap64(at, len, protection, flags, fd, offset);
}

/* No power is lost here, so nothing need really be synced. */
int __wrap_fdatasync(int fd)
{
	(void)fd;
	return fails() ? -1 : 0;
}

int __wrap_fsync(int fd)
{
	(void)fd;
	return fails() ? -1 : 0;
}

int __wrap_ftruncate64(int fd, off_t size)
{
	return fails() ? -1 : __real_ftruncate64(fd, size);
}

int __wrap_openat64(int dir_fd, const char *name, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	unsigned mode = flags & O_CREAT ? va_arg(args, unsigned) : 0;
	va_end(args);
	return fails() ? -1 : __real_openat64(dir_fd, name, flags, mode);
}

int __wrap_unlinkat(int dir_fd, const char *name, int flags)
{
	return fails() ? -1 : __real_unlinkat(dir_fd, name, flags);
}

bool allocation_fails(size_t bytes)
{
	(void)bytes;
	return fails();
}

/* ── a queue and what should be in it ── */

enum { EXPECTED_MAX = 100000 };

struct model {
	char dir[64];
	struct tl_ingest_queue_options options;
	struct tl_ingest_queue *queue;
	unsigned next_id;                 /* of the next append, failed or not */
	unsigned expected[EXPECTED_MAX];  /* ids of the records appended */
	unsigned appended, consumed;      /* how many of them */
	uint64_t position;                /* consumer's */
	unsigned ghost;                   /* first id of the appends that failed since the last success; 0: none */
};

/* Record `id`: its id and bytes that follow from it; mostly short, sometimes beyond 4 KiB. */
static size_t make_record(unsigned id, unsigned char out[static 8192])
{
	size_t len = id % 7 == 3 ? 4090 + id % 4000 : 16 + id % 150;
	memcpy(out, &id, sizeof id);
	for (size_t i = sizeof id; i < len; i++)
		out[i] = (unsigned char)(id * 131 + i * 7);
	return len;
}

static enum tl_err append_id(struct tl_ingest_queue *queue, unsigned id)
{
	unsigned char record[8192];
	size_t len = make_record(id, record);
	struct tl_slice parts[] = {tl_slice(record, 3), tl_slice(record + 3, 5), tl_slice(record + 8, len - 8)};
	uint64_t before = tl_ingest_queue_end(queue), position = UINT64_MAX;
	enum tl_err err = tl_ingest_queue_append(queue, parts, 3, &position);
	if (err == TL_OK)
		assert_int_equal(position, before);
	else
		assert_int_equal(tl_ingest_queue_end(queue), before);
	return err;
}

static unsigned check_record(struct tl_slice record)
{
	unsigned char expected[8192];
	unsigned id;
	assert_true(record.len >= sizeof id);
	memcpy(&id, record.ptr, sizeof id);
	assert_int_equal(record.len, make_record(id, expected));
	assert_memory_equal(record.ptr, expected, record.len);
	return id;
}

static enum tl_err model_append(struct model *m)
{
	unsigned id = ++m->next_id;
	enum tl_err err = append_id(m->queue, id);
	if (!err) {
		m->ghost = 0;
		m->expected[m->appended++] = id;
	} else if (!m->ghost) {
		m->ghost = id;
	}
	return err;
}

/* Reads up to `count` records and compares; stops at an error, returned. */
static enum tl_err model_read(struct model *m, unsigned count)
{
	while (count--) {
		struct tl_slice record;
		uint64_t next;
		enum tl_err err = tl_ingest_queue_read(m->queue, &m->position, &record, &next);
		if (err == TL_END)
			assert_int_equal(m->consumed, m->appended);
		if (err)
			return err;
		assert_true(m->consumed < m->appended);
		assert_int_equal(check_record(record), m->expected[m->consumed++]);
		m->position = next;
	}
	return TL_OK;
}

/* After a restart a record whose append failed may stand at the end, if the attempt to remove it failed too: (Q2)
 * speaks of one process's life. It may be one only, and only from after the last success. */
static void model_adopt_ghost(struct model *m, uint64_t position)
{
	bool armed = inject.armed;
	uint64_t at = position, next;
	struct tl_slice record;
	inject.armed = false;
	assert_int_equal(tl_ingest_queue_read(m->queue, &at, &record, &next), TL_OK);
	inject.armed = armed;
	assert_int_equal(at, position);
	assert_int_equal(next, tl_ingest_queue_end(m->queue));
	unsigned id = check_record(record);
	assert_true(m->ghost && id >= m->ghost && id <= m->next_id);
	m->expected[m->appended++] = id;
}

/* Opens, again and again while faults last. */
static void model_open(struct model *m, uint64_t end_before)
{
	enum tl_err err;
	uint64_t lost;
	unsigned attempts = 0;
	struct tl_why why;
	do
		err = tl_ingest_queue_open(&m->options, m->position, &m->queue, &lost, &why);
	while (err && inject.armed && attempts++ < 200);
	if (err)
		fail_msg("cannot open: %s", why.text);
	assert_int_equal(lost, 0);
	if (tl_ingest_queue_end(m->queue) != end_before)
		model_adopt_ghost(m, end_before);
}

static void model_reopen(struct model *m)
{
	uint64_t end = tl_ingest_queue_end(m->queue);
	tl_ingest_queue_close(m->queue);
	model_open(m, end);
	m->ghost = 0;
}

/* ── the n-th call fails ── */

static void empty_directory(const char *path)
{
	DIR *dir = opendir(path);
	if (!dir)
		return;
	for (const struct dirent *entry; (entry = readdir(dir));) {
		char file[512];
		snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
		unlink(file);
	}
	closedir(dir);
}

static void work(struct model *m)
{
	for (unsigned i = 0; i < 60; i++) {
		enum tl_err err = model_append(m);
		assert_true(err == TL_OK || err == TL_IO || err == TL_NO_SPACE || err == TL_NO_MEMORY);
		if (i % 3 == 2) {
			err = model_read(m, 4);
			assert_true(err == TL_OK || err == TL_END || err == TL_IO || err == TL_NO_MEMORY);
		}
		if (i % 7 == 6)
			tl_ingest_queue_release(m->queue, m->position);
		if (i % 25 == 24)
			model_reopen(m);
	}
}

/* True if the fault was reached. */
static bool run_with_fault(struct model *m, enum fault fault, unsigned first, unsigned width)
{
	empty_directory(m->dir);
	m->next_id = m->appended = m->consumed = m->ghost = 0;
	m->position = 0;
	inject.fault = fault;
	inject.first = first;
	inject.width = width;
	inject.calls = 0;
	inject.armed = true;
	model_open(m, 0);
	work(m);
	inject.armed = false;
	/* The cause is gone: the queue works again, in this life and the next. */
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(model_append(m), TL_OK);
	assert_int_equal(model_read(m, 3), TL_OK);
	model_reopen(m);
	assert_int_equal(model_append(m), TL_OK);
	assert_int_equal(model_read(m, UINT32_MAX), TL_END);
	tl_ingest_queue_release(m->queue, m->position);
	assert_int_equal(tl_ingest_queue_backlog_bytes(m->queue), 0);
	tl_ingest_queue_close(m->queue);
	m->queue = NULL;
	return inject.calls > first;
}

static void run_all_faults(struct model *m, bool sync)
{
	static const unsigned widths[] = {1, 2, 3, 10, 40};
	m->options = (struct tl_ingest_queue_options){m->dir, 1 << 20, 3000, sync};
	for (enum fault fault = 0; fault < FAULT_COUNT; fault++)
		for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++)
			for (unsigned n = 0; run_with_fault(m, fault, n, widths[w]); n++)
				;
}

static void test_faults(void **state)
{
	run_all_faults(*state, false);
}

static void test_faults_with_sync(void **state)
{
	run_all_faults(*state, true);
}

/* The next append fails at its `call`-th call, and at that one only. */
static void append_failing(struct model *m, enum fault fault, unsigned call, enum tl_err expected)
{
	inject.fault = fault;
	inject.first = call;
	inject.width = 1;
	inject.calls = 0;
	inject.armed = true;
	assert_int_equal(model_append(m), expected);
	inject.armed = false;
}

/* Size of the segment that begins at `first`, -1 if there is none. */
static off_t segment_size(const struct model *m, uint64_t first)
{
	char path[128];
	struct stat status;
	snprintf(path, sizeof path, "%s/%020" PRIu64 ".queue", m->dir, first);
	return stat(path, &status) == 0 ? status.st_size : -1;
}

/* After a failed fdatasync nothing is appended to the segment any more, not even by the next process: what the page
 * cache shows of it may not be on disk, so a record behind that could be lost to power loss (Q1). */
static void test_failed_sync_ends_the_segment(void **state)
{
	struct model *m = *state;
	m->options = (struct tl_ingest_queue_options){m->dir, 1 << 20, 1 << 20, true};
	model_open(m, 0);
	assert_int_equal(model_append(m), TL_OK);
	uint64_t end = tl_ingest_queue_end(m->queue);
	append_failing(m, FAULT_IO, 1, TL_IO); /* pwritev, fdatasync */
	assert_int_equal(segment_size(m, 0), 32 + (off_t)end);
	assert_int_equal(model_append(m), TL_OK);
	assert_int_equal(segment_size(m, 0), 32 + (off_t)end);
	assert_true(segment_size(m, end) > 32);
	end = tl_ingest_queue_end(m->queue);
	model_reopen(m);
	assert_int_equal(model_append(m), TL_OK);
	assert_true(segment_size(m, end) > 32);
	assert_int_equal(model_read(m, UINT32_MAX), TL_END);
}

/* What a failed append left behind is cut off at once, or the segment is given up: a client's payload could hold what
 * looks like a record at the very place where the next one, shorter, ends. */
static void test_failed_write_leaves_nothing(void **state)
{
	struct model *m = *state;
	m->options = (struct tl_ingest_queue_options){m->dir, 1 << 20, 1 << 20, false};
	model_open(m, 0);
	assert_int_equal(model_append(m), TL_OK);
	assert_int_equal(model_append(m), TL_OK);
	uint64_t end = tl_ingest_queue_end(m->queue);
	append_failing(m, FAULT_SHORT, 0, TL_NO_SPACE); /* one that is written */
	assert_int_equal(segment_size(m, 0), 32 + (off_t)end);
	inject.width = 3; /* one that is copied: both attempts to reserve room for it, and the cut */
	inject.calls = 0;
	inject.armed = true;
	assert_int_equal(model_append(m), TL_NO_SPACE);
	inject.armed = false;
	assert_int_equal(model_append(m), TL_OK);
	assert_true(segment_size(m, end) > 32);
	assert_int_equal(model_read(m, UINT32_MAX), TL_END);
}

/* ── kill -9 ── */

/* Appends records from `id` on for ever, reporting each through the pipe once it was accepted. */
static _Noreturn void child(const struct model *m, unsigned id, int report)
{
	struct tl_ingest_queue *queue;
	uint64_t lost;
	if (tl_ingest_queue_open(&m->options, m->position, &queue, &lost, NULL) != TL_OK)
		_exit(1);
	for (;; id++) {
		unsigned char record[8192];
		uint64_t position;
		struct tl_slice part = tl_slice(record, make_record(id, record));
		if (tl_ingest_queue_append(queue, &part, 1, &position) != TL_OK ||
		    write(report, &id, sizeof id) != sizeof id)
			_exit(1);
	}
}

/* The last id that a child reported before it was killed, 0 if none. */
static unsigned run_child(const struct model *m, unsigned id, unsigned life_us)
{
	int ends[2], status;
	unsigned reported, last = 0;
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		child(m, id, ends[1]);
	}
	close(ends[1]);
	/* Only a moment at random to choose; nothing is expected to have happened by then. */
	usleep(life_us);
	kill(pid, SIGKILL);
	while (read(ends[0], &reported, sizeof reported) == sizeof reported)
		last = reported;
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	return last;
}

static unsigned random_below(unsigned *seed, unsigned bound)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 8) % bound;
}

/* Reads on from where the last round stopped; leaves part of it. The id of the last record there, `id` - 1 if none. */
static unsigned check_after_kill(struct model *m, unsigned first_id, unsigned *seed)
{
	struct tl_slice record;
	uint64_t lost, next, position = m->position;
	unsigned id = first_id;
	assert_int_equal(tl_ingest_queue_open(&m->options, m->position, &m->queue, &lost, NULL), TL_OK);
	assert_int_equal(lost, 0);
	for (enum tl_err err; (err = tl_ingest_queue_read(m->queue, &position, &record, &next)) != TL_END; id++) {
		assert_int_equal(err, TL_OK);
		assert_int_equal(check_record(record), id);
		position = next;
		if (random_below(seed, 4) && m->consumed + 1 == id) {
			m->position = position;
			m->consumed = id;
		}
	}
	tl_ingest_queue_release(m->queue, m->position);
	tl_ingest_queue_close(m->queue);
	m->queue = NULL;
	return id - 1;
}

static void test_kill(void **state)
{
	struct model *m = *state;
	unsigned seed = (unsigned)time(NULL), last = 0, total = 0;
	print_message("seed %u\n", seed);
	empty_directory(m->dir);
	m->position = 0;
	m->consumed = 0; /* here: the last id consumed for good */
	for (unsigned round = 0; round < 50; round++) {
		m->options = (struct tl_ingest_queue_options){m->dir, 1u << 30, 100000, round % 2 == 1};
		unsigned reported = run_child(m, last + 1, 1 + random_below(&seed, 20000));
		unsigned found = check_after_kill(m, m->consumed + 1, &seed);
		if (reported)
			total += reported - last;
		/* All that was reported, and at most the one that was accepted and not reported yet. */
		assert_true(found >= (reported ? reported : last));
		assert_true(found <= (reported ? reported : last) + 1);
		last = found;
	}
	print_message("%u records accepted\n", total);
	assert_true(total > 0);
}

/* ── a full disk ── */

static void fill_and_drain(struct model *m, uint64_t segment_bytes, bool sync)
{
	m->options = (struct tl_ingest_queue_options){m->dir, 1u << 30, segment_bytes, sync};
	m->next_id = m->appended = m->consumed = m->ghost = 0;
	m->position = 0;
	empty_directory(m->dir);
	model_open(m, 0);
	for (unsigned round = 0; round < 20; round++) {
		enum tl_err err = TL_OK;
		unsigned before = m->appended;
		while (!err)
			err = model_append(m);
		assert_int_equal(err, TL_NO_SPACE);
		assert_true(m->appended > before); /* releasing everything always makes room */
		for (unsigned i = 0; i < 20; i++)
			model_append(m); /* a shorter one may still fit */
		if (round % 3 == 1)
			model_reopen(m);
		assert_int_equal(model_read(m, UINT32_MAX), TL_END);
		tl_ingest_queue_release(m->queue, m->position);
		assert_int_equal(tl_ingest_queue_backlog_bytes(m->queue), 0);
	}
	tl_ingest_queue_close(m->queue);
	m->queue = NULL;
}

static void test_full_disk(void **state)
{
	struct model *m = *state;
	empty_directory(m->dir);
	if (mount("tmpfs", m->dir, "tmpfs", 0, "size=256k") != 0) {
		print_message("mounting a tmpfs is not permitted (%s): skipped\n", strerror(errno));
		skip();
	}
	for (unsigned sync = 0; sync < 2; sync++) {
		fill_and_drain(m, 20000, sync);
		fill_and_drain(m, 100000, sync);
		fill_and_drain(m, 10000000, sync); /* the whole disk is one segment, which is never rolled */
	}
	/* Teardown unmounts, so that a failed assertion does not leave it behind. */
}

static int setup(void **state)
{
	struct model *m = calloc(1, sizeof *m);
	strcpy(m->dir, "/tmp/tl-queue-XXXXXX");
	assert_non_null(mkdtemp(m->dir));
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct model *m = *state;
	inject.armed = false;
	tl_ingest_queue_close(m->queue);
	umount(m->dir); /* fails where nothing is mounted */
	empty_directory(m->dir);
	rmdir(m->dir);
	free(m);
	return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_faults),
		TEST(test_faults_with_sync),
		TEST(test_failed_sync_ends_the_segment),
		TEST(test_failed_write_leaves_nothing),
		TEST(test_kill),
		TEST(test_full_disk),
	};
	return cmocka_run_group_tests_name("ingest_queue_faults", tests, NULL, NULL);
}
