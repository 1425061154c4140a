/*
 * `drain`: one device pulls everything that waits for it. `subscribe`: prepares the same for a broker without the
 * plugin, a persistent session.
 *
 *	--mode sync      pages through {root}/req/sync, one request after the other, until `more` is false
 *	--mode session   resumes the persistent session of --client and takes --count messages
 */
#include "load_commands.h"

#include "bench_clock.h"
#include "bench_error.h"
#include "timeline_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct drain_options {
	struct tl_target target;
	const char *mode;
	const char *client;
	const char *user;
	const char *root;
	const char *filter; /* of `subscribe` */
	uint64_t limit;
	uint64_t after;
	uint64_t count;
	uint64_t timeout;
};

struct drained {
	uint64_t messages;
	uint64_t pages;
	uint64_t bytes;
	uint64_t start_ns;
	uint64_t end_ns;
};

static void drain_sync(struct tl_connection *connection, const struct drain_options *options, struct drained *drained)
{
	struct tl_mqtt_message response;
	struct tl_buffer map = { 0 };
	struct tl_page page = { .next = options->after };

	do {
		tl_request_put_sync(&map, page.next, options->limit);
		tl_request_send(connection, options->root, "sync", &map);
		tl_request_wait(connection, "sync", tl_now_ns() + options->timeout * TL_NS_PER_S, &response);
		page = tl_request_page(&response, page.next);
		drained->messages += page.messages;
		drained->bytes += response.payload_bytes;
		drained->pages++;
	} while (page.more);
	drained->end_ns = tl_now_ns();
	tl_buffer_fini(&map);
}

static void drain_session(
	struct tl_connection *connection, const struct drain_options *options, struct drained *drained)
{
	struct tl_mqtt_packet packet;
	struct tl_mqtt_message message;

	drained->end_ns = drained->start_ns;
	while (drained->messages < options->count) {
		/* ack what was read in one go, then wait for more */
		if (!tl_connection_next(connection, &packet)) {
			tl_connection_flush(connection);
			if (!tl_connection_wait(connection, tl_now_ns() + options->timeout * TL_NS_PER_S, &packet)) {
				tl_die("%" PRIu64 " of %" PRIu64 " messages arrived, then nothing for %" PRIu64 " s", drained->messages,
					options->count, options->timeout);
			}
		}
		if (packet.type == TL_MQTT_PUBLISH) {
			tl_connection_accept(connection, &packet, &message);
			drained->messages++;
			drained->bytes += message.payload_bytes;
		}
	}
	drained->end_ns = tl_now_ns();
	tl_connection_flush(connection);
}

static int run_drain(const void *values)
{
	const struct drain_options *options = values;
	struct tl_connection connection;
	struct drained drained = { 0 };
	bool session = strcmp(options->mode, "session") == 0;
	double seconds;

	if (!session && strcmp(options->mode, "sync") != 0) {
		tl_die("--mode is sync or session, not '%s'", options->mode);
	}
	if (session && options->count == 0) {
		tl_die("--mode session needs a --count");
	}
	drained.start_ns = tl_now_ns();
	tl_connection_open(&connection, &options->target, options->client, options->user, !session);
	if (session) {
		drain_session(&connection, options, &drained);
	} else {
		drain_sync(&connection, options, &drained);
	}
	seconds = tl_seconds_between(drained.start_ns, drained.end_ns);
	printf("drain messages=%" PRIu64 " seconds=%.3f messages_per_s=%.0f pages=%" PRIu64 " bytes=%" PRIu64 "\n",
		drained.messages, seconds, (double)drained.messages / seconds, drained.pages, drained.bytes);
	tl_connection_close(&connection);
	return EXIT_SUCCESS;
}

static int run_subscribe(const void *values)
{
	const struct drain_options *options = values;
	struct tl_connection connection;

	tl_connection_open(&connection, &options->target, options->client, options->user, false);
	tl_connection_subscribe_wait(&connection, options->filter, 1);
	tl_connection_close(&connection);
	printf("subscribe client=%s filter=%s\n", options->client, options->filter);
	return EXIT_SUCCESS;
}

#define FIELD(name) offsetof(struct drain_options, name)

static const struct tl_option drain_table[] = {
	TL_TARGET_OPTIONS(struct drain_options),
	{ "mode", TL_OPTION_TEXT, FIELD(mode), 0, 0, "sync (the plugin) or session (a persistent session)" },
	{ "client", TL_OPTION_TEXT, FIELD(client), 0, 0, "client id of the device" },
	{ "user", TL_OPTION_TEXT, FIELD(user), 0, 0, "username of the device" },
	{ "root", TL_OPTION_TEXT, FIELD(root), 0, 0, "root topic (sync)" },
	{ "limit", TL_OPTION_NUMBER, FIELD(limit), 1, 1000, "messages of a page (sync)" },
	{ "after", TL_OPTION_NUMBER, FIELD(after), 0, UINT64_MAX, "position to start from (sync)" },
	{ "count", TL_OPTION_NUMBER, FIELD(count), 0, UINT64_MAX, "messages to take (session)" },
	{ "timeout", TL_OPTION_NUMBER, FIELD(timeout), 1, 3600, "give up when nothing arrives for so many seconds" },
};

static const struct tl_option subscribe_table[] = {
	TL_TARGET_OPTIONS(struct drain_options),
	{ "client", TL_OPTION_TEXT, FIELD(client), 0, 0, "client id of the session" },
	{ "user", TL_OPTION_TEXT, FIELD(user), 0, 0, "username" },
	{ "filter", TL_OPTION_TEXT, FIELD(filter), 0, 0, "topic filter, subscribed at QoS 1" },
};

static const struct drain_options drain_defaults = {
	.target = TL_TARGET_DEFAULTS,
	.mode = "sync",
	.client = "drain",
	.user = "u1000",
	.root = "im",
	.filter = "bench/#",
	.limit = 1000,
	.timeout = 10,
};

const struct tl_command tl_drain_command = {
	.name = "drain",
	.summary = "pulls everything that waits for one device, prints messages/s",
	.options = drain_table,
	.option_count = sizeof(drain_table) / sizeof(drain_table[0]),
	.defaults = &drain_defaults,
	.options_bytes = sizeof(drain_defaults),
	.run = run_drain,
};

const struct tl_command tl_subscribe_command = {
	.name = "subscribe",
	.summary = "leaves a persistent session behind for drain --mode session",
	.options = subscribe_table,
	.option_count = sizeof(subscribe_table) / sizeof(subscribe_table[0]),
	.defaults = &drain_defaults,
	.options_bytes = sizeof(drain_defaults),
	.run = run_subscribe,
};
