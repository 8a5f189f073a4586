/* Small trees of exact built-in values ({"id": 1, "tags": ["a", "b"]}), without pickle.
 *
 * Pickle takes longer over such an item than all the rest of a put and a get together. A tree is
 * taken only where nobody could tell the difference: every list, dict and tuple inside it has one
 * owner (its count of references is 1), so that none occurs twice or holds itself; what is
 * larger than PLAIN_LARGEST, deeper than PLAIN_DEEPEST or of any other type is left to pickle.
 * No Python code runs here, in neither direction.
 *
 * Form: a tag, then for numbers their bytes, for text and bytes a length and the bytes, for
 * containers the number of entries and the entries. Everything is checked when it is read. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "items.h"

enum tag {
    NONE = 1, TRUE_, FALSE_, SMALL, INT, FLOAT, TEXT1, TEXT2, TEXT4, BYTES, LIST, TUPLE, DICT,
};

#define PLAIN_DEEPEST 16

/* --- writing --------------------------------------------------------------------------------- */

struct writing {
    uint8_t *at, *end;
};

static int write_item(struct writing *to, PyObject *item, int depth);

static int write_bytes(struct writing *to, const void *bytes, size_t size)
{
    if ((size_t)(to->end - to->at) < size) return -1;
    memcpy(to->at, bytes, size);
    to->at += size;
    return 0;
}

static int write_tag(struct writing *to, enum tag tag)
{
    uint8_t byte = (uint8_t)tag;
    return write_bytes(to, &byte, 1);
}

static int write_counted(struct writing *to, enum tag tag, Py_ssize_t count)
{
    uint16_t number = (uint16_t)count;
    if (count > PLAIN_LARGEST || write_tag(to, tag)) return -1;
    return write_bytes(to, &number, sizeof number);
}

static int write_int(struct writing *to, PyObject *item)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(item, &overflow);
    int8_t small = (int8_t)value;
    if (overflow) return -1;
    if (small == value) return write_tag(to, SMALL) || write_bytes(to, &small, sizeof small);
    return write_tag(to, INT) || write_bytes(to, &value, sizeof value);
}

static int write_text(struct writing *to, PyObject *item)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(item);
    int width = PyUnicode_KIND(item);
    enum tag tag = width == 1 ? TEXT1 : width == 2 ? TEXT2 : TEXT4;
    if (write_counted(to, tag, length)) return -1;
    return write_bytes(to, PyUnicode_DATA(item), (size_t)(length * width));
}

static int write_scalar(struct writing *to, PyObject *item)
{
    if (PyUnicode_CheckExact(item)) return item_text_ready(item) ? -1 : write_text(to, item);
    if (PyLong_CheckExact(item)) return write_int(to, item);
    if (PyFloat_CheckExact(item)) {
        double value = PyFloat_AS_DOUBLE(item);
        return write_tag(to, FLOAT) || write_bytes(to, &value, sizeof value);
    }
    if (PyBytes_CheckExact(item))
        return write_counted(to, BYTES, PyBytes_GET_SIZE(item)) ||
               write_bytes(to, PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item));
    if (item == Py_None) return write_tag(to, NONE);
    if (item == Py_True) return write_tag(to, TRUE_);
    return item == Py_False ? write_tag(to, FALSE_) : -1;
}

static int write_entries(struct writing *to, PyObject *const *items, Py_ssize_t count, int depth)
{
    for (Py_ssize_t i = 0; i < count; i++)
        if (write_item(to, items[i], depth)) return -1;
    return 0;
}

static int write_dict(struct writing *to, PyObject *dict, int depth)
{
    PyObject *key, *value;
    Py_ssize_t place = 0;
    if (write_counted(to, DICT, PyDict_GET_SIZE(dict))) return -1;
    while (PyDict_Next(dict, &place, &key, &value))
        if (write_scalar(to, key) || write_item(to, value, depth)) return -1;
    return 0;
}

/* With depth 0 left its entries must be scalars. */
static int write_container(struct writing *to, PyObject *item, int depth)
{
    if (PyDict_CheckExact(item)) return write_dict(to, item, depth);
    if (PyList_CheckExact(item))
        return write_counted(to, LIST, PyList_GET_SIZE(item)) ||
               write_entries(to, ((PyListObject *)item)->ob_item, PyList_GET_SIZE(item), depth);
    if (!PyTuple_CheckExact(item)) return -1;
    return write_counted(to, TUPLE, PyTuple_GET_SIZE(item)) ||
           write_entries(to, ((PyTupleObject *)item)->ob_item, PyTuple_GET_SIZE(item), depth);
}

static int is_container(PyObject *item)
{
    return PyDict_CheckExact(item) || PyList_CheckExact(item) || PyTuple_CheckExact(item);
}

static int write_item(struct writing *to, PyObject *item, int depth)
{
    if (!is_container(item)) return write_scalar(to, item);
    if (!depth) return -1;
    if (Py_REFCNT(item) == 1) return write_container(to, item, depth - 1);
    /* Shared, but nobody sees that of a tuple of scalars (a constant of the program, say). */
    return PyTuple_CheckExact(item) ? write_container(to, item, 0) : -1;
}

/* Bytes written, 0 when it must be pickled. */
size_t plain_write(PyObject *item, uint8_t *into)
{
    struct writing to = {.at = into, .end = into + PLAIN_LARGEST};
    if (!is_container(item) || write_container(&to, item, PLAIN_DEEPEST)) return 0;
    return (size_t)(to.at - into);
}

/* --- reading --------------------------------------------------------------------------------- */

struct reading {
    const uint8_t *at, *end;
};

static PyObject *read_item(struct reading *from, int depth);

static int read_bytes(struct reading *from, void *into, size_t size)
{
    if ((size_t)(from->end - from->at) < size) return item_damaged(), -1;
    memcpy(into, from->at, size);
    from->at += size;
    return 0;
}

static PyObject *read_int(struct reading *from, int small)
{
    int8_t narrow;
    long long value;
    if (small) return read_bytes(from, &narrow, sizeof narrow) ? NULL : PyLong_FromLong(narrow);
    return read_bytes(from, &value, sizeof value) ? NULL : PyLong_FromLongLong(value);
}

static PyObject *read_float(struct reading *from)
{
    double value;
    return read_bytes(from, &value, sizeof value) ? NULL : PyFloat_FromDouble(value);
}

/* Text and bytes: `width` 0 means bytes. */
static PyObject *read_string(struct reading *from, int width)
{
    uint16_t count;
    if (read_bytes(from, &count, sizeof count)) return NULL;
    const uint8_t *data = from->at;
    size_t size = (size_t)count * (size_t)(width ? width : 1);
    if ((size_t)(from->end - from->at) < size) return item_damaged();
    if (width && !item_text_sound(width, data, size)) return item_damaged();
    from->at += size;
    return width ? PyUnicode_FromKindAndData(width, data, count)
                 : PyBytes_FromStringAndSize((const char *)data, count);
}

static PyObject *read_sequence(struct reading *from, enum tag tag, uint16_t count, int depth)
{
    PyObject *made = tag == LIST ? PyList_New(count) : PyTuple_New(count);
    for (Py_ssize_t i = 0; made && i < count; i++) {
        PyObject *entry = read_item(from, depth);
        if (!entry) Py_CLEAR(made);
        else if (tag == LIST) PyList_SET_ITEM(made, i, entry);
        else PyTuple_SET_ITEM(made, i, entry);
    }
    return made;
}

/* Short text that was read before, most often the same keys again and again: finding one costs less
 * than to make and hash it anew. Strings cannot change, so that sharing one shows nowhere. */
#define KEY_LONGEST 24
static PyObject *known_keys[128];

static unsigned place_of(const uint8_t *data, size_t size)
{
    uint64_t mixed = size;
    for (size_t i = 0; i < size; i++) mixed = (mixed ^ data[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return (unsigned)(mixed >> 57);
}

static int is_text(PyObject *known, const uint8_t *data, size_t size)
{
    return known && (size_t)PyUnicode_GET_LENGTH(known) == size &&
           !memcmp(PyUnicode_1BYTE_DATA(known), data, size);
}

static PyObject *known_text(const uint8_t *data, size_t size)
{
    PyObject **known = &known_keys[place_of(data, size)];
    if (is_text(*known, data, size)) return Py_NewRef(*known);
    PyObject *made = PyUnicode_FromKindAndData(1, data, (Py_ssize_t)size);
    if (made) Py_XSETREF(*known, Py_NewRef(made));
    return made;
}

/* A scalar: hashing it runs no code. */
static PyObject *read_key(struct reading *from)
{
    uint16_t size;
    const uint8_t *data = from->at + 1 + sizeof size;
    if (data > from->end || *from->at != TEXT1) return read_item(from, 0);
    memcpy(&size, from->at + 1, sizeof size);
    if (size > KEY_LONGEST || size > from->end - data) return read_item(from, 0);
    from->at = data + size;
    return known_text(data, size);
}

static int read_entry(struct reading *from, PyObject *dict, int depth)
{
    PyObject *key = read_key(from);
    PyObject *value = key ? read_item(from, depth) : NULL;
    int failed = !value || PyDict_SetItem(dict, key, value);
    Py_XDECREF(key);
    Py_XDECREF(value);
    return failed;
}

static PyObject *read_dict(struct reading *from, uint16_t count, int depth)
{
    PyObject *dict = PyDict_New();
    for (int i = 0; dict && i < count; i++)
        if (read_entry(from, dict, depth)) Py_CLEAR(dict);
    return dict;
}

static PyObject *read_container(struct reading *from, enum tag tag, int depth)
{
    uint16_t count;
    if (!depth) return item_damaged();
    if (read_bytes(from, &count, sizeof count)) return NULL;
    /* Each entry takes a byte at least: damage cannot make us allocate. */
    if (count > from->end - from->at) return item_damaged();
    return tag == DICT ? read_dict(from, count, depth - 1)
                       : read_sequence(from, tag, count, depth - 1);
}

static PyObject *read_item(struct reading *from, int depth)
{
    uint8_t tag;
    if (read_bytes(from, &tag, sizeof tag)) return NULL;
    switch (tag) {
    case NONE: return Py_NewRef(Py_None);
    case TRUE_: return Py_NewRef(Py_True);
    case FALSE_: return Py_NewRef(Py_False);
    case SMALL:
    case INT: return read_int(from, tag == SMALL);
    case FLOAT: return read_float(from);
    case TEXT1: return read_string(from, 1);
    case TEXT2: return read_string(from, 2);
    case TEXT4: return read_string(from, 4);
    case BYTES: return read_string(from, 0);
    case LIST:
    case TUPLE:
    case DICT: return read_container(from, tag, depth);
    default: return item_damaged();
    }
}

PyObject *plain_read(const uint8_t *payload, size_t length)
{
    struct reading from = {payload, payload + length};
    PyObject *item = read_item(&from, PLAIN_DEEPEST + 2);
    if (!item || from.at == from.end) return item;
    Py_DECREF(item);
    return item_damaged();
}
