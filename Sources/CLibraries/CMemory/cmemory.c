// SPDX-License-Identifier: Apache-2.0

#include "cmemory.h"

#if defined(__GLIBC__) || defined(__linux__)
#include <malloc.h>
#endif

void cmemory_give_back_from(size_t bytes) {
#if defined(M_MMAP_THRESHOLD)
    mallopt(M_MMAP_THRESHOLD, (int)bytes);
#else
    (void)bytes;
#endif
}
