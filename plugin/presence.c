#include "presence.h"

#include <stdatomic.h>
#include <stdlib.h>

struct tl_presence {
	_Atomic unsigned holders;
	_Atomic bool ended;
};

struct tl_presence *tl_presence_new(void)
{
	struct tl_presence *presence = malloc(sizeof *presence);
	if (!presence)
		return NULL;
	atomic_init(&presence->holders, 1);
	atomic_init(&presence->ended, false);
	return presence;
}

struct tl_presence *tl_presence_hold(struct tl_presence *presence)
{
	atomic_fetch_add_explicit(&presence->holders, 1, memory_order_relaxed);
	return presence;
}

void tl_presence_end(struct tl_presence *presence)
{
	atomic_store_explicit(&presence->ended, true, memory_order_relaxed);
}

bool tl_presence_has_ended(const struct tl_presence *presence)
{
	return atomic_load_explicit(&presence->ended, memory_order_relaxed);
}

void tl_presence_release(struct tl_presence *presence)
{
	if (presence && atomic_fetch_sub(&presence->holders, 1) == 1)
		free(presence);
}
