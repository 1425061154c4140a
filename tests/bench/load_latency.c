/*
 * `latency`: one connection publishes at a fixed rate, others receive, and each message carries its time.
 *
 *	payload:  | "TLBENCH" | number, 8 hex digits | time of sending in ns, 16 hex digits | words |
 *
 * A receiver searches whatever arrives for such marks and never decodes it: so the same code measures a message that
 * the broker delivers as it is and one that comes inside a notification, several of them together or not. With --by-seq
 * it reads the notification's seq instead, which tells of messages that are not inside; then its inbox must get nothing
 * else.
 *
 * (L1) The schedule does not wait for answers: when the broker is slow, messages are still sent at their time.
 * (L2) A message counts once for each receiver, when it first arrives there. Every receiver gets its messages in the
 *      order of sending.
 */
#include "load_commands.h"

#include "bench_clock.h"
#include "bench_error.h"
#include "histogram.h"
#include "message_pattern.h"
#include "timeline_request.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MARK "TLBENCH"
#define MARK_BYTES (sizeof(MARK) - 1)
#define STAMP_BYTES (MARK_BYTES + 8 + 16)
#define EVENT_COUNT 64
#define HELLO_TIMEOUT_NS (30 * TL_NS_PER_S)

struct latency_options {
	struct tl_target target;
	uint64_t rate;
	uint64_t seconds;
	uint64_t warmup;
	uint64_t bytes;
	const char *topic;
	const char *from;
	const char *to;
	uint64_t to_number;
	uint64_t receivers;
	uint64_t copies;
	bool by_seq;
	const char *root;
	const char *filter;
	uint64_t filter_qos;
	uint64_t grace;
};

struct receiver {
	struct tl_connection connection;
	uint64_t next;     /* the first message number that has not arrived here */
	uint64_t base_seq; /* where the inbox ended before the run */
};

struct latency_run {
	const struct latency_options *options;
	struct tl_connection sender;
	struct receiver *receivers;
	int epoll; /* of the receivers */
	struct tl_message_text text;
	struct tl_histogram histogram;
	uint8_t *payload;
	uint64_t *sent_ns; /* by message number */
	uint64_t total;
	uint64_t sent;
	uint64_t acked;
	uint64_t refused;
	uint64_t expected; /* arrivals at all receivers */
	uint64_t arrived_count;
	uint64_t packets; /* PUBLISHes that arrived */
	uint64_t id_base;
	uint64_t start_ns;
	uint64_t late_max_ns; /* how far the sender was behind its schedule */
};

static uint64_t due_ns(const struct latency_run *run, uint64_t number)
{
	return run->start_ns + (uint64_t)((double)number * (double)TL_NS_PER_S / (double)run->options->rate);
}

static void send_message(struct latency_run *run)
{
	const struct latency_options *options = run->options;
	struct tl_pattern_values values = {
		.user = options->to_number + run->sent % options->receivers,
		.message = run->id_base + run->sent,
	};
	char topic[TL_TOPIC_BYTES];
	size_t topic_bytes = tl_pattern_fill(options->topic, &values, topic);
	char stamp[STAMP_BYTES + 1];
	uint64_t now_ns = tl_now_ns();
	uint64_t late_ns = now_ns - due_ns(run, run->sent);

	snprintf(stamp, sizeof(stamp), "%s%08" PRIx32 "%016" PRIx64, MARK, (uint32_t)run->sent, now_ns);
	memcpy(run->payload, tl_message_text_next(&run->text), (size_t)options->bytes);
	memcpy(run->payload, stamp, STAMP_BYTES);
	tl_mqtt_put_publish(&run->sender.out, run->sender.version, (uint16_t)(run->sent % UINT16_MAX + 1), topic,
		topic_bytes, run->payload, (size_t)options->bytes);
	run->late_max_ns = late_ns > run->late_max_ns ? late_ns : run->late_max_ns;
	run->sent_ns[run->sent++] = now_ns;
}

/* The next message for this receiver is `number`; those before it that have not arrived are not for it, or lost. */
static void count_arrival(struct latency_run *run, struct receiver *receiver, uint64_t number, uint64_t now_ns)
{
	receiver->next = number + 1;
	run->arrived_count++;
	if (number >= run->options->warmup) {
		tl_histogram_record(&run->histogram, now_ns - run->sent_ns[number]);
	}
}

static void take_stamp(struct latency_run *run, struct receiver *receiver, const uint8_t *mark, uint64_t now_ns)
{
	char digits[17] = "";
	uint64_t number;
	uint64_t sent_ns;

	memcpy(digits, mark + MARK_BYTES, 8);
	number = strtoull(digits, NULL, 16);
	memcpy(digits, mark + MARK_BYTES + 8, 16);
	sent_ns = strtoull(digits, NULL, 16);
	if (number < run->sent && number >= receiver->next && sent_ns == run->sent_ns[number]) {
		count_arrival(run, receiver, number, now_ns); /* else it is of an earlier run, or was seen before */
	}
}

static void take_stamps(
	struct latency_run *run, struct receiver *receiver, const struct tl_mqtt_message *message, uint64_t now_ns)
{
	const uint8_t *at = message->payload;
	size_t left = message->payload_bytes;
	const uint8_t *mark;

	while ((mark = memmem(at, left, MARK, MARK_BYTES)) && (size_t)(at + left - mark) >= STAMP_BYTES) {
		take_stamp(run, receiver, mark, now_ns);
		left = (size_t)(at + left - (mark + STAMP_BYTES));
		at = mark + STAMP_BYTES;
	}
}

/* All that the inbox has got since the beginning are the messages of this run. */
static void take_seq(
	struct latency_run *run, struct receiver *receiver, const struct tl_mqtt_message *message, uint64_t now_ns)
{
	struct tl_msgpack_item seq;

	if (!tl_msgpack_find(message->payload, message->payload_bytes, "seq", &seq) || seq.kind != TL_MSGPACK_UINT) {
		tl_die("%s: what arrived is no notification", receiver->connection.client_id);
	}
	if (seq.number > receiver->base_seq + run->sent) {
		tl_die("%s: the inbox gets something else", receiver->connection.client_id);
	}
	while (receiver->base_seq + receiver->next < seq.number) {
		count_arrival(run, receiver, receiver->next, now_ns);
	}
}

static void read_receiver(struct latency_run *run, struct receiver *receiver)
{
	struct tl_mqtt_packet packet;
	struct tl_mqtt_message message;
	uint64_t now_ns;

	tl_connection_fill(&receiver->connection);
	now_ns = tl_now_ns();
	while (tl_connection_next(&receiver->connection, &packet)) {
		if (packet.type != TL_MQTT_PUBLISH) {
			continue;
		}
		tl_connection_accept(&receiver->connection, &packet, &message);
		run->packets++;
		if (run->options->by_seq) {
			take_seq(run, receiver, &message, now_ns);
		} else {
			take_stamps(run, receiver, &message, now_ns);
		}
	}
	tl_connection_flush(&receiver->connection);
}

static void read_receivers(struct latency_run *run)
{
	struct epoll_event events[EVENT_COUNT];
	int count = epoll_wait(run->epoll, events, EVENT_COUNT, 0);
	int i;

	for (i = 0; i < count; i++) {
		read_receiver(run, events[i].data.ptr);
	}
}

static void read_sender(struct latency_run *run)
{
	struct tl_mqtt_packet packet;
	struct tl_mqtt_message message;
	uint16_t packet_id;
	unsigned reason;

	tl_connection_fill(&run->sender);
	while (tl_connection_next(&run->sender, &packet)) {
		if (packet.type == TL_MQTT_PUBLISH) {
			tl_connection_accept(&run->sender, &packet, &message); /* a receipt */
		} else if (packet.type == TL_MQTT_PUBACK && tl_mqtt_read_ack(&packet, &packet_id, &reason)) {
			run->acked++;
			run->refused += reason >= 0x80;
		}
	}
	tl_connection_flush(&run->sender);
}

/* Sleeps until something arrives or the next message is due; at most 100 ms. */
static void wait_for_event(struct latency_run *run, uint64_t now_ns)
{
	struct pollfd sockets[2] = {
		{ .fd = run->epoll, .events = POLLIN },
		{ .fd = run->sender.socket, .events = POLLIN },
	};
	uint64_t until_ns = now_ns + 100 * TL_NS_PER_MS;
	struct timespec pause;

	if (run->sent < run->total && due_ns(run, run->sent) < until_ns) {
		until_ns = due_ns(run, run->sent);
	}
	until_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	pause.tv_sec = (time_t)(until_ns / TL_NS_PER_S);
	pause.tv_nsec = (long)(until_ns % TL_NS_PER_S);
	if (!tl_connection_flush(&run->sender)) {
		sockets[1].events |= POLLOUT;
	}
	if (ppoll(sockets, 2, &pause, NULL) <= 0) {
		return;
	}
	if (sockets[0].revents) {
		read_receivers(run);
	}
	if (sockets[1].revents & ~POLLOUT) {
		read_sender(run);
	}
}

static void run_schedule(struct latency_run *run)
{
	uint64_t grace_ns = run->options->grace * TL_NS_PER_S;
	uint64_t last_arrived = 0;
	uint64_t moved_ns;
	uint64_t now_ns;

	run->start_ns = moved_ns = now_ns = tl_now_ns();
	while (run->arrived_count < run->expected || run->acked < run->total) {
		while (run->sent < run->total && due_ns(run, run->sent) <= now_ns) {
			send_message(run);
		}
		wait_for_event(run, now_ns);
		now_ns = tl_now_ns();
		if (run->arrived_count + run->acked != last_arrived || run->sent < run->total) {
			last_arrived = run->arrived_count + run->acked;
			moved_ns = now_ns;
		}
		if (now_ns - moved_ns > grace_ns) {
			break;
		}
	}
}

/* Where the receiver's inbox ends. */
static uint64_t ask_latest(struct tl_connection *connection, const char *root)
{
	struct tl_mqtt_message response;
	struct tl_buffer map = { 0 };

	tl_msgpack_put_map(&map, 0);
	tl_request_send(connection, root, "hello", &map);
	tl_request_wait(connection, "hello", tl_now_ns() + HELLO_TIMEOUT_NS, &response);
	tl_buffer_fini(&map);
	return tl_request_number(&response, "latest");
}

static void open_receiver(struct latency_run *run, uint64_t index)
{
	const struct latency_options *options = run->options;
	struct receiver *receiver = &run->receivers[index];
	struct tl_pattern_values values = { .connection = index, .user = options->to_number + index };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = receiver };
	char client[TL_NAME_BYTES];
	char name[TL_TOPIC_BYTES];
	char filter[TL_TOPIC_BYTES];

	tl_pattern_fill(options->to, &values, name);
	tl_pattern_fill(options->filter, &values, filter);
	snprintf(client, sizeof(client), "latency-receiver%" PRIu64, index);
	tl_connection_open(&receiver->connection, &options->target, client, name, true);
	if (options->by_seq) {
		receiver->base_seq = ask_latest(&receiver->connection, options->root);
	}
	tl_connection_subscribe_wait(&receiver->connection, filter, (unsigned)options->filter_qos);
	if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, receiver->connection.socket, &event) != 0) {
		tl_die("cannot watch a socket");
	}
}

static void open_connections(struct latency_run *run)
{
	const struct latency_options *options = run->options;
	struct tl_pattern_values values = { .user = options->to_number };
	char name[TL_TOPIC_BYTES];
	uint64_t i;

	tl_connection_allow(options->receivers);
	run->epoll = epoll_create1(EPOLL_CLOEXEC);
	run->receivers = tl_must_alloc((size_t)options->receivers, sizeof(*run->receivers));
	for (i = 0; i < options->receivers; i++) {
		open_receiver(run, i);
	}
	tl_pattern_fill(options->from, &values, name);
	tl_connection_open(&run->sender, &options->target, "latency-sender", name, true);
}

static void close_connections(struct latency_run *run)
{
	uint64_t i;

	tl_connection_close(&run->sender);
	for (i = 0; i < run->options->receivers; i++) {
		tl_connection_close(&run->receivers[i].connection);
	}
	free(run->receivers);
	close(run->epoll);
}

static double us(const struct latency_run *run, double percent)
{
	return (double)tl_histogram_percentile(&run->histogram, percent) / 1000;
}

static void print_result(const struct latency_run *run)
{
	printf("latency p50_us=%.0f p90_us=%.0f p99_us=%.0f max_us=%.0f count=%" PRIu64 " sent=%" PRIu64 " acked=%" PRIu64
		   " refused=%" PRIu64 " missing=%" PRIu64 " packets=%" PRIu64 " sender_late_max_us=%.0f\n",
		us(run, 50), us(run, 90), us(run, 99), (double)run->histogram.max / 1000, run->histogram.count, run->sent,
		run->acked, run->refused, run->expected - run->arrived_count, run->packets, (double)run->late_max_ns / 1000);
}

static int run_latency(const void *values)
{
	const struct latency_options *options = values;
	struct latency_run *run = tl_must_alloc(1, sizeof(*run));
	uint64_t arrived;

	run->options = options;
	run->total = options->rate * options->seconds;
	if (options->copies > options->receivers) {
		tl_die("--copies must not be above --receivers");
	}
	if (run->total > UINT32_MAX) {
		tl_die("--rate times --seconds must not exceed %" PRIu32, UINT32_MAX);
	}
	run->expected = run->total * options->copies;
	run->sent_ns = tl_must_alloc((size_t)run->total, sizeof(*run->sent_ns));
	run->payload = tl_must_alloc((size_t)options->bytes, 1);
	run->id_base = tl_message_id_base();
	tl_message_text_init(&run->text, (size_t)options->bytes, false);
	prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);
	open_connections(run);
	run_schedule(run);
	print_result(run);
	arrived = run->arrived_count;
	close_connections(run);
	tl_message_text_fini(&run->text);
	free(run->sent_ns);
	free(run->payload);
	free(run);
	if (arrived == 0) {
		tl_die("no message arrived: does --filter %s cover --topic %s?", options->filter, options->topic);
	}
	return EXIT_SUCCESS;
}

#define FIELD(name) offsetof(struct latency_options, name)

static const struct tl_option latency_table[] = {
	TL_TARGET_OPTIONS(struct latency_options),
	{ "rate", TL_OPTION_NUMBER, FIELD(rate), 1, 1000000, "messages/s" },
	{ "seconds", TL_OPTION_NUMBER, FIELD(seconds), 1, 86400, "how long" },
	{ "warmup", TL_OPTION_NUMBER, FIELD(warmup), 0, UINT32_MAX, "first messages that do not count" },
	{ "bytes", TL_OPTION_NUMBER, FIELD(bytes), STAMP_BYTES, 16777216, "payload of a message" },
	{ "topic", TL_OPTION_TEXT, FIELD(topic), 0, 0, "topic pattern of the messages" },
	{ "from", TL_OPTION_TEXT, FIELD(from), 0, 0, "username of the sender" },
	{ "to", TL_OPTION_TEXT, FIELD(to), 0, 0, "username pattern of the receivers" },
	{ "to-number", TL_OPTION_NUMBER, FIELD(to_number), 0, UINT32_MAX, "%u of the first receiver" },
	{ "receivers", TL_OPTION_NUMBER, FIELD(receivers), 1, 100000, "receivers; %u in --topic goes through them" },
	{ "copies", TL_OPTION_NUMBER, FIELD(copies), 1, 100000, "how many of them each message reaches" },
	{ "by-seq", TL_OPTION_FLAG, FIELD(by_seq), 0, 0, "a message has arrived when a notification's seq says so" },
	{ "root", TL_OPTION_TEXT, FIELD(root), 0, 0, "root topic, with --by-seq" },
	{ "filter", TL_OPTION_TEXT, FIELD(filter), 0, 0, "what each receiver subscribes to (plugin: im/notify/u%u)" },
	{ "filter-qos", TL_OPTION_NUMBER, FIELD(filter_qos), 0, 1, "QoS of the subscription" },
	{ "grace", TL_OPTION_NUMBER, FIELD(grace), 1, 600, "seconds without an arrival after which the rest is missing" },
};

static const struct latency_options latency_defaults = {
	.target = TL_TARGET_DEFAULTS,
	.rate = 1000,
	.seconds = 5,
	.warmup = 100,
	.bytes = 64,
	.topic = "bench/u%u/m%m",
	.from = "u0",
	.to = "u%u",
	.to_number = 1,
	.receivers = 1,
	.copies = 1,
	.root = "im",
	.filter = "bench/u%u/+",
	.grace = 3,
};

const struct tl_command tl_latency_command = {
	.name = "latency",
	.summary = "publishes at a fixed rate, prints the time from publishing to arrival",
	.options = latency_table,
	.option_count = sizeof(latency_table) / sizeof(latency_table[0]),
	.defaults = &latency_defaults,
	.options_bytes = sizeof(latency_defaults),
	.run = run_latency,
};
