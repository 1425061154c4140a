/* A store as a test of damage uses it: what users ask and send, in one line each. Whatever is not answered at all, or with trouble of
 * the store's own (a disk that cannot be read, say), ends the process with a line that says so. */
#ifndef STORE_USER_H
#define STORE_USER_H

#include "store.h"

struct store_user {
	struct tl_store *store;
	const char *dir;
	uint64_t inbox_max;          /* options of the next opening: inbox_max, … */
	uint64_t retention_ms;       /* … and retention */
	enum tl_err refusal;         /* of the last thing sent; TL_OK: it was stored */
	_Atomic unsigned outcomes;
	_Atomic enum tl_err outcome; /* the last one */
	struct tl_pack page;         /* the last answer, as a map */
};

enum {
	STORE_USER_TTL_MS = 100000,     /* of inbox entries and devices */
	STORE_USER_PATIENCE_MS = 20000, /* for anything */
};

/* Ends the process with one line on stderr, printf-like. */
_Noreturn void store_user_failed(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Does so unless the error is none. */
void store_user_must(enum tl_err err, const char *what);

/* What the process is about, for that line; borrowed. */
void store_user_about(const char *text);

/* Opens the store: what that says. With TL_OK it is there until it is closed. */
enum tl_err store_user_open(struct store_user *user);
void store_user_close(struct store_user *user);

/* The store's clock, in ms, which goes on by 1 with everything sent. */
void store_user_pass_time(uint64_t ms);

/* Asks for something: `args` are pairs with one space between, key=type:value. Types are s (a string), u (a number), b (0 or 1),
 * S and U (lists of them, with commas). The answer is in `page`. */
enum tl_err store_user_ask(struct store_user *user, const char *uid, const char *op, const char *args);

/* Has something changed, and waits for the outcome. */
enum tl_err store_user_change(struct store_user *user, const char *uid, const char *op, const char *args);

/* Sends a message, and waits for the outcome; `cid` may be @ and a user; `id` may be NULL; an `order` of 0 is
 * none. */
enum tl_err store_user_send(struct store_user *user, const char *uid, const char *cid, const char *id, const char *text,
                            uint64_t order);

/* Of the last answer: a number, the number of items in a list, and its cursor if it has one. */
uint64_t store_user_uint(const struct store_user *user, const char *key);
uint32_t store_user_count(const struct store_user *user, const char *key);
bool store_user_cursor(const struct store_user *user, char cursor[64]);

/* Waits until something is so; fails if it never comes to be. */
void store_user_wait(struct store_user *user, bool (*is_so)(struct store_user *user), const char *what);

/* Waits until the process's threads are at rest. */
void store_user_wait_for_rest(void);

#endif
