/* A wall clock that walks on command: LD_PRELOAD beside the real one. The file named by CLOCK_WALK holds two numbers of 64 bits: seconds that are
   added to the wall time, and whether the kernel calls it synchronised. Monotonic clocks are left alone. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *walk(void) {
    static int64_t *page;
    if (!page) page = mmap(NULL, 16, PROT_READ, MAP_SHARED, open(getenv("CLOCK_WALK"), O_RDONLY), 0);
    return page;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    long code = syscall(SYS_clock_gettime, clock, at);
    if (!code && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += walk()[0];
    return (int)code;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

int adjtimex(struct timex *state) {
    state->status = walk()[1] ? 0 : STA_UNSYNC;
    state->maxerror = 1000;
    return walk()[1] ? TIME_OK : TIME_ERROR;
}
