/* cpuid-guest: the only program of level-test's guest, and its process 1.
 *
 * The kernel's command line says what to look at: level.flag=avx2, a name in the flags line of
 * /proc/cpuinfo, and level.cpuid=7,0,b,5, a leaf, subleaf, register and bit of CPUID.  Once a second
 * it executes CPUID, reads /proc/cpuinfo anew, and prints one line:
 *
 *   level 12 cpuid=1 cpuinfo=1
 */
#include <cpuid.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static char text[1 << 16];

static const char *read_text(const char *path)
{
    size_t count = 0;
    ssize_t got;
    int file = open(path, O_RDONLY);

    while (file >= 0 && (got = read(file, text + count, sizeof text - 1 - count)) > 0)
        count += got;
    if (file >= 0)
        close(file);
    text[count] = 0;
    return text;
}

/* Whether the first flags line of /proc/cpuinfo has the word. */
static int has_flag(const char *word)
{
    const char *line = strstr(read_text("/proc/cpuinfo"), "\nflags");
    char *end, wanted[80];

    if (!line || !(end = strchr(line + 1, '\n')))
        return -1;
    end[0] = ' ';                                          /* each word stands between two spaces */
    end[1] = 0;
    snprintf(wanted, sizeof wanted, " %s ", word);
    return strstr(line, wanted) != NULL;
}

int main(void)
{
    unsigned leaf = 0, subleaf = 0, bit = 0, registers[4];
    char which = 'a', flag[64] = "", *place;

    mkdir("/proc", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    read_text("/proc/cmdline");
    if (!(place = strstr(text, "level.cpuid=")) ||
        sscanf(place, "level.cpuid=%i,%i,%c,%u", &leaf, &subleaf, &which, &bit) != 4 ||
        !(place = strstr(text, "level.flag=")) || sscanf(place, "level.flag=%63s", flag) != 1)
        printf("cpuid-guest: expected level.cpuid= and level.flag= on the command line\n");
    for (unsigned count = 1;; count++) {
        __cpuid_count(leaf, subleaf, registers[0], registers[1], registers[2], registers[3]);
        printf("level %u cpuid=%u cpuinfo=%d\n", count, registers[which - 'a'] >> bit & 1,
               has_flag(flag));
        fflush(stdout);
        sleep(1);
    }
}
