#include "pacing.h"

#include "rate.h"

static const struct tl_rate limit = {.per_second = TL_PACING_PER_S, .burst = TL_PACING_MAX};

bool tl_pacing_take(struct tl_pacing *pacing, uint64_t now_ns)
{
	return tl_rate_take(&limit, &pacing->idle_ns, now_ns);
}

void tl_pacing_heard(struct tl_pacing *pacing)
{
	tl_rate_give_back(&limit, &pacing->idle_ns);
}
