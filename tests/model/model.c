#include "model.h"

#include "check.h"

#include <stdio.h>
#include <stdlib.h>

void *grown(void *list, size_t count, size_t *room, size_t element)
{
	if (count < *room)
		return list;
	*room = *room ? *room * 2 : 4;
	list = realloc(list, *room * element);
	CHECK(list != NULL);
	return list;
}

void model_init(struct model *model, uint64_t seed, const struct limits *limits)
{
	memset(model, 0, sizeof *model);
	model->seed = seed;
	model->limits = *limits;
	for (int i = 0; i < CONVERSATIONS; i++) {
		struct conversation *c = &model->conversations[i];
		unsigned first, second;
		if (is_direct(i)) {
			pair_of(i, &first, &second);
			snprintf(c->cid, sizeof c->cid, "d:u%02u:u%02u", first, second);
		} else if (i < DIRECTS + GROUPS) {
			snprintf(c->cid, sizeof c->cid, "group%d", i - DIRECTS);
		}
	}
}

static void conversation_fini(struct conversation *c)
{
	for (size_t i = 0; i < c->count; i++)
		free(c->entries[i].versions);
	free(c->entries);
	for (unsigned user = 0; user < USERS; user++)
		free(c->members[user].periods);
}

void model_fini(struct model *model)
{
	for (int i = 0; i < CONVERSATIONS; i++)
		conversation_fini(&model->conversations[i]);
	for (unsigned user = 0; user < USERS; user++) {
		free(model->inboxes[user].references);
		free(model->inboxes[user].privates);
	}
	free(model->ops);
	free(model->results);
	memset(model, 0, sizeof *model);
}

/* --- asking --- */

bool model_alive(const struct conversation *c)
{
	return c->exists && !c->dissolved;
}

bool model_present(const struct conversation *c, unsigned user)
{
	return model_alive(c) && c->members[user].present;
}

bool model_knows(const struct conversation *c, unsigned user)
{
	return model_alive(c) && (c->members[user].present || c->members[user].period_count > 0);
}

enum rank model_rank(const struct model *model, int conversation, unsigned user)
{
	const struct conversation *c = &model->conversations[conversation];
	const struct member *member = &c->members[user];
	if (!model_present(c, user))
		return RANK_NONE;
	if (c->kind != KIND_DIRECT && c->owner == user)
		return RANK_OWNER;
	return member->role == ROLE_ADMIN ? RANK_ADMIN : member->role == ROLE_MUTED ? RANK_MUTED : RANK_MEMBER;
}

const char *model_role(const struct conversation *c, unsigned user)
{
	return c->kind != KIND_DIRECT && c->owner == user ? "owner" : role_texts[c->members[user].role];
}

static enum tl_err may_send_direct(const struct model *model, int conversation, unsigned user)
{
	unsigned first, second;
	pair_of(conversation, &first, &second);
	if (user != first && user != second)
		return TL_NOT_MEMBER;
	return model->blocked[other_of(conversation, user)] >> user & 1 ? TL_NOT_AUTHORISED : TL_OK;
}

enum tl_err model_may_send(const struct model *model, int conversation, unsigned user)
{
	if (is_direct(conversation))
		return may_send_direct(model, conversation, user);
	enum rank rank = model_rank(model, conversation, user);
	bool admins = model->conversations[conversation].settings[SETTING_POST] == POST_ADMINS;
	if (rank == RANK_NONE)
		return TL_NOT_MEMBER;
	return rank >= (admins ? RANK_ADMIN : RANK_MEMBER) ? TL_OK : TL_NOT_AUTHORISED;
}

uint64_t model_last(const struct conversation *c, unsigned user)
{
	const struct member *member = &c->members[user];
	return member->present ? c->count : member->periods[member->period_count - 1].to;
}

/* What lies in an inbox stays so when the conversation is dissolved. */
static bool sees(const struct conversation *c, unsigned user, uint64_t cseq)
{
	const struct member *member = &c->members[user];
	if (cseq == 0 || cseq > model_last(c, user) || cseq <= member->cleared)
		return false;
	if (c->settings[SETTING_HISTORY] == HISTORY_ALL || (member->present && cseq >= member->since))
		return true;
	for (size_t i = 0; i < member->period_count; i++)
		if (i + PERIODS_KEPT >= member->period_count && cseq >= member->periods[i].from &&
		    cseq <= member->periods[i].to)
			return true;
	return false;
}

bool model_visible(const struct conversation *c, unsigned user, uint64_t cseq)
{
	return model_knows(c, user) && sees(c, user, cseq);
}

bool model_deleted(const struct conversation *c, unsigned user, uint64_t cseq)
{
	return cseq <= c->members[user].cleared || (c->entries[cseq - 1].deleted_by >> user & 1);
}

bool model_shows_edit(const struct conversation *c, unsigned user, const struct entry *event)
{
	const struct entry *target = model_entry(c, event->event.cseq);
	return sees(c, user, event->event.cseq) && !model_deleted(c, user, event->event.cseq) && !target->recalled &&
	       target->last_edit == event->n;
}

bool model_expired(uint64_t ts, uint64_t ttl_ms, uint64_t now)
{
	return ttl_ms > 0 && now >= ts && now - ts >= ttl_ms;
}

enum fate model_fate(const struct conversation *c, const struct entry *entry, uint64_t now)
{
	if (model_expired(entry->ts, c->retention_ms, now))
		return FATE_EXPIRED;
	return model_expired(entry->ts, c->shortest_ms, now) ? FATE_UNCERTAIN : FATE_KEPT;
}

uint64_t model_unread(const struct model *model, int conversation, unsigned user, uint64_t now, bool least)
{
	const struct conversation *c = &model->conversations[conversation];
	const struct member *member = &c->members[user];
	uint64_t from = member->since - 1, unread = 0;
	if (member->read > from)
		from = member->read;
	if (member->cleared > from)
		from = member->cleared;
	for (uint64_t cseq = 1; cseq <= c->count; cseq++)
		if (model_is_message(&c->entries[cseq - 1]) && model->ops[c->entries[cseq - 1].n].user == user && cseq > from)
			from = cseq;
	for (uint64_t cseq = from + 1; cseq <= c->count; cseq++)
		unread += model_is_message(&c->entries[cseq - 1]) &&
		          model_fate(c, &c->entries[cseq - 1], now) < (least ? FATE_UNCERTAIN : FATE_EXPIRED);
	return unread;
}

unsigned model_count(const struct conversation *c)
{
	unsigned count = 0;
	for (unsigned user = 0; user < USERS; user++)
		count += c->members[user].present;
	return count;
}

unsigned model_conversations(const struct model *model, unsigned user)
{
	unsigned count = 0;
	for (int i = 0; i < CONVERSATIONS; i++)
		count += model_present(&model->conversations[i], user);
	return count;
}

unsigned model_groups(const struct model *model, unsigned user)
{
	unsigned count = 0;
	for (int i = DIRECTS; i < CONVERSATIONS; i++)
		count += model_present(&model->conversations[i], user);
	return count;
}

struct info model_info(const struct model *model, int conversation)
{
	const struct conversation *c = &model->conversations[conversation];
	struct info info = {.conversation = conversation, .kind = c->kind, .owner = c->owner, .head = c->count,
	                    .count = model_count(c)};
	memcpy(info.settings, c->settings, sizeof info.settings);
	return info;
}

bool model_is_custom(const struct conversation *c)
{
	return c->settings[SETTING_ORDER] == ORDER_CUSTOM;
}

const struct entry *model_entry(const struct conversation *c, uint64_t cseq)
{
	return &c->entries[cseq - 1];
}

bool model_is_message(const struct entry *entry)
{
	return entry->versions != NULL;
}

int model_find(const struct model *model, const void *cid, size_t len)
{
	for (int i = 0; i < CONVERSATIONS; i++) {
		const char *own = model->conversations[i].cid;
		if (strlen(own) == len && len > 0 && memcmp(own, cid, len) == 0)
			return i;
	}
	return NOWHERE;
}

/* --- changing --- */

/* Whether both belong to one row whose order is fixed: a conversation's, or the private ones. */
static bool same_row(const struct reference *a, const struct reference *b)
{
	return a->cseq == 0 ? b->cseq == 0 : b->cseq > 0 && a->conversation == b->conversation;
}

static uint32_t add_reference(struct inbox *inbox, struct reference reference)
{
	uint32_t at = (uint32_t)inbox->count, previous = at;
	while (previous > 0 && !same_row(&inbox->references[previous - 1], &reference))
		previous--;
	reference.previous = previous > 0 ? previous - 1 : NO_REFERENCE;
	reference.next = NO_REFERENCE;
	if (previous > 0)
		inbox->references[previous - 1].next = at;
	inbox->references = grown(inbox->references, inbox->count, &inbox->room, sizeof *inbox->references);
	inbox->references[inbox->count++] = reference;
	return at;
}

struct entry *model_append(struct model *model, const struct op *op, int conversation)
{
	struct conversation *c = &model->conversations[conversation];
	struct entry entry = {.n = op->n, .ts = op->ts, .event = {.by = op->user, .owner = NOBODY}};
	if (c->count > 0 && c->entries[c->count - 1].ts > entry.ts)
		entry.ts = c->entries[c->count - 1].ts;
	for (unsigned user = 0; user < USERS; user++) {
		const struct reference reference = {
			.conversation = conversation, .cseq = c->count + 1, .quiet = c->members[user].mute};
		entry.references[user] = NO_REFERENCE;
		if (c->members[user].present)
			entry.references[user] = add_reference(&model->inboxes[user], reference);
	}
	c->entries = grown(c->entries, c->count, &c->room, sizeof *c->entries);
	c->entries[c->count++] = entry;
	return &c->entries[c->count - 1];
}

struct event *model_append_private(struct model *model, const struct op *op, int conversation)
{
	struct inbox *inbox = &model->inboxes[op->user];
	struct private private = {
		.n = op->n, .conversation = conversation, .event = {.by = op->user, .owner = NOBODY}};
	private.reference = add_reference(
		inbox, (struct reference){.conversation = conversation, .private = inbox->private_count});
	inbox->privates = grown(inbox->privates, inbox->private_count, &inbox->private_room, sizeof *inbox->privates);
	inbox->privates[inbox->private_count++] = private;
	return &inbox->privates[inbox->private_count - 1].event;
}

void model_retain(const struct model *model, struct conversation *c)
{
	static const uint64_t values[] = {
		[RETENTION_DAYS] = 90 * 86400000ULL, [RETENTION_HOURS] = 12 * 3600000ULL, [RETENTION_SHORT] = 15000};
	unsigned value = c->settings[SETTING_RETENTION];
	c->retention_ms = value == RETENTION_DEFAULT ? model->limits.retention_ms : values[value];
	if (c->shortest_ms == 0 || (c->retention_ms > 0 && c->retention_ms < c->shortest_ms))
		c->shortest_ms = c->retention_ms;
}

enum tl_err model_require(const struct model *model, const struct op *op, enum rank rank)
{
	enum rank own = model_rank(model, op->conversation, op->user);
	if (own == RANK_NONE)
		return TL_NOT_MEMBER;
	if (is_direct(op->conversation) || own < rank)
		return TL_NOT_AUTHORISED;
	return TL_OK;
}

void model_apply(struct model *model)
{
	static struct result (*const functions[OP_KINDS])(struct model *, const struct op *) = {
		[OP_SEND] = model_send,         [OP_CREATE] = model_create, [OP_UPDATE] = model_update,
		[OP_ROLE] = model_set_role,     [OP_JOIN] = model_join,     [OP_LEAVE] = model_leave,
		[OP_DISSOLVE] = model_dissolve, [OP_ADD] = model_add,       [OP_REMOVE] = model_remove,
		[OP_READ] = model_read,         [OP_SET] = model_set,       [OP_DELETE] = model_delete,
		[OP_BLOCK] = model_block,       [OP_RECALL] = model_recall, [OP_EDIT] = model_edit,
	};
	CHECK(model->question.what == QUESTION_NONE);
	model->ops = grown(model->ops, model->next, &model->ops_room, sizeof *model->ops);
	model->results = grown(model->results, model->next, &model->results_room, sizeof *model->results);
	model->ops[model->next] = op_choose(model);
	model->results[model->next] = functions[model->ops[model->next].kind](model, &model->ops[model->next]);
	model->next++;
}

void model_answer(struct model *model, const char *cid, unsigned owner)
{
	struct conversation *c = &model->conversations[model->question.conversation];
	if (model->question.what == QUESTION_CID) {
		snprintf(c->cid, sizeof c->cid, "%s", cid);
	} else {
		model_make_owner(c, owner);
		c->entries[c->count - 1].event.owner = (int)owner; /* of the leaving that raised it */
	}
	model->question.what = QUESTION_NONE;
}
