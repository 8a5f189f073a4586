/* Waiting at an end of the ring.
 *
 * One thread of all processes holds the end's `turn` and sleeps on `armed`; the others queue on
 * `turn`. So a put wakes one thread, that one tries while it holds the turn, and only then lets
 * the next come forward, which looks before it sleeps. Whoever of them dies, at whatever
 * instruction, the kernel hands the turn on: no item is left with everybody asleep.
 */

#define _GNU_SOURCE
#include <sched.h>
#include <time.h>

#include "ring.h"

#define SPIN (50 * 1000LL)            /* the longest time to look without sleeping */
#define GIVES_WAY 2                   /* times, where the other side has our core */
#define WORST_LUCK 6                  /* then it is tried at every 64th wait */
#define DEATHS_EVERY (CLOCK_SECOND / 20) /* joiners look for dead consumers */

static int is_yet(enum ring_result result)
{
    return result == RING_EMPTY || result == RING_FULL || result == RING_BUSY;
}

static enum ring_result look_again(struct ring *ring, uint32_t stops, int64_t deadline, int slept)
{
    if (atomic_load(&ring->stops) != stops) return RING_STOPPED;
    if (slept == EINTR) return RING_INTERRUPTED;
    return clock_now() >= deadline ? RING_TIMEOUT : RING_OK;
}

/* --- a look without sleeping ----------------------------------------------------------------- */

static int look_until(struct ring_end *other, uint64_t before, int64_t until)
{
    do {
        for (int i = 0; i < 32; i++) {
            if (atomic_load_explicit(&other->position, memory_order_relaxed) != before) return 1;
            clock_relax();
        }
    } while (clock_now() < until);
    return 0;
}

/* Given away for a moment, the core may be back with what we wait for: nobody slept, so nobody had
 * to be woken. */
static int give_way(struct ring_end *other, uint64_t before)
{
    for (int i = 0; i < GIVES_WAY; i++) {
        sched_yield();
        if (atomic_load_explicit(&other->position, memory_order_relaxed) != before) return 1;
    }
    return 0;
}

/* Whether the other end moved on from where it stood before we last tried. Only while it runs on
 * another core than ours can looking pay; if both are pinned to one, never. And either must have
 * paid lately: each time in vain halves how often it is tried. */
static int moved_soon(struct ring_end *other, uint64_t before, struct ring_luck *luck,
                      int64_t deadline)
{
    int there = (int)atomic_load_explicit(&other->cpu, memory_order_relaxed) - 1;
    if (there < 0 || luck->waits++ & ((1u << luck->bad) - 1)) return 0;
    int moved = there == sched_getcpu()
                    ? give_way(other, before)
                    : look_until(other, before, clock_earlier(clock_now() + SPIN, deadline));
    luck->bad = moved ? 0 : luck->bad < WORST_LUCK ? luck->bad + 1 : WORST_LUCK;
    return moved;
}

/* --- sleeping -------------------------------------------------------------------------------- */

static void arm(struct ring_end *end)
{
    atomic_store(&end->armed, RING_ARMED);
    atomic_thread_fence(memory_order_seq_cst); /* before the look that follows; see `wanted` */
    CRASH_POINT(WAIT_ARMED);
}

static enum ring_result sleep_once(struct ring *ring, struct ring_end *end, ring_attempt *attempt,
                                   void *what, uint32_t stops, int64_t deadline)
{
    int64_t again = clock_now() + ROBUST_LOOK_AGAIN;
    arm(end);
    enum ring_result result = attempt(ring, what);
    if (!is_yet(result)) return atomic_store(&end->armed, 0), result;
    int slept = futex_sleep(&end->armed, RING_ARMED, clock_earlier(deadline, again));
    CRASH_POINT(WAIT_WOKEN);
    result = attempt(ring, what);
    if (!is_yet(result)) return result;
    enum ring_result ended = look_again(ring, stops, deadline, slept);
    return ended ? ended : result;
}

/* With the turn in hand, until the attempt comes to something. */
static enum ring_result take_turn(struct ring *ring, struct ring_end *end, ring_attempt *attempt,
                                  void *what, uint32_t stops, int64_t deadline)
{
    struct ring_shared *shared = ring->shared;
    struct ring_end *other = end == &shared->head ? &shared->tail : &shared->head;
    struct ring_luck *luck = &ring->luck[end == &shared->head];
    enum ring_result result, ended = RING_OK;
    CRASH_POINT(WAIT_TURN);
    for (;;) {
        uint64_t before = atomic_load_explicit(&other->position, memory_order_relaxed);
        result = attempt(ring, what);
        if (!is_yet(result) || ended) break;
        if (moved_soon(other, before, luck, deadline)) ended = look_again(ring, stops, deadline, 0);
        else if (!is_yet(result = sleep_once(ring, end, attempt, what, stops, deadline))) break;
    }
    CRASH_POINT(WAIT_DONE);
    return is_yet(result) ? ended : result;
}

static enum ring_result wait_for_turn(struct ring *ring, struct ring_end *end,
                                      ring_attempt *attempt, void *what, uint32_t stops,
                                      int64_t deadline)
{
    for (;;) {
        int got = robust_wait(&end->turn, deadline);
        if (got == 0 || got == EOWNERDEAD) break;
        enum ring_result result = attempt(ring, what); /* whoever has the turn may be stopped */
        if (!is_yet(result)) return result;
        result = look_again(ring, stops, deadline, got);
        if (result) return result;
    }
    enum ring_result result = take_turn(ring, end, attempt, what, stops, deadline);
    ring_unlock(&end->turn);
    return result;
}

/* Until the attempt gives something else than RING_EMPTY, RING_FULL or RING_BUSY. */
enum ring_result ring_wait(struct ring *ring, struct ring_end *end, ring_attempt *attempt,
                           void *what, int64_t deadline)
{
    struct ring_slot *slot = &ring->shared->slots[ring->slot];
    _Atomic uint32_t *count = end == &ring->shared->head ? &slot->getting : &slot->putting;
    uint32_t stops = atomic_load(&ring->stops);
    atomic_fetch_add(count, 1);
    atomic_fetch_add(&ring->waiting[stops & 1], 1);
    enum ring_result result = wait_for_turn(ring, end, attempt, what, stops, deadline);
    atomic_fetch_sub(&ring->waiting[stops & 1], 1);
    atomic_fetch_sub(count, 1);
    return result;
}

/* --- join ------------------------------------------------------------------------------------ */

static enum ring_result join_until(struct ring *ring, uint32_t stops, int64_t deadline)
{
    struct ring_done *done = &ring->shared->done;
    for (;;) {
        ring_bury(ring, 1);
        atomic_store(&done->joiners, RING_ARMED);
        atomic_thread_fence(memory_order_seq_cst);
        if (!ring_unfinished(ring)) return RING_OK;
        int64_t again = clock_earlier(deadline, clock_now() + DEATHS_EVERY);
        int slept = futex_sleep(&done->joiners, RING_ARMED, again);
        if (!ring_unfinished(ring)) return RING_OK;
        enum ring_result result = look_again(ring, stops, deadline, slept);
        if (result) return result;
    }
}

enum ring_result ring_join(struct ring *ring, int64_t deadline)
{
    uint32_t stops = atomic_load(&ring->stops);
    atomic_fetch_add(&ring->waiting[stops & 1], 1);
    enum ring_result result = join_until(ring, stops, deadline);
    atomic_fetch_sub(&ring->waiting[stops & 1], 1);
    return result;
}

/* --- waking everybody ------------------------------------------------------------------------ */

static void wake_end(struct ring_end *end)
{
    atomic_store(&end->armed, 0);
    futex_wake(&end->armed, INT_MAX);
    futex_wake(&end->turn.word, INT_MAX);
}

/* The waiting threads of all processes look again. */
void ring_wake_all(struct ring *ring)
{
    wake_end(&ring->shared->tail);
    wake_end(&ring->shared->head);
    atomic_store(&ring->shared->done.joiners, 0);
    futex_wake(&ring->shared->done.joiners, INT_MAX);
}

/* The waits of this process that have begun end with RING_STOPPED. A thread may be just before its
 * sleep, so they are woken until all have noticed. */
void ring_stop(struct ring *ring)
{
    uint32_t which = atomic_fetch_add(&ring->stops, 1) & 1;
    struct timespec moment = {.tv_nsec = 200 * 1000};
    for (int i = 0; i < 5000 && atomic_load(&ring->waiting[which]); i++) {
        ring_wake_all(ring);
        nanosleep(&moment, NULL);
    }
}

/* --- shutdown -------------------------------------------------------------------------------- */

/* Set while no put is inside: none commits after it. Killed before it woke anybody, the kernel
 * wakes a consumer, and each that leaves wakes the next; producers look again by themselves. */
enum ring_result ring_shut(struct ring *ring, int dropping)
{
    uint32_t flags = RING_SHUT | (dropping ? RING_DROPPING : 0);
    enum ring_result result = ring_lock_tail(ring, CLOCK_NEVER);
    if (result) return result;
    CRASH_POINT(SHUT_LOCKED);
    robust_insure(&ring->shared->head.armed);
    atomic_fetch_or(&ring->shared->shut, flags);
    CRASH_POINT(SHUT_SET);
    ring_wake_all(ring);
    CRASH_POINT(SHUT_WOKEN);
    robust_insured();
    ring_unlock(&ring->shared->tail.lock);
    return RING_OK;
}
