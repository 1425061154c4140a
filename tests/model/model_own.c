/* What a user does for himself. */
#include "model.h"

struct result model_read(struct model *model, const struct op *op)
{
	struct conversation *c = &model->conversations[op->conversation];
	struct member *member = &c->members[op->user];
	if (!model_present(c, op->user))
		return outcome(TL_NOT_MEMBER);
	if (op->cseq > c->count)
		return outcome(TL_NO_SUCH_MESSAGE);
	if (op->cseq > member->read) {
		member->read = op->cseq;
		model_append_private(model, op, op->conversation)->cseq = op->cseq;
	}
	/* What is in the same batch has not expired, and nobody knows where a batch begins. */
	return (struct result){
		.unread_least = model_unread(model, op->conversation, op->user, model_latest_time(model, op->n), true),
		.unread_most = model_unread(model, op->conversation, op->user, 0, false),
	};
}

struct result model_set(struct model *model, const struct op *op)
{
	struct member *member = &model->conversations[op->conversation].members[op->user];
	if (!model_present(&model->conversations[op->conversation], op->user))
		return outcome(TL_NOT_MEMBER);
	unsigned before = (member->mute ? FLAG_MUTE : 0U) | (member->pin ? FLAG_PIN : 0U);
	unsigned changed = op->flags_given & (before ^ op->flags), after = before ^ changed;
	member->mute = after & FLAG_MUTE;
	member->pin = after & FLAG_PIN;
	if (changed)
		model_append_private(model, op, op->conversation)->changed = changed;
	return outcome(TL_OK);
}

/* --- delete --- */

static void delete_all(struct model *model, const struct op *op)
{
	struct conversation *c = &model->conversations[op->conversation];
	struct member *member = &c->members[op->user];
	uint64_t last = model_last(c, op->user);
	if (member->cleared >= last)
		return;
	member->cleared = last;
	model_append_private(model, op, op->conversation)->cseq = last;
}

static void delete_some(struct model *model, const struct op *op)
{
	struct conversation *c = &model->conversations[op->conversation];
	struct event event = {.by = op->user, .owner = NOBODY};
	for (uint64_t i = 0; i < op->cseq_count; i++) {
		if (op->cseqs[i] > model_last(c, op->user) || model_deleted(c, op->user, op->cseqs[i]))
			continue;
		c->entries[op->cseqs[i] - 1].deleted_by |= 1U << op->user;
		event.cseqs[event.cseq_count++] = op->cseqs[i];
	}
	if (event.cseq_count > 0)
		*model_append_private(model, op, op->conversation) = event;
}

struct result model_delete(struct model *model, const struct op *op)
{
	if (op->all == op->has_cseqs)
		return outcome(TL_BAD_REQUEST);
	if (!model_knows(&model->conversations[op->conversation], op->user))
		return outcome(TL_NOT_MEMBER);
	(op->all ? delete_all : delete_some)(model, op);
	return outcome(TL_OK);
}

/* --- block --- */

struct result model_block(struct model *model, const struct op *op)
{
	bool on = op->has_on ? op->on : true;
	if (op->users[0] == op->user)
		return outcome(TL_BAD_REQUEST);
	uint32_t bit = 1U << op->users[0];
	if (on == ((model->blocked[op->user] & bit) != 0))
		return outcome(TL_OK);
	model->blocked[op->user] ^= bit;
	struct event *event = model_append_private(model, op, NOWHERE);
	event->users[event->user_count++] = op->users[0];
	return outcome(TL_OK);
}
