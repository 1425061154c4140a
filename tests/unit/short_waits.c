/* Threads of the store that rest, or pause before they try again, do so for a twentieth of the time. For a program in which
 * the linker wraps tl_thread_deadline (tl_wrap), so that it need not sit out what nobody but the threads waits for. */
#include "thread.h"
#include "wrapped.h"

enum { LONG_MS = 100, TIMES = 20 };

WRAPPED(tl_thread_deadline);

struct timespec __wrap_tl_thread_deadline(uint64_t ms)
{
	return __real_tl_thread_deadline(ms < LONG_MS ? ms : ms / TIMES);
}
