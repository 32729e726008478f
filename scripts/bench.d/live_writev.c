/* Benchmarks only: the least that a live save's memory pass costs. Writes a domain's memory to
   standard output as PAGE_DATA records of 1024 pages, one writev each, and says on standard error
   how long it took: nanoseconds of the clock, and of the processor.

     live_writev PAGES | live_drain */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { page = 4096, batch = 1024 };

static uint64_t now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv) {
    size_t pages = argc > 1 ? strtoull(argv[1], NULL, 10) : 262144;
    int memory = memfd_create("live_writev", 0);
    if (memory < 0 || ftruncate(memory, (off_t)(pages * page)) != 0) return 1;
    char *base = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (base == MAP_FAILED) return 1;
    for (size_t i = 0; i < pages; i++) memset(base + i * page, (int)(i | 1), page);
    fcntl(STDOUT_FILENO, F_SETPIPE_SZ, 1 << 20);
    static struct { uint32_t type, length, count, reserved; uint64_t pfn[batch]; } head;
    uint64_t wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t first = 0; first < pages; first += batch) {
        uint32_t n = pages - first < batch ? (uint32_t)(pages - first) : batch;
        head.type = 1;
        head.length = 8 + n * (8 + page);
        head.count = n;
        for (uint32_t i = 0; i < n; i++) head.pfn[i] = first + i;
        struct iovec pieces[2] = {{&head, 16 + 8 * (size_t)n}, {base + first * page, (size_t)n * page}};
        ssize_t want = (ssize_t)(pieces[0].iov_len + pieces[1].iov_len);
        if (writev(STDOUT_FILENO, pieces, 2) != want) return 1;
    }
    fprintf(stderr, "%llu %llu\n", (unsigned long long)(now(CLOCK_MONOTONIC) - wall),
            (unsigned long long)(now(CLOCK_PROCESS_CPUTIME_ID) - cpu));
    return 0;
}
