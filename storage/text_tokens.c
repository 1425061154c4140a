/* The machine that makes tokens: see text.c for what they are.
 *
 *   bytes ──► ASCII letters and digits ───────► start or go on with a word
 *         ├─► Han (U+4E00–9FFF) ──────────────► a token each
 *         └─► the rest, one by one ──► fold ──► feed, by class
 *
 *   (K1) The last token's term ends where `folded` ends.
 *   (K2) A mark looks back at no more than REORDER_MAX code points, so that the time is linear whatever comes.
 */
#include "text_tokens.h"

#include <stdlib.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

enum {
	REORDER_MAX = 8, /* marks that one mark is put in front of */
	CP_MAX = 4,      /* bytes of a code point */
	JOINER = 0x200d,
};

/* What ASCII letters and digits are folded to; 0: separators. */
static const unsigned char ascii[128] = {
	['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7',
	['8'] = '8', ['9'] = '9', ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f',
	['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n',
	['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v',
	['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd',
	['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l',
	['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't',
	['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z',
};

void tl_tokens_fini(struct tl_tokens *t)
{
	tl_fold_fini(&t->fold);
	free(t->folded);
	free(t->tokens);
	memset(t, 0, sizeof *t);
}

void tl_tokens_clear(struct tl_tokens *t, size_t keep)
{
	if (t->folded_cap + t->cap * sizeof *t->tokens > keep) {
		free(t->folded);
		free(t->tokens);
		t->folded = NULL;
		t->tokens = NULL;
		t->folded_cap = t->cap = 0;
	}
	t->folded_len = t->count = 0;
	t->position = 0;
	t->open = TL_OPEN_NOTHING;
	t->attached = false;
}

static void separate(struct tl_tokens *t)
{
	t->open = TL_OPEN_NOTHING;
	t->attached = false;
}

void tl_tokens_jump(struct tl_tokens *t)
{
	separate(t);
	if (t->count > 0)
		t->position = t->tokens[t->count - 1].position + 2;
}

/* ---- Memory ---- */

static size_t grown(size_t cap, size_t need)
{
	size_t more = cap + cap / 2 + 64;
	return more > need ? more : need;
}

/* The terms move, so what points at them moves along. */
static enum tl_err grow_folded(struct tl_tokens *t, size_t need)
{
	size_t cap = grown(t->folded_cap, t->folded_len + need);
	char *folded = malloc(cap + TL_FOLDED_SLACK);
	if (!folded)
		return TL_NO_MEMORY;
	if (t->folded_len)
		memcpy(folded, t->folded, t->folded_len);
	for (size_t i = 0; i < t->count; i++)
		t->tokens[i].term.ptr = folded + ((const char *)t->tokens[i].term.ptr - t->folded);
	free(t->folded);
	t->folded = folded;
	t->folded_cap = cap;
	return TL_OK;
}

static inline enum tl_err reserve_folded(struct tl_tokens *t, size_t need)
{
	return t->folded_cap - t->folded_len >= need ? TL_OK : grow_folded(t, need);
}

static enum tl_err grow_tokens(struct tl_tokens *t)
{
	size_t cap = grown(t->cap, t->count + 1);
	struct tl_token *tokens = realloc(t->tokens, cap * sizeof *tokens);
	if (!tokens)
		return TL_NO_MEMORY;
	t->tokens = tokens;
	t->cap = cap;
	return TL_OK;
}

/* ---- Tokens ---- */

/* Puts a code point where the next term or the rest of the last one begins, and returns its length; there is room. */
static inline size_t put(struct tl_tokens *t, ucs4_t cp)
{
	return (size_t)u8_uctomb((uint8_t *)t->folded + t->folded_len, cp, CP_MAX);
}

/* Begins a token with the `len` bytes just put. */
static inline enum tl_err begin(struct tl_tokens *t, bool run, size_t len, uint32_t from, uint32_t to)
{
	if (t->count == t->cap && grow_tokens(t) != TL_OK)
		return TL_NO_MEMORY;
	struct tl_token *token = &t->tokens[t->count++];
	token->term = tl_slice(t->folded + t->folded_len, len);
	token->from = from;
	token->to = to;
	token->position = t->position++;
	token->run = run;
	token->joined = run && t->attached && token[-1].run;
	t->folded_len += len;
	t->attached = true;
	return TL_OK;
}

/* Goes on with the last token by the `len` bytes just put. */
static inline void append(struct tl_tokens *t, size_t len, uint32_t to)
{
	struct tl_token *token = &t->tokens[t->count - 1];
	t->folded_len += len;
	token->term.len += len;
	token->to = to;
}

static inline enum tl_err add_to_word(struct tl_tokens *t, size_t len, uint32_t from, uint32_t to)
{
	if (t->open == TL_OPEN_WORD) {
		append(t, len, to);
		return TL_OK;
	}
	t->open = TL_OPEN_WORD;
	return begin(t, false, len, from, to);
}

static inline enum tl_err add_run(struct tl_tokens *t, size_t len, uint32_t from, uint32_t to)
{
	t->open = TL_OPEN_NOTHING;
	return begin(t, true, len, from, to);
}

static void extend(struct tl_tokens *t, uint32_t to)
{
	if (t->attached)
		t->tokens[t->count - 1].to = to;
}

/* ---- Marks ---- */

/* The last code point before `end` and where it begins; false: there is none from `floor` on. */
static bool look_back(const char *floor, const char *end, const char **begin_out, ucs4_t *cp_out)
{
	const uint8_t *at = u8_prev(cp_out, (const uint8_t *)end, (const uint8_t *)floor);
	*begin_out = (const char *)at;
	return at != NULL;
}

/* Where the code points begin that a mark may go together with. A run's tokens are a code point each. */
static const char *floor_of(const struct tl_tokens *t)
{
	size_t i = t->count - 1;
	for (int steps = 0; steps < REORDER_MAX && t->tokens[i].joined; steps++)
		i--;
	return t->tokens[i].term.ptr;
}

/* The one code point that two go together to, folded; 0: none. TL_NO_MEMORY. */
static enum tl_err compose(struct tl_tokens *t, ucs4_t base, ucs4_t mark, enum tl_fold_class class, ucs4_t *cp_out)
{
	uint32_t entry;
	ucs4_t composed = uc_composition(base, mark);
	*cp_out = 0;
	if (!composed)
		return TL_OK;
	enum tl_err err = tl_fold_find(&t->fold, composed, &entry);
	if (err == TL_OK && tl_fold_class(entry) == class)
		*cp_out = entry & TL_FOLD_VALUE;
	return err;
}

/* Puts a code point in the place of the bytes [at, at + len) of the last token. There is room. */
static void replace(struct tl_tokens *t, const char *at, size_t len, ucs4_t cp)
{
	uint8_t bytes[CP_MAX];
	size_t now = (size_t)u8_uctomb(bytes, cp, CP_MAX), begins = (size_t)(at - t->folded);
	char *place = t->folded + begins;
	memmove(place + now, place + len, t->folded_len - begins - len);
	memcpy(place, bytes, now);
	t->folded_len = t->folded_len - len + now;
	t->tokens[t->count - 1].term.len = t->tokens[t->count - 1].term.len - len + now;
}

/* Where a mark belongs among those before it: in front of those of a higher combining class, as long as their code
 * points are of the same length, so that the tokens of a run keep theirs. */
static const char *place_of(const struct tl_tokens *t, const char *floor, ucs4_t mark, size_t len)
{
	const char *place = t->folded + t->folded_len, *before;
	int class = uc_combining_class(mark);
	ucs4_t cp;
	for (int steps = 0; class && steps < REORDER_MAX && look_back(floor, place, &before, &cp); steps++) {
		if (uc_combining_class(cp) <= class || (size_t)(place - before) != len)
			break;
		place = before;
	}
	return place;
}

/* Puts the last `len` bytes at `place` instead. */
static void move_back(struct tl_tokens *t, const char *place, size_t len)
{
	char bytes[CP_MAX], *at = t->folded + (place - t->folded), *end = t->folded + t->folded_len;
	memcpy(bytes, end - len, len);
	memmove(at + len, at, (size_t)(end - at) - len);
	memcpy(at, bytes, len);
}

/* Lets a mark go together with the last token's code point before the mark's place; false in `*done_out`: they do
 * not. */
static enum tl_err join_mark(struct tl_tokens *t, const char *place, ucs4_t mark, enum tl_fold_class class, uint32_t to,
                             bool *done_out)
{
	const struct tl_token *last = &t->tokens[t->count - 1];
	const char *before;
	ucs4_t base, composed;
	*done_out = false;
	if (!look_back(last->term.ptr, place, &before, &base))
		return TL_OK;
	enum tl_err err = compose(t, base, mark, class, &composed);
	if (err != TL_OK || !composed)
		return err;
	replace(t, before, (size_t)(place - before), composed);
	extend(t, to);
	*done_out = true;
	return TL_OK;
}

static enum tl_err add_mark(struct tl_tokens *t, ucs4_t cp, bool run, uint32_t from, uint32_t to)
{
	size_t len = put(t, cp);
	return run ? add_run(t, len, from, to) : add_to_word(t, len, from, to);
}

static enum tl_err feed_mark(struct tl_tokens *t, uint32_t entry, uint32_t from, uint32_t to)
{
	enum tl_fold_class class = tl_fold_class(entry);
	ucs4_t cp = entry & TL_FOLD_VALUE;
	bool run = class == TL_FOLD_RUN, done;
	if (!t->attached || (run ? !t->tokens[t->count - 1].run : t->open != TL_OPEN_WORD))
		return add_mark(t, cp, run, from, to);
	size_t len = put(t, cp);
	const char *place = place_of(t, floor_of(t), cp, len);
	enum tl_err err = join_mark(t, place, cp, class, to, &done);
	if (err != TL_OK || done)
		return err;
	err = add_mark(t, cp, run, from, to);
	if (err == TL_OK)
		move_back(t, place, len);
	return err;
}

/* An accent makes another letter of the one before it, or nothing. */
static enum tl_err feed_accent(struct tl_tokens *t, uint32_t entry, uint32_t to)
{
	bool done;
	if (!t->attached)
		return TL_OK;
	extend(t, to);
	if (t->open != TL_OPEN_WORD)
		return TL_OK;
	return join_mark(t, t->folded + t->folded_len, entry & TL_FOLD_VALUE, TL_FOLD_WORD, to, &done);
}

/* ---- Emoji ---- */

static enum tl_err feed_emoji(struct tl_tokens *t, ucs4_t cp, uint32_t from, uint32_t to)
{
	bool goes_on = t->open == TL_OPEN_EMOJI_JOINER;
	t->open = TL_OPEN_EMOJI;
	if (!goes_on)
		return begin(t, false, put(t, cp), from, to);
	append(t, put(t, JOINER), to);
	append(t, put(t, cp), to);
	return TL_OK;
}

static enum tl_err feed_regional(struct tl_tokens *t, ucs4_t cp, uint32_t from, uint32_t to)
{
	bool goes_on = t->open == TL_OPEN_FLAG;
	t->open = goes_on ? TL_OPEN_NOTHING : TL_OPEN_FLAG;
	if (!goes_on)
		return begin(t, false, put(t, cp), from, to);
	append(t, put(t, cp), to);
	return TL_OK;
}

/* ---- By class ---- */

static enum tl_err feed_content(struct tl_tokens *t, uint32_t entry, uint32_t from, uint32_t to)
{
	ucs4_t cp = entry & TL_FOLD_VALUE;
	switch (tl_fold_class(entry)) {
	case TL_FOLD_WORD:
		return add_to_word(t, put(t, cp), from, to);
	case TL_FOLD_RUN:
		return add_run(t, put(t, cp), from, to);
	case TL_FOLD_EMOJI:
		return feed_emoji(t, cp, from, to);
	case TL_FOLD_REGIONAL:
		return feed_regional(t, cp, from, to);
	default: /* TL_FOLD_TAG */
		if (t->open == TL_OPEN_EMOJI)
			append(t, put(t, cp), to);
		return TL_OK;
	}
}

static enum tl_err feed(struct tl_tokens *t, uint32_t entry, uint32_t from, uint32_t to)
{
	enum tl_fold_class class = tl_fold_class(entry);
	enum tl_err err = reserve_folded(t, 2 * CP_MAX);
	if (err != TL_OK)
		return err;
	switch (class) {
	case TL_FOLD_SEPARATOR:
		separate(t);
		return TL_OK;
	case TL_FOLD_ACCENT:
		return feed_accent(t, entry, to);
	case TL_FOLD_JOINER:
	case TL_FOLD_NOTHING:
		if (class == TL_FOLD_JOINER && t->open == TL_OPEN_EMOJI)
			t->open = TL_OPEN_EMOJI_JOINER;
		extend(t, to);
		return TL_OK;
	default:
		return entry & TL_FOLD_MARK ? feed_mark(t, entry, from, to) : feed_content(t, entry, from, to);
	}
}

enum tl_err tl_tokens_add_cp(struct tl_tokens *t, uint32_t cp, uint32_t from, uint32_t to)
{
	uint32_t entry;
	enum tl_err err = tl_fold_find(&t->fold, cp, &entry);
	if (err != TL_OK || tl_fold_class(entry) != TL_FOLD_SEQUENCE)
		return err == TL_OK ? feed(t, entry, from, to) : err;
	size_t at = entry & TL_FOLD_VALUE, count = t->fold.sequences[at];
	/* By index: feeding may move the sequences. */
	for (size_t i = 1; i <= count && err == TL_OK; i++)
		err = feed(t, t->fold.sequences[at + i], from, to);
	return err;
}

/* ---- Stretches of a body ---- */

static inline bool is_word(unsigned char c)
{
	return c < sizeof ascii && ascii[c];
}

/* Takes the ASCII letters and digits at `from`, of which there is at least one; `*from` goes behind them. */
static inline enum tl_err add_ascii_word(struct tl_tokens *t, const unsigned char *body, uint32_t *from, uint32_t to)
{
	uint32_t begins = *from, at = begins;
	if (reserve_folded(t, to - at) != TL_OK)
		return TL_NO_MEMORY;
	/* Folded where the term will lie. */
	unsigned char *out = (unsigned char *)t->folded + t->folded_len;
	do {
		*out++ = ascii[body[at++]];
	} while (at < to && is_word(body[at]));
	*from = at;
	return add_to_word(t, at - begins, begins, at);
}

/* The code point at `p`, in valid UTF-8 and beyond ASCII. */
static inline uint32_t decode(const unsigned char *p, uint32_t *len_out)
{
	if (p[0] < 0xe0) {
		*len_out = 2;
		return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
	}
	if (p[0] < 0xf0) {
		*len_out = 3;
		return (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	}
	*len_out = 4;
	return (p[0] & 7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
}

static inline enum tl_err add_beyond_ascii(struct tl_tokens *t, const unsigned char *body, uint32_t *from)
{
	uint32_t len, at = *from, cp = decode(body + at, &len);
	*from = at + len;
	if (cp < 0x4e00 || cp > 0x9fff)
		return tl_tokens_add_cp(t, cp, at, at + len);
	if (reserve_folded(t, CP_MAX) != TL_OK)
		return TL_NO_MEMORY;
	memcpy(t->folded + t->folded_len, body + at, len);
	return add_run(t, len, at, at + len);
}

enum tl_err tl_tokens_add(struct tl_tokens *t, const unsigned char *body, uint32_t from, uint32_t to)
{
	enum tl_err err = TL_OK;
	while (from < to && err == TL_OK) {
		unsigned char c = body[from];
		if (is_word(c)) {
			err = add_ascii_word(t, body, &from, to);
		} else if (c < 0x80) {
			separate(t);
			from++;
		} else {
			err = add_beyond_ascii(t, body, &from);
		}
	}
	return err;
}
