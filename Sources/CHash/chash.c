/* See include/CHash.h. Names and numbers in brackets are those of FIPS 180-4. */
#define _DEFAULT_SOURCE
#include "CHash.h"

#include <endian.h>
#include <stdatomic.h>
#include <string.h>

enum { block_size = 64, page_size = 4096 };

/* [5.3.3] */
static const uint32_t start[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

/* [4.2.2] */
static const _Alignas(16) uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* What follows a page [5.1.1]: a bit, zeros, and the page's length in bits. */
static const uint8_t after_page[block_size] = {[0] = 0x80, [62] = page_size * 8 >> 8};

/* ---- Any processor ---- */

static inline uint32_t load(const uint8_t *bytes) {
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return be32toh(word);
}

static inline void store(uint8_t *bytes, uint32_t word) {
    word = htobe32(word);
    memcpy(bytes, &word, sizeof word);
}

static inline uint32_t rotated(uint32_t word, unsigned count) {
    return word >> count | word << (32 - count);
}

/* One round [6.2.2, step 3]. Two of the eight words change; the caller renames them all. */
#define ROUND(a, b, c, d, e, f, g, h, index)                                                 \
    do {                                                                                     \
        uint32_t sum = h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) +               \
                       (g ^ (e & (f ^ g))) + constants[at + (index)] + words[(index)];       \
        d += sum;                                                                            \
        h = sum + ((a & b) | (c & (a | b))) +                                                \
            (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22));                               \
    } while (0)

static void add_portably(uint32_t state[8], const uint8_t *blocks, size_t count) {
    for (; count > 0; count--, blocks += block_size) {
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        /* The last 16 words of the schedule; those of the next 16 rounds take their places. */
        uint32_t words[16];
        for (int index = 0; index < 16; index++) words[index] = load(blocks + 4 * index);
        for (int at = 0;;) {
            for (int index = 0; index < 16; index += 8) {
                ROUND(a, b, c, d, e, f, g, h, index);
                ROUND(h, a, b, c, d, e, f, g, index + 1);
                ROUND(g, h, a, b, c, d, e, f, index + 2);
                ROUND(f, g, h, a, b, c, d, e, index + 3);
                ROUND(e, f, g, h, a, b, c, d, index + 4);
                ROUND(d, e, f, g, h, a, b, c, index + 5);
                ROUND(c, d, e, f, g, h, a, b, index + 6);
                ROUND(b, c, d, e, f, g, h, a, index + 7);
            }
            at += 16;
            if (at == 64) break;
#pragma GCC unroll 16
            for (int index = 0; index < 16; index++) {
                uint32_t early = words[(index + 1) & 15], late = words[(index + 14) & 15];
                words[index] += (rotated(early, 7) ^ rotated(early, 18) ^ early >> 3) +
                                words[(index + 9) & 15] +
                                (rotated(late, 17) ^ rotated(late, 19) ^ late >> 10);
            }
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
}

/* ---- x86-64 with SHA instructions ----
   Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2: SHA256RNDS2,
   SHA256MSG1, SHA256MSG2. */

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define WITH_INSTRUCTIONS __attribute__((target("sha,sse4.1,ssse3")))

static bool processor_has_instructions(void) {
    static _Atomic int known; /* 0: not asked yet, 1: no, 2: yes */
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == 0) {
        unsigned a, b, c, d;
        bool has = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSSE3) && (c & bit_SSE4_1) &&
                   __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
        answer = has ? 2 : 1;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == 2;
}

/* Adds `count` blocks to each of one or two hashes. A round waits for the one before it: in that
   time the processor does a round of the other hash. */
WITH_INSTRUCTIONS __attribute__((always_inline)) static inline void add_streams(
    uint32_t (*states)[8], const uint8_t *const *blocks, size_t count, const int streams) {
    const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    /* The instructions want the state in this order, the first word at the top. */
    __m128i abef[2], cdgh[2];
    const uint8_t *from[2];
#pragma GCC unroll 2
    for (int s = 0; s < streams; s++) {
        const int *state = (const int *)states[s];
        abef[s] = _mm_set_epi32(state[0], state[1], state[4], state[5]);
        cdgh[s] = _mm_set_epi32(state[2], state[3], state[6], state[7]);
        from[s] = blocks[s];
    }
    for (; count > 0; count--) {
        __m128i words[2][4], abef_before[2], cdgh_before[2];
#pragma GCC unroll 2
        for (int s = 0; s < streams; s++) {
            abef_before[s] = abef[s];
            cdgh_before[s] = cdgh[s];
#pragma GCC unroll 4
            for (int part = 0; part < 4; part++)
                words[s][part] = _mm_shuffle_epi8(
                    _mm_loadu_si128((const __m128i *)(from[s] + 16 * part)), swap);
            from[s] += block_size;
        }
#pragma GCC unroll 16
        for (int part = 0; part < 16; part++) {
            __m128i four = _mm_load_si128((const __m128i *)(constants + 4 * part));
#pragma GCC unroll 2
            for (int s = 0; s < streams; s++) {
                __m128i *w = words[s];
                __m128i sum = _mm_add_epi32(w[part & 3], four);
                /* Two rounds each. What was A, B, E, F before them is C, D, G, H after them. */
                cdgh[s] = _mm_sha256rnds2_epu32(cdgh[s], abef[s], sum);
                abef[s] = _mm_sha256rnds2_epu32(abef[s], cdgh[s], _mm_unpackhi_epi64(sum, sum));
                if (part >= 12) continue;
                /* Four words of the schedule take the place of those that have been used. */
                __m128i last = w[(part + 3) & 3];
                __m128i seventh = _mm_alignr_epi8(last, w[(part + 2) & 3], 4);
                __m128i next = _mm_sha256msg1_epu32(w[part & 3], w[(part + 1) & 3]);
                w[part & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(next, seventh), last);
            }
        }
#pragma GCC unroll 2
        for (int s = 0; s < streams; s++) {
            abef[s] = _mm_add_epi32(abef[s], abef_before[s]);
            cdgh[s] = _mm_add_epi32(cdgh[s], cdgh_before[s]);
        }
    }
#pragma GCC unroll 2
    for (int s = 0; s < streams; s++) {
        int *state = (int *)states[s];
        state[0] = _mm_extract_epi32(abef[s], 3), state[1] = _mm_extract_epi32(abef[s], 2);
        state[2] = _mm_extract_epi32(cdgh[s], 3), state[3] = _mm_extract_epi32(cdgh[s], 2);
        state[4] = _mm_extract_epi32(abef[s], 1), state[5] = _mm_extract_epi32(abef[s], 0);
        state[6] = _mm_extract_epi32(cdgh[s], 1), state[7] = _mm_extract_epi32(cdgh[s], 0);
    }
}

WITH_INSTRUCTIONS static void add_by_instructions(
    uint32_t state[8], const uint8_t *blocks, size_t count) {
    add_streams((uint32_t(*)[8])state, &blocks, count, 1);
}

WITH_INSTRUCTIONS static void add_two_by_instructions(
    uint32_t states[2][8], const uint8_t *const blocks[2], size_t count) {
    add_streams(states, blocks, count, 2);
}
#endif

static _Atomic bool is_portable_only;

bool chash_has_instructions(void) {
#if defined(__x86_64__)
    return !atomic_load_explicit(&is_portable_only, memory_order_relaxed) &&
           processor_has_instructions();
#else
    return false;
#endif
}

void chash_sha256_portable_only(bool only) {
    atomic_store_explicit(&is_portable_only, only, memory_order_relaxed);
}

/* ---- Hashes ---- */

static void add_blocks(uint32_t state[8], const uint8_t *blocks, size_t count) {
#if defined(__x86_64__)
    if (chash_has_instructions()) {
        add_by_instructions(state, blocks, count);
        return;
    }
#endif
    add_portably(state, blocks, count);
}

static void give(const uint32_t state[8], uint8_t *out) {
    for (int index = 0; index < 8; index++) store(out + 4 * index, state[index]);
}

void chash_sha256_begin(chash_sha256 *hash) {
    memcpy(hash->state, start, sizeof start);
    hash->byteCount = 0;
}

void chash_sha256_add(chash_sha256 *hash, const void *bytes, size_t count) {
    if (count == 0) return;
    const uint8_t *from = bytes;
    size_t used = hash->byteCount % block_size;
    hash->byteCount += count;
    if (used > 0) {
        size_t part = block_size - used < count ? block_size - used : count;
        memcpy(hash->rest + used, from, part);
        if (used + part < block_size) return;
        add_blocks(hash->state, hash->rest, 1);
        from += part;
        count -= part;
    }
    if (count >= block_size) add_blocks(hash->state, from, count / block_size);
    memcpy(hash->rest, from + count / block_size * block_size, count % block_size);
}

void chash_sha256_end(chash_sha256 *hash, uint8_t out[32]) {
    size_t used = hash->byteCount % block_size;
    hash->rest[used++] = 0x80;
    if (used > block_size - 8) {
        memset(hash->rest + used, 0, block_size - used);
        add_blocks(hash->state, hash->rest, 1);
        used = 0;
    }
    memset(hash->rest + used, 0, block_size - 8 - used);
    uint64_t bits = htobe64(hash->byteCount * 8);
    memcpy(hash->rest + block_size - 8, &bits, sizeof bits);
    add_blocks(hash->state, hash->rest, 1);
    give(hash->state, out);
}

void chash_sha256_pages(const uint8_t *pages, size_t count, uint8_t *out) {
#if defined(__x86_64__)
    if (chash_has_instructions()) {
        for (; count > 1; count -= 2, pages += 2 * page_size, out += 64) {
            uint32_t states[2][8];
            memcpy(states[0], start, sizeof start);
            memcpy(states[1], start, sizeof start);
            const uint8_t *const both[2] = {pages, pages + page_size};
            const uint8_t *const ends[2] = {after_page, after_page};
            add_two_by_instructions(states, both, page_size / block_size);
            add_two_by_instructions(states, ends, 1);
            give(states[0], out);
            give(states[1], out + 32);
        }
    }
#endif
    for (; count > 0; count--, pages += page_size, out += 32) {
        uint32_t state[8];
        memcpy(state, start, sizeof start);
        add_blocks(state, pages, page_size / block_size);
        add_blocks(state, after_page, 1);
        give(state, out);
    }
}
