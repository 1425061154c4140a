/*
 * `storm`: devices that all connect at the same moment and pull everything that waits for them, each one page after the
 * other, as after an outage.
 *
 *	device 0 … D-1 ──CONNECT──► ──sync after 0──► page ──sync after next──► page … more is false: done
 *
 * A device's time begins when the first one connects, so it includes that others were served before.
 */
#include "load_commands.h"

#include "bench_clock.h"
#include "bench_error.h"
#include "histogram.h"
#include "message_pattern.h"
#include "timeline_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENT_COUNT 64
#define TICK_MS 100

struct storm_options {
	struct tl_target target;
	const char *root;
	const char *client;
	const char *user;
	uint64_t first;
	uint64_t devices;
	uint64_t limit;
	uint64_t timeout;
};

struct device {
	struct tl_connection connection;
	uint64_t after;
	bool connected;
	bool done;
};

struct storm {
	const struct storm_options *options;
	struct device *devices;
	struct tl_buffer map;
	struct tl_histogram first_page; /* ns since the beginning … */
	struct tl_histogram all;        /* … until a device has a page, or everything */
	int epoll;
	uint64_t done;
	uint64_t messages;
	uint64_t pages;
	uint64_t bytes;
	uint64_t start_ns;
};

static void ask(struct storm *storm, struct device *device)
{
	tl_request_put_sync(&storm->map, device->after, storm->options->limit);
	tl_request_send(&device->connection, storm->options->root, "sync", &storm->map);
}

static void on_page(struct storm *storm, struct device *device, const struct tl_mqtt_message *response)
{
	struct tl_page page;
	uint64_t took_ns = tl_now_ns() - storm->start_ns;

	tl_request_check(&device->connection, "sync", response);
	page = tl_request_page(response, device->after);
	if (device->after == 0) {
		tl_histogram_record(&storm->first_page, took_ns);
	}
	device->after = page.next;
	storm->messages += page.messages;
	storm->bytes += response->payload_bytes;
	storm->pages++;
	if (page.more) {
		ask(storm, device);
		return;
	}
	tl_histogram_record(&storm->all, took_ns);
	device->done = true;
	storm->done++;
}

static void on_packet(struct storm *storm, struct device *device, const struct tl_mqtt_packet *packet)
{
	struct tl_mqtt_message message;

	if (!device->connected) {
		tl_connection_connected(&device->connection, packet);
		device->connected = true;
		ask(storm, device);
		return;
	}
	if (packet->type != TL_MQTT_PUBLISH) {
		return;
	}
	tl_connection_accept(&device->connection, packet, &message);
	if (!device->done && tl_request_is_response(&message, "sync")) {
		on_page(storm, device, &message);
	}
}

static void on_event(struct storm *storm, struct device *device)
{
	struct tl_mqtt_packet packet;
	bool more;

	do {
		more = tl_connection_fill(&device->connection);
		while (tl_connection_next(&device->connection, &packet)) {
			on_packet(storm, device, &packet);
		}
	} while (more);
	tl_connection_flush(&device->connection);
}

static void begin_device(struct storm *storm, uint64_t index)
{
	const struct storm_options *options = storm->options;
	struct device *device = &storm->devices[index];
	struct tl_pattern_values values = { .connection = index, .user = options->first + index };
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = device };
	char client[TL_TOPIC_BYTES];
	char user[TL_TOPIC_BYTES];

	tl_pattern_fill(options->client, &values, client);
	tl_pattern_fill(options->user, &values, user);
	tl_connection_begin(&device->connection, &options->target, client, user, true);
	if (epoll_ctl(storm->epoll, EPOLL_CTL_ADD, device->connection.socket, &event) != 0) {
		tl_die("cannot watch a socket");
	}
}

/* Takes what is there, after at most so many ms; true if there was anything. */
static bool serve(struct storm *storm, int wait_ms)
{
	struct epoll_event events[EVENT_COUNT];
	int count = epoll_wait(storm->epoll, events, EVENT_COUNT, wait_ms);
	int i;

	for (i = 0; i < count; i++) {
		on_event(storm, events[i].data.ptr);
	}
	return count > 0;
}

static void run_devices(struct storm *storm)
{
	const struct storm_options *options = storm->options;
	uint64_t last_event_ns;
	uint64_t i;

	storm->start_ns = tl_now_ns();
	for (i = 0; i < options->devices; i++) {
		begin_device(storm, i);
		serve(storm, 0);
	}
	last_event_ns = tl_now_ns();
	while (storm->done < options->devices) {
		if (serve(storm, TICK_MS)) {
			last_event_ns = tl_now_ns();
		} else if (tl_now_ns() - last_event_ns > options->timeout * TL_NS_PER_S) {
			tl_die("nothing arrived for %" PRIu64 " s: %" PRIu64 " of %" PRIu64 " devices have everything",
				options->timeout, storm->done, options->devices);
		}
	}
}

static void print_storm(const struct storm *storm)
{
	printf("storm devices=%" PRIu64 " messages=%" PRIu64 " pages=%" PRIu64 " bytes=%" PRIu64 " seconds=%.3f",
		storm->options->devices, storm->messages, storm->pages, storm->bytes, (double)storm->all.max / TL_NS_PER_S);
	printf(" first_p50_ms=%.0f first_max_ms=%.0f", (double)tl_histogram_percentile(&storm->first_page, 50) / TL_NS_PER_MS,
		(double)storm->first_page.max / TL_NS_PER_MS);
	printf(" all_p50_ms=%.0f all_p99_ms=%.0f all_max_ms=%.0f\n",
		(double)tl_histogram_percentile(&storm->all, 50) / TL_NS_PER_MS,
		(double)tl_histogram_percentile(&storm->all, 99) / TL_NS_PER_MS, (double)storm->all.max / TL_NS_PER_MS);
}

static int run_storm(const void *values)
{
	const struct storm_options *options = values;
	struct storm *storm = tl_must_alloc(1, sizeof(*storm));
	uint64_t i;

	storm->options = options;
	storm->devices = tl_must_alloc((size_t)options->devices, sizeof(*storm->devices));
	storm->epoll = epoll_create1(EPOLL_CLOEXEC);
	tl_connection_allow(options->devices);
	run_devices(storm);
	print_storm(storm);
	for (i = 0; i < options->devices; i++) {
		tl_connection_close(&storm->devices[i].connection);
	}
	close(storm->epoll);
	tl_buffer_fini(&storm->map);
	free(storm->devices);
	free(storm);
	return EXIT_SUCCESS;
}

#define FIELD(name) offsetof(struct storm_options, name)

static const struct tl_option storm_table[] = {
	TL_TARGET_OPTIONS(struct storm_options),
	{ "root", TL_OPTION_TEXT, FIELD(root), 0, 0, "root topic" },
	{ "client", TL_OPTION_TEXT, FIELD(client), 0, 0, "pattern of the client ids" },
	{ "user", TL_OPTION_TEXT, FIELD(user), 0, 0, "pattern of the usernames" },
	{ "first", TL_OPTION_NUMBER, FIELD(first), 0, UINT32_MAX, "number of the first user" },
	{ "devices", TL_OPTION_NUMBER, FIELD(devices), 1, 100000, "devices, each of a user of its own" },
	{ "limit", TL_OPTION_NUMBER, FIELD(limit), 1, 1000, "messages of a page" },
	{ "timeout", TL_OPTION_NUMBER, FIELD(timeout), 1, 3600, "give up when nothing arrives for so many seconds" },
};

static const struct storm_options storm_defaults = {
	.target = TL_TARGET_DEFAULTS,
	.root = "im",
	.client = "storm%n",
	.user = "u%u",
	.first = 1000,
	.devices = 2000,
	.limit = 1000,
	.timeout = 30,
};

const struct tl_command tl_storm_command = {
	.name = "storm",
	.summary = "devices connect all at once and pull everything that waits for them",
	.options = storm_table,
	.option_count = sizeof(storm_table) / sizeof(storm_table[0]),
	.defaults = &storm_defaults,
	.options_bytes = sizeof(storm_defaults),
	.run = run_storm,
};
