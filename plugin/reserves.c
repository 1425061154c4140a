#include "reserves.h"

#include <malloc.h>

enum {
	ARENAS_MAX = 2, /* with one for each thread, a quarter of the memory is what they hold in reserve */
	RAISED_FROM = 2 * 1024 * 1024,
	TRIM_FROM = 4 * 1024 * 1024,
	ROOM_BYTES = 64 * 1024 * 1024, /* by so much the broker grows while large messages come */
	QUIET_MS = 10000,              /* so long after the last one they count as over */
};

static void give_back_from(int bytes)
{
#ifdef M_MMAP_THRESHOLD
	mallopt(M_MMAP_THRESHOLD, bytes);
#else
	(void)bytes;
#endif
}

void tl_reserves_init(void)
{
#ifdef M_ARENA_MAX
	mallopt(M_ARENA_MAX, ARENAS_MAX);
	mallopt(M_TRIM_THRESHOLD, TRIM_FROM);
#endif
	give_back_from(TL_RESERVES_FROM);
}

static bool are_over(const struct tl_reserves *reserves, uint64_t now_ms)
{
	return reserves->last_ms == 0 || now_ms - reserves->last_ms >= QUIET_MS;
}

static void set_raised(struct tl_reserves *reserves, bool raised)
{
	if (raised != reserves->raised)
		give_back_from(raised ? RAISED_FROM : TL_RESERVES_FROM);
	reserves->raised = raised;
}

static bool has_room(const struct tl_reserves *reserves, uint64_t resident_bytes)
{
	bool known = resident_bytes < UINT64_MAX && reserves->base_bytes < UINT64_MAX;
	return known && resident_bytes < reserves->base_bytes + ROOM_BYTES;
}

void tl_reserves_large_message(struct tl_reserves *reserves, struct tl_resident *resident, uint64_t now_ms)
{
	uint64_t resident_bytes = tl_resident_bytes(resident, now_ms);
	if (are_over(reserves, now_ms))
		reserves->base_bytes = resident_bytes;
	reserves->last_ms = now_ms;
	set_raised(reserves, has_room(reserves, resident_bytes));
}

void tl_reserves_tick(struct tl_reserves *reserves, struct tl_resident *resident, uint64_t now_ms)
{
	if (are_over(reserves, now_ms) || !has_room(reserves, tl_resident_bytes(resident, now_ms)))
		set_raised(reserves, false);
}
