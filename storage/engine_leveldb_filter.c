/* Which blocks of a table need not be read because a key is not in them: a Bloom filter (Bloom 1970, with two hashes making all
 * probes as in Kirsch and Mitzenmacher 2006) for each block.
 *
 *     filter:  bits, a whole number of bytes … | probes per entry, 1 byte
 *
 * Partitions of a family lie side by side by their number and are mostly there together, so what is noted is that a block
 * has something of that number: one entry instead of one for each key. A key of no family is an entry by itself. Filters stay in memory
 * as long as their table is open, so their size counts. */
#include "engine_leveldb.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { BITS_MIN = 64, PROBES_MAX = 30 };

struct settings {
	int bits; /* per entry */
};

/* The part of a key that is noted. */
static struct tl_slice entry_of(const char *key, size_t len)
{
	size_t number_len = len >= 2 ? 1 + (size_t)(unsigned char)key[1] : 0;
	bool in_family = len >= 2 && (unsigned char)key[0] < TL_FAMILIES_END;
	return tl_slice(key, in_family && 1 + number_len <= len ? 1 + number_len : len);
}

static uint64_t hash_of(struct tl_slice entry)
{
	return XXH3_64bits(entry.ptr, entry.len);
}

/* The i-th probe's bit. */
static size_t probe(uint64_t hash, unsigned i, size_t bits)
{
	uint32_t start = (uint32_t)hash, step = (uint32_t)(hash >> 32) | 1;
	return (uint32_t)(start + i * step) % bits;
}

static unsigned probes_for(int bits)
{
	unsigned probes = (unsigned)bits * 69 / 100; /* ln 2 */
	return probes < 1 ? 1 : probes > PROBES_MAX ? PROBES_MAX : probes;
}

/* How many different entries; keys come in order. */
static size_t count_entries(const char *const *keys, const size_t *lens, int count)
{
	struct tl_slice last = {NULL, 0};
	size_t entries = 0;
	for (int i = 0; i < count; i++) {
		struct tl_slice entry = entry_of(keys[i], lens[i]);
		if (i == 0 || !tl_slice_equal(entry, last))
			entries++;
		last = entry;
	}
	return entries;
}

static char *create(void *state, const char *const *keys, const size_t *lens, int count, size_t *len_out)
{
	const struct settings *settings = state;
	size_t bits = count_entries(keys, lens, count) * (size_t)settings->bits;
	size_t bytes = ((bits > BITS_MIN ? bits : BITS_MIN) + 7) / 8;
	unsigned probes = probes_for(settings->bits);
	char *filter = calloc(1, bytes + 1);
	if (!filter)
		abort(); /* as LevelDB's own allocations do */
	for (int i = 0; i < count; i++) {
		uint64_t hash = hash_of(entry_of(keys[i], lens[i]));
		for (unsigned p = 0; p < probes; p++) {
			size_t bit = probe(hash, p, bytes * 8);
			filter[bit / 8] = (char)(filter[bit / 8] | 1 << bit % 8);
		}
	}
	filter[bytes] = (char)probes;
	*len_out = bytes + 1;
	return filter;
}

static unsigned char may_match(void *state, const char *key, size_t len, const char *filter, size_t filter_len)
{
	(void)state;
	if (filter_len < 2)
		return 1;
	uint64_t hash = hash_of(entry_of(key, len));
	unsigned probes = (unsigned char)filter[filter_len - 1];
	for (unsigned p = 0; p < probes && p < PROBES_MAX; p++) {
		size_t bit = probe(hash, p, (filter_len - 1) * 8);
		if (!(filter[bit / 8] & 1 << bit % 8))
			return 0;
	}
	return 1;
}

/* Stands in every table: one with another name is read without its filter. */
static const char *name(void *state)
{
	(void)state;
	return "timeline.numbers.1";
}

leveldb_filterpolicy_t *tl_db_filter_new(int bits)
{
	struct settings *settings = malloc(sizeof *settings);
	if (!settings)
		return NULL;
	settings->bits = bits;
	return leveldb_filterpolicy_create(settings, free, create, may_match, name);
}
