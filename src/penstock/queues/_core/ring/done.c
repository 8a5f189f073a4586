/* What is over: task_done, and what the dead had taken. */

#define _GNU_SOURCE
#include "ring.h"

static uint64_t booked(struct ring_shared *shared)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i <= RING_NOBODY; i++)
        sum += shared->slots[i].done + shared->slots[i].settled;
    return sum;
}

/* The holder died between `finished` and the account that belongs to it. */
static enum ring_result repair(struct ring *ring)
{
    struct ring_done *done = &ring->shared->done;
    uint64_t missing = done->finished - booked(ring->shared);
    if (done->holder > RING_NOBODY) return RING_DAMAGED;
    if (!missing) return RING_OK;
    struct ring_slot *account = &ring->shared->slots[done->holder];
    if (done->settling) {
        atomic_store(&account->lost, done->lost_after);
        atomic_store(&account->settled, account->settled + missing);
    } else {
        atomic_store(&account->done, account->done + missing);
    }
    CRASH_POINT(REPAIR_DONE);
    return RING_OK;
}

static enum ring_result lock_done(struct ring *ring)
{
    int died;
    enum ring_result result;
    do result = ring_lock(&ring->shared->done.lock, CLOCK_NEVER, &died);
    while (result == RING_INTERRUPTED);
    if (result || !died) return result;
    result = repair(ring);
    if (result) ring_unlock(&ring->shared->done.lock);
    return result;
}

/* Both only grow, and finished never passes the puts: read in this order they give a number that
 * was right at the moment when the puts were read. */
uint64_t ring_unfinished(struct ring *ring)
{
    uint64_t finished = atomic_load(&ring->shared->done.finished), again, puts;
    for (;; finished = again) {
        puts = ring_wide(&ring->shared->tail);
        again = atomic_load(&ring->shared->done.finished);
        if (again == finished) return puts - finished;
    }
}

static void wake_joiners(struct ring *ring)
{
    struct ring_done *done = &ring->shared->done;
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load(&done->joiners) || ring_unfinished(ring)) return;
    atomic_store(&done->joiners, 0);
    futex_wake(&done->joiners, INT_MAX);
    CRASH_POINT(DONE_WOKEN);
}

static enum ring_result count_done(struct ring *ring, uint64_t count)
{
    struct ring_done *done = &ring->shared->done;
    struct ring_slot *account = &ring->shared->slots[ring->slot];
    if (count > ring_unfinished(ring)) return RING_SURPLUS;
    done->holder = ring->slot;
    done->settling = 0;
    atomic_store_explicit(&account->counts, 1, memory_order_relaxed);
    CRASH_POINT(DONE_HOLDER);
    atomic_store(&done->finished, done->finished + count);
    CRASH_POINT(DONE_FINISHED);
    atomic_store_explicit(&account->done, account->done + count, memory_order_relaxed);
    CRASH_POINT(DONE_ACCOUNT);
    wake_joiners(ring);
    return RING_OK;
}

enum ring_result ring_task_done(struct ring *ring, uint64_t count)
{
    enum ring_result result = lock_done(ring);
    if (result) return result;
    CRASH_POINT(DONE_LOCKED);
    result = count_done(ring, count);
    ring_unlock(&ring->shared->done.lock);
    return result;
}

/* What the slot's process took and did not report, but no more than all together have in hand:
 * one process may report what another took. */
static uint64_t in_hand(struct ring *ring, struct ring_slot *account)
{
    int64_t mine = (int64_t)(account->taken - account->done - account->settled);
    int64_t all = (int64_t)(ring_wide(&ring->shared->head) - ring->shared->done.finished);
    int64_t least = mine < all ? mine : all;
    return least > 0 ? (uint64_t)least : 0;
}

/* A process that never calls task_done is done with an item when it asks for the next. */
static uint64_t lost_of(struct ring_slot *account, uint64_t held, int clean)
{
    if (account->counts) return held;
    return clean ? 0 : held < account->last ? held : account->last;
}

static void settle_locked(struct ring *ring, uint32_t slot, int clean)
{
    struct ring_done *done = &ring->shared->done;
    struct ring_slot *account = &ring->shared->slots[slot];
    uint64_t held = in_hand(ring, account);
    if (!held) return;
    done->holder = slot;
    done->settling = 1;
    done->lost_after = account->lost + lost_of(account, held, clean);
    CRASH_POINT(SETTLE_HOLDER);
    atomic_store(&done->finished, done->finished + held);
    CRASH_POINT(SETTLE_FINISHED);
    atomic_store(&account->lost, done->lost_after);
    CRASH_POINT(SETTLE_LOST);
    atomic_store(&account->settled, account->settled + held);
    CRASH_POINT(SETTLE_ACCOUNT);
    wake_joiners(ring);
}

/* Counts as done what the slot's process, which takes no more, still holds. The head's lock first:
 * who died inside it may have taken more than its account says. */
void ring_settle(struct ring *ring, uint32_t slot, int clean)
{
    if (ring_lock_head(ring, CLOCK_NEVER) == RING_OK) ring_unlock(&ring->shared->head.lock);
    if (lock_done(ring)) return;
    settle_locked(ring, slot, clean);
    ring_unlock(&ring->shared->done.lock);
}
