#include "audience.h"

#include "id.h"
#include "random_number.h"

#include <stdlib.h>
#include <uthash.h>
#include <xxhash.h>

/* A conversation that some sessions may listen to, or a user some of whose sessions may listen to any. */
struct listened {
	unsigned sessions;
	UT_hash_handle hh;
	size_t id_len;
	char id[];
};

struct tl_interest {
	struct tl_interest *next;
	struct listened *topic; /* NULL: any conversation … */
	struct listened *user;  /* … by whom; NULL: memory was short */
};

enum {
	NAMED_MAX = 100,    /* conversations that one session's interest names */
	PLACES = 32 * 1024, /* for unheard conversations */
	RENEWED_MS = 60 * 60 * 1000,
};

struct tl_audience {
	struct listened *topics;
	struct listened *users; /* who may listen to any conversation */
	unsigned listen_to_all; /* sessions */
	unsigned unknown;       /* of these, the ones whose users are not in `users` */
	uint64_t seed;          /* of the hashes */
	uint64_t renewed_ms;    /* when it was changed because of (A2) */
	uint64_t unheard[PLACES];
};

enum tl_err tl_audience_new(struct tl_audience **audience_out)
{
	struct tl_audience *audience = calloc(1, sizeof *audience);
	if (!audience)
		return TL_NO_MEMORY;
	enum tl_err err = tl_random_number(&audience->seed);
	if (err != TL_OK) {
		free(audience);
		return err;
	}
	*audience_out = audience;
	return TL_OK;
}

static void free_all(struct listened **table)
{
	struct listened *listened, *next;
	HASH_ITER(hh, *table, listened, next)
	{
		HASH_DEL(*table, listened);
		free(listened);
	}
}

void tl_audience_free(struct tl_audience *audience)
{
	if (!audience)
		return;
	free_all(&audience->topics);
	free_all(&audience->users);
	free(audience);
}

/* --- who may be listening --- */

static bool has(const struct tl_interest *interest, struct tl_slice cid)
{
	for (; interest; interest = interest->next)
		if (interest->topic ? tl_slice_equal(tl_slice(interest->topic->id, interest->topic->id_len), cid)
		                    : cid.len == 0)
			return true;
	return false;
}

static unsigned count(const struct tl_interest *interest)
{
	unsigned n = 0;
	for (; interest; interest = interest->next)
		n++;
	return n;
}

static struct listened *find(struct listened *table, struct tl_slice id)
{
	struct listened *listened;
	HASH_FIND(hh, table, id.ptr, id.len, listened);
	return listened;
}

/* One session more; NULL if memory is short. */
static struct listened *enter(struct listened **table, struct tl_slice id)
{
	struct listened *listened = find(*table, id);
	if (!listened) {
		listened = calloc(1, sizeof *listened + id.len);
		if (!listened)
			return NULL;
		listened->id_len = id.len;
		memcpy(listened->id, id.ptr, id.len);
		HASH_ADD_KEYPTR(hh, *table, listened->id, listened->id_len, listened);
	}
	listened->sessions++;
	return listened;
}

/* One session less. */
static void leave(struct listened **table, struct listened *listened)
{
	if (--listened->sessions > 0)
		return;
	HASH_DEL(*table, listened);
	free(listened);
}

static void enter_all(struct tl_audience *audience, struct tl_interest *interest, struct tl_slice user)
{
	interest->user = enter(&audience->users, user);
	audience->unknown += !interest->user;
	audience->listen_to_all++;
}

static void leave_all(struct tl_audience *audience, const struct tl_interest *interest)
{
	audience->listen_to_all--;
	if (interest->user)
		leave(&audience->users, interest->user);
	else
		audience->unknown--;
}

void tl_audience_add(struct tl_audience *audience, struct tl_interest **interest, struct tl_slice user, struct tl_slice cid)
{
	if (has(*interest, cid) || has(*interest, tl_slice("", 0)))
		return;
	if (count(*interest) >= NAMED_MAX)
		cid = tl_slice("", 0); /* whatever it is: that too much is made ready does no harm */
	struct tl_interest *more = calloc(1, sizeof *more);
	if (!more)
		return;
	if (cid.len > 0)
		more->topic = enter(&audience->topics, cid);
	if (!more->topic)
		enter_all(audience, more, user); /* also where memory is short: too much is better than too little */
	more->next = *interest;
	*interest = more;
}

void tl_audience_remove(struct tl_audience *audience, struct tl_interest *interest)
{
	while (interest) {
		struct tl_interest *next = interest->next;
		if (interest->topic)
			leave(&audience->topics, interest->topic);
		else
			leave_all(audience, interest);
		free(interest);
		interest = next;
	}
}

size_t tl_audience_count(const struct tl_audience *audience, struct tl_slice cid)
{
	const struct listened *topic = find(audience->topics, cid);
	return audience->listen_to_all + (topic ? topic->sessions : 0);
}

bool tl_audience_is_there(const struct tl_audience *audience)
{
	return audience->listen_to_all > 0 || audience->topics;
}

/* Who is in a direct chat its id says, so those who listen to any conversation, and are not in it, need nothing made ready. */
static bool may_listen(const struct tl_audience *audience, struct tl_slice cid)
{
	struct tl_slice first, second;
	if (find(audience->topics, cid))
		return true;
	if (audience->listen_to_all == 0 || audience->unknown > 0 || !tl_direct_id_parse(cid, &first, &second))
		return audience->listen_to_all > 0;
	return find(audience->users, first) || find(audience->users, second);
}

bool tl_audience_listens(const struct tl_audience *audience, struct tl_slice cid)
{
	return may_listen(audience, cid) && !tl_audience_is_unheard(audience, cid);
}

/* --- what is unheard --- */

static uint64_t hash_of(const struct tl_audience *audience, struct tl_slice cid)
{
	return XXH3_64bits_withSeed(cid.ptr, cid.len, audience->seed);
}

/* A later one takes the place of an earlier one, which then has to be found unheard once more. */
void tl_audience_note_unheard(struct tl_audience *audience, struct tl_slice cid)
{
	uint64_t hash = hash_of(audience, cid);
	audience->unheard[hash % PLACES] = hash;
}

bool tl_audience_is_unheard(const struct tl_audience *audience, struct tl_slice cid)
{
	uint64_t hash = hash_of(audience, cid);
	return audience->unheard[hash % PLACES] == hash;
}

/* Another seed, as random as the first one: with neighbours, short ids would be found in each other's place. */
static void forget_all(struct tl_audience *audience)
{
	audience->seed = XXH3_64bits(&audience->seed, sizeof audience->seed);
}

void tl_audience_subscribed(struct tl_audience *audience, struct tl_slice cid)
{
	uint64_t hash = hash_of(audience, cid);
	if (cid.len == 0)
		forget_all(audience);
	else if (audience->unheard[hash % PLACES] == hash)
		audience->unheard[hash % PLACES] = 0;
}

void tl_audience_tick(struct tl_audience *audience, uint64_t now_ms)
{
	if (now_ms - audience->renewed_ms < RENEWED_MS)
		return;
	audience->renewed_ms = now_ms;
	forget_all(audience);
}
