/* What an analyser is made of, for text.c and query_match.c. */
#ifndef TL_TEXT_STATE_H
#define TL_TEXT_STATE_H

#include "query.h"
#include "text_terms.h"
#include "text_tokens.h"

struct tl_text {
	struct tl_tokens tokens; /* of the body analysed last */
	struct tl_terms terms;
	struct tl_range highlights[TL_HIGHLIGHTS_MAX]; /* of the last match */
};

#endif
