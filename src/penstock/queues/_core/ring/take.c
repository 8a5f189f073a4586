/* Taking: copy the records at the head, then move it past them in one store. */

#define _GNU_SOURCE
#include <string.h>

#include "ring.h"

/* Walks from the head on; nothing it reads is believed before it was checked. */
struct reader {
    struct ring *ring;
    uint64_t at, tail;
    uint32_t items;
};

static enum ring_result begin(struct reader *reader, struct ring *ring, uint32_t limit)
{
    struct ring_end *head = &ring->shared->head;
    /* `shut` is set while no put is inside: read first, the tail read after it is final. */
    uint32_t shut = atomic_load_explicit(&ring->shared->shut, memory_order_acquire);
    *reader = (struct reader){.ring = ring, .tail = head->seen};
    reader->at = atomic_load_explicit(&head->position, memory_order_relaxed);
    if (limit > position_items(reader->tail, reader->at) ||
        !position_sane(reader->tail, reader->at, ring->units)) {
        reader->tail = atomic_load_explicit(&ring->shared->tail.position, memory_order_acquire);
        head->seen = reader->tail;
    }
    if (!position_sane(reader->tail, reader->at, ring->units)) return RING_DAMAGED;
    if (reader->tail != reader->at) return RING_OK;
    return shut ? RING_SHUT_DOWN : RING_EMPTY;
}

static uint8_t *here(const struct reader *reader)
{
    uint32_t offset = position_offset(reader->at, reader->ring->units);
    return reader->ring->data + (uint64_t)offset * RING_UNIT;
}

static int read_word(const struct reader *reader, struct record *record)
{
    uint64_t word;
    memcpy(&word, here(reader), sizeof word);
    return record_read(word, position_sequence(reader->at), record);
}

/* Units that it takes in the ring, 0 where that cannot be. */
static uint64_t units_of(const struct reader *reader, const struct record *record)
{
    uint64_t bytes = record_units(record->length);
    uint64_t units = record_share(*record, reader->ring->units);
    uint64_t rest = reader->ring->units - position_offset(reader->at, reader->ring->units);
    uint64_t used = position_used(reader->tail, reader->at, reader->ring->units);
    return bytes <= units && bytes <= rest && units <= used ? units : 0;
}

static void pass(struct reader *reader, uint64_t units, uint32_t items)
{
    reader->at = position_after(reader->at, units, items, reader->ring->units);
    reader->items += items;
}

/* Comes to the next item's record; its units, or 0 for damage. */
static uint64_t next_record(struct reader *reader, struct record *record)
{
    if (!read_word(reader, record)) return 0;
    uint64_t units = units_of(reader, record);
    if (record->kind != RECORD_SKIP || !units) return units;
    pass(reader, units, 0);
    if (position_offset(reader->at, reader->ring->units) || !read_word(reader, record)) return 0;
    return record->kind == RECORD_SKIP ? 0 : units_of(reader, record);
}

static int more(const struct reader *reader, uint32_t limit)
{
    return reader->items < limit && position_items(reader->tail, reader->at);
}

static enum ring_result copy_records(struct reader *reader, struct ring_taking *taking)
{
    while (more(reader, taking->limit)) {
        uint64_t units = next_record(reader, &taking->record);
        if (!units) return RING_DAMAGED;
        size_t size = record_units(taking->record.length) * RING_UNIT;
        if (size > taking->room - taking->bytes) return reader->items ? RING_OK : RING_LARGE;
        memcpy(taking->buffer + taking->bytes, here(reader), size);
        taking->bytes += size;
        pass(reader, units, 1);
    }
    return RING_OK;
}

static enum ring_result take_locked(struct ring *ring, struct ring_taking *taking)
{
    struct reader reader;
    /* Who asks for more has dealt with what came before. */
    atomic_store_explicit(&ring->shared->slots[taking->slot].last, 0, memory_order_relaxed);
    enum ring_result result = begin(&reader, ring, taking->limit);
    if (atomic_load_explicit(&ring->shared->shut, memory_order_relaxed) & RING_DROPPING)
        return RING_SHUT_DOWN;
    if (result) return result;
    taking->position = reader.at;
    result = copy_records(&reader, taking);
    CRASH_POINT(TAKE_COPIED);
    if (reader.items) ring_move_head(ring, reader.at, reader.items, taking->slot);
    taking->items = reader.items;
    return reader.items ? RING_OK : result;
}

enum ring_result ring_take(struct ring *ring, struct ring_taking *taking, int64_t deadline)
{
    taking->bytes = taking->items = 0;
    enum ring_result result = ring_lock_head(ring, deadline);
    if (result) return result;
    CRASH_POINT(TAKE_LOCKED);
    result = take_locked(ring, taking);
    CRASH_POINT(TAKE_BEFORE_UNLOCK);
    ring_unlock(&ring->shared->head.lock);
    CRASH_POINT(TAKE_UNLOCKED);
    return result;
}

/* --- records larger than the buffer: looked at first, taken if still there ------------------- */

static enum ring_result find(struct reader *reader, struct ring *ring, uint64_t position,
                             struct record *record, uint64_t *units)
{
    enum ring_result result = begin(reader, ring, 1);
    if (result && result != RING_EMPTY && result != RING_SHUT_DOWN) return result;
    if (result || reader->at != position) return RING_MOVED;
    *units = next_record(reader, record);
    return *units ? RING_OK : RING_DAMAGED;
}

/* The first bytes of the payload of the record at `position`. */
enum ring_result ring_peek(struct ring *ring, uint64_t position, void *into, size_t size)
{
    struct reader reader;
    struct record record;
    uint64_t units;
    enum ring_result result = ring_lock_head(ring, CLOCK_NEVER);
    if (result) return result;
    result = find(&reader, ring, position, &record, &units);
    if (!result && record.length < size) result = RING_DAMAGED;
    if (!result) memcpy(into, here(&reader) + sizeof(uint64_t), size);
    ring_unlock(&ring->shared->head.lock);
    return result;
}

static enum ring_result copy_large(struct ring *ring, uint64_t position, size_t skip,
                                   const struct ring_part *into, uint32_t count)
{
    struct reader reader;
    struct record record;
    uint64_t units, size = skip;
    enum ring_result result = find(&reader, ring, position, &record, &units);
    if (result) return result;
    for (uint32_t i = 0; i < count; i++) size += into[i].size;
    if (size != record.length) return RING_DAMAGED;
    const uint8_t *from = here(&reader) + sizeof(uint64_t) + skip;
    for (uint32_t i = 0; i < count; from += into[i++].size)
        memcpy((void *)(uintptr_t)into[i].data, from, into[i].size);
    CRASH_POINT(LARGE_COPIED);
    pass(&reader, units, 1);
    ring_move_head(ring, reader.at, 1, ring->slot);
    return RING_OK;
}

/* Its payload without the first `skip` bytes, into parts that are as large as it is. */
enum ring_result ring_take_large(struct ring *ring, uint64_t position, size_t skip,
                                 const struct ring_part *into, uint32_t count)
{
    enum ring_result result = ring_lock_head(ring, CLOCK_NEVER);
    if (result) return result;
    CRASH_POINT(LARGE_LOCKED);
    result = copy_large(ring, position, skip, into, count);
    ring_unlock(&ring->shared->head.lock);
    return result;
}

/* --- shutdown(immediate): everything goes to nobody ------------------------------------------ */

static enum ring_result drop_records(struct reader *reader, struct ring_taking *taking)
{
    struct record record;
    while (more(reader, UINT32_MAX)) {
        uint64_t units = next_record(reader, &record);
        size_t size = record_units(record.length) * RING_UNIT;
        if (!units) return RING_DAMAGED;
        if (record.kind & RECORD_SPILLED) { /* its file must go too: the caller hears its name */
            if (size > taking->room - taking->bytes) break;
            memcpy(taking->buffer + taking->bytes, here(reader), size);
            taking->bytes += size;
        }
        pass(reader, units, 1);
    }
    return RING_OK;
}

/* RING_OK while there was something; the buffer then holds the records of spilled items. */
enum ring_result ring_drop(struct ring *ring, struct ring_taking *taking)
{
    struct reader reader;
    taking->bytes = taking->items = 0;
    enum ring_result result = ring_lock_head(ring, CLOCK_NEVER);
    if (result) return result;
    result = begin(&reader, ring, UINT32_MAX);
    if (!result) result = drop_records(&reader, taking);
    if (reader.items) ring_move_head(ring, reader.at, taking->items = reader.items, RING_NOBODY);
    CRASH_POINT(SHUT_DROPPED);
    ring_unlock(&ring->shared->head.lock);
    return result;
}
