#include "rate.h"

#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

#define SECOND UINT64_C(1000000000)

enum {
	IDLE_MAX = 100000, /* allowances kept of users without a connection */
	SWEPT = 2,         /* of these looked at for each one that is added */
};

struct tl_allowance {
	uint64_t full_at[TL_RATE_KINDS]; /* ns */
	unsigned connections;            /* 0: in the list of those without one */
	struct tl_allowance *prev, *next;
	UT_hash_handle hh;
	size_t uid_len;
	char uid[];
};

struct tl_rates {
	struct tl_rate limits[TL_RATE_KINDS];
	struct tl_allowance *users;
	struct tl_allowance *idle; /* oldest first */
	size_t idle_count;
};

bool tl_rate_take(const struct tl_rate *limit, uint64_t *full_at, uint64_t now)
{
	if (limit->per_second == 0)
		return true;
	uint64_t cost = SECOND / limit->per_second;
	uint64_t then = (*full_at > now ? *full_at : now) + cost;
	if (then - now > limit->burst * cost)
		return false;
	*full_at = then;
	return true;
}

void tl_rate_give_back(const struct tl_rate *limit, uint64_t *full_at)
{
	uint64_t cost = limit->per_second > 0 ? SECOND / limit->per_second : 0;
	*full_at -= cost < *full_at ? cost : *full_at;
}

enum tl_err tl_rates_new(const struct tl_rate *limits, struct tl_rates **rates_out)
{
	struct tl_rates *rates = calloc(1, sizeof *rates);
	if (!rates)
		return TL_NO_MEMORY;
	memcpy(rates->limits, limits, sizeof rates->limits);
	*rates_out = rates;
	return TL_OK;
}

static void forget(struct tl_rates *rates, struct tl_allowance *allowance)
{
	HASH_DEL(rates->users, allowance);
	free(allowance);
}

void tl_rates_free(struct tl_rates *rates)
{
	if (!rates)
		return;
	while (rates->users)
		forget(rates, rates->users);
	free(rates);
}

static struct tl_allowance *allowance_new(struct tl_rates *rates, struct tl_slice user)
{
	struct tl_allowance *allowance = calloc(1, sizeof *allowance + user.len);
	if (!allowance)
		return NULL;
	allowance->uid_len = user.len;
	memcpy(allowance->uid, user.ptr, user.len);
	HASH_ADD_KEYPTR(hh, rates->users, allowance->uid, allowance->uid_len, allowance);
	return allowance;
}

static void end_idling(struct tl_rates *rates, struct tl_allowance *allowance)
{
	DL_DELETE(rates->idle, allowance);
	rates->idle_count--;
}

struct tl_allowance *tl_rates_enter(struct tl_rates *rates, struct tl_slice user)
{
	struct tl_allowance *allowance;
	if (rates->limits[TL_RATE_MESSAGES].per_second == 0 && rates->limits[TL_RATE_REQUESTS].per_second == 0)
		return NULL;
	HASH_FIND(hh, rates->users, user.ptr, user.len, allowance);
	if (!allowance)
		allowance = allowance_new(rates, user);
	else if (allowance->connections == 0)
		end_idling(rates, allowance);
	if (allowance)
		allowance->connections++;
	return allowance;
}

static bool is_full(const struct tl_allowance *allowance, uint64_t now)
{
	for (int i = 0; i < TL_RATE_KINDS; i++)
		if (allowance->full_at[i] > now)
			return false;
	return true;
}

/* Forgets a few of those that are full, and the oldest where there are too many. */
static void sweep(struct tl_rates *rates, uint64_t now)
{
	for (int i = 0; i < SWEPT && rates->idle; i++) {
		struct tl_allowance *oldest = rates->idle;
		if (!is_full(oldest, now) && rates->idle_count <= IDLE_MAX)
			return;
		end_idling(rates, oldest);
		forget(rates, oldest);
	}
}

void tl_rates_leave(struct tl_rates *rates, struct tl_allowance *allowance, uint64_t now)
{
	if (!allowance || --allowance->connections > 0)
		return;
	DL_APPEND(rates->idle, allowance);
	rates->idle_count++;
	sweep(rates, now);
}

bool tl_rates_take(const struct tl_rates *rates, struct tl_allowance *allowance, enum tl_rate_kind kind, uint64_t now)
{
	return !allowance || tl_rate_take(&rates->limits[kind], &allowance->full_at[kind], now);
}
