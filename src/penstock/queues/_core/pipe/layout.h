/* What a pipe keeps in shared memory.
 *
 * One sealed memory file holds both directions of a pipe: this header, then a ring of `capacity`
 * bytes for each direction. Every process maps a ring twice, one after the other, so that a frame
 * is always in one piece. Positions count bytes since the beginning and never go back; a byte's
 * place is its position modulo the capacity.
 *
 *   field            written by             order
 *   tail             sender                 seq_cst: all before it is there to be read (the commit)
 *   head             receiver               seq_cst: all before it may be overwritten
 *   *_cpu            the same side          relaxed: a hint, the core it last ran on, plus 1
 *   data, room       bell.h
 *   locks            robust mutexes: one process and thread at each side of a direction
 *
 * Who dies before the store of `tail` has sent nothing; the receiver then meets the end of the
 * socket. Who dies between two commits of one message, or gives it up, leaves a beginning, which
 * the receiver throws away: at the end of the socket, or where another message begins. Who dies
 * before the store of `head` has received nothing.
 */
#ifndef PIPE_LAYOUT_H
#define PIPE_LAYOUT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define PIPE_MAGIC UINT64_C(0x6b636f74736e6570) /* "penstock" */

enum {
    PIPE_LAYOUT = 2, /* also when the forms of items change */
    PIPE_LINE = 64, /* bytes that two cores hand each other at once */
};

struct pipe_bell {
    _Alignas(PIPE_LINE) _Atomic uint32_t word;
    _Atomic uint32_t selected;
    _Atomic uint64_t from;
};

struct pipe_direction {
    _Alignas(PIPE_LINE) _Atomic uint64_t tail;
    _Atomic uint32_t tail_cpu;
    _Alignas(PIPE_LINE) _Atomic uint64_t head;
    _Atomic uint32_t head_cpu;
    struct pipe_bell data; /* the receiver waits, the sender rings */
    struct pipe_bell room; /* the sender waits, the receiver rings */
    _Alignas(PIPE_LINE) pthread_mutex_t sending;
    _Alignas(PIPE_LINE) pthread_mutex_t receiving;
};

struct pipe_header {
    _Atomic uint64_t magic; /* stored last */
    uint32_t layout;
    uint32_t lock_size; /* another C library, or another word size, has other mutexes */
    uint32_t directions;
    uint64_t capacity; /* of each ring: a power of two, whole pages */
    struct pipe_direction direction[2];
};

/* A frame: this head; if it is the first of several frames of a part, the whole size of the part
 * (8 bytes); the bytes; and up to 7 bytes that mean nothing. It begins at a multiple of 8. */
struct pipe_frame {
    uint32_t size; /* of the bytes in this frame */
    uint8_t kind;  /* items.h; the core only carries it */
    uint8_t flags;
    uint16_t zero;
};

enum pipe_flag {
    FRAME_FIRST = 1, /* a message begins */
    FRAME_MORE = 2,  /* the same part goes on in the next frame */
    FRAME_PART = 4,  /* after this part the message has another one */
    FRAME_TOTAL = 8, /* the size of the whole part stands before the bytes */
};

#endif
