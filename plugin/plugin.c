/* The plugin's entry points and callbacks: the way in from the broker.
 *
 *     mosquitto ── ACL_CHECK ──► access.c            who may read, write, subscribe
 *               ── MESSAGE ────► incoming.c          messages and requests
 *               ── DISCONNECT ─► session.c           who is gone
 *               ── TICK ───────► answers.c           what is ready to be published
 *                                 figures.c           figures about the store
 *               ── CONTROL ────► control.c           administration
 *
 * All of them run on the broker's only thread. */
#include "plugin.h"

#include <inttypes.h>
#include <mosquitto.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))

enum {
	READER_JOBS_MAX = 100000, /* requests waiting for a reader */
};

static void log_event(void *ctx, enum tl_log level, const char *text)
{
	struct tl_plugin *plugin = ctx;
	tl_log(&plugin->log, level, text);
}

/* A connection that resumes a session may have subscribed to anything in an earlier life, unseen by us. If that was before the
 * broker's start, 2.1 has asked us nothing about it where it has us serve listeners (plugin_use) and not all of them at once:
 * then its subscriptions are as new. */
static void resume(struct tl_plugin *plugin, struct tl_session *session)
{
	if (mosquitto_client_clean_session(session->client))
		return;
	tl_watch(plugin, session, TL_CODEC_MSGPACK | TL_CODEC_JSON);
	tl_live_may_listen(plugin->live, &session->live, session->user, tl_slice("", 0));
	if (plugin->generation == TL_MOSQUITTO_2_1 && !tl_sessions_was_held(&plugin->sessions, session->client))
		tl_live_subscribed(plugin->live, tl_slice("", 0));
}

static void end_session(struct tl_plugin *plugin, struct tl_session *session)
{
	if (session->watching)
		tl_notify_unwatch(plugin->notify, session->user);
	tl_answer_session_ends(plugin, session);
	tl_live_ended(plugin->live, session->live);
	tl_rates_leave(plugin->rates, session->allowance, tl_monotonic_ns());
	tl_sessions_end(&plugin->sessions, session);
}

struct tl_session *tl_plugin_session(struct tl_plugin *plugin, const struct mosquitto *client)
{
	struct tl_session *session = tl_sessions_find(&plugin->sessions, client);
	if (session && tl_session_is_current(&plugin->sessions, session))
		return session;
	if (session)
		end_session(plugin, session);
	session = tl_sessions_begin(&plugin->sessions, client);
	if (!session)
		return NULL;
	session->since_tick = plugin->ticks;
	session->allowance = tl_rates_enter(plugin->rates, session->user);
	resume(plugin, session);
	return session;
}

enum tl_err tl_plugin_allows(struct tl_plugin *plugin, struct tl_session *session, enum tl_rate_kind kind,
                             struct tl_why *why)
{
	bool messages = kind == TL_RATE_MESSAGES;
	if (!session->allowance || tl_rates_take(plugin->rates, session->allowance, kind, tl_monotonic_ns()))
		return TL_OK;
	return tl_fail(why, TL_RATE_LIMITED, "a user may send %" PRIu64 " %s a second on average: try again later",
	               messages ? plugin->options.message_rate : plugin->options.request_rate,
	               messages ? "messages" : "requests");
}

/* --- callbacks --- */

static int on_acl_check(int event, void *event_data, void *userdata)
{
	const struct mosquitto_evt_acl_check *check = event_data;
	(void)event;
	return tl_access_check(userdata, check->client, check->access, check->topic, check->retain);
}

/* The broker has asked already, unless a bridge sends it. */
static int on_signal(struct tl_plugin *plugin, struct tl_session *session, const struct mosquitto_evt_message *message)
{
	if (tl_plugin_allows(plugin, session, TL_RATE_MESSAGES, NULL) != TL_OK)
		return MOSQ_ERR_ACL_DENIED;
	return tl_access_check(plugin, message->client, MOSQ_ACL_WRITE, message->topic, false);
}

static int on_message(int event, void *event_data, void *userdata)
{
	struct mosquitto_evt_message *message = event_data;
	struct tl_plugin *plugin = userdata;
	struct tl_topic topic = tl_topic_parse(plugin->root, message->topic);
	(void)event;

	if (tl_reserves_is_large(message->payloadlen))
		tl_reserves_large_message(&plugin->reserves, &plugin->resident, tl_now_ms());
	if (topic.kind == TL_TOPIC_OUTSIDE)
		return MOSQ_ERR_SUCCESS;
	tl_waker_is_awake(plugin->waker);
	tl_live_went_on(plugin->live);
	message->retain = false;
	struct tl_session *session = tl_plugin_session(plugin, message->client);
	if (!session)
		return MOSQ_ERR_ACL_DENIED;
	tl_pacing_heard(&session->pacing);
	return topic.kind == TL_TOPIC_SIGNAL ? on_signal(plugin, session, message)
	                                     : tl_incoming(plugin, session, &topic, message);
}

static int on_disconnect(int event, void *event_data, void *userdata)
{
	const struct mosquitto_evt_disconnect *disconnect = event_data;
	struct tl_plugin *plugin = userdata;
	struct tl_session *session = tl_sessions_find(&plugin->sessions, disconnect->client);
	(void)event;

	if (plugin->generation == TL_MOSQUITTO_2_0)
		tl_live_disconnected(plugin->live);
	if (session)
		end_session(plugin, session);
	return MOSQ_ERR_SUCCESS;
}

/* 2.1 only. */
static int on_connect(int event, void *event_data, void *userdata)
{
	const struct tl_evt_connect *connect = event_data;
	(void)event;
	tl_plugin_session(userdata, connect->client);
	return MOSQ_ERR_SUCCESS;
}

/* 2.1 only. */
static int on_message_out(int event, void *event_data, void *userdata)
{
	const struct mosquitto_evt_message *message = event_data;
	struct tl_plugin *plugin = userdata;
	(void)event;

	tl_live_went_on(plugin->live);
	return tl_access_check_out(plugin, message->client, message->topic);
}

static int on_tick(int event, void *event_data, void *userdata)
{
	struct tl_plugin *plugin = userdata;
	struct mosquitto_evt_tick *tick = event_data;
	(void)event;

	/* 2.1 lets the next tick wait for a time of the system's clock, by default for now: once that clock has been set back, until it
	 * has caught up. It shall wait for the beginning of 1970. 2.0 does not look at this. */
	tick->next_s = -tick->now_s;
	plugin->ticks++;
	if (plugin->reserves.raised)
		tl_reserves_tick(&plugin->reserves, &plugin->resident, tl_now_ms());
	tl_store_next_turn(plugin->store);
	tl_figures_tick(plugin);
	if (!tl_waker_ticked(plugin->waker) && !plugin->published)
		return MOSQ_ERR_SUCCESS;
	tl_log_flush(&plugin->log);
	if (tl_answer_publish(plugin) && plugin->sleeps_after_tick)
		tl_waker_cut_sleep(plugin->waker);
	return MOSQ_ERR_SUCCESS;
}

static const struct {
	int event;
	enum tl_generation since; /* older ones do not have the event */
	MOSQ_FUNC_generic_callback callback;
} callbacks[] = {
	{MOSQ_EVT_ACL_CHECK, TL_MOSQUITTO_2_0, on_acl_check},
	{MOSQ_EVT_MESSAGE, TL_MOSQUITTO_2_0, on_message},
	{MOSQ_EVT_DISCONNECT, TL_MOSQUITTO_2_0, on_disconnect},
	{MOSQ_EVT_TICK, TL_MOSQUITTO_2_0, on_tick},
	{TL_EVT_CONNECT, TL_MOSQUITTO_2_1, on_connect},
	{TL_EVT_MESSAGE_OUT, TL_MOSQUITTO_2_1, on_message_out},
	{TL_EVT_CLIENT_OFFLINE, TL_MOSQUITTO_2_1, on_disconnect}, /* of a session that can be resumed, instead of that */
};

/* --- life --- */

static struct tl_store_options store_options(struct tl_plugin *plugin)
{
	const struct tl_options *options = &plugin->options;
	return (struct tl_store_options){
		.dir = options->data_dir,
		.durability = (enum tl_durability)options->durability,
		.queue_max_bytes = options->queue_max,
		.block_cache_bytes = options->block_cache,
		.write_buffer_bytes = options->write_buffer,
		.open_tables = options->open_tables,
		.cached_users = options->cached_users,
		.cached_conversations = options->cached_conversations,
		.limits =
			{
				.server = "mosquitto-timeline " TL_VERSION_STRING,
				.max_body = options->max_body,
				.notify_inline_max = options->notify_inline_max,
				.dedup_window_ms = options->dedup_window,
				.recall_window_ms = options->recall_window,
				.edit_window_ms = options->edit_window,
				.write_fanout_max = options->write_fanout_max,
				.inbox_ttl_ms = options->inbox_ttl,
				.inbox_max = options->inbox_max,
				.retention_ms = options->retention,
				.device_ttl_ms = options->device_ttl,
				.max_members = options->max_members,
				.max_conversations = options->max_conversations,
				.message_rate = options->message_rate,
				.message_burst = options->message_burst,
				.request_rate = options->request_rate,
				.request_burst = options->request_burst,
				.search = options->search,
			},
		.events = {.ctx = plugin, .committed = tl_answer_committed, .log = log_event},
	};
}

static enum tl_err open_rates(struct tl_plugin *plugin)
{
	const struct tl_options *options = &plugin->options;
	const struct tl_rate limits[TL_RATE_KINDS] = {
		[TL_RATE_MESSAGES] = {options->message_rate, options->message_burst},
		[TL_RATE_REQUESTS] = {options->request_rate, options->request_burst},
	};
	return tl_rates_new(limits, &plugin->rates);
}

/* The store comes last, because it may have commits to tell at once; its epoch is known only then. */
static enum tl_err open_parts(struct tl_plugin *plugin, struct tl_why *why)
{
	enum tl_err err = tl_waker_open(&plugin->waker);
	if (err == TL_OK)
		err = tl_log_queue_init(&plugin->log, plugin->waker);
	if (err == TL_OK)
		err = tl_outbox_init(&plugin->outbox, plugin->waker);
	const struct tl_notify_options notify = {
		.root = plugin->options.root, .inline_max = plugin->options.notify_inline_max, .waker = plugin->waker};
	if (err == TL_OK)
		err = tl_notify_new(&notify, &plugin->notify);
	if (err == TL_OK)
		err = tl_live_new(plugin->options.root, plugin->waker, &plugin->live);
	if (err == TL_OK)
		err = open_rates(plugin);
	if (err == TL_OK)
		err = tl_worker_pool_open((unsigned)plugin->options.readers, READER_JOBS_MAX, &plugin->readers);
	if (err != TL_OK)
		return tl_fail(why, err, "cannot start: %s", tl_err_text(err));
	const struct tl_store_options store = store_options(plugin);
	if ((err = tl_store_open(&store, &plugin->store, why)) == TL_OK)
		tl_notify_set_epoch(plugin->notify, tl_store_epoch(plugin->store));
	return err;
}

/* Workers first, so that nobody uses what is closed after them; but until the store is closed it may hand back what one of
 * them has put off. */
static void close_parts(struct tl_plugin *plugin)
{
	if (plugin->outbox.waker)
		tl_outbox_close(&plugin->outbox);
	if (plugin->readers)
		tl_worker_pool_stop(plugin->readers);
	tl_store_close(plugin->store);
	tl_worker_pool_close(plugin->readers);
	while (plugin->sessions.by_client)
		end_session(plugin, plugin->sessions.by_client);
	tl_sessions_fini(&plugin->sessions);
	tl_rates_free(plugin->rates);
	tl_packets_free(plugin->published);
	tl_live_free(plugin->live);
	tl_notify_free(plugin->notify);
	if (plugin->outbox.waker)
		tl_outbox_fini(&plugin->outbox);
	if (plugin->log.waker)
		tl_log_queue_fini(&plugin->log);
	tl_waker_close(plugin->waker);
	tl_arena_fini(&plugin->arena);
	tl_pack_fini(&plugin->pack);
	tl_pack_fini(&plugin->route_pack);
	free(plugin);
}

static enum tl_err check_host(const struct tl_plugin *plugin, struct tl_why *why)
{
	if (!tl_broker_is_per_listener(plugin->generation, plugin->identifier))
		return TL_OK;
	return tl_fail(why, TL_BAD_REQUEST,
	               "per_listener_settings must be false: this Mosquitto does not call a listener's plugin often enough");
}

static enum tl_err register_callbacks(struct tl_plugin *plugin, struct tl_why *why)
{
	for (size_t i = 0; i < sizeof callbacks / sizeof callbacks[0]; i++)
		if (callbacks[i].since <= plugin->generation &&
		    mosquitto_callback_register(plugin->identifier, callbacks[i].event, callbacks[i].callback, NULL, plugin) !=
		    MOSQ_ERR_SUCCESS)
			return tl_fail(why, TL_BAD_REQUEST, "the broker refuses to register event %d", callbacks[i].event);
	if (!tl_control_register(plugin))
		return tl_fail(why, TL_BAD_REQUEST, "the broker refuses to register for $CONTROL/timeline/v1");
	return TL_OK;
}

static enum tl_err start(struct tl_plugin *plugin, const struct mosquitto_opt *options, int option_count,
                         struct tl_why *why)
{
	enum tl_err err = check_host(plugin, why);
	if (err == TL_OK)
		err = tl_broker_property_reader(plugin->generation, &plugin->property, why);
	if (err == TL_OK)
		err = tl_options_parse(options, option_count, &plugin->options, why);
	if (err != TL_OK)
		return err;
	plugin->root = tl_slice_str(plugin->options.root);
	tl_sessions_init(&plugin->sessions, plugin->options.anonymous == TL_ANONYMOUS_CLIENT_ID);
	err = open_parts(plugin, why);
	return err == TL_OK ? register_callbacks(plugin, why) : err;
}

EXPORT int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
	for (int i = 0; i < supported_version_count; i++)
		if (supported_versions[i] == MOSQ_PLUGIN_VERSION)
			return MOSQ_PLUGIN_VERSION;
	return -1;
}

EXPORT int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata, struct mosquitto_opt *options,
                                 int option_count)
{
	struct tl_plugin *plugin = calloc(1, sizeof *plugin);
	struct tl_why why = {""};
	if (!plugin)
		return MOSQ_ERR_NOMEM;
	tl_reserves_init();
	plugin->identifier = identifier;
	plugin->generation = tl_broker_generation();
	plugin->sleeps_after_tick = plugin->generation == TL_MOSQUITTO_2_1;
	tl_pack_init(&plugin->pack);
	tl_pack_init(&plugin->route_pack);
	if (start(plugin, options, option_count, &why) != TL_OK) {
		mosquitto_log_printf(MOSQ_LOG_ERR, "timeline: %s", why.text);
		close_parts(plugin);
		return MOSQ_ERR_INVAL;
	}
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "timeline " TL_VERSION_STRING ": serving %s/# from %s", plugin->options.root,
	                     plugin->options.data_dir);
	*userdata = plugin;
	return MOSQ_ERR_SUCCESS;
}

EXPORT int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
	struct tl_plugin *plugin = userdata;
	(void)options;
	(void)option_count;
	if (!plugin)
		return MOSQ_ERR_SUCCESS;
	tl_control_unregister(plugin);
	for (size_t i = sizeof callbacks / sizeof callbacks[0]; i-- > 0;)
		if (callbacks[i].since <= plugin->generation)
			mosquitto_callback_unregister(plugin->identifier, callbacks[i].event, callbacks[i].callback, NULL);
	close_parts(plugin);
	return MOSQ_ERR_SUCCESS;
}
