/* The heap of a PriorityQueue: the same array as heapq makes, after the same comparisons.
 *
 * A comparison may run any code: it may fail, let other threads in, or use this very queue. So a
 * change is first planned by reading alone: `path` lists the places whose entries move up by one
 * (the entry at path[i + 1] goes to path[i]) and, as its end, the place for the entry that moves.
 * If the heap is unchanged when the plan is ready, it is carried out in one go; otherwise another
 * change won, and planning begins again. On an error there is nothing to undo. Comparisons that
 * themselves change the queue, each time, would go on for ever: that ends in an error too.
 */
#include "queue.h"

enum { DEEPEST = 64, FAILED = -1, STALE = -2, MOST_ATTEMPTS = 100 };

typedef struct {
    Py_ssize_t path[DEEPEST];
    int end;
} Plan;

static PyObject *at(const Queue *q, Py_ssize_t index)
{
    return q->entries[index].item;
}

/* Whether a goes before b. Runs Python code. */
int heap_less(PyObject *a, PyObject *b)
{
    Py_INCREF(a);
    Py_INCREF(b);
    int less = PyObject_RichCompareBool(a, b, Py_LT);
    Py_DECREF(a);
    Py_DECREF(b);
    return less;
}

/* The same during planning: STALE if the heap changed meanwhile. */
static int less_still(const Queue *q, PyObject *a, PyObject *b)
{
    uint64_t version = q->version;
    int less = heap_less(a, b);
    return less < 0 ? FAILED : q->version != version ? STALE : less;
}

/* From `index` towards the root, as far as `item` goes before what is there. */
static int plan_up(const Queue *q, PyObject *item, Py_ssize_t index, Plan *plan)
{
    plan->end = 0;
    plan->path[0] = index;
    while (index > 0) {
        Py_ssize_t parent = (index - 1) >> 1;
        int less = less_still(q, item, at(q, parent));
        if (less <= 0) {
            return less;
        }
        plan->path[++plan->end] = index = parent;
    }
    return 0;
}

/* The child of `index` that goes first, among `size` entries. */
static Py_ssize_t smaller_child(const Queue *q, Py_ssize_t index, Py_ssize_t size)
{
    Py_ssize_t child = 2 * index + 1;
    if (child + 1 < size) {
        int less = less_still(q, at(q, child), at(q, child + 1));
        return less < 0 ? less : child + !less;
    }
    return child;
}

/* From `index` down to a leaf by the smaller children, then back to where `item` fits: leaves are
 * its likely place, so this compares less often than stopping on the way down. */
static int plan_down(const Queue *q, PyObject *item, Py_ssize_t index, Py_ssize_t size, Plan *plan)
{
    plan->end = 0;
    plan->path[0] = index;
    while (index < size >> 1) {
        index = smaller_child(q, index, size);
        if (index < 0) {
            return (int)index;
        }
        plan->path[++plan->end] = index;
    }
    while (plan->end > 0) {
        int less = less_still(q, item, at(q, plan->path[plan->end]));
        if (less <= 0) {
            return less;
        }
        plan->end--;
    }
    return 0;
}

/* Where the last entry goes when the one at `index` is removed. */
static int plan_removal(const Queue *q, Py_ssize_t index, Plan *plan)
{
    Py_ssize_t size = q->size - 1;
    PyObject *last = at(q, size);
    plan->end = -1;
    if (index == size) {
        return 0;
    }
    if (index > 0) {
        int planned = plan_up(q, last, index, plan);
        if (planned < 0 || plan->end > 0) {
            return planned;
        }
    }
    return plan_down(q, last, index, size, plan);
}

/* After a plan that could not be carried out: FAILED when it was this thread's own doing too often,
 * else STALE, which is no news. Another thread's change means that somebody gets on. */
static int planned_again(Queue *q, int planned, int *own)
{
    if (planned == STALE && q->writer == PyThread_get_thread_ident() && ++*own == MOST_ATTEMPTS) {
        raise_restless(q);
        return FAILED;
    }
    return planned;
}

static void carry_out(Queue *q, const Plan *plan, Entry moved)
{
    q->version++;
    q->writer = PyThread_get_thread_ident();
    for (int i = 0; i < plan->end; i++) {
        q->entries[plan->path[i]] = q->entries[plan->path[i + 1]];
    }
    if (plan->end >= 0) {
        q->entries[plan->path[plan->end]] = moved;
    }
}

static bool may_put(const Queue *q, const Waiter *called)
{
    return !q->closed && (called ? called->state == CALLED : has_room(q));
}

static bool may_take(const Queue *q, const Waiter *called)
{
    return called ? called->state == CALLED : available(q) > 0;
}

/* The promise is kept: the waiter is out of its line. */
static void redeem(Waiter *called)
{
    if (called) {
        called->state = DONE;
        line_quit(called);
    }
}

int heap_push(Queue *q, PyObject *item, Waiter *called)
{
    int own = 0;
    while (may_put(q, called)) {
        Plan plan;
        int planned = planned_again(q, plan_up(q, item, q->size, &plan), &own);
        if (planned == FAILED) {
            return -1;
        }
        if (planned == STALE || !may_put(q, called)) {
            continue;
        }
        if (q->size == q->capacity && store_grow(q) < 0) {
            PyErr_NoMemory();
            return -1;
        }
        carry_out(q, &plan, (Entry){Py_NewRef(item), q->next_seq});
        count_put(q);
        redeem(called);
        return 1;
    }
    return 0;
}

static Py_ssize_t index_of(const Queue *q, uint64_t seq)
{
    Py_ssize_t index = 0;
    while (seq != HEAP_LEAST && index < q->size && q->entries[index].seq != seq) {
        index++;
    }
    return index;
}

static PyObject *remove_planned(Queue *q, Py_ssize_t index, const Plan *plan)
{
    PyObject *item = at(q, index);
    carry_out(q, plan, q->entries[--q->size]);
    q->got++;
    return item;
}

PyObject *heap_remove(Queue *q, uint64_t seq, Waiter *called)
{
    int own = 0;
    while (may_take(q, called)) {
        Plan plan;
        Py_ssize_t index = index_of(q, seq);
        if (index == q->size) {
            return NULL;
        }
        int planned = planned_again(q, plan_removal(q, index, &plan), &own);
        if (planned == FAILED) {
            return NULL;
        }
        if (planned == STALE || !may_take(q, called)) {
            continue;
        }
        PyObject *item = remove_planned(q, index, &plan);
        redeem(called);
        return item;
    }
    return NULL;
}
