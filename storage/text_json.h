/* The text in a JSON body: the string values, not the keys. Belongs to storage/'s text analysis; one thread at a
 * time. */
#ifndef TL_TEXT_JSON_H
#define TL_TEXT_JSON_H

#include "slice.h"
#include "text_tokens.h"

/* Adds the string values of a JSON text to `tokens`, far from one another; their bytes are those of `json` as it
 * stands, escapes and all. `json`: valid UTF-8 of less than 2 GiB. False in `is_json_out`: it is not well-formed or
 * nested deeper than 64, and what was added is worthless. TL_NO_MEMORY. */
TL_MUST_USE enum tl_err tl_text_json(struct tl_tokens *tokens, struct tl_slice json, bool *is_json_out);

#endif
