/* What the tests of queries share: an analyser, and a match whose every promise is checked. */
#ifndef QUERY_CHECK_H
#define QUERY_CHECK_H

#include "query.h"

struct found {
	bool matches;
	size_t count;
	struct tl_range ranges[TL_HIGHLIGHTS_MAX];
};

/* The analyser of all tests of a program. */
extern struct tl_text *check_text;

/* A test's setup and teardown: make and free the analyser. */
int check_set_up(void **state);
int check_tear_down(void **state);

/* Parses q, which is not refused. The caller frees it. */
struct tl_query *check_parse(struct tl_slice q);

/* Analyses a body with `check_text`. */
void check_analyse(struct tl_slice body, const char *ctype);

/* Looks for q in a body. What holds for any match is checked: that the index has each term that the query asks it for,
 * that what matches may match, that highlights ascend, do not touch and are whole code points. */
struct found check_find(struct tl_slice q, struct tl_slice body, const char *ctype);

/* Fails the test unless `holds`, and shows the query and the body. */
void check_require(bool holds, const char *what, struct tl_slice q, struct tl_slice body);

/* Whether a code point begins at `at`, or the text ends there. */
bool begins_code_point(struct tl_slice bytes, uint32_t at);

#endif
