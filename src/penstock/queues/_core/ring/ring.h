/* The ring without Python: putting, taking, counting, waiting.
 *
 * Every call may be made by any thread. What can sleep takes a deadline (clock.h); RING_NOW means
 * not to sleep, not even for a lock. A struct ring is this process's view; nothing in it is shared.
 */
#ifndef RING_RING_H
#define RING_RING_H

#include <stddef.h>

#include "layout.h"
#include "record.h"

#define RING_NOW 0

enum ring_result {
    RING_OK = 0,
    RING_EMPTY,
    RING_FULL,
    RING_SHUT_DOWN,
    RING_BUSY,        /* a lock was taken and we may not sleep */
    RING_TIMEOUT,
    RING_INTERRUPTED, /* by a signal */
    RING_STOPPED,     /* by ring_stop */
    RING_LARGE,       /* the next record does not fit the buffer */
    RING_MOVED,       /* another took that record */
    RING_SURPLUS,     /* more is done than was put */
    RING_CROWDED,     /* every slot has a live process */
    RING_DAMAGED,
};

/* Whether looking without sleeping pays (wait.c); threads may race on it, it is a guess. */
struct ring_luck {
    uint32_t waits, bad;
};

struct ring {
    struct ring_shared *shared;
    uint8_t *data;
    struct ring_plan plan; /* a copy: what was checked cannot change any more */
    uint32_t units;
    uint32_t slot;       /* RING_NOBODY: none yet */
    uint32_t generation; /* of the process that claimed it: a forked child claims its own */
    _Atomic uint32_t stops, waiting[2]; /* see ring_stop */
    struct ring_luck luck[2];
};

struct ring_part {
    const void *data;
    size_t size;
};

struct ring_message {
    struct record record;
    const struct ring_part *parts; /* their sizes make record.length */
    uint32_t count;
};

/* In: where the records go, how many, for whose account. Out: what was taken: `items` records, one
 * after another, as in the ring; for RING_LARGE which one stands at the head. */
struct ring_taking {
    uint8_t *buffer;
    size_t room;
    uint32_t limit, slot;
    uint32_t items;
    size_t bytes;
    uint64_t position;
    struct record record;
};

/* segment.c */
int ring_create(struct ring *ring, int fd, uint64_t maxsize, uint64_t bytes); /* 0 or errno */
int ring_attach(struct ring *ring, int fd, int brief, char *why, size_t room); /* -1: see why */
void ring_detach(struct ring *ring);

/* ends.c */
enum ring_result ring_lock(struct robust *lock, int64_t deadline, int *died);
enum ring_result ring_lock_tail(struct ring *ring, int64_t deadline);
enum ring_result ring_lock_head(struct ring *ring, int64_t deadline);
void ring_unlock(struct robust *lock);
void ring_move_tail(struct ring *ring, uint64_t position);
void ring_move_head(struct ring *ring, uint64_t position, uint32_t items, uint32_t slot);
uint64_t ring_wide(struct ring_end *end);
int ring_snapshot(struct ring *ring, uint64_t *tail, uint64_t *head); /* 0: damaged */

/* put.c */
enum ring_result ring_put(struct ring *ring, const struct ring_message *messages, uint32_t count,
                          uint32_t *put, int64_t deadline);
uint64_t ring_largest(const struct ring *ring); /* bytes of payload that need no spilling */
void ring_want(struct ring *ring, struct record record);
int ring_fits(struct ring *ring, struct record record);

/* take.c */
enum ring_result ring_take(struct ring *ring, struct ring_taking *taking, int64_t deadline);
enum ring_result ring_peek(struct ring *ring, uint64_t position, void *into, size_t size);
enum ring_result ring_take_large(struct ring *ring, uint64_t position, size_t skip,
                                 const struct ring_part *into, uint32_t count);
enum ring_result ring_drop(struct ring *ring, struct ring_taking *taking);

/* done.c */
enum ring_result ring_task_done(struct ring *ring, uint64_t count);
void ring_settle(struct ring *ring, uint32_t slot, int clean);
uint64_t ring_unfinished(struct ring *ring);

/* slots.c */
extern _Atomic uint32_t ring_generation; /* of this process: counts forks */
enum ring_result ring_claim(struct ring *ring);
void ring_leave(struct ring *ring);
void ring_bury(struct ring *ring, int only_holders);
uint32_t ring_live(struct ring_shared *shared, uint32_t *pids, uint64_t *starts);

/* wait.c */
typedef enum ring_result ring_attempt(struct ring *ring, void *what);
enum ring_result ring_wait(struct ring *ring, struct ring_end *end, ring_attempt *attempt,
                           void *what, int64_t deadline);
enum ring_result ring_join(struct ring *ring, int64_t deadline);
void ring_wake_all(struct ring *ring);
void ring_stop(struct ring *ring);
enum ring_result ring_shut(struct ring *ring, int dropping);

#endif
