/* A bell: one side of a direction waits at it, the other rings.
 *
 * The word of a bell holds
 *   SLEEPS   set by the waiter: it sleeps on the word itself (a futex)
 *   WANTS    set by the waiter: it has emptied its socket and wants a byte in it
 *   SUSPECT  somebody died or was stopped in between: the socket may hold a byte too many
 *   LOOK     set by a waiter that closes its end: the ringer shall look whether it was the last
 *   and a number that grows with each new wish.
 * `from` is the position of the ringer from which on the waiter wants to hear (written by the
 * waiter before its wish); `selected` says that somebody selects on the socket, for good.
 *
 * Between the sides runs a socket pair. From the start one byte lies in it for each side, read by
 * nobody: it costs the ringer nothing as long as WANTS is not set. A waiter that wants to sleep
 * in poll(), or whose socket shall tell the truth to select(), sets WANTS, looks once more, and
 * takes that one byte. The ringer moves its position first, then takes the wish back with one
 * exchange, then sends one byte. So a socket without WANTS holds one byte, or it is under way; a
 * socket with WANTS holds none. Only one process at a time waits (and rings) at one end: both are
 * done under that side's lock.
 *
 * The ringer stores its position and then reads the word; the waiter sets the word and then looks
 * at the position; all four are sequentially consistent, so that one of them sees the other.
 *
 * Who dies as a waiter leaves a wish: the ringer meets the broken socket, or wakes nobody, and
 * looks. Who dies as a ringer before the exchange leaves the wish to the next; after it, the
 * waiter's sleep ends with the socket, or by the next holder of that end, who sends a byte and
 * sets SUSPECT. A suspicious socket is counted and reduced to one byte.
 */
#ifndef PIPE_BELL_H
#define PIPE_BELL_H

#include <stdbool.h>

#include "clock.h"
#include "layout.h"

enum {
    BELL_SLEEPS = 1,
    BELL_WANTS = 2,
    BELL_LOOK = 4,
    BELL_SUSPECT = 8,
    BELL_ROUND = 16, /* one step of the number */
    BELL_HEED = BELL_SLEEPS | BELL_WANTS | BELL_LOOK,
};

#define STOPPED (CLOCK_SECOND / 100) /* so long does a byte under way get to arrive */

/* The ringer: true when it need not call bell_ring. */
static inline bool bell_quiet(struct pipe_bell *bell)
{
    return !(atomic_load(&bell->word) & BELL_HEED);
}

/* The ringer, which has moved to `position`: wakes the waiter if it wants to hear of that.
 * True when the waiter may be gone: look at the socket. */
bool bell_ring(struct pipe_bell *bell, uint64_t position, int sock);

/* The ringer, after the death of another at this end: rings as if that had not. */
void bell_recover_ringer(struct pipe_bell *bell, int sock);

/* The waiter, after the death of another at this end. */
void bell_recover_waiter(struct pipe_bell *bell);

/* The waiter: wishes to be woken from `position` on. The word to sleep on. */
uint32_t bell_wish_sleep(struct pipe_bell *bell, uint64_t position);

/* The waiter: makes its socket tell, so that it holds a byte only when the ringer's position
 * `*reached` is at `position` or beyond. False when it already is. */
bool bell_arm(struct pipe_bell *bell, int sock, const _Atomic uint64_t *reached, uint64_t position);

/* The waiter: its socket is readable, and nothing is there. If nobody rang, that byte is one too
 * many, and the next bell_arm takes it away. */
void bell_doubt(struct pipe_bell *bell);

/* The waiter leaves: the ringer shall look; and a sleeper at the other bell shall, too. */
void bell_leave(struct pipe_bell *waits, struct pipe_bell *rings);

/* True when all who held the other end of this socket are gone. */
bool bell_hung_up(int sock);

#endif
