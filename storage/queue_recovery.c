/* Opening an ingest queue that was closed, killed, or damaged.
 *
 *                 committed
 *                     v
 *     [segment 0][segment 1   ??? ][segment 2      ~torn]      ??? damage: lost up to the next segment, and counted
 *      unlinked    valid ^    ^lost^          valid ^ cut      ~   what a crash cut short: was never acknowledged
 *
 * All segments from `committed` on are scanned (the queue's max_bytes bounds that), in the way the consumer will read
 * them: from a segment's first record to its first invalid one. Runs before the queue's threads do.
 */
#include "queue_recovery.h"

#include "queue_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct recovery {
	int dir_fd;
	uint64_t committed;
	bool sync;
	struct tl_queue_found found;
	struct tl_queue_reader reader;
	struct tl_why *why;
};

/* What the scan of one segment says. */
struct survey {
	uint64_t valid;      /* its valid records end here */
	bool header_damaged; /* then there are none */
	bool inside;         /* `committed` falls in the middle of a valid record: the rest cannot be read from there */
};

static enum tl_err fail_segment(struct tl_why *why, enum tl_err err, uint64_t first, const char *what)
{
	char name[TL_QUEUE_NAME];
	tl_queue_segment_name(first, name);
	return tl_fail(why, err, "cannot %s queue segment %s: %s", what, name, tl_err_text(err));
}

static void unlink_segment(const struct recovery *recovery, uint64_t first)
{
	char name[TL_QUEUE_NAME];
	tl_queue_segment_name(first, name);
	/* What cannot be unlinked now is tried again by the next open. */
	unlinkat(recovery->dir_fd, name, 0);
}

/* Before anything is changed: nothing here was written by a newer program (S3). */
static enum tl_err check_versions(struct recovery *recovery)
{
	for (size_t i = 0; i < recovery->found.count; i++) {
		uint64_t first = recovery->found.firsts[i];
		enum tl_err err = tl_queue_reader_open(&recovery->reader, recovery->dir_fd, first);
		if (err && err != TL_CORRUPT)
			return fail_segment(recovery->why, err, first, "open");
	}
	return TL_OK;
}

static void unlink_committed(struct recovery *recovery)
{
	struct tl_queue_found *found = &recovery->found;
	size_t gone = 0;
	while (gone + 1 < found->count && found->firsts[gone + 1] <= recovery->committed)
		unlink_segment(recovery, found->firsts[gone++]);
	if (gone) {
		found->count -= gone;
		memmove(found->firsts, found->firsts + gone, found->count * sizeof *found->firsts);
	}
}

/* Scans the segment [first, limit). */
static enum tl_err survey(struct recovery *recovery, uint64_t first, uint64_t limit, struct survey *survey_out)
{
	struct survey result = {.valid = first};
	uint64_t committed = recovery->committed;
	bool boundary = false;
	enum tl_err err = tl_queue_reader_open(&recovery->reader, recovery->dir_fd, first);
	result.header_damaged = err == TL_CORRUPT;
	if (!err)
		err = tl_queue_reader_scan(&recovery->reader, limit, committed, &result.valid, &boundary);
	if (err && err != TL_CORRUPT)
		return fail_segment(recovery->why, err, first, "read");
	result.inside = committed > first && committed < result.valid && !boundary;
	*survey_out = result;
	return TL_OK;
}

/* Counts the bytes [from, to), as far as they are still wanted. */
static void count_lost(struct recovery *recovery, uint64_t from, uint64_t to)
{
	if (from < recovery->committed)
		from = recovery->committed;
	if (from < to)
		recovery->found.lost_bytes += to - from;
}

static enum tl_err survey_earlier(struct recovery *recovery)
{
	const struct tl_queue_found *found = &recovery->found;
	if (found->count)
		count_lost(recovery, 0, found->firsts[0]);
	for (size_t i = 0; i + 1 < found->count; i++) {
		struct survey result;
		enum tl_err err = survey(recovery, found->firsts[i], found->firsts[i + 1], &result);
		if (err)
			return err;
		count_lost(recovery, result.inside ? recovery->committed : result.valid, found->firsts[i + 1]);
	}
	return TL_OK;
}

/* The last segment, of `size` bytes and open as found.fd: cuts it, and keeps it open if it may be appended to. */
static enum tl_err adopt_last(struct recovery *recovery, uint64_t first, off_t size)
{
	struct tl_queue_found *found = &recovery->found;
	uint64_t limit = first + (size > TL_QUEUE_HEADER ? (uint64_t)size - TL_QUEUE_HEADER : 0);
	struct survey result;
	enum tl_err err = survey(recovery, first, limit, &result);
	if (err)
		return err;
	if (result.header_damaged) {
		/* With records after it they are lost; without, creation was cut short and the file will be replaced. */
		count_lost(recovery, first, limit);
		found->end = limit;
	} else {
		if (result.valid < limit && tl_queue_segment_cut(found->fd, first, result.valid) != TL_OK)
			return fail_segment(recovery->why, TL_IO, first, "cut");
		if (result.inside)
			count_lost(recovery, first, result.valid);
		found->end = result.valid;
	}
	/* A consumer that starts inside a record skips the rest of the segment: nothing new may stand there. */
	if (result.header_damaged || result.inside || recovery->sync || found->end < recovery->committed) {
		close(found->fd);
		found->fd = -1;
	}
	return TL_OK;
}

static enum tl_err open_last(struct recovery *recovery)
{
	struct tl_queue_found *found = &recovery->found;
	uint64_t first = found->firsts[found->count - 1];
	char name[TL_QUEUE_NAME];
	struct stat status;
	tl_queue_segment_name(first, name);
	found->fd = openat(recovery->dir_fd, name, O_RDWR | O_CLOEXEC);
	if (found->fd < 0 || fstat(found->fd, &status) != 0)
		return tl_fail(recovery->why, TL_IO, "cannot open queue segment %s: %s", name, strerror(errno));
	return adopt_last(recovery, first, status.st_size);
}

static enum tl_err recover(struct recovery *recovery)
{
	struct tl_queue_found *found = &recovery->found;
	enum tl_err err = tl_queue_segment_list(recovery->dir_fd, &found->firsts, &found->count, recovery->why);
	if (!err)
		err = check_versions(recovery);
	if (err)
		return err;
	unlink_committed(recovery);
	err = survey_earlier(recovery);
	if (!err && found->count)
		err = open_last(recovery);
	if (!err && found->count && found->end < recovery->committed) {
		/* Files were lost: the positions up to `committed` have been used, and stay so (Q4). */
		unlink_segment(recovery, found->firsts[0]);
		found->count = 0;
	}
	if (found->count == 0)
		found->end = recovery->committed;
	return err;
}

enum tl_err tl_queue_recover(int dir_fd, uint64_t committed, bool sync, struct tl_queue_found *found_out,
                             struct tl_why *why)
{
	struct recovery recovery = {.dir_fd = dir_fd, .committed = committed, .sync = sync, .found.fd = -1, .why = why};
	if (committed > TL_QUEUE_POSITION_MAX)
		return tl_fail(why, TL_CORRUPT, "the position committed in the queue is out of range");
	tl_queue_reader_init(&recovery.reader);
	enum tl_err err = recover(&recovery);
	tl_queue_reader_fini(&recovery.reader);
	if (err) {
		if (recovery.found.fd >= 0)
			close(recovery.found.fd);
		free(recovery.found.firsts);
		return err;
	}
	*found_out = recovery.found;
	return TL_OK;
}
