/* Benchmarks only: the loops of Sources/Pages/Select/PageLoops.swift as a C programmer writes them.

     loops NAME TIMES    prints nanoseconds and a sum that does not depend on the language */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { page = 4096, pages = 4096 };

static uint64_t word(const uint8_t *p) {
    uint64_t w;
    memcpy(&w, p, 8);
    return w;
}

static int is_zero(const uint8_t *p) {
    for (int i = 0; i < page; i += 64) {
        uint64_t sum = 0;
        for (int j = 0; j < 64; j += 8) sum |= word(p + i + j);
        if (sum) return 0;
    }
    return 1;
}

static uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (a ^ (uint64_t)product) ^ (b ^ (uint64_t)(product >> 64));
}

static uint64_t hash(const uint8_t *p) {
    const uint64_t k0 = 0x6A09E667F3BCC909, k1 = 0xBB67AE8584CAA73B, k2 = 0x3C6EF372FE94F82B,
                   k3 = 0xA54FF53A5F1D36F1;
    uint64_t a = k0, b = k1, c = k2, d = k3;
    for (int i = 0; i < page; i += 64) {
        a = fold(word(p + i) ^ k1, word(p + i + 8) ^ a);
        b = fold(word(p + i + 16) ^ k2, word(p + i + 24) ^ b);
        c = fold(word(p + i + 32) ^ k3, word(p + i + 40) ^ c);
        d = fold(word(p + i + 48) ^ k0, word(p + i + 56) ^ d);
    }
    return fold(fold(a ^ k2, b ^ k3) ^ k1, fold(c ^ k0, d ^ k1) ^ page);
}

static uint64_t histogram(const uint8_t *p) {
    uint16_t counts[256] = {0};
    uint64_t sum = 0;
    for (int i = 0; i < page; i++) counts[p[i]]++;
    for (int i = 0; i < 256; i++) sum += (uint64_t)counts[i] * counts[i];
    return sum;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    int times = atoi(argv[2]);
    uint8_t *a = malloc((size_t)page * pages), *b = malloc((size_t)page * pages);
    if (!a || !b) return 1;
    uint64_t state = 1;
    for (size_t i = 0; i < (size_t)page * pages; i += 8) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t w = (i / page) % 2 ? 0 : state;
        memcpy(a + i, &w, 8);
        memcpy(b + i, &w, 8);
    }
    struct timespec t0, t1;
    uint64_t sum = 0;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    for (int t = 0; t < times; t++)
        for (size_t i = 0; i < pages; i++) {
            const uint8_t *p = a + i * page;
            if (!strcmp(argv[1], "zero")) sum += (uint64_t)is_zero(p);
            else if (!strcmp(argv[1], "hash")) sum += hash(p);
            else if (!strcmp(argv[1], "equal")) sum += memcmp(p, b + i * page, page) == 0;
            else if (!strcmp(argv[1], "histogram")) sum += histogram(p);
        }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    printf("%lld %llu\n", (t1.tv_sec - t0.tv_sec) * 1000000000ll + t1.tv_nsec - t0.tv_nsec,
           (unsigned long long)sum);
    return 0;
}
