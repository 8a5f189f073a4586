/* The extension module `penstock.queues._core._items`: its types, and the errors it raises.
 *
 * All files of this folder use the Python API, since their data are Python objects; what may run
 * Python code is said in queue.h.
 */
#include "methods.h"

#include <pthread.h>
#include <structmember.h>

typedef struct {
    PyTypeObject *items, *waiter;
    PyObject *empty, *full, *shut_down, *queue_error, *config_error;
} Module;

static struct PyModuleDef definition;

/* --- errors --------------------------------------------------------------------------------- */

static Module *module_of(Queue *q)
{
    PyObject *module = PyType_GetModuleByDef(Py_TYPE(q), &definition);
    return module ? PyModule_GetState(module) : NULL;
}

PyTypeObject *waiter_type(Queue *q)
{
    return module_of(q)->waiter;
}

void *raise_shut_down(Queue *q)
{
    PyErr_SetString(module_of(q)->shut_down, "the queue is shut down");
    return NULL;
}

void *raise_empty(Queue *q)
{
    if (q->closed) {
        return raise_shut_down(q);
    }
    PyErr_SetString(module_of(q)->empty, "the queue has no item to give");
    return NULL;
}

void *raise_full(Queue *q)
{
    PyErr_Format(module_of(q)->full, "the queue has no room: its maxsize is %zd", q->maxsize);
    return NULL;
}

void *raise_restless(Queue *q)
{
    PyErr_SetString(module_of(q)->queue_error,
                    "comparing two items changes the queue each time: let comparisons only compare");
    return NULL;
}

bool is_shut_down(Queue *q)
{
    return PyErr_Occurred() && PyErr_ExceptionMatches(module_of(q)->shut_down);
}

void *raise_config(Queue *q, const char *text, PyObject *value)
{
    PyErr_Format(module_of(q)->config_error, text, value);
    return NULL;
}

/* --- life ----------------------------------------------------------------------------------- */

/* `_order` of the class: fifo, lifo or heap. */
static int order_of(PyTypeObject *type, uint8_t *order)
{
    static const char *const names[] = {[FIFO] = "fifo", [LIFO] = "lifo", [HEAP] = "heap"};
    PyObject *name = PyObject_GetAttrString((PyObject *)type, "_order");
    if (!name || !PyUnicode_Check(name)) {
        Py_XDECREF(name);
        return -1;
    }
    for (*order = FIFO; *order <= HEAP; ++*order) {
        if (PyUnicode_CompareWithASCIIString(name, names[*order]) == 0) {
            break;
        }
    }
    Py_DECREF(name);
    return *order <= HEAP ? 0 : -1;
}

static PyObject *queue_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                           PyObject *Py_UNUSED(kwargs))
{
    uint8_t order;
    if (order_of(type, &order) < 0) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "_order must be 'fifo', 'lifo' or 'heap'");
        }
        return NULL;
    }
    Queue *q = (Queue *)type->tp_alloc(type, 0);
    if (q) {
        q->order = order;
        q->forks = forks;
    }
    return (PyObject *)q;
}

static int queue_init(Queue *q, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"maxsize", NULL};
    PyObject *maxsize = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Queue", names, &maxsize)) {
        return -1;
    }
    return maxsize ? set_maxsize(q, maxsize, NULL) : 0;
}

static int queue_traverse(Queue *q, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(q));
    for (Py_ssize_t i = 0; i < q->size; i++) {
        Py_VISIT(entry_at(q, i)->item);
    }
    Line *lines[] = {&q->getters, &q->called_getters, &q->putters, &q->called_putters, &q->joiners};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(lines); i++) {
        int result = line_visit(lines[i], visit, arg);
        if (result) {
            return result;
        }
    }
    return 0;
}

static int queue_clear(Queue *q)
{
    refresh_slow(q); /* nobody who waits can be reached any more */
    detached_free(store_detach(q));
    return 0;
}

static void queue_dealloc(Queue *q)
{
    PyTypeObject *type = Py_TYPE(q);
    PyObject_GC_UnTrack(q);
    (void)queue_clear(q);
    type->tp_free(q);
    Py_DECREF(type);
}

static PyType_Slot queue_slots[] = {
    {Py_tp_new, queue_new},
    {Py_tp_init, queue_init},
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_traverse, queue_traverse},
    {Py_tp_clear, queue_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, queue_next},
    {Py_tp_methods, queue_methods},
    {Py_tp_getset, queue_attributes},
    {0, NULL},
};

static PyType_Spec queue_spec = {
    .name = "penstock.queues._core._items.Items",
    .basicsize = sizeof(Queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = queue_slots,
};

/* --- waiters -------------------------------------------------------------------------------- */

static PyObject *waiter_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    PyObject *wake;
    if (!PyArg_ParseTuple(args, "O:Waiter", &wake)) {
        return NULL;
    }
    Waiter *w = (Waiter *)type->tp_alloc(type, 0);
    if (w) {
        w->wake = Py_NewRef(wake);
    }
    return (PyObject *)w;
}

static int waiter_traverse(Waiter *w, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(w));
    Py_VISIT(w->wake);
    Py_VISIT(w->item);
    return 0;
}

static int waiter_clear(Waiter *w)
{
    Py_CLEAR(w->wake);
    Py_CLEAR(w->item);
    return 0;
}

static void waiter_dealloc(Waiter *w)
{
    PyTypeObject *type = Py_TYPE(w);
    PyObject_GC_UnTrack(w);
    (void)waiter_clear(w);
    if (w->lock) {
        PyThread_free_lock(w->lock);
    }
    type->tp_free(w);
    Py_DECREF(type);
}

static PyType_Slot waiter_slots[] = {
    {Py_tp_new, waiter_new},
    {Py_tp_dealloc, waiter_dealloc},
    {Py_tp_traverse, waiter_traverse},
    {Py_tp_clear, waiter_clear},
    {0, NULL},
};

static PyType_Spec waiter_spec = {
    .name = "penstock.queues._core._items.Waiter",
    .basicsize = sizeof(Waiter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = waiter_slots,
};

/* --- the module ----------------------------------------------------------------------------- */

static void count_fork(void)
{
    forks++;
}

static int watch_forks(void)
{
    static bool watching;
    if (!watching && pthread_atfork(NULL, NULL, count_fork) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    watching = true;
    return 0;
}

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type && PyModule_AddType(module, (PyTypeObject *)type) < 0) {
        Py_CLEAR(type);
    }
    return (PyTypeObject *)type;
}

static int module_exec(PyObject *module)
{
    Module *state = PyModule_GetState(module);
    PyObject *errors = PyImport_ImportModule("penstock.errors");
    if (!errors) {
        return -1;
    }
    state->empty = PyObject_GetAttrString(errors, "Empty");
    state->full = PyObject_GetAttrString(errors, "Full");
    state->shut_down = PyObject_GetAttrString(errors, "ShutDown");
    state->queue_error = PyObject_GetAttrString(errors, "QueueError");
    state->config_error = PyObject_GetAttrString(errors, "ConfigError");
    Py_DECREF(errors);
    state->waiter = add_type(module, &waiter_spec);
    state->items = add_type(module, &queue_spec);
    bool complete = state->empty && state->full && state->shut_down && state->queue_error &&
                    state->config_error && state->waiter && state->items;
    return complete ? watch_forks() : -1;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    Module *state = PyModule_GetState(module);
    Py_VISIT(state->items);
    Py_VISIT(state->waiter);
    Py_VISIT(state->empty);
    Py_VISIT(state->full);
    Py_VISIT(state->shut_down);
    Py_VISIT(state->queue_error);
    Py_VISIT(state->config_error);
    return 0;
}

static int module_clear(PyObject *module)
{
    Module *state = PyModule_GetState(module);
    Py_CLEAR(state->items);
    Py_CLEAR(state->waiter);
    Py_CLEAR(state->empty);
    Py_CLEAR(state->full);
    Py_CLEAR(state->shut_down);
    Py_CLEAR(state->queue_error);
    Py_CLEAR(state->config_error);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL}, /* no Py_mod_gil: it needs the GIL, and an interpreter without one turns it on */
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_items",
    .m_doc = "The compiled core of the queues between threads.",
    .m_size = sizeof(Module),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__items(void)
{
    return PyModuleDef_Init(&definition);
}
