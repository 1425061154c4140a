#include "live.h"

#include "broker.h"
#include "id.h"
#include "message.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <uthash.h>

/* A conversation that some sessions may listen to, or a user some of whose sessions may listen to any. */
struct listened {
	unsigned sessions;
	UT_hash_handle hh;
	size_t id_len;
	char id[];
};

struct tl_live_interest {
	struct tl_live_interest *next;
	struct listened *topic; /* NULL: any conversation … */
	struct listened *user;  /* … by whom; NULL: memory was short */
};

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
	bool closed;   /* what came after that could not wait */
	bool waits;    /* it does */
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
	struct packet *waiting; /* taken to be published … */
	struct backlog backlog; /* … and how much that is; broker thread */
	struct round *rounds;   /* broker thread */
	bool tired;             /* the last flush published as much as it may … */
	uint64_t flushed_ms;    /* … and ended then; broker thread */
	uint64_t rest_ms;       /* until then nothing more is published; broker thread */
	pthread_mutex_t lock;   /* guards the rest */
	struct listened *topics;
	struct listened *users; /* who may listen to any conversation */
	unsigned listen_to_all; /* sessions */
	unsigned unknown;       /* of these, the ones whose users are not in `users` */
	struct packet *first, **last;
	struct backlog ready; /* from `first` on */
};

enum {
	TOPIC_MAX = 128 + 6 + TL_DIRECT_ID_MAX + 1,
	NAMED_MAX = 100, /* conversations that one session's interest names */
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
	pthread_mutex_init(&live->lock, NULL);
	*live_out = live;
	return TL_OK;
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

static void free_all(struct listened **table)
{
	struct listened *listened, *next;
	HASH_ITER(hh, *table, listened, next)
	{
		HASH_DEL(*table, listened);
		free(listened);
	}
}

void tl_live_free(struct tl_live *live)
{
	if (!live)
		return;
	free_packets(take_all(live));
	free_packets(live->waiting);
	forget_rounds(live);
	free_all(&live->topics);
	free_all(&live->users);
	pthread_mutex_destroy(&live->lock);
	free(live);
}

/* --- interest --- */

static bool has(const struct tl_live_interest *interest, struct tl_slice cid)
{
	for (; interest; interest = interest->next)
		if (interest->topic ? tl_slice_equal(tl_slice(interest->topic->id, interest->topic->id_len), cid)
		                    : cid.len == 0)
			return true;
	return false;
}

static unsigned count(const struct tl_live_interest *interest)
{
	unsigned n = 0;
	for (; interest; interest = interest->next)
		n++;
	return n;
}

static struct listened *find(struct listened *table, struct tl_slice id)
{
	struct listened *listened;
	HASH_FIND(hh, table, id.ptr, id.len, listened);
	return listened;
}

/* One session more; NULL if memory is short. */
static struct listened *enter(struct listened **table, struct tl_slice id)
{
	struct listened *listened = find(*table, id);
	if (!listened) {
		listened = calloc(1, sizeof *listened + id.len);
		if (!listened)
			return NULL;
		listened->id_len = id.len;
		memcpy(listened->id, id.ptr, id.len);
		HASH_ADD_KEYPTR(hh, *table, listened->id, listened->id_len, listened);
	}
	listened->sessions++;
	return listened;
}

/* One session less. */
static void leave(struct listened **table, struct listened *listened)
{
	if (--listened->sessions > 0)
		return;
	HASH_DEL(*table, listened);
	free(listened);
}

static void enter_all(struct tl_live *live, struct tl_live_interest *interest, struct tl_slice user)
{
	interest->user = enter(&live->users, user);
	live->unknown += !interest->user;
	live->listen_to_all++;
}

static void leave_all(struct tl_live *live, const struct tl_live_interest *interest)
{
	live->listen_to_all--;
	if (interest->user)
		leave(&live->users, interest->user);
	else
		live->unknown--;
}

void tl_live_subscribed(struct tl_live *live, struct tl_live_interest **interest, struct tl_slice user,
                        struct tl_slice cid)
{
	if (has(*interest, cid) || has(*interest, tl_slice("", 0)))
		return;
	if (count(*interest) >= NAMED_MAX)
		cid = tl_slice("", 0); /* whatever it is: that too much is made ready does no harm */
	struct tl_live_interest *more = calloc(1, sizeof *more);
	if (!more)
		return;
	pthread_mutex_lock(&live->lock);
	if (cid.len > 0)
		more->topic = enter(&live->topics, cid);
	if (!more->topic)
		enter_all(live, more, user); /* also where memory is short: too much is better than too little */
	pthread_mutex_unlock(&live->lock);
	more->next = *interest;
	*interest = more;
}

void tl_live_ended(struct tl_live *live, struct tl_live_interest *interest)
{
	pthread_mutex_lock(&live->lock);
	while (interest) {
		struct tl_live_interest *next = interest->next;
		if (interest->topic)
			leave(&live->topics, interest->topic);
		else
			leave_all(live, interest);
		free(interest);
		interest = next;
	}
	pthread_mutex_unlock(&live->lock);
}

/* --- committing --- */

/* Who is in a direct chat its id says, so those who listen to any conversation, and are not in it, need nothing made ready. */
static bool is_listened_to(const struct tl_live *live, struct tl_slice cid)
{
	struct tl_slice first, second;
	if (find(live->topics, cid))
		return true;
	if (live->listen_to_all == 0 || live->unknown > 0 || !tl_direct_id_parse(cid, &first, &second))
		return live->listen_to_all > 0;
	return find(live->users, first) || find(live->users, second);
}

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
	bool listening = live->listen_to_all > 0 || live->topics;
	for (size_t i = 0; listening && i < commit->delivery_count; i++) {
		const struct tl_delivery *delivery = &commit->deliveries[i];
		if (delivery->cseq > 0 && is_listened_to(live, delivery->cid) && tl_message_body(delivery->message, &body))
			add_packet(live, delivery);
	}
	bool ready = live->first != NULL;
	pthread_mutex_unlock(&live->lock);
	if (ready)
		tl_waker_wake(live->waker);
}

/* --- publishing --- */

static void publish(const struct tl_live *live, const struct packet *packet)
{
	struct tl_slice message = tl_slice(packet->data + packet->cid_len, packet->message_len), body;
	char topic[TOPIC_MAX], cseq[24], ts[24];
	struct tl_slice ctype = tl_message_str(message, "ctype");
	if (!tl_message_body(message, &body))
		return;
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
	tl_broker_publish(&address, body, tl_slice("", 0));
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
	const struct listened *topic = find(live->topics, tl_slice(packet->data, packet->cid_len));
	size_t count = live->listen_to_all + (topic ? topic->sessions : 0);
	pthread_mutex_unlock(&live->lock);
	return count;
}

/* Whether the packet is published at this tick (V1): a gap before it is an event, or something that nobody listened to. */
static bool is_its_turn(struct tl_live *live, const struct packet *packet, bool many)
{
	struct tl_slice cid = tl_slice(packet->data, packet->cid_len);
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
	uint64_t now = tl_waker_now_ms();
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

static void publish_and_free(struct tl_live *live, struct packet *packet)
{
	live->backlog.packets--;
	live->backlog.bytes -= packet->message_len;
	publish(live, packet);
	free(packet);
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

bool tl_live_flush(struct tl_live *live)
{
	forget_rounds(live);
	take_ready(live);
	if (rests(live))
		return false;
	bool any = publish_waiting(live);
	if (live->tired)
		live->flushed_ms = tl_waker_now_ms();
	if (live->tired || live->waiting)
		tl_waker_wake(live->waker);
	return any;
}
