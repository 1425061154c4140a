#include "conversation_parts.h"
#include "msgpack_reader.h"

#include <stdlib.h>

enum tl_err tl_conversation_name(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_slice cid,
                                 struct tl_conversation_name *name_out)
{
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(engine, snapshot, tl_partition(TL_PART_CONVERSATION_NAMES, 0), cid, &value, &len);
	if (err != TL_OK)
		return err;
	bool ok = tl_conversation_name_unpack(tl_slice(value, len), name_out);
	free(value);
	return ok ? TL_OK : TL_CORRUPT;
}

enum tl_err tl_conversation_no(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_slice cid,
                               uint64_t *no_out)
{
	struct tl_conversation_name name;
	enum tl_err err = tl_conversation_name(engine, snapshot, cid, &name);
	if (err == TL_OK)
		*no_out = name.no;
	return err;
}

enum tl_err tl_conversation_read(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t no,
                                 struct tl_conversation_record *record_out, char **bytes_out)
{
	char *value;
	size_t len;
	enum tl_err err =
		tl_engine_get(engine, snapshot, tl_partition(TL_PART_CONVERSATION, no), tl_own_record, &value, &len);
	if (err != TL_OK)
		return err;
	if (!tl_conversation_record_unpack(tl_slice(value, len), record_out)) {
		free(value);
		return TL_CORRUPT;
	}
	*bytes_out = value;
	return TL_OK;
}

enum tl_err tl_member_read(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t no, uint64_t user_no,
                           struct tl_member_record *record_out)
{
	struct tl_member_key key;
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(engine, snapshot, tl_partition(TL_PART_MEMBERS, no), tl_member_key(&key, user_no),
	                                &value, &len);
	if (err != TL_OK)
		return err;
	bool ok = tl_member_record_unpack(tl_slice(value, len), record_out);
	free(value);
	return ok ? TL_OK : TL_CORRUPT;
}

enum tl_err tl_former_read(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t no, uint64_t user_no,
                           struct tl_former_record *record_out)
{
	struct tl_member_key key;
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(engine, snapshot, tl_partition(TL_PART_FORMER, no), tl_member_key(&key, user_no),
	                                &value, &len);
	if (err != TL_OK)
		return err;
	bool ok = tl_former_record_unpack(tl_slice(value, len), record_out);
	free(value);
	return ok ? TL_OK : TL_CORRUPT;
}
