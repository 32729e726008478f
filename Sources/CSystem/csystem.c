/* See CSystem.h. */
#define _GNU_SOURCE
#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

ssize_t csystem_splice(int in, int64_t *in_offset, int out, int64_t *out_offset, size_t count) {
    return splice(in, (loff_t *)in_offset, out, (loff_t *)out_offset, count, SPLICE_F_MOVE);
}

ssize_t csystem_copy_file_range(int in, int64_t *in_offset, int out, int64_t *out_offset,
                                size_t count) {
    return copy_file_range(in, (loff_t *)in_offset, out, (loff_t *)out_offset, count, 0);
}

int csystem_pipe(int descriptors[2]) { return pipe2(descriptors, O_CLOEXEC); }

int csystem_set_pipe_capacity(int descriptor, int byte_count) {
    return fcntl(descriptor, F_SETPIPE_SZ, byte_count);
}

bool csystem_shares_extents(int descriptor) {
    struct statfs s;
    if (fstatfs(descriptor, &s) != 0) return false;
    switch ((uint32_t)s.f_type) {
    case 0x9123683Eu: /* Btrfs */
    case 0x58465342u: /* XFS */
    case 0xCA451A4Eu: /* bcachefs */
    case 0x6969u:     /* NFS */
    case 0xFE534D42u: /* SMB2 */
    case 0xFF534D42u: /* CIFS */
    case 0x7461636Fu: /* OCFS2 */
        return true;
    default:
        return false;
    }
}

void csystem_begin_synchronizing(int descriptor, uint64_t offset, uint64_t count) {
    /* What fails here fails in the fsync at the end too, which is where it is told. */
    int saved = errno;
    (void)sync_file_range(descriptor, (off_t)offset, (off_t)count, SYNC_FILE_RANGE_WRITE);
    errno = saved;
}

int csystem_create(const char *path, unsigned mode) {
    return open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
}

int csystem_open_strictly(const char *path) {
    int number;
    do {
        number = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    } while (number < 0 && errno == EINTR);
    return number;
}

int csystem_lock(int descriptor) {
    int result;
    do {
        result = flock(descriptor, LOCK_EX | LOCK_NB);
    } while (result < 0 && errno == EINTR);
    return result;
}

int csystem_birth(int descriptor, uint64_t *nanoseconds) {
    struct statx s;
    if (statx(descriptor, "", AT_EMPTY_PATH, STATX_BTIME, &s) != 0) return -1;
    if (!(s.stx_mask & STATX_BTIME) || s.stx_btime.tv_sec < 0) return -1;
    *nanoseconds = (uint64_t)s.stx_btime.tv_sec * 1000000000u + s.stx_btime.tv_nsec;
    return 0;
}

int csystem_stamp(int descriptor) {
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
    clock_gettime(CLOCK_REALTIME, &times[1]);
    return futimens(descriptor, times);
}

int csystem_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

uint64_t csystem_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int csystem_divert(int descriptor) {
    int saved = errno;
    int empty = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (empty < 0) return -1;
    int result = dup2(empty, descriptor);
    close(empty);
    errno = saved;
    return result < 0 ? -1 : 0;
}

enum { diverted_limit = 4 };
static atomic_int diverted[diverted_limit] = {-1, -1, -1, -1};
static _Atomic uint64_t diverted_at;

static void divert_all(void) {
    for (int i = 0; i < diverted_limit; i++) {
        int descriptor = atomic_load(&diverted[i]);
        if (descriptor >= 0) csystem_divert(descriptor);
    }
}

static void on_stop(int number) {
    (void)number;
    int saved = errno;
    uint64_t never = 0;
    atomic_compare_exchange_strong(&diverted_at, &never, csystem_monotonic_nanoseconds());
    divert_all();
    csystem_begin_wakes();
    errno = saved;
}

int csystem_divert_on_stop(const int *descriptors, int count) {
    for (int i = 0; i < diverted_limit; i++) {
        atomic_store(&diverted[i], i < count ? descriptors[i] : -1);
    }
    /* One that came while there was less to cut. */
    if (csystem_has_diverted()) divert_all();
    csystem_catch_wakes();
    struct sigaction action = {.sa_handler = on_stop}; /* no SA_RESTART: a blocked write wakes */
    sigemptyset(&action.sa_mask);
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (sigaction(numbers[i], &action, NULL) != 0) return -1;
    }
    return csystem_unblock_stops();
}

int csystem_unblock_stops(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0 ? 0 : -1;
}

bool csystem_has_diverted(void) { return atomic_load(&diverted_at) != 0; }
uint64_t csystem_diverted_at(void) { return atomic_load(&diverted_at); }
void csystem_stop_main(void) { syscall(SYS_tgkill, getpid(), getpid(), SIGTERM); }

static atomic_int interrupted; /* the signal's number, or 0 */
static void (*_Atomic interrupt_function)(void);

static _Atomic uint64_t interrupted_at;
static atomic_int diverted_on_interrupt = -1;

static void divert_on_interrupt(void) {
    int descriptor = atomic_load(&diverted_on_interrupt);
    if (descriptor >= 0) csystem_divert(descriptor);
}

void csystem_divert_on_interrupt(int descriptor) {
    atomic_store(&diverted_on_interrupt, descriptor);
    if (csystem_interrupted()) divert_on_interrupt();
}

static void on_signal(int number) {
    int saved = errno;
    uint64_t now = csystem_monotonic_nanoseconds();
    if (atomic_exchange(&interrupted, number)) {
        /* timeout(1) and terminals may deliver one wish twice at once. */
        if (now - atomic_load(&interrupted_at) < 300000000u) return;
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    atomic_store(&interrupted_at, now);
    divert_on_interrupt();
    void (*function)(void) = atomic_load(&interrupt_function);
    if (function) function();
    csystem_begin_wakes();
    errno = saved;
}

void csystem_watch_interrupts(bool ignored_too) {
    csystem_catch_wakes();
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: blocked reads wake */
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction old;
        /* What nohup or a shell's background job ignores stays ignored. */
        if (!ignored_too && sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN) {
            continue;
        }
        sigaction(numbers[i], &action, NULL);
    }
    if (ignored_too) csystem_unblock_stops();
}

int csystem_interrupted(void) { return atomic_load(&interrupted); }
void csystem_clear_interrupted(void) {
    csystem_end_wakes();
    atomic_store(&interrupted, 0);
}
void csystem_on_interrupt(void (*function)(void)) { atomic_store(&interrupt_function, function); }
void csystem_ignore_write_signals(void) {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

long csystem_peak_resident_kib(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss : 0;
}

/* No signal blocked, and those that this process ignores as a new program has them. `further`: two more
   of these, or 0. */
static void set_usual_signals(posix_spawnattr_t *attributes, const int further[2]) {
    sigset_t set;
    sigemptyset(&set);
    posix_spawnattr_setsigmask(attributes, &set);
    for (int i = 0; further && i < 2; i++) {
        if (further[i]) sigaddset(&set, further[i]);
    }
    sigaddset(&set, SIGPIPE);
    sigaddset(&set, SIGXFSZ);
    posix_spawnattr_setsigdefault(attributes, &set);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn_command(
    const char *command, const posix_spawn_file_actions_t *actions, const int further[2],
    pid_t *process) {
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    set_usual_signals(&attributes, further);
    char *const arguments[] = {"sh", "-c", (char *)command, NULL};
    extern char **environ;
    int error = posix_spawn(process, "/bin/sh", actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    return error;
}

int csystem_spawn_command(
    const char *command, const posix_spawn_file_actions_t *actions, pid_t *process) {
    return spawn_command(command, actions, NULL, process);
}

int csystem_wait_for_command(pid_t process, int *status, bool *was_interrupted) {
    static const uint64_t patience = 2000000000u; /* nanoseconds */
    uint64_t end = 0;
    *was_interrupted = false;
    while (waitpid(process, status, 0) < 0) {
        if (errno != EINTR) return -1;
        int number = csystem_interrupted();
        if (number == 0) continue;
        if (number == SIGINT && isatty(0)) {
            *was_interrupted = true;
            csystem_clear_interrupted();
            continue;
        }
        uint64_t now = csystem_monotonic_nanoseconds();
        if (end == 0) {
            kill(process, number);
            end = now + patience;
        } else if (now >= end) {
            errno = EINTR;
            return -1;
        }
    }
    if (csystem_interrupted() == SIGINT && isatty(0)) {
        *was_interrupted = true;
        csystem_clear_interrupted();
    }
    return 0;
}

int csystem_run_command(const char *command, int *status) {
    static const int keys[] = {SIGINT, SIGQUIT};
    struct sigaction ignored = {.sa_handler = SIG_IGN}, before[2];
    int further[2];
    for (int i = 0; i < 2; i++) {
        sigaction(keys[i], &ignored, &before[i]);
        further[i] = before[i].sa_handler == SIG_IGN ? 0 : keys[i];
    }
    pid_t process;
    bool was_interrupted;
    int error = spawn_command(command, NULL, further, &process);
    if (error == 0 && csystem_wait_for_command(process, status, &was_interrupted) != 0) {
        error = errno;
    }
    for (int i = 0; i < 2; i++) sigaction(keys[i], &before[i], NULL);
    return error;
}

int csystem_spawn_shell(const char *command, int input, pid_t *process) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, 0);
    /* Somebody may wait for the end of a stream that this process has inherited. */
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    int error = csystem_spawn_command(command, &actions, process);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

int csystem_spawn_companion(char *const words[], int input, int output, pid_t *process) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, input, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    sigset_t set;
    sigemptyset(&set);
    posix_spawnattr_setsigmask(&attributes, &set);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
    extern char **environ;
    int error = posix_spawn(process, words[0], &actions, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

int csystem_process_descriptor(pid_t process) {
    return (int)syscall(SYS_pidfd_open, process, 0);
}

int csystem_spawn_piped(
    char *const words[], int input, int output, int errors, pid_t *process) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, input, 0);
    if (output >= 0) posix_spawn_file_actions_adddup2(&actions, output, 1);
    if (errors >= 0) posix_spawn_file_actions_adddup2(&actions, errors, 2);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    set_usual_signals(&attributes, NULL);
    extern char **environ;
    int error = posix_spawnp(process, words[0], &actions, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}
