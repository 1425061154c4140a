/* How much room the data directory's disk has. Refusing messages while there is still some keeps the database out of
 * trouble: it can go on answering, and what is queued can be stored. One thread. */
#ifndef TL_DISK_SPACE_H
#define TL_DISK_SPACE_H

#include <stdbool.h>
#include <stdint.h>

struct tl_disk_space {
	const char *dir;         /* borrowed */
	uint64_t reserve;        /* bytes that are kept free */
	uint64_t checked_ms;     /* when it was last looked at */
	uint64_t appended;       /* bytes since then */
	bool low;                /* what was seen then */
};

/* Looks at the disk that `dir` is on and sets the reserve: a quarter of the disk, at most 64 MiB. *free_out (may be
 * NULL): bytes free now. */
void tl_disk_space_init(struct tl_disk_space *space, const char *dir, uint64_t *free_out);

/* Whether less than the reserve is free, before `bytes` more are written; `backlog`: bytes that are queued and still have
 * to be stored, which takes their room twice (log and table). Looks again after 100 ms or 256 KiB. */
bool tl_disk_space_low(struct tl_disk_space *space, uint64_t now_ms, uint64_t bytes, uint64_t backlog);

#endif
