#include "resident.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_MS = 100 };

/* The number behind a label of /proc/self/status, which are in KiB. */
static uint64_t find_bytes(const char *status, const char *label)
{
	const char *line = strstr(status, label);
	return line ? strtoull(line + strlen(label), NULL, 10) * 1024 : 0;
}

static uint64_t look(void)
{
	char status[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, status, sizeof status - 1) : 0;
	if (fd >= 0)
		close(fd);
	status[len > 0 ? len : 0] = '\0';
	uint64_t bytes = find_bytes(status, "\nVmRSS:");
	return bytes > 0 ? bytes + find_bytes(status, "\nVmSwap:") : UINT64_MAX;
}

void tl_resident_add(struct tl_resident *resident, size_t bytes)
{
	resident->bytes += bytes < UINT64_MAX - resident->bytes ? bytes : UINT64_MAX - resident->bytes;
}

uint64_t tl_resident_bytes(struct tl_resident *resident, uint64_t now_ms)
{
	if (now_ms - resident->looked_ms >= LOOK_MS) {
		resident->looked_ms = now_ms;
		resident->bytes = look();
	}
	return resident->bytes;
}
