/* `delete`: clearing away messages for oneself, on all one's devices; nobody else learns of it. Members can, and those who
 * have left, with what they may still see. What changes nothing makes no event. */
#include "actor.h"
#include "event.h"
#include "msgpack_reader.h"
#include "visibility.h"

enum { ARG_CONV, ARG_CSEQS, ARG_ALL };
enum { CSEQS_MAX = 1000 };

const struct tl_param tl_delete_params[] = {
	[ARG_CONV] = {.key = "conv", .type = TL_PARAM_CID, .required = true},
	[ARG_CSEQS] = {.key = "cseqs", .type = TL_PARAM_UINTS, .max = CSEQS_MAX},
	[ARG_ALL] = {.key = "all", .type = TL_PARAM_BOOL},
	{.key = NULL},
};

/* Whose view of which conversation is to be cleared. */
struct view {
	struct tl_actor actor;           /* its member is NULL for one who has left */
	struct tl_visibility visibility; /* as committed: the request has a batch to itself */
};

/* TL_NOT_MEMBER where the caller is and was no member. Close view->visibility. */
static enum tl_err open_view(struct tl_transaction *txn, const struct tl_call *call, struct view *view)
{
	struct tl_slice cid = call->args[ARG_CONV].bytes;
	enum tl_err err = tl_actor_find(txn, call, cid, &view->actor);
	if (err == TL_OK)
		err = tl_visibility_open(txn->database->engine, NULL, txn->limits, call->now, cid, call->user,
		                         &view->visibility);
	return err;
}

static uint64_t cleared(const struct view *view)
{
	return view->actor.member ? view->actor.member->record.cleared : view->visibility.former.cleared;
}

/* Has what the view is now kept: in the record of the member, or of the former one. */
static enum tl_err put_view(struct tl_transaction *txn, struct view *view)
{
	struct tl_actor *actor = &view->actor;
	if (actor->member)
		return tl_transaction_member_changed(txn, actor->conversation, actor->member);
	tl_conversation_put_former(actor->conversation, txn->batch, actor->user->no, &view->visibility.former);
	return TL_OK;
}

/* --- some --- */

/* The entries that a request deletes, each once. There are few enough to be compared: each costs a read anyway. */
struct deleted {
	uint64_t cseqs[CSEQS_MAX];
	uint32_t count;
};

static bool contains(const struct deleted *deleted, uint64_t cseq)
{
	for (uint32_t i = 0; i < deleted->count; i++)
		if (deleted->cseqs[i] == cseq)
			return true;
	return false;
}

/* Takes those that are there and not deleted yet. */
static enum tl_err select_entries(const struct view *view, const struct tl_arg *cseqs, struct deleted *deleted)
{
	struct tl_reader reader = tl_reader(cseqs->bytes);
	uint64_t cseq;
	deleted->count = 0;
	while (tl_reader_uint(&reader, &cseq)) {
		bool is_deleted;
		if (cseq > view->visibility.last || cseq <= cleared(view) || contains(deleted, cseq))
			continue;
		enum tl_err err = tl_deleted(&view->visibility, cseq, &is_deleted);
		if (err != TL_OK)
			return err;
		if (!is_deleted)
			deleted->cseqs[deleted->count++] = cseq;
	}
	return TL_OK;
}

static void mark_deleted(struct tl_transaction *txn, const struct view *view, const struct deleted *deleted)
{
	const struct tl_partition partition = tl_partition(TL_PART_DELETED, view->actor.user->no);
	struct tl_pair_key key;
	for (uint32_t i = 0; i < deleted->count; i++)
		tl_batch_put(txn->batch, partition, tl_pair_key(&key, view->actor.conversation->no, deleted->cseqs[i]),
		             tl_slice("", 0));
}

static enum tl_err tell_deleted(struct tl_transaction *txn, const struct tl_call *call, const struct view *view,
                                const struct deleted *deleted)
{
	struct tl_event event;
	struct tl_pack cseqs;
	tl_pack_init(&cseqs);
	for (uint32_t i = 0; i < deleted->count; i++)
		tl_pack_uint(&cseqs, deleted->cseqs[i]);
	enum tl_err err = cseqs.failed ? TL_NO_MEMORY : TL_OK;
	if (err == TL_OK) {
		tl_event_begin(&event, call, "delete");
		tl_event_array(&event, "cseqs", deleted->count, tl_pack_bytes(&cseqs));
		err = tl_event_append_private(&event, txn, view->actor.user, view->actor.conversation);
	}
	tl_pack_fini(&cseqs);
	return err;
}

static enum tl_err delete_some(struct tl_transaction *txn, const struct tl_call *call, struct view *view)
{
	struct deleted deleted;
	enum tl_err err = select_entries(view, &call->args[ARG_CSEQS], &deleted);
	if (err != TL_OK || deleted.count == 0)
		return err;
	mark_deleted(txn, view, &deleted);
	if (view->actor.member)
		view->actor.member->record.deleted_some = true;
	view->visibility.former.deleted_some = true;
	err = put_view(txn, view);
	return err == TL_OK ? tell_deleted(txn, call, view, &deleted) : err;
}

/* --- all --- */

/* A member has seen then what there is. */
static void clear_member(struct tl_member_record *record, const struct tl_conversation *conversation)
{
	record->cleared = conversation->head;
	if (record->seen >= conversation->head)
		return;
	record->seen = conversation->head;
	record->seen_running = conversation->running;
}

static enum tl_err delete_all(struct tl_transaction *txn, const struct tl_call *call, struct view *view)
{
	struct tl_actor *actor = &view->actor;
	uint64_t last = view->visibility.last;
	struct tl_event event;
	if (cleared(view) >= last)
		return TL_OK;
	if (actor->member)
		clear_member(&actor->member->record, actor->conversation);
	else
		view->visibility.former.cleared = last;
	enum tl_err err = put_view(txn, view);
	if (err != TL_OK)
		return err;
	tl_event_begin(&event, call, "delete");
	tl_event_bool(&event, "all", true);
	tl_event_uint(&event, "cseq", last);
	return tl_event_append_private(&event, txn, actor->user, actor->conversation);
}

enum tl_err tl_delete(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)
{
	bool all = call->args[ARG_ALL].uint != 0;
	struct view view;
	if (all == call->args[ARG_CSEQS].given)
		return tl_fail(&answer->why, TL_BAD_REQUEST, "either 'cseqs' or 'all':true must be given");
	enum tl_err err = open_view(txn, call, &view);
	if (err != TL_OK)
		return err;
	err = all ? delete_all(txn, call, &view) : delete_some(txn, call, &view);
	tl_visibility_close(&view.visibility);
	return err;
}
