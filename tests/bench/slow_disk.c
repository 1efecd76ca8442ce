/* A disk that takes its time: fsync(2) and fdatasync(2) sleep for OOMWARD_BENCH_FSYNC_MS first. For LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_for_the_disk(void) {
    const char *ms = getenv("OOMWARD_BENCH_FSYNC_MS");
    if (ms != NULL)
        usleep((useconds_t)atoi(ms) * 1000);
}

int fsync(int fd) {
    wait_for_the_disk();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    wait_for_the_disk();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
