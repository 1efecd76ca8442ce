/* For LD_PRELOAD: each fsync(2) and fdatasync(2) is noted in the file SYNCS as "thread-id descriptor's-path", and takes SYNC_MS. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void note(int fd) {
    char link[64], path[4096], line[4200];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size < 0 ? 0 : size] = 0;
    int length = snprintf(line, sizeof line, "%ld %s\n", (long)syscall(SYS_gettid), path);
    int out = open(getenv("SYNCS"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (out < 0 || write(out, line, (size_t)length) != length)
        abort();
    close(out);
    usleep((useconds_t)atoi(getenv("SYNC_MS")) * 1000);
}

int fsync(int fd) {
    note(fd);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    note(fd);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
