/* plugin/json: what is JSON and what is not, the same values on both sides, binary values as text or base64. */
#include "json.h"

#include "msgpack_reader.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define BYTES(literal) tl_slice(literal, sizeof(literal) - 1)

/* Converts a heap copy of exactly the text's size, so that the address sanitizer sees a read beyond it. */
static enum tl_err to_msgpack(struct tl_slice json, unsigned max_depth, msgpack_sbuffer *out, struct tl_why *why)
{
	void *copy = malloc(json.len ? json.len : 1);
	assert_non_null(copy);
	if (json.len)
		memcpy(copy, json.ptr, json.len);
	enum tl_err err = tl_json_to_msgpack(tl_slice(copy, json.len), max_depth, out, why);
	free(copy);
	return err;
}

static void assert_is(const msgpack_sbuffer *buffer, struct tl_slice expected)
{
	assert_int_equal(buffer->size, expected.len);
	if (expected.len)
		assert_memory_equal(buffer->data, expected.ptr, expected.len);
}

static void assert_packs_to(struct tl_slice json, struct tl_slice msgpack)
{
	msgpack_sbuffer out;
	msgpack_sbuffer_init(&out);
	struct tl_why why = {""};
	assert_int_equal(to_msgpack(json, 32, &out, &why), TL_OK);
	assert_string_equal(why.text, "");
	assert_is(&out, msgpack);
	msgpack_sbuffer_destroy(&out);
}

static void assert_refused(struct tl_slice json, const char *reason)
{
	msgpack_sbuffer out;
	msgpack_sbuffer_init(&out);
	msgpack_sbuffer_write(&out, "before", 6);
	struct tl_why why = {""};
	enum tl_err err = to_msgpack(json, 32, &out, &why);
	if (err != TL_BAD_REQUEST || (reason && strcmp(why.text, reason) != 0))
		print_error("%.*s: %s\n", (int)json.len, (const char *)json.ptr, why.text);
	assert_int_equal(err, TL_BAD_REQUEST);
	assert_true(why.text[0]);
	if (reason)
		assert_string_equal(why.text, reason);
	assert_is(&out, BYTES("before"));
	assert_int_equal(to_msgpack(json, 32, &out, NULL), TL_BAD_REQUEST);
	msgpack_sbuffer_destroy(&out);
}

static void assert_writes(struct tl_slice msgpack, struct tl_slice json)
{
	msgpack_sbuffer out;
	msgpack_sbuffer_init(&out);
	assert_int_equal(tl_json_from_msgpack(msgpack, &out), TL_OK);
	assert_is(&out, json);
	msgpack_sbuffer_destroy(&out);
}

/* JSON → msgpack → JSON gives `back`; the msgpack is well-formed. */
static void assert_round_trip(struct tl_slice json, struct tl_slice back)
{
	msgpack_sbuffer packed, text;
	msgpack_sbuffer_init(&packed);
	msgpack_sbuffer_init(&text);
	assert_int_equal(to_msgpack(json, 64, &packed, NULL), TL_OK);
	struct tl_slice msgpack = tl_slice(packed.data, packed.size);
	assert_int_equal(tl_msgpack_check(msgpack, 64, NULL), TL_OK);
	assert_int_equal(tl_json_from_msgpack(msgpack, &text), TL_OK);
	assert_is(&text, back);
	msgpack_sbuffer_destroy(&packed);
	msgpack_sbuffer_destroy(&text);
}

static void assert_same(const char *json)
{
	assert_round_trip(tl_slice_str(json), tl_slice_str(json));
}

static void test_values_to_msgpack(void **state)
{
	(void)state;
	assert_packs_to(BYTES("null"), BYTES("\xc0"));
	assert_packs_to(BYTES(" \t\r\n[ true ,false ] "), BYTES("\x92\xc3\xc2"));
	assert_packs_to(BYTES("{}"), BYTES("\x80"));
	assert_packs_to(BYTES("[]"), BYTES("\x90"));
	assert_packs_to(BYTES("{\"a\":{\"b\":[null]}}"), BYTES("\x81\xa1" "a\x81\xa1" "b\x91\xc0"));
	assert_packs_to(BYTES("\"\""), BYTES("\xa0"));
	assert_packs_to(BYTES("{\"\":1}"), BYTES("\x81\xa0\x01"));
	assert_packs_to(BYTES("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\""), BYTES("\xa9\"\\/\b\f\n\r\tA"));
}

static void test_integers_to_msgpack(void **state)
{
	(void)state;
	assert_packs_to(BYTES("0"), BYTES("\x00"));
	assert_packs_to(BYTES("-0"), BYTES("\x00"));
	assert_packs_to(BYTES("-1"), BYTES("\xff"));
	assert_packs_to(BYTES("18446744073709551615"), BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"));
	assert_packs_to(BYTES("9223372036854775808"), BYTES("\xcf\x80\x00\x00\x00\x00\x00\x00\x00"));
	assert_packs_to(BYTES("9223372036854775807"), BYTES("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"));
	assert_packs_to(BYTES("-9223372036854775808"), BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"));
	assert_refused(BYTES("18446744073709551616"), "JSON: integer beyond 64 bits at byte 0");
	assert_refused(BYTES("[-9223372036854775809]"), "JSON: integer beyond 64 bits at byte 1");
	assert_refused(BYTES("{\"a\":100000000000000000000000000000000}"), NULL);
}

static void test_floats_to_msgpack(void **state)
{
	(void)state;
	assert_packs_to(BYTES("5.0"), BYTES("\xcb\x40\x14\x00\x00\x00\x00\x00\x00"));
	assert_packs_to(BYTES("5e0"), BYTES("\xcb\x40\x14\x00\x00\x00\x00\x00\x00"));
	assert_packs_to(BYTES("-0.0"), BYTES("\xcb\x80\x00\x00\x00\x00\x00\x00\x00"));
	assert_packs_to(BYTES("1E-400"), BYTES("\xcb\x00\x00\x00\x00\x00\x00\x00\x00"));
	assert_packs_to(BYTES("18446744073709551616.0"), BYTES("\xcb\x43\xf0\x00\x00\x00\x00\x00\x00"));
	assert_refused(BYTES("1e400"), "JSON: number out of range");
	assert_refused(BYTES("{\"a\":[1,-1e400]}"), "JSON: number out of range");
}

static void test_not_numbers(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"01",  "-01", "00",   "01.5", "1.",   "1.e5", ".5",    "-.5", "+1",  "-",   "--1",      "1e",        "1e+",
		"1-2", "0x1", "1e.5", "1e5.5", "1.2.3", "1e5e5", "1true", "NaN", "-NaN", "inf", "Infinity", "-Infinity", "1_0",
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char json[32];
		assert_refused(tl_slice_str(cases[i]), NULL);
		snprintf(json, sizeof json, "{\"a\":[%s]}", cases[i]);
		assert_refused(tl_slice_str(json), NULL);
	}
}

static void test_not_json(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"{} x",    "{}{}",      "1 2",       "nul",       "NULL",     "True",      "nullx",     "null x",  "[1]]",
		"{}}",     "/*c*/{}",   "{}//c",     "[1/*c*/]",  "{'a':1}",  "['a']",     "{a:1}",     "[1,]",    "{\"a\":1,}",
		"[,1]",    "[1 2]",     "{\"a\" 1}", "{\"a\":}",  "{\"a\"}",  "{,}",       "{1:2}",     "[1}",     "{\"a\":1]",
		"\"\\x\"", "\"\\'\"",   "\"\\u12\"", "\"\\u00g0\"", "\"",     "\"\\\"",    "\"\\",      "[",       "{\"a\":",
		"]",       ":",         ",",         "[\"a\"\"b\"]", "\v1",   "1\f",       "[1]\x7f",   "\"a\"b",  "[truefalse]",
		"{\"a\":1\"b\":2}", "\"\\\n\"", "\"a\nb\"", "\"\x01\"", "{\"\t\":1}", "\xef\xbb\xbf{}", "\xc2\xa0[]",
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_refused(tl_slice_str(cases[i]), NULL);
	assert_refused(BYTES("\"a\0b\""), "JSON: control character in a string must be escaped at byte 0");
	assert_refused(BYTES("{\"a\":1}\0"), "JSON: control character at byte 7");
	assert_refused(BYTES("\0"), NULL);
	assert_refused(BYTES("\"\\\0\""), NULL);
}

static void test_empty(void **state)
{
	(void)state;
	assert_refused(tl_slice(NULL, 0), "empty");
	assert_refused(BYTES(""), "empty");
	assert_refused(BYTES(" \r\n\t"), "empty");
}

static void test_reasons(void **state)
{
	(void)state;
	assert_refused(BYTES("{\"a\": 01}"), "JSON: malformed number at byte 6");
	assert_refused(BYTES("[1, nil]"), "JSON: unexpected character at byte 4");
	assert_refused(BYTES("[\"abc"), "JSON: unterminated string at byte 1");
	assert_refused(BYTES("[1"), "JSON: unexpected end of data at byte 2");
	assert_refused(BYTES("[\"\xff\"]"), "JSON: not valid UTF-8 at byte 2");
	assert_refused(BYTES("{} 1"), "JSON: unexpected character at byte 3");
}

static void test_utf8(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"\"\xff\"",         "\"\xc0\x80\"",         "\"\xc1\xbf\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"",
		"\"\xe0\x80\x80\"", "\"\xf0\x80\x80\x80\"", "\"\xc3\"",     "{\"\xc3\":1}",     "\"\xe4\xbd",
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_refused(tl_slice_str(bad[i]), NULL);
	assert_same("{\"名字\":\"你好，世界\",\"emoji\":\"😀👩‍👩‍👧🇨🇳\",\"del\":\"\x7f\",\"ls\":\"\u2028\"}");
	assert_round_trip(BYTES("\"\\ud83d\\ude00\\u4f60\""), BYTES("\"😀你\""));
}

/* A half of a surrogate pair is within JSON's grammar and no character: it becomes U+FFFD. */
static void test_lone_surrogates(void **state)
{
	(void)state;
	assert_round_trip(BYTES("\"\\ud800\""), BYTES("\"\xef\xbf\xbd\""));
	assert_round_trip(BYTES("\"\\udc00x\""), BYTES("\"\xef\xbf\xbdx\""));
	assert_round_trip(BYTES("\"\\ud83d\\ud83d\\ude00\""), BYTES("\"\xef\xbf\xbd😀\""));
	assert_round_trip(BYTES("\"\\ud800\\n\""), BYTES("\"\xef\xbf\xbd\\n\""));
	assert_round_trip(BYTES("{\"\\ud800\":1}"), BYTES("{\"\xef\xbf\xbd\":1}"));
}

static void test_nul(void **state)
{
	(void)state;
	static const char reason[] = "JSON: a key must not contain \\u0000 at byte 1";
	assert_packs_to(BYTES("[\"a\\u0000b\"]"), BYTES("\x91\xa3" "a\0b"));
	assert_round_trip(BYTES("{\"k\":\"\\u0000\"}"), BYTES("{\"k\":\"\\u0000\"}"));
	assert_refused(BYTES("{\"a\\u0000b\":1}"), reason);
	assert_refused(BYTES("{\"\\u0000\" \n : 1}"), reason);
	assert_refused(BYTES("{\"\\\\\\u0000\":1}"), reason);
	assert_same("{\"\\\\u0000\":1}");
	assert_writes(BYTES("\x81\xa3" "a\0b\x01"), BYTES("{\"a\\u0000b\":1}"));
}

static void test_repeated_keys(void **state)
{
	(void)state;
	assert_packs_to(BYTES("{\"a\":1,\"b\":2,\"a\":3}"), BYTES("\x82\xa1" "a\x03\xa1" "b\x02"));
	assert_packs_to(BYTES("{\"a\":1,\"\\u0061\":{}}"), BYTES("\x81\xa1" "a\x80"));
}

static void test_depth(void **state)
{
	(void)state;
	char json[300];
	msgpack_sbuffer out;
	msgpack_sbuffer_init(&out);
	for (unsigned depth = 0; depth < 70; depth++) {
		memset(json, '[', depth);
		memset(json + depth, ']', depth);
		for (unsigned max = 0; max < 70; max += depth < 4 ? 1 : 9) {
			struct tl_slice text = depth ? tl_slice(json, 2 * (size_t)depth) : tl_slice_str("0");
			bool ok = depth <= max && depth <= 64;
			out.size = 0;
			assert_int_equal(to_msgpack(text, max, &out, NULL), ok ? TL_OK : TL_BAD_REQUEST);
			if (!ok)
				continue;
			struct tl_slice msgpack = tl_slice(out.data, out.size);
			assert_int_equal(tl_msgpack_check(msgpack, max, NULL), TL_OK);
			if (depth)
				assert_writes(msgpack, text);
		}
	}
	out.size = 0;
	assert_refused(BYTES("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
	               "JSON: nested too deeply at byte 32");
	memset(json, '[', sizeof json);
	assert_refused(tl_slice(json, sizeof json), "JSON: nested too deeply at byte 32");
	memset(json, 0x91, 65);
	json[65] = 0;
	assert_int_equal(tl_json_from_msgpack(tl_slice(json, 66), &out), TL_BAD_REQUEST);
	assert_int_equal(out.size, 0);
	msgpack_sbuffer_destroy(&out);
}

static void test_truncations_are_refused(void **state)
{
	(void)state;
	static const char json[] = "{\"a\":[1.5e1,true,null,-12,\"\\ud83d\\ude00\\\"\"],\"你\":{\"b\":false}}";
	for (size_t len = 0; len < sizeof json - 1; len++)
		assert_refused(tl_slice(json, len), NULL);
	assert_round_trip(BYTES(json), BYTES("{\"a\":[15.0,true,null,-12,\"😀\\\"\"],\"你\":{\"b\":false}}"));
}

static void test_round_trips(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"null", "true", "false", "0", "-1", "\"\"", "[]", "{}", "[[],{},[{}]]",
		"18446744073709551615", "-9223372036854775808", "9223372036854775807", "9223372036854775808",
		"0.1", "-0.0", "5.0", "1.5", "1e+300", "1.7976931348623157e+308", "2.2250738585072014e-308",
		"0.30000000000000004", "1e-07",
		"[1,2,[3,{\"a\":[]}],{\"b\":{\"c\":null}},\"x\"]",
		"\"\\u0001\\u001f\\b\\f\\n\\r\\t\\\"\\\\/</script>\"",
		"{\"seq\":1,\"conv\":\"g/team\",\"cseq\":18446744073709551615,\"body\":\"line\\nline\",\"props\":{\"k\":\"v\"}}",
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_same(cases[i]);
}

/* An array or object of `count` numbers, as JSON into a buffer of 12 bytes for each: its length. */
static size_t write_many(char *json, bool is_map, unsigned count)
{
	size_t len = 0;
	for (unsigned i = 0; i < count; i++) {
		char before = i ? ',' : is_map ? '{' : '[';
		len += (size_t)sprintf(json + len, is_map ? "%c\"%u\":7" : "%c%u", before, i);
		assert_true(len < count * 12);
	}
	json[len++] = is_map ? '}' : ']';
	return len;
}

/* The same as msgpack. */
static void pack_many(msgpack_sbuffer *out, bool is_map, unsigned count)
{
	msgpack_packer packer;
	char key[12];
	msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
	if (is_map)
		msgpack_pack_map(&packer, count);
	else
		msgpack_pack_array(&packer, count);
	for (unsigned i = 0; i < count; i++) {
		if (is_map)
			msgpack_pack_str_with_body(&packer, key, (size_t)sprintf(key, "%u", i));
		msgpack_pack_unsigned_int(&packer, is_map ? 7 : i);
	}
}

static void test_many_members(void **state)
{
	(void)state;
	enum { COUNT = 70000 };
	char *json = malloc(COUNT * 12 + 2);
	assert_non_null(json);
	for (unsigned is_map = 0; is_map < 2; is_map++) {
		size_t len = write_many(json, is_map, COUNT / 5);
		assert_round_trip(tl_slice(json, len), tl_slice(json, len));
		len = write_many(json, is_map, COUNT);
		msgpack_sbuffer packed;
		msgpack_sbuffer_init(&packed);
		pack_many(&packed, is_map, COUNT);
		assert_writes(tl_slice(packed.data, packed.size), tl_slice(json, len));
		msgpack_sbuffer_destroy(&packed);
	}
	free(json);
}

/* As many as fit into 64 KiB, whatever they are; a longer text is long because of its strings. */
static void test_too_many_values(void **state)
{
	(void)state;
	enum { FITS = 65536, LONG = 200000 };
	char *json = malloc(LONG + 1);
	struct tl_why why;
	msgpack_sbuffer out;
	assert_non_null(json);
	for (size_t i = 0; i <= LONG; i++)
		json[i] = i == 0 ? '[' : i % 2 ? '1' : ',';
	json[FITS - 2] = ']';
	json[FITS - 1] = ' ';
	msgpack_sbuffer_init(&out);
	assert_int_equal(to_msgpack(tl_slice(json, FITS), 8, &out, NULL), TL_OK);
	json[FITS - 2] = ',';
	json[FITS - 1] = '1';
	json[LONG] = ']';
	assert_int_equal(to_msgpack(tl_slice(json, LONG + 1), 8, &out, &why), TL_BAD_REQUEST);
	assert_non_null(strstr(why.text, "too many values"));
	memset(json, 'x', LONG);
	json[0] = json[LONG] = '"';
	assert_int_equal(to_msgpack(tl_slice(json, LONG + 1), 8, &out, NULL), TL_OK);
	msgpack_sbuffer_destroy(&out);
	free(json);
}

static void test_out_is_appended_to(void **state)
{
	(void)state;
	msgpack_sbuffer out;
	msgpack_sbuffer_init(&out);
	assert_int_equal(tl_json_to_msgpack(BYTES("1"), 0, &out, NULL), TL_OK);
	assert_int_equal(tl_json_from_msgpack(BYTES("\x91\x02"), &out), TL_OK);
	assert_is(&out, BYTES("\x01[2]"));
	assert_int_equal(tl_json_from_msgpack(BYTES("\x92\x02\xc1"), &out), TL_BAD_REQUEST);
	assert_is(&out, BYTES("\x01[2]"));
	msgpack_sbuffer_destroy(&out);
}

static void test_body_is_text_or_base64(void **state)
{
	(void)state;
	assert_writes(BYTES("\x81\xa4" "body\xc4\x02hi"), BYTES("{\"body\":\"hi\"}"));
	assert_writes(BYTES("\x81\xa4" "body\xc4\x00"), BYTES("{\"body\":\"\"}"));
	assert_writes(BYTES("\x81\xa4" "body\xc4\x03\"\n\0"), BYTES("{\"body\":\"\\\"\\n\\u0000\"}"));
	assert_writes(BYTES("\x81\xa4" "body\xc4\x06\xe4\xbd\xa0\xe5\xa5\xbd"), BYTES("{\"body\":\"你好\"}"));
	assert_writes(BYTES("\x81\xa4" "body\xc4\x02\xff\xfe"), BYTES("{\"body64\":\"//4=\"}"));
	assert_writes(BYTES("\x81\xa1m\x82\xa4" "body\xc4\x01\x80\xa1x\x01"), BYTES("{\"m\":{\"body64\":\"gA==\",\"x\":1}}"));
	assert_writes(BYTES("\x91\x81\xa4" "body\xc4\x01\x80"), BYTES("[{\"body64\":\"gA==\"}]"));
	assert_writes(BYTES("\x81\xa2k\n\xc4\x01\x80"), BYTES("{\"k\\n64\":\"gA==\"}"));
	assert_writes(BYTES("\x92\xc4\x01\x80\xc4\x01z"), BYTES("[\"gA==\",\"z\"]"));
	assert_writes(BYTES("\xc4\x01\x80"), BYTES("\"gA==\""));
	assert_writes(BYTES("\xc4\x01z"), BYTES("\"z\""));
}

/* Only a damaged database has such a string: it is shown like binary rather than making the reply no JSON. */
static void test_str_that_is_no_utf8(void **state)
{
	(void)state;
	assert_writes(BYTES("\x81\xa1k\xa2\xff\xfe"), BYTES("{\"k64\":\"//4=\"}"));
	assert_writes(BYTES("\x91\xa1\x80"), BYTES("[\"gA==\"]"));
	msgpack_sbuffer out;
	msgpack_sbuffer_init(&out);
	assert_int_equal(tl_json_from_msgpack(BYTES("\x81\xa1\xff\x01"), &out), TL_BAD_REQUEST);
	msgpack_sbuffer_destroy(&out);
}

static void assert_base64(struct tl_slice bytes, const char *base64, size_t len)
{
	msgpack_sbuffer packed, text;
	msgpack_packer packer;
	msgpack_sbuffer_init(&packed);
	msgpack_sbuffer_init(&text);
	msgpack_packer_init(&packer, &packed, msgpack_sbuffer_write);
	msgpack_pack_bin_with_body(&packer, bytes.ptr, bytes.len);
	assert_int_equal(tl_json_from_msgpack(tl_slice(packed.data, packed.size), &text), TL_OK);
	assert_int_equal(text.size, len + 2);
	assert_memory_equal(text.data + 1, base64, len);
	msgpack_sbuffer_destroy(&packed);
	msgpack_sbuffer_destroy(&text);
}

/* Lengths around the steps in which base64 is written: each byte is 0xff, so each full group is "////". */
static void test_base64(void **state)
{
	(void)state;
	static const size_t lengths[] = {1, 2, 3, 4, 5, 6, 767, 768, 769, 770, 771, 1535, 1536, 1537, 100000};
	static unsigned char bytes[100000];
	static char base64[140000];
	memset(bytes, 0xff, sizeof bytes);
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		size_t groups = lengths[i] / 3, rest = lengths[i] % 3;
		memset(base64, '/', groups * 4);
		memcpy(base64 + groups * 4, rest == 1 ? "/w==" : "//8=", 4);
		assert_base64(tl_slice(bytes, lengths[i]), base64, (groups + (rest > 0)) * 4);
	}
	assert_base64(BYTES("\x00\x10\x83\x10\x51\x87\x20\x92\x8b"), "ABCDEFGHIJKL", 12);
	assert_base64(BYTES("\xfb\xef\xbe\xff"), "++++/w==", 8);
}

static void test_numbers_from_msgpack(void **state)
{
	(void)state;
	assert_writes(BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), BYTES("-9223372036854775808"));
	assert_writes(BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), BYTES("18446744073709551615"));
	assert_writes(BYTES("\xd0\x80"), BYTES("-128"));
	assert_writes(BYTES("\xcf\x00\x00\x00\x00\x00\x00\x00\x0a"), BYTES("10"));
	assert_writes(BYTES("\xca\x3f\x00\x00\x00"), BYTES("0.5"));
	assert_writes(BYTES("\xcb\x40\x14\x00\x00\x00\x00\x00\x00"), BYTES("5.0"));
	assert_writes(BYTES("\x92\xc2\xc3"), BYTES("[false,true]"));
}

static void test_what_json_cannot_say(void **state)
{
	(void)state;
	static const struct tl_slice cases[] = {
		{NULL, 0},                                     /* nothing */
		{"\xca\x7f\x80\x00\x00", 5},                   /* infinity */
		{"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", 9},   /* not a number */
		{"\x81\x01\x01", 3},                           /* a key that is an integer */
		{"\x81\xc4\x01k\x01", 5},                      /* a key that is binary */
		{"\x81\x90\x01", 3},                           /* a key that is an array */
		{"\xd4\x01\x01", 3},                           /* ext */
		{"\x91\xc7\x00\x01", 4},                       /* ext, nested */
		{"\x92\x01", 2},                               /* cut short */
		{"\x01\x01", 2},                               /* two items */
		{"\xc1", 1},                                   /* reserved */
		{"\xdd\xff\xff\xff\xff", 5},                   /* a count that lies */
	};
	msgpack_sbuffer out;
	msgpack_sbuffer_init(&out);
	msgpack_sbuffer_write(&out, "x", 1);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_int_equal(tl_json_from_msgpack(cases[i], &out), TL_BAD_REQUEST);
		assert_is(&out, BYTES("x"));
	}
	msgpack_sbuffer_destroy(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_to_msgpack),
		cmocka_unit_test(test_integers_to_msgpack),
		cmocka_unit_test(test_floats_to_msgpack),
		cmocka_unit_test(test_not_numbers),
		cmocka_unit_test(test_not_json),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_lone_surrogates),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_repeated_keys),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_truncations_are_refused),
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_many_members),
		cmocka_unit_test(test_too_many_values),
		cmocka_unit_test(test_out_is_appended_to),
		cmocka_unit_test(test_body_is_text_or_base64),
		cmocka_unit_test(test_str_that_is_no_utf8),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_numbers_from_msgpack),
		cmocka_unit_test(test_what_json_cannot_say),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
