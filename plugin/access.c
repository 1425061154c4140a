/* The wall around the root: client → server topics can be written and never read, server → client topics can be read
 * by those whom they concern and never written, whatever the subscription looks like.
 *
 * The check at each delivery, with the topic's real name, is the wall. The check of a subscription gives a clear answer
 * where the filter can never match anything readable, and shows who is online. Writes are checked again when they
 * arrive (incoming.c), because bridges never come here.
 */
#include "plugin.h"

#include "id.h"

#include <mosquitto.h>
#include <stdatomic.h>

static bool is_member(struct tl_plugin *plugin, const struct tl_session *session, struct tl_slice cid)
{
	struct tl_standing standing;
	return tl_store_standing(plugin->store, cid, session->user, &standing) == TL_OK && standing.member;
}

/* Muted members do; someone blocked by the other one of a direct chat does not. */
static bool may_signal(struct tl_plugin *plugin, const struct tl_session *session, struct tl_slice cid)
{
	struct tl_standing standing;
	return tl_store_standing(plugin->store, cid, session->user, &standing) == TL_OK && standing.member &&
	       (standing.may_send == TL_OK || !tl_id_is_direct(cid));
}

static bool may_write(struct tl_plugin *plugin, const struct tl_session *session, const struct tl_topic *topic)
{
	switch (topic->kind) {
	case TL_TOPIC_CONV:
	case TL_TOPIC_USER:
	case TL_TOPIC_REQ:
		return true; /* the message itself is looked at when it arrives */
	case TL_TOPIC_SIGNAL:
		return may_signal(plugin, session, topic->name);
	default:
		return false;
	}
}

static bool may_read(struct tl_plugin *plugin, const struct tl_session *session, const struct tl_topic *topic)
{
	switch (topic->kind) {
	case TL_TOPIC_NOTIFY:
	case TL_TOPIC_NOTIFY_JSON:
		return tl_slice_equal(topic->name, session->user);
	case TL_TOPIC_RES:
		return tl_slice_equal(topic->name, session->device);
	case TL_TOPIC_SIGNAL:
	case TL_TOPIC_LIVE:
		return is_member(plugin, session, topic->name);
	default:
		return false;
	}
}

/* As may_read, of what is being delivered. */
static bool may_receive(struct tl_plugin *plugin, const struct tl_session *session, const struct tl_topic *topic)
{
	struct tl_standing standing;
	if (topic->kind != TL_TOPIC_LIVE)
		return may_read(plugin, session, topic);
	return tl_store_standing(plugin->store, topic->name, session->user, &standing) == TL_OK && standing.member &&
	       tl_live_reaches(plugin->live, topic->name, standing.since);
}

/* Whether a filter that stays under the root can ever match something that this session may read. */
static bool may_subscribe(struct tl_plugin *plugin, const struct tl_session *session, const struct tl_filter *filter)
{
	if (filter->kind == TL_TOPIC_UNKNOWN)
		return strpbrk(filter->plain, "+#") != NULL;
	if (tl_level_is_wildcard(filter->name))
		return filter->kind != TL_TOPIC_CONV && filter->kind != TL_TOPIC_USER && filter->kind != TL_TOPIC_REQ;
	const struct tl_topic topic = {.kind = filter->kind, .name = filter->name};
	return may_read(plugin, session, &topic);
}

/* `session` NULL: the client has no valid user, so nothing is delivered to it; but somebody who has may take over its subscription. */
static void note_live(struct tl_plugin *plugin, struct tl_session *session, const struct tl_filter *filter)
{
	bool named = filter->kind == TL_TOPIC_LIVE && !tl_level_is_wildcard(filter->name);
	struct tl_slice cid = named ? filter->name : tl_slice("", 0);
	if (filter->kind != TL_TOPIC_LIVE && filter->kind != TL_TOPIC_UNKNOWN)
		return;
	tl_live_subscribed(plugin->live, cid);
	if (session)
		tl_live_may_listen(plugin->live, &session->live, session->user, cid);
}

static void note_watching(struct tl_plugin *plugin, struct tl_session *session, const struct tl_filter *filter)
{
	for (unsigned codec = TL_CODEC_MSGPACK; codec <= TL_CODEC_JSON; codec <<= 1) {
		char topic[512];
		bool matches = false;
		tl_notify_topic(plugin->notify, (enum tl_codec)codec, session->user, topic, sizeof topic);
		if (mosquitto_topic_matches_sub(filter->plain, topic, &matches) != MOSQ_ERR_SUCCESS || !matches)
			continue;
		tl_watch(plugin, session, codec);
		tl_tell_latest(plugin, session, (enum tl_codec)codec);
	}
}

/* Found out at the first need, because plugins may be loaded after this one. On the broker's thread, or on that of 2.1's HTTP
 * API, which asks about its paths as if they were topics: both find the same. */
static int defer(struct tl_plugin *plugin)
{
	int answer = atomic_load_explicit(&plugin->defer, memory_order_relaxed);
	if (answer == MOSQ_ERR_SUCCESS) {
		answer = tl_broker_defer(plugin->generation);
		atomic_store_explicit(&plugin->defer, answer, memory_order_relaxed);
	}
	return answer;
}

/* Who administers the broker and its other plugins is never this one's to say. */
static int outside(struct tl_plugin *plugin, const char *topic)
{
	static const char control[] = "$CONTROL/";
	bool open = plugin->options.other_topics == TL_OTHER_ALLOW && strncmp(topic, control, sizeof control - 1) != 0;
	return open ? MOSQ_ERR_SUCCESS : defer(plugin);
}

static int check_subscribe(struct tl_plugin *plugin, const struct mosquitto *client, const char *text)
{
	struct tl_filter filter = tl_filter_parse(plugin->root, text);
	if (filter.reach == TL_FILTER_OUTSIDE)
		return outside(plugin, filter.plain);
	struct tl_session *session = tl_plugin_session(plugin, client);
	if (filter.reach == TL_FILTER_INSIDE && (!session || !may_subscribe(plugin, session, &filter)))
		return MOSQ_ERR_ACL_DENIED;
	note_live(plugin, session, &filter);
	if (session)
		note_watching(plugin, session, &filter);
	return filter.reach == TL_FILTER_INSIDE ? MOSQ_ERR_SUCCESS : outside(plugin, filter.plain);
}

/* A connection that resumes a session has done nothing yet when the broker asks about what waits for it. That is its own only if
 * the same user held the client id before: what another one could read may be from before this one's joining. And asking
 * begins no session, or the next question would not be met by this one. */
static bool may_inherit(struct tl_plugin *plugin, const struct mosquitto *client, const struct tl_topic *topic)
{
	struct tl_session nobody = {.client = client};
	return tl_sessions_identify(&plugin->sessions, client, &nobody.user, &nobody.device) &&
	       tl_sessions_was_held(&plugin->sessions, client) && may_receive(plugin, &nobody, topic);
}

static int check_read(struct tl_plugin *plugin, const struct mosquitto *client, const struct tl_topic *topic,
                      bool retained)
{
	if (topic->kind == TL_TOPIC_LIVE)
		tl_live_asked(plugin->live, topic->name);
	if (retained)
		return MOSQ_ERR_ACL_DENIED;
	if (!tl_sessions_find(&plugin->sessions, client))
		return may_inherit(plugin, client, topic) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
	struct tl_session *session = tl_plugin_session(plugin, client);
	return session && may_receive(plugin, session, topic) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
}

/* 2.1's HTTP API asks about its paths on a thread of its own, and one that does not begin with a slash can look like one of our
 * topics. There is nothing to be had there, and who is connected is the broker's thread's alone to know. */
static bool is_brokers_thread(const struct tl_plugin *plugin)
{
	return pthread_equal(pthread_self(), plugin->log.broker);
}

/* A session begins when what is written arrives; asking begins none. 2.0 asks about a will after its connection's end, and nothing
 * would end the session; 2.1 about what was half sent in a session that is being resumed, before it asks about what waits there
 * (may_inherit). */
static int check_write(struct tl_plugin *plugin, const struct mosquitto *client, const struct tl_topic *topic)
{
	struct tl_session nobody = {.client = client};
	const struct tl_session *session = tl_sessions_find(&plugin->sessions, client);
	if (!session || !tl_session_is_current(&plugin->sessions, session))
		session = &nobody;
	if (session == &nobody && !tl_sessions_identify(&plugin->sessions, client, &nobody.user, &nobody.device))
		return MOSQ_ERR_ACL_DENIED;
	return may_write(plugin, session, topic) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
}

int tl_access_check(struct tl_plugin *plugin, const struct mosquitto *client, int access, const char *topic,
                    bool retained)
{
	int answer;
	if (tl_control_access(plugin, client, access, topic, &answer))
		return answer;
	if (access == MOSQ_ACL_SUBSCRIBE)
		return check_subscribe(plugin, client, topic);
	if (access == MOSQ_ACL_UNSUBSCRIBE)
		return tl_filter_parse(plugin->root, topic).reach == TL_FILTER_INSIDE ? MOSQ_ERR_SUCCESS : outside(plugin, topic);
	struct tl_topic parsed = tl_topic_parse(plugin->root, topic);
	if (parsed.kind == TL_TOPIC_OUTSIDE)
		return outside(plugin, topic);
	if (!is_brokers_thread(plugin))
		return MOSQ_ERR_ACL_DENIED;
	return access == MOSQ_ACL_WRITE ? check_write(plugin, client, &parsed) : check_read(plugin, client, &parsed, retained);
}

int tl_access_check_out(struct tl_plugin *plugin, const struct mosquitto *client, const char *topic)
{
	int answer;
	if (tl_control_access(plugin, client, MOSQ_ACL_READ, topic, &answer))
		return answer;
	struct tl_topic parsed = tl_topic_parse(plugin->root, topic);
	if (parsed.kind != TL_TOPIC_RES)
		return MOSQ_ERR_SUCCESS;
	struct tl_session *session = tl_plugin_session(plugin, client);
	if (session && session->since_tick < plugin->ticks)
		return MOSQ_ERR_SUCCESS; /* it was there when the packet was published */
	for (const struct tl_packet *packet = plugin->published; packet; packet = packet->next)
		if (tl_slice_equal(packet->device, parsed.name) && (!session || !tl_slice_equal(packet->user, session->user)))
			return MOSQ_ERR_ACL_DENIED;
	return MOSQ_ERR_SUCCESS;
}
