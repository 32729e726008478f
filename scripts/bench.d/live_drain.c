/* Benchmarks only: reads standard input to its end, 1 MiB at a time. */
#include <unistd.h>

int main(void) {
    static char buffer[1 << 20];
    ssize_t got;
    while ((got = read(STDIN_FILENO, buffer, sizeof buffer)) > 0) {}
    return got < 0;
}
