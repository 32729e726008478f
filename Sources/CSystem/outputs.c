/* See CSystemOutputs.h. */
#define _GNU_SOURCE
#include "CSystemOutputs.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

int csystem_create_unnamed(const char *folder, unsigned mode) {
    return open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, (mode_t)mode);
}

/* The path by which linkat(2) finds a file without a name. */
typedef struct {
    char text[32];
} proc_link;

static proc_link link_of(int descriptor) {
    proc_link out;
    /* Not "self": another process uses it. */
    snprintf(out.text, sizeof out.text, "/proc/%d/fd/%d", (int)getpid(), descriptor);
    return out;
}

int csystem_name(int descriptor, const char *path) {
    proc_link link = link_of(descriptor);
    return linkat(AT_FDCWD, link.text, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

#if defined(__has_feature)
#define HAS_THREAD_SANITIZER __has_feature(thread_sanitizer)
#else
#define HAS_THREAD_SANITIZER 0
#endif

typedef struct {
    const char *link, *temporary, *path;
    volatile int number;        /* errno of the step that failed */
    volatile bool is_done;
} replacing;

static int replace(void *argument) {
    replacing *job = argument;
    if (linkat(AT_FDCWD, job->link, AT_FDCWD, job->temporary, AT_SYMLINK_FOLLOW) != 0) {
        job->number = errno;
    } else if (rename(job->temporary, job->path) != 0) {
        job->number = errno;
        unlink(job->temporary);
    } else {
        job->is_done = true;
    }
    return 0;
}

static int replace_as_child(void *argument) {
    /* What kills the whole group of the one that waits does not reach this one. */
    setpgid(0, 0);
    replace(argument);
    _exit(0);
}

/* Whether `path` is the file of the descriptor. */
static bool is_there(int descriptor, const char *path) {
    struct stat ours, theirs;
    return fstat(descriptor, &ours) == 0 && lstat(path, &theirs) == 0 &&
           ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

int csystem_replace(int descriptor, const char *temporary, const char *path) {
    proc_link link = link_of(descriptor);
    replacing job = {.link = link.text, .temporary = temporary, .path = path};
    enum { stack_size = 64 << 10 };
    char *stack = malloc(stack_size);
    if (!stack) return -1;
    /* It shares our memory while we stand still; a handler of a signal must not run in it. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
#if HAS_THREAD_SANITIZER
    /* The sanitizer knows of no process that shares memory: it takes the child for this one. */
    pid_t child = -1;
    (void)replace_as_child;
#else
    /* No signal at its end: nobody else is to hear of it. */
    pid_t child = clone(replace_as_child, stack + stack_size, CLONE_VM | CLONE_VFORK, &job);
#endif
    if (child < 0) {
        replace(&job);
    } else {
        int status;
        while (waitpid(child, &status, __WALL) < 0 && errno == EINTR) {}
        if (!job.is_done && job.number == 0) {
            /* It was killed. */
            job.is_done = is_there(descriptor, path);
            job.number = EINTR;
            if (!job.is_done) unlink(temporary);
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(stack);
    if (job.is_done) return 0;
    errno = job.number;
    return -1;
}

int csystem_rename_to_new(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

int csystem_connect(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -1;
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
        int saved = errno;
        close(descriptor);
        errno = saved;
        return -1;
    }
    return descriptor;
}

static const char access_list[] = "system.posix_acl_access";

static bool is_wanted(const char *name, enum csystem_attributes which) {
    if (which == csystem_access_lists) return strcmp(name, access_list) == 0;
    return strncmp(name, "system.", 7) != 0 && strcmp(name, "security.ima") != 0 &&
           strcmp(name, "security.evm") != 0;
}

/* The value of an attribute; to be freed. */
static char *value_of(const char *path, const char *name, ssize_t *count) {
    *count = getxattr(path, name, NULL, 0);
    if (*count < 0) return NULL;
    char *value = malloc((size_t)*count + 1);
    if (value) *count = getxattr(path, name, value, (size_t)*count);
    if (!value || *count >= 0) return value;
    free(value);
    return NULL;
}

static int copy_attribute(const char *from, int to, const char *name) {
    ssize_t count, have;
    char *value = value_of(from, name, &count);
    if (!value) return errno == ENODATA ? 0 : -1;
    proc_link link = link_of(to);
    char *there = value_of(link.text, name, &have);
    /* A label that the system has given already may be nobody's to set. */
    bool is_same = there && have == count && memcmp(there, value, (size_t)count) == 0;
    free(there);
    int result = is_same ? 0 : fsetxattr(to, name, value, (size_t)count, 0);
    int saved = errno;
    free(value);
    errno = saved;
    return result;
}

int csystem_copy_attributes(const char *from, int to, enum csystem_attributes which, char *name,
                            size_t name_size) {
    /* One that the folder gave, where the file before had none. */
    if (which == csystem_access_lists) (void)fremovexattr(to, access_list);
    ssize_t size = listxattr(from, NULL, 0);
    if (size < 0) return errno == ENOTSUP ? 0 : -1;
    char *names = malloc((size_t)size + 1);
    if (!names) return -1;
    size = listxattr(from, names, (size_t)size);
    int result = size < 0 ? -1 : 0;
    for (char *here = names; result == 0 && here < names + size; here += strlen(here) + 1) {
        if (!is_wanted(here, which)) continue;
        result = copy_attribute(from, to, here);
        if (result != 0) {
            int saved = errno;
            snprintf(name, name_size, "%s", here);
            errno = saved;
        }
    }
    int saved = errno;
    free(names);
    errno = saved;
    return result;
}
