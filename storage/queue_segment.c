#include "queue_segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

/* Inlined: faster for short records, and no dependence on the layout of the state in a shared library. */
#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	CHUNK = 256 * 1024,       /* bytes read at once */
	KEEP = 4 * CHUNK,         /* a buffer larger than this is given back once it is no longer needed */
	VERSION = 1,
	WINDOW_MAX = 256 * 1024 * 1024, /* a segment that may become larger is written to */
	HEADER_CHECKED = 24,      /* bytes of the header under its checksum */
};

static const unsigned char magic[8] = "tlqueue";

static void put32(unsigned char *out, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		out[i] = (unsigned char)(value >> (8 * i));
}

static void put64(unsigned char *out, uint64_t value)
{
	put32(out, (uint32_t)value);
	put32(out + 4, (uint32_t)(value >> 32));
}

static uint32_t get32(const unsigned char *in)
{
	return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static uint64_t get64(const unsigned char *in)
{
	return get32(in) | (uint64_t)get32(in + 4) << 32;
}

static off_t file_offset(uint64_t first, uint64_t position)
{
	return (off_t)(position - first) + TL_QUEUE_HEADER;
}

enum tl_err tl_queue_segment_error(int error_number)
{
	return error_number == ENOSPC || error_number == EDQUOT ? TL_NO_SPACE : TL_IO;
}

/* ── names ── */

void tl_queue_segment_name(uint64_t first, char name_out[static TL_QUEUE_NAME])
{
	snprintf(name_out, TL_QUEUE_NAME, "%020" PRIu64 ".queue", first);
}

static bool parse_name(const char *name, uint64_t *first_out)
{
	uint64_t first = 0;
	for (unsigned i = 0; i < 20; i++) {
		if (name[i] < '0' || name[i] > '9' || first > TL_QUEUE_POSITION_MAX / 10)
			return false;
		first = first * 10 + (uint64_t)(name[i] - '0');
	}
	if (strcmp(name + 20, ".queue") != 0 || first > TL_QUEUE_POSITION_MAX)
		return false;
	*first_out = first;
	return true;
}

static int compare_positions(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* Adds to an array whose room is always the power of two that fits its count. */
static bool add_first(uint64_t **firsts, size_t *count, uint64_t first)
{
	if ((*count & (*count - 1)) == 0) {
		uint64_t *larger = realloc(*firsts, (*count ? 2 * *count : 1) * sizeof **firsts);
		if (!larger)
			return false;
		*firsts = larger;
	}
	(*firsts)[(*count)++] = first;
	return true;
}

static enum tl_err collect(DIR *dir, uint64_t **firsts, size_t *count, struct tl_why *why)
{
	for (;;) {
		uint64_t first;
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (!entry && errno)
			return tl_fail(why, TL_IO, "cannot list the queue's directory: %s", strerror(errno));
		if (!entry)
			return TL_OK;
		if (parse_name(entry->d_name, &first) && !add_first(firsts, count, first))
			return tl_fail(why, TL_NO_MEMORY, "out of memory while listing the queue's directory");
	}
}

enum tl_err tl_queue_segment_list(int dir_fd, uint64_t **firsts_out, size_t *count_out, struct tl_why *why)
{
	uint64_t *firsts = NULL;
	size_t count = 0;
	/* A descriptor of its own, because closedir closes it. */
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		int error = errno;
		if (fd >= 0)
			close(fd);
		return tl_fail(why, TL_IO, "cannot list the queue's directory: %s", strerror(error));
	}
	enum tl_err err = collect(dir, &firsts, &count, why);
	closedir(dir);
	if (err) {
		free(firsts);
		return err;
	}
	if (count)
		qsort(firsts, count, sizeof *firsts, compare_positions);
	*firsts_out = firsts;
	*count_out = count;
	return TL_OK;
}

/* ── writing ── */

/* One write, all or an error: a file takes less than it was given only when its disk fills up. */
static enum tl_err write_all(int fd, const struct iovec *iov, int count, size_t total, off_t offset)
{
	ssize_t written;
	do
		written = pwritev(fd, iov, count, offset);
	while (written < 0 && errno == EINTR);
	if (written < 0)
		return tl_queue_segment_error(errno);
	return (size_t)written == total ? TL_OK : TL_NO_SPACE;
}

static enum tl_err write_header(int fd, uint64_t first)
{
	unsigned char header[TL_QUEUE_HEADER] = {0};
	memcpy(header, magic, sizeof magic);
	put32(header + 8, VERSION);
	put64(header + 16, first);
	put64(header + HEADER_CHECKED, XXH3_64bits(header, HEADER_CHECKED));
	struct iovec iov = {header, sizeof header};
	return write_all(fd, &iov, 1, sizeof header, 0);
}

enum tl_err tl_queue_segment_create(int dir_fd, uint64_t first, bool sync, int *fd_out)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC; /* to write into a window takes both */
	char name[TL_QUEUE_NAME];
	tl_queue_segment_name(first, name);
	int fd = openat(dir_fd, name, flags, 0600);
	if (fd < 0 && errno == EEXIST && unlinkat(dir_fd, name, 0) == 0)
		fd = openat(dir_fd, name, flags, 0600);
	if (fd < 0)
		return tl_queue_segment_error(errno);
	enum tl_err err = write_header(fd, first);
	if (!err && sync && (fdatasync(fd) != 0 || fsync(dir_fd) != 0))
		err = tl_queue_segment_error(errno);
	if (err) {
		close(fd);
		unlinkat(dir_fd, name, 0);
		return err;
	}
	*fd_out = fd;
	return TL_OK;
}

/* Never 0, so that zeros are no record. */
static uint32_t checksum_of(XXH64_hash_t hash)
{
	return (uint32_t)hash ? (uint32_t)hash : 1;
}

/* The checksum of the record in `bytes`, length and payload standing apart in the file but to be hashed as one run:
 * the length is moved next to the payload for as long as it takes, over the checksum field. */
static uint32_t checksum_in_place(unsigned char *bytes, size_t length, uint64_t position)
{
	unsigned char kept[4];
	memcpy(kept, bytes + 4, 4);
	memcpy(bytes + 4, bytes, 4);
	uint32_t checksum = checksum_of(XXH3_64bits_withSeed(bytes + 4, 4 + length, position));
	memcpy(bytes + 4, kept, 4);
	return checksum;
}

/* Measured: up to about TL_QUEUE_SMALL bytes a copy is cheaper than XXH3's streaming state and a longer vector. */
static enum tl_err append_small(struct tl_queue_tail *tail, uint64_t position, const struct tl_slice *parts,
                                size_t count, size_t length, unsigned char *small)
{
	off_t offset = file_offset(tail->first, position);
	size_t filled = TL_QUEUE_RECORD_HEADER;
	for (size_t i = 0; i < count; i++) {
		if (parts[i].len)
			memcpy(small + filled, parts[i].ptr, parts[i].len);
		filled += parts[i].len;
	}
	put32(small, (uint32_t)length);
	put32(small + 4, checksum_in_place(small, length, position));
	if (tl_queue_window_covers(&tail->window, offset, filled))
		return tl_queue_window_put(&tail->window, tail->fd, offset, tl_slice(small, filled));
	struct iovec iov = {small, filled};
	return write_all(tail->fd, &iov, 1, filled, offset);
}

static enum tl_err append_large(int fd, off_t offset, uint64_t position, const struct tl_slice *parts, size_t count,
                                size_t length)
{
	unsigned char header[TL_QUEUE_RECORD_HEADER];
	struct iovec iov[TL_QUEUE_PARTS_MAX + 1] = {{header, sizeof header}};
	XXH3_state_t state;
	put32(header, (uint32_t)length);
	XXH3_INITSTATE(&state);
	XXH3_64bits_reset_withSeed(&state, position);
	XXH3_64bits_update(&state, header, 4);
	for (size_t i = 0; i < count; i++) {
		XXH3_64bits_update(&state, parts[i].len ? parts[i].ptr : "", parts[i].len);
		/* pwritev only reads, though its vector has no const. */
		iov[i + 1].iov_base = (void *)(uintptr_t)parts[i].ptr;
		iov[i + 1].iov_len = parts[i].len;
	}
	put32(header + 4, checksum_of(XXH3_64bits_digest(&state)));
	return write_all(fd, iov, (int)count + 1, sizeof header + length, offset);
}

enum tl_err tl_queue_tail_append(struct tl_queue_tail *tail, uint64_t position, const struct tl_slice *parts,
                                 size_t count, size_t length, unsigned char *small)
{
	if (TL_QUEUE_RECORD_HEADER + length <= TL_QUEUE_SMALL)
		return append_small(tail, position, parts, count, length, small);
	return append_large(tail->fd, file_offset(tail->first, position), position, parts, count, length);
}

void tl_queue_tail_map(struct tl_queue_tail *tail, uint64_t position, uint64_t segment_bytes)
{
	/* The last record begins before segment_bytes. */
	uint64_t size = TL_QUEUE_HEADER + segment_bytes + TL_QUEUE_SMALL;
	if (size <= WINDOW_MAX)
		tl_queue_window_open(&tail->window, tail->fd, (size_t)size, (size_t)file_offset(tail->first, position));
}

enum tl_err tl_queue_tail_cut(struct tl_queue_tail *tail, uint64_t position)
{
	enum tl_err err = tl_queue_segment_cut(tail->fd, tail->first, position);
	if (!err)
		tl_queue_window_was_cut(&tail->window, file_offset(tail->first, position));
	return err;
}

void tl_queue_tail_close(struct tl_queue_tail *tail)
{
	tl_queue_window_close(&tail->window);
	if (tail->fd >= 0)
		close(tail->fd);
	tail->fd = -1;
}

enum tl_err tl_queue_segment_cut(int fd, uint64_t first, uint64_t position)
{
	return ftruncate(fd, file_offset(first, position)) == 0 ? TL_OK : tl_queue_segment_error(errno);
}

/* ── reading ── */

void tl_queue_reader_init(struct tl_queue_reader *reader)
{
	*reader = (struct tl_queue_reader){.fd = -1};
}

void tl_queue_reader_fini(struct tl_queue_reader *reader)
{
	tl_queue_reader_close(reader);
	free(reader->buffer);
}

void tl_queue_reader_close(struct tl_queue_reader *reader)
{
	if (reader->fd >= 0)
		close(reader->fd);
	reader->fd = -1;
	reader->filled = 0;
}

/* Reads until `len` bytes are there or the file ends. */
static enum tl_err read_at(int fd, unsigned char *out, size_t len, off_t offset, size_t *got_out)
{
	size_t got = 0;
	while (got < len) {
		ssize_t n = pread(fd, out + got, len - got, offset + (off_t)got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return TL_IO;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*got_out = got;
	return TL_OK;
}

static enum tl_err check_header(int fd, uint64_t first)
{
	unsigned char header[TL_QUEUE_HEADER];
	size_t got;
	enum tl_err err = read_at(fd, header, sizeof header, 0, &got);
	if (err)
		return err;
	if (got < sizeof header || memcmp(header, magic, sizeof magic) != 0)
		return TL_CORRUPT;
	/* Checked before the version, so that a flipped bit there is damage and not a reason to refuse the start. */
	if (get64(header + HEADER_CHECKED) != XXH3_64bits(header, HEADER_CHECKED))
		return TL_CORRUPT;
	if (get32(header + 8) != VERSION)
		return TL_VERSION;
	return get64(header + 16) == first ? TL_OK : TL_CORRUPT;
}

enum tl_err tl_queue_reader_open(struct tl_queue_reader *reader, int dir_fd, uint64_t first)
{
	char name[TL_QUEUE_NAME];
	tl_queue_segment_name(first, name);
	tl_queue_reader_close(reader);
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? TL_CORRUPT : TL_IO;
	enum tl_err err = check_header(fd, first);
	if (err) {
		close(fd);
		return err;
	}
	reader->fd = fd;
	reader->first = first;
	return TL_OK;
}

/* Room for `len` bytes; what the buffer held is lost when it has to change. */
static enum tl_err make_room(struct tl_queue_reader *reader, size_t len)
{
	size_t wanted = len > CHUNK ? len : CHUNK;
	if (reader->capacity >= wanted && (reader->capacity <= KEEP || wanted > KEEP))
		return TL_OK;
	/* Freed first: at its largest it could not be held twice. */
	free(reader->buffer);
	reader->filled = 0;
	reader->buffer = malloc(wanted);
	reader->capacity = reader->buffer ? wanted : 0;
	return reader->buffer ? TL_OK : TL_NO_MEMORY;
}

/* Sees to it that `len` bytes from `position` are in the buffer, reading ahead up to `limit`. TL_CORRUPT: the file
 * ends before. */
static enum tl_err fill(struct tl_queue_reader *reader, uint64_t position, uint64_t limit, size_t len)
{
	if (position >= reader->at && position - reader->at <= reader->filled &&
	    reader->filled - (position - reader->at) >= len)
		return TL_OK;
	enum tl_err err = make_room(reader, len);
	if (err)
		return err;
	size_t ahead = limit - position < reader->capacity ? (size_t)(limit - position) : reader->capacity;
	reader->filled = 0;
	err = read_at(reader->fd, reader->buffer, ahead, file_offset(reader->first, position), &reader->filled);
	if (err)
		return err;
	reader->at = position;
	return reader->filled >= len ? TL_OK : TL_CORRUPT;
}

enum tl_err tl_queue_reader_record(struct tl_queue_reader *reader, uint64_t position, uint64_t limit,
                                   struct tl_slice *record_out, uint64_t *next_out)
{
	uint64_t room = limit - position;
	if (room < TL_QUEUE_RECORD_HEADER)
		return TL_CORRUPT;
	enum tl_err err = fill(reader, position, limit, TL_QUEUE_RECORD_HEADER);
	if (err)
		return err;
	size_t length = get32(reader->buffer + (position - reader->at));
	if (length > TL_QUEUE_RECORD_MAX || length > room - TL_QUEUE_RECORD_HEADER)
		return TL_CORRUPT;
	err = fill(reader, position, limit, TL_QUEUE_RECORD_HEADER + length);
	if (err)
		return err;
	unsigned char *bytes = reader->buffer + (position - reader->at);
	if (get32(bytes + 4) != checksum_in_place(bytes, length, position))
		return TL_CORRUPT;
	*record_out = tl_slice(bytes + TL_QUEUE_RECORD_HEADER, length);
	*next_out = position + TL_QUEUE_RECORD_HEADER + length;
	return TL_OK;
}

enum tl_err tl_queue_reader_scan(struct tl_queue_reader *reader, uint64_t limit, uint64_t wanted, uint64_t *end_out,
                                 bool *boundary_out)
{
	uint64_t end = reader->first;
	bool boundary = end == wanted;
	enum tl_err err = TL_OK;
	while (!err && end < limit) {
		struct tl_slice record;
		err = tl_queue_reader_record(reader, end, limit, &record, &end);
		boundary = boundary || end == wanted;
	}
	if (err && err != TL_CORRUPT)
		return err;
	*end_out = end;
	*boundary_out = boundary;
	return TL_OK;
}
