#include "random_number.h"

#include <sys/random.h>

enum tl_err tl_random_number(uint64_t *number_out)
{
	uint64_t number;
	if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
		return TL_IO;
	*number_out = number;
	return TL_OK;
}
