/* The least that a round trip between two processes can cost when waiting is done by futex: two
 * single-producer rings of 8-byte slots in shared memory, no locks, no Python.
 *
 * usage: ring ROUNDS CPU_A CPU_B SPIN_NS      (CPU -1: wherever the system likes)
 * prints the median and the 99th percentile of ROUNDS round trips, in microseconds.
 *
 * tail: written by the producer, head by the consumer; both release, read with acquire. `event` is
 * an event count: the producer adds 1 after each put, the consumer sleeps on the value it saw
 * before it last looked, so no wake-up is lost. The rings never fill: one message at a time. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 1024, WARM = 500 };

struct ring {
    _Alignas(64) _Atomic uint64_t tail;
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic uint32_t event;
    _Atomic uint32_t asleep;
    _Alignas(64) uint64_t slots[SLOTS];
};

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void put(struct ring *r, uint64_t value)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    r->slots[tail % SLOTS] = value;
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
    atomic_fetch_add(&r->event, 1);
    if (atomic_load(&r->asleep)) syscall(SYS_futex, &r->event, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int there(struct ring *r)
{
    return atomic_load_explicit(&r->tail, memory_order_acquire)
           != atomic_load_explicit(&r->head, memory_order_relaxed);
}

static void await(struct ring *r, int64_t spin)
{
    for (int64_t until = spin ? now() + spin : 0; spin && !there(r) && now() < until;)
        __asm__ __volatile__("" ::: "memory");
    while (!there(r)) {
        uint32_t seen = atomic_load(&r->event);
        atomic_store(&r->asleep, 1);
        if (!there(r)) syscall(SYS_futex, &r->event, FUTEX_WAIT, seen, NULL, NULL, 0);
        atomic_store(&r->asleep, 0);
    }
}

static uint64_t get(struct ring *r, int64_t spin)
{
    await(r, spin);
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    uint64_t value = r->slots[head % SLOTS];
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return value;
}

static void pin(int cpu)
{
    if (cpu < 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set)) exit(2);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc != 5) return 2;
    int rounds = atoi(argv[1]);
    int64_t spin = atoll(argv[4]), *times = calloc(rounds, sizeof *times);
    struct ring *rings = mmap(NULL, 2 * sizeof *rings, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!times || rings == MAP_FAILED) return 2;
    pid_t child = fork();
    pin(atoi(argv[child ? 2 : 3]));
    if (!child) {
        for (int i = 0; i < rounds + WARM; i++) put(&rings[1], get(&rings[0], spin));
        return 0;
    }
    for (int i = -WARM; i < rounds; i++) {
        int64_t begin = now();
        put(&rings[0], i);
        if (get(&rings[1], spin) != (uint64_t)i) return 3;
        if (i >= 0) times[i] = now() - begin;
    }
    waitpid(child, NULL, 0);
    qsort(times, rounds, sizeof *times, by_value);
    printf("%f %f\n", times[rounds / 2] / 1e3, times[(int64_t)rounds * 99 / 100] / 1e3);
    return 0;
}
