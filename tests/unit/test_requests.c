/* Requests through the store: create, info, hello and sync as a device sees them; arguments; repeated requests. */
#include "requests.h"

#include "msgpack_reader.h"
#include "store.h"
#include "temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	struct temp_dir dir;
	struct tl_store *store;
	struct tl_pack args;   /* of the request to come */
	struct tl_pack fields; /* of the last answer, as a map */
	pthread_mutex_t lock;  /* guards the rest */
	unsigned outcomes;
	enum tl_err err; /* of the last outcome */
	struct tl_pack told; /* its fields, as a map */
};

static void on_committed(void *ctx, const struct tl_commit *commit)
{
	struct fixture *f = ctx;
	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < commit->outcome_count; i++) {
		f->outcomes++;
		f->err = commit->outcomes[i].err;
		tl_pack_clear(&f->told);
		tl_pack_map(&f->told, commit->outcomes[i].field_count);
		tl_pack_raw(&f->told, commit->outcomes[i].fields);
	}
	pthread_mutex_unlock(&f->lock);
}

static void on_log(void *ctx, enum tl_log level, const char *text)
{
	(void)ctx, (void)level, (void)text;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct tl_why why;
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	const struct tl_store_options options = {
		.dir = f->dir.path, .durability = TL_DURABILITY_OS, .queue_max_bytes = 1 << 26, .block_cache_bytes = 1 << 20,
		.write_buffer_bytes = 1 << 20, .cached_users = 100, .cached_conversations = 100,
		.limits = {.server = "test 1", .dedup_window_ms = 1000, .write_fanout_max = 500, .max_members = 4, .max_conversations = 100},
		.events = {f, on_committed, on_log},
	};
	pthread_mutex_init(&f->lock, NULL);
	tl_pack_init(&f->args);
	tl_pack_init(&f->fields);
	tl_pack_init(&f->told);
	assert_int_equal(tl_store_open(&options, &f->store, &why), TL_OK);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tl_store_close(f->store);
	tl_pack_fini(&f->args);
	tl_pack_fini(&f->fields);
	tl_pack_fini(&f->told);
	pthread_mutex_destroy(&f->lock);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void begin(struct fixture *f, uint32_t pairs)
{
	tl_pack_clear(&f->args);
	tl_pack_map(&f->args, pairs);
}

static void add_str(struct fixture *f, const char *key, const char *value)
{
	tl_pack_cstr(&f->args, key);
	tl_pack_cstr(&f->args, value);
}

static void add_uint(struct fixture *f, const char *key, uint64_t value)
{
	tl_pack_cstr(&f->args, key);
	tl_pack_uint(&f->args, value);
}

static const struct tl_request *request(const char *op)
{
	const struct tl_request *found = tl_request_find(tl_slice_str(op));
	assert_non_null(found);
	return found;
}

/* Has a request read with f->args; its fields are in f->fields. */
static enum tl_err ask(struct fixture *f, const char *op, const char *user)
{
	struct tl_answer answer;
	const struct tl_call call = {.user = tl_slice_str(user), .device = {"d", 1}, .raw = tl_pack_bytes(&f->args), .now = 5};
	tl_answer_init(&answer);
	enum tl_err err = tl_store_read(f->store, request(op), call, &answer);
	assert_true(err == TL_OK || answer.field_count == 0);
	tl_pack_clear(&f->fields);
	tl_pack_map(&f->fields, answer.field_count);
	tl_pack_raw(&f->fields, tl_pack_bytes(&answer.fields));
	tl_answer_fini(&answer);
	return err;
}

static void wait_for_outcomes(struct fixture *f, unsigned count)
{
	for (unsigned ms = 0; ms < 30000; ms++) {
		pthread_mutex_lock(&f->lock);
		unsigned outcomes = f->outcomes;
		pthread_mutex_unlock(&f->lock);
		if (outcomes == count)
			return;
		usleep(1000);
	}
	fail_msg("no outcome within 30 s");
}

/* Has a change done with f->args; its outcome's fields are in f->told. */
static enum tl_err change(struct fixture *f, const char *op, const char *user)
{
	const struct tl_submission from = {{"", 0}, tl_slice_str(user), {"d", 1}};
	unsigned before = f->outcomes;
	assert_int_equal(tl_store_change(f->store, &from, request(op), tl_pack_bytes(&f->args), 1000), TL_OK);
	wait_for_outcomes(f, before + 1);
	return f->err;
}

static void send_to(struct fixture *f, const char *user, const char *cid, struct tl_slice body)
{
	const struct tl_submission from = {{"", 0}, tl_slice_str(user), {"d", 1}};
	struct tl_message message = {.ts = 1, .from = from.user, .device = from.device, .type = {"text", 4}};
	unsigned before = f->outcomes;
	assert_int_equal(tl_store_send(f->store, &from, false, tl_slice_str(cid), tl_slice("", 0), &message, body), TL_OK);
	wait_for_outcomes(f, before + 1);
	assert_int_equal(f->err, TL_OK);
}

static enum tl_err create(struct fixture *f, const char *user, const char *cid, const char *kind)
{
	begin(f, 3);
	add_str(f, "conv", cid);
	add_str(f, "kind", kind);
	tl_pack_cstr(&f->args, "members");
	tl_pack_array(&f->args, 2);
	tl_pack_cstr(&f->args, "bob");
	tl_pack_cstr(&f->args, "alice");
	return change(f, "create", user);
}

static uint64_t uint_of(const struct tl_pack *map, const char *key)
{
	struct tl_reader reader;
	uint64_t value = 0;
	assert_true(tl_msgpack_find(tl_pack_bytes(map), key, &reader) && tl_reader_uint(&reader, &value));
	return value;
}

static bool is(const struct tl_pack *map, const char *key, const char *text)
{
	struct tl_reader reader;
	struct tl_slice value;
	return tl_msgpack_find(tl_pack_bytes(map), key, &reader) && tl_reader_str(&reader, &value) &&
	       tl_slice_equal(value, tl_slice_str(text));
}

static bool has(const struct tl_pack *map, const char *key)
{
	struct tl_reader reader;
	return tl_msgpack_find(tl_pack_bytes(map), key, &reader);
}

static uint32_t page_length(const struct fixture *f)
{
	struct tl_reader reader;
	uint32_t count = 0;
	assert_true(tl_msgpack_find(tl_pack_bytes(&f->fields), "messages", &reader) && tl_reader_array(&reader, &count));
	return count;
}

static void test_table(void **state)
{
	(void)state;
	assert_null(tl_request_find(tl_slice_str("nonsense")));
	assert_null(tl_request_find(tl_slice("", 0)));
	assert_true(request("sync")->read && !request("sync")->change);
	assert_true(request("create")->change && !request("create")->read);
}

static void test_create(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(create(f, "alice", "team", "group"), TL_OK);
	assert_true(is(&f->told, "conv", "team") && is(&f->told, "kind", "group") && is(&f->told, "owner", "alice"));
	assert_int_equal(uint_of(&f->told, "head"), 1);
	assert_int_equal(uint_of(&f->told, "count"), 2); /* alice once, though named, too */
	assert_true(is(&f->told, "post", "members") && is(&f->told, "join", "invite") && is(&f->told, "fanout", "auto"));
	assert_int_equal(create(f, "alice", "team", "group"), TL_OK); /* the same request again */
	assert_int_equal(uint_of(&f->told, "head"), 1);
	assert_int_equal(create(f, "bob", "team", "group"), TL_EXISTS);
	assert_int_equal(create(f, "alice", "team", "channel"), TL_EXISTS);
	assert_int_equal(create(f, "alice", "news", "channel"), TL_OK);
	assert_true(is(&f->told, "post", "admins"));
}

static void test_create_without_id(void **state)
{
	struct fixture *f = *state;
	char first[64] = "", again[64] = "";
	struct tl_reader reader;
	struct tl_slice conv;
	for (int i = 0; i < 2; i++) {
		begin(f, 1);
		add_str(f, "rid", "r1");
		assert_int_equal(change(f, "create", "alice"), TL_OK);
		assert_true(tl_msgpack_find(tl_pack_bytes(&f->told), "conv", &reader) && tl_reader_str(&reader, &conv));
		memcpy(i ? again : first, conv.ptr, conv.len);
	}
	assert_string_equal(first, again);
	begin(f, 0);
	assert_int_equal(change(f, "create", "alice"), TL_OK);
	assert_false(is(&f->told, "conv", first));
}

static void test_create_too_large(void **state)
{
	struct fixture *f = *state;
	begin(f, 1);
	tl_pack_cstr(&f->args, "members");
	tl_pack_array(&f->args, 4);
	for (int i = 0; i < 4; i++)
		tl_pack_str(&f->args, tl_slice(&"abcd"[i], 1));
	assert_int_equal(change(f, "create", "alice"), TL_TOO_LARGE);
}

static void test_info(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(create(f, "alice", "team", "group"), TL_OK);
	begin(f, 1);
	add_str(f, "conv", "team");
	assert_int_equal(ask(f, "info", "bob"), TL_OK);
	assert_true(is(&f->fields, "conv", "team") && is(&f->fields, "owner", "alice"));
	assert_int_equal(ask(f, "info", "eve"), TL_NOT_MEMBER);
	begin(f, 1);
	add_str(f, "conv", "none");
	assert_int_equal(ask(f, "info", "bob"), TL_NOT_MEMBER);
	begin(f, 0);
	assert_int_equal(ask(f, "info", "bob"), TL_BAD_REQUEST);
}

static void test_hello(void **state)
{
	struct fixture *f = *state;
	begin(f, 0);
	assert_int_equal(ask(f, "hello", "alice"), TL_OK);
	assert_int_equal(uint_of(&f->fields, "latest"), 0);
	assert_true(is(&f->fields, "user", "alice") && is(&f->fields, "device", "d") && is(&f->fields, "server", "test 1"));
	assert_true(is(&f->fields, "epoch", tl_store_epoch(f->store)) && has(&f->fields, "limits"));
	assert_int_equal(create(f, "alice", "team", "group"), TL_OK);
	begin(f, 0);
	assert_int_equal(ask(f, "hello", "alice"), TL_OK);
	assert_int_equal(uint_of(&f->fields, "latest"), 1);
}

static enum tl_err sync_after(struct fixture *f, const char *user, uint64_t after, uint64_t limit)
{
	begin(f, 2);
	add_uint(f, "after", after);
	add_uint(f, "limit", limit);
	return ask(f, "sync", user);
}

static void test_sync(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(sync_after(f, "nobody", 0, 1), TL_OK);
	assert_false(has(&f->fields, "reset"));
	assert_int_equal(create(f, "alice", "team", "group"), TL_OK);
	for (int i = 0; i < 4; i++)
		send_to(f, "bob", "team", tl_slice_str("hello"));
	assert_int_equal(sync_after(f, "alice", 1, 2), TL_OK);
	assert_int_equal(page_length(f), 2);
	assert_int_equal(uint_of(&f->fields, "next"), 3);
	assert_int_equal(uint_of(&f->fields, "latest"), 5);
	begin(f, 0); /* from this device's checkpoint */
	assert_int_equal(ask(f, "sync", "alice"), TL_OK);
	assert_int_equal(page_length(f), 4);
	assert_int_equal(sync_after(f, "alice", 5, 10), TL_OK);
	assert_true(page_length(f) == 0 && uint_of(&f->fields, "next") == 5 && !has(&f->fields, "reset"));
	assert_int_equal(sync_after(f, "alice", 6, 10), TL_OK);
	assert_true(page_length(f) == 0 && has(&f->fields, "reset"));
	assert_int_equal(sync_after(f, "alice", UINT64_MAX, 10), TL_OK);
	assert_true(has(&f->fields, "reset"));
	assert_int_equal(sync_after(f, "alice", 0, 0), TL_BAD_REQUEST);
	assert_int_equal(sync_after(f, "alice", 0, TL_PAGE_MAX + 1), TL_BAD_REQUEST);
}

/* A page ends at 256 KiB, but holds at least one message. */
static void test_page_bytes(void **state)
{
	struct fixture *f = *state;
	char *body = calloc(1, 400 << 10);
	assert_non_null(body);
	assert_int_equal(create(f, "alice", "team", "group"), TL_OK);
	send_to(f, "bob", "team", tl_slice(body, 400 << 10));
	for (int i = 0; i < 3; i++)
		send_to(f, "bob", "team", tl_slice(body, 100 << 10));
	free(body);
	assert_int_equal(sync_after(f, "alice", 0, 100), TL_OK);
	assert_int_equal(page_length(f), 1); /* the event; the large one goes alone */
	assert_int_equal(sync_after(f, "alice", 1, 100), TL_OK);
	assert_int_equal(page_length(f), 1);
	assert_int_equal(sync_after(f, "alice", 2, 100), TL_OK);
	assert_int_equal(page_length(f), 2);
	assert_int_equal(uint_of(&f->fields, "next"), 4);
}

/* Has alice's request about one user done: "add" or "remove". */
static void change_member(struct fixture *f, const char *op, const char *user)
{
	begin(f, 2);
	add_str(f, "conv", "sorted");
	tl_pack_cstr(&f->args, "users");
	tl_pack_array(&f->args, 1);
	tl_pack_cstr(&f->args, user);
	assert_int_equal(change(f, op, "alice"), TL_OK);
}

static void send_ordered(struct fixture *f, uint64_t ts, uint64_t order)
{
	const struct tl_submission from = {{"", 0}, tl_slice_str("alice"), {"d", 1}};
	struct tl_message message = {.ts = ts, .from = from.user, .device = from.device, .type = {"text", 4},
	                             .has_order = true, .order = order};
	unsigned before = f->outcomes;
	assert_int_equal(tl_store_send(f->store, &from, false, tl_slice_str("sorted"), tl_slice("", 0), &message,
	                               tl_slice("x", 1)),
	                 TL_OK);
	wait_for_outcomes(f, before + 1);
}

/* In custom order a time is that of a message which the user can see, not of one that was sent while he was away. */
static void test_history_at_a_hole(void **state)
{
	struct fixture *f = *state;
	begin(f, 3);
	add_str(f, "conv", "sorted");
	add_str(f, "order", "custom");
	add_str(f, "history", "joined");
	assert_int_equal(change(f, "create", "alice"), TL_OK);
	change_member(f, "add", "bob");
	change_member(f, "remove", "bob");
	send_ordered(f, 2000, 100); /* not for bob */
	change_member(f, "add", "bob");
	send_ordered(f, 3000, 50);
	begin(f, 2);
	add_str(f, "conv", "sorted");
	add_uint(f, "at", 1500);
	assert_int_equal(ask(f, "history", "bob"), TL_OK);
	assert_int_equal(page_length(f), 1);
	assert_int_equal(ask(f, "history", "alice"), TL_OK);
	assert_int_equal(page_length(f), 1); /* from the order key of the first of that time on */
}

static void add_users(struct fixture *f, const char *key, const char *const *users, uint32_t count)
{
	tl_pack_cstr(&f->args, key);
	tl_pack_array(&f->args, count);
	for (uint32_t i = 0; i < count; i++)
		tl_pack_cstr(&f->args, users[i]);
}

static void assert_known(const struct tl_database *database, const char *uid, bool known)
{
	uint64_t no;
	assert_int_equal(tl_user_no(database->engine, NULL, tl_slice_str(uid), &no), known ? TL_OK : TL_NOT_FOUND);
}

/* Whom a refused request names is not heard of because of it. */
static void test_refused_makes_nobody(void **state)
{
	static const char *const many[] = {"x1", "x2", "x1", "x3", "x4"}, *const few[] = {"y1", "bob", "y1"};
	const struct tl_engine_options options = temp_dir_engine(&((struct fixture *)*state)->dir);
	struct fixture *f = *state;
	struct tl_database database;
	struct tl_why why;
	begin(f, 2);
	add_str(f, "conv", "team");
	add_users(f, "members", many, 5);
	assert_int_equal(change(f, "create", "x0"), TL_TOO_LARGE);
	assert_int_equal(create(f, "alice", "team", "group"), TL_OK);
	begin(f, 2);
	add_str(f, "conv", "team");
	add_users(f, "users", many, 5);
	assert_int_equal(change(f, "add", "alice"), TL_TOO_LARGE);
	begin(f, 2);
	add_str(f, "conv", "team");
	add_users(f, "users", few, 3);
	assert_int_equal(change(f, "add", "alice"), TL_OK);
	assert_int_equal(uint_of(&f->told, "count"), 3);
	tl_store_close(f->store);
	f->store = NULL;
	assert_int_equal(tl_database_open(&options, &database, &why), TL_OK);
	assert_known(&database, "x0", false);
	for (size_t i = 0; i < 5; i++)
		assert_known(&database, many[i], false);
	assert_known(&database, "y1", true);
	tl_database_close(&database);
}

/* An entry that is named twice is deleted once. */
static void test_deleted_twice(void **state)
{
	static const uint64_t cseqs[] = {3, 2, 3, 2, 1, 3};
	struct fixture *f = *state;
	struct tl_reader reader;
	struct tl_slice event;
	uint32_t count = 0;
	uint64_t cseq;
	assert_int_equal(create(f, "alice", "team", "group"), TL_OK);
	send_to(f, "alice", "team", tl_slice_str("one"));
	send_to(f, "alice", "team", tl_slice_str("two"));
	begin(f, 2);
	add_str(f, "conv", "team");
	tl_pack_cstr(&f->args, "cseqs");
	tl_pack_array(&f->args, 6);
	for (size_t i = 0; i < 6; i++)
		tl_pack_uint(&f->args, cseqs[i]);
	assert_int_equal(change(f, "delete", "bob"), TL_OK);
	begin(f, 1);
	add_uint(f, "after", 3);
	assert_int_equal(ask(f, "sync", "bob"), TL_OK);
	assert_true(tl_msgpack_find(tl_pack_bytes(&f->fields), "messages", &reader) && tl_reader_array(&reader, &count));
	assert_int_equal(count, 1);
	event = tl_slice(reader.next, (size_t)(reader.end - reader.next));
	assert_true(tl_msgpack_find(event, "event", &reader));
	event = tl_slice(reader.next, (size_t)(reader.end - reader.next));
	assert_true(tl_msgpack_find(event, "cseqs", &reader) && tl_reader_array(&reader, &count));
	assert_int_equal(count, 3);
	for (uint64_t expected = 3; expected > 0; expected--)
		assert_true(tl_reader_uint(&reader, &cseq) && cseq == expected);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table), TEST(test_create), TEST(test_create_without_id), TEST(test_create_too_large),
		TEST(test_info),              TEST(test_hello),  TEST(test_sync),              TEST(test_page_bytes),
		TEST(test_history_at_a_hole), TEST(test_refused_makes_nobody), TEST(test_deleted_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
