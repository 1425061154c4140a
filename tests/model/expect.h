/* Comparing one thing that the store has answered with what the model says of it. */
#ifndef MODEL_EXPECT_H
#define MODEL_EXPECT_H

#include "answer.h"
#include "model.h"

enum { PREVIEW_BYTES = 512 /* of a body in a list of conversations */ };

/* An entry as shown to somebody. */
struct shown {
	unsigned user;
	uint64_t seq; /* 0: not in an inbox */
	int conversation;
	uint64_t cseq;
	uint64_t now; /* ms: as of when */
	bool lagging; /* the store may be behind the model */
	bool preview; /* bodies are cut */
};

void expect_entry(const struct model *model, const struct shown *shown, struct tl_slice message);

/* An event for one user alone, in the inbox at `seq`. */
void expect_private(const struct model *model, uint64_t seq, const struct private *private, struct tl_slice message);

/* What `info` answers, and what changes answer "as info". */
void expect_info(const struct model *model, const struct info *info, struct tl_slice answer);

/* An array of user names: exactly these, in this order. */
void expect_users(struct tl_slice map, const char *key, const unsigned *users, unsigned count);

#endif
