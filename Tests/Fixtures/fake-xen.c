/* Xen's libraries with one HVM domain, number 5, of 600 frames, for tests: built once for each
   release (-DMINOR=14 ... 22) with the prototypes that xenctrl.h, xenguest.h, xenforeignmemory.h and
   xenstore.h of that release have. Written without looking at this project's own declarations.

   The function that fake_fail has named fails with EIO: always, or at one of its calls. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FRAMES 600ul
#define DOMAIN 5u

static unsigned char memory[FRAMES][4096];
static bool dirty[FRAMES];
static int mappings, interfaces;

/* The domain. Where there is a file `state` beside the library, it is in that: then all processes that
   have loaded it see one domain. */
struct state { int log_dirty, paused, suspended, resumed, cap; };
static struct state own_state, *state = &own_state;
#define log_dirty (state->log_dirty)
#define paused (state->paused)
#define suspended (state->suspended)
#define resumed (state->resumed)

__attribute__((constructor)) static void share_state(void) {
    Dl_info info;
    char path[4096];
    if (!dladdr(&own_state, &info)) return;
    snprintf(path, sizeof path, "%s", info.dli_fname);
    char *slash = strrchr(path, '/');
    if (!slash) return;
    strcpy(slash, "/state");
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (shared != MAP_FAILED) state = shared;
    close(file);
}

/* What the libraries hold, for the test to look at. */
int fake_log_dirty(void) { return log_dirty; }
int fake_mappings(void) { return mappings; }
int fake_interfaces(void) { return interfaces; }
int fake_paused(void) { return paused; }
int fake_suspended(void) { return suspended; }
int fake_resumed(void) { return resumed; }
/* The scheduler: credit2, or credit where fake_scheduler says 1, or one without caps (2). */
static int scheduler;
int fake_cap(void) { return state->cap; }
void fake_schedule(int kind, int cap) { scheduler = kind, state->cap = cap; }
void fake_write(unsigned frame) { memory[frame][8]++; if (log_dirty) dirty[frame] = true; }
unsigned char *fake_page(unsigned frame) { return memory[frame]; }

static char wanted[64];
static int wanted_call, calls;
/* Call `call` of `name` fails, counted from now on; 0: each of them. */
void fake_fail_at(const char *name, int call) {
    snprintf(wanted, sizeof wanted, "%s", name);
    wanted_call = call, calls = 0;
}
void fake_fail(const char *name) { fake_fail_at(name, 0); }
int fake_calls(void) { return calls; }
static int failing(const char *name) {
    if (strcmp(wanted, name)) return 0;
    calls++;
    if (wanted_call && calls != wanted_call) return 0;
    errno = EIO;
    return 1;
}
#define FAIL if (failing(__func__)) return -1

struct logger {
    void (*vmessage)(struct logger *, int, int, const char *, const char *, va_list);
    void (*progress)(struct logger *, const char *, const char *, int, unsigned long, unsigned long);
    void (*destroy)(struct logger *);
};
static struct logger *the_logger;
static void say(int level, int number, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    the_logger->vmessage(the_logger, level, number, "fake", format, arguments);
    va_end(arguments);
}

void *xc_interface_open(struct logger *logger, struct logger *builder, unsigned flags) {
    if (failing(__func__)) return NULL;
    if (!logger || logger != builder || flags != 0) abort();
    the_logger = logger;
    interfaces++;
    for (unsigned i = 0; i < FRAMES; i++) memset(memory[i], (int)(i * 7 + 1), 4096);
    say(1, -1, "opened %d", MINOR);
    return &interfaces;
}
int xc_interface_close(void *x) { return x == &interfaces ? (interfaces--, 0) : -1; }
int xc_version(void *x, int command, void *argument) {
    FAIL;
    if (x != &interfaces || (command == 1) != (argument != NULL)) return -1;
    if (command == 1) strcpy(argument, ".7-pre"); /* xen_extraversion_t has 16 characters */
    return command == 0 ? 4 << 16 | MINOR : command == 1 ? 0 : -1;
}

struct physinfo { /* xen_sysctl_physinfo */
    uint32_t threads_per_core, cores_per_socket, nr_cpus, max_cpu_id, nr_nodes, max_node_id, cpu_khz;
    uint32_t capabilities;
#if MINOR >= 17
    uint32_t arch_capabilities, pad;
#endif
    uint64_t total_pages, free_pages, scrub_pages, outstanding_pages, max_mfn;
    uint32_t hw_cap[8];
};
int xc_physinfo(void *x, struct physinfo *info) {
    FAIL;
    memset(info, 0xEE, sizeof *info);
    info->total_pages = 1048576, info->free_pages = 4096;
    return x == &interfaces ? 0 : -1;
}

struct info { /* xen_domctl_getdomaininfo */
    uint16_t domain, pad;
    uint32_t flags;
    uint64_t tot_pages, max_pages, outstanding, shr, paged, shared_info_frame, cpu_time;
    uint32_t online, max_vcpu_id, ssidref;
    uint8_t handle[16];
    uint32_t cpupool;
#if MINOR >= 16
    uint8_t gpaddr_bits, pad2[7];
#endif
    uint32_t emulation_flags;
#if MINOR >= 15
    uint32_t misc_flags;
#endif
} __attribute__((aligned(8)));

int xc_domain_getinfolist(void *x, uint32_t first, unsigned max, struct info *out) {
    FAIL;
    (void)x;
    int count = 0;
    for (uint32_t id = 5; id <= 6 && (unsigned)count < max; id++) {
        if (id < first) continue;
        memset(&out[count], 0xEE, sizeof *out);
        out[count] = (struct info){
            .domain = (uint16_t)id, .flags = 2 | 0x100 | (paused ? 8 : 0), .tot_pages = 590,
            .max_pages = 700, .cpu_time = 12345, .online = 2, .max_vcpu_id = 2,
            .handle = {1, 2, 3, (uint8_t)id}, .emulation_flags = id == 5 ? 1 : 0x1FF};
        if (suspended) out[count].flags |= 4 | 2 << 16;
        count++;
    }
    return count;
}
int xc_domain_nr_gpfns(void *x, uint32_t domain, unsigned long *frames) {
    FAIL;
    *frames = FRAMES;
    return x && domain == DOMAIN ? 0 : -1;
}
struct sched { uint16_t weight, cap; };
static int sched(int kind, void *x, uint32_t domain, struct sched *out, bool set) {
    if (!x || domain != DOMAIN || kind != scheduler) { errno = EINVAL; return -1; }
    if (set && out->weight != 256) { errno = EINVAL; return -1; }
    if (set) state->cap = out->cap; else *out = (struct sched){256, (uint16_t)state->cap};
    return 0;
}
int xc_sched_credit2_domain_get(void *x, uint32_t d, struct sched *s) { FAIL; return sched(0, x, d, s, false); }
int xc_sched_credit2_domain_set(void *x, uint32_t d, struct sched *s) { FAIL; return sched(0, x, d, s, true); }
int xc_sched_credit_domain_get(void *x, uint32_t d, struct sched *s) { FAIL; return sched(1, x, d, s, false); }
int xc_sched_credit_domain_set(void *x, uint32_t d, struct sched *s) { FAIL; return sched(1, x, d, s, true); }
/* Pauses are counted, as Xen does. */
int xc_domain_pause(void *x, uint32_t domain) { FAIL; return x && domain == DOMAIN ? (paused++, 0) : -1; }
int xc_domain_unpause(void *x, uint32_t domain) {
    FAIL;
    if (!x || domain != DOMAIN || paused == 0) { errno = EINVAL; return -1; }
    paused--;
    return 0;
}
int xc_domain_shutdown(void *x, uint32_t domain, int reason) {
    FAIL;
    return x && domain == DOMAIN && reason == 2 ? (suspended = 1, 0) : -1;
}
int xc_domain_resume(void *x, uint32_t domain, int fast) {
    FAIL;
    return x && domain == DOMAIN && fast == 1 ? (suspended = 0, resumed++, 0) : -1;
}
struct vcpu { uint32_t vcpu; uint8_t online, blocked, running; uint64_t time; uint32_t cpu; };
int xc_vcpu_getinfo(void *x, uint32_t domain, uint32_t vcpu, struct vcpu *out) {
    FAIL;
    memset(out, 0xEE, sizeof *out);
    out->online = vcpu != 1;
    return x && domain == DOMAIN && vcpu <= 2 ? 0 : -1;
}
int xc_domain_get_guest_width(void *x, uint32_t domain, unsigned *width) {
    FAIL;
    *width = 8;
    return x && domain ? 0 : -1;
}
/* Frames 100 to 109 are not there. */
int xc_get_pfn_type_batch(void *x, uint32_t domain, unsigned count, unsigned long *frames) {
    FAIL;
    if (!x || domain != DOMAIN || count > 1024) abort();
    for (unsigned i = 0; i < count; i++) {
        frames[i] = frames[i] >= 100 && frames[i] < 110 ? 0xFul << 28 : 0;
    }
    return 0;
}

struct buffer { void *hbuf; struct buffer *shadow; int dir; void *ubuf; size_t sz; };
void *xc__hypercall_buffer_alloc_pages(void *x, struct buffer *buffer, int pages) {
    if (failing(__func__) || !x) return NULL;
    return buffer->hbuf = aligned_alloc(4096, (size_t)pages * 4096);
}
void xc__hypercall_buffer_free_pages(void *x, struct buffer *buffer, int pages) {
    if (!x || pages < 1) abort();
    free(buffer->hbuf);
}
struct stats { uint32_t fault_count, dirty_count; };
static long long shadow_op(unsigned operation, struct buffer *buffer, unsigned long pages,
                           unsigned mode, struct stats *stats) {
    switch (operation) {
    case 0: log_dirty = 0; return 0;
    case 2:
        if (log_dirty) { errno = EINVAL; return -1; }
        memset(dirty, 0, sizeof dirty);
        log_dirty = 1;
        return 0;
    case 11: case 12:
        if (!log_dirty || pages != FRAMES || mode > 1) { errno = EINVAL; return -1; }
        for (unsigned i = 0; i < FRAMES; i++) {
            if (!dirty[i]) continue;
            ((unsigned char *)buffer->hbuf)[i / 8] |= (unsigned char)(1 << i % 8);
            stats->dirty_count++;
            if (operation == 11) dirty[i] = false;
        }
        return FRAMES;
    }
    errno = EINVAL;
    return -1;
}
#if MINOR <= 15
int xc_shadow_control(void *x, uint32_t domain, unsigned operation, struct buffer *buffer,
                      unsigned long pages, unsigned long *mb, uint32_t mode, struct stats *stats) {
    FAIL;
    if (!x || domain != DOMAIN || mb) abort();
    if (operation >= 11 && failing("xc_logdirty_control")) return -1;
    return (int)shadow_op(operation, buffer, pages, mode, stats);
}
#else
int xc_shadow_control(void *x, uint32_t domain, unsigned operation, unsigned *mb, unsigned mode) {
    FAIL;
    if (!x || domain != DOMAIN || mb || mode) abort();
    return (int)shadow_op(operation, NULL, 0, 0, NULL);
}
long long xc_logdirty_control(void *x, uint32_t domain, unsigned operation, struct buffer *buffer,
                              unsigned long pages, unsigned mode, struct stats *stats) {
    FAIL;
    if (!x || domain != DOMAIN) abort();
    return shadow_op(operation, buffer, pages, mode, stats);
}
#endif

int xc_domain_get_tsc_info(void *x, uint32_t domain, uint32_t *mode, uint64_t *nsec, uint32_t *khz,
                           uint32_t *incarnation) {
    FAIL;
    *mode = 1, *nsec = 0x1122334455667788, *khz = 2500000, *incarnation = 3;
    return x && domain == DOMAIN ? 0 : -1;
}
/* A context of one header and the end. */
int xc_domain_hvm_getcontext(void *x, uint32_t domain, uint8_t *out, uint32_t size) {
    FAIL;
    if (!x || domain != DOMAIN) return -1;
    if (!out) return 64;
    if (size < 40) return -1;
    static const uint32_t words[10] = {0x00000001, 24, 0x54381286, 1, 0, 0, 0, 0, 0, 0};
    memcpy(out, words, 40);
    return 40;
}
int xc_hvm_param_get(void *x, uint32_t domain, uint32_t index, uint64_t *value) {
    FAIL;
    if (!x || domain != DOMAIN || index > 38) return -1;
    *value = index == 1 ? 598 : index == 17 ? 599 : index == 38 ? 1 : 0;
    return 0;
}

struct leaf { uint32_t leaf, subleaf, a, b, c, d; };
struct msr { uint32_t index, flags; uint64_t value; };
/* `system`: the number of one of the host's policies, which is its leaf 1; 0 for a domain's. */
static int policy(unsigned system, struct leaf *leaves, uint32_t *leaf_count, struct msr *msrs,
                  uint32_t *msr_count) {
    if (*leaf_count < 2 || *msr_count < 1) { errno = ENOBUFS; return -1; }
    leaves[0] = (struct leaf){0, ~0u, 1, 0x756E6547, 0x6C65746E, 0x49656E69};
    leaves[1] = (struct leaf){1, ~0u, system, 0, 0, 0};
    msrs[0] = (struct msr){0xCE, 0, 0};
    *leaf_count = 2, *msr_count = 1;
    return 0;
}
#if MINOR <= 15
int xc_get_cpu_policy_size(void *x, uint32_t *leaves, uint32_t *msrs) {
    FAIL;
    *leaves = 50, *msrs = 2;
    return x ? 0 : -1;
}
int xc_get_domain_cpu_policy(void *x, uint32_t domain, uint32_t *leaf_count, struct leaf *leaves,
                             uint32_t *msr_count, struct msr *msrs) {
    FAIL;
    return x && domain == DOMAIN ? policy(0, leaves, leaf_count, msrs, msr_count) : -1;
}
int xc_get_system_cpu_policy(void *x, uint32_t index, uint32_t *leaf_count, struct leaf *leaves,
                             uint32_t *msr_count, struct msr *msrs) {
    FAIL;
    return x ? policy(index, leaves, leaf_count, msrs, msr_count) : -1;
}
#else
static int policies;
static unsigned filled; /* the number of the host's policy that is in it; 0: a domain's */
void *xc_cpu_policy_init(void) { return failing(__func__) ? NULL : (policies++, &policies); }
void xc_cpu_policy_destroy(void *p) { if (p != &policies || policies-- != 1) abort(); }
int xc_cpu_policy_get_size(void *x, uint32_t *leaves, uint32_t *msrs) {
    FAIL;
    *leaves = 50, *msrs = 2;
    return x ? 0 : -1;
}
int xc_cpu_policy_get_domain(void *x, uint32_t domain, void *p) {
    FAIL;
    filled = 0;
    return x && domain == DOMAIN && p == &policies ? 0 : -1;
}
int xc_cpu_policy_get_system(void *x, unsigned index, void *p) {
    FAIL;
    filled = index;
    return x && p == &policies ? 0 : -1;
}
int xc_cpu_policy_serialise(void *x, const void *p, struct leaf *leaves, uint32_t *leaf_count,
                            struct msr *msrs, uint32_t *msr_count) {
    FAIL;
    return x && p == &policies ? policy(filled, leaves, leaf_count, msrs, msr_count) : -1;
}
#endif

#if MINOR == 14
struct precopy { unsigned iteration, written; long dirty; };
#else
struct precopy { unsigned iteration; unsigned long written; long dirty; };
#endif
struct save_table {
    int (*suspend)(void *);
    int (*precopy_policy)(struct precopy, void *);
    int (*postcopy)(void *);
    int (*checkpoint)(void *);
    int (*wait_checkpoint)(void *);
    int (*switch_qemu_logdirty)(uint32_t, unsigned, void *);
    void *data;
};
/* A guest whose memory is sent in rounds: `sent` hears how many pages a round has had; `clean` says how
   many are dirty after it, and through its second argument how many of them the policy is told of (-1:
   unknown). */
static void (*guest_sent)(void *, unsigned long pages);
static long (*guest_clean)(void *, long *told);
static void *guest;
static int round_limit, rounds_sent;
void fake_guest(void (*sent)(void *, unsigned long), long (*clean)(void *, long *), void *data, int limit) {
    guest_sent = sent, guest_clean = clean, guest = data, round_limit = limit;
}
/* How many rounds the last save has sent. */
int fake_rounds(void) { return rounds_sent; }

/* In the order of Xen's tools/libs/guest/xg_sr_save.c, send_memory_live: -1 where the policy aborts. */
static int send_memory_live(struct save_table *table) {
    struct precopy told = {0, 0, FRAMES};
    long pages = FRAMES;
    rounds_sent = 0;
    while (rounds_sent < round_limit) {
        int decision = table->precopy_policy(told, table->data);
        if (decision == -1) return -1;
        if (pages > 0) guest_sent(guest, (unsigned long)pages);
        if (decision != 0) return 0;
        rounds_sent++;
        told.iteration = (unsigned)rounds_sent;
        told.written += (unsigned long)pages;
        told.dirty = -1;
        decision = table->precopy_policy(told, table->data);
        if (decision != 0) return decision == -1 ? -1 : 0;
        pages = guest_clean(guest, &told.dirty);
    }
    return 0;
}

/* Without a guest: calls every callback that is offered, and writes what they say as one line. */
int xc_domain_save(void *x, int fd, uint32_t domain, uint32_t flags, struct save_table *table,
                   int stream_type, int recv_fd) {
    FAIL;
    if (!x || domain != DOMAIN) return -1;
    char line[256];
    int first = -9, second = -9;
    if (guest_sent && table->precopy_policy) {
        if (send_memory_live(table)) { errno = ECANCELED; return -1; }
        return table->suspend(table->data) ? 0 : (errno = EIO, -1);
    }
    if (table->precopy_policy) {
        first = table->precopy_policy((struct precopy){0, 0, 600}, table->data);
        second = table->precopy_policy((struct precopy){1, 600, -1}, table->data);
    }
    int suspend = table->suspend ? table->suspend(table->data) : -9;
    if (suspend == 0) { errno = EIO; return -1; }
    int postcopy = table->postcopy ? table->postcopy(table->data) : -9;
    int checkpoint = table->checkpoint ? table->checkpoint(table->data) : -9;
    int wait = table->wait_checkpoint ? table->wait_checkpoint(table->data) : -9;
    int on = table->switch_qemu_logdirty ? table->switch_qemu_logdirty(DOMAIN, 1, table->data) : -9;
    int count = snprintf(
        line, sizeof line, "flags %u type %d back %d policy %d %d suspend %d postcopy %d "
        "checkpoint %d wait %d switch %d\n", flags, stream_type, recv_fd, first, second, suspend,
        postcopy, checkpoint, wait, on);
    if (first == -1 || second == -1) { errno = ECANCELED; return -1; }
    if (failing("xc_domain_save, late")) return -1;
    the_logger->progress(the_logger, "xc", "Frames", 0, 3, 600);
    return write(fd, line, (size_t)count) == count ? 0 : -1;
}
struct restore_table {
    int (*static_data_done)(unsigned, void *);
    int (*suspend)(void *);
    int (*postcopy)(void *);
    int (*checkpoint)(void *);
    int (*wait_checkpoint)(void *);
    void (*restore_results)(unsigned long, unsigned long, void *);
    void *data;
};
int xc_domain_restore(void *x, int fd, uint32_t domain, unsigned store_evtchn, unsigned long *store,
                      uint32_t store_domid, unsigned console_evtchn, unsigned long *console,
                      uint32_t console_domid, int stream_type, struct restore_table *table,
                      int send_back_fd
#if MINOR >= 22
                      , unsigned memflags
#endif
) {
    FAIL;
#if MINOR >= 22
    if (memflags) abort();
#endif
    if (!x || domain != DOMAIN) return -1;
    if (table->restore_results) table->restore_results(0x111, 0x222, table->data);
    *store = (unsigned long)fd + (table->static_data_done ? (unsigned long)table->static_data_done(3, table->data) : 0);
    *console = store_evtchn * 1000000ul + store_domid * 100000ul + console_evtchn * 10000ul +
               console_domid * 1000ul + (unsigned long)stream_type * 100 + (unsigned long)(send_back_fd + 1);
    return 0;
}

void *xenforeignmemory_open(struct logger *logger, unsigned flags) {
    if (failing(__func__)) return NULL;
    return logger == the_logger && flags == 0 ? &mappings : NULL;
}
int xenforeignmemory_close(void *x) { return x == &mappings ? 0 : -1; }
void *xenforeignmemory_map(void *x, uint32_t domain, int prot, size_t pages,
                           const unsigned long *frames, int *errors) {
    if (failing(__func__)) return NULL;
    if (x != &mappings || domain != DOMAIN || !(prot & PROT_READ)) abort();
    unsigned char *start = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mappings++;
    for (size_t i = 0; i < pages; i++) {
        errors[i] = frames[i] < FRAMES ? 0 : EINVAL;
        if (!errors[i]) memcpy(start + i * 4096, memory[frames[i]], 4096);
    }
    return start;
}
int xenforeignmemory_unmap(void *x, void *start, size_t pages) {
    if (x != &mappings) return -1;
    mappings--;
    return munmap(start, pages * 4096);
}

static char request[64];
static int changes;
void *xs_open(unsigned long flags) { return failing(__func__) || flags ? NULL : request; }
void xs_close(void *h) { if (h != request) abort(); }
void *xs_read(void *h, uint32_t transaction, const char *path, unsigned *count) {
    if (failing(__func__) || h != request || transaction) return NULL;
    const char *value = NULL;
    if (!strcmp(path, "/local/domain/5/name")) value = "web";
    if (!strcmp(path, "/local/domain/5/control/shutdown")) value = request;
    if (!value) { errno = ENOENT; return NULL; }
    *count = (unsigned)strlen(value);
    return strdup(value);
}
/* A guest that does as it is told. */
bool xs_write(void *h, uint32_t transaction, const char *path, const void *data, unsigned count) {
    if (failing(__func__) || h != request || transaction || count >= sizeof request) return false;
    if (strcmp(path, "/local/domain/5/control/shutdown")) { errno = EACCES; return false; }
    if (count == 7 && !memcmp(data, "suspend", 7)) suspended = 1;
    request[0] = 0;
    changes++;
    return true;
}
bool xs_watch(void *h, const char *path, const char *token) {
    if (failing(__func__) || h != request || strcmp(path, token)) return false;
    changes = 1; /* a watch fires once at the start */
    return true;
}
bool xs_unwatch(void *h, const char *path, const char *token) {
    return h == request && !strcmp(path, token);
}
char **xs_check_watch(void *h) {
    if (h != request || changes == 0) { errno = EAGAIN; return NULL; }
    changes--;
    char **event = malloc(2 * sizeof *event + 64);
    event[0] = event[1] = (char *)(event + 2);
    strcpy(event[0], "/local/domain/5/control/shutdown");
    return event;
}
char **xs_directory(void *h, uint32_t transaction, const char *path, unsigned *count) {
    if (failing(__func__) || h != request || transaction || strcmp(path, "/local/domain")) {
        errno = ENOENT;
        return NULL;
    }
    char **list = malloc(2 * sizeof *list + 8);
    list[0] = (char *)(list + 2);
    list[1] = list[0] + 2;
    memcpy(list[0], "0\0005", 4);
    *count = 2;
    return list;
}
bool xs_resume_domain(void *h, unsigned domain) { return h == request && domain == DOMAIN; }
