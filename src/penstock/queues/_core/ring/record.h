/* One item in the ring: a word {length:40 | kind:8 | check:16}, then `length` bytes of payload,
 * padded to 8. It never wraps: where it would, a record of kind RECORD_SKIP fills the rest.
 *
 * `check` is made from the length, the kind and the item's sequence, so that a word that was
 * damaged, or belongs to an earlier lap, is noticed before it is believed.
 * A record whose kind has RECORD_SPILLED holds the name of a file, and counts as nearly half the
 * ring, so that there are at most two: the room after its bytes is left unused, also around the end.
 */
#ifndef RING_RECORD_H
#define RING_RECORD_H

#include <stdint.h>

#include "layout.h"

#define RECORD_SKIP 0x7fu
#define RECORD_SPILLED 0x80u
#define RECORD_LONGEST ((1ull << 40) - 1)

struct record {
    uint64_t length;
    uint32_t kind;
};

static inline uint64_t record_check(uint64_t described, uint32_t sequence)
{
    uint64_t x = (described ^ ((uint64_t)sequence << 16)) * 0x9e3779b97f4a7c15u;
    x ^= x >> 32;
    return (x * 0xc2b2ae3d27d4eb4fu) >> 48;
}

static inline uint64_t record_word(struct record record, uint32_t sequence)
{
    uint64_t described = record.length | ((uint64_t)record.kind << 40);
    return described | (record_check(described, sequence) << 48);
}

/* 0 where the word was never written so. */
static inline int record_read(uint64_t word, uint32_t sequence, struct record *record)
{
    uint64_t described = word & ((1ull << 48) - 1);
    record->length = described & RECORD_LONGEST;
    record->kind = (uint32_t)(described >> 40);
    return word >> 48 == record_check(described, sequence);
}

/* Units of its bytes: what is copied. */
static inline uint64_t record_units(uint64_t length)
{
    return 1 + (length + RING_UNIT - 1) / RING_UNIT;
}

/* Units that it counts as. Two of them and a skip before each always fit into an empty ring. */
static inline uint64_t record_share(struct record record, uint32_t units)
{
    return record.kind & RECORD_SPILLED ? units / 2 - 64 : record_units(record.length);
}

/* --- positions ------------------------------------------------------------------------------- */

static inline uint32_t position_sequence(uint64_t position)
{
    return (uint32_t)(position >> 32);
}

static inline uint32_t position_place(uint64_t position)
{
    return (uint32_t)position;
}

static inline uint32_t position_offset(uint64_t position, uint32_t units)
{
    uint32_t place = position_place(position);
    return place < units ? place : place - units;
}

static inline uint64_t position_after(uint64_t position, uint64_t units_on, uint32_t items,
                                      uint32_t units)
{
    uint64_t place = position_place(position) + units_on;
    if (place >= 2ull * units) place -= 2ull * units;
    return ((uint64_t)(position_sequence(position) + items) << 32) | place;
}

static inline uint32_t position_items(uint64_t tail, uint64_t head)
{
    return position_sequence(tail) - position_sequence(head);
}

static inline uint64_t position_used(uint64_t tail, uint64_t head, uint32_t units)
{
    uint64_t t = position_place(tail), h = position_place(head);
    return t >= h ? t - h : t + 2ull * units - h;
}

/* Whether the two can be the ends of one ring. */
static inline int position_sane(uint64_t tail, uint64_t head, uint32_t units)
{
    uint64_t used = position_used(tail, head, units);
    uint32_t items = position_items(tail, head);
    return position_place(tail) < 2ull * units && position_place(head) < 2ull * units &&
           used <= units && items <= used && !items == !used;
}

#endif
