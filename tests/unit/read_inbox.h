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
	struct tl_inbox_end end;
	assert_int_equal(tl_inbox_end(engine, NULL, user_no, &end), TL_OK);
	return end.bounds;
}

#endif
