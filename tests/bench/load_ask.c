/*
 * `ask`: one device searches all that its user may see, again and again, one search after the other.
 */
#include "load_commands.h"

#include "bench_clock.h"
#include "bench_error.h"
#include "histogram.h"
#include "timeline_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct ask_options {
	struct tl_target target;
	const char *root;
	const char *user;
	const char *query;
	uint64_t seconds;
	uint64_t timeout;
};

static uint64_t ask(struct tl_connection *connection, const struct ask_options *options)
{
	struct tl_mqtt_message response;
	struct tl_buffer map = { 0 };
	uint64_t begun_ns = tl_now_ns();

	tl_msgpack_put_map(&map, 1);
	tl_msgpack_put_text(&map, "q");
	tl_msgpack_put_text(&map, options->query);
	tl_request_send(connection, options->root, "search", &map);
	tl_request_wait(connection, "search", begun_ns + options->timeout * TL_NS_PER_S, &response);
	tl_buffer_fini(&map);
	return tl_now_ns() - begun_ns;
}

static int run_ask(const void *values)
{
	const struct ask_options *options = values;
	struct tl_histogram *took = tl_must_alloc(1, sizeof(*took));
	uint64_t end_ns = tl_now_ns() + options->seconds * TL_NS_PER_S;
	struct tl_connection connection;

	tl_connection_open(&connection, &options->target, "ask", options->user, true);
	do {
		tl_histogram_record(took, ask(&connection, options));
	} while (tl_now_ns() < end_ns);
	printf("ask requests=%" PRIu64 " p50_us=%.0f p99_us=%.0f\n", took->count,
		(double)tl_histogram_percentile(took, 50) / 1000, (double)tl_histogram_percentile(took, 99) / 1000);
	tl_connection_close(&connection);
	free(took);
	return EXIT_SUCCESS;
}

#define FIELD(name) offsetof(struct ask_options, name)

static const struct tl_option ask_table[] = {
	TL_TARGET_OPTIONS(struct ask_options),
	{ "root", TL_OPTION_TEXT, FIELD(root), 0, 0, "root topic" },
	{ "user", TL_OPTION_TEXT, FIELD(user), 0, 0, "username of the device" },
	{ "query", TL_OPTION_TEXT, FIELD(query), 0, 0, "what is searched for" },
	{ "seconds", TL_OPTION_NUMBER, FIELD(seconds), 1, 3600, "how long" },
	{ "timeout", TL_OPTION_NUMBER, FIELD(timeout), 1, 3600, "give up when a response takes so many seconds" },
};

static const struct ask_options ask_defaults = {
	.target = TL_TARGET_DEFAULTS,
	.root = "im",
	.user = "u1000",
	.query = "\"bababa bababa\"", /* the commonest word of the payloads twice in a row, which takes looking at many */
	.seconds = 5,
	.timeout = 30,
};

const struct tl_command tl_ask_command = {
	.name = "ask",
	.summary = "one device searches again and again; prints how long it took",
	.options = ask_table,
	.option_count = sizeof(ask_table) / sizeof(ask_table[0]),
	.defaults = &ask_defaults,
	.options_bytes = sizeof(ask_defaults),
	.run = run_ask,
};
