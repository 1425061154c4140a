/*
 * `visit`: random users come by, one after the other: each connects, asks for a page of the inbox and goes. Then all of
 * them come once more, which tells what the server's caches are worth.
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

struct visit_options {
	struct tl_target target;
	const char *root;
	const char *user;
	uint64_t first;
	uint64_t users;
	uint64_t visits;
	uint64_t limit;
	uint64_t timeout;
};

/* The time from the request to its response. */
static uint64_t visit(const struct visit_options *options, uint64_t number, uint64_t *messages)
{
	struct tl_pattern_values values = { .connection = number, .user = number };
	struct tl_connection connection;
	struct tl_mqtt_message response;
	struct tl_buffer map = { 0 };
	char name[TL_TOPIC_BYTES];
	uint64_t begun_ns;
	uint64_t took_ns;

	tl_pattern_fill(options->user, &values, name);
	tl_connection_open(&connection, &options->target, "visit", name, true);
	tl_request_put_sync(&map, 0, options->limit);
	begun_ns = tl_now_ns();
	tl_request_send(&connection, options->root, "sync", &map);
	tl_request_wait(&connection, "sync", begun_ns + options->timeout * TL_NS_PER_S, &response);
	took_ns = tl_now_ns() - begun_ns;
	*messages += tl_request_page(&response, 0).messages;
	tl_connection_close(&connection);
	tl_buffer_fini(&map);
	return took_ns;
}

static void visit_all(const struct visit_options *options, uint64_t random, struct tl_histogram *histogram,
	uint64_t *messages)
{
	uint64_t i;

	for (i = 0; i < options->visits; i++) {
		tl_histogram_record(
			histogram, visit(options, options->first + tl_random(&random) % options->users, messages));
	}
}

static int run_visit(const void *values)
{
	const struct visit_options *options = values;
	struct tl_histogram *first = tl_must_alloc(2, sizeof(*first));
	struct tl_histogram *again = first + 1;
	uint64_t random = tl_message_id_base();
	uint64_t messages = 0;

	visit_all(options, random, first, &messages);
	visit_all(options, random, again, &messages);
	printf("visit visits=%" PRIu64 " messages=%" PRIu64 " first_p50_us=%.0f first_p99_us=%.0f again_p50_us=%.0f "
		   "again_p99_us=%.0f\n",
		first->count + again->count, messages, (double)tl_histogram_percentile(first, 50) / 1000,
		(double)tl_histogram_percentile(first, 99) / 1000, (double)tl_histogram_percentile(again, 50) / 1000,
		(double)tl_histogram_percentile(again, 99) / 1000);
	free(first);
	return EXIT_SUCCESS;
}

#define FIELD(name) offsetof(struct visit_options, name)

static const struct tl_option visit_table[] = {
	TL_TARGET_OPTIONS(struct visit_options),
	{ "root", TL_OPTION_TEXT, FIELD(root), 0, 0, "root topic" },
	{ "user", TL_OPTION_TEXT, FIELD(user), 0, 0, "pattern of the usernames" },
	{ "first", TL_OPTION_NUMBER, FIELD(first), 0, UINT32_MAX, "number of the first user" },
	{ "users", TL_OPTION_NUMBER, FIELD(users), 1, UINT32_MAX, "how many there are" },
	{ "visits", TL_OPTION_NUMBER, FIELD(visits), 1, UINT32_MAX, "how many of them come, each twice" },
	{ "limit", TL_OPTION_NUMBER, FIELD(limit), 1, 1000, "messages of a page" },
	{ "timeout", TL_OPTION_NUMBER, FIELD(timeout), 1, 3600, "give up when a response takes so many seconds" },
};

static const struct visit_options visit_defaults = {
	.target = TL_TARGET_DEFAULTS,
	.root = "im",
	.user = "u%u",
	.users = 1000,
	.visits = 1000,
	.limit = 100,
	.timeout = 30,
};

const struct tl_command tl_visit_command = {
	.name = "visit",
	.summary = "random users sync one after the other, all of them twice; prints how long it took",
	.options = visit_table,
	.option_count = sizeof(visit_table) / sizeof(visit_table[0]),
	.defaults = &visit_defaults,
	.options_bytes = sizeof(visit_defaults),
	.run = run_visit,
};
