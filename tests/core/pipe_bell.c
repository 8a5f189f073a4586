/* One bell, step by step: how many bytes lie in the waiter's socket? */
#include "pipe_messages.h"

#include <poll.h>

static struct pipe_bell bell;
static _Atomic uint64_t position;
static int ringer, waiter;

static void start(void)
{
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    ringer = fds[0];
    waiter = fds[1];
    memset(&bell, 0, sizeof bell);
    atomic_store(&position, 0);
    CHECK(send(ringer, "", 1, 0) == 1);
}

static void stop(void)
{
    close(ringer);
    close(waiter);
}

static long bytes(void)
{
    char all[16];
    ssize_t count = recv(waiter, all, sizeof all, MSG_PEEK | MSG_DONTWAIT);
    return count < 0 ? 0 : count;
}

static bool arm(uint64_t from)
{
    return bell_arm(&bell, waiter, &position, from);
}

static void move(uint64_t to)
{
    atomic_store(&position, to);
}

static bool ring(void)
{
    return bell_ring(&bell, atomic_load(&position), ringer);
}

static void an_armed_socket_is_empty_until_rung(void)
{
    CHECK(arm(1) && bytes() == 0);
    move(8);
    CHECK(!ring() && bytes() == 1);
    CHECK(!ring() && bytes() == 1); /* nobody wishes any more */
    CHECK(arm(9) && bytes() == 0);
}

static void what_is_there_already_leaves_the_byte(void)
{
    move(8);
    CHECK(!arm(8) && bytes() == 1);
    CHECK(!ring() && bytes() == 1);
}

static void no_ring_before_the_position_that_is_waited_for(void)
{
    CHECK(arm(100));
    move(99);
    CHECK(!ring() && bytes() == 0);
    move(100);
    CHECK(!ring() && bytes() == 1);
}

static void a_ring_for_what_was_taken_meanwhile_does_not_come(void)
{
    CHECK(arm(1));
    move(8);           /* committed, not yet rung */
    CHECK(arm(9));     /* found and taken; waits for the next */
    CHECK(!ring() && bytes() == 0);
    move(16);
    CHECK(!ring() && bytes() == 1);
}

static void the_earlier_of_two_wishes_counts(void)
{
    CHECK(arm(50));
    bell_wish_sleep(&bell, 80);
    move(50);
    ring(); /* the sleeper does not really sleep, so it is doubted */
    CHECK(bytes() == 1);
}

static void who_repairs_a_ringer_rings_for_it(void)
{
    CHECK(arm(1));
    move(8);
    atomic_fetch_and(&bell.word, ~(uint32_t)BELL_WANTS); /* and there it died */
    bell_recover_ringer(&bell, ringer);
    CHECK(bytes() == 1);
}

static void a_byte_too_many_is_taken_away(void)
{
    CHECK(arm(1));
    move(8);
    CHECK(!ring() && bytes() == 1); /* and there it died */
    bell_recover_ringer(&bell, ringer);
    CHECK(bytes() == 2);
    CHECK(arm(9) && bytes() == 0);
    move(16);
    CHECK(!ring() && bytes() == 1);
}

static void a_waiter_that_died_before_it_took_its_byte(void)
{
    CHECK(arm(1));
    CHECK(send(ringer, "", 1, 0) == 1); /* as if it had not been taken */
    bell_recover_waiter(&bell);
    CHECK(arm(1) && bytes() == 0);
}

static void a_readable_socket_without_a_ring_is_doubted(void)
{
    CHECK(arm(1));
    CHECK(send(ringer, "", 1, 0) == 1);
    bell_doubt(&bell);
    CHECK(arm(1) && bytes() == 0);
    bell_doubt(&bell);
    CHECK(arm(1) && bytes() == 0);
    move(8);
    CHECK(!ring() && bytes() == 1);
}

static void a_byte_that_does_not_come_is_not_awaited_for_long(void)
{
    char byte;
    CHECK(recv(waiter, &byte, 1, 0) == 1); /* its sender was stopped before it sent */
    CHECK(arm(1) && bytes() == 0);
    CHECK(send(ringer, "", 1, 0) == 1); /* it goes on */
    CHECK(arm(1) && bytes() == 0);
}

static void who_leaves_is_looked_for(void)
{
    struct pipe_bell other = {0};
    bell_leave(&bell, &other);
    CHECK(!bell_quiet(&bell) && ring());
    CHECK(!bell_hung_up(ringer));
    close(waiter);
    CHECK(bell_hung_up(ringer));
    waiter = dup(ringer);
}

static void a_wish_of_the_dead_is_noticed(void)
{
    CHECK(arm(1));
    move(8);
    close(waiter);
    CHECK(ring()); /* the byte finds a broken socket */
    waiter = dup(ringer);
}

int main(void)
{
    static void (*const tests[])(void) = {
        an_armed_socket_is_empty_until_rung,
        what_is_there_already_leaves_the_byte,
        no_ring_before_the_position_that_is_waited_for,
        a_ring_for_what_was_taken_meanwhile_does_not_come,
        the_earlier_of_two_wishes_counts,
        who_repairs_a_ringer_rings_for_it,
        a_byte_too_many_is_taken_away,
        a_waiter_that_died_before_it_took_its_byte,
        a_readable_socket_without_a_ring_is_doubted,
        a_byte_that_does_not_come_is_not_awaited_for_long,
        who_leaves_is_looked_for,
        a_wish_of_the_dead_is_noticed,
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        start();
        tests[i]();
        stop();
    }
    return 0;
}
