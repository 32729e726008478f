/* The program that emu-managers start as xenguest. It does what the host of the comparison (host.py)
 * writes to it over a socket that is named after the domain:
 *   R  writes that it is ready      g  writes something else     r  writes half of it
 *   c  closes its output            X and a byte: exits          K  kills itself
 * It ends by itself when the host has gone. Debian's stdbuf, which it is started with, changes nothing. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

extern char **environ;

int main(int count, char **words) {
    const char *domain = "none";
    for (int i = 1; i + 1 < count; i++)
        if (!strcmp(words[i], "-domid")) domain = words[i + 1];

    static char text[16384];
    size_t length = (size_t)snprintf(text, sizeof text, "%d\n", getpid());
    for (int i = 0; i < count; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "word %s\n", words[i]);
    for (char **variable = environ; *variable; variable++)
        length += (size_t)snprintf(text + length, sizeof text - length, "variable %s\n", *variable);
    /* What it has inherited beside the standard descriptors. */
    for (int i = 3; i < 1024; i++)
        if (fcntl(i, F_GETFD) >= 0)
            length += (size_t)snprintf(text + length, sizeof text - length, "descriptor %d\n", i);
    length += (size_t)snprintf(text + length, sizeof text - length, "end\n");

    int host = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/run/emp-compare/%s", domain);
    if (host < 0 || connect(host, (struct sockaddr *)&address, sizeof address) != 0) return 98;
    if (write(host, text, length) != (ssize_t)length) return 97;
    for (;;) {
        unsigned char order, status = 0;
        if (read(host, &order, 1) != 1) return 99;
        const char *output = order == 'R' ? "Ready\n" : order == 'g' ? "Hello\n" : order == 'r' ? "Rea" : "";
        if (*output && write(1, output, strlen(output)) < 0) return 96;
        if (order == 'c') close(1);
        if (order == 'X') {
            if (read(host, &status, 1) != 1) return 95;
            _exit(status);
        }
        if (order == 'K') kill(getpid(), SIGKILL);
    }
}
