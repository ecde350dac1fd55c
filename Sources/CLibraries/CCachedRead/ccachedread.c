// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "ccachedread.h"

#include <errno.h>

ssize_t ccachedread(int descriptor, const struct iovec *pieces, int count, int64_t offset) {
#ifdef RWF_NOWAIT
    return preadv2(descriptor, pieces, count, (off_t)offset, RWF_NOWAIT);
#else
    errno = ENOSYS;
    return -1;
#endif
}
