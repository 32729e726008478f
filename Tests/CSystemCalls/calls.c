/* See include/CSystemCalls.h. */
#define _GNU_SOURCE
#include "CSystemCalls.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { file_limit = 4 };

struct calls_plan {
    calls_plan *next;
    pthread_t thread;
    int set;
    enum calls_effect effect;
    long at, times, value;
    long count, hits;
    int file_count;
    struct {
        dev_t device;
        ino_t inode;
        /* Open as long as the plan is there: nobody else's file gets the inode when this one is removed. */
        int held;
    } files[file_limit];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static calls_plan *plans;
static atomic_int plan_count;

calls_plan *calls_begin(int set, enum calls_effect effect, long at, long times, long value) {
    calls_plan *plan = calloc(1, sizeof *plan);
    if (!plan) abort();
    plan->thread = pthread_self();
    plan->set = set;
    plan->effect = effect;
    plan->at = at;
    plan->times = times;
    plan->value = value;
    pthread_mutex_lock(&lock);
    plan->next = plans;
    plans = plan;
    atomic_fetch_add(&plan_count, 1);
    pthread_mutex_unlock(&lock);
    return plan;
}

void calls_add_file(calls_plan *plan, int descriptor) {
    struct stat status;
    int held = (int)syscall(SYS_fcntl, descriptor, F_DUPFD_CLOEXEC, 0);
    if (held < 0 || fstat(descriptor, &status) != 0) abort();
    pthread_mutex_lock(&lock);
    if (plan->file_count == file_limit) abort();
    plan->files[plan->file_count].device = status.st_dev;
    plan->files[plan->file_count].inode = status.st_ino;
    plan->files[plan->file_count].held = held;
    plan->file_count++;
    pthread_mutex_unlock(&lock);
}

long calls_end(calls_plan *plan) {
    pthread_mutex_lock(&lock);
    for (calls_plan **place = &plans; *place; place = &(*place)->next) {
        if (*place == plan) {
            *place = plan->next;
            break;
        }
    }
    atomic_fetch_sub(&plan_count, 1);
    long count = plan->count;
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < plan->file_count; i++) syscall(SYS_close, plan->files[i].held);
    free(plan);
    return count;
}

long calls_hits(const calls_plan *plan) {
    pthread_mutex_lock(&lock);
    long hits = plan->hits;
    pthread_mutex_unlock(&lock);
    return hits;
}

static bool is_for(const calls_plan *plan, int call, int descriptor) {
    if (!(plan->set & call)) return false;
    if (pthread_equal(plan->thread, pthread_self())) return true;
    struct stat status;
    if (plan->file_count == 0 || fstat(descriptor, &status) != 0) return false;
    for (int i = 0; i < plan->file_count; i++) {
        if (plan->files[i].device == status.st_dev && plan->files[i].inode == status.st_ino) {
            return true;
        }
    }
    return false;
}

/* What is to happen to a call: true where it is not to be made, and its result then. `size` is how many
   bytes it may move, NULL for none. */
static bool is_met(int call, int descriptor, size_t *size, long *result) {
    if (atomic_load_explicit(&plan_count, memory_order_relaxed) == 0) return false;
    int saved = errno;
    bool is_replaced = false;
    pthread_mutex_lock(&lock);
    for (calls_plan *plan = plans; plan; plan = plan->next) {
        if (!is_for(plan, call, descriptor)) continue;
        plan->count++;
        if (plan->count < plan->at) continue;
        if (plan->times > 0 && plan->count >= plan->at + plan->times) continue;
        switch (plan->effect) {
        case calls_count: continue;
        case calls_short:
            if (!size || *size <= (size_t)plan->value) continue;
            *size = (size_t)plan->value;
            break;
        case calls_fail:
            saved = (int)plan->value;
            *result = -1;
            is_replaced = true;
            break;
        case calls_give:
            *result = plan->value;
            is_replaced = true;
            break;
        }
        plan->hits++;
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return is_replaced;
}

/* The calls themselves. A sanitizer has to see them: without it the thread sanitizer would not know that who
   reads a pipe comes after who wrote into it. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define is_sanitized
#endif
#endif
#ifdef is_sanitized
#define system_read __interceptor_read
#define system_pread __interceptor_pread
#define system_write __interceptor_write
#define system_pwrite __interceptor_pwrite
#define system_writev __interceptor_writev
ssize_t system_read(int descriptor, void *buffer, size_t count);
ssize_t system_pread(int descriptor, void *buffer, size_t count, off_t offset);
ssize_t system_write(int descriptor, const void *buffer, size_t count);
ssize_t system_pwrite(int descriptor, const void *buffer, size_t count, off_t offset);
ssize_t system_writev(int descriptor, const struct iovec *vectors, int count);
#else
#define system_read(...) syscall(SYS_read, __VA_ARGS__)
#define system_pread(...) syscall(SYS_pread64, __VA_ARGS__)
#define system_write(...) syscall(SYS_write, __VA_ARGS__)
#define system_pwrite(...) syscall(SYS_pwrite64, __VA_ARGS__)
#define system_writev(...) syscall(SYS_writev, __VA_ARGS__)
#endif

ssize_t read(int descriptor, void *buffer, size_t count) {
    long result;
    if (is_met(calls_read, descriptor, &count, &result)) return result;
    return system_read(descriptor, buffer, count);
}

ssize_t pread(int descriptor, void *buffer, size_t count, off_t offset) {
    long result;
    if (is_met(calls_pread, descriptor, &count, &result)) return result;
    return system_pread(descriptor, buffer, count, offset);
}

ssize_t write(int descriptor, const void *buffer, size_t count) {
    long result;
    if (is_met(calls_write, descriptor, &count, &result)) return result;
    return system_write(descriptor, buffer, count);
}

ssize_t pwrite(int descriptor, const void *buffer, size_t count, off_t offset) {
    long result;
    if (is_met(calls_pwrite, descriptor, &count, &result)) return result;
    return system_pwrite(descriptor, buffer, count, offset);
}

ssize_t writev(int descriptor, const struct iovec *vectors, int count) {
    size_t size = 0;
    for (int i = 0; i < count; i++) size += vectors[i].iov_len;
    size_t whole = size;
    long result;
    if (is_met(calls_writev, descriptor, &size, &result)) return result;
    if (size == whole) return system_writev(descriptor, vectors, count);
    /* Fewer bytes: the vectors up to that place. */
    struct iovec *fewer = malloc((size_t)count * sizeof *fewer);
    if (!fewer) abort();
    int used = 0;
    for (size_t left = size; left > 0; used++) {
        fewer[used] = vectors[used];
        if (fewer[used].iov_len > left) fewer[used].iov_len = left;
        left -= fewer[used].iov_len;
    }
    result = system_writev(descriptor, fewer, used);
    int saved = errno;
    free(fewer);
    errno = saved;
    return result;
}

ssize_t splice(int in, off_t *in_offset, int out, off_t *out_offset, size_t count, unsigned flags) {
    long result;
    if (is_met(calls_splice, out, &count, &result)) return result;
    return syscall(SYS_splice, in, in_offset, out, out_offset, count, flags);
}

ssize_t copy_file_range(int in, off_t *in_offset, int out, off_t *out_offset, size_t count,
                        unsigned flags) {
    long result;
    if (is_met(calls_copy_file_range, out, &count, &result)) return result;
    return syscall(SYS_copy_file_range, in, in_offset, out, out_offset, count, flags);
}

int fsync(int descriptor) {
    long result;
    if (is_met(calls_fsync, descriptor, NULL, &result)) return (int)result;
    return (int)syscall(SYS_fsync, descriptor);
}

off_t lseek(int descriptor, off_t offset, int whence) {
    long result;
    if (is_met(calls_lseek, descriptor, NULL, &result)) return result;
    return syscall(SYS_lseek, descriptor, offset, whence);
}

int fallocate(int descriptor, int mode, off_t offset, off_t length) {
    long result;
    if (is_met(calls_fallocate, descriptor, NULL, &result)) return (int)result;
    return (int)syscall(SYS_fallocate, descriptor, mode, offset, length);
}

int ftruncate(int descriptor, off_t length) {
    long result;
    if (is_met(calls_ftruncate, descriptor, NULL, &result)) return (int)result;
    return (int)syscall(SYS_ftruncate, descriptor, length);
}

int linkat(int from, const char *old, int to, const char *new, int flags) {
    long result;
    if (is_met(calls_linkat, from, NULL, &result)) return (int)result;
    return (int)syscall(SYS_linkat, from, old, to, new, flags);
}
