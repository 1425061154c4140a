/* What a code point becomes before text is compared, and what it is to a search: a letter, a character of a script
 * written without spaces, an emoji, something to pass over, something between words. The rules are in fold.c.
 *
 * The Unicode tables (libunistring's) are asked once for each code point that is met, and the answers kept, in pages
 * of 64: two loads for a code point from then on. Belongs to storage/'s text analysis; one thread at a time. */
#ifndef TL_FOLD_H
#define TL_FOLD_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

/* What a code point is to a search. */
enum tl_fold_class {
	TL_FOLD_UNKNOWN,   /* not met yet */
	TL_FOLD_SEPARATOR, /* between words: blanks, punctuation, most symbols, controls */
	TL_FOLD_WORD,      /* of a word: letters, digits, and marks that make another letter */
	TL_FOLD_RUN,       /* a character of a script that is written without spaces */
	TL_FOLD_EMOJI,     /* begins an emoji */
	TL_FOLD_REGIONAL,  /* half of a flag */
	TL_FOLD_JOINER,    /* makes one emoji of two; nothing elsewhere */
	TL_FOLD_TAG,       /* goes on with an emoji; nothing elsewhere */
	TL_FOLD_ACCENT,    /* nothing, unless it makes another letter of the one before it */
	TL_FOLD_NOTHING,   /* passed over: accents, soft hyphens, variation selectors … */
	TL_FOLD_SEQUENCE,  /* becomes several code points: their number and entries are at sequences[value] */
};

/* class << 24 | TL_FOLD_MARK | what it becomes */
enum {
	TL_FOLD_MARK = 1 << 23, /* a WORD or RUN that may go together with the code point before it */
	TL_FOLD_VALUE = (1 << 21) - 1,
};

enum { TL_FOLD_PAGE = 64, TL_FOLD_PAGES = 0x110000 / TL_FOLD_PAGE };

struct tl_fold {
	uint16_t page_of[TL_FOLD_PAGES];   /* in `pages`, by code point / TL_FOLD_PAGE; 0: none yet */
	uint32_t (*pages)[TL_FOLD_PAGE];   /* the first is not used */
	uint32_t *sequences;
	size_t page_count, page_cap;
	size_t sequence_count, sequence_cap; /* numbers */
};

/* A zeroed struct is an empty table. */
void tl_fold_fini(struct tl_fold *fold);

/* Makes the entry of a code point below 0x110000 that has none. TL_NO_MEMORY. */
TL_MUST_USE enum tl_err tl_fold_add(struct tl_fold *fold, uint32_t cp, uint32_t *entry_out);

/* The entry of a code point below 0x110000, never unknown. TL_NO_MEMORY. */
TL_MUST_USE static inline enum tl_err tl_fold_find(struct tl_fold *fold, uint32_t cp, uint32_t *entry_out)
{
	uint16_t page = fold->page_of[cp / TL_FOLD_PAGE];
	uint32_t entry = page ? fold->pages[page][cp % TL_FOLD_PAGE] : 0;
	if (!entry)
		return tl_fold_add(fold, cp, entry_out);
	*entry_out = entry;
	return TL_OK;
}

static inline enum tl_fold_class tl_fold_class(uint32_t entry)
{
	return (enum tl_fold_class)(entry >> 24);
}

#endif
