/*
 * `publish`: connections that publish at QoS 1, each with a window of unacked messages, and connections that subscribe.
 *
 *	publisher 0..C-1 ──PUBLISH──► broker ──PUBACK──► publisher        acked, latency
 *	                                     ──receipt─► publisher          --receipts: waits for one a message
 *	                                     ──PUBLISH─► subscriber 0..S-1  --copies: waits for so many per message
 *
 * (P1) A packet id is used again only when its slot is free: slot = packet id modulo a power of two above the window,
 *      and the broker must ack in the order of publishing (MQTT 4.6), so that no two messages in flight share a slot.
 * (P2) epoll is edge-triggered: after every event the socket is read until it is empty and written until it is full.
 */
#include "load_commands.h"

#include "bench_clock.h"
#include "bench_error.h"
#include "histogram.h"
#include "message_pattern.h"
#include "mqtt_connection.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define OUT_BYTES 65536u /* no more is put into a connection's buffer ahead of the socket */
#define EVENT_COUNT 1024 /* sockets looked at between two rests: with few, these would bound the rate of thousands */
#define TICK_MS 1        /* how often a fixed rate is looked at */
#define IDLE_TICK_MS 100

struct publish_options {
	struct tl_target target;
	uint64_t connections;
	uint64_t messages;
	uint64_t seconds;
	uint64_t window;
	uint64_t bytes;
	uint64_t rate;
	const char *topic;
	const char *user;
	const char *client;
	uint64_t users;
	uint64_t first_user;
	uint64_t stride;
	uint64_t conversations;
	uint64_t first_id;
	bool binary;
	bool receipts;
	uint64_t subscribers;
	uint64_t first_subscriber;
	const char *filter;
	uint64_t filter_qos;
	uint64_t copies;
	uint64_t pause_us;
	uint64_t timeout;
};

struct slot {
	uint64_t sent_ns;
	uint16_t packet_id; /* 0: free */
};

struct publisher {
	struct tl_connection connection; /* first: an epoll event points at it */
	bool subscriber;                 /* receives only */
	uint64_t number;                 /* %n */
	uint64_t sent;
	uint64_t acked;
	uint64_t window; /* what the broker allows of the option */
	struct slot *slots;
};

struct load {
	const struct publish_options *options;
	struct publisher *publishers; /* publishers, then subscribers */
	size_t publisher_count;
	size_t slot_mask;
	struct tl_message_text text;
	struct tl_histogram latency;
	int epoll;
	bool stopped; /* the time is up: send no more */
	uint64_t id_base;
	uint64_t random;
	uint64_t sent;
	uint64_t acked;
	uint64_t refused; /* by PUBACK or receipt */
	uint64_t receipts;
	uint64_t delivered;
	uint64_t start_ns;
	uint64_t last_ack_ns;
	uint64_t last_receipt_ns;
	uint64_t last_delivery_ns;
};

/* One after the other, or any of those who leave the same remainder as the connection's number. */
static uint64_t next_user(struct load *load, const struct publisher *publisher)
{
	const struct publish_options *options = load->options;

	if (options->stride == 0) {
		return options->first_user + load->sent % options->users;
	}
	return options->first_user + publisher->number % options->stride +
		options->stride * (tl_random(&load->random) % (options->users / options->stride));
}

static void put_message(struct load *load, struct publisher *publisher, uint64_t now_ns)
{
	const struct publish_options *options = load->options;
	uint16_t packet_id = (uint16_t)(publisher->sent % UINT16_MAX + 1);
	struct slot *slot = &publisher->slots[packet_id & load->slot_mask];
	struct tl_pattern_values values = {
		.connection = publisher->number,
		.user = next_user(load, publisher),
		.conversation = load->sent % options->conversations,
		.message = load->id_base + load->sent,
	};
	char topic[TL_TOPIC_BYTES];
	size_t topic_bytes = tl_pattern_fill(options->topic, &values, topic);

	slot->packet_id = packet_id;
	slot->sent_ns = now_ns;
	tl_mqtt_put_publish(&publisher->connection.out, publisher->connection.version, packet_id, topic, topic_bytes,
		tl_message_text_next(&load->text), (size_t)options->bytes);
	publisher->sent++;
	load->sent++;
}

static bool may_send(const struct load *load, const struct publisher *publisher, uint64_t now_ns)
{
	const struct publish_options *options = load->options;
	uint16_t packet_id = (uint16_t)(publisher->sent % UINT16_MAX + 1);

	if (load->stopped || publisher->sent >= options->messages ||
		publisher->sent - publisher->acked >= publisher->window ||
		tl_buffer_length(&publisher->connection.out) >= OUT_BYTES) {
		return false;
	}
	if (publisher->slots[packet_id & load->slot_mask].packet_id != 0) {
		return false;
	}
	return options->rate == 0 ||
		(double)load->sent <= tl_seconds_between(load->start_ns, now_ns) * (double)options->rate;
}

/* Sends what the window, the rate and the socket allow. */
static void pump(struct load *load, struct publisher *publisher)
{
	uint64_t now_ns = tl_now_ns();

	if (!publisher->subscriber) {
		/* at a fixed rate one message a turn, so that the connections share it */
		while (may_send(load, publisher, now_ns)) {
			put_message(load, publisher, now_ns);
			if (load->options->rate > 0) {
				break;
			}
		}
	}
	tl_connection_flush(&publisher->connection);
}

static void on_ack(struct load *load, struct publisher *publisher, const struct tl_mqtt_packet *packet, uint64_t now_ns)
{
	struct slot *slot;
	uint16_t packet_id;
	unsigned reason;

	if (!tl_mqtt_read_ack(packet, &packet_id, &reason)) {
		tl_die("%s: malformed PUBACK", publisher->connection.client_id);
	}
	slot = &publisher->slots[packet_id & load->slot_mask];
	if (slot->packet_id != packet_id) {
		tl_die("%s: PUBACK for packet %u, which is not in flight", publisher->connection.client_id, packet_id);
	}
	tl_histogram_record(&load->latency, now_ns - slot->sent_ns);
	slot->packet_id = 0;
	publisher->acked++;
	load->acked++;
	load->refused += reason >= 0x80;
	load->last_ack_ns = now_ns;
}

static void on_message(struct load *load, struct publisher *publisher, const struct tl_mqtt_packet *packet)
{
	static const char refusal[] = "\"ok\":false";
	struct tl_mqtt_message message;

	tl_connection_accept(&publisher->connection, packet, &message);
	if (publisher->subscriber) {
		load->last_delivery_ns = tl_now_ns();
		load->delivered++;
		return;
	}
	load->last_receipt_ns = tl_now_ns();
	load->receipts++;
	if (memmem(message.payload, message.payload_bytes, refusal, sizeof(refusal) - 1)) {
		if (load->refused++ == 0) {
			fprintf(stderr, "tl_mqtt_load: the first refusal: %.*s\n", (int)message.payload_bytes,
				(const char *)message.payload);
		}
	}
}

static void on_event(struct load *load, struct publisher *publisher)
{
	struct tl_mqtt_packet packet;
	uint64_t now_ns;
	bool more;

	do {
		more = tl_connection_fill(&publisher->connection);
		now_ns = tl_now_ns();
		while (tl_connection_next(&publisher->connection, &packet)) {
			if (packet.type == TL_MQTT_PUBACK && !publisher->subscriber) {
				on_ack(load, publisher, &packet, now_ns);
			} else if (packet.type == TL_MQTT_PUBLISH) {
				on_message(load, publisher, &packet);
			}
		}
	} while (more);
	pump(load, publisher);
}

static bool is_done(const struct load *load)
{
	const struct publish_options *options = load->options;
	bool all_sent = load->stopped || load->sent >= options->connections * options->messages;

	return all_sent && load->acked == load->sent && (!options->receipts || load->receipts >= load->sent) &&
		load->delivered >= load->sent * options->copies;
}

/* Lets packets gather, as a network card does with interrupts. Without it every packet that the broker sends wakes this
 * process, which on a machine of few processors takes the broker's away, and is then what is measured. */
static void rest(const struct publish_options *options)
{
	const struct timespec pause = { .tv_nsec = (long)(options->pause_us * 1000) };

	if (options->pause_us > 0) {
		nanosleep(&pause, NULL);
	}
}

static volatile sig_atomic_t told_to_stop;

/* SIGTERM ends the sending, and the figures are those until then. */
static void on_signal(int number)
{
	(void)number;
	told_to_stop = 1;
}

/* Looks at the clock: the end of the run, the rate, and whether anything still moves. */
static void on_tick(struct load *load, uint64_t now_ns, uint64_t last_event_ns)
{
	const struct publish_options *options = load->options;
	uint64_t before;
	size_t i;

	if (told_to_stop || (options->seconds > 0 && now_ns - load->start_ns >= options->seconds * TL_NS_PER_S)) {
		load->stopped = true;
	}
	if (options->rate > 0) {
		do {
			before = load->sent;
			for (i = 0; i < options->connections; i++) {
				pump(load, &load->publishers[i]);
			}
		} while (load->sent > before);
	}
	if (now_ns - last_event_ns > options->timeout * TL_NS_PER_S) {
		tl_die("nothing arrived for %" PRIu64 " s: %" PRIu64 " sent, %" PRIu64 " acked, %" PRIu64
			   " receipts, %" PRIu64 " delivered",
			options->timeout, load->sent, load->acked, load->receipts, load->delivered);
	}
}

static void run_load(struct load *load)
{
	struct epoll_event events[EVENT_COUNT];
	uint64_t last_event_ns;
	uint64_t next_tick_ns;
	uint64_t now_ns;
	size_t i;

	load->start_ns = last_event_ns = next_tick_ns = tl_now_ns();
	for (i = 0; i < load->publisher_count; i++) {
		pump(load, &load->publishers[i]);
	}
	while (!is_done(load)) {
		int tick_ms = load->options->rate > 0 ? TICK_MS : IDLE_TICK_MS;
		int count;
		int k;

		rest(load->options);
		count = epoll_wait(load->epoll, events, EVENT_COUNT, tick_ms);
		for (k = 0; k < count; k++) {
			on_event(load, events[k].data.ptr);
		}
		now_ns = tl_now_ns();
		last_event_ns = count > 0 ? now_ns : last_event_ns;
		if (now_ns >= next_tick_ns) {
			next_tick_ns = now_ns + TICK_MS * TL_NS_PER_MS;
			on_tick(load, now_ns, last_event_ns);
		}
	}
}

static void open_publisher(struct load *load, size_t index)
{
	const struct publish_options *options = load->options;
	struct publisher *publisher = &load->publishers[index];
	struct tl_pattern_values values = { .connection = index, .user = index };
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = publisher };
	char client[TL_TOPIC_BYTES];
	char text[TL_TOPIC_BYTES];

	publisher->subscriber = index >= options->connections;
	publisher->number = publisher->subscriber ? options->first_subscriber + index - options->connections : index;
	values.connection = values.user = publisher->number;
	tl_pattern_fill(options->client, &values, client);
	if (publisher->subscriber) {
		snprintf(client, sizeof(client), "subscriber%zu", (size_t)publisher->number);
	}
	tl_pattern_fill(options->user, &values, text);
	tl_connection_open(&publisher->connection, &options->target, client, text[0] != '\0' ? text : NULL, true);
	publisher->window = options->window < publisher->connection.receive_max ? options->window
																			: publisher->connection.receive_max;
	if (publisher->subscriber) {
		tl_pattern_fill(options->filter, &values, text);
		tl_connection_subscribe_wait(&publisher->connection, text, (unsigned)options->filter_qos);
	} else {
		publisher->slots = tl_must_alloc(load->slot_mask + 1, sizeof(*publisher->slots));
	}
	if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, publisher->connection.socket, &event) != 0) {
		tl_die("cannot watch a socket");
	}
}

static void load_init(struct load *load, const struct publish_options *options)
{
	size_t i;

	load->options = options;
	load->publisher_count = (size_t)(options->connections + options->subscribers);
	load->publishers = tl_must_alloc(load->publisher_count, sizeof(*load->publishers));
	load->id_base = options->first_id > 0 ? options->first_id : tl_message_id_base();
	load->random = load->id_base; /* not the same receivers in every run */
	load->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (load->slot_mask = 1; load->slot_mask < options->window; load->slot_mask = load->slot_mask * 2 + 1) {
		continue;
	}
	tl_connection_allow(load->publisher_count);
	tl_message_text_init(&load->text, (size_t)options->bytes, options->binary);
	for (i = 0; i < load->publisher_count; i++) {
		open_publisher(load, i);
	}
}

static void load_fini(struct load *load)
{
	size_t i;

	for (i = 0; i < load->publisher_count; i++) {
		tl_connection_close(&load->publishers[i].connection);
		free(load->publishers[i].slots);
	}
	free(load->publishers);
	tl_message_text_fini(&load->text);
}

static void print_result(const struct load *load)
{
	double seconds = tl_seconds_between(load->start_ns, load->last_ack_ns);
	double receipt_seconds = tl_seconds_between(load->start_ns, load->last_receipt_ns);
	double delivery_seconds = tl_seconds_between(load->start_ns, load->last_delivery_ns);

	printf("publish messages=%" PRIu64 " seconds=%.3f acked_per_s=%.0f ack_p50_us=%.0f ack_p99_us=%.0f "
		   "ack_max_us=%.0f refused=%" PRIu64,
		load->acked, seconds, (double)load->acked / seconds,
		(double)tl_histogram_percentile(&load->latency, 50) / 1000,
		(double)tl_histogram_percentile(&load->latency, 99) / 1000, (double)load->latency.max / 1000, load->refused);
	printf(" receipts=%" PRIu64 " receipts_per_s=%.0f delivered=%" PRIu64 " delivered_per_s=%.0f start_ns=%" PRIu64
		   "\n",
		load->receipts, load->receipts > 0 ? (double)load->receipts / receipt_seconds : 0, load->delivered,
		load->delivered > 0 ? (double)load->delivered / delivery_seconds : 0, load->start_ns);
}

static int run(const void *values)
{
	const struct publish_options *options = values;
	struct load *load = tl_must_alloc(1, sizeof(*load));

	if (options->subscribers > 0 && !options->filter) {
		tl_die("--subscribers needs a --filter");
	}
	if (options->subscribers == 0 && options->copies > 0) {
		tl_die("--copies needs --subscribers");
	}
	if (options->stride > options->users) {
		tl_die("--stride must not be above --users");
	}
	signal(SIGTERM, on_signal);
	load_init(load, options);
	run_load(load);
	print_result(load);
	load_fini(load);
	free(load);
	return EXIT_SUCCESS;
}

#define FIELD(name) offsetof(struct publish_options, name)

static const struct tl_option publish_table[] = {
	TL_TARGET_OPTIONS(struct publish_options),
	{ "connections", TL_OPTION_NUMBER, FIELD(connections), 1, 100000, "connections that publish" },
	{ "messages", TL_OPTION_NUMBER, FIELD(messages), 1, UINT32_MAX, "messages of each connection, at most" },
	{ "seconds", TL_OPTION_NUMBER, FIELD(seconds), 0, 86400, "stop sending after this time; 0: when all are sent" },
	{ "window", TL_OPTION_NUMBER, FIELD(window), 1, 32768, "unacked messages of each connection" },
	{ "bytes", TL_OPTION_NUMBER, FIELD(bytes), 0, 16777216, "payload of a message" },
	{ "rate", TL_OPTION_NUMBER, FIELD(rate), 0, 10000000, "messages/s of all connections together; 0: full speed" },
	{ "topic", TL_OPTION_TEXT, FIELD(topic), 0, 0, "topic pattern" },
	{ "user", TL_OPTION_TEXT, FIELD(user), 0, 0, "pattern of the usernames; empty: none" },
	{ "client", TL_OPTION_TEXT, FIELD(client), 0, 0, "pattern of the publishers' client ids" },
	{ "users", TL_OPTION_NUMBER, FIELD(users), 1, UINT32_MAX, "receiving users: %u goes through so many numbers" },
	{ "first-user", TL_OPTION_NUMBER, FIELD(first_user), 0, UINT32_MAX, "the first number of %u" },
	{ "stride", TL_OPTION_NUMBER, FIELD(stride), 0, UINT32_MAX,
		"%u is %n plus a random multiple of this instead; 0: one after the other" },
	{ "conversations", TL_OPTION_NUMBER, FIELD(conversations), 1, UINT32_MAX, "%c goes through 0 to this, exclusive" },
	{ "first-id", TL_OPTION_NUMBER, FIELD(first_id), 0, UINT64_MAX, "the first %m; 0: from the clock" },
	{ "binary", TL_OPTION_FLAG, FIELD(binary), 0, 0, "payloads that are no text (not indexed for search)" },
	{ "receipts", TL_OPTION_FLAG, FIELD(receipts), 0, 0, "wait for one receipt per message" },
	{ "subscribers", TL_OPTION_NUMBER, FIELD(subscribers), 0, 100000, "connections that subscribe" },
	{ "first-subscriber", TL_OPTION_NUMBER, FIELD(first_subscriber), 0, UINT32_MAX, "number of the first of them" },
	{ "filter", TL_OPTION_TEXT, FIELD(filter), 0, 0, "pattern of what subscriber %n subscribes to" },
	{ "filter-qos", TL_OPTION_NUMBER, FIELD(filter_qos), 0, 1, "QoS of the subscriptions" },
	{ "copies", TL_OPTION_NUMBER, FIELD(copies), 0, 100000, "wait for so many deliveries per message" },
	{ "pause-us", TL_OPTION_NUMBER, FIELD(pause_us), 0, 999999, "rest between looks at the sockets" },
	{ "timeout", TL_OPTION_NUMBER, FIELD(timeout), 1, 3600, "give up when nothing arrives for so many seconds" },
};

static const struct publish_options publish_defaults = {
	.target = TL_TARGET_DEFAULTS,
	.connections = 8,
	.messages = 50000,
	.window = 100,
	.bytes = 64,
	.topic = "bench/u%u/m%m",
	.user = "u%n",
	.client = "publisher%n",
	.users = 100,
	.first_user = 1000,
	.conversations = 1,
	.filter_qos = 1,
	.timeout = 60,
};

const struct tl_command tl_publish_command = {
	.name = "publish",
	.summary = "publishes at QoS 1, prints acked messages/s and the latency of the ack",
	.options = publish_table,
	.option_count = sizeof(publish_table) / sizeof(publish_table[0]),
	.defaults = &publish_defaults,
	.options_bytes = sizeof(publish_defaults),
	.run = run,
};
