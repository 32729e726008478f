/* See include/CUnpack.h. What is needed of the interfaces of zlib and liblzma stands here, as it has been since
   zlib 1.2 and liblzma 5.0: nothing of them is needed to build. */
#define _GNU_SOURCE
#include "CUnpack.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- zlib ---- */

struct z_stream {
    const unsigned char *next_in;
    unsigned avail_in;
    unsigned long total_in;
    unsigned char *next_out;
    unsigned avail_out;
    unsigned long total_out;
    const char *msg;
    void *state, *zalloc, *zfree, *opaque;
    int data_type;
    unsigned long adler, reserved;
};

enum { z_no_flush = 0, z_ok = 0, z_stream_end = 1, z_mem_error = -4, z_buf_error = -5 };
/* A window of 32 KiB, and gzip's header and no other. */
enum { z_gzip_window = 15 + 16 };

/* ---- liblzma ---- */

struct lzma_stream {
    const uint8_t *next_in;
    size_t avail_in;
    uint64_t total_in;
    uint8_t *next_out;
    size_t avail_out;
    uint64_t total_out;
    const void *allocator;
    void *internal;
    void *reserved_pointers[4];
    uint64_t seek_position, reserved_integer;
    size_t reserved_sizes[2];
    int reserved_enumerations[2];
};

enum {
    lzma_run = 0,
    lzma_finish = 3,
    lzma_concatenated = 8,
    lzma_ok = 0,
    lzma_stream_end = 1,
    lzma_mem_error = 5,
    lzma_memlimit_error = 6,
    lzma_options_error = 8,
    lzma_buf_error = 10,
};

static struct {
    int (*inflateInit2_)(struct z_stream *, int window, const char *version, int size);
    int (*inflate)(struct z_stream *, int flush);
    int (*inflateReset)(struct z_stream *);
    int (*inflateEnd)(struct z_stream *);
} zlib;

static struct {
    int (*lzma_stream_decoder)(struct lzma_stream *, uint64_t memory, uint32_t flags);
    int (*lzma_code)(struct lzma_stream *, int action);
    void (*lzma_end)(struct lzma_stream *);
} lzma;

static const struct {
    const char *name;
    void **functions;
    const char *const *names;
} libraries[] = {
    [cunpack_gzip] = {"libz.so.1", (void **)&zlib,
                      (const char *const[]){"inflateInit2_", "inflate", "inflateReset", "inflateEnd", NULL}},
    [cunpack_xz] = {"liblzma.so.5", (void **)&lzma,
                    (const char *const[]){"lzma_stream_decoder", "lzma_code", "lzma_end", NULL}},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_open[sizeof libraries / sizeof *libraries];

const char *cunpack_library(enum cunpack_format format) { return libraries[format].name; }

static bool open_library(enum cunpack_format format) {
    void *handle = dlopen(libraries[format].name, RTLD_NOW | RTLD_LOCAL);
    if (!handle) return false;
    for (size_t i = 0; libraries[format].names[i]; i++) {
        void *address = dlsym(handle, libraries[format].names[i]);
        if (!address) {
            dlclose(handle);
            return false;
        }
        memcpy(&libraries[format].functions[i], &address, sizeof address);
    }
    return true;
}

struct cunpack {
    enum cunpack_format format;
    bool is_between;
    bool has_ended; /* gzip: after a member, before the next one is begun */
    union {
        struct z_stream gzip;
        struct lzma_stream xz;
    } stream;
};

struct cunpack *cunpack_begin(enum cunpack_format format, size_t memory, const char **problem) {
    pthread_mutex_lock(&lock);
    if (!is_open[format]) is_open[format] = open_library(format);
    bool is_good = is_open[format];
    pthread_mutex_unlock(&lock);
    if (!is_good) {
        *problem = "it cannot be opened";
        return NULL;
    }
    struct cunpack *out = calloc(1, sizeof *out);
    *problem = "out of memory";
    if (!out) return NULL;
    out->format = format;
    int result = format == cunpack_gzip
                     ? zlib.inflateInit2_(&out->stream.gzip, z_gzip_window, "1.2.11", sizeof out->stream.gzip)
                     : lzma.lzma_stream_decoder(&out->stream.xz, memory, lzma_concatenated);
    if (result == 0) return out;
    free(out);
    return NULL;
}

static const char *gzip_step(struct cunpack *u, struct cunpack_step *step) {
    struct z_stream *z = &u->stream.gzip;
    const unsigned char *input = step->input;
    /* Zeros after a member are the padding of a tape. */
    while (u->has_ended && step->taken < step->input_count && input[step->taken] == 0) step->taken++;
    step->is_between = u->has_ended;
    if (step->taken == step->input_count && (u->has_ended || !step->is_last)) return NULL;
    bool is_later = u->has_ended;
    if (u->has_ended) {
        if (input[step->taken] != 0x1F) return "it has bytes of something else after its end";
        if (zlib.inflateReset(z) != z_ok) return "out of memory";
        u->has_ended = false;
    }
    size_t rest = step->input_count - step->taken;
    unsigned count = rest < 1u << 30 ? (unsigned)rest : 1u << 30;
    unsigned room = step->room < 1u << 30 ? (unsigned)step->room : 1u << 30;
    z->next_in = input + step->taken;
    z->avail_in = count;
    z->next_out = step->output;
    z->avail_out = room;
    int result = zlib.inflate(z, z_no_flush);
    step->taken += count - z->avail_in;
    step->given = room - z->avail_out;
    step->is_between = u->has_ended = result == z_stream_end;
    if (result == z_ok || result == z_stream_end || result == z_buf_error) return NULL;
    if (result == z_mem_error) return "out of memory";
    return is_later ? "it has bytes of something else after its end" : "it is damaged";
}

static const char *xz_step(struct cunpack *u, struct cunpack_step *step) {
    struct lzma_stream *x = &u->stream.xz;
    x->next_in = step->input;
    x->avail_in = step->input_count;
    x->next_out = step->output;
    x->avail_out = step->room;
    int result = u->is_between ? lzma_stream_end
                               : lzma.lzma_code(x, step->is_last ? lzma_finish : lzma_run);
    step->taken = step->input_count - x->avail_in;
    step->given = step->room - x->avail_out;
    step->is_between = u->is_between = result == lzma_stream_end;
    switch (result) {
    case lzma_ok:
    case lzma_stream_end:
    case lzma_buf_error: return NULL;
    case lzma_mem_error: return "out of memory";
    case lzma_memlimit_error: return "it wants more than 128 MiB of memory";
    case lzma_options_error: return "it uses what liblzma does not know";
    default: return "it is damaged, or has bytes of something else after its end";
    }
}

const char *cunpack_step(struct cunpack *u, struct cunpack_step *step) {
    step->taken = step->given = 0;
    step->is_between = false;
    return u->format == cunpack_gzip ? gzip_step(u, step) : xz_step(u, step);
}

void cunpack_end(struct cunpack *u) {
    if (u->format == cunpack_gzip) {
        zlib.inflateEnd(&u->stream.gzip);
    } else {
        lzma.lzma_end(&u->stream.xz);
    }
    free(u);
}
