/* What new files need: a name at the end, and what the file before had. errno as usual. */
#ifndef XENSAVE_CSYSTEM_OUTPUTS_H
#define XENSAVE_CSYSTEM_OUTPUTS_H

#include <stddef.h>

/* open(2) of a file without a name in `folder` (O_TMPFILE). */
int csystem_create_unnamed(const char *folder, unsigned mode);

/* linkat(2): gives it a name that nothing has yet. */
int csystem_name(int descriptor, const char *path);

/* Gives it the name of another file, which is replaced; `temporary` is a free name in the same
   folder, which it has for a moment. Another process takes these two steps, so that one that is
   killed (alone or with its group) leaves no temporary name. */
int csystem_replace(int descriptor, const char *temporary, const char *path);

/* renameat2(2) with RENAME_NOREPLACE. */
int csystem_rename_to_new(const char *from, const char *to);

/* connect(2) to the socket of a path: the descriptor, or -1. */
int csystem_connect(const char *path);

enum csystem_attributes {
    csystem_plain_attributes,
    csystem_access_lists,
};

/* Gives a file the extended attributes that the one at `from` has: access lists, which chmod(2)
   changes, or all others. Those that a kernel makes of the contents (IMA, EVM) are left out. With
   -1 `name` is the one that could not be set. */
int csystem_copy_attributes(const char *from, int to, enum csystem_attributes which, char *name,
                            size_t name_size);

#endif
