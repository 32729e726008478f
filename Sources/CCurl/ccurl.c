/* See include/CCurl.h. The few names of libcurl's interface that are needed stand here, with the values
   that they have had since they came: nothing of it is needed to build. */
#define _GNU_SOURCE
#include "CCurl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef void CURL;
typedef void CURLM;
struct curl_slist;

enum { /* CURLoption: a long */
    opt_low_speed_limit = 19,
    opt_low_speed_time = 20,
    opt_nobody = 44,
    opt_upload = 46,
    opt_post = 47,
    opt_followlocation = 52,
    opt_maxredirs = 68,
    opt_connecttimeout = 78,
    opt_http_version = 84,
    opt_nosignal = 99,
    opt_protocols = 181,
    opt_redir_protocols = 182,
    opt_expect_100_timeout_ms = 227,
    opt_path_as_is = 234,
    opt_upload_buffersize = 280,
    opt_quick_exit = 322,
    /* a pointer */
    opt_writedata = 10001,
    opt_url = 10002,
    opt_range = 10007,
    opt_readdata = 10009,
    opt_errorbuffer = 10010,
    opt_postfields = 10015,
    opt_useragent = 10018,
    opt_httpheader = 10023,
    opt_headerdata = 10029,
    opt_customrequest = 10036,
    opt_cainfo = 10065,
    opt_private = 10103,
    opt_seekdata = 10168,
    /* a function */
    opt_writefunction = 20011,
    opt_readfunction = 20012,
    opt_headerfunction = 20079,
    opt_seekfunction = 20167,
    /* 64 bits */
    opt_infilesize_large = 30115,
    opt_postfieldsize_large = 30120,
};
enum { info_response_code = 0x200002, info_private = 0x100015 };
enum { multi_max_host_connections = 7 };
enum { global_default = 3, http_1_1 = 2, message_done = 1, error_size = 256 };
enum { proto_http = 1, proto_https = 2, unknown_option = 48 };

struct message {
    int kind;
    CURL *easy;
    union {
        void *whatever;
        int result;
    } data;
};

static struct library {
    int (*global_init)(long flags);
    char *(*version)(void);
    CURL *(*easy_init)(void);
    int (*easy_setopt)(CURL *, int option, ...);
    int (*easy_getinfo)(CURL *, int info, ...);
    void (*easy_cleanup)(CURL *);
    const char *(*easy_strerror)(int code);
    struct curl_slist *(*slist_append)(struct curl_slist *, const char *);
    void (*slist_free_all)(struct curl_slist *);
    CURLM *(*multi_init)(void);
    int (*multi_setopt)(CURLM *, int option, ...);
    int (*multi_add_handle)(CURLM *, CURL *);
    int (*multi_remove_handle)(CURLM *, CURL *);
    int (*multi_perform)(CURLM *, int *running);
    int (*multi_poll)(CURLM *, void *extra, unsigned count, int milliseconds, int *ready);
    struct message *(*multi_info_read)(CURLM *, int *left);
    int (*multi_cleanup)(CURLM *);
} curl;

static const struct {
    const char *name;
    size_t offset;
} functions[] = {
#define FUNCTION(name) {"curl_" #name, offsetof(struct library, name)}
    FUNCTION(global_init),      FUNCTION(version),         FUNCTION(easy_init),
    FUNCTION(easy_setopt),      FUNCTION(easy_getinfo),    FUNCTION(easy_cleanup),
    FUNCTION(easy_strerror),    FUNCTION(slist_append),    FUNCTION(slist_free_all),
    FUNCTION(multi_init),       FUNCTION(multi_setopt),    FUNCTION(multi_add_handle),
    FUNCTION(multi_remove_handle), FUNCTION(multi_perform), FUNCTION(multi_poll),
    FUNCTION(multi_info_read),  FUNCTION(multi_cleanup),
#undef FUNCTION
};

struct ccurl {
    CURLM *multi;
    struct ccurl_transfer *first; /* those that have not ended */
    char version[32];
};

struct ccurl_transfer {
    struct ccurl *owner; /* NULL when it has ended */
    struct ccurl_transfer *next;
    CURL *easy;
    struct curl_slist *headers;
    bool has_ended, is_too_long;
    int code;
    long status;
    unsigned char *bytes;
    size_t byte_count, capacity, room;
    const unsigned char *body;
    size_t body_count, body_sent;
    char etag[256], content_range[128], content_length[32], modified[64], location[512], region[64];
    char problem[error_size];
};

/* What is kept of an answer that is an error. */
enum { error_room = 16384 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_open;

static bool open_library(const char *name, char *problem, size_t size) {
    static const char *const usual[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
    void *handle = name ? dlopen(name, RTLD_NOW | RTLD_LOCAL) : NULL;
    for (size_t i = 0; !name && !handle && i < sizeof usual / sizeof *usual; i++) {
        handle = dlopen(usual[i], RTLD_NOW | RTLD_LOCAL);
    }
    if (!handle) {
        const char *text = name ? dlerror() : NULL;
        snprintf(problem, size, "%s", text ? text : "");
        return false;
    }
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *address = dlsym(handle, functions[i].name);
        if (!address) {
            snprintf(problem, size, "it has no %s", functions[i].name);
            dlclose(handle);
            return false;
        }
        memcpy((char *)&curl + functions[i].offset, &address, sizeof address);
    }
    if (curl.global_init(global_default) != 0) {
        snprintf(problem, size, "it cannot be started");
        return false; /* it stays open: who knows what it began */
    }
    return true;
}

struct ccurl *ccurl_open(const char *library, char *problem, size_t size) {
    pthread_mutex_lock(&lock);
    if (!is_open) is_open = open_library(library, problem, size);
    bool is_good = is_open;
    pthread_mutex_unlock(&lock);
    if (!is_good) return NULL;
    struct ccurl *out = calloc(1, sizeof *out);
    if (out) out->multi = curl.multi_init();
    if (!out || !out->multi) {
        free(out);
        snprintf(problem, size, "out of memory");
        return NULL;
    }
    curl.multi_setopt(out->multi, multi_max_host_connections, 16L);
    const char *version = curl.version();
    if (version && sscanf(version, "libcurl/%31s", out->version) != 1) out->version[0] = 0;
    return out;
}

/* ---- one transfer ---- */

static bool make_room(struct ccurl_transfer *t, size_t count) {
    if (count <= t->capacity) return true;
    size_t capacity = t->capacity ? t->capacity : 4096;
    while (capacity < count) capacity *= 2;
    if (capacity > t->room + 1 && count <= t->room) capacity = t->room;
    unsigned char *bytes = realloc(t->bytes, capacity);
    if (!bytes) return false;
    t->bytes = bytes;
    t->capacity = capacity;
    return true;
}

static size_t on_bytes(char *data, size_t size, size_t count, void *context) {
    struct ccurl_transfer *t = context;
    size_t length = size * count;
    long status = 0;
    curl.easy_getinfo(t->easy, info_response_code, &status);
    size_t room = status >= 300 ? error_room : t->room;
    if (length > room - t->byte_count) {
        t->is_too_long = true;
        return 0; /* ends the transfer */
    }
    if (!make_room(t, t->byte_count + length)) return 0;
    memcpy(t->bytes + t->byte_count, data, length);
    t->byte_count += length;
    return length;
}

/* The value of a header, where the line is one of `name`; what is too long is no value. */
static void take(const char *line, size_t length, const char *name, char *value, size_t size) {
    size_t count = strlen(name);
    if (length <= count || line[count] != ':' || strncasecmp(line, name, count) != 0) return;
    line += count + 1;
    length -= count + 1;
    while (length > 0 && (*line == ' ' || *line == '\t')) line++, length--;
    while (length > 0 && strchr(" \t\r\n", line[length - 1])) length--;
    if (length >= size || memchr(line, 0, length)) length = 0;
    memcpy(value, line, length);
    value[length] = 0;
}

static size_t on_header(char *line, size_t size, size_t count, void *context) {
    struct ccurl_transfer *t = context;
    size_t length = size * count;
    if (length >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        /* Another answer begins: after a redirect, or after "100 Continue". */
        t->etag[0] = t->content_range[0] = t->content_length[0] = t->modified[0] = 0;
        t->location[0] = t->region[0] = 0;
        t->byte_count = 0;
    }
    take(line, length, "ETag", t->etag, sizeof t->etag);
    take(line, length, "Content-Range", t->content_range, sizeof t->content_range);
    take(line, length, "Content-Length", t->content_length, sizeof t->content_length);
    take(line, length, "Last-Modified", t->modified, sizeof t->modified);
    take(line, length, "Location", t->location, sizeof t->location);
    take(line, length, "x-amz-bucket-region", t->region, sizeof t->region);
    return length;
}

static size_t on_body(char *data, size_t size, size_t count, void *context) {
    struct ccurl_transfer *t = context;
    size_t length = size * count, left = t->body_count - t->body_sent;
    if (length > left) length = left;
    memcpy(data, t->body + t->body_sent, length);
    t->body_sent += length;
    return length;
}

static int on_seek(void *context, int64_t offset, int origin) {
    struct ccurl_transfer *t = context;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > t->body_count) return 1;
    t->body_sent = (size_t)offset;
    return 0;
}

/* libcurl starts threads of its own (for names), which are to take none of our signals. */
static void block_signals(sigset_t *before) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

static void restore_signals(const sigset_t *before) { pthread_sigmask(SIG_SETMASK, before, NULL); }

static void forget(struct ccurl_transfer *t) {
    if (t->owner) {
        struct ccurl_transfer **place = &t->owner->first;
        while (*place && *place != t) place = &(*place)->next;
        if (*place) *place = t->next;
        sigset_t before;
        block_signals(&before);
        curl.multi_remove_handle(t->owner->multi, t->easy);
        restore_signals(&before);
        t->owner = NULL;
    }
    if (t->easy) curl.easy_cleanup(t->easy);
    if (t->headers) curl.slist_free_all(t->headers);
    t->easy = NULL;
    t->headers = NULL;
    t->body = NULL;
}

void ccurl_free(struct ccurl_transfer *t) {
    if (!t) return;
    forget(t);
    free(t->bytes);
    free(t);
}

static int prepare(struct ccurl_transfer *t, const struct ccurl_request *r) {
    CURL *easy = t->easy;
    int failed = 0;
#define SET(option, value)                                                                         \
    do {                                                                                           \
        int code_ = curl.easy_setopt(easy, option, value);                                         \
        if (code_ != 0 && !failed) failed = code_;                                                 \
    } while (0)
    SET(opt_private, t);
    SET(opt_errorbuffer, t->problem);
    SET(opt_nosignal, 1L);
    SET(opt_url, r->url);
    SET(opt_path_as_is, 1L);
    SET(opt_protocols, (long)(proto_http | proto_https));
    /* What was asked for under TLS does not come without it. */
    long redirects = strncasecmp(r->url, "https:", 6) == 0 ? proto_https : proto_http | proto_https;
    SET(opt_redir_protocols, redirects);
    SET(opt_followlocation, r->follows ? 1L : 0L);
    SET(opt_maxredirs, 5L);
    SET(opt_http_version, (long)http_1_1);
    SET(opt_useragent, "xensave-lua");
    SET(opt_connecttimeout, r->stall_seconds);
    SET(opt_low_speed_limit, 1L);
    SET(opt_low_speed_time, r->stall_seconds);
    SET(opt_writefunction, on_bytes);
    SET(opt_writedata, t);
    SET(opt_headerfunction, on_header);
    SET(opt_headerdata, t);
    if (r->ca_file) SET(opt_cainfo, r->ca_file);
    if (r->range) SET(opt_range, r->range);
    for (const char *const *line = r->headers; line && *line; line++) {
        struct curl_slist *list = curl.slist_append(t->headers, *line);
        if (!list) return -1;
        t->headers = list;
    }
    if (t->headers) SET(opt_httpheader, t->headers);
    if (strcmp(r->method, "HEAD") == 0) {
        SET(opt_nobody, 1L);
    } else if (strcmp(r->method, "PUT") == 0) {
        SET(opt_upload, 1L);
        SET(opt_infilesize_large, (int64_t)r->body_count);
        SET(opt_readfunction, on_body);
        SET(opt_readdata, t);
        SET(opt_seekfunction, on_seek);
        SET(opt_seekdata, t);
        /* A server that wants to say no to a body does so at once; none is waited for. */
        SET(opt_expect_100_timeout_ms, 1L);
        curl.easy_setopt(easy, opt_upload_buffersize, 512L << 10);
    } else if (strcmp(r->method, "POST") == 0) {
        SET(opt_post, 1L);
        SET(opt_postfieldsize_large, (int64_t)r->body_count);
        SET(opt_postfields, r->body_count ? r->body : "");
    } else if (strcmp(r->method, "GET") != 0) {
        SET(opt_customrequest, r->method);
    }
    /* Newer than what else is needed: without it the end of a search for a name is waited for. */
    curl.easy_setopt(easy, opt_quick_exit, 1L);
#undef SET
    return failed;
}

struct ccurl_transfer *ccurl_start(struct ccurl *owner, const struct ccurl_request *request,
                                   char *problem, size_t size) {
    struct ccurl_transfer *t = calloc(1, sizeof *t);
    if (t) t->easy = curl.easy_init();
    if (!t || !t->easy) {
        free(t);
        snprintf(problem, size, "out of memory");
        return NULL;
    }
    t->room = request->room;
    t->body = request->body;
    t->body_count = request->body_count;
    int failed = prepare(t, request);
    if (!failed) failed = curl.multi_add_handle(owner->multi, t->easy) ? -1 : 0;
    if (failed) {
        if (failed == unknown_option) {
            snprintf(problem, size, "libcurl %s is too old for this", owner->version);
        } else {
            snprintf(problem, size, "%s",
                     failed < 0 ? "libcurl refuses the request" : curl.easy_strerror(failed));
        }
        ccurl_free(t);
        return NULL;
    }
    t->owner = owner;
    t->next = owner->first;
    owner->first = t;
    return t;
}

static bool collect(struct ccurl *owner) {
    bool has_ended = false;
    struct message *message;
    int left;
    while ((message = curl.multi_info_read(owner->multi, &left))) {
        if (message->kind != message_done) continue;
        char *private = NULL;
        int code = message->data.result;
        if (curl.easy_getinfo(message->easy, info_private, &private) != 0 || !private) continue;
        struct ccurl_transfer *t = (struct ccurl_transfer *)private;
        curl.easy_getinfo(t->easy, info_response_code, &t->status);
        t->code = code;
        if (code != 0 && !t->problem[0]) {
            snprintf(t->problem, sizeof t->problem, "%s", curl.easy_strerror(code));
        }
        t->has_ended = has_ended = true;
        forget(t);
    }
    return has_ended;
}

void ccurl_run(struct ccurl *owner, int milliseconds) {
    sigset_t before;
    int running = 0, ready = 0;
    block_signals(&before);
    curl.multi_perform(owner->multi, &running);
    restore_signals(&before);
    if (collect(owner) || milliseconds <= 0) return;
    curl.multi_poll(owner->multi, NULL, 0, milliseconds, &ready);
}

bool ccurl_has_ended(const struct ccurl_transfer *t) { return t->has_ended; }

void ccurl_result(const struct ccurl_transfer *t, struct ccurl_result *out) {
    *out = (struct ccurl_result){
        .code = t->code,
        .status = t->status,
        .is_too_long = t->is_too_long,
        .bytes = t->bytes,
        .byte_count = t->byte_count,
        .etag = t->etag,
        .content_range = t->content_range,
        .content_length = t->content_length,
        .modified = t->modified,
        .location = t->location,
        .region = t->region,
        .problem = t->problem,
    };
}

void ccurl_close(struct ccurl *owner) {
    if (!owner) return;
    while (owner->first) forget(owner->first);
    curl.multi_cleanup(owner->multi);
    free(owner);
}
