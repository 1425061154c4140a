/* Back-pressure: holding up those who send while the queue is nearly full, so that the writer gets ahead before they are refused.
 *
 *   (B1) Each wait is short, and after it all have a turn before the next: the thread that waits is the one that serves
 *        everybody, and those who send may be thousands at once. A turn takes as long as a wait where a quarter of the queue is
 *        free, and less the less is free, but never less than a quarter of it.
 *
 * One thread. */
#ifndef TL_BACK_PRESSURE_H
#define TL_BACK_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

enum { TL_BACK_PRESSURE_US = 1000 }; /* a wait */

struct tl_back_pressure {
	uint64_t ended_us; /* when the last wait ended; 0: there was none */
};

/* Whether the thread is to wait now, with so much of the queue full; `now_us` is of a clock that never goes back. */
bool tl_back_pressure_wanted(const struct tl_back_pressure *pressure, uint64_t backlog_bytes, uint64_t max_bytes,
                             uint64_t now_us);

/* Says that the thread has waited. */
void tl_back_pressure_waited(struct tl_back_pressure *pressure, uint64_t now_us);

#endif
