/* The seccomp filter of a thread: see csystem_seal_thread. A list of what is allowed; all else is EPERM. */
#define _GNU_SOURCE
#include "CSystemThreads.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

/* The address sanitizer looks at a thread's signal stack whenever Lua throws, and dies where it may not. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZER_CALLS SYS_sigaltstack,
#endif
#endif
#ifndef SANITIZER_CALLS
#define SANITIZER_CALLS
#endif

static const int memory_and_time[] = {
    SANITIZER_CALLS
    SYS_futex, SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_clock_gettime, SYS_clock_nanosleep,
    SYS_nanosleep, SYS_sched_yield, SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_restart_syscall,
    SYS_getrandom, SYS_gettid, SYS_getpid, SYS_exit, SYS_timer_settime,
#ifdef SYS_time
    SYS_time,
#endif
#ifdef SYS_gettimeofday
    SYS_gettimeofday,
#endif
};

static const int open_descriptors[] = {
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_pwritev,
    SYS_lseek, SYS_fstat, SYS_splice, SYS_tee, SYS_copy_file_range, SYS_ppoll, SYS_close,
#ifdef SYS_poll
    SYS_poll,
#endif
};

enum { length_limit = 160 };

typedef struct {
    struct sock_filter code[length_limit];
    unsigned short count;
} program;

static void add(program *p, struct sock_filter step) {
    if (p->count < length_limit) p->code[p->count++] = step;
}

static void load(program *p, size_t offset) {
    add(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset));
}

static void answer(program *p, unsigned action) {
    add(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

static const unsigned refuse = SECCOMP_RET_ERRNO | EPERM;

static void allow(program *p, int number) {
    add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1));
    answer(p, SECCOMP_RET_ALLOW);
}

/* The low word of argument `index`: what is tested lies in it. */
static size_t argument(int index) {
    size_t offset = offsetof(struct seccomp_data, args) + 8 * (size_t)index;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    offset += 4;
#endif
    return offset;
}

/* Memory, but none that can be executed, and none of files: mmap with `flags`, mprotect without. */
static void allow_memory(program *p, int number, bool has_flags) {
    int rest = has_flags ? 6 : 4;
    add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0,
                                        (unsigned char)rest));
    load(p, argument(2));
    add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC,
                                        (unsigned char)(rest - 3), 0));
    if (has_flags) {
        load(p, argument(3));
        add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 0, 1));
    }
    answer(p, SECCOMP_RET_ALLOW);
    answer(p, refuse);
}

int csystem_seal_thread(csystem_seal seal) {
#ifdef OUR_ARCH
    program p = {.count = 0};
    load(&p, offsetof(struct seccomp_data, arch));
    add(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0));
    answer(&p, refuse);
    load(&p, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < sizeof memory_and_time / sizeof *memory_and_time; i++) {
        allow(&p, memory_and_time[i]);
    }
    if (seal == csystem_seal_streams) {
        for (size_t i = 0; i < sizeof open_descriptors / sizeof *open_descriptors; i++) {
            allow(&p, open_descriptors[i]);
        }
    }
    allow_memory(&p, SYS_mmap, true);
    allow_memory(&p, SYS_mprotect, false);
    answer(&p, refuse);
    if (p.count >= length_limit) return E2BIG;
    struct sock_fprog filter = {.len = p.count, .filter = p.code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) return errno;
    return 0;
#else
    (void)seal;
    return ENOSYS;
#endif
}
