/* Queues between threads and event loops of one process.
 *
 * Layout. `entries` holds the items in the order in which they were put (a circular buffer) or, for
 * HEAP, as the array of a heap (head is then 0). Each entry has a number, `seq`, counted from 0 in
 * the order of putting. Whoever waits is a Waiter in one of five lines, first come, first served:
 *
 *   getters   wait for an item           called_getters   one item is theirs, they come to take it
 *   putters   wait for room              called_putters   one place is theirs, they come to fill it
 *   joiners   wait for the last task_done
 *
 * A called waiter has a promise, not a certain item: what is there for all others is `size` less
 * the called getters (that is qsize), and what is free is `maxsize` less that and less the called
 * putters. So nothing is ever handed out that would have to be given back: a waiter that leaves
 * (cancelled, interrupted, out of time) only frees its promise for the next one.
 *
 * Who writes. Every field is written under the GIL, by C code that runs no Python code between
 * reading the state and writing the last field that depends on it: no allocation of objects that
 * the collector tracks, no release of a reference, no comparison. That is the only lock, so signal
 * handlers, destructors and other threads find a queue that is whole. Functions that run Python
 * code say so; after it they look at everything again (a heap counts its changes in `version`).
 *
 * Memory order is the GIL's: the module does not offer to run without it. If the process dies, so
 * does the queue. After fork, in the child, all waiters of the parent are dropped with their
 * promises (`forks` differs); the items stay.
 */
#ifndef PENSTOCK_ITEMS_QUEUE_H
#define PENSTOCK_ITEMS_QUEUE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pythread.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum { FIFO, LIFO, HEAP } Order;

typedef struct {
    PyObject *item; /* owned */
    uint64_t seq;
} Entry;

/* How a waiter stands. IDLE: in no line. LOST: it stood in a line of the parent before a fork. */
typedef enum { IDLE, WAITING, CALLED, DONE, CLOSED, LOST } State;

typedef struct Waiter Waiter;

typedef struct {
    Waiter *first, *last; /* owned */
    Py_ssize_t count;
} Line;

struct Waiter {
    PyObject_HEAD
    Line *line; /* where it stands, or NULL */
    Waiter *previous, *next;
    Waiter *due;             /* the next one whose `wake` is to be called */
    PyThread_type_lock lock; /* a thread's, held until it is woken; NULL for a task */
    PyObject *wake;          /* a task's: called from any thread; false when nobody is left */
    PyObject *item;          /* what a thread puts: moved into the queue in its turn */
    uint64_t seen;           /* a getter with a predicate refused all items before this one */
    uint8_t state;
    bool picky;  /* has a predicate */
    bool asleep; /* must be woken after the next change of its state */
};

typedef struct {
    PyObject_HEAD
    Entry *entries;
    Py_ssize_t capacity; /* a power of two, or 0 */
    Py_ssize_t head, size, peak;
    uint64_t next_seq; /* so many items were put */
    uint64_t got;
    uint64_t version;     /* of the heap */
    unsigned long writer; /* the thread that made this version */
    Py_ssize_t maxsize, unfinished;
    unsigned forks;
    uint8_t order;
    bool closed;
    Line getters, called_getters, putters, called_putters, joiners;
} Queue;

/* What others may take now (qsize). */
static inline Py_ssize_t available(const Queue *q)
{
    return q->size - q->called_getters.count;
}

static inline bool has_room(const Queue *q)
{
    return q->maxsize <= 0 || available(q) + q->called_putters.count < q->maxsize;
}

/* store.c: entries in order of putting. None of these runs Python code but `detached_free`; where
 * there is no memory they return -1 and set no exception, since one may be under way. */

static inline Entry *entry_at(const Queue *q, Py_ssize_t index)
{
    return &q->entries[(q->head + index) & (q->capacity - 1)];
}

int store_grow(Queue *q); /* room for one more entry */
PyObject *store_remove(Queue *q, Py_ssize_t index);
Py_ssize_t store_find(const Queue *q, uint64_t seq); /* first index with this seq or a later one */

typedef struct {
    Entry *entries;
    Py_ssize_t capacity, head, size;
} Detached;

Detached store_detach(Queue *q); /* takes all */
void detached_free(Detached d);  /* releases them */

/* What every put has in common; the entry itself is written by the caller. */
static inline void count_put(Queue *q)
{
    q->next_seq++;
    q->unfinished++;
    if (++q->size > q->peak) {
        q->peak = q->size;
    }
}

static inline int store_push(Queue *q, PyObject *item)
{
    if (q->size == q->capacity && store_grow(q) < 0) {
        return -1;
    }
    *entry_at(q, q->size) = (Entry){Py_NewRef(item), q->next_seq};
    count_put(q);
    return 0;
}

/* heap.c: these run comparisons, so Python code; on an error nothing has changed. */

int heap_less(PyObject *a, PyObject *b);
/* 1: put; 0: no room, or shut down (look again) */
int heap_push(Queue *q, PyObject *item, Waiter *called);
/* The entry with this seq, or the least one for HEAP_LEAST. NULL without an error: it is gone, or
 * promised to others. `called`: take it on this waiter's promise. */
#define HEAP_LEAST UINT64_MAX
PyObject *heap_remove(Queue *q, uint64_t seq, Waiter *called);

/* line.c: who waits. Tasks are woken by Python code, which runs at the end of line_leave, settle,
 * finish and close_queue, when the queue is whole again. */

extern unsigned forks; /* of this process and its ancestors, counted in the child */
void refresh_slow(Queue *q);
static inline void refresh(Queue *q)
{
    if (q->forks != forks) {
        refresh_slow(q);
    }
}

void line_join(Line *line, Waiter *w);
void line_quit(Waiter *w);            /* its owner holds a reference, so this frees nothing */
void line_leave(Queue *q, Waiter *w); /* gives up: what it was promised goes to the next one */
uint64_t frontier(const Queue *q, const Waiter *w);
void settle_slow(Queue *q); /* calls whoever can go on now */
static inline void settle(Queue *q)
{
    if (q->getters.first || q->putters.first) {
        settle_slow(q);
    }
}
void finish(Queue *q, Py_ssize_t count); /* so many items less to be done */
void raise_afterwards(void); /* the exception that is set: not now, but after the present call */
void close_queue(Queue *q, bool immediate);
int line_visit(Line *line, visitproc visit, void *arg);
void line_clear(Line *line);

/* take.c: one item in, one item out. */

/* 1: put; 0: no room; -1: error */
int put_now(Queue *q, PyObject *item);
/* NULL without an error: nothing there */
PyObject *take_now(Queue *q);
/* The same for a waiter, which joins its line where it must wait. */
int put_for(Queue *q, Waiter *w, PyObject *item);
PyObject *take_for(Queue *q, Waiter *w, PyObject *match);
int join_for(Queue *q, Waiter *w); /* 1: all is done; 0: wait */

/* seek.c: the first item that satisfies a predicate; NULL without an error: none so far. */
PyObject *seek(Queue *q, Waiter *w, PyObject *match);

/* wait.c: a thread waits, without the GIL. Deadlines as in clock.h. */

Waiter *waiter_for_thread(PyTypeObject *type);
PyObject *take_waiting(Queue *q, PyObject *match, int64_t deadline);
int put_waiting(Queue *q, PyObject *item, int64_t deadline); /* 1: put; 0: time is over */
int join_waiting(Queue *q);

/* module.c */

void *raise_empty(Queue *q);
void *raise_full(Queue *q);
void *raise_shut_down(Queue *q);
void *raise_restless(Queue *q);
void *raise_config(Queue *q, const char *text, PyObject *value); /* with %R for the value */
bool is_shut_down(Queue *q); /* whether that is the exception that is set */
PyTypeObject *waiter_type(Queue *q);

#endif
