/* What time it is, by two clocks. Any thread. */
#ifndef TL_CLOCK_H
#define TL_CLOCK_H

#include <stdint.h>
#include <time.h>

/* ms since the epoch, by the system's clock, which may be set. */
uint64_t tl_now_ms(void);

/* On a clock that never goes back, for how long things take; tl_thread_deadline (thread.h) goes by it, too. */
static inline uint64_t tl_monotonic_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t tl_monotonic_ms(void)
{
	return tl_monotonic_ns() / 1000000;
}

#endif
