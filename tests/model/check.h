/* What a failed check says: where, and the operations that led to it. It ends the process with 1. */
#ifndef MODEL_CHECK_H
#define MODEL_CHECK_H

#include <stddef.h>
#include <stdint.h>

struct model;

#define CHECK(condition)                                                                                               \
	do {                                                                                                               \
		if (!(condition))                                                                                              \
			check_failed(#condition, __FILE__, __LINE__);                                                              \
	} while (0)

/* For where nothing is left that could hold. */
#define FAIL(should) check_failed("\"" should "\"", __FILE__, __LINE__)

/* Whose operations are shown; NULL: none. Kept until the next call. */
void check_model(const struct model *model);

/* What this thread's checks that follow are about, for the log: a user (NOBODY), a conversation (NOWHERE). */
void check_about(int user, int conversation);

/* And what has been asked, in msgpack. Borrowed until the next call. */
void check_asked(const char *op, const void *args, size_t len);

/* Prints the operations. */
void check_show(void);

_Noreturn void check_failed(const char *condition, const char *file, int line);

#endif
