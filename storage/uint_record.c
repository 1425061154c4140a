#include "uint_record.h"

#include "msgpack_reader.h"
#include "records.h"

#include <stdlib.h>

enum tl_err tl_uint_record_get(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_partition partition,
                               struct tl_slice key, uint64_t *value_out)
{
	char *bytes;
	size_t len;
	enum tl_err err = tl_engine_get(engine, snapshot, partition, key, &bytes, &len);
	if (err != TL_OK)
		return err;
	struct tl_reader reader = tl_reader(tl_slice(bytes, len));
	bool ok = tl_reader_uint(&reader, value_out);
	free(bytes);
	return ok ? TL_OK : TL_CORRUPT;
}

void tl_uint_record_put(struct tl_batch *batch, struct tl_partition partition, struct tl_slice key, uint64_t value)
{
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_pack_uint(&pack, value);
	tl_batch_put_pack(batch, partition, key, &pack);
	tl_pack_fini(&pack);
}
