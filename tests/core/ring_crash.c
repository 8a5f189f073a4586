/* Dies at every crash point of the ring, in every act that reaches it, at every visit, and checks
 * what the others see: `ring_crash` prints one line for each act and exits 0 when all is well.
 *
 * An act is a small play: a process that may die (the victim) between survivors that sleep. First
 * it runs to its end and counts which points it passes how often; then once more for each of
 * these, dying there. A point that no act reaches is a failure. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ring/ring.h"

enum { UNITS_BYTES = 4096, KIND = 6, PROMPT_MS = 400, PATIENT_MS = 1600 };

#define NAME(name) #name,
static const char *const names[] = {"NOWHERE", CRASH_POINTS(NAME)};

/* What the players tell each other, in memory of their own beside the ring. */
static struct {
    _Atomic uint32_t seen[CRASH_END];
    _Atomic uint32_t victim_put, victim_got, victim_done;   /* calls that returned */
    _Atomic uint32_t got, put, joined, refused, ended;      /* by the survivor */
} *told;

static struct ring ring; /* each process's own view; the mapping is inherited */
static int mortal, die_at, die_visit;
static const char *act_name;
static uint64_t next_number; /* what the director puts */

void crash_here(enum crash_number place)
{
    if (!mortal) return;
    int visit = (int)atomic_fetch_add(&told->seen[place], 1) + 1;
    if ((int)place == die_at && visit == die_visit) kill(getpid(), SIGKILL);
}

static void fail(const char *what)
{
    fprintf(stderr, "%s, dead at %s (visit %d): %s\n", act_name, names[die_at], die_visit, what);
    _exit(1);
}

static void expect(int is_so, const char *what)
{
    if (!is_so) fail(what);
}

static void moment(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000}, NULL);
}

#define AWAIT(condition, ms)                                                      \
    do {                                                                          \
        int64_t until = clock_now() + (ms) * 1000000LL;                           \
        while (!(condition) && clock_now() < until) moment();                     \
        expect(condition, "waited in vain for: " #condition);                     \
    } while (0)

/* --- verbs ------------------------------------------------------------------------------------ */

static enum ring_result try_put(struct ring *r, void *what)
{
    uint32_t count;
    ring_want(r, ((struct ring_message *)what)->record);
    return ring_put(r, what, 1, &count, CLOCK_NEVER);
}

static enum ring_result put_sized(uint64_t number, size_t size, int64_t deadline)
{
    uint64_t bytes[128] = {number};
    struct ring_part part = {bytes, size};
    struct ring_message message = {{size, KIND}, &part, 1};
    if (deadline != RING_NOW) return ring_wait(&ring, &ring.shared->tail, try_put, &message, deadline);
    uint32_t count;
    return ring_put(&ring, &message, 1, &count, CLOCK_NEVER);
}

static enum ring_result try_take(struct ring *r, void *what)
{
    return ring_take(r, what, CLOCK_NEVER);
}

static enum ring_result take(uint64_t *numbers, uint32_t limit, uint32_t *items, int64_t deadline)
{
    static uint8_t buffer[2 * UNITS_BYTES];
    struct ring_taking taking = {.buffer = buffer, .room = sizeof buffer, .limit = limit};
    taking.slot = ring.slot;
    enum ring_result result = deadline == RING_NOW
                                  ? ring_take(&ring, &taking, CLOCK_NEVER)
                                  : ring_wait(&ring, &ring.shared->head, try_take, &taking, deadline);
    size_t at = 0;
    for (uint32_t i = 0; i < taking.items; i++) {
        struct record record;
        uint64_t word;
        memcpy(&word, buffer + at, sizeof word);
        record.length = word & RECORD_LONGEST;
        memcpy(&numbers[i], buffer + at + sizeof word, sizeof *numbers);
        at += record_units(record.length) * RING_UNIT;
    }
    *items = taking.items;
    return result;
}

static void attach_here(void)
{
    expect(ring_claim(&ring) == RING_OK, "no slot");
}

static void director_puts(int count)
{
    for (int i = 0; i < count; i++) expect(put_sized(++next_number, 8, RING_NOW) == 0, "director's put");
}

/* --- players: each runs in a process of its own ------------------------------------------------ */

static pid_t play(void (*part)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid) return pid;
    robust_self.id = robust_self.held = 0;
    attach_here();
    part();
    _exit(0);
}

static pid_t play_victim(void (*part)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid) return pid;
    mortal = 1;
    attach_here();
    part();
    _exit(0);
}

static void survivor_gets(void)
{
    uint64_t number;
    uint32_t items;
    enum ring_result result = take(&number, 1, &items, CLOCK_NEVER);
    if (result == RING_SHUT_DOWN) atomic_store(&told->refused, 1);
    else expect(result == RING_OK && items == 1, "survivor's get");
    if (items) atomic_store(&told->got, (uint32_t)number);
    if (items) expect(ring_task_done(&ring, 1) == RING_OK, "survivor's task_done");
    atomic_store(&told->ended, 1);
}

static void survivor_puts(void)
{
    expect(put_sized(1000, 8, CLOCK_NEVER) == RING_OK, "survivor's put");
    atomic_store(&told->put, 1);
}

static void survivor_joins(void)
{
    expect(ring_join(&ring, CLOCK_NEVER) == RING_OK, "survivor's join");
    atomic_store(&told->joined, 1);
}

static int sleeps_at(struct ring_end *end)
{
    return atomic_load(&end->armed) != 0;
}

static int queues_at(struct ring_end *end)
{
    return (atomic_load(&end->turn.word) & FUTEX_WAITERS) != 0;
}

/* --- what must hold after every act ------------------------------------------------------------ */

/* Every item that can be taken is whole and in order; the counts say what is true. */
static void check_queue(uint64_t *first, uint32_t *count)
{
    uint64_t tail, head, number, last = 0;
    uint32_t items;
    expect(ring_snapshot(&ring, &tail, &head), "positions");
    uint32_t size = position_items(tail, head);
    *count = 0;
    while (take(&number, 1, &items, RING_NOW) == RING_OK) {
        expect(!last || number == last + 1 || number >= 1000 || last >= 1000, "an item is missing");
        if (!last) *first = number;
        last = number;
        ++*count;
        expect(ring_task_done(&ring, 1) == RING_OK, "director's task_done");
    }
    expect(*count == size, "qsize was not what could be taken");
}

static uint64_t sum(size_t field)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i <= RING_NOBODY; i++)
        total += *(_Atomic uint64_t *)((char *)&ring.shared->slots[i] + field);
    return total;
}

static void check_accounts(void)
{
    struct ring_shared *shared = ring.shared;
    ring_bury(&ring, 0);
    expect(ring_unfinished(&ring) == 0, "unfinished after all was done or lost");
    expect(sum(offsetof(struct ring_slot, taken)) == ring_wide(&shared->head), "taken");
    expect(sum(offsetof(struct ring_slot, done)) + sum(offsetof(struct ring_slot, settled)) ==
               shared->done.finished, "finished");
}

static void check_usable(void)
{
    uint64_t number;
    uint32_t items;
    int64_t at = clock_now();
    if (atomic_load(&ring.shared->shut)) return;
    expect(put_sized(5, 8, RING_NOW) == RING_OK, "put afterwards");
    expect(take(&number, 1, &items, RING_NOW) == RING_OK && number == 5, "get afterwards");
    expect(ring_task_done(&ring, 1) == RING_OK, "task_done afterwards");
    expect(ring_join(&ring, CLOCK_NEVER) == RING_OK, "join afterwards");
    expect(clock_now() - at < PROMPT_MS * 1000000LL, "afterwards it is slow");
}

/* --- the acts ----------------------------------------------------------------------------------- */

static int victim_died;

static void reap_victim(pid_t victim)
{
    int status;
    waitpid(victim, &status, 0);
    victim_died = WIFSIGNALED(status);
    expect(victim_died ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0, "the victim failed");
}

static void reap(pid_t survivor)
{
    int status;
    waitpid(survivor, &status, 0);
    expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a survivor failed");
}

static void kill_off(pid_t survivor)
{
    kill(survivor, SIGKILL);
    waitpid(survivor, NULL, 0);
}

/* A producer alone; its third item goes around the end of the ring. */
static void victim_puts(void)
{
    for (uint32_t i = 1; i <= 4; i++) {
        expect(put_sized(i, 600, RING_NOW) == RING_OK, "victim's put");
        atomic_store(&told->victim_put, i);
    }
}

static void act_put(void)
{
    uint64_t number, first = 0;
    uint32_t items, count;
    for (int i = 0; i < 4; i++) { /* on the way to the end */
        put_sized(900, 600, RING_NOW);
        take(&number, 1, &items, RING_NOW);
        ring_task_done(&ring, 1);
    }
    reap_victim(play_victim(victim_puts));
    check_queue(&first, &count);
    expect(count >= told->victim_put && count <= told->victim_put + 1u, "an item that put returned for is gone");
    expect(!count || first == 1, "the first item is gone");
}

/* A consumer sleeps; a producer wakes it. What is committed reaches it promptly. */
static void victim_puts_once(void)
{
    expect(put_sized(7, 8, RING_NOW) == RING_OK, "victim's put");
    atomic_store(&told->victim_put, 1);
}

static void act_put_wakes(void)
{
    pid_t survivor = play(survivor_gets);
    AWAIT(sleeps_at(&ring.shared->head), PATIENT_MS);
    reap_victim(play_victim(victim_puts_once));
    if (ring_wide(&ring.shared->tail)) AWAIT(told->got == 7, PROMPT_MS);
    expect(told->victim_put <= told->got, "put returned and nobody got it");
    if (!told->got) director_puts(1);
    AWAIT(told->ended, PROMPT_MS);
    reap(survivor);
}

/* A consumer takes one, two at once, one of a kind that is too large for a buffer, and reports one. */
static void victim_gets(void)
{
    uint64_t numbers[4], large;
    uint32_t items;
    struct ring_part part = {&large, sizeof large};
    expect(take(numbers, 1, &items, RING_NOW) == RING_OK && numbers[0] == 1, "victim's get");
    atomic_store(&told->victim_got, 1);
    expect(take(numbers, 2, &items, RING_NOW) == RING_OK && items == 2, "victim's get_many");
    atomic_store(&told->victim_got, 3);
    expect(ring_take_large(&ring, ring.shared->head.position, 0, &part, 1) == RING_OK && large == 4,
           "victim's large get");
    atomic_store(&told->victim_got, 4);
    expect(ring_task_done(&ring, 1) == RING_OK, "victim's task_done");
    atomic_store(&told->victim_done, 1);
    expect(take(numbers, 1, &items, RING_NOW) == RING_OK && numbers[0] == 5, "victim's last get");
    atomic_store(&told->victim_got, 5);
}

static void act_get(void)
{
    uint64_t first = 0;
    uint32_t count;
    director_puts(6);
    pid_t joiner = play(survivor_joins);
    AWAIT(ring.shared->done.joiners, PATIENT_MS);
    reap_victim(play_victim(victim_gets));
    check_queue(&first, &count);
    uint32_t gone = 6 - count;
    expect(gone >= told->victim_got && gone <= told->victim_got + 2u, "items are gone that nobody got");
    expect(first == gone + 1, "what is left does not follow what was taken");
    AWAIT(told->joined, PROMPT_MS);
    reap(joiner);
    uint64_t lost = sum(offsetof(struct ring_slot, lost)), done = sum(offsetof(struct ring_slot, done)) - count;
    expect(done == told->victim_done || done == 1, "done is wrong");
    if (told->seen[CRASH_DONE_HOLDER]) expect(lost == gone - done, "lost is not what it had in hand");
    else expect(lost <= 2 && lost <= gone, "lost is more than its last get");
}

/* Two consumers wait, the victim first; an item comes. The other one gets it if the victim dies. */
static void victim_waits(void)
{
    uint64_t number;
    uint32_t items;
    expect(take(&number, 1, &items, CLOCK_NEVER) == RING_OK && number == 1, "victim's waiting get");
    atomic_store(&told->victim_got, 1);
}

static int ended_or(pid_t victim, int condition)
{
    siginfo_t info = {0};
    return condition || (waitid(P_PID, (id_t)victim, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid);
}

static void finish_waiting(pid_t victim, pid_t survivor)
{
    director_puts(1);
    AWAIT(ended_or(victim, told->got), PROMPT_MS);
    if (told->got) kill_off(victim); /* the item came to the other */
    else reap_victim(victim);
    ring_bury(&ring, 0);
    if (sum(offsetof(struct ring_slot, settled))) director_puts(1); /* the victim took the first */
    AWAIT(told->ended, PROMPT_MS);
    reap(survivor);
}

static void act_wait_first(void)
{
    pid_t victim = play_victim(victim_waits);
    AWAIT(ended_or(victim, sleeps_at(&ring.shared->head)), PATIENT_MS);
    pid_t survivor = play(survivor_gets);
    AWAIT(ended_or(victim, 0) ? sleeps_at(&ring.shared->head) : queues_at(&ring.shared->head), PATIENT_MS);
    finish_waiting(victim, survivor);
}

static void act_wait_second(void)
{
    uint64_t first;
    uint32_t count;
    pid_t survivor = play(survivor_gets);
    AWAIT(sleeps_at(&ring.shared->head), PATIENT_MS);
    pid_t victim = play_victim(victim_waits);
    AWAIT(ended_or(victim, queues_at(&ring.shared->head)), PATIENT_MS);
    director_puts(1); /* for the survivor, who passes the turn on */
    AWAIT(told->ended, PROMPT_MS);
    reap(survivor);
    next_number = 0;
    director_puts(1); /* for the victim, if it lives */
    reap_victim(victim);
    check_queue(&first, &count);
    expect(count == !told->victim_got || victim_died, "the second item");
}

/* A producer sleeps at a full ring; a consumer makes room. */
static void victim_makes_room(void)
{
    uint64_t numbers[4];
    uint32_t items;
    expect(take(numbers, 4, &items, RING_NOW) == RING_OK, "victim's get");
    atomic_store(&told->victim_got, items);
}

static void act_get_wakes(void)
{
    uint64_t first;
    uint32_t count;
    while (put_sized(++next_number, 8, RING_NOW) == RING_OK) continue;
    pid_t survivor = play(survivor_puts);
    AWAIT(sleeps_at(&ring.shared->tail), PATIENT_MS);
    reap_victim(play_victim(victim_makes_room));
    if (!ring_wide(&ring.shared->head)) { /* it died before */
        expect(take(&first, 1, &count, RING_NOW) == RING_OK && count == 1, "director's get");
        expect(ring_task_done(&ring, 1) == RING_OK, "director's task_done");
    }
    AWAIT(told->put, PROMPT_MS);
    reap(survivor);
    check_queue(&first, &count);
}

/* Somebody died with items in hand; who buries him dies, too. */
static void dies_with_items(void)
{
    uint64_t numbers[2];
    uint32_t items;
    take(numbers, 2, &items, RING_NOW);
    ring_task_done(&ring, 1);
    kill(getpid(), SIGKILL);
}

static void victim_buries(void)
{
    ring_bury(&ring, 1);
}

static void act_bury(void)
{
    director_puts(2);
    pid_t joiner = play(survivor_joins);
    AWAIT(ring.shared->done.joiners, PATIENT_MS);
    kill(joiner, SIGSTOP); /* it would be quicker */
    reap_victim(play(dies_with_items));
    reap_victim(play_victim(victim_buries));
    kill(joiner, SIGCONT);
    AWAIT(told->joined, PROMPT_MS);
    reap(joiner);
    ring_bury(&ring, 0);
    expect(sum(offsetof(struct ring_slot, lost)) == 1, "what the dead had in hand is not lost");
}

/* Somebody died between a commit and its account; who repairs it dies, too. */
static void dies_unbooked_get(void)
{
    uint64_t number;
    uint32_t items;
    mortal = 1;
    die_at = CRASH_HEAD_COMMITTED;
    die_visit = 1;
    take(&number, 1, &items, RING_NOW);
}

static void dies_unbooked_done(void)
{
    mortal = 1;
    die_at = CRASH_DONE_FINISHED;
    die_visit = 1;
    ring_task_done(&ring, 1);
}

static void victim_repairs(void)
{
    uint64_t number;
    uint32_t items;
    expect(take(&number, 1, &items, RING_NOW) == RING_OK && number == 2, "victim's get");
    expect(ring_task_done(&ring, 1) == RING_OK, "victim's task_done");
}

static void act_repair(void)
{
    uint64_t first;
    uint32_t count;
    director_puts(4);
    waitpid(play(dies_unbooked_get), NULL, 0);
    waitpid(play(dies_unbooked_done), NULL, 0);
    memset((void *)told->seen, 0, sizeof told->seen);
    reap_victim(play_victim(victim_repairs));
    check_queue(&first, &count);
    expect(count == 2 || count == 3, "a repair took or gave an item");
}

/* The slot's owner died settling: the same with the account of what was lost. */
static void dies_settling(void)
{
    mortal = 1;
    die_at = CRASH_SETTLE_FINISHED;
    die_visit = 1;
    ring_bury(&ring, 1);
}

static void act_repair_settling(void)
{
    director_puts(2);
    waitpid(play(dies_with_items), NULL, 0);
    waitpid(play(dies_settling), NULL, 0);
    memset((void *)told->seen, 0, sizeof told->seen);
    reap_victim(play_victim(victim_buries));
    ring_bury(&ring, 0);
    expect(sum(offsetof(struct ring_slot, lost)) == 1, "lost is counted twice or not at all");
}

/* shutdown(immediate) while a consumer sleeps and items wait. */
static void victim_shuts(void)
{
    uint8_t buffer[256];
    struct ring_taking taking = {.buffer = buffer, .room = sizeof buffer};
    expect(ring_shut(&ring, 1) == RING_OK, "victim's shutdown");
    while (ring_drop(&ring, &taking) == RING_OK) continue;
    ring_settle(&ring, RING_NOBODY, 0);
}

static void act_shut_asleep(void)
{
    pid_t survivor = play(survivor_gets);
    AWAIT(sleeps_at(&ring.shared->head), PATIENT_MS);
    reap_victim(play_victim(victim_shuts));
    if (atomic_load(&ring.shared->shut)) AWAIT(told->refused, PROMPT_MS);
    else kill_off(survivor);
}

static void act_shut_full(void)
{
    uint64_t first;
    uint32_t count;
    director_puts(5);
    reap_victim(play_victim(victim_shuts));
    if (!atomic_load(&ring.shared->shut)) {
        check_queue(&first, &count);
        expect(count == 5, "dropped before the shutdown");
        return;
    }
    expect(put_sized(1, 8, RING_NOW) == RING_SHUT_DOWN, "a put after the shutdown");
    victim_shuts(); /* whoever shuts it down again goes on with it */
    expect(ring_unfinished(&ring) == 0, "what was dropped is not done");
    expect(ring.shared->slots[RING_NOBODY].taken == 5, "not all was dropped");
}

/* A thread sleeps for a lock that another holds. */
static void act_lock(void)
{
    uint64_t first;
    uint32_t count;
    expect(ring_lock_tail(&ring, CLOCK_NEVER) == RING_OK, "director's lock");
    pid_t victim = play_victim(victim_puts_once);
    AWAIT(ended_or(victim, (atomic_load(&ring.shared->tail.lock.word) & FUTEX_WAITERS) != 0), PATIENT_MS);
    ring_unlock(&ring.shared->tail.lock);
    reap_victim(victim);
    check_queue(&first, &count);
    expect(count <= 1 && count >= told->victim_put, "the item");
}

/* Leaving in good order. */
static void victim_leaves(void)
{
    uint64_t number;
    uint32_t items;
    take(&number, 1, &items, RING_NOW);
    ring_leave(&ring);
}

static void act_leave(void)
{
    uint64_t first;
    uint32_t count;
    director_puts(2);
    reap_victim(play_victim(victim_leaves));
    check_queue(&first, &count);
    expect(count >= 1, "one item only was taken");
}

static const struct {
    const char *name;
    void (*run)(void);
} acts[] = {
    {"put", act_put},
    {"put wakes", act_put_wakes},
    {"get", act_get},
    {"wait first", act_wait_first},
    {"wait second", act_wait_second},
    {"get wakes", act_get_wakes},
    {"bury", act_bury},
    {"repair", act_repair},
    {"repair settling", act_repair_settling},
    {"shut, one asleep", act_shut_asleep},
    {"shut, items wait", act_shut_full},
    {"lock", act_lock},
    {"leave", act_leave},
};

static void perform(void (*run)(void), int place, int visit)
{
    memset((void *)told, 0, sizeof *told);
    next_number = 0;
    int fd = memfd_create("ring", 0);
    expect(ring_create(&ring, fd, 0, UNITS_BYTES) == 0, "create");
    close(fd);
    attach_here();
    die_at = place;
    die_visit = visit;
    run();
    die_at = place; /* for the messages */
    if (!atomic_load(&ring.shared->shut)) check_accounts();
    check_usable();
    ring_leave(&ring);
    ring_detach(&ring);
}

static int perform_all(size_t index, uint32_t *reached)
{
    uint32_t visits[CRASH_END];
    int deaths = 0;
    int64_t began = clock_now();
    act_name = acts[index].name;
    perform(acts[index].run, CRASH_NOWHERE, 0);
    memcpy(visits, (void *)told->seen, sizeof visits);
    for (int place = 1; place < CRASH_END; place++) {
        reached[place] += visits[place];
        for (uint32_t visit = 1; visit <= visits[place] && visit <= 8; visit++) {
            perform(acts[index].run, place, (int)visit);
            deaths += victim_died;
        }
    }
    printf("%-18s died %3d times, %lld ms\n", act_name, deaths, (long long)(clock_now() - began) / 1000000);
    return deaths;
}

int main(void)
{
    uint32_t reached[CRASH_END] = {0};
    int missing = 0;
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) perform_all(i, reached);
    for (int place = 1; place < CRASH_END; place++)
        if (!reached[place]) missing += printf("no act reaches %s\n", names[place]) > 0;
    return missing != 0;
}
