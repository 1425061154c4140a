/* `devices`: the user's devices that have synced, and how far. */
#include "msgpack_reader.h"
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
	size_t begin;   /* offset of the first device */
	uint32_t count; /* devices */
	uint32_t noted; /* of them, those from memory */
};

static void add_noted(void *ctx, struct tl_slice device, const struct tl_device_record *record)
{
	struct list *list = ctx;
	pack_device(list->out, device, record);
	list->count++;
}

/* Whether it is one of those from memory. */
static bool is_noted(const struct list *list, struct tl_slice device)
{
	struct tl_slice packed = tl_pack_bytes(list->out), name;
	struct tl_slice listed = tl_slice((const char *)packed.ptr + list->begin, packed.len - list->begin);
	struct tl_reader reader = tl_reader(listed), value;
	for (uint32_t i = 0; i < list->noted && !list->out->failed; i++) {
		struct tl_slice map = tl_slice(reader.next, (size_t)(reader.end - reader.next));
		if (tl_msgpack_find(map, "device", &value) && tl_reader_str(&value, &name) && tl_slice_equal(name, device))
			return true;
		if (!tl_reader_skip(&reader))
			break;
	}
	return false;
}

/* Those in the database, but for the ones of which something newer has been listed. They are read after those in
 * memory, so that one which is written meanwhile is there in one place at least. */
static enum tl_err add_stored(const struct tl_reading *reading, uint64_t user_no, struct list *list)
{
	struct tl_device_record record;
	struct tl_iter *iter;
	enum tl_err err =
		tl_iter_new(reading->database->engine, NULL, tl_partition(TL_PART_DEVICES, user_no), true, &iter);
	if (err != TL_OK)
		return err;
	for (bool there = tl_iter_seek(iter, tl_slice("", 0)); there && err == TL_OK; there = tl_iter_next(iter)) {
		if (is_noted(list, tl_iter_key(iter)))
			continue;
		if (!tl_device_record_unpack(tl_iter_value(iter), &record))
			err = TL_CORRUPT;
		else
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
	list.begin = tl_pack_bytes(&answer->fields).len;
	if (err == TL_OK) {
		tl_checkpoints_each(reading->checkpoints, user_no, add_noted, &list);
		list.noted = list.count;
		err = add_stored(reading, user_no, &list);
	}
	tl_pack_array_end(&answer->fields, devices, list.count);
	return err == TL_NOT_FOUND ? TL_OK : err;
}
