#include "trouble.h"

#include "engine.h"
#include "wrapped.h"

#include <pthread.h>
#include <string.h>

enum {
	COMMITS = 100,      /* at most until one fails … */
	GROUP_COMMITS = 6,  /* … and in a group */
	GETS = 5000,        /* likewise of reads */
	GROUP_GETS = 40,
	GROUP_PERCENT = 30, /* of groups that have trouble */
};

/* The writer thread's, while a store is open. */
static struct {
	struct rng rng;
	unsigned left;                    /* to come */
	unsigned until_commit, until_get; /* how many calls until one fails; 0: none does */
} trouble;

WRAPPED(tl_engine_commit);
WRAPPED(tl_engine_get);
WRAPPED(tl_engine_freeze);

static void choose_next(unsigned commits, unsigned gets)
{
	bool get = trouble.left > 0 && chance(&trouble.rng, 50);
	trouble.until_get = get ? 1 + below(&trouble.rng, gets) : 0;
	trouble.until_commit = trouble.left > 0 && !get ? 1 + below(&trouble.rng, commits) : 0;
}

void trouble_begin(struct rng *rng, unsigned count)
{
	trouble.rng = (struct rng){rng_next(rng)};
	trouble.left = count;
	choose_next(COMMITS, GETS);
}

static bool is_writer(void)
{
	static _Thread_local enum { UNKNOWN, WRITER, OTHER } who;
	char name[16];
	if (who == UNKNOWN)
		who = pthread_getname_np(pthread_self(), name, sizeof name) == 0 && !strcmp(name, "timeline write") ? WRITER : OTHER;
	return who == WRITER;
}

static bool fails(unsigned *until)
{
	if (!is_writer() || *until == 0 || --*until > 0)
		return false;
	trouble.left--;
	choose_next(COMMITS, GETS);
	return true;
}

enum tl_err __wrap_tl_engine_commit(struct tl_engine *engine, struct tl_batch *batch, bool sync, struct tl_why *why)
{
	if (!fails(&trouble.until_commit))
		return __real_tl_engine_commit(engine, batch, sync, why);
	enum tl_err err = chance(&trouble.rng, 50) ? __real_tl_engine_commit(engine, batch, sync, NULL) : TL_OK;
	return tl_fail(why, TL_IO, "injected%s", err == TL_OK ? "" : ", and a real one");
}

enum tl_err __wrap_tl_engine_get(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                 struct tl_partition partition, struct tl_slice key, char **value_out, size_t *len_out)
{
	return fails(&trouble.until_get) ? TL_IO
	                                 : __real_tl_engine_get(engine, snapshot, partition, key, value_out, len_out);
}

enum tl_err __wrap_tl_engine_freeze(struct tl_engine *engine)
{
	enum tl_err err = __real_tl_engine_freeze(engine);
	if (err == TL_OK && chance(&trouble.rng, GROUP_PERCENT))
		choose_next(GROUP_COMMITS, GROUP_GETS);
	return err;
}
