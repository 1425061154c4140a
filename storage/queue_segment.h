/* One segment file of the ingest queue: its bytes, how a record is written into it, how records are read and checked.
 *
 *     name   <first position, 20 decimal digits>.queue
 *
 *     0        8         12      16               24            32
 *     | magic  | version | zero  | first position | checksum    | record | record | …          little-endian
 *
 *     0        4          8             8 + length
 *     | length | checksum | payload     |
 *
 * The header's checksum is the XXH3 of the 24 bytes before it. A record's is the low half of the XXH3 of length and
 * payload, seeded with the record's position (first position + bytes between the header and the record), and never 0.
 * Behind the last record there may be zeros, the room reserved for the next ones.
 *
 *   (S1) A record is valid at one position only: bytes left over from a failed append, or copied from elsewhere, are
 *        not taken for a record.
 *   (S2) Nothing is allocated from a length that the file cannot hold.
 *   (S3) Every version keeps the 32-byte header; a segment of another version is not touched.
 *
 * No locks here: a reader, and the descriptor being appended to, belong to one thread each. They may work on the same
 * file, since a reader is told where the complete records end and looks no further.
 */
#ifndef TL_QUEUE_SEGMENT_H
#define TL_QUEUE_SEGMENT_H

#include "error.h"
#include "queue_window.h"
#include "slice.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	TL_QUEUE_HEADER = 32,       /* bytes before the first record */
	TL_QUEUE_RECORD_HEADER = 8, /* bytes before a record's payload */
	TL_QUEUE_NAME = 27,         /* a file name with its terminator */
	TL_QUEUE_PARTS_MAX = 16,    /* slices that one record may be made of */
	TL_QUEUE_SMALL = 4096,      /* records up to this many bytes are put together in memory */
};

#define TL_QUEUE_RECORD_MAX ((size_t)1 << 30)     /* bytes of payload */
#define TL_QUEUE_POSITION_MAX ((uint64_t)1 << 62) /* keeps file offsets and sums of positions in range */

/* TL_NO_SPACE or TL_IO, from errno. */
enum tl_err tl_queue_segment_error(int error_number);

/* The file name of the segment whose first position this is. */
void tl_queue_segment_name(uint64_t first, char name_out[static TL_QUEUE_NAME]);

/* The first positions of all segments in the directory, ascending; the array is the caller's to free, NULL when there
 * are none. Files with other names are ignored. */
TL_MUST_USE enum tl_err tl_queue_segment_list(int dir_fd, uint64_t **firsts_out, size_t *count_out,
                                              struct tl_why *why);

/* Creates an empty segment, open for appending; with `sync` it is on stable storage with its directory entry. A file
 * of this name is replaced: no complete record ever stands at or after the position where a segment is begun.
 * TL_NO_SPACE, TL_IO: there is no such file, as far as it could be removed. */
TL_MUST_USE enum tl_err tl_queue_segment_create(int dir_fd, uint64_t first, bool sync, int *fd_out);

/* A segment that is being appended to. */
struct tl_queue_tail {
	int fd;         /* open for reading and writing; -1: none */
	uint64_t first; /* its first position */
	struct tl_queue_window window; /* none: records are written */
};

/* Opens a window onto the segment, which ends at `position` and will not grow much beyond `segment_bytes`. */
void tl_queue_tail_map(struct tl_queue_tail *tail, uint64_t position, uint64_t segment_bytes);

/* Puts one record where `position` falls in the file: a copy into the window, if it covers that and the record is short,
 * else one system call. `length` is the sum of the parts; `small` has room for TL_QUEUE_SMALL bytes. TL_NO_SPACE, TL_IO:
 * part of it may be in the file, not valid (S1). */
TL_MUST_USE enum tl_err tl_queue_tail_append(struct tl_queue_tail *tail, uint64_t position,
                                             const struct tl_slice *parts, size_t count, size_t length,
                                             unsigned char *small);

/* Cuts the segment so that it ends at `position`, with no room reserved. */
TL_MUST_USE enum tl_err tl_queue_tail_cut(struct tl_queue_tail *tail, uint64_t position);

/* Closes the segment; legal where there is none. */
void tl_queue_tail_close(struct tl_queue_tail *tail);

/* Cuts a file so that it ends at `position`. */
TL_MUST_USE enum tl_err tl_queue_segment_cut(int fd, uint64_t first, uint64_t position);

/* Reads one segment after another through one buffer. */
struct tl_queue_reader {
	int fd;                /* -1: none open */
	uint64_t first;        /* of the open segment */
	unsigned char *buffer; /* owned */
	size_t capacity;       /* bytes allocated */
	uint64_t at;           /* position of the buffer's first byte */
	size_t filled;         /* bytes of the file in the buffer */
};

void tl_queue_reader_init(struct tl_queue_reader *reader);

/* Frees the buffer too. */
void tl_queue_reader_fini(struct tl_queue_reader *reader);

/* Opens a segment in place of the one that was open. TL_CORRUPT: missing, or its header is damaged; TL_VERSION: an
 * unknown version; TL_IO. None is open after a failure. */
TL_MUST_USE enum tl_err tl_queue_reader_open(struct tl_queue_reader *reader, int dir_fd, uint64_t first);

/* Closes the segment and forgets what was read of it; keeps the buffer. */
void tl_queue_reader_close(struct tl_queue_reader *reader);

/* Reads the record at `position`, not looking at or after `limit` (> position). On TL_OK, *record_out is valid until
 * the next call. TL_CORRUPT: no valid record here. TL_IO, TL_NO_MEMORY: may pass. */
TL_MUST_USE enum tl_err tl_queue_reader_record(struct tl_queue_reader *reader, uint64_t position, uint64_t limit,
                                               struct tl_slice *record_out, uint64_t *next_out);

/* Walks all records before `limit`: *end_out is where the valid ones end, *boundary_out whether a record begins or
 * the last one ends at `wanted`. TL_IO, TL_NO_MEMORY. */
TL_MUST_USE enum tl_err tl_queue_reader_scan(struct tl_queue_reader *reader, uint64_t limit, uint64_t wanted,
                                             uint64_t *end_out, bool *boundary_out);

#endif
