#include "back_pressure.h"

bool tl_back_pressure_wanted(struct tl_back_pressure *pressure, uint64_t backlog_bytes, uint64_t max_bytes)
{
	if (backlog_bytes <= max_bytes / 4 * 3 || pressure->waits == TL_BACK_PRESSURE_WAITS)
		return false;
	pressure->waits++;
	return true;
}

void tl_back_pressure_next_turn(struct tl_back_pressure *pressure)
{
	pressure->waits = 0;
}
