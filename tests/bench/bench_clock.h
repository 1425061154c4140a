/*
 * Time for the benchmark programs: nanoseconds of CLOCK_MONOTONIC, the same in every process of one machine, so that a
 * time stamp made by one program may be subtracted in another.
 */
#ifndef TL_BENCH_CLOCK_H
#define TL_BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

#define TL_NS_PER_S 1000000000ull
#define TL_NS_PER_MS 1000000ull

/* Now, in nanoseconds. Any thread. */
static inline uint64_t tl_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * TL_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Seconds between two times of tl_now_ns(), at least one nanosecond so that it may divide. */
static inline double tl_seconds_between(uint64_t from_ns, uint64_t to_ns)
{
	return (double)(to_ns > from_ns ? to_ns - from_ns : 1) / (double)TL_NS_PER_S;
}

#endif
