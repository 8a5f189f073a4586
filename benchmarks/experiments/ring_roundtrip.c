/* What a round trip between two processes costs over two rings, beside the least that a futex
 * ring can cost: a word, a sleep, a wake-up.
 *
 *     cd src/penstock/queues/_core
 *     gcc -O2 -std=gnu11 -I. ../../../../benchmarks/experiments/ring_roundtrip.c \
 *         $(grep -L -e items.h -e object.h -e Python.h ring/[a-z]*.c) -o /tmp/roundtrip -lpthread
 *     /tmp/roundtrip 0 0     both on core 0;  0 1: one on each;  -1 -1: where they like
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring/ring.h"

enum { ROUNDS = 20000 };

struct plain {
    _Alignas(64) _Atomic uint32_t full, asleep;
};

static void plain_put(struct plain *p)
{
    atomic_store(&p->full, 1);
    if (atomic_load(&p->asleep)) futex_wake(&p->full, 1);
}

static void plain_get(struct plain *p)
{
    while (!atomic_load(&p->full)) {
        atomic_store(&p->asleep, 1);
        if (!atomic_load(&p->full)) futex_sleep(&p->full, 0, CLOCK_NEVER);
        atomic_store(&p->asleep, 0);
    }
    atomic_store(&p->full, 0);
}

static struct plain *plains;
static struct ring rings[2];

static enum ring_result try_take(struct ring *ring, void *what)
{
    return ring_take(ring, what, CLOCK_NEVER);
}

static void put(int plain, int which)
{
    static uint64_t value = 7;
    struct ring_part part = {&value, sizeof value};
    struct ring_message message = {{sizeof value, 6}, &part, 1};
    uint32_t count;
    if (plain) plain_put(&plains[which]);
    else if (ring_put(&rings[which], &message, 1, &count, CLOCK_NEVER)) abort();
}

static void get(int plain, int which)
{
    uint8_t buffer[64];
    struct ring_taking taking = {.buffer = buffer, .room = sizeof buffer, .limit = 1};
    if (plain) { plain_get(&plains[which]); return; }
    struct ring *ring = &rings[which];
    taking.slot = ring->slot;
    if (ring_take(ring, &taking, RING_NOW) == RING_OK) return;
    if (ring_wait(ring, &ring->shared->head, try_take, &taking, CLOCK_NEVER)) abort();
}

static void pin(const char *core)
{
    cpu_set_t set;
    if (atoi(core) < 0) return;
    CPU_ZERO(&set);
    CPU_SET(atoi(core), &set);
    sched_setaffinity(0, sizeof set, &set);
}

static int by_size(const void *a, const void *b)
{
    return (*(int64_t *)a > *(int64_t *)b) - (*(int64_t *)a < *(int64_t *)b);
}

static double measure(int plain, char **cores)
{
    static int64_t took[ROUNDS];
    pid_t child = fork();
    if (!child) {
        pin(cores[2]);
        for (int i = 0; i < 2; i++) ring_claim(&rings[i]);
        for (int i = 0; i < ROUNDS; i++) { get(plain, 0); put(plain, 1); }
        _exit(0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        int64_t at = clock_now();
        put(plain, 0);
        get(plain, 1);
        took[i] = clock_now() - at;
    }
    waitpid(child, NULL, 0);
    qsort(took, ROUNDS, sizeof *took, by_size);
    return (double)took[ROUNDS / 2] / 1e3;
}

int main(int argc, char **argv)
{
    if (argc != 3) return 2;
    plains = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 2; i++)
        if (ring_create(&rings[i], memfd_create("ring", 0), 0, 65536) || ring_claim(&rings[i])) abort();
    pin(argv[1]);
    for (int i = 0; i < 3; i++)
        printf("plain futex %.2f us   ring %.2f us\n", measure(1, argv), measure(0, argv));
    return 0;
}
