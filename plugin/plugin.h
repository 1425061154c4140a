/* What the plugin consists of: the one context that the broker hands back to every callback, and what the parts of the
 * plugin do with it. Broker thread only, unless said otherwise. */
#ifndef TL_PLUGIN_H
#define TL_PLUGIN_H

#include "arena.h"
#include "broker.h"
#include "clock.h"
#include "codec.h"
#include "live.h"
#include "log.h"
#include "notify.h"
#include "options.h"
#include "outbox.h"
#include "rate.h"
#include "reserves.h"
#include "route.h"
#include "session.h"
#include "store.h"
#include "topic.h"
#include "waker.h"
#include "worker_pool.h"

enum { TL_FIGURES_MAX = 24 };

struct tl_plugin {
	mosquitto_plugin_id_t *identifier;
	enum tl_generation generation;
	struct tl_property_reader property;
	struct tl_options options;
	struct tl_slice root;
	struct tl_store *store;
	struct tl_waker *waker;
	struct tl_log_queue log;
	struct tl_outbox outbox;
	struct tl_notify *notify;
	struct tl_live *live;
	struct tl_sessions sessions;
	struct tl_rates *rates;
	struct tl_resident resident;
	struct tl_reserves reserves;
	struct tl_worker_pool *readers;
	struct tl_arena arena;     /* for the callback at hand */
	struct tl_pack pack;       /* scratch for the callback at hand */
	struct tl_pack route_pack; /* likewise, for the route */
	uint64_t ticks;
	struct tl_session *holding;  /* those whose answers have to wait for their turn … */
	size_t held;                 /* … and how many that are */
	struct tl_packet *published; /* at the last tick, kept until the next where the broker has not routed them yet */
	uint64_t figures[TL_FIGURES_MAX]; /* as told last … */
	uint64_t figures_ms;       /* … at this time */
	bool figures_told;
	_Atomic int defer;         /* what leaves an access to others; MOSQ_ERR_SUCCESS: not known yet */
	bool sleeps_after_tick;    /* what a tick publishes goes out one loop later, so that loop must not sleep */
};

/* The session of the connection, begun if need be; NULL where it has none (see session.h). */
struct tl_session *tl_plugin_session(struct tl_plugin *plugin, const struct mosquitto *client);

/* watching.c: the session may have subscribed to notifications in these codecs (bits of enum tl_codec): from now on its user
 * is notified. Those who never subscribe cost neither a look into their inbox nor one at each message to them. */
void tl_watch(struct tl_plugin *plugin, struct tl_session *session, unsigned codecs);

/* Whether the session's user may send or ask once more now: if not, TL_RATE_LIMITED, and `why` (may be NULL) says how much
 * one may. */
TL_MUST_USE enum tl_err tl_plugin_allows(struct tl_plugin *plugin, struct tl_session *session, enum tl_rate_kind kind,
                                         struct tl_why *why);

/* --- access.c: the wall around the root --- */

/* Whether an access (MOSQ_ACL_…) is granted: a Mosquitto return code. `retained`: the message is one. */
int tl_access_check(struct tl_plugin *plugin, const struct mosquitto *client, int access, const char *topic,
                    bool retained);

/* Whether a packet may go out to this connection, for a broker that routes what was published only after others may
 * have taken the client id over (2.1). */
int tl_access_check_out(struct tl_plugin *plugin, const struct mosquitto *client, const char *topic);

/* --- control.c: administration --- */

/* Whether the topic is one of administration's; then *answer_out says whether the access is granted. */
bool tl_control_access(const struct tl_plugin *plugin, const struct mosquitto *client, int access, const char *topic,
                       int *answer_out);

/* False where the broker refuses. */
bool tl_control_register(struct tl_plugin *plugin);
void tl_control_unregister(struct tl_plugin *plugin);

/* --- figures.c --- */

struct tl_figure {
	const char *name; /* a topic under $SYS/broker/timeline/ */
	uint64_t value;
};

/* The figures of now, at most TL_FIGURES_MAX of them. */
size_t tl_figures(const struct tl_plugin *plugin, struct tl_figure *figures_out);

/* Publishes them when it is time. */
void tl_figures_tick(struct tl_plugin *plugin);

/* --- incoming.c: what clients send --- */

/* Takes a PUBLISH under the root: a Mosquitto return code. ACL_DENIED refuses it; any other error closes the
 * connection without an ack, so that the client sends again. */
int tl_incoming(struct tl_plugin *plugin, struct tl_session *session, const struct tl_topic *topic,
                const struct mosquitto_evt_message *event);

struct tl_property {
	struct tl_slice name, value;
};

/* The MQTT 5 properties of a PUBLISH that mean something here. Texts are in the plugin's arena. */
struct tl_properties {
	struct tl_slice id, type, time, order, accept; /* user properties; ptr NULL: absent */
	struct tl_slice content_type;                  /* ptr NULL: absent */
	struct tl_slice response_topic;                /* ptr NULL: absent */
	struct tl_slice correlation;                   /* ptr NULL: absent */
	struct tl_property props[TL_PROPS_MAX];        /* the other user properties, each name once */
	uint32_t props_count;
	uint32_t pair_count;                           /* the other user properties as they were sent … */
	size_t pair_bytes;                             /* … and their names and values */
};

/* properties.c: false if memory is short. */
bool tl_properties_read(struct tl_plugin *plugin, const mosquitto_property *list, struct tl_properties *properties_out);

/* incoming_message.c takes what is for a conversation or a user. */
int tl_incoming_message(struct tl_plugin *plugin, struct tl_session *session, const struct tl_topic *topic,
                        const struct mosquitto_evt_message *event, const struct tl_properties *properties);

/* incoming_request.c takes what is a request. */
int tl_incoming_request(struct tl_plugin *plugin, struct tl_session *session, const struct tl_topic *topic,
                        const struct mosquitto_evt_message *event, const struct tl_properties *properties);

/* Where answers to this PUBLISH go by its properties: false where its Response Topic is not the device's own. The topic
 * stays empty where it has none. */
bool tl_incoming_route(struct tl_plugin *plugin, const struct tl_session *session,
                       const struct mosquitto_evt_message *event, const struct tl_properties *properties,
                       struct tl_route *route_out);

/* Tells a device its current seq on its notification topic of that codec, as soon as a reader has it. */
void tl_tell_latest(struct tl_plugin *plugin, struct tl_session *session, enum tl_codec codec);

/* --- answers.c: what goes back --- */

/* Encodes a response and hands it over to be published. `asked`: what it answers, if that is a request that reads. Any
 * thread. */
void tl_answer_send(struct tl_plugin *plugin, const struct tl_route *route, struct tl_slice user,
                    struct tl_slice device, const struct tl_response *response, const struct tl_asked *asked);

/* Hears of a commit. Writer thread. */
void tl_answer_committed(void *plugin, const struct tl_commit *commit);

/* Publishes what is ready and has its turn (pacing.h): at a tick. True if anything was published. */
bool tl_answer_publish(struct tl_plugin *plugin);

/* A session is about to end. What it has not been sent yet goes to another one of the same user on the same client id, if there is
 * one at the next tick. */
void tl_answer_session_ends(struct tl_plugin *plugin, struct tl_session *session);

#endif
