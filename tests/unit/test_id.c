/* Valid ids, and the ids of direct chats. */
#include "id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static bool valid(const char *id)
{
	return tl_id_valid(tl_slice_str(id), TL_ID_MAX);
}

static void test_valid_ids(void **state)
{
	(void)state;
	assert_true(valid("a") && valid("d:x") && valid("a b") && valid("$") && valid("Zoë") && valid("群"));
	assert_true(valid("\xc2\xa0"));         /* U+00A0, the first that is no C1 control */
	assert_true(valid("\xf4\x8f\xbf\xbf")); /* U+10FFFF */
	assert_false(valid(""));
	assert_false(valid("a/b") || valid("a+") || valid("#"));
	assert_false(valid("\x1f") || valid("a\n") || valid("\x7f"));
	assert_false(valid("\xc2\x80") || valid("a\xc2\x9f")); /* U+0080, U+009F */
	assert_false(tl_id_valid(tl_slice("a\0b", 3), TL_ID_MAX));
}

static void test_bad_utf8(void **state)
{
	(void)state;
	assert_false(valid("\xff") || valid("\xc3") || valid("\x80"));
	assert_false(valid("\xc0\xaf"));         /* overlong */
	assert_false(valid("\xed\xa0\x80"));     /* a surrogate */
	assert_false(valid("\xf4\x90\x80\x80")); /* beyond U+10FFFF */
	assert_false(valid("a\xc2"));            /* cut short, as a C1 control would begin */
}

static void test_lengths(void **state)
{
	char id[TL_ID_MAX + 1];
	(void)state;
	memset(id, 'x', sizeof id);
	assert_true(tl_id_valid(tl_slice(id, TL_ID_MAX), TL_ID_MAX));
	assert_false(tl_id_valid(tl_slice(id, TL_ID_MAX + 1), TL_ID_MAX));
	assert_true(tl_id_valid(tl_slice(id, TL_MESSAGE_ID_MAX), TL_MESSAGE_ID_MAX));
	assert_false(tl_id_valid(tl_slice(id, TL_MESSAGE_ID_MAX + 1), TL_MESSAGE_ID_MAX));
	assert_true(tl_uid_valid(tl_slice(id, TL_ID_MAX)));
	assert_false(tl_uid_valid(tl_slice_str("a:b")));
	assert_false(tl_uid_valid(tl_slice_str(":")));
}

static void assert_direct(const char *uid, const char *other, const char *cid)
{
	char out[TL_DIRECT_ID_MAX];
	assert_true(tl_slice_equal(tl_direct_id(tl_slice_str(uid), tl_slice_str(other), out), tl_slice_str(cid)));
	assert_true(tl_slice_equal(tl_direct_id(tl_slice_str(other), tl_slice_str(uid), out), tl_slice_str(cid)));
}

static void test_direct_id(void **state)
{
	(void)state;
	assert_direct("alice", "bob", "d:alice:bob");
	assert_direct("alice", "alice", "d:alice:alice");
	assert_direct("al", "alice", "d:al:alice");
	assert_direct("Z", "a", "d:Z:a");
	assert_direct("z", "é", "d:z:é"); /* byte order, unsigned */
}

static void test_longest_direct_id(void **state)
{
	char uid[TL_ID_MAX], other[TL_ID_MAX], out[TL_DIRECT_ID_MAX];
	struct tl_slice found;
	(void)state;
	memset(uid, 'a', sizeof uid);
	memset(other, 'b', sizeof other);
	struct tl_slice cid = tl_direct_id(tl_slice(other, sizeof other), tl_slice(uid, sizeof uid), out);
	assert_int_equal(cid.len, TL_DIRECT_ID_MAX);
	assert_true(tl_direct_id_other(cid, tl_slice(uid, sizeof uid), &found));
	assert_true(tl_slice_equal(found, tl_slice(other, sizeof other)));
}

static bool other_is(const char *cid, const char *uid, const char *expected)
{
	struct tl_slice other;
	return tl_direct_id_other(tl_slice_str(cid), tl_slice_str(uid), &other) &&
	       tl_slice_equal(other, tl_slice_str(expected));
}

static bool parses(const char *cid)
{
	struct tl_slice first, second;
	return tl_direct_id_parse(tl_slice_str(cid), &first, &second);
}

static void test_parse(void **state)
{
	struct tl_slice other;
	(void)state;
	assert_true(other_is("d:alice:bob", "alice", "bob"));
	assert_true(other_is("d:alice:bob", "bob", "alice"));
	assert_true(other_is("d:bob:bob", "bob", "bob"));
	assert_false(tl_direct_id_other(tl_slice_str("d:alice:bob"), tl_slice_str("ali"), &other));
	assert_false(tl_direct_id_other(tl_slice_str("d:alice:bob"), tl_slice_str("alice:bob"), &other));
	assert_true(parses("d:a:b") && parses("d:a:a"));
	assert_false(parses("d:b:a")); /* only in order is it the id */
	assert_false(parses("d:a") || parses("d:") || parses("d::") || parses("d:a:") || parses("d::b"));
	assert_false(parses("d:a:b:c") || parses("D:a:b") || parses("") || parses("d"));
	assert_false(parses("d:a:b/c") || parses("d:a:\xff"));
}

static void test_is_direct(void **state)
{
	(void)state;
	assert_true(tl_id_is_direct(tl_slice_str("d:")));
	assert_true(tl_id_is_direct(tl_slice_str("d:anything")));
	assert_false(tl_id_is_direct(tl_slice_str("d")) || tl_id_is_direct(tl_slice_str("dd:")));
	assert_false(tl_id_is_direct(tl_slice("", 0)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid_ids),       cmocka_unit_test(test_bad_utf8), cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_direct_id),       cmocka_unit_test(test_parse),    cmocka_unit_test(test_is_direct),
		cmocka_unit_test(test_longest_direct_id),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
