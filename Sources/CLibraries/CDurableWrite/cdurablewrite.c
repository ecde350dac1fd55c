// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "cdurablewrite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>

ssize_t cdurablewrite(int descriptor, const void *bytes, size_t count, int64_t offset) {
#ifdef RWF_DSYNC
    struct iovec piece = {.iov_base = (void *)bytes, .iov_len = count};
    return pwritev2(descriptor, &piece, 1, (off_t)offset, RWF_DSYNC);
#else
    errno = ENOSYS;
    return -1;
#endif
}

int cdurablewrite_direct(int descriptor) {
#if defined(O_DIRECT) && defined(__linux__)
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    return open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
#else
    errno = ENOSYS;
    return -1;
#endif
}
