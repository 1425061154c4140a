/* A window of memory onto the segment that is being appended to: a short record is copied into it, which costs a
 * twentieth of a system call. What is copied is the kernel's at once, so it survives kill -9 as a write does.
 *
 *     file      [header][records ···········|······ reserved ······]
 *     window    [base                        ^ next record          size of the mapping, beyond the file's end]
 *
 *   (B1) Nothing is copied to where the file has no blocks. They are reserved before, a step at a time, so that a full
 *        disk is an error of the reservation, not a signal from the copy, and little is allocated ahead.
 *   (B2) Where the copy faults all the same (the disk fails, somebody cuts the file) it ends with TL_IO, not the
 *        process with SIGBUS. The handler for that is the process's while a window is in use; faults that are none of
 *        its own it leaves to the handler before it.
 *
 * A window belongs to one thread. */
#ifndef TL_QUEUE_WINDOW_H
#define TL_QUEUE_WINDOW_H

#include "error.h"
#include "slice.h"

#include <stdbool.h>
#include <sys/types.h>

struct tl_queue_window {
	unsigned char *base; /* NULL: there is none */
	size_t size;         /* bytes of the file that it covers, from the first on */
	size_t reserved;     /* bytes of the file that have their blocks */
};

/* Opens a window of `size` bytes onto a file, open for reading and writing, of `reserved` bytes. Where that is not to be
 * had (a file system without mappings, no memory) there is none, and tl_queue_window_covers says so. */
void tl_queue_window_open(struct tl_queue_window *window, int fd, size_t size, size_t reserved);

/* Legal where there is none. */
void tl_queue_window_close(struct tl_queue_window *window);

/* Whether `len` bytes at `offset` of the file lie within. */
bool tl_queue_window_covers(const struct tl_queue_window *window, off_t offset, size_t len);

/* Copies bytes to where the window covers the file. TL_NO_SPACE, TL_IO: part of them may be there. */
TL_MUST_USE enum tl_err tl_queue_window_put(struct tl_queue_window *window, int fd, off_t offset, struct tl_slice bytes);

/* The file has been cut to `size` bytes. */
void tl_queue_window_was_cut(struct tl_queue_window *window, off_t size);

#endif
