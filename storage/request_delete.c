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

/* Marks those that are there and not deleted yet; *count_out and `kept` say which. */
static enum tl_err mark_deleted(struct tl_transaction *txn, const struct view *view, const struct tl_arg *cseqs,
                                struct tl_pack *kept, uint32_t *count_out)
{
	uint64_t user_no = view->actor.user->no, conversation_no = view->actor.conversation->no, cseq;
	struct tl_reader reader = tl_reader(cseqs->bytes);
	*count_out = 0;
	while (tl_reader_uint(&reader, &cseq)) {
		struct tl_pair_key key;
		bool deleted;
		if (cseq > view->visibility.last || cseq <= cleared(view))
			continue;
		enum tl_err err = tl_deleted(&view->visibility, cseq, &deleted);
		if (err != TL_OK)
			return err;
		if (deleted)
			continue;
		tl_batch_put(txn->batch, tl_partition(TL_PART_DELETED, user_no), tl_pair_key(&key, conversation_no, cseq),
		             tl_slice("", 0));
		tl_pack_uint(kept, cseq);
		++*count_out;
	}
	return kept->failed ? TL_NO_MEMORY : TL_OK;
}

static enum tl_err delete_some(struct tl_transaction *txn, const struct tl_call *call, struct view *view)
{
	struct tl_event event;
	struct tl_pack kept;
	uint32_t count;
	tl_pack_init(&kept);
	enum tl_err err = mark_deleted(txn, view, &call->args[ARG_CSEQS], &kept, &count);
	if (err != TL_OK || count == 0)
		goto done;
	if (view->actor.member)
		view->actor.member->record.deleted_some = true;
	view->visibility.former.deleted_some = true;
	if ((err = put_view(txn, view)) != TL_OK)
		goto done;
	tl_event_begin(&event, call, "delete");
	tl_event_array(&event, "cseqs", count, tl_pack_bytes(&kept));
	err = tl_event_append_private(&event, txn, view->actor.user, view->actor.conversation);
done:
	tl_pack_fini(&kept);
	return err;
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
