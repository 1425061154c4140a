/* CRC-32C (Castagnoli), with which LevelDB checks its blocks. What Debian has it in, libisal, is not there for every processor. */
#ifndef TL_CRC32C_H
#define TL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

uint32_t tl_crc32c(const void *data, size_t len);

#ifdef __cplusplus
}
#endif

#endif
