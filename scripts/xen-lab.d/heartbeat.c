/* heartbeat: the only program of a lab guest; it shows that the guest and its memory live on.
 *
 *   heartbeat MEBIBYTES DIRTY_PAGES
 *
 * Fills MEBIBYTES of memory with a pattern.  Then, once a second, checks every word of it, rewrites
 * DIRTY_PAGES pages with a new pattern, and prints one line:
 *
 *   beat 12 run=1a2b3c4d pages=8192 errors=0
 *
 * run is drawn at random when the guest boots, so a guest that booted anew cannot be mistaken for
 * one that was restored.  errors counts wrong pages since the start, so it never goes back to 0.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, PAGE_WORDS = PAGE_BYTES / sizeof(uint64_t) };

static uint64_t run_seed;

/* The word that must be at `word` of page number `page` after it was written `writes` times. */
static uint64_t expected(size_t page, uint32_t writes, size_t word)
{
    uint64_t x = run_seed ^ ((uint64_t)writes << 40) ^ (page * PAGE_WORDS + word);

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void write_page(uint64_t *memory, size_t page, uint32_t writes)
{
    for (size_t word = 0; word < PAGE_WORDS; word++)
        memory[page * PAGE_WORDS + word] = expected(page, writes, word);
}

static int page_is_good(const uint64_t *memory, size_t page, uint32_t writes)
{
    for (size_t word = 0; word < PAGE_WORDS; word++)
        if (memory[page * PAGE_WORDS + word] != expected(page, writes, word))
            return 0;
    return 1;
}

int main(int argc, char **argv)
{
    size_t pages = (size_t)(argc > 1 ? atoi(argv[1]) : 32) * (1048576 / PAGE_BYTES);
    size_t dirty_pages = argc > 2 ? (size_t)atoi(argv[2]) : 64;
    uint32_t *writes = calloc(pages, sizeof *writes);
    uint64_t *memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FILE *random = fopen("/dev/urandom", "rb");
    size_t next_dirty = 0, errors = 0;

    if (pages == 0 || !writes || memory == MAP_FAILED ||
        !random || fread(&run_seed, sizeof run_seed, 1, random) != 1) {
        puts("heartbeat: cannot start");
        return 1;
    }
    fclose(random);
    for (size_t page = 0; page < pages; page++)
        write_page(memory, page, 0);

    for (unsigned long beat = 1;; beat++) {
        for (size_t page = 0; page < pages; page++)
            errors += !page_is_good(memory, page, writes[page]);
        for (size_t n = 0; n < dirty_pages; n++, next_dirty = (next_dirty + 1) % pages)
            write_page(memory, next_dirty, ++writes[next_dirty]);
        printf("beat %lu run=%08x pages=%zu errors=%zu\n",
               beat, (unsigned)(run_seed >> 32), pages, errors);
        fflush(stdout);
        sleep(1);
    }
}
