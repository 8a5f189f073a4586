/* Python objects as records and back. Only items.c, plain.c, pickling.c and the files that object.h
 * names know Python; nothing of theirs is called while a lock of the ring is held. */
#ifndef RING_ITEMS_H
#define RING_ITEMS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "ring.h"

/* The exception under way, taken aside and put back. */
static inline PyObject *error_take(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    if (type) PyErr_NormalizeException(&type, &value, &trace);
    if (trace) PyException_SetTraceback(value, trace);
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return value;
#endif
}

static inline void error_put_back(PyObject *error)
{
#if PY_VERSION_HEX >= 0x030c0000
    PyErr_SetRaisedException(error);
#else
    if (error) PyErr_Restore(Py_NewRef(Py_TYPE(error)), error, PyException_GetTraceback(error));
#endif
}

/* Before 3.12 a string may not have its final form yet. */
static inline int item_text_ready(PyObject *text)
{
#if PY_VERSION_HEX < 0x030c0000
    return PyUnicode_READY(text);
#else
    return (void)text, 0;
#endif
}

/* Exact built-in types travel as they are, one copy in and one out, small trees of them in a form
 * of our own; the rest is pickled. */
enum item_kind {
    ITEM_BYTES = 1,
    ITEM_BYTEARRAY,
    ITEM_TEXT1, /* a string's characters, 1, 2 or 4 bytes each */
    ITEM_TEXT2,
    ITEM_TEXT4,
    ITEM_INT, /* 64 bits */
    ITEM_FLOAT,
    ITEM_TRUE,
    ITEM_FALSE,
    ITEM_NONE,
    ITEM_PLAIN, /* a small tree of such values: plain.c */
    ITEM_PICKLE,
    ITEM_BUFFERS, /* a table {buffers:64 | pickle's size:64 | sizes:64…}, the pickle, the buffers */
};

/* What a pickle consists of; owns all its parts point to. */
struct pickled {
    PyObject *first, *chunks, *buffers;
    Py_buffer *views;
    Py_ssize_t viewed;
    uint64_t *table;
    struct ring_part *parts;
    struct ring_part only;
};

/* An item on its way in. Does not move: the message points into it. */
struct packed {
    struct ring_message message;
    struct ring_part part;
    union {
        int64_t integer;
        double real;
    } scalar;
    PyObject *owner;
    uint8_t *plain;
    Py_buffer view;
    struct pickled pickled;
};

/* pickling.c */
int pickling_start(void); /* at import */
int pickling_dump(PyObject *item, struct pickled *into);
void pickling_release(struct pickled *pickled);
PyObject *pickling_load(PyObject *data, PyObject *buffers);

/* plain.c */
#define PLAIN_LARGEST 4096
size_t plain_write(PyObject *item, uint8_t *into); /* 0: it is not plain */
PyObject *plain_read(const uint8_t *payload, size_t length);

/* items.c */
int item_pack(PyObject *item, struct packed *packed); /* -1 with an exception set */
void item_release(struct packed *packed);
PyObject *item_unpack(uint32_t kind, const uint8_t *payload, size_t length);
/* Whether these bytes can be a string's characters of that width: Python checks it too late. */
static inline int item_text_sound(int width, const void *data, size_t size)
{
    uint32_t letter;
    if (size % (size_t)width) return 0;
    for (size_t at = 0; width == 4 && at < size; at += sizeof letter) {
        memcpy(&letter, (const uint8_t *)data + at, sizeof letter);
        if (letter > 0x10ffff) return 0;
    }
    return 1;
}

PyObject *item_damaged(void); /* sets the error for bytes that are no item */

/* A record too large for the buffer, on its way straight into the objects that it becomes. */
struct landing {
    uint32_t kind;
    size_t length, skip; /* skip: the table of ITEM_BUFFERS */
    PyObject *main, *buffers;
    uint8_t *text;
    struct ring_part few, *parts;
    uint32_t count;
};

size_t landing_table(uint64_t buffers, size_t length); /* bytes of such a table; 0: damaged */
int landing_open(struct landing *landing, struct record record, const uint64_t *table);
PyObject *landing_item(struct landing *landing); /* once it was filled */
void landing_close(struct landing *landing);

#endif
