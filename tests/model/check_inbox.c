/* Inboxes: gapless, complete, each entry as the model says, each conversation's in the order of cseq, none ever at
 * another place than before; and in exact order, all in the order of the operations. What has expired is not there any
 * more, from the first entry on, and nothing else is missing. */
#include "checks.h"

#include "check.h"
#include "expect.h"

/* A page that has been asked for. */
struct request {
	unsigned user, device;
	bool has_after, has_limit;
	uint64_t after, limit;
	bool lagging;
};

/* --- entries --- */

static const struct private *find_private(const struct model *model, unsigned user, uint64_t ts)
{
	const struct inbox *inbox = &model->inboxes[user];
	for (size_t i = 0; i < inbox->private_count; i++)
		if (model->ops[inbox->privates[i].n].ts == ts)
			return &inbox->privates[i];
	FAIL("the private event is one of the user's");
}

/* Which of the entries that the user gets it is; compares it with the model. */
static uint32_t identify(struct child *child, const struct request *request, uint64_t seq, struct tl_slice message)
{
	const struct model *model = child->model;
	if (!has(message, "cseq")) {
		const struct private *private = find_private(model, request->user, get_uint(message, "ts"));
		check_about((int)request->user, private->conversation);
		expect_private(model, seq, private, message);
		child_saw(child, private->n);
		return private->reference;
	}
	struct tl_slice cid = get_str(message, "conv");
	int conversation = model_find(model, cid.ptr, cid.len);
	check_about((int)request->user, conversation);
	CHECK(conversation != NOWHERE);
	const struct shown shown = {.user = request->user, .seq = seq, .conversation = conversation,
	                            .cseq = get_uint(message, "cseq"), .now = child->shared->now,
	                            .lagging = request->lagging};
	expect_entry(model, &shown, message);
	uint32_t reference = model_entry(&model->conversations[conversation], shown.cseq)->references[request->user];
	CHECK(reference != NO_REFERENCE);
	child_saw(child, model_entry(&model->conversations[conversation], shown.cseq)->n);
	return reference;
}

/* Nothing changes its place, and nothing stands in two. */
static void check_place(struct child *child, unsigned user, uint64_t seq, uint32_t entry)
{
	struct shared *shared = child->shared;
	const struct reference *reference = &child->model->inboxes[user].references[entry];
	CHECK(seq <= OPS_MAX);
	CHECK(shared->entry_at[user][seq] == 0 || shared->entry_at[user][seq] == entry + 1);
	CHECK(shared->place_of[user][entry] == 0 || shared->place_of[user][entry] == seq);
	shared->entry_at[user][seq] = entry + 1;
	shared->place_of[user][entry] = (uint32_t)seq;
	if (reference->previous != NO_REFERENCE && shared->place_of[user][reference->previous] > 0)
		CHECK(shared->place_of[user][reference->previous] < seq);
	if (reference->next != NO_REFERENCE && shared->place_of[user][reference->next] > 0)
		CHECK(shared->place_of[user][reference->next] > seq);
	if (child->setup->exact_order)
		CHECK(seq == (uint64_t)entry + 1);
}

/* Answers how many there are. */
static uint64_t check_messages(struct child *child, const struct request *request, uint64_t after,
                               struct tl_slice page)
{
	struct list list = get_list(page, "messages");
	struct tl_slice message;
	uint64_t seq = after;
	while (list_next(&list, &message)) {
		seq++;
		check_place(child, request->user, seq, identify(child, request, seq, message));
	}
	return seq - after;
}

/* --- pages --- */

static void pack_request(struct tl_pack *pack, const struct request *request)
{
	tl_pack_init(pack);
	tl_pack_map(pack, (uint32_t)request->has_after + request->has_limit);
	if (request->has_limit) {
		tl_pack_cstr(pack, "limit");
		tl_pack_uint(pack, request->limit);
	}
	if (request->has_after) {
		tl_pack_cstr(pack, "after");
		tl_pack_uint(pack, request->after);
	}
}

/* The largest body that the entry can have; unknown where it has not been seen. */
static size_t largest_body(const struct child *child, unsigned user, uint64_t seq)
{
	uint32_t entry = child->shared->entry_at[user][seq];
	if (entry == 0)
		return BODY_MAX;
	const struct reference *reference = &child->model->inboxes[user].references[entry - 1];
	size_t largest = 0;
	if (reference->cseq == 0)
		return 0;
	const struct entry *of = model_entry(&child->model->conversations[reference->conversation], reference->cseq);
	for (size_t i = 0; i < of->version_count; i++)
		if (of->versions[i].len > largest)
			largest = of->versions[i].len;
	return largest > child->model->ops[of->n].body.len ? largest : child->model->ops[of->n].body.len;
}

/* A page ends at its limit, at the end, or where the next entry would make it too large; or, with entries, before what
 * came in while it was made. */
static void check_end(const struct child *child, const struct request *request, struct tl_slice page, uint64_t count)
{
	uint64_t limit = request->has_limit ? request->limit : TL_PAGE_DEFAULT;
	uint64_t next = get_uint(page, "next"), latest = get_uint(page, "latest");
	CHECK(count <= limit && next <= latest);
	CHECK(count <= 1 || page.len <= TL_PAGE_BYTES + PAGE_SLACK);
	CHECK(get_bool(page, "more") == (next < latest));
	if (count < limit && next < latest)
		CHECK(count > 0);
	if (count < limit && next < latest && !request->lagging)
		CHECK(page.len + largest_body(child, request->user, next + 1) + PAGE_SLACK > TL_PAGE_BYTES);
}

/* Where a page without `after` began. */
static uint64_t began_at(struct tl_slice page)
{
	struct list list = get_list(page, "messages");
	struct tl_slice first;
	return list_next(&list, &first) ? get_uint(first, "seq") - 1 : get_uint(page, "next");
}

/* `begin` is where the page begins. */
static void check_checkpoint(struct child *child, const struct request *request, struct tl_slice page, uint64_t begin)
{
	struct device *device = &child->shared->devices[request->user][request->device];
	uint64_t latest = get_uint(page, "latest"), floor = get_uint(page, "floor");
	if (!request->has_after) {
		uint64_t position = device->listed ? device->after : floor;
		CHECK(begin <= latest);
		CHECK(!device->certain || begin == (position > floor ? position : floor));
		CHECK(!device->certain || has(page, "gap") == (position < floor));
	} else if (latest > 0) {
		*device = (struct device){.certain = true, .listed = true, .after = request->after, .seen = child->shared->now};
	} else {
		device->certain = false; /* nobody may have heard of the user yet */
	}
}

/* --- floors --- */

static uint64_t ts_of(const struct model *model, unsigned user, const struct reference *reference)
{
	if (reference->cseq == 0)
		return model->ops[model->inboxes[user].privates[reference->private].n].ts;
	return model_entry(&model->conversations[reference->conversation], reference->cseq)->ts;
}

/* What does not fit into the inbox. */
static uint64_t cut(const struct model *model, uint64_t latest)
{
	uint64_t most = model->limits.inbox_max;
	return most > 0 && latest > most ? latest - most : 0;
}

/* In exact order: what has expired of the first `latest` entries, none before the one before it. */
static uint64_t expired(const struct child *child, unsigned user, uint64_t latest)
{
	const struct model *model = child->model;
	uint64_t seq = 0, ts = 0;
	for (; seq < latest; seq++) {
		uint64_t own = ts_of(model, user, &model->inboxes[user].references[seq]);
		ts = own > ts ? own : ts;
		if (!model_expired(ts, model->limits.inbox_ttl_ms, child->shared->now))
			break;
	}
	return seq;
}

/* `told`: what the inbox had when the page was asked for; its beginning is of then or later (pull.h L3). */
static void check_floor(struct child *child, unsigned user, uint64_t floor, uint64_t told, uint64_t latest)
{
	const struct limits *limits = &child->model->limits;
	uint64_t least = cut(child->model, latest), prefix;
	CHECK(floor >= cut(child->model, told) && floor <= latest);
	CHECK(floor >= child->shared->floors[user]);
	child->shared->floors[user] = floor;
	if (child->setup->exact_order) {
		prefix = expired(child, user, latest);
		CHECK(floor == (prefix > least ? prefix : least));
	} else if (limits->inbox_ttl_ms == 0 && !limits->retention) {
		CHECK(floor <= least);
	}
}

/* All above the floor has been seen; what is not there has expired, or there was no room for it. */
static void check_complete(struct child *child, unsigned user, uint64_t floor, uint64_t latest)
{
	const struct model *model = child->model;
	const struct shared *shared = child->shared;
	const uint64_t ttl_ms = model->limits.inbox_ttl_ms;
	for (uint64_t seq = floor + 1; seq <= latest; seq++)
		CHECK(shared->entry_at[user][seq] > 0);
	for (uint32_t i = 0; i < model->inboxes[user].count; i++) {
		const struct reference *reference = &model->inboxes[user].references[i];
		bool is_there = shared->place_of[user][i] > floor;
		bool is_expired = model_expired(ts_of(model, user, reference), ttl_ms, shared->now);
		if (reference->cseq > 0) {
			const struct conversation *c = &model->conversations[reference->conversation];
			is_expired |= model_fate(c, model_entry(c, reference->cseq), shared->now) != FATE_KEPT;
		}
		check_about((int)user, reference->conversation);
		CHECK(is_there || is_expired || cut(model, latest) > 0);
		if (reference->previous != NO_REFERENCE && shared->place_of[user][reference->previous] > floor)
			CHECK(is_there);
		if (shared->place_of[user][i] == floor + 1 && cut(model, latest) == 0)
			CHECK(!model_expired(ts_of(model, user, reference), ttl_ms, shared->now));
	}
}

static void check_totals(struct child *child, const struct request *request, struct tl_slice page, uint64_t told)
{
	uint64_t latest = get_uint(page, "latest"), due = child->model->inboxes[request->user].count;
	CHECK(latest >= told && latest <= due);
	CHECK(latest == due || request->lagging);
	child_saw_latest(child, request->user, latest);
	check_floor(child, request->user, get_uint(page, "floor"), told, latest);
	CHECK(equals(get_str(page, "epoch"), tl_store_epoch(child->store)));
	CHECK(has(page, "reset") == (request->has_after && request->after > latest));
}

/* Answers `next`. */
static uint64_t check_page(struct child *child, const struct request *request)
{
	struct reading reading;
	struct tl_pack args;
	uint64_t told = child_told(child, request->user), begin = request->after;
	check_about((int)request->user, NOWHERE);
	pack_request(&args, request);
	child_read(child, "sync", request->user, request->device, tl_pack_bytes(&args), &reading);
	CHECK(reading.err == TL_OK);
	check_totals(child, request, reading.map, told);
	uint64_t next = get_uint(reading.map, "next"), latest = get_uint(reading.map, "latest");
	uint64_t floor = get_uint(reading.map, "floor");
	if (!request->has_after)
		begin = began_at(reading.map);
	if (begin > latest) {
		CHECK(get_list(reading.map, "messages").left == 0 && next == floor && get_bool(reading.map, "reset"));
	} else {
		CHECK(!request->has_after || has(reading.map, "gap") == (begin < floor));
		begin = begin > floor ? begin : floor;
		check_checkpoint(child, request, reading.map, begin);
		uint64_t count = check_messages(child, request, begin, reading.map);
		CHECK(next == begin + count);
		check_end(child, request, reading.map, count);
	}
	reading_fini(&reading);
	tl_pack_fini(&args);
	return next;
}

void check_sync(struct child *child, unsigned user)
{
	struct rng *rng = &child->rng;
	size_t count = child->model->inboxes[user].count;
	struct request request = {.user = user, .device = below(rng, DEVICES), .lagging = true};
	request.has_after = chance(rng, 75);
	if (request.has_after)
		request.after = chance(rng, 3) ? UINT64_MAX : rng_next(rng) % (count + 3);
	request.has_limit = chance(rng, 90);
	if (request.has_limit)
		request.limit = chance(rng, 70) ? 1 + below(rng, 40) : 1 + below(rng, TL_PAGE_MAX);
	check_page(child, &request);
}

void check_inbox(struct child *child, unsigned user)
{
	struct request request = {.user = user, .has_after = true, .has_limit = true};
	uint64_t count = child->model->inboxes[user].count;
	CHECK(child_latest(child, user) == count);
	do {
		request.limit = 1 + below(&child->rng, TL_PAGE_MAX);
		request.after = check_page(child, &request);
	} while (request.after < count);
	CHECK(request.after == count);
	check_complete(child, user, child->shared->floors[user], count);
}

/* --- hello --- */

static void check_limits(const struct limits *limits, struct tl_slice map)
{
	CHECK(get_uint(map, "max_body") == limits->max_body && get_uint(map, "max_members") == limits->max_members);
	CHECK(get_uint(map, "inbox_ttl_ms") == limits->inbox_ttl_ms && get_uint(map, "inbox_max") == limits->inbox_max);
	CHECK(get_uint(map, "retention_ms") == limits->retention_ms);
	CHECK(get_uint(map, "dedup_window_ms") == limits->dedup_window_ms);
	CHECK(get_uint(map, "page_messages") == TL_PAGE_MAX && get_uint(map, "page_bytes") == TL_PAGE_BYTES);
}

void check_hello(struct child *child, unsigned user)
{
	struct reading reading;
	unsigned device = below(&child->rng, DEVICES);
	uint64_t told = child_told(child, user);
	check_about((int)user, NOWHERE);
	child_read(child, "hello", user, device, tl_slice("\x80", 1), &reading);
	CHECK(reading.err == TL_OK);
	CHECK(equals(get_str(reading.map, "user"), user_name(user).text));
	CHECK(equals(get_str(reading.map, "device"), device_name(device).text));
	CHECK(equals(get_str(reading.map, "epoch"), tl_store_epoch(child->store)));
	CHECK(equals(get_str(reading.map, "server"), "test"));
	uint64_t latest = get_uint(reading.map, "latest");
	CHECK(latest >= told && latest <= child->model->inboxes[user].count);
	child_saw_latest(child, user, latest);
	check_floor(child, user, get_uint(reading.map, "floor"), told, latest);
	check_limits(&child->model->limits, get_map(reading.map, "limits"));
	reading_fini(&reading);
}
