#include "send.h"

#include "blocks.h"
#include "id.h"

enum tl_err tl_send_allowed(const struct tl_conversation_record *record, const struct tl_member_record *member,
                            struct tl_slice user)
{
	if (!member)
		return TL_NOT_MEMBER;
	if (record->dissolved)
		return TL_NOT_MEMBER;
	if (tl_slice_equal(record->owner, user))
		return TL_OK;
	if (member->role == TL_ROLE_MUTED || (record->post == TL_POST_ADMINS && member->role != TL_ROLE_ADMIN))
		return TL_NOT_AUTHORISED;
	return TL_OK;
}

/* A direct chat comes into being with its first message. */
static enum tl_err create_direct(struct tl_transaction *txn, struct tl_slice cid, struct tl_slice one,
                                 struct tl_slice other, struct tl_conversation **conversation_out)
{
	const struct tl_conversation_record record = {
		.cid = cid, .kind = TL_DIRECT, .member_count = tl_slice_equal(one, other) ? 1 : 2};
	const struct tl_member_record member = {.role = TL_ROLE_MEMBER, .since = 1};
	struct tl_user *first, *second;
	enum tl_err err = tl_transaction_user(txn, one, &first);
	if (err == TL_OK)
		err = tl_transaction_user(txn, other, &second);
	if (err != TL_OK)
		return err;
	bool in_order = tl_slice_compare(one, other) <= 0;
	const struct tl_member members[2] = {{.user_no = in_order ? first->no : second->no, .record = member},
	                                     {.user_no = in_order ? second->no : first->no, .record = member}};
	return tl_conversations_create(&txn->conversations, txn->batch, &record, members, first == second ? 1 : 2,
	                               conversation_out);
}

/* Where a message goes and who sends it. */
struct place {
	struct tl_conversation *conversation;
	struct tl_member *sender;
};

/* In a direct chat nothing of the sender's record is needed. */
static enum tl_err find_sender(struct tl_transaction *txn, struct tl_slice sender, struct place *place)
{
	struct tl_user *user;
	enum tl_err err = tl_transaction_find_user(txn, sender, &user);
	place->sender = NULL;
	if (err == TL_OK && user && place->conversation->record.kind == TL_DIRECT)
		place->sender = tl_conversation_member(place->conversation, user->no);
	else if (err == TL_OK && user)
		err = tl_conversations_member(&txn->conversations, place->conversation, user->no, &place->sender);
	return err;
}

/* The direct chat, made if need be; TL_NOT_MEMBER where the sender is neither of the two. A refused message does not bring it into
 * being. */
static enum tl_err resolve_direct(struct tl_transaction *txn, struct tl_slice cid, struct tl_slice sender,
                                  struct place *place)
{
	struct tl_slice other;
	if (!tl_direct_id_other(cid, sender, &other))
		return TL_NOT_MEMBER;
	enum tl_err err = tl_blocks_check(txn, sender, other);
	if (err == TL_OK)
		err = tl_transaction_conversation(txn, cid, &place->conversation);
	if (err == TL_NOT_FOUND)
		err = create_direct(txn, cid, sender, other, &place->conversation);
	return err == TL_OK ? find_sender(txn, sender, place) : err;
}

/* A group or channel that the sender may post to. */
static enum tl_err resolve_group(struct tl_transaction *txn, struct tl_slice cid, struct tl_slice sender,
                                 struct place *place)
{
	enum tl_err err = tl_transaction_conversation(txn, cid, &place->conversation);
	if (err == TL_OK)
		err = find_sender(txn, sender, place);
	if (err != TL_OK)
		return err == TL_NOT_FOUND ? TL_NOT_MEMBER : err;
	return tl_send_allowed(&place->conversation->record, place->sender ? &place->sender->record : NULL, sender);
}

static enum tl_err resolve(struct tl_transaction *txn, struct tl_slice cid, struct tl_slice sender,
                           struct place *place)
{
	return tl_id_is_direct(cid) ? resolve_direct(txn, cid, sender, place) : resolve_group(txn, cid, sender, place);
}

/* The message's own id: the client's or the one made for it. */
static struct tl_slice message_id(struct tl_slice message)
{
	return tl_message_str(message, "id");
}

static enum tl_err tell(struct tl_transaction *txn, const struct tl_ingest_record *record, struct tl_slice cid,
                        enum tl_err result, const struct tl_dedup_record *stored, bool dup)
{
	struct tl_pack *fields = &txn->pack;
	tl_pack_clear(fields);
	tl_pack_cstr(fields, "conv");
	tl_pack_str(fields, cid);
	if (result == TL_OK || record->id.len > 0) {
		tl_pack_cstr(fields, "id");
		tl_pack_str(fields, record->id.len ? record->id : message_id(record->payload));
	}
	if (result == TL_OK) {
		tl_pack_cstr(fields, "cseq");
		tl_pack_uint(fields, stored->cseq);
		tl_pack_cstr(fields, "ts");
		tl_pack_uint(fields, stored->ts);
		tl_pack_cstr(fields, "dup");
		tl_pack_bool(fields, dup);
	}
	const struct tl_outcome outcome = {
		.route = record->route,
		.user = record->user,
		.device = record->device,
		.op = "send",
		.err = result,
		.why = result == TL_BAD_REQUEST ? TL_SEND_NO_ORDER : "",
		.fields = tl_pack_bytes(fields),
		.field_count = result == TL_OK ? 5 : record->id.len > 0 ? 2 : 1,
	};
	return fields->failed ? TL_NO_MEMORY : tl_transaction_tell(txn, &outcome);
}

static enum tl_err store(struct tl_transaction *txn, const struct tl_ingest_record *record, const struct place *place,
                         uint64_t order, const struct tl_dedup_key *dedup, struct tl_dedup_record *stored_out)
{
	const struct tl_append append = {
		.sender = place->sender,
		.order = order,
		.message = tl_arena_copy(&txn->arena, record->payload),
		.len = record->payload.len,
		.dedup = dedup,
	};
	if (!append.message)
		return TL_NO_MEMORY;
	return tl_transaction_append(txn, place->conversation, &append, &stored_out->cseq, &stored_out->ts);
}

/* *dup_out: it is there already. */
static enum tl_err resolve_and_store(struct tl_transaction *txn, const struct tl_ingest_record *record,
                                     struct tl_slice cid, struct tl_dedup_record *stored_out, bool *dup_out)
{
	struct place place;
	struct tl_dedup_key dedup;
	uint64_t order = 0;
	bool has_id = record->id.len > 0;
	enum tl_err err = resolve(txn, cid, record->user, &place);
	if (err == TL_OK && place.conversation->record.order == TL_ORDER_CUSTOM)
		err = (order = tl_message_order(record->payload)) > 0 ? TL_OK : TL_BAD_REQUEST;
	if (err != TL_OK)
		return err;
	if (has_id) {
		dedup = tl_transaction_dedup_key(txn, place.conversation, record->user, record->id);
		err = tl_transaction_find_dup(txn, place.conversation, &dedup, tl_message_ts(record->payload), stored_out);
		*dup_out = err == TL_OK;
		if (err != TL_NOT_FOUND)
			return err;
	}
	return store(txn, record, &place, order, has_id ? &dedup : NULL, stored_out);
}

enum tl_err tl_send_apply(struct tl_transaction *txn, const struct tl_ingest_record *record)
{
	char direct[TL_DIRECT_ID_MAX];
	struct tl_slice cid = record->to_user ? tl_direct_id(record->user, record->target, direct) : record->target;
	struct tl_dedup_record stored;
	bool dup = false;
	enum tl_err err = resolve_and_store(txn, record, cid, &stored, &dup);
	if (err == TL_CORRUPT) { /* met before anything was changed (X1), and trying again would not help */
		tl_transaction_note_damaged(txn, cid);
		err = TL_STORAGE;
	}
	if (err != TL_OK && err != TL_STORAGE && !tl_err_is_refusal(err))
		return err;
	return tell(txn, record, cid, err, &stored, dup);
}
