/* The arguments of requests: every type, what each refuses, durations and sizes. */
#include "params.h"

#include "id.h"
#include "msgpack_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const colours[] = {"red", "green", NULL};

enum { NUMBER, TEXT, CID, NEW_CID, UID, UIDS, CHOICE, DURATION, COUNT };

static const struct tl_param table[] = {
	[NUMBER] = {.key = "number", .type = TL_PARAM_UINT, .min = 1, .max = 1000},
	[TEXT] = {.key = "text", .type = TL_PARAM_STR, .min = 1, .max = 4},
	[CID] = {.key = "cid", .type = TL_PARAM_CID},
	[NEW_CID] = {.key = "new", .type = TL_PARAM_NEW_CID},
	[UID] = {.key = "uid", .type = TL_PARAM_UID},
	[UIDS] = {.key = "uids", .type = TL_PARAM_UIDS, .max = 2},
	[CHOICE] = {.key = "choice", .type = TL_PARAM_CHOICE, .choices = colours},
	[DURATION] = {.key = "duration", .type = TL_PARAM_DURATION},
	{.key = NULL},
};

static const struct tl_param strict[] = {{.key = "conv", .type = TL_PARAM_CID, .required = true}, {.key = NULL}};

static struct tl_pack pack;

/* {key: } with the value to be packed by the caller. */
static void begin(const char *key)
{
	tl_pack_clear(&pack);
	tl_pack_map(&pack, 1);
	tl_pack_cstr(&pack, key);
}

static bool parses(struct tl_arg *args_out)
{
	struct tl_why why = {""};
	enum tl_err err = tl_params_parse(table, tl_pack_bytes(&pack), args_out, &why);
	if (err != TL_OK)
		assert_int_equal(err, TL_BAD_REQUEST);
	assert_true((err == TL_OK) == (why.text[0] == '\0'));
	return err == TL_OK;
}

static bool parses_str(const char *key, const char *value)
{
	struct tl_arg args[COUNT];
	begin(key);
	tl_pack_cstr(&pack, value);
	return parses(args);
}

static bool parses_uint(const char *key, uint64_t value)
{
	struct tl_arg args[COUNT];
	begin(key);
	tl_pack_uint(&pack, value);
	return parses(args);
}

static void test_nothing_given(void **state)
{
	struct tl_arg args[COUNT];
	struct tl_why why;
	(void)state;
	tl_pack_clear(&pack);
	tl_pack_map(&pack, 1);
	tl_pack_cstr(&pack, "unknown");
	tl_pack_nil(&pack);
	memset(args, 0xff, sizeof args);
	assert_true(parses(args));
	for (int i = 0; i < COUNT; i++)
		assert_true(!args[i].given && args[i].uint == 0 && args[i].bytes.len == 0);
	assert_int_equal(tl_params_parse(strict, tl_pack_bytes(&pack), args, &why), TL_BAD_REQUEST);
	assert_non_null(strstr(why.text, "'conv'"));
}

static void test_uint(void **state)
{
	struct tl_arg args[COUNT];
	(void)state;
	assert_true(parses_uint("number", 1) && parses_uint("number", 1000));
	assert_false(parses_uint("number", 0) || parses_uint("number", 1001) || parses_uint("number", UINT64_MAX));
	assert_false(parses_str("number", "5"));
	begin("number");
	tl_pack_raw(&pack, tl_slice("\xff", 1)); /* -1 */
	assert_false(parses(args));
	begin("number");
	tl_pack_raw(&pack, tl_slice("\xd1\x00\x07", 3)); /* 7 as a signed 16-bit integer */
	assert_true(parses(args));
	assert_int_equal(args[NUMBER].uint, 7);
	begin("number");
	tl_pack_nil(&pack);
	assert_false(parses(args));
}

static void test_text(void **state)
{
	(void)state;
	assert_true(parses_str("text", "a") && parses_str("text", "four") && parses_str("text", "né"));
	assert_false(parses_str("text", "") || parses_str("text", "fives"));
	assert_false(parses_str("text", "a\nb") || parses_str("text", "\x7f"));
	assert_false(parses_uint("text", 1));
}

static void test_cids(void **state)
{
	(void)state;
	assert_true(parses_str("cid", "team") && parses_str("cid", "d:alice:bob"));
	assert_false(parses_str("cid", "d:bob:alice") || parses_str("cid", "d:x") || parses_str("cid", "a/b"));
	assert_false(parses_str("cid", ""));
	assert_true(parses_str("new", "team") && parses_str("new", "D:x"));
	assert_false(parses_str("new", "d:alice:bob") || parses_str("new", "d:") || parses_str("new", "a#"));
	assert_false(parses_uint("cid", 5));
}

static void test_uid(void **state)
{
	(void)state;
	assert_true(parses_str("uid", "alice"));
	assert_false(parses_str("uid", "a:b") || parses_str("uid", "") || parses_uint("uid", 1));
}

static void test_uids(void **state)
{
	struct tl_arg args[COUNT];
	(void)state;
	begin("uids");
	tl_pack_array(&pack, 2);
	tl_pack_cstr(&pack, "alice");
	tl_pack_cstr(&pack, "bob");
	assert_true(parses(args));
	assert_int_equal(args[UIDS].uint, 2);
	assert_true(tl_slice_equal(args[UIDS].bytes, tl_slice_str("\xa5" "alice" "\xa3" "bob")));
	begin("uids");
	tl_pack_array(&pack, 0);
	assert_true(parses(args));
	assert_true(args[UIDS].given && args[UIDS].uint == 0 && args[UIDS].bytes.len == 0);
	begin("uids");
	tl_pack_array(&pack, 3);
	for (int i = 0; i < 3; i++)
		tl_pack_cstr(&pack, "u");
	assert_false(parses(args));
	begin("uids");
	tl_pack_array(&pack, 2);
	tl_pack_cstr(&pack, "alice");
	tl_pack_uint(&pack, 5);
	assert_false(parses(args));
	assert_false(parses_str("uids", "alice"));
}

static void test_choice(void **state)
{
	struct tl_arg args[COUNT];
	struct tl_why why;
	(void)state;
	begin("choice");
	tl_pack_cstr(&pack, "green");
	assert_true(parses(args));
	assert_int_equal(args[CHOICE].uint, 1);
	assert_false(parses_str("choice", "blue") || parses_str("choice", "") || parses_uint("choice", 1));
	begin("choice");
	tl_pack_cstr(&pack, "blue");
	assert_int_equal(tl_params_parse(table, tl_pack_bytes(&pack), args, &why), TL_BAD_REQUEST);
	assert_string_equal(why.text, "'choice' must be one of: red, green");
}

static void test_duration_argument(void **state)
{
	struct tl_arg args[COUNT];
	(void)state;
	begin("duration");
	tl_pack_cstr(&pack, "90d");
	assert_true(parses(args));
	assert_int_equal(args[DURATION].uint, 90 * 86400000ULL);
	assert_true(tl_slice_equal(args[DURATION].bytes, tl_slice_str("90d")));
	assert_false(parses_str("duration", "90") || parses_uint("duration", 90));
}

/* UINT64_MAX where it does not parse. */
static uint64_t duration(const char *text)
{
	uint64_t ms;
	return tl_duration_parse(tl_slice_str(text), &ms) ? ms : UINT64_MAX;
}

static uint64_t size(const char *text)
{
	uint64_t bytes;
	return tl_size_parse(tl_slice_str(text), &bytes) ? bytes : UINT64_MAX;
}

static void test_durations(void **state)
{
	static const char *const bad[] = {"",   "s",   "5",   "-5s",  "+5s", " 5s", "5 s", "5S",
	                                  "5w", "5ss", "1.5s", "0x5s", "5mss", "00"};
	(void)state;
	assert_int_equal(duration("0"), 0);
	assert_int_equal(duration("0s"), 0);
	assert_int_equal(duration("250ms"), 250);
	assert_int_equal(duration("60s"), 60000);
	assert_int_equal(duration("007m"), 420000);
	assert_int_equal(duration("12h"), 43200000);
	assert_int_equal(duration("1d"), 86400000);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(duration(bad[i]), UINT64_MAX);
}

static void test_overflow(void **state)
{
	(void)state;
	assert_int_equal(duration("18446744073709551614ms"), UINT64_MAX - 1);
	assert_int_equal(duration("18446744073709551616ms"), UINT64_MAX);
	assert_int_equal(duration("99999999999999999999999999ms"), UINT64_MAX);
	assert_int_equal(duration("213503982334d"), 213503982334ULL * 86400000);
	assert_int_equal(duration("213503982335d"), UINT64_MAX);
	assert_int_equal(size("17179869183g"), 17179869183ULL << 30);
	assert_int_equal(size("17179869184g"), UINT64_MAX);
	assert_int_equal(size("18446744073709551614"), UINT64_MAX - 1);
}

static void test_sizes(void **state)
{
	(void)state;
	assert_int_equal(size("0"), 0);
	assert_int_equal(size("64"), 64);
	assert_int_equal(size("64k"), 65536);
	assert_int_equal(size("64K"), 65536);
	assert_int_equal(size("2m"), 2 << 20);
	assert_int_equal(size("1G"), 1 << 30);
	assert_true(size("") == UINT64_MAX && size("k") == UINT64_MAX && size("1kb") == UINT64_MAX);
	assert_true(size("-1") == UINT64_MAX && size("1 k") == UINT64_MAX && size("1t") == UINT64_MAX);
}

static int set_up(void **state)
{
	(void)state;
	tl_pack_init(&pack);
	return 0;
}

static void test_cursors(void **state)
{
	uint64_t numbers[2];
	(void)state;
	assert_true(tl_cursor_numbers(tl_slice_str("7.18446744073709551615"), 2, numbers));
	assert_true(numbers[0] == 7 && numbers[1] == UINT64_MAX);
	assert_true(tl_cursor_numbers(tl_slice_str("0"), 1, numbers));
	static const char *const bad[] = {"", ".", "1.", ".1", "1.2.3", "-1.2", "+1.2", " 1.2", "1.2 ", "1", "1.x",
	                                  "18446744073709551616.1"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(tl_cursor_numbers(tl_slice_str(bad[i]), 2, numbers));
}

static int tear_down(void **state)
{
	(void)state;
	tl_pack_fini(&pack);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_given), cmocka_unit_test(test_uint),      cmocka_unit_test(test_text),
		cmocka_unit_test(test_cids),          cmocka_unit_test(test_uid),       cmocka_unit_test(test_uids),
		cmocka_unit_test(test_choice),        cmocka_unit_test(test_durations), cmocka_unit_test(test_duration_argument),
		cmocka_unit_test(test_overflow),      cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_cursors),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
