/* Getting back the space of what has been dropped. The engine keeps deleted items until it compacts where they lay; when
 * enough of a family of partitions has been dropped, all of that family is compacted, in small parts between pauses.
 *
 * Upkeep's thread. */
#ifndef TL_RECLAIM_H
#define TL_RECLAIM_H

#include "engine.h"

struct tl_reclaim {
	struct tl_engine *engine; /* borrowed */
	const char *dir;          /* borrowed: the disk that has to have room */
	uint64_t done[256];       /* of the bytes dropped, by family: those that have been compacted since */
	bool active;
	uint8_t family;           /* that is being compacted … */
	uint64_t dropped;         /* … for so many bytes … */
	struct tl_compact_place place; /* … up to here */
};

void tl_reclaim_init(struct tl_reclaim *reclaim, struct tl_engine *engine, const char *dir);

/* Compacts the next part, if there is reason to. `dropped`: bytes that have been dropped in all, by family (engine.h). Answers whether
 * there is more to do; takes up to a second or so. */
bool tl_reclaim_step(struct tl_reclaim *reclaim, const uint64_t dropped[256]);

#endif
