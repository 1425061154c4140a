#include "queue_window.h"

#include "queue_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum {
	STEP = 128 * 1024, /* bytes reserved at once: hundreds of records, and little on the smallest disk */
	PAGE = 4096,       /* bytes reserved at least, where a step is not to be had */
};

/* ── faults ── */

/* A signal handler has no other way to its data. */
static _Thread_local sigjmp_buf *volatile landing; /* where this thread goes on if its copy faults; NULL: it copies none */
static struct sigaction handler_before;
static pthread_mutex_t users_mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned users; /* users_mutex: windows that are open */

static void on_bus_error(int signal_number)
{
	if (landing)
		siglongjmp(*landing, 1);
	/* Not ours: what faulted is done again on return, and faults under the handler before. */
	sigaction(signal_number, &handler_before, NULL);
}

static void catch_faults(void)
{
	struct sigaction action = {.sa_handler = on_bus_error, .sa_flags = SA_NODEFER};
	sigemptyset(&action.sa_mask);
	pthread_mutex_lock(&users_mutex);
	if (users++ == 0)
		sigaction(SIGBUS, &action, &handler_before);
	pthread_mutex_unlock(&users_mutex);
}

static void leave_faults(void)
{
	pthread_mutex_lock(&users_mutex);
	if (--users == 0)
		sigaction(SIGBUS, &handler_before, NULL);
	pthread_mutex_unlock(&users_mutex);
}

/* False if it faulted. */
static bool copy(unsigned char *to, struct tl_slice bytes)
{
	sigjmp_buf here;
	if (sigsetjmp(here, 0) != 0) {
		landing = NULL;
		return false;
	}
	landing = &here;
	atomic_signal_fence(memory_order_seq_cst);
	memcpy(to, bytes.ptr, bytes.len);
	atomic_signal_fence(memory_order_seq_cst);
	landing = NULL;
	return true;
}

/* ── the window ── */

void tl_queue_window_open(struct tl_queue_window *window, int fd, size_t size, size_t reserved)
{
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	*window = (struct tl_queue_window){.size = size, .reserved = reserved};
	if (base == MAP_FAILED)
		return;
	window->base = base;
	catch_faults();
}

void tl_queue_window_close(struct tl_queue_window *window)
{
	if (!window->base)
		return;
	leave_faults();
	munmap(window->base, window->size);
	window->base = NULL;
}

bool tl_queue_window_covers(const struct tl_queue_window *window, off_t offset, size_t len)
{
	return window->base && (size_t)offset <= window->size && len <= window->size - (size_t)offset;
}

static size_t round_up(size_t size, size_t step)
{
	return (size + step - 1) / step * step;
}

static int allocate(int fd, size_t from, size_t to)
{
	int error;
	do
		error = posix_fallocate(fd, (off_t)from, (off_t)(to - from));
	while (error == EINTR);
	return error;
}

static enum tl_err reserve(struct tl_queue_window *window, int fd, size_t end)
{
	size_t to = round_up(end, STEP), most = round_up(window->size, PAGE);
	if (to > most)
		to = most;
	int error = allocate(fd, window->reserved, to);
	if (error) {
		to = round_up(end, PAGE);
		error = allocate(fd, window->reserved, to);
	}
	if (error)
		return tl_queue_segment_error(error);
	window->reserved = to;
	return TL_OK;
}

enum tl_err tl_queue_window_put(struct tl_queue_window *window, int fd, off_t offset, struct tl_slice bytes)
{
	size_t end = (size_t)offset + bytes.len;
	enum tl_err err = end > window->reserved ? reserve(window, fd, end) : TL_OK;
	if (err)
		return err;
	return copy(window->base + offset, bytes) ? TL_OK : TL_IO;
}

void tl_queue_window_was_cut(struct tl_queue_window *window, off_t size)
{
	if (window->reserved > (size_t)size)
		window->reserved = (size_t)size;
}
