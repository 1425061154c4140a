/* A search over several conversations of one user: what of them matches and may be seen, newest first.
 *
 *     conversations by where their next hit can be at most ──► heap ──► the first one: next candidate ── verify ──┐
 *        (at first: their last entry)                            ▲                                              │
 *                                                                └──────────── its place, a hit or not ◄────────┘
 *
 *   (H1) The order is that of places: time, then conversation number, then cseq, all descending. A place once given is
 *        the cursor of the next page, and new messages come before all places given so far.
 *   (H2) A conversation is looked into only when its last entry is newer than the best hit at hand, and only as far
 *        as the place of the next conversation.
 *   (H3) When the search has cost enough it stops at the first place whose entry has been looked at; all above it is known, so the
 *        next page goes on from there. Each conversation is looked into before, so every page gets further.
 *   (H4) What cannot be read is no hit, and costs the user nothing else: an entry is passed over, a conversation of which
 *        it cannot be told who may see what is left out, a damaged index is done without (search_candidates.h K3).
 *
 * Any thread, on one snapshot. */
#ifndef TL_SEARCH_H
#define TL_SEARCH_H

#include "search_candidates.h"
#include "visibility.h"

enum { TL_SEARCH_LEFT_MAX = 2000 }; /* conversations that the user has left: of more, those made last */

struct tl_search;

/* A place in the order of all messages (H1). */
struct tl_search_place {
	uint64_t ts, conversation_no, cseq;
};

struct tl_search_options {
	struct tl_engine *engine;
	const struct tl_snapshot *snapshot;
	const struct tl_query *query; /* NULL: no text */
	struct tl_slice from, type;   /* empty: any */
	uint64_t since, until;        /* ms, both included */
	uint64_t user_no;
	const struct tl_limits *limits;
	uint64_t now; /* ms */
	bool has_start;
	struct tl_search_place start; /* only what comes after it */
};

/* What is found, valid until the next call. */
struct tl_search_hit {
	struct tl_search_place place;
	const struct tl_visibility *visibility; /* of its conversation: how the user sees it */
	struct tl_slice message; /* as kept */
	const struct tl_range *ranges; /* of the body: what the text matched */
	size_t range_count;
};

/* The slices and the query are borrowed. */
TL_MUST_USE enum tl_err tl_search_new(const struct tl_search_options *options, struct tl_search **search_out);
void tl_search_free(struct tl_search *search); /* NULL is legal */

/* Adds one conversation (before the first hit is asked for), or all that the user is in or has left. TL_NOT_MEMBER: of one that
 * the user may not see. */
TL_MUST_USE enum tl_err tl_search_add(struct tl_search *search, uint64_t conversation_no);
TL_MUST_USE enum tl_err tl_search_add_all(struct tl_search *search);

/* The next hit: TL_OK; TL_END: there is no more; TL_RATE_LIMITED: the search has cost enough, *place_out is where to go on. */
TL_MUST_USE enum tl_err tl_search_next(struct tl_search *search, struct tl_search_hit *hit_out,
                                       struct tl_search_place *place_out);

/* A conversation whose index was found to be damaged, 0 if there is none. */
uint64_t tl_search_damaged(const struct tl_search *search);

/* A conversation of which something cannot be read and was left out (H4), 0 if there is none. */
uint64_t tl_search_unreadable(const struct tl_search *search);

#endif
