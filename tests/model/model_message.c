/* Messages: sending, taking back, giving another body. */
#include "model.h"

/* --- send --- */

/* The last message of the same sender with the same id. */
static uint64_t find_id(const struct model *model, const struct conversation *c, const struct op *op)
{
	for (uint64_t cseq = c->count; op->id != NONE && cseq > 0; cseq--) {
		const struct entry *entry = model_entry(c, cseq);
		const struct op *sent = &model->ops[entry->n];
		if (model_is_message(entry) && sent->user == op->user && sent->id == op->id)
			return cseq;
	}
	return 0;
}

static bool within(uint64_t window_ms, uint64_t ts, uint64_t now)
{
	return now < ts || now - ts < window_ms;
}

static void begin_direct(const struct model *model, struct conversation *c, int conversation)
{
	unsigned first, second;
	pair_of(conversation, &first, &second);
	c->exists = true;
	c->kind = KIND_DIRECT;
	model_come(c, first, 1);
	model_come(c, second, 1);
	model_retain(model, c);
}

static void add_version(struct entry *entry, const struct body *body)
{
	entry->versions = grown(entry->versions, entry->version_count, &entry->version_room, sizeof *entry->versions);
	entry->versions[entry->version_count++] = *body;
}

struct result model_send(struct model *model, const struct op *op)
{
	struct conversation *c = &model->conversations[op->conversation];
	enum tl_err err = model_may_send(model, op->conversation, op->user);
	if (err == TL_OK && model_is_custom(c) && (!op->has_order || op->order == 0))
		err = TL_BAD_REQUEST;
	if (err != TL_OK)
		return outcome(err);
	if (!c->exists)
		begin_direct(model, c, op->conversation);
	uint64_t same = find_id(model, c, op);
	if (same > 0 && model->limits.dedup_window_ms > 0 &&
	    within(model->limits.dedup_window_ms, model_entry(c, same)->ts, op->ts))
		return (struct result){.cseq = same, .ts = model_entry(c, same)->ts, .dup = true};
	struct entry *entry = model_append(model, op, op->conversation);
	add_version(entry, &op->body);
	return (struct result){.cseq = c->count, .ts = entry->ts};
}

/* --- recall, edit --- */

/* Whether a member of now can see that place. */
static enum tl_err find_place(const struct model *model, const struct op *op)
{
	const struct conversation *c = &model->conversations[op->conversation];
	if (!model_present(c, op->user))
		return TL_NOT_MEMBER;
	if (!model_visible(c, op->user, op->cseq) || model_fate(c, model_entry(c, op->cseq), op->ts) == FATE_EXPIRED)
		return TL_NO_SUCH_MESSAGE;
	return TL_OK;
}

static bool is_own(const struct model *model, const struct op *op, const struct entry *entry)
{
	return model->ops[entry->n].user == op->user;
}

static enum tl_err may_recall(const struct model *model, const struct op *op, const struct entry *entry)
{
	if (!is_direct(op->conversation) && model_rank(model, op->conversation, op->user) >= RANK_ADMIN)
		return TL_OK;
	bool in_time = entry->recalled || within(model->limits.recall_window_ms + 1, entry->ts, op->ts);
	return is_own(model, op, entry) && in_time ? TL_OK : TL_NOT_AUTHORISED;
}

struct result model_recall(struct model *model, const struct op *op)
{
	struct conversation *c = &model->conversations[op->conversation];
	enum tl_err err = find_place(model, op);
	struct entry *entry = err == TL_OK ? &c->entries[op->cseq - 1] : NULL;
	if (err == TL_OK)
		err = may_recall(model, op, entry);
	if (err == TL_OK && !model_is_message(entry))
		err = TL_NO_SUCH_MESSAGE;
	if (err != TL_OK || entry->recalled)
		return outcome(err);
	entry->recalled = true;
	model_append(model, op, op->conversation)->event.cseq = op->cseq;
	return outcome(TL_OK);
}

static bool is_last_version(const struct entry *entry, const struct body *body)
{
	return body_equal(&entry->versions[entry->version_count - 1], body);
}

static enum tl_err may_edit(const struct model *model, const struct op *op, const struct entry *entry)
{
	if (!model_is_message(entry) || entry->recalled)
		return TL_NO_SUCH_MESSAGE;
	if (!is_own(model, op, entry))
		return TL_NOT_AUTHORISED;
	if (is_last_version(entry, &op->body))
		return TL_OK; /* sent again */
	if (model_may_send(model, op->conversation, op->user) != TL_OK ||
	    !within(model->limits.edit_window_ms + 1, entry->ts, op->ts))
		return TL_NOT_AUTHORISED;
	return op->body.len > model->limits.max_body ? TL_TOO_LARGE : TL_OK;
}

struct result model_edit(struct model *model, const struct op *op)
{
	struct conversation *c = &model->conversations[op->conversation];
	enum tl_err err = find_place(model, op);
	struct entry *entry = err == TL_OK ? &c->entries[op->cseq - 1] : NULL;
	if (err == TL_OK)
		err = may_edit(model, op, entry);
	if (err != TL_OK || is_last_version(entry, &op->body))
		return outcome(err);
	add_version(entry, &op->body);
	entry->last_edit = op->n;
	model_append(model, op, op->conversation)->event.cseq = op->cseq;
	return outcome(TL_OK);
}
