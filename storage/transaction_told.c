#include "transaction_parts.h"

#include <stdlib.h>

void *tl_grow(void *list, size_t count, size_t more, size_t *room, size_t element)
{
	if (list && count + more <= *room)
		return list;
	size_t wanted = *room ? *room : 64;
	while (wanted < count + more)
		wanted *= 2;
	void *grown = realloc(list, wanted * element);
	if (grown)
		*room = wanted;
	return grown;
}

enum tl_err tl_transaction_room_to_tell(struct tl_transaction *txn, size_t members)
{
	void *deliveries =
		tl_grow(txn->deliveries, txn->delivery_count, 1, &txn->delivery_room, sizeof *txn->deliveries);
	if (!deliveries)
		return TL_NO_MEMORY;
	txn->deliveries = deliveries;
	void *appends = tl_grow(txn->appends, txn->append_count, members, &txn->append_room, sizeof *txn->appends);
	if (!appends)
		return TL_NO_MEMORY;
	txn->appends = appends;
	return TL_OK;
}

uint32_t tl_transaction_tell_delivery(struct tl_transaction *txn, const struct tl_delivery *delivery)
{
	txn->deliveries[txn->delivery_count] = *delivery;
	return (uint32_t)txn->delivery_count++;
}

static enum tl_err tell_backlog(struct tl_transaction *txn, const struct tl_user *user,
                                const struct tl_backlog_change *change)
{
	void *backlogs = tl_grow(txn->backlogs, txn->backlog_count, 1, &txn->backlog_room, sizeof *txn->backlogs);
	if (!backlogs)
		return TL_NO_MEMORY;
	txn->backlogs = backlogs;
	struct tl_backlog_change *told = &txn->backlogs[txn->backlog_count++];
	*told = *change;
	told->uid = tl_slice(user->uid, user->uid_len);
	told->inbox_head = user->inbox_head;
	return TL_OK;
}

enum tl_err tl_transaction_put_backlog(struct tl_transaction *txn, const struct tl_user *user,
                                       const struct tl_backlog_change *change)
{
	const struct tl_backlog_record *record = &change->record;
	struct tl_partition backlog = tl_partition(TL_PART_BACKLOG, user->no);
	struct tl_pair_key key;
	struct tl_slice at = tl_pair_key(&key, change->conversation_no, change->since);
	if (record->until > 0 && record->pulled >= record->until) {
		tl_batch_delete(txn->batch, backlog, at);
	} else {
		tl_pack_clear(&txn->pack);
		tl_backlog_record_pack(&txn->pack, record);
		tl_batch_put_pack(txn->batch, backlog, at, &txn->pack);
	}
	return tell_backlog(txn, user, change);
}

enum tl_err tl_transaction_tell_sound(struct tl_transaction *txn, const struct tl_user *user,
                                      const struct tl_conversation *conversation, const struct tl_member *member)
{
	const struct tl_backlog_change change = {
		.conversation_no = conversation->no,
		.since = member->record.backlog,
		.sound = member->record.mute ? TL_SOUND_QUIET : TL_SOUND_LOUD,
	};
	return member->record.backlog > 0 ? tell_backlog(txn, user, &change) : TL_OK;
}

static bool copy_slice(struct tl_transaction *txn, struct tl_slice *slice)
{
	slice->ptr = tl_arena_copy(&txn->arena, *slice);
	return slice->ptr != NULL;
}

enum tl_err tl_transaction_tell(struct tl_transaction *txn, const struct tl_outcome *outcome)
{
	struct tl_outcome copy = *outcome;
	struct tl_slice why = tl_slice(outcome->why, strlen(outcome->why) + 1);

	if (!copy_slice(txn, &copy.route) || !copy_slice(txn, &copy.user) || !copy_slice(txn, &copy.device) ||
	    !copy_slice(txn, &copy.fields) || !copy_slice(txn, &why))
		return TL_NO_MEMORY;
	void *outcomes = tl_grow(txn->outcomes, txn->outcome_count, 1, &txn->outcome_room, sizeof *txn->outcomes);
	if (!outcomes)
		return TL_NO_MEMORY;
	txn->outcomes = outcomes;
	copy.why = why.ptr;
	txn->outcomes[txn->outcome_count++] = copy;
	return TL_OK;
}

enum tl_err tl_transaction_regrouped(struct tl_transaction *txn, struct tl_slice name)
{
	void *regrouped =
		tl_grow(txn->regrouped, txn->regrouped_count, 1, &txn->regrouped_room, sizeof *txn->regrouped);
	const void *copy = tl_arena_copy(&txn->arena, name);
	if (regrouped)
		txn->regrouped = regrouped;
	if (!regrouped || !copy)
		return TL_NO_MEMORY;
	txn->regrouped[txn->regrouped_count++] = tl_slice(copy, name.len);
	return TL_OK;
}

struct tl_told tl_transaction_so_far(const struct tl_transaction *txn)
{
	return (struct tl_told){
		.outcomes = txn->outcome_count,
		.deliveries = txn->delivery_count,
		.appends = txn->append_count,
		.backlogs = txn->backlog_count,
		.regrouped = txn->regrouped_count,
		.pulled = txn->pulled_count,
	};
}

struct tl_commit tl_transaction_told_until(const struct tl_transaction *txn, const struct tl_told *then)
{
	return (struct tl_commit){
		.outcomes = txn->outcomes,
		.outcome_count = then->outcomes,
		.deliveries = txn->deliveries,
		.delivery_count = then->deliveries,
		.appends = txn->appends,
		.append_count = then->appends,
		.backlogs = txn->backlogs,
		.backlog_count = then->backlogs,
		.pulled_count = then->pulled,
		.regrouped = txn->regrouped,
		.regrouped_count = then->regrouped,
	};
}

struct tl_commit tl_transaction_told(const struct tl_transaction *txn)
{
	const struct tl_told now = tl_transaction_so_far(txn);
	return tl_transaction_told_until(txn, &now);
}
