/* A JSON parser that makes no values: it checks the text and hands its string values on where they stand, which is what
 * highlights need and json-c does not tell. No recursion: a bit for each level says what is open there.
 *
 *     value ──► after ──► end of the text
 *       ▲         │ ,
 *       └── key ◄─┘ (in an object)
 */
#include "text_json.h"

enum { DEPTH_MAX = 64 };

enum state { VALUE, KEY, AFTER, DONE, MALFORMED };

struct scan {
	const unsigned char *text;
	uint32_t at, end;
	struct tl_tokens *tokens;
	uint64_t objects; /* bit n: level n is an object, else an array */
	unsigned depth;   /* levels open */
	enum tl_err err;  /* of adding tokens; then the state is MALFORMED */
};

static int peek(const struct scan *s)
{
	return s->at < s->end ? s->text[s->at] : -1;
}

static bool pass(struct scan *s, int c)
{
	if (peek(s) != c)
		return false;
	s->at++;
	return true;
}

static void pass_space(struct scan *s)
{
	for (int c = peek(s); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = peek(s))
		s->at++;
}

/* ---- Strings ---- */

static bool pass_hex(struct scan *s, uint32_t *number_out)
{
	uint32_t number = 0;
	for (int i = 0; i < 4; i++) {
		int c = peek(s);
		if (c >= '0' && c <= '9')
			c -= '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			c = (c | 0x20) - 'a' + 10;
		else
			return false;
		number = number << 4 | (uint32_t)c;
		s->at++;
	}
	*number_out = number;
	return true;
}

/* What is behind \u; of two surrogates that belong together both. One that is alone is a blank. */
static bool pass_unicode(struct scan *s, uint32_t *cp_out)
{
	uint32_t low, cp;
	if (!pass_hex(s, &cp))
		return false;
	*cp_out = cp >= 0xd800 && cp <= 0xdfff ? ' ' : cp;
	if (cp < 0xd800 || cp > 0xdbff || s->end - s->at < 6 || s->text[s->at] != '\\' || s->text[s->at + 1] != 'u')
		return true;
	uint32_t second = s->at;
	s->at += 2;
	if (!pass_hex(s, &low))
		return false;
	if (low >= 0xdc00 && low <= 0xdfff)
		*cp_out = 0x10000 + ((cp - 0xd800) << 10 | (low - 0xdc00));
	else
		s->at = second;
	return true;
}

/* What a backslash stands in front of. */
static bool pass_escape(struct scan *s, uint32_t *cp_out)
{
	static const char names[] = "\"\\/bfnrt", codes[] = "\"\\/\b\f\n\r\t";
	int c = peek(s);
	if (c < 0)
		return false;
	s->at++;
	if (c == 'u')
		return pass_unicode(s, cp_out);
	const char *name = c ? strchr(names, c) : NULL;
	if (!name)
		return false;
	*cp_out = (unsigned char)codes[name - names];
	return true;
}

/* The bytes up to a quote, a backslash or a control character. */
static void pass_plain(struct scan *s)
{
	while (s->at < s->end && s->text[s->at] != '"' && s->text[s->at] != '\\' && s->text[s->at] >= 0x20)
		s->at++;
}

/* Passes a string behind its first quote; it becomes tokens where it `is_text`. */
static bool pass_string(struct scan *s, bool is_text)
{
	for (;;) {
		uint32_t from = s->at, cp;
		pass_plain(s);
		if (is_text && (s->err = tl_tokens_add(s->tokens, s->text, from, s->at)) != TL_OK)
			return false;
		if (pass(s, '"'))
			return true;
		from = s->at;
		if (!pass(s, '\\') || !pass_escape(s, &cp))
			return false;
		if (is_text && (s->err = tl_tokens_add_cp(s->tokens, cp, from, s->at)) != TL_OK)
			return false;
	}
}

/* ---- Other values ---- */

static bool pass_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);
	if (s->end - s->at < len || memcmp(s->text + s->at, word, len) != 0)
		return false;
	s->at += (uint32_t)len;
	return true;
}

static bool pass_digits(struct scan *s)
{
	uint32_t from = s->at;
	while (peek(s) >= '0' && peek(s) <= '9')
		s->at++;
	return s->at > from;
}

static bool pass_number(struct scan *s)
{
	pass(s, '-');
	if (!pass(s, '0') && !pass_digits(s))
		return false;
	if (pass(s, '.') && !pass_digits(s))
		return false;
	if (!pass(s, 'e') && !pass(s, 'E'))
		return true;
	if (!pass(s, '+'))
		pass(s, '-');
	return pass_digits(s);
}

/* ---- Structure ---- */

static bool in_object(const struct scan *s)
{
	return s->objects >> (s->depth - 1) & 1;
}

/* Passes the bracket that opens a level, and if nothing is in it the one that closes it. */
static enum state open_level(struct scan *s)
{
	bool object = s->text[s->at++] == '{';
	if (s->depth == DEPTH_MAX)
		return MALFORMED;
	pass_space(s);
	if (pass(s, object ? '}' : ']'))
		return AFTER;
	s->objects = (s->objects & ~(UINT64_C(1) << s->depth)) | (uint64_t)object << s->depth;
	s->depth++;
	return object ? KEY : VALUE;
}

static enum state pass_value(struct scan *s)
{
	switch (peek(s)) {
	case '{':
	case '[':
		return open_level(s);
	case '"':
		s->at++;
		tl_tokens_jump(s->tokens);
		return pass_string(s, true) ? AFTER : MALFORMED;
	case 't':
		return pass_word(s, "true") ? AFTER : MALFORMED;
	case 'f':
		return pass_word(s, "false") ? AFTER : MALFORMED;
	case 'n':
		return pass_word(s, "null") ? AFTER : MALFORMED;
	default:
		return pass_number(s) ? AFTER : MALFORMED;
	}
}

static enum state pass_key(struct scan *s)
{
	if (!pass(s, '"') || !pass_string(s, false))
		return MALFORMED;
	pass_space(s);
	return pass(s, ':') ? VALUE : MALFORMED;
}

static enum state pass_after(struct scan *s)
{
	if (s->depth == 0)
		return s->at == s->end ? DONE : MALFORMED;
	bool object = in_object(s);
	if (pass(s, ','))
		return object ? KEY : VALUE;
	if (!pass(s, object ? '}' : ']'))
		return MALFORMED;
	s->depth--;
	return AFTER;
}

enum tl_err tl_text_json(struct tl_tokens *tokens, struct tl_slice json, bool *is_json_out)
{
	struct scan s = {.text = json.ptr, .end = (uint32_t)json.len, .tokens = tokens, .err = TL_OK};
	enum state state = VALUE;
	while (state != DONE && state != MALFORMED) {
		pass_space(&s);
		state = state == VALUE ? pass_value(&s) : state == KEY ? pass_key(&s) : pass_after(&s);
	}
	*is_json_out = state == DONE;
	return s.err;
}
