/* Histories: all that the user may see and nothing else, in their order, from anywhere in either direction. */
#include "checks.h"

#include "check.h"
#include "expect.h"

#include <stdlib.h>

enum { PAGES = 3 /* read unless it goes to the end */ };

struct place {
	uint64_t order; /* 0 by cseq */
	uint64_t cseq;
};

/* Where a history begins and which way it goes. */
enum from { FROM_END, FROM_BEFORE, FROM_AFTER, FROM_TIME };

struct walk {
	struct child *child;
	int conversation;
	unsigned user;
	enum from from;
	uint64_t number; /* a cseq, an order key or a time */
	struct place *places; /* in the order in which they are to come */
	size_t count;
};

/* --- what is to come --- */

static int ascending(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return (x->cseq > y->cseq) - (x->cseq < y->cseq);
}

static int descending(const void *a, const void *b)
{
	return ascending(b, a);
}

static bool shows(const struct walk *walk, uint64_t cseq)
{
	const struct conversation *c = &walk->child->model->conversations[walk->conversation];
	return model_visible(c, walk->user, cseq) &&
	       model_fate(c, model_entry(c, cseq), walk->child->shared->now) != FATE_EXPIRED;
}

/* Whether it is known of all entries what has become of them. */
static bool is_certain(const struct walk *walk)
{
	const struct conversation *c = &walk->child->model->conversations[walk->conversation];
	bool certain = true;
	for (uint64_t cseq = 1; cseq <= c->count; cseq++)
		certain &= model_fate(c, model_entry(c, cseq), walk->child->shared->now) != FATE_UNCERTAIN;
	return certain;
}

/* The first message that the user can see of that time or later; behind all of them if there is none. */
static struct place at_time(const struct walk *walk, bool custom)
{
	const struct model *model = walk->child->model;
	const struct conversation *c = &model->conversations[walk->conversation];
	for (uint64_t cseq = 1; cseq <= c->count; cseq++) {
		const struct entry *entry = model_entry(c, cseq);
		if (entry->ts < walk->number || !shows(walk, cseq) || (custom && !model_is_message(entry)))
			continue;
		return (struct place){custom ? model->ops[entry->n].order : 0, cseq};
	}
	return (struct place){UINT64_MAX, UINT64_MAX};
}

static bool is_in(const struct walk *walk, const struct place *place, const struct place *time, bool custom)
{
	uint64_t number = custom ? place->order : place->cseq;
	switch (walk->from) {
	case FROM_BEFORE:
		return number < walk->number;
	case FROM_AFTER:
		return number > walk->number;
	case FROM_TIME:
		return ascending(place, time) >= 0;
	default:
		return true;
	}
}

static void collect(struct walk *walk)
{
	const struct model *model = walk->child->model;
	const struct conversation *c = &model->conversations[walk->conversation];
	bool custom = model_is_custom(c), forwards = walk->from == FROM_AFTER || walk->from == FROM_TIME;
	struct place time = at_time(walk, custom);
	walk->places = malloc((c->count + 1) * sizeof *walk->places);
	CHECK(walk->places != NULL);
	for (uint64_t cseq = 1; cseq <= c->count; cseq++) {
		const struct entry *entry = model_entry(c, cseq);
		struct place place = {custom ? model->ops[entry->n].order : 0, cseq};
		if (shows(walk, cseq) && (!custom || model_is_message(entry)) &&
		    is_in(walk, &place, &time, custom))
			walk->places[walk->count++] = place;
	}
	qsort(walk->places, walk->count, sizeof *walk->places, forwards ? ascending : descending);
}

/* --- asking --- */

static void pack_request(struct tl_pack *pack, const struct walk *walk, struct tl_slice cursor, uint64_t limit)
{
	static const char *const keys[] = {[FROM_BEFORE] = "before", [FROM_AFTER] = "after", [FROM_TIME] = "at"};
	bool begin = cursor.len == 0 && walk->from != FROM_END;
	tl_pack_clear(pack);
	tl_pack_map(pack, 2U + begin + (cursor.len > 0));
	tl_pack_cstr(pack, "conv");
	tl_pack_cstr(pack, walk->child->model->conversations[walk->conversation].cid);
	tl_pack_cstr(pack, "limit");
	tl_pack_uint(pack, limit);
	if (begin) {
		tl_pack_cstr(pack, keys[walk->from]);
		tl_pack_uint(pack, walk->number);
	} else if (cursor.len > 0) {
		tl_pack_cstr(pack, "cursor");
		tl_pack_str(pack, cursor);
	}
}

static void choose_start(struct walk *walk)
{
	struct rng *rng = &walk->child->rng;
	const struct conversation *c = &walk->child->model->conversations[walk->conversation];
	walk->from = (enum from)below(rng, 4);
	walk->number = chance(rng, 5) ? UINT64_MAX : below(rng, (unsigned)(model_is_custom(c) ? 33 : c->count + 3));
	if (walk->from == FROM_TIME && c->count > 0)
		walk->number = model_entry(c, 1 + below(rng, (unsigned)c->count))->ts + below(rng, 3) - 1;
}

/* --- one page --- */

static size_t body_len(const struct model *model, const struct conversation *c, uint64_t cseq)
{
	const struct entry *entry = model_entry(c, cseq);
	return entry->version_count > 0 ? entry->versions[entry->version_count - 1].len : model->ops[entry->n].body.len;
}

static void check_page_size(const struct walk *walk, struct tl_slice page, size_t count, uint64_t limit, size_t at)
{
	const struct model *model = walk->child->model;
	CHECK(count <= limit);
	CHECK(count <= 1 || page.len <= TL_PAGE_BYTES + PAGE_SLACK);
	if (count == limit || at == walk->count)
		return;
	size_t next = body_len(model, &model->conversations[walk->conversation], walk->places[at].cseq);
	CHECK(count > 0 && page.len + next + PAGE_SLACK > TL_PAGE_BYTES);
}

/* Compares a page with what is to come from *at on, and moves it. */
static void check_page(const struct walk *walk, struct tl_slice page, uint64_t limit, size_t *at)
{
	struct list list = get_list(page, "messages");
	struct tl_slice message;
	size_t begin = *at;
	for (; list_next(&list, &message); ++*at) {
		CHECK(*at < walk->count);
		const struct shown shown = {
			.user = walk->user, .conversation = walk->conversation, .cseq = walk->places[*at].cseq,
			.now = walk->child->shared->now};
		expect_entry(walk->child->model, &shown, message);
	}
	check_page_size(walk, page, *at - begin, limit, *at);
	CHECK(get_bool(page, "more") == (*at < walk->count));
	CHECK(has(page, "cursor") == (*at < walk->count));
	CHECK(get_uint(page, "head") ==
	      model_last(&walk->child->model->conversations[walk->conversation], walk->user));
}

static void check_pages(struct walk *walk, bool to_the_end)
{
	struct reading reading;
	struct tl_pack args;
	struct cursor cursor = {.len = 0};
	size_t at = 0;
	bool more = true;
	tl_pack_init(&args);
	for (unsigned i = 0; more && (to_the_end || i < PAGES); i++) {
		uint64_t limit = 1 + below(&walk->child->rng, to_the_end ? TL_PAGE_MAX : 20);
		pack_request(&args, walk, cursor_text(&cursor), limit);
		child_read(walk->child, "history", walk->user, 0, tl_pack_bytes(&args), &reading);
		CHECK(reading.err == TL_OK);
		check_page(walk, reading.map, limit, &at);
		more = get_bool(reading.map, "more");
		CHECK(!more || take_cursor(reading.map, &cursor));
		reading_fini(&reading);
	}
	tl_pack_fini(&args);
}

static void expect_not_member(struct walk *walk)
{
	struct reading reading;
	struct tl_pack args;
	tl_pack_init(&args);
	pack_request(&args, walk, tl_slice("", 0), 10);
	child_read(walk->child, "history", walk->user, 0, tl_pack_bytes(&args), &reading);
	CHECK(reading.err == TL_NOT_MEMBER && pair_count(reading.map) == 0);
	reading_fini(&reading);
	tl_pack_fini(&args);
}

/* --- where it is not known what is to come --- */

/* Each entry is what it was or is or will be; their order holds. */
static void check_page_weakly(const struct walk *walk, struct tl_slice page, bool lagging)
{
	const struct model *model = walk->child->model;
	const struct conversation *c = &model->conversations[walk->conversation];
	bool forwards = walk->from == FROM_AFTER || walk->from == FROM_TIME;
	struct list list = get_list(page, "messages");
	struct place before = {0, 0};
	struct tl_slice message;
	while (list_next(&list, &message)) {
		const struct shown shown = {.user = walk->user, .conversation = walk->conversation,
		                            .cseq = get_uint(message, "cseq"), .now = walk->child->shared->now,
		                            .lagging = lagging};
		expect_entry(model, &shown, message);
		uint64_t n = model_entry(c, shown.cseq)->n;
		child_saw(walk->child, n);
		struct place place = {model_is_custom(c) ? model->ops[n].order : 0, shown.cseq};
		CHECK(before.cseq == 0 || (ascending(&before, &place) < 0) == forwards);
		before = place;
	}
}

static void check_history_weakly(struct child *child, int conversation, unsigned user, bool lagging)
{
	struct walk walk = {.child = child, .conversation = conversation, .user = user};
	struct reading reading;
	struct tl_pack args;
	if (child->model->conversations[conversation].cid[0] == '\0')
		return;
	check_about((int)user, conversation);
	choose_start(&walk);
	tl_pack_init(&args);
	pack_request(&args, &walk, tl_slice("", 0), 1 + below(&child->rng, 50));
	child_read(child, "history", user, 0, tl_pack_bytes(&args), &reading);
	CHECK(reading.err == TL_OK || reading.err == TL_NOT_MEMBER);
	if (reading.err == TL_OK)
		check_page_weakly(&walk, reading.map, lagging);
	reading_fini(&reading);
	tl_pack_fini(&args);
}

void check_history_lagging(struct child *child, int conversation, unsigned user)
{
	check_history_weakly(child, conversation, user, true);
}

void check_history(struct child *child, int conversation, unsigned user, bool to_the_end)
{
	struct walk walk = {.child = child, .conversation = conversation, .user = user};
	check_about((int)user, conversation);
	if (child->model->conversations[conversation].cid[0] == '\0')
		return;
	choose_start(&walk);
	if (!model_knows(&child->model->conversations[conversation], user)) {
		expect_not_member(&walk);
		return;
	}
	if (!is_certain(&walk)) {
		check_history_weakly(child, conversation, user, false);
		return;
	}
	collect(&walk);
	check_pages(&walk, to_the_end);
	free(walk.places);
}

/* --- get --- */

static void expect_found(enum fate fate, enum tl_err err)
{
	CHECK(err == TL_OK || err == TL_NO_SUCH_MESSAGE);
	CHECK(err == TL_OK ? fate != FATE_EXPIRED : fate != FATE_KEPT);
}

void check_get(struct child *child, int conversation, unsigned user)
{
	const struct conversation *c = &child->model->conversations[conversation];
	struct reading reading;
	struct tl_pack args;
	const struct shown shown = {
		.user = user, .conversation = conversation, .cseq = 1 + below(&child->rng, (unsigned)c->count + 2),
		.now = child->shared->now};
	if (c->cid[0] == '\0')
		return;
	check_about((int)user, conversation);
	tl_pack_init(&args);
	tl_pack_map(&args, 2);
	tl_pack_cstr(&args, "conv");
	tl_pack_cstr(&args, c->cid);
	tl_pack_cstr(&args, "cseq");
	tl_pack_uint(&args, shown.cseq);
	child_read(child, "get", user, 0, tl_pack_bytes(&args), &reading);
	if (!model_knows(c, user))
		CHECK(reading.err == TL_NOT_MEMBER);
	else if (!model_visible(c, user, shown.cseq))
		CHECK(reading.err == TL_NO_SUCH_MESSAGE);
	else
		expect_found(model_fate(c, model_entry(c, shown.cseq), shown.now), reading.err);
	if (reading.err == TL_OK)
		expect_entry(child->model, &shown, get_map(reading.map, "message"));
	reading_fini(&reading);
	tl_pack_fini(&args);
}
