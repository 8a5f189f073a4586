/* A lock in shared memory that the kernel releases when its holder dies.
 *
 * It follows the kernel's published agreement (robust-futex-ABI): the word holds the thread id
 * of the owner; a thread that dies has a list, known to the kernel, of the locks that it holds,
 * and one entry for the lock that it is just taking or giving up. For each of them that names the
 * dead thread the kernel sets FUTEX_OWNER_DIED and wakes a sleeper.
 *
 * Why not pthread's robust mutex, which does the same: a sleeper of that one cannot be
 * interrupted by a signal (Ctrl-C in a blocking get), and `insure` below needs the pending entry.
 * The list is the one that libc registered for the thread; entries are added and removed in last
 * in, first out order within a call, so libc's own entries stay as they are.
 *
 * Layout: `word` is written by compare-and-exchange by whoever takes the lock, by its owner when
 * it lets go, and by the kernel. `node` holds the owner's list entry (where in it, libc decides);
 * only the owner and the kernel, on the owner's death, read it.
 * Memory order: taking acquires, letting go releases.
 * When the owner dies: the next to take it gets EOWNERDEAD and must repair what the lock guards.
 */
#ifndef PENSTOCK_ROBUST_H
#define PENSTOCK_ROBUST_H

#include <signal.h>
#include <stddef.h>
#include <string.h>

/* For the CRASH_POINTS of a part that uses these locks. */
#define ROBUST_POINTS(X)                                                                   \
    X(LOCK_SEIZED) X(LOCK_LINKED) X(LOCK_SLEEPS) X(LOCK_SLEPT) X(LOCK_UNLINKED) X(LOCK_FREED) \
    X(LOCK_PASSED)

#include "crash.h"
#include "futex.h"

#define ROBUST_NODE 44

struct robust {
    _Atomic uint32_t word;
    uint8_t node[ROBUST_NODE];
};

/* Every sleep looks again after so long. Nothing we know needs it but a peer that is stopped
 * (SIGSTOP) or killed on a kernel before 6.2, which does not wake for `insure`. */
#define ROBUST_LOOK_AGAIN CLOCK_SECOND

/* What a thread needs to take locks; `id` is 0 until its first lock, and after a fork. `outer` are
 * the list's beginnings before each lock that it holds: kept here, not read back from shared
 * memory, so that damage there cannot reach libc's list. */
struct robust_self {
    uint32_t id, held;
    struct robust_list_head *list;
    struct robust_list *outer[4];
};

extern _Thread_local struct robust_self robust_self;

/* Asks the kernel who we are; ENOSYS where it keeps no list for us. */
static inline int robust_begin(void)
{
    struct robust_list_head *list = NULL;
    size_t size = 0;
    if (syscall(SYS_get_robust_list, 0, &list, &size) || !list) return ENOSYS;
    long room = -list->futex_offset - (long)offsetof(struct robust, node);
    if (room < 0 || room > ROBUST_NODE - (long)sizeof(void *)) return ENOSYS;
    robust_self.list = list;
    robust_self.id = (uint32_t)syscall(SYS_gettid);
    return 0;
}

static inline struct robust_self *robust_me(void)
{
    if (!robust_self.id) robust_begin(); /* cannot fail: `robust_works` was asked at import */
    return &robust_self;
}

static inline int robust_works(void)
{
    return robust_self.id || robust_begin() == 0;
}

/* The list entry that belongs to a word. */
static inline struct robust_list *robust_entry(struct robust_self *me, _Atomic uint32_t *word)
{
    return (struct robust_list *)((uintptr_t)word - (uintptr_t)me->list->futex_offset);
}

static inline void robust_pending(struct robust_self *me, struct robust_list *entry)
{
    atomic_signal_fence(memory_order_seq_cst); /* the kernel reads it as of the moment of death */
    *(struct robust_list *volatile *)&me->list->list_op_pending = entry;
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void robust_link(struct robust_self *me, struct robust_list *entry)
{
    CRASH_POINT(LOCK_SEIZED);
    me->outer[me->held++] = me->list->list.next;
    memcpy(&entry->next, &me->list->list.next, sizeof entry->next); /* may be unaligned */
    atomic_signal_fence(memory_order_seq_cst);
    *(struct robust_list *volatile *)&me->list->list.next = entry;
    CRASH_POINT(LOCK_LINKED);
    robust_pending(me, NULL);
}

/* From here until `insured`, if this thread is killed, the kernel wakes a sleeper of `word`, whose
 * lower 30 bits must be 0. Not across taking or giving up a lock: there is one such entry. */
static inline void robust_insure(_Atomic uint32_t *word)
{
    struct robust_self *me = robust_me();
    robust_pending(me, robust_entry(me, word));
}

static inline void robust_insured(void)
{
    robust_pending(robust_me(), NULL);
}

/* `mine` is the thread's id, with the waiters' bit if it slept: then others may. The bit also stays
 * when it is in the word, so that a waiter that was woken and killed on the way leaves nobody
 * asleep. */
static inline int robust_seize(_Atomic uint32_t *word, uint32_t seen, uint32_t mine)
{
    return atomic_compare_exchange_strong_explicit(word, &seen, mine | (seen & FUTEX_WAITERS),
                                                   memory_order_acquire, memory_order_relaxed);
}

/* 0 or EOWNERDEAD when taken, EBUSY when another has it. */
static inline int robust_try(struct robust *lock)
{
    struct robust_self *me = robust_me();
    struct robust_list *entry = robust_entry(me, &lock->word);
    uint32_t seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
    if (seen & FUTEX_TID_MASK) return EBUSY;
    robust_pending(me, entry);
    if (!robust_seize(&lock->word, seen, me->id)) {
        robust_pending(me, NULL);
        return EBUSY;
    }
    robust_link(me, entry);
    return seen & FUTEX_OWNER_DIED ? EOWNERDEAD : 0;
}

/* Where the kernel could not tell us (it runs no robust lists for the owner, or the word was
 * damaged): a lock whose owner does not exist is free. */
static inline void robust_doubt(struct robust *lock, uint32_t seen)
{
    if (kill((pid_t)(seen & FUTEX_TID_MASK), 0) && errno == ESRCH)
        atomic_compare_exchange_strong(&lock->word, &seen,
                                       (seen & FUTEX_WAITERS) | FUTEX_OWNER_DIED);
}

/* Sleeps once. The waiters' bit is set first, also when there is no time left: another waiter may
 * have been passed over by whoever holds it now. */
static inline int robust_sleep(struct robust *lock, uint32_t seen, int64_t deadline)
{
    uint32_t marked = seen | FUTEX_WAITERS;
    if (seen != marked && !atomic_compare_exchange_strong(&lock->word, &seen, marked)) return 0;
    int64_t again = clock_now() + ROBUST_LOOK_AGAIN;
    CRASH_POINT(LOCK_SLEEPS);
    int result = futex_sleep(&lock->word, marked, clock_earlier(deadline, again));
    CRASH_POINT(LOCK_SLEPT);
    if (result != ETIMEDOUT || deadline <= again) return result;
    robust_doubt(lock, marked);
    return EAGAIN;
}

/* Sleeps at most once. Taken: 0 or EOWNERDEAD. Not taken: ETIMEDOUT, EINTR, or EAGAIN: woken, or
 * after a second, and another has it. */
static inline int robust_wait(struct robust *lock, int64_t deadline)
{
    struct robust_self *me = robust_me();
    struct robust_list *entry = robust_entry(me, &lock->word);
    uint32_t mine = me->id;
    int result = 0;
    robust_pending(me, entry);
    while (!result) {
        uint32_t seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
        if (!(seen & FUTEX_TID_MASK)) {
            if (!robust_seize(&lock->word, seen, mine)) continue;
            robust_link(me, entry);
            return seen & FUTEX_OWNER_DIED ? EOWNERDEAD : 0;
        }
        if (mine != me->id) { /* slept already: others may still, so whoever has it must know */
            atomic_compare_exchange_strong(&lock->word, &seen, seen | FUTEX_WAITERS);
            result = EAGAIN;
        } else {
            result = robust_sleep(lock, seen, deadline);
            mine |= FUTEX_WAITERS;
        }
    }
    robust_pending(me, NULL);
    return result;
}

/* With waiters the bit stays in the free word until a wake-up finds nobody: a thread that takes
 * the lock before the woken one does must not forget the others. */
static inline void robust_unlock(struct robust *lock)
{
    struct robust_self *me = robust_me();
    struct robust_list *entry = robust_entry(me, &lock->word);
    uint32_t mine = me->id, free = FUTEX_WAITERS;
    robust_pending(me, entry);
    atomic_signal_fence(memory_order_seq_cst);
    *(struct robust_list *volatile *)&me->list->list.next = me->outer[--me->held];
    atomic_signal_fence(memory_order_seq_cst);
    CRASH_POINT(LOCK_UNLINKED);
    if (!atomic_compare_exchange_strong_explicit(&lock->word, &mine, 0, memory_order_release,
                                                 memory_order_relaxed)) {
        atomic_store_explicit(&lock->word, FUTEX_WAITERS, memory_order_release);
        CRASH_POINT(LOCK_FREED);
        if (syscall(SYS_futex, &lock->word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0)
            atomic_compare_exchange_strong(&lock->word, &free, 0);
        CRASH_POINT(LOCK_PASSED);
    }
    robust_pending(me, NULL);
}

#endif
