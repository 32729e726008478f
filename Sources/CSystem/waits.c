/* What ends a wait. See CSystemWaits.h. */
#define _GNU_SOURCE
#include "CSystem.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { thread_limit = 64, interval = 20000000 /* nanoseconds */ };

/* Threads that want to be woken; 0 where a place is free. */
static atomic_int threads[thread_limit];

static int wake_signal(void) { return SIGRTMIN + 6; }

/* What is written once a request has had no answer for so long. Wakes are not counted: a busy machine
   delivers few of them. */
static const uint64_t patience = 1000000000; /* nanoseconds */
static const char *_Atomic unanswered;
static _Atomic uint64_t requested_at;
static atomic_bool is_explained;

void csystem_say_when_unanswered(const char *line) { atomic_store(&unanswered, line); }

static void say_unanswered(void) {
    if (csystem_monotonic_nanoseconds() - atomic_load(&requested_at) < patience) return;
    if (atomic_exchange(&is_explained, true)) return;
    const char *line = atomic_load(&unanswered);
    if (line && write(2, line, strlen(line)) < 0) return;
}

static void on_wake(int number, siginfo_t *info, void *context) {
    (void)context;
    if (info->si_code != SI_TIMER) return;
    int saved = errno;
    say_unanswered();
    pid_t process = getpid();
    for (int i = 0; i < thread_limit; i++) {
        pid_t thread = atomic_load(&threads[i]);
        if (thread != 0) syscall(SYS_tgkill, process, thread, number);
    }
    errno = saved;
}

static void set_mask(int how) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, wake_signal());
    pthread_sigmask(how, &set, NULL);
}

void csystem_catch_wakes(void) {
    struct sigaction action; /* no SA_RESTART: a wake is to end the call */
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_wake;
    action.sa_flags = SA_SIGINFO;
    sigfillset(&action.sa_mask);
    sigaction(wake_signal(), &action, NULL);
    set_mask(SIG_UNBLOCK);
}

/* The kernel's timer, made by the first signal: a program that nobody stops has none. Plain system
   calls, because glibc's timer_create may not be called in a handler. */
static atomic_int timer = -1;
static atomic_flag timer_is_being_made = ATOMIC_FLAG_INIT;

static void arm(int id, long nanoseconds) {
    struct itimerspec when = {{0, nanoseconds}, {0, nanoseconds}};
    syscall(SYS_timer_settime, id, 0, &when, NULL);
}

void csystem_begin_wakes(void) {
    int saved = errno;
    if (atomic_load(&timer) < 0 && !atomic_flag_test_and_set(&timer_is_being_made)) {
        struct sigevent event;
        memset(&event, 0, sizeof event);
        event.sigev_notify = SIGEV_THREAD_ID;
        event.sigev_signo = wake_signal();
        event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
        int made = -1;
        if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &made) == 0) {
            atomic_store(&timer, made);
        } else {
            atomic_flag_clear(&timer_is_being_made);
        }
    }
    int id = atomic_load(&timer);
    atomic_store(&requested_at, csystem_monotonic_nanoseconds());
    atomic_store(&is_explained, false);
    if (id >= 0) arm(id, interval);
    errno = saved;
}

void csystem_end_wakes(void) {
    int id = atomic_load(&timer);
    if (id >= 0) arm(id, 0);
}

int csystem_take_wakes(void) {
    pid_t own = (pid_t)syscall(SYS_gettid);
    for (int i = 0; i < thread_limit; i++) {
        int nobody = 0;
        if (atomic_compare_exchange_strong(&threads[i], &nobody, own)) {
            set_mask(SIG_UNBLOCK);
            return i;
        }
    }
    return -1;
}

void csystem_leave_wakes(int place) {
    set_mask(SIG_BLOCK);
    if (place >= 0) atomic_store(&threads[place], 0);
}

/* ---- the processor's time of a thread ---- */

int csystem_thread_clock(void) {
    clockid_t clock;
    return pthread_getcpuclockid(pthread_self(), &clock) == 0 ? (int)clock : -1;
}

uint64_t csystem_thread_time(int clock) {
    struct timespec time;
    if (clock == -1 || clock_gettime((clockid_t)clock, &time) != 0) return 0;
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

int csystem_thread_number(void) { return (int)syscall(SYS_gettid); }

void csystem_signal_thread(int thread, int number) {
    syscall(SYS_tgkill, getpid(), thread, number);
}
