#ifndef CFUZZ_H
#define CFUZZ_H
#include <stddef.h>
#include <stdint.h>
size_t fuzz_mutate(uint8_t *data, size_t size, size_t max, uint32_t seed);
#endif
