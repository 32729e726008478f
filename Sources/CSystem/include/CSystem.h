/* System calls that Glibc shows only under _GNU_SOURCE, which Swift's importer does not set.
   Each function is the call of the same name; errno as usual. */
#ifndef XENSAVE_CSYSTEM_H
#define XENSAVE_CSYSTEM_H

#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "CSystemArguments.h"
#include "CSystemCores.h"
#include "CSystemOutputs.h"
#include "CSystemPeers.h"
#include "CSystemRanges.h"
#include "CSystemThreads.h"
#include "CSystemWaits.h"

/* splice(2) with SPLICE_F_MOVE; a NULL offset means the descriptor's own position. */
ssize_t csystem_splice(int in, int64_t *in_offset, int out, int64_t *out_offset, size_t count);

/* copy_file_range(2) with flags 0. */
ssize_t csystem_copy_file_range(int in, int64_t *in_offset, int out, int64_t *out_offset,
                                size_t count);

/* pipe2(2) with O_CLOEXEC. */
int csystem_pipe(int descriptors[2]);

/* fcntl(F_SETPIPE_SZ); the new capacity in bytes, or -1. */
int csystem_set_pipe_capacity(int descriptor, int byte_count);

/* True where the file system shares extents on copy_file_range (statfs magic: Btrfs, XFS,
   bcachefs, NFS, SMB, OCFS2). False where it copies, and when it cannot be told. */
bool csystem_shares_extents(int descriptor);

/* sync_file_range(2) with SYNC_FILE_RANGE_WRITE: begins to bring bytes of a file to its disk, and
   does not wait until they are there. */
void csystem_begin_synchronizing(int descriptor, uint64_t offset, uint64_t count);

/* futimens(2): the time of the last change is now, to the nanosecond. */
int csystem_stamp(int descriptor);

/* open(2) of a new file with mode, O_CLOEXEC | O_EXCL | O_NOFOLLOW | O_RDWR. */
int csystem_create(const char *path, unsigned mode);

/* open(2) for reading of what nobody trusts: O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC. */
int csystem_open_strictly(const char *path);

/* flock(2), LOCK_EX | LOCK_NB: -1 and EWOULDBLOCK where another has the lock. */
int csystem_lock(int descriptor);

/* statx(2): when a file came to be, in nanoseconds since 1970. -1 where the file system does not
   know. */
int csystem_birth(int descriptor, uint64_t *nanoseconds);

/* memfd_create(2) with MFD_CLOEXEC. */
int csystem_memory_file(const char *name);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t csystem_monotonic_nanoseconds(void);

/* What SIGTERM does to a save helper (Xen: libxl_save_helper.c, save_signal_handler): puts a
   descriptor of /dev/null that can only be read in the place of `descriptor`, so that the next
   write fails with EBADF and the save takes its usual way out. Async-signal-safe. -1 on failure. */
int csystem_divert(int descriptor);

/* From now on SIGTERM, SIGINT and SIGHUP divert these descriptors (at most 4) instead of the ones
   before; if one of the signals has come already, it is done now. */
int csystem_divert_on_stop(const int *descriptors, int count);
/* Lets SIGTERM, SIGINT and SIGHUP reach the calling thread. A thread of the program that started
   this one may have blocked them, and a new program inherits that. */
int csystem_unblock_stops(void);
/* Whether one has come, and when, by the monotonic clock (0: none). */
bool csystem_has_diverted(void);
uint64_t csystem_diverted_at(void);
/* Does what one of the signals does, to the main thread. For a thread that takes none of them. */
void csystem_stop_main(void);

/* Starts `/bin/sh -c command` with what `actions` open and signals as a new program has them. 0 and
   *process, or an errno. */
int csystem_spawn_command(
    const char *command, const posix_spawn_file_actions_t *actions, pid_t *process);

/* Waits for a command that this process has started: 0 and its status, or -1 and errno, EINTR where a
   request to stop came. Ctrl-C at a terminal is the command's, however often: then *was_interrupted is
   true, and no request is left. All other requests are passed on, and then the command has two
   seconds. */
int csystem_wait_for_command(pid_t process, int *status, bool *was_interrupted);

/* Runs `/bin/sh -c command` for somebody at a terminal: what Ctrl-C and Ctrl-\ send is the command's
   alone. Other requests to stop end the wait as above. 0 and the status, or an errno. */
int csystem_run_command(const char *command, int *status);

/* Starts `/bin/sh -c command` with `input` as its standard input, no other descriptor than standard
   output and error, and signals as a new program has them. 0 and *process, or an errno. */
int csystem_spawn_shell(const char *command, int input, pid_t *process);

/* Starts words[0] in a session of its own, with `input` and `output` as its standard input and output
   and this process's standard error; all other descriptors are closed. 0 and *process, or an
   errno. */
int csystem_spawn_companion(char *const words[], int input, int output, pid_t *process);

/* Starts words[0], looked for in PATH, with `input` as its standard input, and `output` and `errors` as its
   standard output and error (-1: this process's), in the same session; all other descriptors are closed.
   0 and *process, or an errno. */
int csystem_spawn_piped(
    char *const words[], int input, int output, int errors, pid_t *process);

/* pidfd_open(2): a descriptor that can be read when the process has ended; -1 where there is none. */
int csystem_process_descriptor(pid_t process);

/* Requests to stop: the number of SIGINT, SIGTERM or SIGHUP once csystem_watch_interrupts() ran,
   0 for none. A second one while one is pending (and not at once after it) ends the process, as
   the default action would. Signals that were ignored when the program began stay so, unless
   ignored_too: somebody sits at a terminal and presses Ctrl-C. */
void csystem_watch_interrupts(bool ignored_too);
int csystem_interrupted(void);
void csystem_clear_interrupted(void);
/* A descriptor that the handler diverts, for calls of libraries that know nothing of requests; -1 for
   none. One that has come already diverts it now. */
void csystem_divert_on_interrupt(int descriptor);

/* A function called from the signal handler (so: async-signal-safe), or NULL. */
void csystem_on_interrupt(void (*function)(void));

/* Makes a gone reader EPIPE and a file size limit EFBIG instead of signals. */
void csystem_ignore_write_signals(void);

/* Peak resident memory of this process, in KiB (getrusage). */
long csystem_peak_resident_kib(void);

#endif
