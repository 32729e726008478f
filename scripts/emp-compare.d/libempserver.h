/* What the emu-managers use of libempserver, whose source is not public: the names are those of their
 * calls, the contents are our own (see libempserver.c). */
#ifndef EMP_COMPARE_LIBEMPSERVER_H
#define EMP_COMPARE_LIBEMPSERVER_H

/* XCP-ng's emu-manager gets poll and strings from here. */
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum command_num {
    cmd_track_dirty,
    cmd_migrate_abort,
    cmd_migrate_init,
    cmd_migrate_live,
    cmd_migrate_pause,
    cmd_migrate_paused,
    cmd_migrate_progress,
    cmd_migrate_nonlive,
    cmd_quit,
    cmd_restore,
    cmd_set_args,
};

struct command {
    const char *name;
    bool needs_fd;
};

const struct command *command_from_num(enum command_num command);
int emp_get_default_path(char *path, size_t size, const char *name, int domain);

#endif
