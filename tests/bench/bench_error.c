#include "bench_error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void tl_die(const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

void *tl_must_alloc(size_t count, size_t item_bytes)
{
	void *memory = calloc(count > 0 ? count : 1, item_bytes);

	if (!memory) {
		tl_die("out of memory (%zu x %zu bytes)", count, item_bytes);
	}
	return memory;
}

void *tl_must_realloc(void *memory, size_t bytes)
{
	void *grown = realloc(memory, bytes);

	if (!grown) {
		tl_die("out of memory (%zu bytes)", bytes);
	}
	return grown;
}
