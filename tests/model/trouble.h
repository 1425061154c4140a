/* An engine that fails: commits and reads of the writer's thread, now and then. Calls of the engine's functions come here (--wrap).
 *
 *     tl_engine_commit ──► as it is | fails, nothing applied | fails, all applied
 *     tl_engine_get ─────► as it is | fails
 *
 * What a client notices is that it takes longer; and that a page of an inbox may be refused (`storage`). */
#ifndef MODEL_TROUBLE_H
#define MODEL_TROUBLE_H

#include "rng.h"

/* From now on so many of them fail, most of them in groups of batches. While no store is open. */
void trouble_begin(struct rng *rng, unsigned count);

#endif
