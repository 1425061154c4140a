/* Damage on disk: a block that cannot be read costs what is in it and nothing else, whatever is asked for or sent. The store is
 * closed, a byte in a table file is changed, and it is opened again. Each message is larger than a block and does not
 * compress, so it has one to itself; the first one shares its with the records of its conversation, which are before it. All fits into
 * LevelDB's memory table, so that it comes into one table file, whenever what is written: what lies beside what is always the same. */
#include "index_directory.h"
#include "msgpack_reader.h"
#include "store.h"
#include "temp_dir.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { BODY = 10000, MESSAGES = 80, NAME = 100, NAMES = 240, WRITE_BUFFER = 4 << 20, TABLE_MAX = 8 << 20, PATIENCE_MS = 30000 };

struct fixture {
	struct temp_dir dir;
	struct tl_store *store;
	_Atomic unsigned outcomes;
	_Atomic unsigned refused;    /* of them */
	_Atomic enum tl_err refusal; /* the last one */
	_Atomic unsigned complaints; /* about damage … */
	_Atomic unsigned failures;   /* … and of what then does not work */
	struct tl_pack page;         /* the last answer, as a map */
	bool search_is_off;          /* when it is opened the next time */
};

static _Atomic uint64_t clock_ms = 1000;

static void on_committed(void *ctx, const struct tl_commit *commit)
{
	struct fixture *f = ctx;
	for (size_t i = 0; i < commit->outcome_count; i++)
		if (commit->outcomes[i].err != TL_OK) {
			atomic_store(&f->refusal, commit->outcomes[i].err);
			atomic_fetch_add(&f->refused, 1);
		}
	atomic_fetch_add(&f->outcomes, (unsigned)commit->outcome_count);
}

static void on_log(void *ctx, enum tl_log level, const char *text)
{
	struct fixture *f = ctx;
	if (level == TL_LOG_ERROR && strncmp(text, "damaged data", 12) == 0)
		atomic_fetch_add(&f->complaints, 1);
	else if (level == TL_LOG_ERROR)
		atomic_fetch_add(&f->failures, 1);
}

static uint64_t fake_now(void)
{
	return atomic_load(&clock_ms);
}

static void open_store(struct fixture *f)
{
	const struct tl_store_options options = {
		.dir = f->dir.path, .durability = TL_DURABILITY_OS, .queue_max_bytes = 1 << 26, .block_cache_bytes = 1 << 20,
		.write_buffer_bytes = WRITE_BUFFER, .cached_users = 100, .cached_conversations = 100,
		.limits = {.server = "test 1", .max_members = 4, .max_conversations = 1000, .inbox_ttl_ms = 1000000,
		           .search = !f->search_is_off},
		.now = fake_now, .events = {f, on_committed, on_log},
	};
	struct tl_why why;
	if (tl_store_open(&options, &f->store, &why) != TL_OK)
		fail_msg("%s", why.text);
}

static void close_store(struct fixture *f)
{
	tl_store_close(f->store);
	f->store = NULL;
}

static void wait_for_outcome(struct fixture *f, unsigned count)
{
	for (unsigned ms = 0; ms < PATIENCE_MS && atomic_load(&f->outcomes) < count; ms++)
		usleep(1000);
	assert_int_equal(atomic_load(&f->outcomes), count);
}

static const struct tl_submission alice = {{"", 0}, {"alice", 5}, {"d", 1}};

/* Sends a request that changes something, and waits for its outcome. */
static void change(struct fixture *f, const char *op, struct tl_pack *args)
{
	unsigned before = atomic_load(&f->outcomes);
	const struct tl_request *request = tl_request_find(tl_slice_str(op));
	uint64_t now = atomic_fetch_add(&clock_ms, 1);
	assert_int_equal(tl_store_change(f->store, &alice, request, tl_pack_bytes(args), now), TL_OK);
	tl_pack_fini(args);
	wait_for_outcome(f, before + 1);
}

/* A name that stands in the table as it is. */
static void make_name(const char *cid, char name[NAME + 1])
{
	uint64_t state = (unsigned char)cid[0];
	for (size_t at = 0; at < NAME; at++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		name[at] = (char)('a' + (state >> 59) % 26);
	}
	name[NAME] = '\0';
}

static void pack_pair(struct tl_pack *pack, const char *key, const char *value)
{
	tl_pack_cstr(pack, key);
	tl_pack_cstr(pack, value);
}

/* A group of alice and bob, on read. */
static void create(struct fixture *f, const char *cid, const char *order)
{
	struct tl_pack args;
	char name[NAME + 1];
	make_name(cid, name);
	tl_pack_init(&args);
	tl_pack_map(&args, 6);
	pack_pair(&args, "conv", cid);
	pack_pair(&args, "kind", "group");
	pack_pair(&args, "name", name);
	pack_pair(&args, "fanout", "read");
	pack_pair(&args, "order", order);
	tl_pack_cstr(&args, "members");
	tl_pack_array(&args, 1);
	tl_pack_cstr(&args, "bob");
	change(f, "create", &args);
}

/* What no compression makes smaller; where it comes from tells which one it is. */
static void make_body(const char *cid, unsigned i, char body[BODY])
{
	uint64_t state = (uint64_t)(unsigned char)cid[0] << 32 | i;
	for (size_t at = 0; at < BODY; at++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		body[at] = (char)(state >> 56);
	}
}

static void send_body(struct fixture *f, const char *cid, struct tl_slice body, uint64_t order)
{
	uint64_t now = atomic_fetch_add(&clock_ms, 1);
	struct tl_message message = {.ts = now, .from = alice.user, .device = alice.device, .type = {"text", 4},
	                             .has_order = order > 0, .order = order};
	unsigned before = atomic_load(&f->outcomes);
	assert_int_equal(tl_store_send(f->store, &alice, false, tl_slice_str(cid), tl_slice("", 0), &message, body), TL_OK);
	wait_for_outcome(f, before + 1);
}

static void post(struct fixture *f, const char *cid, unsigned i)
{
	char body[BODY];
	make_body(cid, i, body);
	send_body(f, cid, tl_slice(body, sizeof body), 0);
}

/* Changes a byte wherever the needle is in this file. False: it is not. */
static bool damage_file(const char *path, struct tl_slice needle)
{
	static char bytes[TABLE_MAX];
	FILE *file = fopen(path, "r+b");
	assert_non_null(file);
	size_t len = fread(bytes, 1, sizeof bytes, file);
	const char *first = memmem(bytes, len, needle.ptr, needle.len), *end = bytes + len;
	for (const char *place = first; place; place = memmem(place + 1, (size_t)(end - place - 1), needle.ptr, needle.len)) {
		fseek(file, (long)(place - bytes), SEEK_SET);
		fputc(~place[0], file);
	}
	assert_int_equal(fclose(file), 0);
	return first != NULL;
}

/* In every table file that has it. */
static void damage_bytes(struct fixture *f, struct tl_slice needle)
{
	unsigned damaged = 0;
	char path[600];
	struct dirent *entry;
	close_store(f);
	open_store(f); /* which moves everything from the log into a table */
	close_store(f);
	DIR *dir = opendir(f->dir.db);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		snprintf(path, sizeof path, "%s/%s", f->dir.db, entry->d_name);
		if (strstr(entry->d_name, ".ldb") || strstr(entry->d_name, ".sst"))
			damaged += damage_file(path, needle);
	}
	closedir(dir);
	assert_true(damaged > 0);
	open_store(f);
}

static void damage(struct fixture *f, const char *cid, unsigned i)
{
	char body[BODY];
	make_body(cid, i, body);
	damage_bytes(f, tl_slice(body + 1000, 64));
}

/* The conversation's own record, its members', and its first messages. */
static void damage_records(struct fixture *f, const char *cid)
{
	char name[NAME + 1];
	make_name(cid, name);
	damage_bytes(f, tl_slice(name, NAME / 2));
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	tl_pack_init(&f->page);
	open_store(f);
	create(f, "a", "server");
	create(f, "b", "server");
	for (unsigned i = 0; i < MESSAGES; i++)
		post(f, i % 2 ? "b" : "a", i);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	close_store(f);
	tl_pack_fini(&f->page);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

/* --- what bob gets --- */

static enum tl_err ask(struct fixture *f, const char *op, struct tl_pack *args)
{
	struct tl_answer answer;
	const struct tl_call call = {.user = {"bob", 3}, .device = {"d", 1}, .raw = tl_pack_bytes(args), .now = fake_now()};
	tl_answer_init(&answer);
	enum tl_err err = tl_store_read(f->store, tl_request_find(tl_slice_str(op)), call, &answer);
	tl_pack_clear(&f->page);
	tl_pack_map(&f->page, answer.field_count);
	tl_pack_raw(&f->page, tl_pack_bytes(&answer.fields));
	tl_answer_fini(&answer);
	tl_pack_fini(args);
	return err;
}

static void sync_page(struct fixture *f, uint64_t after, uint64_t limit)
{
	struct tl_pack args;
	tl_pack_init(&args);
	tl_pack_map(&args, 2);
	tl_pack_cstr(&args, "after");
	tl_pack_uint(&args, after);
	tl_pack_cstr(&args, "limit");
	tl_pack_uint(&args, limit);
	assert_int_equal(ask(f, "sync", &args), TL_OK);
}

static uint64_t uint_of(struct tl_slice map, const char *key)
{
	struct tl_reader value;
	uint64_t number = 0;
	assert_true(tl_msgpack_find(map, key, &value) && tl_reader_uint(&value, &number));
	return number;
}

static bool is(struct tl_slice map, const char *key, const char *text)
{
	struct tl_reader value;
	struct tl_slice found;
	return tl_msgpack_find(map, key, &value) && tl_reader_str(&value, &found) && tl_slice_equal(found, tl_slice_str(text));
}

/* What a page has, beside messages that are as they were sent. */
struct seen {
	uint64_t seq;    /* the last one */
	unsigned events, bodies, damaged;
	uint64_t cseq[2]; /* of the last one of each conversation */
};

static void look_at(struct tl_slice message, struct seen *seen)
{
	struct tl_reader value;
	unsigned conversation = is(message, "conv", "b");
	assert_true(conversation == 1 || is(message, "conv", "a"));
	assert_int_equal(uint_of(message, "seq"), ++seen->seq);
	assert_int_equal(uint_of(message, "cseq"), ++seen->cseq[conversation]);
	if (is(message, "gone", "damaged"))
		seen->damaged++;
	else if (tl_msgpack_find(message, "body", &value))
		seen->bodies++;
	else
		seen->events += is(message, "type", "event");
}

static void look_at_page(const struct fixture *f, struct seen *seen)
{
	struct tl_reader list;
	uint32_t count = 0;
	assert_true(tl_msgpack_find(tl_pack_bytes(&f->page), "messages", &list) && tl_reader_array(&list, &count));
	while (count-- > 0) {
		const unsigned char *begin = list.next;
		assert_true(tl_reader_skip(&list));
		look_at(tl_slice(begin, (size_t)(list.next - begin)), seen);
	}
	assert_int_equal(uint_of(tl_pack_bytes(&f->page), "next"), seen->seq);
}

static void look_at_all(struct fixture *f, uint64_t limit, struct seen *seen)
{
	do {
		sync_page(f, seen->seq, limit);
		look_at_page(f, seen);
	} while (uint_of(tl_pack_bytes(&f->page), "latest") > seen->seq);
}

/* The message keeps its place, and all others are there, whether they come in now or have come in before. */
static void test_one_message(void **state)
{
	struct fixture *f = *state;
	damage(f, "a", 2);
	for (uint64_t limit = 4; limit <= 100; limit *= 5) {
		struct seen seen = {0};
		look_at_all(f, limit, &seen);
		assert_int_equal(seen.damaged, 1);
		assert_int_equal(seen.bodies, MESSAGES - 1);
		assert_int_equal(seen.events, 2);
	}
	assert_int_equal(atomic_load(&f->complaints), 1);
}

/* Nothing is known of where the store ends: what the other conversation has comes all the same. */
static void test_last_message(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {0};
	damage(f, "a", MESSAGES - 2);
	look_at_all(f, 100, &seen);
	assert_int_equal(seen.cseq[0], 0);
	assert_int_equal(seen.bodies, MESSAGES / 2);
	assert_int_equal(uint_of(tl_pack_bytes(&f->page), "latest"), MESSAGES / 2 + 1);
	assert_int_equal(atomic_load(&f->complaints), 1);
}

/* Has everything indexed anew, and waits until what `a` and `b` have is. */
static void index_all(struct fixture *f)
{
	const uint64_t wanted = 2 * (MESSAGES / 2 / TL_INDEX_TAIL * TL_INDEX_TAIL);
	assert_int_equal(tl_store_reindex(f->store, tl_slice("", 0)), TL_OK);
	for (unsigned ms = 0; ms < PATIENCE_MS && tl_store_stats(f->store).index.entries < wanted; ms++)
		usleep(1000);
	assert_true(tl_store_stats(f->store).index.entries >= wanted);
	assert_int_equal(tl_store_stats(f->store).index.failures, 0);
	assert_int_equal(atomic_load(&f->failures), 0);
}

/* The index is made of what can be read, and goes on with other conversations. */
static void test_index(void **state)
{
	struct fixture *f = *state;
	damage(f, "a", 2);
	index_all(f);
}

/* Makes conversations whose names fill several blocks, and damages the last one made of those that begin with a letter. */
static void damage_name(struct fixture *f, char first)
{
	char cid[NAME + 1], found[NAME + 1] = "";
	for (unsigned i = 1; i <= NAMES; i++) {
		make_name((const char[]){(char)(unsigned char)i}, cid);
		if (i == NAMES)
			cid[0] = 'A'; /* before all others */
		create(f, cid, "server");
		if (cid[0] == first)
			strcpy(found, cid);
	}
	damage_bytes(f, tl_slice(found + NAME / 4, NAME / 2));
}

/* So it does where the names of some cannot be read. */
static void test_index_names(void **state)
{
	struct fixture *f = *state;
	damage_name(f, 'm');
	index_all(f);
}

/* Whether there is anything to be indexed is known even if the first name cannot be read. */
static void test_index_switched_off_and_on(void **state)
{
	struct fixture *f = *state;
	damage_name(f, 'A');
	for (int i = 0; i < 2; i++) {
		close_store(f);
		f->search_is_off = !f->search_is_off;
		open_store(f);
	}
	assert_int_equal(atomic_load(&f->failures), 0);
}

/* --- what else he asks for --- */

/* The items of a list of the answer, each as a map; how many. */
static size_t items(const struct fixture *f, const char *key, struct tl_slice *list_out, size_t room)
{
	struct tl_reader list;
	uint32_t count = 0;
	assert_true(tl_msgpack_find(tl_pack_bytes(&f->page), key, &list) && tl_reader_array(&list, &count) && count <= room);
	for (uint32_t i = 0; i < count; i++) {
		const unsigned char *begin = list.next;
		assert_true(tl_reader_skip(&list));
		list_out[i] = tl_slice(begin, (size_t)(list.next - begin));
	}
	return count;
}

static struct tl_slice map_of(struct tl_slice map, const char *key)
{
	struct tl_reader value;
	assert_true(tl_msgpack_find(map, key, &value));
	const unsigned char *begin = value.next;
	assert_true(tl_reader_skip(&value));
	return tl_slice(begin, (size_t)(value.next - begin));
}

/* The answer's cursor, if there is one, as an argument. */
static bool take_cursor(const struct fixture *f, char cursor[64])
{
	struct tl_reader value;
	struct tl_slice text;
	if (!tl_msgpack_find(tl_pack_bytes(&f->page), "cursor", &value))
		return false;
	assert_true(tl_reader_str(&value, &text) && text.len < 64);
	memcpy(cursor, text.ptr, text.len);
	cursor[text.len] = '\0';
	return true;
}

/* A request about a conversation, with one argument more; `number` where `text` is NULL. */
static enum tl_err ask_about(struct fixture *f, const char *op, const char *cid, const char *key, uint64_t number,
                             const char *text)
{
	struct tl_pack args;
	tl_pack_init(&args);
	tl_pack_map(&args, 3);
	pack_pair(&args, "conv", cid);
	tl_pack_cstr(&args, "limit");
	tl_pack_uint(&args, 7);
	tl_pack_cstr(&args, key);
	if (text)
		tl_pack_cstr(&args, text);
	else
		tl_pack_uint(&args, number);
	return ask(f, op, &args);
}

/* Pages through the history from a place on, which is contiguous; how many entries are damaged. The last cseq is *cseq. */
static unsigned look_through(struct fixture *f, const char *key, uint64_t place, uint64_t *cseq, int step)
{
	struct tl_slice list[7];
	char cursor[64];
	unsigned damaged = 0;
	assert_int_equal(ask_about(f, "history", "a", key, place, NULL), TL_OK);
	for (;;) {
		for (size_t i = 0, count = items(f, "messages", list, 7); i < count; i++) {
			*cseq += (uint64_t)step;
			assert_int_equal(uint_of(list[i], "cseq"), *cseq);
			damaged += is(list[i], "gone", "damaged");
		}
		if (!take_cursor(f, cursor))
			return damaged;
		assert_int_equal(ask_about(f, "history", "a", "cursor", 0, cursor), TL_OK);
	}
}

enum { HEAD = MESSAGES / 2 + 1 }; /* of either conversation; its message i is entry 2 + i / 2 */

static void check_history(struct fixture *f, unsigned damaged)
{
	uint64_t forwards = 0, backwards = HEAD + 1;
	assert_int_equal(look_through(f, "after", 0, &forwards, 1), damaged);
	assert_int_equal(forwards, HEAD);
	assert_int_equal(look_through(f, "before", HEAD + 1, &backwards, -1), damaged);
	assert_int_equal(backwards, 1);
}

/* An entry keeps its place on pages in either direction, and times around it are found; it counts as of the time of the next. */
static void test_history(void **state)
{
	struct fixture *f = *state;
	const uint64_t middle = 2 + MESSAGES / 4, begin = fake_now() - MESSAGES;
	damage(f, "a", MESSAGES / 2);
	check_history(f, 1);
	for (uint64_t cseq = 2; cseq <= HEAD; cseq++) {
		uint64_t before = cseq == middle + 1 ? middle - 1 : cseq - 1;
		look_through(f, "at", begin + 2 * (cseq - 2), &before, 1);
		assert_int_equal(before, HEAD);
	}
	assert_int_equal(ask_about(f, "get", "a", "cseq", middle, NULL), TL_OK);
	assert_true(is(map_of(tl_pack_bytes(&f->page), "message"), "gone", "damaged"));
	assert_int_equal(uint_of(map_of(tl_pack_bytes(&f->page), "message"), "cseq"), middle);
	assert_int_equal(ask_about(f, "get", "a", "cseq", middle + 1, NULL), TL_OK);
	assert_true(tl_msgpack_find(map_of(tl_pack_bytes(&f->page), "message"), "body", &(struct tl_reader){0}));
	assert_int_equal(atomic_load(&f->complaints), 1);
}

/* Where the conversation ends is found without the last entry. */
static void test_history_end(void **state)
{
	struct fixture *f = *state;
	damage(f, "a", MESSAGES - 2);
	check_history(f, 1);
	assert_int_equal(uint_of(tl_pack_bytes(&f->page), "head"), HEAD);
	assert_int_equal(ask_about(f, "get", "a", "cseq", HEAD, NULL), TL_OK);
	assert_true(is(map_of(tl_pack_bytes(&f->page), "message"), "gone", "damaged"));
	assert_int_equal(ask_about(f, "get", "a", "cseq", HEAD + 1, NULL), TL_NO_SUCH_MESSAGE);
}

/* In custom order it is left out. */
static void test_custom_order(void **state)
{
	struct fixture *f = *state;
	struct tl_slice list[7];
	char body[BODY];
	create(f, "o", "custom");
	for (unsigned i = 0; i < 5; i++) {
		make_body("o", i, body);
		send_body(f, "o", tl_slice(body, sizeof body), 100 - i);
	}
	damage(f, "o", 2);
	assert_int_equal(ask_about(f, "history", "o", "after", 0, NULL), TL_OK);
	assert_int_equal(items(f, "messages", list, 7), 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(uint_of(list[i], "order"), 96 + i + (i > 1));
	assert_int_equal(ask_about(f, "history", "o", "at", fake_now() - 3, NULL), TL_OK); /* when the damaged one came */
	assert_int_equal(items(f, "messages", list, 7), 3);
	assert_int_equal(uint_of(list[0], "order"), 97);
}

/* The conversations that are listed, a page for each. */
static size_t list_all(struct fixture *f, struct tl_pack pages[3])
{
	char cursor[64] = "";
	size_t count = 0;
	do {
		struct tl_pack args;
		tl_pack_init(&args);
		tl_pack_map(&args, cursor[0] ? 2 : 1);
		tl_pack_cstr(&args, "limit");
		tl_pack_uint(&args, 1);
		if (cursor[0])
			pack_pair(&args, "cursor", cursor);
		assert_int_equal(ask(f, "convs", &args), TL_OK);
		struct tl_slice list[1];
		if (items(f, "convs", list, 1) == 0)
			continue;
		tl_pack_init(&pages[count]);
		tl_pack_raw(&pages[count++], list[0]);
	} while (take_cursor(f, cursor));
	return count;
}

static void free_all(struct tl_pack *pages, size_t count)
{
	for (size_t i = 0; i < count; i++)
		tl_pack_fini(&pages[i]);
}

static void test_convs_last(void **state)
{
	struct fixture *f = *state;
	struct tl_pack pages[3];
	damage(f, "b", MESSAGES - 1);
	assert_int_equal(list_all(f, pages), 2);
	assert_true(is(tl_pack_bytes(&pages[0]), "conv", "a")); /* of b nothing as young can be read */
	assert_true(is(tl_pack_bytes(&pages[1]), "conv", "b"));
	struct tl_slice last = map_of(tl_pack_bytes(&pages[1]), "last");
	assert_true(is(last, "gone", "damaged"));
	assert_int_equal(uint_of(last, "cseq"), HEAD);
	assert_int_equal(uint_of(tl_pack_bytes(&pages[1]), "head"), HEAD);
	assert_int_equal(uint_of(tl_pack_bytes(&pages[1]), "unread"), MESSAGES / 2 - 1);
	assert_true(tl_msgpack_find(map_of(tl_pack_bytes(&pages[0]), "last"), "body", &(struct tl_reader){0}));
	assert_int_equal(atomic_load(&f->complaints), 1);
	free_all(pages, 2);
}

static void test_convs_records(void **state)
{
	struct fixture *f = *state;
	struct tl_pack pages[3];
	damage_records(f, "b");
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(list_all(f, pages), 1);
		assert_true(is(tl_pack_bytes(&pages[0]), "conv", "a"));
		assert_int_equal(uint_of(tl_pack_bytes(&pages[0]), "unread"), MESSAGES / 2);
		free_all(pages, 1);
	}
	assert_int_equal(atomic_load(&f->complaints), 1);
}

/* --- searching --- */

/* How many messages are found, all of one conversation unless `cid` is NULL. */
static size_t search(struct fixture *f, const char *key, const char *value, const char *cid)
{
	char cursor[64] = "";
	size_t found = 0;
	do {
		struct tl_slice list[100];
		struct tl_pack args;
		tl_pack_init(&args);
		tl_pack_map(&args, cursor[0] ? 3 : 2);
		pack_pair(&args, key, value);
		if (cursor[0])
			pack_pair(&args, "cursor", cursor);
		tl_pack_cstr(&args, "limit");
		tl_pack_uint(&args, 100);
		assert_int_equal(ask(f, "search", &args), TL_OK);
		size_t count = items(f, "messages", list, 100);
		for (size_t i = 0; i < count; i++)
			assert_true(!cid || is(list[i], "conv", cid));
		found += count;
	} while (take_cursor(f, cursor));
	return found;
}

/* Without the index: entry by entry. */
static void test_search_entries(void **state)
{
	struct fixture *f = *state;
	damage(f, "a", MESSAGES - 2);
	damage(f, "a", MESSAGES / 2);
	assert_int_equal(search(f, "q", "", NULL), MESSAGES - 2);
	assert_int_equal(search(f, "from", "alice", NULL), MESSAGES - 2);
	assert_int_equal(atomic_load(&f->failures), 0);
}

static void test_search_records(void **state)
{
	struct fixture *f = *state;
	damage_records(f, "b");
	assert_int_equal(search(f, "from", "alice", "a"), MESSAGES / 2);
	assert_int_equal(atomic_load(&f->complaints), 1);
}

/* Finds it, and how many damaged indexes that meets. */
static uint64_t damages_met(struct fixture *f)
{
	uint64_t before = tl_store_stats(f->store).index.damaged;
	assert_int_equal(search(f, "q", "qwxkzjvypbgfmchd", "c"), 1);
	return tl_store_stats(f->store).index.damaged - before;
}

/* What its index does not say any more is read from the store, until it has been indexed anew. In the index letters are small. */
static void test_search_index(void **state)
{
	struct fixture *f = *state;
	const struct tl_slice capitals = tl_slice_str("QWXKZJVYPBGFMCHD");
	create(f, "c", "server");
	send_body(f, "c", capitals, 0);
	for (unsigned i = 2; i < TL_INDEX_TAIL; i++)
		send_body(f, "c", tl_slice_str("other"), 0);
	for (unsigned ms = 0; ms < PATIENCE_MS && tl_store_stats(f->store).index.lag_messages > 0; ms++)
		usleep(1000);
	assert_int_equal(tl_store_stats(f->store).index.lag_messages, 0);
	damage_bytes(f, tl_slice_str("qwxkzjvypbgfmchd"));
	assert_true(damages_met(f) > 0);
	for (unsigned ms = 0; ms < PATIENCE_MS && damages_met(f) > 0; ms++)
		usleep(1000);
	assert_int_equal(damages_met(f), 0);
	assert_true(tl_store_stats(f->store).index.entries >= TL_INDEX_TAIL);
	assert_int_equal(tl_store_stats(f->store).index.failures, 0);
	assert_int_equal(atomic_load(&f->failures), 0);
}

/* --- storing --- */

static void set_pin(struct fixture *f, const char *cid)
{
	struct tl_pack args;
	tl_pack_init(&args);
	tl_pack_map(&args, 2);
	pack_pair(&args, "conv", cid);
	tl_pack_cstr(&args, "pin");
	tl_pack_bool(&args, true);
	change(f, "set", &args);
}

/* What is sent there is refused, once; what is sent elsewhere is stored, in the same batches, and nothing is tried again. */
static void test_storing(void **state)
{
	struct fixture *f = *state;
	struct tl_standing standing;
	damage_records(f, "b");
	assert_int_equal(tl_store_standing(f->store, tl_slice_str("b"), alice.user, &standing), TL_OK);
	assert_false(standing.final);
	for (unsigned i = 0; i < 3; i++) {
		post(f, "b", MESSAGES);
		assert_int_equal(atomic_load(&f->refused), 2 * i + 1);
		assert_int_equal(atomic_load(&f->refusal), TL_STORAGE);
		post(f, "a", MESSAGES + i);
		set_pin(f, "b");
		set_pin(f, "a");
		assert_int_equal(atomic_load(&f->refused), 2 * i + 2);
	}
	assert_int_equal(tl_store_stats(f->store).writer.messages, 4); /* pinning is one, once */
	assert_int_equal(tl_store_stats(f->store).writer.failures, 0);
	assert_int_equal(atomic_load(&f->complaints), 1);
	assert_int_equal(atomic_load(&f->failures), 0);
}

/* Of the conversation nothing can be said, of others everything. */
static void test_other_requests(void **state)
{
	static const char *const ops[] = {"info", "members", "history", "get"};
	struct fixture *f = *state;
	struct tl_pack args;
	damage_records(f, "b");
	for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
		assert_int_equal(ask_about(f, ops[i], "b", "cseq", 2, NULL), TL_CORRUPT);
		assert_int_equal(ask_about(f, ops[i], "a", "cseq", 2, NULL), TL_OK);
	}
	tl_pack_init(&args);
	tl_pack_map(&args, 0);
	assert_int_equal(ask(f, "hello", &args), TL_OK);
}

/* What the queue has lost at its end, where nothing follows: then nothing is waiting that could change anything. */
static void test_lost_end_of_queue(void **state)
{
	struct fixture *f = *state;
	struct tl_standing standing;
	char path[PATH_MAX];
	close_store(f);
	snprintf(path, sizeof path, "%s/queue/%020d.queue", f->dir.path, 1 << 20);
	FILE *segment = fopen(path, "w");
	assert_non_null(segment);
	assert_int_equal(fprintf(segment, "%0100d", 0), 100);
	assert_int_equal(fclose(segment), 0);
	open_store(f);
	assert_int_equal(atomic_load(&f->failures), 1);
	assert_int_equal(tl_store_standing(f->store, tl_slice_str("a"), tl_slice_str("eve"), &standing), TL_OK);
	assert_true(standing.final && !standing.member);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_message),   TEST(test_last_message),   TEST(test_index),         TEST(test_index_names),
		TEST(test_index_switched_off_and_on), TEST(test_history), TEST(test_history_end), TEST(test_custom_order),
		TEST(test_convs_last),    TEST(test_convs_records),
		TEST(test_search_entries), TEST(test_search_records), TEST(test_search_index), TEST(test_storing),
		TEST(test_other_requests), TEST(test_lost_end_of_queue),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
