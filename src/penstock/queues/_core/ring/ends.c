/* The two ends: their locks, their one-store commits, and the repair after a holder's death. */

#define _GNU_SOURCE
#include <sched.h>

#include "ring.h"

#define LOCK_SPINS 64 /* a lock is held for less than a microsecond, or by one that does not run */

_Thread_local struct robust_self robust_self;

static int lock_soon(struct robust *lock)
{
    int result = robust_try(lock);
    for (int i = 0; result == EBUSY && i < LOCK_SPINS; i++) {
        clock_relax();
        result = robust_try(lock);
    }
    return result;
}

enum ring_result ring_lock(struct robust *lock, int64_t deadline, int *died)
{
    int result = lock_soon(lock);
    if (result == EBUSY && deadline == RING_NOW) return RING_BUSY;
    if (result == EBUSY) do result = robust_wait(lock, deadline); while (result == EAGAIN);
    *died = result == EOWNERDEAD;
    if (!result || *died) return RING_OK;
    return result == EINTR ? RING_INTERRUPTED : RING_TIMEOUT;
}

void ring_unlock(struct robust *lock)
{
    robust_unlock(lock);
}

/* --- counting with 64 bits ------------------------------------------------------------------- */

uint64_t ring_wide(struct ring_end *end)
{
    uint64_t wide = atomic_load(&end->wide), position, again;
    for (;; wide = again) {
        position = atomic_load(&end->position);
        again = atomic_load(&end->wide);
        if (again == wide) return wide + (uint32_t)(position_sequence(position) - (uint32_t)wide);
    }
}

static void keep_wide(struct ring_end *end, uint64_t position)
{
    uint64_t wide = atomic_load_explicit(&end->wide, memory_order_relaxed);
    uint32_t behind = position_sequence(position) - (uint32_t)wide;
    if (behind >> 30) atomic_store_explicit(&end->wide, wide + behind, memory_order_relaxed);
}

/* Head and tail of one moment: the head did not move while the tail was read. */
int ring_snapshot(struct ring *ring, uint64_t *tail, uint64_t *head)
{
    uint64_t before = atomic_load(&ring->shared->head.position);
    for (;; before = *head) {
        *tail = atomic_load(&ring->shared->tail.position);
        *head = atomic_load(&ring->shared->head.position);
        if (*head == before) return position_sane(*tail, *head, ring->units);
    }
}

/* --- the commits ----------------------------------------------------------------------------- */

static void note_cpu(struct ring_end *end)
{
    atomic_store_explicit(&end->cpu, (uint32_t)sched_getcpu() + 1, memory_order_relaxed);
}

/* Whether the other end's waiting thread wants to be woken. The fence orders our commit before
 * this look, as its own orders arming before its look at our position: one of the two sees. */
static int wanted(struct ring_end *other)
{
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&other->armed, memory_order_acquire) != 0;
}

static void rouse(struct ring_end *other)
{
    atomic_store_explicit(&other->armed, 0, memory_order_relaxed);
}

/* Killed between the commit and the wake-up, the kernel wakes for us (robust_insure). */
void ring_move_tail(struct ring *ring, uint64_t position)
{
    struct ring_end *tail = &ring->shared->tail, *head = &ring->shared->head;
    robust_insure(&head->armed);
    CRASH_POINT(PUT_BEFORE_COMMIT);
    atomic_store_explicit(&tail->position, position, memory_order_release);
    CRASH_POINT(TAIL_COMMITTED);
    keep_wide(tail, position);
    note_cpu(tail);
    if (wanted(head)) {
        rouse(head);
        CRASH_POINT(TAIL_DISARMED);
        futex_wake(&head->armed, 1);
        CRASH_POINT(TAIL_WOKEN);
    }
    robust_insured();
}

static int roomy(struct ring *ring, uint64_t head)
{
    uint64_t tail = atomic_load_explicit(&ring->shared->tail.position, memory_order_relaxed);
    uint64_t need = atomic_load_explicit(&ring->shared->tail.need, memory_order_relaxed);
    return position_used(tail, head, ring->units) + need <= ring->units;
}

void ring_move_head(struct ring *ring, uint64_t position, uint32_t items, uint32_t slot)
{
    struct ring_end *tail = &ring->shared->tail, *head = &ring->shared->head;
    struct ring_slot *account = &ring->shared->slots[slot];
    head->holder = slot;
    CRASH_POINT(TAKE_HOLDER);
    robust_insure(&tail->armed);
    atomic_store_explicit(&head->position, position, memory_order_release);
    CRASH_POINT(HEAD_COMMITTED);
    atomic_store_explicit(&account->last, items, memory_order_relaxed);
    CRASH_POINT(HEAD_LAST);
    atomic_store_explicit(&account->taken, account->taken + items, memory_order_relaxed);
    CRASH_POINT(HEAD_TAKEN);
    keep_wide(head, position);
    note_cpu(head);
    if (wanted(tail) && roomy(ring, position)) {
        rouse(tail);
        CRASH_POINT(HEAD_DISARMED);
        futex_wake(&tail->armed, 1);
        CRASH_POINT(HEAD_WOKEN);
    }
    robust_insured();
}

/* --- after a death --------------------------------------------------------------------------- */

/* The dead consumer moved the head and had not booked it: the accounts say how much is missing. */
static enum ring_result repair_head(struct ring *ring)
{
    struct ring_end *head = &ring->shared->head;
    uint64_t taken = 0;
    if (head->holder > RING_NOBODY) return RING_DAMAGED;
    for (uint32_t i = 0; i <= RING_NOBODY; i++) taken += ring->shared->slots[i].taken;
    uint32_t missing = position_sequence(head->position) - (uint32_t)taken;
    if (!missing) return RING_OK;
    struct ring_slot *account = &ring->shared->slots[head->holder];
    atomic_store(&account->last, missing);
    CRASH_POINT(REPAIR_HEAD_LAST);
    atomic_store(&account->taken, account->taken + missing);
    CRASH_POINT(REPAIR_HEAD_TAKEN);
    return RING_OK;
}

enum ring_result ring_lock_tail(struct ring *ring, int64_t deadline)
{
    int died; /* its commit was one store: nothing to repair */
    return ring_lock(&ring->shared->tail.lock, deadline, &died);
}

enum ring_result ring_lock_head(struct ring *ring, int64_t deadline)
{
    int died;
    enum ring_result result = ring_lock(&ring->shared->head.lock, deadline, &died);
    if (result || !died) return result;
    result = repair_head(ring);
    if (result) ring_unlock(&ring->shared->head.lock);
    return result;
}
