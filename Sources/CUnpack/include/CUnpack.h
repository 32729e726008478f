/* Unpacking of gzip and xz by zlib and liblzma, which are opened at run time. One `cunpack` may be used by
   one thread at a time. */
#ifndef XENSAVE_CUNPACK_H
#define XENSAVE_CUNPACK_H

#include <stdbool.h>
#include <stddef.h>

struct cunpack;

enum cunpack_format { cunpack_gzip, cunpack_xz };

/* The library that unpacks a format: for messages. */
const char *cunpack_library(enum cunpack_format);

/* Opens the library where it is not open yet, and begins. NULL on failure; `problem` says why. `memory`: the
   most bytes that a file may want for being unpacked. */
struct cunpack *cunpack_begin(enum cunpack_format, size_t memory, const char **problem);

/* One step. */
struct cunpack_step {
    const void *input;
    size_t input_count;
    bool is_last; /* nothing comes after this input */
    void *output;
    size_t room;
    /* What the step has made of it. */
    size_t taken, given;
    /* Whether the data may end here. */
    bool is_between;
};

/* NULL, or what is wrong with the data. */
const char *cunpack_step(struct cunpack *, struct cunpack_step *);

void cunpack_end(struct cunpack *);

#endif
