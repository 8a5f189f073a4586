/* Which shape of ring is crash-safe, exact and fast?  C only, figures for docs/design.
 *
 *   a   one ring, one robust mutex; separate head, tail and counts, so an undo record
 *   b   a ring per producer (one writer, no lock), one robust mutex for the consumers
 *   c   one ring, a robust mutex for producers, one for consumers; each side commits by one
 *       aligned 64-bit store {sequence | position}
 *   d   as c, with locks of our own on the kernel's robust list instead of pthread's
 *
 *     gcc -O2 -std=gnu11 ring_candidates.c -o /tmp/rings -lpthread
 *     /tmp/rings c 4 4 1.0            throughput: 4 producers, 4 consumers, a second
 *     gcc -DKILL …; /tmp/rings c 4 4 5.0    the same while a process dies at a store, again and again
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { UNITS = 1 << 17, ITEM = 9, MANY = 16, MAXSIZE = 1000 }; /* 1 MiB; 8 + 64 bytes an item */

struct robust_lock {
    _Atomic uint32_t word;
    uint32_t pad[5];
    void *prev, *next;
};
struct lock {
    _Alignas(64) union {
        pthread_mutex_t p;
        struct robust_lock r;
    };
};
struct undo {
    uint32_t live, who;
    uint64_t head, tail, count, unfinished;
};
struct single {
    _Alignas(64) _Atomic uint64_t tail;
    _Alignas(64) _Atomic uint64_t head;
    uint64_t data[UNITS / 4];
};
static struct shared {
    struct lock tail_lock, head_lock;
    _Alignas(64) _Atomic uint64_t tail;
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) uint64_t count, unfinished;
    struct undo undo;
    _Alignas(64) _Atomic uint64_t moved[2 * MANY * 8]; /* operations by each process, one a line */
    _Atomic uint64_t dead_locks, wrong, over;
    _Atomic uint32_t stop, go;
    uint64_t data[UNITS];
    struct single rings[MANY];
} *S;

static int me, producers, consumers, variant;
static int64_t die_at = -1;
#ifdef KILL
#define POINT() do { if (die_at >= 0 && --die_at < 0) kill(getpid(), SIGKILL); } while (0)
#else
#define POINT() ((void)0)
#endif

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* --- locks ---------------------------------------------------------------------------------- */

static struct robust_list_head *list;
static uint32_t tid;

static void own_start(void)
{
    size_t n;
    syscall(SYS_get_robust_list, 0, &list, &n);
    tid = (uint32_t)syscall(SYS_gettid);
}

static int own_lock(struct robust_lock *l)
{
    struct robust_list *node = (struct robust_list *)((char *)&l->word - list->futex_offset);
    int spins = 0, slept = 0;
    list->list_op_pending = node;
    for (;;) {
        uint32_t v = atomic_load_explicit(&l->word, memory_order_relaxed);
        if (!(v & FUTEX_TID_MASK)) {
            uint32_t want = tid | (v & FUTEX_WAITERS) | (slept ? FUTEX_WAITERS : 0);
            if (!atomic_compare_exchange_weak(&l->word, &v, want)) continue;
            node->next = list->list.next;
            list->list.next = node;
            list->list_op_pending = NULL;
            return v & FUTEX_OWNER_DIED ? EOWNERDEAD : 0;
        }
        if (spins++ < 100) { __builtin_ia32_pause(); continue; }
        if (!(v & FUTEX_WAITERS) && !atomic_compare_exchange_weak(&l->word, &v, v | FUTEX_WAITERS))
            continue;
        syscall(SYS_futex, &l->word, FUTEX_WAIT, v | FUTEX_WAITERS, NULL, NULL, 0);
        slept = 1;
    }
}

static void own_unlock(struct robust_lock *l)
{
    struct robust_list *node = (struct robust_list *)((char *)&l->word - list->futex_offset);
    list->list_op_pending = node;
    list->list.next = node->next;
    if (atomic_exchange(&l->word, 0) & FUTEX_WAITERS)
        syscall(SYS_futex, &l->word, FUTEX_WAKE, 1, NULL, NULL, 0);
    list->list_op_pending = NULL;
}

static int take_lock(struct lock *l)
{
    int e = EBUSY;
    if (variant == 'd') e = own_lock(&l->r);
    else {
        for (int i = 0; i < 100 && (e = pthread_mutex_trylock(&l->p)) == EBUSY; i++)
            __builtin_ia32_pause();
        if (e == EBUSY) e = pthread_mutex_lock(&l->p);
        if (e == EOWNERDEAD) pthread_mutex_consistent(&l->p);
    }
    if (e == EOWNERDEAD) atomic_fetch_add(&S->dead_locks, 1);
    return e == EOWNERDEAD;
}

static void drop_lock(struct lock *l)
{
    if (variant == 'd') own_unlock(&l->r);
    else pthread_mutex_unlock(&l->p);
}

/* --- items: [number | 8 words made from it] --------------------------------------------------- */

static void write_item(uint64_t *data, uint64_t units, uint64_t at, uint64_t n)
{
    for (int i = 0; i < ITEM; i++) { data[(at + i) % units] = n * (2 * i + 1); if (i == 4) POINT(); }
}

static void read_item(uint64_t *data, uint64_t units, uint64_t at, uint64_t *out)
{
    for (int i = 0; i < ITEM; i++) out[i] = data[(at + i) % units];
    POINT();
}

static void check(uint64_t *item)
{
    for (int i = 1; i < ITEM; i++)
        if (item[i] != item[0] * (2 * i + 1)) atomic_fetch_add(&S->wrong, 1);
}

/* --- a ---------------------------------------------------------------------------------------- */

static void a_lock(void)
{
    if (take_lock(&S->tail_lock) && S->undo.live) {
        S->head = S->undo.head; S->tail = S->undo.tail;
        S->count = S->undo.count; S->unfinished = S->undo.unfinished;
        S->undo.live = 0;
    }
}

static void a_note(void)
{
    S->undo.head = S->head; S->undo.tail = S->tail;
    S->undo.count = S->count; S->undo.unfinished = S->unfinished;
    atomic_signal_fence(memory_order_seq_cst); POINT();
    S->undo.live = 1;
    atomic_signal_fence(memory_order_seq_cst); POINT();
}

static int a_put(uint64_t n)
{
    a_lock();
    int room = S->count < MAXSIZE && S->tail + ITEM - S->head <= UNITS;
    if (room) {
        write_item(S->data, UNITS, S->tail, n);
        a_note();
        S->tail += ITEM; POINT();
        S->count++; POINT();
        S->unfinished++; POINT();
        S->undo.live = 0;
    }
    drop_lock(&S->tail_lock);
    return room;
}

static int a_get(uint64_t *out)
{
    a_lock();
    int some = S->count > 0;
    if (some) {
        read_item(S->data, UNITS, S->head, out);
        a_note();
        S->head += ITEM; POINT();
        S->count--; POINT();
        S->unfinished--; POINT();
        S->undo.live = 0;
    }
    drop_lock(&S->tail_lock);
    return some;
}

/* --- b ---------------------------------------------------------------------------------------- */

static int b_put(uint64_t n)
{
    struct single *r = &S->rings[me];
    if (r->tail + ITEM - r->head > UNITS / 4) return 0; /* maxsize over all rings: not possible */
    write_item(r->data, UNITS / 4, r->tail, n);
    atomic_store_explicit(&r->tail, r->tail + ITEM, memory_order_release); POINT();
    return 1;
}

static int b_get(uint64_t *out)
{
    int some = 0;
    static unsigned turn;
    take_lock(&S->head_lock);
    for (int i = 0; i < producers && !some; i++) {
        struct single *r = &S->rings[turn++ % producers];
        if (atomic_load_explicit(&r->tail, memory_order_acquire) == r->head) continue;
        read_item(r->data, UNITS / 4, r->head, out);
        atomic_store_explicit(&r->head, r->head + ITEM, memory_order_release); POINT();
        some = 1;
    }
    drop_lock(&S->head_lock);
    return some;
}

/* --- c and d ---------------------------------------------------------------------------------- */

#define SEQ(w) ((uint32_t)((w) >> 32))
#define POS(w) ((uint32_t)(w))
#define STEP(w) (((uint64_t)(SEQ(w) + 1) << 32) | (uint32_t)(POS(w) + ITEM))

static int c_put(uint64_t n)
{
    take_lock(&S->tail_lock);
    uint64_t t = atomic_load_explicit(&S->tail, memory_order_relaxed);
    uint64_t h = atomic_load_explicit(&S->head, memory_order_acquire);
    int room = SEQ(t) - SEQ(h) < MAXSIZE && POS(t) + ITEM - POS(h) <= UNITS;
    if (room) {
        write_item(S->data, UNITS, POS(t), n); POINT();
        atomic_store_explicit(&S->tail, STEP(t), memory_order_release); POINT();
    }
    drop_lock(&S->tail_lock);
    return room;
}

static int c_get(uint64_t *out)
{
    take_lock(&S->head_lock);
    uint64_t h = atomic_load_explicit(&S->head, memory_order_relaxed);
    uint64_t t = atomic_load_explicit(&S->tail, memory_order_acquire);
    int some = SEQ(t) != SEQ(h);
    if (some) {
        read_item(S->data, UNITS, POS(h), out); POINT();
        atomic_store_explicit(&S->head, STEP(h), memory_order_release); POINT();
    }
    drop_lock(&S->head_lock);
    return some;
}

/* --- the run ---------------------------------------------------------------------------------- */

static int put(uint64_t n) { return variant == 'a' ? a_put(n) : variant == 'b' ? b_put(n) : c_put(n); }
static int get(uint64_t *o) { return variant == 'a' ? a_get(o) : variant == 'b' ? b_get(o) : c_get(o); }

static long queued(void)
{
    long sum = 0;
    if (variant == 'a') return (long)S->count;
    while (variant != 'b') { /* a pair that stood at one moment */
        uint64_t h = S->head, t = S->tail;
        if (h == S->head) return (uint32_t)(SEQ(t) - SEQ(h));
    }
    for (int i = 0; i < producers; i++) sum += (S->rings[i].tail - S->rings[i].head) / ITEM;
    return sum;
}

static void work(int index)
{
    uint64_t item[ITEM], n = 0;
    _Atomic uint64_t *moved = &S->moved[index * 8];
    own_start();
    me = index;
    if (die_at >= 0) die_at = 1 + random() % 20000;
    while (!S->go) sched_yield();
    while (!S->stop) {
        int done = index < producers ? put(++n) : get(item);
        if (done && index >= producers) check(item);
        if (done) atomic_store_explicit(moved, *moved + 1, memory_order_relaxed);
        else sched_yield();
#ifdef KILL
        if (variant != 'a' && variant != 'b' && queued() > MAXSIZE) atomic_fetch_add(&S->over, 1);
#endif
    }
    _exit(0);
}

static pid_t start(int index, int dies)
{
    pid_t pid = fork();
    if (pid) return pid;
    srandom(getpid());
    die_at = dies ? 0 : -1;
    work(index);
    return 0;
}

#ifdef KILL
static double worst_wait(int dead) /* seconds until every survivor has moved again */
{
    uint64_t was[2 * MANY];
    double t0 = now();
    for (int i = 0; i < producers + consumers; i++) was[i] = S->moved[i * 8];
    for (int i = 0; i < producers + consumers; i++)
        while (i != dead && S->moved[i * 8] == was[i] && now() - t0 < 5) sched_yield();
    return now() - t0;
}

static int by_size(const void *a, const void *b)
{
    return (*(double *)a > *(double *)b) - (*(double *)a < *(double *)b);
}
#endif


int main(int argc, char **argv)
{
    if (argc != 5) return 2;
    variant = argv[1][0]; producers = atoi(argv[2]); consumers = atoi(argv[3]);
    S = mmap(NULL, sizeof *S, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (variant != 'd') {
        pthread_mutex_init(&S->tail_lock.p, &attr);
        pthread_mutex_init(&S->head_lock.p, &attr);
    }
    own_start();
    int all = producers + consumers;
    pid_t pids[2 * MANY];
    for (int i = 0; i < all; i++) pids[i] = start(i, 0);
    S->go = 1;
    double t0 = now(), length = atof(argv[4]);
#ifdef KILL
    static double waits[100000];
    int kills = 0;
    for (int turn = 0; now() - t0 < length && kills < 100000; turn++) {
        int i = turn % all; /* replaced by one that dies at a store of its choice */
        kill(pids[i], SIGKILL); waitpid(pids[i], NULL, 0);
        pids[i] = start(i, 1);
        waitpid(pids[i], NULL, 0);
        waits[kills++] = worst_wait(i);
        pids[i] = start(i, 0);
    }
#else
    usleep(length * 1e6);
#endif
    uint64_t got = 0;
    for (int i = producers; i < all; i++) got += S->moved[i * 8];
    double spent = now() - t0;
    S->stop = 1;
    for (int i = 0; i < all; i++) { kill(pids[i], SIGKILL); waitpid(pids[i], NULL, 0); }
    long left = queued(), drained = 0;
    uint64_t item[ITEM];
    while (get(item)) { check(item); drained++; }
    printf("%c %dP%dC  %.2f M/s", variant, producers, consumers, got / spent / 1e6);
#ifdef KILL
    if (kills) {
        qsort(waits, kills, sizeof *waits, by_size);
        printf("  kills %d (in a lock %lu)  survivors go on: p50 %.3f p99 %.3f max %.3f ms", kills,
               S->dead_locks, waits[kills / 2] * 1e3, waits[kills * 99 / 100] * 1e3, waits[kills - 1] * 1e3);
    }
#endif
    printf("  size said %ld was %ld  damaged %lu  over %lu\n", left, drained, S->wrong, S->over);
    return left != drained || S->wrong || S->over;
}
