/* Who is connected: for each connection that has made itself known, the user and device that it stands for.
 *
 * Mosquitto 2.0 has no event for a connection's beginning, so a session begins with the first thing a connection does
 * that concerns this plugin, and ends with its disconnect event. Broker thread only. */
#ifndef TL_SESSION_H
#define TL_SESSION_H

#include "broker.h"
#include "options.h"
#include "pacing.h"
#include "presence.h"
#include "rate.h"
#include "unread.h"

#include <uthash.h>

struct tl_session {
	const struct mosquitto *client;
	struct tl_slice user;    /* in `ids`, NUL-terminated */
	struct tl_slice device;  /* in `ids`, NUL-terminated */
	bool holds_device;       /* its client id leads to it: it is in by_device */
	bool watching;           /* counts among those who are notified */
	uint32_t requests;       /* that read, being worked on */
	uint32_t changes;        /* requests that change something, being worked on */
	struct tl_unread unread;
	struct tl_pacing pacing;
	struct tl_packet *held, *held_last;    /* packets that have to wait for their turn; answers.c's */
	struct tl_session *holding_prev, *holding_next; /* others that have such */
	struct tl_allowance *allowance; /* the user's; rate.h's */
	struct tl_presence *presence; /* ended with it; its requests hold it, too */
	uint64_t since_tick;     /* the plugin's tick after which it began */
	struct tl_interest *live; /* what it may be listening to; live.h's */
	UT_hash_handle by_client;
	UT_hash_handle by_device;
	char ids[];
};

struct tl_sessions {
	struct tl_session *by_client;
	struct tl_session *by_device; /* of several with one id, during a take-over, the newest */
	struct tl_holder *holders;    /* who held which client id last, oldest first */
	struct tl_session *last;      /* the one found last, for the many messages of one sender */
	bool anonymous_client_id;     /* without a username, the client id is the user */
};

void tl_sessions_init(struct tl_sessions *sessions, bool anonymous_client_id);

/* The user and device that a connection stands for, borrowed from it; false where it has no valid ids. */
bool tl_sessions_identify(const struct tl_sessions *sessions, const struct mosquitto *client, struct tl_slice *user_out,
                          struct tl_slice *device_out);

/* The session of a connection, or NULL. */
struct tl_session *tl_sessions_find(struct tl_sessions *sessions, const struct mosquitto *client);

/* Whether the session still is what its connection says it is: another plugin may have changed the username. */
bool tl_session_is_current(const struct tl_sessions *sessions, const struct tl_session *session);

/* Begins the session of a connection that has none. NULL where it has no valid user or device id, or memory is short:
 * such a connection is refused everything under the root. */
struct tl_session *tl_sessions_begin(struct tl_sessions *sessions, const struct mosquitto *client);

/* The session that holds a client id, if it is this user's, else NULL. */
struct tl_session *tl_sessions_find_device(struct tl_sessions *sessions, struct tl_slice user, struct tl_slice device);

/* Whether the connection's user was the last one to hold its client id, as far as is remembered. */
bool tl_sessions_was_held(const struct tl_sessions *sessions, const struct mosquitto *client);

/* Ends a session. Who held the client id is remembered, because the broker's session may live on. */
void tl_sessions_end(struct tl_sessions *sessions, struct tl_session *session);

void tl_sessions_fini(struct tl_sessions *sessions);

#endif
