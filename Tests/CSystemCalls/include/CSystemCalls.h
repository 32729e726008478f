/* Faults for system calls of the process that the tests run in.

   This target defines the C library's functions below itself. The linker takes a definition in the
   program before one in a library, so all calls of the code under test come here, and go on to the
   kernel: as they are where nobody has asked for a fault, which is nearly always.

   A plan counts the calls that it is for and does something at one of them, or from one on. It is for
   the calls of the thread that began it, and for those of any thread whose file descriptor is one of
   the plan's files: a second thread that reads ahead is met by the file that it reads. */
#ifndef XENSAVE_CSYSTEMCALLS_H
#define XENSAVE_CSYSTEMCALLS_H

#include <stdbool.h>

/* Bits of a set of calls. */
enum calls_set {
    calls_read = 1 << 0,
    calls_pread = 1 << 1,
    calls_write = 1 << 2,
    calls_pwrite = 1 << 3,
    calls_writev = 1 << 4,
    calls_splice = 1 << 5,
    calls_copy_file_range = 1 << 6,
    calls_fsync = 1 << 7,
    calls_lseek = 1 << 8,
    calls_fallocate = 1 << 9,
    calls_ftruncate = 1 << 10,
    calls_linkat = 1 << 11,
    calls_all = (1 << 12) - 1,
};

enum calls_effect {
    /* Only counts. */
    calls_count,
    /* The call is not made and gives -1 with errno `value`. */
    calls_fail,
    /* It moves `value` bytes at most. Nothing happens to calls that move none. */
    calls_short,
    /* The call is not made and gives `value`. */
    calls_give,
};

typedef struct calls_plan calls_plan;

/* Begins a plan for the calls in `set` of this thread. `effect` happens to the call `at` (1: the first)
   and the `times` - 1 after it; with times 0 to all from that one on. */
calls_plan *calls_begin(int set, enum calls_effect effect, long at, long times, long value);
/* It is for the file of `descriptor`, too, whichever thread calls. At most 4. */
void calls_add_file(calls_plan *plan, int descriptor);
/* Ends it; how many calls it was for. */
long calls_end(calls_plan *plan);
/* How many calls something has happened to, so far. */
long calls_hits(const calls_plan *plan);

#endif
