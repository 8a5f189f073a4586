/* The table of methods, those that are told in a few lines, and attributes. */
#include "methods.h"

/* --- for tasks, in whose name the caller waits ------------------------------------------------ */

static const char *const for_names[] = {"waiter", "item", NULL};
static const Signature get_for_signature = {"_get_for", for_names, 1, 2};
static const Signature put_for_signature = {"_put_for", for_names, 2, 2};
static const Signature join_for_signature = {"_join_for", for_names, 1, 1};

static Waiter *bind_waiter(Queue *q, const Signature *signature, PyObject *const *args,
                           Py_ssize_t nargs, PyObject **other)
{
    PyObject *places[2] = {NULL, NULL};
    if (arguments_bind(signature, args, nargs, NULL, places) < 0) {
        return NULL;
    }
    if (!Py_IS_TYPE(places[0], waiter_type(q))) {
        PyErr_SetString(PyExc_TypeError, "the first argument must be a Waiter");
        return NULL;
    }
    *other = places[1];
    return (Waiter *)places[0];
}

static PyObject *queue_get_for(Queue *q, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *match;
    Waiter *w = bind_waiter(q, &get_for_signature, args, nargs, &match);
    PyObject *item = w ? take_for(q, w, match == Py_None ? NULL : match) : NULL;
    return item && item == (PyObject *)w ? Py_NewRef(item) : item;
}

static PyObject *queue_put_for(Queue *q, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *item;
    Waiter *w = bind_waiter(q, &put_for_signature, args, nargs, &item);
    int put = w ? put_for(q, w, item) : -1;
    return put < 0 ? NULL : PyBool_FromLong(put);
}

static PyObject *queue_join_for(Queue *q, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *none;
    Waiter *w = bind_waiter(q, &join_for_signature, args, nargs, &none);
    return w ? PyBool_FromLong(join_for(q, w)) : NULL;
}

static PyObject *queue_leave(Queue *q, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *none;
    Waiter *w = bind_waiter(q, &join_for_signature, args, nargs, &none);
    if (!w) {
        return NULL;
    }
    refresh(q);
    line_leave(q, w);
    Py_RETURN_NONE;
}

/* --- the rest ------------------------------------------------------------------------------- */

static PyObject *queue_qsize(Queue *q, PyObject *Py_UNUSED(ignored))
{
    refresh(q);
    return PyLong_FromSsize_t(available(q));
}

static PyObject *queue_empty(Queue *q, PyObject *Py_UNUSED(ignored))
{
    refresh(q);
    return PyBool_FromLong(available(q) == 0);
}

static PyObject *queue_full(Queue *q, PyObject *Py_UNUSED(ignored))
{
    refresh(q);
    return PyBool_FromLong(!has_room(q));
}

static const char *const count_names[] = {"count", NULL};
static const Signature task_done_signature = {"task_done", count_names, 0, 1};

static PyObject *queue_task_done(Queue *q, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames)
{
    PyObject *place = NULL;
    Py_ssize_t count;
    if (arguments_bind(&task_done_signature, args, nargs, kwnames, &place) < 0 ||
        positive(q, place, "'count' must be 1 or more, not %R", &count) < 0) {
        return NULL;
    }
    if (count > q->unfinished) {
        PyErr_Format(PyExc_ValueError, "task_done() called too many times: %zd items are unfinished",
                     q->unfinished);
        return NULL;
    }
    refresh(q);
    finish(q, count);
    Py_RETURN_NONE;
}

static PyObject *queue_join(Queue *q, PyObject *Py_UNUSED(ignored))
{
    return q->unfinished && join_waiting(q) < 0 ? NULL : Py_NewRef(Py_None);
}

static const char *const shutdown_names[] = {"immediate", NULL};
static const Signature shutdown_signature = {"shutdown", shutdown_names, 0, 1};

static PyObject *queue_shutdown(Queue *q, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames)
{
    PyObject *place = NULL;
    if (arguments_bind(&shutdown_signature, args, nargs, kwnames, &place) < 0) {
        return NULL;
    }
    int immediate = whether(place, false);
    if (immediate < 0) {
        return NULL;
    }
    refresh(q);
    close_queue(q, immediate);
    Py_RETURN_NONE;
}

static PyObject *queue_statistics(Queue *q, PyObject *Py_UNUSED(ignored))
{
    refresh(q);
    return Py_BuildValue(
        "{s:n, s:n, s:n, s:K, s:K, s:n, s:n, s:n, s:n, s:N, s:s}", "size", available(q), "maxsize",
        q->maxsize, "peak", q->peak, "put", (unsigned long long)q->next_seq, "got",
        (unsigned long long)q->got, "unfinished", q->unfinished, "waiting_getters",
        q->getters.count + q->called_getters.count, "waiting_putters",
        q->putters.count + q->called_putters.count, "waiting_joiners", q->joiners.count, "shutdown",
        PyBool_FromLong(q->closed), "core", "native");
}

static PyObject *queue_reduce(Queue *q, PyObject *Py_UNUSED(ignored))
{
    PyErr_Format(PyExc_TypeError,
                 "cannot pickle a %s: it lives in one process; ProcessQueue goes to others",
                 Py_TYPE(q)->tp_name);
    return NULL;
}

/* --- attributes ----------------------------------------------------------------------------- */

static PyObject *get_maxsize(Queue *q, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(q->maxsize);
}

int set_maxsize(Queue *q, PyObject *value, void *Py_UNUSED(closure))
{
    if (!value || !PyIndex_Check(value)) {
        raise_config(q, "'maxsize' must be an integer (0: no limit), not %R",
                     value ? value : Py_None);
        return -1;
    }
    Py_ssize_t maxsize = PyNumber_AsSsize_t(value, NULL);
    if (maxsize == -1 && PyErr_Occurred()) {
        return -1;
    }
    refresh(q);
    q->maxsize = maxsize;
    settle(q);
    return 0;
}

static PyObject *get_unfinished(Queue *q, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(q->unfinished);
}

static PyObject *get_is_shutdown(Queue *q, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(q->closed);
}

/* --- tables -------------------------------------------------------------------------------- */

#define FAST(f) (PyCFunction)(void (*)(void))(f)
#define PLAIN(name, f, text) {name, (PyCFunction)(f), METH_NOARGS, name "($self)\n--\n\n" text}
#define NAMED(name, f, parameters, text)                                                           \
    {name, FAST(f), METH_FASTCALL | METH_KEYWORDS, name "($self, " parameters ")\n--\n\n" text}
#define FOR_TASKS(name, f) {name, FAST(f), METH_FASTCALL, NULL}

PyMethodDef queue_methods[] = {
    NAMED("put", queue_put, "item, block=True, timeout=None",
          "Put an item in; wait for room if need be. Raises Full and ShutDown."),
    NAMED("get", queue_get, "block=True, timeout=None, *, match=None",
          "The next item, or the first for which match(item) is true; wait for it if need be.\n\n"
          "Raises Empty and ShutDown."),
    {"put_nowait", (PyCFunction)queue_put_nowait, METH_O,
     "put_nowait($self, item, /)\n--\n\nThe same as put(item, block=False)."},
    PLAIN("get_nowait", queue_get_nowait, "The same as get(block=False)."),
    NAMED("put_many", queue_put_many, "items, block=True, timeout=None",
          "Put items in; how many found room: the first ones, in order. Full only if none did."),
    NAMED("get_many", queue_get_many, "limit, block=True, timeout=None",
          "Up to ``limit`` items, at least one: waits for the first only, else raises Empty."),
    PLAIN("qsize", queue_qsize, "How many items can be had now; exact."),
    PLAIN("empty", queue_empty, "Whether nothing can be had now."),
    PLAIN("full", queue_full, "Whether there is no room now."),
    NAMED("task_done", queue_task_done, "count=1",
          "As many items that were got are done with. Raises ValueError if there are fewer."),
    PLAIN("join", queue_join, "Wait until every item that was put is done with."),
    NAMED("shutdown", queue_shutdown, "immediate=False",
          "Take nothing more in: put raises ShutDown, get too once the queue is empty.\n\n"
          "With ``immediate`` it is emptied, and what is thrown away counts as done."),
    PLAIN("statistics", queue_statistics, "Figures of its life so far, and who waits."),
    PLAIN("_get_free", queue_get_free, "The next item if nobody waits for it already, or Empty."),
    FOR_TASKS("_get_for", queue_get_for),
    FOR_TASKS("_put_for", queue_put_for),
    FOR_TASKS("_join_for", queue_join_for),
    FOR_TASKS("_leave", queue_leave),
    {"__reduce__", (PyCFunction)queue_reduce, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

PyGetSetDef queue_attributes[] = {
    {"maxsize", (getter)get_maxsize, (setter)set_maxsize,
     "How many items there is room for, 0 or less: no limit. May be changed at any time.", NULL},
    {"unfinished_tasks", (getter)get_unfinished, NULL, "Items put but not yet done with.", NULL},
    {"is_shutdown", (getter)get_is_shutdown, NULL, "Whether shutdown() was called.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
