/* What the indexer makes of commits that fail and of crashes between its steps: invariants (I1) of storage/index_work.h, (D1)–(D3)
 * of storage/index_directory.h. The commit is wrapped by the linker: it fails before or after it has been applied.
 *
 *     some entries are stored ──► some steps, some of which fail ──► [a crash: everything in memory is gone] ──► … ──► checks
 *
 * At any time the index holds exactly the words of the entries that the directory claims; once there is nothing left to
 * do, no chunk is left that no segment needs. TL_SEED in the environment repeats the choices. */
#include "index_seal.h"
#include "index_work.h"
#include "message.h"
#include "rng.h"
#include "temp_dir.h"
#include "timeline.h"
#include "wrapped.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	CONVERSATIONS = 3,
	ENTRIES_MAX = 6000,
	ROUNDS = 60,
	WORDS = 12,      /* different ones … */
	LONG_WORDS = 90000, /* … and those of a very long message, which takes several batches */
	TEXT_MAX = 1024 * 1024,
};

static uint64_t seed;
static struct rng rng;

#define CHECK(condition)                                                                                               \
	do {                                                                                                               \
		if (!(condition))                                                                                              \
			failed(#condition, __LINE__);                                                                              \
	} while (0)

static _Noreturn void failed(const char *what, int line)
{
	fprintf(stderr, "test_index_faults.c:%d: %s does not hold (TL_SEED=%" PRIu64 ")\n", line, what, seed);
	exit(1);
}

/* --- faults --- */

static bool armed;
static unsigned faults;

WRAPPED(tl_engine_commit);

enum tl_err __wrap_tl_engine_commit(struct tl_engine *engine, struct tl_batch *batch, bool sync, struct tl_why *why)
{
	unsigned kind = armed ? below(&rng, 6) : 5;
	faults += kind < 2;
	if (kind == 0)
		return TL_IO;
	enum tl_err err = __real_tl_engine_commit(engine, batch, sync, why);
	return kind == 1 ? TL_IO : err;
}

/* --- what is stored --- */

struct entry {
	unsigned words; /* as bits */
	bool is_long;
	uint64_t edits; /* an event about this cseq; 0: a message */
};

struct world {
	struct temp_dir dir;
	struct tl_database database;
	struct tl_index_work work;
	struct tl_batch *batch;
	struct entry entries[CONVERSATIONS][ENTRIES_MAX + 1]; /* from cseq 1 */
	uint64_t heads[CONVERSATIONS], floors[CONVERSATIONS];
	bool no_index[CONVERSATIONS + 1]; /* and of one more, whose store is empty */
	uint64_t position;
};

static void open_world(struct world *world)
{
	struct tl_engine_options options = temp_dir_engine(&world->dir);
	options.durable = true;
	CHECK(tl_database_open(&options, &world->database, NULL) == TL_OK);
	CHECK(tl_batch_new(world->database.engine, &world->batch) == TL_OK);
	CHECK(tl_index_work_init(&world->work, &world->database) == TL_OK);
}

static void close_world(struct world *world)
{
	tl_index_work_fini(&world->work);
	tl_batch_free(world->batch);
	tl_database_close(&world->database);
}

static void commit(struct world *world)
{
	bool was = armed;
	armed = false;
	CHECK(tl_engine_commit(world->database.engine, world->batch, false, NULL) == TL_OK);
	tl_batch_clear(world->batch);
	armed = was;
}

static void put_conversation(struct world *world, unsigned i)
{
	const struct tl_conversation_record record = {
		.cid = tl_slice_str("c"), .owner = tl_slice_str("me"), .kind = TL_GROUP, .no_index = world->no_index[i]};
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_conversation_record_pack(&pack, &record);
	tl_batch_put(world->batch, tl_partition(TL_PART_CONVERSATION, i + 1), tl_slice("", 0), tl_pack_bytes(&pack));
	tl_index_mark_upkeep(world->batch, i + 1, ++world->position);
	tl_pack_fini(&pack);
}

static size_t body_of(const struct entry *entry, char *out)
{
	size_t len = 0;
	for (unsigned i = 0; i < WORDS; i++)
		if (entry->words >> i & 1)
			len += (size_t)sprintf(out + len, "word%u ", i);
	for (unsigned i = 0; entry->is_long && i < LONG_WORDS; i++)
		len += (size_t)sprintf(out + len, "long%05u ", i);
	return len;
}

static void put_entry(struct world *world, unsigned i, uint64_t cseq)
{
	static char text[TEXT_MAX];
	const struct entry *entry = &world->entries[i][cseq];
	struct tl_pack pack, event, stored;
	tl_pack_init(&pack);
	tl_pack_init(&event);
	tl_pack_init(&stored);
	tl_pack_map(&event, 2);
	tl_pack_cstr(&event, "kind");
	tl_pack_cstr(&event, "edit");
	tl_pack_cstr(&event, "cseq");
	tl_pack_uint(&event, entry->edits);
	size_t len = entry->edits ? 0 : body_of(entry, text);
	const struct tl_message message = {.ts = cseq, .id = tl_slice_str("x"), .from = tl_slice_str("me"),
	                                   .type = tl_slice_str(entry->edits ? "event" : "text"), .body_len = len,
	                                   .event = entry->edits ? tl_pack_bytes(&event) : tl_slice("", 0)};
	tl_message_pack(&pack, &message);
	if (!entry->edits)
		tl_pack_raw(&pack, tl_slice(text, len));
	const struct tl_store_record record = {.position = cseq, .message = tl_pack_bytes(&pack)};
	tl_store_record_pack(&stored, &record);
	tl_timeline_append(world->batch, tl_partition(TL_PART_STORE, i + 1), cseq, tl_pack_bytes(&stored), false);
	if (cseq == world->heads[i] && tl_index_is_due(cseq, len))
		tl_index_mark(world->batch, ++world->position, i + 1, cseq, cseq);
	tl_pack_fini(&pack);
	tl_pack_fini(&event);
	tl_pack_fini(&stored);
}

static void append(struct world *world, unsigned i)
{
	if (world->heads[i] == ENTRIES_MAX)
		return;
	uint64_t cseq = ++world->heads[i], edited = 1 + below(&rng, (unsigned)cseq);
	struct entry *entry = &world->entries[i][cseq];
	*entry = (struct entry){.words = below(&rng, 1 << WORDS), .is_long = below(&rng, 400) == 0};
	if (below(&rng, 20) == 0 && edited < cseq && edited > world->floors[i] && !world->entries[i][edited].edits) {
		entry->edits = edited;
		world->entries[i][edited].words ^= 1U << below(&rng, WORDS);
		put_entry(world, i, edited);
	}
	put_entry(world, i, cseq);
	commit(world);
}

/* As retention would: the last entry stays, so that the head does. */
static void expire(struct world *world, unsigned i)
{
	struct tl_pack pack;
	uint64_t floor = world->floors[i] + below(&rng, (unsigned)(world->heads[i] - world->floors[i]) + 1);
	uint64_t end = floor < world->heads[i] ? floor + 1 : floor;
	struct tl_drop drop = {.limit = UINT64_MAX};
	unsigned char from[TL_ORDERED_INT_MAX], to[TL_ORDERED_INT_MAX];
	world->floors[i] = floor;
	tl_pack_init(&pack);
	tl_pack_uint(&pack, floor);
	tl_batch_put(world->batch, tl_partition(TL_PART_STORE, i + 1), tl_slice("", 0), tl_pack_bytes(&pack));
	tl_index_mark_upkeep(world->batch, i + 1, ++world->position);
	commit(world);
	tl_pack_fini(&pack);
	CHECK(tl_engine_drop_range(world->database.engine, tl_partition(TL_PART_STORE, i + 1),
	                           tl_slice(from, tl_ordered_int_put(from, 1)), tl_slice(to, tl_ordered_int_put(to, end)),
	                           &drop) == TL_OK);
}

/* --- checks --- */

/* Which entries have a word by the index, those of one segment after the other. */
static void find_word(struct world *world, unsigned i, const struct tl_directory *directory, const char *word, bool *found)
{
	static struct tl_posting_scan scan;
	struct tl_iter *iter;
	CHECK(tl_iter_new(world->database.engine, NULL, tl_partition(TL_PART_INDEX, i + 1), true, &iter) == TL_OK);
	for (uint32_t s = 0; s < directory->segment_count; s++) {
		enum tl_err err = tl_posting_seek(&scan, iter, &directory->segments[s], tl_slice_str(word), UINT64_MAX);
		for (; err == TL_OK && scan.there &&
		       tl_slice_equal(tl_index_term_slice(&scan.scan.chunk.term), tl_slice_str(word));
		     err = tl_posting_next(&scan)) {
			CHECK(scan.cseq <= directory->segments[s].to);
			found[scan.cseq] = true;
		}
		CHECK(err == TL_OK);
	}
	tl_iter_free(iter);
}

/* Everything that is claimed is there. What has been edited since may be there as it was, too. */
static void check_words(struct world *world, unsigned i, const struct tl_directory *directory)
{
	static bool found[ENTRIES_MAX + 2];
	static bool edited_in_tail[ENTRIES_MAX + 1];
	char word[16];
	memset(edited_in_tail, 0, sizeof edited_in_tail);
	for (uint64_t cseq = directory->indexed_to + 1; cseq <= world->heads[i]; cseq++)
		edited_in_tail[world->entries[i][cseq].edits] = true;
	for (unsigned w = 0; w <= WORDS; w++) {
		snprintf(word, sizeof word, w < WORDS ? "word%u" : "long%05u", w < WORDS ? w : below(&rng, LONG_WORDS));
		memset(found, 0, sizeof found);
		find_word(world, i, directory, word, found);
		for (uint64_t cseq = world->floors[i] + 1; cseq <= directory->indexed_to; cseq++) {
			const struct entry *entry = &world->entries[i][cseq];
			bool has = !entry->edits && (w < WORDS ? entry->words >> w & 1 : entry->is_long);
			CHECK(!has || found[cseq] || edited_in_tail[cseq]);
			CHECK(w < WORDS || has == found[cseq]);
		}
		for (uint64_t cseq = directory->indexed_to + 1; cseq <= world->heads[i]; cseq++)
			CHECK(!found[cseq]);
	}
}

static void check_nothing_left(struct world *world, unsigned i, const struct tl_directory *directory)
{
	struct tl_iter *iter;
	uint64_t id;
	CHECK(directory->garbage_count == 0);
	CHECK(world->no_index[i] || world->heads[i] < directory->indexed_to + TL_INDEX_TAIL);
	CHECK(!world->no_index[i] || directory->segment_count == 0);
	CHECK(tl_iter_new(world->database.engine, NULL, tl_partition(TL_PART_INDEX, i + 1), true, &iter) == TL_OK);
	for (bool there = tl_iter_seek(iter, tl_slice("\0", 1)); there; there = tl_iter_next(iter)) {
		CHECK(tl_ordered_int_get(tl_iter_key(iter).ptr, tl_iter_key(iter).len, &id) > 0);
		CHECK(tl_directory_find(directory, id) < directory->segment_count);
	}
	tl_iter_free(iter);
}

static void check(struct world *world, bool idle)
{
	struct tl_directory directory;
	for (unsigned i = 0; i < CONVERSATIONS; i++) {
		CHECK(tl_directory_read(world->database.engine, NULL, i + 1, &directory) == TL_OK);
		CHECK(directory.indexed_to <= world->heads[i]);
		if (!world->no_index[i])
			check_words(world, i, &directory);
		if (idle)
			check_nothing_left(world, i, &directory);
	}
}

/* --- the run --- */

/* Returns whether there was something to do. */
static bool step(struct world *world)
{
	bool did;
	uint64_t done;
	enum tl_err err = tl_index_work_step(&world->work, &did, &done);
	if (err != TL_OK) {
		CHECK(armed && err == TL_IO);
		tl_index_work_reset(&world->work);
		return true;
	}
	return did;
}

static void finish(struct world *world)
{
	while (step(world))
		;
	check(world, true);
}

static void change(struct world *world)
{
	unsigned i = below(&rng, CONVERSATIONS), kind = below(&rng, 100);
	if (kind < 4) {
		expire(world, i);
	} else if (kind < 8) {
		world->no_index[i] = !world->no_index[i];
		put_conversation(world, i);
		commit(world);
	} else if (kind < 12) {
		armed = false;
		CHECK(tl_index_work_anew(&world->work, i + 1) == TL_OK);
	}
}

static void round_of(struct world *world)
{
	unsigned count = 1 + below(&rng, 300), steps = below(&rng, 30);
	for (unsigned j = 0; j < count; j++)
		append(world, below(&rng, 1 + below(&rng, CONVERSATIONS)));
	change(world);
	/* Others see what was before, as while the writer commits a group; what is made of it is the same. */
	bool frozen = below(&rng, 2) == 0;
	if (frozen)
		CHECK(tl_engine_freeze(world->database.engine) == TL_OK);
	armed = !frozen && below(&rng, 3) > 0;
	for (unsigned j = 0; j < steps; j++)
		step(world);
	armed = false;
	tl_engine_thaw(world->database.engine);
	if (below(&rng, 2) == 0) {
		close_world(world);
		open_world(world);
	}
	check(world, false);
	if (below(&rng, 4) == 0)
		finish(world);
}

static void append_words(struct world *world, unsigned i, uint64_t to, uint64_t is_long)
{
	while (world->heads[i] < to) {
		uint64_t cseq = ++world->heads[i];
		world->entries[i][cseq] = (struct entry){.words = 1, .is_long = cseq == is_long};
		put_entry(world, i, cseq);
		commit(world);
	}
}

/* A segment ends at a very long message. The entry that made the rest of the tail due has no mark any more. */
static void index_anew_behind_long_message(struct world *world)
{
	append_words(world, 0, TL_INDEX_TAIL + 8, TL_INDEX_TAIL - 7);
	finish(world);
	CHECK(tl_index_work_anew(&world->work, 1) == TL_OK);
	finish(world);
	append_words(world, 0, 2 * TL_INDEX_TAIL - 7, 0);
	finish(world);
}

/* Marks of a conversation of which nothing is left behind its floor, as damage may leave it, are followed once. */
static void nothing_left_to_seal(struct world *world)
{
	const uint64_t no = CONVERSATIONS + 1, floor = 10 * TL_INDEX_TAIL;
	uint64_t marks;
	put_conversation(world, CONVERSATIONS);
	tl_timeline_put_floor(world->batch, tl_partition(TL_PART_STORE, no), floor);
	tl_index_mark(world->batch, ++world->position, no, floor, 1);
	commit(world);
	for (unsigned steps = 0; step(world); steps++)
		CHECK(steps < 1000);
	CHECK(tl_index_work_count(&world->work, &marks) == TL_OK && marks == 0);
}

enum { CHUNKS_MAX = 2000 };

/* Chunks of a segment. */
struct chunks {
	size_t count;
	struct chunk {
		size_t key_len, value_len;
		char key[TL_INDEX_TERM_MAX + 32], *value;
	} list[CHUNKS_MAX];
};

/* What stands behind the directory and behind the chunks of the first batch of the segment being made. */
static void take_chunks(struct world *world, unsigned i, struct chunks *chunks)
{
	enum { FIRST_BATCH = 200 };
	struct tl_iter *iter;
	unsigned passed = 0;
	CHECK(tl_iter_new(world->database.engine, NULL, tl_partition(TL_PART_INDEX, i + 1), false, &iter) == TL_OK);
	for (bool there = tl_iter_seek(iter, tl_slice("\0", 1)); there; there = tl_iter_next(iter)) {
		struct chunk *chunk = &chunks->list[chunks->count];
		struct tl_slice key = tl_iter_key(iter), value = tl_iter_value(iter);
		if (passed++ < FIRST_BATCH)
			continue;
		CHECK(chunks->count < CHUNKS_MAX && key.len <= sizeof chunk->key);
		chunk->key_len = key.len;
		chunk->value_len = value.len;
		memcpy(chunk->key, key.ptr, key.len);
		chunk->value = malloc(value.len + 1);
		CHECK(chunk->value != NULL);
		memcpy(chunk->value, value.ptr, value.len);
		chunks->count++;
	}
	tl_iter_free(iter);
	CHECK(chunks->count > 0);
}

static void put_chunks(struct world *world, unsigned i, struct chunks *chunks)
{
	for (size_t c = 0; c < chunks->count; c++) {
		const struct chunk *chunk = &chunks->list[c];
		tl_batch_put(world->batch, tl_partition(TL_PART_INDEX, i + 1), tl_slice(chunk->key, chunk->key_len),
		             tl_slice(chunk->value, chunk->value_len));
		free(chunk->value);
	}
}

/* Where nothing is synced, a loss of power may leave what was committed last, and not what was before it: of a segment that takes
 * several batches some of the chunks, and neither the messages that they are of nor the directory that lists the segment. Other
 * messages come, and a segment with the same id. */
static void chunks_left_over(struct world *world)
{
	static struct chunks chunks;
	const unsigned i = CONVERSATIONS - 1;
	struct tl_drop drop = {.limit = UINT64_MAX};
	CHECK(world->heads[i] == 0);
	append_words(world, i, TL_INDEX_TAIL, TL_INDEX_TAIL - 1);
	finish(world);
	take_chunks(world, i, &chunks);
	CHECK(tl_engine_drop_range(world->database.engine, tl_partition(TL_PART_INDEX, i + 1), tl_slice("", 0), tl_slice("", 0),
	                           &drop) == TL_OK);
	put_chunks(world, i, &chunks);
	commit(world);
	world->heads[i] = 0;
	close_world(world);
	open_world(world);
	append_words(world, i, TL_INDEX_TAIL, 0);
	finish(world);
}

static void put_mark(struct world *world, uint64_t queue, struct tl_slice key, struct tl_slice value)
{
	tl_batch_put(world->batch, tl_partition(TL_PART_INDEX_QUEUE, queue), key, value);
}

static void check_no_marks(struct world *world)
{
	struct tl_iter *marks;
	for (uint64_t queue = TL_INDEX_QUEUE_FRESH; queue <= TL_INDEX_QUEUE_ANEW; queue++) {
		CHECK(tl_iter_new(world->database.engine, NULL, tl_partition(TL_PART_INDEX_QUEUE, queue), false, &marks) == TL_OK);
		CHECK(!tl_iter_seek(marks, tl_slice("", 0)) && tl_iter_error(marks) == TL_OK);
		tl_iter_free(marks);
	}
}

/* Marks that do not decode (I4), before and behind sound ones. What the one of a tail that has grown stands for is done all the
 * same, and what comes after one whose position is beyond all is found. */
static void damaged_marks(struct world *world)
{
	static const struct tl_slice values[] = {{"", 0}, {"\xc1", 1}, {"\xa1x", 2}, {"\x91\x01", 2}};
	const uint64_t more = 2 * TL_INDEX_TAIL;
	struct tl_pair_key key;
	uint64_t marks;
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		uint64_t head = world->heads[0];
		append_words(world, 0, head + TL_INDEX_TAIL - head % TL_INDEX_TAIL, 0);
		put_mark(world, TL_INDEX_QUEUE_FRESH, tl_pair_key(&key, world->position, 1), values[i]);
		for (uint64_t queue = TL_INDEX_QUEUE_FRESH; queue <= TL_INDEX_QUEUE_ANEW; queue++) {
			put_mark(world, queue, tl_slice("", 0), values[i]);
			put_mark(world, queue, tl_slice("\xff", 1), values[i]);
		}
		tl_index_mark_anew(world->batch, 2);
		commit(world);
		close_world(world);
		open_world(world);
		finish(world);
		check_no_marks(world);
		CHECK(world->work.unreadable == 7);
	}
	tl_index_mark(world->batch, UINT64_MAX, 1, 1, 1);
	commit(world);
	finish(world);
	append_words(world, 0, world->heads[0] + more, 0);
	CHECK(tl_index_work_count(&world->work, &marks) == TL_OK && marks > 0);
	finish(world);
	check_no_marks(world);
}

int main(void)
{
	static struct world world;
	rng.state = seed = rng_seed();
	CHECK(temp_dir_make(&world.dir));
	open_world(&world);
	for (unsigned i = 0; i < CONVERSATIONS; i++)
		put_conversation(&world, i);
	commit(&world);
	index_anew_behind_long_message(&world);
	nothing_left_to_seal(&world);
	damaged_marks(&world);
	chunks_left_over(&world);
	for (unsigned i = 0; i < ROUNDS; i++)
		round_of(&world);
	finish(&world);
	CHECK(faults > 0);
	printf("%u faults, %" PRIu64 " entries\n", faults, world.heads[0] + world.heads[1] + world.heads[2]);
	close_world(&world);
	temp_dir_remove(&world.dir);
	return 0;
}
