/* The Python type Ring and its module; object.h names the other files that make it up. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include "object.h"

/* --- the object's life ----------------------------------------------------------------------- */

static PyObject *ring_close(RingObject *self, PyObject *unused)
{
    (void)unused;
    ring_let_go(self);
    Py_RETURN_NONE;
}

static PyObject *raise_refused(int failed, const char *why)
{
    if (failed < 0)
        return PyErr_Format(PyExc_ValueError, "this is no queue that can be used here: %s", why);
    errno = failed;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static int check_sizes(RingObject *self, const struct ring *ring)
{
    unsigned long long page = (unsigned long long)sysconf(_SC_PAGESIZE);
    unsigned long long bytes = (self->max_bytes + page - 1) / page * page;
    if (ring->plan.maxsize == self->maxsize && ring->plan.bytes == bytes) return 0;
    PyErr_Format(PyExc_ValueError,
                 "this queue has maxsize=%llu and max_bytes=%llu, "
                 "not maxsize=%llu and max_bytes=%llu",
                 (unsigned long long)ring->plan.maxsize, (unsigned long long)ring->plan.bytes,
                 self->maxsize, bytes);
    return -1;
}

static int open_segment(RingObject *self, struct ring *ring, int fd, int create)
{
    char why[160];
    int failed = create ? ring_create(ring, fd, self->maxsize, self->max_bytes)
                        : ring_attach(ring, fd, 0, why, sizeof why);
    if (failed) return raise_refused(failed, why), -1;
    if (check_sizes(self, ring) == 0) return 0;
    ring_detach(ring);
    return -1;
}

static int ring_init(RingObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"fd", "maxsize", "max_bytes", "spill", "create", NULL};
    int fd, create;
    long long maxsize, max_bytes;
    struct ring ring = {0};
    PyObject *spill;
    if (self->id) return PyErr_SetString(PyExc_TypeError, "a Ring is made once"), -1;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "i$LLOp:Ring", names, &fd, &maxsize,
                                     &max_bytes, &spill, &create))
        return -1;
    if (maxsize < 0 || max_bytes < 1)
        return PyErr_SetString(PyExc_ValueError, "maxsize is 0 or more, max_bytes at least 1"), -1;
    self->maxsize = (unsigned long long)maxsize;
    self->max_bytes = (unsigned long long)max_bytes;
    self->spill = Py_NewRef(spill);
    return open_segment(self, &ring, fd, create) ? -1 : ring_hold(self, &ring);
}

static int ring_traverse(RingObject *self, visitproc visit, void *arg)
{
    Py_VISIT(self->spill);
    return 0;
}

static int ring_clear(RingObject *self)
{
    Py_CLEAR(self->spill);
    return 0;
}

static void ring_free(RingObject *self)
{
    PyObject_GC_UnTrack(self);
    ring_let_go(self);
    ring_clear(self);
    Py_CLEAR(self->id);
    PyMem_Free(self->buffer);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *with_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(self);
}

static PyObject *with_exit(RingObject *self, PyObject *unused)
{
    return ring_close(self, unused);
}

static PyObject *ring_repr(RingObject *self)
{
    if (!self->at) return PyUnicode_FromString("<Ring closed>");
    return PyUnicode_FromFormat("<Ring maxsize=%llu max_bytes=%llu>", self->maxsize,
                                self->max_bytes);
}

static PyObject *ring_closed(RingObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(!self->at);
}

#define FAST(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS
#define PLAIN(function) (PyCFunction)(void (*)(void))(function), METH_NOARGS

static PyMethodDef ring_methods[] = {
    {"put", FAST(ring_py_put), "Copies the item into the queue."},
    {"get", FAST(ring_py_get), "The oldest item, which is taken out."},
    {"put_many", FAST(ring_py_put_many), "How many were put: the first ones, in order."},
    {"get_many", FAST(ring_py_get_many), "Up to `limit` items, at least one."},
    {"qsize", PLAIN(ring_py_qsize), "How many items are queued."},
    {"unfinished", PLAIN(ring_py_unfinished), "How many are put and not done."},
    {"task_done", FAST(ring_py_task_done), "Counts items as done."},
    {"join", FAST(ring_py_join), "Whether all were done in time."},
    {"shutdown", FAST(ring_py_shutdown), "No more puts; no more gets once it is empty."},
    {"wait", FAST(ring_py_wait), "Whether 'items', 'space' or 'done' came in time."},
    {"interrupt", PLAIN(ring_py_interrupt), "Ends every wait() of this process."},
    {"statistics", PLAIN(ring_py_statistics), "Counts, by name."},
    {"processes", PLAIN(ring_py_processes), "(pid, start time) of the live ones that use it."},
    {"close", PLAIN(ring_close), "Gives up this process's ring_hold on it."},
    {"__enter__", with_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))with_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef ring_members[] = {
    {"maxsize", T_ULONGLONG, offsetof(RingObject, maxsize), READONLY, NULL},
    {"max_bytes", T_ULONGLONG, offsetof(RingObject, max_bytes), READONLY, NULL},
    {"id", T_OBJECT_EX, offsetof(RingObject, id), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef ring_properties[] = {
    {"is_shutdown", (getter)(void (*)(void))ring_py_is_shutdown, NULL, NULL, NULL},
    {"closed", (getter)(void (*)(void))ring_closed, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject ring_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "penstock.queues._core._ring.Ring",
    .tp_basicsize = sizeof(RingObject),
    .tp_dealloc = (destructor)ring_free,
    .tp_repr = (reprfunc)ring_repr,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE, /* ProcessQueue */
    .tp_doc = "One process's ring_hold on a queue in shared memory.",
    .tp_traverse = (traverseproc)ring_traverse,
    .tp_clear = (inquiry)ring_clear,
    .tp_methods = ring_methods,
    .tp_members = ring_members,
    .tp_getset = ring_properties,
    .tp_init = (initproc)ring_init,
    .tp_new = PyType_GenericNew,
};

/* --- the module ------------------------------------------------------------------------------ */

static PyObject *module_leftover(PyObject *module, PyObject *argument)
{
    uint32_t pids[RING_SLOTS];
    uint64_t starts[RING_SLOTS];
    struct ring ring = {0};
    char why[160];
    int fd = PyObject_AsFileDescriptor(argument);
    (void)module;
    if (fd < 0) return NULL;
    int failed = ring_attach(&ring, fd, 1, why, sizeof why);
    if (failed) return raise_refused(failed, why);
    uint32_t live = ring_live(ring.shared, pids, starts);
    ring_detach(&ring);
    return PyBool_FromLong(!live);
}

static PyMethodDef module_methods[] = {
    {"leftover", module_leftover, METH_O, "Whether no live process uses the ring in this file."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_ring",
    .m_doc = "The compiled ring of ProcessQueue; README.md beside it explains it.",
    .m_size = -1,
    .m_methods = module_methods,
};

PyMODINIT_FUNC PyInit__ring(void)
{
    if (!robust_works())
        return PyErr_SetString(PyExc_ImportError, "this system keeps no robust futex lists"), NULL;
    if (ring_find_errors() || pickling_start() || PyType_Ready(&ring_type)) return NULL;
    PyObject *module = PyModule_Create(&module_definition);
    if (module && PyModule_AddObjectRef(module, "Ring", (PyObject *)&ring_type)) Py_CLEAR(module);
    return module;
}
