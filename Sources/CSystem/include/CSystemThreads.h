/* Threads that run what is not trusted, and their seccomp filter. Included by CSystem.h. */
#ifndef XENSAVE_CSYSTEM_THREADS_H
#define XENSAVE_CSYSTEM_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A thread that does one job after another. All signals are blocked in it: handlers of the process
   never run there. */
typedef struct csystem_worker csystem_worker;

/* Starts it; every job is job(context). NULL (errno) where there is no thread to be had. */
csystem_worker *csystem_worker_start(void (*job)(void *context), void *context);
/* Asks for one job. False where the last one has not ended. */
bool csystem_worker_post(csystem_worker *worker);
/* Waits for the end of the job. False after so many nanoseconds. */
bool csystem_worker_wait(csystem_worker *worker, uint64_t nanoseconds);
/* Waits for the end of the job. False after it has had so many nanoseconds of the processor: a machine
   that is busy elsewhere, and what the job itself waits for, do not count. False too where it has not
   ended after `patience` nanoseconds of waiting, whatever it did. */
bool csystem_worker_wait_for_time(csystem_worker *worker, uint64_t nanoseconds, uint64_t patience);
/* Nanoseconds of the processor that the job has had. */
uint64_t csystem_worker_time(csystem_worker *worker);
/* Sends it a signal. */
void csystem_worker_signal(csystem_worker *worker, int number);
/* Ends the thread and frees the worker. Where a job still runs it is left to itself, with what the
   machine has over (SCHED_IDLE), for ever: the memory of its context must stay. */
void csystem_worker_finish(csystem_worker *worker);
/* Leaves a running job what the machine has over. */
void csystem_worker_make_idle(csystem_worker *worker);

/* What a sandboxed thread may still do. */
typedef enum {
    csystem_seal_compute, /* memory that is not executable, locks, clocks, its own end */
    csystem_seal_streams, /* the same, and to read and write descriptors that are open */
} csystem_seal;

/* Sandboxes the calling thread for good: no new privileges, and a seccomp filter under which every other
   system call fails with EPERM. 0, or the errno where the kernel has no such thing (then the thread
   is as before). Other threads are not touched. */
int csystem_seal_thread(csystem_seal seal);

/* A timer that sends `number` to the thread that makes it, when that has had so much time of the
   processor; -1 (errno) where there is none. Arming with 0 disarms. */
int csystem_thread_timer(int number, void **timer);
void csystem_thread_timer_arm(void *timer, uint64_t nanoseconds);
void csystem_thread_timer_free(void *timer);

#endif
