#include "session.h"

#include "id.h"

#include <stdlib.h>

enum { HOLDERS_MAX = 100000 }; /* client ids whose last holder is remembered */

void tl_sessions_init(struct tl_sessions *sessions, bool anonymous_client_id)
{
	*sessions = (struct tl_sessions){.anonymous_client_id = anonymous_client_id};
}

bool tl_sessions_identify(const struct tl_sessions *sessions, const struct mosquitto *client, struct tl_slice *user_out,
                          struct tl_slice *device_out)
{
	const char *device = mosquitto_client_id(client);
	const char *user = mosquitto_client_username(client);
	if (!user && sessions->anonymous_client_id)
		user = device;
	if (!user || !device)
		return false;
	*user_out = tl_slice_str(user);
	*device_out = tl_slice_str(device);
	return tl_uid_valid(*user_out) && tl_id_valid(*device_out, TL_ID_MAX);
}

static struct tl_session *session_new(const struct mosquitto *client, struct tl_slice user, struct tl_slice device)
{
	struct tl_session *session = calloc(1, sizeof *session + user.len + device.len + 2);
	if (!session)
		return NULL;
	session->presence = tl_presence_new();
	if (!session->presence) {
		free(session);
		return NULL;
	}
	session->client = client;
	memcpy(session->ids, user.ptr, user.len);
	memcpy(session->ids + user.len + 1, device.ptr, device.len);
	session->user = tl_slice(session->ids, user.len);
	session->device = tl_slice(session->ids + user.len + 1, device.len);
	return session;
}

static struct tl_session *holder_of(const struct tl_sessions *sessions, struct tl_slice device)
{
	struct tl_session *session;
	HASH_FIND(by_device, sessions->by_device, device.ptr, device.len, session);
	return session;
}

static void hold_device(struct tl_sessions *sessions, struct tl_session *session)
{
	HASH_ADD_KEYPTR(by_device, sessions->by_device, session->device.ptr, session->device.len, session);
	session->holds_device = true;
}

static void release_device(struct tl_sessions *sessions, struct tl_session *session)
{
	if (!session || !session->holds_device)
		return;
	HASH_DELETE(by_device, sessions->by_device, session);
	session->holds_device = false;
}

struct tl_session *tl_sessions_find(struct tl_sessions *sessions, const struct mosquitto *client)
{
	struct tl_session *session = sessions->last;
	if (!session || session->client != client)
		HASH_FIND(by_client, sessions->by_client, &client, sizeof client, session);
	sessions->last = session;
	return session;
}

bool tl_session_is_current(const struct tl_sessions *sessions, const struct tl_session *session)
{
	const char *user = mosquitto_client_username(session->client);
	const char *device = mosquitto_client_id(session->client);
	if (!user && sessions->anonymous_client_id)
		user = device;
	return user && device && strcmp(user, session->user.ptr) == 0 && strcmp(device, session->device.ptr) == 0;
}

struct tl_session *tl_sessions_begin(struct tl_sessions *sessions, const struct mosquitto *client)
{
	struct tl_session *session;
	struct tl_slice user, device;
	if (!tl_sessions_identify(sessions, client, &user, &device))
		return NULL;
	session = session_new(client, user, device);
	if (!session)
		return NULL;
	HASH_ADD(by_client, sessions->by_client, client, sizeof session->client, session);
	release_device(sessions, holder_of(sessions, session->device));
	hold_device(sessions, session);
	sessions->last = session;
	return session;
}

struct tl_session *tl_sessions_find_device(struct tl_sessions *sessions, struct tl_slice user, struct tl_slice device)
{
	struct tl_session *session = holder_of(sessions, device);
	return session && tl_slice_equal(session->user, user) ? session : NULL;
}

/* --- who held a client id --- */

struct tl_holder {
	UT_hash_handle hh;
	size_t device_len, user_len;
	char ids[]; /* device, user */
};

static struct tl_holder *find_holder(const struct tl_sessions *sessions, struct tl_slice device)
{
	struct tl_holder *holder;
	HASH_FIND(hh, sessions->holders, device.ptr, device.len, holder);
	return holder;
}

static void forget_holder(struct tl_sessions *sessions, struct tl_holder *holder)
{
	if (!holder)
		return;
	HASH_DEL(sessions->holders, holder);
	free(holder);
}

static void remember_holder(struct tl_sessions *sessions, const struct tl_session *session)
{
	struct tl_slice device = session->device, user = session->user;
	forget_holder(sessions, find_holder(sessions, device));
	if (HASH_COUNT(sessions->holders) >= HOLDERS_MAX)
		forget_holder(sessions, sessions->holders);
	struct tl_holder *holder = calloc(1, sizeof *holder + device.len + user.len);
	if (!holder)
		return;
	holder->device_len = device.len;
	holder->user_len = user.len;
	memcpy(holder->ids, device.ptr, device.len);
	memcpy(holder->ids + device.len, user.ptr, user.len);
	HASH_ADD_KEYPTR(hh, sessions->holders, holder->ids, holder->device_len, holder);
}

bool tl_sessions_was_held(const struct tl_sessions *sessions, const struct mosquitto *client)
{
	struct tl_slice user, device;
	if (!tl_sessions_identify(sessions, client, &user, &device))
		return false;
	const struct tl_holder *holder = find_holder(sessions, device);
	return holder && tl_slice_equal(tl_slice(holder->ids + holder->device_len, holder->user_len), user);
}

void tl_sessions_end(struct tl_sessions *sessions, struct tl_session *session)
{
	remember_holder(sessions, session);
	release_device(sessions, session);
	HASH_DELETE(by_client, sessions->by_client, session);
	if (sessions->last == session)
		sessions->last = NULL;
	tl_presence_end(session->presence);
	tl_presence_release(session->presence);
	free(session);
}

void tl_sessions_fini(struct tl_sessions *sessions)
{
	while (sessions->by_client)
		tl_sessions_end(sessions, sessions->by_client);
	while (sessions->holders)
		forget_holder(sessions, sessions->holders);
}
