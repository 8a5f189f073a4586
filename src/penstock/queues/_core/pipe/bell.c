#define _GNU_SOURCE
#include "bell.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "futex.h"
#include "points.h"

static bool before(uint64_t position, uint64_t other)
{
    return (int64_t)(position - other) < 0;
}

/* A byte that finds no room is not missed: the socket is readable. */
static bool send_byte(int sock)
{
    CRASH_POINT();
    ssize_t sent = send(sock, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    CRASH_POINT();
    return sent == 1 || errno == EAGAIN;
}

static bool wake_one(_Atomic uint32_t *word)
{
    return syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0) > 0;
}

bool bell_ring(struct pipe_bell *bell, uint64_t position, int sock)
{
    uint32_t word = atomic_load(&bell->word);
    while (word & (BELL_SLEEPS | BELL_WANTS)) {
        if (before(position, atomic_load(&bell->from)))
            break;
        CRASH_POINT();
        if (!atomic_compare_exchange_strong(&bell->word, &word,
                                            word & ~(uint32_t)(BELL_SLEEPS | BELL_WANTS)))
            continue;
        CRASH_POINT();
        bool there = !(word & BELL_WANTS) || send_byte(sock);
        bool awake = !(word & BELL_SLEEPS) || wake_one(&bell->word);
        return !there || !awake || word & BELL_LOOK;
    }
    return word & BELL_LOOK;
}

void bell_recover_ringer(struct pipe_bell *bell, int sock)
{
    uint32_t word = atomic_fetch_or(&bell->word, BELL_SUSPECT);
    if (!(word & BELL_WANTS))
        send_byte(sock);
    futex_wake(&bell->word, INT_MAX);
}

void bell_recover_waiter(struct pipe_bell *bell)
{
    atomic_fetch_or(&bell->word, BELL_SUSPECT);
}

void bell_doubt(struct pipe_bell *bell)
{
    if (atomic_load(&bell->word) & BELL_WANTS) bell_recover_waiter(bell);
}

/* The earliest of the wishes that stand. */
static void wish_from(struct pipe_bell *bell, uint64_t position)
{
    uint32_t word = atomic_load(&bell->word);
    if (!(word & (BELL_SLEEPS | BELL_WANTS)) || before(position, atomic_load(&bell->from)))
        atomic_store(&bell->from, position);
}

uint32_t bell_wish_sleep(struct pipe_bell *bell, uint64_t position)
{
    CRASH_POINT();
    wish_from(bell, position);
    CRASH_POINT();
    uint32_t word = atomic_fetch_or(&bell->word, BELL_SLEEPS) | BELL_SLEEPS;
    CRASH_POINT();
    return word;
}

bool bell_hung_up(int sock)
{
    struct pollfd look = {.fd = sock, .events = POLLRDHUP};
    return poll(&look, 1, 0) > 0;
}

/* How many of the bytes that lie there, up to 2; 0 at the end of the socket, below 0 when none. */
static ssize_t count_bytes(int sock)
{
    char bytes[2];
    return recv(sock, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
}

/* Waits until the sender of a byte has sent it, which it was about to do. False when it was stopped
 * or killed: that byte may come later, or never. */
static bool arrives(int sock, ssize_t there)
{
    int64_t until = clock_now() + STOPPED;
    while (count_bytes(sock) == there) {
        if (clock_now() >= until) return false;
        sched_yield();
    }
    return true;
}

/* Takes the byte that lies in the socket or is on its way to it, but not the one that answers the
 * wish: that one must stay, and comes after it. False when one of them does not arrive: then the
 * socket is in doubt. */
static bool take_byte(struct pipe_bell *bell, int sock)
{
    ssize_t count = count_bytes(sock);
    if (count < 0) {
        struct pollfd wait = {.fd = sock, .events = POLLIN};
        struct timespec patience = clock_timespec(STOPPED);
        ppoll(&wait, 1, &patience, NULL);
        count = count_bytes(sock);
    }
    if (count < 0) return false;
    if (count == 1 && !(atomic_load(&bell->word) & BELL_WANTS) && !arrives(sock, 1)) return false;
    char byte;
    if (count) recv(sock, &byte, 1, MSG_DONTWAIT);
    return true;
}

/* Of the bytes that lie there. */
static void leave_one_byte(int sock)
{
    char bytes[64];
    for (;;) {
        ssize_t count = recv(sock, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
        if (count <= 1) return;
        if (recv(sock, bytes, (size_t)count - 1, MSG_DONTWAIT) <= 0) return;
    }
}

static bool take_back(struct pipe_bell *bell)
{
    return atomic_fetch_and(&bell->word, ~(uint32_t)BELL_WANTS) & BELL_WANTS;
}

/* Reduces a suspicious socket to what the word says. It stays in doubt while a byte may be under
 * way: a wish that stands tells nothing of the byte that answered the one before. Only where one too
 * many is found is nothing more to come, for one ringer sends one after the other. */
static void heal(struct pipe_bell *bell, int sock)
{
    if (atomic_load(&bell->word) & BELL_WANTS && count_bytes(sock) <= 0) return;
    atomic_fetch_and(&bell->word, ~(uint32_t)BELL_SUSPECT);
    bool known = take_back(bell);
    leave_one_byte(sock);
    if (!known) bell_recover_waiter(bell);
}

/* A ring that was meant for what has been taken meanwhile must not come: with a new number the
 * ringer's exchange fails, and it looks again. False when the exchange was before. */
static bool renew(struct pipe_bell *bell, uint64_t position)
{
    uint32_t word = atomic_load(&bell->word);
    atomic_store(&bell->from, position);
    while (word & BELL_WANTS)
        if (atomic_compare_exchange_strong(&bell->word, &word, word + BELL_ROUND))
            return true;
    return false;
}

static void want(struct pipe_bell *bell, uint64_t position)
{
    wish_from(bell, position);
    uint32_t word = atomic_load(&bell->word);
    while (!atomic_compare_exchange_strong(&bell->word, &word, (word + BELL_ROUND) | BELL_WANTS))
        ;
    CRASH_POINT();
}

bool bell_arm(struct pipe_bell *bell, int sock, const _Atomic uint64_t *reached, uint64_t position)
{
    if (atomic_load(&bell->word) & BELL_SUSPECT) heal(bell, sock);
    if (atomic_load(&bell->word) & BELL_WANTS && renew(bell, position))
        return before(atomic_load(reached), position);
    want(bell, position);
    bool waits = before(atomic_load(reached), position);
    if (!waits && take_back(bell)) return false; /* the byte was not touched */
    CRASH_POINT();
    if (!take_byte(bell, sock)) bell_recover_waiter(bell);
    return waits;
}

void bell_leave(struct pipe_bell *waits, struct pipe_bell *rings)
{
    atomic_fetch_or(&waits->word, BELL_LOOK);
    futex_wake(&waits->word, INT_MAX);
    atomic_fetch_add(&rings->word, BELL_ROUND);
    futex_wake(&rings->word, INT_MAX);
}
