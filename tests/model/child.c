#include "child.h"

#include "check.h"
#include "checks.h"
#include "expect.h"
#include "trouble.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	SETTLE_US = 60000000,
	POLL_US = 200,
	TROUBLES = 5, /* at most while a store is open */
};

void child_init(struct child *child)
{
	pthread_mutex_init(&child->lock, NULL);
	pthread_cond_init(&child->changed, NULL);
}

void child_fini(struct child *child)
{
	pthread_cond_destroy(&child->changed);
	pthread_mutex_destroy(&child->lock);
	close(child->pipe);
}

static void say(struct child *child, const struct news *news)
{
	ssize_t written;
	do
		written = write(child->pipe, news, sizeof *news);
	while (written < 0 && errno == EINTR);
	CHECK(written == (ssize_t)sizeof *news);
}

static const char *cid_of(const struct model *model, int conversation)
{
	return conversation == NOWHERE ? "" : model->conversations[conversation].cid;
}

/* --- events, on the writer thread --- */

/* What the answer has beside the error; answers how many pairs that are. */
static void expect_fields(const struct model *model, const struct op *op, const struct result *result,
                          struct tl_slice fields)
{
	switch (op->kind) {
	case OP_CREATE:
	case OP_UPDATE:
	case OP_ROLE:
	case OP_JOIN:
	case OP_ADD:
	case OP_REMOVE:
		expect_info(model, &result->info, fields);
		break;
	case OP_READ:
		CHECK(get_uint(fields, "unread") >= result->unread_least && pair_count(fields) == 1);
		CHECK(get_uint(fields, "unread") <= result->unread_most);
		break;
	default:
		CHECK(pair_count(fields) == 0);
	}
}

static void expect_receipt(const struct model *model, const struct op *op, const struct result *result,
                           struct tl_slice fields)
{
	CHECK(equals(get_str(fields, "conv"), model->conversations[op->conversation].cid));
	if (op->id != NONE)
		CHECK(equals(get_str(fields, "id"), id_name(op->id).text));
	if (result->err != TL_OK)
		return;
	CHECK(get_str(fields, "id").len > 0);
	CHECK(get_uint(fields, "cseq") == result->cseq);
	CHECK(get_uint(fields, "ts") == result->ts);
	CHECK(get_bool(fields, "dup") == result->dup);
}

static void check_outcome(struct child *child, const struct tl_outcome *outcome, uint64_t n)
{
	const struct model *model = child->model;
	const struct op *op = &model->ops[n];
	struct tl_pack pack;
	check_about(NOBODY, op->conversation);
	tl_pack_init(&pack);
	struct tl_slice fields = as_map(&pack, outcome->fields, outcome->field_count);
	if (outcome->err != model->results[n].err)
		fprintf(stderr, "operation %llu: %s (%s)\n", (unsigned long long)n, tl_err_wire(outcome->err), outcome->why);
	CHECK(outcome->err == model->results[n].err);
	CHECK(strcmp(outcome->op, op_names[op->kind]) == 0);
	CHECK(equals(outcome->user, user_name(op->user).text) && equals(outcome->device, device_name(op->device).text));
	if (op->kind == OP_SEND)
		expect_receipt(model, op, &model->results[n], fields);
	else if (outcome->err == TL_OK)
		expect_fields(model, op, &model->results[n], fields);
	tl_pack_fini(&pack);
}

/* In exact order only. */
static void check_told_reference(struct child *child, const struct tl_inbox_append *told, unsigned user,
                                 const struct tl_delivery *what)
{
	const struct inbox *inbox = &child->model->inboxes[user];
	check_about((int)user, NOWHERE);
	if (told->seq > inbox->count) {
		CHECK(!child->settled);
		return;
	}
	const struct reference *reference = &inbox->references[told->seq - 1];
	const char *cid = cid_of(child->model, reference->conversation);
	CHECK(equals(what->cid, cid) || child->model->question.what == QUESTION_CID);
	CHECK(what->cseq == reference->cseq);
	CHECK(told->quiet == reference->quiet);
}

static void raise(_Atomic uint64_t *value, uint64_t to)
{
	uint64_t before = atomic_load(value);
	while (before < to && !atomic_compare_exchange_weak(value, &before, to))
		;
}

void child_saw_latest(struct child *child, unsigned user, uint64_t latest)
{
	raise(&child->shared->latest[user], latest);
}

void child_saw(struct child *child, uint64_t n)
{
	raise(&child->shared->certain, n + 1);
}

static void check_told(struct child *child, const struct tl_inbox_append *told, const struct tl_delivery *what)
{
	unsigned user = 0;
	while (user < USERS && !equals(told->uid, user_name(user).text))
		user++;
	CHECK(user < USERS);
	CHECK(told->seq > child->told_latest[user]);
	if (child->setup->exact_order && child->told_latest[user] > 0)
		CHECK(told->seq == child->told_latest[user] + 1);
	child->told_latest[user] = told->seq;
	child_saw_latest(child, user, told->seq);
	if (child->setup->exact_order)
		check_told_reference(child, told, user, what);
}

static void on_committed(void *ctx, const struct tl_commit *commit)
{
	struct child *child = ctx;
	pthread_mutex_lock(&child->lock);
	while (child->held)
		pthread_cond_wait(&child->changed, &child->lock);
	for (size_t i = 0; i < commit->append_count; i++)
		check_told(child, &commit->appends[i], &commit->deliveries[commit->appends[i].delivery]);
	for (size_t i = 0; i < commit->outcome_count; i++) {
		uint64_t n;
		CHECK(commit->outcomes[i].route.len == sizeof n);
		memcpy(&n, commit->outcomes[i].route.ptr, sizeof n);
		child_saw(child, n);
		if (n >= child->model->next && n < child->accepted)
			continue; /* child_resume will tell */
		if (n < child->model->next)
			check_outcome(child, &commit->outcomes[i], n);
		else
			CHECK(!child->settled && n == child->model->next); /* (O2) */
	}
	pthread_mutex_unlock(&child->lock);
}

static void on_log(void *ctx, enum tl_log level, const char *text)
{
	const struct child *child = ctx;
	fprintf(stderr, "%s\n", text);
	if (child->setup->trouble && strstr(text, "storing failed"))
		return;
	bool may_lose = child->setup->power && !child->setup->strict && !child->setup->os; /* what was accepted and not told */
	CHECK(level == TL_LOG_NOTICE || (may_lose && strstr(text, "accepted messages cannot be read")));
}

/* --- opening and closing --- */

void forget_checkpoints(struct shared *shared)
{
	for (unsigned user = 0; user < USERS; user++)
		for (unsigned device = 0; device < DEVICES; device++)
			shared->devices[user][device].certain = false;
}

void child_open(struct child *child)
{
	const struct tl_store_events events = {child, on_committed, on_log};
	const struct tl_store_options options = setup_options(child->setup, &child->rng, child->dir, events);
	struct tl_why why;
	if (!child->setup->power)
		check_database(child);
	memset(child->told_latest, 0, sizeof child->told_latest);
	trouble_begin(&child->rng, child->setup->trouble ? below(&child->rng, TROUBLES) : 0);
	enum tl_err err = tl_store_open(&options, &child->store, &why);
	if (err != TL_OK)
		fprintf(stderr, "%s\n", why.text);
	CHECK(err == TL_OK);
	uint64_t epoch = strtoull(tl_store_epoch(child->store), NULL, 16), known = 0;
	if (!atomic_compare_exchange_strong(&child->shared->epoch, &known, epoch))
		CHECK(known == epoch);
}

/* A store that fails while it is closed may forget the last checkpoints. */
void child_close(struct child *child)
{
	child_let_go(child);
	tl_store_close(child->store);
	child->store = NULL;
	if (child->setup->trouble)
		forget_checkpoints(child->shared);
}

/* --- submitting --- */

static enum tl_err submit_request(struct child *child, const struct op *op, const struct tl_submission *from)
{
	const struct tl_request *request = tl_request_find(tl_slice_str(op_names[op->kind]));
	struct tl_pack pack;
	struct tl_why why;
	struct op as_sent = *op;
	tl_pack_init(&pack);
	if (op->kind == OP_CREATE && op->conversation >= DIRECTS + GROUPS)
		as_sent.conversation = NOWHERE; /* where it has come to be */
	op_pack(&pack, &as_sent, cid_of(child->model, op->conversation));
	enum tl_err err = tl_request_check(request, tl_pack_bytes(&pack), &why);
	if (err == TL_OK)
		err = tl_store_change(child->store, from, request, tl_pack_bytes(&pack), op->ts);
	else
		fprintf(stderr, "%s\n", why.text);
	tl_pack_fini(&pack);
	return err;
}

static enum tl_err submit_message(struct child *child, const struct op *op, const struct tl_submission *from)
{
	struct name id = id_name(op->id), other;
	const char *target = cid_of(child->model, op->conversation);
	struct tl_message message = {
		.ts = op->ts, .from = from->user, .device = from->device, .type = tl_slice_str(op_type(op)),
		.has_order = op->has_order, .order = op->order, .has_time = op->has_time, .time = op->n,
		.ctype = tl_slice_str(op_ctype(op)),
	};
	struct tl_pack props;
	tl_pack_init(&props);
	if (op->has_props) {
		tl_pack_cstr(&props, "k");
		tl_pack_cstr(&props, op_prop(op).text);
		message.props = tl_pack_bytes(&props);
		message.props_count = 1;
	}
	if (op->by_uid) {
		other = user_name(other_of(op->conversation, op->user));
		target = other.text;
	}
	enum tl_err err = tl_store_send(child->store, from, op->by_uid, tl_slice_str(target),
	                                op->id == NONE ? tl_slice("", 0) : tl_slice_str(id.text), &message,
	                                body_bytes(&op->body));
	tl_pack_fini(&props);
	return err;
}

void child_submit(struct child *child)
{
	if (child->model->next % STRETCH_OPS == 0)
		child_settle(child); /* O4 */
	pthread_mutex_lock(&child->lock);
	model_apply(child->model);
	pthread_mutex_unlock(&child->lock);
	struct op op = child->model->ops[child->model->next - 1];
	struct name user = user_name(op.user), device = device_name(op.device);
	const struct tl_submission from = {tl_slice(&op.n, sizeof op.n), tl_slice_str(user.text),
	                                   tl_slice_str(device.text)};
	CHECK((op.kind == OP_SEND ? submit_message : submit_request)(child, &op, &from) == TL_OK);
	if (child->setup->power && child->setup->strict)
		child_saw(child, op.n);
	say(child, &(struct news){.n = op.n});
	if (child->model->question.what != QUESTION_NONE)
		child_settle(child);
}

/* --- holding the writer --- */

static void set_held(struct child *child, bool held)
{
	pthread_mutex_lock(&child->lock);
	child->held = held;
	pthread_cond_broadcast(&child->changed);
	pthread_mutex_unlock(&child->lock);
}

static void set_waits(struct wish *wish, bool waits)
{
	pthread_mutex_lock(&wish->child->lock);
	wish->waits = waits;
	pthread_cond_broadcast(&wish->child->changed);
	pthread_mutex_unlock(&wish->child->lock);
}

static void be_ready(struct tl_pull *pull)
{
	set_waits((struct wish *)(void *)pull, false);
}

static struct wish *free_wish(struct child *child)
{
	struct wish *found = NULL;
	pthread_mutex_lock(&child->lock);
	for (size_t i = 0; i < WISHES_MAX && !found; i++)
		if (!child->wishes[i].waits)
			found = &child->wishes[i];
	pthread_mutex_unlock(&child->lock);
	return found;
}

void child_hold(struct child *child)
{
	set_held(child, true);
}

void child_wish(struct child *child)
{
	const struct name device = device_name(WATCHER);
	struct wish *wish = free_wish(child);
	struct tl_answer answer;
	if (!wish)
		return;
	*wish = (struct wish){.pull = {.ready = be_ready}, .child = child, .user = user_name(below(&child->rng, USERS))};
	const struct tl_call call = {.user = tl_slice_str(wish->user.text), .device = tl_slice_str(device.text),
	                             .raw = tl_slice("\x80", 1), .now = child->shared->now};
	set_waits(wish, true);
	tl_answer_init(&answer);
	enum tl_err err = tl_store_try_read(child->store, tl_request_find(tl_slice_str("sync")), call, &answer, &wish->pull);
	CHECK(err == TL_OK || err == TL_AGAIN);
	if (err == TL_OK)
		set_waits(wish, false);
	tl_answer_fini(&answer);
}

static bool any_waits(const struct child *child)
{
	for (size_t i = 0; i < WISHES_MAX; i++)
		if (child->wishes[i].waits)
			return true;
	return false;
}

void child_let_go(struct child *child)
{
	set_held(child, false);
	pthread_mutex_lock(&child->lock);
	while (any_waits(child))
		pthread_cond_wait(&child->changed, &child->lock);
	pthread_mutex_unlock(&child->lock);
}

/* --- settling --- */

static void wait_until_applied(struct child *child)
{
	child_let_go(child);
	for (int us = 0; tl_store_stats(child->store).queue_bytes > 0; us += POLL_US) {
		CHECK(us < SETTLE_US);
		usleep(POLL_US);
	}
}

/* Finds out what became of the operation in doubt (O2): whatever changes anything puts an entry into the inbox of the
 * one who does it. */
static void resolve_doubt(struct child *child)
{
	struct model *model = child->model;
	struct op op = op_choose(model);
	if (child_latest(child, op.user) <= model->inboxes[op.user].count)
		return;
	model_apply(model);
	say(child, &(struct news){.n = op.n});
}

/* Whether the store has as much as the model (O2). */
static bool is_as_model(struct child *child)
{
	for (unsigned user = 0; user < USERS; user++)
		if (child_latest(child, user) != child->model->inboxes[user].count)
			return false;
	return true;
}

/* What has been seen is there. */
static void check_kept(const struct child *child)
{
	for (unsigned user = 0; user < USERS; user++) {
		const size_t count = child->model->inboxes[user].count;
		check_about((int)user, NOWHERE);
		CHECK(child->shared->latest[user] <= count && child->shared->floors[user] <= count);
		for (size_t i = count; i <= OPS_MAX; i++)
			CHECK(child->shared->place_of[user][i] == 0);
	}
}

void answers_add(struct answers *answers, const struct news *news)
{
	answers->list = grown(answers->list, answers->count, &answers->room, sizeof *news);
	answers->list[answers->count++] = *news;
}

void answers_forget(struct answers *answers, uint64_t count)
{
	while (answers->count > 0 && answers->list[answers->count - 1].n > count)
		answers->count--;
}

void answers_replay(const struct answers *answers, struct model *model, uint64_t count)
{
	const uint64_t seed = model->seed;
	const struct limits limits = model->limits;
	model_fini(model);
	model_init(model, seed, &limits);
	for (size_t i = 0; model->next < count;) {
		model_apply(model);
		if (i < answers->count && answers->list[i].n == model->next) {
			model_answer(model, answers->list[i].cid, answers->list[i].owner);
			i++;
		}
	}
}

void child_resume(struct child *child)
{
	struct model *model = child->model;
	uint64_t left = UINT64_MAX;
	wait_until_applied(child);
	pthread_mutex_lock(&child->lock);
	if (is_as_model(child))
		left = model->next;
	while (model->question.what == QUESTION_NONE && model->next < child->accepted) {
		model_apply(model);
		if (is_as_model(child))
			left = model->next;
	}
	check_about(NOBODY, NOWHERE);
	CHECK(left != UINT64_MAX);
	answers_replay(child->answers, model, left);
	check_kept(child);
	child->settled = true;
	pthread_mutex_unlock(&child->lock);
	say(child, &(struct news){.n = left, .left = true});
}

/* Asks for the child itself. */
static void ask(struct child *child, const char *op, unsigned user, const char *key, const char *text,
                struct reading *reading)
{
	struct tl_pack args;
	tl_pack_init(&args);
	tl_pack_map(&args, 1);
	tl_pack_cstr(&args, key);
	if (text)
		tl_pack_cstr(&args, text);
	else
		tl_pack_uint(&args, TL_PAGE_MAX);
	child_read(child, op, user, WATCHER, tl_pack_bytes(&args), reading);
	tl_pack_fini(&args);
	CHECK(reading->err == TL_OK);
}

/* The one of the user's conversations that the model does not know. */
static void find_cid(struct child *child, unsigned user, struct news *news)
{
	struct reading reading;
	struct tl_slice element;
	ask(child, "convs", user, "limit", NULL, &reading);
	struct list list = get_list(reading.map, "convs");
	while (list_next(&list, &element)) {
		struct tl_slice cid = get_str(element, "conv");
		if (model_find(child->model, cid.ptr, cid.len) != NOWHERE)
			continue;
		CHECK(cid.len < sizeof news->cid && news->cid[0] == '\0');
		memcpy(news->cid, cid.ptr, cid.len);
	}
	CHECK(news->cid[0] != '\0');
	reading_fini(&reading);
}

static void find_owner(struct child *child, const struct question *question, struct news *news)
{
	struct reading reading;
	unsigned member = (unsigned)__builtin_ctz(question->candidates);
	ask(child, "info", member, "conv", cid_of(child->model, question->conversation), &reading);
	struct tl_slice owner = get_str(reading.map, "owner");
	while (news->owner < USERS && !equals(owner, user_name(news->owner).text))
		news->owner++;
	CHECK(news->owner < USERS && (question->candidates >> news->owner & 1));
	reading_fini(&reading);
}

static void answer_question(struct child *child)
{
	const struct question question = child->model->question;
	struct news news = {.answer = true, .n = child->model->next};
	if (question.what == QUESTION_CID)
		find_cid(child, child->model->ops[child->model->next - 1].user, &news);
	else
		find_owner(child, &question, &news);
	model_answer(child->model, news.cid, news.owner);
	say(child, &news);
}

void child_settle(struct child *child)
{
	wait_until_applied(child);
	pthread_mutex_lock(&child->lock);
	if (!child->settled && child->model->question.what == QUESTION_NONE)
		resolve_doubt(child);
	child->settled = true;
	if (child->model->question.what != QUESTION_NONE)
		answer_question(child);
	pthread_mutex_unlock(&child->lock);
}

/* --- reading --- */

void child_tick(struct child *child)
{
	uint64_t n = child->model->next > 0 ? child->model->next - 1 : 0;
	uint64_t now = child->shared->now + 1, time = model_time(child->model, n);
	uint64_t latest = model_latest_time(child->model, n);
	if (chance(&child->rng, 2))
		time += below(&child->rng, LEAD_MS);
	now = now > time ? now : time;
	now = now < latest ? now : latest;
	if (now > child->shared->now) /* a loss of power may have taken the first operations of a stretch */
		child->shared->now = now;
}

void child_read(struct child *child, const char *op, unsigned user, unsigned device, struct tl_slice args,
                struct reading *reading)
{
	struct name uid = user_name(user), did = device_name(device);
	const struct tl_call call = {
		.user = tl_slice_str(uid.text), .device = tl_slice_str(did.text), .raw = args, .now = child->shared->now};
	check_asked(op, args.ptr, args.len);
	tl_pack_init(&reading->pack);
	for (bool again = true; again; again = reading->err == TL_STORAGE && child->setup->trouble) {
		tl_answer_init(&reading->answer);
		reading->err = tl_store_read(child->store, tl_request_find(tl_slice_str(op)), call, &reading->answer);
	}
	CHECK(reading->err == TL_OK || tl_err_is_refusal(reading->err));
	reading->map = as_map(&reading->pack, tl_pack_bytes(&reading->answer.fields), reading->answer.field_count);
}

void reading_fini(struct reading *reading)
{
	tl_answer_fini(&reading->answer);
	tl_pack_fini(&reading->pack);
}

uint64_t child_latest(struct child *child, unsigned user)
{
	struct tl_inbox inbox;
	CHECK(tl_store_inbox(child->store, tl_slice_str(user_name(user).text), child->shared->now, &inbox) == TL_OK);
	tl_inbox_free(&inbox);
	return inbox.latest;
}

uint64_t child_told(struct child *child, unsigned user)
{
	pthread_mutex_lock(&child->lock);
	uint64_t told = child->told_latest[user];
	pthread_mutex_unlock(&child->lock);
	return told;
}
