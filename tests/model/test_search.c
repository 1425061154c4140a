/* Random messages, joins, leaves, deletions, recalls and edits through storage/store.h, and random searches, compared with a
 * naive one: everything that `history` shows to the user is read and looked through word by word.
 *
 *     round: some operations ──► [the indexer paused, woken, told to begin anew; the store reopened] ──► some searches
 *
 * A search is asked page by page; it must find what the naive one finds, each once, the newest first, while the indexer does
 * what it likes.
 *
 *     test_search [seconds, default 15]      TL_SEED in the environment repeats a run's operations
 */
#include "msgpack_reader.h"
#include "store.h"
#include "rng.h"
#include "temp_dir.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
	USERS = 6,
	GROUPS = 5,
	TEXT_MAX = 600,
	BURSTS = 4,       /* of a round */
	OPERATIONS = 70,  /* of a burst */
	SEARCHES = 40,    /* of a round */
	FOUND_MAX = 40000,
	SETTLE_MS = 60000,
};

static uint64_t seed, now_ms = 1700000000000;
static struct rng rng;

#define CHECK(condition)                                                                                               \
	do {                                                                                                               \
		if (!(condition))                                                                                              \
			failed(#condition, __LINE__);                                                                              \
	} while (0)

static _Noreturn void failed(const char *what, int line)
{
	fprintf(stderr, "test_search.c:%d: %s does not hold (TL_SEED=%" PRIu64 ")\n", line, what, seed);
	exit(1);
}

/* --- texts --- */

/* Words that overlap as prefixes of one another, and runs that overlap as runs. */
static const char *const words[] = {"a", "ab", "abc", "abcd", "hello", "help", "held", "world", "word", "Straße",
                                    "Été", "zebra", "x1", "2024", "HELLO", "Wörter", "mosquitto", "mos"};
static const char *const runs[] = {"中", "国", "中国", "国人", "中国人", "人民", "手机", "手机壳", "こんにちは",
                                   "にち", "안녕", "안녕하세요", "北京", "北"};
enum { WORDS = sizeof words / sizeof words[0], RUNS = sizeof runs / sizeof runs[0] };

/* Frequent ones and rare ones. */
static const char *any_word(void)
{
	return words[below(&rng, 1 + below(&rng, WORDS))];
}

static const char *any_run(void)
{
	return runs[below(&rng, 1 + below(&rng, RUNS))];
}

static void make_text(char *out, bool json)
{
	static const char *const gaps[] = {" ", " ", ", ", " - ", ". "};
	size_t len = 0;
	unsigned count = 1 + below(&rng, chance(&rng, 5) ? 40 : 8);
	if (json)
		len += (size_t)snprintf(out, TEXT_MAX, "{\"t\":\"");
	for (unsigned i = 0; i < count && len < TEXT_MAX - 80; i++)
		len += (size_t)snprintf(out + len, TEXT_MAX - len, "%s%s", i ? gaps[below(&rng, 5)] : "",
		                        chance(&rng, 70) ? any_word() : any_run());
	if (json)
		snprintf(out + len, TEXT_MAX - len, "\"}");
}

/* What a user types, and the same for the naive search: all of `terms` must be found. */
struct looked_for {
	char q[256];
	size_t count;
	struct {
		const char *text;
		bool prefix;
	} terms[4];
	const char *from, *type, *conv; /* NULL: any */
	uint64_t since, until;
};

static void make_query(struct looked_for *query)
{
	size_t len = 0;
	*query = (struct looked_for){.until = UINT64_MAX};
	query->count = below(&rng, 4);
	for (size_t i = 0; i < query->count; i++) {
		bool word = chance(&rng, 60);
		query->terms[i].text = word ? any_word() : any_run();
		query->terms[i].prefix = word && chance(&rng, 30);
		len += (size_t)snprintf(query->q + len, sizeof query->q - len, "%s%s%s", i ? " " : "", query->terms[i].text,
		                        query->terms[i].prefix ? "*" : "");
	}
}

static bool is_word_byte(char c)
{
	return isalnum((unsigned char)c);
}

/* Accents and case of the few letters that are used. */
static void fold(const char *text, char *out)
{
	static const char *const folds[][2] = {{"ß", "ss"}, {"É", "e"}, {"é", "e"}, {"ö", "o"}, {"Ö", "o"}};
	while (*text) {
		bool found = false;
		for (size_t i = 0; i < sizeof folds / sizeof folds[0] && !found; i++) {
			size_t len = strlen(folds[i][0]);
			if (strncmp(text, folds[i][0], len) == 0) {
				strcpy(out, folds[i][1]);
				out += strlen(out);
				text += len;
				found = true;
			}
		}
		if (!found)
			*out++ = (char)tolower((unsigned char)*text++);
	}
	*out = '\0';
}

static bool has_word(const char *text, const char *word, bool prefix)
{
	size_t len = strlen(word);
	for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
		if ((at == text || !is_word_byte(at[-1])) && (prefix || !is_word_byte(at[len])))
			return true;
	return false;
}

static bool text_matches(struct tl_slice body, const struct looked_for *query)
{
	char raw[TEXT_MAX + 1], text[TEXT_MAX * 2], term[64];
	CHECK(body.len <= TEXT_MAX);
	memcpy(raw, body.ptr, body.len);
	raw[body.len] = '\0';
	if (strncmp(raw, "{\"t\":\"", 6) == 0)
		memmove(raw, raw + 6, strlen(raw + 6) + 1);
	fold(raw, text);
	for (size_t i = 0; i < query->count; i++) {
		fold(query->terms[i].text, term);
		bool found = (term[0] & 0x80) ? strstr(text, term) != NULL : has_word(text, term, query->terms[i].prefix);
		if (!found)
			return false;
	}
	return true;
}

/* --- the store --- */

struct world {
	struct temp_dir dir;
	struct tl_store *store;
	uint64_t entries, segments, merges; /* made before the store was opened last */
};

static void on_commit(void *ctx, const struct tl_commit *commit)
{
	(void)ctx;
	(void)commit;
}

static void on_log(void *ctx, enum tl_log level, const char *text)
{
	(void)ctx;
	if (level == TL_LOG_ERROR)
		fprintf(stderr, "store: %s\n", text);
}

static void open_store(struct world *world)
{
	const struct tl_store_options options = {
		.dir = world->dir.path,
		.durability = TL_DURABILITY_OS,
		.queue_max_bytes = 64 << 20,
		.block_cache_bytes = 4 << 20,
		.write_buffer_bytes = 256 << 10,
		.cached_users = 1000,
		.cached_conversations = 1000,
		.limits = {.server = "test", .max_body = 1 << 20, .recall_window_ms = UINT64_MAX, .edit_window_ms = UINT64_MAX,
	               .max_members = 100, .max_conversations = 1000, .search = true},
		.events = {.committed = on_commit, .log = on_log},
	};
	struct tl_why why;
	enum tl_err err = tl_store_open(&options, &world->store, &why);
	if (err != TL_OK)
		fprintf(stderr, "%s\n", why.text);
	CHECK(err == TL_OK);
}

static void close_store(struct world *world)
{
	struct tl_indexer_stats stats = tl_store_stats(world->store).index;
	CHECK(stats.damaged == 0 && stats.failures == 0);
	world->entries += stats.entries;
	world->segments += stats.segments;
	world->merges += stats.merges;
	tl_store_close(world->store);
}

static void settle(struct world *world)
{
	for (int ms = 0; tl_store_stats(world->store).queue_bytes > 0; ms++) {
		CHECK(ms < SETTLE_MS);
		usleep(1000);
	}
}

static const char *user_name(unsigned user)
{
	static const char *const names[USERS] = {"ada", "bob", "cyd", "dan", "eve", "flo"};
	return names[user];
}

static const char *group_name(unsigned group)
{
	static const char *const names[GROUPS] = {"g0", "g1", "g2", "g3", "g4"};
	return names[group];
}

static void send_text(struct world *world, const char *user, bool to_user, const char *target)
{
	char text[TEXT_MAX + 1];
	bool json = chance(&rng, 20);
	make_text(text, json);
	struct tl_message message = {
		.ts = now_ms += below(&rng, 3),
		.from = tl_slice_str(user),
		.device = tl_slice_str("phone"),
		.type = tl_slice_str(chance(&rng, 15) ? "image" : "text"),
		.ctype = tl_slice_str(json && chance(&rng, 50) ? "application/json" : ""),
	};
	const struct tl_submission from = {.user = message.from, .device = message.device, .route = tl_slice("", 0)};
	CHECK(tl_store_send(world->store, &from, to_user, tl_slice_str(target), tl_slice("", 0), &message,
	                    tl_slice_str(text)) == TL_OK);
}

static void change(struct world *world, const char *user, const char *op, const struct tl_pack *args)
{
	const struct tl_submission from = {
		.user = tl_slice_str(user), .device = tl_slice_str("phone"), .route = tl_slice("", 0)};
	const struct tl_request *request = tl_request_find(tl_slice_str(op));
	CHECK(request && tl_request_check(request, tl_pack_bytes(args), NULL) == TL_OK);
	CHECK(tl_store_change(world->store, &from, request, tl_pack_bytes(args), now_ms) == TL_OK);
}

static struct tl_pack args_begin(uint32_t pairs, const char *conv)
{
	struct tl_pack args;
	tl_pack_init(&args);
	tl_pack_map(&args, pairs);
	if (conv) {
		tl_pack_cstr(&args, "conv");
		tl_pack_cstr(&args, conv);
	}
	return args;
}

/* The pairs of an answer as a map of its own; empty where the request is refused. */
struct reply {
	enum tl_err err;
	struct tl_pack map;
};

static struct reply ask(struct world *world, const char *user, const char *op, struct tl_pack *args)
{
	struct reply reply;
	struct tl_answer answer;
	args->packer.data = &args->buffer;
	const struct tl_call call = {.user = tl_slice_str(user),
	                             .device = tl_slice_str("phone"),
	                             .raw = tl_pack_bytes(args),
	                             .now = now_ms};
	tl_answer_init(&answer);
	reply.err = tl_store_read(world->store, tl_request_find(tl_slice_str(op)), call, &answer);
	tl_pack_init(&reply.map);
	tl_pack_map(&reply.map, answer.field_count);
	if (answer.field_count > 0)
		tl_pack_raw(&reply.map, tl_pack_bytes(&answer.fields));
	tl_answer_fini(&answer);
	tl_pack_fini(args);
	return reply;
}

static struct tl_slice find(struct tl_slice map, const char *key)
{
	struct tl_reader value;
	if (!tl_msgpack_find(map, key, &value))
		return tl_slice(NULL, 0);
	const unsigned char *begin = value.next;
	CHECK(tl_reader_skip(&value));
	return tl_slice(begin, (size_t)(value.next - begin));
}

static uint64_t find_uint(struct tl_slice map, const char *key)
{
	struct tl_reader value;
	uint64_t number = 0;
	if (tl_msgpack_find(map, key, &value))
		CHECK(tl_reader_uint(&value, &number));
	return number;
}

/* --- what is found --- */

struct found {
	char conv[32];
	uint64_t cseq, ts;
};

struct list {
	size_t count;
	struct found all[FOUND_MAX];
};

static void add_found(struct list *list, struct tl_slice message)
{
	CHECK(list->count < FOUND_MAX);
	struct found *found = &list->all[list->count++];
	struct tl_slice conv = tl_message_str(message, "conv");
	CHECK(conv.len < sizeof found->conv);
	memcpy(found->conv, conv.ptr, conv.len);
	found->conv[conv.len] = '\0';
	found->cseq = find_uint(message, "cseq");
	found->ts = find_uint(message, "ts");
}

static bool naive_matches(struct tl_slice message, const struct looked_for *query)
{
	struct tl_slice body, type = tl_message_str(message, "type");
	uint64_t ts = find_uint(message, "ts");
	if (ts < query->since || ts > query->until ||
	    (query->from && !tl_slice_equal(tl_message_str(message, "from"), tl_slice_str(query->from))) ||
	    (query->type && !tl_slice_equal(type, tl_slice_str(query->type))))
		return false;
	if (find(message, "event").ptr)
		return query->type && query->count == 0;
	struct tl_slice packed = find(message, "body");
	struct tl_reader reader = tl_reader(packed);
	return packed.ptr && tl_reader_bin(&reader, &body) && text_matches(body, query);
}

/* Calls for each message of a page; returns the cursor, empty at the end. */
static void each_message(struct tl_slice map, struct list *list, const struct looked_for *query)
{
	struct tl_reader reader = tl_reader(find(map, "messages"));
	uint32_t count;
	CHECK(tl_reader_array(&reader, &count));
	for (uint32_t i = 0; i < count; i++) {
		const unsigned char *begin = reader.next;
		CHECK(tl_reader_skip(&reader));
		struct tl_slice message = tl_slice(begin, (size_t)(reader.next - begin));
		if (!query || naive_matches(message, query))
			add_found(list, message);
	}
}

static bool read_history(struct world *world, const char *user, const char *conv, const struct looked_for *query,
                         struct list *list)
{
	char cursor[64] = "";
	bool more = true;
	while (more) {
		struct tl_pack args = args_begin(cursor[0] ? 3 : 2, conv);
		args.packer.data = &args.buffer;
		tl_pack_cstr(&args, "limit");
		tl_pack_uint(&args, 1000);
		if (cursor[0]) {
			tl_pack_cstr(&args, "cursor");
			tl_pack_cstr(&args, cursor);
		}
		struct reply reply = ask(world, user, "history", &args);
		if (reply.err != TL_OK) {
			CHECK(reply.err == TL_NOT_MEMBER);
			tl_pack_fini(&reply.map);
			return false;
		}
		each_message(tl_pack_bytes(&reply.map), list, query);
		struct tl_slice next = tl_message_str(tl_pack_bytes(&reply.map), "cursor");
		more = next.len > 0;
		snprintf(cursor, sizeof cursor, "%.*s", (int)next.len, (const char *)next.ptr);
		tl_pack_fini(&reply.map);
	}
	return true;
}

/* Page by page; now and then something happens in between. */
static enum tl_err read_search(struct world *world, const char *user, const struct looked_for *query, unsigned limit,
                               struct list *list)
{
	char cursor[96] = "";
	do {
		uint32_t pairs = 2u + (query->conv != NULL) + (query->from != NULL) + (query->type != NULL) + 2u + (cursor[0] != '\0');
		struct tl_pack args = args_begin(pairs, query->conv);
		args.packer.data = &args.buffer;
		const char *const texts[][2] = {{"q", query->q}, {"from", query->from}, {"type", query->type},
		                                {"cursor", cursor[0] ? cursor : NULL}};
		for (size_t i = 0; i < 4; i++)
			if (texts[i][1]) {
				tl_pack_cstr(&args, texts[i][0]);
				tl_pack_cstr(&args, texts[i][1]);
			}
		tl_pack_cstr(&args, "limit");
		tl_pack_uint(&args, limit);
		tl_pack_cstr(&args, "since");
		tl_pack_uint(&args, query->since);
		tl_pack_cstr(&args, "until");
		tl_pack_uint(&args, query->until);
		struct reply reply = ask(world, user, "search", &args);
		struct tl_slice map = tl_pack_bytes(&reply.map);
		if (reply.err == TL_OK) {
			each_message(map, list, NULL);
			struct tl_slice next = tl_message_str(map, "cursor");
			snprintf(cursor, sizeof cursor, "%.*s", (int)next.len, (const char *)next.ptr);
		}
		tl_pack_fini(&reply.map);
		if (reply.err != TL_OK)
			return reply.err;
		if (chance(&rng, 5))
			tl_indexer_pause(tl_store_indexer(world->store), chance(&rng, 50));
	} while (cursor[0]);
	return TL_OK;
}

static int by_place(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	int order = strcmp(x->conv, y->conv);
	return order ? order : (x->cseq > y->cseq) - (x->cseq < y->cseq);
}

static void check_order(const struct list *list)
{
	for (size_t i = 1; i < list->count; i++) {
		const struct found *newer = &list->all[i - 1], *older = &list->all[i];
		CHECK(newer->ts >= older->ts);
		CHECK(strcmp(newer->conv, older->conv) != 0 || newer->cseq > older->cseq);
	}
}

static void explain(const struct list *expected, const struct list *got, const struct looked_for *query, const char *user)
{
	fprintf(stderr, "user %s q '%s' from %s type %s conv %s since %" PRIu64 " until %" PRIu64 ": expected %zu, got %zu\n",
	        user, query->q, query->from ? query->from : "-", query->type ? query->type : "-",
	        query->conv ? query->conv : "-", query->since, query->until, expected->count, got->count);
	for (size_t i = 0, j = 0; i < expected->count || j < got->count;) {
		int order = i == expected->count ? 1
		            : j == got->count    ? -1
		                                 : by_place(&expected->all[i], &got->all[j]);
		if (order != 0)
			fprintf(stderr, "  %s %s %" PRIu64 "\n", order < 0 ? "missed" : "too much",
			        order < 0 ? expected->all[i].conv : got->all[j].conv,
			        order < 0 ? expected->all[i].cseq : got->all[j].cseq);
		i += order <= 0;
		j += order >= 0;
	}
}

/* The conversations that a user may have something to do with; *count_out of them. */
static void conversation_name(unsigned user, unsigned i, char *out)
{
	const char *a = user_name(user), *b = i < GROUPS ? "" : user_name(i - GROUPS);
	if (i < GROUPS)
		strcpy(out, group_name(i));
	else
		sprintf(out, "d:%s:%s", strcmp(a, b) <= 0 ? a : b, strcmp(a, b) <= 0 ? b : a);
}

static bool unindexed[GROUPS];

static void search_naively(struct world *world, unsigned user, const struct looked_for *query, struct list *list)
{
	char conv[32];
	for (unsigned i = 0; i < GROUPS + USERS; i++) {
		conversation_name(user, i, conv);
		if ((query->conv && strcmp(query->conv, conv) != 0) || (i < GROUPS && unindexed[i]))
			continue;
		read_history(world, user_name(user), conv, query, list);
	}
}

static void check_search(struct world *world)
{
	static struct list expected, got;
	struct looked_for query;
	char conv[32];
	unsigned user = below(&rng, USERS);
	make_query(&query);
	if (chance(&rng, 25))
		query.from = user_name(below(&rng, USERS));
	if (chance(&rng, 25))
		query.type = chance(&rng, 60) ? "image" : "event";
	if (chance(&rng, 20))
		query.since = now_ms - below(&rng, 4000);
	if (chance(&rng, 20))
		query.until = now_ms - below(&rng, 4000);
	if (chance(&rng, 25)) {
		conversation_name(user, below(&rng, GROUPS + USERS), conv);
		query.conv = conv;
	}
	expected.count = got.count = 0;
	search_naively(world, user, &query, &expected);
	enum tl_err err = read_search(world, user_name(user), &query, 1 + below(&rng, 100), &got);
	if (err == TL_NOT_MEMBER)
		CHECK(query.conv && expected.count == 0 && !read_history(world, user_name(user), query.conv, &query, &got));
	else
		CHECK(err == TL_OK);
	check_order(&got);
	qsort(expected.all, expected.count, sizeof expected.all[0], by_place);
	qsort(got.all, got.count, sizeof got.all[0], by_place);
	bool same = expected.count == got.count;
	for (size_t i = 0; same && i < got.count; i++)
		same = by_place(&expected.all[i], &got.all[i]) == 0;
	if (!same)
		explain(&expected, &got, &query, user_name(user));
	CHECK(same);
}

/* --- operations --- */

static void create_groups(struct world *world)
{
	for (unsigned i = 0; i < GROUPS; i++) {
		struct tl_pack args = args_begin(4, group_name(i));
		args.packer.data = &args.buffer;
		tl_pack_cstr(&args, "join");
		tl_pack_cstr(&args, "open");
		tl_pack_cstr(&args, "history");
		tl_pack_cstr(&args, i % 2 ? "joined" : "all");
		tl_pack_cstr(&args, "members");
		tl_pack_array(&args, 2);
		tl_pack_cstr(&args, user_name(1));
		tl_pack_cstr(&args, user_name(2));
		change(world, user_name(0), "create", &args);
		tl_pack_fini(&args);
	}
}

/* One of the last messages that the user sees in a conversation; false if there is none that will do. */
static bool pick_message(struct world *world, const char *user, const char *conv, bool own, uint64_t *cseq_out)
{
	static struct list list;
	struct looked_for query = {.from = own ? user : NULL, .until = UINT64_MAX};
	list.count = 0;
	if (!read_history(world, user, conv, &query, &list) || list.count == 0)
		return false;
	unsigned end = list.count < 30 || chance(&rng, 50) ? (unsigned)list.count : 30;
	*cseq_out = list.all[below(&rng, end)].cseq;
	return true;
}

static void change_message(struct world *world, const char *user, const char *conv)
{
	static const char *const ops[] = {"edit", "edit", "recall", "delete"};
	const char *op = ops[below(&rng, 4)];
	char text[TEXT_MAX + 1];
	uint64_t cseq;
	bool deletes = strcmp(op, "delete") == 0, edits = strcmp(op, "edit") == 0;
	if (!pick_message(world, user, conv, !deletes, &cseq))
		return;
	make_text(text, false);
	struct tl_pack args = args_begin(edits ? 3 : 2, conv);
	args.packer.data = &args.buffer;
	tl_pack_cstr(&args, deletes ? "cseqs" : "cseq");
	if (deletes)
		tl_pack_array(&args, 1);
	tl_pack_uint(&args, cseq);
	if (edits) {
		tl_pack_cstr(&args, "body");
		tl_pack_bin(&args, tl_slice_str(text));
	}
	change(world, user, op, &args);
	tl_pack_fini(&args);
}

static void join_or_leave(struct world *world, const char *user, const char *conv)
{
	struct tl_pack args = args_begin(1, conv);
	args.packer.data = &args.buffer;
	change(world, user, chance(&rng, 60) ? "join" : "leave", &args);
	tl_pack_fini(&args);
}

static void switch_index(struct world *world)
{
	unsigned group = below(&rng, GROUPS);
	struct tl_pack args = args_begin(2, group_name(group));
	args.packer.data = &args.buffer;
	unindexed[group] = !unindexed[group];
	tl_pack_cstr(&args, "index");
	tl_pack_bool(&args, !unindexed[group]);
	change(world, user_name(0), "update", &args);
	tl_pack_fini(&args);
}

static void clear_all(struct world *world, const char *user, const char *conv)
{
	struct tl_pack args = args_begin(2, conv);
	args.packer.data = &args.buffer;
	tl_pack_cstr(&args, "all");
	tl_pack_bool(&args, true);
	change(world, user, "delete", &args);
	tl_pack_fini(&args);
}

static void operate(struct world *world)
{
	unsigned kind = below(&rng, 1000), user = below(&rng, USERS);
	const char *group = group_name(below(&rng, 1 + below(&rng, GROUPS)));
	if (kind < 700)
		send_text(world, user_name(user), false, group);
	else if (kind < 900)
		send_text(world, user_name(user), true, user_name(below(&rng, USERS)));
	else if (kind < 960)
		change_message(world, user_name(user), group);
	else if (kind < 990)
		join_or_leave(world, user_name(1 + below(&rng, USERS - 1)), group);
	else if (kind < 993)
		clear_all(world, user_name(user), group);
	else if (kind < 996)
		switch_index(world);
	else if (kind < 997 && chance(&rng, 30))
		CHECK(tl_store_reindex(world->store, chance(&rng, 50) ? tl_slice_str(group) : tl_slice("", 0)) != TL_UNKNOWN_OP);
	else if (kind >= 998)
		tl_indexer_pause(tl_store_indexer(world->store), chance(&rng, 50));
}

/* Until the indexer has done what is due by now, so that segments are made of various sizes. */
static void let_index(struct world *world)
{
	tl_indexer_pause(tl_store_indexer(world->store), false);
	for (int ms = 0; tl_store_stats(world->store).index.lag_messages > 0; ms++) {
		CHECK(ms < SETTLE_MS);
		usleep(1000);
	}
}

static void round_of(struct world *world)
{
	for (unsigned i = 0; i < BURSTS; i++) {
		for (unsigned j = 0; j < OPERATIONS; j++)
			operate(world);
		settle(world);
		if (chance(&rng, 60))
			let_index(world);
	}
	if (chance(&rng, 20)) {
		close_store(world);
		open_store(world);
	}
	for (unsigned i = 0; i < SEARCHES; i++)
		check_search(world);
}

int main(int argc, char **argv)
{
	struct world world = {0};
	time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 15);
	unsigned rounds = 0;
	rng.state = seed = rng_seed();
	CHECK(temp_dir_make(&world.dir));
	open_store(&world);
	create_groups(&world);
	while (time(NULL) < end) {
		round_of(&world);
		rounds++;
	}
	close_store(&world);
	printf("%u rounds, %" PRIu64 " entries indexed, %" PRIu64 " segments, %" PRIu64 " merges, TL_SEED=%" PRIu64 "\n",
	       rounds, world.entries, world.segments, world.merges, seed);
	temp_dir_remove(&world.dir);
	return 0;
}
