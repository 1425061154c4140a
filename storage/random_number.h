/* Numbers that nobody can guess. */
#ifndef TL_RANDOM_NUMBER_H
#define TL_RANDOM_NUMBER_H

#include "error.h"

#include <stdint.h>

/* 64 random bits from the kernel. TL_IO: it has none to give. Any thread. */
TL_MUST_USE enum tl_err tl_random_number(uint64_t *number_out);

#endif
