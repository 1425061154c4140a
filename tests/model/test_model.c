/* Random operations through storage/store.h, compared with a naive model that keeps everything in arrays.
 *
 *     parent: the model ──── fork ────► child: opens the store, lets it apply its queue, compares everything with the
 *        ▲                                     model, then submits and reads at random, closes and reopens at times
 *        └── pipe: numbers of the ops accepted ──┘   killed with SIGKILL at a random moment, or left to end by itself
 *
 *   (O1) Operation n depends on the seed and n alone, and what becomes of it on the operations before it alone. So the
 *        numbers on the pipe are all that the parent needs to follow, and outcomes can be foretold.
 *   (O2) A child applies an operation to its copy of the model, then submits it, then says so. One operation at most is
 *        therefore in doubt after a kill; the next child looks whether it is there.
 *
 * The parent never opens a store: LevelDB's thread would not survive the fork.
 *
 *     test_model [seconds, default 20]      TL_SEED in the environment repeats a run up to the moments of the kills
 */
#include "msgpack_reader.h"
#include "store.h"
#include "temp_dir.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	USERS = 12,
	DEVICES = 2, /* of a user */
	DIRECTS = USERS * (USERS + 1) / 2,
	GROUPS = 24,
	CONVERSATIONS = DIRECTS + GROUPS,
	MAX_MEMBERS = USERS - 1,
	IDS = 40,      /* message ids that are used again and again */
	VARIANTS = 8,  /* different requests that create a group */
	NO_ID = -1,
	BODY_MAX = 120 * 1024,
	LIFE_ROUNDS = 8, /* children on one data directory */
	SETTLE_MS = 60000,
};

static uint64_t run_seed, run_op; /* for the failure's text */

#define CHECK(condition)                                                                                               \
	do {                                                                                                               \
		if (!(condition))                                                                                              \
			failed(#condition, __LINE__);                                                                              \
	} while (0)

static _Noreturn void failed(const char *what, int line)
{
	fprintf(stderr, "test_model.c:%d: %s does not hold (TL_SEED=%" PRIu64 ", about op %" PRIu64 ")\n", line, what,
	        run_seed, run_op);
	_exit(1);
}

/* --- randomness --- */

struct rng {
	uint64_t state;
};

static uint64_t rng_next(struct rng *rng)
{
	uint64_t z = rng->state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static struct rng rng_for(uint64_t seed, uint64_t n)
{
	struct rng rng = {seed};
	rng.state = rng_next(&rng) ^ n * 0xd6e8feb86659fd93;
	rng_next(&rng);
	return rng;
}

static unsigned below(struct rng *rng, unsigned limit)
{
	return (unsigned)(rng_next(rng) % limit);
}

static bool chance(struct rng *rng, unsigned percent)
{
	return below(rng, 100) < percent;
}

/* --- names --- */

struct name {
	char text[32];
};

static struct name user_name(unsigned user)
{
	struct name name;
	snprintf(name.text, sizeof name.text, "u%02u", user);
	return name;
}

static struct name device_name(unsigned device)
{
	struct name name;
	snprintf(name.text, sizeof name.text, "phone%u", device);
	return name;
}

/* The direct chats come first: (0,0) (0,1) … (1,1) (1,2) … */
static void pair_of(unsigned conversation, unsigned *first, unsigned *second)
{
	unsigned i = 0;
	for (; conversation >= USERS - i; i++)
		conversation -= USERS - i;
	*first = i;
	*second = i + conversation;
}

static unsigned index_of_pair(unsigned first, unsigned second)
{
	unsigned index = 0;
	for (unsigned i = 0; i < first; i++)
		index += USERS - i;
	return index + second - first;
}

static bool is_direct(unsigned conversation)
{
	return conversation < DIRECTS;
}

static struct name conversation_name(unsigned conversation)
{
	struct name name;
	unsigned first, second;
	if (is_direct(conversation)) {
		pair_of(conversation, &first, &second);
		snprintf(name.text, sizeof name.text, "d:u%02u:u%02u", first, second);
	} else {
		snprintf(name.text, sizeof name.text, "group%u", conversation - DIRECTS);
	}
	return name;
}

static struct name id_name(int id)
{
	struct name name;
	snprintf(name.text, sizeof name.text, "i%d", id);
	return name;
}

/* --- operations --- */

struct op {
	uint64_t n;
	bool create;
	unsigned user, device, conversation;
	unsigned variant; /* of a create */
	bool by_uid;      /* sent to the other user rather than to the conversation */
	bool has_order, has_time;
	int id; /* of the message, NO_ID: none */
	uint64_t ts;
	size_t body_len;
};

static void choose_direct(struct op *op, struct rng *rng)
{
	unsigned other = below(rng, USERS);
	unsigned first = op->user < other ? op->user : other, second = op->user < other ? other : op->user;
	op->conversation = index_of_pair(first, second);
	op->by_uid = chance(rng, 60);
	if (!op->by_uid && chance(rng, 15))
		op->user = below(rng, USERS); /* perhaps a third */
}

static size_t choose_length(struct rng *rng)
{
	unsigned kind = below(rng, 100);
	return kind < 5 ? 0 : kind < 99 ? 1 + below(rng, 200) : 1 + below(rng, BODY_MAX);
}

/* (O1) */
static struct op make_op(uint64_t seed, uint64_t n)
{
	struct rng rng = rng_for(seed, n);
	struct op op = {.n = n, .create = chance(&rng, 8)};
	op.user = below(&rng, USERS);
	op.device = below(&rng, DEVICES);
	op.variant = below(&rng, VARIANTS);
	op.conversation = DIRECTS + below(&rng, chance(&rng, 50) ? 4 : GROUPS);
	if (!op.create && chance(&rng, 35))
		choose_direct(&op, &rng);
	op.has_order = chance(&rng, 50);
	op.has_time = chance(&rng, 20);
	op.id = chance(&rng, 40) ? NO_ID : (int)below(&rng, IDS);
	op.ts = 1700000000000 + n * 5 + below(&rng, 400) + (chance(&rng, 1) ? 4000 : 0);
	op.body_len = choose_length(&rng);
	return op;
}

static const char *body_of(const struct op *op)
{
	static char body[BODY_MAX + 1];
	memset(body, 'a' + (int)(op->n % 26), op->body_len);
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof digits, "%" PRIu64 ":", op->n);
	memcpy(body, digits, len < op->body_len ? len : op->body_len);
	return body;
}

/* Whom a request to create names as members, as bits. */
static uint32_t named_members(uint64_t seed, unsigned conversation, unsigned variant)
{
	struct rng rng = rng_for(~seed, conversation * VARIANTS + variant);
	uint32_t all = (1U << USERS) - 1;
	uint32_t some = (uint32_t)(rng_next(&rng) | rng_next(&rng));
	return variant == VARIANTS - 1 ? all : some & all;
}

static bool is_channel(unsigned variant)
{
	return variant % 4 == 1;
}

static bool is_custom(unsigned variant)
{
	return variant % 4 == 2;
}

static void pack_create(struct tl_pack *pack, uint64_t seed, const struct op *op)
{
	uint32_t members = named_members(seed, op->conversation, op->variant);
	char name[] = {(char)('A' + op->variant), '\0'}; /* so that no two variants are the same request */
	tl_pack_map(pack, 5);
	tl_pack_cstr(pack, "conv");
	tl_pack_cstr(pack, conversation_name(op->conversation).text);
	tl_pack_cstr(pack, "name");
	tl_pack_cstr(pack, name);
	tl_pack_cstr(pack, "kind");
	tl_pack_cstr(pack, is_channel(op->variant) ? "channel" : "group");
	tl_pack_cstr(pack, "order");
	tl_pack_cstr(pack, is_custom(op->variant) ? "custom" : "server");
	tl_pack_cstr(pack, "members");
	tl_pack_array(pack, (uint32_t)__builtin_popcount(members));
	for (unsigned i = 0; i < USERS; i++)
		if (members >> i & 1)
			tl_pack_cstr(pack, user_name(i).text);
}

/* --- the model --- */

struct entry {
	uint64_t n, ts;
	unsigned user;
	int id;
	bool event;
};

struct conversation {
	bool exists;
	uint32_t members;
	unsigned owner, variant;
	struct entry *entries; /* cseq 1 first */
	size_t count, room;
};

struct reference {
	unsigned conversation;
	uint64_t cseq;
};

struct inbox {
	struct reference *references; /* seq 1 first */
	size_t count, room;
};

/* What becomes of an operation. */
struct result {
	enum tl_err err;
	uint64_t cseq; /* of a create: the head */
	uint64_t ts;
	bool dup;
};

struct model {
	uint64_t seed;
	uint64_t dedup_window_ms;
	struct conversation conversations[CONVERSATIONS];
	struct inbox inboxes[USERS];
	struct result *results; /* of op 0 first */
	size_t next, room;      /* op to come */
};

static void *grown(void *list, size_t count, size_t *room, size_t element)
{
	if (count < *room)
		return list;
	*room = *room ? *room * 2 : 16;
	list = realloc(list, *room * element);
	CHECK(list != NULL);
	return list;
}

static void model_clear(struct model *model)
{
	for (unsigned i = 0; i < CONVERSATIONS; i++)
		free(model->conversations[i].entries);
	for (unsigned i = 0; i < USERS; i++)
		free(model->inboxes[i].references);
	free(model->results);
	*model = (struct model){0};
}

static uint64_t last_ts(const struct conversation *conversation)
{
	return conversation->count ? conversation->entries[conversation->count - 1].ts : 0;
}

static struct result append(struct model *model, const struct op *op)
{
	struct conversation *conversation = &model->conversations[op->conversation];
	uint64_t ts = op->ts > last_ts(conversation) ? op->ts : last_ts(conversation);
	conversation->entries =
		grown(conversation->entries, conversation->count, &conversation->room, sizeof *conversation->entries);
	conversation->entries[conversation->count++] =
		(struct entry){.n = op->n, .ts = ts, .user = op->user, .id = op->id, .event = op->create};
	for (unsigned i = 0; i < USERS; i++)
		if (conversation->members >> i & 1) {
			struct inbox *inbox = &model->inboxes[i];
			inbox->references = grown(inbox->references, inbox->count, &inbox->room, sizeof *inbox->references);
			inbox->references[inbox->count++] = (struct reference){op->conversation, conversation->count};
		}
	return (struct result){.cseq = conversation->count, .ts = ts};
}

static struct result create(struct model *model, const struct op *op)
{
	struct conversation *conversation = &model->conversations[op->conversation];
	uint32_t named = named_members(model->seed, op->conversation, op->variant);
	if (conversation->exists && (conversation->owner != op->user || conversation->variant != op->variant))
		return (struct result){.err = TL_EXISTS};
	if (conversation->exists)
		return (struct result){.cseq = conversation->count};
	if (__builtin_popcount(named | 1U << op->user) > MAX_MEMBERS)
		return (struct result){.err = TL_TOO_LARGE};
	conversation->exists = true;
	conversation->owner = op->user;
	conversation->variant = op->variant;
	conversation->members = named | 1U << op->user;
	return append(model, op);
}

/* Whether the user may send there, the order key apart. */
static enum tl_err may_send(const struct model *model, unsigned conversation_index, unsigned user)
{
	const struct conversation *conversation = &model->conversations[conversation_index];
	unsigned first, second;
	if (is_direct(conversation_index)) {
		pair_of(conversation_index, &first, &second);
		return user == first || user == second ? TL_OK : TL_NOT_MEMBER;
	}
	if (!conversation->exists || !(conversation->members >> user & 1))
		return TL_NOT_MEMBER;
	return is_channel(conversation->variant) && conversation->owner != user ? TL_NOT_AUTHORISED : TL_OK;
}

static const struct entry *find_id(const struct conversation *conversation, const struct op *op)
{
	for (size_t i = conversation->count; op->id != NO_ID && i > 0; i--) {
		const struct entry *entry = &conversation->entries[i - 1];
		if (!entry->event && entry->user == op->user && entry->id == op->id)
			return entry;
	}
	return NULL;
}

static struct result send_message(struct model *model, const struct op *op)
{
	struct conversation *conversation = &model->conversations[op->conversation];
	enum tl_err err = may_send(model, op->conversation, op->user);
	if (err == TL_OK && !is_direct(op->conversation) && is_custom(conversation->variant) && !op->has_order)
		err = TL_BAD_REQUEST;
	if (err != TL_OK)
		return (struct result){.err = err};
	if (!conversation->exists) {
		unsigned first, second;
		pair_of(op->conversation, &first, &second);
		conversation->exists = true;
		conversation->members = 1U << first | 1U << second;
	}
	const struct entry *same = find_id(conversation, op);
	if (same && !(op->ts > same->ts && op->ts - same->ts >= model->dedup_window_ms))
		return (struct result){.cseq = (uint64_t)(same - conversation->entries) + 1, .ts = same->ts, .dup = true};
	return append(model, op);
}

/* Does the next operation. */
static void model_apply(struct model *model)
{
	struct op op = make_op(model->seed, model->next);
	struct result result = op.create ? create(model, &op) : send_message(model, &op);
	model->results = grown(model->results, model->next, &model->room, sizeof *model->results);
	model->results[model->next++] = result;
	run_op = model->next;
}

/* --- the child --- */

struct shared {
	_Atomic uint64_t epoch; /* of the life at hand, 0: not known yet */
};

struct child {
	const struct temp_dir *dir;
	struct shared *shared;
	struct rng rng; /* for everything but the operations */
	int pipe;
	enum tl_durability durability;
	uint64_t cached_users, cached_conversations, write_buffer_bytes;
	struct tl_store *store;

	/* the main thread's */
	bool known[USERS][DEVICES]; /* checkpoint set since the store was opened */
	uint64_t checkpoints[USERS][DEVICES];

	pthread_mutex_t lock; /* guards the rest; the writer thread only reads the model */
	struct model *model;
	bool settled; /* the model knows all that the store has accepted */
	uint64_t told_latest[USERS];
	uint64_t told_head[CONVERSATIONS];
};

static void say_accepted(struct child *child, uint64_t n)
{
	ssize_t written;
	do
		written = write(child->pipe, &n, sizeof n);
	while (written < 0 && errno == EINTR);
	CHECK(written == (ssize_t)sizeof n);
}

/* --- what answers say --- */

/* The pairs as a map, in `pack`. */
static struct tl_slice as_map(struct tl_pack *pack, struct tl_slice pairs, uint32_t count)
{
	tl_pack_map(pack, count);
	tl_pack_raw(pack, pairs);
	CHECK(!pack->failed);
	return tl_pack_bytes(pack);
}

static uint64_t get_uint(struct tl_slice map, const char *key)
{
	struct tl_reader reader;
	uint64_t value;
	CHECK(tl_msgpack_find(map, key, &reader) && tl_reader_uint(&reader, &value));
	return value;
}

static bool get_bool(struct tl_slice map, const char *key)
{
	struct tl_reader reader;
	bool value;
	CHECK(tl_msgpack_find(map, key, &reader) && tl_reader_bool(&reader, &value));
	return value;
}

static struct tl_slice get_str(struct tl_slice map, const char *key)
{
	struct tl_reader reader;
	struct tl_slice value;
	CHECK(tl_msgpack_find(map, key, &reader) && tl_reader_str(&reader, &value));
	return value;
}

static bool has(struct tl_slice map, const char *key)
{
	struct tl_reader reader;
	return tl_msgpack_find(map, key, &reader);
}

static bool equals(struct tl_slice value, const char *text)
{
	return tl_slice_equal(value, tl_slice_str(text));
}

/* --- events, on the writer thread --- */

static void check_outcome(struct child *child, const struct tl_outcome *outcome, uint64_t n)
{
	const struct result *expected = &child->model->results[n];
	struct op op = make_op(child->model->seed, n);
	struct tl_pack pack;
	tl_pack_init(&pack);
	struct tl_slice fields = as_map(&pack, outcome->fields, outcome->field_count);

	CHECK(strcmp(outcome->op, op.create ? "create" : "send") == 0);
	CHECK(outcome->err == expected->err);
	CHECK(equals(outcome->user, user_name(op.user).text) && equals(outcome->device, device_name(op.device).text));
	if (outcome->err == TL_OK && op.create) {
		CHECK(get_uint(fields, "head") == expected->cseq);
	} else if (outcome->err == TL_OK) {
		CHECK(get_uint(fields, "cseq") == expected->cseq);
		CHECK(get_uint(fields, "ts") == expected->ts);
		CHECK(get_bool(fields, "dup") == expected->dup);
	}
	if (!op.create)
		CHECK(equals(get_str(fields, "conv"), conversation_name(op.conversation).text));
	if (op.id != NO_ID && !op.create)
		CHECK(equals(get_str(fields, "id"), id_name(op.id).text));
	tl_pack_fini(&pack);
}

static void check_told_entry(struct child *child, const struct tl_inbox_append *told, const struct tl_delivery *what)
{
	unsigned user = 0;
	while (user < USERS && !equals(told->uid, user_name(user).text))
		user++;
	CHECK(user < USERS);
	CHECK(child->told_latest[user] == 0 || told->seq == child->told_latest[user] + 1);
	child->told_latest[user] = told->seq;
	const struct inbox *inbox = &child->model->inboxes[user];
	if (told->seq > inbox->count) {
		CHECK(!child->settled);
		return;
	}
	const struct reference *expected = &inbox->references[told->seq - 1];
	CHECK(equals(what->cid, conversation_name(expected->conversation).text));
	CHECK(what->cseq == expected->cseq);
	child->told_head[expected->conversation] = what->cseq;
}

static void on_committed(void *ctx, const struct tl_commit *commit)
{
	struct child *child = ctx;
	pthread_mutex_lock(&child->lock);
	for (size_t i = 0; i < commit->append_count; i++)
		check_told_entry(child, &commit->appends[i], &commit->deliveries[commit->appends[i].delivery]);
	for (size_t i = 0; i < commit->outcome_count; i++) {
		uint64_t n;
		CHECK(commit->outcomes[i].route.len == sizeof n);
		memcpy(&n, commit->outcomes[i].route.ptr, sizeof n);
		if (n < child->model->next)
			check_outcome(child, &commit->outcomes[i], n);
		else
			CHECK(!child->settled && n == child->model->next); /* (O2) */
		say_accepted(child, n);
	}
	pthread_mutex_unlock(&child->lock);
}

static void on_log(void *ctx, enum tl_log level, const char *text)
{
	(void)ctx;
	fprintf(stderr, "%s\n", text);
	CHECK(level == TL_LOG_NOTICE);
}

/* --- opening --- */

static void open_store(struct child *child)
{
	const struct tl_store_options options = {
		.dir = child->dir->path,
		.durability = child->durability,
		.queue_max_bytes = 1 << 30,
		.block_cache_bytes = 1 << 20,
		.write_buffer_bytes = child->write_buffer_bytes,
		.cached_users = child->cached_users,
		.cached_conversations = child->cached_conversations,
		.limits = {.server = "test", .dedup_window_ms = child->model->dedup_window_ms, .write_fanout_max = 500, .max_members = MAX_MEMBERS,
		           .max_conversations = 1000},
		.events = {child, on_committed, on_log},
	};
	struct tl_why why;
	memset(child->known, 0, sizeof child->known);
	memset(child->told_latest, 0, sizeof child->told_latest);
	memset(child->told_head, 0, sizeof child->told_head);
	enum tl_err err = tl_store_open(&options, &child->store, &why);
	if (err != TL_OK)
		fprintf(stderr, "%s\n", why.text);
	CHECK(err == TL_OK);
	uint64_t epoch = strtoull(tl_store_epoch(child->store), NULL, 16), known = 0;
	if (!atomic_compare_exchange_strong(&child->shared->epoch, &known, epoch))
		CHECK(known == epoch);
}

static void wait_until_applied(struct child *child)
{
	for (int ms = 0; tl_store_stats(child->store).queue_bytes > 0; ms++) {
		CHECK(ms < SETTLE_MS);
		usleep(1000);
	}
}

static uint64_t latest(struct child *child, unsigned user)
{
	uint64_t seq;
	struct tl_inbox inbox;
	CHECK(tl_store_inbox(child->store, tl_slice_str(user_name(user).text), 1700000000000, &inbox) == TL_OK);
	seq = inbox.latest;
	tl_inbox_free(&inbox);
	return seq;
}

/* Finds out what became of the operation in doubt (O2): whoever sends or creates gets it, too. */
static void settle(struct child *child)
{
	wait_until_applied(child);
	pthread_mutex_lock(&child->lock);
	if (!child->settled) {
		struct op op = make_op(child->model->seed, child->model->next);
		if (latest(child, op.user) > child->model->inboxes[op.user].count) {
			say_accepted(child, child->model->next);
			model_apply(child->model);
		}
		child->settled = true;
	}
	pthread_mutex_unlock(&child->lock);
}

/* --- submitting --- */

static enum tl_err submit_create(struct child *child, const struct op *op, const struct tl_submission *from)
{
	const struct tl_request *request = tl_request_find(tl_slice_str("create"));
	struct tl_why why;
	struct tl_pack pack;
	tl_pack_init(&pack);
	pack_create(&pack, child->model->seed, op);
	enum tl_err err = tl_request_check(request, tl_pack_bytes(&pack), &why);
	if (err == TL_OK)
		err = tl_store_change(child->store, from, request, tl_pack_bytes(&pack), op->ts);
	tl_pack_fini(&pack);
	return err;
}

static enum tl_err submit_send(struct child *child, const struct op *op, const struct tl_submission *from)
{
	struct name id = id_name(op->id), target = conversation_name(op->conversation);
	struct tl_message message = {
		.ts = op->ts, .from = from->user, .device = from->device, .type = tl_slice_str("text"),
		.has_order = op->has_order, .order = op->n + 1, .has_time = op->has_time, .time = op->n,
	};
	if (op->by_uid) {
		unsigned first, second;
		pair_of(op->conversation, &first, &second);
		target = user_name(op->user == first ? second : first);
	}
	return tl_store_send(child->store, from, op->by_uid, tl_slice_str(target.text),
	                     op->id == NO_ID ? tl_slice("", 0) : tl_slice_str(id.text), &message,
	                     tl_slice(body_of(op), op->body_len));
}

static void submit_next(struct child *child)
{
	struct op op = make_op(child->model->seed, child->model->next);
	struct name user = user_name(op.user), device = device_name(op.device);
	const struct tl_submission from = {tl_slice(&op.n, sizeof op.n), tl_slice_str(user.text),
	                                   tl_slice_str(device.text)};
	pthread_mutex_lock(&child->lock);
	model_apply(child->model);
	pthread_mutex_unlock(&child->lock);
	CHECK((op.create ? submit_create : submit_send)(child, &op, &from) == TL_OK);
	say_accepted(child, op.n);
}

/* --- reading --- */

static enum tl_err ask(struct child *child, const char *op, unsigned user, unsigned device, struct tl_slice args,
                       struct tl_answer *answer)
{
	struct name uid = user_name(user), did = device_name(device);
	const struct tl_call call = {
		.user = tl_slice_str(uid.text), .device = tl_slice_str(did.text), .raw = args, .now = 1700000000000};
	tl_answer_init(answer);
	return tl_store_read(child->store, tl_request_find(tl_slice_str(op)), call, answer);
}

static void check_event(struct tl_slice message, const struct entry *entry)
{
	struct tl_reader reader;
	CHECK(equals(get_str(message, "type"), "event"));
	CHECK(tl_msgpack_find(message, "event", &reader));
	struct tl_slice event = tl_slice(reader.next, (size_t)(reader.end - reader.next));
	CHECK(equals(get_str(event, "kind"), "create"));
	CHECK(equals(get_str(event, "by"), user_name(entry->user).text));
	CHECK(!has(message, "body"));
}

static void check_content(struct tl_slice message, const struct op *op)
{
	struct tl_reader reader;
	struct tl_slice body;
	CHECK(equals(get_str(message, "type"), "text"));
	CHECK(tl_msgpack_find(message, "body", &reader) && tl_reader_bin(&reader, &body));
	CHECK(tl_slice_equal(body, tl_slice(body_of(op), op->body_len)));
	CHECK(has(message, "order") == op->has_order && has(message, "time") == op->has_time);
	if (op->id == NO_ID)
		CHECK(memcmp(get_str(message, "id").ptr, "s-", 2) == 0);
	else
		CHECK(equals(get_str(message, "id"), id_name(op->id).text));
}

static void check_message(const struct model *model, unsigned user, uint64_t seq, struct tl_slice message)
{
	CHECK(seq <= model->inboxes[user].count);
	const struct reference *reference = &model->inboxes[user].references[seq - 1];
	const struct entry *entry = &model->conversations[reference->conversation].entries[reference->cseq - 1];
	struct op op = make_op(model->seed, entry->n);

	CHECK(get_uint(message, "seq") == seq);
	CHECK(equals(get_str(message, "conv"), conversation_name(reference->conversation).text));
	CHECK(get_uint(message, "cseq") == reference->cseq);
	CHECK(get_uint(message, "ts") == entry->ts);
	CHECK(equals(get_str(message, "from"), user_name(entry->user).text));
	CHECK(equals(get_str(message, "device"), device_name(op.device).text));
	if (entry->event)
		check_event(message, entry);
	else
		check_content(message, &op);
}

/* Checks the messages of a page against the model and answers how many there are. */
static uint32_t check_messages(const struct model *model, unsigned user, uint64_t after, struct tl_slice page)
{
	struct tl_reader reader;
	uint32_t count;
	CHECK(tl_msgpack_find(page, "messages", &reader) && tl_reader_array(&reader, &count));
	for (uint32_t i = 0; i < count; i++) {
		const unsigned char *begin = reader.next;
		CHECK(tl_reader_skip(&reader));
		check_message(model, user, after + i + 1, tl_slice(begin, (size_t)(reader.next - begin)));
	}
	return count;
}

/* A page ends at its limit, at the end, or where the next message would make it too large. */
static void check_page_end(const struct child *child, unsigned user, uint64_t next, uint64_t seen_latest,
                           uint32_t count, uint64_t limit, size_t bytes)
{
	CHECK(count <= limit && next <= seen_latest);
	if (count == limit || next == seen_latest)
		return;
	const struct reference *reference = &child->model->inboxes[user].references[next];
	const struct entry *entry = &child->model->conversations[reference->conversation].entries[reference->cseq - 1];
	CHECK(count > 0);
	CHECK(bytes + make_op(child->model->seed, entry->n).body_len + 1024 > TL_PAGE_BYTES);
}

static void check_reset(struct tl_slice page)
{
	struct tl_reader reader;
	uint32_t count;
	CHECK(tl_msgpack_find(page, "messages", &reader) && tl_reader_array(&reader, &count) && count == 0);
	CHECK(get_uint(page, "next") == 0);
}

/* Where a page without `after` began. */
static uint64_t began_at(struct tl_slice page)
{
	struct tl_reader reader;
	uint32_t count;
	CHECK(tl_msgpack_find(page, "messages", &reader) && tl_reader_array(&reader, &count));
	if (count == 0)
		return get_uint(page, "next");
	return get_uint(tl_slice(reader.next, (size_t)(reader.end - reader.next)), "seq") - 1;
}

static void pack_sync(struct tl_pack *pack, bool has_after, uint64_t after, uint64_t limit)
{
	tl_pack_init(pack);
	tl_pack_map(pack, has_after ? 2 : 1);
	tl_pack_cstr(pack, "limit");
	tl_pack_uint(pack, limit);
	if (has_after) {
		tl_pack_cstr(pack, "after");
		tl_pack_uint(pack, after);
	}
}

/* One page, compared with the model; answers `next`. Nothing may be missing that was told before. */
static uint64_t sync_page(struct child *child, unsigned user, unsigned device, bool has_after, uint64_t after,
                          uint64_t limit)
{
	struct tl_pack args, map;
	struct tl_answer answer;
	pthread_mutex_lock(&child->lock);
	uint64_t told = child->told_latest[user];
	pthread_mutex_unlock(&child->lock);
	pack_sync(&args, has_after, after, limit);
	CHECK(ask(child, "sync", user, device, tl_pack_bytes(&args), &answer) == TL_OK);
	tl_pack_init(&map);
	struct tl_slice page = as_map(&map, tl_pack_bytes(&answer.fields), answer.field_count);

	uint64_t seen_latest = get_uint(page, "latest"), next = get_uint(page, "next");
	CHECK(seen_latest >= told && seen_latest <= child->model->inboxes[user].count);
	CHECK(get_uint(page, "floor") == 0 && !has(page, "gap"));
	CHECK(get_bool(page, "more") == (next < seen_latest));
	CHECK(equals(get_str(page, "epoch"), tl_store_epoch(child->store)));
	CHECK(has(page, "reset") == (has_after && after > seen_latest));
	if (!has_after) {
		after = began_at(page);
		CHECK(!child->known[user][device] || after == child->checkpoints[user][device]);
	}
	if (after > seen_latest) {
		check_reset(page);
	} else {
		uint32_t count = check_messages(child->model, user, after, page);
		CHECK(next == after + count);
		check_page_end(child, user, next, seen_latest, count, limit, page.len);
		if (has_after && seen_latest > 0) {
			child->known[user][device] = true;
			child->checkpoints[user][device] = after;
		}
	}
	tl_answer_fini(&answer);
	tl_pack_fini(&args);
	tl_pack_fini(&map);
	return next;
}

static void check_info(struct child *child, unsigned conversation_index, unsigned user)
{
	const struct conversation *conversation = &child->model->conversations[conversation_index];
	struct tl_answer answer;
	struct tl_pack args, map;
	pthread_mutex_lock(&child->lock);
	uint64_t told = child->told_head[conversation_index];
	pthread_mutex_unlock(&child->lock);
	tl_pack_init(&args);
	tl_pack_init(&map);
	tl_pack_map(&args, 1);
	tl_pack_cstr(&args, "conv");
	tl_pack_cstr(&args, conversation_name(conversation_index).text);
	enum tl_err err = ask(child, "info", user, 0, tl_pack_bytes(&args), &answer);
	bool member = conversation->exists && (conversation->members >> user & 1);
	CHECK(err == TL_NOT_MEMBER || (err == TL_OK && member));
	CHECK(err == TL_OK || !member || told == 0);
	if (err == TL_OK) {
		struct tl_slice info = as_map(&map, tl_pack_bytes(&answer.fields), answer.field_count);
		CHECK(equals(get_str(info, "conv"), conversation_name(conversation_index).text));
		CHECK(get_uint(info, "count") == (uint64_t)__builtin_popcount(conversation->members));
		CHECK(get_uint(info, "head") >= told && get_uint(info, "head") <= conversation->count);
		CHECK(is_direct(conversation_index) || equals(get_str(info, "owner"), user_name(conversation->owner).text));
	}
	tl_answer_fini(&answer);
	tl_pack_fini(&args);
	tl_pack_fini(&map);
}

static void check_hello(struct child *child, unsigned user, unsigned device)
{
	struct tl_answer answer;
	struct tl_pack map;
	tl_pack_init(&map);
	CHECK(ask(child, "hello", user, device, tl_slice("\x80", 1), &answer) == TL_OK);
	struct tl_slice hello = as_map(&map, tl_pack_bytes(&answer.fields), answer.field_count);
	CHECK(equals(get_str(hello, "user"), user_name(user).text));
	CHECK(equals(get_str(hello, "device"), device_name(device).text));
	CHECK(equals(get_str(hello, "epoch"), tl_store_epoch(child->store)));
	CHECK(get_uint(hello, "latest") <= child->model->inboxes[user].count && get_uint(hello, "floor") == 0);
	tl_answer_fini(&answer);
	tl_pack_fini(&map);
}

/* What is final must be what the operation would meet; what is allowed stays allowed, since nobody leaves here. */
static void check_standing(struct child *child, unsigned conversation, unsigned user)
{
	struct tl_standing standing;
	struct name cid = conversation_name(conversation), uid = user_name(user);
	CHECK(tl_store_standing(child->store, tl_slice_str(cid.text), tl_slice_str(uid.text), &standing) == TL_OK);
	enum tl_err expected = may_send(child->model, conversation, user);
	if (standing.final || standing.may_send == TL_OK)
		CHECK(standing.may_send == expected);
	if (standing.may_send == TL_OK && !is_direct(conversation))
		CHECK(standing.needs_order == is_custom(child->model->conversations[conversation].variant));
}

static void read_something(struct child *child)
{
	struct rng *rng = &child->rng;
	unsigned user = below(rng, USERS), device = below(rng, DEVICES), conversation = below(rng, CONVERSATIONS);
	size_t count = child->model->inboxes[user].count;
	uint64_t limit = chance(rng, 70) ? 1 + below(rng, 40) : 1 + below(rng, TL_PAGE_MAX);
	if (chance(rng, 60))
		conversation = DIRECTS + below(rng, 4);
	switch (below(rng, 5)) {
	case 0:
		sync_page(child, user, device, true, rng_next(rng) % (count + 3), limit);
		break;
	case 1:
		sync_page(child, user, device, false, 0, limit);
		break;
	case 2:
		check_info(child, conversation, user);
		break;
	case 3:
		check_hello(child, user, device);
		break;
	default:
		check_standing(child, conversation, user);
	}
}

/* --- comparing everything --- */

static void compare_all(struct child *child)
{
	for (unsigned user = 0; user < USERS; user++) {
		size_t count = child->model->inboxes[user].count;
		CHECK(latest(child, user) == count);
		for (uint64_t after = 0; after < count;)
			after = sync_page(child, user, 0, true, after, 1 + below(&child->rng, TL_PAGE_MAX));
	}
	for (unsigned i = 0; i < CONVERSATIONS; i++)
		for (unsigned user = 0; user < USERS; user++) {
			check_info(child, i, user);
			check_standing(child, i, user);
		}
}

static void close_store(struct child *child)
{
	tl_store_close(child->store);
	child->store = NULL;
}

static void run_child(struct child *child)
{
	pthread_mutex_init(&child->lock, NULL);
	open_store(child);
	settle(child);
	compare_all(child);
	unsigned ops = 100 + below(&child->rng, 2500), reopen_at = below(&child->rng, ops);
	for (unsigned i = 0; i < ops; i++) {
		submit_next(child);
		while (chance(&child->rng, 25))
			read_something(child);
		if (i == reopen_at) {
			close_store(child);
			open_store(child);
		}
	}
	settle(child);
	compare_all(child);
	close_store(child);
	pthread_mutex_destroy(&child->lock);
	close(child->pipe);
}

/* --- the parent --- */

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static pid_t start_child(struct model *model, const struct temp_dir *dir, struct shared *shared, struct rng rng,
                         int *pipe_out)
{
	int ends[2];
	CHECK(pipe(ends) == 0);
	fflush(NULL);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		static const uint64_t few[] = {1, 3, 1000};
		close(ends[0]);
		struct child child = {.dir = dir, .shared = shared, .rng = rng, .pipe = ends[1], .model = model};
		child.durability = (enum tl_durability)below(&child.rng, 3);
		child.cached_users = few[below(&child.rng, 3)];
		child.cached_conversations = few[below(&child.rng, 3)];
		child.write_buffer_bytes = chance(&child.rng, 50) ? 64 << 10 : 4 << 20;
		run_child(&child);
		model_clear(model);
		exit(0);
	}
	close(ends[1]);
	*pipe_out = ends[0];
	return pid;
}

/* Follows the child's numbers until it is gone; kills it after `kill_ms` (0: never). */
static bool follow(struct model *model, pid_t pid, int from, uint64_t kill_ms)
{
	uint64_t n, kill_at = now_ms() + kill_ms;
	bool killed = false;
	int status;
	for (;;) {
		if (kill_ms > 0 && !killed && now_ms() >= kill_at)
			killed = kill(pid, SIGKILL) == 0;
		struct pollfd poll_from = {.fd = from, .events = POLLIN};
		int timeout = kill_ms == 0 || killed ? -1 : (int)(kill_at > now_ms() ? kill_at - now_ms() : 0);
		if (poll(&poll_from, 1, timeout) <= 0)
			continue;
		if (read(from, &n, sizeof n) != (ssize_t)sizeof n)
			break;
		CHECK(n <= model->next);
		if (n == model->next)
			model_apply(model);
	}
	close(from);
	CHECK(waitpid(pid, &status, 0) == pid);
	return (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
	       (killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* One data directory, until `end_ms` or for some rounds; the last child is left to compare everything. */
static bool live(struct model *model, struct shared *shared, struct rng *rng, uint64_t end_ms)
{
	struct temp_dir dir;
	bool ok = true, last = false;
	CHECK(temp_dir_make(&dir));
	atomic_store(&shared->epoch, 0);
	*model = (struct model){.seed = rng_next(rng), .dedup_window_ms = chance(rng, 50) ? 3000 : 604800000};
	for (unsigned round = 0; ok && !last; round++) {
		int from;
		last = round == LIFE_ROUNDS || now_ms() >= end_ms;
		uint64_t kill_ms = last || chance(rng, 20) ? 0 : 1 + below(rng, 700);
		struct rng childs = {rng_next(rng)};
		pid_t pid = start_child(model, &dir, shared, childs, &from);
		ok = follow(model, pid, from, kill_ms);
	}
	printf("%zu operations\n", model->next);
	model_clear(model);
	temp_dir_remove(&dir);
	return ok;
}

int main(int argc, char **argv)
{
	const char *given = getenv("TL_SEED");
	uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 20;
	run_seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
	printf("TL_SEED=%" PRIu64 "\n", run_seed);
	struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	struct rng rng = {run_seed};
	struct model model = {0};
	uint64_t end_ms = now_ms() + seconds * 1000;
	bool ok = true;
	while (ok && now_ms() < end_ms)
		ok = live(&model, shared, &rng, end_ms);
	munmap(shared, sizeof *shared);
	return ok ? 0 : 1;
}
