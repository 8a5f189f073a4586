/* Sleeping on a word of shared memory until somebody wakes its sleepers.
 *
 * All sleepers of a word are of any process that maps it (never FUTEX_PRIVATE). Deadlines are
 * absolute, on CLOCK_MONOTONIC. Nothing here allocates or needs the GIL.
 */
#ifndef PENSTOCK_FUTEX_H
#define PENSTOCK_FUTEX_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"

/* 0: woken (or the word was not `expected` any more); ETIMEDOUT; EINTR after a signal. */
static inline int futex_sleep(_Atomic uint32_t *word, uint32_t expected, int64_t deadline)
{
    struct timespec until = clock_timespec(deadline);
    long failed = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected,
                          deadline == CLOCK_NEVER ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
    return failed && errno != EAGAIN ? errno : 0;
}

static inline void futex_wake(_Atomic uint32_t *word, int sleepers)
{
    syscall(SYS_futex, word, FUTEX_WAKE, sleepers, NULL, NULL, 0);
}

#endif
