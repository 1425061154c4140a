/* Gathers what the search index shall know of some messages, and writes it as a segment. One thread. */
#ifndef TL_INDEX_BUILDER_H
#define TL_INDEX_BUILDER_H

#include "index_segment.h"
#include "message.h"

enum { TL_INDEX_TEXT_MAX = 1024 * 1024 }; /* bytes of a body that are searched, because analysing takes many times as much memory */

/* What of a body is searched: all of it, or of a longer one as many whole characters as are within TL_INDEX_TEXT_MAX. */
struct tl_slice tl_index_text(struct tl_slice body);

struct tl_index_builder;

TL_MUST_USE enum tl_err tl_index_builder_new(struct tl_index_builder **builder_out);
void tl_index_builder_free(struct tl_index_builder *builder); /* NULL is legal */

/* Forgets what has been gathered; memory beyond what is usual is given back. */
void tl_index_builder_clear(struct tl_index_builder *builder);

/* Gathers one message or event: its sender, its type, and the words of its body. TL_NO_MEMORY. */
TL_MUST_USE enum tl_err tl_index_builder_add(struct tl_index_builder *builder, uint64_t cseq,
                                             const struct tl_message_view *message);

/* Gathers a message once more, because it was edited. */
TL_MUST_USE enum tl_err tl_index_builder_add_edited(struct tl_index_builder *builder, uint64_t cseq,
                                                    const struct tl_message_view *message);

/* Brings what has been gathered into the order of postings; *count_out of them. Before tl_index_builder_posting. */
void tl_index_builder_sort(struct tl_index_builder *builder, size_t *count_out);

/* The posting at this index after sorting; valid until the next clear. */
void tl_index_builder_posting(const struct tl_index_builder *builder, size_t index, struct tl_slice *term_out,
                              uint64_t *cseq_out);

#endif
