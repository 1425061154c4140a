/* The distinct index terms of a text. Belongs to storage/'s text analysis; one thread at a time. */
#ifndef TL_TEXT_TERMS_H
#define TL_TEXT_TERMS_H

#include "text_tokens.h"

struct tl_term_entry;

struct tl_terms {
	struct tl_term_entry *entries, *merged; /* `cap` each */
	struct tl_slice *slices;                /* `slice_cap` */
	size_t cap, slice_cap;
};

/* A zeroed struct is ready. */
void tl_terms_fini(struct tl_terms *terms);

/* Gives the memory back where it is more than `keep` bytes. */
void tl_terms_clear(struct tl_terms *terms, size_t keep);

/* Makes the terms of the tokens, sorted bytewise; they point into the tokens' memory. TL_NO_MEMORY. */
TL_MUST_USE enum tl_err tl_terms_make(struct tl_terms *terms, const struct tl_tokens *tokens,
                                      const struct tl_slice **terms_out, size_t *count_out);

#endif
