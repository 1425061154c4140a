/* JSON at the edge: see the header.
 *
 *   in:   text ── u8_check ── guard ── json-c (structure, values) ── json_c_visit ── msgpack_packer ── out
 *   out:  msgpack ── tl_reader ── walker (structure, numbers, base64) ── json-c (strings with escapes) ── out
 *
 * json-c takes things that are no JSON or changes them in silence: comments, a comma behind the last element, True, whatever
 * follows the text; and strict as it can be still raw control characters, overlong UTF-8, 'single-quoted' keys, NaN, Infinity,
 * 1. and -.5 and -01, integers beyond 64 bits (cut to the nearest), a key up to its \u0000, an array or object one level too deep
 * if it is empty. The guard reads the text's tokens first and refuses all these; what is left to json-c is their order and what
 * they mean. It is not told to be strict: 0.18 then refuses all text beyond ASCII where char has a sign.
 *
 * (J1) Work is linear in the input. Memory is too, but json-c spends up to some 250 bytes on a byte of input ({} in
 *      an array), so callers limit the length of what they convert.
 *      Out of memory is TL_NO_MEMORY where json-c notices; 0.16 does not where it copies a key.
 * (J2) `out` is cut back to what it was whenever a conversion fails.
 * (J3) Nothing recurses over input, but for json-c's visit and free, which go no deeper than max_depth.
 */
#include "json.h"

#include "msgpack_reader.h"

#include <json-c/json.h>
#include <json-c/json_visit.h>
#include <limits.h>
#include <math.h>
#include <openssl/evp.h>
#include <unistr.h>

enum {
	DEPTH_MAX = 64,
	CONTAINERS_MAX = 1000, /* objects and arrays of one text: json-c takes most of a microsecond for each */
	TOKENS_MAX = 65536,    /* of one text: a long one is long because of a string */
};

/* ---- The guard: is every token one that JSON knows, and one that json-c reads as it stands? ---- */

struct guard {
	const unsigned char *at;
	const unsigned char *end;
	unsigned depth;
	unsigned max_depth;
	unsigned containers, tokens; /* seen so far */
	unsigned char last; /* the first byte of the token before; 0: there was none */
	bool complete;      /* the text's one value has ended */
};

static const char unexpected[] = "unexpected character";

static bool is_space(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

/* Bytes that cannot stand right after a number or word without being part of it. */
static bool is_wordy(unsigned char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '-' || c == '.';
}

static void pass_space(struct guard *g)
{
	while (g->at < g->end && is_space(*g->at))
		g->at++;
}

static bool pass(struct guard *g, const char *any_of)
{
	if (g->at == g->end || !*g->at || !strchr(any_of, *g->at))
		return false;
	g->at++;
	return true;
}

static bool pass_digits(struct guard *g)
{
	const unsigned char *begin = g->at;
	while (g->at < g->end && is_digit(*g->at))
		g->at++;
	return g->at > begin;
}

static bool fits_64_bits(const unsigned char *digits, const unsigned char *end, bool negative)
{
	uint64_t most = negative ? UINT64_C(1) << 63 : UINT64_MAX, value = 0;
	for (; digits < end; digits++) {
		unsigned digit = *digits - (unsigned)'0';
		if (value > (most - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	return true;
}

static const char *guard_number(struct guard *g)
{
	static const char malformed[] = "malformed number";
	bool negative = pass(g, "-"), whole = true;
	const unsigned char *digits = g->at;
	if (!pass(g, "0") && !pass_digits(g))
		return malformed;
	const unsigned char *digits_end = g->at;
	if (pass(g, ".")) {
		whole = false;
		if (!pass_digits(g))
			return malformed;
	}
	if (pass(g, "eE")) {
		whole = false;
		pass(g, "+-");
		if (!pass_digits(g))
			return malformed;
	}
	if (g->at < g->end && is_wordy(*g->at))
		return malformed;
	if (whole && !fits_64_bits(digits, digits_end, negative))
		return "integer beyond 64 bits";
	return NULL;
}

static const char *guard_string(struct guard *g)
{
	static const char nul[] = "\\u0000";
	bool has_nul = false;
	for (g->at++; g->at < g->end && *g->at != '"'; g->at++) {
		if (*g->at < 0x20)
			return "control character in a string must be escaped";
		if (*g->at != '\\')
			continue;
		has_nul |= (size_t)(g->end - g->at) >= sizeof nul - 1 && !memcmp(g->at, nul, sizeof nul - 1);
		if (++g->at == g->end)
			break;
	}
	if (g->at == g->end)
		return "unterminated string";
	g->at++;
	pass_space(g);
	if (has_nul && g->at < g->end && *g->at == ':')
		return "a key must not contain \\u0000"; /* json-c would cut it there: its keys are C strings */
	return NULL;
}

static const char *guard_word(struct guard *g)
{
	static const char *const words[] = {"null", "true", "false"};
	size_t room = (size_t)(g->end - g->at);
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		size_t len = strlen(words[i]);
		if (room < len || memcmp(g->at, words[i], len) != 0 || (room > len && is_wordy(g->at[len])))
			continue;
		g->at += len;
		return NULL;
	}
	return *g->at < 0x20 || *g->at == 0x7f ? "control character" : unexpected;
}

static const char *guard_token(struct guard *g)
{
	const unsigned char last = g->last;
	g->last = *g->at;
	if (++g->tokens > TOKENS_MAX)
		return "too many values";
	switch (*g->at) {
	case '"':
		return guard_string(g);
	case '[':
	case '{':
		if (g->depth == g->max_depth)
			return "nested too deeply";
		if (++g->containers > CONTAINERS_MAX)
			return "too many objects and arrays";
		g->depth++;
		break;
	case ']':
	case '}':
		if (last == ',')
			return unexpected;
		g->depth -= g->depth > 0; /* an unmatched one is json-c's to refuse */
		break;
	case ',':
	case ':':
		break;
	default:
		return *g->at == '-' || is_digit(*g->at) ? guard_number(g) : guard_word(g);
	}
	g->at++;
	return NULL;
}

static enum tl_err guard(struct tl_slice json, unsigned max_depth, struct tl_why *why)
{
	if (!json.len)
		return tl_fail(why, TL_BAD_REQUEST, "empty");
	if (json.len >= INT_MAX)
		return tl_fail(why, TL_BAD_REQUEST, "JSON: too long");
	const unsigned char *begin = json.ptr;
	const unsigned char *bad = u8_check(begin, json.len);
	if (bad)
		return tl_fail(why, TL_BAD_REQUEST, "JSON: not valid UTF-8 at byte %zu", (size_t)(bad - begin));
	struct guard g = {.at = begin, .end = begin + json.len, .max_depth = max_depth < DEPTH_MAX ? max_depth : DEPTH_MAX};
	pass_space(&g);
	if (g.at == g.end)
		return tl_fail(why, TL_BAD_REQUEST, "empty");
	while (g.at < g.end) {
		size_t at = (size_t)(g.at - begin);
		const char *wrong = guard_token(&g);
		if (!wrong && g.complete)
			wrong = unexpected;
		if (wrong)
			return tl_fail(why, TL_BAD_REQUEST, "JSON: %s at byte %zu", wrong, at);
		g.complete = g.depth == 0;
		pass_space(&g);
	}
	return TL_OK;
}

/* ---- JSON to msgpack ---- */

/* Whether a text that json-c accepted is "null", the one whose object is NULL. */
static bool is_null(struct tl_slice json)
{
	const char *text = json.ptr;
	size_t i = 0;
	while (i < json.len && is_space((unsigned char)text[i]))
		i++;
	return i < json.len && text[i] == 'n';
}

/* `*object_out` is NULL for the text "null". */
static enum tl_err parse(struct tl_slice json, struct json_tokener *tokener, struct json_object **object_out,
                         struct tl_why *why)
{
	struct json_object *object = json_tokener_parse_ex(tokener, json.ptr, (int)json.len);
	enum json_tokener_error error = json_tokener_get_error(tokener);
	size_t at = json_tokener_get_parse_end(tokener);
	if (error == json_tokener_continue) { /* a number or word at top level ends only with a terminator */
		object = json_tokener_parse_ex(tokener, "", 1);
		error = json_tokener_get_error(tokener);
	}
	if (error != json_tokener_success)
		return tl_fail(why, TL_BAD_REQUEST, "JSON: %s at byte %zu", json_tokener_error_desc(error), at);
	if (!object && !is_null(json))
		return TL_NO_MEMORY; /* json-c 0.16 calls it a success */
	*object_out = object;
	return TL_OK;
}

struct packing {
	msgpack_packer packer;
	enum tl_err err;
	struct tl_why *why;
};

static int pack_number(struct packing *packing, struct json_object *number)
{
	if (json_object_is_type(number, json_type_double)) {
		double real = json_object_get_double(number);
		if (isfinite(real))
			return msgpack_pack_double(&packing->packer, real);
		packing->err = tl_fail(packing->why, TL_BAD_REQUEST, "JSON: number out of range");
		return -1;
	}
	int64_t value = json_object_get_int64(number); /* INT64_MAX stands for all above it */
	if (value < 0)
		return msgpack_pack_int64(&packing->packer, value);
	return msgpack_pack_uint64(&packing->packer, json_object_get_uint64(number));
}

static int pack_value(struct packing *packing, struct json_object *value)
{
	msgpack_packer *packer = &packing->packer;
	switch (json_object_get_type(value)) {
	case json_type_boolean:
		return json_object_get_boolean(value) ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
	case json_type_double:
	case json_type_int:
		return pack_number(packing, value);
	case json_type_object:
		return msgpack_pack_map(packer, (size_t)json_object_object_length(value));
	case json_type_array:
		return msgpack_pack_array(packer, json_object_array_length(value));
	case json_type_string:
		return msgpack_pack_str_with_body(packer, json_object_get_string(value),
		                                  (size_t)json_object_get_string_len(value));
	case json_type_null:
		break;
	}
	return msgpack_pack_nil(packer);
}

/* json_c_visit's callback: once before each value, and again (SECOND) after an array or object. */
static int pack_visited(struct json_object *value, int flags, struct json_object *parent, const char *key,
                        size_t *index, void *packing_arg)
{
	struct packing *packing = packing_arg;
	(void)parent;
	(void)index;
	if (flags & JSON_C_VISIT_SECOND)
		return JSON_C_VISIT_RETURN_CONTINUE;
	packing->err = TL_NO_MEMORY; /* what it is if the packer fails */
	if ((key && msgpack_pack_str_with_body(&packing->packer, key, strlen(key))) || pack_value(packing, value))
		return JSON_C_VISIT_RETURN_ERROR;
	packing->err = TL_OK;
	return JSON_C_VISIT_RETURN_CONTINUE;
}

static enum tl_err pack(struct json_object *object, msgpack_sbuffer *out, struct tl_why *why)
{
	struct packing packing = {.err = TL_OK, .why = why};
	size_t size_before = out->size;
	msgpack_packer_init(&packing.packer, out, msgpack_sbuffer_write);
	if (json_c_visit(object, 0, pack_visited, &packing) && !packing.err)
		packing.err = TL_NO_MEMORY;
	if (packing.err)
		out->size = size_before;
	return packing.err;
}

enum tl_err tl_json_to_msgpack(struct tl_slice json, unsigned max_depth, msgpack_sbuffer *out, struct tl_why *why)
{
	enum tl_err err = guard(json, max_depth, why);
	if (err)
		return err;
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX + 1);
	if (!tokener)
		return TL_NO_MEMORY;
	struct json_object *object = NULL;
	err = parse(json, tokener, &object, why);
	if (!err)
		err = pack(object, out, why);
	json_object_put(object);
	json_tokener_free(tokener);
	return err;
}

/* ---- msgpack to JSON ---- */

/* How a run of bytes reads as the content of a JSON string. */
enum form { FORM_PLAIN, FORM_ESCAPED, FORM_BASE64 };

static enum form form_of(struct tl_slice bytes)
{
	const unsigned char *byte = bytes.ptr;
	size_t plain = 0;
	while (plain < bytes.len && byte[plain] >= 0x20 && byte[plain] < 0x80 && byte[plain] != '"' && byte[plain] != '\\')
		plain++;
	if (plain == bytes.len)
		return FORM_PLAIN; /* as nearly all are */
	bool escape = false;
	unsigned char any = 0;
	for (size_t i = plain; i < bytes.len; i++) {
		escape |= byte[i] < 0x20 || byte[i] == '"' || byte[i] == '\\';
		any |= byte[i];
	}
	if (any >= 0x80 && u8_check(byte + plain, bytes.len - plain))
		return FORM_BASE64;
	return escape ? FORM_ESCAPED : FORM_PLAIN;
}

static enum tl_err put(msgpack_sbuffer *out, const void *bytes, size_t len)
{
	if (out->alloc - out->size < len)
		return msgpack_sbuffer_write(out, bytes, len) ? TL_NO_MEMORY : TL_OK;
	memcpy(out->data + out->size, bytes, len);
	out->size += len;
	return TL_OK;
}

static enum tl_err put_char(msgpack_sbuffer *out, char c)
{
	if (out->alloc == out->size)
		return put(out, &c, 1);
	out->data[out->size++] = c;
	return TL_OK;
}

static enum tl_err put_word(msgpack_sbuffer *out, const char *word)
{
	return put(out, word, strlen(word));
}

/* Puts json-c's text of an object, which it frees, without `trim` bytes at either end. */
static enum tl_err put_object_take(msgpack_sbuffer *out, struct json_object *object, size_t trim)
{
	enum { FLAGS = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE };
	size_t len = 0;
	const char *text = object ? json_object_to_json_string_length(object, FLAGS, &len) : NULL;
	enum tl_err err = text && len >= 2 * trim ? put(out, text + trim, len - 2 * trim) : TL_NO_MEMORY;
	json_object_put(object);
	return err;
}

static enum tl_err put_base64(msgpack_sbuffer *out, struct tl_slice bytes)
{
	enum { STEP = 3 * 256 };
	unsigned char text[STEP / 3 * 4 + 1]; /* and EVP_EncodeBlock's terminator */
	const unsigned char *at = bytes.ptr;
	enum tl_err err = TL_OK;
	for (size_t left = bytes.len; left && !err;) {
		size_t step = left < STEP ? left : STEP;
		int len = EVP_EncodeBlock(text, at, (int)step);
		err = put(out, text, (size_t)len);
		at += step;
		left -= step;
	}
	return err;
}

/* A short string that stands for itself, where there is room for it: nearly all are. */
static bool put_short(msgpack_sbuffer *out, struct tl_slice bytes)
{
	if (bytes.len == 0 || out->alloc - out->size < bytes.len + 2)
		return false;
	char *to = out->data + out->size;
	to[0] = '"';
	memcpy(to + 1, bytes.ptr, bytes.len);
	to[bytes.len + 1] = '"';
	out->size += bytes.len + 2;
	return true;
}

static enum tl_err put_string(msgpack_sbuffer *out, struct tl_slice bytes, enum form form, const char *suffix)
{
	if (form == FORM_PLAIN && !suffix[0] && put_short(out, bytes))
		return TL_OK;
	enum tl_err err = put_char(out, '"');
	if (err)
		return err;
	if (form == FORM_PLAIN)
		err = bytes.len ? put(out, bytes.ptr, bytes.len) : TL_OK;
	else if (form == FORM_BASE64)
		err = put_base64(out, bytes);
	else
		err = put_object_take(out, json_object_new_string_len(bytes.ptr, (int)bytes.len), 1);
	if (!err && suffix[0])
		err = put_word(out, suffix);
	return err ? err : put_char(out, '"');
}

static enum tl_err put_integer(msgpack_sbuffer *out, uint64_t magnitude, bool negative)
{
	char digits[24], *at = digits + sizeof digits;
	do {
		*--at = (char)('0' + magnitude % 10);
		magnitude /= 10;
	} while (magnitude);
	if (negative)
		*--at = '-';
	return put(out, at, (size_t)(digits + sizeof digits - at));
}

/* With the fewest digits, of 15 to 17, that read back as the same number. */
static enum tl_err put_real(msgpack_sbuffer *out, double real)
{
	static char *const formats[] = {"%.15g", "%.16g", "%.17g"};
	if (!isfinite(real))
		return TL_BAD_REQUEST;
	struct json_object *object = json_object_new_double(real);
	double back = NAN;
	for (size_t i = 0; object && i < sizeof formats / sizeof formats[0] && !(back == real); i++) {
		json_object_set_serializer(object, json_object_double_to_json_string, formats[i], NULL);
		const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
		if (!text || json_parse_double(text, &back))
			back = NAN;
	}
	return put_object_take(out, object, 0);
}

struct level {
	uint32_t left; /* members not yet written */
	bool is_map;
	bool begun; /* a member is written: a comma comes before the next */
};

struct walker {
	struct tl_reader in;
	msgpack_sbuffer *out;
	struct level levels[DEPTH_MAX]; /* the open arrays and maps, outermost first */
	unsigned depth;                 /* how many */
};

static bool is_bytes(const struct tl_item *item)
{
	return item->kind == TL_KIND_STR || item->kind == TL_KIND_BIN;
}

static enum tl_err open_level(struct walker *w, const struct tl_item *item)
{
	bool is_map = item->kind == TL_KIND_MAP;
	if (w->depth == DEPTH_MAX)
		return TL_BAD_REQUEST;
	w->levels[w->depth++] = (struct level){.left = item->count, .is_map = is_map};
	return put_char(w->out, is_map ? '{' : '[');
}

static enum tl_err put_value(struct walker *w, const struct tl_item *item, enum form form)
{
	switch (item->kind) {
	case TL_KIND_NIL:
		return put_word(w->out, "null");
	case TL_KIND_BOOL:
		return put_word(w->out, item->boolean ? "true" : "false");
	case TL_KIND_UINT:
		return put_integer(w->out, item->uint, false);
	case TL_KIND_INT:
		return put_integer(w->out, ~(uint64_t)item->sint + 1, true);
	case TL_KIND_FLOAT:
		return put_real(w->out, item->real);
	case TL_KIND_STR:
	case TL_KIND_BIN:
		return put_string(w->out, item->bytes, form, "");
	case TL_KIND_ARRAY:
	case TL_KIND_MAP:
		return open_level(w, item);
	case TL_KIND_EXT:
		break;
	}
	return TL_BAD_REQUEST;
}

static enum tl_err put_key(struct walker *w, struct tl_slice key, const char *suffix)
{
	enum form form = form_of(key);
	if (form == FORM_BASE64)
		return TL_BAD_REQUEST;
	enum tl_err err = put_string(w->out, key, form, suffix);
	return err ? err : put_char(w->out, ':');
}

/* Writes one value, with its key if it is a map's; of an array or map only the opening bracket. */
static enum tl_err put_member(struct walker *w, bool has_key)
{
	struct tl_slice key = {0};
	struct tl_item item;
	if ((has_key && !tl_reader_str(&w->in, &key)) || !tl_reader_next(&w->in, &item))
		return TL_BAD_REQUEST;
	enum form form = is_bytes(&item) ? form_of(item.bytes) : FORM_PLAIN;
	enum tl_err err = has_key ? put_key(w, key, form == FORM_BASE64 ? "64" : "") : TL_OK;
	return err ? err : put_value(w, &item, form);
}

static enum tl_err walk(struct walker *w)
{
	enum tl_err err = put_member(w, false);
	while (!err && w->depth) {
		struct level *level = &w->levels[w->depth - 1];
		if (!level->left) {
			w->depth--;
			err = put_char(w->out, level->is_map ? '}' : ']');
			continue;
		}
		level->left--;
		if (level->begun)
			err = put_char(w->out, ',');
		level->begun = true;
		if (!err)
			err = put_member(w, level->is_map);
	}
	if (!err && w->in.next != w->in.end)
		err = TL_BAD_REQUEST;
	return err;
}

enum tl_err tl_json_from_msgpack(struct tl_slice msgpack, msgpack_sbuffer *out)
{
	if (!msgpack.len || msgpack.len > INT_MAX / 8) /* json-c counts in int, and an escape takes six bytes */
		return TL_BAD_REQUEST;
	struct walker w;
	w.in = tl_reader(msgpack);
	w.out = out;
	w.depth = 0;
	size_t size_before = out->size;
	enum tl_err err = walk(&w);
	if (err)
		out->size = size_before;
	return err;
}
