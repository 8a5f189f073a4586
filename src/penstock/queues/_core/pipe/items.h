/* Python objects as messages and back. Of the files here, items.c, pickling.c, end.c, send.c,
 * receive.c and module.c know Python. No object is made, no Python code runs and no reference is
 * given up while the lock of a side is held; the one exception is the handler of a signal that
 * arrives while a streamed message is on its way. */
#ifndef PIPE_ITEMS_H
#define PIPE_ITEMS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "frames.h"
#include "ring/items.h"

/* Kinds of the first part of a message. Kinds of ring/items.h, and: */
enum {
    ITEM_RAW = 64, /* what send_bytes sent */
};

/* Exact built-in types, without a pickle: where their bytes are. */
struct flat {
    const void *data;
    uint64_t size;
    uint8_t kind;
    union {
        int64_t integer;
        double real;
    } scalar;
};

/* An object as an outgoing message; owns all that the message points to. Does not move. */
struct message {
    struct outgoing out;
    struct part part, *parts;
    struct piece piece, *pieces;
    struct flat flat;
    PyObject *owner;
    Py_buffer view;
    struct pickled pickled;
    uint8_t *plain;
};

/* True when the item is one of the exact built-in types. The bytes stay where they are only as
 * long as nobody else runs. */
bool item_flat(PyObject *item, struct flat *flat);

/* The same, and anything else, for as long as needed. -1 with an exception set. */
int message_item(struct message *message, PyObject *item);
int message_bytes(struct message *message, Py_buffer *view); /* takes the view over */
void message_release(struct message *message);

/* Bytes of a part as an object. `data` was copied out of the ring. */
PyObject *item_small(uint8_t kind, const uint8_t *data, uint32_t size);

/* Room for a large part: the object, and where its bytes go. */
PyObject *item_room(uint8_t kind, uint64_t size, uint8_t **to);

/* The object that `room` has become; `buffers` is a list or NULL. */
PyObject *item_large(uint8_t kind, PyObject *room, PyObject *buffers);

/* True when these bytes, alone, are what recv_bytes gives: sent as bytes, or a pickle. */
static inline bool item_is_bytes(uint8_t kind)
{
    return kind == ITEM_RAW || kind == ITEM_PICKLE;
}

/* What recv_bytes gives of any other item. */
PyObject *item_as_pickle(PyObject *item);

#endif
