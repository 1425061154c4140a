/* What tests of several files ask about an inbox. */
#ifndef READ_INBOX_H
#define READ_INBOX_H

#include "inbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static inline struct tl_bounds read_inbox_bounds(struct tl_engine *engine, uint64_t user_no)
{
	struct tl_bounds bounds;
	struct tl_iter *iter;
	assert_int_equal(tl_iter_new(engine, NULL, tl_partition(TL_PART_META, 0), true, &iter), TL_OK);
	assert_int_equal(tl_inbox_bounds(iter, user_no, &bounds, NULL), TL_OK);
	tl_iter_free(iter);
	return bounds;
}

#endif
