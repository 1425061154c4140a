/* How a code point is folded:
 *
 *     code point ── letters ── NFKD + full case folding, until it stays ── letters ── accents off ── NFC ── classify
 *
 *   - Letters that Unicode does not take apart, though people type them as others: ı ø æ œ ł đ …, alef in its forms.
 *   - Accents go where they are accents: of Latin, Greek, Cyrillic and their like, and the points of Hebrew, Arabic
 *     and Syriac, which are mostly not written. Marks that make another letter stay and are composed again: dakuten,
 *     й and ў, hamza on waw and yeh, the vowel signs and nuktas of Indic and South-East Asian scripts.
 *   - Hangul is kept as syllables. The letters ㄱ … ㅣ as they are typed alone (ㅋㅋㅠㅠ) stay what they are: decomposed
 *     they would go together to syllables that nobody wrote.
 *   - Decimal digits of all scripts are ASCII digits.
 */
#include "fold.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>

enum {
	EXPANSION_MAX = 64,     /* code points; Unicode's longest is 18 */
	CYRILLIC_I = 0x438,
	CYRILLIC_U = 0x443,
	BREVE = 0x306,
	ALEF = 0x627,
	MADDA_ABOVE = 0x653,
	HAMZA_BELOW = 0x655,
	DAKUTEN = 0x3099,
	HANDAKUTEN = 0x309a,
};

struct expansion {
	ucs4_t at[EXPANSION_MAX];
	size_t len;
};

void tl_fold_fini(struct tl_fold *fold)
{
	free(fold->pages);
	free(fold->sequences);
	memset(fold, 0, sizeof *fold);
}

/* ---- What a code point becomes ---- */

/* Sorted by code point. */
static const struct letter {
	ucs4_t cp, as[2];
} letters[] = {
	{0xe6, {'a', 'e'}},   /* æ */
	{0xf0, {'d'}},        /* ð */
	{0xf8, {'o'}},        /* ø */
	{0xfe, {'t', 'h'}},   /* þ */
	{0x111, {'d'}},       /* đ */
	{0x127, {'h'}},       /* ħ */
	{0x131, {'i'}},       /* ı: its capital is I */
	{0x142, {'l'}},       /* ł */
	{0x153, {'o', 'e'}},  /* œ */
	{0x167, {'t'}},       /* ŧ */
	{0x649, {0x64a}},     /* alef maksura as yeh */
	{0x671, {ALEF}},      /* alef wasla */
	{0x6a9, {0x643}},     /* keheh as kaf */
	{0x6cc, {0x64a}},     /* Farsi yeh as yeh */
	{0x309b, {DAKUTEN}},
	{0x309c, {HANDAKUTEN}},
};

static int compare_letters(const void *key, const void *element)
{
	const struct letter *wanted = key, *letter = element;
	return (wanted->cp > letter->cp) - (wanted->cp < letter->cp);
}

static void replace_letters(struct expansion *e)
{
	struct expansion to = {.len = 0};
	for (size_t i = 0; i < e->len && to.len + 2 <= EXPANSION_MAX; i++) {
		struct letter key = {.cp = e->at[i]};
		const struct letter *found =
			bsearch(&key, letters, sizeof letters / sizeof letters[0], sizeof letters[0], compare_letters);
		int digit = uc_decimal_value(e->at[i]);
		to.at[to.len++] = found ? found->as[0] : digit >= 0 ? (ucs4_t)('0' + digit) : e->at[i];
		if (found && found->as[1])
			to.at[to.len++] = found->as[1];
	}
	*e = to;
}

static bool script_is_one_of(ucs4_t cp, const char *const *names)
{
	const uc_script_t *script = uc_script(cp);
	for (; script && *names; names++)
		if (!strcmp(script->name, *names))
			return true;
	return false;
}

static bool is_mark(ucs4_t cp)
{
	return uc_is_general_category(cp, UC_CATEGORY_M);
}

/* Whether a mark is none that makes another letter; those that may, in front of the right letter, are asked before. */
static bool is_accent(ucs4_t cp)
{
	static const char *const scripts[] = {"Inherited", "Common",   "Latin",      "Greek",  "Cyrillic", "Armenian",
	                                      "Georgian",  "Coptic",   "Glagolitic", "Hebrew", "Arabic",   "Syriac",
	                                      NULL};
	if (cp == DAKUTEN || cp == HANDAKUTEN)
		return false;
	return is_mark(cp) && (uc_is_general_category(cp, UC_CATEGORY_Me) || (cp >= 0x302a && cp <= 0x302f) ||
	                       script_is_one_of(cp, scripts));
}

/* Whether an accent makes another letter of what is before it. */
static bool makes_letter(ucs4_t base, ucs4_t accent)
{
	if (accent == BREVE)
		return base == CYRILLIC_I || base == CYRILLIC_U;
	return accent >= MADDA_ABOVE && accent <= HAMZA_BELOW && base != ALEF;
}

static void drop_accents(struct expansion *e)
{
	size_t len = 0;
	for (size_t i = 0; i < e->len; i++)
		if (!is_accent(e->at[i]) || (len > 0 && makes_letter(e->at[len - 1], e->at[i])))
			e->at[len++] = e->at[i];
	e->len = len;
}

/* Takes what a libunistring function made: `made` is in `e` itself or of malloc. TL_NO_MEMORY. */
static enum tl_err take(struct expansion *e, ucs4_t *made, size_t len)
{
	if (!made || made != e->at) {
		free(made);
		return TL_NO_MEMORY;
	}
	e->len = len;
	return TL_OK;
}

static enum tl_err fold_case(struct expansion *e)
{
	/* What decomposes to capitals is folded the next time. */
	for (int round = 0; round < 3; round++) {
		struct expansion from = *e;
		size_t len = EXPANSION_MAX;
		ucs4_t *made = u32_casefold(from.at, from.len, NULL, UNINORM_NFKD, e->at, &len);
		enum tl_err err = take(e, made, len);
		if (err != TL_OK)
			return err;
		if (e->len == from.len && !memcmp(e->at, from.at, from.len * sizeof from.at[0]))
			break;
	}
	return TL_OK;
}

static enum tl_err compose(struct expansion *e)
{
	struct expansion from = *e;
	size_t len = EXPANSION_MAX;
	if (from.len == 0)
		return TL_OK;
	ucs4_t *made = u32_normalize(UNINORM_NFC, from.at, from.len, e->at, &len);
	return take(e, made, len);
}

static bool is_korean_letter(ucs4_t cp)
{
	return (cp >= 0x3131 && cp <= 0x318e) || (cp >= 0xffa0 && cp <= 0xffdc);
}

/* Those that are never part of anything else, or that a decomposition would join to the word before them (™). */
static bool stays(ucs4_t cp)
{
	return (cp >= 0x4e00 && cp <= 0x9fff) || (cp >= 0xac00 && cp <= 0xd7a3) || cp == 0x2120 || cp == 0x2122;
}

static enum tl_err expand(ucs4_t cp, struct expansion *e)
{
	*e = (struct expansion){.at = {cp}, .len = 1};
	if (stays(cp))
		return TL_OK;
	if (is_korean_letter(cp)) {
		int tag;
		if (cp >= 0xffa0 && uc_decomposition(cp, &tag, e->at) != 1)
			e->at[0] = cp;
		return TL_OK;
	}
	replace_letters(e);
	enum tl_err err = fold_case(e);
	if (err != TL_OK)
		return err;
	replace_letters(e);
	drop_accents(e);
	return compose(e);
}

/* ---- What a code point is ---- */

static bool is_run(ucs4_t cp)
{
	static const char *const scripts[] = {
		"Han",      "Hiragana", "Katakana", "Hangul",   "Bopomofo", "Yi",          "Tangut",
		"Nushu",    "Thai",     "Lao",      "Khmer",    "Myanmar",  "Tai_Le",      "New_Tai_Lue",
		"Tai_Tham", "Tai_Viet", "Ahom",     "Balinese", "Javanese", "Khitan_Small_Script", NULL,
	};
	if (cp >= 0x20000 && cp <= 0x3fffd)
		return true; /* Han, also what later versions of Unicode put there */
	if (uc_is_general_category(cp, UC_CATEGORY_Co))
		return true;
	if (cp >= 0x2e80 && cp <= 0x2fdf)
		return uc_is_general_category(cp, UC_CATEGORY_S); /* radicals */
	if (!uc_is_general_category(cp, UC_CATEGORY_L) && !uc_is_general_category(cp, UC_CATEGORY_N) && !is_mark(cp))
		return false;
	return (cp >= 0x3000 && cp <= 0x33ff) || script_is_one_of(cp, scripts);
}

/* Emoji modifiers: a skin's colour is to an emoji what an accent is to a letter. */
static bool is_modifier(ucs4_t cp)
{
	return cp >= 0x1f3fb && cp <= 0x1f3ff;
}

static bool is_nothing(ucs4_t cp)
{
	return cp == 0x640 /* tatweel */ || is_modifier(cp) || uc_is_property_default_ignorable_code_point(cp) ||
	       is_accent(cp);
}

/* Some letters may go together with what is before them, as marks do: vowels and finals of Hangul, and a vowel of Kirat Rai, which
 * Unicode has since 16. */
static bool may_compose(ucs4_t cp)
{
	return is_mark(cp) || (cp >= 0x1160 && cp <= 0x11ff) || cp == 0x16d67;
}

static enum tl_fold_class class_of(ucs4_t cp)
{
	if (cp == 0x200d)
		return TL_FOLD_JOINER;
	if (cp >= 0xe0020 && cp <= 0xe007f)
		return TL_FOLD_TAG;
	if (cp == BREVE || (cp >= MADDA_ABOVE && cp <= HAMZA_BELOW))
		return TL_FOLD_ACCENT;
	if (is_nothing(cp))
		return TL_FOLD_NOTHING;
	if (cp >= 0x2b9 && cp <= 0x2bf)
		return TL_FOLD_SEPARATOR; /* letters to Unicode; typed as apostrophes or for them */
	if (is_run(cp))
		return TL_FOLD_RUN;
	if (uc_is_general_category(cp, UC_CATEGORY_L) || uc_is_general_category(cp, UC_CATEGORY_N) || is_mark(cp))
		return TL_FOLD_WORD;
	if (cp >= 0x1f1e6 && cp <= 0x1f1ff)
		return TL_FOLD_REGIONAL;
	return uc_is_property_extended_pictographic(cp) ? TL_FOLD_EMOJI : TL_FOLD_SEPARATOR;
}

static uint32_t entry_of(ucs4_t cp)
{
	uint32_t class = (uint32_t)class_of(cp);
	bool mark = (class == TL_FOLD_WORD || class == TL_FOLD_RUN) && may_compose(cp);
	return class << 24 | (mark ? TL_FOLD_MARK : 0) | cp;
}

/* ---- The table ---- */

/* Where a code point becomes words and punctuation (½, ㈱), it does not go together with what is around it. */
static size_t isolate(uint32_t *entries, size_t count)
{
	size_t separators = 0;
	for (size_t i = 0; i < count; i++)
		separators += tl_fold_class(entries[i]) == TL_FOLD_SEPARATOR;
	if (separators == 0)
		return count;
	if (separators == count)
		return 1;
	memmove(entries + 1, entries, count * sizeof entries[0]);
	entries[0] = entries[count + 1] = (uint32_t)TL_FOLD_SEPARATOR << 24;
	return count + 2;
}

static enum tl_err add_sequence(struct tl_fold *fold, const uint32_t *entries, size_t count, uint32_t *entry_out)
{
	if (fold->sequence_cap - fold->sequence_count < count + 1) {
		size_t cap = fold->sequence_cap * 2 + EXPANSION_MAX * 2;
		uint32_t *sequences = realloc(fold->sequences, cap * sizeof *sequences);
		if (!sequences)
			return TL_NO_MEMORY;
		fold->sequences = sequences;
		fold->sequence_cap = cap;
	}
	*entry_out = (uint32_t)TL_FOLD_SEQUENCE << 24 | (uint32_t)fold->sequence_count;
	fold->sequences[fold->sequence_count++] = (uint32_t)count;
	memcpy(fold->sequences + fold->sequence_count, entries, count * sizeof *entries);
	fold->sequence_count += count;
	return TL_OK;
}

static enum tl_err make_entry(struct tl_fold *fold, ucs4_t cp, uint32_t *entry_out)
{
	struct expansion e;
	uint32_t entries[EXPANSION_MAX + 2];
	size_t count = 0;
	enum tl_fold_class class = class_of(cp);
	if (class >= TL_FOLD_REGIONAL) {
		*entry_out = (uint32_t)class << 24 | cp;
		/* A mark that is passed over may still become a letter (iota subscript). */
		if (class != TL_FOLD_NOTHING || !is_mark(cp))
			return TL_OK;
	}
	enum tl_err err = expand(cp, &e);
	if (err != TL_OK)
		return err;
	for (; count < e.len; count++)
		entries[count] = entry_of(e.at[count]);
	count = isolate(entries, count);
	if (count > 1)
		return add_sequence(fold, entries, count, entry_out);
	*entry_out = count ? entries[0] : (uint32_t)TL_FOLD_NOTHING << 24 | cp;
	return TL_OK;
}

static enum tl_err reserve_page(struct tl_fold *fold)
{
	size_t cap = fold->page_cap ? fold->page_cap * 2 : 16;
	if (fold->page_count < fold->page_cap)
		return TL_OK;
	uint32_t(*pages)[TL_FOLD_PAGE] = realloc(fold->pages, cap * sizeof *pages);
	if (!pages)
		return TL_NO_MEMORY;
	fold->pages = pages;
	fold->page_cap = cap;
	if (fold->page_count == 0)
		fold->page_count = 1;
	return TL_OK;
}

static enum tl_err add_page(struct tl_fold *fold, uint16_t *page_out)
{
	enum tl_err err = reserve_page(fold);
	if (err != TL_OK)
		return err;
	memset(fold->pages[fold->page_count], 0, sizeof fold->pages[0]);
	*page_out = (uint16_t)fold->page_count++;
	return TL_OK;
}

enum tl_err tl_fold_add(struct tl_fold *fold, uint32_t cp, uint32_t *entry_out)
{
	uint16_t *page = &fold->page_of[cp / TL_FOLD_PAGE];
	enum tl_err err = *page ? TL_OK : add_page(fold, page);
	if (err == TL_OK)
		err = make_entry(fold, cp, entry_out);
	if (err == TL_OK)
		fold->pages[*page][cp % TL_FOLD_PAGE] = *entry_out;
	return err;
}
