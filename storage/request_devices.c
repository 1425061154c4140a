/* `devices`: the user's devices that have synced, and how far, as long as they are remembered. */
#include "expiry.h"
#include "requests.h"

const struct tl_param tl_devices_params[] = {{.key = NULL}};

static void pack_device(struct tl_pack *out, struct tl_slice device, const struct tl_device_record *record)
{
	tl_pack_map(out, 3);
	tl_pack_cstr(out, "device");
	tl_pack_str(out, device);
	tl_pack_cstr(out, "checkpoint");
	tl_pack_uint(out, record->checkpoint);
	tl_pack_cstr(out, "seen");
	tl_pack_uint(out, record->seen);
}

struct list {
	struct tl_pack *out;
	uint32_t count;
};

static void add_noted(void *ctx, struct tl_slice device, const struct tl_device_record *record)
{
	struct list *list = ctx;
	pack_device(list->out, device, record);
	list->count++;
}

/* Those in the database, but for the ones of which something newer has been noted, or nothing for too long. */
static enum tl_err add_stored(const struct tl_reading *reading, const struct tl_call *call, uint64_t user_no,
                              struct list *list)
{
	struct tl_device_record record;
	struct tl_iter *iter;
	enum tl_err err =
		tl_iter_new(reading->database->engine, NULL, tl_partition(TL_PART_DEVICES, user_no), true, &iter);
	if (err != TL_OK)
		return err;
	for (bool there = tl_iter_seek(iter, tl_slice("", 0)); there && err == TL_OK; there = tl_iter_next(iter)) {
		if (tl_checkpoints_noted(reading->checkpoints, user_no, tl_iter_key(iter)))
			continue;
		if (!tl_device_record_unpack(tl_iter_value(iter), &record))
			err = TL_CORRUPT;
		else if (!tl_expired(record.seen, reading->limits->device_ttl_ms, call->now))
			add_noted(list, tl_iter_key(iter), &record);
	}
	if (err == TL_OK)
		err = tl_iter_error(iter);
	tl_iter_free(iter);
	return err;
}

enum tl_err tl_devices(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer)
{
	struct list list = {.out = &answer->fields};
	uint64_t user_no;
	tl_pack_cstr(&answer->fields, "devices");
	answer->field_count++;
	struct tl_pack_open devices = tl_pack_array_begin(&answer->fields);
	enum tl_err err = tl_user_no(reading->database->engine, NULL, call->user, &user_no);
	if (err == TL_OK) {
		tl_checkpoints_each(reading->checkpoints, user_no, add_noted, &list);
		err = add_stored(reading, call, user_no, &list);
	}
	tl_pack_array_end(&answer->fields, devices, list.count);
	return err == TL_NOT_FOUND ? TL_OK : err;
}
