/* Counts, waiting, shutdown, statistics. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "object.h"

/* --- counts ---------------------------------------------------------------------------------- */

PyObject *ring_py_qsize(RingObject *self, PyObject *unused)
{
    uint64_t tail, head;
    struct attachment *at = ring_enter(self);
    (void)unused;
    if (!at) return NULL;
    int sane = ring_snapshot(&at->ring, &tail, &head);
    ring_exit(at);
    return sane ? PyLong_FromUnsignedLong(position_items(tail, head)) : ring_raise(RING_DAMAGED);
}

PyObject *ring_py_unfinished(RingObject *self, PyObject *unused)
{
    struct attachment *at = ring_enter(self);
    (void)unused;
    if (!at) return NULL;
    Py_BEGIN_ALLOW_THREADS
    ring_bury(&at->ring, 1);
    Py_END_ALLOW_THREADS
    unsigned long long unfinished = ring_unfinished(&at->ring);
    ring_exit(at);
    return PyLong_FromUnsignedLongLong(unfinished);
}

PyObject *ring_py_task_done(RingObject *self, PyObject *const *args, Py_ssize_t given,
                                       PyObject *keywords)
{
    static const char *const names[] = {"count", NULL};
    PyObject *values[1];
    enum ring_result result;
    if (ring_arguments("task_done", names, 0, args, given, keywords, values)) return NULL;
    Py_ssize_t count = values[0] ? PyNumber_AsSsize_t(values[0], NULL) : 1;
    if (count == -1 && PyErr_Occurred()) return NULL;
    if (count < 0) return PyErr_SetString(PyExc_ValueError, "'count' must not be negative"), NULL;
    struct attachment *at = ring_enter(self);
    if (!at) return NULL;
    Py_BEGIN_ALLOW_THREADS
    result = ring_task_done(&at->ring, (uint64_t)count);
    Py_END_ALLOW_THREADS
    ring_exit(at);
    if (result) return ring_raise(result);
    Py_RETURN_NONE;
}

/* --- waiting --------------------------------------------------------------------------------- */

static enum ring_result attempt_items(struct ring *ring, void *what)
{
    uint64_t tail, head;
    (void)what;
    if (atomic_load(&ring->shared->shut) || !ring_snapshot(ring, &tail, &head)) return RING_OK;
    return position_items(tail, head) ? RING_OK : RING_EMPTY;
}

static enum ring_result attempt_space(struct ring *ring, void *what)
{
    struct record record = *(struct record *)what;
    ring_want(ring, record);
    return atomic_load(&ring->shared->shut) || ring_fits(ring, record) ? RING_OK : RING_FULL;
}

static enum ring_result wait_for(RingObject *self, struct ring *ring, char what, int64_t deadline)
{
    struct record record = self->refused;
    enum ring_result result;
    Py_BEGIN_ALLOW_THREADS
    if (what == 'd')
        result = ring_join(ring, deadline);
    else if (what == 's')
        result = ring_wait(ring, &ring->shared->tail, attempt_space, &record, deadline);
    else
        result = ring_wait(ring, &ring->shared->head, attempt_items, NULL, deadline);
    Py_END_ALLOW_THREADS
    return result;
}

/* 1: it is so; 0: time is up, or interrupted; -1: an exception. */
static int wait_until(RingObject *self, char what, int64_t deadline, int interruptible)
{
    struct attachment *at = ring_enter(self);
    enum ring_result result;
    if (!at) return -1;
    do result = wait_for(self, &at->ring, what, deadline);
    while (result && !(interruptible && result == RING_STOPPED) && ring_go_on(self, &result));
    ring_exit(at);
    if (PyErr_Occurred() || !self->at) return ring_give_up(self);
    return result == RING_OK;
}

PyObject *ring_py_wait(RingObject *self, PyObject *const *args, Py_ssize_t given,
                                  PyObject *keywords)
{
    static const char *const names[] = {"what", "timeout", NULL};
    PyObject *values[2];
    if (ring_arguments("wait", names, 1, args, given, keywords, values)) return NULL;
    const char *what = PyUnicode_Check(values[0]) ? PyUnicode_AsUTF8(values[0]) : "";
    if (!what) return NULL;
    if (strcmp(what, "items") && strcmp(what, "space") && strcmp(what, "done"))
        return PyErr_Format(PyExc_ValueError, "wait for 'items', 'space' or 'done', not %R",
                            values[0]);
    int64_t deadline = ring_read_timeout(values[1]);
    int ready = deadline == -1 ? -1 : wait_until(self, what[0], deadline, 1);
    return ready < 0 ? NULL : PyBool_FromLong(ready);
}

PyObject *ring_py_join(RingObject *self, PyObject *const *args, Py_ssize_t given,
                                  PyObject *keywords)
{
    static const char *const names[] = {"timeout", NULL};
    PyObject *values[1];
    if (ring_arguments("join", names, 0, args, given, keywords, values)) return NULL;
    int64_t deadline = ring_read_timeout(values[0]);
    int ready = deadline == -1 ? -1 : wait_until(self, 'd', deadline, 0);
    return ready < 0 ? NULL : PyBool_FromLong(ready);
}

PyObject *ring_py_interrupt(RingObject *self, PyObject *unused)
{
    struct attachment *at = ring_enter(self);
    (void)unused;
    if (!at) return NULL;
    Py_BEGIN_ALLOW_THREADS
    ring_stop(&at->ring);
    Py_END_ALLOW_THREADS
    ring_exit(at);
    Py_RETURN_NONE;
}

/* --- shutdown -------------------------------------------------------------------------------- */

static int drop_spilled(RingObject *self, struct ring_taking *taking)
{
    for (size_t at = 0; at < taking->bytes;) {
        uint64_t word;
        memcpy(&word, taking->buffer + at, sizeof word);
        size_t length = word & RECORD_LONGEST;
        PyObject *name = PyBytes_FromStringAndSize((char *)taking->buffer + at + sizeof word,
                                                   (Py_ssize_t)length);
        int failed = !name || !self->spill || ring_drop_file(self, name);
        Py_XDECREF(name);
        if (failed) return -1;
        at += record_units(length) * RING_UNIT;
    }
    return 0;
}

static int drop_all(RingObject *self, struct ring *ring)
{
    struct ring_taking taking = {0};
    enum ring_result result;
    int failed = 0;
    if (ring_borrow_buffer(self, &taking)) return -1;
    do {
        Py_BEGIN_ALLOW_THREADS
        result = ring_drop(ring, &taking);
        Py_END_ALLOW_THREADS
        failed = failed || (taking.bytes && drop_spilled(self, &taking));
    } while (result == RING_OK || result == RING_INTERRUPTED);
    ring_return_buffer(self, &taking);
    Py_BEGIN_ALLOW_THREADS
    ring_settle(ring, RING_NOBODY, 0);
    Py_END_ALLOW_THREADS
    if (result == RING_DAMAGED && !failed) ring_raise(result);
    return failed || result == RING_DAMAGED ? -1 : 0;
}

PyObject *ring_py_shutdown(RingObject *self, PyObject *const *args, Py_ssize_t given,
                               PyObject *keywords)
{
    static const char *const names[] = {"immediate", NULL};
    PyObject *values[1];
    enum ring_result result;
    if (ring_arguments("shutdown", names, 0, args, given, keywords, values)) return NULL;
    int immediate = values[0] ? PyObject_IsTrue(values[0]) : 0;
    if (immediate < 0) return NULL;
    struct attachment *at = ring_enter(self);
    if (!at) return NULL;
    Py_BEGIN_ALLOW_THREADS
    do result = ring_shut(&at->ring, immediate);
    while (result == RING_INTERRUPTED);
    Py_END_ALLOW_THREADS
    int failed = immediate && drop_all(self, &at->ring);
    ring_exit(at);
    if (failed) return NULL;
    Py_RETURN_NONE;
}

/* --- looking at it --------------------------------------------------------------------------- */

static int set_count(PyObject *counts, const char *name, uint64_t value)
{
    PyObject *number = PyLong_FromUnsignedLongLong(value);
    int failed = !number || PyDict_SetItemString(counts, name, number);
    Py_XDECREF(number);
    return failed;
}

static uint64_t sum_wide(struct ring *ring, size_t field)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < RING_SLOTS; i++)
        sum += *(_Atomic uint64_t *)((char *)&ring->shared->slots[i] + field);
    return sum;
}

static uint64_t sum_narrow(struct ring *ring, size_t field)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < RING_SLOTS; i++)
        sum += *(_Atomic uint32_t *)((char *)&ring->shared->slots[i] + field);
    return sum;
}

#define SUM_WIDE(field) sum_wide(ring, offsetof(struct ring_slot, field))
#define SUM_NARROW(field) sum_narrow(ring, offsetof(struct ring_slot, field))

static int fill_statistics(PyObject *counts, struct ring *ring)
{
    struct ring_shared *shared = ring->shared;
    uint64_t tail, head, dropped = shared->slots[RING_NOBODY].taken;
    if (!ring_snapshot(ring, &tail, &head)) return ring_raise(RING_DAMAGED), -1;
    return set_count(counts, "puts", ring_wide(&shared->tail)) ||
           set_count(counts, "gets", ring_wide(&shared->head) - dropped) ||
           set_count(counts, "size", position_items(tail, head)) ||
           set_count(counts, "done", SUM_WIDE(done)) ||
           set_count(counts, "unfinished", ring_unfinished(ring)) ||
           set_count(counts, "lost", SUM_WIDE(lost)) || set_count(counts, "dropped", dropped) ||
           set_count(counts, "spilled", shared->spilled) ||
           set_count(counts, "waiting_get", SUM_NARROW(getting)) ||
           set_count(counts, "waiting_put", SUM_NARROW(putting)) ||
           set_count(counts, "bytes_used", position_used(tail, head, ring->units) * RING_UNIT);
}

PyObject *ring_py_statistics(RingObject *self, PyObject *unused)
{
    struct attachment *at = ring_enter(self);
    (void)unused;
    if (!at) return NULL;
    Py_BEGIN_ALLOW_THREADS
    ring_bury(&at->ring, 0);
    Py_END_ALLOW_THREADS
    PyObject *counts = Py_BuildValue("{ss}", "implementation", "native");
    if (counts && fill_statistics(counts, &at->ring)) Py_CLEAR(counts);
    ring_exit(at);
    return counts;
}

PyObject *ring_py_processes(RingObject *self, PyObject *unused)
{
    uint32_t pids[RING_SLOTS];
    uint64_t starts[RING_SLOTS];
    struct attachment *at = ring_enter(self);
    (void)unused;
    if (!at) return NULL;
    uint32_t count = ring_live(at->ring.shared, pids, starts);
    ring_exit(at);
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list && i < count; i++)
        if (ring_append(list, Py_BuildValue("IK", pids[i], (unsigned long long)starts[i])))
            Py_CLEAR(list);
    return list;
}

PyObject *ring_py_is_shutdown(RingObject *self, void *unused)
{
    (void)unused;
    if (!self->at) return ring_raise_closed();
    return PyBool_FromLong(atomic_load(&self->at->ring.shared->shut) != 0);
}
