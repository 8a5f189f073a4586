/* put and put_many: pack the items, then hand the messages to the ring. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "object.h"

/* Messages on their way in. */
struct delivery {
    const struct ring_message *messages;
    uint32_t count, put;
    int64_t deadline;
};

/* With the producers' turn in hand. */
static enum ring_result attempt_put(struct ring *ring, void *what)
{
    struct delivery *delivery = what;
    uint32_t put = 0;
    const struct ring_message *next = delivery->messages + delivery->put;
    ring_want(ring, next->record);
    enum ring_result result =
        ring_put(ring, next, delivery->count - delivery->put, &put, delivery->deadline);
    delivery->put += put;
    return result;
}

static enum ring_result put_quickly(struct ring *ring, struct delivery *delivery)
{
    uint32_t put;
    enum ring_result result = ring_put(ring, delivery->messages + delivery->put,
                                       delivery->count - delivery->put, &put, RING_NOW);
    delivery->put += put;
    return result;
}

static enum ring_result put_slowly(struct ring *ring, struct delivery *delivery)
{
    if (delivery->deadline != RING_NOW)
        return ring_wait(ring, &ring->shared->tail, attempt_put, delivery, delivery->deadline);
    uint32_t put; /* not waiting for room, but for a lock */
    enum ring_result result = ring_put(ring, delivery->messages + delivery->put,
                                       delivery->count - delivery->put, &put, CLOCK_NEVER);
    delivery->put += put;
    return result;
}

static int is_big(const struct delivery *delivery)
{
    uint64_t size = 0;
    for (uint32_t i = delivery->put; i < delivery->count && size <= RING_BIG; i++)
        size += delivery->messages[i].record.length;
    return size > RING_BIG;
}

/* One commit, or a reason why not. */
static enum ring_result put_some(RingObject *self, struct ring *ring, struct delivery *delivery)
{
    enum ring_result result = is_big(delivery) ? RING_BUSY : put_quickly(ring, delivery);
    for (;;) {
        int wait = result == RING_BUSY || (result == RING_FULL && delivery->deadline != RING_NOW);
        if (!wait && !ring_go_on(self, &result)) return result;
        Py_BEGIN_ALLOW_THREADS
        result = put_slowly(ring, delivery);
        Py_END_ALLOW_THREADS
    }
}

/* All of them, or what goes in until the deadline; 0, or -1 with an exception. */
static int deliver(RingObject *self, struct delivery *delivery)
{
    struct attachment *at = ring_enter(self);
    enum ring_result result = RING_OK;
    if (!at) return -1;
    while (result == RING_OK && delivery->put < delivery->count)
        result = put_some(self, &at->ring, delivery);
    self->refused = result ? delivery->messages[delivery->put].record : (struct record){0};
    ring_exit(at);
    if (!result || PyErr_Occurred()) return PyErr_Occurred() ? -1 : 0;
    if (result == RING_STOPPED || result == RING_INTERRUPTED) return ring_give_up(self);
    if (delivery->put && result != RING_DAMAGED) return 0;
    ring_raise(result == RING_TIMEOUT ? RING_FULL : result);
    return -1;
}

/* --- items larger than half the ring --------------------------------------------------------- */

static PyObject *part_views(const struct ring_message *message)
{
    PyObject *views = PyList_New(0);
    for (uint32_t i = 0; views && i < message->count; i++) {
        const struct ring_part *part = &message->parts[i];
        if (!part->size) continue;
        PyObject *view = PyMemoryView_FromMemory((char *)(uintptr_t)part->data,
                                                 (Py_ssize_t)part->size, PyBUF_READ);
        if (!view || PyList_Append(views, view)) Py_CLEAR(views);
        Py_XDECREF(view);
    }
    return views;
}

/* The parts belong to the item: nobody may look at them later. */
static int close_views(PyObject *views)
{
    int failed = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(views); i++) {
        PyObject *done = PyObject_CallMethod(PyList_GET_ITEM(views, i), "release", NULL);
        failed |= !done;
        Py_XDECREF(done);
    }
    return failed;
}

static PyObject *store(PyObject *spill, const struct ring_message *message)
{
    PyObject *views = part_views(message);
    PyObject *name = views ? PyObject_CallMethod(spill, "store", "O", views) : NULL;
    if (name && close_views(views)) Py_CLEAR(name);
    Py_XDECREF(views);
    if (!name || (PyBytes_CheckExact(name) && PyBytes_GET_SIZE(name) < 256)) return name;
    Py_DECREF(name);
    PyErr_SetString(PyExc_TypeError, "spill.store() gives a name: bytes, at most 255");
    return NULL;
}

/* The message becomes the name of what was stored. */
static int spill_out(RingObject *self, struct packed *packed)
{
    if (!self->spill || self->spill == Py_None) {
        PyErr_Format(PyExc_ValueError,
                     "an item of %llu bytes is larger than half of this queue's %llu",
                     (unsigned long long)packed->message.record.length, self->max_bytes);
        return -1;
    }
    PyObject *name = store(self->spill, &packed->message);
    if (!name) return -1;
    uint32_t kind = packed->message.record.kind | RECORD_SPILLED;
    item_release(packed);
    packed->owner = name;
    packed->plain = NULL;
    packed->view.obj = NULL;
    packed->pickled.first = NULL;
    packed->part = (struct ring_part){PyBytes_AS_STRING(name), (size_t)PyBytes_GET_SIZE(name)};
    packed->message = (struct ring_message){{packed->part.size, kind}, &packed->part, 1};
    return 0;
}

int ring_drop_file(RingObject *self, PyObject *name)
{
    PyObject *done = PyObject_CallMethod(self->spill, "drop", "O", name);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* Of a message that was not put; the exception under way, if any, goes on. */
static void take_back(RingObject *self, struct packed *packed)
{
    if (!(packed->message.record.kind & RECORD_SPILLED)) return;
    PyObject *error = error_take();
    if (ring_drop_file(self, packed->owner)) PyErr_WriteUnraisable(self->spill);
    error_put_back(error);
}

static int pack(RingObject *self, PyObject *item, struct packed *packed)
{
    if (!self->at) return ring_raise_closed(), -1;
    if (item_pack(item, packed)) return -1;
    /* The item may have closed the queue while it was pickled. */
    if (self->at && packed->message.record.length <= ring_largest(&self->at->ring)) return 0;
    if (self->at && spill_out(self, packed) == 0) return 0;
    item_release(packed);
    return ring_give_up(self);
}

PyObject *ring_py_put(RingObject *self, PyObject *const *args, Py_ssize_t given,
                                 PyObject *keywords)
{
    static const char *const names[] = {"item", "block", "timeout", NULL};
    PyObject *values[3];
    struct packed packed;
    if (ring_arguments("put", names, 1, args, given, keywords, values)) return NULL;
    struct delivery delivery = {.messages = &packed.message, .count = 1};
    delivery.deadline = ring_read_deadline(values[1], values[2]);
    if (delivery.deadline == -1 || pack(self, values[0], &packed)) return NULL;
    int failed = deliver(self, &delivery);
    if (failed) take_back(self, &packed);
    item_release(&packed);
    if (failed) return NULL;
    Py_RETURN_NONE;
}

/* Many items, packed before the first is put. */
struct parcel {
    struct packed *packed;
    struct ring_message *messages;
    Py_ssize_t count;
};

static void parcel_close(RingObject *self, struct parcel *parcel, uint32_t put)
{
    for (Py_ssize_t i = 0; i < parcel->count; i++) {
        if (i >= (Py_ssize_t)put) take_back(self, &parcel->packed[i]);
        item_release(&parcel->packed[i]);
    }
    PyMem_Free(parcel->packed);
    PyMem_Free(parcel->messages);
}

static int parcel_open(RingObject *self, struct parcel *parcel, PyObject *items)
{
    Py_ssize_t size = PySequence_Fast_GET_SIZE(items);
    *parcel = (struct parcel){0};
    parcel->packed = PyMem_Malloc((size_t)(size + 1) * sizeof *parcel->packed);
    parcel->messages = PyMem_Malloc((size_t)(size + 1) * sizeof *parcel->messages);
    if (!parcel->packed || !parcel->messages) return PyErr_NoMemory(), -1;
    for (; parcel->count < size; parcel->count++) {
        Py_ssize_t i = parcel->count;
        if (pack(self, PySequence_Fast_GET_ITEM(items, i), &parcel->packed[i])) return -1;
        parcel->messages[i] = parcel->packed[i].message;
    }
    return 0;
}

static PyObject *put_items(RingObject *self, PyObject *items, int64_t deadline)
{
    struct parcel parcel;
    if (!self->at) return ring_raise_closed();
    struct delivery delivery = {.deadline = deadline};
    int failed = parcel_open(self, &parcel, items);
    delivery.messages = parcel.messages;
    delivery.count = (uint32_t)parcel.count;
    if (!failed && parcel.count) failed = deliver(self, &delivery);
    parcel_close(self, &parcel, delivery.put);
    return failed ? NULL : PyLong_FromUnsignedLong(delivery.put);
}

PyObject *ring_py_put_many(RingObject *self, PyObject *const *args, Py_ssize_t given,
                               PyObject *keywords)
{
    static const char *const names[] = {"items", "block", "timeout", NULL};
    PyObject *values[3];
    if (ring_arguments("put_many", names, 1, args, given, keywords, values)) return NULL;
    int64_t deadline = ring_read_deadline(values[1], values[2]);
    if (deadline == -1) return NULL;
    /* A tuple of our own: pickling an item may run code that changes the list. */
    PyObject *items = PySequence_Tuple(values[0]);
    PyObject *put = items ? put_items(self, items, deadline) : NULL;
    Py_XDECREF(items);
    return put;
}
