#include "store_user.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { REST_LOOK_US = 50000, REST_SHARE = 10 /* of the time of a look, at most, is rest */ };

static _Atomic uint64_t clock_ms = 1000000;
static const char *about = "";

void store_user_failed(const char *format, ...)
{
	va_list list;
	char text[400];
	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	fprintf(stderr, "%s: %s\n", about, text);
	_exit(1);
}

void store_user_must(enum tl_err err, const char *what)
{
	if (err != TL_OK)
		store_user_failed("%s: %s", what, tl_err_text(err));
}

void store_user_about(const char *text)
{
	about = text;
}

void store_user_pass_time(uint64_t ms)
{
	atomic_fetch_add(&clock_ms, ms);
}

/* --- the store --- */

static void on_committed(void *ctx, const struct tl_commit *commit)
{
	struct store_user *user = ctx;
	for (size_t i = 0; i < commit->outcome_count; i++)
		atomic_store(&user->outcome, commit->outcomes[i].err);
	atomic_fetch_add(&user->outcomes, (unsigned)commit->outcome_count);
}

/* Nothing that is damaged comes to be sound by trying again. */
static void on_log(void *ctx, enum tl_log level, const char *text)
{
	(void)ctx, (void)level;
	if (getenv("TL_TEST_LOG"))
		fprintf(stderr, "%s: log: %s\n", about, text);
	if (strstr(text, "trying again"))
		store_user_failed("%s", text);
}

static uint64_t now(void)
{
	return atomic_load(&clock_ms);
}

enum tl_err store_user_open(struct store_user *user)
{
	const struct tl_store_options options = {
		.dir = user->dir, .durability = TL_DURABILITY_OS, .queue_max_bytes = 1 << 26, .block_cache_bytes = 1 << 20,
		.write_buffer_bytes = 1 << 20, .open_tables = 100, .cached_users = 3, .cached_conversations = 2,
		.limits = {.server = "test 1", .max_body = 1 << 20, .dedup_window_ms = STORE_USER_TTL_MS, .recall_window_ms = 1 << 30,
		           .edit_window_ms = 1 << 30, .write_fanout_max = 100, .inbox_ttl_ms = STORE_USER_TTL_MS,
		           .inbox_max = user->inbox_max, .retention_ms = user->retention_ms, .device_ttl_ms = STORE_USER_TTL_MS,
		           .max_members = 10, .max_conversations = 10, .search = true},
		.now = now, .events = {user, on_committed, on_log},
	};
	struct tl_why why = {""};
	enum tl_err err = tl_store_open(&options, &user->store, &why);
	if (err == TL_OK)
		tl_pack_init(&user->page);
	return err;
}

void store_user_close(struct store_user *user)
{
	tl_store_close(user->store);
	tl_pack_fini(&user->page);
	user->store = NULL;
}

/* --- waiting --- */

void store_user_wait(struct store_user *user, bool (*is_so)(struct store_user *user), const char *what)
{
	for (unsigned ms = 0; !is_so(user); ms++) {
		if (ms == STORE_USER_PATIENCE_MS)
			store_user_failed("%s: never", what);
		usleep(1000);
	}
}

static uint64_t cpu_us(void)
{
	struct timespec used;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
}

void store_user_wait_for_rest(void)
{
	uint64_t used = REST_LOOK_US;
	for (unsigned ms = 0; used > REST_LOOK_US / REST_SHARE; ms += REST_LOOK_US / 1000) {
		if (ms > STORE_USER_PATIENCE_MS)
			store_user_failed("a thread never rests");
		uint64_t before = cpu_us();
		usleep(REST_LOOK_US);
		used = cpu_us() - before;
	}
}

/* An error may be an answer: something is damaged, or cannot be done. */
static enum tl_err answered(enum tl_err err, const char *what)
{
	if (err != TL_OK && err != TL_CORRUPT && err != TL_STORAGE && err != TL_NOT_FOUND && !tl_err_is_refusal(err))
		store_user_failed("%s: %s", what, tl_err_text(err));
	return err;
}

static enum tl_err wait_for_outcome(struct store_user *user, unsigned before, const char *what)
{
	for (unsigned ms = 0; atomic_load(&user->outcomes) == before; ms++) {
		if (ms == STORE_USER_PATIENCE_MS * 10)
			store_user_failed("%s: no outcome", what);
		usleep(100);
	}
	user->refusal = atomic_load(&user->outcome);
	return answered(user->refusal, what);
}

/* --- asking and sending --- */

static void pack_one(struct tl_pack *pack, char type, const char *value)
{
	if (type == 's')
		tl_pack_cstr(pack, value);
	else if (type == 'b')
		tl_pack_bool(pack, value[0] == '1');
	else
		tl_pack_uint(pack, strtoull(value, NULL, 10));
}

static void pack_list(struct tl_pack *pack, char type, char *values)
{
	char *rest = NULL;
	uint32_t count = 0;
	struct tl_pack_open open = tl_pack_array_begin(pack);
	for (char *value = strtok_r(values, ",", &rest); value; value = strtok_r(NULL, ",", &rest), count++)
		pack_one(pack, type, value);
	tl_pack_array_end(pack, open, count);
}

static void pack_args(struct tl_pack *pack, const char *args)
{
	char text[300], *rest = NULL;
	uint32_t pairs = 0;
	struct tl_pack_open open = tl_pack_map_begin(pack);
	snprintf(text, sizeof text, "%s", args);
	for (char *pair = strtok_r(text, " ", &rest); pair; pair = strtok_r(NULL, " ", &rest), pairs++) {
		char *equals = strchr(pair, '='), type = equals[1], *value = equals + 3;
		*equals = '\0';
		tl_pack_cstr(pack, pair);
		if (type == 'S' || type == 'U')
			pack_list(pack, type == 'S' ? 's' : 'u', value);
		else
			pack_one(pack, type, value);
	}
	tl_pack_map_end(pack, open, pairs);
}

enum tl_err store_user_ask(struct store_user *user, const char *uid, const char *op, const char *args)
{
	struct tl_pack packed;
	struct tl_answer answer;
	tl_pack_init(&packed);
	pack_args(&packed, args);
	const struct tl_call call = {.user = tl_slice_str(uid), .device = {"d", 1}, .raw = tl_pack_bytes(&packed), .now = now()};
	tl_answer_init(&answer);
	enum tl_err err = tl_store_read(user->store, tl_request_find(tl_slice_str(op)), call, &answer);
	tl_pack_clear(&user->page);
	tl_pack_map(&user->page, answer.field_count);
	tl_pack_raw(&user->page, tl_pack_bytes(&answer.fields));
	tl_answer_fini(&answer);
	tl_pack_fini(&packed);
	return answered(err, op);
}

enum tl_err store_user_change(struct store_user *user, const char *uid, const char *op, const char *args)
{
	const struct tl_submission from = {{"", 0}, tl_slice_str(uid), {"d", 1}};
	unsigned before = atomic_load(&user->outcomes);
	struct tl_pack packed;
	store_user_pass_time(1);
	tl_pack_init(&packed);
	pack_args(&packed, args);
	enum tl_err err =
		tl_store_change(user->store, &from, tl_request_find(tl_slice_str(op)), tl_pack_bytes(&packed), now());
	tl_pack_fini(&packed);
	if (err != TL_OK)
		store_user_failed("%s: %s", op, tl_err_text(err));
	return wait_for_outcome(user, before, op);
}

enum tl_err store_user_send(struct store_user *user, const char *uid, const char *cid, const char *id, const char *text,
                            uint64_t order)
{
	const struct tl_submission from = {{"", 0}, tl_slice_str(uid), {"d", 1}};
	unsigned before = atomic_load(&user->outcomes);
	store_user_pass_time(1);
	struct tl_message message = {.ts = now(), .from = from.user, .device = from.device, .type = {"text", 4},
	                             .has_order = order > 0, .order = order};
	bool to_user = cid[0] == '@';
	enum tl_err err = tl_store_send(user->store, &from, to_user, tl_slice_str(to_user ? cid + 1 : cid), tl_slice_str(id ? id : ""), &message,
	                                tl_slice_str(text));
	if (err != TL_OK)
		store_user_failed("send: %s", tl_err_text(err));
	return wait_for_outcome(user, before, "send");
}

/* --- answers --- */

uint64_t store_user_uint(const struct store_user *user, const char *key)
{
	struct tl_reader value;
	uint64_t number;
	if (!tl_msgpack_find(tl_pack_bytes(&user->page), key, &value) || !tl_reader_uint(&value, &number))
		store_user_failed("there is no number '%s' in the answer", key);
	return number;
}

uint32_t store_user_count(const struct store_user *user, const char *key)
{
	struct tl_reader list;
	uint32_t count;
	if (!tl_msgpack_find(tl_pack_bytes(&user->page), key, &list) || !tl_reader_array(&list, &count))
		store_user_failed("there is no list '%s' in the answer", key);
	return count;
}

bool store_user_cursor(const struct store_user *user, char cursor[64])
{
	struct tl_reader value;
	struct tl_slice text;
	if (!tl_msgpack_find(tl_pack_bytes(&user->page), "cursor", &value))
		return false;
	if (!tl_reader_str(&value, &text) || text.len >= 64)
		store_user_failed("the cursor is none");
	memcpy(cursor, text.ptr, text.len);
	cursor[text.len] = '\0';
	return true;
}
