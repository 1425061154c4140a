#include "setup.h"

static void choose_expiry(struct limits *limits, struct rng *rng)
{
	static const uint64_t ttls[] = {0, 2000, 10000, 60000}, most[] = {0, 0, 1, 10, 40, 300};
	static const uint64_t retentions[] = {0, 0, 5000, 60000};
	limits->inbox_ttl_ms = ttls[below(rng, 4)];
	limits->inbox_max = most[below(rng, 6)];
	limits->retention = chance(rng, 60);
	if (limits->retention)
		limits->retention_ms = retentions[below(rng, 4)];
}

struct setup setup_choose(struct rng *rng, bool power)
{
	static const uint64_t dedup[] = {0, 3000, 30000, 604800000}, windows[] = {1500, 30000, 604800000};
	struct setup setup = {.exact_order = chance(rng, 30)};
	setup.limits = (struct limits){
		.dedup_window_ms = dedup[below(rng, 4)],
		.recall_window_ms = windows[below(rng, 3)],
		.edit_window_ms = windows[below(rng, 3)],
		.max_body = 2000,
		.usual_body = 200,
		.max_members = USERS - 1,
		.max_conversations = chance(rng, 50) ? 1000 : 8,
		.on_read = !setup.exact_order,
	};
	setup.power = setup.limits.search = power;
	if (power && chance(rng, 60))
		setup.limits.usual_body = 1900;
	setup.trouble = !power && chance(rng, 40);
	setup.strict = power && chance(rng, 40);
	setup.os = power && !setup.strict && chance(rng, 30);
	if (chance(rng, 60))
		choose_expiry(&setup.limits, rng);
	return setup;
}

/* Clients do not notice it, so it can be another one each time. */
static uint64_t choose_write_fanout_max(const struct limits *limits, struct rng *rng)
{
	static const uint64_t few[] = {0, 1, 3, 5, 500};
	return limits->on_read ? few[below(rng, 5)] : USERS;
}

/* Nor this: of how many members a dissolved conversation is rid at once. */
static uint64_t choose_ending_step(struct rng *rng)
{
	static const uint64_t few[] = {0, 1, 1, 2, 3};
	return few[below(rng, 5)];
}

static struct tl_limits store_limits(const struct limits *limits, struct rng *rng)
{
	return (struct tl_limits){
		.server = "test",
		.max_body = limits->max_body,
		.notify_inline_max = 4096,
		.dedup_window_ms = limits->dedup_window_ms,
		.recall_window_ms = limits->recall_window_ms,
		.edit_window_ms = limits->edit_window_ms,
		.write_fanout_max = choose_write_fanout_max(limits, rng),
		.inbox_ttl_ms = limits->inbox_ttl_ms,
		.inbox_max = limits->inbox_max,
		.retention_ms = limits->retention_ms,
		.max_members = limits->max_members,
		.max_conversations = limits->max_conversations,
		.search = limits->search,
		.ending_step = choose_ending_step(rng),
	};
}

static enum tl_durability choose_durability(const struct setup *setup, struct rng *rng)
{
	if (setup->power)
		return setup->strict ? TL_DURABILITY_STRICT : setup->os ? TL_DURABILITY_OS : TL_DURABILITY_GROUP;
	return (enum tl_durability)below(rng, 3);
}

/* Where segments of the queue are lost under `group`, a part is missing of what is left, which the model cannot follow. */
static uint64_t choose_segment(const struct setup *setup, struct rng *rng)
{
	bool small = setup->power && setup->strict && chance(rng, 80);
	return small ? 2000 + below(rng, 30000) : 0;
}

struct tl_store_options setup_options(const struct setup *setup, struct rng *rng, const char *dir,
                                      struct tl_store_events events)
{
	static const uint64_t few[] = {1, 3, 5, 7, 1000};
	return (struct tl_store_options){
		.dir = dir,
		.durability = choose_durability(setup, rng),
		.queue_max_bytes = 1 << 30,
		.queue_segment_bytes = choose_segment(setup, rng),
		.block_cache_bytes = 1 << 20,
		.write_buffer_bytes = chance(rng, 50) ? 64 << 10 : setup->power ? 256 << 10 : 4 << 20,
		.cached_users = few[below(rng, 5)],
		.cached_conversations = few[below(rng, 5)],
		.limits = store_limits(&setup->limits, rng),
		.now = setup->now,
		.boot_id = setup->boot_id,
		.events = events,
	};
}
