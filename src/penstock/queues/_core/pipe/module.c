/* The module penstock.queues._core._pipe. */
#include "end.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

PyObject *not_yet, *busy;

/* --- making the descriptors of a pipe -------------------------------------------------------- */

/* A direction: what its sender holds, and what its receiver holds. */
struct pair {
    int sends, receives;
};

/* With the byte that lies in each socket from the start, see bell.h. */
static int make_pair(struct pair *pair)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) return -1;
    *pair = (struct pair){fds[0], fds[1]};
    for (int i = 0; i < 2; i++)
        if (send(fds[i], "", 1, MSG_DONTWAIT) != 1) return -1;
    return 0;
}

static int make_all(int memory[2], struct pair pairs[2], uint32_t directions, uint64_t capacity)
{
    memory[0] = segment_create(directions, capacity);
    if (memory[0] < 0) return -1;
    memory[1] = fcntl(memory[0], F_DUPFD_CLOEXEC, 0);
    if (memory[1] < 0) return -1;
    for (uint32_t i = 0; i < directions; i++)
        if (make_pair(&pairs[i])) return -1;
    return 0;
}

static void close_all(int memory[2], struct pair pairs[2])
{
    int fds[] = {memory[0],         memory[1],      pairs[0].sends,
                 pairs[0].receives, pairs[1].sends, pairs[1].receives};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0) close(fds[i]);
}

static PyObject *raise_no_memory(int error)
{
    const char *text = "no memory for the ring of a pipe: free some, or give a smaller max_bytes";
    errno = error;
    if (error != ENOSPC && error != ENOMEM) return PyErr_SetFromErrno(PyExc_OSError);
    PyObject *values = Py_BuildValue("(is)", error, text);
    if (values) PyErr_SetObject(PyExc_OSError, values);
    Py_XDECREF(values);
    return NULL;
}

static PyObject *make(PyObject *module, PyObject *args)
{
    (void)module;
    int duplex;
    unsigned long long bytes;
    if (!PyArg_ParseTuple(args, "pK:make", &duplex, &bytes)) return NULL;
    uint64_t capacity = segment_capacity(bytes);
    if (!capacity) return PyErr_SetString(PyExc_ValueError, "a ring has at most 1 GiB"), NULL;
    int memory[2] = {-1, -1};
    struct pair pairs[2] = {{-1, -1}, {-1, -1}};
    if (make_all(memory, pairs, duplex ? 2 : 1, capacity)) {
        int error = errno;
        close_all(memory, pairs);
        return raise_no_memory(error);
    }
    return Py_BuildValue("((iiii)(iiii))", memory[0], pairs[0].receives, pairs[1].sends, 0,
                         memory[1], pairs[1].receives, pairs[0].sends, 1);
}

/* --- the module ------------------------------------------------------------------------------ */

static PyObject *sentinel(PyObject *module, const char *name)
{
    PyObject *object = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
    return object && PyModule_AddObjectRef(module, name, object) ? NULL : object;
}

static PyMethodDef functions[] = {
    {"make", make, METH_VARARGS,
     "make(duplex, bytes): the descriptors (memory, inbound, outbound, index) of two ends."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "penstock.queues._core._pipe",
    .m_doc = "Pipes as rings in shared memory.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__pipe(void)
{
    if (pickling_start() || end_start() || PyType_Ready(&sending_type)) return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (!module) return NULL;
    not_yet = sentinel(module, "NOT_YET");
    busy = sentinel(module, "BUSY");
    bool made = not_yet && busy && !PyModule_AddObjectRef(module, "End", (PyObject *)&end_type);
    if (!made) Py_CLEAR(module);
    return module;
}
