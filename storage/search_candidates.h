/* The messages of one conversation that may be what a search looks for, newest first: a superset, cheaply found. Whoever asks
 * verifies each against the store.
 *
 *     head ──────── tail ─────── indexed_to ──── segments, newest first; each a merge-join of postings ────► 1
 *       entries read one by one            + messages that edits in the tail are about
 *
 *   (K1) Whatever matches is found, however far the indexer is behind: what no segment claims is the tail.
 *   (K2) An edited message is indexed once more where its edit stands, so a segment may have candidates older than its
 *        own entries. All segments newer than a candidate have been opened before it is given out.
 *   (K3) Without anything that the index knows (no text, sender or type), and where a segment turns out to be damaged, everything
 *        is the tail.
 *   (K4) An entry that cannot be read is no candidate, and costs as much as many that can.
 *
 * One thread, on one snapshot. */
#ifndef TL_SEARCH_CANDIDATES_H
#define TL_SEARCH_CANDIDATES_H

#include "index_postings.h"
#include "message.h"
#include "query.h"
#include "store_reader.h"

enum { TL_SEARCH_WISHES_MAX = TL_QUERY_INDEX_TERMS_MAX + 2 };

/* What is looked for and what it may cost: the same for all conversations of one search. */
struct tl_search_plan {
	struct tl_engine *engine;
	const struct tl_snapshot *snapshot;
	struct tl_iter *index;           /* shared, moved by every call … */
	struct tl_store_reader store;    /* … likewise */
	const struct tl_query *query;    /* NULL: no text */
	struct tl_slice from, type;      /* empty: any */
	struct tl_index_wish wishes[TL_SEARCH_WISHES_MAX]; /* all of which a candidate has */
	uint32_t wish_count;
	struct tl_index_allowance allowance;
	uint64_t entries;                /* of tails, read so far */
	uint64_t damaged;                /* a conversation whose index is damaged, 0: none was met … */
	uint64_t unreadable;             /* … and one of which an entry, or anything else, cannot be read */
};

/* Sets plan->wishes from what is looked for. */
void tl_search_plan_wishes(struct tl_search_plan *plan);

/* Whether an entry is of the right sender and type, and has what is looked at at all. */
bool tl_search_fields_match(const struct tl_search_plan *plan, const struct tl_message_view *message);

struct tl_candidates; /* of one conversation */

/* `head`: cseq of the conversation's last entry. TL_NO_MEMORY, or trouble. */
TL_MUST_USE enum tl_err tl_candidates_open(struct tl_search_plan *plan, uint64_t conversation_no, uint64_t head,
                                           struct tl_candidates **candidates_out);
void tl_candidates_close(struct tl_candidates *candidates); /* NULL is legal */

/* Nothing below cseq `first` is of interest. */
void tl_candidates_limit(struct tl_candidates *candidates, uint64_t first);

/* Where a search for the next candidate has got to. */
struct tl_place {
	bool candidate; /* the entry `cseq` is one; else none was found yet, and it is the last one looked at */
	uint64_t cseq;
	uint64_t ts;    /* ms: of that entry, if it is no candidate */
};

/* Goes on downwards: the greatest candidate below cseq `below`, or how far the tail was read without one, so that nobody
 * has to wait for the end of a long one. Calls come with descending `below`. TL_END: there is none. */
TL_MUST_USE enum tl_err tl_candidates_next(struct tl_candidates *candidates, uint64_t below, struct tl_place *place_out);

/* How many entries are in no index. */
uint64_t tl_candidates_tail(const struct tl_candidates *candidates);

#endif
