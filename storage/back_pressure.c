#include "back_pressure.h"

bool tl_back_pressure_wanted(const struct tl_back_pressure *pressure, uint64_t backlog_bytes, uint64_t max_bytes,
                             uint64_t now_us)
{
	uint64_t quarter = max_bytes / 4, left = max_bytes > backlog_bytes ? max_bytes - backlog_bytes : 0;
	if (left >= quarter)
		return false;
	uint64_t turn_us = TL_BACK_PRESSURE_US * left / quarter;
	if (turn_us < TL_BACK_PRESSURE_US / 4)
		turn_us = TL_BACK_PRESSURE_US / 4;
	return pressure->ended_us == 0 || now_us - pressure->ended_us >= turn_us;
}

void tl_back_pressure_waited(struct tl_back_pressure *pressure, uint64_t now_us)
{
	pressure->ended_us = now_us;
}
