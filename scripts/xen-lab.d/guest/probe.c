/*
 * The processes of the guest that guest-test looks into: each sleeps in another place of the kernel, and
 * has a name that says where.  Prints "ready" when all do, and then sleeps itself.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Starts a process, as the user `id`, that runs the statement, which does not end. */
#define SLEEPER(name, id, ...)                                                                     \
  do {                                                                                             \
    if (!fork()) {                                                                                 \
      prctl(PR_SET_NAME, name);                                                                    \
      if ((id) && (setgid(id) || setuid(id))) _exit(1);                                            \
      __VA_ARGS__;                                                                                 \
      pause();                                                                                     \
      _exit(0);                                                                                    \
    }                                                                                              \
  } while (0)

static int never;

static void *wait_for_futex(void *name) {
  prctl(PR_SET_NAME, name);
  syscall(SYS_futex, &never, FUTEX_WAIT, 0, NULL, NULL, 0);
  return NULL;
}

static int listening(int family, int type, unsigned short port) {
  int socket_fd = socket(family, type, 0);
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (family == AF_INET6)
    bind(socket_fd, (void *)&six, sizeof six);
  else
    bind(socket_fd, (void *)&four, sizeof four);
  if (type == SOCK_STREAM) listen(socket_fd, 5);
  return socket_fd;
}

int main(void) {
  int ends[2], queue, lock;
  if (pipe(ends)) return 1;
  SLEEPER("in-pause", 0, pause());
  SLEEPER("in-nanosleep", 1000, sleep(1000000));
  SLEEPER("in-pipe-read", 0, { char c; if (read(ends[0], &c, 1) < 0) _exit(1); });
  SLEEPER("in-poll", 1001, { struct pollfd fd = {ends[0], POLLIN, 0}; poll(&fd, 1, -1); });
  SLEEPER("in-epoll", 0, {
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
    epoll_wait(epoll, &event, 1, -1);
  });
  SLEEPER("in-accept", 0, accept(listening(AF_INET, SOCK_STREAM, 7777), NULL, NULL));
  SLEEPER("in-accept6", 0, accept(listening(AF_INET6, SOCK_STREAM, 7778), NULL, NULL));
  SLEEPER("in-recv", 0, { char c; recv(listening(AF_INET, SOCK_DGRAM, 7779), &c, 1, 0); });
  SLEEPER("in-unix-recv", 0, {
    int pair[2];
    char c;
    if (!socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) recv(pair[0], &c, 1, 0);
  });
  SLEEPER("in-fifo-open", 0, { mkfifo("/b/fifo", 0600); open("/b/fifo", O_RDONLY); });
  SLEEPER("in-sigwait", 0, { sigset_t set; int got; sigfillset(&set); sigwait(&set, &got); });
  SLEEPER("in-msgrcv", 0, {
    struct { long type; char text[1]; } message;
    queue = msgget(IPC_PRIVATE, 0600);
    msgrcv(queue, &message, 1, 0, 0);
  });
  lock = open("/b/lock", O_RDWR | O_CREAT, 0600);
  flock(lock, LOCK_EX);
  SLEEPER("in-flock", 0, flock(open("/b/lock", O_RDWR), LOCK_EX));
  SLEEPER("in-wait", 0, { if (!fork()) { prctl(PR_SET_NAME, "waited-for"); pause(); } wait(NULL); });
  SLEEPER("in-vfork", 0, { if (!vfork()) { pause(); _exit(0); } });
  SLEEPER("stopped", 0, raise(SIGSTOP));
  SLEEPER("has-zombie", 0, { if (!fork()) _exit(3); });
  SLEEPER("has-threads", 1002, {
    pthread_t thread;
    static char names[3][16] = {"futex-a", "futex-b", "futex-c"};
    for (int index = 0; index < 3; index++)
      pthread_create(&thread, NULL, wait_for_futex, names[index]);
    pthread_join(thread, NULL);
  });
  SLEEPER("has-files", 0, {
    char *shared = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *file = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, open("/init", O_RDONLY), 0);
    shared[0] = file[0];
    mlock(shared, 8192);
    if (lseek(open("/probe", O_RDONLY), 4321, SEEK_SET) < 0 || open("/proc/self/status", O_RDONLY) < 0)
      _exit(1);
    if (open("/b/deleted", O_RDWR | O_CREAT, 0600) < 0) _exit(1);
    unlink("/b/deleted");
    pause();
  });
  sleep(3);
  puts("ready");
  fflush(stdout);
  sleep(1000000);
  return 0;
}
