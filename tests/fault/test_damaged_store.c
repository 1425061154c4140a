/* Damage on disk: a block of a conversation's store timeline that cannot be read costs what is in it and nothing else.
 * The store is closed, a byte of a message in a table file is changed, and it is opened again. Each message is larger than a
 * block and does not compress, so it has one to itself. */
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

enum { BODY = 10000, MESSAGES = 80, TABLE_MAX = 2 << 20, PATIENCE_MS = 30000 };

struct fixture {
	struct temp_dir dir;
	struct tl_store *store;
	_Atomic unsigned outcomes;
	_Atomic unsigned complaints; /* about damage … */
	_Atomic unsigned failures;   /* … and of what then does not work */
	struct tl_pack page;         /* of the last sync, as a map */
};

static void on_committed(void *ctx, const struct tl_commit *commit)
{
	struct fixture *f = ctx;
	for (size_t i = 0; i < commit->outcome_count; i++)
		assert_int_equal(commit->outcomes[i].err, TL_OK);
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
	return 1000;
}

static void open_store(struct fixture *f)
{
	const struct tl_store_options options = {
		.dir = f->dir.path, .durability = TL_DURABILITY_OS, .queue_max_bytes = 1 << 26, .block_cache_bytes = 1 << 20,
		.write_buffer_bytes = 1 << 20, .cached_users = 100, .cached_conversations = 100,
		.limits = {.server = "test 1", .max_members = 4, .max_conversations = 100, .inbox_ttl_ms = 1000000,
		           .search = true},
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

/* A group of alice and bob, on read. */
static void create(struct fixture *f, const char *cid)
{
	unsigned before = atomic_load(&f->outcomes);
	struct tl_pack args;
	tl_pack_init(&args);
	tl_pack_map(&args, 4);
	tl_pack_cstr(&args, "conv");
	tl_pack_cstr(&args, cid);
	tl_pack_cstr(&args, "kind");
	tl_pack_cstr(&args, "group");
	tl_pack_cstr(&args, "fanout");
	tl_pack_cstr(&args, "read");
	tl_pack_cstr(&args, "members");
	tl_pack_array(&args, 1);
	tl_pack_cstr(&args, "bob");
	const struct tl_request *request = tl_request_find(tl_slice_str("create"));
	assert_int_equal(tl_store_change(f->store, &alice, request, tl_pack_bytes(&args), fake_now()), TL_OK);
	tl_pack_fini(&args);
	wait_for_outcome(f, before + 1);
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

static void post(struct fixture *f, const char *cid, unsigned i)
{
	struct tl_message message = {.ts = fake_now(), .from = alice.user, .device = alice.device, .type = {"text", 4}};
	unsigned before = atomic_load(&f->outcomes);
	char body[BODY];
	make_body(cid, i, body);
	assert_int_equal(tl_store_send(f->store, &alice, false, tl_slice_str(cid), tl_slice("", 0), &message,
	                               tl_slice(body, sizeof body)),
	                 TL_OK);
	wait_for_outcome(f, before + 1);
}

/* Changes a byte of the message where it is in this file. */
static bool damage_file(const char *path, const char *body)
{
	static char bytes[TABLE_MAX];
	FILE *file = fopen(path, "r+b");
	assert_non_null(file);
	size_t len = fread(bytes, 1, sizeof bytes, file);
	const char *place = memmem(bytes, len, body + 1000, 64);
	if (place) {
		fseek(file, (long)(place - bytes), SEEK_SET);
		fputc(~place[0], file);
	}
	assert_int_equal(fclose(file), 0);
	return place != NULL;
}

/* In every table file that has it. */
static void damage(struct fixture *f, const char *cid, unsigned i)
{
	unsigned damaged = 0;
	char body[BODY], path[600];
	struct dirent *entry;
	close_store(f);
	open_store(f); /* which moves everything from the log into a table */
	close_store(f);
	make_body(cid, i, body);
	DIR *dir = opendir(f->dir.db);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		snprintf(path, sizeof path, "%s/%s", f->dir.db, entry->d_name);
		if (strstr(entry->d_name, ".ldb") || strstr(entry->d_name, ".sst"))
			damaged += damage_file(path, body);
	}
	closedir(dir);
	assert_true(damaged > 0);
	open_store(f);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	tl_pack_init(&f->page);
	open_store(f);
	create(f, "a");
	create(f, "b");
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

static void sync_page(struct fixture *f, uint64_t after, uint64_t limit)
{
	struct tl_answer answer;
	struct tl_pack args;
	tl_pack_init(&args);
	tl_pack_map(&args, 2);
	tl_pack_cstr(&args, "after");
	tl_pack_uint(&args, after);
	tl_pack_cstr(&args, "limit");
	tl_pack_uint(&args, limit);
	const struct tl_call call = {.user = {"bob", 3}, .device = {"d", 1}, .raw = tl_pack_bytes(&args), .now = fake_now()};
	tl_answer_init(&answer);
	assert_int_equal(tl_store_read(f->store, tl_request_find(tl_slice_str("sync")), call, &answer), TL_OK);
	tl_pack_clear(&f->page);
	tl_pack_map(&f->page, answer.field_count);
	tl_pack_raw(&f->page, tl_pack_bytes(&answer.fields));
	tl_answer_fini(&answer);
	tl_pack_fini(&args);
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

/* The index is made of what can be read, and goes on with other conversations. */
static void test_index(void **state)
{
	struct fixture *f = *state;
	const uint64_t wanted = 2 * (MESSAGES / 2 / TL_INDEX_TAIL * TL_INDEX_TAIL);
	damage(f, "a", 2);
	assert_int_equal(tl_store_reindex(f->store, tl_slice("", 0)), TL_OK);
	for (unsigned ms = 0; ms < PATIENCE_MS && tl_store_stats(f->store).index.entries < wanted; ms++)
		usleep(1000);
	assert_true(tl_store_stats(f->store).index.entries >= wanted);
	assert_int_equal(atomic_load(&f->failures), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_one_message), TEST(test_last_message), TEST(test_index)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
