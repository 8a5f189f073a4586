#define _GNU_SOURCE
#include "frames.h"

#include <string.h>

#include "points.h"

static uint8_t *place(struct side *side, uint64_t position)
{
    return side->ring + (position & (side->capacity - 1));
}

/* --- out ------------------------------------------------------------------------------------- */

static void write_head(uint8_t *to, uint8_t kind, uint8_t flags, uint64_t size)
{
    struct pipe_frame frame = {.size = (uint32_t)size, .kind = kind, .flags = flags};
    memcpy(to, &frame, sizeof frame);
}

uint64_t outbox_write(struct side *side, uint64_t tail, uint8_t kind, const void *data,
                      uint32_t size)
{
    uint8_t *to = place(side, tail);
    write_head(to, kind, FRAME_FIRST, size);
    if (size) memcpy(to + sizeof(struct pipe_frame), data, size);
    return tail + frame_span(size);
}

void outgoing_open(struct outgoing *out, const struct part *parts, const struct piece *pieces,
                   uint32_t count)
{
    *out = (struct outgoing){.parts = parts, .pieces = pieces, .count = count};
    for (uint32_t i = 0; i < count; i++)
        out->span += frame_span(parts[i].size);
}

/* The next `size` bytes of the current part. */
static void gather(struct outgoing *out, uint8_t *to, uint64_t size)
{
    out->part_done += size;
    while (size) {
        const struct piece *piece = out->pieces;
        uint64_t left = piece->size - out->piece_done;
        uint64_t now = left < size ? left : size;
        memcpy(to, (const uint8_t *)piece->data + out->piece_done, now);
        to += now;
        size -= now;
        out->piece_done += now;
        if (out->piece_done == piece->size) {
            out->pieces++;
            out->piece_done = 0;
        }
    }
}

/* Pieces without bytes stand in nobody's way. */
static void next_part(struct outgoing *out)
{
    out->part++;
    out->part_done = 0;
}

static uint8_t flags_of(const struct outgoing *out, bool more, bool total)
{
    bool first = out->part == 0 && out->part_done == 0;
    return (uint8_t)((first ? FRAME_FIRST : 0) | (more ? FRAME_MORE : 0) |
                     (!more && out->part + 1 < out->count ? FRAME_PART : 0) |
                     (total ? FRAME_TOTAL : 0));
}

/* One frame with the next `size` bytes of the current part. Gives the position after it. */
static uint64_t write_frame(struct side *side, uint64_t tail, struct outgoing *out, uint64_t size)
{
    const struct part *part = &out->parts[out->part];
    bool more = out->part_done + size < part->size;
    bool total = more && out->part_done == 0;
    uint8_t *to = place(side, tail);
    write_head(to, part->kind, flags_of(out, more, total), size);
    to += sizeof(struct pipe_frame);
    if (total) memcpy(to, &part->size, sizeof part->size);
    gather(out, to + (total ? 8 : 0), size);
    if (!more) next_part(out);
    return tail + frame_span(size) + (total ? 8 : 0);
}

static bool push_at_once(struct side *side, struct outgoing *out, uint64_t *from)
{
    uint64_t tail = side_position(side);
    *from = room_from(side, tail, out->span);
    if (!side_reached(side, *from)) return false;
    while (out->part < out->count)
        tail = write_frame(side, tail, out, out->parts[out->part].size);
    side_move(side, tail);
    return true;
}

/* A whole share of the ring each time, so that both sides copy at the same time. */
static bool push_frame(struct side *side, struct outgoing *out, uint64_t *from)
{
    uint64_t share = side->capacity / 4 - 16, tail = side_position(side);
    uint64_t left = out->parts[out->part].size - out->part_done;
    uint64_t size = left < share ? left : share;
    *from = room_from(side, tail, frame_span(size) + 8);
    if (!side_reached(side, *from)) return false;
    side_move(side, write_frame(side, tail, out, size));
    return true;
}

static bool push_stream(struct side *side, struct outgoing *out, uint64_t *from)
{
    while (out->part < out->count) {
        if (!push_frame(side, out, from)) return false;
        out->begun = true;
        outbox_tell(side); /* who is gone is found when there is no room, or at the next message */
    }
    return true;
}

bool outbox_push(struct side *side, struct outgoing *out, uint64_t *from)
{
    if (fits_at_once(side, out->span)) return push_at_once(side, out, from);
    return push_stream(side, out, from);
}

bool outbox_tell(struct side *side)
{
    return side_tell(side, side_position(side));
}

/* --- in -------------------------------------------------------------------------------------- */

struct found {
    struct pipe_frame frame;
    const uint8_t *data;
    uint64_t total, at, next;
};

static bool sound(const struct found *found, uint64_t there)
{
    return found->frame.zero == 0 && found->next - found->at <= there;
}

/* The frame at `at`: INBOX_MESSAGE if there is one. What is not checked here is not believed. */
static enum arrival look_at(struct side *side, uint64_t at, struct found *found)
{
    if (!side_reached(side, at + 1)) return INBOX_EMPTY;
    uint64_t there = side->seen - at;
    if (there > side->capacity || there % 8) return INBOX_DAMAGED;
    const uint8_t *data = place(side, at);
    memcpy(&found->frame, data, sizeof found->frame);
    found->at = at;
    found->total = found->frame.size;
    found->next = at + frame_span(found->frame.size);
    data += sizeof found->frame;
    if (found->frame.flags & FRAME_TOTAL) {
        memcpy(&found->total, data, sizeof found->total);
        found->next += 8;
        data += 8;
    }
    found->data = data;
    return sound(found, there) ? INBOX_MESSAGE : INBOX_DAMAGED;
}

static enum arrival look(struct side *side, struct found *found)
{
    return look_at(side, side_position(side), found);
}

static bool is_single(const struct pipe_frame *frame)
{
    return frame->flags == FRAME_FIRST && frame->size <= SMALL;
}

void inbox_tell(struct side *side)
{
    uint64_t head = side_position(side);
    side_tell(side, head);
    if (atomic_load_explicit(&side->waits->selected, memory_order_relaxed) &&
        !side_reached(side, head + 1))
        side_arm(side, head + 1);
}

enum arrival inbox_small(struct side *side, struct incoming *in, struct small *small)
{
    struct found found;
    if (in->within) return INBOX_ROOM;
    enum arrival arrival = look(side, &found);
    if (arrival != INBOX_MESSAGE) return arrival;
    if (!is_single(&found.frame)) return INBOX_ROOM;
    small->size = found.frame.size;
    small->kind = found.frame.kind;
    memcpy(small->data, found.data, found.frame.size);
    side_move(side, found.next);
    return INBOX_MESSAGE;
}

/* What a frame is good for: INBOX_DROPPED ends what was begun, INBOX_EMPTY: it belongs to nothing,
 * INBOX_ROOM: it begins a part, INBOX_PART: it goes on with the open one. */
static enum arrival meaning(const struct incoming *in, const struct found *found)
{
    uint8_t flags = found->frame.flags;
    bool mine = in->within && in->open && in->filled == 0 && in->at == found->at;
    if (mine) return INBOX_PART;
    if (flags & FRAME_FIRST && in->within) return INBOX_DROPPED;
    if (!(flags & FRAME_FIRST) && !in->within) return INBOX_EMPTY;
    return in->open ? INBOX_PART : INBOX_ROOM;
}

static enum arrival begin_part(struct incoming *in, const struct found *found)
{
    in->within = true;
    in->kind = found->frame.kind;
    in->total = found->total;
    in->at = found->at;
    in->filled = 0;
    return INBOX_ROOM;
}

/* INBOX_ROOM: the part wants more frames. */
static enum arrival take(struct side *side, struct incoming *in, const struct found *found)
{
    uint64_t size = found->frame.size;
    bool last = !(found->frame.flags & FRAME_MORE);
    if (size > in->total - in->filled || (last && in->filled + size != in->total))
        return INBOX_DAMAGED;
    if (size) memcpy(in->to + in->filled, found->data, size);
    in->filled += size;
    side_move(side, found->next);
    if (!last) return INBOX_ROOM;
    in->open = false;
    in->within = found->frame.flags & FRAME_PART;
    return in->within ? INBOX_PART : INBOX_MESSAGE;
}

enum arrival inbox_fill(struct side *side, struct incoming *in)
{
    struct found found;
    for (;;) {
        enum arrival arrival = look(side, &found);
        if (arrival != INBOX_MESSAGE) return arrival;
        switch (meaning(in, &found)) {
        case INBOX_DROPPED: in->within = in->open = false; return INBOX_DROPPED;
        case INBOX_ROOM: return begin_part(in, &found);
        case INBOX_PART:
            arrival = take(side, in, &found);
            if (arrival != INBOX_ROOM) return arrival;
            break;
        default: side_move(side, found.next);
        }
        inbox_tell(side);
    }
}

enum arrival inbox_look(struct side *side, struct incoming *in)
{
    if (in->within) return INBOX_MESSAGE;
    for (;;) {
        struct found found;
        enum arrival arrival = look(side, &found);
        if (arrival != INBOX_MESSAGE || found.frame.flags & FRAME_FIRST) return arrival;
        side_move(side, found.next);
    }
}

int inbox_batch(struct side *side, struct incoming *in, uint8_t *to, uint64_t room, int limit,
                uint64_t *size)
{
    uint64_t head = side_position(side), at = head;
    struct found found;
    int count = 0;
    enum arrival arrival = INBOX_EMPTY;
    while (count < limit && !in->within) {
        arrival = look_at(side, at, &found);
        if (arrival != INBOX_MESSAGE || !is_single(&found.frame) || found.next - head > room) break;
        at = found.next;
        count++;
    }
    if (arrival == INBOX_DAMAGED && !count) return -1;
    *size = at - head;
    memcpy(to, place(side, head), *size);
    if (count) side_move(side, at);
    return count;
}

const uint8_t *batch_next(const uint8_t *data, struct pipe_frame *frame)
{
    memcpy(frame, data, sizeof *frame);
    return data + frame_span(frame->size);
}
