/* Which operation comes next (O1). Most can succeed, because they are chosen with an eye on the model; some cannot. */
#include "model.h"

#include "rng.h"

enum {
	BASE_MS_PER_OP = 64, /* and as many remainders, so that no two operations have the same time */
	JITTER_OPS = 50,     /* times go backwards by at most this many operations */
	PAUSE_STEPS = 500,   /* operations that a pause is as long as, at most */
	HOT = 4,             /* groups where most of it happens */
	RECENT = 10,         /* operations that may be repeated */
	TRIES = 20,          /* at finding something suitable before anything will do */
	TALK_OPS = 60,       /* a time of talk, or of everything */
	ORDER_KEYS = 30,     /* keys that are used again and again */
};

struct choice {
	const struct model *model;
	struct rng *rng;
	struct op *op;
};

/* There are times when people only talk: the store does these operations many at once. */
static bool is_talk(const struct model *model)
{
	struct rng rng = rng_for(~model->seed, model->next / TALK_OPS);
	return chance(&rng, 30);
}

static enum op_kind choose_kind(struct rng *rng, bool talk)
{
	static const unsigned all[OP_KINDS] = {
		[OP_SEND] = 41,   [OP_CREATE] = 3, [OP_UPDATE] = 4, [OP_ROLE] = 6,  [OP_DISSOLVE] = 2,
		[OP_JOIN] = 4,    [OP_LEAVE] = 3,  [OP_ADD] = 5,    [OP_REMOVE] = 5, [OP_READ] = 6,
		[OP_SET] = 2,     [OP_DELETE] = 6, [OP_BLOCK] = 2,  [OP_RECALL] = 4, [OP_EDIT] = 7,
	};
	static const unsigned talking[OP_KINDS] = {[OP_SEND] = 70, [OP_READ] = 25, [OP_SET] = 5};
	const unsigned *percents = talk ? talking : all;
	unsigned number = below(rng, 100), kind = 0;
	while (number >= percents[kind])
		number -= percents[kind++];
	return (enum op_kind)kind;
}

/* --- where and who --- */

/* One of the first groups that have not been dissolved, or any. */
static int choose_group(const struct choice *choice)
{
	unsigned skip = chance(choice->rng, 70) ? below(choice->rng, HOT) : below(choice->rng, GROUPS);
	int last = DIRECTS;
	for (int i = DIRECTS; i < DIRECTS + GROUPS; i++) {
		if (choice->model->conversations[i].dissolved)
			continue;
		last = i;
		if (skip-- == 0)
			break;
	}
	return last;
}

static int choose_made(const struct choice *choice)
{
	int i = DIRECTS + GROUPS + (int)below(choice->rng, MADE);
	return choice->model->conversations[i].exists ? i : choose_group(choice);
}

static int choose_conversation(const struct choice *choice)
{
	unsigned number = below(choice->rng, 100);
	if (number < 25)
		return index_of_pair(choice->op->user, below(choice->rng, chance(choice->rng, 50) ? 3 : USERS));
	if (number < 35)
		return choose_made(choice);
	if (number < 37)
		return DIRECTS + (int)below(choice->rng, GROUPS); /* perhaps a dissolved one */
	return choose_group(choice);
}

/* Somebody, most often one who is in the conversation with at least this rank. */
static unsigned choose_member(const struct choice *choice, enum rank rank)
{
	const struct model *model = choice->model;
	int conversation = choice->op->conversation;
	unsigned user = below(choice->rng, USERS);
	if (chance(choice->rng, 15))
		return user;
	for (unsigned i = 0; i < USERS; i++, user = (user + 1) % USERS)
		if (model_rank(model, conversation, user) >= rank)
			return user;
	return user;
}

/* User 0 comes to the first group and goes again more often than anything that is kept of it. */
static void choose_restless(const struct choice *choice)
{
	struct op *op = choice->op;
	int first = DIRECTS;
	while (first < DIRECTS + GROUPS - 1 && !model_alive(&choice->model->conversations[first]))
		first++;
	op->conversation = first;
	op->user = choose_member(choice, RANK_OWNER);
	op->user_count = 1;
	op->users[0] = 0;
}

static void choose_users(const struct choice *choice, unsigned most, bool strangers)
{
	struct op *op = choice->op;
	op->user_count = below(choice->rng, most + 1);
	for (unsigned i = 0; i < op->user_count; i++)
		op->users[i] = below(choice->rng, strangers ? USERS + 1 : USERS);
}

/* --- what --- */

/* An entry, most often one of the latest that suits the operation. */
static uint64_t choose_cseq(const struct choice *choice)
{
	const struct conversation *c = &choice->model->conversations[choice->op->conversation];
	bool anything = chance(choice->rng, 15);
	uint64_t recent = chance(choice->rng, 70) ? 12 : UINT32_MAX;
	for (unsigned i = 0; c->count > 0 && i < TRIES; i++) {
		uint64_t back = below(choice->rng, (unsigned)(c->count < recent ? c->count : recent));
		const struct entry *entry = model_entry(c, c->count - back);
		bool own = choice->model->ops[entry->n].user == choice->op->user;
		if (anything || (model_is_message(entry) && (own || choice->op->kind != OP_EDIT)))
			return c->count - back;
	}
	return 1 + below(choice->rng, (unsigned)c->count + 2);
}

static void choose_body(const struct choice *choice)
{
	struct rng *rng = choice->rng;
	unsigned kind = below(rng, 100), most = choice->op->kind == OP_SEND ? BODY_MAX : 4096;
	choice->op->body = (struct body){
		.n = choice->op->n,
		.len = kind < 5 ? 0 : kind < 90 ? 1 + below(rng, (unsigned)choice->model->limits.usual_body) : kind < 99 ? 1 + below(rng, 1200) : 1 + below(rng, most),
	};
}

static uint64_t choose_order(struct rng *rng)
{
	unsigned number = below(rng, 100);
	if (number < 2)
		return number == 0 ? 1 : UINT64_MAX;
	return number < 90 ? 1 + below(rng, ORDER_KEYS) : rng_next(rng);
}

static void choose_message(const struct choice *choice)
{
	struct rng *rng = choice->rng;
	struct op *op = choice->op;
	bool custom = model_is_custom(&choice->model->conversations[op->conversation]);
	op->has_order = chance(rng, custom ? 92 : 20);
	op->order = op->has_order ? choose_order(rng) : 0;
	op->has_time = chance(rng, 20);
	op->has_type = chance(rng, 20);
	op->has_ctype = chance(rng, 10);
	op->has_props = chance(rng, 10);
	op->id = chance(rng, 40) ? NONE : (int)below(rng, IDS);
	op->by_uid = is_direct(op->conversation) && chance(rng, 60);
	choose_body(choice);
	if (is_direct(op->conversation) && !op->by_uid && chance(rng, 15))
		op->user = below(rng, USERS); /* perhaps a third */
}

static void choose_settings(const struct choice *choice)
{
	struct rng *rng = choice->rng;
	struct op *op = choice->op;
	for (unsigned i = 0; i < SETTINGS; i++) {
		unsigned count = 0;
		while (count < 4 && setting_texts[i][count])
			count++;
		if (!chance(rng, op->kind == OP_UPDATE ? 25 : i == SETTING_JOIN ? 80 : 50))
			continue;
		if (i == SETTING_FANOUT && !choice->model->limits.on_read)
			count = FANOUT_READ; /* anything but that */
		if (i == SETTING_RETENTION && !choice->model->limits.retention)
			count = RETENTION_SHORT;
		if (i == SETTING_ORDER && op->kind == OP_UPDATE && chance(rng, 80))
			continue;
		op->given |= 1U << i;
		op->values[i] = below(rng, count);
	}
}

/* The request of an earlier creation again, most often by the same user. */
static void repeat_create(const struct choice *choice, const struct op *first)
{
	struct op *op = choice->op;
	struct op again = *first;
	again.n = op->n;
	again.ts = op->ts;
	again.device = op->device;
	if (chance(choice->rng, 15))
		again.user = op->user;
	if (again.conversation >= DIRECTS + GROUPS)
		again.conversation = NOWHERE;
	*op = again;
}

static bool has_free_place(const struct model *model)
{
	for (int i = DIRECTS + GROUPS; i < CONVERSATIONS; i++)
		if (!model->conversations[i].exists)
			return true;
	return false;
}

/* The first group that is not there yet, most often, so that the first ones are where most happens. */
static int choose_new(const struct choice *choice)
{
	if (chance(choice->rng, 15))
		return choose_group(choice);
	for (int i = DIRECTS; i < DIRECTS + GROUPS; i++)
		if (!choice->model->conversations[i].exists)
			return i;
	return choose_group(choice);
}

static void choose_create(const struct choice *choice)
{
	const struct model *model = choice->model;
	struct rng *rng = choice->rng;
	struct op *op = choice->op;
	op->conversation = choose_new(choice);
	const struct conversation *c = &model->conversations[chance(rng, 40) ? choose_made(choice) : choose_group(choice)];
	bool free = has_free_place(model);
	if (c->exists && chance(rng, 25) && (free || model->ops[c->created].rid != NONE)) {
		repeat_create(choice, &model->ops[c->created]);
		/* Whoever makes it anew needs a place. */
		if (free || op->conversation != NOWHERE || op->user == model->ops[c->created].user)
			return;
		op->conversation = choose_new(choice);
	}
	if (free && chance(rng, 20)) {
		op->conversation = NOWHERE;
		op->rid = chance(rng, 60) ? (int)below(rng, RIDS) : NONE;
	}
	op->group_kind = chance(rng, 25) ? KIND_CHANNEL : KIND_GROUP;
	choose_users(choice, chance(rng, 20) ? NAMED_MAX : 5, false);
	choose_settings(choice);
}

static void choose_role(const struct choice *choice)
{
	struct op *op = choice->op;
	op->user = choose_member(choice, chance(choice->rng, 50) ? RANK_OWNER : RANK_ADMIN);
	op->users[0] = chance(choice->rng, 90) ? choose_member(choice, RANK_MUTED) : STRANGER;
	op->user_count = 1;
	op->role = (enum role)below(choice->rng, 4);
}

static void choose_delete(const struct choice *choice)
{
	struct op *op = choice->op;
	op->all = chance(choice->rng, 10);
	op->has_cseqs = chance(choice->rng, op->all ? 5 : 97);
	if (op->has_cseqs)
		op->cseq_count = below(choice->rng, CSEQS_MAX + 1);
	for (uint64_t i = 0; i < op->cseq_count; i++)
		op->cseqs[i] = choose_cseq(choice);
}

static void choose_set(const struct choice *choice)
{
	choice->op->flags_given = below(choice->rng, 4);
	choice->op->flags = below(choice->rng, 4) & choice->op->flags_given;
}

static void choose_block(const struct choice *choice)
{
	struct op *op = choice->op;
	op->conversation = NOWHERE;
	op->user_count = 1;
	op->users[0] = below(choice->rng, USERS + 1);
	op->has_on = chance(choice->rng, 70);
	op->on = op->has_on && chance(choice->rng, 40);
}

static void choose_edit(const struct choice *choice)
{
	struct op *op = choice->op;
	op->cseq = choose_cseq(choice);
	choose_body(choice);
	const struct conversation *c = &choice->model->conversations[op->conversation];
	if (op->cseq > c->count || !chance(choice->rng, 10))
		return;
	const struct entry *entry = model_entry(c, op->cseq);
	if (model_is_message(entry))
		op->body = entry->versions[entry->version_count - 1]; /* no change */
}

/* One who may join, if there is one. */
static void choose_joiner(const struct choice *choice)
{
	const struct conversation *c = &choice->model->conversations[choice->op->conversation];
	for (unsigned i = 0; i < TRIES && model_present(c, choice->op->user); i++)
		choice->op->user = below(choice->rng, USERS);
}

static void choose_rest(const struct choice *choice)
{
	struct op *op = choice->op;
	switch (op->kind) {
	case OP_SEND:
		choose_message(choice);
		break;
	case OP_CREATE:
		choose_create(choice);
		break;
	case OP_UPDATE:
		choose_settings(choice);
		break;
	case OP_ROLE:
		choose_role(choice);
		break;
	case OP_JOIN:
		choose_joiner(choice);
		break;
	case OP_ADD:
	case OP_REMOVE:
		if (chance(choice->rng, 30))
			choose_restless(choice);
		else
			choose_users(choice, 4, op->kind == OP_REMOVE);
		break;
	case OP_READ:
	case OP_RECALL:
		op->cseq = choose_cseq(choice);
		break;
	case OP_SET:
		choose_set(choice);
		break;
	case OP_DELETE:
		choose_delete(choice);
		break;
	case OP_BLOCK:
		choose_block(choice);
		break;
	case OP_EDIT:
		choose_edit(choice);
		break;
	default:
		break;
	}
}

/* An operation of late once more, as a client sends it that has not heard of its outcome; NULL: none. */
static const struct op *choose_repeated(const struct choice *choice)
{
	size_t next = choice->model->next;
	if (next == 0 || !chance(choice->rng, 5))
		return NULL;
	const struct op *op = &choice->model->ops[next - 1 - below(choice->rng, next < RECENT ? (unsigned)next : RECENT)];
	return op->kind == OP_CREATE ? NULL : op;
}

/* Whether so many groups have ended that the others must last. */
static bool must_last(const struct model *model)
{
	unsigned ended = 0;
	for (int i = DIRECTS; i < DIRECTS + GROUPS; i++)
		ended += model->conversations[i].dissolved;
	return ended > GROUPS / 2;
}

/* Something new. */
static void choose(const struct choice *choice)
{
	static const enum rank ranks[OP_KINDS] = {
		[OP_SEND] = RANK_MEMBER, [OP_UPDATE] = RANK_ADMIN,  [OP_DISSOLVE] = RANK_OWNER, [OP_LEAVE] = RANK_MUTED,
		[OP_ADD] = RANK_ADMIN,   [OP_REMOVE] = RANK_ADMIN,  [OP_READ] = RANK_MUTED,     [OP_SET] = RANK_MUTED,
		[OP_DELETE] = RANK_MUTED, [OP_RECALL] = RANK_MUTED, [OP_EDIT] = RANK_MEMBER,
	};
	const struct conversation *conversations = choice->model->conversations;
	struct op *op = choice->op;
	bool talk = is_talk(choice->model);
	op->kind = choose_kind(choice->rng, talk);
	if ((op->kind == OP_DISSOLVE || op->kind == OP_LEAVE) && must_last(choice->model) && chance(choice->rng, 95))
		op->kind = OP_JOIN;
	op->user = below(choice->rng, USERS);
	op->conversation = choose_conversation(choice);
	if (op->kind == OP_DISSOLVE && chance(choice->rng, 80))
		op->conversation = DIRECTS + (int)below(choice->rng, GROUPS);
	if (!talk && !is_direct(op->conversation) && !conversations[op->conversation].exists && chance(choice->rng, 60))
		op->kind = OP_CREATE;
	bool admins = op->kind == OP_SEND && conversations[op->conversation].settings[SETTING_POST] == POST_ADMINS;
	if (ranks[op->kind] != RANK_NONE && !is_direct(op->conversation))
		op->user = choose_member(choice, admins ? RANK_ADMIN : ranks[op->kind]);
	choose_rest(choice);
}

/* --- when --- */

uint64_t model_time(const struct model *model, uint64_t n)
{
	uint64_t steps = n;
	for (uint64_t i = 1; i <= n / STRETCH_OPS; i++) {
		struct rng rng = rng_for(model->seed ^ 0x55, i);
		steps += chance(&rng, 40) ? below(&rng, PAUSE_STEPS) : 0;
	}
	return 1700000000000 + steps * BASE_MS_PER_OP;
}

uint64_t model_latest_time(const struct model *model, uint64_t n)
{
	uint64_t last = n / STRETCH_OPS * STRETCH_OPS + STRETCH_OPS - 1;
	return model_time(model, last) + (JITTER_OPS + 1) * BASE_MS_PER_OP + LEAD_MS;
}

/* Whether it is known, of every entry that the outcome depends on, what has become of it (O4). */
static bool can_foretell(const struct model *model, const struct op *op)
{
	const struct conversation *c = op->conversation == NOWHERE ? NULL : &model->conversations[op->conversation];
	uint64_t latest = model_latest_time(model, op->n);
	if ((op->kind == OP_RECALL || op->kind == OP_EDIT) && op->cseq <= c->count) {
		const struct entry *entry = model_entry(c, op->cseq);
		return model_fate(c, entry, latest) == FATE_KEPT || model_fate(c, entry, op->ts) == FATE_EXPIRED;
	}
	/* What has been deleted may be deleted again once that has been forgotten. */
	for (uint64_t i = 0; op->kind == OP_DELETE && i < op->cseq_count; i++)
		if (op->cseqs[i] <= c->count && (model_entry(c, op->cseqs[i])->deleted_by >> op->user & 1) &&
		    model_fate(c, model_entry(c, op->cseqs[i]), latest) != FATE_KEPT)
			return false;
	return true;
}

struct op op_choose(const struct model *model)
{
	struct rng rng = rng_for(model->seed, model->next);
	struct op op = {.id = NONE, .rid = NONE};
	struct choice choice = {model, &rng, &op};
	const struct op *repeated = choose_repeated(&choice);
	if (repeated)
		op = *repeated;
	op.n = model->next;
	op.device = below(&rng, DEVICES);
	op.ts = model_time(model, op.n) + below(&rng, JITTER_OPS) * BASE_MS_PER_OP + op.n % BASE_MS_PER_OP;
	if (!repeated)
		choose(&choice);
	if (!can_foretell(model, &op))
		op.kind = OP_READ;
	return op;
}
