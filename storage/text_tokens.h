/* Makes tokens of text that comes in pieces: stretches of a body as they stand, and single code points that a JSON
 * escape stands for. What a token is, is said at the top of text.c. Belongs to storage/'s text analysis; one thread
 * at a time. */
#ifndef TL_TEXT_TOKENS_H
#define TL_TEXT_TOKENS_H

#include "fold.h"
#include "text.h"

#include <endian.h>

/* What the last token may go on with. */
enum tl_token_open {
	TL_OPEN_NOTHING,
	TL_OPEN_WORD,
	TL_OPEN_EMOJI,
	TL_OPEN_EMOJI_JOINER, /* an emoji after which a joiner came */
	TL_OPEN_FLAG,         /* half of a flag */
};

struct tl_tokens {
	struct tl_fold fold;
	char *folded; /* the terms, one after the other without gaps */
	size_t folded_len, folded_cap;
	struct tl_token *tokens;
	size_t count, cap;
	uint32_t position;       /* of the next token */
	enum tl_token_open open;
	bool attached;           /* there is a last token, and nothing between it and what comes */
};

/* Bytes that can be read beyond the last term. */
enum { TL_FOLDED_SLACK = 8 };

/* The first eight bytes of a folded term as a number, zeros after a shorter one's end: terms are ordered as their keys,
 * and those of at most eight bytes are equal if their keys are. TL_FOLDED_SLACK bytes can be read behind it. */
static inline uint64_t tl_term_key(const char *term, size_t len)
{
	uint64_t key;
	memcpy(&key, term, sizeof key);
	key = be64toh(key);
	return len >= sizeof key ? key : key & ~(UINT64_MAX >> (8 * len));
}

/* A zeroed struct is ready. */
void tl_tokens_fini(struct tl_tokens *t);

/* Starts over. Gives back most of the memory where it is more than `keep` bytes. */
void tl_tokens_clear(struct tl_tokens *t, size_t keep);

/* Ends the token at hand; the next one is far from it. */
void tl_tokens_jump(struct tl_tokens *t);

/* Adds the bytes [from, to) of a body, valid UTF-8 of whole code points. TL_NO_MEMORY. */
TL_MUST_USE enum tl_err tl_tokens_add(struct tl_tokens *t, const unsigned char *body, uint32_t from, uint32_t to);

/* Adds a code point below 0x110000 that the bytes [from, to) stand for. TL_NO_MEMORY. */
TL_MUST_USE enum tl_err tl_tokens_add_cp(struct tl_tokens *t, uint32_t cp, uint32_t from, uint32_t to);

#endif
