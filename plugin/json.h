/* JSON at the edge: everything inside the program is msgpack, and JSON is converted on its way in and out.
 *
 *   - msgpack's binary has no counterpart in JSON: a binary value under the key K becomes the string K if it is valid
 *     UTF-8, else base64 under the key K followed by "64" (body → body64). In an array it becomes the string or,
 *     failing that, base64.
 *   - Integers keep all 64 bits in both directions.
 *
 * No function here keeps state; any thread.
 */
#ifndef TL_JSON_H
#define TL_JSON_H

#include "error.h"
#include "slice.h"

#include <msgpack.h>

/* Converts one JSON text to msgpack, appended to `out`. `max_depth`: nesting allowed (a scalar is 0). Strict JSON in
 * valid UTF-8, nothing but white space around it; U+0000 in strings is allowed. Of a repeated key the last value counts.
 * TL_BAD_REQUEST: `why` says what is wrong and where, in terms a client's author understands; `out` is as before.
 * TL_NO_MEMORY. */
TL_MUST_USE enum tl_err tl_json_to_msgpack(struct tl_slice json, unsigned max_depth, msgpack_sbuffer *out,
                                           struct tl_why *why);

/* Converts one well-formed msgpack item (tl_msgpack_check) to JSON text without white space, appended to `out` (no
 * terminator). Map keys that are not strings, ext types and non-finite numbers: TL_BAD_REQUEST. Slashes are not escaped. */
TL_MUST_USE enum tl_err tl_json_from_msgpack(struct tl_slice msgpack, msgpack_sbuffer *out);

#endif
