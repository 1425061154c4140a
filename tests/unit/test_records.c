/* Every record: packed and read back, refused at every length that cuts into what it needs, choices out of range. */
#include "records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint64_t big = UINT64_MAX;

static bool same(struct tl_slice slice, const char *text)
{
	return tl_slice_equal(slice, tl_slice_str(text));
}

/* Copies exactly `len` bytes to the heap, so that the sanitizer sees any read beyond them. */
static bool survives(bool (*unpack)(struct tl_slice bytes), struct tl_slice bytes, size_t len)
{
	char *copy = malloc(len + !len);
	assert_non_null(copy);
	memcpy(copy, bytes.ptr, len);
	bool result = unpack(tl_slice(copy, len));
	free(copy);
	return result;
}

/* No length under `needed` is accepted, whatever one byte of it is turned into is survived. */
static void assert_refused_below(bool (*unpack)(struct tl_slice bytes), struct tl_slice bytes, size_t needed)
{
	for (size_t len = 0; len < needed; len++)
		assert_false(survives(unpack, bytes, len));
	assert_true(survives(unpack, bytes, needed));
	unsigned char *copy = malloc(bytes.len);
	assert_non_null(copy);
	for (size_t at = 0; at < bytes.len; at++)
		for (unsigned value = 0; value < 256; value++) {
			memcpy(copy, bytes.ptr, bytes.len);
			copy[at] = (unsigned char)value;
			(void)survives(unpack, tl_slice(copy, bytes.len), bytes.len);
		}
	free(copy);
}

static bool unpack_store(struct tl_slice bytes)
{
	struct tl_store_record record;
	return tl_store_record_unpack(bytes, &record);
}

static bool unpack_inbox(struct tl_slice bytes)
{
	struct tl_inbox_entry entry;
	struct tl_reader reader = tl_reader(bytes);
	return tl_inbox_entry_read(&reader, &entry);
}

static bool unpack_conversation(struct tl_slice bytes)
{
	struct tl_conversation_record record;
	return tl_conversation_record_unpack(bytes, &record);
}

static bool unpack_member(struct tl_slice bytes)
{
	struct tl_member_record record;
	return tl_member_record_unpack(bytes, &record);
}

static bool unpack_dedup(struct tl_slice bytes)
{
	struct tl_dedup_record record;
	return tl_dedup_record_unpack(bytes, &record);
}

static bool unpack_device(struct tl_slice bytes)
{
	struct tl_device_record record;
	return tl_device_record_unpack(bytes, &record);
}

static bool unpack_ingest(struct tl_slice bytes)
{
	struct tl_ingest_record record;
	return tl_ingest_record_unpack(bytes, &record);
}

static void test_store(void **state)
{
	struct tl_pack pack;
	struct tl_store_record record = {.position = big, .running = 300, .message = tl_slice_str("\x81\xa1x\x01")}, read;
	(void)state;
	tl_pack_init(&pack);
	tl_store_record_pack(&pack, &record);
	assert_true(tl_store_record_unpack(tl_pack_bytes(&pack), &read));
	assert_int_equal(read.position, big);
	assert_int_equal(read.running, 300);
	assert_true(tl_slice_equal(read.message, record.message));
	/* The message is taken as it is, but there has to be one. */
	assert_refused_below(unpack_store, tl_pack_bytes(&pack), tl_pack_bytes(&pack).len - record.message.len + 1);
	assert_int_equal(read.sends.user_no, 0);
	tl_last_sends_note(&record.sends, 5, 300, 200);
	tl_last_sends_note(&record.sends, 900, 301, 201);
	tl_pack_clear(&pack);
	tl_store_record_pack(&pack, &record);
	assert_true(tl_store_record_unpack(tl_pack_bytes(&pack), &read));
	assert_memory_equal(&read.sends, &record.sends, sizeof read.sends);
	assert_true(tl_slice_equal(read.message, record.message));
	assert_refused_below(unpack_store, tl_pack_bytes(&pack), tl_pack_bytes(&pack).len - record.message.len + 1);
	tl_pack_fini(&pack);
}

static void assert_seen(const struct tl_last_sends *sends, uint64_t user_no, uint64_t stored, uint64_t cseq,
                        uint64_t running)
{
	struct tl_member_record member = {.seen = stored, .seen_running = stored - 1};
	tl_last_sends_apply(sends, user_no, &member);
	assert_int_equal(member.seen, cseq);
	assert_int_equal(member.seen_running, running);
}

static void test_last_sends(void **state)
{
	struct tl_last_sends sends = {0};
	(void)state;
	assert_seen(&sends, 1, 4, 4, 3);
	tl_last_sends_note(&sends, 1, 10, 9);
	tl_last_sends_note(&sends, 1, 12, 10);
	assert_seen(&sends, 1, 4, 12, 10);
	assert_seen(&sends, 2, 4, 4, 3);
	assert_seen(&sends, 1, 20, 20, 19); /* has read more */
	tl_last_sends_note(&sends, 2, 15, 11);
	tl_last_sends_note(&sends, 2, 16, 12);
	assert_seen(&sends, 1, 4, 12, 10);
	assert_seen(&sends, 2, 4, 16, 12);
	tl_last_sends_note(&sends, 1, 17, 13);
	assert_seen(&sends, 1, 4, 17, 13);
	assert_seen(&sends, 2, 4, 16, 12);
}

static void test_inbox(void **state)
{
	struct tl_pack pack;
	struct tl_inbox_entry entry = {.conversation_no = 70000, .cseq = big, .ts = 1700000000000}, read;
	(void)state;
	tl_pack_init(&pack);
	tl_inbox_entry_pack(&pack, &entry);
	struct tl_reader reader = tl_reader(tl_pack_bytes(&pack));
	assert_true(tl_inbox_entry_read(&reader, &read));
	assert_ptr_equal(reader.next, reader.end);
	assert_int_equal(read.conversation_no, 70000);
	assert_int_equal(read.cseq, big);
	assert_int_equal(read.ts, 1700000000000);
	assert_refused_below(unpack_inbox, tl_pack_bytes(&pack), tl_pack_bytes(&pack).len);
	tl_pack_fini(&pack);
}

static bool unpack_name(struct tl_slice bytes)
{
	struct tl_conversation_name name;
	return tl_conversation_name_unpack(bytes, &name);
}

static void test_conversation_name(void **state)
{
	const struct tl_conversation_name group = {.no = 70000},
	                                  chat = {.no = big, .users = {big, 7}, .muted = {true, false}};
	struct tl_conversation_name read;
	struct tl_pack pack;
	(void)state;
	tl_pack_init(&pack);
	tl_conversation_name_pack(&pack, &group);
	assert_true(tl_conversation_name_unpack(tl_pack_bytes(&pack), &read));
	assert_true(read.no == 70000 && read.users[0] == 0);
	assert_refused_below(unpack_name, tl_pack_bytes(&pack), tl_pack_bytes(&pack).len);
	tl_pack_clear(&pack);
	tl_conversation_name_pack(&pack, &chat);
	assert_true(tl_conversation_name_unpack(tl_pack_bytes(&pack), &read));
	assert_true(read.no == big && read.users[0] == big && read.users[1] == 7);
	assert_true(read.muted[0] && !read.muted[1]);
	assert_refused_below(unpack_name, tl_pack_bytes(&pack), tl_pack_bytes(&pack).len);
	tl_pack_fini(&pack);
}

static const struct tl_conversation_record conversation = {
	.cid = {"team", 4}, .name = {"Zoë's", 6}, .owner = {"zoë", 4}, .retention = {"90d", 3}, .created_by = 5,
	.member_count = 3, .kind = TL_CHANNEL, .history = TL_HISTORY_JOINED, .join = TL_JOIN_OPEN, .post = TL_POST_ADMINS,
	.order = TL_ORDER_CUSTOM, .fanout = TL_FANOUT_READ,
};

static void test_conversation(void **state)
{
	struct tl_pack pack;
	struct tl_conversation_record read;
	(void)state;
	tl_pack_init(&pack);
	tl_conversation_record_pack(&pack, &conversation);
	assert_true(tl_conversation_record_unpack(tl_pack_bytes(&pack), &read));
	assert_true(same(read.cid, "team") && same(read.name, "Zoë's") && same(read.owner, "zoë"));
	assert_true(same(read.retention, "90d"));
	assert_int_equal(read.created_by, 5);
	assert_int_equal(read.member_count, 3);
	assert_true(read.kind == TL_CHANNEL && read.history == TL_HISTORY_JOINED && read.join == TL_JOIN_OPEN);
	assert_true(read.post == TL_POST_ADMINS && read.order == TL_ORDER_CUSTOM && read.fanout == TL_FANOUT_READ);
	assert_refused_below(unpack_conversation, tl_pack_bytes(&pack), tl_pack_bytes(&pack).len);
	tl_pack_fini(&pack);
}

static bool with_choices(uint8_t kind, uint8_t history, uint8_t join, uint8_t post, uint8_t order, uint8_t fanout)
{
	struct tl_pack pack;
	struct tl_conversation_record record = conversation;
	record.kind = kind;
	record.history = history;
	record.join = join;
	record.post = post;
	record.order = order;
	record.fanout = fanout;
	tl_pack_init(&pack);
	tl_conversation_record_pack(&pack, &record);
	bool read = unpack_conversation(tl_pack_bytes(&pack));
	tl_pack_fini(&pack);
	return read;
}

static void test_choices_out_of_range(void **state)
{
	(void)state;
	assert_true(with_choices(2, 1, 1, 1, 1, 2));
	assert_false(with_choices(3, 0, 0, 0, 0, 0) || with_choices(0, 2, 0, 0, 0, 0) || with_choices(0, 0, 2, 0, 0, 0));
	assert_false(with_choices(0, 0, 0, 2, 0, 0) || with_choices(0, 0, 0, 0, 2, 0) || with_choices(0, 0, 0, 0, 0, 3));
	assert_false(with_choices(255, 0, 0, 0, 0, 0));
}

static void test_member(void **state)
{
	struct tl_pack pack;
	struct tl_member_record record = {.role = TL_ROLE_MUTED, .since = big}, read;
	(void)state;
	tl_pack_init(&pack);
	tl_member_record_pack(&pack, &record);
	assert_true(tl_member_record_unpack(tl_pack_bytes(&pack), &read));
	assert_true(read.role == TL_ROLE_MUTED && read.since == big);
	assert_refused_below(unpack_member, tl_pack_bytes(&pack), tl_pack_bytes(&pack).len);
	tl_pack_clear(&pack);
	record.role = TL_ROLE_MUTED + 1;
	tl_member_record_pack(&pack, &record);
	assert_false(unpack_member(tl_pack_bytes(&pack)));
	tl_pack_fini(&pack);
}

static bool unpack_former(struct tl_slice bytes)
{
	struct tl_former_record former;
	return tl_former_record_unpack(bytes, &former);
}

/* With as many periods as there may be, muted or not. */
static void test_former(void **state)
{
	struct tl_former_record record = {.cleared = 7, .deleted_some = true}, read;
	struct tl_pack pack;
	(void)state;
	tl_pack_init(&pack);
	for (record.count = 1; record.count <= TL_PERIODS_MAX; record.count++) {
		record.periods[record.count - 1] = (struct tl_period){10 * record.count, big};
		record.muted = !record.muted;
		tl_pack_clear(&pack);
		tl_former_record_pack(&pack, &record);
		assert_true(tl_former_record_unpack(tl_pack_bytes(&pack), &read));
		assert_true(read.cleared == 7 && read.deleted_some && read.muted == record.muted && read.count == record.count);
		assert_true(read.periods[0].from == 10 && read.periods[read.count - 1].from == 10 * read.count);
		assert_true(read.periods[read.count - 1].to == big);
		assert_refused_below(unpack_former, tl_pack_bytes(&pack), tl_pack_bytes(&pack).len);
	}
	tl_pack_clear(&pack);
	tl_pack_array(&pack, 2 + 2 * (TL_PERIODS_MAX + 1)); /* one too many */
	tl_pack_uint(&pack, 0);
	tl_pack_bool(&pack, false);
	for (uint64_t i = 1; i <= TL_PERIODS_MAX + 1; i++) {
		tl_pack_uint(&pack, i);
		tl_pack_uint(&pack, i);
	}
	assert_false(unpack_former(tl_pack_bytes(&pack)));
	tl_pack_fini(&pack);
}

/* The bytes as they were before anybody was remembered as muted. */
static void test_former_as_of_old(void **state)
{
	struct tl_former_record read;
	(void)state;
	assert_true(tl_former_record_unpack(tl_slice("\x94\x00\xc2\x05\x09", 5), &read));
	assert_true(!read.muted && read.count == 1 && read.periods[0].from == 5 && read.periods[0].to == 9);
	assert_true(tl_former_record_unpack(tl_slice("\x96\x00\xc2\x05\x00\x05\x09", 7), &read));
	assert_true(read.muted && read.count == 1 && read.periods[0].from == 5 && read.periods[0].to == 9);
}

static void test_pairs(void **state)
{
	struct tl_pack pack;
	struct tl_dedup_record dedup = {.cseq = 1, .ts = big}, dedup_read;
	struct tl_device_record device = {.checkpoint = big, .seen = 2, .life = 3}, device_read;
	(void)state;
	tl_pack_init(&pack);
	tl_dedup_record_pack(&pack, &dedup);
	assert_true(tl_dedup_record_unpack(tl_pack_bytes(&pack), &dedup_read));
	assert_true(dedup_read.cseq == 1 && dedup_read.ts == big);
	assert_refused_below(unpack_dedup, tl_pack_bytes(&pack), tl_pack_bytes(&pack).len);
	tl_pack_clear(&pack);
	tl_device_record_pack(&pack, &device);
	assert_true(tl_device_record_unpack(tl_pack_bytes(&pack), &device_read));
	assert_true(device_read.checkpoint == big && device_read.seen == 2 && device_read.life == 3);
	assert_refused_below(unpack_device, tl_pack_bytes(&pack), tl_pack_bytes(&pack).len);
	assert_true(tl_device_record_unpack(tl_slice_str("\x92\x05\x06"), &device_read)); /* of a version that knew of no lives */
	assert_true(device_read.checkpoint == 5 && device_read.seen == 6 && device_read.life == 0);
	tl_pack_fini(&pack);
}

static bool unpack_run(struct tl_slice bytes)
{
	struct tl_run_record record;
	return tl_run_record_unpack(bytes, &record);
}

static void test_run(void **state)
{
	struct tl_pack pack;
	const struct tl_run_record run = {.durability = 2, .boot = {"boot", 4}, .closed = true};
	struct tl_run_record read;
	(void)state;
	tl_pack_init(&pack);
	tl_run_record_pack(&pack, &run);
	assert_true(tl_run_record_unpack(tl_pack_bytes(&pack), &read));
	assert_true(read.durability == 2 && read.closed && tl_slice_equal(read.boot, run.boot));
	assert_refused_below(unpack_run, tl_pack_bytes(&pack), tl_pack_bytes(&pack).len);
	tl_pack_fini(&pack);
}

/* A record of a later minor version is longer. */
static void test_longer_records(void **state)
{
	struct tl_pack pack;
	struct tl_member_record record = {.role = TL_ROLE_ADMIN, .since = 9}, read;
	(void)state;
	tl_pack_init(&pack);
	tl_member_record_pack(&pack, &record);
	tl_pack_cstr(&pack, "from the future");
	pack.buffer.data[0]++; /* a short array's head holds its count */
	assert_true(tl_member_record_unpack(tl_pack_bytes(&pack), &read));
	assert_true(read.role == TL_ROLE_ADMIN && read.since == 9);
	tl_pack_fini(&pack);
}

static void test_ingest(void **state)
{
	struct tl_pack pack;
	struct tl_ingest_record record = {
		.kind = TL_INGEST_SEND, .to_user = true, .route = {"\0\xff", 2}, .user = {"alice", 5}, .device = {"phone", 5},
		.target = {"bob", 3}, .id = {"m1", 2}, .ts = 7}, read;
	(void)state;
	tl_pack_init(&pack);
	tl_ingest_record_pack_head(&pack, &record);
	size_t head = tl_pack_bytes(&pack).len;
	tl_pack_raw(&pack, tl_slice_str("payload"));
	assert_true(tl_ingest_record_unpack(tl_pack_bytes(&pack), &read));
	assert_true(read.kind == TL_INGEST_SEND && read.to_user && read.ts == 7);
	assert_true(tl_slice_equal(read.route, record.route) && same(read.user, "alice") && same(read.device, "phone"));
	assert_true(same(read.target, "bob") && same(read.id, "m1") && same(read.payload, "payload"));
	assert_refused_below(unpack_ingest, tl_pack_bytes(&pack), head + 1);
	tl_pack_clear(&pack);
	record.kind = (enum tl_ingest_kind)(TL_INGEST_REQUEST + 1);
	tl_ingest_record_pack_head(&pack, &record);
	tl_pack_nil(&pack);
	assert_false(unpack_ingest(tl_pack_bytes(&pack)));
	tl_pack_fini(&pack);
}

static bool keys_equal(uint64_t secret, const char *sender, const char *id, uint64_t other_secret,
                       const char *other_sender, const char *other_id)
{
	unsigned char a[TL_DEDUP_KEY_BYTES], b[TL_DEDUP_KEY_BYTES];
	tl_dedup_hash(secret, tl_slice_str(sender), tl_slice_str(id), a);
	tl_dedup_hash(other_secret, tl_slice_str(other_sender), tl_slice_str(other_id), b);
	return memcmp(a, b, sizeof a) == 0;
}

static void test_dedup_key(void **state)
{
	(void)state;
	assert_true(keys_equal(1, "alice", "m1", 1, "alice", "m1"));
	assert_false(keys_equal(1, "alice", "m1", 2, "alice", "m1"));
	assert_false(keys_equal(1, "alice", "m1", 1, "alic", "em1"));
	assert_false(keys_equal(1, "alice", "m1", 1, "alice", "m2"));
	assert_false(keys_equal(1, "alice", "m1", 1, "bob", "m1"));
}

static void test_choice(void **state)
{
	(void)state;
	assert_int_equal(tl_choice(tl_conversation_kinds, tl_slice_str("channel")), TL_CHANNEL);
	assert_int_equal(tl_choice(tl_joins, tl_slice_str("open")), TL_JOIN_OPEN);
	assert_int_equal(tl_choice(tl_roles, tl_slice_str("muted")), TL_ROLE_MUTED);
	assert_int_equal(tl_choice(tl_fanouts, tl_slice_str("read")), TL_FANOUT_READ);
	assert_int_equal(tl_choice(tl_orders, tl_slice_str("")), -1);
	assert_int_equal(tl_choice(tl_posts, tl_slice_str("member")), -1);
	assert_int_equal(tl_choice(tl_histories, tl_slice_str("all ")), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_store),     cmocka_unit_test(test_last_sends), cmocka_unit_test(test_inbox),  cmocka_unit_test(test_conversation),
		cmocka_unit_test(test_member),    cmocka_unit_test(test_former),     cmocka_unit_test(test_former_as_of_old),
		cmocka_unit_test(test_pairs),     cmocka_unit_test(test_run),    cmocka_unit_test(test_choices_out_of_range),
		cmocka_unit_test(test_ingest),    cmocka_unit_test(test_choice), cmocka_unit_test(test_longer_records),
		cmocka_unit_test(test_dedup_key), cmocka_unit_test(test_conversation_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
