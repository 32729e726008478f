/* The part of Xen's libraries that is used: types, and one row for each function. Nothing of Xen is
   needed to build; where its headers are installed, a test compiles this file against them
   (CXEN_AGAINST_HEADERS), so that types are those of the headers and only prototypes are ours.

   What differs between releases stands in the rows (first and last release of a form) and in the
   table of cxen.c. Xen: tools/include/{xenctrl,xenguest,xenforeignmemory,xenstore}.h. */
#ifndef XENSAVE_XEN_ABI_H
#define XENSAVE_XEN_ABI_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef CXEN_AGAINST_HEADERS
typedef unsigned long xen_pfn_t;
typedef struct xc_interface_core xc_interface;
typedef struct xenforeignmemory_handle xenforeignmemory_handle;
typedef uint32_t xs_transaction_t;
struct xs_handle;

typedef enum { XTL_NONE, XTL_DEBUG, XTL_VERBOSE, XTL_DETAIL, XTL_PROGRESS, XTL_INFO, XTL_NOTICE,
               XTL_WARN, XTL_ERROR, XTL_CRITICAL } xentoollog_level;
typedef struct xentoollog_logger xentoollog_logger;
struct xentoollog_logger {
    void (*vmessage)(struct xentoollog_logger *, xentoollog_level, int number, const char *context,
                     const char *format, va_list);
    void (*progress)(struct xentoollog_logger *, const char *context, const char *doing_what,
                     int percent, unsigned long done, unsigned long total);
    void (*destroy)(struct xentoollog_logger *);
};

/* Memory that the hypervisor can write to. Xen: struct xc_hypercall_buffer. */
typedef struct xc_hypercall_buffer xc_hypercall_buffer_t;
struct xc_hypercall_buffer {
    void *hbuf;
    struct xc_hypercall_buffer *param_shadow;
    int dir;
    void *ubuf;
    size_t sz;
};

typedef struct { uint32_t fault_count, dirty_count; } xc_shadow_op_stats_t;
typedef struct {
    uint32_t vcpu;
    uint8_t online, blocked, running;
    uint64_t cpu_time;
    uint32_t cpu;
} xc_vcpuinfo_t;
typedef struct { uint32_t leaf, subleaf, a, b, c, d; } xen_cpuid_leaf_t;
typedef struct { uint32_t idx, flags; uint64_t val; } xen_msr_entry_t;
typedef struct xc_cpu_policy xc_cpu_policy_t;

/* Its fields are read at their offsets (struct cxen_release): 104 bytes up to 4.15, then 112. */
typedef struct { uint64_t words[14]; } xc_domaininfo_t;

/* Likewise: 104 bytes up to 4.16, then 112. */
typedef struct { uint64_t words[14]; } xc_physinfo_t;

/* From 4.15; in memory when passed by value. */
struct precopy_stats {
    unsigned iteration;
    unsigned long total_written;
    long dirty_count;
};
typedef int (*precopy_policy_t)(struct precopy_stats, void *);
struct save_callbacks {
    int (*suspend)(void *);
    precopy_policy_t precopy_policy;
    int (*postcopy)(void *);
    int (*checkpoint)(void *);
    int (*wait_checkpoint)(void *);
    int (*switch_qemu_logdirty)(uint32_t domid, unsigned enable, void *);
    void *data;
};
struct restore_callbacks {
    int (*static_data_done)(unsigned missing, void *);
    int (*suspend)(void *);
    int (*postcopy)(void *);
    int (*checkpoint)(void *);
    int (*wait_checkpoint)(void *);
    void (*restore_results)(xen_pfn_t store, xen_pfn_t console, void *);
    void *data;
};
typedef enum { XC_STREAM_PLAIN, XC_STREAM_REMUS, XC_STREAM_COLO } xc_stream_type_t;
/* domctl.h; the cap is in percent of one processor, 0 for none. */
struct xen_domctl_sched_credit { uint16_t weight, cap; };
struct xen_domctl_sched_credit2 { uint16_t weight, cap; };
#endif

/* 4.14's form: 16 bytes, in two registers when passed by value. */
struct precopy_stats_414 {
    unsigned iteration;
    unsigned total_written;
    long dirty_count;
};
struct save_callbacks_414 {
    int (*suspend)(void *);
    int (*precopy_policy)(struct precopy_stats_414, void *);
    int (*postcopy)(void *);
    int (*checkpoint)(void *);
    int (*wait_checkpoint)(void *);
    int (*switch_qemu_logdirty)(uint32_t domid, unsigned enable, void *);
    void *data;
};

/* X(library, field, symbol, first, last, result, parameters): the minor numbers of the first and
   the last release 4.x in which the symbol has this form. */
/* clang-format off */
#define CXEN_ANY 14, 22
#define CXEN_FUNCTIONS(X) \
    X(CTRL,  interface_open,  xc_interface_open,  CXEN_ANY, xc_interface *, \
      (xentoollog_logger *, xentoollog_logger *, unsigned)) \
    X(CTRL,  interface_close, xc_interface_close, CXEN_ANY, int, (xc_interface *)) \
    X(CTRL,  version,         xc_version,         CXEN_ANY, int, (xc_interface *, int, void *)) \
    X(CTRL,  physinfo,        xc_physinfo,        CXEN_ANY, int, (xc_interface *, xc_physinfo_t *)) \
    X(CTRL,  getinfolist,     xc_domain_getinfolist, CXEN_ANY, int, \
      (xc_interface *, uint32_t, unsigned, xc_domaininfo_t *)) \
    X(CTRL,  nr_gpfns,        xc_domain_nr_gpfns, CXEN_ANY, int, \
      (xc_interface *, uint32_t, xen_pfn_t *)) \
    X(CTRL,  pause,           xc_domain_pause,    CXEN_ANY, int, (xc_interface *, uint32_t)) \
    X(CTRL,  unpause,         xc_domain_unpause,  CXEN_ANY, int, (xc_interface *, uint32_t)) \
    X(CTRL,  credit_get,      xc_sched_credit_domain_get, CXEN_ANY, int, \
      (xc_interface *, uint32_t, struct xen_domctl_sched_credit *)) \
    X(CTRL,  credit_set,      xc_sched_credit_domain_set, CXEN_ANY, int, \
      (xc_interface *, uint32_t, struct xen_domctl_sched_credit *)) \
    X(CTRL,  credit2_get,     xc_sched_credit2_domain_get, CXEN_ANY, int, \
      (xc_interface *, uint32_t, struct xen_domctl_sched_credit2 *)) \
    X(CTRL,  credit2_set,     xc_sched_credit2_domain_set, CXEN_ANY, int, \
      (xc_interface *, uint32_t, struct xen_domctl_sched_credit2 *)) \
    X(CTRL,  shutdown,        xc_domain_shutdown, CXEN_ANY, int, (xc_interface *, uint32_t, int)) \
    X(GUEST, resume,          xc_domain_resume,   CXEN_ANY, int, (xc_interface *, uint32_t, int)) \
    X(CTRL,  vcpu_getinfo,    xc_vcpu_getinfo,    CXEN_ANY, int, \
      (xc_interface *, uint32_t, uint32_t, xc_vcpuinfo_t *)) \
    X(CTRL,  get_guest_width, xc_domain_get_guest_width, CXEN_ANY, int, \
      (xc_interface *, uint32_t, unsigned *)) \
    X(CTRL,  pfn_type_batch,  xc_get_pfn_type_batch, CXEN_ANY, int, \
      (xc_interface *, uint32_t, unsigned, xen_pfn_t *)) \
    X(CTRL,  buffer_alloc,    xc__hypercall_buffer_alloc_pages, CXEN_ANY, void *, \
      (xc_interface *, xc_hypercall_buffer_t *, int)) \
    X(CTRL,  buffer_free,     xc__hypercall_buffer_free_pages, CXEN_ANY, void, \
      (xc_interface *, xc_hypercall_buffer_t *, int)) \
    X(CTRL,  shadow_control_old, xc_shadow_control, 14, 15, int, \
      (xc_interface *, uint32_t, unsigned, xc_hypercall_buffer_t *, unsigned long, \
       unsigned long *, uint32_t, xc_shadow_op_stats_t *)) \
    X(CTRL,  shadow_control,  xc_shadow_control,  16, 22, int, \
      (xc_interface *, uint32_t, unsigned, unsigned *, unsigned)) \
    X(CTRL,  logdirty_control, xc_logdirty_control, 16, 22, long long, \
      (xc_interface *, uint32_t, unsigned, xc_hypercall_buffer_t *, unsigned long, unsigned, \
       xc_shadow_op_stats_t *)) \
    X(CTRL,  get_tsc_info,    xc_domain_get_tsc_info, CXEN_ANY, int, \
      (xc_interface *, uint32_t, uint32_t *, uint64_t *, uint32_t *, uint32_t *)) \
    X(CTRL,  hvm_getcontext,  xc_domain_hvm_getcontext, CXEN_ANY, int, \
      (xc_interface *, uint32_t, uint8_t *, uint32_t)) \
    X(CTRL,  hvm_param_get,   xc_hvm_param_get,   CXEN_ANY, int, \
      (xc_interface *, uint32_t, uint32_t, uint64_t *)) \
    X(GUEST, get_cpu_policy_size_old, xc_get_cpu_policy_size, 14, 15, int, \
      (xc_interface *, uint32_t *, uint32_t *)) \
    X(GUEST, get_domain_cpu_policy_old, xc_get_domain_cpu_policy, 14, 15, int, \
      (xc_interface *, uint32_t, uint32_t *, xen_cpuid_leaf_t *, uint32_t *, xen_msr_entry_t *)) \
    X(GUEST, get_system_cpu_policy_old, xc_get_system_cpu_policy, 14, 15, int, \
      (xc_interface *, uint32_t, uint32_t *, xen_cpuid_leaf_t *, uint32_t *, xen_msr_entry_t *)) \
    X(GUEST, cpu_policy_get_system, xc_cpu_policy_get_system, 16, 22, int, \
      (xc_interface *, unsigned, xc_cpu_policy_t *)) \
    X(GUEST, cpu_policy_init, xc_cpu_policy_init, 16, 22, xc_cpu_policy_t *, (void)) \
    X(GUEST, cpu_policy_destroy, xc_cpu_policy_destroy, 16, 22, void, (xc_cpu_policy_t *)) \
    X(GUEST, cpu_policy_get_size, xc_cpu_policy_get_size, 16, 22, int, \
      (xc_interface *, uint32_t *, uint32_t *)) \
    X(GUEST, cpu_policy_get_domain, xc_cpu_policy_get_domain, 16, 22, int, \
      (xc_interface *, uint32_t, xc_cpu_policy_t *)) \
    X(GUEST, cpu_policy_serialise, xc_cpu_policy_serialise, 16, 22, int, \
      (xc_interface *, const xc_cpu_policy_t *, xen_cpuid_leaf_t *, uint32_t *, \
       xen_msr_entry_t *, uint32_t *)) \
    X(GUEST, domain_save_414, xc_domain_save,     14, 14, int, \
      (xc_interface *, int, uint32_t, uint32_t, struct save_callbacks_414 *, xc_stream_type_t, \
       int)) \
    X(GUEST, domain_save,     xc_domain_save,     15, 22, int, \
      (xc_interface *, int, uint32_t, uint32_t, struct save_callbacks *, xc_stream_type_t, int)) \
    X(GUEST, domain_restore_421, xc_domain_restore, 14, 21, int, \
      (xc_interface *, int, uint32_t, unsigned, unsigned long *, uint32_t, unsigned, \
       unsigned long *, uint32_t, xc_stream_type_t, struct restore_callbacks *, int)) \
    X(GUEST, domain_restore,  xc_domain_restore,  22, 22, int, \
      (xc_interface *, int, uint32_t, unsigned, unsigned long *, uint32_t, unsigned, \
       unsigned long *, uint32_t, xc_stream_type_t, struct restore_callbacks *, int, unsigned)) \
    X(MEMORY, memory_open,    xenforeignmemory_open, CXEN_ANY, xenforeignmemory_handle *, \
      (xentoollog_logger *, unsigned)) \
    X(MEMORY, memory_close,   xenforeignmemory_close, CXEN_ANY, int, (xenforeignmemory_handle *)) \
    X(MEMORY, memory_map,     xenforeignmemory_map, CXEN_ANY, void *, \
      (xenforeignmemory_handle *, uint32_t, int, size_t, const xen_pfn_t *, int *)) \
    X(MEMORY, memory_unmap,   xenforeignmemory_unmap, CXEN_ANY, int, \
      (xenforeignmemory_handle *, void *, size_t)) \
    X(STORE, store_open,      xs_open,            CXEN_ANY, struct xs_handle *, (unsigned long)) \
    X(STORE, store_close,     xs_close,           CXEN_ANY, void, (struct xs_handle *)) \
    X(STORE, store_read,      xs_read,            CXEN_ANY, void *, \
      (struct xs_handle *, xs_transaction_t, const char *, unsigned *)) \
    X(STORE, store_write,     xs_write,           CXEN_ANY, bool, \
      (struct xs_handle *, xs_transaction_t, const char *, const void *, unsigned)) \
    X(STORE, store_directory, xs_directory,       CXEN_ANY, char **, \
      (struct xs_handle *, xs_transaction_t, const char *, unsigned *)) \
    X(STORE, store_watch,     xs_watch,           CXEN_ANY, bool, \
      (struct xs_handle *, const char *, const char *)) \
    X(STORE, store_unwatch,   xs_unwatch,         CXEN_ANY, bool, \
      (struct xs_handle *, const char *, const char *)) \
    X(STORE, store_check_watch, xs_check_watch,   CXEN_ANY, char **, (struct xs_handle *)) \
    X(STORE, store_resume,    xs_resume_domain,   CXEN_ANY, bool, (struct xs_handle *, unsigned))
/* clang-format on */

enum cxen_library { CXEN_CTRL, CXEN_GUEST, CXEN_MEMORY, CXEN_STORE, CXEN_LIBRARY_COUNT };

#define CXEN_SHADOW_OP_OFF 0
#define CXEN_SHADOW_OP_ENABLE_LOGDIRTY 2
#define CXEN_SHADOW_OP_CLEAN 11
#define CXEN_SHADOW_OP_PEEK 12
#define CXEN_SHADOW_LOGDIRTY_FINAL 1

#endif
