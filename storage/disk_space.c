#include "disk_space.h"

#include <sys/statvfs.h>

enum {
	LOOK_AGAIN_MS = 100,
	LOOK_AGAIN_BYTES = 256 * 1024,
	RESERVE_PART = 4, /* one such part of the disk */
};

static const uint64_t reserve_max = 64 * 1024 * 1024;

void tl_disk_space_init(struct tl_disk_space *space, const char *dir, uint64_t *free_out)
{
	struct statvfs st = {0};
	*space = (struct tl_disk_space){.dir = dir};
	if (statvfs(dir, &st) != 0)
		return; /* whatever is wrong shows when something is written */
	uint64_t part = (uint64_t)st.f_blocks * st.f_frsize / RESERVE_PART;
	space->reserve = part < reserve_max ? part : reserve_max;
	if (free_out)
		*free_out = (uint64_t)st.f_bavail * st.f_frsize;
}

bool tl_disk_space_low(struct tl_disk_space *space, uint64_t now_ms, uint64_t bytes, uint64_t backlog)
{
	struct statvfs st;
	space->appended += bytes;
	if (now_ms - space->checked_ms < LOOK_AGAIN_MS && space->appended < LOOK_AGAIN_BYTES)
		return space->low;
	space->checked_ms = now_ms;
	space->appended = 0;
	space->low = statvfs(space->dir, &st) == 0 && (uint64_t)st.f_bavail * st.f_frsize <
	                                                space->reserve + bytes + 2 * backlog;
	return space->low;
}
