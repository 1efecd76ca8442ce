/* The lab's one program inside containers: eats memory, spawns others that do, or just stands there.
 *
 * Before anything else PID 1 reads its own memory.oom.group (the container's cgroup is mounted at /sys/fs/cgroup) and writes
 * "<value> <CLOCK_MONOTONIC ns>" to the file that FIRST_LOOK names: so a test knows what was in force at the first
 * instruction of the container.
 *
 * hog pause                             wait until asked to end; its name becomes "pause", which a sandbox's process has
 * hog eat MIB COMM STEP_MS [ADJ]        touch MIB MiB, a MiB every STEP_MS, then stand there (0 MiB: eat without end)
 * hog herd N MIB STEP_MS PAUSE_MS [COMM]  PID 1 with N such children named "worker", each replaced PAUSE_MS after it dies
 * hog storm N MIB STEP_MS PAUSE_MS      a herd that begins at SIGUSR1 and ends, children and all, at SIGUSR2
 * hog family N MIB STEP_MS              PID 1 with N quiet children "helper" (1 MiB each), then one "worker" that eats
 * hog nest MIB STEP_MS                  move to a cgroup "init", hand memory down, and have a child "nested" eat in "inner"
 * hog threads N MIB STEP_MS             PID 1 with a child "worker" whose N threads "thread-<i>" eat, each MIB MiB
 * hog crowd EAT_MIB TEXT_KIB FILE SKIP_MIB  PID 1 with a child "heap" that eats, then a child "text" that executes TEXT_KIB KiB of FILE
 *                                       from SKIP_MIB on, as a program does whose code is that large: pages at random, without end
 * hog end CODE                          end at once
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1L << 20)

static void end(int sig) { (void)sig; _exit(0); }

static void first_look(void) {
    const char *where = getenv("FIRST_LOOK");
    if (getpid() != 1 || !where) return;
    char value[8] = "none", line[64];
    int fd = open("/sys/fs/cgroup/memory.oom.group", O_RDONLY);
    if (fd >= 0) {
        ssize_t n = read(fd, value, sizeof value - 1);
        close(fd);
        if (n > 0) value[strcspn(value, "\n")] = 0;
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int n = snprintf(line, sizeof line, "%s %lld\n", value, now.tv_sec * 1000000000LL + now.tv_nsec);
    fd = open(where, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, line, n) != n) { perror(where); _exit(90); }
    close(fd);
}

static void nap_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&t, &t) && errno == EINTR) {}
}

static void stand(void) { for (;;) if (waitpid(-1, NULL, 0) < 0 && errno != EINTR) pause(); }

/* MAP_POPULATE has the kernel fault the pages in by itself: a page fault of ours costs 100 us on User-Mode Linux. */
static void eat(long mib, long step_ms) {
    for (long i = 0; mib == 0 || i < mib; i++) {
        char *page = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (page == MAP_FAILED) { perror("mmap"); _exit(91); }
        if (step_ms) nap_ms(step_ms);
    }
}

static void write_to(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) { perror(path); _exit(93); }
    close(fd);
}


static pid_t child(const char *comm, long mib, long step_ms) {
    pid_t pid;
    while ((pid = fork()) < 0) nap_ms(5); /* ENOMEM: the cgroup is at its limit just now */
    if (pid) return pid;
    signal(SIGTERM, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
    write_to("/proc/self/oom_score_adj", "0"); /* PID 1 may have been given another, to be spared */
    prctl(PR_SET_NAME, comm);
    eat(mib, step_ms);
    stand();
    return 0;
}

static void herd(long n, long mib, long step_ms, long pause_ms) {
    for (long i = 0; i < n; i++) child("worker", mib, step_ms);
    for (;;) {
        if (waitpid(-1, NULL, 0) > 0) {
            nap_ms(pause_ms);
            child("worker", mib, step_ms);
        }
    }
}

static volatile sig_atomic_t stopped;

static void stop(int sig) { (void)sig; stopped = 1; kill(-1, SIGKILL); } /* all of this pid namespace but PID 1 */

static void storm(long n, long mib, long step_ms, long pause_ms) {
    sigset_t begin;
    int got;
    sigemptyset(&begin);
    sigaddset(&begin, SIGUSR1);
    sigprocmask(SIG_BLOCK, &begin, NULL);
    signal(SIGUSR2, stop);
    sigwait(&begin, &got);
    for (long i = 0; i < n; i++) child("worker", mib, step_ms);
    while (!stopped) {
        if (waitpid(-1, NULL, 0) > 0 && !stopped) {
            nap_ms(pause_ms);
            child("worker", mib, step_ms);
        }
    }
    kill(-1, SIGKILL); /* one that was born while the signal came */
    stand();
}

/* Reading a page that may be executed is what the kernel sees of executing it. */
static void text(long kib, const char *path, long skip_mib) {
    pid_t pid = fork();
    if (pid < 0) { perror("fork"); _exit(92); }
    if (pid) return;
    prctl(PR_SET_NAME, "text");
    int fd = open(path, O_RDONLY);
    volatile char *pages = mmap(NULL, kib << 10, PROT_READ | PROT_EXEC, MAP_SHARED, fd, skip_mib * MIB);
    if (fd < 0 || pages == MAP_FAILED) { perror(path); _exit(96); }
    for (long page = 0; page < kib / 4; page++) (void)pages[page * 4096];
    if (madvise((void *)pages, kib << 10, MADV_RANDOM)) { perror("madvise"); _exit(97); }
    for (unsigned long long next = 1;;) {
        next = next * 6364136223846793005ULL + 1442695040888963407ULL;
        (void)pages[(next >> 33) % (kib / 4) * 4096];
    }
}

static void burn(long n) {
    for (long i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid < 0) { perror("fork"); _exit(92); }
        if (pid == 0) for (;;) { }
    }
}

static void nest(long mib, long step_ms) {
    if (mkdir("/sys/fs/cgroup/init", 0755) || mkdir("/sys/fs/cgroup/inner", 0755)) { perror("inner"); _exit(94); }
    write_to("/sys/fs/cgroup/init/cgroup.procs", "0"); /* no processes where controllers are handed down (cgroup-v2.rst) */
    write_to("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
    pid_t pid = fork();
    if (pid == 0) {
        write_to("/sys/fs/cgroup/inner/cgroup.procs", "0");
        prctl(PR_SET_NAME, "nested");
        eat(mib, step_ms);
        stand();
    }
    stand();
}

static long thread_mib, thread_step_ms;

static void *thread(void *name) {
    prctl(PR_SET_NAME, name);
    eat(thread_mib, thread_step_ms);
    stand();
    return NULL;
}

static void threads(long n, long mib, long step_ms) {
    pid_t pid = fork();
    if (pid < 0) { perror("fork"); _exit(92); }
    if (pid) return;
    prctl(PR_SET_NAME, "worker");
    thread_mib = mib;
    thread_step_ms = step_ms;
    for (long i = 0; i < n; i++) {
        char *name = malloc(32);
        pthread_t id;
        snprintf(name, 32, "thread-%ld", i);
        if (pthread_create(&id, NULL, thread, name)) { perror("thread"); _exit(95); }
    }
    stand();
}

int main(int argc, char **argv) {
    first_look();
    signal(SIGTERM, end);
    signal(SIGINT, end);
    const char *what = argc > 1 ? argv[1] : "pause";
#define NUMBER(i) (argc > (i) ? atol(argv[i]) : 0)
    if (!strcmp(what, "eat")) {
        if (argc > 3) prctl(PR_SET_NAME, argv[3]);
        if (argc > 5) write_to("/proc/self/oom_score_adj", argv[5]);
        eat(NUMBER(2), NUMBER(4));
    } else if (!strcmp(what, "herd")) {
        if (argc > 6) prctl(PR_SET_NAME, argv[6]);
        herd(NUMBER(2), NUMBER(3), NUMBER(4), NUMBER(5));
    } else if (!strcmp(what, "storm")) {
        storm(NUMBER(2), NUMBER(3), NUMBER(4), NUMBER(5));
    } else if (!strcmp(what, "family")) {
        for (long i = 0; i < NUMBER(2); i++) child("helper", 1, 0);
        child("worker", NUMBER(3), NUMBER(4));
    } else if (!strcmp(what, "crowd") && argc > 5) {
        child("heap", NUMBER(2), 0);
        text(NUMBER(3), argv[4], NUMBER(5));
    } else if (!strcmp(what, "burn")) {
        burn(NUMBER(2));
    } else if (!strcmp(what, "nest")) {
        nest(NUMBER(2), NUMBER(3));
    } else if (!strcmp(what, "threads")) {
        threads(NUMBER(2), NUMBER(3), NUMBER(4));
    } else if (!strcmp(what, "end")) {
        return NUMBER(2);
    } else if (!strcmp(what, "pause")) {
        prctl(PR_SET_NAME, "pause");
    } else {
        fprintf(stderr, "hog: unknown: %s\n", what);
        return 64;
    }
    stand();
}
