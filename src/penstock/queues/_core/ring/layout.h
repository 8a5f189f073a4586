/* What stands in the shared memory of a ProcessQueue. ../README.md tells the whole story.
 *
 *   struct ring_shared | data (`bytes` long, from RING_DATA on)
 *
 * A position is one 64-bit word {sequence:32 | place:32}: how many items have passed it, and where
 * in the data it stands, in units of 8 bytes, running over [0, 2 x units) so that full and empty
 * differ. Storing it is the whole commit of a put or a get.
 */
#ifndef RING_LAYOUT_H
#define RING_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#include "points.h"

#define RING_MAGIC "penstock"
#define RING_VERSION 1u
#define RING_BYTE_ORDER 0x01020304u
#define RING_SLOTS 128u
#define RING_DATA 16384u /* where the data begins */
#define RING_UNIT 8u
#define RING_LINE 64

/* Written once, by the creator, before `ready`; everybody else only reads it, and keeps a copy. */
struct ring_plan {
    char magic[8];
    uint32_t version, byte_order, word_size, header_size;
    uint64_t file_size, bytes, maxsize; /* maxsize 0: any number of items */
    uint64_t pid_namespace;             /* process ids mean nothing in another one */
    uint8_t boot[16];                   /* nor after a restart */
    uint8_t id[16];
    uint64_t check; /* of all the above */
};

/* One end of the ring: the producers' (tail) or the consumers' (head).
 *
 * `lock` guards holder, seen, wide and the right to store `position`. The other end reads
 * `position` (acquire) without it. `seen` is the other end's position when a holder last looked: a
 * hint that saves reading a cache line which the other side writes.
 * `wide` is the sequence with 64 bits, brought up to date now and then, before it is 2^31 behind.
 *
 * `turn` is held by the one thread that waits at this end; others that wait queue on it. The
 * holder sets `armed` before it sleeps on it; the other end clears it and wakes. */
struct ring_end {
    _Alignas(RING_LINE) struct robust lock;
    uint32_t holder; /* slot of who last held the lock to move `position` */
    uint64_t seen;
    _Alignas(RING_LINE) _Atomic uint64_t position;
    _Atomic uint64_t wide;
    _Atomic uint32_t cpu; /* the core where it was last moved, + 1; 0: never moved */
    _Alignas(RING_LINE) struct robust turn;
    _Atomic uint32_t armed; /* 0 or RING_ARMED */
    _Atomic uint32_t need;  /* producers' end: units that the sleeper needs free */
};

#define RING_ARMED 0x80000000u /* lower 30 bits 0: see robust_insure */

/* How many items are over. `lock` guards all but `joiners`, which is as `armed`, for many. */
struct ring_done {
    _Alignas(RING_LINE) struct robust lock;
    uint32_t holder, settling; /* whose account moves, and which: done or settled */
    uint64_t lost_after;
    _Alignas(RING_LINE) _Atomic uint64_t finished; /* the commit of task_done and of settling */
    _Atomic uint32_t joiners;
};

/* An attached process, and the account of all that ever had this slot (so that the sums below
 * hold at any time): taken by the head's holder; done, settled and lost by the holder of done.
 *   sum of taken           == head's sequence
 *   sum of done + settled  == finished
 * The right sides come first: a sum is behind by one operation while its holder is inside, and who
 * finds that holder dead makes up for it. */
struct ring_slot {
    _Alignas(RING_LINE) _Atomic uint32_t pid; /* 0: free */
    _Atomic uint32_t counts; /* whether this process ever called task_done */
    _Atomic uint64_t start;  /* clock ticks after boot: pid alone is reused */
    _Atomic uint64_t taken, done, settled, lost;
    _Atomic uint64_t last; /* items of its last get; 0 while it asks for more */
    _Atomic uint32_t getting, putting; /* threads that wait */
};

struct ring_shared {
    struct ring_plan plan;
    _Atomic uint32_t ready;
    _Alignas(RING_LINE) _Atomic uint32_t shut; /* RING_SHUT, RING_DROPPING */
    _Atomic uint64_t spilled; /* a statistic: counted before the commit */
    struct ring_end tail, head;
    struct ring_done done;
    _Alignas(RING_LINE) struct robust slots_lock; /* guards pid, start, counts of all slots */
    struct ring_slot slots[RING_SLOTS + 1];       /* the last: nobody, who takes what is dropped */
};

#define RING_READY 0x52494e47u
#define RING_SHUT 1u
#define RING_DROPPING 2u
#define RING_NOBODY RING_SLOTS

_Static_assert(sizeof(struct ring_shared) <= RING_DATA, "the data begins after the header");

#endif
