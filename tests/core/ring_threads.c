/* Many threads at one small ring, for the sanitizers: every item arrives once, in order, whole.
 *
 *     ring_threads PRODUCERS CONSUMERS ITEMS */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring/ring.h"

enum { BYTES = 4096, MOST = 16, LONGEST = 40, BATCH = 5, KIND = 6 };

static struct ring shared_view; /* each thread copies it and claims a slot of its own */
static int producers, consumers;
static uint32_t items;
static _Atomic uint64_t arrived, looks;
static _Atomic uint32_t over;

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static struct ring attach_here(void)
{
    struct ring ring = shared_view;
    if (ring_claim(&ring)) fail("no slot");
    return ring;
}

/* --- putting ------------------------------------------------------------------------------------ */

struct batch {
    uint64_t words[BATCH][LONGEST];
    struct ring_part parts[BATCH];
    struct ring_message messages[BATCH];
    uint32_t count, put;
};

/* Every word of an item says whose and which it is. */
static void fill(struct batch *batch, uint64_t whose, uint32_t first, uint32_t count)
{
    batch->count = count;
    batch->put = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t words = 1 + (first + i) * 7 % LONGEST;
        for (uint32_t w = 0; w < words; w++) batch->words[i][w] = whose << 32 | (first + i);
        batch->parts[i] = (struct ring_part){batch->words[i], words * 8};
        batch->messages[i] = (struct ring_message){{words * 8, KIND}, &batch->parts[i], 1};
    }
}

static enum ring_result try_put(struct ring *ring, void *what)
{
    struct batch *batch = what;
    uint32_t put = 0;
    ring_want(ring, batch->messages[batch->put].record);
    enum ring_result result = ring_put(ring, batch->messages + batch->put, batch->count - batch->put,
                                       &put, CLOCK_NEVER);
    batch->put += put;
    return result;
}

static void *produce(void *whose)
{
    struct ring ring = attach_here();
    struct batch batch;
    for (uint32_t next = 1; next <= items;) {
        uint32_t count = 1 + next % BATCH;
        if (count > items + 1 - next) count = items + 1 - next;
        fill(&batch, (uintptr_t)whose, next, count);
        while (batch.put < batch.count) {
            int64_t soon = clock_now() + CLOCK_SECOND / 1000; /* times out now and then */
            enum ring_result result = ring_wait(&ring, &ring.shared->tail, try_put, &batch, soon);
            if (result && result != RING_TIMEOUT && result != RING_STOPPED) fail("put");
        }
        next += count;
    }
    ring_leave(&ring);
    return NULL;
}

/* --- taking ------------------------------------------------------------------------------------- */

static enum ring_result try_take(struct ring *ring, void *what)
{
    return ring_take(ring, what, CLOCK_NEVER);
}

static void check(const uint8_t *at, uint32_t *last, size_t *size)
{
    uint64_t word, first, value;
    memcpy(&word, at, sizeof word);
    uint64_t length = word & RECORD_LONGEST;
    memcpy(&first, at + 8, sizeof first);
    for (uint64_t i = 0; i < length; i += 8) {
        memcpy(&value, at + 8 + i, sizeof value);
        if (value != first) fail("an item is torn");
    }
    uint32_t whose = (uint32_t)(first >> 32), number = (uint32_t)first;
    if (number <= last[whose]) fail("an item came twice, or late");
    if (length != (1 + number * 7ull % LONGEST) * 8) fail("an item has another's length");
    last[whose] = number;
    *size = record_units(length) * RING_UNIT;
}

static void *consume(void *unused)
{
    struct ring ring = attach_here();
    uint8_t buffer[1024];
    uint32_t last[MOST] = {0};
    struct ring_taking taking = {.buffer = buffer, .room = sizeof buffer, .slot = ring.slot};
    enum ring_result result;
    for (uint32_t turn = 0;; turn++) {
        taking.limit = 1 + turn % 7;
        result = ring_wait(&ring, &ring.shared->head, try_take, &taking, clock_now() + CLOCK_SECOND / 500);
        if (result == RING_TIMEOUT || result == RING_STOPPED) continue;
        if (result) break;
        size_t size, at = 0;
        for (uint32_t i = 0; i < taking.items; i++, at += size) check(buffer + at, last, &size);
        atomic_fetch_add(&arrived, taking.items);
        if (ring_task_done(&ring, taking.items)) fail("task_done");
    }
    if (result != RING_SHUT_DOWN) fail("get");
    ring_leave(&ring);
    return unused;
}

/* --- looking, joining, interrupting --------------------------------------------------------------- */

static void *look(void *unused)
{
    struct ring ring = attach_here();
    while (!atomic_load(&over)) {
        uint64_t tail, head;
        if (!ring_snapshot(&ring, &tail, &head)) fail("positions");
        if (ring_unfinished(&ring) > (uint64_t)items * (uint64_t)producers) fail("unfinished");
        if (atomic_fetch_add(&looks, 1) % 64 == 0) ring_bury(&ring, 0);
        if (looks % 256 == 0) ring_stop(&ring);
        usleep(100);
    }
    ring_leave(&ring);
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t threads[2 * MOST], looker;
    if (argc != 4) return 2;
    producers = atoi(argv[1]);
    consumers = atoi(argv[2]);
    items = (uint32_t)atoi(argv[3]);
    int fd = memfd_create("ring", 0);
    if (ring_create(&shared_view, fd, 64, BYTES)) fail("create");
    close(fd);
    pthread_create(&looker, NULL, look, NULL);
    for (int i = 0; i < producers; i++) pthread_create(&threads[i], NULL, produce, (void *)(uintptr_t)i);
    for (int i = 0; i < consumers; i++) pthread_create(&threads[producers + i], NULL, consume, NULL);
    for (int i = 0; i < producers; i++) pthread_join(threads[i], NULL);
    struct ring ring = attach_here();
    if (ring_join(&ring, CLOCK_NEVER)) fail("join");
    if (arrived != (uint64_t)items * (uint64_t)producers) fail("some items did not arrive");
    if (ring_shut(&ring, 0)) fail("shut");
    for (int i = 0; i < consumers; i++) pthread_join(threads[producers + i], NULL);
    atomic_store(&over, 1);
    pthread_join(looker, NULL);
    ring_leave(&ring);
    ring_detach(&shared_view);
    printf("%llu items\n", (unsigned long long)arrived);
    return 0;
}
