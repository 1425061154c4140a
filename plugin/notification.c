#include "notification.h"

#include "json.h"
#include "message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void tl_fragment_release(struct tl_fragment *fragment)
{
	if (!fragment || --fragment->references > 0)
		return;
	msgpack_sbuffer_destroy(&fragment->packed);
	msgpack_sbuffer_destroy(&fragment->text);
	free(fragment);
}

static bool fragment_pack(struct tl_fragment *fragment, const struct tl_delivery *delivery)
{
	struct tl_pack pack;
	tl_pack_init(&pack);
	bool ok = tl_message_show(&pack, 0, delivery->cid, delivery->cseq, delivery->message) && !pack.failed;
	fragment->packed = pack.buffer;
	if (!ok)
		return false;
	/* The head of such a small map is one byte, or three from sixteen pairs on. */
	const unsigned char *head = (const unsigned char *)pack.buffer.data;
	size_t head_len = (head[0] & 0xf0) == 0x80 ? 1 : 3;
	fragment->pairs = head_len == 1 ? head[0] & 0x0fU : (uint32_t)(head[1] << 8 | head[2]);
	fragment->msgpack = tl_slice(head + head_len, pack.buffer.size - head_len);
	return true;
}

struct tl_fragment *tl_fragment_new(const struct tl_delivery *delivery)
{
	struct tl_fragment *fragment = calloc(1, sizeof *fragment);
	if (!fragment)
		return NULL;
	fragment->references = 1;
	msgpack_sbuffer_init(&fragment->text);
	if (!fragment_pack(fragment, delivery)) {
		tl_fragment_release(fragment);
		return NULL;
	}
	return fragment;
}

bool tl_fragment_make_json(struct tl_fragment *fragment)
{
	if (fragment->json.len > 0)
		return true;
	if (tl_json_from_msgpack(tl_slice(fragment->packed.data, fragment->packed.size), &fragment->text) != TL_OK)
		return false;
	fragment->json = tl_slice(fragment->text.data, fragment->text.size);
	return true;
}

static void write_msgpack(const char *epoch, const struct tl_due_message *due, size_t count, uint64_t seq,
                          struct tl_pack *pack)
{
	tl_pack_map(pack, count ? 3 : 2);
	tl_pack_cstr(pack, "seq");
	tl_pack_uint(pack, seq);
	tl_pack_cstr(pack, "epoch");
	tl_pack_cstr(pack, epoch);
	if (count == 0)
		return;
	tl_pack_cstr(pack, "messages");
	tl_pack_array(pack, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		tl_pack_map(pack, due[i].fragment->pairs + 1);
		tl_pack_cstr(pack, "seq");
		tl_pack_uint(pack, due[i].seq);
		tl_pack_raw(pack, due[i].fragment->msgpack);
	}
}

/* The fragments are objects already; their seq is put in front of what they hold. */
static void write_json(const char *epoch, const struct tl_due_message *due, size_t count, uint64_t seq,
                       struct tl_pack *pack)
{
	char text[96];
	int len = snprintf(text, sizeof text, "{\"seq\":%" PRIu64 ",\"epoch\":\"%s\"%s", seq, epoch,
	                   count ? ",\"messages\":[" : "}");
	tl_pack_raw(pack, tl_slice(text, (size_t)len));
	for (size_t i = 0; i < count; i++) {
		const struct tl_slice *json = &due[i].fragment->json;
		len = snprintf(text, sizeof text, "%s{\"seq\":%" PRIu64 ",", i ? "," : "", due[i].seq);
		tl_pack_raw(pack, tl_slice(text, (size_t)len));
		tl_pack_raw(pack, tl_slice((const char *)json->ptr + 1, json->len - 1));
	}
	if (count)
		tl_pack_raw(pack, tl_slice("]}", 2));
}

void tl_notification_write(enum tl_codec codec, const char *epoch, const struct tl_due_message *due, size_t count,
                           uint64_t seq, struct tl_pack *pack)
{
	if (codec == TL_CODEC_MSGPACK)
		write_msgpack(epoch, due, count, seq, pack);
	else
		write_json(epoch, due, count, seq, pack);
}
