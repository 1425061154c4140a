/*
 * tl_search_bench: how fast a user's searches are answered in a store with many messages, and what the index costs.
 *
 *	messages, Zipf-distributed words ──► store timelines (engine batches) ──► indexer ──► searches of one user
 *
 * Conversations are of very different size (Zipf too); every tenth of them is the user's. One message in ten is
 * Chinese. The user is in `--mine` conversations; everything else is there to be in the way.
 */
#include "bench_clock.h"
#include "bench_error.h"
#include "histogram.h"
#include "index_queue.h"
#include "indexer.h"
#include "load_options.h"
#include "message.h"
#include "msgpack_reader.h"
#include "ordered_int.h"
#include "requests.h"
#include "timeline.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	BATCH_MESSAGES = 500,
	WORD_BYTES = 16,
	TEXT_BYTES = 1024,
	SENDERS = 1000,
	HAN_FIRST = 0x4e00,
	WARM_UP = 20, /* searches of a kind before they count */
};

struct bench_options {
	const char *dir;
	uint64_t messages;
	uint64_t conversations;
	uint64_t mine;
	uint64_t words;
	uint64_t han;
	uint64_t searches;
	uint64_t cache_mib;
	uint64_t kind; /* of searches, from 1; 0: all */
	bool keep;
};

/* Numbers below `count`, small ones more often, by the inverse of their summed weights. */
struct zipf {
	double *sums;
	uint64_t count;
};

struct bench {
	const struct bench_options *options;
	struct tl_database database;
	struct tl_limits limits;
	struct tl_indexer *indexer;
	struct zipf words, han, conversations;
	uint64_t *heads; /* of conversations */
	uint64_t random;
	uint64_t ts;
	uint64_t body_bytes, index_bytes;
	struct tl_batch *batch;
	struct tl_pack pack, record;
};

static uint64_t next_random(struct bench *bench)
{
	bench->random ^= bench->random << 13;
	bench->random ^= bench->random >> 7;
	bench->random ^= bench->random << 17;
	return bench->random;
}

static void must(enum tl_err err, const char *what)
{
	if (err != TL_OK)
		tl_die("cannot %s: %s", what, tl_err_text(err));
}

static struct zipf zipf_new(uint64_t count, double exponent)
{
	struct zipf zipf = {.sums = tl_must_alloc((size_t)count, sizeof(double)), .count = count};
	double sum = 0;
	for (uint64_t i = 0; i < count; i++)
		zipf.sums[i] = sum += 1 / pow((double)(i + 1), exponent);
	return zipf;
}

static uint64_t zipf_next(struct bench *bench, const struct zipf *zipf)
{
	double at = (double)(next_random(bench) >> 11) / 9007199254740992.0 * zipf->sums[zipf->count - 1];
	uint64_t low = 0, high = zipf->count - 1;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (zipf->sums[middle] < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* --- texts --- */

/* The word of that rank: letters that tell nothing of it but are always the same. */
static size_t word(uint64_t rank, char *out)
{
	uint64_t code = (rank + 1) * 0x9e3779b97f4a7c15;
	size_t len = 0, least = rank < 200 ? 2 : 4;
	for (uint64_t rest = rank; rest > 0 || len < least; rest /= 26, code >>= 5)
		out[len++] = (char)('a' + (rest + code) % 26);
	return len;
}

static size_t han(uint64_t rank, char *out)
{
	unsigned code = HAN_FIRST + (unsigned)(rank * 7919 % 20000);
	out[0] = (char)(unsigned char)(0xe0 | code >> 12);
	out[1] = (char)(unsigned char)(0x80 | (code >> 6 & 0x3f));
	out[2] = (char)(unsigned char)(0x80 | (code & 0x3f));
	return 3;
}

static size_t make_text(struct bench *bench, char *out)
{
	bool chinese = next_random(bench) % 10 == 0;
	uint64_t count = (chinese ? 6 : 3) + next_random(bench) % (chinese ? 20 : 16);
	size_t len = 0;
	for (uint64_t i = 0; i < count; i++) {
		if (!chinese && i > 0)
			out[len++] = ' ';
		len += chinese ? han(zipf_next(bench, &bench->han), out + len) : word(zipf_next(bench, &bench->words), out + len);
	}
	return len;
}

/* --- filling the store --- */

static void put_name(struct bench *bench, enum tl_partition_kind names, const char *name, uint64_t no)
{
	tl_pack_clear(&bench->pack);
	tl_pack_uint(&bench->pack, no);
	tl_batch_put(bench->batch, tl_partition(names, 0), tl_slice_str(name), tl_pack_bytes(&bench->pack));
}

static void put_numbered(struct bench *bench, enum tl_partition_kind kind, uint64_t no, uint64_t key)
{
	unsigned char bytes[TL_ORDERED_INT_MAX];
	tl_batch_put(bench->batch, tl_partition(kind, no), tl_slice(bytes, tl_ordered_int_put(bytes, key)),
	             tl_pack_bytes(&bench->pack));
}

static bool is_mine(const struct bench *bench, uint64_t index)
{
	uint64_t each = bench->options->conversations / bench->options->mine;
	return index % (each ? each : 1) == 0 && index / (each ? each : 1) < bench->options->mine;
}

static void put_conversation(struct bench *bench, uint64_t index)
{
	char cid[32];
	uint64_t no = index + 1;
	snprintf(cid, sizeof cid, "c%" PRIu64, no);
	const struct tl_conversation_record record = {
		.cid = tl_slice_str(cid), .owner = tl_slice_str("me"), .kind = TL_GROUP, .member_count = 1};
	const struct tl_member_record member = {.since = 1};
	put_name(bench, TL_PART_CONVERSATION_NAMES, cid, no);
	tl_pack_clear(&bench->pack);
	tl_conversation_record_pack(&bench->pack, &record);
	tl_batch_put(bench->batch, tl_partition(TL_PART_CONVERSATION, no), tl_slice("", 0), tl_pack_bytes(&bench->pack));
	if (!is_mine(bench, index))
		return;
	tl_pack_clear(&bench->pack);
	tl_member_record_pack(&bench->pack, &member);
	put_numbered(bench, TL_PART_MEMBERS, no, 1);
	tl_pack_clear(&bench->pack);
	put_numbered(bench, TL_PART_USER_CONVERSATIONS, 1, no);
}

static void put_message(struct bench *bench)
{
	char text[TEXT_BYTES], from[16], id[24];
	uint64_t index = zipf_next(bench, &bench->conversations), cseq = ++bench->heads[index];
	size_t len = make_text(bench, text);
	snprintf(from, sizeof from, "u%" PRIu64, next_random(bench) % SENDERS);
	snprintf(id, sizeof id, "m%" PRIx64, bench->ts);
	const struct tl_message message = {.ts = ++bench->ts, .id = tl_slice_str(id), .from = tl_slice_str(from),
	                                   .device = tl_slice_str("phone"), .type = tl_slice_str("text"), .body_len = len};
	tl_pack_clear(&bench->pack);
	tl_message_pack(&bench->pack, &message);
	tl_pack_raw(&bench->pack, tl_slice(text, len));
	const struct tl_store_record record = {.position = bench->ts, .running = cseq,
	                                       .message = tl_pack_bytes(&bench->pack)};
	tl_pack_clear(&bench->record);
	tl_store_record_pack(&bench->record, &record);
	tl_timeline_append(bench->batch, tl_partition(TL_PART_STORE, index + 1), cseq, tl_pack_bytes(&bench->record), false);
	if (tl_index_is_due(cseq, len))
		tl_index_mark(bench->batch, bench->ts, index + 1, cseq, bench->ts);
	bench->body_bytes += len;
}

static void commit(struct bench *bench)
{
	must(tl_engine_commit(bench->database.engine, bench->batch, false, NULL), "commit");
	tl_batch_clear(bench->batch);
}

static void fill(struct bench *bench)
{
	uint64_t begun = tl_now_ns();
	put_name(bench, TL_PART_USER_NAMES, "me", 1);
	for (uint64_t i = 0; i < bench->options->conversations; i++)
		put_conversation(bench, i);
	for (uint64_t i = 0; i < bench->options->messages; i++) {
		put_message(bench);
		if (i % BATCH_MESSAGES == 0)
			commit(bench);
	}
	commit(bench);
	double seconds = tl_seconds_between(begun, tl_now_ns());
	printf("stored %" PRIu64 " messages in %.0f s, %.0f bytes of text each\n", bench->options->messages, seconds,
	       (double)bench->body_bytes / (double)bench->options->messages);
}

/* --- indexing --- */

static void log_line(void *ctx, enum tl_log level, const char *text)
{
	(void)ctx;
	(void)level;
	fprintf(stderr, "%s\n", text);
}

static uint64_t index_size(const struct bench *bench)
{
	uint64_t bytes = 0;
	for (uint64_t i = 1; i <= bench->options->conversations; i++)
		bytes += tl_engine_size(bench->database.engine, tl_partition(TL_PART_INDEX, i), tl_slice("", 0), tl_slice("", 0));
	return bytes;
}

/* All of it is due at once; what is measured is how fast the indexer catches up. */
static void build_index(struct bench *bench)
{
	const struct tl_indexer_options options = {.dir = bench->options->dir, .events = {.log = log_line}};
	uint64_t begun = tl_now_ns(), merges;
	must(tl_indexer_open(&bench->database, &options, &bench->indexer), "start the indexer");
	do {
		merges = tl_indexer_stats(bench->indexer).merges;
		sleep(1);
	} while (tl_indexer_stats(bench->indexer).lag_messages > 0 || tl_indexer_stats(bench->indexer).merges != merges ||
	         tl_indexer_stats(bench->indexer).entries == 0);
	double seconds = tl_seconds_between(begun, tl_now_ns());
	struct tl_indexer_stats stats = tl_indexer_stats(bench->indexer);
	printf("indexed %" PRIu64 " messages in %.0f s (%.0f/s): %" PRIu64 " segments, %" PRIu64 " merges, %.1f bytes written a message\n",
	       stats.entries, seconds, (double)stats.entries / seconds, stats.segments, stats.merges,
	       (double)stats.bytes / (double)stats.entries);
	printf("index on disk: %.1f bytes a message\n", (double)index_size(bench) / (double)stats.entries);
}

/* --- searching --- */

enum kind { RARE, MIDDLE, COMMON, TWO_COMMON, RARE_AND_COMMON, PHRASE, PREFIX, CHINESE, SENDER, NOTHING, SECOND_PAGE, KINDS };

static const char *const kind_names[KINDS] = {"rare word", "middling word", "common word", "two common words", "rare and common", "phrase", "prefix",
                                              "Chinese, two characters", "sender only", "word that nobody used", "common word, second page"};

static void append_word(struct bench *bench, char *q, uint64_t from, uint64_t to)
{
	size_t len = strlen(q);
	if (len > 0 && q[len - 1] != '"')
		q[len++] = ' ';
	len += word(from + next_random(bench) % (to - from), q + len);
	q[len] = '\0';
}

static void make_query(struct bench *bench, enum kind kind, char *q)
{
	uint64_t words = bench->options->words;
	q[0] = '\0';
	switch (kind) {
	case RARE:
		append_word(bench, q, words / 2, words);
		break;
	case MIDDLE:
		append_word(bench, q, 2000, 5000);
		break;
	case TWO_COMMON:
		append_word(bench, q, 0, 30);
		append_word(bench, q, 0, 30);
		break;
	case RARE_AND_COMMON:
		append_word(bench, q, words / 2, words);
		append_word(bench, q, 0, 30);
		break;
	case PHRASE:
		strcpy(q, "\"");
		append_word(bench, q, 0, 200);
		append_word(bench, q, 0, 200);
		strcat(q, "\"");
		break;
	case PREFIX:
		append_word(bench, q, 0, words);
		strcpy(q + 3, "*");
		break;
	case CHINESE: {
		size_t len = han(zipf_next(bench, &bench->han), q);
		q[len + han(zipf_next(bench, &bench->han), q + len)] = '\0';
		break;
	}
	case NOTHING:
		strcpy(q, "qqqqqqqqqqqqzz");
		break;
	default:
		append_word(bench, q, 0, 30);
	}
}

/* Asks and returns how many messages came; the cursor, if any, into `cursor`. */
static uint32_t ask(struct bench *bench, const char *key, const char *value, char *cursor, size_t size)
{
	const struct tl_reading reading = {.database = &bench->database, .limits = &bench->limits};
	struct tl_answer answer;
	struct tl_reader found;
	struct tl_pack map;
	uint32_t count = 0;
	tl_pack_clear(&bench->pack);
	tl_pack_map(&bench->pack, cursor[0] ? 2 : 1);
	tl_pack_cstr(&bench->pack, key);
	tl_pack_cstr(&bench->pack, value);
	if (cursor[0]) {
		tl_pack_cstr(&bench->pack, "cursor");
		tl_pack_cstr(&bench->pack, cursor);
	}
	const struct tl_call call = {.user = tl_slice_str("me"), .device = tl_slice_str("phone"),
	                             .raw = tl_pack_bytes(&bench->pack), .now = bench->ts};
	tl_answer_init(&answer);
	must(tl_request_read(tl_request_find(tl_slice_str("search")), &reading, call, &answer), "search");
	tl_pack_init(&map);
	tl_pack_map(&map, answer.field_count);
	tl_pack_raw(&map, tl_pack_bytes(&answer.fields));
	if (tl_msgpack_find(tl_pack_bytes(&map), "messages", &found) && !tl_reader_array(&found, &count))
		tl_die("no messages in the answer");
	struct tl_slice next = tl_message_str(tl_pack_bytes(&map), "cursor");
	snprintf(cursor, size, "%.*s", (int)next.len, (const char *)next.ptr);
	tl_pack_fini(&map);
	tl_answer_fini(&answer);
	return count;
}

/* Of this thread, which does the whole search: what other programs take from the machine does not count. */
static uint64_t cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * TL_NS_PER_S + (uint64_t)now.tv_nsec;
}

static void measure(struct bench *bench, enum kind kind)
{
	struct tl_histogram *histogram = tl_must_alloc(1, sizeof *histogram);
	uint64_t found = 0, cpu = 0;
	char q[256], cursor[96];
	for (uint64_t i = 0; i < bench->options->searches + WARM_UP; i++) {
		make_query(bench, kind, q);
		if (kind == SENDER)
			snprintf(q, sizeof q, "u%" PRIu64, next_random(bench) % SENDERS);
		cursor[0] = '\0';
		if (kind == SECOND_PAGE)
			ask(bench, "q", q, cursor, sizeof cursor);
		uint64_t begun = tl_now_ns(), cpu_begun = cpu_ns();
		uint32_t count = ask(bench, kind == SENDER ? "from" : "q", q, cursor, sizeof cursor);
		if (i >= WARM_UP) {
			tl_histogram_record(histogram, tl_now_ns() - begun);
			cpu += cpu_ns() - cpu_begun;
			found += count;
		}
	}
	printf("| %s | %.1f | %.2f | %.2f | %.2f | %.2f | %.2f |\n", kind_names[kind],
	       (double)found / (double)bench->options->searches, (double)cpu / (double)bench->options->searches / 1e6,
	       (double)tl_histogram_percentile(histogram, 50) / 1e6,
	       (double)tl_histogram_percentile(histogram, 90) / 1e6, (double)tl_histogram_percentile(histogram, 99) / 1e6,
	       (double)histogram->max / 1e6);
	free(histogram);
}

static int run_bench(const void *values)
{
	const struct bench_options *options = values;
	struct bench *bench = tl_must_alloc(1, sizeof *bench);
	struct tl_why why = {""};
	char path[4096];
	snprintf(path, sizeof path, "%s/db", options->dir);
	const struct tl_engine_options engine = {.path = path, .cache_bytes = options->cache_mib << 20,
	                                         .write_buffer_bytes = 16 << 20, .max_open_files = 500, .bloom_bits = 10,
	                                         .compress = true};
	bench->options = options;
	bench->random = 0x9e3779b97f4a7c15;
	bench->ts = 1700000000000;
	bench->limits = (struct tl_limits){.search = true};
	bench->words = zipf_new(options->words, 1.07);
	bench->han = zipf_new(options->han, 1.0);
	bench->conversations = zipf_new(options->conversations, 0.8);
	bench->heads = tl_must_alloc((size_t)options->conversations, sizeof *bench->heads);
	tl_pack_init(&bench->pack);
	tl_pack_init(&bench->record);
	if (tl_database_open(&engine, &bench->database, &why) != TL_OK)
		tl_die("%s", why.text);
	must(tl_batch_new(bench->database.engine, &bench->batch), "make a batch");
	if (!options->keep) {
		fill(bench);
		build_index(bench);
	}
	printf("| looked for | found | CPU ms, mean | p50 ms | p90 ms | p99 ms | worst ms |\n|---|---|---|---|---|---|---|\n");
	for (enum kind kind = 0; kind < KINDS; kind++)
		if (options->kind == 0 || options->kind == (uint64_t)kind + 1)
			measure(bench, kind);
	tl_indexer_close(bench->indexer);
	tl_batch_free(bench->batch);
	tl_database_close(&bench->database);
	tl_pack_fini(&bench->pack);
	tl_pack_fini(&bench->record);
	free(bench->words.sums);
	free(bench->han.sums);
	free(bench->conversations.sums);
	free(bench->heads);
	free(bench);
	return EXIT_SUCCESS;
}

#define FIELD(name) offsetof(struct bench_options, name)

static const struct tl_option table[] = {
	{"dir", TL_OPTION_TEXT, FIELD(dir), 0, 0, "an empty directory for the data"},
	{"messages", TL_OPTION_NUMBER, FIELD(messages), 1, UINT32_MAX, "messages in the store"},
	{"conversations", TL_OPTION_NUMBER, FIELD(conversations), 1, 10000000, "conversations they are in"},
	{"mine", TL_OPTION_NUMBER, FIELD(mine), 1, 1000000, "conversations the user is in"},
	{"words", TL_OPTION_NUMBER, FIELD(words), 10000, 10000000, "different words"},
	{"han", TL_OPTION_NUMBER, FIELD(han), 100, 20000, "different Chinese characters"},
	{"searches", TL_OPTION_NUMBER, FIELD(searches), 1, 1000000, "searches of each kind"},
	{"cache", TL_OPTION_NUMBER, FIELD(cache_mib), 1, 65536, "block cache in MiB"},
	{"kind", TL_OPTION_NUMBER, FIELD(kind), 0, KINDS, "only the searches of this row of the table, from 1; 0: all"},
	{"keep", TL_OPTION_FLAG, FIELD(keep), 0, 0, "search in what an earlier run has left in the directory"},
};

static const struct bench_options defaults = {
	.dir = "search_bench.data",
	.messages = 1000000,
	.conversations = 2000,
	.mine = 200,
	.words = 200000,
	.han = 4000,
	.searches = 300,
	.cache_mib = 32,
};

static const struct tl_command command = {
	.name = "tl_search_bench",
	.summary = "fills a store, indexes it, and prints how long searches take",
	.options = table,
	.option_count = sizeof table / sizeof table[0],
	.defaults = &defaults,
	.options_bytes = sizeof defaults,
	.run = run_bench,
};

int main(int count, char **arguments)
{
	struct bench_options options;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (count > 1 && strcmp(arguments[1], "--help") == 0) {
		tl_options_help(&command);
		return EXIT_SUCCESS;
	}
	tl_options_parse(&command, count - 1, arguments + 1, &options);
	return run_bench(&options);
}
