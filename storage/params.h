/* The arguments of requests: a table says what each request takes, and one parser checks them all.
 * Unknown keys are ignored; a wrong type or range is an error that names the key. */
#ifndef TL_PARAMS_H
#define TL_PARAMS_H

#include "error.h"
#include "slice.h"

#include <stdbool.h>
#include <stdint.h>

enum tl_param_type {
	TL_PARAM_UINT,     /* within min…max */
	TL_PARAM_BOOL,
	TL_PARAM_UINTS,    /* an array of at most max numbers from 1 */
	TL_PARAM_BODY,     /* a string or binary */
	TL_PARAM_STR,      /* min…max bytes of UTF-8 without control characters */
	TL_PARAM_CURSOR,   /* likewise, and maybe a slash and a proof behind it: the place alone (tl_answer_cursor) */
	TL_PARAM_CID,      /* a conversation's id, a direct chat's too */
	TL_PARAM_NEW_CID,  /* one that clients may create: not a direct chat's */
	TL_PARAM_UID,      /* a user's id */
	TL_PARAM_UIDS,     /* an array of at most max user ids */
	TL_PARAM_CHOICE,   /* one of `choices` */
	TL_PARAM_DURATION, /* a string such as "90d": "0", or at least min ms */
};

struct tl_param {
	const char *key;
	enum tl_param_type type;
	bool required;
	uint64_t min, max;
	const char *const *choices; /* ended by NULL */
};

/* A parsed argument; what `given` is false for is zero. */
struct tl_arg {
	bool given;
	uint64_t uint;         /* UINT; BOOL; CHOICE: its index; DURATION: ms; UIDS, UINTS: how many */
	struct tl_slice bytes; /* STR, CID, UID, CHOICE, DURATION, BODY: the text; UIDS, UINTS: the items as packed */
};

/* The number that is given, or else. */
static inline uint64_t tl_arg_uint(const struct tl_arg *arg, uint64_t otherwise)
{
	return arg->given ? arg->uint : otherwise;
}

/* Parses `args`, a well-formed msgpack map, by a table ended by a NULL key; args_out has an element for each of its
 * rows. TL_BAD_REQUEST, and `why` names the key. */
TL_MUST_USE enum tl_err tl_params_parse(const struct tl_param *params, struct tl_slice args, struct tl_arg *args_out,
                                        struct tl_why *why);

/* A whole number of decimal digits and nothing else. False if it is none or needs more than 64 bits. */
bool tl_number_parse(struct tl_slice text, uint64_t *number_out);

/* `count` such numbers with dots between them: what cursors are made of. */
bool tl_cursor_numbers(struct tl_slice text, size_t count, uint64_t *numbers_out);

/* A duration: digits and a unit, one of ms s m h d (60s, 90d), or "0". False if it is none or too large. */
bool tl_duration_parse(struct tl_slice text, uint64_t *ms_out);

/* A size: digits and at most a unit, one of k m g (64k). False if it is none or too large. */
bool tl_size_parse(struct tl_slice text, uint64_t *bytes_out);

#endif
