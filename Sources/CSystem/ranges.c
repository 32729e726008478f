/* See CSystemRanges.h. */
#define _GNU_SOURCE
#include "CSystemRanges.h"
#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { page = 4096, largest_unit = 1 << 20 };

int csystem_insert_front(int descriptor, uint64_t count) {
    return fallocate(descriptor, FALLOC_FL_INSERT_RANGE, 0, (off_t)count);
}

int csystem_collapse(int descriptor, uint64_t offset, uint64_t count) {
    return fallocate(descriptor, FALLOC_FL_COLLAPSE_RANGE, (off_t)offset, (off_t)count);
}

/* A multiple of both the block and the page; 0 where the block is no length that one could deal in. */
static uint64_t unit_of(const struct statfs *s) {
    uint64_t block = s->f_bsize > 0 ? (uint64_t)s->f_bsize : 0;
    if (block == 0 || block > largest_unit || (block & (block - 1)) != 0) return 0;
    return block < page ? page : block;
}

uint64_t csystem_front_unit(int descriptor) {
    struct statfs s;
    if (fstatfs(descriptor, &s) != 0) return 0;
    switch ((uint32_t)s.f_type) {
    case 0xEF53u:     /* ext4; ext2 and ext3 have the same number, and say EOPNOTSUPP */
    case 0x58465342u: /* XFS */
        return unit_of(&s);
    default:
        return 0;
    }
}

uint64_t csystem_clone_unit(int descriptor) {
    struct statfs s;
    if (!csystem_shares_extents(descriptor) || fstatfs(descriptor, &s) != 0) return 0;
    return unit_of(&s);
}

int csystem_clone_to(int from, int to, uint64_t offset) {
    struct file_clone_range range = {.src_fd = from, .dest_offset = offset};
    return ioctl(to, FICLONERANGE, &range);
}

static int64_t seek(int descriptor, int64_t offset, int whence) {
    off_t here = lseek(descriptor, 0, SEEK_CUR);
    off_t there = lseek(descriptor, (off_t)offset, whence);
    int saved = errno;
    if (here >= 0) (void)lseek(descriptor, here, SEEK_SET);
    errno = saved;
    return there;
}

int64_t csystem_next_data(int descriptor, int64_t offset) {
    return seek(descriptor, offset, SEEK_DATA);
}

int64_t csystem_next_hole(int descriptor, int64_t offset) {
    return seek(descriptor, offset, SEEK_HOLE);
}
