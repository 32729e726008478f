/* The words of the command line. Included by CSystem.h. */
#ifndef XENSAVE_CSYSTEM_ARGUMENTS_H
#define XENSAVE_CSYSTEM_ARGUMENTS_H

/* Word `index` of the command line, 0 for the program; NULL where there is none. It lives as long as the
   program. Swift's own list is read from /proc/self/cmdline, and is empty where that cannot be read. */
const char *csystem_argument(int index);

#endif
