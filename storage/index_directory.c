#include "index_directory.h"

#include "msgpack_reader.h"

#include <assert.h>
#include <stdlib.h>

enum { LEVELS = 24 };

static const struct tl_slice directory_key = {"", 0};

/* --- the record --- */

void tl_directory_pack(struct tl_pack *pack, const struct tl_directory *directory)
{
	tl_pack_array(pack, 6);
	tl_pack_uint(pack, TL_INDEX_VERSION);
	tl_pack_uint(pack, directory->indexed_to);
	tl_pack_uint(pack, directory->next_id);
	tl_pack_array(pack, 4 * directory->segment_count);
	for (uint32_t i = 0; i < directory->segment_count; i++) {
		tl_pack_uint(pack, directory->segments[i].id);
		tl_pack_uint(pack, directory->segments[i].from);
		tl_pack_uint(pack, directory->segments[i].to);
		tl_pack_uint(pack, directory->segments[i].bytes);
	}
	tl_pack_array(pack, directory->garbage_count);
	for (uint32_t i = 0; i < directory->garbage_count; i++)
		tl_pack_uint(pack, directory->garbage[i]);
	tl_pack_bool(pack, directory->off);
}

static bool read_segment(struct tl_reader *reader, struct tl_segment *segment)
{
	return tl_reader_uint(reader, &segment->id) && tl_reader_uint(reader, &segment->from) &&
	       tl_reader_uint(reader, &segment->to) && tl_reader_uint(reader, &segment->bytes) && segment->from > 0 &&
	       segment->from <= segment->to;
}

/* (D1) */
static bool read_segments(struct tl_reader *reader, struct tl_directory *directory)
{
	uint32_t count;
	if (!tl_reader_array(reader, &count) || count % 4 != 0 || count / 4 > TL_INDEX_SEGMENTS_MAX)
		return false;
	directory->segment_count = count / 4;
	for (uint32_t i = 0; i < directory->segment_count; i++)
		if (!read_segment(reader, &directory->segments[i]) ||
		    (i > 0 && directory->segments[i].from != directory->segments[i - 1].to + 1))
			return false;
	return count == 0 || directory->segments[directory->segment_count - 1].to == directory->indexed_to;
}

static bool read_garbage(struct tl_reader *reader, struct tl_directory *directory)
{
	if (!tl_reader_array(reader, &directory->garbage_count) || directory->garbage_count > TL_INDEX_GARBAGE_MAX)
		return false;
	for (uint32_t i = 0; i < directory->garbage_count; i++)
		if (!tl_reader_uint(reader, &directory->garbage[i]))
			return false;
	return true;
}

bool tl_directory_unpack(struct tl_slice bytes, struct tl_directory *directory_out)
{
	struct tl_reader reader = tl_reader(bytes);
	uint32_t count;
	uint64_t version;
	return tl_reader_array(&reader, &count) && count >= 6 && tl_reader_uint(&reader, &version) &&
	       version == TL_INDEX_VERSION && tl_reader_uint(&reader, &directory_out->indexed_to) &&
	       tl_reader_uint(&reader, &directory_out->next_id) && directory_out->next_id < TL_NUMBERS_END && read_segments(&reader, directory_out) &&
	       read_garbage(&reader, directory_out) && tl_reader_bool(&reader, &directory_out->off);
}

enum tl_err tl_directory_read(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t conversation_no,
                              struct tl_directory *directory_out)
{
	char *value;
	size_t len;
	enum tl_err err =
		tl_engine_get(engine, snapshot, tl_partition(TL_PART_INDEX, conversation_no), directory_key, &value, &len);
	if (err == TL_NOT_FOUND) {
		directory_out->indexed_to = 0;
		directory_out->next_id = 1;
		directory_out->segment_count = directory_out->garbage_count = 0;
		directory_out->off = false;
		return TL_OK;
	}
	if (err != TL_OK)
		return err;
	bool ok = tl_directory_unpack(tl_slice(value, len), directory_out);
	free(value);
	return ok ? TL_OK : TL_CORRUPT;
}

void tl_directory_put(const struct tl_directory *directory, uint64_t conversation_no, struct tl_batch *batch)
{
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_directory_pack(&pack, directory);
	tl_batch_put_pack(batch, tl_partition(TL_PART_INDEX, conversation_no), directory_key, &pack);
	tl_pack_fini(&pack);
}

/* --- what is due --- */

/* Entries with which a segment is of the next level. */
static uint64_t most_of(unsigned level)
{
	uint64_t most = TL_INDEX_TAIL;
	for (unsigned i = 0; i <= level; i++)
		most *= TL_INDEX_FANOUT;
	return most;
}

/* How large a segment counts: 0 below TL_INDEX_FANOUT tails, and one more for each time as many. */
static unsigned level_of(const struct tl_segment *segment)
{
	uint64_t entries = segment->to - segment->from + 1;
	unsigned level = 0;
	while (level < LEVELS - 1 && entries >= most_of(level))
		level++;
	return level;
}

/* How many segments at the end have at most this level. */
static uint32_t count_small(const struct tl_directory *directory, unsigned level)
{
	uint32_t count = 0;
	while (count < directory->segment_count &&
	       level_of(&directory->segments[directory->segment_count - 1 - count]) <= level)
		count++;
	return count;
}

/* Those at the end that have at most a level become one where that is of a higher level, so that no entry is merged more often
 * than there are levels; or where they are more than such merges ever leave behind, because many are tiny. */
bool tl_directory_due(const struct tl_directory *directory, uint32_t *first_out, uint32_t *count_out)
{
	uint32_t count = 0;
	for (unsigned level = 0; count < directory->segment_count && level < LEVELS; level++) {
		count = count_small(directory, level);
		if (count < 2)
			continue;
		uint32_t first = directory->segment_count - count;
		uint64_t entries = directory->indexed_to - directory->segments[first].from + 1;
		if (entries < most_of(level) && count <= (TL_INDEX_FANOUT - 1) * (level + 1) + TL_INDEX_FANOUT)
			continue;
		*first_out = first;
		*count_out = count < TL_INDEX_MERGE_MAX ? count : TL_INDEX_MERGE_MAX;
		return true;
	}
	return false;
}

/* --- changing it --- */

void tl_directory_add(struct tl_directory *directory, const struct tl_segment *segment)
{
	assert(directory->segment_count < TL_INDEX_SEGMENTS_MAX);
	directory->segments[directory->segment_count++] = *segment;
	directory->indexed_to = segment->to;
}

bool tl_directory_has_room(const struct tl_directory *directory, uint32_t count)
{
	return directory->garbage_count + count <= TL_INDEX_GARBAGE_MAX;
}

void tl_directory_add_garbage(struct tl_directory *directory, uint64_t id)
{
	assert(tl_directory_has_room(directory, 1));
	directory->garbage[directory->garbage_count++] = id;
}

void tl_directory_remove_garbage(struct tl_directory *directory, uint64_t id)
{
	for (uint32_t i = 0; i < directory->garbage_count; i++)
		if (directory->garbage[i] == id) {
			directory->garbage[i] = directory->garbage[--directory->garbage_count];
			return;
		}
}

static void remove_segments(struct tl_directory *directory, uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++)
		tl_directory_add_garbage(directory, directory->segments[i].id);
	directory->segment_count -= count;
	memmove(directory->segments + first, directory->segments + first + count,
	        (directory->segment_count - first) * sizeof directory->segments[0]);
}

void tl_directory_replace(struct tl_directory *directory, uint32_t first, uint32_t count,
                          const struct tl_segment *segment)
{
	assert(count > 0 && first + count <= directory->segment_count);
	remove_segments(directory, first + 1, count - 1);
	tl_directory_add_garbage(directory, directory->segments[first].id);
	directory->segments[first] = *segment;
}

bool tl_directory_expire(struct tl_directory *directory, uint64_t floor)
{
	uint32_t count = 0;
	while (count < directory->segment_count && directory->segments[count].to <= floor)
		count++;
	remove_segments(directory, 0, count);
	return count > 0;
}

uint32_t tl_directory_find(const struct tl_directory *directory, uint64_t id)
{
	uint32_t i = 0;
	while (i < directory->segment_count && directory->segments[i].id != id)
		i++;
	return i;
}
