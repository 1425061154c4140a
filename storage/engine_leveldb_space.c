/* How much room things take in the LevelDB engine, and getting back the room of what has been dropped.
 *
 * A family's partitions are compacted part by part. A part is found on the keys themselves: behind the family's byte, the next
 * 16 bytes are taken for a number, and LevelDB is asked how much lies before it.
 *
 *   family │ place ............ │ end            size(place, end) is what was asked for, or a block more
 *          └──── compacted ─────┘
 *
 * While LevelDB compacts a range it compacts nothing else, so parts have to be small for writing to go on evenly. */
#include "engine_leveldb.h"

#include "leveldb_env.h"

#include <stdio.h>
#include <stdlib.h>

/* LevelDB's limits: tables of level 0, and from how many on it slows down writing; MiB of level 1, of which each further level may
 * have ten times as many. */
enum { LEVEL_0_TABLES_MAX = 4, LEVEL_0_TABLES_SLOW = 8, LEVEL_1_MIB_MAX = 10, LEVEL_FACTOR = 10 };

/* A line of LevelDB's statistics that begins with a level, its tables and their MiB. These are rounded: half a MiB too early a
 * level counts as full, never too late. */
static bool is_level_full(const char *line, bool reluctant)
{
	unsigned level;
	double tables, mib, mib_max = LEVEL_1_MIB_MAX;
	if (sscanf(line, "%u %lf %lf", &level, &tables, &mib) != 3)
		return false;
	for (unsigned i = 1; i < level; i++)
		mib_max *= LEVEL_FACTOR;
	if (level == 0)
		return tables >= (reluctant ? LEVEL_0_TABLES_SLOW : LEVEL_0_TABLES_MAX);
	return !reluctant && mib >= mib_max;
}

bool tl_db_must_merge(leveldb_t *db, bool reluctant)
{
	char *stats = leveldb_property_value(db, "leveldb.stats");
	bool must = !stats;
	for (char *rest = NULL, *line = stats ? strtok_r(stats, "\n", &rest) : NULL; line && !must;
	     line = strtok_r(NULL, "\n", &rest))
		must = is_level_full(line, reluctant);
	leveldb_free(stats);
	return must;
}

void tl_db_compact(struct tl_engine *engine, leveldb_t *db, struct tl_slice low, struct tl_slice high)
{
	tl_leveldb_env_hurry(engine->env);
	leveldb_compact_range(db, low.ptr, low.len, high.ptr, high.len);
	tl_leveldb_env_calm(engine->env);
}

/* The bounds of [from, to) as keys of the database; `to` empty: the partition's end. */
static enum tl_err range_init(struct tl_db_key *low, struct tl_db_key *high, struct tl_partition partition,
                              struct tl_slice from, struct tl_slice to)
{
	enum tl_err err = tl_db_key_init(low, partition, from);
	if (err)
		return err;
	err = tl_db_key_init(high, partition, to);
	if (err) {
		tl_db_key_fini(low);
		return err;
	}
	if (to.len == 0)
		high->len = tl_db_prefix_end((unsigned char *)high->bytes, partition);
	return TL_OK;
}

uint64_t tl_engine_size(struct tl_engine *engine, struct tl_partition partition, struct tl_slice from,
                        struct tl_slice to)
{
	struct tl_db_key low, high;
	if (range_init(&low, &high, partition, from, to) != TL_OK)
		return 0;
	uint64_t size = 0;
	if (tl_engine_enter(engine) == TL_OK) {
		leveldb_approximate_sizes(engine->db, 1, (const char *const[]){low.bytes}, &low.len,
		                          (const char *const[]){high.bytes}, &high.len, &size);
		tl_engine_leave(engine);
	}
	tl_db_key_fini(&low);
	tl_db_key_fini(&high);
	return size;
}

/* A key made of a family and a place, or of what comes after the family. */
struct place_key {
	char bytes[1 + sizeof(struct tl_compact_place)];
	size_t len;
};

static struct place_key place_key(uint8_t family, const struct tl_compact_place *place)
{
	struct place_key key = {.len = sizeof key.bytes};
	key.bytes[0] = (char)family;
	memcpy(key.bytes + 1, place->bytes, sizeof place->bytes);
	return key;
}

/* Above every key of the family. */
static struct place_key end_key(uint8_t family)
{
	struct place_key key = {.len = family < UINT8_MAX ? 1 : sizeof key.bytes};
	memset(key.bytes, 0xff, sizeof key.bytes);
	if (family < UINT8_MAX)
		key.bytes[0] = (char)(family + 1);
	return key;
}

/* Within a use. */
static uint64_t size_between(struct tl_engine *engine, const struct place_key *low, const struct place_key *high)
{
	uint64_t size = 0;
	leveldb_approximate_sizes(engine->db, 1, (const char *const[]){low->bytes}, &low->len,
	                          (const char *const[]){high->bytes}, &high->len, &size);
	return size;
}

uint64_t tl_engine_family_size(struct tl_engine *engine, uint8_t family)
{
	const struct tl_compact_place first = {{0}};
	const struct place_key low = place_key(family, &first), high = end_key(family);
	if (tl_engine_enter(engine) != TL_OK)
		return 0;
	uint64_t size = size_between(engine, &low, &high);
	tl_engine_leave(engine);
	return size;
}

/* The next place; false behind the last. */
static bool add_one(struct tl_compact_place *place)
{
	size_t i = sizeof place->bytes;
	while (i-- > 0)
		if (++place->bytes[i] != 0)
			return true;
	return false;
}

/* The last place before which no more than `bytes` lie, byte by byte, each by halving; within a use. */
static struct tl_compact_place find_place(struct tl_engine *engine, uint8_t family, const struct place_key *low,
                                          uint64_t bytes)
{
	struct tl_compact_place place = {{0}};
	for (size_t i = 0; i < sizeof place.bytes; i++)
		for (unsigned bit = 0x80; bit > 0; bit >>= 1) {
			place.bytes[i] |= (unsigned char)bit;
			const struct place_key high = place_key(family, &place);
			if (size_between(engine, low, &high) > bytes)
				place.bytes[i] &= (unsigned char)~bit;
		}
	return place;
}

uint64_t tl_engine_unreadable(const struct tl_engine *engine)
{
	return tl_leveldb_env_unreadable(engine->env);
}

bool tl_engine_compact_next(struct tl_engine *engine, uint8_t family, struct tl_compact_place *place, uint64_t bytes)
{
	const struct place_key low = place_key(family, place);
	struct place_key high = end_key(family);
	if (tl_leveldb_env_cannot_merge(engine->env) || tl_engine_enter(engine) != TL_OK)
		return false;
	bool more = size_between(engine, &low, &high) > bytes;
	if (more) {
		*place = find_place(engine, family, &low, bytes);
		if ((more = add_one(place)))
			high = place_key(family, place);
	}
	tl_db_compact(engine, engine->db, tl_slice(low.bytes, low.len), tl_slice(high.bytes, high.len));
	tl_engine_leave(engine);
	return more;
}
