/* Groups and channels: what they are and who is in them. */
#include "model.h"

#include "check.h"

static struct result informed(const struct model *model, int conversation)
{
	return (struct result){.info = model_info(model, conversation)};
}

void model_come(struct conversation *c, unsigned user, uint64_t since)
{
	struct member *member = &c->members[user];
	member->present = true;
	member->role = member->role == ROLE_MUTED ? ROLE_MUTED : ROLE_MEMBER; /* of an earlier membership, that one only stays */
	member->since = since;
	member->read = 0;
	member->mute = member->pin = false;
}

void model_go(struct conversation *c, unsigned user)
{
	struct member *member = &c->members[user];
	member->present = false;
	member->periods = grown(member->periods, member->period_count, &member->period_room, sizeof *member->periods);
	member->periods[member->period_count++] = (struct period){member->since, c->count};
}

void model_make_owner(struct conversation *c, unsigned user)
{
	c->owner = user;
	if (c->members[user].role == ROLE_MUTED)
		c->members[user].role = ROLE_MEMBER;
}

static bool contains(const unsigned *users, unsigned count, unsigned user)
{
	for (unsigned i = 0; i < count; i++)
		if (users[i] == user)
			return true;
	return false;
}

/* Whether the caller may put that user, or himself, into one more. */
static enum tl_err may_add(const struct model *model, const struct op *op, unsigned user)
{
	uint64_t limit = model->limits.max_conversations;
	if (user == op->user)
		return model_groups(model, user) < limit ? TL_OK : TL_TOO_LARGE;
	if (model->blocked[user] >> op->user & 1)
		return TL_NOT_AUTHORISED;
	return model_groups(model, user) < limit - limit / 4 ? TL_OK : TL_TOO_LARGE;
}

/* --- create --- */

/* The conversation that this very request has created before. */
static int find_repeated(const struct model *model, const struct op *op)
{
	if (op->conversation != NOWHERE)
		return op->conversation;
	for (int i = DIRECTS + GROUPS; op->rid != NONE && i < CONVERSATIONS; i++) {
		struct op made = model->ops[model->conversations[i].created];
		made.conversation = NOWHERE;
		if (model->conversations[i].exists && op_same_create(&made, op))
			return i;
	}
	return NOWHERE;
}

static int free_place(const struct model *model)
{
	for (int i = DIRECTS + GROUPS; i < CONVERSATIONS; i++)
		if (!model->conversations[i].exists)
			return i;
	FAIL("a conversation to be made where there is no place for one");
}

static void describe(const struct model *model, struct conversation *c, const struct op *op)
{
	c->exists = true;
	c->kind = op->group_kind;
	c->owner = op->user;
	c->created = op->n;
	for (unsigned i = 0; i < SETTINGS; i++)
		if (op->given >> i & 1)
			c->settings[i] = op->values[i];
	if (op->group_kind == KIND_CHANNEL && !(op->given >> SETTING_POST & 1))
		c->settings[SETTING_POST] = POST_ADMINS;
	model_retain(model, c);
}

static struct result create(struct model *model, const struct op *op, int conversation)
{
	struct conversation *c = &model->conversations[conversation];
	unsigned count = 0;
	enum tl_err err = may_add(model, op, op->user);
	for (unsigned i = 0; i < op->user_count && err == TL_OK; i++)
		err = may_add(model, op, op->users[i]);
	for (unsigned user = 0; user < USERS; user++)
		count += user == op->user || contains(op->users, op->user_count, user);
	if (err != TL_OK || count > model->limits.max_members)
		return outcome(err != TL_OK ? err : TL_TOO_LARGE);
	describe(model, c, op);
	for (unsigned user = 0; user < USERS; user++)
		if (user == op->user || contains(op->users, op->user_count, user))
			model_come(c, user, 1);
	struct event *event = &model_append(model, op, conversation)->event;
	memcpy(event->users, op->users, sizeof event->users);
	event->user_count = op->user_count;
	event->changed = op->given;
	return informed(model, conversation);
}

struct result model_create(struct model *model, const struct op *op)
{
	int conversation = find_repeated(model, op);
	bool made = op->conversation == NOWHERE;
	if (conversation != NOWHERE && model->conversations[conversation].exists) {
		const struct conversation *c = &model->conversations[conversation];
		struct op first = model->ops[c->created];
		if (made)
			first.conversation = NOWHERE;
		bool repeated = model_present(c, op->user) && op_same_create(&first, op);
		return repeated ? informed(model, conversation) : outcome(TL_EXISTS);
	}
	if (conversation == NOWHERE)
		conversation = free_place(model);
	struct result result = create(model, op, conversation);
	if (made && result.err == TL_OK) {
		model->ops[op->n].conversation = conversation;
		model->question = (struct question){.what = QUESTION_CID, .conversation = conversation};
	}
	return result;
}

/* --- update, role, dissolve --- */

struct result model_update(struct model *model, const struct op *op)
{
	struct conversation *c = &model->conversations[op->conversation];
	enum tl_err err = model_require(model, op, RANK_ADMIN);
	unsigned changed = 0;
	if (err != TL_OK)
		return outcome(err);
	for (unsigned i = 0; i < SETTINGS; i++)
		if ((op->given >> i & 1) && c->settings[i] != op->values[i])
			changed |= 1U << i;
	if (changed >> SETTING_ORDER & 1)
		return outcome(TL_BAD_REQUEST);
	if (changed) {
		model_append(model, op, op->conversation)->event.changed = changed;
		for (unsigned i = 0; i < SETTINGS; i++)
			if (changed >> i & 1)
				c->settings[i] = op->values[i];
		model_retain(model, c);
	}
	return informed(model, op->conversation);
}

struct result model_set_role(struct model *model, const struct op *op)
{
	struct conversation *c = &model->conversations[op->conversation];
	unsigned target = op->users[0];
	enum tl_err err = model_require(model, op, RANK_ADMIN);
	if (err != TL_OK)
		return outcome(err);
	if (target == STRANGER || !c->members[target].present)
		return outcome(TL_BAD_REQUEST);
	if (strcmp(model_role(c, target), role_texts[op->role]) == 0)
		return informed(model, op->conversation);
	if (c->owner == target || (op->role == ROLE_OWNER && c->owner != op->user))
		return outcome(TL_NOT_AUTHORISED);
	struct event *event = &model_append(model, op, op->conversation)->event;
	event->users[event->user_count++] = target;
	if (op->role == ROLE_OWNER) {
		c->members[c->owner].role = ROLE_ADMIN;
		model_make_owner(c, target);
	} else {
		c->members[target].role = op->role;
	}
	return informed(model, op->conversation);
}

struct result model_dissolve(struct model *model, const struct op *op)
{
	struct conversation *c = &model->conversations[op->conversation];
	if (c->dissolved && c->owner == op->user)
		return outcome(TL_OK); /* sent again */
	enum tl_err err = model_require(model, op, RANK_OWNER);
	if (err != TL_OK)
		return outcome(err);
	model_append(model, op, op->conversation);
	c->dissolved = true;
	return outcome(TL_OK);
}

/* --- join, add --- */

struct result model_join(struct model *model, const struct op *op)
{
	struct conversation *c = &model->conversations[op->conversation];
	if (model_present(c, op->user))
		return informed(model, op->conversation);
	if (!model_alive(c) || is_direct(op->conversation) || c->settings[SETTING_JOIN] != JOIN_OPEN)
		return outcome(TL_NOT_MEMBER);
	if (model_count(c) >= model->limits.max_members || may_add(model, op, op->user) != TL_OK)
		return outcome(TL_TOO_LARGE);
	model_come(c, op->user, c->count + 1);
	struct event *event = &model_append(model, op, op->conversation)->event;
	event->users[event->user_count++] = op->user;
	return informed(model, op->conversation);
}

/* Those of the named who are members, or who are not, each once and in the order of the request. */
static void select_users(const struct conversation *c, const struct op *op, bool members, struct event *event)
{
	for (unsigned i = 0; i < op->user_count; i++) {
		unsigned user = op->users[i];
		bool member = user != STRANGER && c->members[user].present;
		if (member == members && !contains(event->users, event->user_count, user))
			event->users[event->user_count++] = user;
	}
}

struct result model_add(struct model *model, const struct op *op)
{
	struct conversation *c = &model->conversations[op->conversation];
	struct event event = {.by = op->user, .owner = NOBODY};
	enum tl_err err = model_require(model, op, RANK_ADMIN);
	if (err != TL_OK)
		return outcome(err);
	select_users(c, op, false, &event);
	if (model_count(c) + event.user_count > model->limits.max_members)
		return outcome(TL_TOO_LARGE);
	for (unsigned i = 0; i < event.user_count && err == TL_OK; i++)
		err = may_add(model, op, event.users[i]);
	if (err != TL_OK)
		return outcome(err);
	for (unsigned i = 0; i < event.user_count; i++)
		model_come(c, event.users[i], c->count + 1);
	if (event.user_count > 0)
		model_append(model, op, op->conversation)->event = event;
	return informed(model, op->conversation);
}

/* --- leave, remove --- */

/* Those of the admins, or of the others, who have been there longest; the owner apart. */
static uint32_t longest(const struct conversation *c, bool admins)
{
	uint32_t best = 0;
	uint64_t since = UINT64_MAX;
	for (unsigned user = 0; user < USERS; user++) {
		const struct member *member = &c->members[user];
		if (!member->present || user == c->owner || (member->role == ROLE_ADMIN) != admins || member->since > since)
			continue;
		best = member->since < since ? 1U << user : best | 1U << user;
		since = member->since;
	}
	return best;
}

static void inherit(struct model *model, int conversation, uint32_t heirs, struct event *event)
{
	struct conversation *c = &model->conversations[conversation];
	if (heirs == 0) {
		c->dissolved = c->left_by_all = true;
		return;
	}
	event->owner = __builtin_ctz(heirs);
	if ((heirs & (heirs - 1)) == 0)
		model_make_owner(c, (unsigned)event->owner);
	else
		model->question =
			(struct question){.what = QUESTION_OWNER, .conversation = conversation, .candidates = heirs};
}

struct result model_leave(struct model *model, const struct op *op)
{
	struct conversation *c = &model->conversations[op->conversation];
	const struct member *member = &c->members[op->user];
	if (!model_present(c, op->user)) {
		bool again = member->period_count > 0 && (!c->dissolved || (c->left_by_all && c->owner == op->user));
		return outcome(again ? TL_OK : TL_NOT_MEMBER);
	}
	if (is_direct(op->conversation))
		return outcome(TL_NOT_AUTHORISED);
	uint32_t admins = longest(c, true), heirs = admins ? admins : longest(c, false);
	struct event *event = &model_append(model, op, op->conversation)->event;
	event->users[event->user_count++] = op->user;
	model_go(c, op->user);
	if (c->owner == op->user)
		inherit(model, op->conversation, heirs, event);
	return outcome(TL_OK);
}

struct result model_remove(struct model *model, const struct op *op)
{
	struct conversation *c = &model->conversations[op->conversation];
	struct event event = {.by = op->user, .owner = NOBODY};
	enum tl_err err = model_require(model, op, RANK_ADMIN);
	if (err != TL_OK)
		return outcome(err);
	select_users(c, op, true, &event);
	if (contains(event.users, event.user_count, c->owner))
		return outcome(TL_NOT_AUTHORISED);
	if (event.user_count > 0)
		model_append(model, op, op->conversation)->event = event;
	for (unsigned i = 0; i < event.user_count; i++)
		model_go(c, event.users[i]);
	return informed(model, op->conversation);
}
