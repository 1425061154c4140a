/*
 * The benchmark programs have one way to fail: say why in one line on stderr and exit with status 1. A figure from a
 * run that went wrong is worth nothing, so nothing here tries to carry on.
 */
#ifndef TL_BENCH_ERROR_H
#define TL_BENCH_ERROR_H

#include <stddef.h>

/* Prints "program: text" and exits with status 1. */
_Noreturn void tl_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* malloc/realloc that end the program instead of returning NULL. The caller frees the result. */
void *tl_must_alloc(size_t count, size_t item_bytes);
void *tl_must_realloc(void *memory, size_t bytes);

#endif
