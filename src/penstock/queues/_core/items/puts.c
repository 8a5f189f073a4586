/* Methods that put: arguments, and how long to wait. */
#include "methods.h"

static int put_in_time(Queue *q, PyObject *item, int waits, int64_t deadline)
{
    int put = put_now(q, item);
    return put == 0 && waits ? put_waiting(q, item, deadline) : put;
}

static PyObject *put_result(Queue *q, int put)
{
    if (put == 0) {
        return raise_full(q);
    }
    return put < 0 ? NULL : Py_NewRef(Py_None);
}

static const char *const put_names[] = {"item", "block", "timeout", NULL};
static const Signature put_signature = {"put", put_names, 1, 3};

PyObject *queue_put(Queue *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *places[3] = {NULL, NULL, NULL};
    int64_t deadline = CLOCK_NEVER;
    if (nargs == 1 && !kwnames) {
        int put = put_now(q, args[0]);
        return put > 0 ? Py_NewRef(Py_None)
                       : put_result(q, put < 0 ? put : put_waiting(q, args[0], deadline));
    }
    if (arguments_bind(&put_signature, args, nargs, kwnames, places) < 0) {
        return NULL;
    }
    int waits = patience(q, places[1], places[2], &deadline);
    return waits < 0 ? NULL : put_result(q, put_in_time(q, places[0], waits, deadline));
}

PyObject *queue_put_nowait(Queue *q, PyObject *item)
{
    return put_result(q, put_now(q, item));
}

/* How many went in; -1 only if none did. */
static Py_ssize_t put_all(Queue *q, PyObject *items, int waits, int64_t deadline)
{
    Py_ssize_t count = 0;
    int put = 1;
    while (count < PyTuple_GET_SIZE(items) && put > 0) {
        put = put_in_time(q, PyTuple_GET_ITEM(items, count), waits, deadline);
        count += put > 0;
    }
    return count == 0 && put < 0 ? -1 : count;
}

/* What stopped a batch half-way: a shutdown shows again in the next call, others must be seen. */
static bool batch_failed(Queue *q, Py_ssize_t count)
{
    if (count > 0 && is_shut_down(q)) {
        PyErr_Clear();
    }
    return PyErr_Occurred() != NULL;
}

static const char *const put_many_names[] = {"items", "block", "timeout", NULL};
static const Signature put_many_signature = {"put_many", put_many_names, 1, 3};

PyObject *queue_put_many(Queue *q, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames)
{
    PyObject *places[3] = {NULL, NULL, NULL};
    int64_t deadline = CLOCK_NEVER;
    if (arguments_bind(&put_many_signature, args, nargs, kwnames, places) < 0) {
        return NULL;
    }
    int waits = patience(q, places[1], places[2], &deadline);
    PyObject *items = waits < 0 ? NULL : PySequence_Tuple(places[0]);
    if (!items) {
        return NULL;
    }
    Py_ssize_t count = put_all(q, items, waits, deadline);
    bool none = count == 0 && PyTuple_GET_SIZE(items) > 0;
    Py_DECREF(items);
    if (batch_failed(q, count)) {
        return NULL;
    }
    return none ? raise_full(q) : PyLong_FromSsize_t(count);
}

