/* PID 1 of the emulated machine's first seconds, alone in its initramfs: loads the modules /1.ko, /2.ko …, mounts the host's files,
 * read-only, and becomes the script that the kernel's command line names by `lab=`. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void need(int failed, const char *what) {
	if (failed) {
		perror(what);
		exit(1);
	}
}

int main(void) {
	char name[32], line[4096] = "";
	for (int number = 1;; number++) {
		snprintf(name, sizeof name, "/%d.ko", number);
		int file = open(name, O_RDONLY | O_CLOEXEC);
		if (file < 0)
			break;
		need(syscall(SYS_finit_module, file, "", 0) != 0, name);
		close(file);
	}
	mkdir("/proc", 0755);
	mkdir("/host", 0755);
	need(mount("proc", "/proc", "proc", 0, NULL), "/proc");
	int file = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	need(file < 0 || read(file, line, sizeof line - 1) <= 0, "/proc/cmdline");
	char *script = strstr(line, " lab=");
	need(script == NULL, "lab=");
	script = strtok(script + strlen(" lab="), " \n");
	umount("/proc");
	/* Nothing of the host's changes under a running test but what it writes itself: its files may be cached. */
	need(mount("root", "/host", "9p", MS_RDONLY, "trans=virtio,version=9p2000.L,msize=512000,cache=loose"), "the host's files");
	need(chdir("/host"), "/host");
	need(mount(".", "/", NULL, MS_MOVE, NULL), "the new root");
	need(chroot(".") || chdir("/"), "chroot");
	execl(script, script, (char *)NULL);
	need(1, script);
}
