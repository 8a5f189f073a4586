/* A thread that waits: in its line, asleep on a lock of its own, without the GIL.
 *
 * All of this is C, so a signal handler that raises (Ctrl-C) does so either while the item is still
 * in the queue, or after the call has returned it.
 */
#include "queue.h"

#include "clock.h"

enum { WOKEN, TIME_OVER, INTERRUPTED };

Waiter *waiter_for_thread(PyTypeObject *type)
{
    Waiter *w = (Waiter *)type->tp_alloc(type, 0);
    if (!w) {
        return NULL;
    }
    w->lock = PyThread_allocate_lock();
    if (!w->lock) {
        Py_DECREF(w);
        return (Waiter *)PyErr_NoMemory();
    }
    PyThread_acquire_lock(w->lock, NOWAIT_LOCK);
    return w;
}

static PY_TIMEOUT_T microseconds_until(int64_t deadline)
{
    if (deadline == CLOCK_NEVER) {
        return -1;
    }
    int64_t left = deadline - clock_now();
    return left <= 0 ? 0 : (left + 999) / 1000;
}

static int sleep_until(Waiter *w, int64_t deadline)
{
    for (;;) {
        PyLockStatus status;
        PY_TIMEOUT_T left = microseconds_until(deadline);
        Py_BEGIN_ALLOW_THREADS
        status = PyThread_acquire_lock_timed(w->lock, left, 1);
        Py_END_ALLOW_THREADS
        if (status == PY_LOCK_ACQUIRED) {
            return WOKEN;
        }
        if (status == PY_LOCK_FAILURE) {
            return TIME_OVER;
        }
        if (PyErr_CheckSignals() < 0) {
            return INTERRUPTED;
        }
        if (w->state == LOST) { /* the handler forked, and this is the child */
            w->asleep = false;
            return WOKEN;
        }
    }
}

static Waiter *new_waiter(Queue *q)
{
    return waiter_for_thread(waiter_type(q));
}

static void done_waiting(Queue *q, Waiter *w)
{
    line_leave(q, w);
    Py_DECREF(w);
}

/* One last look. Without a predicate it also sees what others, with one, still look at. */
static PyObject *take_at_last(Queue *q, Waiter *w, PyObject *match)
{
    PyObject *item = take_for(q, w, match);
    if (item != (PyObject *)w) {
        return item;
    }
    line_leave(q, w);
    item = match ? NULL : take_now(q);
    return item || PyErr_Occurred() ? item : raise_empty(q);
}

static PyObject *take_by(Queue *q, Waiter *w, PyObject *match, int64_t deadline)
{
    PyObject *item;
    while ((item = take_for(q, w, match)) == (PyObject *)w) {
        int end = sleep_until(w, deadline);
        if (end != WOKEN) {
            return end == TIME_OVER ? take_at_last(q, w, match) : NULL;
        }
    }
    return item;
}

PyObject *take_waiting(Queue *q, PyObject *match, int64_t deadline)
{
    Waiter *w = new_waiter(q);
    if (!w) {
        return NULL;
    }
    PyObject *item = take_by(q, w, match, deadline);
    done_waiting(q, w);
    return item;
}

static int interrupted(const Waiter *w)
{
    if (w->state != DONE) {
        return -1;
    }
    raise_afterwards();
    return 1;
}

static int put_by(Queue *q, Waiter *w, PyObject *item, int64_t deadline)
{
    int put, end = WOKEN;
    while ((put = put_for(q, w, item)) == 0 && end == WOKEN) {
        end = sleep_until(w, deadline);
        if (end == INTERRUPTED) {
            return interrupted(w);
        }
    }
    return put;
}

static int join_by(Queue *q, Waiter *w)
{
    while (!join_for(q, w)) {
        if (sleep_until(w, CLOCK_NEVER) == INTERRUPTED) {
            return -1;
        }
    }
    return 0;
}

int put_waiting(Queue *q, PyObject *item, int64_t deadline)
{
    Waiter *w = new_waiter(q);
    if (!w) {
        return -1;
    }
    w->item = Py_NewRef(item);
    int put = put_by(q, w, item, deadline);
    done_waiting(q, w);
    return put;
}

int join_waiting(Queue *q)
{
    Waiter *w = new_waiter(q);
    if (!w) {
        return -1;
    }
    int joined = join_by(q, w);
    done_waiting(q, w);
    return joined;
}
