#include "items.h"

#include <string.h>

static PyObject *dump_function;

PyObject *item_damaged(void)
{
    PyErr_SetString(PyExc_OSError, "bad message length: the pipe's memory is damaged, or two "
                                   "processes used one end at once; make a new pipe");
    return NULL;
}

/* --- out ------------------------------------------------------------------------------------- */

static bool flat_of(struct flat *flat, uint8_t kind, const void *data, Py_ssize_t size)
{
    flat->kind = kind;
    flat->data = data;
    flat->size = (uint64_t)size;
    return true;
}

static bool flat_int(struct flat *flat, PyObject *item)
{
    int overflow;
    flat->scalar.integer = PyLong_AsLongLongAndOverflow(item, &overflow);
    return !overflow && flat_of(flat, ITEM_INT, &flat->scalar, sizeof flat->scalar);
}

static bool flat_float(struct flat *flat, PyObject *item)
{
    flat->scalar.real = PyFloat_AS_DOUBLE(item);
    return flat_of(flat, ITEM_FLOAT, &flat->scalar, sizeof flat->scalar);
}

static bool flat_text(struct flat *flat, PyObject *item)
{
    if (PyUnicode_READY(item)) return PyErr_Clear(), false;
    int width = (int)PyUnicode_KIND(item);
    uint8_t kind = width == 1 ? ITEM_TEXT1 : width == 2 ? ITEM_TEXT2 : ITEM_TEXT4;
    return flat_of(flat, kind, PyUnicode_DATA(item), PyUnicode_GET_LENGTH(item) * width);
}

bool item_flat(PyObject *item, struct flat *flat)
{
    PyTypeObject *type = Py_TYPE(item);
    if (type == &PyLong_Type) return flat_int(flat, item);
    if (type == &PyBytes_Type)
        return flat_of(flat, ITEM_BYTES, PyBytes_AS_STRING(item), PyBytes_GET_SIZE(item));
    if (type == &PyUnicode_Type) return flat_text(flat, item);
    if (type == &PyFloat_Type) return flat_float(flat, item);
    if (type == &PyByteArray_Type)
        return flat_of(flat, ITEM_BYTEARRAY, PyByteArray_AS_STRING(item),
                       PyByteArray_GET_SIZE(item));
    if (item == Py_None) return flat_of(flat, ITEM_NONE, NULL, 0);
    if (item == Py_True) return flat_of(flat, ITEM_TRUE, NULL, 0);
    return item == Py_False && flat_of(flat, ITEM_FALSE, NULL, 0);
}

static int one_part(struct message *message, uint8_t kind, const void *data, uint64_t size)
{
    message->piece = (struct piece){data, size};
    message->part = (struct part){.size = size, .pieces = 1, .kind = kind};
    outgoing_open(&message->out, &message->part, &message->piece, 1);
    return 0;
}

static int message_view(struct message *message, uint8_t kind)
{
    return one_part(message, kind, message->view.buf, (uint64_t)message->view.len);
}

static Py_ssize_t size_of(PyObject *list)
{
    return list ? PyList_GET_SIZE(list) : 0;
}

/* ring/items.h: the parts of a pickle are a table, its chunks, and then its buffers. Here the
 * chunks become the pieces of the first part, and each buffer a part of one piece. */
static void pickle_parts(struct message *message, uint32_t chunks, uint32_t buffers)
{
    const struct pickled *pickled = &message->pickled;
    struct part first = {.pieces = chunks, .kind = ITEM_PICKLE};
    for (uint32_t i = 0; i < chunks + buffers; i++)
        message->pieces[i] = (struct piece){pickled->parts[i + 1].data, pickled->parts[i + 1].size};
    for (uint32_t i = 0; i < chunks; i++)
        first.size += message->pieces[i].size;
    message->parts[0] = first;
    for (uint32_t i = 0; i < buffers; i++)
        message->parts[i + 1] = (struct part){
            .size = message->pieces[chunks + i].size,
            .pieces = 1,
            .kind = pickled->views[chunks + i].readonly ? ITEM_BYTES : ITEM_BYTEARRAY,
        };
    outgoing_open(&message->out, message->parts, message->pieces, 1 + buffers);
}

static int message_pickle(struct message *message, PyObject *item)
{
    struct pickled *pickled = &message->pickled;
    if (pickling_dump(item, pickled)) return -1;
    if (!pickled->parts)
        return one_part(message, ITEM_PICKLE, pickled->only.data, pickled->only.size);
    uint32_t chunks = 1 + (uint32_t)size_of(pickled->chunks);
    uint32_t buffers = (uint32_t)size_of(pickled->buffers);
    message->pieces = PyMem_Calloc(chunks + buffers, sizeof *message->pieces);
    message->parts = PyMem_Calloc(1 + buffers, sizeof *message->parts);
    if (!message->pieces || !message->parts) return PyErr_NoMemory(), -1;
    pickle_parts(message, chunks, buffers);
    return 0;
}

/* A small tree of built-in values, or anything else. */
static int message_tree(struct message *message, PyObject *item)
{
    uint8_t written[PLAIN_LARGEST];
    size_t size = plain_write(item, written);
    if (PyErr_Occurred()) return -1;
    if (!size) return message_pickle(message, item);
    message->plain = PyMem_Malloc(size);
    if (!message->plain) return PyErr_NoMemory(), -1;
    memcpy(message->plain, written, size);
    return one_part(message, ITEM_PLAIN, message->plain, size);
}

/* The item may be a bytearray, which nobody may resize while it is sent. */
int message_item(struct message *message, PyObject *item)
{
    *message = (struct message){0};
    if (!item_flat(item, &message->flat)) {
        if (!message_tree(message, item)) return 0;
        message_release(message);
        return -1;
    }
    message->owner = Py_NewRef(item);
    if (message->flat.kind != ITEM_BYTEARRAY)
        return one_part(message, message->flat.kind, message->flat.data, message->flat.size);
    if (!PyObject_GetBuffer(item, &message->view, PyBUF_SIMPLE))
        return message_view(message, ITEM_BYTEARRAY);
    message_release(message);
    return -1;
}

int message_bytes(struct message *message, Py_buffer *view)
{
    *message = (struct message){.view = *view};
    return message_view(message, ITEM_RAW);
}

void message_release(struct message *message)
{
    if (message->view.obj) PyBuffer_Release(&message->view);
    pickling_release(&message->pickled);
    PyMem_Free(message->plain);
    PyMem_Free(message->parts);
    PyMem_Free(message->pieces);
    Py_CLEAR(message->owner);
}

/* --- in -------------------------------------------------------------------------------------- */

static PyObject *text_of(uint8_t kind, const void *data, uint64_t size)
{
    int width = kind == ITEM_TEXT1 ? 1 : kind == ITEM_TEXT2 ? 2 : 4;
    if (!item_text_sound(width, data, size)) return item_damaged();
    return PyUnicode_FromKindAndData(width, data, (Py_ssize_t)size / width);
}

static PyObject *int_of(const uint8_t *data)
{
    int64_t value;
    memcpy(&value, data, sizeof value);
    return PyLong_FromLongLong(value);
}

static PyObject *float_of(const uint8_t *data)
{
    double value;
    memcpy(&value, data, sizeof value);
    return PyFloat_FromDouble(value);
}

/* Steals `item`. */
static PyObject *loaded(PyObject *item, PyObject *buffers)
{
    PyObject *result = item ? pickling_load(item, buffers) : NULL;
    Py_XDECREF(item);
    return result;
}

static bool no_size_of(uint8_t kind, uint32_t size)
{
    if (kind == ITEM_INT || kind == ITEM_FLOAT) return size != 8;
    return (kind == ITEM_NONE || kind == ITEM_TRUE || kind == ITEM_FALSE) && size;
}

PyObject *item_small(uint8_t kind, const uint8_t *data, uint32_t size)
{
    if (no_size_of(kind, size)) return item_damaged();
    switch (kind) {
    case ITEM_INT: return int_of(data);
    case ITEM_FLOAT: return float_of(data);
    case ITEM_NONE: Py_RETURN_NONE;
    case ITEM_TRUE: Py_RETURN_TRUE;
    case ITEM_FALSE: Py_RETURN_FALSE;
    case ITEM_BYTES: return PyBytes_FromStringAndSize((const char *)data, size);
    case ITEM_BYTEARRAY: return PyByteArray_FromStringAndSize((const char *)data, size);
    case ITEM_TEXT1:
    case ITEM_TEXT2:
    case ITEM_TEXT4: return text_of(kind, data, size);
    case ITEM_PLAIN: return plain_read(data, size);
    case ITEM_RAW:
    case ITEM_PICKLE: return loaded(PyBytes_FromStringAndSize((const char *)data, size), NULL);
    default: return item_damaged();
    }
}

PyObject *item_room(uint8_t kind, uint64_t size, uint8_t **to)
{
    if (size > PY_SSIZE_T_MAX) return item_damaged();
    bool array = kind == ITEM_BYTEARRAY;
    PyObject *room = array ? PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)size)
                           : PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (room) *to = (uint8_t *)(array ? PyByteArray_AS_STRING(room) : PyBytes_AS_STRING(room));
    return room;
}

PyObject *item_large(uint8_t kind, PyObject *room, PyObject *buffers)
{
    switch (kind) {
    case ITEM_BYTES:
    case ITEM_BYTEARRAY: return Py_NewRef(room);
    case ITEM_TEXT1:
    case ITEM_TEXT2:
    case ITEM_TEXT4:
        return text_of(kind, PyBytes_AS_STRING(room), (uint64_t)PyBytes_GET_SIZE(room));
    case ITEM_PLAIN:
        return plain_read((uint8_t *)PyBytes_AS_STRING(room), (size_t)PyBytes_GET_SIZE(room));
    case ITEM_RAW:
    case ITEM_PICKLE: return pickling_load(room, buffers);
    default: return item_damaged();
    }
}

static PyObject *find_dump(void)
{
    PyObject *module = PyImport_ImportModule("multiprocessing.reduction");
    PyObject *pickler = module ? PyObject_GetAttrString(module, "ForkingPickler") : NULL;
    PyObject *dump = pickler ? PyObject_GetAttrString(pickler, "dumps") : NULL;
    Py_XDECREF(module);
    Py_XDECREF(pickler);
    return dump;
}

PyObject *item_as_pickle(PyObject *item)
{
    if (!dump_function && !(dump_function = find_dump())) return NULL;
    PyObject *view = PyObject_CallFunction(dump_function, "Oi", item, 5);
    PyObject *bytes = view ? PyBytes_FromObject(view) : NULL;
    Py_XDECREF(view);
    return bytes;
}
