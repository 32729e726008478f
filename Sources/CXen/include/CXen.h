/* Xen's libraries, opened at run time: one form of each call for all releases. Functions return 0
   (or what is said) and -1 with errno. None may be called from two threads at once. */
#ifndef XENSAVE_CXEN_H
#define XENSAVE_CXEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What differs between releases, beside the functions that they have. */
struct cxen_release {
    int minor;                     /* of Xen 4.x */
    const char *store;             /* file of libxenstore */
    int domain_info_size;          /* bytes of xc_domaininfo_t */
    int arch_config;               /* where emulation flags stand in it */
    int total_pages;               /* where the host's pages stand in xc_physinfo_t; the free ones follow */
};

/* The releases that are known, oldest first: number `index`, NULL after the last; and by number. */
const struct cxen_release *cxen_release_at(int index);
const struct cxen_release *cxen_release(int minor);

/* The functions that a release must have, for tests: row `index` of the table; false after the
   last. Files are numbered: libxenctrl, libxenguest, libxenforeignmemory, libxenstore. */
struct cxen_row {
    int library;
    const char *field, *symbol, *result, *parameters;
    int first, last;
};
bool cxen_row(int index, struct cxen_row *row);

/* Where the libraries' messages go. `number` is an errno, or -1. */
struct cxen_log {
    void (*message)(void *data, int level, int number, const char *context, const char *text);
    void (*progress)(void *data, const char *context, const char *what, unsigned long done,
                     unsigned long total);
    void *data;
};

struct cxen;

/* Opens the libraries of release 4.`minor` and the hypervisor with them, and calls them as release
   4.`calls` has it: the same one where it is known. `folder` is put before the libraries' names
   (tests), or is NULL. NULL on failure; `problem` says why. */
struct cxen *cxen_open(int minor, int calls, const char *folder, struct cxen_log log, char *problem,
                       size_t problem_size);
void cxen_close(struct cxen *);

/* The hypervisor's own word on its release. */
int cxen_version(struct cxen *, int *major, int *minor);
/* What stands after "4.17" in the release: ".7", ".5-pre". 16 bytes with the NUL. */
int cxen_extra_version(struct cxen *, char text[16]);
/* The host's memory in pages. */
int cxen_host_pages(struct cxen *, uint64_t *total, uint64_t *free);

/* Xen: struct xen_domctl_getdomaininfo. */
struct cxen_domain {
    uint32_t id, flags, emulation_flags, max_vcpu_id, online_vcpu_count;
    uint64_t page_count, max_page_count, cpu_time;
    uint8_t uuid[16];
};
/* Up to `count` domains from `first` on, ascending; how many. */
int cxen_domains(struct cxen *, uint32_t first, int count, struct cxen_domain *domains);

int cxen_frame_count(struct cxen *, uint32_t domain, uint64_t *count);
int cxen_guest_width(struct cxen *, uint32_t domain, unsigned *width);
/* 1 if the vCPU is online, 0 if not. */
int cxen_vcpu_is_online(struct cxen *, uint32_t domain, uint32_t vcpu);
int cxen_pause(struct cxen *, uint32_t domain);
int cxen_unpause(struct cxen *, uint32_t domain);
/* The most time that the domain's vCPUs get together, in percent of one processor; 0: no limit. Of the
   schedulers credit2 and credit; others know none (-1). */
int cxen_cap(struct cxen *, uint32_t domain, uint16_t *cap);
int cxen_set_cap(struct cxen *, uint32_t domain, uint16_t cap);
int cxen_shutdown_for_suspend(struct cxen *, uint32_t domain);
int cxen_resume(struct cxen *, uint32_t domain, bool fast);

/* Replaces frame numbers by page types (in bits 28 to 31). At most 1024. */
int cxen_page_types(struct cxen *, uint32_t domain, unsigned count, uint64_t *frames);
/* Maps frames one after the other; NULL on failure. `errors` has an errno for each. */
void *cxen_map(struct cxen *, uint32_t domain, bool writable, size_t count, const uint64_t *frames,
               int *errors);
int cxen_unmap(struct cxen *, void *start, size_t count);

int cxen_log_dirty_on(struct cxen *, uint32_t domain);
int cxen_log_dirty_off(struct cxen *, uint32_t domain);
/* Copies the dirty bits of `count` frames into `words` ((count + 63) / 64 of them) and, unless it
   only peeks, forgets them. Returns how many frames the hypervisor has covered. */
long long cxen_log_dirty(struct cxen *, uint32_t domain, bool peek, bool final, uint64_t count,
                         uint64_t *words, uint32_t *dirty_count);

/* Bytes of the domain's CPUID leaves (24 each) and MSRs (16 each), as the stream has them. Both
   are allocated; the caller frees them. */
int cxen_cpu_policy(struct cxen *, uint32_t domain, void **leaves, uint32_t *leaf_count,
                    void **msrs, uint32_t *msr_count);
/* Likewise the most that the host can give: to a PV guest, or an HVM guest. */
int cxen_host_policy(struct cxen *, bool hvm, void **leaves, uint32_t *leaf_count, void **msrs,
                     uint32_t *msr_count);
int cxen_tsc_info(struct cxen *, uint32_t domain, uint32_t *mode, uint64_t *nanoseconds,
                  uint32_t *khz, uint32_t *incarnation);
/* Without a buffer: the bytes that it needs. */
int cxen_hvm_context(struct cxen *, uint32_t domain, uint8_t *buffer, uint32_t byte_count);
int cxen_hvm_param(struct cxen *, uint32_t domain, uint32_t index, uint64_t *value);

/* What xc_domain_save and xc_domain_restore call. A function that is NULL is not offered. */
struct cxen_callbacks {
    int (*suspend)(void *data);
    int (*precopy_policy)(void *data, unsigned iteration, unsigned long written, long dirty);
    int (*postcopy)(void *data);
    int (*checkpoint)(void *data);
    int (*wait_checkpoint)(void *data);
    int (*switch_qemu_logdirty)(void *data, uint32_t domain, unsigned on);
    int (*static_data_done)(void *data, unsigned missing);
    void (*restore_results)(void *data, uint64_t store, uint64_t console);
    void *data;
};
int cxen_save(struct cxen *, int descriptor, uint32_t domain, uint32_t flags,
              const struct cxen_callbacks *, int stream_type, int back_descriptor);
struct cxen_restore_arguments {
    uint32_t domain, store_channel, store_domain, console_channel, console_domain;
    int stream_type, back_descriptor;
};
int cxen_restore(struct cxen *, int descriptor, const struct cxen_restore_arguments *,
                 const struct cxen_callbacks *, unsigned long *store, unsigned long *console);

/* Xenstore; the connection is opened at the first call. Results are allocated. */
char *cxen_store_read(struct cxen *, const char *path, unsigned *byte_count);
int cxen_store_write(struct cxen *, const char *path, const void *bytes, unsigned byte_count);
char **cxen_store_directory(struct cxen *, const char *path, unsigned *count);
int cxen_store_watch(struct cxen *, const char *path);
int cxen_store_unwatch(struct cxen *, const char *path);
/* The path of a node that has changed, if there is one: allocated. Never waits. */
char *cxen_store_changed(struct cxen *);
int cxen_store_resume(struct cxen *, uint32_t domain);

#endif
