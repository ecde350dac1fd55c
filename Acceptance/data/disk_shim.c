// SPDX-License-Identifier: Apache-2.0
//
// Loaded before the C library, it makes the flushes of some files slow, or fail. The file named by DISK_SHIM has two 32-bit numbers,
// which may change at any time: milliseconds that each flush takes longer, and the error number that each flush fails with
// (0: none). It concerns files whose path has DISK_SHIM_PATH in it.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static volatile int32_t *control(void) {
    static volatile int32_t *mapped;
    if (!mapped) {
        int file = open(getenv("DISK_SHIM"), O_RDWR | O_CLOEXEC);
        void *memory = file < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, file, 0);
        if (file >= 0) close(file);
        if (memory == MAP_FAILED) abort();
        mapped = memory;
    }
    return mapped;
}

// Waits, and says whether the flush is to fail; errno is set then.
static int fails(int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, getenv("DISK_SHIM_PATH"))) return 0;
    int32_t delay = control()[0], error = control()[1];
    struct timespec wait = {delay / 1000, delay % 1000 * 1000000L};
    if (delay > 0) nanosleep(&wait, NULL);
    if (!error) return 0;
    errno = error;
    return 1;
}

int fsync(int descriptor) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return fails(descriptor) ? -1 : real(descriptor);
}

int fdatasync(int descriptor) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return fails(descriptor) ? -1 : real(descriptor);
}

ssize_t pwritev2(int descriptor, const struct iovec *pieces, int count, off_t offset, int flags) {
    static ssize_t (*real)(int, const struct iovec *, int, off_t, int);
    if (!real) real = (ssize_t (*)(int, const struct iovec *, int, off_t, int))dlsym(RTLD_NEXT, "pwritev2");
    return fails(descriptor) ? -1 : real(descriptor, pieces, count, offset, flags);
}

ssize_t pwritev64v2(int descriptor, const struct iovec *pieces, int count, off64_t offset, int flags) {
    return pwritev2(descriptor, pieces, count, offset, flags);
}
