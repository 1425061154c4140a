/* Takes a message's body apart into tokens, the words and characters that a search compares. How text is cut and folded
 * is said at the top of text.c; clients/PROTOCOL.md says it for users ("How text is matched").
 *
 * An analyser belongs to one thread at a time. What it hands out lies in its scratch memory, which grows as bodies need
 * it and is kept for the next body, so that analysing allocates nothing in the long run. */
#ifndef TL_TEXT_H
#define TL_TEXT_H

#include "error.h"
#include "slice.h"

#include <stdbool.h>
#include <stdint.h>

enum { TL_TERM_MAX = 64 }; /* bytes of an index term */

struct tl_text; /* an analyser with its scratch memory */

/* A new analyser, to be freed by the caller. TL_NO_MEMORY. */
TL_MUST_USE enum tl_err tl_text_new(struct tl_text **text_out);

/* Frees the analyser with all that it handed out. NULL is allowed. */
void tl_text_free(struct tl_text *text);

struct tl_token {
	struct tl_slice term; /* folded, of any length; what is compared */
	uint32_t from, to;    /* the bytes [from, to) of the body that it came from; not empty */
	uint32_t position;    /* consecutive; a jump between two strings of a JSON body, so that no phrase spans them */
	bool run;             /* one character of a script that is written without spaces */
	bool joined;          /* and the token before it is one too, with nothing between them */
};

/* Takes a body apart: plain text, or where the content type says JSON (or is empty and the body is a JSON object or
 * array) the string values in it. JSON that is not well-formed or nested deeper than 64 is plain text. A body that is
 * not valid UTF-8 or has 256 MiB or more has no tokens. What the last call handed out is no longer valid. The time is
 * linear in body.len; the memory at most about 30 times that (60 with characters that stand for whole phrases), which
 * is given back by the next call for a much smaller body if it is more than 4 MiB. TL_NO_MEMORY (then there are no
 * tokens). */
TL_MUST_USE enum tl_err tl_text_analyse(struct tl_text *text, struct tl_slice body, struct tl_slice ctype);

/* The tokens of the body analysed last, in its order; valid until the next call of tl_text_analyse. */
const struct tl_token *tl_text_tokens(const struct tl_text *text, size_t *count_out);

/* The distinct index terms of the body analysed last, ascending bytewise, each at most TL_TERM_MAX bytes (longer
 * words are cut there: the match decides): its words and emoji; of characters written without spaces each with the
 * one that follows, and the last one of each run alone. Valid until the next call of tl_text_analyse; sorting takes
 * n log n. TL_NO_MEMORY. */
TL_MUST_USE enum tl_err tl_text_terms(struct tl_text *text, const struct tl_slice **terms_out, size_t *count_out);

#endif
