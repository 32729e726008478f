/* SHA-256, by the processor's instructions where it has them. Source: FIPS 180-4. Several threads
   may call all of it, each with a hash of its own. */
#ifndef XENSAVE_CHASH_H
#define XENSAVE_CHASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A hash that is under way. It holds no pointers: a copy is a hash of its own. */
typedef struct {
    uint32_t state[8];
    uint64_t byteCount;
    uint8_t rest[64]; /* the last byteCount % 64 bytes, which fill no block yet */
} chash_sha256;

void chash_sha256_begin(chash_sha256 *);
void chash_sha256_add(chash_sha256 *, const void *bytes, size_t count);
/* The hash must not be used after this before it begins again. */
void chash_sha256_end(chash_sha256 *, uint8_t out[32]);

/* The hash of each of `count` pages of 4096 bytes: 32 bytes each, one after another. */
void chash_sha256_pages(const uint8_t *pages, size_t count, uint8_t *out);

/* Whether the processor's instructions are used. */
bool chash_has_instructions(void);

/* For tests: does without the instructions, in the whole process, until it is told otherwise. */
void chash_sha256_portable_only(bool);

#endif
