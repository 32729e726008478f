/* What ends a wait: a request to stop must reach a call that blocks, whatever the moment in which it
   comes and whichever thread waits. Included by CSystem.h. */
#ifndef XENSAVE_CSYSTEM_WAITS_H
#define XENSAVE_CSYSTEM_WAITS_H

#include <stdint.h>

/* Whoever looks for a request, finds none and then blocks may be interrupted in between: the signal
   is gone, and the call waits for ever. So the handler of a request starts a timer that sends another
   signal again and again, which does nothing but to end blocking calls with EINTR: the next one comes
   at the latest some milliseconds after the call has begun. The thread that took the request gets it,
   and those that have asked for it. While nobody stops the program this costs nothing. */

/* Prepares the calling thread, and the process, for wakes. */
void csystem_catch_wakes(void);
/* Begins to wake. Async-signal-safe. */
void csystem_begin_wakes(void);
/* A line (that stays where it is) for standard error, written once where a request has had no answer for
   a second; NULL for none. */
void csystem_say_when_unanswered(const char *line);
/* No more: the request has been answered. */
void csystem_end_wakes(void);
/* The calling thread is woken too, from now until `leave` with what this returned. */
int csystem_take_wakes(void);
void csystem_leave_wakes(int place);

/* The clock of the processor's time that the calling thread has had: what is waited for, and what
   other programs had, does not count. -1 where there is none. */
int csystem_thread_clock(void);
/* Nanoseconds of such a clock, from any thread of the process. */
uint64_t csystem_thread_time(int clock);
/* The calling thread's number, and a signal to the thread of a number. */
int csystem_thread_number(void);
void csystem_signal_thread(int thread, int number);

#endif
