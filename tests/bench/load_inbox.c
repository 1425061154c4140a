/*
 * `wait`: asks users for the last sequence of their inboxes until all messages are stored. `create`: makes a group.
 * Together with `publish` they measure how fast messages are stored and fanned out, not only how fast they are acked.
 *
 * A user who has sent any request counts as online, and notifying costs the server time. So `wait` connects and asks
 * after the publishing, and counts from --since-ns, the start_ns that `publish` printed.
 */
#include "load_commands.h"

#include "bench_clock.h"
#include "bench_error.h"
#include "message_pattern.h"
#include "timeline_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define REQUEST_TIMEOUT_NS (30 * TL_NS_PER_S)
#define MEMBERS_PER_REQUEST 4000 /* a request takes 8192, and 64 KiB */

struct wait_options {
	struct tl_target target;
	const char *root;
	const char *user;
	uint64_t first;
	uint64_t users;
	uint64_t sum;
	uint64_t since_ns;
	uint64_t interval_ms;
	uint64_t timeout;
};

struct create_options {
	struct tl_target target;
	const char *root;
	const char *conv;
	const char *user;
	const char *fanout;
	uint64_t first;
	uint64_t members;
};

static void open_user(
	struct tl_connection *connection, const struct tl_target *target, const char *pattern, uint64_t number)
{
	struct tl_pattern_values values = { .connection = number, .user = number };
	char client[TL_NAME_BYTES];
	char name[TL_TOPIC_BYTES];

	tl_pattern_fill(pattern, &values, name);
	snprintf(client, sizeof(client), "inbox%" PRIu64, number);
	tl_connection_open(connection, target, client, name, true);
}

/* Asks all users at once and adds up their answers. */
static uint64_t sum_of_latest(struct tl_connection *users, const struct wait_options *options)
{
	uint64_t deadline_ns = tl_now_ns() + REQUEST_TIMEOUT_NS;
	struct tl_mqtt_message response;
	struct tl_buffer map = { 0 };
	uint64_t sum = 0;
	size_t i;

	tl_msgpack_put_map(&map, 0);
	for (i = 0; i < options->users; i++) {
		tl_request_send(&users[i], options->root, "hello", &map);
		tl_connection_flush(&users[i]);
	}
	for (i = 0; i < options->users; i++) {
		tl_request_wait(&users[i], "hello", deadline_ns, &response);
		sum += tl_request_number(&response, "latest");
		tl_connection_flush(&users[i]);
	}
	tl_buffer_fini(&map);
	return sum;
}

/* Asking costs the server time, too: the longer it has taken so far, the less often it is asked, to two hundredths of that. */
static void pause_between(const struct wait_options *options, uint64_t start_ns)
{
	uint64_t pause_ms = (tl_now_ns() - start_ns) / 50 / 1000000;

	usleep((useconds_t)((pause_ms > options->interval_ms ? pause_ms : options->interval_ms) * 1000));
}

static int run_wait(const void *values)
{
	const struct wait_options *options = values;
	struct tl_connection *users = tl_must_alloc((size_t)options->users, sizeof(*users));
	uint64_t start_ns = tl_now_ns();
	uint64_t rounds = 1;
	uint64_t sum;
	size_t i;

	tl_connection_allow(options->users);
	for (i = 0; i < options->users; i++) {
		open_user(&users[i], &options->target, options->user, options->first + i);
	}
	for (sum = sum_of_latest(users, options); sum < options->sum; sum = sum_of_latest(users, options)) {
		if (tl_now_ns() - start_ns > options->timeout * TL_NS_PER_S) {
			tl_die("after %" PRIu64 " s the inboxes hold %" PRIu64 " of %" PRIu64 " entries", options->timeout, sum,
				options->sum);
		}
		pause_between(options, start_ns);
		rounds++;
	}
	printf("wait seconds=%.3f sum=%" PRIu64 " rounds=%" PRIu64 "\n",
		tl_seconds_between(options->since_ns > 0 ? options->since_ns : start_ns, tl_now_ns()), sum, rounds);
	for (i = 0; i < options->users; i++) {
		tl_connection_close(&users[i]);
	}
	free(users);
	return EXIT_SUCCESS;
}

/* The members from `from` on, as many as a request takes; returns the number of the next one. */
static uint64_t put_members(struct tl_buffer *map, const struct create_options *options, uint64_t from)
{
	uint64_t to = options->members - from > MEMBERS_PER_REQUEST ? from + MEMBERS_PER_REQUEST : options->members;
	struct tl_pattern_values values = { 0 };
	char name[TL_TOPIC_BYTES];
	uint64_t i;

	tl_msgpack_put_array(map, (size_t)(to - from));
	for (i = from; i < to; i++) {
		values.connection = values.user = options->first + i;
		tl_pattern_fill(options->user, &values, name);
		tl_msgpack_put_text(map, name);
	}
	return to;
}

static uint64_t put_create(struct tl_buffer *map, const struct create_options *options)
{
	tl_msgpack_put_map(map, 4);
	tl_msgpack_put_text(map, "conv");
	tl_msgpack_put_text(map, options->conv);
	tl_msgpack_put_text(map, "kind");
	tl_msgpack_put_text(map, "group");
	tl_msgpack_put_text(map, "fanout");
	tl_msgpack_put_text(map, options->fanout);
	tl_msgpack_put_text(map, "members");
	return put_members(map, options, 1);
}

static uint64_t put_add(struct tl_buffer *map, const struct create_options *options, uint64_t from)
{
	map->start = map->end = 0;
	tl_msgpack_put_map(map, 2);
	tl_msgpack_put_text(map, "conv");
	tl_msgpack_put_text(map, options->conv);
	tl_msgpack_put_text(map, "users");
	return put_members(map, options, from);
}

static void request(struct tl_connection *owner, const struct create_options *options, const char *op,
	const struct tl_buffer *map)
{
	struct tl_mqtt_message response;

	tl_request_send(owner, options->root, op, map);
	tl_request_wait(owner, op, tl_now_ns() + REQUEST_TIMEOUT_NS, &response);
}

static int run_create(const void *values)
{
	const struct create_options *options = values;
	struct tl_connection owner;
	struct tl_buffer map = { 0 };
	uint64_t start_ns = tl_now_ns();
	uint64_t next;

	open_user(&owner, &options->target, options->user, options->first);
	next = put_create(&map, options);
	request(&owner, options, "create", &map);
	while (next < options->members) {
		next = put_add(&map, options, next);
		request(&owner, options, "add", &map);
	}
	printf("create conv=%s members=%" PRIu64 " seconds=%.3f\n", options->conv, options->members,
		tl_seconds_between(start_ns, tl_now_ns()));
	tl_buffer_fini(&map);
	tl_connection_close(&owner);
	return EXIT_SUCCESS;
}

#define WAIT_FIELD(name) offsetof(struct wait_options, name)
#define CREATE_FIELD(name) offsetof(struct create_options, name)

static const struct tl_option wait_table[] = {
	TL_TARGET_OPTIONS(struct wait_options),
	{ "root", TL_OPTION_TEXT, WAIT_FIELD(root), 0, 0, "root topic" },
	{ "user", TL_OPTION_TEXT, WAIT_FIELD(user), 0, 0, "pattern of the usernames" },
	{ "first", TL_OPTION_NUMBER, WAIT_FIELD(first), 0, UINT32_MAX, "number of the first user" },
	{ "users", TL_OPTION_NUMBER, WAIT_FIELD(users), 1, 100000, "users to ask" },
	{ "sum", TL_OPTION_NUMBER, WAIT_FIELD(sum), 0, UINT64_MAX, "entries in all their inboxes; 0: only ask" },
	{ "since-ns", TL_OPTION_NUMBER, WAIT_FIELD(since_ns), 0, UINT64_MAX, "count the seconds from here; 0: from now" },
	{ "interval-ms", TL_OPTION_NUMBER, WAIT_FIELD(interval_ms), 0, 900, "pause between two rounds of asking" },
	{ "timeout", TL_OPTION_NUMBER, WAIT_FIELD(timeout), 1, 86400, "give up after so many seconds" },
};

static const struct tl_option create_table[] = {
	TL_TARGET_OPTIONS(struct create_options),
	{ "root", TL_OPTION_TEXT, CREATE_FIELD(root), 0, 0, "root topic" },
	{ "conv", TL_OPTION_TEXT, CREATE_FIELD(conv), 0, 0, "id of the group" },
	{ "user", TL_OPTION_TEXT, CREATE_FIELD(user), 0, 0, "pattern of the members' usernames" },
	{ "fanout", TL_OPTION_TEXT, CREATE_FIELD(fanout), 0, 0, "auto, write or read" },
	{ "first", TL_OPTION_NUMBER, CREATE_FIELD(first), 0, UINT32_MAX, "number of the first member, the owner" },
	{ "members", TL_OPTION_NUMBER, CREATE_FIELD(members), 1, 1000000, "members, the owner included" },
};

static const struct wait_options wait_defaults = {
	.target = TL_TARGET_DEFAULTS,
	.root = "im",
	.user = "u%u",
	.users = 1,
	.interval_ms = 20,
	.timeout = 300,
};

static const struct create_options create_defaults = {
	.target = TL_TARGET_DEFAULTS,
	.root = "im",
	.conv = "g0",
	.user = "u%u",
	.fanout = "write",
	.members = 100,
};

const struct tl_command tl_wait_command = {
	.name = "wait",
	.summary = "asks users until their inboxes hold a number of entries, prints the seconds",
	.options = wait_table,
	.option_count = sizeof(wait_table) / sizeof(wait_table[0]),
	.defaults = &wait_defaults,
	.options_bytes = sizeof(wait_defaults),
	.run = run_wait,
};

const struct tl_command tl_create_command = {
	.name = "create",
	.summary = "creates a group of any size",
	.options = create_table,
	.option_count = sizeof(create_table) / sizeof(create_table[0]),
	.defaults = &create_defaults,
	.options_bytes = sizeof(create_defaults),
	.run = run_create,
};
