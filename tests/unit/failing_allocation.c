#include "failing_allocation.h"
#include "wrapped.h"

#include <stdlib.h>

WRAPPED(malloc);
WRAPPED(calloc);
WRAPPED(realloc);

void *__wrap_malloc(size_t size)
{
	return allocation_fails(size) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return allocation_fails(count * size) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return allocation_fails(size) ? NULL : __real_realloc(old, size);
}
