/* The simplest of records: a value that is one unsigned number, as msgpack. */
#ifndef TL_UINT_RECORD_H
#define TL_UINT_RECORD_H

#include "engine.h"

/* Reads the number; `snapshot` NULL: of the present state. TL_NOT_FOUND: there is none; TL_CORRUPT: it is no number, or the engine
 * cannot read it; others as tl_engine_get. Any thread. */
TL_MUST_USE enum tl_err tl_uint_record_get(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                           struct tl_partition partition, struct tl_slice key, uint64_t *value_out);

/* Puts it into the batch, which fails where memory is short. The batch's thread. */
void tl_uint_record_put(struct tl_batch *batch, struct tl_partition partition, struct tl_slice key, uint64_t value);

#endif
