/*
 * `hold`: connections that subscribe, each to a topic of its own, and then do nothing. It says so with one line as soon
 * as all are there, so that whoever started it can measure the broker meanwhile, and another when it lets go.
 *
 * What arrives stays in the sockets: on subscribing the plugin tells each device one small notification.
 */
#include "load_commands.h"

#include "bench_error.h"
#include "message_pattern.h"
#include "mqtt_connection.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct hold_options {
	struct tl_target target;
	uint64_t connections;
	uint64_t seconds;
	const char *client;
	const char *user;
	const char *filter;
};

static void open_connection(struct tl_connection *connection, const struct hold_options *options, uint64_t number)
{
	struct tl_pattern_values values = { .connection = number, .user = number };
	char client[TL_TOPIC_BYTES];
	char user[TL_TOPIC_BYTES];
	char filter[TL_TOPIC_BYTES];

	tl_pattern_fill(options->client, &values, client);
	tl_pattern_fill(options->user, &values, user);
	tl_pattern_fill(options->filter, &values, filter);
	tl_connection_open(connection, &options->target, client, user, true);
	tl_connection_subscribe_wait(connection, filter, 0);
}

static int run_hold(const void *values)
{
	const struct hold_options *options = values;
	struct tl_connection *connections = tl_must_alloc((size_t)options->connections, sizeof(*connections));
	uint64_t i;

	tl_connection_allow(options->connections);
	for (i = 0; i < options->connections; i++) {
		open_connection(&connections[i], options, i);
	}
	printf("hold connections=%" PRIu64 " state=connected\n", options->connections);
	fflush(stdout);
	sleep((unsigned)options->seconds);
	for (i = 0; i < options->connections; i++) {
		tl_connection_close(&connections[i]);
	}
	free(connections);
	printf("hold connections=%" PRIu64 " state=closed\n", options->connections);
	return EXIT_SUCCESS;
}

#define FIELD(name) offsetof(struct hold_options, name)

static const struct tl_option hold_table[] = {
	TL_TARGET_OPTIONS(struct hold_options),
	{ "connections", TL_OPTION_NUMBER, FIELD(connections), 1, 1000000, "connections that are held" },
	{ "seconds", TL_OPTION_NUMBER, FIELD(seconds), 0, 86400, "how long, once all are there" },
	{ "client", TL_OPTION_TEXT, FIELD(client), 0, 0, "pattern of the client ids" },
	{ "user", TL_OPTION_TEXT, FIELD(user), 0, 0, "pattern of the usernames" },
	{ "filter", TL_OPTION_TEXT, FIELD(filter), 0, 0, "pattern of what each subscribes to" },
};

static const struct hold_options hold_defaults = {
	.target = TL_TARGET_DEFAULTS,
	.connections = 1000,
	.seconds = 5,
	.client = "held%n",
	.user = "u%n",
	.filter = "bench/held/%n",
};

const struct tl_command tl_hold_command = {
	.name = "hold",
	.summary = "connects and subscribes devices that then do nothing",
	.options = hold_table,
	.option_count = sizeof(hold_table) / sizeof(hold_table[0]),
	.defaults = &hold_defaults,
	.options_bytes = sizeof(hold_defaults),
	.run = run_hold,
};
