#include "fanout.h"

#include <stdlib.h>

bool tl_fanout_on_read(const struct tl_conversation_record *record, uint64_t write_fanout_max)
{
	bool more = record->fanout == TL_FANOUT_WRITE && write_fanout_max < TL_FANOUT_WRITE_MAX;
	uint64_t most = more ? TL_FANOUT_WRITE_MAX : write_fanout_max;
	uint64_t limit = record->on_read ? most - (most + 3) / 4 : most;
	if (record->kind == TL_DIRECT)
		return false;
	return record->fanout == TL_FANOUT_READ || record->member_count > limit;
}

static enum tl_err begin_backlog(struct tl_transaction *txn, const struct tl_conversation *conversation,
                                 struct tl_member *member, const struct tl_user *user)
{
	const struct tl_backlog_change change = {
		.conversation_no = conversation->no,
		.since = conversation->head + 1,
		.record = {.pulled = conversation->head},
		.sound = member->record.mute ? TL_SOUND_QUIET : TL_SOUND_LOUD,
	};
	member->record.backlog = change.since;
	tl_conversation_put_member(conversation, txn->batch, member);
	return tl_transaction_put_backlog(txn, user, &change);
}

/* Whether something of an earlier membership has yet to enter the user's inbox. */
static enum tl_err has_backlog(struct tl_transaction *txn, const struct tl_conversation *conversation,
                               const struct tl_user *user, bool *has_out)
{
	struct tl_iter *iter;
	struct tl_pair_key key;
	uint64_t conversation_no = 0, since;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err != TL_OK)
		return err;
	tl_iter_retarget(iter, tl_partition(TL_PART_BACKLOG, user->no));
	*has_out = tl_iter_seek(iter, tl_pair_key(&key, conversation->no, 0)) &&
	           tl_pair_key_parse(tl_iter_key(iter), &conversation_no, &since) && conversation_no == conversation->no;
	return tl_iter_error(iter);
}

enum tl_err tl_fanout_joined(struct tl_transaction *txn, struct tl_conversation *conversation,
                             struct tl_user *const *users, size_t count)
{
	enum tl_err err = TL_OK;
	for (size_t i = 0; i < count && err == TL_OK; i++) {
		struct tl_member *member;
		bool begins = true;
		if (!conversation->record.on_read)
			err = has_backlog(txn, conversation, users[i], &begins);
		if (err != TL_OK || !begins)
			continue;
		err = tl_conversations_member(&txn->conversations, conversation, users[i]->no, &member);
		if (err == TL_OK && member)
			err = begin_backlog(txn, conversation, member, users[i]);
	}
	return err;
}

enum tl_err tl_fanout_begin_all(struct tl_transaction *txn, struct tl_conversation *conversation)
{
	struct tl_iter *iter;
	enum tl_err err = tl_transaction_iter(txn, &iter);
	if (err == TL_OK)
		err = tl_conversations_load_members(&txn->conversations, iter, conversation);
	for (size_t i = 0; i < conversation->member_count && err == TL_OK; i++) {
		struct tl_member *member = &conversation->members[i];
		struct tl_user *user;
		if (member->record.backlog > 0)
			continue;
		err = tl_users_find_no(&txn->users, iter, member->user_no, &user);
		if (err == TL_OK)
			err = begin_backlog(txn, conversation, member, user);
	}
	return err;
}

static enum tl_err change_way(struct tl_transaction *txn, struct tl_conversation *conversation, bool on_read)
{
	struct tl_conversation_record record = conversation->record;
	struct tl_iter *iter;
	enum tl_err err = on_read ? tl_fanout_begin_all(txn, conversation) : tl_transaction_iter(txn, &iter);
	if (err == TL_OK && !on_read)
		err = tl_conversations_load_members(&txn->conversations, iter, conversation);
	if (err != TL_OK)
		return err;
	record.on_read = on_read;
	return tl_conversation_change(conversation, txn->batch, &record);
}

enum tl_err tl_fanout_settle(struct tl_transaction *txn, struct tl_conversation *conversation)
{
	bool on_read = tl_fanout_on_read(&conversation->record, txn->limits->write_fanout_max);
	if (conversation->record.dissolved)
		return TL_OK;
	if (on_read != conversation->record.on_read)
		return change_way(txn, conversation, on_read);
	/* Nobody needs all of them any more, and they may become very many. */
	if (on_read && conversation->whole && tl_transaction_puts(txn) == 0)
		tl_conversations_forget_members(&txn->conversations, conversation);
	return TL_OK;
}

static enum tl_err read_backlog(struct tl_transaction *txn, const struct tl_conversation *conversation,
                                const struct tl_user *user, uint64_t since, struct tl_backlog_record *record_out)
{
	struct tl_pair_key key;
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(txn->database->engine, NULL, tl_partition(TL_PART_BACKLOG, user->no),
	                                tl_pair_key(&key, conversation->no, since), &value, &len);
	if (err == TL_NOT_FOUND) {
		/* It has been begun in this very batch. */
		*record_out = (struct tl_backlog_record){.pulled = since - 1};
		return TL_OK;
	}
	if (err != TL_OK)
		return err;
	bool ok = tl_backlog_record_unpack(tl_slice(value, len), record_out);
	free(value);
	return ok ? TL_OK : TL_CORRUPT;
}

static enum tl_err end_backlog(struct tl_transaction *txn, const struct tl_conversation *conversation,
                               const struct tl_user *user, uint64_t since)
{
	struct tl_backlog_change change = {.conversation_no = conversation->no, .since = since};
	enum tl_err err = read_backlog(txn, conversation, user, since, &change.record);
	if (err != TL_OK)
		return err;
	change.record.until = conversation->head;
	return tl_transaction_put_backlog(txn, user, &change);
}

enum tl_err tl_fanout_leaving(struct tl_transaction *txn, struct tl_conversation *conversation,
                              struct tl_user *const *users, size_t count)
{
	enum tl_err err = TL_OK;
	for (size_t i = 0; i < count && err == TL_OK; i++) {
		struct tl_member *member;
		err = tl_conversations_member(&txn->conversations, conversation, users[i]->no, &member);
		if (err == TL_OK && member && member->record.backlog > 0)
			err = end_backlog(txn, conversation, users[i], member->record.backlog);
	}
	return err;
}
