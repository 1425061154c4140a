/*
 * A histogram of latencies with a relative error below 1 % over the whole range of uint64_t: 128 linear buckets, then
 * 128 more for every power of two. Recording is a shift and an addition.
 */
#ifndef TL_HISTOGRAM_H
#define TL_HISTOGRAM_H

#include <stdint.h>

#define TL_HISTOGRAM_SUB_BITS 7
#define TL_HISTOGRAM_BUCKETS ((65 - TL_HISTOGRAM_SUB_BITS) << TL_HISTOGRAM_SUB_BITS)

struct tl_histogram {
	uint64_t count; /* values recorded */
	uint64_t max;   /* largest value, exact */
	uint64_t buckets[TL_HISTOGRAM_BUCKETS];
};

/* Counts one value (here: nanoseconds). A zeroed struct is an empty histogram. */
void tl_histogram_record(struct tl_histogram *histogram, uint64_t value);

/* The value below or at which `percent` (0 to 100) of the recorded ones lie; 0 when nothing was recorded. */
uint64_t tl_histogram_percentile(const struct tl_histogram *histogram, double percent);

#endif
