/* Requests of HTTP by libcurl, which is opened at run time. One `ccurl` may be used by one thread at a
   time, several of them by several threads. */
#ifndef XENSAVE_CCURL_H
#define XENSAVE_CCURL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ccurl;
struct ccurl_transfer;

/* Opens libcurl where it is not open yet: `library`, or the usual names where that is NULL. NULL on
   failure; `problem` says why. */
struct ccurl *ccurl_open(const char *library, char *problem, size_t problem_size);
/* Ends what is under way, and forgets the connections. Transfers that were not freed stay readable. */
void ccurl_close(struct ccurl *);

struct ccurl_request {
    const char *method; /* GET, HEAD, PUT, POST or DELETE */
    const char *url;
    const char *const *headers; /* lines of "Name: value", and NULL */
    const char *range;          /* "0-99", or NULL */
    /* What is sent; it stays the caller's, and where it is until the transfer has ended. */
    const void *body;
    size_t body_count;
    const char *ca_file; /* certificates that are trusted, or NULL for those of the system */
    bool follows;        /* redirects, a few of them */
    /* Seconds without a byte after which it has failed. */
    long stall_seconds;
    /* Bytes that an answer may have; what is longer ends the transfer. */
    size_t room;
};

/* Begins a request. NULL on failure; `problem` says why. */
struct ccurl_transfer *ccurl_start(struct ccurl *, const struct ccurl_request *, char *problem,
                                   size_t problem_size);
/* Lets transfers continue, and waits so long at most where nothing happens and none has ended. A signal
   ends the wait. */
void ccurl_run(struct ccurl *, int milliseconds);
bool ccurl_has_ended(const struct ccurl_transfer *);

/* What became of a transfer that has ended. Texts are "" where there is none, bytes and texts live as long
   as the transfer. */
struct ccurl_result {
    int code;    /* of libcurl; 0 for an answer, whatever it says */
    long status; /* of HTTP */
    bool is_too_long;
    const void *bytes;
    size_t byte_count;
    const char *etag, *content_range, *content_length, *modified, *location, *region;
    const char *problem; /* libcurl's words */
};
void ccurl_result(const struct ccurl_transfer *, struct ccurl_result *);

/* Ends a transfer where it has not, and frees it. */
void ccurl_free(struct ccurl_transfer *);

#endif
