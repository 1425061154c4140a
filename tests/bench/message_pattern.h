/*
 * What the messages of a load look like: topics and names made from patterns, and payloads made of words.
 */
#ifndef TL_MESSAGE_PATTERN_H
#define TL_MESSAGE_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TL_TOPIC_BYTES 512

/* What the placeholders stand for. */
struct tl_pattern_values {
	uint64_t connection;   /* %n */
	uint64_t user;         /* %u */
	uint64_t conversation; /* %c */
	uint64_t message;      /* %m */
};

/*
 * Writes `pattern` with its placeholders filled in, and a NUL; returns its length. One that is too long, or an unknown
 * placeholder, ends the program.
 */
size_t tl_pattern_fill(const char *pattern, const struct tl_pattern_values *values, char out[TL_TOPIC_BYTES]);

/*
 * The source of payloads. Chat messages are text, and text is what a server indexes for search: by default payloads
 * are words of six letters from a vocabulary of 4,096, the common ones much more common. Otherwise they are bytes that
 * are no valid UTF-8.
 */
struct tl_message_text {
	uint8_t *pool; /* owned */
	uint64_t random;
	size_t max_bytes;
};

/* `max_bytes`: the longest payload that will be asked for. tl_message_text_fini() frees. */
void tl_message_text_init(struct tl_message_text *text, size_t max_bytes, bool binary);
void tl_message_text_fini(struct tl_message_text *text);

/* A payload of up to max_bytes, different from the last; borrowed from `text`. */
const uint8_t *tl_message_text_next(struct tl_message_text *text);

/* The next of a row of random numbers; *state is where the row is, not 0 to begin with. */
uint64_t tl_random(uint64_t *state);

/* A number for %m that no earlier run on this machine used: the time in microseconds. */
uint64_t tl_message_id_base(void);

#endif
