/* Random numbers that a seed repeats on any machine (SplitMix64). */
#ifndef RNG_H
#define RNG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct rng {
	uint64_t state;
};

/* TL_SEED in the environment, to repeat a run; else a seed of this run's own. */
static inline uint64_t rng_seed(void)
{
	const char *given = getenv("TL_SEED");
	return given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
}

static inline uint64_t rng_next(struct rng *rng)
{
	uint64_t z = rng->state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* The numbers of item `n` of what the seed begins. */
static inline struct rng rng_for(uint64_t seed, uint64_t n)
{
	struct rng rng = {seed};
	rng.state = rng_next(&rng) ^ n * 0xd6e8feb86659fd93;
	rng_next(&rng);
	return rng;
}

/* 0 … limit-1 */
static inline unsigned below(struct rng *rng, unsigned limit)
{
	return (unsigned)(rng_next(rng) % limit);
}

static inline bool chance(struct rng *rng, unsigned percent)
{
	return below(rng, 100) < percent;
}

#endif
