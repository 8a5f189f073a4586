/* Built-in values as raw records, everything else through pickling.c. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "items.h"

static struct record describe(uint32_t kind, size_t length)
{
    return (struct record){.length = length, .kind = kind};
}

/* --- in -------------------------------------------------------------------------------------- */

static int pack_part(struct packed *packed, uint32_t kind, const void *data, size_t size)
{
    packed->part = (struct ring_part){data, size};
    packed->message = (struct ring_message){describe(kind, size), &packed->part, 1};
    return 0;
}

static int pack_bytes(struct packed *packed, PyObject *item)
{
    return pack_part(packed, ITEM_BYTES, PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item));
}

static int pack_bytearray(struct packed *packed, PyObject *item)
{
    if (PyObject_GetBuffer(item, &packed->view, PyBUF_SIMPLE)) return -1;
    /* Until the view is released nobody can resize it. */
    return pack_part(packed, ITEM_BYTEARRAY, packed->view.buf, (size_t)packed->view.len);
}

static int pack_text(struct packed *packed, PyObject *item)
{
    if (item_text_ready(item)) return -1;
    int width = PyUnicode_KIND(item);
    uint32_t kind = width == 1 ? ITEM_TEXT1 : width == 2 ? ITEM_TEXT2 : ITEM_TEXT4;
    size_t size = (size_t)PyUnicode_GET_LENGTH(item) * (size_t)width;
    return pack_part(packed, kind, PyUnicode_DATA(item), size);
}

static int pack_pickle(struct packed *packed, PyObject *item)
{
    struct pickled *pickled = &packed->pickled;
    if (pickling_dump(item, pickled)) return -1;
    if (!pickled->parts)
        return pack_part(packed, ITEM_PICKLE, pickled->only.data, pickled->only.size);
    uint32_t count = 1 + (uint32_t)pickled->viewed;
    uint64_t size = 0;
    for (uint32_t i = 0; i < count; i++) size += pickled->parts[i].size;
    uint32_t kind = pickled->table[0] ? ITEM_BUFFERS : ITEM_PICKLE;
    packed->message = (struct ring_message){describe(kind, size), pickled->parts, count};
    return 0;
}

static int pack_tree(struct packed *packed, PyObject *item)
{
    uint8_t written[PLAIN_LARGEST];
    size_t size = plain_write(item, written);
    if (PyErr_Occurred()) return -1;
    if (!size) return pack_pickle(packed, item);
    packed->plain = PyMem_Malloc(size);
    if (!packed->plain) return PyErr_NoMemory(), -1;
    memcpy(packed->plain, written, size);
    return pack_part(packed, ITEM_PLAIN, packed->plain, size);
}

static int pack_int(struct packed *packed, PyObject *item)
{
    int overflow;
    packed->scalar.integer = PyLong_AsLongLongAndOverflow(item, &overflow);
    if (overflow) return pack_pickle(packed, item);
    return pack_part(packed, ITEM_INT, &packed->scalar, sizeof packed->scalar);
}

static int pack_float(struct packed *packed, PyObject *item)
{
    packed->scalar.real = PyFloat_AS_DOUBLE(item);
    return pack_part(packed, ITEM_FLOAT, &packed->scalar, sizeof packed->scalar);
}

static int pack(PyObject *item, struct packed *packed)
{
    if (PyLong_CheckExact(item)) return pack_int(packed, item);
    if (PyBytes_CheckExact(item)) return pack_bytes(packed, item);
    if (PyUnicode_CheckExact(item)) return pack_text(packed, item);
    if (PyFloat_CheckExact(item)) return pack_float(packed, item);
    if (item == Py_None) return pack_part(packed, ITEM_NONE, NULL, 0);
    if (item == Py_True) return pack_part(packed, ITEM_TRUE, NULL, 0);
    if (item == Py_False) return pack_part(packed, ITEM_FALSE, NULL, 0);
    if (PyByteArray_CheckExact(item)) return pack_bytearray(packed, item);
    return pack_tree(packed, item);
}

int item_pack(PyObject *item, struct packed *packed)
{
    packed->owner = Py_NewRef(item);
    packed->plain = NULL;
    packed->view.obj = NULL;
    packed->pickled = (struct pickled){0};
    if (pack(item, packed) == 0) return 0;
    item_release(packed);
    return -1;
}

void item_release(struct packed *packed)
{
    if (packed->view.obj) PyBuffer_Release(&packed->view);
    if (packed->pickled.first) pickling_release(&packed->pickled);
    PyMem_Free(packed->plain);
    Py_DECREF(packed->owner);
}

/* --- out ------------------------------------------------------------------------------------- */

PyObject *item_damaged(void)
{
    PyErr_SetString(PyExc_ValueError, "the queue's memory is damaged: these bytes are no item");
    return NULL;
}

static PyObject *unpack_int(const uint8_t *payload)
{
    int64_t value;
    memcpy(&value, payload, sizeof value);
    return PyLong_FromLongLong(value);
}

static PyObject *unpack_float(const uint8_t *payload)
{
    double value;
    memcpy(&value, payload, sizeof value);
    return PyFloat_FromDouble(value);
}

static PyObject *unpack_pickle(const uint8_t *payload, size_t length)
{
    PyObject *data = PyBytes_FromStringAndSize((const char *)payload, (Py_ssize_t)length);
    PyObject *item = data ? pickling_load(data, NULL) : NULL;
    Py_XDECREF(data);
    return item;
}

/* Whether the table's sizes add up to the payload. */
static int table_sane(const uint64_t *table, size_t words, size_t length)
{
    uint64_t left = length - words * sizeof *table;
    for (size_t i = 1; i < words; i++) {
        if (table[i] > left) return 0;
        left -= table[i];
    }
    return left == 0;
}

size_t landing_table(uint64_t buffers, size_t length)
{
    size_t words = length / sizeof(uint64_t);
    return words >= 2 && buffers <= words - 2 ? (size_t)(buffers + 2) * sizeof(uint64_t) : 0;
}

static PyObject *unpack_buffers(const uint8_t *payload, size_t length)
{
    struct landing landing;
    uint64_t buffers = 0;
    if (length >= sizeof buffers) memcpy(&buffers, payload, sizeof buffers);
    if (!landing_table(buffers, length)) return item_damaged();
    struct record record = {.length = length, .kind = ITEM_BUFFERS};
    if (landing_open(&landing, record, (const uint64_t *)(const void *)payload)) return NULL;
    const uint8_t *from = payload + landing.skip;
    for (uint32_t i = 0; i < landing.count; from += landing.parts[i++].size)
        memcpy((void *)(uintptr_t)landing.parts[i].data, from, landing.parts[i].size);
    PyObject *item = landing_item(&landing);
    landing_close(&landing);
    return item;
}

static PyObject *unpack_text(uint32_t kind, const uint8_t *payload, size_t length)
{
    int width = kind == ITEM_TEXT1 ? 1 : kind == ITEM_TEXT2 ? 2 : 4;
    if (!item_text_sound(width, payload, length)) return item_damaged();
    return PyUnicode_FromKindAndData(width, payload, (Py_ssize_t)length / width);
}

PyObject *item_unpack(uint32_t kind, const uint8_t *payload, size_t length)
{
    const char *bytes = (const char *)payload;
    switch (kind) {
    case ITEM_INT: return length == 8 ? unpack_int(payload) : item_damaged();
    case ITEM_FLOAT: return length == 8 ? unpack_float(payload) : item_damaged();
    case ITEM_BYTES: return PyBytes_FromStringAndSize(bytes, (Py_ssize_t)length);
    case ITEM_BYTEARRAY: return PyByteArray_FromStringAndSize(bytes, (Py_ssize_t)length);
    case ITEM_TEXT1:
    case ITEM_TEXT2:
    case ITEM_TEXT4: return unpack_text(kind, payload, length);
    case ITEM_TRUE: return Py_NewRef(Py_True);
    case ITEM_FALSE: return Py_NewRef(Py_False);
    case ITEM_NONE: return Py_NewRef(Py_None);
    case ITEM_PLAIN: return plain_read(payload, length);
    case ITEM_PICKLE: return unpack_pickle(payload, length);
    case ITEM_BUFFERS: return unpack_buffers(payload, length);
    default: return item_damaged();
    }
}

/* --- large records --------------------------------------------------------------------------- */

static struct ring_part part_of(PyObject *object, size_t size)
{
    void *data = PyBytes_Check(object) ? PyBytes_AS_STRING(object) : PyByteArray_AS_STRING(object);
    return (struct ring_part){data, size};
}

static int open_plain(struct landing *landing, PyObject *made)
{
    landing->main = made;
    if (!made) return -1;
    landing->few = part_of(made, landing->length);
    landing->parts = &landing->few;
    landing->count = 1;
    return 0;
}

static int open_text(struct landing *landing)
{
    landing->text = PyMem_RawMalloc(landing->length);
    if (!landing->text) return PyErr_NoMemory(), -1;
    landing->few = (struct ring_part){landing->text, landing->length};
    landing->parts = &landing->few;
    landing->count = 1;
    return 0;
}

static int add_buffer(struct landing *landing, uint64_t size)
{
    PyObject *buffer = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!buffer) return -1;
    landing->parts[landing->count++] = part_of(buffer, size);
    int failed = PyList_Append(landing->buffers, buffer);
    Py_DECREF(buffer);
    return failed;
}

static int open_buffers(struct landing *landing, const uint64_t *table)
{
    size_t words = (size_t)table[0] + 2;
    if (!table_sane(table, words, landing->length)) return item_damaged(), -1;
    landing->skip = words * sizeof *table;
    landing->parts = PyMem_Calloc(words, sizeof *landing->parts);
    if (!landing->parts) return PyErr_NoMemory(), -1;
    landing->main = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)table[1]);
    landing->buffers = PyList_New(0);
    if (!landing->main || !landing->buffers) return -1;
    landing->parts[landing->count++] = part_of(landing->main, table[1]);
    for (size_t i = 2; i < words; i++)
        if (add_buffer(landing, table[i])) return -1;
    return 0;
}

static int open_kind(struct landing *landing, const uint64_t *table)
{
    Py_ssize_t length = (Py_ssize_t)landing->length;
    switch (landing->kind) {
    case ITEM_BYTES:
    case ITEM_PICKLE: return open_plain(landing, PyBytes_FromStringAndSize(NULL, length));
    case ITEM_BYTEARRAY: return open_plain(landing, PyByteArray_FromStringAndSize(NULL, length));
    case ITEM_TEXT1:
    case ITEM_TEXT2:
    case ITEM_TEXT4: return open_text(landing);
    case ITEM_BUFFERS: return open_buffers(landing, table);
    default: return item_damaged(), -1;
    }
}

/* Room for a record's payload; `table` (of ITEM_BUFFERS) lies within it. */
int landing_open(struct landing *landing, struct record record, const uint64_t *table)
{
    *landing = (struct landing){.kind = record.kind, .length = record.length};
    if (open_kind(landing, table) == 0) return 0;
    landing_close(landing);
    return -1;
}

PyObject *landing_item(struct landing *landing)
{
    if (landing->text) return unpack_text(landing->kind, landing->text, landing->length);
    if (landing->kind == ITEM_PICKLE || landing->kind == ITEM_BUFFERS)
        return pickling_load(landing->main, landing->buffers);
    return Py_NewRef(landing->main);
}

void landing_close(struct landing *landing)
{
    if (landing->parts != &landing->few) PyMem_Free(landing->parts);
    PyMem_RawFree(landing->text);
    Py_CLEAR(landing->main);
    Py_CLEAR(landing->buffers);
}
