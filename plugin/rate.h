/* How fast users may send and ask: one allowance for messages and one for requests, shared by all devices of a user.
 *
 *     burst ──► │▓▓▓▓▓▓░░░░│   each PUBLISH takes one, `per_second` come back
 *
 *   (R1) An allowance is one number: when it will be full again. So it costs nothing while nobody uses it.
 *   (R2) It outlives the user's connections until it is full: connecting again gains nothing. Of such ones a bounded number
 *        is kept, the latest.
 *   (R3) What is refused takes nothing, so somebody who sends too fast gets the rate, not silence.
 *
 * The time is handed in: ns of a clock that never goes back. Broker thread only. */
#ifndef TL_RATE_H
#define TL_RATE_H

#include "error.h"
#include "slice.h"

#include <stdbool.h>
#include <stdint.h>

enum tl_rate_kind {
	TL_RATE_MESSAGES,
	TL_RATE_REQUESTS,
	TL_RATE_KINDS,
};

struct tl_rate {
	uint64_t per_second; /* at most 1,000,000; 0: no limit */
	uint64_t burst;      /* how many at once, from 1 */
};

/* Takes one, if there is one. *full_at, ns, 0 at first: when all will be back (R1). */
bool tl_rate_take(const struct tl_rate *limit, uint64_t *full_at, uint64_t now);

/* Has one come back before its time. */
void tl_rate_give_back(const struct tl_rate *limit, uint64_t *full_at);

struct tl_rates;
struct tl_allowance; /* one user's */

/* `limits` has an element for each kind. */
TL_MUST_USE enum tl_err tl_rates_new(const struct tl_rate *limits, struct tl_rates **rates_out);

/* Frees the allowances too. NULL is legal. */
void tl_rates_free(struct tl_rates *rates);

/* The allowance of a user who has one connection more; NULL where nothing is limited or memory is short, and then
 * everything is granted. */
struct tl_allowance *tl_rates_enter(struct tl_rates *rates, struct tl_slice user);

/* The user has one connection less. `allowance` may be NULL. */
void tl_rates_leave(struct tl_rates *rates, struct tl_allowance *allowance, uint64_t now);

/* Whether the user may send or ask once more now. `allowance` may be NULL. */
bool tl_rates_take(const struct tl_rates *rates, struct tl_allowance *allowance, enum tl_rate_kind kind, uint64_t now);

#endif
