/* How many processors this process may use, and what they are. Included by CSystem.h. */
#ifndef XENSAVE_CSYSTEM_CORES_H
#define XENSAVE_CSYSTEM_CORES_H

#include <stdbool.h>
#include <stdint.h>

/* As many as its affinity and the quotas of its control groups allow; at least 1. */
int csystem_core_count(void);

/* The CPUID instruction: EAX to EDX. False where the processor is no x86. */
bool csystem_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t registers[4]);

#endif
