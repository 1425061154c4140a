/* How the store is set up: the one place that knows its options. */
#ifndef MODEL_SETUP_H
#define MODEL_SETUP_H

#include "model.h"
#include "rng.h"
#include "store.h"

/* Of a life: what clients notice. */
struct setup {
	struct limits limits;
	/* Whether an inbox has its entries in the order of the operations. Where some of them enter it only when the user
	 * syncs, only the order within a conversation is known before. */
	bool exact_order;
	bool trouble; /* the engine fails at times */
	bool power;  /* may be lost … */
	bool strict; /* … under `strict` rather than `group` … */
	bool os;     /* … or under `os`, between a store that was closed and the next one */
	const char *boot_id; /* see struct tl_store_options */
	uint64_t (*now)(void); /* the store's clock, in ms; any thread */
};

struct setup setup_choose(struct rng *rng, bool power);

/* The options for one opening of the store; those that clients do not notice are chosen anew. */
struct tl_store_options setup_options(const struct setup *setup, struct rng *rng, const char *dir,
                                      struct tl_store_events events);

#endif
