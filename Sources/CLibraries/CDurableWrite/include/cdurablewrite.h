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

/// Opens the file behind a descriptor once more, for writing past the page cache (Linux, `O_DIRECT`).
///
/// Returns a descriptor for `cdurablewrite`, or -1 where there is no such thing. The file may have another name by now than the
/// one by which it was opened first.
int cdurablewrite_direct(int descriptor);

#endif
