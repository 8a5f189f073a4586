/* Threads at both ends of one pipe: everything arrives, whole and in each sender's order.
 *
 *     pipe_threads SENDERS RECEIVERS MESSAGES MODE
 *
 * MODE wait: receivers wait in the pipe. select: one receiver waits at the socket, which must be
 * readable exactly when there is something to receive. now: one receiver looks and arms, as the
 * awaiting methods do. */
#include "pipe_messages.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>

#ifdef __SANITIZE_THREAD__
/* This sanitizer does not know the function, so it would not see who has the lock. */
int pthread_mutex_clocklock(pthread_mutex_t *lock, clockid_t clock, const struct timespec *until)
{
    (void)clock;
    (void)until;
    int result;
    while ((result = pthread_mutex_trylock(lock)) == EBUSY)
        usleep(100);
    return result;
}
#endif

static struct pipe pipe_;
static struct incoming in;
static uint32_t messages, last[8];
static _Atomic uint64_t received;
static enum { WAIT, SELECT, NOW } mode;

static void *sender(void *argument)
{
    uint32_t me = (uint32_t)(uintptr_t)argument, random = 77 + me;
    for (uint32_t i = 1; i <= messages; i++) {
        uint32_t dice = next_random(&random);
        uint32_t most = dice % 50 == 0 ? 12000 : dice % 4 == 0 ? 2000 : 80, size = 8 + dice % most;
        CHECK(side_lock(&pipe_.out, CLOCK_NEVER) == 0);
        CHECK(send_words(&pipe_.out, me, i, size, dice % 7 == 0) == SIDE_REACHED);
        side_unlock(&pipe_.out);
        if (dice % 97 == 0) usleep(dice % 300);
    }
    return NULL;
}

static void count(const struct told *told)
{
    CHECK(told->number == last[told->sender] + 1);
    last[told->sender] = told->number;
    atomic_fetch_add(&received, 1);
}

static enum outcome receive_one(void)
{
    struct told told;
    CHECK(side_lock(&pipe_.in, CLOCK_NEVER) == 0);
    enum outcome outcome = receive_words(&pipe_.in, &in, &told);
    if (outcome == SIDE_REACHED) count(&told);
    side_unlock(&pipe_.in);
    return outcome;
}

static short wait_at_socket(void)
{
    struct pollfd wait = {.fd = pipe_.receives, .events = POLLIN | POLLRDHUP};
    CHECK(poll(&wait, 1, 20000) == 1);
    return wait.revents;
}

/* A socket that is readable has a message, or a part of one, or the end. */
static enum outcome receive_selected(void)
{
    struct told told;
    struct pollfd look = {.fd = pipe_.receives, .events = POLLIN};
    short events = wait_at_socket();
    CHECK(side_lock(&pipe_.in, CLOCK_NEVER) == 0);
    uint64_t before = side_position(&pipe_.in);
    enum arrival arrival = take_words(&pipe_.in, &in, &told);
    inbox_tell(&pipe_.in);
    bool progress = side_position(&pipe_.in) != before;
    bool more = side_beyond(&pipe_.in, side_position(&pipe_.in) + 1);
    if (more) CHECK(poll(&look, 1, 20000) == 1); /* perhaps the byte is on its way */
    side_unlock(&pipe_.in);
    if (arrival == INBOX_MESSAGE) count(&told);
    CHECK(arrival != INBOX_DAMAGED);
    if (progress) return SIDE_REACHED;
    CHECK(events & (POLLHUP | POLLRDHUP));
    return SIDE_GONE;
}

static enum outcome receive_now(void)
{
    struct told told;
    enum outcome outcome = SIDE_REACHED;
    bool wait = false;
    CHECK(side_lock(&pipe_.in, CLOCK_NEVER) == 0);
    enum arrival arrival = take_words(&pipe_.in, &in, &told);
    inbox_tell(&pipe_.in);
    if (arrival == INBOX_MESSAGE) count(&told);
    else if (side_arm(&pipe_.in, side_position(&pipe_.in) + 1)) {
        wait = !side_hung_up(&pipe_.in);
        if (!wait && !side_reached(&pipe_.in, side_position(&pipe_.in) + 1)) outcome = SIDE_GONE;
    }
    side_unlock(&pipe_.in);
    if (wait) wait_at_socket();
    return outcome;
}

static void *receiver(void *nothing)
{
    (void)nothing;
    static enum outcome (*const ways[])(void) = {receive_one, receive_selected, receive_now};
    if (mode == SELECT) {
        atomic_store(&pipe_.in.waits->selected, 1);
        CHECK(side_lock(&pipe_.in, CLOCK_NEVER) == 0);
        inbox_tell(&pipe_.in);
        side_unlock(&pipe_.in);
    }
    while (ways[mode]() == SIDE_REACHED)
        ;
    return NULL;
}

int main(int argc, char **argv)
{
    CHECK(argc == 5);
    int senders = atoi(argv[1]), receivers = atoi(argv[2]);
    messages = (uint32_t)atoi(argv[3]);
    mode = !strcmp(argv[4], "select") ? SELECT : !strcmp(argv[4], "now") ? NOW : WAIT;
    pthread_t threads[16];
    pipe_open(&pipe_);
    alarm(60);
    for (int i = 0; i < receivers; i++)
        CHECK(pthread_create(&threads[8 + i], NULL, receiver, NULL) == 0);
    for (int i = 0; i < senders; i++)
        CHECK(pthread_create(&threads[i], NULL, sender, (void *)(uintptr_t)i) == 0);
    for (int i = 0; i < senders; i++)
        pthread_join(threads[i], NULL);
    pipe_leave(&pipe_.sends, &pipe_.out);
    for (int i = 0; i < receivers; i++)
        pthread_join(threads[8 + i], NULL);
    CHECK(atomic_load(&received) == (uint64_t)messages * (uint64_t)senders);
    pipe_close(&pipe_);
    printf("%llu messages\n", (unsigned long long)atomic_load(&received));
    return 0;
}
