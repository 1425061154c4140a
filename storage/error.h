/* Results of everything in storage/ and above: one list of codes, what each means, and how it reads on the wire. */
#ifndef TL_ERROR_H
#define TL_ERROR_H

#include <stdbool.h>

/* X(name, code on the wire, meaning). Those up to TL_UNKNOWN_OP are refusals: the client's request cannot be done, and
 * trying again will not help by itself. The others are trouble of ours and travel as "storage". */
#define TL_ERRORS(X)                                                                                                   \
	X(TL_OK, "ok", "success")                                                                                          \
	X(TL_BAD_REQUEST, "bad_request", "the request is malformed")                                                       \
	X(TL_NOT_AUTHORISED, "not_authorised", "not allowed")                                                              \
	X(TL_NOT_MEMBER, "not_member", "not a member of this conversation")                                                \
	X(TL_NO_SUCH_MESSAGE, "no_such_message", "no such message")                                                        \
	X(TL_EXISTS, "exists", "already exists")                                                                           \
	X(TL_TOO_LARGE, "too_large", "too large")                                                                          \
	X(TL_RATE_LIMITED, "rate_limited", "too many requests, try again later")                                           \
	X(TL_UNKNOWN_OP, "unknown_op", "unknown operation")                                                                \
	X(TL_STORAGE, "storage", "the server cannot store this now")                                                       \
	X(TL_NOT_FOUND, "storage", "no such key")                                                                          \
	X(TL_AGAIN, "storage", "not ready yet")                                                                            \
	X(TL_END, "storage", "end of data")                                                                                \
	X(TL_CORRUPT, "storage", "damaged data")                                                                           \
	X(TL_IO, "storage", "input/output error")                                                                          \
	X(TL_NO_SPACE, "storage", "no space left on device")                                                               \
	X(TL_NO_MEMORY, "storage", "out of memory")                                                                        \
	X(TL_FULL, "storage", "the queue is full")                                                                         \
	X(TL_LOCKED, "storage", "in use by another process")                                                               \
	X(TL_VERSION, "storage", "written by a newer version of this program")                                             \
	X(TL_CONFLICT, "storage", "a guarded value has changed")                                                           \
	X(TL_CLOSED, "storage", "shutting down")

enum tl_err {
#define X(name, wire, text) name,
	TL_ERRORS(X)
#undef X
};

/* The compiler warns where a result so marked is dropped. */
#define TL_MUST_USE __attribute__((warn_unused_result))

/* What went wrong in words, for a person: filled in by whoever finds the fault, shown by whoever handles it.
 * Text is one line without a full stop, never a payload or password; empty when there is nothing to add. */
struct tl_why {
	char text[240];
};

/* Whether the error is an answer to a client rather than trouble of ours. */
static inline bool tl_err_is_refusal(enum tl_err err)
{
	return err >= TL_BAD_REQUEST && err <= TL_UNKNOWN_OP;
}

/* The error's code in PROTOCOL's terms ("bad_request", …); never NULL. */
const char *tl_err_wire(enum tl_err err);

/* What the error means, in English; never NULL. */
const char *tl_err_text(enum tl_err err);

/* Sets `why` (may be NULL) printf-like, cut to fit, and returns `err`, so that one line can report and return. */
enum tl_err tl_fail(struct tl_why *why, enum tl_err err, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
