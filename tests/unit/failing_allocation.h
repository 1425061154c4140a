/* Allocations that fail where the test says so. For a program whose malloc, calloc and realloc are wrapped by the linker (tl_wrap). */
#ifndef FAILING_ALLOCATION_H
#define FAILING_ALLOCATION_H

#include <stdbool.h>
#include <stddef.h>

/* Asked before each allocation, on the thread that makes it; the test's own. */
bool allocation_fails(size_t bytes);

#endif
