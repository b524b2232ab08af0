/* A disk that fails on command: LD_PRELOAD beside the real one. The file named by DISK_FAULT holds one word (and a number of ms):
   ok | slow MS (each sync takes so long) | sync-eio | eio | erofs | enospc. Only files whose name holds "edgegw.db" are touched. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int fault_of(int fd, char *word, int *ms) {
    char path[64], name[512], text[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, name, sizeof name - 1);
    if (length <= 0) return 0;
    name[length] = 0;
    if (!strstr(name, "edgegw.db")) return 0;
    int control = syscall(SYS_openat, AT_FDCWD, getenv("DISK_FAULT"), O_RDONLY);
    if (control < 0) return 0;
    length = syscall(SYS_read, control, text, sizeof text - 1);
    syscall(SYS_close, control);
    if (length <= 0) return 0;
    text[length] = 0;
    *ms = 0;
    return sscanf(text, "%31s %d", word, ms) >= 1;
}

static int sync_fault(int fd) {
    char word[32];
    int ms;
    if (!fault_of(fd, word, &ms)) return 0;
    if (!strcmp(word, "slow")) {
        struct timespec pause = {ms / 1000, (ms % 1000) * 1000000L};
        nanosleep(&pause, NULL);
    }
    if (!strcmp(word, "sync-eio") || !strcmp(word, "eio")) { errno = EIO; return -1; }
    return 0;
}

static int write_fault(int fd) {
    char word[32];
    int ms;
    if (!fault_of(fd, word, &ms)) return 0;
    if (!strcmp(word, "eio")) { errno = EIO; return -1; }
    if (!strcmp(word, "erofs")) { errno = EROFS; return -1; }
    if (!strcmp(word, "enospc")) { errno = ENOSPC; return -1; }
    return 0;
}

int fsync(int fd) { return sync_fault(fd) ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_fault(fd) ? -1 : (int)syscall(SYS_fdatasync, fd); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return write_fault(fd) ? -1 : syscall(SYS_pwrite64, fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return write_fault(fd) ? -1 : syscall(SYS_pwrite64, fd, data, size, at); }
ssize_t write(int fd, const void *data, size_t size) { return write_fault(fd) ? -1 : syscall(SYS_write, fd, data, size); }
