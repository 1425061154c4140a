/* How a body becomes tokens:
 *
 *     body ──► UTF-8? ──► JSON's string values, or all of it ──► fold (fold.c) ──► tokens (text_tokens.c)
 *
 *     "Die Straße, iPhone手机壳 👍🏽"   die · strasse · iphone · 手 · 机 · 壳 · 👍
 *                                                              (手机 and 机壳 joined)
 *
 *   - A word is a run of letters, digits and marks; everything else but emoji is between words. UAX #29 would keep
 *     don't, 3.14 and example.com whole; here they are don t, 3 14 and example com, so that `example` finds the last,
 *     too. A query is cut the same way, and what one blank-free piece of it is cut into has to stand together.
 *   - A character of a script that is written without spaces (Han, kana, Hangul, bopomofo, Thai, Lao, Khmer, Myanmar
 *     …) is a token of its own, `joined` to the one before it where nothing but what is passed over stands between
 *     them. Any part of such a run is thus found, without a dictionary and without false hits. Marks that such
 *     characters keep are characters of the run.
 *   - An emoji is a token with all that belongs to it (families, flags) but its skin colour and its variation selector.
 *   - What is passed over (accents, soft hyphens, zero-width characters) counts to the token before it, but for its
 *     term.
 *
 *   (X1) The term of a token is what its bytes are folded to, but where several tokens come from the same bytes (㍻ is
 *        平成).
 *   (X2) Terms of joined tokens lie in memory one after the other: a run of characters is one run of bytes.
 *   (X3) Folding what is folded changes nothing, and the text's normalisation (NFC, NFD) does not matter, as long as
 *        marks stand on letters of their own script.
 */
#include "text.h"

#include "text_json.h"
#include "text_state.h"

#include <stdlib.h>
#include <strings.h>
#include <unistr.h>

enum {
	BODY_MAX = 1 << 28,        /* bytes, exclusive: what terms are cut into stays below 4 GiB */
	KEEP_BYTES = 4 << 20,      /* of scratch memory, whatever the next body needs */
	SCRATCH_PER_BYTE_MAX = 64, /* more than a body's bytes ever need */
};

enum tl_err tl_text_new(struct tl_text **text_out)
{
	struct tl_text *text = calloc(1, sizeof *text);
	if (!text)
		return TL_NO_MEMORY;
	*text_out = text;
	return TL_OK;
}

void tl_text_free(struct tl_text *text)
{
	if (!text)
		return;
	tl_tokens_fini(&text->tokens);
	tl_terms_fini(&text->terms);
	free(text);
}

/* ---- Which bodies are JSON ---- */

static bool ends_with(struct tl_slice s, const char *end)
{
	size_t len = strlen(end);
	return s.len >= len && !strncasecmp((const char *)s.ptr + s.len - len, end, len);
}

/* The content type, which is not empty, without parameters and the blanks before them. */
static struct tl_slice media_type(struct tl_slice ctype)
{
	const char *begin = ctype.ptr, *semicolon = memchr(begin, ';', ctype.len);
	const char *end = semicolon ? semicolon : begin + ctype.len;
	while (begin < end && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return tl_slice(begin, (size_t)(end - begin));
}

static bool may_be_json(struct tl_slice body, struct tl_slice ctype)
{
	const char *p = body.ptr, *end = p + body.len;
	if (ctype.len > 0) {
		struct tl_slice type = media_type(ctype);
		return ends_with(type, "/json") || ends_with(type, "+json");
	}
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p < end && (*p == '{' || *p == '[');
}

/* ---- Analysing ---- */

static bool is_utf8(struct tl_slice body)
{
	return u8_check(body.ptr, body.len) == NULL;
}

static void clear(struct tl_text *text, size_t body_len)
{
	size_t need = body_len * SCRATCH_PER_BYTE_MAX, keep = need > KEEP_BYTES ? need : KEEP_BYTES;
	tl_tokens_clear(&text->tokens, keep);
	tl_terms_clear(&text->terms, keep);
}

static enum tl_err analyse(struct tl_text *text, struct tl_slice body, struct tl_slice ctype)
{
	bool is_json = false;
	if (may_be_json(body, ctype)) {
		enum tl_err err = tl_text_json(&text->tokens, body, &is_json);
		if (err != TL_OK || is_json)
			return err;
		tl_tokens_clear(&text->tokens, SIZE_MAX);
	}
	return tl_tokens_add(&text->tokens, body.ptr, 0, (uint32_t)body.len);
}

enum tl_err tl_text_analyse(struct tl_text *text, struct tl_slice body, struct tl_slice ctype)
{
	clear(text, body.len < BODY_MAX ? body.len : 0);
	if (body.len == 0 || body.len >= BODY_MAX || !is_utf8(body))
		return TL_OK;
	enum tl_err err = analyse(text, body, ctype);
	if (err != TL_OK)
		tl_tokens_clear(&text->tokens, SIZE_MAX);
	return err;
}

const struct tl_token *tl_text_tokens(const struct tl_text *text, size_t *count_out)
{
	*count_out = text->tokens.count;
	return text->tokens.tokens;
}

enum tl_err tl_text_terms(struct tl_text *text, const struct tl_slice **terms_out, size_t *count_out)
{
	return tl_terms_make(&text->terms, &text->tokens, terms_out, count_out);
}
