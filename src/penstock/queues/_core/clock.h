/* Time for deadlines: nanoseconds of CLOCK_MONOTONIC, which no clock change moves. */
#ifndef PENSTOCK_CLOCK_H
#define PENSTOCK_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_SECOND 1000000000LL
#define CLOCK_NEVER INT64_MAX

static inline int64_t clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * CLOCK_SECOND + t.tv_nsec;
}

static inline struct timespec clock_timespec(int64_t at)
{
    return (struct timespec){.tv_sec = at / CLOCK_SECOND, .tv_nsec = at % CLOCK_SECOND};
}

/* Tells the core that we wait in a loop. */
static inline void clock_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

static inline int64_t clock_earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#endif
