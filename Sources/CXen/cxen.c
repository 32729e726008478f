/* See include/CXen.h. */
#include "CXen.h"
#include "xen_abi.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const struct cxen_release releases[] = {
    {14, "libxenstore.so.3.0", 104, 96, 32}, {15, "libxenstore.so.3.0", 104, 96, 32},
    {16, "libxenstore.so.4", 112, 104, 32},  {17, "libxenstore.so.4", 112, 104, 40},
    {18, "libxenstore.so.4", 112, 104, 40},  {19, "libxenstore.so.4", 112, 104, 40},
    {20, "libxenstore.so.4", 112, 104, 40},  {21, "libxenstore.so.4", 112, 104, 40},
    {22, "libxenstore.so.4", 112, 104, 40},
};

const struct cxen_release *cxen_release_at(int index) {
    return index >= 0 && (size_t)index < sizeof releases / sizeof *releases ? &releases[index]
                                                                            : NULL;
}

const struct cxen_release *cxen_release(int minor) {
    for (int i = 0; cxen_release_at(i); i++) {
        if (releases[i].minor == minor) return &releases[i];
    }
    return NULL;
}

/* The functions, by the names of their rows. */
struct functions {
#define X(library, field, symbol, first, last, result, parameters) result(*field) parameters;
#define X_(...) X(__VA_ARGS__)
    CXEN_FUNCTIONS(X_)
#undef X
};

static const struct row {
    struct cxen_row row;
    size_t offset;
} rows[] = {
#define X(library, field, symbol, first, last, result, parameters)                                 \
    {{CXEN_##library, #field, #symbol, #result, #parameters, first, last},                         \
     offsetof(struct functions, field)},
    CXEN_FUNCTIONS(X_)
#undef X
};

bool cxen_row(int index, struct cxen_row *row) {
    if (index < 0 || (size_t)index >= sizeof rows / sizeof *rows) return false;
    *row = rows[index].row;
    return true;
}

struct logger {
    xentoollog_logger table; /* first: the libraries know only this */
    struct cxen_log log;
};

struct cxen {
    const struct cxen_release *release;
    void *libraries[CXEN_LIBRARY_COUNT];
    struct functions f;
    struct logger logger;
    xc_interface *xch;
    xenforeignmemory_handle *memory;
    struct xs_handle *store;
    /* Log-dirty bitmap: lives as long as this, for it is large. */
    xc_hypercall_buffer_t buffer;
    int buffer_pages;
};

static void log_message(xentoollog_logger *table, xentoollog_level level, int number,
                        const char *context, const char *format, va_list arguments) {
    struct logger *logger = (struct logger *)table;
    char text[1024];
    int saved = errno;
    vsnprintf(text, sizeof text, format, arguments);
    if (logger->log.message) {
        logger->log.message(logger->log.data, level, number, context ? context : "xc", text);
    }
    errno = saved;
}

static void log_progress(xentoollog_logger *table, const char *context, const char *what,
                         int percent, unsigned long done, unsigned long total) {
    struct logger *logger = (struct logger *)table;
    int saved = errno;
    (void)percent;
    if (logger->log.progress) {
        logger->log.progress(logger->log.data, context ? context : "xc", what, done, total);
    }
    errno = saved;
}

static void log_destroy(xentoollog_logger *table) { (void)table; }

/* Fills the table of functions; false where a library or a symbol is missing. */
static bool load(struct cxen *xen, int minor, const char *folder, char *problem, size_t size) {
    char names[CXEN_LIBRARY_COUNT][64];
    snprintf(names[CXEN_CTRL], 64, "libxenctrl.so.4.%d", minor);
    snprintf(names[CXEN_GUEST], 64, "libxenguest.so.4.%d", minor);
    snprintf(names[CXEN_MEMORY], 64, "libxenforeignmemory.so.1");
    snprintf(names[CXEN_STORE], 64, "%s", xen->release->store);
    for (int i = 0; i < CXEN_LIBRARY_COUNT; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s%s", folder ? folder : "", names[i]);
        xen->libraries[i] = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!xen->libraries[i]) {
            snprintf(problem, size, "%s", dlerror());
            return false;
        }
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct cxen_row *row = &rows[i].row;
        if (xen->release->minor < row->first || xen->release->minor > row->last) continue;
        void *symbol = dlsym(xen->libraries[row->library], row->symbol);
        if (!symbol) {
            snprintf(problem, size, "%s has no %s", names[row->library], row->symbol);
            return false;
        }
        memcpy((char *)&xen->f + rows[i].offset, &symbol, sizeof symbol);
    }
    return true;
}

struct cxen *cxen_open(int minor, int calls, const char *folder, struct cxen_log log, char *problem,
                       size_t size) {
    const struct cxen_release *release = cxen_release(calls);
    if (!release) {
        snprintf(problem, size, "Xen 4.%d is not known here", calls);
        errno = ENOTSUP;
        return NULL;
    }
    struct cxen *xen = calloc(1, sizeof *xen);
    if (!xen) {
        snprintf(problem, size, "out of memory");
        return NULL;
    }
    xen->release = release;
    xen->logger = (struct logger){{log_message, log_progress, log_destroy}, log};
    if (!load(xen, minor, folder, problem, size)) {
        errno = ENOENT;
    } else if (!(xen->xch = xen->f.interface_open(&xen->logger.table, &xen->logger.table, 0))) {
        snprintf(problem, size, "the hypervisor's interface cannot be opened");
    } else if (!(xen->memory = xen->f.memory_open(&xen->logger.table, 0))) {
        snprintf(problem, size, "the interface to domains' memory cannot be opened");
    } else {
        return xen;
    }
    int number = errno;
    cxen_close(xen);
    errno = number;
    return NULL;
}

void cxen_close(struct cxen *xen) {
    if (xen->buffer_pages) xen->f.buffer_free(xen->xch, &xen->buffer, xen->buffer_pages);
    if (xen->store) xen->f.store_close(xen->store);
    if (xen->memory) xen->f.memory_close(xen->memory);
    if (xen->xch) xen->f.interface_close(xen->xch);
    /* Libraries stay: threads and exit handlers of theirs may run. */
    free(xen);
}

int cxen_version(struct cxen *xen, int *major, int *minor) {
    int version = xen->f.version(xen->xch, 0 /* XENVER_version */, NULL);
    if (version < 0) return -1;
    *major = version >> 16;
    *minor = version & 0xFFFF;
    return 0;
}

int cxen_extra_version(struct cxen *xen, char text[16]) {
    memset(text, 0, 16);
    if (xen->f.version(xen->xch, 1 /* XENVER_extraversion */, text) < 0) return -1;
    text[15] = 0;
    return 0;
}

int cxen_host_pages(struct cxen *xen, uint64_t *total, uint64_t *free) {
    xc_physinfo_t info = {{0}};
    if (xen->f.physinfo(xen->xch, &info) != 0) return -1;
    memcpy(total, (const char *)&info + xen->release->total_pages, sizeof *total);
    memcpy(free, (const char *)&info + xen->release->total_pages + 8, sizeof *free);
    return 0;
}

/* Reads an integer at an offset of a domain's row. */
#define AT(type, offset)                                                                           \
    ({                                                                                             \
        type value_;                                                                               \
        memcpy(&value_, row + (offset), sizeof value_);                                            \
        value_;                                                                                    \
    })

int cxen_domains(struct cxen *xen, uint32_t first, int count, struct cxen_domain *domains) {
    xc_domaininfo_t *list = calloc((size_t)count, sizeof *list);
    if (!list) return -1;
    int found = xen->f.getinfolist(xen->xch, first, (unsigned)count, list);
    for (int i = 0; i < found; i++) {
        const char *row = (const char *)list + i * xen->release->domain_info_size;
        domains[i] = (struct cxen_domain){
            .id = AT(uint16_t, 0),
            .flags = AT(uint32_t, 4),
            .page_count = AT(uint64_t, 8),
            .max_page_count = AT(uint64_t, 16),
            .cpu_time = AT(uint64_t, 56),
            .online_vcpu_count = AT(uint32_t, 64),
            .max_vcpu_id = AT(uint32_t, 68),
            .emulation_flags = AT(uint32_t, xen->release->arch_config),
        };
        memcpy(domains[i].uuid, row + 76, 16);
    }
    free(list);
    return found;
}

int cxen_frame_count(struct cxen *xen, uint32_t domain, uint64_t *count) {
    xen_pfn_t frames = 0;
    if (xen->f.nr_gpfns(xen->xch, domain, &frames) < 0) return -1;
    *count = frames;
    return 0;
}

int cxen_guest_width(struct cxen *xen, uint32_t domain, unsigned *width) {
    return xen->f.get_guest_width(xen->xch, domain, width);
}

int cxen_vcpu_is_online(struct cxen *xen, uint32_t domain, uint32_t vcpu) {
    xc_vcpuinfo_t info;
    if (xen->f.vcpu_getinfo(xen->xch, domain, vcpu, &info) != 0) return -1;
    return info.online != 0;
}

int cxen_pause(struct cxen *xen, uint32_t domain) { return xen->f.pause(xen->xch, domain); }
int cxen_unpause(struct cxen *xen, uint32_t domain) { return xen->f.unpause(xen->xch, domain); }
int cxen_cap(struct cxen *xen, uint32_t domain, uint16_t *cap) {
    struct xen_domctl_sched_credit2 newer;
    struct xen_domctl_sched_credit older;
    /* Each scheduler refuses the other's parameters: the domain may be in any pool. */
    if (xen->f.credit2_get(xen->xch, domain, &newer) == 0) {
        *cap = newer.cap;
        return 0;
    }
    if (xen->f.credit_get(xen->xch, domain, &older) != 0) return -1;
    *cap = older.cap;
    return 0;
}

int cxen_set_cap(struct cxen *xen, uint32_t domain, uint16_t cap) {
    struct xen_domctl_sched_credit2 newer;
    struct xen_domctl_sched_credit older;
    if (xen->f.credit2_get(xen->xch, domain, &newer) == 0) {
        newer.cap = cap;
        return xen->f.credit2_set(xen->xch, domain, &newer);
    }
    if (xen->f.credit_get(xen->xch, domain, &older) != 0) return -1;
    older.cap = cap;
    return xen->f.credit_set(xen->xch, domain, &older);
}

int cxen_shutdown_for_suspend(struct cxen *xen, uint32_t domain) {
    return xen->f.shutdown(xen->xch, domain, 2 /* SHUTDOWN_suspend */);
}
int cxen_resume(struct cxen *xen, uint32_t domain, bool fast) {
    return xen->f.resume(xen->xch, domain, fast);
}

int cxen_page_types(struct cxen *xen, uint32_t domain, unsigned count, uint64_t *frames) {
    _Static_assert(sizeof(xen_pfn_t) == 8, "frames are numbers of 64 bits");
    return xen->f.pfn_type_batch(xen->xch, domain, count, (xen_pfn_t *)frames);
}

void *cxen_map(struct cxen *xen, uint32_t domain, bool writable, size_t count,
               const uint64_t *frames, int *errors) {
    return xen->f.memory_map(xen->memory, domain, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                             count, (const xen_pfn_t *)frames, errors);
}

int cxen_unmap(struct cxen *xen, void *start, size_t count) {
    return xen->f.memory_unmap(xen->memory, start, count);
}

static int shadow_control(struct cxen *xen, uint32_t domain, unsigned operation) {
    return xen->f.shadow_control
               ? xen->f.shadow_control(xen->xch, domain, operation, NULL, 0)
               : xen->f.shadow_control_old(xen->xch, domain, operation, NULL, 0, NULL, 0, NULL);
}

int cxen_log_dirty_on(struct cxen *xen, uint32_t domain) {
    return shadow_control(xen, domain, CXEN_SHADOW_OP_ENABLE_LOGDIRTY) < 0 ? -1 : 0;
}

int cxen_log_dirty_off(struct cxen *xen, uint32_t domain) {
    return shadow_control(xen, domain, CXEN_SHADOW_OP_OFF) < 0 ? -1 : 0;
}

long long cxen_log_dirty(struct cxen *xen, uint32_t domain, bool peek, bool final, uint64_t count,
                         uint64_t *words, uint32_t *dirty_count) {
    size_t bytes = (size_t)((count + 63) / 64 * 8);
    int pages = (int)((bytes + 4095) / 4096);
    if (pages > xen->buffer_pages) {
        if (xen->buffer_pages) xen->f.buffer_free(xen->xch, &xen->buffer, xen->buffer_pages);
        xen->buffer_pages = 0;
        xen->buffer = (xc_hypercall_buffer_t){.ubuf = (void *)-1};
        if (!xen->f.buffer_alloc(xen->xch, &xen->buffer, pages)) return -1;
        xen->buffer_pages = pages;
    }
    memset(xen->buffer.hbuf, 0, bytes);
    unsigned operation = peek ? CXEN_SHADOW_OP_PEEK : CXEN_SHADOW_OP_CLEAN;
    unsigned mode = final ? CXEN_SHADOW_LOGDIRTY_FINAL : 0;
    xc_shadow_op_stats_t stats = {0, 0};
    long long covered =
        xen->f.logdirty_control
            ? xen->f.logdirty_control(xen->xch, domain, operation, &xen->buffer, count, mode, &stats)
            : xen->f.shadow_control_old(xen->xch, domain, operation, &xen->buffer, count, NULL,
                                        mode, &stats);
    if (covered < 0) return -1;
    memcpy(words, xen->buffer.hbuf, bytes);
    *dirty_count = stats.dirty_count;
    return covered;
}

/* Whose policies: a domain's, or the most that the host has for some. */
struct policy_owner {
    bool is_host;
    uint32_t number; /* of the domain, or XEN_SYSCTL_cpu_policy_* */
};

static int read_policy_old(struct cxen *xen, struct policy_owner owner, uint32_t *leaf_count,
                           void *leaves, uint32_t *msr_count, void *msrs) {
    return owner.is_host ? xen->f.get_system_cpu_policy_old(xen->xch, owner.number, leaf_count, leaves,
                                                            msr_count, msrs)
                         : xen->f.get_domain_cpu_policy_old(xen->xch, owner.number, leaf_count, leaves,
                                                            msr_count, msrs);
}

static int read_policy(struct cxen *xen, struct policy_owner owner, void **leaves,
                       uint32_t *leaf_count, void **msrs, uint32_t *msr_count) {
    _Static_assert(sizeof(xen_cpuid_leaf_t) == 24 && sizeof(xen_msr_entry_t) == 16,
                   "as the stream has them");
    bool old = xen->f.get_domain_cpu_policy_old != NULL;
    int result = old ? xen->f.get_cpu_policy_size_old(xen->xch, leaf_count, msr_count)
                     : xen->f.cpu_policy_get_size(xen->xch, leaf_count, msr_count);
    if (result < 0) return -1;
    *leaves = calloc(*leaf_count + 1, sizeof(xen_cpuid_leaf_t));
    *msrs = calloc(*msr_count + 1, sizeof(xen_msr_entry_t));
    xc_cpu_policy_t *policy = NULL;
    result = -1;
    if (*leaves && *msrs) {
        if (old) {
            result = read_policy_old(xen, owner, leaf_count, *leaves, msr_count, *msrs);
        } else if ((policy = xen->f.cpu_policy_init())) {
            result = owner.is_host
                         ? xen->f.cpu_policy_get_system(xen->xch, owner.number, policy)
                         : xen->f.cpu_policy_get_domain(xen->xch, owner.number, policy);
            if (result >= 0) {
                result = xen->f.cpu_policy_serialise(xen->xch, policy, *leaves, leaf_count, *msrs,
                                                     msr_count);
            }
        }
    }
    int number = errno;
    if (policy) xen->f.cpu_policy_destroy(policy);
    if (result < 0) {
        free(*leaves);
        free(*msrs);
        *leaves = *msrs = NULL;
        errno = number;
        return -1;
    }
    return 0;
}

int cxen_cpu_policy(struct cxen *xen, uint32_t domain, void **leaves, uint32_t *leaf_count,
                    void **msrs, uint32_t *msr_count) {
    return read_policy(xen, (struct policy_owner){false, domain}, leaves, leaf_count, msrs,
                       msr_count);
}

int cxen_host_policy(struct cxen *xen, bool hvm, void **leaves, uint32_t *leaf_count, void **msrs,
                     uint32_t *msr_count) {
    /* XEN_SYSCTL_cpu_policy_hvm_max and _pv_max */
    return read_policy(xen, (struct policy_owner){true, hvm ? 3 : 2}, leaves, leaf_count, msrs,
                       msr_count);
}

int cxen_tsc_info(struct cxen *xen, uint32_t domain, uint32_t *mode, uint64_t *nanoseconds,
                  uint32_t *khz, uint32_t *incarnation) {
    return xen->f.get_tsc_info(xen->xch, domain, mode, nanoseconds, khz, incarnation) < 0 ? -1 : 0;
}

int cxen_hvm_context(struct cxen *xen, uint32_t domain, uint8_t *buffer, uint32_t byte_count) {
    return xen->f.hvm_getcontext(xen->xch, domain, buffer, byte_count);
}

int cxen_hvm_param(struct cxen *xen, uint32_t domain, uint32_t index, uint64_t *value) {
    return xen->f.hvm_param_get(xen->xch, domain, index, value) < 0 ? -1 : 0;
}

/* xc_domain_save and xc_domain_restore pass `data` last, and 4.14 has another form of the
   statistics: these stand between. */
static const struct cxen_callbacks *of(void *data) { return data; }
static int on_suspend(void *data) { return of(data)->suspend(of(data)->data); }
static int on_postcopy(void *data) { return of(data)->postcopy(of(data)->data); }
static int on_checkpoint(void *data) { return of(data)->checkpoint(of(data)->data); }
static int on_wait_checkpoint(void *data) { return of(data)->wait_checkpoint(of(data)->data); }
static int on_switch(uint32_t domain, unsigned on, void *data) {
    return of(data)->switch_qemu_logdirty(of(data)->data, domain, on);
}
static int on_policy(struct precopy_stats stats, void *data) {
    return of(data)->precopy_policy(of(data)->data, stats.iteration, stats.total_written,
                                    stats.dirty_count);
}
static int on_policy_414(struct precopy_stats_414 stats, void *data) {
    return of(data)->precopy_policy(of(data)->data, stats.iteration, stats.total_written,
                                    stats.dirty_count);
}
static int on_static_data_done(unsigned missing, void *data) {
    return of(data)->static_data_done(of(data)->data, missing);
}
static void on_restore_results(xen_pfn_t store, xen_pfn_t console, void *data) {
    of(data)->restore_results(of(data)->data, store, console);
}

#define OFFER(field, function) .field = callbacks->field ? function : NULL
#define COMMON                                                                                     \
    OFFER(suspend, on_suspend), OFFER(postcopy, on_postcopy), OFFER(checkpoint, on_checkpoint),    \
        OFFER(wait_checkpoint, on_wait_checkpoint), .data = (void *)callbacks

int cxen_save(struct cxen *xen, int descriptor, uint32_t domain, uint32_t flags,
              const struct cxen_callbacks *callbacks, int stream_type, int back_descriptor) {
    if (xen->f.domain_save_414) {
        struct save_callbacks_414 table = {COMMON, OFFER(switch_qemu_logdirty, on_switch),
                                           OFFER(precopy_policy, on_policy_414)};
        return xen->f.domain_save_414(xen->xch, descriptor, domain, flags, &table,
                                      (xc_stream_type_t)stream_type, back_descriptor);
    }
    struct save_callbacks table = {COMMON, OFFER(switch_qemu_logdirty, on_switch),
                                   OFFER(precopy_policy, on_policy)};
    return xen->f.domain_save(xen->xch, descriptor, domain, flags, &table,
                              (xc_stream_type_t)stream_type, back_descriptor);
}

int cxen_restore(struct cxen *xen, int descriptor, const struct cxen_restore_arguments *arguments,
                 const struct cxen_callbacks *callbacks, unsigned long *store,
                 unsigned long *console) {
    struct restore_callbacks table = {COMMON, OFFER(static_data_done, on_static_data_done),
                                      OFFER(restore_results, on_restore_results)};
#define ARGUMENTS                                                                                  \
    xen->xch, descriptor, arguments->domain, arguments->store_channel, store,                      \
        arguments->store_domain, arguments->console_channel, console, arguments->console_domain,   \
        (xc_stream_type_t)arguments->stream_type, &table, arguments->back_descriptor
    /* The flags of memory are 0, as in Xen's own helper. */
    return xen->f.domain_restore_421 ? xen->f.domain_restore_421(ARGUMENTS)
                                     : xen->f.domain_restore(ARGUMENTS, 0);
#undef ARGUMENTS
}

static bool has_store(struct cxen *xen) {
    if (!xen->store) xen->store = xen->f.store_open(0);
    return xen->store != NULL;
}

char *cxen_store_read(struct cxen *xen, const char *path, unsigned *byte_count) {
    return has_store(xen) ? xen->f.store_read(xen->store, 0, path, byte_count) : NULL;
}

int cxen_store_write(struct cxen *xen, const char *path, const void *bytes, unsigned byte_count) {
    return has_store(xen) && xen->f.store_write(xen->store, 0, path, bytes, byte_count) ? 0 : -1;
}

char **cxen_store_directory(struct cxen *xen, const char *path, unsigned *count) {
    return has_store(xen) ? xen->f.store_directory(xen->store, 0, path, count) : NULL;
}

int cxen_store_watch(struct cxen *xen, const char *path) {
    return has_store(xen) && xen->f.store_watch(xen->store, path, path) ? 0 : -1;
}

int cxen_store_unwatch(struct cxen *xen, const char *path) {
    return has_store(xen) && xen->f.store_unwatch(xen->store, path, path) ? 0 : -1;
}

char *cxen_store_changed(struct cxen *xen) {
    char **event = has_store(xen) ? xen->f.store_check_watch(xen->store) : NULL;
    char *path = event ? strdup(event[0]) : NULL;
    free(event);
    return path;
}

int cxen_store_resume(struct cxen *xen, uint32_t domain) {
    return has_store(xen) && xen->f.store_resume(xen->store, domain) ? 0 : -1;
}
