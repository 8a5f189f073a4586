#include "arguments.h"

#include "clock.h"

static int fail(const Signature *s, const char *what, const char *name)
{
    PyErr_Format(PyExc_TypeError, "%s() %s '%s'", s->function, what, name);
    return -1;
}

static Py_ssize_t place_of(const Signature *s, PyObject *name)
{
    for (Py_ssize_t i = 0; s->names[i]; i++) {
        if (PyUnicode_CompareWithASCIIString(name, s->names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static int bind_named(const Signature *s, PyObject *name, PyObject *value, PyObject **places,
                      Py_ssize_t nargs)
{
    Py_ssize_t place = place_of(s, name);
    if (place < 0) {
        PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", s->function,
                     name);
        return -1;
    }
    if (place < nargs) {
        return fail(s, "got multiple values for argument", s->names[place]);
    }
    places[place] = value;
    return 0;
}

int arguments_bind(const Signature *s, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                   PyObject **places)
{
    if (nargs > s->positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd positional arguments, %zd were given",
                     s->function, s->positional, nargs);
        return -1;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        places[i] = args[i];
    }
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (bind_named(s, PyTuple_GET_ITEM(kwnames, i), args[nargs + i], places, nargs) < 0) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < s->required; i++) {
        if (!places[i]) {
            return fail(s, "misses the argument", s->names[i]);
        }
    }
    return 0;
}

int whether(PyObject *value, bool otherwise)
{
    return value ? PyObject_IsTrue(value) : otherwise;
}

/* When `timeout` seconds are over. */
static int deadline_after(Queue *q, PyObject *timeout, int64_t *deadline)
{
    *deadline = CLOCK_NEVER;
    if (!timeout || timeout == Py_None) {
        return 0;
    }
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (!(seconds >= 0.0)) {
        raise_config(q, "'timeout' must be a non-negative number of seconds, not %R", timeout);
        return -1;
    }
    if (seconds < 9e9) {
        *deadline = clock_now() + (int64_t)(seconds * CLOCK_SECOND);
    }
    return 0;
}

int patience(Queue *q, PyObject *block, PyObject *timeout, int64_t *deadline)
{
    int waits = whether(block, true);
    return waits > 0 && deadline_after(q, timeout, deadline) < 0 ? -1 : waits;
}

int positive(Queue *q, PyObject *value, const char *text, Py_ssize_t *number)
{
    *number = 1;
    if (!value) {
        return 0;
    }
    *number = PyNumber_AsSsize_t(value, NULL);
    if (*number == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (*number < 1) {
        raise_config(q, text, value);
        return -1;
    }
    return 0;
}
