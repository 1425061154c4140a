/* What opening the ingest queue finds on disk, and what it makes of it. */
#ifndef TL_QUEUE_RECOVERY_H
#define TL_QUEUE_RECOVERY_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tl_queue_found {
	uint64_t *firsts;    /* first positions of the segments, ascending; malloc'd, NULL when there are none */
	size_t count;        /* segments */
	uint64_t end;        /* where the next record is to stand, >= `committed` (Q4) */
	uint64_t lost_bytes; /* what reading from `committed` on will skip */
	int fd;              /* the last segment, to go on appending in; -1: begin a new one at `end` */
};

/* Removes the segments wholly before `committed`, checks every record of the others and cuts the last one after its
 * last valid record (Q3). With `sync` an existing segment is never appended to: see (I3) in ingest_queue.c. On success
 * `firsts` and `fd` are the caller's. TL_VERSION: nothing was changed. TL_CORRUPT: `committed` is out of range; TL_IO,
 * TL_NO_MEMORY. `why` says which file. */
TL_MUST_USE enum tl_err tl_queue_recover(int dir_fd, uint64_t committed, bool sync, struct tl_queue_found *found_out,
                                         struct tl_why *why);

#endif
