/* Arguments of a call, by position and by name, without a tuple or a dict between. */
#ifndef PENSTOCK_ITEMS_ARGUMENTS_H
#define PENSTOCK_ITEMS_ARGUMENTS_H

#include "queue.h"

typedef struct {
    const char *function;
    const char *const *names; /* ends with NULL */
    Py_ssize_t required;      /* the first ones */
    Py_ssize_t positional;    /* the first ones; the others by name only */
} Signature;

/* Puts each argument into its place; places of those not given stay as they are. */
int arguments_bind(const Signature *signature, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames, PyObject **places);

/* 1: yes; 0: no; -1: error */
int whether(PyObject *value, bool otherwise);

/* 1: may wait until the deadline; 0: may not wait; -1: error */
int patience(Queue *q, PyObject *block, PyObject *timeout, int64_t *deadline);

/* A number from 1 up, 1 if it is not given; else raises ConfigError with this text. */
int positive(Queue *q, PyObject *value, const char *text, Py_ssize_t *number);

#endif
