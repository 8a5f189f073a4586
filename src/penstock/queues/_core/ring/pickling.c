/* Pickles, protocol 5, with large buffers out of band.
 *
 * The pickler is kept and used again: making one costs as much as pickling a small object. It
 * writes into a sink of ours, which keeps the chunks that it is given, uncopied, until they are
 * copied into the ring. Its reducers are, in this order, those that multiprocessing registers
 * (connections, sockets, locks) and those of copyreg, looked up in both at each use. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "items.h"

#define OUT_OF_BAND 4096 /* smaller buffers are cheaper inside the pickle */

static PyObject *load_function, *pickler_type, *shared_reducers, *copyreg_reducers;

/* --- the sink -------------------------------------------------------------------------------- */

struct sink {
    PyObject_HEAD
    PyObject *first, *chunks, *buffers;
};

static int append(PyObject **list, PyObject *item)
{
    if (!*list && !(*list = PyList_New(0))) return -1;
    return PyList_Append(*list, item);
}

static PyObject *sink_write(PyObject *self, PyObject *chunk)
{
    struct sink *sink = (struct sink *)self;
    if (!sink->first) sink->first = Py_NewRef(chunk);
    else if (append(&sink->chunks, chunk)) return NULL;
    Py_RETURN_NONE;
}

/* Called with each PickleBuffer; true keeps it inside the pickle. */
static PyObject *sink_keep(PyObject *self, PyObject *buffer)
{
    Py_buffer view;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_ANY_CONTIGUOUS)) return NULL;
    Py_ssize_t size = view.len;
    PyBuffer_Release(&view);
    if (size < OUT_OF_BAND) Py_RETURN_TRUE;
    if (append(&((struct sink *)self)->buffers, buffer)) return NULL;
    Py_RETURN_FALSE;
}

static void sink_clear(struct sink *sink)
{
    Py_CLEAR(sink->first);
    Py_CLEAR(sink->chunks);
    Py_CLEAR(sink->buffers);
}

static void sink_free(PyObject *self)
{
    sink_clear((struct sink *)self);
    PyObject_Free(self);
}

static PyMethodDef sink_methods[] = {
    {"write", sink_write, METH_O, NULL},
    {"keep", sink_keep, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject sink_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "penstock.queues._core._ring.Sink",
    .tp_basicsize = sizeof(struct sink),
    .tp_dealloc = sink_free,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_methods = sink_methods,
};

/* --- the reducers ---------------------------------------------------------------------------- */

/* First asked for the first object of a class of its own: the import costs milliseconds. */
static int find_shared_reducers(void)
{
    if (shared_reducers) return 0;
    PyObject *module = PyImport_ImportModule("multiprocessing.reduction");
    PyObject *pickler = module ? PyObject_GetAttrString(module, "ForkingPickler") : NULL;
    shared_reducers = pickler ? PyObject_GetAttrString(pickler, "_extra_reducers") : NULL;
    Py_XDECREF(module);
    Py_XDECREF(pickler);
    return shared_reducers && PyDict_Check(shared_reducers) ? 0 : -1;
}

static PyObject *reducer_of(PyObject *self, PyObject *type)
{
    (void)self;
    if (find_shared_reducers()) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "ForkingPickler has no reducers");
        return NULL;
    }
    PyObject *found = PyDict_GetItemWithError(shared_reducers, type);
    if (!found && !PyErr_Occurred()) found = PyDict_GetItemWithError(copyreg_reducers, type);
    if (!found && !PyErr_Occurred()) PyErr_SetObject(PyExc_KeyError, type);
    return Py_XNewRef(found);
}

static PyMappingMethods reducers_mapping = {.mp_subscript = reducer_of};

static PyTypeObject reducers_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "penstock.queues._core._ring.Reducers",
    .tp_basicsize = sizeof(PyObject),
    .tp_dealloc = (destructor)PyObject_Free,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_as_mapping = &reducers_mapping,
};

/* --- the pickler ----------------------------------------------------------------------------- */

struct pickler {
    struct sink *sink;
    PyObject *dump, *clear_memo;
};

static struct pickler kept; /* empty while a dump uses it: pickling may run Python that pickles */

static void pickler_free(struct pickler *pickler)
{
    Py_CLEAR(pickler->sink);
    Py_CLEAR(pickler->dump);
    Py_CLEAR(pickler->clear_memo);
}

static PyObject *make_pickler(PyObject *sink)
{
    PyObject *keep = PyObject_GetAttrString(sink, "keep");
    PyObject *arguments = keep ? Py_BuildValue("(Oi)", sink, 5) : NULL;
    PyObject *options = arguments ? Py_BuildValue("{sO}", "buffer_callback", keep) : NULL;
    PyObject *pickler = options ? PyObject_Call(pickler_type, arguments, options) : NULL;
    PyObject *reducers = pickler ? (PyObject *)PyObject_New(PyObject, &reducers_type) : NULL;
    if (!reducers || PyObject_SetAttrString(pickler, "dispatch_table", reducers)) Py_CLEAR(pickler);
    Py_XDECREF(keep);
    Py_XDECREF(arguments);
    Py_XDECREF(options);
    Py_XDECREF(reducers);
    return pickler;
}

static int pickler_make(struct pickler *pickler)
{
    struct sink *sink = PyObject_New(struct sink, &sink_type);
    *pickler = (struct pickler){.sink = sink};
    if (!sink) return -1;
    sink->first = sink->chunks = sink->buffers = NULL;
    PyObject *made = make_pickler((PyObject *)sink);
    if (made) pickler->dump = PyObject_GetAttrString(made, "dump");
    if (pickler->dump) pickler->clear_memo = PyObject_GetAttrString(made, "clear_memo");
    Py_XDECREF(made);
    if (pickler->clear_memo) return 0;
    pickler_free(pickler);
    return -1;
}

static int pickler_take(struct pickler *pickler)
{
    *pickler = kept;
    kept = (struct pickler){0};
    return pickler->sink ? 0 : pickler_make(pickler);
}

static void pickler_return(struct pickler *pickler)
{
    if (kept.sink) pickler_free(pickler);
    else kept = *pickler;
}

/* --- one object ------------------------------------------------------------------------------ */

static int view_part(struct pickled *pickled, PyObject *buffer, struct ring_part *part)
{
    Py_buffer *view = &pickled->views[pickled->viewed];
    if (PyObject_GetBuffer(buffer, view, PyBUF_ANY_CONTIGUOUS)) return -1;
    pickled->viewed++;
    *part = (struct ring_part){view->buf, (size_t)view->len};
    return 0;
}

static Py_ssize_t size_of(PyObject *list)
{
    return list ? PyList_GET_SIZE(list) : 0;
}

static int view_all(struct pickled *pickled, PyObject *list, struct ring_part *parts)
{
    for (Py_ssize_t i = 0; i < size_of(list); i++)
        if (view_part(pickled, PyList_GET_ITEM(list, i), &parts[i])) return -1;
    return 0;
}

/* Parts: [table,] first chunk, chunks, buffers. */
static int lay_out(struct pickled *pickled)
{
    Py_ssize_t chunks = 1 + size_of(pickled->chunks), buffers = size_of(pickled->buffers);
    size_t table = buffers ? (size_t)(2 + buffers) : 0;
    pickled->views = PyMem_Calloc((size_t)(chunks + buffers), sizeof *pickled->views);
    pickled->parts = PyMem_Calloc((size_t)(chunks + buffers + 1), sizeof *pickled->parts);
    pickled->table = PyMem_Calloc(table + 1, sizeof *pickled->table);
    if (!pickled->views || !pickled->parts || !pickled->table) return PyErr_NoMemory(), -1;
    struct ring_part *at = pickled->parts;
    *at++ = (struct ring_part){pickled->table, table * sizeof *pickled->table};
    if (view_part(pickled, pickled->first, at)) return -1;
    if (view_all(pickled, pickled->chunks, at + 1)) return -1;
    if (view_all(pickled, pickled->buffers, at + chunks)) return -1;
    pickled->table[0] = (uint64_t)buffers;
    if (!buffers) return 0;
    for (Py_ssize_t i = 0; i < chunks; i++) pickled->table[1] += at[i].size;
    for (Py_ssize_t i = 0; i < buffers; i++) pickled->table[2 + i] = at[chunks + i].size;
    return 0;
}

static int collect(struct sink *sink, struct pickled *into)
{
    into->first = sink->first;
    into->chunks = sink->chunks;
    into->buffers = sink->buffers;
    sink->first = sink->chunks = sink->buffers = NULL;
    if (into->chunks || into->buffers || !PyBytes_CheckExact(into->first)) return lay_out(into);
    into->only = (struct ring_part){PyBytes_AS_STRING(into->first),
                                    (size_t)PyBytes_GET_SIZE(into->first)};
    return 0;
}

/* Also makes it forget the objects, which it would keep alive. */
static int dump(struct pickler *pickler, PyObject *item)
{
    PyObject *done = PyObject_CallOneArg(pickler->dump, item);
    if (!done) return -1;
    Py_DECREF(done);
    done = PyObject_CallNoArgs(pickler->clear_memo);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* The pickle of the item, in parts; to be released also after an error. */
int pickling_dump(PyObject *item, struct pickled *into)
{
    struct pickler pickler;
    *into = (struct pickled){0};
    if (pickler_take(&pickler)) return -1;
    int failed = dump(&pickler, item) || collect(pickler.sink, into);
    if (failed) pickler_free(&pickler);
    else pickler_return(&pickler);
    return failed ? -1 : 0;
}

void pickling_release(struct pickled *pickled)
{
    for (Py_ssize_t i = 0; i < pickled->viewed; i++) PyBuffer_Release(&pickled->views[i]);
    PyMem_Free(pickled->views);
    PyMem_Free(pickled->parts);
    PyMem_Free(pickled->table);
    Py_XDECREF(pickled->first);
    Py_XDECREF(pickled->chunks);
    Py_XDECREF(pickled->buffers);
}

PyObject *pickling_load(PyObject *data, PyObject *buffers)
{
    static PyObject *names;
    if (!buffers) return PyObject_CallOneArg(load_function, data);
    if (!names && !(names = Py_BuildValue("(s)", "buffers"))) return NULL;
    PyObject *arguments[] = {data, buffers};
    return PyObject_Vectorcall(load_function, arguments, 1, names);
}

int pickling_start(void)
{
    PyObject *pickle = PyImport_ImportModule("_pickle");
    PyObject *copyreg = pickle ? PyImport_ImportModule("copyreg") : NULL;
    if (copyreg) copyreg_reducers = PyObject_GetAttrString(copyreg, "dispatch_table");
    if (copyreg_reducers) pickler_type = PyObject_GetAttrString(pickle, "Pickler");
    if (pickler_type) load_function = PyObject_GetAttrString(pickle, "loads");
    Py_XDECREF(pickle);
    Py_XDECREF(copyreg);
    return load_function ? PyType_Ready(&sink_type) || PyType_Ready(&reducers_type) : -1;
}
