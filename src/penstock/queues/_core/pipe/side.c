#define _GNU_SOURCE
#include "side.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>

#include "futex.h"
#include "points.h"

#define SPIN_MOST (50 * INT64_C(1000))  /* nanoseconds: what a wake-up across cores costs */
#define SPIN_LEAST (2 * INT64_C(1000))  /* so little is tried after waits in vain */
#define GLIMPSE INT64_C(1000)           /* short enough to keep the interpreter waiting */
#define SPIN_ROUNDS 16                  /* looks between two looks at the clock */
#define GIVES_WAY 2                     /* times, before it sleeps */
#define WORST_LUCK 6                    /* then that is tried at every 64th wait */
#ifndef PATIENCE                        /* a test has less */
#define PATIENCE (CLOCK_SECOND / 20)    /* asleep on the futex before it sleeps at the socket */
#endif

#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define PAUSE() __asm__ __volatile__("yield")
#else
#define PAUSE() atomic_signal_fence(memory_order_seq_cst)
#endif

void side_open(struct side *side, struct pipe_direction *direction, uint8_t *ring,
               uint64_t capacity, bool sends, int sock)
{
    *side = (struct side){
        .mine = sends ? &direction->tail : &direction->head,
        .other = sends ? &direction->head : &direction->tail,
        .my_cpu = sends ? &direction->tail_cpu : &direction->head_cpu,
        .other_cpu = sends ? &direction->head_cpu : &direction->tail_cpu,
        .waits = sends ? &direction->room : &direction->data,
        .rings = sends ? &direction->data : &direction->room,
        .lock = sends ? &direction->sending : &direction->receiving,
        .direction = direction,
        .ring = ring,
        .capacity = capacity,
        .sock = sock,
        .sends = sends,
        .spin = SPIN_MOST,
    };
}

/* --- the lock -------------------------------------------------------------------------------- */

static int recover(struct side *side, int result)
{
    if (result != EOWNERDEAD) return result;
    CRASH_POINT();
    bell_recover_ringer(side->rings, side->sock);
    bell_recover_waiter(side->waits);
    pthread_mutex_consistent(side->lock);
    return 0;
}

int side_try_lock(struct side *side)
{
    int result = pthread_mutex_trylock(side->lock);
    return result ? recover(side, result) : 0;
}

int side_lock(struct side *side, int64_t deadline)
{
    struct timespec until = clock_timespec(deadline);
    return recover(side, pthread_mutex_clocklock(side->lock, CLOCK_MONOTONIC, &until));
}

/* --- moving and ringing ---------------------------------------------------------------------- */

/* Where it runs, so that the other side knows whether waiting actively makes sense. */
static void note_cpu(struct side *side)
{
    uint32_t cpu = (uint32_t)sched_getcpu() + 1;
    if (atomic_load_explicit(side->my_cpu, memory_order_relaxed) != cpu)
        atomic_store_explicit(side->my_cpu, cpu, memory_order_relaxed);
}

void side_move(struct side *side, uint64_t to)
{
    note_cpu(side);
    CRASH_POINT();
    atomic_store(side->mine, to);
    CRASH_POINT();
}

bool side_hung_up(struct side *side)
{
    if (!side->gone) side->gone = bell_hung_up(side->sock);
    return side->gone;
}

bool side_tell(struct side *side, uint64_t position)
{
    if (bell_quiet(side->rings) || !bell_ring(side->rings, position, side->sock)) return true;
    atomic_fetch_and(&side->rings->word, ~(uint32_t)BELL_LOOK);
    return !side_hung_up(side) || side_reached(side, position); /* it took that before it went */
}

/* A quarter of the price; moves every few milliseconds. */
static int64_t coarse_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return t.tv_sec * CLOCK_SECOND + t.tv_nsec;
}

bool side_heeded(struct side *side)
{
    if (side->gone) return false;
    int64_t now = coarse_now();
    if (now == side->looked) return true;
    side->looked = now;
    return !side_hung_up(side);
}

/* --- waiting --------------------------------------------------------------------------------- */

/* The other side makes progress while we spin only if it has a core of its own. */
static bool elsewhere(struct side *side)
{
    uint32_t other = atomic_load_explicit(side->other_cpu, memory_order_relaxed);
    return other && other != (uint32_t)sched_getcpu() + 1;
}

static bool spin(struct side *side, uint64_t from, int64_t until)
{
    do
        for (int i = 0; i < SPIN_ROUNDS; i++) {
            if (side_reached(side, from)) return true;
            PAUSE();
        }
    while (clock_now() < until);
    return false;
}

/* Spins for as long as spinning has paid lately. */
static bool try_spin(struct side *side, uint64_t from, int64_t deadline)
{
    bool reached = spin(side, from, clock_earlier(clock_now() + side->spin, deadline));
    side->spin = reached ? SPIN_MOST : side->spin / 2 > SPIN_LEAST ? side->spin / 2 : SPIN_LEAST;
    return reached;
}

static bool passed(int64_t deadline)
{
    return deadline != CLOCK_NEVER && clock_now() >= deadline;
}

/* The other side was last on our core, where nothing is gained by spinning: but given away for a
 * moment, the core may be back with the answer, and nobody slept or had to be woken. Each time in
 * vain halves how often it is tried. */
static bool give_way(struct side *side, uint64_t from)
{
    if (side->ways++ & ((1u << side->bad) - 1)) return false;
    for (int i = 0; i < GIVES_WAY; i++) {
        sched_yield();
        if (side_reached(side, from)) return side->bad = 0, true;
    }
    if (side->bad < WORST_LUCK) side->bad++;
    return false;
}

/* What to do with a wait that came to an end without its object being reached. */
static enum outcome look_around(struct side *side, uint64_t from, int64_t deadline)
{
    if (atomic_load(&side->closing)) return SIDE_CLOSED;
    if (side_hung_up(side)) return side_reached(side, from) ? SIDE_REACHED : SIDE_GONE;
    return passed(deadline) ? SIDE_LATE : SIDE_REACHED;
}

/* An end that was closed has said so. */
static bool told_to_look(struct side *side)
{
    return side->gone || atomic_load(&side->rings->word) & BELL_LOOK;
}

/* Asleep on the bell's word. An end that leaves says so before it changes the word: what it did
 * before the wish is seen here, what it does after keeps the sleep from beginning. SIDE_LATE when the time is over. */
static enum outcome doze(struct side *side, uint64_t from, int64_t until)
{
    uint32_t word = bell_wish_sleep(side->waits, from);
    if (side_reached(side, from)) return SIDE_REACHED;
    if (told_to_look(side) && side_hung_up(side)) return look_around(side, from, until);
    side->slept++;
    int result = futex_sleep(&side->waits->word, word, until);
    if (side_reached(side, from)) return SIDE_REACHED;
    return result == EINTR ? SIDE_SIGNAL : look_around(side, from, until);
}

/* Woken at once, but not by the death of the other end: so not for long. */
static enum outcome sleep_on_bell(struct side *side, uint64_t from, int64_t deadline)
{
    int64_t until = clock_earlier(deadline, coarse_now() + PATIENCE);
    enum outcome outcome;
    do
        outcome = doze(side, from, until);
    while (outcome == SIDE_REACHED && !side_reached(side, from));
    return outcome;
}

static int sleep_at_socket(struct side *side, int64_t until)
{
    struct pollfd wait = {.fd = side->sock, .events = POLLIN | POLLRDHUP};
    int64_t left = until - clock_now();
    struct timespec span = clock_timespec(left > 0 ? left : 0);
    side->polled++;
    return ppoll(&wait, 1, until == CLOCK_NEVER ? NULL : &span, NULL) < 0 ? errno : 0;
}

/* Asleep until a byte comes, or the end of the socket. */
static enum outcome sleep_armed(struct side *side, uint64_t from, int64_t deadline)
{
    for (;;) {
        if (!side_arm(side, from)) return SIDE_REACHED;
        int result = sleep_at_socket(side, deadline);
        if (side_reached(side, from)) return SIDE_REACHED;
        if (result == EINTR) return SIDE_SIGNAL;
        enum outcome outcome = look_around(side, from, deadline);
        if (outcome != SIDE_REACHED) return outcome;
        bell_doubt(side->waits);
    }
}

bool side_arm(struct side *side, uint64_t from)
{
    return bell_arm(side->waits, side->sock, side->other, from);
}

static enum outcome sleep_long(struct side *side, uint64_t from, int64_t deadline)
{
    if (atomic_load_explicit(&side->waits->selected, memory_order_relaxed))
        return sleep_armed(side, from, deadline);
    enum outcome outcome = sleep_on_bell(side, from, deadline);
    if (outcome != SIDE_LATE || passed(deadline)) return outcome;
    return sleep_armed(side, from, deadline);
}

/* A sleep that turned out short would have been caught by spinning. */
static enum outcome spin_or_sleep(struct side *side, uint64_t from, int64_t deadline)
{
    if (try_spin(side, from, deadline)) return SIDE_REACHED;
    int64_t began = clock_now();
    enum outcome outcome = sleep_long(side, from, deadline);
    if (outcome == SIDE_REACHED && clock_now() - began < 2 * SPIN_MOST) side->spin = SPIN_MOST;
    return outcome;
}

bool side_glimpse(struct side *side, uint64_t from)
{
    return elsewhere(side) && spin(side, from, clock_now() + GLIMPSE);
}

enum outcome side_wait(struct side *side, uint64_t from, int64_t deadline)
{
    side->waited++;
    if (side_reached(side, from)) return SIDE_REACHED;
    if (told_to_look(side) && side_hung_up(side))
        return side_reached(side, from) ? SIDE_REACHED : SIDE_GONE;
    if (elsewhere(side)) return spin_or_sleep(side, from, deadline);
    return give_way(side, from) ? SIDE_REACHED : sleep_long(side, from, deadline);
}
