/* See CSystem.h. */
#define _GNU_SOURCE
#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
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

int csystem_create(const char *path, unsigned mode) {
    return open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
}

static atomic_bool interrupted;
static void (*_Atomic interrupt_function)(void);

static void on_sigint(int number) {
    (void)number;
    if (atomic_exchange(&interrupted, true)) {
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
        return;
    }
    void (*function)(void) = atomic_load(&interrupt_function);
    if (function) function();
}

void csystem_watch_interrupts(void) {
    struct sigaction action = {.sa_handler = on_sigint}; /* no SA_RESTART: blocked reads wake */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

bool csystem_interrupted(void) { return atomic_load(&interrupted); }
void csystem_set_interrupted(bool value) { atomic_store(&interrupted, value); }
void csystem_on_interrupt(void (*function)(void)) { atomic_store(&interrupt_function, function); }
void csystem_ignore_sigpipe(void) { signal(SIGPIPE, SIG_IGN); }

long csystem_peak_resident_kib(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss : 0;
}
