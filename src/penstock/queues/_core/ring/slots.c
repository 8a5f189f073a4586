/* Who is attached, and what becomes of the accounts of the dead. */

#define _GNU_SOURCE
#include <pthread.h>
#include <unistd.h>

#include "identity.h"
#include "ring.h"

_Atomic uint32_t ring_generation = 1;

static void lock_slots(struct ring *ring)
{
    int died; /* a slot is taken and freed by one store, of its pid */
    while (ring_lock(&ring->shared->slots_lock, CLOCK_NEVER, &died)) continue;
}

static void free_slot(struct ring *ring, uint32_t slot, int clean)
{
    struct ring_slot *account = &ring->shared->slots[slot];
    ring_settle(ring, slot, clean);
    atomic_store(&account->getting, 0);
    atomic_store(&account->putting, 0);
    atomic_store(&account->pid, 0);
    CRASH_POINT(FREE_PID);
}

static int is_alive(struct ring_slot *account)
{
    return identity_alive(account->pid, account->start);
}

static int holds(struct ring_slot *account)
{
    return (int64_t)(account->taken - account->done - account->settled) > 0;
}

/* Frees the slots of dead processes; with `only_holders` those that make a difference to
 * `unfinished`, which is cheaper. */
void ring_bury(struct ring *ring, int only_holders)
{
    uint32_t me = (uint32_t)getpid();
    lock_slots(ring);
    for (uint32_t i = 0; i < RING_SLOTS; i++) {
        struct ring_slot *account = &ring->shared->slots[i];
        if (!account->pid || account->pid == me || (only_holders && !holds(account))) continue;
        if (!is_alive(account)) free_slot(ring, i, 0);
    }
    if (holds(&ring->shared->slots[RING_NOBODY])) ring_settle(ring, RING_NOBODY, 0);
    ring_unlock(&ring->shared->slots_lock);
}

static uint32_t find_free(struct ring *ring)
{
    uint32_t slot = 0;
    while (slot < RING_SLOTS && ring->shared->slots[slot].pid) slot++;
    return slot;
}

static void fill_slot(struct ring *ring, uint32_t slot, uint32_t pid)
{
    struct ring_slot *account = &ring->shared->slots[slot];
    uint64_t start = 0;
    identity_start(pid, &start);
    atomic_store(&account->start, start);
    atomic_store(&account->counts, 0);
    atomic_store(&account->last, 0);
    CRASH_POINT(CLAIM_START);
    atomic_store(&account->pid, pid);
    CRASH_POINT(CLAIM_PID);
}

static uint32_t claim_slot(struct ring *ring)
{
    lock_slots(ring);
    CRASH_POINT(CLAIM_LOCKED);
    uint32_t slot = find_free(ring);
    if (slot < RING_SLOTS) fill_slot(ring, slot, (uint32_t)getpid());
    ring_unlock(&ring->shared->slots_lock);
    return slot;
}

/* A slot for this process: after attaching, and again in a forked child. */
enum ring_result ring_claim(struct ring *ring)
{
    uint32_t slot = claim_slot(ring);
    if (slot == RING_SLOTS) {
        ring_bury(ring, 0);
        slot = claim_slot(ring);
    }
    if (slot == RING_SLOTS) return RING_CROWDED;
    ring->slot = slot;
    ring->generation = ring_generation;
    atomic_store(&ring->stops, 0);
    atomic_store(&ring->waiting[0], 0);
    atomic_store(&ring->waiting[1], 0);
    return RING_OK;
}

void ring_leave(struct ring *ring)
{
    if (ring->slot == RING_NOBODY || ring->generation != ring_generation) return;
    lock_slots(ring);
    free_slot(ring, ring->slot, 1);
    ring_unlock(&ring->shared->slots_lock);
    ring->slot = RING_NOBODY;
}

uint32_t ring_live(struct ring_shared *shared, uint32_t *pids, uint64_t *starts)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < RING_SLOTS; i++) {
        struct ring_slot *account = &shared->slots[i];
        if (!account->pid || !is_alive(account)) continue;
        pids[count] = account->pid;
        starts[count++] = account->start;
    }
    return count;
}

static void forked(void)
{
    robust_self.id = robust_self.held = 0;
    atomic_fetch_add(&ring_generation, 1);
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forked);
}
