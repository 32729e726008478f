/* Ranges of a file that move, are shared or are holes. errno as usual. Included by CSystem.h. */
#ifndef XENSAVE_CSYSTEM_RANGES_H
#define XENSAVE_CSYSTEM_RANGES_H

#include <stdbool.h>
#include <stdint.h>

/* fallocate(2) with FALLOC_FL_INSERT_RANGE: a hole of `count` bytes at the front of a file, and all
   that was there after it. */
int csystem_insert_front(int descriptor, uint64_t count);

/* fallocate(2) with FALLOC_FL_COLLAPSE_RANGE: takes `count` bytes away, and what follows moves up. */
int csystem_collapse(int descriptor, uint64_t offset, uint64_t count);

/* What a file's length can be made longer by at the front without moving its bytes: whole blocks of its
   file system, and no less than 4096 bytes, so that pages lie where they lay in a block. 0 where no
   file system is known that can (ext4 and XFS are). */
uint64_t csystem_front_unit(int descriptor);

/* The unit in which extents can be shared; 0 where they cannot. */
uint64_t csystem_clone_unit(int descriptor);

/* ioctl(FICLONERANGE): all of `from` becomes part of `to`, at `offset`, without being copied. */
int csystem_clone_to(int from, int to, uint64_t offset);

/* lseek(2) with SEEK_DATA or SEEK_HOLE; the position is as before. -1 and ENXIO where there is none. */
int64_t csystem_next_data(int descriptor, int64_t offset);
int64_t csystem_next_hole(int descriptor, int64_t offset);

#endif
