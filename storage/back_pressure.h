/* Back-pressure: holding up those who send while the queue is nearly full, so that the writer gets ahead before they are refused.
 *
 *   (B1) While less than a quarter of the queue is free, who sends waits a little. Where that is enough, the queue stays so full,
 *        and is as fast as the writer.
 *   (B2) The thread that waits is the one that serves everybody, and those who send may be thousands at once. So in one turn of all
 *        of them it waits a number of times at most, and takes the others as they come; the queue may get full then.
 *
 * One thread. */
#ifndef TL_BACK_PRESSURE_H
#define TL_BACK_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	TL_BACK_PRESSURE_US = 1000,   /* a wait … */
	TL_BACK_PRESSURE_WAITS = 100, /* … of so many in a turn */
};

struct tl_back_pressure {
	unsigned waits; /* in this turn */
};

/* Whether to wait now, before something is put into the queue. */
bool tl_back_pressure_wanted(struct tl_back_pressure *pressure, uint64_t backlog_bytes, uint64_t max_bytes);

/* All have had their turn. */
void tl_back_pressure_next_turn(struct tl_back_pressure *pressure);

#endif
