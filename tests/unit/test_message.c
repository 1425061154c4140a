/* The message object as it is kept and shown (M1, M2). */
#include "message.h"

#include "msgpack_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct tl_message plain = {
	.ts = 1700000000123, .id = {"m1", 2}, .from = {"alice", 5}, .device = {"phone", 5}, .type = {"text", 4},
	.body_len = 5,
};

static uint64_t get_uint(struct tl_slice map, const char *key)
{
	struct tl_reader reader;
	uint64_t value = 0;
	assert_true(tl_msgpack_find(map, key, &reader) && tl_reader_uint(&reader, &value));
	return value;
}

static bool is(struct tl_slice map, const char *key, const char *text)
{
	struct tl_reader reader;
	struct tl_slice value;
	return tl_msgpack_find(map, key, &reader) && tl_reader_str(&reader, &value) &&
	       tl_slice_equal(value, tl_slice_str(text));
}

static bool has(struct tl_slice map, const char *key)
{
	struct tl_reader reader;
	return tl_msgpack_find(map, key, &reader);
}

static void assert_well_formed(struct tl_slice bytes, uint32_t pairs)
{
	struct tl_why why;
	struct tl_reader reader = tl_reader(bytes);
	uint32_t count;
	assert_int_equal(tl_msgpack_check(bytes, 8, &why), TL_OK);
	assert_true(tl_reader_map(&reader, &count));
	assert_int_equal(count, pairs);
}

static struct tl_slice pack_plain(struct tl_pack *pack)
{
	tl_pack_init(pack);
	tl_message_pack(pack, &plain);
	tl_pack_raw(pack, tl_slice_str("hello")); /* (M2) */
	return tl_pack_bytes(pack);
}

static void test_plain(void **state)
{
	struct tl_pack pack;
	struct tl_reader reader;
	struct tl_slice body = {NULL, 0};
	(void)state;
	struct tl_slice message = pack_plain(&pack);
	assert_well_formed(message, 6);
	assert_int_equal(tl_message_ts(message), 1700000000123);
	assert_true(is(message, "id", "m1") && is(message, "from", "alice") && is(message, "device", "phone"));
	assert_true(is(message, "type", "text"));
	assert_true(tl_msgpack_find(message, "body", &reader) && tl_reader_bin(&reader, &body));
	assert_true(tl_slice_equal(body, tl_slice_str("hello")));
	assert_false(has(message, "time") || has(message, "order") || has(message, "ctype") || has(message, "props"));
	tl_pack_fini(&pack);
}

static void test_everything(void **state)
{
	struct tl_pack pack, props;
	struct tl_message message = plain;
	(void)state;
	tl_pack_init(&props);
	tl_pack_cstr(&props, "colour");
	tl_pack_cstr(&props, "red");
	message.has_time = message.has_order = true;
	message.time = 0;
	message.order = UINT64_MAX;
	message.ctype = tl_slice_str("text/plain");
	message.props = tl_pack_bytes(&props);
	message.props_count = 1;
	message.body_len = 0;
	tl_pack_init(&pack);
	tl_message_pack(&pack, &message);
	struct tl_slice bytes = tl_pack_bytes(&pack);
	assert_well_formed(bytes, 10);
	assert_int_equal(get_uint(bytes, "time"), 0);
	assert_int_equal(get_uint(bytes, "order"), UINT64_MAX);
	assert_true(is(bytes, "ctype", "text/plain") && has(bytes, "props") && has(bytes, "body"));
	tl_pack_fini(&pack);
	tl_pack_fini(&props);
}

static void test_event(void **state)
{
	struct tl_pack pack;
	struct tl_message message = plain;
	(void)state;
	message.event = tl_slice_str("\x81\xa4kind\xa4join");
	tl_pack_init(&pack);
	tl_message_pack(&pack, &message);
	assert_well_formed(tl_pack_bytes(&pack), 6);
	assert_true(has(tl_pack_bytes(&pack), "event") && !has(tl_pack_bytes(&pack), "body"));
	tl_pack_fini(&pack);
}

/* (M1), whatever the value. */
static void test_ts(void **state)
{
	static const uint64_t values[] = {0, 1, 127, 128, 65536, 1700000000124, UINT64_MAX};
	struct tl_pack pack;
	(void)state;
	struct tl_slice message = pack_plain(&pack);
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		assert_true(tl_message_set_ts(pack.buffer.data, message.len, values[i]));
		assert_int_equal(tl_message_ts(message), values[i]);
		assert_int_equal(get_uint(message, "ts"), values[i]);
		assert_true(is(message, "id", "m1"));
	}
	tl_pack_fini(&pack);
}

static void test_cut_short(void **state)
{
	struct tl_pack pack;
	struct tl_slice pairs;
	uint32_t count;
	(void)state;
	struct tl_slice message = pack_plain(&pack);
	for (size_t len = 0; len < 13; len++) {
		char *copy = malloc(len + !len);
		assert_non_null(copy);
		memcpy(copy, message.ptr, len);
		assert_int_equal(tl_message_ts(tl_slice(copy, len)), 0);
		assert_false(tl_message_set_ts(copy, len, 1));
		assert_false(tl_message_pairs(tl_slice(copy, len), &pairs, &count));
		free(copy);
	}
	tl_pack_fini(&pack);
}

static void test_damaged(void **state)
{
	struct tl_pack pack, shown;
	(void)state;
	struct tl_slice message = pack_plain(&pack);
	tl_pack_init(&shown);
	for (size_t at = 0; at < 5; at++) {
		pack.buffer.data[at] ^= 0x40;
		assert_int_equal(tl_message_ts(message), 0);
		assert_false(tl_message_set_ts(pack.buffer.data, message.len, 1));
		assert_false(tl_message_show(&shown, 1, tl_slice_str("c"), 1, message));
		pack.buffer.data[at] ^= 0x40;
	}
	pack.buffer.data[0] = (char)0x80; /* without any pairs */
	assert_int_equal(tl_message_ts(message), 0);
	assert_false(tl_message_show(&shown, 1, tl_slice_str("c"), 1, message));
	tl_pack_fini(&shown);
	tl_pack_fini(&pack);
}

static void test_pairs(void **state)
{
	struct tl_pack pack;
	struct tl_slice pairs;
	uint32_t count;
	(void)state;
	struct tl_slice message = pack_plain(&pack);
	assert_true(tl_message_pairs(message, &pairs, &count));
	assert_int_equal(count, 6);
	assert_int_equal(pairs.len, message.len - 1);
	assert_ptr_equal(pairs.ptr, (const char *)message.ptr + 1);
	tl_pack_fini(&pack);
}

static void test_show(void **state)
{
	struct tl_pack pack, shown;
	(void)state;
	struct tl_slice message = pack_plain(&pack);
	tl_pack_init(&shown);
	assert_true(tl_message_show(&shown, 1042, tl_slice_str("team"), 77, message));
	assert_well_formed(tl_pack_bytes(&shown), 9);
	assert_int_equal(get_uint(tl_pack_bytes(&shown), "seq"), 1042);
	assert_int_equal(get_uint(tl_pack_bytes(&shown), "cseq"), 77);
	assert_true(is(tl_pack_bytes(&shown), "conv", "team") && is(tl_pack_bytes(&shown), "from", "alice"));
	tl_pack_clear(&shown);
	assert_true(tl_message_show(&shown, 0, tl_slice_str("team"), 77, message));
	assert_well_formed(tl_pack_bytes(&shown), 8);
	assert_false(has(tl_pack_bytes(&shown), "seq"));
	tl_pack_fini(&shown);
	tl_pack_fini(&pack);
}

static void test_gone(void **state)
{
	struct tl_pack shown;
	(void)state;
	tl_pack_init(&shown);
	tl_message_show_gone(&shown, 5, tl_slice_str("team"), 6, "expired");
	assert_well_formed(tl_pack_bytes(&shown), 4);
	assert_true(is(tl_pack_bytes(&shown), "gone", "expired") && is(tl_pack_bytes(&shown), "conv", "team"));
	assert_int_equal(get_uint(tl_pack_bytes(&shown), "seq"), 5);
	assert_int_equal(get_uint(tl_pack_bytes(&shown), "cseq"), 6);
	tl_pack_fini(&shown);
}

/* An event of kind edit about entry 7. */
static void pack_edit(struct tl_pack *pack)
{
	struct tl_pack event;
	struct tl_message message = plain;
	tl_pack_init(&event);
	tl_pack_map(&event, 3);
	tl_pack_cstr(&event, "kind");
	tl_pack_cstr(&event, "edit");
	tl_pack_cstr(&event, "cseq");
	tl_pack_uint(&event, 7);
	tl_pack_cstr(&event, "body");
	tl_pack_bin(&event, tl_slice_str("secret"));
	message.type = tl_slice_str("event");
	message.event = tl_pack_bytes(&event);
	tl_pack_init(pack);
	tl_message_pack(pack, &message);
	tl_pack_fini(&event);
}

static void test_edit_event(void **state)
{
	struct tl_pack edit, stripped, ordinary;
	struct tl_reader event;
	uint64_t cseq = 0;
	(void)state;
	pack_edit(&edit);
	assert_true(tl_message_edit_target(tl_pack_bytes(&edit), &cseq));
	assert_int_equal(cseq, 7);
	tl_pack_init(&stripped);
	assert_true(tl_message_strip_event(&stripped, tl_pack_bytes(&edit)));
	assert_well_formed(tl_pack_bytes(&stripped), 6);
	assert_true(tl_msgpack_find(tl_pack_bytes(&stripped), "event", &event));
	struct tl_slice map = tl_slice(event.next, (size_t)(event.end - event.next));
	assert_well_formed(map, 2);
	assert_true(is(map, "kind", "edit") && get_uint(map, "cseq") == 7);
	assert_false(tl_message_edit_target(tl_pack_bytes(&stripped), &cseq));
	assert_false(tl_message_edit_target(pack_plain(&ordinary), &cseq)); /* it has a body, and is no event */
	tl_pack_clear(&stripped);
	assert_false(tl_message_strip_event(&stripped, tl_pack_bytes(&ordinary)));
	tl_pack_fini(&ordinary);
	tl_pack_fini(&stripped);
	tl_pack_fini(&edit);
}

static void test_view(void **state)
{
	struct tl_message_view view;
	struct tl_message message = plain;
	struct tl_pack pack;
	uint64_t cseq;
	(void)state;
	message.ctype = tl_slice_str("text/plain");
	message.has_time = true;
	tl_pack_init(&pack);
	tl_message_pack(&pack, &message);
	tl_pack_raw(&pack, tl_slice_str("hello"));
	assert_true(tl_message_view(tl_pack_bytes(&pack), &view));
	assert_int_equal(view.ts, 1700000000123);
	assert_true(tl_slice_equal(view.from, tl_slice_str("alice")) && tl_slice_equal(view.type, tl_slice_str("text")));
	assert_true(tl_slice_equal(view.ctype, tl_slice_str("text/plain")));
	assert_true(view.has_body && tl_slice_equal(view.body, tl_slice_str("hello")) && view.event.len == 0);
	assert_false(tl_message_edits(&view, &cseq));
	for (size_t len = 0; len < tl_pack_bytes(&pack).len; len++)
		assert_false(tl_message_view(tl_slice(pack.buffer.data, len), &view));
	tl_pack_fini(&pack);
}

static void test_view_of_events(void **state)
{
	static const char edit[] = "\x82\xa4kind\xa4" "edit\xa4" "cseq\x07", read[] = "\x82\xa4kind\xa4read\xa4" "cseq\x07";
	struct tl_message_view view;
	struct tl_message message = plain;
	struct tl_pack pack;
	uint64_t cseq = 0;
	(void)state;
	message.event = tl_slice_str(edit);
	tl_pack_init(&pack);
	tl_message_pack(&pack, &message);
	assert_true(tl_message_view(tl_pack_bytes(&pack), &view));
	assert_false(view.has_body);
	assert_true(tl_message_edits(&view, &cseq));
	assert_int_equal(cseq, 7);
	view.event = tl_slice_str(read);
	assert_false(tl_message_edits(&view, &cseq));
	tl_pack_fini(&pack);
}

static void test_show_more(void **state)
{
	struct tl_pack pack, shown;
	struct tl_slice kept = pack_plain(&pack);
	(void)state;
	tl_pack_init(&shown);
	assert_true(tl_message_show_more(&shown, 0, tl_slice_str("team"), 9, kept, tl_slice_str("\xa1x\x05"), 1));
	assert_well_formed(tl_pack_bytes(&shown), 9);
	assert_int_equal(get_uint(tl_pack_bytes(&shown), "x"), 5);
	tl_pack_fini(&shown);
	tl_pack_fini(&pack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain), cmocka_unit_test(test_everything), cmocka_unit_test(test_event),
		cmocka_unit_test(test_ts),    cmocka_unit_test(test_cut_short),  cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_pairs), cmocka_unit_test(test_show),       cmocka_unit_test(test_gone),
		cmocka_unit_test(test_view),  cmocka_unit_test(test_view_of_events), cmocka_unit_test(test_show_more),
		cmocka_unit_test(test_edit_event),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
