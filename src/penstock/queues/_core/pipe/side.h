/* One side of one direction, as one process has it: its sender or its receiver.
 *
 * Both are alike: each moves its own position, waits at its own bell until the other's position
 * is far enough, and rings the other's bell when it has moved. Moving, waiting and ringing are
 * done under the side's lock, a robust mutex: threads and processes at one end take turns, and
 * who takes over from a dead one repairs. The lock is held while its holder sleeps. */
#ifndef PIPE_SIDE_H
#define PIPE_SIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "bell.h"
#include "layout.h"

struct side {
    _Atomic uint64_t *mine, *other; /* positions */
    _Atomic uint32_t *my_cpu, *other_cpu;
    struct pipe_bell *waits, *rings;
    pthread_mutex_t *lock;
    struct pipe_direction *direction;
    uint8_t *ring;
    uint64_t capacity;
    uint64_t seen; /* the other's position when it was last looked at: never too far */
    int sock;
    bool sends;
    bool gone;            /* all at the other end are; touched under the lock, and for good */
    _Atomic bool closing; /* the owner of this struct wants its sleepers back */
    int64_t spin;         /* nanoseconds that the next wait may spin */
    uint32_t ways, bad;   /* waits beside a side on our core; luck with giving way to it */
    int64_t looked;       /* when a sender last looked whether the other end is there */
    uint64_t waited, slept, polled; /* for statistics */
};

enum outcome { SIDE_REACHED, SIDE_GONE, SIDE_LATE, SIDE_SIGNAL, SIDE_CLOSED };

void side_open(struct side *side, struct pipe_direction *direction, uint8_t *ring,
               uint64_t capacity, bool sends, int sock);

/* 0, EBUSY, EDEADLK (this thread has it), ETIMEDOUT. */
int side_try_lock(struct side *side);
int side_lock(struct side *side, int64_t deadline);

static inline void side_unlock(struct side *side)
{
    pthread_mutex_unlock(side->lock);
}

static inline uint64_t side_position(struct side *side)
{
    return atomic_load_explicit(side->mine, memory_order_relaxed);
}

/* How far the other side has come; looks again only when what it saw last is short of `from`. */
static inline bool side_reached(struct side *side, uint64_t from)
{
    if ((int64_t)(side->seen - from) >= 0) return true;
    side->seen = atomic_load(side->other);
    return (int64_t)(side->seen - from) >= 0;
}

/* Moves this side's position: the one store that makes a message there, or its room free. */
void side_move(struct side *side, uint64_t to);

/* Tells the other side, if it waits, that this one has come to `position`. False when the other end
 * is gone and never got there. */
bool side_tell(struct side *side, uint64_t position);

/* A sender asks now and then whether anybody is left to read. False when not. */
bool side_heeded(struct side *side);

/* The same as side_reached, for any thread: without the lock. */
static inline bool side_beyond(struct side *side, uint64_t from)
{
    return (int64_t)(atomic_load(side->other) - from) >= 0;
}

/* Waits for a microsecond, if the other side runs on another core. */
bool side_glimpse(struct side *side, uint64_t from);

/* Waits until the other side has reached `from`; without the lock on anything but this side. */
enum outcome side_wait(struct side *side, uint64_t from, int64_t deadline);

/* Prepares for somebody who waits at the socket; false when it is reached already. */
bool side_arm(struct side *side, uint64_t from);

/* True when nobody holds the other end any more; what it committed is visible then. */
bool side_hung_up(struct side *side);

#endif
