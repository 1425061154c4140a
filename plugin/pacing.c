#include "pacing.h"

enum { EACH_NS = 1000000000 / TL_PACING_PER_S };

bool tl_pacing_take(struct tl_pacing *pacing, uint64_t now_ns)
{
	if (pacing->idle_ns < now_ns)
		pacing->idle_ns = now_ns;
	if (pacing->idle_ns - now_ns > (uint64_t)EACH_NS * (TL_PACING_MAX - 1))
		return false;
	pacing->idle_ns += EACH_NS;
	return true;
}

void tl_pacing_heard(struct tl_pacing *pacing)
{
	if (pacing->idle_ns > EACH_NS)
		pacing->idle_ns -= EACH_NS;
}
