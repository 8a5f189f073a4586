/* Methods of a queue, as Python calls them. */
#ifndef PENSTOCK_ITEMS_METHODS_H
#define PENSTOCK_ITEMS_METHODS_H

#include "arguments.h"
#include "clock.h"
#include "queue.h"

extern PyMethodDef queue_methods[];
extern PyGetSetDef queue_attributes[];

/* puts.c */
PyObject *queue_put(Queue *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *queue_put_nowait(Queue *q, PyObject *item);
PyObject *queue_put_many(Queue *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

/* gets.c */
PyObject *queue_get(Queue *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *queue_get_nowait(Queue *q, PyObject *ignored);
PyObject *queue_get_free(Queue *q, PyObject *ignored);
PyObject *queue_get_many(Queue *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *queue_next(Queue *q);

int set_maxsize(Queue *q, PyObject *value, void *closure);

#endif
