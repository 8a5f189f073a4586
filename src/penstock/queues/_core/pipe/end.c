/* The life of an end: made, shared by threads, closed; and what it tells of itself. */
#include "end.h"

#include <errno.h>
#include <unistd.h>

#include "clock.h"
#include "futex.h"

#define TURN (CLOCK_SECOND / 20) /* a wait for a lock looks for signals as often */

/* --- forks ----------------------------------------------------------------------------------- */

static int forks;

static void count_fork(void)
{
    forks++;
}

int end_start(void)
{
    return pthread_atfork(NULL, NULL, count_fork) || PyType_Ready(&end_type) ? -1 : 0;
}

/* The threads that used it stayed behind, and so did what they had begun to receive. */
static void begin_in_child(End *end)
{
    end->forks = forks;
    end->users = 0;
    end->arriving.in = (struct incoming){0};
    arriving_drop(&end->arriving);
    PyMem_Free(end->backlog);
    end->backlog = NULL;
}

/* --- errors ---------------------------------------------------------------------------------- */

PyObject *raise_closed(void)
{
    PyErr_SetString(PyExc_OSError, "handle is closed");
    return NULL;
}

PyObject *raise_broken_pipe(void)
{
    errno = EPIPE;
    return PyErr_SetFromErrno(PyExc_OSError);
}

PyObject *raise_peer_died(void)
{
    PyObject *module = PyImport_ImportModule("penstock.errors");
    PyObject *error = module ? PyObject_GetAttrString(module, "PeerDied") : NULL;
    if (error)
        PyErr_SetString(error, "the other end of the pipe was closed, or its process is gone; "
                               "nothing more will come");
    Py_XDECREF(module);
    Py_XDECREF(error);
    return NULL;
}

int end_check(End *end, bool wanted, const char *text)
{
    if (end->forks != forks) begin_in_child(end);
    if (end->open && wanted) return 0;
    if (end->open) PyErr_SetString(PyExc_OSError, text);
    else raise_closed();
    return -1;
}

/* --- arguments ------------------------------------------------------------------------------- */

static int raise_arguments(const char *function, const char *text)
{
    PyErr_Format(PyExc_TypeError, "%s() %s", function, text);
    return -1;
}

static int named(const char *function, PyObject *name, const char *const *keywords, int most)
{
    for (int i = 0; i < most; i++)
        if (!PyUnicode_CompareWithASCIIString(name, keywords[i])) return i;
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function, name);
    return -1;
}

int arguments(const char *function, PyObject *const *args, Py_ssize_t count, PyObject *names,
              const char *const *keywords, int least, int most, PyObject **given)
{
    if (count > most) return raise_arguments(function, "got too many arguments");
    for (int i = 0; i < most; i++)
        given[i] = i < count ? args[i] : NULL;
    for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); i++) {
        int at = named(function, PyTuple_GET_ITEM(names, i), keywords, most);
        if (at < 0) return -1;
        if (given[at]) return raise_arguments(function, "got an argument twice");
        given[at] = args[count + i];
    }
    for (int i = 0; i < least; i++)
        if (!given[i]) return raise_arguments(function, "misses an argument");
    return 0;
}

/* --- calls ----------------------------------------------------------------------------------- */

void end_enter(End *end)
{
    end->users++;
}

void end_leave(End *end)
{
    if (end->users > 0 && --end->users == 0 && !end->open) end_close(end);
}

static int refused(int result)
{
    if (result == EDEADLK)
        PyErr_SetString(PyExc_RuntimeError,
                        "this thread is in the middle of a message on this end of the pipe: await "
                        "it first, or let another thread or another pipe carry this one");
    else
        PyErr_Format(PyExc_OSError, "the pipe's lock cannot be taken (error %d): make a new pipe",
                     result);
    return -1;
}

static int wait_for_turn(End *end, struct side *side, int64_t deadline)
{
    for (;;) {
        int64_t until = clock_earlier(clock_now() + TURN, deadline);
        int result;
        Py_BEGIN_ALLOW_THREADS
        result = side_lock(side, until);
        Py_END_ALLOW_THREADS
        if (result == 0) return 0;
        if (result != ETIMEDOUT) return refused(result);
        if (PyErr_CheckSignals()) return -1;
        if (!end->open) return raise_closed(), -1;
        if (clock_now() >= deadline) return 1;
    }
}

int end_lock(End *end, struct side *side, int64_t deadline)
{
    int result = side_try_lock(side);
    if (result == 0) return 0;
    if (result != EBUSY) return refused(result);
    result = wait_for_turn(end, side, deadline);
    if (result || end->open) return result;
    side_unlock(side);
    return raise_closed(), -1;
}

int end_outcome(enum outcome outcome, bool sends)
{
    switch (outcome) {
    case SIDE_REACHED: return 0;
    case SIDE_LATE: return 1;
    case SIDE_SIGNAL: return PyErr_CheckSignals();
    case SIDE_CLOSED: raise_closed(); return -1;
    default: sends ? raise_broken_pipe() : raise_peer_died(); return -1;
    }
}

/* --- making ---------------------------------------------------------------------------------- */

static PyObject *raise_segment(int result)
{
    if (result == SEGMENT_FOREIGN)
        PyErr_SetString(PyExc_OSError, "this descriptor is not the memory of a pipe: pass on whole "
                                       "connections, not their descriptors");
    else if (result == SEGMENT_OTHER_VERSION)
        PyErr_SetString(PyExc_OSError, "this pipe was made by another version of penstock: both "
                                       "processes need the same");
    else {
        errno = result;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return NULL;
}

/* Each direction runs from one end to the other; the first to the end with index 0. */
static int open_side(End *end, struct side *side, bool sends, int sock)
{
    uint32_t direction = (uint32_t)(sends ? 1 - end->index : end->index);
    if (sock < 0) return 0;
    if (direction >= end->segment.directions) return raise_segment(SEGMENT_FOREIGN), -1;
    side_open(side, &end->segment.header->direction[direction], end->segment.rings[direction],
              end->segment.capacity, sends, sock);
    return 0;
}

static int end_init(End *end)
{
    int result = segment_map(&end->segment, end->memory);
    if (result) return raise_segment(result), -1;
    end->readable = end->inbound >= 0;
    end->writable = end->outbound >= 0;
    if (open_side(end, &end->inward, false, end->inbound) ||
        open_side(end, &end->outward, true, end->outbound)) {
        segment_unmap(&end->segment);
        return -1;
    }
    end->open = true;
    return 0;
}

/* End((memory, inbound, outbound, index)): owns the descriptors from now on; -1 for no such. */
static PyObject *end_new(PyTypeObject *type, PyObject *args, PyObject *names)
{
    int memory, inbound, outbound, index;
    if (names && PyDict_GET_SIZE(names)) {
        PyErr_SetString(PyExc_TypeError, "a connection takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "(iiii)", &memory, &inbound, &outbound, &index)) return NULL;
    if (index < 0 || index > 1 || memory < 0 || (inbound < 0 && outbound < 0)) {
        PyErr_SetString(PyExc_ValueError, "an end has memory, a socket, and the index 0 or 1");
        return NULL;
    }
    End *end = (End *)type->tp_alloc(type, 0);
    if (!end) return NULL;
    end->memory = memory;
    end->inbound = inbound;
    end->outbound = outbound;
    end->index = index;
    end->forks = forks;
    if (end_init(end) == 0) return (PyObject *)end;
    Py_DECREF(end);
    return NULL;
}

/* --- closing --------------------------------------------------------------------------------- */

void arriving_drop(struct arriving *arriving)
{
    Py_CLEAR(arriving->room);
    Py_CLEAR(arriving->first);
    Py_CLEAR(arriving->buffers);
}

static void close_one(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* The socket goes first: whoever is woken looks at it. */
static void leave(int *fd, struct side *side)
{
    if (*fd < 0) return;
    close_one(fd);
    bell_leave(side->waits, side->rings);
}

static void release(End *end)
{
    leave(&end->outbound, &end->outward);
    leave(&end->inbound, &end->inward);
    close_one(&end->memory);
    segment_unmap(&end->segment);
    PyMem_Free(end->backlog);
    end->backlog = NULL;
    end->arriving.in = (struct incoming){0};
    arriving_drop(&end->arriving);
}

static void send_away(struct side *side)
{
    if (!side->waits) return;
    atomic_store(&side->closing, true);
    futex_wake(&side->waits->word, INT_MAX);
}

/* Threads that still use it are sent away; the last one does the rest. */
void end_close(End *end)
{
    if (end->forks != forks) begin_in_child(end);
    if (end->open) {
        end->open = false;
        if (end->users) {
            send_away(&end->inward);
            send_away(&end->outward);
        }
    }
    if (end->users == 0 && end->memory >= 0) release(end);
}

static PyObject *end_close_method(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    end_close((End *)self);
    Py_RETURN_NONE;
}

static void end_free(PyObject *self)
{
    End *end = (End *)self;
    if (end->open) end_close(end);
    Py_TYPE(self)->tp_free(self);
}

/* --- what it tells --------------------------------------------------------------------------- */

/* From now on the socket tells select() the truth. Who waits in another thread does it for us. */
static void tell_truth(End *end)
{
    struct side *side = end->readable ? &end->inward : &end->outward;
    uint64_t beyond = side_position(side) + 1;
    if (end->readable) atomic_store(&side->waits->selected, 1);
    if (side_try_lock(side)) return;
    if (end->readable) inbox_tell(side);
    else side_arm(side, beyond);
    side_unlock(side);
}

static PyObject *end_fileno(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    End *end = (End *)self;
    if (end_check(end, true, "")) return NULL;
    tell_truth(end);
    return PyLong_FromLong(end->readable ? end->inbound : end->outbound);
}

static PyObject *end_descriptors(PyObject *self, void *nothing)
{
    (void)nothing;
    End *end = (End *)self;
    if (end_check(end, true, "")) return NULL;
    return Py_BuildValue("(iii)", end->memory, end->inbound, end->outbound);
}

static PyObject *end_shape(PyObject *self, void *nothing)
{
    (void)nothing;
    return Py_BuildValue("(i)", ((End *)self)->index);
}

/* Where to await a message, where room, and whether room shows as writability. */
static PyObject *end_wakers(PyObject *self, void *nothing)
{
    (void)nothing;
    End *end = (End *)self;
    if (end_check(end, true, "")) return NULL;
    return Py_BuildValue("(iiO)", end->inbound, end->outbound, Py_False);
}

static PyObject *end_closed(PyObject *self, void *nothing)
{
    (void)nothing;
    return PyBool_FromLong(!((End *)self)->open);
}

static PyObject *end_readable(PyObject *self, void *nothing)
{
    (void)nothing;
    return PyBool_FromLong(((End *)self)->readable);
}

static PyObject *end_writable(PyObject *self, void *nothing)
{
    (void)nothing;
    return PyBool_FromLong(((End *)self)->writable);
}

static uint64_t unread(const struct side *side)
{
    const struct pipe_direction *direction = side->direction;
    return direction ? atomic_load(&direction->tail) - atomic_load(&direction->head) : 0;
}

static PyObject *end_statistics(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    End *end = (End *)self;
    struct side *in = &end->inward, *out = &end->outward;
    return Py_BuildValue(
        "{sssKsKsKsKsKsKsKsK}", "core", "native", "sent", end->sent, "received", end->received,
        "capacity", end->open ? end->segment.capacity : UINT64_C(0),
        "bytes_in", end->open ? unread(in) : 0, "bytes_out", end->open ? unread(out) : 0,
        "waited", in->waited + out->waited, "slept", in->slept + out->slept,
        "slept_at_socket", in->polled + out->polled);
}

static PyObject *end_enter_with(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    return Py_NewRef(self);
}

static PyObject *end_leave_with(PyObject *self, PyObject *args)
{
    (void)args;
    return PyObject_CallMethod(self, "close", NULL);
}

#define METHOD(name, function, flags) {name, (PyCFunction)(void (*)(void))(function), flags, NULL}
#define NAMED METH_FASTCALL | METH_KEYWORDS

static PyMethodDef end_methods[] = {
    METHOD("send", end_send, METH_O),
    METHOD("send_bytes", end_send_bytes, NAMED),
    METHOD("send_many", end_send_many, METH_O),
    METHOD("recv", end_recv, METH_NOARGS),
    METHOD("recv_bytes", end_recv_bytes, NAMED),
    METHOD("recv_bytes_into", end_recv_bytes_into, NAMED),
    METHOD("recv_many", end_recv_many, NAMED),
    METHOD("poll", end_poll, NAMED),
    METHOD("fileno", end_fileno, METH_NOARGS),
    METHOD("close", end_close_method, METH_NOARGS),
    METHOD("statistics", end_statistics, METH_NOARGS),
    METHOD("_sending", end_sending, METH_O),
    METHOD("_sending_bytes", end_sending_bytes, NAMED),
    METHOD("_recv_now", end_recv_now, METH_NOARGS),
    METHOD("_recv_bytes_now", end_recv_bytes_now, METH_O),
    METHOD("__enter__", end_enter_with, METH_NOARGS),
    METHOD("__exit__", end_leave_with, METH_VARARGS),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef end_values[] = {
    {"closed", end_closed, NULL, NULL, NULL},
    {"readable", end_readable, NULL, NULL, NULL},
    {"writable", end_writable, NULL, NULL, NULL},
    {"_descriptors", end_descriptors, NULL, "What a copy of this end is made of.", NULL},
    {"_shape", end_shape, NULL, "The rest of what End() is given.", NULL},
    {"_wakers", end_wakers, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject end_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "penstock.queues._core._pipe.End",
    .tp_doc = "One end of a pipe in shared memory.",
    .tp_basicsize = sizeof(End),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = end_new,
    .tp_dealloc = end_free,
    .tp_methods = end_methods,
    .tp_getset = end_values,
};
