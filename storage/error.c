#include "error.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static const struct {
	const char *wire;
	const char *text;
} errors[] = {
#define X(name, wire, text) {wire, text},
	TL_ERRORS(X)
#undef X
};

const char *tl_err_wire(enum tl_err err)
{
	size_t i = (size_t)err;
	return i < sizeof errors / sizeof errors[0] ? errors[i].wire : "storage";
}

const char *tl_err_text(enum tl_err err)
{
	size_t i = (size_t)err;
	return i < sizeof errors / sizeof errors[0] ? errors[i].text : "unknown error";
}

enum tl_err tl_fail(struct tl_why *why, enum tl_err err, const char *format, ...)
{
	if (why) {
		va_list args;
		va_start(args, format);
		vsnprintf(why->text, sizeof why->text, format, args);
		va_end(args);
	}
	return err;
}
