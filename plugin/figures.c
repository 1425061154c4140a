/* Figures about the store: for administrators, and under `$SYS/broker/timeline/` every ten seconds. Broker thread. */
#include "plugin.h"

#include <inttypes.h>
#include <stdio.h>

enum { INTERVAL_MS = 10000 };

size_t tl_figures(const struct tl_plugin *plugin, struct tl_figure *figures_out)
{
	const struct tl_store_stats stats = tl_store_stats(plugin->store);
	uint64_t now = tl_now_ms(), oldest = stats.index.oldest_ts;
	const struct tl_figure figures[] = {
		{"messages", stats.writer.messages},
		{"inbox/entries", stats.writer.inbox_entries},
		{"records", stats.writer.records},
		{"batches", stats.writer.batches},
		{"failures", stats.writer.failures},
		{"unreadable", stats.unreadable},
		{"queue/bytes", stats.queue_bytes},
		{"index/entries", stats.index.entries},
		{"index/segments", stats.index.segments},
		{"index/merges", stats.index.merges},
		{"index/bytes", stats.index.bytes},
		{"index/failures", stats.index.failures},
		{"index/damaged", stats.index.damaged},
		{"index/lag/messages", stats.index.lag_messages},
		{"index/lag/ms", oldest > 0 && oldest < now ? now - oldest : 0},
		{"expired/entries", stats.upkeep.entries},
		{"expired/messages", stats.upkeep.messages},
		{"expired/devices", stats.upkeep.devices},
		{"expired/lag/ms", stats.upkeep.behind_ms},
	};
	enum { COUNT = sizeof figures / sizeof figures[0] };
	_Static_assert((int)COUNT <= (int)TL_FIGURES_MAX, "TL_FIGURES_MAX is too small");
	memcpy(figures_out, figures, sizeof figures);
	return COUNT;
}

/* Like the broker's own: retained, and only what has changed. */
static void publish(struct tl_plugin *plugin, size_t i, const struct tl_figure *figure)
{
	char topic[80], text[24];
	if (plugin->figures_told && plugin->figures[i] == figure->value)
		return;
	snprintf(topic, sizeof topic, "$SYS/broker/timeline/%s", figure->name);
	int len = snprintf(text, sizeof text, "%" PRIu64, figure->value);
	const struct tl_packet_address address = {.topic = topic, .retain = true};
	if (tl_broker_publish(&address, tl_slice(text, (size_t)len)))
		plugin->figures[i] = figure->value;
}

void tl_figures_tick(struct tl_plugin *plugin)
{
	struct tl_figure figures[TL_FIGURES_MAX];
	uint64_t now = tl_now_ms();
	if (plugin->figures_told && now >= plugin->figures_ms && now - plugin->figures_ms < INTERVAL_MS)
		return;
	plugin->figures_ms = now;
	size_t count = tl_figures(plugin, figures);
	for (size_t i = 0; i < count; i++)
		publish(plugin, i, &figures[i]);
	plugin->figures_told = true;
}
