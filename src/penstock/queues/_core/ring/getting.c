/* get and get_many: take the records, then make the items of them. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "object.h"

#define BATCH_ROOM (1024 * 1024) /* get_many's buffer grows up to here */

/* Records on their way out. */
struct collection {
    struct ring_taking taking;
    int64_t deadline;
};

static enum ring_result attempt_take(struct ring *ring, void *what)
{
    struct collection *collection = what;
    return ring_take(ring, &collection->taking, collection->deadline);
}

static enum ring_result take_slowly(struct ring *ring, struct collection *collection)
{
    if (collection->deadline == RING_NOW) return ring_take(ring, &collection->taking, CLOCK_NEVER);
    return ring_wait(ring, &ring->shared->head, attempt_take, collection, collection->deadline);
}

static enum ring_result take_quickly(struct ring *ring, struct ring_taking *taking)
{
    enum ring_result result;
    if (taking->room <= RING_BIG) return ring_take(ring, taking, RING_NOW);
    Py_BEGIN_ALLOW_THREADS
    result = ring_take(ring, taking, RING_NOW);
    Py_END_ALLOW_THREADS
    return result;
}

static enum ring_result take_some(RingObject *self, struct ring *ring,
                                  struct collection *collection)
{
    enum ring_result result = take_quickly(ring, &collection->taking);
    for (;;) {
        int wait = result == RING_BUSY ||
                   (result == RING_EMPTY && collection->deadline != RING_NOW);
        if (!wait && !ring_go_on(self, &result)) return result;
        Py_BEGIN_ALLOW_THREADS
        result = take_slowly(ring, collection);
        Py_END_ALLOW_THREADS
    }
}

/* The table of a record at the head, if it has one. */
static enum ring_result read_table(struct ring *ring, struct ring_taking *taking, uint64_t **table)
{
    uint64_t buffers;
    if (taking->record.kind != ITEM_BUFFERS) return RING_OK;
    enum ring_result result = ring_peek(ring, taking->position, &buffers, sizeof buffers);
    if (result) return result;
    size_t size = landing_table(buffers, taking->record.length);
    if (!size) return RING_DAMAGED;
    *table = PyMem_Malloc(size);
    if (!*table) return PyErr_NoMemory(), RING_DAMAGED;
    result = ring_peek(ring, taking->position, *table, size);
    return result || (*table)[0] == buffers ? result : RING_DAMAGED;
}

/* Straight into new objects. RING_MOVED when another consumer was quicker. */
static enum ring_result land(struct ring *ring, struct ring_taking *taking, struct landing *landing)
{
    uint64_t *table = NULL;
    enum ring_result result = read_table(ring, taking, &table);
    if (!result && landing_open(landing, taking->record, table)) result = RING_DAMAGED;
    PyMem_Free(table);
    if (result) return result;
    Py_BEGIN_ALLOW_THREADS
    do
        result = ring_take_large(ring, taking->position, landing->skip, landing->parts,
                                 landing->count);
    while (result == RING_INTERRUPTED);
    Py_END_ALLOW_THREADS
    if (result) landing_close(landing);
    return result;
}

static PyObject *load_spilled(RingObject *self, uint32_t kind, const uint8_t *at, size_t length)
{
    if (!self->spill || self->spill == Py_None) return item_damaged();
    PyObject *name = PyBytes_FromStringAndSize((const char *)at, (Py_ssize_t)length);
    PyObject *data = name ? PyObject_CallMethod(self->spill, "load", "O", name) : NULL;
    PyObject *item = NULL;
    Py_buffer view;
    if (data && PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) == 0) {
        item = item_unpack(kind & ~RECORD_SPILLED, view.buf, (size_t)view.len);
        PyBuffer_Release(&view);
    }
    if (data && ring_drop_file(self, name)) Py_CLEAR(item);
    Py_XDECREF(name);
    Py_XDECREF(data);
    return item;
}

/* The record at `at`, within a private copy that was checked when it was made. */
static PyObject *unpack(RingObject *self, const uint8_t *at, size_t *size)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    size_t length = word & RECORD_LONGEST;
    uint32_t kind = (uint32_t)(word >> 40) & 0xff;
    *size = record_units(length) * RING_UNIT;
    if (kind & RECORD_SPILLED) return load_spilled(self, kind, at + sizeof word, length);
    return item_unpack(kind, at + sizeof word, length);
}

int ring_borrow_buffer(RingObject *self, struct ring_taking *taking)
{
    taking->buffer = self->buffer;
    taking->room = self->room;
    self->buffer = NULL;
    if (taking->buffer) return 0;
    taking->room = RING_BIG;
    taking->buffer = PyMem_Malloc(RING_BIG);
    return taking->buffer ? 0 : (PyErr_NoMemory(), -1);
}

void ring_return_buffer(RingObject *self, struct ring_taking *taking)
{
    PyMem_Free(self->buffer);
    self->buffer = taking->buffer;
    self->room = taking->room;
}

/* Takes with the buffer that was borrowed; a large record lands beside it. */
static enum ring_result collect(RingObject *self, struct collection *collection,
                                struct landing *landing)
{
    struct attachment *at = ring_enter(self);
    enum ring_result result;
    if (!at) return RING_STOPPED;
    collection->taking.slot = at->ring.slot;
    do {
        result = take_some(self, &at->ring, collection);
        if (result == RING_LARGE) result = land(&at->ring, &collection->taking, landing);
    } while (result == RING_MOVED);
    ring_exit(at);
    if (result == RING_TIMEOUT) result = RING_EMPTY;
    if (!result || PyErr_Occurred()) return result;
    if (result == RING_STOPPED || result == RING_INTERRUPTED) ring_give_up(self);
    else ring_raise(result);
    return result;
}

static PyObject *land_item(struct landing *landing)
{
    PyObject *item = landing_item(landing);
    landing_close(landing);
    return item;
}

PyObject *ring_py_get(RingObject *self, PyObject *const *args, Py_ssize_t given,
                                 PyObject *keywords)
{
    static const char *const names[] = {"block", "timeout", NULL};
    PyObject *values[2], *item = NULL;
    struct collection collection = {.taking.limit = 1};
    struct landing landing;
    size_t size;
    if (ring_arguments("get", names, 0, args, given, keywords, values)) return NULL;
    collection.deadline = ring_read_deadline(values[0], values[1]);
    if (collection.deadline == -1 || ring_borrow_buffer(self, &collection.taking)) return NULL;
    if (!collect(self, &collection, &landing))
        item = collection.taking.items ? unpack(self, collection.taking.buffer, &size)
                                       : land_item(&landing);
    ring_return_buffer(self, &collection.taking);
    return item;
}

int ring_append(PyObject *list, PyObject *item)
{
    int failed = !item || PyList_Append(list, item);
    Py_XDECREF(item);
    return failed;
}

/* One that cannot be unpickled must not take the others with it: they go in the error's `items`. */
static PyObject *fail_with(PyObject *list, PyObject *error)
{
    if (PyObject_SetAttrString(error, "items", list)) PyErr_Clear(); /* it takes no attributes */
    error_put_back(error);
    Py_DECREF(list);
    return NULL;
}

static PyObject *unpack_all(RingObject *self, struct ring_taking *taking)
{
    PyObject *list = PyList_New(0), *error = NULL;
    const uint8_t *at = taking->buffer;
    for (uint32_t i = 0; list && i < taking->items; i++) {
        size_t size;
        if (ring_append(list, unpack(self, at, &size))) {
            if (error) PyErr_Clear(); /* the first one is told */
            else error = error_take();
        }
        at += size;
    }
    return error ? fail_with(list, error) : list;
}

static PyObject *land_alone(struct landing *landing)
{
    PyObject *list = PyList_New(0);
    if (list && ring_append(list, land_item(landing))) Py_CLEAR(list);
    return list;
}

/* More would have gone in: a larger buffer next time. */
static void grow_buffer(struct ring_taking *taking)
{
    if (taking->items == taking->limit || taking->room >= BATCH_ROOM) return;
    if (taking->bytes < taking->room / 2) return;
    uint8_t *larger = PyMem_Realloc(taking->buffer, taking->room * 2);
    if (!larger) return;
    taking->buffer = larger;
    taking->room *= 2;
}

static PyObject *get_items(RingObject *self, uint32_t limit, int64_t deadline)
{
    struct collection collection = {.taking.limit = limit, .deadline = deadline};
    struct landing landing;
    PyObject *list = NULL;
    if (ring_borrow_buffer(self, &collection.taking)) return NULL;
    if (!collect(self, &collection, &landing))
        list = collection.taking.items ? unpack_all(self, &collection.taking)
                                       : land_alone(&landing);
    grow_buffer(&collection.taking);
    ring_return_buffer(self, &collection.taking);
    return list;
}

PyObject *ring_py_get_many(RingObject *self, PyObject *const *args, Py_ssize_t given,
                               PyObject *keywords)
{
    static const char *const names[] = {"limit", "block", "timeout", NULL};
    PyObject *values[3];
    if (ring_arguments("get_many", names, 1, args, given, keywords, values)) return NULL;
    Py_ssize_t limit = PyNumber_AsSsize_t(values[0], NULL);
    if (limit == -1 && PyErr_Occurred()) return NULL;
    int64_t deadline = ring_read_deadline(values[1], values[2]);
    if (deadline == -1) return NULL;
    if (limit < 1) return PyErr_SetString(PyExc_ValueError, "'limit' must be at least 1"), NULL;
    return get_items(self, limit < 1 << 30 ? (uint32_t)limit : 1u << 30, deadline);
}
