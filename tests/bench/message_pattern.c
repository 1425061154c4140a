#include "message_pattern.h"

#include "bench_clock.h"
#include "bench_error.h"

#include <stdlib.h>
#include <string.h>

#define POOL_WORDS 32768u
#define WORD_BYTES 7u /* three syllables and a space */
#define SEED 0x9e3779b97f4a7c15ull

static size_t put_number(uint64_t number, char *out)
{
	char digits[20];
	size_t count = 0;
	size_t i;

	do {
		digits[count++] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	for (i = 0; i < count; i++) {
		out[i] = digits[count - 1 - i];
	}
	return count;
}

static uint64_t value_of(char placeholder, const struct tl_pattern_values *values, const char *pattern)
{
	switch (placeholder) {
	case 'n':
		return values->connection;
	case 'u':
		return values->user;
	case 'c':
		return values->conversation;
	case 'm':
		return values->message;
	default:
		tl_die("'%s': a placeholder is %%n, %%u, %%c, %%m or %%%%", pattern);
	}
}

size_t tl_pattern_fill(const char *pattern, const struct tl_pattern_values *values, char out[TL_TOPIC_BYTES])
{
	const char *from;
	size_t at = 0;

	for (from = pattern; *from != '\0'; from++) {
		if (at + 21 >= TL_TOPIC_BYTES) {
			tl_die("'%s' is too long", pattern);
		}
		if (*from != '%') {
			out[at++] = *from;
		} else if (*++from == '%') {
			out[at++] = '%';
		} else {
			at += put_number(value_of(*from, values, pattern), out + at);
		}
	}
	out[at] = '\0';
	return at;
}

uint64_t tl_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void put_word(uint64_t word, uint8_t *out)
{
	static const char syllables[16][3] = { "ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti",
		"vo", "wu", "ya" };
	size_t i;

	for (i = 0; i < 3; i++) {
		memcpy(out + 2 * i, syllables[(word >> (4 * i)) & 15u], 2);
	}
	out[6] = ' ';
}

void tl_message_text_init(struct tl_message_text *text, size_t max_bytes, bool binary)
{
	size_t words = POOL_WORDS + max_bytes / WORD_BYTES + 1;
	size_t i;

	text->random = SEED;
	text->max_bytes = max_bytes;
	text->pool = tl_must_alloc(words, WORD_BYTES);
	for (i = 0; i < words; i++) {
		/* the AND of two random numbers makes words of few set bits the common ones */
		put_word(tl_random(&text->random) & tl_random(&text->random), text->pool + i * WORD_BYTES);
	}
	for (i = 0; binary && i < words * WORD_BYTES; i++) {
		text->pool[i] |= 0x80u;
	}
}

void tl_message_text_fini(struct tl_message_text *text)
{
	free(text->pool);
	text->pool = NULL;
}

const uint8_t *tl_message_text_next(struct tl_message_text *text)
{
	return text->pool + (tl_random(&text->random) % POOL_WORDS) * WORD_BYTES;
}

uint64_t tl_message_id_base(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
