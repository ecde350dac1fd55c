// SPDX-License-Identifier: Apache-2.0

#ifndef CCACHEDREAD_H
#define CCACHEDREAD_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/// Reads at an offset what the page cache has, and never waits for the disk (Linux, `preadv2` with `RWF_NOWAIT`).
///
/// Returns the bytes read, perhaps fewer than there is room for, or -1 with `errno`: `EAGAIN` where the cache does not have
/// them, `ENOSYS` or `EOPNOTSUPP` where there is no such call.
ssize_t ccachedread(int descriptor, const struct iovec *pieces, int count, int64_t offset);

#endif
