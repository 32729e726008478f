/* See CSystemThreads.h. */
#define _GNU_SOURCE
#include "CSystemThreads.h"
#include "CSystemWaits.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct csystem_worker {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    void (*job)(void *);
    void *context;
    pid_t id;
    int clock;         /* of the thread's own time */
    uint64_t job_began; /* by that clock; not yet, while it has not taken the job */
    bool has_begun;
    bool is_busy, is_ending, is_orphan;
};

static void free_worker(csystem_worker *w) {
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

static void *run(void *argument) {
    csystem_worker *w = argument;
    pthread_mutex_lock(&w->mutex);
    w->id = (pid_t)syscall(SYS_gettid);
    w->clock = csystem_thread_clock();
    for (;;) {
        while (!w->is_busy && !w->is_ending) pthread_cond_wait(&w->changed, &w->mutex);
        if (!w->is_busy) break;
        w->job_began = csystem_thread_time(w->clock);
        w->has_begun = true;
        pthread_mutex_unlock(&w->mutex);
        w->job(w->context);
        pthread_mutex_lock(&w->mutex);
        w->is_busy = false;
        pthread_cond_broadcast(&w->changed);
    }
    bool is_orphan = w->is_orphan;
    pthread_mutex_unlock(&w->mutex);
    if (is_orphan) free_worker(w);
    return NULL;
}

csystem_worker *csystem_worker_start(void (*job)(void *), void *context) {
    csystem_worker *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->job = job;
    w->context = context;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    /* A new thread has its maker's mask: a signal that comes in between goes to another thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        free_worker(w);
        errno = error;
        return NULL;
    }
    return w;
}

bool csystem_worker_post(csystem_worker *w) {
    pthread_mutex_lock(&w->mutex);
    bool is_free = !w->is_busy;
    if (is_free) {
        w->is_busy = true;
        w->has_begun = false;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    return is_free;
}

static struct timespec after(uint64_t nanoseconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t sum = (uint64_t)until.tv_nsec + nanoseconds % 1000000000u;
    until.tv_sec += (time_t)(nanoseconds / 1000000000u + sum / 1000000000u);
    until.tv_nsec = (long)(sum % 1000000000u);
    return until;
}

/* What the job has had of the processor. */
static uint64_t job_time(csystem_worker *w) {
    if (!w->is_busy || !w->has_begun) return 0;
    uint64_t now = csystem_thread_time(w->clock);
    return now > w->job_began ? now - w->job_began : 0;
}

uint64_t csystem_worker_time(csystem_worker *w) {
    pthread_mutex_lock(&w->mutex);
    uint64_t time = job_time(w);
    pthread_mutex_unlock(&w->mutex);
    return time;
}

bool csystem_worker_wait_for_time(csystem_worker *w, uint64_t nanoseconds, uint64_t patience) {
    static const uint64_t shortest = 1000000, longest = 1000000000;
    uint64_t waited = 0;
    pthread_mutex_lock(&w->mutex);
    while (w->is_busy) {
        uint64_t used = job_time(w);
        if (used >= nanoseconds || waited >= patience) break;
        /* One processor cannot give it more than time passes. */
        uint64_t piece = nanoseconds - used;
        piece = piece < shortest ? shortest : piece > longest ? longest : piece;
        struct timespec until = after(piece);
        int error = pthread_cond_timedwait(&w->changed, &w->mutex, &until);
        /* Counted by pieces: while this process was stopped, nobody was kept waiting by the job. */
        if (error != 0) waited += piece;
    }
    bool is_done = !w->is_busy;
    pthread_mutex_unlock(&w->mutex);
    return is_done;
}

bool csystem_worker_wait(csystem_worker *w, uint64_t nanoseconds) {
    struct timespec until = after(nanoseconds);
    pthread_mutex_lock(&w->mutex);
    int error = 0;
    while (w->is_busy && error == 0) {
        error = pthread_cond_timedwait(&w->changed, &w->mutex, &until);
    }
    bool is_done = !w->is_busy;
    pthread_mutex_unlock(&w->mutex);
    return is_done;
}

void csystem_worker_signal(csystem_worker *w, int number) { pthread_kill(w->thread, number); }

void csystem_worker_make_idle(csystem_worker *w) {
    struct sched_param parameter = {0};
    sched_setscheduler(w->id, SCHED_IDLE, &parameter);
}

void csystem_worker_finish(csystem_worker *w) {
    pthread_mutex_lock(&w->mutex);
    w->is_ending = true;
    pthread_t thread = w->thread;
    bool is_busy = w->is_busy;
    w->is_orphan = is_busy;
    if (is_busy) csystem_worker_make_idle(w);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    if (is_busy) {
        pthread_detach(thread);
    } else {
        pthread_join(thread, NULL);
        free_worker(w);
    }
}

/* ---- timers ---- */

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

int csystem_thread_timer(int number, void **timer) {
    timer_t *made = calloc(1, sizeof *made);
    if (!made) return -1;
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = number;
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, made) != 0) {
        free(made);
        return -1;
    }
    *timer = made;
    return 0;
}

void csystem_thread_timer_arm(void *timer, uint64_t nanoseconds) {
    struct itimerspec when = {{0, 0},
                              {(time_t)(nanoseconds / 1000000000u), (long)(nanoseconds % 1000000000u)}};
    timer_settime(*(timer_t *)timer, 0, &when, NULL);
}

void csystem_thread_timer_free(void *timer) {
    timer_delete(*(timer_t *)timer);
    free(timer);
}
