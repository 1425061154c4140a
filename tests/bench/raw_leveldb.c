/*
 * tl_raw_leveldb: writes with LevelDB alone what messages cost, as the bound that the plugin is measured against.
 *
 *	one message to M members (M = 2: one to one):
 *	  1 x  tag | conversation (8) | cseq (8)         -> record (150 bytes)
 *	  M x  tag | user (8) | seq (8)                  -> conversation, cseq (20 bytes)
 *	  1 x  tag | hash of sender, conversation and id (16) | 7 more bytes -> cseq (8)
 *
 * (R1) A batch is written when it holds --batch messages, or before it would exceed --max-keys; a message that alone
 *      exceeds it is written in pieces.
 */
#include "bench_clock.h"
#include "bench_error.h"
#include "histogram.h"
#include "load_options.h"

#include <inttypes.h>
#include <leveldb/c.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 17
#define REFERENCE_BYTES 20
#define DEDUP_KEY_BYTES 24
#define MAX_BODY_BYTES 65536

struct raw_options {
	const char *dir;
	uint64_t messages;
	uint64_t members;
	uint64_t users;
	uint64_t body;
	uint64_t batch;
	uint64_t max_keys;
	uint64_t write_buffer_mib;
	bool compact;
	bool no_sync;
};

struct raw_run {
	const struct raw_options *options;
	leveldb_t *db;
	leveldb_options_t *db_options;
	leveldb_writeoptions_t *write_options;
	leveldb_writebatch_t *batch;
	struct tl_histogram latency; /* of one write */
	uint64_t *inbox_heads;       /* by user */
	uint64_t *conversation_heads;
	uint64_t batch_messages;
	uint64_t batch_keys;
	uint64_t keys;
	uint64_t bytes;
	uint64_t random;
	char record[MAX_BODY_BYTES];
};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void put_u64(char *out, uint64_t value)
{
	size_t i;

	for (i = 0; i < 8; i++) {
		out[i] = (char)(uint8_t)(value >> (56 - 8 * i));
	}
}

static void put_key(char *out, char tag, uint64_t partition, uint64_t sequence)
{
	out[0] = tag;
	put_u64(out + 1, partition);
	put_u64(out + 9, sequence);
}

static void check(char *error, const char *what)
{
	if (error) {
		tl_die("cannot %s: %s", what, error);
	}
}

static void write_batch(struct raw_run *run)
{
	char *error = NULL;
	uint64_t start_ns = tl_now_ns();

	if (run->batch_keys == 0) {
		return;
	}
	leveldb_write(run->db, run->write_options, run->batch, &error);
	check(error, "write");
	tl_histogram_record(&run->latency, tl_now_ns() - start_ns);
	leveldb_writebatch_clear(run->batch);
	run->batch_keys = 0;
	run->batch_messages = 0;
}

static void put_pair(struct raw_run *run, const char *key, size_t key_bytes, const char *value, size_t value_bytes)
{
	if (run->batch_keys >= run->options->max_keys) {
		write_batch(run);
	}
	leveldb_writebatch_put(run->batch, key, key_bytes, value, value_bytes);
	run->batch_keys++;
	run->keys++;
	run->bytes += key_bytes + value_bytes;
}

static void put_reference(struct raw_run *run, uint64_t user, uint64_t conversation, uint64_t cseq)
{
	char key[KEY_BYTES];
	char value[REFERENCE_BYTES] = "";

	put_key(key, 'i', user, ++run->inbox_heads[user]);
	put_u64(value, conversation);
	put_u64(value + 8, cseq);
	put_pair(run, key, sizeof(key), value, sizeof(value));
}

/* One to one: two users of all, by chance. A group: always the same members. */
static void put_message(struct raw_run *run)
{
	const struct raw_options *options = run->options;
	bool direct = options->members == 2;
	uint64_t first = direct ? next_random(&run->random) % options->users : 0;
	uint64_t conversation = first;
	uint64_t cseq = ++run->conversation_heads[conversation];
	char dedup_key[DEDUP_KEY_BYTES] = "k";
	char dedup_value[8];
	char key[KEY_BYTES];
	uint64_t i;

	if (run->batch_messages > 0 && run->batch_keys + options->members + 2 > options->max_keys) {
		write_batch(run);
	}
	put_key(key, 's', conversation, cseq);
	put_u64(run->record, next_random(&run->random));
	put_pair(run, key, sizeof(key), run->record, (size_t)options->body);
	for (i = 0; i < options->members; i++) {
		put_reference(run, (first + i) % options->users, conversation, cseq);
	}
	put_u64(dedup_key + 1, next_random(&run->random));
	put_u64(dedup_key + 9, next_random(&run->random));
	put_u64(dedup_value, cseq);
	put_pair(run, dedup_key, sizeof(dedup_key), dedup_value, sizeof(dedup_value));
	if (++run->batch_messages >= options->batch) {
		write_batch(run);
	}
}

static void raw_open(struct raw_run *run, const struct raw_options *options)
{
	char *error = NULL;

	run->options = options;
	run->random = 0x9e3779b97f4a7c15ull;
	run->inbox_heads = tl_must_alloc((size_t)options->users, sizeof(*run->inbox_heads));
	run->conversation_heads = tl_must_alloc((size_t)options->users, sizeof(*run->conversation_heads));
	memset(run->record, 'x', sizeof(run->record));
	run->batch = leveldb_writebatch_create();
	run->write_options = leveldb_writeoptions_create();
	leveldb_writeoptions_set_sync(run->write_options, options->no_sync ? 0 : 1);
	run->db_options = leveldb_options_create();
	leveldb_options_set_create_if_missing(run->db_options, 1);
	leveldb_options_set_error_if_exists(run->db_options, 1);
	leveldb_options_set_write_buffer_size(run->db_options, (size_t)options->write_buffer_mib << 20);
	run->db = leveldb_open(run->db_options, options->dir, &error);
	check(error, "open the database (--dir must be new)");
}

static void raw_close(struct raw_run *run)
{
	leveldb_close(run->db);
	leveldb_options_destroy(run->db_options);
	leveldb_writeoptions_destroy(run->write_options);
	leveldb_writebatch_destroy(run->batch);
	free(run->conversation_heads);
	free(run->inbox_heads);
	free(run);
}

/* Compacts a database that some other program has closed. */
static int run_compact(const struct raw_options *options)
{
	leveldb_options_t *db_options = leveldb_options_create();
	char *error = NULL;
	leveldb_t *db;

	leveldb_options_set_compression(db_options, leveldb_snappy_compression);
	db = leveldb_open(db_options, options->dir, &error);
	check(error, "open the database");
	leveldb_compact_range(db, NULL, 0, NULL, 0);
	leveldb_close(db);
	leveldb_options_destroy(db_options);
	printf("raw compacted=1\n");
	return EXIT_SUCCESS;
}

static int run_raw(const void *values)
{
	const struct raw_options *options = values;
	struct raw_run *run = tl_must_alloc(1, sizeof(*run));
	uint64_t start_ns;
	double seconds;
	uint64_t i;

	if (options->users < options->members) {
		tl_die("--users must not be fewer than --members");
	}
	raw_open(run, options);
	start_ns = tl_now_ns();
	for (i = 0; i < options->messages; i++) {
		put_message(run);
	}
	write_batch(run);
	seconds = tl_seconds_between(start_ns, tl_now_ns());
	printf("raw messages=%" PRIu64 " members=%" PRIu64 " seconds=%.3f messages_per_s=%.0f keys_per_s=%.0f "
		   "inbox_per_s=%.0f mib_per_s=%.1f write_p50_us=%.0f write_p99_us=%.0f write_max_us=%.0f\n",
		options->messages, options->members, seconds, (double)options->messages / seconds,
		(double)run->keys / seconds, (double)(options->messages * options->members) / seconds,
		(double)run->bytes / seconds / 1048576, (double)tl_histogram_percentile(&run->latency, 50) / 1000,
		(double)tl_histogram_percentile(&run->latency, 99) / 1000, (double)run->latency.max / 1000);
	raw_close(run);
	return EXIT_SUCCESS;
}

#define FIELD(name) offsetof(struct raw_options, name)

static const struct tl_option raw_table[] = {
	{ "dir", TL_OPTION_TEXT, FIELD(dir), 0, 0, "directory of the database, made by this program" },
	{ "messages", TL_OPTION_NUMBER, FIELD(messages), 1, UINT32_MAX, "messages to write" },
	{ "members", TL_OPTION_NUMBER, FIELD(members), 1, 1000000, "inboxes a message goes to" },
	{ "users", TL_OPTION_NUMBER, FIELD(users), 1, 100000000, "users there are" },
	{ "body", TL_OPTION_NUMBER, FIELD(body), 8, MAX_BODY_BYTES, "bytes of the store record" },
	{ "batch", TL_OPTION_NUMBER, FIELD(batch), 1, 1000000, "messages of a batch" },
	{ "max-keys", TL_OPTION_NUMBER, FIELD(max_keys), 1, 100000000, "keys of a batch, at most" },
	{ "write-buffer", TL_OPTION_NUMBER, FIELD(write_buffer_mib), 1, 4096, "LevelDB's write buffer in MiB" },
	{ "compact", TL_OPTION_FLAG, FIELD(compact), 0, 0, "write nothing, but compact the database in --dir" },
	{ "no-sync", TL_OPTION_FLAG, FIELD(no_sync), 0, 0, "leave the batches to the operating system" },
};

static const struct raw_options raw_defaults = {
	.dir = "raw_leveldb.db",
	.messages = 200000,
	.members = 2,
	.users = 1000,
	.body = 150,
	.batch = 100,
	.max_keys = 2000,
	.write_buffer_mib = 64,
};

static const struct tl_command raw_command = {
	.name = "tl_raw_leveldb",
	.summary = "writes what messages cost with LevelDB alone, prints messages/s and keys/s",
	.options = raw_table,
	.option_count = sizeof(raw_table) / sizeof(raw_table[0]),
	.defaults = &raw_defaults,
	.options_bytes = sizeof(raw_defaults),
	.run = run_raw,
};

int main(int count, char **arguments)
{
	struct raw_options options;

	if (count > 1 && strcmp(arguments[1], "--help") == 0) {
		tl_options_help(&raw_command);
		return EXIT_SUCCESS;
	}
	tl_options_parse(&raw_command, count - 1, arguments + 1, &options);
	return options.compact ? run_compact(&options) : run_raw(&options);
}
