/* Which process is which: a pid means something only with its start time, on one boot, in one pid
 * namespace. */
#ifndef RING_IDENTITY_H
#define RING_IDENTITY_H

#include <stdint.h>

int identity_start(uint32_t pid, uint64_t *start); /* 0: no such process, or a zombie */
int identity_alive(uint32_t pid, uint64_t start);
void identity_boot(uint8_t boot[16]);
uint64_t identity_pid_namespace(void);

#endif
