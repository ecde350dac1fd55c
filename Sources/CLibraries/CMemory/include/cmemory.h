// SPDX-License-Identifier: Apache-2.0

#ifndef CMEMORY_H
#define CMEMORY_H

#include <stddef.h>

/// Makes allocations of so many bytes or more go back to the system as soon as they are freed, for the whole process.
///
/// glibc raises that threshold by itself, up to 32 MiB, whenever such an allocation is freed, and keeps what is freed below it for
/// the thread's later ones: a process that works on buffers of some MiB on many threads then holds a multiple of what it uses.
void cmemory_give_back_from(size_t bytes);

#endif
