/* Preloaded into a program whose waits are to be short: its monotonic clock runs FACTOR times faster, and
 * what it waits for takes as much less. Programs of all sides get it where something does not come. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static long long start;

static long long now(void) {
    struct timespec time;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

__attribute__((constructor)) static void begin(void) { start = now(); }

static struct timespec in_parts(long long nanoseconds) {
    return (struct timespec){.tv_sec = nanoseconds / SECOND, .tv_nsec = nanoseconds % SECOND};
}

static struct timespec shorter(const struct timespec *time) {
    return in_parts((time->tv_sec * SECOND + time->tv_nsec) / FACTOR);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (clock != CLOCK_MONOTONIC) return (int)syscall(SYS_clock_gettime, clock, time);
    *time = in_parts(start + (now() - start) * FACTOR);
    return 0;
}

int poll(struct pollfd *entries, nfds_t count, int milliseconds) {
    struct timespec time = in_parts(milliseconds * (SECOND / 1000) / FACTOR);
    return (int)syscall(SYS_ppoll, entries, count, milliseconds < 0 ? NULL : &time, NULL, _NSIG / 8);
}

int ppoll(struct pollfd *entries, nfds_t count, const struct timespec *time, const sigset_t *mask) {
    struct timespec copy = time ? shorter(time) : in_parts(0);
    return (int)syscall(SYS_ppoll, entries, count, time ? &copy : NULL, mask, _NSIG / 8);
}

int select(int count, fd_set *read, fd_set *write, fd_set *except, struct timeval *time) {
    struct timespec copy = in_parts(0);
    if (time) copy = in_parts((time->tv_sec * SECOND + time->tv_usec * 1000LL) / FACTOR);
    return (int)syscall(SYS_pselect6, count, read, write, except, time ? &copy : NULL, NULL);
}

int nanosleep(const struct timespec *time, struct timespec *rest) {
    struct timespec copy = shorter(time);
    return (int)syscall(SYS_nanosleep, &copy, rest);
}

/* The time of the real clock at which the fast one shows `time`. */
static struct timespec real(const struct timespec *time) {
    return in_parts(start + (time->tv_sec * SECOND + time->tv_nsec - start) / FACTOR);
}

/* Which clock a condition has cannot be asked: one since 1970 shows more than a machine has run. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *time) {
    static int (*original)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    /* There is an older one with another layout of conditions. */
    if (!original) *(void **)&original = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!original) *(void **)&original = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    struct timespec copy = time->tv_sec < SECOND ? real(time) : *time;
    return original(condition, mutex, &copy);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *rest) {
    struct timespec copy = flags ? *time : shorter(time);
    if (flags && clock == CLOCK_MONOTONIC) copy = real(time);
    return (int)-syscall(SYS_clock_nanosleep, clock, flags, &copy, rest);
}

unsigned alarm(unsigned seconds) {
    struct timespec time = in_parts(seconds * SECOND / FACTOR);
    struct itimerval timer = {.it_value = {.tv_sec = time.tv_sec, .tv_usec = time.tv_nsec / 1000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    return 0;
}
