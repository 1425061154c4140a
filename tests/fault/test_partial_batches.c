/* What the writer makes of an engine that fails: invariants (X1)–(X3) of storage/transaction.h and (W1)–(W3) of
 * storage/writer.h. The engine's functions are wrapped by the linker (--wrap):
 *
 *     tl_batch_put … ──► the real batch, and a list of what it holds
 *     tl_engine_commit ──► as it is | fails, nothing applied | fails, all applied | fails, some partitions applied
 *     tl_engine_get ──► as it is | fails            tl_engine_reopen ──► waits while the gate is shut
 *
 * (X2) is about parts of a batch "whose watermark is missing": the database's own partition is applied only where all
 * others are. Faults hit the writer thread alone. TL_SEED in the environment repeats the choices.
 */
#include "database_fixture.h"
#include "msgpack_reader.h"
#include "rng.h"
#include "store.h"
#include "wrapped.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	USERS = 5,
	GROUPS = 3,
	PAIRS = USERS * USERS, /* [first * USERS + second], first <= second */
	CONVERSATIONS = GROUPS + PAIRS,
	BURSTS = 4,
	BURST = 25,
	MESSAGES_MAX = 512,
	FAULTS_MAX = 10, /* of one run */
	PATIENCE_MS = 60000,
	EVENT = -1,
};

/* --- faults --- */

enum fault { FAULT_NONE, FAULT_NOTHING_APPLIED, FAULT_ALL_APPLIED, FAULT_PARTS_APPLIED, FAULT_GET };

static struct {
	pthread_t main_thread;
	struct rng rng;             /* writer thread */
	_Atomic int kind;           /* enum fault */
	_Atomic unsigned percent;   /* of the calls that fail */
	_Atomic unsigned left;      /* faults still to come */
	_Atomic unsigned happened;
	_Atomic bool gate_shut;
} faults;

static void arm(enum fault kind, unsigned percent, unsigned count)
{
	atomic_store(&faults.left, count);
	atomic_store(&faults.percent, percent);
	atomic_store(&faults.happened, 0);
	atomic_store(&faults.kind, kind);
}

static bool fault_due(bool getting)
{
	int kind = atomic_load(&faults.kind);
	if (kind == FAULT_NONE || (kind == FAULT_GET) != getting || pthread_equal(pthread_self(), faults.main_thread))
		return false;
	if (atomic_load(&faults.left) == 0)
		return false;
	/* The first one always, so that no run goes by without. */
	if (atomic_load(&faults.happened) > 0 && rng_next(&faults.rng) % 100 >= atomic_load(&faults.percent))
		return false;
	atomic_fetch_sub(&faults.left, 1);
	atomic_fetch_add(&faults.happened, 1);
	return true;
}

/* --- the list of what a batch holds --- */

struct change {
	struct change *next;
	struct tl_partition partition;
	bool delete;
	size_t key_len, value_len;
	unsigned char bytes[]; /* key, value */
};

/* The writer's batch, and the one that reserves numbers meanwhile. */
static struct shadow {
	const struct tl_batch *batch;
	struct change *first, **last;
} shadows[4];

WRAPPED(tl_engine_commit);
WRAPPED(tl_engine_get);
WRAPPED(tl_engine_reopen);
WRAPPED(tl_batch_put);
WRAPPED(tl_batch_delete);
WRAPPED(tl_batch_clear);
WRAPPED(tl_batch_free);

static struct shadow *shadow_of(const struct tl_batch *batch)
{
	for (size_t i = 0; i < sizeof shadows / sizeof shadows[0]; i++)
		if (shadows[i].batch == batch)
			return &shadows[i];
	if (!batch)
		abort(); /* more batches at once than there should be */
	struct shadow *shadow = shadow_of(NULL);
	*shadow = (struct shadow){.batch = batch, .last = &shadow->first};
	return shadow;
}

static void note_change(const struct tl_batch *batch, struct tl_partition partition, bool delete, struct tl_slice key,
                        struct tl_slice value)
{
	struct shadow *shadow = shadow_of(batch);
	struct change *change = malloc(sizeof *change + key.len + value.len);
	if (!change)
		abort();
	*change = (struct change){
		.partition = partition, .delete = delete, .key_len = key.len, .value_len = value.len};
	if (key.len)
		memcpy(change->bytes, key.ptr, key.len);
	if (value.len)
		memcpy(change->bytes + key.len, value.ptr, value.len);
	*shadow->last = change;
	shadow->last = &change->next;
}

static void forget_changes(const struct tl_batch *batch)
{
	struct shadow *shadow = shadow_of(batch);
	while (shadow->first) {
		struct change *change = shadow->first;
		shadow->first = change->next;
		free(change);
	}
	*shadow = (struct shadow){0};
}

void __wrap_tl_batch_put(struct tl_batch *batch, struct tl_partition partition, struct tl_slice key,
                         struct tl_slice value)
{
	note_change(batch, partition, false, key, value);
	__real_tl_batch_put(batch, partition, key, value);
}

void __wrap_tl_batch_delete(struct tl_batch *batch, struct tl_partition partition, struct tl_slice key)
{
	note_change(batch, partition, true, key, tl_slice("", 0));
	__real_tl_batch_delete(batch, partition, key);
}

void __wrap_tl_batch_clear(struct tl_batch *batch)
{
	forget_changes(batch);
	__real_tl_batch_clear(batch);
}

void __wrap_tl_batch_free(struct tl_batch *batch)
{
	if (batch)
		forget_changes(batch);
	__real_tl_batch_free(batch);
}

/* --- commits that fail --- */

/* Whether the partition is among the chosen: a function of the choice, so that all of it is or none. */
static bool chosen(uint64_t choice, struct tl_partition partition)
{
	struct rng rng = {choice ^ partition.no << 8 ^ partition.kind};
	return rng_next(&rng) & 1;
}

static enum tl_err commit_chosen(struct tl_engine *engine, const struct shadow *shadow, uint64_t choice)
{
	struct tl_batch *part;
	bool all = true;
	enum tl_err err = tl_batch_new(engine, &part);
	if (err != TL_OK)
		return err;
	for (const struct change *change = shadow->first; change; change = change->next) {
		if (change->partition.kind == TL_PART_META)
			continue;
		if (!chosen(choice, change->partition)) {
			all = false;
			continue;
		}
		struct tl_slice key = tl_slice(change->bytes, change->key_len);
		if (change->delete)
			__real_tl_batch_delete(part, change->partition, key);
		else
			__real_tl_batch_put(part, change->partition, key,
			                    tl_slice(change->bytes + change->key_len, change->value_len));
	}
	if (!all)
		err = __real_tl_engine_commit(engine, part, true, NULL);
	__real_tl_batch_free(part);
	return all ? TL_END : err;
}

enum tl_err __wrap_tl_engine_commit(struct tl_engine *engine, struct tl_batch *batch, bool sync, struct tl_why *why)
{
	enum tl_err err = TL_OK;
	if (!fault_due(false))
		return __real_tl_engine_commit(engine, batch, sync, why);
	int kind = atomic_load(&faults.kind);
	if (kind == FAULT_PARTS_APPLIED)
		err = commit_chosen(engine, shadow_of(batch), rng_next(&faults.rng));
	if (kind == FAULT_ALL_APPLIED || err == TL_END)
		err = __real_tl_engine_commit(engine, batch, sync, NULL);
	return tl_fail(why, TL_IO, "injected%s", err == TL_OK ? "" : ", and a real one");
}

enum tl_err __wrap_tl_engine_get(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                 struct tl_partition partition, struct tl_slice key, char **value_out,
                                 size_t *len_out)
{
	return fault_due(true) ? TL_IO
	                       : __real_tl_engine_get(engine, snapshot, partition, key, value_out, len_out);
}

enum tl_err __wrap_tl_engine_reopen(struct tl_engine *engine, struct tl_why *why)
{
	while (atomic_load(&faults.gate_shut))
		usleep(1000);
	return __real_tl_engine_reopen(engine, why);
}

/* --- the store under test --- */

struct told {
	bool told;
	enum tl_err err;
	uint64_t cseq, ts; /* of a send that was stored */
};

struct world {
	struct temp_dir dir;
	struct tl_store *store;
	struct rng rng;
	int *expected[CONVERSATIONS]; /* numbers of the messages in order, or EVENT */
	size_t counts[CONVERSATIONS];
	uint32_t submitted; /* messages, each with its number as route and body */
	unsigned wrong_ts;     /* receipts whose time is not the message's */
	pthread_mutex_t lock;  /* guards the rest */
	struct told told[MESSAGES_MAX];
	_Atomic unsigned logged;
};

static struct tl_slice pair_uint(struct tl_slice pairs, uint32_t count, const char *key, uint64_t *value_out)
{
	struct tl_reader reader = tl_reader(pairs);
	struct tl_slice name;
	for (uint32_t i = 0; i < count && tl_reader_str(&reader, &name); i++) {
		if (tl_slice_equal(name, tl_slice_str(key)))
			(void)tl_reader_uint(&reader, value_out);
		else
			(void)tl_reader_skip(&reader);
	}
	return pairs;
}

static void on_committed(void *ctx, const struct tl_commit *commit)
{
	struct world *world = ctx;
	pthread_mutex_lock(&world->lock);
	for (size_t i = 0; i < commit->outcome_count; i++) {
		const struct tl_outcome *outcome = &commit->outcomes[i];
		uint32_t n;
		if (outcome->route.len != sizeof n)
			continue;
		memcpy(&n, outcome->route.ptr, sizeof n);
		struct told *told = &world->told[n];
		*told = (struct told){.told = true, .err = outcome->err};
		pair_uint(outcome->fields, outcome->field_count, "cseq", &told->cseq);
		pair_uint(outcome->fields, outcome->field_count, "ts", &told->ts);
	}
	pthread_mutex_unlock(&world->lock);
}

static void on_log(void *ctx, enum tl_log level, const char *text)
{
	struct world *world = ctx;
	(void)level;
	pthread_mutex_lock(&world->lock);
	if (atomic_fetch_add(&world->logged, 1) < 3 && getenv("TL_VERBOSE"))
		fprintf(stderr, "%s\n", text);
	pthread_mutex_unlock(&world->lock);
}

static struct tl_store_stats stats(const struct world *world)
{
	return tl_store_stats(world->store);
}

static void open_store(struct world *world)
{
	const struct tl_store_options options = {
		.dir = world->dir.path,
		.durability = TL_DURABILITY_OS,
		.queue_max_bytes = 1 << 26,
		.block_cache_bytes = 1 << 20,
		.write_buffer_bytes = 1 << 20,
		.cached_users = 1000,
		.cached_conversations = 1000,
		.limits = {.server = "test", .dedup_window_ms = 604800000, .write_fanout_max = 500, .max_members = 100,
		           .max_conversations = 100},
		.events = {world, on_committed, on_log},
	};
	struct tl_why why;
	if (tl_store_open(&options, &world->store, &why) != TL_OK)
		fail_msg("%s", why.text);
}

static void close_store(struct world *world)
{
	tl_store_close(world->store);
	world->store = NULL;
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof *world);
	if (!world || !temp_dir_make(&world->dir))
		return -1;
	world->rng.state = rng_seed();
	print_message("TL_SEED=%" PRIu64 "\n", world->rng.state);
	faults.main_thread = pthread_self();
	faults.rng.state = rng_next(&world->rng);
	atomic_store(&faults.gate_shut, false);
	arm(FAULT_NONE, 0, 0);
	pthread_mutex_init(&world->lock, NULL);
	open_store(world);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	arm(FAULT_NONE, 0, 0);
	atomic_store(&faults.gate_shut, false);
	close_store(world);
	for (size_t i = 0; i < CONVERSATIONS; i++)
		free(world->expected[i]);
	pthread_mutex_destroy(&world->lock);
	temp_dir_remove(&world->dir);
	free(world);
	return 0;
}

static bool applied_within(const struct world *world, unsigned ms)
{
	for (; stats(world).queue_bytes > 0 && ms > 0; ms--)
		usleep(1000);
	return stats(world).queue_bytes == 0;
}

static void wait_until_applied(const struct world *world)
{
	if (!applied_within(world, PATIENCE_MS))
		fail_msg("the queue is not applied after a minute");
}

/* --- submitting --- */

struct name {
	char text[32];
};

static struct name user_name(unsigned user)
{
	struct name name;
	snprintf(name.text, sizeof name.text, "user%u", user);
	return name;
}

static struct name conversation_name(unsigned conversation)
{
	struct name name;
	if (conversation < GROUPS)
		snprintf(name.text, sizeof name.text, "group%u", conversation);
	else
		snprintf(name.text, sizeof name.text, "d:user%u:user%u", (conversation - GROUPS) / USERS,
		         (conversation - GROUPS) % USERS);
	return name;
}

static unsigned direct_of(unsigned user, unsigned other)
{
	return GROUPS + (user < other ? user * USERS + other : other * USERS + user);
}

static bool is_member(unsigned conversation, unsigned user)
{
	return conversation < GROUPS || (conversation - GROUPS) / USERS == user || (conversation - GROUPS) % USERS == user;
}

static void expect(struct world *world, unsigned conversation, int n)
{
	int *grown = realloc(world->expected[conversation], (world->counts[conversation] + 1) * sizeof *grown);
	assert_non_null(grown);
	grown[world->counts[conversation]++] = n;
	world->expected[conversation] = grown;
}

static void submit_create(struct world *world, unsigned group)
{
	struct name cid = conversation_name(group);
	const struct tl_submission from = {tl_slice("", 0), tl_slice_str("user0"), tl_slice_str("d")};
	struct tl_pack args;
	tl_pack_init(&args);
	tl_pack_map(&args, 2);
	tl_pack_cstr(&args, "conv");
	tl_pack_cstr(&args, cid.text);
	tl_pack_cstr(&args, "members");
	tl_pack_array(&args, USERS - 1);
	for (unsigned i = 1; i < USERS; i++)
		tl_pack_cstr(&args, user_name(i).text);
	assert_int_equal(tl_store_change(world->store, &from, tl_request_find(tl_slice_str("create")),
	                                 tl_pack_bytes(&args), 1700000000000),
	                 TL_OK);
	tl_pack_fini(&args);
	expect(world, group, EVENT);
}

/* A message, every third of which has an id; `n` is its number, or that of an earlier one that it repeats. */
static void submit(struct world *world, unsigned user, unsigned conversation, uint32_t n)
{
	struct name uid = user_name(user), cid = conversation_name(conversation);
	const struct tl_submission from = {tl_slice(&n, sizeof n), tl_slice_str(uid.text), tl_slice_str("d")};
	char id[16];
	struct tl_slice client_id = tl_slice(id, (size_t)snprintf(id, sizeof id, "m%" PRIu32, n));
	if (n % 3 != 0)
		client_id.len = 0;
	struct tl_message message = {.ts = 1700000000000 + n * 10, .from = from.user, .device = from.device,
	                             .type = tl_slice_str("text")};
	assert_int_equal(tl_store_send(world->store, &from, false, tl_slice_str(cid.text), client_id, &message,
	                               tl_slice(&n, sizeof n)),
	                 TL_OK);
}

static void submit_new(struct world *world, unsigned user, unsigned conversation)
{
	assert_true(world->submitted < MESSAGES_MAX);
	expect(world, conversation, (int)world->submitted);
	submit(world, user, conversation, world->submitted++);
}

static void submit_any(struct world *world)
{
	unsigned user = below(&world->rng, USERS);
	unsigned conversation = below(&world->rng, 2) ? below(&world->rng, GROUPS) : direct_of(user, below(&world->rng, USERS));
	submit_new(world, user, conversation);
	if ((world->submitted - 1) % 3 == 0 && below(&world->rng, 2))
		submit(world, user, conversation, world->submitted - 1); /* once more: a repeat */
}

static void make_groups(struct world *world)
{
	for (unsigned i = 0; i < GROUPS; i++)
		submit_create(world, i);
}

static void make_direct_chats(struct world *world)
{
	for (unsigned i = 0; i < USERS; i++)
		for (unsigned j = i; j < USERS; j++)
			submit_new(world, i, direct_of(i, j));
}

static void send_bursts(struct world *world)
{
	for (unsigned i = 0; i < BURSTS; i++) {
		for (unsigned j = 0; j < BURST; j++)
			submit_any(world);
		wait_until_applied(world);
	}
}

/* --- checking --- */

/* What one user has seen while paging through the inbox. */
struct view {
	struct world *world;
	unsigned user;
	uint64_t seq;
	size_t seen[CONVERSATIONS];
	uint64_t ts[CONVERSATIONS];
};

static uint64_t get_uint(struct tl_slice map, const char *key)
{
	struct tl_reader reader;
	uint64_t value = UINT64_MAX;
	if (tl_msgpack_find(map, key, &reader))
		(void)tl_reader_uint(&reader, &value);
	return value;
}

static unsigned conversation_of(struct tl_slice message)
{
	struct tl_reader reader;
	struct tl_slice cid;
	unsigned i = 0;
	if (!tl_msgpack_find(message, "conv", &reader) || !tl_reader_str(&reader, &cid))
		return CONVERSATIONS;
	while (i < CONVERSATIONS && !tl_slice_equal(cid, tl_slice_str(conversation_name(i).text)))
		i++;
	return i;
}

static int number_of(struct tl_slice message)
{
	struct tl_reader reader;
	struct tl_slice body;
	uint32_t n;
	if (!tl_msgpack_find(message, "body", &reader) || !tl_reader_bin(&reader, &body) || body.len != sizeof n)
		return EVENT;
	memcpy(&n, body.ptr, sizeof n);
	return (int)n;
}

static void check_told(const struct view *view, int n, uint64_t cseq, uint64_t ts)
{
	if (n < 0)
		return;
	const struct told *told = &view->world->told[n];
	if (!told->told)
		return; /* the commit that failed though it was applied tells nothing */
	assert_int_equal(told->err, TL_OK);
	assert_int_equal(told->cseq, cseq);
	view->world->wrong_ts += told->ts != ts; /* looked at after all else */
}

static void check_message(struct view *view, struct tl_slice message)
{
	unsigned conversation = conversation_of(message);
	uint64_t cseq = get_uint(message, "cseq"), ts = get_uint(message, "ts");
	int n = number_of(message);
	if (conversation == CONVERSATIONS || !is_member(conversation, view->user))
		fail_msg("user%u: entry %" PRIu64 " is of no conversation of theirs", view->user, view->seq + 1);
	size_t at = view->seen[conversation]++;
	if (get_uint(message, "seq") != ++view->seq || cseq != at + 1 || at >= view->world->counts[conversation] ||
	    view->world->expected[conversation][at] != n)
		fail_msg("user%u, seq %" PRIu64 ": cseq %" PRIu64 ", message %d of %s where cseq %zu, message %d was due",
		         view->user, view->seq, cseq, n, conversation_name(conversation).text, at + 1,
		         at < view->world->counts[conversation] ? view->world->expected[conversation][at] : -2);
	assert_true(ts >= view->ts[conversation] && ts != UINT64_MAX);
	view->ts[conversation] = ts;
	check_told(view, n, cseq, ts);
}

/* One page after view->seq; false where there is no more. */
static bool check_page(struct view *view)
{
	struct tl_pack pack;
	struct tl_answer answer;
	struct tl_reader reader;
	struct name uid = user_name(view->user);
	uint32_t count = 0;
	tl_pack_init(&pack);
	tl_pack_map(&pack, 1);
	tl_pack_cstr(&pack, "after");
	tl_pack_uint(&pack, view->seq);
	const struct tl_call call = {
		.user = tl_slice_str(uid.text), .device = tl_slice_str("d"), .raw = tl_pack_bytes(&pack), .now = 1};
	tl_answer_init(&answer);
	enum tl_err err = tl_store_read(view->world->store, tl_request_find(tl_slice_str("sync")), call, &answer);
	if (err != TL_OK)
		fail_msg("user%u: sync after %" PRIu64 ": %s", view->user, view->seq, tl_err_text(err));
	tl_pack_clear(&pack);
	tl_pack_map(&pack, answer.field_count);
	tl_pack_raw(&pack, tl_pack_bytes(&answer.fields));
	assert_true(tl_msgpack_find(tl_pack_bytes(&pack), "messages", &reader) && tl_reader_array(&reader, &count));
	for (uint32_t i = 0; i < count; i++) {
		const unsigned char *begin = reader.next;
		assert_true(tl_reader_skip(&reader));
		check_message(view, tl_slice(begin, (size_t)(reader.next - begin)));
	}
	tl_answer_fini(&answer);
	tl_pack_fini(&pack);
	return count > 0;
}

static void check_user(struct world *world, unsigned user)
{
	struct view view = {.world = world, .user = user};
	while (check_page(&view))
		;
	for (unsigned i = 0; i < CONVERSATIONS; i++)
		if (is_member(i, user) && view.seen[i] != world->counts[i])
			fail_msg("user%u has %zu of %zu messages of %s", user, view.seen[i], world->counts[i],
			         conversation_name(i).text);
}

static void check_all(struct world *world)
{
	wait_until_applied(world);
	arm(FAULT_NONE, 0, 0);
	for (unsigned i = 0; i < USERS; i++)
		check_user(world, i);
	close_store(world);
	open_store(world);
	wait_until_applied(world);
	for (unsigned i = 0; i < USERS; i++)
		check_user(world, i);
	assert_int_equal(world->wrong_ts, 0);
}

/* --- an engine that is atomic within a partition only (X2) --- */

/* Of messages, where all conversations are there already. */
static void test_parts_of_messages(void **state)
{
	struct world *world = *state;
	make_groups(world);
	make_direct_chats(world);
	wait_until_applied(world);
	arm(FAULT_PARTS_APPLIED, 50, FAULTS_MAX);
	send_bursts(world);
	assert_true(atomic_load(&faults.happened) > 0);
	check_all(world);
}

/* Of messages that bring users and direct chats into being. */
static void test_parts_of_first_messages(void **state)
{
	struct world *world = *state;
	arm(FAULT_PARTS_APPLIED, 70, FAULTS_MAX);
	make_direct_chats(world);
	wait_until_applied(world);
	check_all(world);
}

/* Of creates, where all users are there already. */
static void test_parts_of_creates(void **state)
{
	struct world *world = *state;
	make_direct_chats(world);
	wait_until_applied(world);
	arm(FAULT_PARTS_APPLIED, 70, FAULTS_MAX);
	make_groups(world);
	wait_until_applied(world);
	check_all(world);
}

/* The process ends between a half-applied batch and its replay. */
static void test_parts_and_restart(void **state)
{
	struct world *world = *state;
	make_groups(world);
	make_direct_chats(world);
	wait_until_applied(world);
	for (unsigned i = 0; i < 5; i++) {
		arm(FAULT_PARTS_APPLIED, 100, 1);
		for (unsigned j = 0; j < BURST; j++)
			submit_any(world);
		close_store(world);
		open_store(world);
		wait_until_applied(world);
	}
	check_all(world);
}

/* --- who has blocked whom, kept in two partitions --- */

static struct tl_standing standing_of(struct world *world, const char *cid, const char *user)
{
	struct tl_standing standing;
	assert_int_equal(tl_store_standing(world->store, tl_slice_str(cid), tl_slice_str(user), &standing), TL_OK);
	return standing;
}

static void submit_block(struct world *world, unsigned user, unsigned other, bool on)
{
	const struct tl_submission from = {tl_slice("", 0), tl_slice_str(user_name(user).text), tl_slice_str("d")};
	struct tl_pack args;
	tl_pack_init(&args);
	tl_pack_map(&args, 2);
	tl_pack_cstr(&args, "user");
	tl_pack_cstr(&args, user_name(other).text);
	tl_pack_cstr(&args, "on");
	tl_pack_bool(&args, on);
	assert_int_equal(tl_store_change(world->store, &from, tl_request_find(tl_slice_str("block")),
	                                 tl_pack_bytes(&args), 1700000000000),
	                 TL_OK);
	tl_pack_fini(&args);
}

/* Bits of the users in the list of those whom the user blocks. */
static unsigned blocked_by(struct world *world, unsigned user)
{
	const struct name uid = user_name(user);
	const struct tl_call call = {
		.user = tl_slice_str(uid.text), .device = tl_slice_str("d"), .raw = tl_slice_str("\x80"), .now = 1};
	struct tl_answer answer;
	struct tl_slice other;
	uint32_t count = 0;
	unsigned bits = 0;
	tl_answer_init(&answer);
	assert_int_equal(tl_store_read(world->store, tl_request_find(tl_slice_str("block")), call, &answer), TL_OK);
	struct tl_reader reader = tl_reader(tl_pack_bytes(&answer.fields));
	assert_true(tl_reader_str(&reader, &other) && tl_reader_array(&reader, &count));
	for (uint32_t i = 0; i < count && tl_reader_str(&reader, &other); i++)
		for (unsigned j = 0; j < USERS; j++)
			bits |= (unsigned)tl_slice_equal(other, tl_slice_str(user_name(j).text)) << j;
	tl_answer_fini(&answer);
	return bits;
}

/* The list and what is refused agree with `blocked`: of each user, bits of those whom he blocks. */
static void check_blocks(struct world *world, const unsigned *blocked)
{
	for (unsigned user = 0; user < USERS; user++) {
		assert_int_equal(blocked_by(world, user), blocked[user]);
		for (unsigned other = 0; other < USERS; other++) {
			bool refused = blocked[user] >> other & 1;
			struct tl_standing standing =
				standing_of(world, conversation_name(direct_of(user, other)).text, user_name(other).text);
			assert_int_equal(standing.may_send, refused ? TL_NOT_AUTHORISED : TL_OK);
		}
	}
}

/* One of the two is there and the other is not: the replay brings both right, and what was cached is seen to be old. */
static void test_parts_of_blocks(void **state)
{
	struct world *world = *state;
	unsigned blocked[USERS] = {0}, faults_happened = 0;
	make_direct_chats(world); /* so that there are users, and the faults hit the blocks */
	wait_until_applied(world);
	for (unsigned i = 0; i < 60; i++) {
		unsigned user = below(&world->rng, USERS), other = (user + 1 + below(&world->rng, USERS - 1)) % USERS;
		blocked[user] ^= 1u << other;
		arm(FAULT_PARTS_APPLIED, 70, FAULTS_MAX);
		submit_block(world, user, other, blocked[user] >> other & 1);
		if (i % 10 == 9) { /* the process may end in between */
			close_store(world);
			open_store(world);
		}
		wait_until_applied(world);
		faults_happened += atomic_load(&faults.happened);
		arm(FAULT_NONE, 0, 0);
		check_blocks(world, blocked);
	}
	assert_true(faults_happened > 0);
}

/* --- plain failures --- */

static void run_with(struct world *world, enum fault kind, unsigned percent)
{
	arm(kind, percent, FAULTS_MAX);
	make_groups(world);
	make_direct_chats(world);
	send_bursts(world);
	assert_true(atomic_load(&faults.happened) > 0);
	check_all(world);
}

static void test_commits_that_fail(void **state)
{
	run_with(*state, FAULT_NOTHING_APPLIED, 50);
}

static void test_commits_that_fail_though_applied(void **state)
{
	run_with(*state, FAULT_ALL_APPLIED, 50);
}

static void test_reads_that_fail(void **state)
{
	run_with(*state, FAULT_GET, 5);
}

/* A store that has caught up says so, even when nothing new comes. */
static void test_failing_ends(void **state)
{
	struct world *world = *state;
	make_direct_chats(world); /* so that there are numbers in store, and the fault hits the batch itself */
	wait_until_applied(world);
	arm(FAULT_ALL_APPLIED, 100, 1);
	submit_new(world, 0, direct_of(0, 1));
	wait_until_applied(world);
	assert_int_equal(atomic_load(&faults.happened), 1);
	for (unsigned ms = 0; stats(world).writer.failing && ms < 5000; ms++)
		usleep(1000);
	assert_false(stats(world).writer.failing);
}

/* A create whose commit failed though it was applied: the front thread's cache learns of it all the same. */
static void test_standing_after_failed_create(void **state)
{
	struct world *world = *state;
	make_direct_chats(world);
	wait_until_applied(world);
	assert_int_equal(standing_of(world, "group0", "user1").may_send, TL_NOT_MEMBER);
	arm(FAULT_ALL_APPLIED, 100, 1);
	submit_create(world, 0);
	wait_until_applied(world);
	struct tl_standing member = standing_of(world, "group0", "user1");
	assert_true(member.member);
	assert_int_equal(member.may_send, TL_OK);
	/* Nothing waits any more, so a stranger's refusal is final. */
	assert_true(standing_of(world, "group0", "stranger").final);
}

/* A create that waits in the queue when the store is opened: until it is applied no refusal is final. */
static void test_standing_while_replaying(void **state)
{
	struct world *world = *state;
	arm(FAULT_NOTHING_APPLIED, 100, UINT32_MAX);
	submit_create(world, 0);
	while (stats(world).writer.failures == 0)
		usleep(1000);
	close_store(world);
	atomic_store(&faults.gate_shut, true);
	open_store(world);
	struct tl_standing standing = standing_of(world, "group0", "user1");
	arm(FAULT_NONE, 0, 0);
	atomic_store(&faults.gate_shut, false);
	assert_true(standing.may_send == TL_OK || !standing.final);
	wait_until_applied(world);
	assert_int_equal(standing_of(world, "group0", "user1").may_send, TL_OK);
}

/* --- damaged data --- */

static void damage_group(struct world *world)
{
	uint64_t no;
	close_store(world);
	struct tl_database database = open_database(&world->dir);
	struct tl_batch *batch = new_batch(database.engine);
	assert_int_equal(tl_conversation_no(database.engine, NULL, tl_slice_str("group0"), &no), TL_OK);
	tl_batch_put(batch, tl_partition(TL_PART_CONVERSATION, no), tl_slice("", 0), tl_slice_str("\xc1"));
	commit_batch(database.engine, batch);
	tl_batch_free(batch);
	tl_database_close(&database);
	open_store(world);
}

/* Records that meet damaged data are answered and passed over, several in one batch, too. `count` of them. */
static void pass_over(struct world *world, unsigned count)
{
	submit_create(world, 0);
	wait_until_applied(world);
	damage_group(world);
	world->counts[0] = 0; /* not to be read any more */
	/* A first failure holds the writer up until all of them are waiting. */
	atomic_store(&faults.gate_shut, true);
	arm(FAULT_NOTHING_APPLIED, 100, 1);
	submit_new(world, 0, direct_of(0, 1));
	while (stats(world).writer.failures == 0)
		usleep(1000);
	usleep(50000); /* the writer is at the gate, or in the pause before it */
	uint32_t first = world->submitted;
	for (unsigned i = 0; i < count; i++)
		submit_new(world, 0, 0);
	submit_new(world, 0, direct_of(0, 1));
	atomic_store(&faults.gate_shut, false);
	if (!applied_within(world, 5000))
		fail_msg("the writer does not get past %u damaged records; it logged %u times", count, atomic_load(&world->logged));
	for (uint32_t i = first; i < first + count; i++)
		assert_true(world->told[i].told && world->told[i].err == TL_STORAGE);
	assert_true(world->told[first + count].told && world->told[first + count].err == TL_OK);
}

static void test_a_damaged_record(void **state)
{
	pass_over(*state, 1);
}

static void test_two_damaged_records(void **state)
{
	pass_over(*state, 2);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_parts_of_messages),
		TEST(test_parts_of_first_messages), /* several times, since each is short and a matter of luck */
		TEST(test_parts_of_first_messages),
		TEST(test_parts_of_first_messages),
		TEST(test_parts_of_creates),
		TEST(test_parts_of_creates),
		TEST(test_parts_of_creates),
		TEST(test_parts_and_restart),
		TEST(test_parts_of_blocks),
		TEST(test_commits_that_fail),
		TEST(test_commits_that_fail_though_applied),
		TEST(test_reads_that_fail),
		TEST(test_failing_ends),
		TEST(test_standing_after_failed_create),
		TEST(test_standing_while_replaying),
		TEST(test_a_damaged_record),
		TEST(test_two_damaged_records),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
