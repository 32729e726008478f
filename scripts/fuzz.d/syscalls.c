/* Runs a program and does something at its N-th system call, of all of its threads together:

     syscalls REPORT count            0 0 -- PROGRAM [ARGUMENT...]
     syscalls REPORT kill-before      N 0 -- ...    SIGKILL, the call is not made
     syscalls REPORT kill-after       N 0 -- ...    SIGKILL once it is made
     syscalls REPORT kill-torn        N K -- ...    it moves K bytes only, then SIGKILL
     syscalls REPORT short            N K -- ...    it moves K bytes only
     syscalls REPORT fail         N ERRNO -- ...    it is not made and fails with ERRNO

   N:CALL in the place of N is the first call of that number from the N-th on: threads may come in
   another order than before.
   Calls are counted from the first one of the program itself, the dynamic linker's included, by
   ptrace: no call gets past it, whichever library makes it. A child that shares its memory counts as
   a thread (and lives on when the program is killed); programs that it starts are not looked at. REPORT gets a line for each call that was counted ("count") or the one that was hit: its
   number and its six arguments. The exit status is the program's; 128 + the signal's number where it
   was killed; 99 where this program failed. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "registers are those of x86-64"
#endif

#define MODE_COUNT 0
#define MODE_KILL_BEFORE 1
#define MODE_KILL_AFTER 2
#define MODE_KILL_TORN 3
#define MODE_SHORT 4
#define MODE_FAIL 5
static const char *const modes[] = {"count", "kill-before", "kill-after",
                                    "kill-torn", "short", "fail"};

static void die(const char *what) {
    fprintf(stderr, "syscalls: %s: %s\n", what, strerror(errno));
    _exit(99);
}

/* Makes a call that moves bytes move fewer; 0 where it is none or moves no more than that. */
static int shorten(struct user_regs_struct *r, unsigned long long count) {
    unsigned long long *place;
    switch (r->orig_rax) {
    case SYS_read: case SYS_write: case SYS_pread64: case SYS_pwrite64: place = &r->rdx; break;
    case SYS_readv: case SYS_writev: case SYS_preadv: case SYS_pwritev:
        place = &r->rdx; count = 1; break;
    case SYS_copy_file_range: case SYS_splice: place = &r->r8; break;
    case SYS_sendfile: place = &r->r10; break;
    default: return 0;
    }
    if (*place <= count) return 0;
    *place = count;
    return 1;
}

int main(int argc, char **argv) {
    int mode = -1;
    if (argc < 7 || strcmp(argv[5], "--")) {
        fprintf(stderr, "usage: syscalls REPORT MODE N VALUE -- PROGRAM [ARGUMENT...]\n");
        return 99;
    }
    for (int i = 0; i < (int)(sizeof modes / sizeof *modes); i++) {
        if (!strcmp(argv[2], modes[i])) mode = i;
    }
    if (mode < 0) { errno = EINVAL; die(argv[2]); }
    long goal = atol(argv[3]), value = atol(argv[4]);
    const char *colon = strchr(argv[3], ':');
    long wanted = colon ? atol(colon + 1) : -1;
    FILE *report = fopen(argv[1], "we");
    if (!report) die(argv[1]);

    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        execvp(argv[6], argv + 6);
        die(argv[6]);
    }
    int status;
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) die("waitpid");
    if (ptrace(PTRACE_SETOPTIONS, child, 0,
               PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEVFORK |
                   PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)) die("ptrace");
    if (ptrace(PTRACE_CONT, child, 0, 0)) die("ptrace");

    int begun = 0, was_hit = 0, result = 99;
    long count = 0;
    pid_t hit = 0; /* the thread whose call is to be met again at its exit */
    for (;;) {
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0) {
            if (errno == EINTR) continue;
            if (errno == ECHILD) break;
            die("waitpid");
        }
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (thread == child) {
                result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            }
            continue;
        }
        if (!WIFSTOPPED(status)) continue;
        int signal = WSTOPSIG(status), event = status >> 16;
        if (event == PTRACE_EVENT_EXEC && thread != child) {
            ptrace(PTRACE_DETACH, thread, 0, 0);
            continue;
        }
        if (event == PTRACE_EVENT_EXEC) begun = 1;
        if (event || signal == SIGSTOP) signal = 0; /* a new thread begins with a SIGSTOP */
        if (signal == (SIGTRAP | 0x80)) {
            signal = 0;
            struct __ptrace_syscall_info info;
            if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) <= 0) info.op = 0;
            if (begun && info.op == PTRACE_SYSCALL_INFO_ENTRY) {
                count++;
                int is_hit = mode != MODE_COUNT && !was_hit && count >= goal &&
                             (wanted < 0 || (long)info.entry.nr == wanted);
                was_hit |= is_hit;
                if (mode == MODE_COUNT || is_hit) {
                    fprintf(report, "%llu", (unsigned long long)info.entry.nr);
                    for (int i = 0; i < 6; i++) {
                        fprintf(report, " %llu", (unsigned long long)info.entry.args[i]);
                    }
                    fputc('\n', report);
                    if (is_hit) fflush(report);
                }
                if (is_hit) {
                    struct user_regs_struct r;
                    if (ptrace(PTRACE_GETREGS, thread, 0, &r)) die("ptrace");
                    hit = thread;
                    if (mode == MODE_KILL_BEFORE) kill(child, SIGKILL);
                    if (mode == MODE_KILL_TORN || mode == MODE_SHORT) shorten(&r, value);
                    if (mode == MODE_FAIL) r.orig_rax = (unsigned long long)-1;
                    if (ptrace(PTRACE_SETREGS, thread, 0, &r) && mode != MODE_KILL_BEFORE) {
                        die("ptrace");
                    }
                }
            } else if (begun && thread == hit && info.op == PTRACE_SYSCALL_INFO_EXIT) {
                hit = 0;
                if (mode == MODE_KILL_AFTER || mode == MODE_KILL_TORN) kill(child, SIGKILL);
                if (mode == MODE_FAIL) {
                    struct user_regs_struct r;
                    if (ptrace(PTRACE_GETREGS, thread, 0, &r)) die("ptrace");
                    r.rax = (unsigned long long)-value;
                    if (ptrace(PTRACE_SETREGS, thread, 0, &r)) die("ptrace");
                }
            }
        }
        /* It may be gone by a SIGKILL. */
        ptrace(PTRACE_SYSCALL, thread, 0, (void *)(long)signal);
    }
    if (fclose(report)) die(argv[1]);
    return result;
}
