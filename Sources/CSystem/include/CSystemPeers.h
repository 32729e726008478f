/* Programs that work for this one and end with it, descriptors that are handed to them, and the system's
   log. errno as usual. Included by CSystem.h. */
#ifndef XENSAVE_CSYSTEM_PEERS_H
#define XENSAVE_CSYSTEM_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Starts words[0] with this environment, `output` as its standard output, and nothing else open but
   standard input and error, which are this process's. The kernel kills it when the calling thread ends.
   0 and *process, or an errno; a program that cannot be started exits with 127. */
int csystem_spawn_peer(char *const words[], char *const environment[], int output, pid_t *process);

/* Puts /dev/null in the place of each of the descriptors 0, 1 and 2 that is not open. -1 on failure. */
int csystem_open_standard(void);

/* sendmsg(2) of all `count` bytes with one descriptor (SCM_RIGHTS; -1 for none), and no SIGPIPE. The
   number of bytes that were sent, or -1. */
ssize_t csystem_send_descriptor(int socket, const void *bytes, size_t count, int descriptor);

/* recvmsg(2): reads bytes and at most one descriptor, which is closed when another program is started;
   -1 in *descriptor where none came. */
ssize_t csystem_receive_descriptor(int socket, void *bytes, size_t count, int *descriptor);

/* A pair of stream sockets (AF_UNIX), closed when another program is started. */
int csystem_socket_pair(int descriptors[2]);

/* Whether a descriptor can be written to at a random place: a file that is neither read-only nor opened
   with O_APPEND. */
bool csystem_has_random_access(int descriptor);

/* openlog(3) with LOG_PID and LOG_DAEMON, and syslog(3). The name is copied. */
void csystem_open_log(const char *name);
void csystem_log(int priority, const char *text);

#endif
