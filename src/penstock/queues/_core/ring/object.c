/* This process's hold on a segment, and what every method needs: errors, arguments. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "object.h"

static PyObject *full_error, *empty_error, *shutdown_error, *queue_error;

static struct attachment *attachments;

/* --- errors ---------------------------------------------------------------------------------- */

PyObject *ring_raise_closed(void)
{
    PyErr_SetString(PyExc_ValueError, "this queue is closed in this process");
    return NULL;
}

PyObject *ring_raise(enum ring_result result)
{
    switch (result) {
    case RING_EMPTY: PyErr_SetString(empty_error, "the queue is empty"); break;
    case RING_FULL: PyErr_SetString(full_error, "the queue is full"); break;
    case RING_SHUT_DOWN: PyErr_SetString(shutdown_error, "the queue was shut down"); break;
    case RING_SURPLUS:
        PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
        break;
    case RING_STOPPED: return ring_raise_closed();
    case RING_CROWDED:
        PyErr_Format(queue_error, "%u processes use this queue already: more need another one",
                     RING_SLOTS);
        break;
    default:
        PyErr_SetString(PyExc_ValueError, "the queue's memory is damaged: make a new queue");
    }
    return NULL;
}

int ring_find_errors(void)
{
    PyObject *errors = PyImport_ImportModule("penstock.errors");
    if (errors) full_error = PyObject_GetAttrString(errors, "Full");
    if (full_error) empty_error = PyObject_GetAttrString(errors, "Empty");
    if (empty_error) shutdown_error = PyObject_GetAttrString(errors, "ShutDown");
    if (shutdown_error) queue_error = PyObject_GetAttrString(errors, "QueueError");
    Py_XDECREF(errors);
    return queue_error ? 0 : -1;
}

/* --- attachments ----------------------------------------------------------------------------- */

static void unlink_attachment(struct attachment *at)
{
    struct attachment **place = &attachments;
    while (*place != at) place = &(*place)->next;
    *place = at->next;
}

static void release_attachment(struct attachment *at)
{
    if (at->objects || at->calls) return;
    unlink_attachment(at);
    ring_leave(&at->ring);
    ring_detach(&at->ring);
    PyMem_Free(at);
}

static struct attachment *find_attachment(const struct ring *ring)
{
    struct attachment *at = attachments;
    while (at && memcmp(at->ring.plan.id, ring->plan.id, sizeof ring->plan.id)) at = at->next;
    return at;
}

static struct attachment *add_attachment(const struct ring *ring)
{
    struct attachment *at = PyMem_Calloc(1, sizeof *at);
    if (!at) return PyErr_NoMemory(), NULL;
    at->ring = *ring;
    at->next = attachments;
    return attachments = at;
}

/* --- calls ----------------------------------------------------------------------------------- */

/* The attachment, kept until `ring_exit`, with a slot for this process. */
struct attachment *ring_enter(RingObject *self)
{
    struct attachment *at = self->at;
    if (!at) return (struct attachment *)ring_raise_closed();
    if (at->ring.generation != ring_generation) {
        at->calls = 0; /* those of the parent process */
        enum ring_result result = ring_claim(&at->ring);
        if (result) return (struct attachment *)ring_raise(result);
    }
    at->calls++;
    return at;
}

void ring_exit(struct attachment *at)
{
    at->calls--;
    release_attachment(at);
}

/* After a wait that came to nothing: whether to go on. */
int ring_go_on(RingObject *self, enum ring_result *result)
{
    if (*result == RING_INTERRUPTED) return PyErr_CheckSignals() == 0;
    if (*result != RING_STOPPED) return 0;
    return self->at != NULL; /* ring.wait was interrupted, not us; or close() */
}

int ring_give_up(RingObject *self)
{
    if (!self->at && !PyErr_Occurred()) ring_raise_closed();
    return -1;
}

int ring_hold(RingObject *self, struct ring *ring)
{
    struct attachment *at = find_attachment(ring);
    if (at) ring_detach(ring);
    else if (!(at = add_attachment(ring))) return ring_detach(ring), -1;
    at->objects++;
    self->at = at;
    self->max_bytes = at->ring.plan.bytes;
    self->id = PyBytes_FromStringAndSize((char *)at->ring.plan.id, sizeof at->ring.plan.id);
    if (!self->id || !ring_enter(self)) return -1; /* claims a slot */
    ring_exit(at);
    return 0;
}

void ring_let_go(RingObject *self)
{
    struct attachment *at = self->at;
    if (!at) return;
    self->at = NULL;
    at->objects--;
    if (at->ring.generation != ring_generation) at->calls = 0; /* those of the parent process */
    if (!at->calls) {
        release_attachment(at);
        return;
    }
    at->calls++;
    Py_BEGIN_ALLOW_THREADS
    ring_stop(&at->ring); /* other threads' calls of this object end with ValueError */
    Py_END_ALLOW_THREADS
    ring_exit(at);
}

/* --- arguments ------------------------------------------------------------------------------- */

/* Fills `out` by position and name; what is missing stays NULL. */
int ring_arguments(const char *function, const char *const *names, int required,
                     PyObject *const *args, Py_ssize_t given, PyObject *keywords, PyObject **out)
{
    Py_ssize_t most = 0;
    while (names[most]) out[most++] = NULL;
    if (given > most)
        return PyErr_Format(PyExc_TypeError, "%s() takes at most %zd ring_arguments (%zd given)",
                            function, most, given), -1;
    for (Py_ssize_t i = 0; i < given; i++) out[i] = args[i];
    for (Py_ssize_t k = 0; keywords && k < PyTuple_GET_SIZE(keywords); k++) {
        PyObject *keyword = PyTuple_GET_ITEM(keywords, k);
        Py_ssize_t i = 0;
        while (names[i] && PyUnicode_CompareWithASCIIString(keyword, names[i])) i++;
        if (!names[i] || out[i])
            return PyErr_Format(PyExc_TypeError, "%s() got an unexpected argument %R", function,
                                keyword), -1;
        out[i] = args[given + k];
    }
    for (int i = 0; i < required; i++)
        if (!out[i])
            return PyErr_Format(PyExc_TypeError, "%s() misses the argument %s", function,
                                names[i]), -1;
    return 0;
}

static int64_t after(double seconds)
{
    if (!(seconds < 1e9)) return CLOCK_NEVER;
    return clock_now() + (int64_t)(seconds * (double)CLOCK_SECOND);
}

/* RING_NOW, a time, or CLOCK_NEVER; -1 with an exception. */
int64_t ring_read_timeout(PyObject *timeout)
{
    if (!timeout || timeout == Py_None) return CLOCK_NEVER;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) return -1;
    if (seconds < 0 || seconds != seconds) {
        PyErr_SetString(PyExc_ValueError, "'timeout' must be a non-negative number");
        return -1;
    }
    return after(seconds);
}

int64_t ring_read_deadline(PyObject *block, PyObject *timeout)
{
    int blocks = block ? PyObject_IsTrue(block) : 1;
    if (blocks < 0) return -1;
    return blocks ? ring_read_timeout(timeout) : RING_NOW;
}
