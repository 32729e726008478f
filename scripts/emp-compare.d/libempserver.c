/* Stands in for libempserver; see libempserver.h. The path is that of its releases since 1.1. */
#include "libempserver.h"

#include <stdio.h>

static const struct command commands[] = {
    [cmd_track_dirty] = {"track_dirty", false},       [cmd_migrate_abort] = {"migrate_abort", false},
    [cmd_migrate_init] = {"migrate_init", true},      [cmd_migrate_live] = {"migrate_live", false},
    [cmd_migrate_pause] = {"migrate_pause", false},   [cmd_migrate_paused] = {"migrate_paused", false},
    [cmd_migrate_progress] = {"migrate_progress", false},
    [cmd_migrate_nonlive] = {"migrate_nonlive", false},
    [cmd_quit] = {"quit", false},                     [cmd_restore] = {"restore", false},
    [cmd_set_args] = {"set_args", false},
};

const struct command *command_from_num(enum command_num command) { return &commands[command]; }

int emp_get_default_path(char *path, size_t size, const char *name, int domain) {
    return snprintf(path, size, "/run/xen/%s-control-%d", name, domain);
}
