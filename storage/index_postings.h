/* The messages of one segment that have a term, or any term that begins with a prefix, newest first. What a search joins.
 * One thread; the iterator is shared and moved by every call. */
#ifndef TL_INDEX_POSTINGS_H
#define TL_INDEX_POSTINGS_H

#include "index_segment.h"

enum {
	TL_POSTINGS_WINDOW = 32768, /* offsets of a prefix that are gathered at a time */
	TL_POSTINGS_PREFIX_CHUNKS = 64, /* chunks read for that at most */
};

/* What is looked for. */
struct tl_index_wish {
	struct tl_index_term term;
	bool prefix;
};

struct tl_postings {
	const struct tl_index_wish *wish; /* borrowed */
	bool unknown;        /* a prefix of too many terms: any message may have it */
	bool complete;       /* there is nothing at or beyond `next` */
	uint64_t next;       /* the least offset that has not been loaded */
	char *list;          /* of a term: its offsets in one chunk, packed */
	struct tl_offsets offsets; /* within `list` */
	bool at_offset;      /* offsets.value is at hand */
	uint64_t *window;    /* of a prefix: a bit for each of TL_POSTINGS_WINDOW offsets … */
	uint64_t window_from; /* … from this one on */
};

/* What a search may still spend; counted down, and never a reason to fail. */
struct tl_index_allowance {
	uint64_t chunks;        /* chunks read */
	uint64_t prefix_chunks; /* of them, how many more may be read for prefixes: 0, and prefixes are `unknown` */
};

void tl_postings_init(struct tl_postings *postings, const struct tl_index_wish *wish);
void tl_postings_fini(struct tl_postings *postings);

/* The least offset from `from` on: calls come with ascending `from`. With postings->unknown it is `from` itself. TL_END: there is
 * none. TL_CORRUPT: the segment is damaged. */
TL_MUST_USE enum tl_err tl_postings_seek(struct tl_postings *postings, struct tl_iter *iter,
                                         const struct tl_segment *segment, struct tl_index_allowance *allowance,
                                         uint64_t from, uint64_t *offset_out);

#endif
