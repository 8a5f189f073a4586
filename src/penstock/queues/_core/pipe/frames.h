/* Messages as frames in a ring, and frames as messages again. All of this needs the side's lock,
 * never waits, and knows nothing of Python. See layout.h for what a frame is.
 *
 * A message is one part or several (a pickle, and each of its buffers); a part is bytes of one
 * kind, which may lie in several pieces. A message that takes no more than a quarter of the ring
 * goes in with one commit: the receiver sees all of it or nothing. A larger one is streamed: each
 * frame is a commit, and the receiver copies while the sender still writes. */
#ifndef PIPE_FRAMES_H
#define PIPE_FRAMES_H

#include "side.h"

struct piece {
    const void *data;
    uint64_t size;
};

struct part {
    uint64_t size; /* of all pieces */
    uint32_t pieces;
    uint8_t kind;
};

/* A message on its way out. */
struct outgoing {
    const struct part *parts;
    const struct piece *pieces; /* of all parts, one after the other */
    uint32_t count;             /* of parts */
    uint64_t span;              /* what it takes in the ring when it is not streamed */
    uint32_t part;              /* progress: where the next byte is */
    uint64_t part_done, piece_done;
    bool begun; /* a frame is committed: who sends another message now gives this one up */
};

/* A message on its way in. The owner gives room for a part when asked, see inbox_fill. */
struct incoming {
    uint64_t total, filled;
    uint64_t at; /* where the frame stands for which room was asked */
    uint8_t *to;
    uint8_t kind;
    bool within; /* the message has begun and is not finished */
    bool open;   /* `to` has room for `total` bytes */
};

enum { SMALL = 1024 }; /* bytes of a message that is copied before it is unpacked */

struct small {
    uint32_t size;
    uint8_t kind;
    _Alignas(16) uint8_t data[SMALL];
};

static inline uint64_t frame_span(uint64_t size)
{
    return sizeof(struct pipe_frame) + ((size + 7) & ~UINT64_C(7));
}

/* The sender: what `head` must reach so that `span` more bytes fit behind `tail`. */
static inline uint64_t room_from(struct side *side, uint64_t tail, uint64_t span)
{
    return tail + span - side->capacity;
}

/* Whether a message of one part goes in with one commit. */
static inline bool fits_at_once(struct side *side, uint64_t span)
{
    return span <= side->capacity / 4;
}

void outgoing_open(struct outgoing *out, const struct part *parts, const struct piece *pieces,
                   uint32_t count);

/* A message of one piece at `tail`, not committed; it must fit. Gives the position after it. */
uint64_t outbox_write(struct side *side, uint64_t tail, uint8_t kind, const void *data,
                      uint32_t size);

/* Sends what there is room for. True when that was all; else `*from` says what head must reach. */
bool outbox_push(struct side *side, struct outgoing *out, uint64_t *from);

/* Rings for what was committed. False when nobody is left who could receive it. */
bool outbox_tell(struct side *side);

enum arrival {
    INBOX_EMPTY,
    INBOX_ROOM,    /* a part begins: give room for `total` bytes of `kind` in `to`, set `open` */
    INBOX_PART,    /* it is complete, and another follows */
    INBOX_MESSAGE, /* it is complete, and with it the message */
    INBOX_DROPPED, /* what was received of a message is void */
    INBOX_DAMAGED,
};

/* Takes a message that is small, complete and of one part. INBOX_MESSAGE, INBOX_EMPTY,
 * INBOX_DAMAGED; INBOX_ROOM for any other: use inbox_fill. */
enum arrival inbox_small(struct side *side, struct incoming *in, struct small *small);

/* Takes what has come of a message until the owner has something to do. */
enum arrival inbox_fill(struct side *side, struct incoming *in);

/* Copies complete small messages, as they stand, from the ring to `to`: `room` bytes and `limit`
 * messages at most. Gives their number, and the bytes in `*size`. -1 for damage. */
int inbox_batch(struct side *side, struct incoming *in, uint8_t *to, uint64_t room, int limit,
                uint64_t *size);

/* Whether there is something of a message; throws away what belongs to none. */
enum arrival inbox_look(struct side *side, struct incoming *in);

/* Frames within a batch: gives the one at `data` and where the next one stands. */
const uint8_t *batch_next(const uint8_t *data, struct pipe_frame *frame);

/* Rings for room if the sender waits, and keeps the promise of a selected socket. */
void inbox_tell(struct side *side);

#endif
