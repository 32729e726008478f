/* See CSystemCores.h. */
#define _GNU_SOURCE
#include "CSystemCores.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

enum { path_size = 4096, most_cores = 8192 };

static int of_affinity(void) {
    cpu_set_t *set = CPU_ALLOC(most_cores);
    size_t size = CPU_ALLOC_SIZE(most_cores);
    int count = 0;
    if (set) {
        CPU_ZERO_S(size, set);
        if (sched_getaffinity(0, size, set) == 0) count = CPU_COUNT_S(size, set);
        CPU_FREE(set);
    }
    if (count < 1) count = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count;
}

/* The processors that a quota of time is as much as, rounded up; 0 for no quota. */
static long cores_of(long long quota, long long period) {
    if (quota <= 0 || period <= 0) return 0;
    long long cores = quota / period + (quota % period != 0);
    return cores > most_cores ? most_cores : (long)cores;
}

static bool read_text(const char *folder, const char *name, char *text, int size) {
    char path[path_size + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    bool is_there = fgets(text, size, file) != NULL;
    fclose(file);
    return is_there;
}

/* The quota of one group: of version 2 of control groups, or of version 1. */
static long of_group(const char *folder) {
    char text[128];
    long long quota = 0, period = 0;
    if (read_text(folder, "cpu.max", text, sizeof text)) {
        return sscanf(text, "%lld %lld", &quota, &period) == 2 ? cores_of(quota, period) : 0;
    }
    if (!read_text(folder, "cpu.cfs_quota_us", text, sizeof text) ||
        sscanf(text, "%lld", &quota) != 1 ||
        !read_text(folder, "cpu.cfs_period_us", text, sizeof text) ||
        sscanf(text, "%lld", &period) != 1) {
        return 0;
    }
    return cores_of(quota, period);
}

/* The least of a group and those above it; `count` where none has a quota. */
static long of_groups(const char *root, const char *group, long count) {
    char folder[path_size];
    size_t root_length = strlen(root);
    if (snprintf(folder, sizeof folder, "%s%s", root, group) >= (int)sizeof folder) return count;
    for (;;) {
        long cores = of_group(folder);
        if (cores > 0 && cores < count) count = cores;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < root_length) return count;
        *slash = 0;
    }
}

int csystem_core_count(void) {
    long count = of_affinity();
    FILE *groups = fopen("/proc/self/cgroup", "re");
    if (!groups) return (int)count;
    char line[path_size];
    while (fgets(line, sizeof line, groups)) {
        line[strcspn(line, "\n")] = 0;
        char *names = strchr(line, ':');
        char *group = names ? strchr(names + 1, ':') : NULL;
        if (!group) continue;
        *names++ = 0;
        *group++ = 0;
        if (*names == 0) {
            count = of_groups("/sys/fs/cgroup", group, count);
        } else if (strcmp(names, "cpu") == 0 || strcmp(names, "cpu,cpuacct") == 0 ||
                   strcmp(names, "cpuacct,cpu") == 0) {
            count = of_groups("/sys/fs/cgroup/cpu", group, count);
        }
    }
    fclose(groups);
    return count < 1 ? 1 : (int)count;
}

bool csystem_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t registers[4]) {
#if defined(__x86_64__) || defined(__i386__)
    __cpuid_count(leaf, subleaf, registers[0], registers[1], registers[2], registers[3]);
    return true;
#else
    (void)leaf, (void)subleaf, (void)registers;
    return false;
#endif
}
