/* The ingest queue: segments in a directory, one thread appending at the end, another consuming from the front.
 *
 *      released          consumer's position                 end
 *         v                      v                             v
 *     [segment 0    ][segment 1        ][segment 2 ············]   (next record)
 *      unlinked once  read through the   appended to at a
 *      all released   reader's own fd    tracked offset
 *
 * The contract (Q1)–(Q4) stands in ingest_queue.h, the bytes and (S1)–(S3) in queue_segment.h. What this file adds:
 *
 *   (I1) `end` moves only after the record is complete (and synced): everything before it stays as it is, so the
 *        consumer reads the file without a lock, and what a failed append left behind lies after it (Q2).
 *   (I2) A segment ends where the next one begins, the last at `end`. What the file holds beyond is never looked at.
 *   (I3) After a failed fdatasync the kernel may hold as clean what the disk does not have. Such a segment is never
 *        appended to again, and in sync mode neither is one that an earlier process left (Q1).
 *
 * Threads: the appending and the consuming thread own the fields so marked. `list_mutex` guards the list of segments,
 * which append takes only when it begins one; `wait_mutex` guards the sleep of the consumer.
 */
#include "ingest_queue.h"

#include "directory_entries.h"
#include "queue_recovery.h"
#include "queue_segment.h"
#include "thread.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct tl_ingest_queue {
	/* Constant after open. */
	uint64_t max_bytes;
	uint64_t segment_bytes;
	bool sync;
	int dir_fd;

	/* Appending thread. */
	struct tl_queue_tail tail; /* the segment appended to; none: the next append begins one */
	unsigned char small[TL_QUEUE_SMALL];

	/* Any thread. */
	_Atomic uint64_t end;      /* position after the last record; moved by the appending thread */
	_Atomic uint64_t released; /* nothing before it is wanted; moved by the consuming thread */

	pthread_mutex_t list_mutex;
	uint64_t *firsts; /* list_mutex: first positions of the segments, ascending */
	size_t count;     /* list_mutex */
	size_t capacity;  /* list_mutex */

	pthread_mutex_t wait_mutex;
	pthread_cond_t wait_cond;
	atomic_bool waiting; /* the consumer sleeps or is about to; set under wait_mutex */
	bool woken;          /* wait_mutex: a wake that no wait has seen */

	/* Consuming thread. */
	struct tl_queue_reader reader;
	uint64_t limit;    /* the open segment holds complete records up to here */
	uint64_t gap_from; /* the last damage skipped: no record stands in [gap_from, gap_to) */
	uint64_t gap_to;
};

/* ── the list of segments ── */

static enum tl_err list_reserve(struct tl_ingest_queue *queue)
{
	enum tl_err err = TL_OK;
	pthread_mutex_lock(&queue->list_mutex);
	if (queue->count == queue->capacity) {
		size_t capacity = queue->capacity ? 2 * queue->capacity : 16;
		uint64_t *larger = realloc(queue->firsts, capacity * sizeof *larger);
		if (larger) {
			queue->firsts = larger;
			queue->capacity = capacity;
		} else {
			err = TL_NO_MEMORY;
		}
	}
	pthread_mutex_unlock(&queue->list_mutex);
	return err;
}

/* The room was reserved. A segment that failed before its first record is in the list already. */
static void list_add(struct tl_ingest_queue *queue, uint64_t first)
{
	pthread_mutex_lock(&queue->list_mutex);
	if (queue->count == 0 || queue->firsts[queue->count - 1] != first)
		queue->firsts[queue->count++] = first;
	pthread_mutex_unlock(&queue->list_mutex);
}

/* The segment in which `position` (< end) falls, or the first one where it falls before all; where that segment ends
 * (I2). False when there is none. */
static bool list_find(struct tl_ingest_queue *queue, uint64_t position, uint64_t end, uint64_t *first_out,
                      uint64_t *limit_out)
{
	size_t next = 1;
	pthread_mutex_lock(&queue->list_mutex);
	size_t count = queue->count;
	while (next < count && queue->firsts[next] <= position)
		next++;
	if (count) {
		*first_out = queue->firsts[next - 1];
		*limit_out = next < count && queue->firsts[next] < end ? queue->firsts[next] : end;
	}
	pthread_mutex_unlock(&queue->list_mutex);
	return count > 0;
}

/* Takes the first segment off the list if it lies wholly before `position`. */
static bool list_take_released(struct tl_ingest_queue *queue, uint64_t position, uint64_t *first_out)
{
	pthread_mutex_lock(&queue->list_mutex);
	bool taken = queue->count > 1 && queue->firsts[1] <= position;
	if (taken) {
		*first_out = queue->firsts[0];
		queue->count--;
		memmove(queue->firsts, queue->firsts + 1, queue->count * sizeof *queue->firsts);
	}
	pthread_mutex_unlock(&queue->list_mutex);
	return taken;
}

static void unlink_segment(struct tl_ingest_queue *queue, uint64_t first)
{
	char name[TL_QUEUE_NAME];
	tl_queue_segment_name(first, name);
	/* What cannot be unlinked now is found before the watermark by the next open. */
	unlinkat(queue->dir_fd, name, 0);
}

/* Gives back what is reserved in the present segment, which is complete. */
static void trim_segment(struct tl_ingest_queue *queue)
{
	if (queue->tail.fd < 0)
		return;
	enum tl_err err = tl_queue_tail_cut(&queue->tail, atomic_load_explicit(&queue->end, memory_order_relaxed));
	(void)err; /* it costs a little room until the segment is unlinked */
}

/* With `sync` a write and the flush of what it wrote are one matter, and a copy would save nothing. */
static void map_segment(struct tl_ingest_queue *queue, uint64_t position)
{
	if (!queue->sync && queue->tail.fd >= 0)
		tl_queue_tail_map(&queue->tail, position, queue->segment_bytes);
}

/* ── opening ── */

static enum tl_err open_directory(struct tl_ingest_queue *queue, const char *dir, struct tl_why *why)
{
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return tl_fail(why, tl_queue_segment_error(errno), "cannot make directory %s: %s", dir, strerror(errno));
	queue->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (queue->dir_fd < 0)
		return tl_fail(why, TL_IO, "cannot open directory %s: %s", dir, strerror(errno));
	if (queue->sync && tl_directory_entries_sync(queue->dir_fd) != 0)
		return tl_fail(why, tl_queue_segment_error(errno), "cannot sync directory %s: %s", dir, strerror(errno));
	return TL_OK;
}

static enum tl_err recover(struct tl_ingest_queue *queue, uint64_t committed, uint64_t *lost_out, struct tl_why *why)
{
	struct tl_queue_found found;
	enum tl_err err = tl_queue_recover(queue->dir_fd, committed, queue->sync, &found, why);
	if (err)
		return err;
	queue->firsts = found.firsts;
	queue->count = queue->capacity = found.count;
	queue->tail.fd = found.fd;
	queue->tail.first = found.count ? found.firsts[found.count - 1] : found.end;
	map_segment(queue, found.end);
	atomic_init(&queue->end, found.end);
	atomic_init(&queue->released, committed);
	*lost_out = found.lost_bytes;
	return TL_OK;
}

static struct tl_ingest_queue *queue_new(const struct tl_ingest_queue_options *options)
{
	struct tl_ingest_queue *queue = calloc(1, sizeof *queue);
	if (!queue)
		return NULL;
	queue->max_bytes = options->max_bytes;
	queue->segment_bytes = options->segment_bytes;
	queue->sync = options->sync;
	queue->dir_fd = -1;
	queue->tail.fd = -1;
	tl_queue_reader_init(&queue->reader);
	tl_thread_condition_init(&queue->wait_cond);
	pthread_mutex_init(&queue->wait_mutex, NULL);
	pthread_mutex_init(&queue->list_mutex, NULL);
	return queue;
}

enum tl_err tl_ingest_queue_open(const struct tl_ingest_queue_options *options, uint64_t committed,
                                 struct tl_ingest_queue **queue_out, uint64_t *lost_bytes_out, struct tl_why *why)
{
	uint64_t lost;
	struct tl_ingest_queue *queue = queue_new(options);
	if (!queue)
		return tl_fail(why, TL_NO_MEMORY, "out of memory");
	enum tl_err err = open_directory(queue, options->dir, why);
	if (!err)
		err = recover(queue, committed, &lost, why);
	if (err) {
		tl_ingest_queue_close(queue);
		return err;
	}
	*queue_out = queue;
	*lost_bytes_out = lost;
	return TL_OK;
}

static enum tl_err flush_segment(int dir_fd, uint64_t first)
{
	char name[TL_QUEUE_NAME];
	tl_queue_segment_name(first, name);
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	enum tl_err err = fd >= 0 && fsync(fd) == 0 ? TL_OK : tl_queue_segment_error(errno);
	if (fd >= 0)
		close(fd);
	return err;
}

enum tl_err tl_ingest_queue_flush(struct tl_ingest_queue *queue)
{
	enum tl_err err = TL_OK;
	if (!queue || tl_ingest_queue_backlog_bytes(queue) == 0)
		return TL_OK;
	for (size_t i = 0; i < queue->count && err == TL_OK; i++)
		err = flush_segment(queue->dir_fd, queue->firsts[i]);
	if (err == TL_OK && tl_directory_entries_sync(queue->dir_fd) != 0)
		err = tl_queue_segment_error(errno);
	return err;
}

void tl_ingest_queue_close(struct tl_ingest_queue *queue)
{
	if (!queue)
		return;
	trim_segment(queue);
	tl_queue_tail_close(&queue->tail);
	if (queue->dir_fd >= 0)
		close(queue->dir_fd);
	tl_queue_reader_fini(&queue->reader);
	pthread_cond_destroy(&queue->wait_cond);
	pthread_mutex_destroy(&queue->wait_mutex);
	pthread_mutex_destroy(&queue->list_mutex);
	free(queue->firsts);
	free(queue);
}

/* ── appending ── */

static bool payload_length(const struct tl_slice *parts, size_t count, size_t *length_out)
{
	size_t length = 0;
	if (count > TL_QUEUE_PARTS_MAX)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (parts[i].len > TL_QUEUE_RECORD_MAX - length)
			return false;
		length += parts[i].len;
	}
	*length_out = length;
	return true;
}

static enum tl_err begin_segment(struct tl_ingest_queue *queue, uint64_t position)
{
	int fd;
	enum tl_err err = list_reserve(queue);
	if (!err)
		err = tl_queue_segment_create(queue->dir_fd, position, queue->sync, &fd);
	if (err)
		return err;
	trim_segment(queue);
	tl_queue_tail_close(&queue->tail);
	queue->tail.fd = fd;
	queue->tail.first = position;
	map_segment(queue, position);
	list_add(queue, position);
	return TL_OK;
}

static enum tl_err append_at(struct tl_ingest_queue *queue, uint64_t position, const struct tl_slice *parts,
                             size_t count, size_t length)
{
	enum tl_err err = TL_OK;
	if (queue->tail.fd < 0 || position - queue->tail.first >= queue->segment_bytes)
		err = begin_segment(queue, position);
	if (err)
		return err;
	err = tl_queue_tail_append(&queue->tail, position, parts, count, length, queue->small);
	bool unsynced = !err && queue->sync && fdatasync(queue->tail.fd) != 0;
	if (unsynced)
		err = tl_queue_segment_error(errno);
	if (!err)
		return TL_OK;
	/* Without the cut a restart would find the whole record, or a later one crafted inside it. */
	bool cut = tl_queue_tail_cut(&queue->tail, position) == TL_OK;
	if (unsynced || !cut)
		tl_queue_tail_close(&queue->tail); /* (I3) */
	return err;
}

static bool empty_segment(int dir_fd, uint64_t first)
{
	char name[TL_QUEUE_NAME];
	tl_queue_segment_name(first, name);
	int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);
	bool cut = fd >= 0 && tl_queue_segment_cut(fd, first, first) == TL_OK;
	if (fd >= 0)
		close(fd);
	return cut;
}

/* On a full disk the space may be the queue's own: segments all consumed, but the last too short to be rolled, and the
 * next impossible to begin. When everything is released, empties them all (cut, since the consumer may have one open).
 * True if that may help. The consumer reads nothing of them any more; opening finds them to end before the watermark,
 * and goes on behind that (Q4). */
static bool give_back(struct tl_ingest_queue *queue, uint64_t end)
{
	bool given = false;
	if (atomic_load_explicit(&queue->released, memory_order_acquire) < end)
		return false;
	pthread_mutex_lock(&queue->list_mutex);
	for (size_t i = 0; i < queue->count && queue->firsts[i] < end; i++)
		given = empty_segment(queue->dir_fd, queue->firsts[i]) || given;
	pthread_mutex_unlock(&queue->list_mutex);
	if (queue->tail.first < end)
		tl_queue_tail_close(&queue->tail);
	return given;
}

/* Makes everything before `end` visible and wakes the consumer if it sleeps. No wake-up is lost: here `end` is stored,
 * then `waiting` loaded; in tl_ingest_queue_wait `waiting` is stored, then `end` loaded; all four sequentially
 * consistent. In their one order either this load sees the consumer waiting or the consumer's load sees this end.
 * (Atomics and not fences, because ThreadSanitizer does not understand fences; they cost the same.) If it is seen
 * waiting, it holds wait_mutex until it sleeps, so that the signal reaches it. */
static void publish(struct tl_ingest_queue *queue, uint64_t end)
{
	atomic_store(&queue->end, end);
	if (!atomic_load(&queue->waiting))
		return;
	pthread_mutex_lock(&queue->wait_mutex);
	pthread_cond_signal(&queue->wait_cond);
	pthread_mutex_unlock(&queue->wait_mutex);
}

enum tl_err tl_ingest_queue_append(struct tl_ingest_queue *queue, const struct tl_slice *parts, size_t count,
                                   uint64_t *position_out)
{
	size_t length;
	uint64_t position = atomic_load_explicit(&queue->end, memory_order_relaxed);
	if (!payload_length(parts, count, &length))
		return TL_TOO_LARGE;
	if (tl_ingest_queue_backlog_bytes(queue) >= queue->max_bytes)
		return TL_FULL;
	enum tl_err err = append_at(queue, position, parts, count, length);
	if (err == TL_NO_SPACE && give_back(queue, position))
		err = append_at(queue, position, parts, count, length);
	if (err)
		return err;
	publish(queue, position + TL_QUEUE_RECORD_HEADER + length);
	*position_out = position;
	return TL_OK;
}

uint64_t tl_ingest_queue_end(const struct tl_ingest_queue *queue)
{
	return atomic_load_explicit(&queue->end, memory_order_acquire);
}

uint64_t tl_ingest_queue_backlog_bytes(const struct tl_ingest_queue *queue)
{
	/* In this order, so that a release in between cannot be ahead of the end. */
	uint64_t released = atomic_load_explicit(&queue->released, memory_order_acquire);
	return atomic_load_explicit(&queue->end, memory_order_acquire) - released;
}

/* ── consuming ── */

static uint64_t after_gap(const struct tl_ingest_queue *queue, uint64_t position)
{
	return position >= queue->gap_from && position < queue->gap_to ? queue->gap_to : position;
}

/* Remembers that there is nothing in [from, to). Nobody will release a gap that no record follows, so it is no longer
 * counted as waiting from when all before it is released; otherwise a large one would keep the queue full for good.
 * Only the last gap matters: after an earlier one there is a record, whose release covers it. */
static void skip_to(struct tl_ingest_queue *queue, uint64_t from, uint64_t to)
{
	if (from != queue->gap_to)
		queue->gap_from = from;
	queue->gap_to = to;
	tl_ingest_queue_release(queue, atomic_load_explicit(&queue->released, memory_order_relaxed));
}

/* Opens the segment in which *position falls, unless it is open and has more. TL_CORRUPT: there is nothing to be had
 * from *position up to queue->limit. */
static enum tl_err seek(struct tl_ingest_queue *queue, uint64_t *position)
{
	uint64_t end, first, limit;
	if (queue->reader.fd >= 0 && *position >= queue->reader.first && *position < queue->limit)
		return TL_OK;
	end = tl_ingest_queue_end(queue);
	if (*position >= end)
		return TL_END;
	if (!list_find(queue, *position, end, &first, &limit))
		first = limit = end;
	if (*position < first) {
		skip_to(queue, *position, first);
		*position = first;
	}
	if (*position >= end)
		return TL_END;
	queue->limit = limit;
	if (queue->reader.fd >= 0 && queue->reader.first == first)
		return TL_OK;
	return tl_queue_reader_open(&queue->reader, queue->dir_fd, first);
}

enum tl_err tl_ingest_queue_read(struct tl_ingest_queue *queue, uint64_t *position, struct tl_slice *record_out,
                                 uint64_t *next_out)
{
	uint64_t at = after_gap(queue, *position);
	for (;;) {
		enum tl_err err = seek(queue, &at);
		if (!err)
			err = tl_queue_reader_record(&queue->reader, at, queue->limit, record_out, next_out);
		if (!err)
			*position = at;
		if (err != TL_CORRUPT)
			return err;
		/* The limit is a record's position: the next segment's first or, in the last one, an end (Q3). */
		skip_to(queue, at, queue->limit);
		at = queue->limit;
	}
}

void tl_ingest_queue_release(struct tl_ingest_queue *queue, uint64_t position)
{
	uint64_t first, end = tl_ingest_queue_end(queue);
	position = after_gap(queue, position < end ? position : end);
	if (position > atomic_load_explicit(&queue->released, memory_order_relaxed))
		atomic_store_explicit(&queue->released, position, memory_order_release);
	while (list_take_released(queue, position, &first)) {
		/* An open descriptor would keep its space. */
		if (first == queue->reader.first)
			tl_queue_reader_close(&queue->reader);
		unlink_segment(queue, first);
	}
}

bool tl_ingest_queue_wait(struct tl_ingest_queue *queue, uint64_t position, unsigned timeout_ms)
{
	/* A gap at the end is nothing to wake up for. */
	position = after_gap(queue, position);
	if (tl_ingest_queue_end(queue) > position)
		return true;
	const struct timespec deadline = tl_thread_deadline(timeout_ms);
	int result = 0;
	pthread_mutex_lock(&queue->wait_mutex);
	atomic_store(&queue->waiting, true); /* before `end` is looked at again: see publish */
	while (atomic_load(&queue->end) <= position && !queue->woken && result == 0)
		result = pthread_cond_timedwait(&queue->wait_cond, &queue->wait_mutex, &deadline);
	atomic_store(&queue->waiting, false);
	queue->woken = false;
	pthread_mutex_unlock(&queue->wait_mutex);
	return atomic_load(&queue->end) > position;
}

void tl_ingest_queue_wake(struct tl_ingest_queue *queue)
{
	pthread_mutex_lock(&queue->wait_mutex);
	queue->woken = true;
	pthread_cond_signal(&queue->wait_cond);
	pthread_mutex_unlock(&queue->wait_mutex);
}
