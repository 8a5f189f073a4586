/* A process is killed at each store, one after the other; what do the others see?
 *
 *     pipe_crash sender|receiver alone|shared futex|select
 *
 * A child is the victim: it sends (or receives) the script and is killed at its first crash point,
 * in the next round at its second, until it comes through. `alone`: nobody else holds its end, so
 * the other side must meet the end. `shared`: this process holds it as well, and goes on with it.
 * `futex`, `select`: how the survivor waits. Prints the number of points. */
#include "pipe_messages.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

long points_left = -1;

static struct pipe pipe_;
static bool shared, selects;

/* Of all kinds: at once, in two parts, streamed over several laps of the ring. */
static const uint32_t script[] = {16, 900, 16, 1000, 9000, 24, 24, 6000, 16};
enum { SCRIPT = sizeof script / sizeof *script, SENTINEL = 100 };

static void lock(struct side *side)
{
    CHECK(side_lock(side, CLOCK_NEVER) == 0);
}

/* False when nobody is left to receive. */
static bool send_one(uint32_t number, uint32_t size, bool twice)
{
    lock(&pipe_.out);
    enum outcome outcome = send_words(&pipe_.out, 1, number, size, twice);
    side_unlock(&pipe_.out);
    CHECK(outcome == SIDE_REACHED || outcome == SIDE_GONE);
    return outcome == SIDE_REACHED;
}

static bool send_script(void)
{
    for (uint32_t i = 0; i < SCRIPT; i++)
        if (!send_one(i, script[i], i % 3 == 1)) return false;
    return true;
}

static bool send_sentinel(void)
{
    return send_one(SENTINEL, 16, false);
}

/* As somebody who waits in select() and trusts it. */
static void wait_for_socket(void)
{
    struct pollfd wait = {.fd = pipe_.receives, .events = POLLIN};
    CHECK(poll(&wait, 1, 10000) == 1);
}

static bool has_byte(void)
{
    struct pollfd look = {.fd = pipe_.receives, .events = POLLIN};
    return poll(&look, 1, 0) == 1;
}

/* Who repaired may have sent a byte too many: who looks, and finds nothing, takes it away. */
static bool readable(void)
{
    if (!selects || !has_byte()) return false;
    lock(&pipe_.in);
    bell_doubt(pipe_.in.waits);
    inbox_tell(&pipe_.in);
    side_unlock(&pipe_.in);
    return has_byte();
}

/* Gives the number of the next message, or -1 at the end. */
static int receive_one(struct incoming *in)
{
    struct told told;
    if (selects) wait_for_socket();
    lock(&pipe_.in);
    enum outcome outcome = receive_words(&pipe_.in, in, &told);
    side_unlock(&pipe_.in);
    return outcome == SIDE_GONE ? -1 : (int)told.number;
}

static void select_from_now_on(void)
{
    atomic_store(&pipe_.in.waits->selected, 1);
    lock(&pipe_.in);
    inbox_tell(&pipe_.in);
    side_unlock(&pipe_.in);
}

/* True when it was killed. */
static bool end_of(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) CHECK(WTERMSIG(status) == SIGKILL);
    else CHECK(WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

/* --- the sender dies: the receiver gets the beginning of the script, then the end ------------ */

static pid_t start_sender(long point)
{
    pid_t child = fork();
    if (child) return child;
    close(pipe_.receives);
    points_left = point;
    CHECK(send_script());
    _exit(0);
}

/* In a process of its own, so that it may sleep while this one repairs. */
static pid_t start_receiver(void)
{
    pid_t child = fork();
    if (child) return child;
    struct incoming in = {0};
    close(pipe_.sends);
    alarm(20);
    int expected = 0, number;
    while ((number = receive_one(&in)) == expected)
        expected++;
    CHECK(number == (shared ? SENTINEL : -1));
    if (shared) CHECK(!readable());
    _exit(0);
}

static bool round_of_sender(long point)
{
    pipe_open(&pipe_);
    if (selects) select_from_now_on();
    pid_t receiver = start_receiver(), sender = start_sender(point);
    if (!shared) close(pipe_.sends);
    close(pipe_.receives);
    bool killed = end_of(sender);
    if (shared) CHECK(send_sentinel());
    CHECK(!end_of(receiver));
    if (shared) close(pipe_.sends);
    segment_unmap(&pipe_.segment);
    return killed;
}

/* --- the receiver dies: the sender meets a broken pipe, or another takes the rest ------------ */

static pid_t start_victim(long point)
{
    pid_t child = fork();
    if (child) return child;
    struct incoming in = {0};
    close(pipe_.sends);
    points_left = point;
    for (uint32_t i = 0; i < SCRIPT; i++)
        CHECK(receive_one(&in) == (int)i);
    _exit(0);
}

static pid_t start_survivor(void)
{
    pid_t child = fork();
    if (child) return child;
    close(pipe_.receives);
    alarm(20);
    if (shared) CHECK(send_script() && send_sentinel());
    if (shared) pause(); /* what the receiver sees shall not be our end */
    while (!shared && send_script())
        ;
    _exit(0);
}

/* What the dead one had not taken, in order, the whole of it but for the one it was taking. */
static void receive_rest(void)
{
    struct incoming in = {0};
    int last = -1, number;
    while ((number = receive_one(&in)) != SENTINEL) {
        CHECK(number >= 0 && number < SCRIPT && (last < 0 || number == last + 1));
        last = number;
    }
    CHECK(last < 0 || last == SCRIPT - 1);
    CHECK(!readable());
}

static bool round_of_receiver(long point)
{
    pipe_open(&pipe_);
    if (selects) select_from_now_on();
    pid_t survivor = start_survivor(), victim = start_victim(point);
    close(pipe_.sends);
    if (!shared) close(pipe_.receives);
    bool killed = end_of(victim);
    if (shared) receive_rest();
    if (shared) kill(survivor, SIGKILL);
    CHECK(end_of(survivor) == shared);
    if (shared) close(pipe_.receives);
    segment_unmap(&pipe_.segment);
    return killed;
}

int main(int argc, char **argv)
{
    CHECK(argc == 4);
    alarm(90);
    shared = !strcmp(argv[2], "shared");
    selects = !strcmp(argv[3], "select");
    bool (*round)(long) = !strcmp(argv[1], "sender") ? round_of_sender : round_of_receiver;
    long point = 0;
    while (round(point))
        point++;
    printf("%ld points\n", point);
    return 0;
}
