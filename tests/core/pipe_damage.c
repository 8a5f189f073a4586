/* A ring with anything in it: every way to receive ends, and stays within the ring.
 *
 *     pipe_damage SEED ROUNDS */
#include "pipe_messages.h"

static uint32_t state;

static uint32_t some(uint32_t below)
{
    return next_random(&state) % below;
}

static void write_anything(struct pipe *pipe)
{
    uint8_t *ring = pipe->segment.rings[0];
    for (uint32_t i = 0; i < CAPACITY; i++)
        ring[i] = (uint8_t)some(256);
    for (uint32_t at = 0; at + 24 < CAPACITY; at += 8 + some(64)) { /* some of it makes sense */
        struct pipe_frame frame = {.size = some(some(8) ? 80 : LONGEST),
                                   .kind = (uint8_t)some(70),
                                   .flags = (uint8_t)some(32),
                                   .zero = some(4) ? 0 : 7};
        uint64_t total = some(200);
        memcpy(ring + at / 8 * 8, &frame, sizeof frame);
        memcpy(ring + at / 8 * 8 + sizeof frame, &total, sizeof total);
    }
    uint64_t head = some(3) ? some(CAPACITY) / 8 * 8 : UINT64_MAX - some(9000) / 8 * 8;
    atomic_store(&pipe->segment.header->direction[0].head, head);
    uint64_t tail = head + some(2 * CAPACITY) / (some(5) ? 8 : 1) * 8;
    atomic_store(&pipe->segment.header->direction[0].tail, tail);
}

static uint8_t *room;

/* Receives by one way after the other. False at the end, or at damage. */
static bool receive(struct pipe *pipe, struct incoming *in)
{
    static uint8_t data[LONGEST];
    struct small small;
    uint64_t size = 0;
    enum arrival arrival;
    switch (some(3)) {
    case 0: return inbox_small(&pipe->in, in, &small) == INBOX_MESSAGE;
    case 1:
        return inbox_batch(&pipe->in, in, data, 1 + some(CAPACITY), 1 + (int)some(50), &size) > 0;
    default: arrival = inbox_fill(&pipe->in, in);
    }
    if (arrival == INBOX_ROOM) {
        if (in->total > LONGEST) return false; /* an owner without so much memory */
        free(room);
        in->to = room = malloc(in->total ? in->total : 1); /* its end is watched */
        in->open = true;
    }
    return arrival != INBOX_EMPTY && arrival != INBOX_DAMAGED;
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    state = (uint32_t)atoi(argv[1]) * 2654435761u + 1;
    struct pipe pipe;
    pipe_open(&pipe);
    alarm(60);
    for (int round = 0; round < atoi(argv[2]); round++) {
        struct incoming in = {0};
        write_anything(&pipe);
        pipe.in.seen = side_position(&pipe.in);
        while (receive(&pipe, &in))
            ;
    }
    free(room);
    pipe_close(&pipe);
    return 0;
}
