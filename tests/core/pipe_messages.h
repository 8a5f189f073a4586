/* What the C programs of the pipe share: one pipe in this process, messages that show damage. */
#ifndef PIPE_MESSAGES_H
#define PIPE_MESSAGES_H

#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pipe/frames.h"
#include "pipe/segment.h"
#include "clock.h"

#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
            abort();                                                            \
        }                                                                       \
    } while (0)

enum { CAPACITY = 4096, LONGEST = 20000 };

struct pipe {
    struct segment segment;
    struct side in, out;
    int sends, receives;
};

static inline void pipe_open(struct pipe *pipe)
{
    int fds[2], memory = segment_create(1, CAPACITY);
    CHECK(memory >= 0);
    CHECK(segment_map(&pipe->segment, memory) == 0);
    close(memory);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK(send(fds[0], "", 1, 0) == 1 && send(fds[1], "", 1, 0) == 1);
    pipe->sends = fds[0];
    pipe->receives = fds[1];
    struct pipe_direction *direction = &pipe->segment.header->direction[0];
    side_open(&pipe->out, direction, pipe->segment.rings[0], CAPACITY, true, fds[0]);
    side_open(&pipe->in, direction, pipe->segment.rings[0], CAPACITY, false, fds[1]);
}

static inline void pipe_leave(int *sock, struct side *side)
{
    if (*sock < 0) return;
    close(*sock);
    *sock = -1;
    bell_leave(side->waits, side->rings);
}

static inline void pipe_close(struct pipe *pipe)
{
    pipe_leave(&pipe->sends, &pipe->out);
    pipe_leave(&pipe->receives, &pipe->in);
    segment_unmap(&pipe->segment);
}

static inline uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* A message tells who sent it, its number and its size in every 8 bytes. */
static inline uint64_t word_of(uint32_t sender, uint32_t number, uint32_t size)
{
    return (uint64_t)sender << 56 | (uint64_t)number << 24 | size;
}

static inline void fill_words(uint8_t *data, uint32_t sender, uint32_t number, uint32_t size)
{
    uint64_t word = word_of(sender, number, size);
    for (uint32_t i = 0; i < size; i += 8)
        memcpy(data + i, &word, size - i < 8 ? size - i : 8);
}

static inline void check_words(const uint8_t *data, uint32_t sender, uint32_t number, uint32_t size)
{
    static _Thread_local uint8_t wanted[LONGEST];
    fill_words(wanted, sender, number, size);
    CHECK(memcmp(data, wanted, size) == 0);
}

/* Sends one, in one part of two pieces, or two parts if `twice`. With the lock. */
static inline enum outcome send_words(struct side *side, uint32_t sender, uint32_t number,
                                      uint32_t size, bool twice)
{
    static _Thread_local uint8_t data[LONGEST];
    fill_words(data, sender, number, size);
    uint32_t half = size / 2 / 8 * 8;
    struct piece pieces[] = {{data, half}, {data + half, size - half}, {data, size}};
    struct part parts[] = {{size, 2, 1}, {size, 1, 2}};
    struct outgoing out;
    uint64_t from;
    outgoing_open(&out, parts, pieces, twice ? 2 : 1);
    if (!side_heeded(side)) return SIDE_GONE;
    while (!outbox_push(side, &out, &from)) {
        outbox_tell(side);
        enum outcome outcome = side_wait(side, from, CLOCK_NEVER);
        if (outcome == SIDE_SIGNAL || outcome == SIDE_REACHED) continue;
        return outcome;
    }
    return outbox_tell(side) ? SIDE_REACHED : SIDE_GONE;
}

struct told {
    uint32_t sender, number, size;
};

static inline void check_part(const uint8_t *data, uint64_t size, struct told *told)
{
    uint64_t word;
    CHECK(size >= 8 && size < LONGEST);
    memcpy(&word, data, 8);
    *told = (struct told){word >> 56, (word >> 24) & 0xffffffff, word & 0xffffff};
    CHECK(told->size == size);
    check_words(data, told->sender, told->number, told->size);
}

/* Takes one message if it is there. With the lock. */
static inline enum arrival take_words(struct side *side, struct incoming *in, struct told *told)
{
    static _Thread_local uint8_t data[LONGEST];
    struct small small;
    enum arrival arrival = inbox_small(side, in, &small);
    if (arrival == INBOX_MESSAGE) check_part(small.data, small.size, told);
    if (arrival != INBOX_ROOM) return arrival;
    for (;;) {
        switch (arrival = inbox_fill(side, in)) {
        case INBOX_ROOM:
            CHECK(in->total < LONGEST);
            in->to = data;
            in->open = true;
            break;
        case INBOX_PART:
        case INBOX_MESSAGE:
            check_part(data, in->total, told);
            if (arrival == INBOX_MESSAGE) return arrival;
            break;
        case INBOX_DROPPED: break;
        default: return arrival;
        }
    }
}

/* Waits for one. */
static inline enum outcome receive_words(struct side *side, struct incoming *in, struct told *told)
{
    for (;;) {
        enum arrival arrival = take_words(side, in, told);
        CHECK(arrival != INBOX_DAMAGED);
        inbox_tell(side);
        if (arrival == INBOX_MESSAGE) return SIDE_REACHED;
        enum outcome outcome = side_wait(side, side_position(side) + 1, CLOCK_NEVER);
        if (outcome == SIDE_GONE) return outcome;
    }
}

#endif
