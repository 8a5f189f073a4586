/* Methods that get: arguments, and how long to wait. */
#include "methods.h"

/* The next item, if nobody waits for it already. */
static PyObject *take_free(Queue *q)
{
    refresh(q);
    return q->getters.first ? NULL : take_now(q);
}

static PyObject *take_matching_now(Queue *q, PyObject *match)
{
    Waiter *w = waiter_for_thread(waiter_type(q));
    if (!w) {
        return NULL;
    }
    refresh(q);
    PyObject *item = seek(q, w, match);
    if (item) {
        settle(q);
    }
    Py_DECREF(w);
    return item;
}

static PyObject *get_at_once(Queue *q, PyObject *match)
{
    PyObject *item = match ? take_matching_now(q, match) : take_now(q);
    return item || PyErr_Occurred() ? item : raise_empty(q);
}

static PyObject *get_in_time(Queue *q, PyObject *match, int64_t deadline)
{
    PyObject *item = match ? NULL : take_free(q);
    return item || PyErr_Occurred() ? item : take_waiting(q, match, deadline);
}

static const char *const get_names[] = {"block", "timeout", "match", NULL};
static const Signature get_signature = {"get", get_names, 0, 2};

PyObject *queue_get(Queue *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *places[3] = {NULL, NULL, NULL};
    int64_t deadline = CLOCK_NEVER;
    if (nargs == 0 && !kwnames) {
        return get_in_time(q, NULL, deadline);
    }
    if (arguments_bind(&get_signature, args, nargs, kwnames, places) < 0) {
        return NULL;
    }
    int waits = patience(q, places[0], places[1], &deadline);
    PyObject *match = places[2] == Py_None ? NULL : places[2];
    return waits < 0 ? NULL : waits ? get_in_time(q, match, deadline) : get_at_once(q, match);
}

PyObject *queue_get_nowait(Queue *q, PyObject *Py_UNUSED(ignored))
{
    return get_at_once(q, NULL);
}

PyObject *queue_get_free(Queue *q, PyObject *Py_UNUSED(ignored))
{
    PyObject *item = take_free(q);
    return item || PyErr_Occurred() ? item : raise_empty(q);
}

/* A comparison that failed half-way will fail again in the next call; Ctrl-C will not. */
static void set_aside_error(void)
{
    if (!PyErr_Occurred()) {
        return;
    }
    if (PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
    }
    else {
        raise_afterwards();
    }
}

/* `first`, which is consumed, and more, as far as they are there. */
static PyObject *list_of(Queue *q, PyObject *first, Py_ssize_t limit)
{
    Py_ssize_t count = 0, more = available(q) < limit - 1 ? available(q) : limit - 1;
    PyObject *list = PyList_New(more + 1);
    if (!list) {
        Py_DECREF(first);
        return NULL;
    }
    while (first) {
        PyList_SET_ITEM(list, count++, first);
        first = count <= more ? take_now(q) : NULL;
    }
    set_aside_error();
    if (count <= more && PyList_SetSlice(list, count, more + 1, NULL) < 0) {
        Py_CLEAR(list);
    }
    return list;
}

static const char *const get_many_names[] = {"limit", "block", "timeout", NULL};
static const Signature get_many_signature = {"get_many", get_many_names, 1, 3};

PyObject *queue_get_many(Queue *q, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames)
{
    PyObject *places[3] = {NULL, NULL, NULL};
    int64_t deadline = CLOCK_NEVER;
    Py_ssize_t limit;
    if (arguments_bind(&get_many_signature, args, nargs, kwnames, places) < 0 ||
        positive(q, places[0], "'limit' must be 1 or more, not %R", &limit) < 0) {
        return NULL;
    }
    int waits = patience(q, places[1], places[2], &deadline);
    if (waits < 0) {
        return NULL;
    }
    PyObject *first = waits ? get_in_time(q, NULL, deadline) : get_at_once(q, NULL);
    return first ? list_of(q, first, limit) : NULL;
}

PyObject *queue_next(Queue *q)
{
    PyObject *item = get_in_time(q, NULL, CLOCK_NEVER);
    if (!item && is_shut_down(q)) {
        PyErr_Clear(); /* that ends the iteration */
    }
    return item;
}

