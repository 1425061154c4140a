#include "pull.h"

#include "backlog.h"
#include "store_reader.h"

enum { AT_ONCE_MAX = 4096 }; /* entries taken in for a smaller page, or for one that begins farther away */

/* A user's backlogs being taken in. */
struct intake {
	struct tl_transaction *txn;
	struct tl_user *user;
	struct tl_inbox inbox;
	struct tl_store_reader stores;
	uint64_t *next;       /* queue position of each backlog's next entry, UINT64_MAX: it has none; in the arena */
	uint64_t upto;
};

/* The next entry of a backlog. TL_NOT_FOUND: retention has dropped it, or it cannot be read; it enters the inbox all the
 * same. */
static enum tl_err find_next(struct intake *intake, const struct tl_backlog *backlog, struct tl_store_record *record_out)
{
	uint64_t cseq = backlog->record.pulled + 1;
	if (cseq <= backlog->floor)
		return TL_NOT_FOUND;
	enum tl_err err = tl_store_reader_find(&intake->stores, backlog->conversation_no, cseq, record_out);
	return err == TL_CORRUPT ? TL_NOT_FOUND : err;
}

/* Where the next entry of a backlog stands in the order of acceptance: before all that are left if it is not there. */
static enum tl_err look_at(struct intake *intake, size_t i)
{
	const struct tl_backlog *backlog = &intake->inbox.backlogs[i];
	struct tl_store_record record = {0};
	intake->next[i] = UINT64_MAX;
	if (tl_backlog_pending(backlog) == 0)
		return TL_OK;
	enum tl_err err = find_next(intake, backlog, &record);
	intake->next[i] = record.position;
	return err == TL_NOT_FOUND ? TL_OK : err;
}

/* The backlog whose entry comes next; *before_out: it may go on until entries of another one come first. */
static size_t first_of(const struct intake *intake, uint64_t *before_out)
{
	size_t first = 0;
	*before_out = UINT64_MAX;
	for (size_t i = 1; i < intake->inbox.count; i++) {
		size_t other = i;
		if (intake->next[i] < intake->next[first]) {
			other = first;
			first = i;
		}
		if (intake->next[other] < *before_out)
			*before_out = intake->next[other];
	}
	return first;
}

static bool wants_more(const struct intake *intake)
{
	return intake->user->inbox_head < intake->upto;
}

/* Takes in the next entry of a backlog. */
static enum tl_err take(struct intake *intake, struct tl_backlog *backlog)
{
	struct tl_store_record record;
	enum tl_err err = find_next(intake, backlog, &record);
	if (err != TL_OK && err != TL_NOT_FOUND)
		return err;
	uint64_t ts = err == TL_OK ? tl_message_ts(record.message) : 0;
	tl_transaction_append_pulled(intake->txn, intake->user, backlog->conversation_no, ++backlog->record.pulled, ts);
	return TL_OK;
}

/* Takes in a run of entries of one conversation. */
static enum tl_err take_run(struct intake *intake, size_t i, uint64_t before)
{
	enum tl_err err = TL_OK;
	while (err == TL_OK && wants_more(intake) && intake->next[i] <= before && intake->next[i] < UINT64_MAX) {
		err = take(intake, &intake->inbox.backlogs[i]);
		if (err == TL_OK)
			err = look_at(intake, i);
	}
	return err;
}

/* --- how far it has come --- */

/* A membership that goes on in a conversation which is on write again needs no backlog any more (fanout.h F3), nor does
 * one in a conversation that has ended. */
static enum tl_err can_end(struct intake *intake, struct tl_backlog *backlog)
{
	struct tl_conversation_record record;
	struct tl_conversation *conversation;
	struct tl_member *member = NULL;
	char *bytes;
	enum tl_err err = tl_conversation_read(intake->txn->database->engine, NULL, backlog->conversation_no, &record, &bytes);
	if (err == TL_NOT_FOUND || err == TL_CORRUPT)
		return TL_OK; /* one can go on without */
	if (err != TL_OK)
		return err;
	bool ends = !record.on_read || record.dissolved;
	if (ends)
		err = tl_transaction_conversation(intake->txn, record.cid, &conversation);
	if (err == TL_OK && ends)
		err = tl_conversations_member(&intake->txn->conversations, conversation, intake->user->no, &member);
	free(bytes);
	if (err != TL_OK || !ends || (conversation->record.on_read && !conversation->record.dissolved))
		return err;
	backlog->record.until = backlog->record.pulled;
	if (!member || member->record.backlog != backlog->since)
		return TL_OK;
	member->record.backlog = 0;
	return tl_transaction_member_changed(intake->txn, conversation, member);
}

static enum tl_err put_progress(struct intake *intake, struct tl_backlog *backlog)
{
	if (tl_backlog_pending(backlog) == 0 && backlog->record.until == 0) {
		enum tl_err err = can_end(intake, backlog);
		bool goes_on = err == TL_CORRUPT || err == TL_STORAGE || err == TL_NOT_FOUND; /* one that cannot end */
		if (err != TL_OK && !goes_on)
			return err;
	}
	const struct tl_backlog_change change = {
		.conversation_no = backlog->conversation_no, .since = backlog->since, .record = backlog->record};
	return tl_transaction_put_backlog(intake->txn, intake->user, &change);
}

static enum tl_err put_all_progress(struct intake *intake)
{
	struct tl_inbox *inbox = &intake->inbox;
	enum tl_err err = TL_OK;
	for (size_t i = 0; i < inbox->count && err == TL_OK; i++)
		if (inbox->backlogs[i].record.pulled > inbox->backlogs[i].stored_pulled)
			err = put_progress(intake, &inbox->backlogs[i]);
	return err;
}

/* --- the whole --- */

static enum tl_err take_in(struct intake *intake)
{
	struct tl_inbox *inbox = &intake->inbox;
	enum tl_err err = TL_OK;
	if (inbox->head > inbox->bounds.head)
		err = tl_transaction_skip(intake->txn, intake->user, inbox->head);
	for (size_t i = 0; i < inbox->count && err == TL_OK; i++)
		err = look_at(intake, i);
	while (err == TL_OK && inbox->count > 0 && wants_more(intake)) {
		uint64_t before;
		size_t i = first_of(intake, &before);
		if (intake->next[i] == UINT64_MAX)
			break;
		err = take_run(intake, i, before);
	}
	if (err != TL_OK && err != TL_CORRUPT)
		return err;
	/* What has been taken in before something damaged stopped it is in the batch, and must not come a second time. */
	enum tl_err put = put_all_progress(intake);
	return put != TL_OK ? put : err;
}

static enum tl_err begin(struct intake *intake, uint64_t now)
{
	struct tl_iter *iter;
	enum tl_err err = tl_transaction_iter(intake->txn, &iter);
	if (err == TL_OK)
		err = tl_inbox_read(intake->txn->database->engine, NULL, iter, intake->user->no, intake->txn->limits, now, NULL,
		                    &intake->inbox);
	if (err != TL_OK)
		return err;
	intake->next = tl_arena_alloc(&intake->txn->arena, (intake->inbox.count + 1) * sizeof *intake->next);
	if (!intake->next)
		return TL_NO_MEMORY;
	tl_store_reader_init(&intake->stores, intake->txn->database->engine, NULL);
	return TL_OK;
}

/* Where what is asked for ends, as the inbox is now, or what is taken in with it: to begin has cost something for each of the
 * user's backlogs, and small pages shall not cost that each (L4). What begins far behind the inbox's end takes several (L5). */
static uint64_t end_of_intake(const struct tl_pull *pull, const struct tl_inbox *inbox)
{
	uint64_t begin = pull->after > pull->floor ? pull->after : pull->floor, most = inbox->head + AT_ONCE_MAX;
	uint64_t least = inbox->count < AT_ONCE_MAX ? inbox->count : AT_ONCE_MAX;
	uint64_t count = pull->limit > 0 && pull->limit < least ? least : pull->limit;
	return begin < most ? begin + count : most;
}

static enum tl_err pull_for(struct tl_transaction *txn, struct tl_user *user, struct tl_pull *pull)
{
	struct intake intake = {.txn = txn, .user = user};
	enum tl_err err = begin(&intake, pull->now);
	txn->now = pull->now;
	if (err == TL_OK) {
		user->pulled_in = txn->serial;
		pull->floor = intake.inbox.floor;
		intake.upto = end_of_intake(pull, &intake.inbox);
		err = take_in(&intake);
	}
	pull->taken = err == TL_OK;
	tl_store_reader_fini(&intake.stores);
	tl_inbox_free(&intake.inbox);
	return err;
}

static enum tl_err apply(struct tl_chore *chore, struct tl_transaction *txn)
{
	struct tl_pull *pull = (struct tl_pull *)(void *)chore;
	struct tl_user *user;
	pull->err = tl_transaction_find_user(txn, pull->user, &user);
	if (pull->err == TL_OK && user && user->pulled_in != txn->serial)
		pull->err = pull_for(txn, user, pull);
	/* What is damaged stays so: whoever waits is told, and everybody else is stored. */
	return pull->err == TL_CORRUPT ? TL_OK : pull->err;
}

static void done(struct tl_chore *chore, bool committed)
{
	struct tl_pull *pull = (struct tl_pull *)(void *)chore;
	if (!committed)
		pull->err = TL_STORAGE;
	pull->ready(pull);
}

void tl_pull_init(struct tl_pull *pull)
{
	pull->chore = (struct tl_chore){.apply = apply, .done = done, .impatient = true};
	pull->err = TL_OK;
	pull->taken = false;
}
