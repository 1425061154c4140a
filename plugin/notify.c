#include "notify.h"

#include "broker.h"
#include "clock.h"
#include "following.h"
#include "id.h"
#include "notification.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

enum {
	TOPIC_MAX = 128 + 8 + TL_ID_MAX + 5 + 1,
	FLUSHED_USERS = 1000,  /* notified in one tick; the others in the next ones … */
	FLUSHED_BYTES = 4 * 1024 * 1024, /* … as also where it came to so much */
	FLUSHED_IN_TURN = 100, /* of those who wait their turn, at least */
	LOCKED_USERS = 256,    /* gone through, or backlogs, before the lock is let go for a moment */
	TURN_MS = 200,         /* how long a user is left alone by conversations with fan-out on read */
};

/* Who is announced when. */
enum queue {
	NONE,
	AT_ONCE,
	IN_TURN, /* behind all others: a big group's messages shall not hold up those of a chat */
	LATER,   /* in turn, but not yet */
	QUEUES,
};

/* A user who is online, or was when something became due. */
struct watcher {
	uint32_t devices;
	unsigned codecs;
	bool loading;  /* the inbox is being read; nothing is announced until it is known */
	uint64_t head; /* the last seq in the inbox, as far as is known */
	struct tl_follow *follows; /* what has yet to enter it */
	enum queue queue;
	uint64_t last; /* seq of the inbox to be announced; 0: nothing is due but what has yet to enter */
	bool whole;    /* `due` ends at `last` and holds all that is to be announced */
	size_t bytes;  /* of the fragments */
	struct tl_due_message *due;
	size_t due_count, due_room;
	uint64_t told_ms;  /* when something was announced in turn the last time */
	uint64_t later_ms; /* LATER: until when */
	struct watcher *prev, *next; /* of the queue */
	UT_hash_handle hh;
	size_t uid_len;
	char uid[];
};

struct tl_notify {
	struct tl_notify_options options;
	const char *epoch;
	pthread_mutex_t lock; /* guards the rest */
	struct watcher *watchers;
	struct tl_following following;
	struct watcher *queues[QUEUES];
};

enum tl_err tl_notify_new(const struct tl_notify_options *options, struct tl_notify **notify_out)
{
	struct tl_notify *notify = calloc(1, sizeof *notify);
	if (!notify)
		return TL_NO_MEMORY;
	notify->options = *options;
	pthread_mutex_init(&notify->lock, NULL);
	*notify_out = notify;
	return TL_OK;
}

void tl_notify_set_epoch(struct tl_notify *notify, const char *epoch)
{
	notify->epoch = epoch;
}

/* --- watchers --- */

static void put_into(struct tl_notify *notify, struct watcher *watcher, enum queue queue)
{
	if (watcher->queue == queue)
		return;
	if (watcher->queue != NONE)
		DL_DELETE(notify->queues[watcher->queue], watcher);
	if (queue != NONE)
		DL_APPEND(notify->queues[queue], watcher);
	watcher->queue = queue;
}

static void drop_due(struct watcher *watcher)
{
	for (size_t i = 0; i < watcher->due_count; i++)
		tl_fragment_release(watcher->due[i].fragment);
	watcher->due_count = 0;
	watcher->bytes = 0;
}

static void watcher_free(struct tl_notify *notify, struct watcher *watcher)
{
	HASH_DEL(notify->watchers, watcher);
	put_into(notify, watcher, NONE);
	tl_following_drop_all(&notify->following, &watcher->follows);
	drop_due(watcher);
	free(watcher->due);
	free(watcher);
}

void tl_notify_free(struct tl_notify *notify)
{
	struct watcher *watcher, *next;
	if (!notify)
		return;
	HASH_ITER(hh, notify->watchers, watcher, next)
	watcher_free(notify, watcher);
	pthread_mutex_destroy(&notify->lock);
	free(notify);
}

static struct watcher *find(struct tl_notify *notify, struct tl_slice user)
{
	struct watcher *watcher;
	HASH_FIND(hh, notify->watchers, user.ptr, user.len, watcher);
	return watcher;
}

static struct watcher *watcher_new(struct tl_notify *notify, struct tl_slice user)
{
	struct watcher *watcher = calloc(1, sizeof *watcher + user.len);
	if (!watcher)
		return NULL;
	watcher->uid_len = user.len;
	memcpy(watcher->uid, user.ptr, user.len);
	HASH_ADD_KEYPTR(hh, notify->watchers, watcher->uid, watcher->uid_len, watcher);
	return watcher;
}

bool tl_notify_watch(struct tl_notify *notify, struct tl_slice user, bool *first_out)
{
	pthread_mutex_lock(&notify->lock);
	struct watcher *watcher = find(notify, user);
	*first_out = !watcher;
	if (!watcher && (watcher = watcher_new(notify, user)))
		watcher->loading = true;
	if (watcher)
		watcher->devices++;
	pthread_mutex_unlock(&notify->lock);
	return watcher != NULL;
}

void tl_notify_unwatch(struct tl_notify *notify, struct tl_slice user)
{
	pthread_mutex_lock(&notify->lock);
	struct watcher *watcher = find(notify, user);
	if (watcher && --watcher->devices == 0)
		watcher_free(notify, watcher);
	pthread_mutex_unlock(&notify->lock);
}

void tl_notify_want(struct tl_notify *notify, struct tl_slice user, unsigned codecs)
{
	pthread_mutex_lock(&notify->lock);
	struct watcher *watcher = find(notify, user);
	if (watcher)
		watcher->codecs |= codecs;
	pthread_mutex_unlock(&notify->lock);
}

/* --- what is due --- */

static bool add_due(struct watcher *watcher, struct tl_fragment *fragment, uint64_t seq)
{
	if (watcher->due_count == watcher->due_room) {
		size_t more = watcher->due_room ? watcher->due_room * 2 : 4;
		struct tl_due_message *grown = realloc(watcher->due, more * sizeof *grown);
		if (!grown)
			return false;
		watcher->due = grown;
		watcher->due_room = more;
	}
	fragment->references++;
	watcher->due[watcher->due_count++] = (struct tl_due_message){fragment, seq};
	watcher->bytes += fragment->msgpack.len;
	return true;
}

/* The fragment of a delivery, made when the first watcher needs it; NULL where it is too long to be inlined, or an edit: not
 * every member may see the message that it is about, and sync knows who may. */
static struct tl_fragment *fragment_for(const struct tl_notify *notify, const struct tl_delivery *delivery,
                                     struct tl_fragment **made)
{
	if (delivery->message.len > notify->options.inline_max)
		return NULL;
	uint64_t edited;
	if (!*made && !tl_message_edit_target(delivery->message, &edited))
		*made = tl_fragment_new(delivery);
	return *made;
}

static void announce(struct tl_notify *notify, struct watcher *watcher, const struct tl_delivery *delivery,
                     struct tl_fragment **made, uint64_t seq)
{
	if (watcher->codecs == 0)
		return;
	if (watcher->last == 0)
		watcher->whole = true;
	if (!watcher->loading)
		put_into(notify, watcher, AT_ONCE);
	struct tl_fragment *fragment = watcher->whole ? fragment_for(notify, delivery, made) : NULL;
	if (fragment && (watcher->codecs & TL_CODEC_JSON) && !tl_fragment_make_json(fragment))
		fragment = NULL;
	bool joins = watcher->last == 0 || seq == watcher->last + 1;
	if (!fragment || !joins || watcher->bytes + fragment->msgpack.len > notify->options.inline_max ||
	    !add_due(watcher, fragment, seq)) {
		drop_due(watcher);
		watcher->whole = false;
	}
	watcher->last = seq;
}

/* New messages have yet to enter the user's inbox. */
static void announce_backlog(struct tl_notify *notify, struct watcher *watcher, uint64_t now)
{
	if (watcher->codecs == 0 || watcher->loading || watcher->queue != NONE)
		return;
	if (now - watcher->told_ms >= TURN_MS) {
		put_into(notify, watcher, IN_TURN);
		return;
	}
	watcher->later_ms = now + TURN_MS;
	put_into(notify, watcher, LATER);
}

/* The broker's thread shall not wait for a large group to be gone through. */
static void let_others_in(struct tl_notify *notify)
{
	pthread_mutex_unlock(&notify->lock);
	pthread_mutex_lock(&notify->lock);
}

static void take_appends(struct tl_notify *notify, const struct tl_commit *commit)
{
	struct tl_fragment **made = NULL;
	if (notify->watchers && commit->append_count > 0)
		made = calloc(commit->delivery_count, sizeof(struct tl_fragment *));
	for (size_t i = 0; made && i < commit->append_count; i++) {
		const struct tl_inbox_append *append = &commit->appends[i];
		if (i % LOCKED_USERS == LOCKED_USERS - 1)
			let_others_in(notify);
		struct watcher *watcher = find(notify, append->uid);
		if (!watcher)
			continue;
		if (append->seq > watcher->head)
			watcher->head = append->seq;
		if (!append->quiet)
			announce(notify, watcher, &commit->deliveries[append->delivery], &made[append->delivery], append->seq);
	}
	for (size_t i = 0; made && i < commit->delivery_count; i++)
		tl_fragment_release(made[i]);
	free(made);
}

static bool ends(const struct tl_backlog_record *record)
{
	return record->until > 0 && record->pulled >= record->until;
}

static void take_backlogs(struct tl_notify *notify, const struct tl_commit *commit)
{
	for (size_t i = 0; notify->watchers && i < commit->backlog_count; i++) {
		const struct tl_backlog_change *change = &commit->backlogs[i];
		if (i % LOCKED_USERS == LOCKED_USERS - 1)
			let_others_in(notify);
		struct watcher *watcher = find(notify, change->uid);
		if (!watcher)
			continue;
		if (change->inbox_head > watcher->head)
			watcher->head = change->inbox_head;
		tl_following_set(&notify->following, &watcher->follows, watcher, change, 0);
		if (!watcher->loading && ends(&change->record))
			tl_following_drop_ended(&notify->following, &watcher->follows);
	}
}

/* The conversations in which something is new, each once. */
static struct tl_followed *take_heads(struct tl_notify *notify, const struct tl_commit *commit)
{
	struct tl_followed *touched = NULL;
	for (size_t i = 0; notify->following.by_no && i < commit->delivery_count; i++) {
		const struct tl_delivery *delivery = &commit->deliveries[i];
		struct tl_followed *followed =
			tl_following_raise(&notify->following, delivery->conversation_no, delivery->cseq);
		if (!followed || followed->touched)
			continue;
		followed->touched = true;
		followed->next_touched = touched;
		touched = followed;
	}
	return touched;
}

static void announce_to_followers(struct tl_notify *notify, struct tl_followed *touched)
{
	uint64_t now = touched ? tl_monotonic_ms() : 0;
	while (touched) {
		struct tl_followed *next = touched->next_touched;
		struct watcher *watcher;
		touched->walk = touched->follows;
		for (unsigned n = 1; (watcher = tl_following_walk(touched)); n++) {
			announce_backlog(notify, watcher, now);
			if (n % LOCKED_USERS == 0)
				let_others_in(notify);
		}
		tl_following_release(&notify->following, touched);
		touched = next;
	}
}

/* Has the broker's thread come when something is due. */
static void wake(struct tl_notify *notify)
{
	if (notify->queues[AT_ONCE] || notify->queues[IN_TURN])
		tl_waker_wake(notify->options.waker);
	else if (notify->queues[LATER])
		tl_waker_wake_in(notify->options.waker, TURN_MS);
}

/* Backlogs before heads: whoever joins with this commit follows the conversation when its head is raised. */
void tl_notify_committed(struct tl_notify *notify, const struct tl_commit *commit)
{
	pthread_mutex_lock(&notify->lock);
	take_appends(notify, commit);
	take_backlogs(notify, commit);
	announce_to_followers(notify, take_heads(notify, commit));
	wake(notify);
	pthread_mutex_unlock(&notify->lock);
}

/* --- what the database says --- */

static void set_backlog(struct tl_notify *notify, struct watcher *watcher, const struct tl_backlog *backlog)
{
	const struct tl_backlog_change change = {
		.conversation_no = backlog->conversation_no,
		.since = backlog->since,
		.record = backlog->record,
		.sound = backlog->quiet ? TL_SOUND_QUIET : TL_SOUND_LOUD,
	};
	tl_following_set(&notify->following, &watcher->follows, watcher, &change, backlog->head);
}

/* The user, NULL if there is none online any more. */
static struct watcher *set_all(struct tl_notify *notify, struct tl_slice user, const struct tl_inbox *inbox)
{
	struct watcher *watcher = find(notify, user);
	if (watcher && inbox->bounds.head > watcher->head)
		watcher->head = inbox->bounds.head;
	for (size_t i = 0; watcher && i < inbox->count; i++) {
		set_backlog(notify, watcher, &inbox->backlogs[i]);
		if (i % LOCKED_USERS == LOCKED_USERS - 1) {
			let_others_in(notify);
			watcher = find(notify, user);
		}
	}
	return watcher;
}

void tl_notify_loaded(struct tl_notify *notify, struct tl_slice user, const struct tl_inbox *inbox, bool last)
{
	pthread_mutex_lock(&notify->lock);
	struct watcher *watcher = inbox ? set_all(notify, user, inbox) : find(notify, user);
	if (watcher && last) {
		watcher->loading = false;
		tl_following_drop_ended(&notify->following, &watcher->follows);
		if (watcher->last > 0)
			put_into(notify, watcher, AT_ONCE);
		else if (watcher->codecs != 0 && tl_following_is_loud(watcher->follows))
			put_into(notify, watcher, IN_TURN); /* some of it may have come meanwhile */
		wake(notify);
	}
	pthread_mutex_unlock(&notify->lock);
}

/* --- payloads --- */

void tl_notify_topic(const struct tl_notify *notify, enum tl_codec codec, struct tl_slice user, char *out, size_t size)
{
	snprintf(out, size, "%s/notify/%.*s%s", notify->options.root, (int)user.len, (const char *)user.ptr,
	         codec == TL_CODEC_JSON ? "/json" : "");
}

void tl_notify_lightweight(const struct tl_notify *notify, enum tl_codec codec, uint64_t seq, struct tl_pack *pack)
{
	tl_notification_write(codec, notify->epoch, NULL, 0, seq, pack);
}

/* --- publishing --- */

/* JSON is only made for messages that became due while somebody wanted it, and may be longer than msgpack. */
static bool json_fits(const struct tl_notify *notify, const struct watcher *watcher)
{
	size_t bytes = 0;
	for (size_t i = 0; i < watcher->due_count; i++) {
		if (watcher->due[i].fragment->json.len == 0)
			return false;
		bytes += watcher->due[i].fragment->json.len;
	}
	return bytes <= notify->options.inline_max;
}

/* With what is due inline if it may be that large. */
static void write_payload(const struct tl_notify *notify, const struct watcher *watcher, enum tl_codec codec, uint64_t seq,
                          struct tl_pack *pack)
{
	size_t count = codec == TL_CODEC_JSON && !json_fits(notify, watcher) ? 0 : watcher->due_count;
	tl_pack_clear(pack);
	tl_notification_write(codec, notify->epoch, watcher->due, count, seq, pack);
	if (count == 0 || tl_pack_bytes(pack).len <= notify->options.inline_max)
		return;
	tl_pack_clear(pack);
	tl_notify_lightweight(notify, codec, seq, pack);
}

/* How many bytes. */
static size_t publish(const struct tl_notify *notify, const struct watcher *watcher, enum tl_codec codec, uint64_t seq,
                      struct tl_pack *pack)
{
	char topic[TOPIC_MAX];
	write_payload(notify, watcher, codec, seq, pack);
	tl_notify_topic(notify, codec, tl_slice(watcher->uid, watcher->uid_len), topic, sizeof topic);
	const struct tl_packet_address address = {.topic = topic};
	if (pack->failed || !tl_broker_publish(&address, tl_pack_bytes(pack)))
		return 0;
	return tl_pack_bytes(pack).len;
}

/* As long as something has yet to enter the inbox, nothing is inlined: whoever took it would not learn of the rest. How many
 * bytes were published. */
static size_t tell(struct tl_notify *notify, struct watcher *watcher, struct tl_pack *pack)
{
	size_t bytes = 0;
	uint64_t pending = tl_following_pending(watcher->follows), seq = watcher->last;
	if (pending > 0 || seq == 0) {
		drop_due(watcher);
		seq = watcher->head + pending;
	}
	for (unsigned codec = TL_CODEC_MSGPACK; codec <= TL_CODEC_JSON; codec <<= 1)
		if (watcher->codecs & codec)
			bytes += publish(notify, watcher, (enum tl_codec)codec, seq, pack);
	drop_due(watcher);
	watcher->last = 0;
	return bytes;
}

static unsigned flush_queue(struct tl_notify *notify, enum queue queue, unsigned most, struct tl_pack *pack)
{
	uint64_t now = queue == IN_TURN && notify->queues[queue] ? tl_monotonic_ms() : 0;
	unsigned told = 0;
	size_t bytes = 0;
	for (; notify->queues[queue] && told < most && bytes < FLUSHED_BYTES; told++) {
		struct watcher *watcher = notify->queues[queue];
		put_into(notify, watcher, NONE);
		if (queue == IN_TURN)
			watcher->told_ms = now;
		bytes += tell(notify, watcher, pack);
	}
	return told;
}

static void end_waiting(struct tl_notify *notify)
{
	uint64_t now = notify->queues[LATER] ? tl_monotonic_ms() : 0;
	while (notify->queues[LATER] && notify->queues[LATER]->later_ms <= now)
		put_into(notify, notify->queues[LATER], IN_TURN);
}

bool tl_notify_flush(struct tl_notify *notify)
{
	struct tl_pack pack;
	tl_pack_init(&pack);
	pthread_mutex_lock(&notify->lock);
	end_waiting(notify);
	unsigned told = flush_queue(notify, AT_ONCE, FLUSHED_USERS, &pack);
	told += flush_queue(notify, IN_TURN, FLUSHED_USERS - told > FLUSHED_IN_TURN ? FLUSHED_USERS - told : FLUSHED_IN_TURN,
	                    &pack);
	wake(notify);
	pthread_mutex_unlock(&notify->lock);
	tl_pack_fini(&pack);
	return told > 0;
}
