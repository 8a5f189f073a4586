/* Random bytes in a ring's memory: every call comes back, with an error or with something, and
 * reads nothing outside. Run under the address sanitizer.
 *
 *     ring_damage SEED ROUNDS */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring/ring.h"

enum { BYTES = 4096, KIND = 6 };

static struct ring ring;
static int results[RING_DAMAGED + 1];

static int64_t soon(void)
{
    return clock_now() + CLOCK_SECOND / 2000;
}

static enum ring_result put(size_t size)
{
    static uint64_t words[256];
    struct ring_part part = {words, size};
    struct ring_message messages[2] = {{{size, KIND}, &part, 1}, {{size, KIND}, &part, 1}};
    uint32_t count;
    return ring_put(&ring, messages, 2, &count, soon());
}

static enum ring_result take(uint32_t limit, size_t room)
{
    uint8_t *buffer = malloc(room); /* so that the sanitizer sees its end */
    struct ring_taking taking = {.buffer = buffer, .room = room, .limit = limit, .slot = ring.slot};
    enum ring_result result = ring_take(&ring, &taking, soon());
    if (result == RING_LARGE) {
        uint64_t first;
        struct ring_part part = {buffer, room};
        result = ring_peek(&ring, taking.position, &first, sizeof first);
        if (!result) result = ring_take_large(&ring, taking.position, 0, &part, 1);
    }
    free(buffer);
    return result;
}

static enum ring_result call(void)
{
    switch (random() % 10) {
    case 0: case 1: case 2: return put((size_t)random() % 600);
    case 3: case 4: return take(1, 64);
    case 5: case 6: return take(9, 1024);
    case 7: return ring_task_done(&ring, 1);
    case 8: return ring_join(&ring, soon());
    default: ring_bury(&ring, 0); return ring_fits(&ring, (struct record){.length = 100}) ? RING_OK : RING_FULL;
    }
}

/* Anything but the lock words: who writes those can keep everybody out, as any owner can. */
static int is_lock(size_t at)
{
    struct ring_shared *s = ring.shared;
    struct robust *locks[] = {&s->tail.lock, &s->tail.turn, &s->head.lock, &s->head.turn,
                              &s->done.lock, &s->slots_lock};
    for (size_t i = 0; i < sizeof locks / sizeof *locks; i++) {
        size_t word = (size_t)((uint8_t *)locks[i] - (uint8_t *)s);
        if (at >= word && at < word + sizeof(uint32_t)) return 1;
    }
    return 0;
}

static void damage(void)
{
    size_t size = sizeof *ring.shared + BYTES, at;
    do at = (size_t)random() % size; while (at < sizeof *ring.shared && is_lock(at));
    if (random() % 2) at = offsetof(struct ring_shared, tail) + at % (2 * sizeof(struct ring_end));
    if (is_lock(at)) return;
    uint8_t *byte = at < sizeof *ring.shared ? (uint8_t *)ring.shared + at
                                             : ring.data + (at - sizeof *ring.shared);
    *byte ^= (uint8_t)(1 << random() % 8);
}

static void one_round(int fd)
{
    char why[160];
    if (ftruncate(fd, 0) || ring_create(&ring, fd, 0, BYTES) || ring_claim(&ring)) abort();
    for (int i = 0; i < 40; i++) {
        if (i > 10 && random() % 3 == 0) damage();
        results[call()]++;
    }
    struct ring again = {0};
    if (ring_attach(&again, fd, 0, why, sizeof why) == 0) ring_detach(&again);
    ring_detach(&ring);
}

/* No plan but the true one is believed. */
static void plans(int fd)
{
    struct ring other = {0};
    char why[160];
    if (ring_create(&ring, fd, 7, BYTES)) abort();
    for (size_t i = 0; i < sizeof(struct ring_plan) * 8; i++) {
        uint8_t *byte = (uint8_t *)ring.shared + i / 8;
        *byte ^= (uint8_t)(1 << i % 8);
        if (ring_attach(&other, fd, 1, why, sizeof why) == 0) {
            fprintf(stderr, "believed with bit %zu turned\n", i);
            exit(1);
        }
        *byte ^= (uint8_t)(1 << i % 8);
    }
    if (ring_attach(&other, fd, 1, why, sizeof why)) abort();
    ring_detach(&other);
    ring_detach(&ring);
}

int main(int argc, char **argv)
{
    if (argc != 3) return 2;
    srandom((unsigned)atoi(argv[1]));
    int fd = memfd_create("ring", 0);
    plans(fd);
    for (int i = 0; i < atoi(argv[2]); i++) one_round(fd);
    printf("ok %d, empty %d, full %d, damaged %d\n", results[RING_OK], results[RING_EMPTY],
           results[RING_FULL], results[RING_DAMAGED]);
    return results[RING_DAMAGED] == 0;
}
