/* The child's side: a store, the model that it is compared with, and what has been told and seen so far.
 *
 *   (O2) A child applies an operation to its copy of the model, then submits it, then says so. One operation at most is
 *        therefore in doubt after a kill; the next child looks whether it is there. */
#ifndef MODEL_CHILD_H
#define MODEL_CHILD_H

#include "answer.h"
#include "setup.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	OPS_MAX = 32768,   /* of a life; no user gets more entries than that */
	WATCHER = DEVICES, /* the child's own device of any user */
	WISHES_MAX = 4,    /* that wait at a time */
};

/* What a device may know of its checkpoint. */
struct device {
	bool certain; /* what follows is what the server has; else it has that, or anything earlier */
	bool listed;  /* it has sent an `after` that counts */
	uint64_t after, seen;
};

/* What outlives a child. */
struct shared {
	_Atomic uint64_t epoch; /* 0: not known yet */
	_Atomic uint64_t now;   /* ms, the store's clock and that of requests that read: it goes on with child_tick */
	struct device devices[USERS][DEVICES];
	_Atomic uint64_t certain;       /* operations that no loss of power may take back */
	_Atomic uint64_t latest[USERS]; /* ends of inboxes that have been told or seen */
	/* Where entries have been seen: an inbox's places, and the model's lists, counted from 1; 0: not yet. */
	uint64_t floors[USERS]; /* the last ones seen */
	uint32_t entry_at[USERS][OPS_MAX + 1];
	uint32_t place_of[USERS][OPS_MAX + 1];
};

/* A page of an inbox that has to be filled up first. */
struct wish {
	struct tl_pull pull; /* first: found again from it */
	struct child *child;
	struct name user;
	bool waits;
};

/* Which checkpoints have been kept is not known any more. */
void forget_checkpoints(struct shared *shared);

/* What a child says to its parent. */
struct news {
	uint64_t n;         /* an operation has been accepted … */
	bool left;          /* … or, so many were left by a loss of power … */
	bool answer;        /* … or, the question is answered */
	unsigned owner;
	char cid[40];
};

struct child {
	const char *dir;
	const struct setup *setup;
	struct shared *shared;
	struct rng rng; /* for everything but the operations */
	int pipe;
	struct tl_store *store;
	uint64_t accepted; /* operations that may be there after a loss of power; 0: there was none */
	const struct answers *answers;

	pthread_mutex_t lock; /* guards the rest; the writer thread only reads the model */
	struct model *model;
	bool settled; /* the model knows all that the store has accepted */
	uint64_t told_latest[USERS];
	bool held;              /* the writer is to wait */
	pthread_cond_t changed; /* `held`, or that a wish waits */
	struct wish wishes[WISHES_MAX];
};

/* The answers given so far, for a model that is made anew. */
struct answers {
	struct news *list;
	size_t count, room;
};

void answers_add(struct answers *answers, const struct news *news);

/* Those to operations beyond the first `count`. */
void answers_forget(struct answers *answers, uint64_t count);

/* Makes the model anew, of the first `count` operations. */
void answers_replay(const struct answers *answers, struct model *model, uint64_t count);

/* After a loss of power, with the model having what is certain: finds out what else is left, and says so. */
void child_resume(struct child *child);

/* Somebody has seen the end of an inbox, or an operation's effect: they must be there ever after. */
void child_saw_latest(struct child *child, unsigned user, uint64_t latest);
void child_saw(struct child *child, uint64_t n);

void child_init(struct child *child);
void child_fini(struct child *child);

void child_open(struct child *child);
void child_close(struct child *child);

/* Does the operation to come, and answers the question that it may leave. */
void child_submit(struct child *child);

/* Has the writer wait behind the next commit that it tells of. What is submitted meanwhile, and wished for, it finds all at once. */
void child_hold(struct child *child);

/* Wishes for a page of somebody's inbox, which nobody will look at. */
void child_wish(struct child *child);

/* Has the writer go on, and waits for what was wished for. */
void child_let_go(struct child *child);

/* Waits until everything accepted is applied, and makes the model know of it. */
void child_settle(struct child *child);

/* A request that reads, and its answer as a map. `args` are its packed arguments. */
struct reading {
	enum tl_err err;
	struct tl_slice map;
	struct tl_answer answer;
	struct tl_pack pack;
};

/* Lets the clock go on. */
void child_tick(struct child *child);

void child_read(struct child *child, const char *op, unsigned user, unsigned device, struct tl_slice args,
                struct reading *reading);
void reading_fini(struct reading *reading);

/* The end of a user's inbox, from the store. */
uint64_t child_latest(struct child *child, unsigned user);

/* The end that the user has been told of. */
uint64_t child_told(struct child *child, unsigned user);

#endif
