/* How many processors this process may use. Included by CSystem.h. */
#ifndef XENSAVE_CSYSTEM_CORES_H
#define XENSAVE_CSYSTEM_CORES_H

/* As many as its affinity and the quotas of its control groups allow; at least 1. */
int csystem_core_count(void);

#endif
