/* Directories and what a loss of power leaves of them. */
#ifndef TL_DIRECTORY_ENTRIES_H
#define TL_DIRECTORY_ENTRIES_H

/* Makes durable which files are in the directory, and that it is in its own. A parent that is not ours to read is left out: it was
 * not us who made the directory just now. -1 with errno on failure. Any thread. */
int tl_directory_entries_sync(int dir_fd);

#endif
