/* Putting: write the records beyond the tail, then move it past them in one store. */

#define _GNU_SOURCE
#include <string.h>

#include "ring.h"

/* What a put has in hand while it holds the tail's lock. */
struct writer {
    struct ring *ring;
    uint64_t tail, head; /* head: as old as `seen`, until `fresh` */
    int fresh;
};

uint64_t ring_largest(const struct ring *ring)
{
    return (uint64_t)(ring->units / 2 - 1) * RING_UNIT;
}

/* Units up to the end of the data, where the record does not fit before it; else 0. */
static uint64_t skip_units(const struct ring *ring, uint64_t tail, uint64_t units)
{
    uint64_t rest = ring->units - position_offset(tail, ring->units);
    return rest < units ? rest : 0;
}

static int has_room(const struct ring *ring, uint64_t tail, uint64_t head, struct record record)
{
    uint64_t used = position_used(tail, head, ring->units);
    uint64_t skip = skip_units(ring, tail, record_units(record.length));
    if (ring->plan.maxsize && position_items(tail, head) >= ring->plan.maxsize) return 0;
    return used + skip + record_share(record, ring->units) <= ring->units;
}

int ring_fits(struct ring *ring, struct record record)
{
    uint64_t tail, head;
    return !ring_snapshot(ring, &tail, &head) || has_room(ring, tail, head, record);
}

/* Said before waiting for room: less need not wake us. */
void ring_want(struct ring *ring, struct record record)
{
    atomic_store_explicit(&ring->shared->tail.need, (uint32_t)record_share(record, ring->units),
                          memory_order_relaxed);
}

static enum ring_result look_at_head(struct writer *writer)
{
    struct ring_shared *shared = writer->ring->shared;
    writer->head = atomic_load_explicit(&shared->head.position, memory_order_acquire);
    writer->fresh = 1;
    shared->tail.seen = writer->head;
    return position_sane(shared->tail.position, writer->head, writer->ring->units) ? RING_OK
                                                                                   : RING_DAMAGED;
}

static enum ring_result begin(struct writer *writer, struct ring *ring)
{
    struct ring_end *tail = &ring->shared->tail;
    *writer = (struct writer){.ring = ring, .head = tail->seen};
    writer->tail = atomic_load_explicit(&tail->position, memory_order_relaxed);
    if (atomic_load_explicit(&ring->shared->shut, memory_order_relaxed)) return RING_SHUT_DOWN;
    return position_sane(writer->tail, writer->head, ring->units) ? RING_OK : look_at_head(writer);
}

static enum ring_result find_room(struct writer *writer, struct record record)
{
    if (has_room(writer->ring, writer->tail, writer->head, record)) return RING_OK;
    if (writer->fresh) return RING_FULL;
    enum ring_result result = look_at_head(writer);
    if (result) return result;
    return has_room(writer->ring, writer->tail, writer->head, record) ? RING_OK : RING_FULL;
}

static void write_word(struct writer *writer, struct record record)
{
    uint64_t word = record_word(record, position_sequence(writer->tail));
    uint32_t offset = position_offset(writer->tail, writer->ring->units);
    memcpy(writer->ring->data + (uint64_t)offset * RING_UNIT, &word, sizeof word);
}

static void write_skip(struct writer *writer, uint64_t units)
{
    write_word(writer, (struct record){.length = (units - 1) * RING_UNIT, .kind = RECORD_SKIP});
    writer->tail = position_after(writer->tail, units, 0, writer->ring->units);
    CRASH_POINT(PUT_SKIPPED);
}

static void write_record(struct writer *writer, const struct ring_message *message)
{
    uint64_t share = record_share(message->record, writer->ring->units);
    uint32_t offset = position_offset(writer->tail, writer->ring->units);
    uint8_t *at = writer->ring->data + (uint64_t)offset * RING_UNIT + sizeof(uint64_t);
    write_word(writer, message->record);
    CRASH_POINT(PUT_HEADER);
    for (uint32_t i = 0; i < message->count; i++) {
        memcpy(at, message->parts[i].data, message->parts[i].size);
        at += message->parts[i].size;
    }
    CRASH_POINT(PUT_PAYLOAD);
    writer->tail = position_after(writer->tail, share, 1, writer->ring->units);
}

static enum ring_result write_one(struct writer *writer, const struct ring_message *message)
{
    uint64_t units = record_units(message->record.length);
    enum ring_result result = find_room(writer, message->record);
    if (result) return result;
    uint64_t skip = skip_units(writer->ring, writer->tail, units);
    if (skip) write_skip(writer, skip);
    write_record(writer, message);
    if (message->record.kind & RECORD_SPILLED) atomic_fetch_add(&writer->ring->shared->spilled, 1);
    return RING_OK;
}

static enum ring_result put_locked(struct ring *ring, const struct ring_message *messages,
                                   uint32_t count, uint32_t *put)
{
    struct writer writer;
    enum ring_result result = begin(&writer, ring);
    while (!result && *put < count) {
        result = write_one(&writer, &messages[*put]);
        if (!result) ++*put;
    }
    if (*put) ring_move_tail(ring, writer.tail);
    return *put ? RING_OK : result;
}

/* As many of the messages as there is room for, in order, in one commit; RING_OK when any. */
enum ring_result ring_put(struct ring *ring, const struct ring_message *messages, uint32_t count,
                          uint32_t *put, int64_t deadline)
{
    *put = 0;
    enum ring_result result = ring_lock_tail(ring, deadline);
    if (result) return result;
    CRASH_POINT(PUT_LOCKED);
    result = put_locked(ring, messages, count, put);
    CRASH_POINT(PUT_BEFORE_UNLOCK);
    ring_unlock(&ring->shared->tail.lock);
    CRASH_POINT(PUT_UNLOCKED);
    return result;
}
