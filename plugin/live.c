#include "live.h"

#include "audience.h"
#include "broker.h"
#include "clock.h"
#include "id.h"
#include "message.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

struct packet {
	struct packet *next;
	uint64_t cseq;
	size_t cid_len, message_len;
	char data[]; /* cid, message as kept */
};

/* A conversation of which something was published at the last tick. */
struct round {
	UT_hash_handle hh;
	uint64_t cseq; /* of the last message before something else */
	bool closed;   /* what came after that could not wait, and has been published, too */
	bool waits;    /* what came after that waits for another tick */
	bool heard;    /* the broker has asked about somebody who listens, or could not */
	size_t cid_len;
	char cid[];
};

/* What has yet to be published. */
struct backlog {
	size_t packets;
	size_t bytes; /* of messages */
};

struct tl_live {
	const char *root;
	struct tl_waker *waker;

	/* the broker thread's own; times are of tl_monotonic_ms */
	struct packet *waiting; /* taken to be published … */
	struct backlog backlog; /* … and how much that is */
	struct round *rounds;
	bool went_on;        /* the broker has gone on with its loop since they were published (V3) */
	bool inconclusive;   /* that nobody is asked about them tells nothing (V3) */
	bool left;           /* a connection has ended since the last flush */
	bool tired;          /* the last flush published as much as it may … */
	uint64_t flushed_ms; /* … and ended then */
	uint64_t rest_ms;    /* until then nothing more is published */

	pthread_mutex_t lock; /* guards the rest */
	struct tl_audience *audience;
	struct packet *first, **last;
	struct backlog ready; /* from `first` on */
};

enum {
	TOPIC_MAX = 128 + 6 + TL_DIRECT_ID_MAX + 1,
	WAITING_MAX = 1000, /* packets that may wait for yet another tick … */
	WAITING_BYTES_MAX = 16 * 1024 * 1024, /* … and bytes of messages */
	DELIVERIES = 1000,  /* of one tick to all sessions, but for the last packet's */
	REST_MAX_MS = 200,
};

enum tl_err tl_live_new(const char *root, struct tl_waker *waker, struct tl_live **live_out)
{
	struct tl_live *live = calloc(1, sizeof *live);
	if (!live)
		return TL_NO_MEMORY;
	live->root = root;
	live->waker = waker;
	live->last = &live->first;
	enum tl_err err = tl_audience_new(&live->audience);
	if (err != TL_OK) {
		free(live);
		return err;
	}
	pthread_mutex_init(&live->lock, NULL);
	*live_out = live;
	return TL_OK;
}

static struct tl_slice cid_of(const struct packet *packet)
{
	return tl_slice(packet->data, packet->cid_len);
}

static struct packet *take_all(struct tl_live *live)
{
	pthread_mutex_lock(&live->lock);
	struct packet *first = live->first;
	live->first = NULL;
	live->last = &live->first;
	live->backlog.packets += live->ready.packets;
	live->backlog.bytes += live->ready.bytes;
	live->ready = (struct backlog){0};
	pthread_mutex_unlock(&live->lock);
	return first;
}

/* --- what is being delivered --- */

static struct round *find_round(const struct tl_live *live, struct tl_slice cid)
{
	struct round *round;
	HASH_FIND(hh, live->rounds, cid.ptr, cid.len, round);
	return round;
}

static struct round *add_round(struct tl_live *live, struct tl_slice cid)
{
	struct round *round = calloc(1, sizeof *round + cid.len);
	if (!round)
		return NULL;
	round->cid_len = cid.len;
	memcpy(round->cid, cid.ptr, cid.len);
	HASH_ADD_KEYPTR(hh, live->rounds, round->cid, round->cid_len, round);
	return round;
}

static void forget_rounds(struct tl_live *live)
{
	struct round *round, *next;
	HASH_ITER(hh, live->rounds, round, next)
	{
		HASH_DEL(live->rounds, round);
		free(round);
	}
}

bool tl_live_reaches(const struct tl_live *live, struct tl_slice cid, uint64_t since)
{
	const struct round *round = find_round(live, cid);
	return !round || since <= round->cseq;
}

static void free_packets(struct packet *packet)
{
	while (packet) {
		struct packet *next = packet->next;
		free(packet);
		packet = next;
	}
}

void tl_live_free(struct tl_live *live)
{
	if (!live)
		return;
	free_packets(take_all(live));
	free_packets(live->waiting);
	forget_rounds(live);
	tl_audience_free(live->audience);
	pthread_mutex_destroy(&live->lock);
	free(live);
}

/* --- who listens --- */

void tl_live_may_listen(struct tl_live *live, struct tl_interest **interest, struct tl_slice user, struct tl_slice cid)
{
	pthread_mutex_lock(&live->lock);
	tl_audience_add(live->audience, interest, user, cid);
	pthread_mutex_unlock(&live->lock);
}

void tl_live_subscribed(struct tl_live *live, struct tl_slice cid)
{
	pthread_mutex_lock(&live->lock);
	tl_audience_subscribed(live->audience, cid);
	pthread_mutex_unlock(&live->lock);
	if (cid.len == 0)
		live->inconclusive = true;
	else
		tl_live_asked(live, cid);
}

void tl_live_ended(struct tl_live *live, struct tl_interest *interest)
{
	pthread_mutex_lock(&live->lock);
	tl_audience_remove(live->audience, interest);
	pthread_mutex_unlock(&live->lock);
}

void tl_live_asked(struct tl_live *live, struct tl_slice cid)
{
	struct round *round = find_round(live, cid);
	if (round)
		round->heard = true;
}

void tl_live_went_on(struct tl_live *live)
{
	live->went_on = true;
}

void tl_live_disconnected(struct tl_live *live)
{
	live->left = true;
}

/* --- committing --- */

static void add_packet(struct tl_live *live, const struct tl_delivery *delivery)
{
	struct packet *packet = malloc(sizeof *packet + delivery->cid.len + delivery->message.len);
	if (!packet)
		return;
	packet->next = NULL;
	packet->cseq = delivery->cseq;
	packet->cid_len = delivery->cid.len;
	packet->message_len = delivery->message.len;
	memcpy(packet->data, delivery->cid.ptr, delivery->cid.len);
	memcpy(packet->data + delivery->cid.len, delivery->message.ptr, delivery->message.len);
	*live->last = packet;
	live->last = &packet->next;
	live->ready.packets++;
	live->ready.bytes += delivery->message.len;
}

void tl_live_committed(struct tl_live *live, const struct tl_commit *commit)
{
	struct tl_slice body;
	pthread_mutex_lock(&live->lock);
	bool listening = tl_audience_is_there(live->audience);
	for (size_t i = 0; listening && i < commit->delivery_count; i++) {
		const struct tl_delivery *delivery = &commit->deliveries[i];
		if (delivery->cseq > 0 && tl_audience_listens(live->audience, delivery->cid) &&
		    tl_message_body(delivery->message, &body))
			add_packet(live, delivery);
	}
	bool ready = live->first != NULL;
	pthread_mutex_unlock(&live->lock);
	if (ready)
		tl_waker_wake(live->waker);
}

/* --- publishing --- */

static bool publish(const struct tl_live *live, const struct packet *packet)
{
	struct tl_slice message = tl_slice(packet->data + packet->cid_len, packet->message_len), body;
	char topic[TOPIC_MAX], cseq[24], ts[24];
	struct tl_slice ctype = tl_message_str(message, "ctype");
	if (!tl_message_body(message, &body))
		return false;
	snprintf(topic, sizeof topic, "%s/live/%.*s", live->root, (int)packet->cid_len, packet->data);
	snprintf(cseq, sizeof cseq, "%" PRIu64, packet->cseq);
	snprintf(ts, sizeof ts, "%" PRIu64, tl_message_ts(message));
	const struct tl_user_property properties[] = {
		{"cseq", tl_slice_str(cseq)},
		{"id", tl_message_str(message, "id")},
		{"from", tl_message_str(message, "from")},
		{"device", tl_message_str(message, "device")},
		{"ts", tl_slice_str(ts)},
		{"type", tl_message_str(message, "type")},
	};
	const struct tl_packet_address address = {
		.topic = topic,
		.qos = 1,
		.content_type = ctype,
		.properties = properties,
		.property_count = sizeof properties / sizeof properties[0],
	};
	return tl_broker_publish(&address, body);
}

/* Adds what has become ready to what waits. */
static void take_ready(struct tl_live *live)
{
	struct packet **end = &live->waiting, *ready = take_all(live);
	while (ready && *end)
		end = &(*end)->next;
	if (ready)
		*end = ready;
}

/* More than should wait for yet another tick. */
static bool is_much(const struct tl_live *live)
{
	return live->backlog.packets > WAITING_MAX || live->backlog.bytes > WAITING_BYTES_MAX;
}

/* Sessions that the broker asks about when it delivers the packet. */
static size_t listeners(struct tl_live *live, const struct packet *packet)
{
	pthread_mutex_lock(&live->lock);
	size_t count = tl_audience_count(live->audience, cid_of(packet));
	pthread_mutex_unlock(&live->lock);
	return count;
}

/* Whether the packet is published at this tick (V1): a gap before it is an event, or something that nobody listened to. */
static bool is_its_turn(struct tl_live *live, const struct packet *packet, bool many)
{
	struct tl_slice cid = cid_of(packet);
	struct round *round = find_round(live, cid);
	if (!round) {
		round = add_round(live, cid);
		if (round)
			round->cseq = packet->cseq;
		return round != NULL;
	}
	bool follows = packet->cseq == round->cseq + 1 && !round->waits && !round->closed;
	if (follows)
		round->cseq = packet->cseq;
	round->closed |= !follows && many;
	round->waits |= !follows && !many;
	return follows || many;
}

/* Whether it is others' turn (V2). What was published has been delivered by now. */
static bool rests(struct tl_live *live)
{
	uint64_t now = tl_monotonic_ms();
	if (live->tired) {
		uint64_t rest = (now - live->flushed_ms) / 2;
		live->rest_ms = now + (rest < REST_MAX_MS ? rest : REST_MAX_MS);
		live->tired = false;
	}
	if (now >= live->rest_ms || is_much(live))
		return false;
	if (live->waiting)
		tl_waker_wake_in(live->waker, (unsigned)(live->rest_ms - now));
	return true;
}

/* It waits no longer. */
static void done_with(struct tl_live *live, struct packet *packet)
{
	live->backlog.packets--;
	live->backlog.bytes -= packet->message_len;
	free(packet);
}

static void publish_and_free(struct tl_live *live, struct packet *packet)
{
	if (!publish(live, packet))
		tl_live_asked(live, cid_of(packet)); /* nobody can be asked about it */
	done_with(live, packet);
}

/* Publishes what waits as far as (V1) and (V2) allow, and keeps the rest. Whether there was anything. */
static bool publish_waiting(struct tl_live *live)
{
	bool many = is_much(live), any = false;
	struct packet *packet = live->waiting, **kept = &live->waiting, *next;
	size_t deliveries = 0;
	for (; packet; packet = next) {
		next = packet->next;
		bool enough = deliveries >= DELIVERIES && !is_much(live);
		if (!enough && is_its_turn(live, packet, many)) {
			deliveries += listeners(live, packet);
			publish_and_free(live, packet);
			any = true;
		} else {
			*kept = packet;
			kept = &packet->next;
		}
	}
	*kept = NULL;
	live->tired = deliveries >= DELIVERIES;
	return any;
}

/* What nobody has been asked about, of what was published at the last tick, is unheard (V3). Whether there is any such. */
static bool judge_rounds(struct tl_live *live)
{
	bool any = false, conclusive = live->went_on && !live->inconclusive;
	pthread_mutex_lock(&live->lock);
	tl_audience_tick(live->audience, tl_monotonic_ms());
	for (const struct round *round = live->rounds; conclusive && round; round = round->hh.next) {
		if (round->heard)
			continue;
		tl_audience_note_unheard(live->audience, tl_slice(round->cid, round->cid_len));
		any = true;
	}
	pthread_mutex_unlock(&live->lock);
	live->inconclusive = live->left;
	live->went_on = live->left = false;
	return any;
}

/* Frees what waits and is unheard by now: it is from before any subscription that is yet to come. */
static void drop_unheard(struct tl_live *live)
{
	struct packet *packet = live->waiting, **kept = &live->waiting, *next;
	pthread_mutex_lock(&live->lock);
	for (; packet; packet = next) {
		next = packet->next;
		if (tl_audience_is_unheard(live->audience, cid_of(packet))) {
			done_with(live, packet);
			continue;
		}
		*kept = packet;
		kept = &packet->next;
	}
	*kept = NULL;
	pthread_mutex_unlock(&live->lock);
}

bool tl_live_flush(struct tl_live *live)
{
	bool unheard = judge_rounds(live);
	forget_rounds(live);
	take_ready(live);
	if (unheard)
		drop_unheard(live);
	if (rests(live))
		return false;
	bool any = publish_waiting(live);
	if (live->tired)
		live->flushed_ms = tl_monotonic_ms();
	if (live->tired || live->waiting)
		tl_waker_wake(live->waker);
	return any;
}
