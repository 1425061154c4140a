#include "histogram.h"

#include <stddef.h>

#define SUB_COUNT ((size_t)1 << TL_HISTOGRAM_SUB_BITS)

static size_t bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < SUB_COUNT) {
		return (size_t)value;
	}
	shift = 63u - (unsigned)__builtin_clzll(value) - TL_HISTOGRAM_SUB_BITS;
	return ((size_t)shift << TL_HISTOGRAM_SUB_BITS) + (size_t)(value >> shift);
}

static uint64_t middle_of(size_t bucket)
{
	unsigned shift;

	if (bucket < 2 * SUB_COUNT) {
		return bucket;
	}
	shift = (unsigned)(bucket >> TL_HISTOGRAM_SUB_BITS) - 1;
	return ((uint64_t)(bucket - ((size_t)shift << TL_HISTOGRAM_SUB_BITS)) << shift) + (UINT64_C(1) << shift) / 2;
}

void tl_histogram_record(struct tl_histogram *histogram, uint64_t value)
{
	histogram->count++;
	histogram->buckets[bucket_of(value)]++;
	if (value > histogram->max) {
		histogram->max = value;
	}
}

uint64_t tl_histogram_percentile(const struct tl_histogram *histogram, double percent)
{
	uint64_t rank = (uint64_t)((double)histogram->count * percent / 100.0);
	uint64_t seen = 0;
	size_t bucket;

	if (histogram->count == 0) {
		return 0;
	}
	if (rank >= histogram->count) {
		rank = histogram->count - 1;
	}
	for (bucket = 0; bucket < TL_HISTOGRAM_BUCKETS; bucket++) {
		seen += histogram->buckets[bucket];
		if (seen > rank) {
			break;
		}
	}
	return middle_of(bucket) < histogram->max ? middle_of(bucket) : histogram->max;
}
