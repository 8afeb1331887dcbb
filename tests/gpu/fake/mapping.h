/* mapping: device memory as it lies in the address space, for those who allocate it and those who attach it. */
#ifndef TA_FAKE_MAPPING_H
#define TA_FAKE_MAPPING_H

#include "state.h"

namespace ta_fake {

char *map_between_guards(int fd, size_t mapped); /* NULL: errno says why */
void *keep_block(Block block);                   /* the address of what may be touched */
void release_block(const void *base);

} // namespace ta_fake

#endif
