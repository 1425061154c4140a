#include "reclaim.h"

#include <sys/statvfs.h>

enum {
	FAMILIES = 256,
	WORTH_PART = 4,   /* such a part of a family has to have been dropped … */
	ROOM_PARTS = 8,   /* so many parts of the size of the one that is compacted have to be free */
};

static const uint64_t worth_bytes = 32 * 1024 * 1024; /* … and at least this much */
static const uint64_t part_bytes = 32 * 1024 * 1024;
static const uint64_t part_least_bytes = 1024 * 1024;

void tl_reclaim_init(struct tl_reclaim *reclaim, struct tl_engine *engine, const char *dir)
{
	*reclaim = (struct tl_reclaim){.engine = engine, .dir = dir};
}

/* How much to compact at once: less where the disk is nearly full, because it is written anew before it is deleted. 0:
 * there is no room for it. */
static uint64_t part_size(const struct tl_reclaim *reclaim)
{
	struct statvfs st;
	if (statvfs(reclaim->dir, &st) != 0)
		return 0;
	uint64_t room = (uint64_t)st.f_bavail * st.f_frsize / ROOM_PARTS;
	return room < part_least_bytes ? 0 : room < part_bytes ? room : part_bytes;
}

static bool is_worth(struct tl_reclaim *reclaim, uint8_t family, uint64_t dropped)
{
	return dropped > worth_bytes && dropped > tl_engine_family_size(reclaim->engine, family) / WORTH_PART;
}

static void begin(struct tl_reclaim *reclaim, const uint64_t dropped[256])
{
	for (unsigned family = 0; family < FAMILIES && !reclaim->active; family++) {
		if (!is_worth(reclaim, (uint8_t)family, dropped[family] - reclaim->done[family]))
			continue;
		reclaim->active = true;
		reclaim->family = (uint8_t)family;
		reclaim->dropped = dropped[family];
		reclaim->place = (struct tl_compact_place){{0}};
	}
}

bool tl_reclaim_step(struct tl_reclaim *reclaim, const uint64_t dropped[256])
{
	if (!reclaim->active)
		begin(reclaim, dropped);
	uint64_t bytes = reclaim->active ? part_size(reclaim) : 0;
	if (bytes == 0)
		return false;
	if (!tl_engine_compact_next(reclaim->engine, reclaim->family, &reclaim->place, bytes)) {
		reclaim->done[reclaim->family] = reclaim->dropped;
		reclaim->active = false;
	}
	return true;
}
