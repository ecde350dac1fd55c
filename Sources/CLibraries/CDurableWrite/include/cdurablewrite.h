// SPDX-License-Identifier: Apache-2.0

#ifndef CDURABLEWRITE_H
#define CDURABLEWRITE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// Writes at an offset and makes what was written durable, in one system call (Linux, `pwritev2` with `RWF_DSYNC`).
///
/// Returns the bytes written and flushed, or -1 with `errno`, which is `ENOSYS` or `EOPNOTSUPP` where there is no such call.
ssize_t cdurablewrite(int descriptor, const void *bytes, size_t count, int64_t offset);

#endif
