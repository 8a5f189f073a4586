/* The extension module `penstock._core._calls`: what every call that is sent passes through.
 *
 * Ids, and the text of headers and body of a call whose arguments are plain. Everything that this
 * file does not write itself it leaves to the twin, so that both give the same bytes.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* --- ids ------------------------------------------------------------------------------------ */

enum {
    OWN = 8,          /* digits that are this process's */
    ID = 36,          /* characters of a UUID */
    LOW_BITS = 30,    /* of the counter, behind the two bits of the variant */
    HIGH_MASK = 0xfff /* of the counter, behind the four bits of the version */
};

static char own[OWN];
static uint64_t counter;

static const char digits[] = "0123456789abcdef";

static void hex(char *to, uint64_t number, int count)
{
    while (count--) {
        to[count] = digits[number & 15];
        number >>= 4;
    }
}

/* A random start below half of the counter's 42 bits, as the twin's. */
static int start_anew(void)
{
    uint8_t seed[9];
    if (getrandom(seed, sizeof seed, 0) != sizeof seed) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    uint64_t number = 0;
    for (int i = 0; i < 5; i++) {
        number = number << 8 | seed[i];
    }
    counter = number << 1;
    for (int i = 0; i < OWN / 2; i++) {
        hex(own + 2 * i, seed[5 + i], 2);
    }
    return 0;
}

static PyObject *reseed(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return start_anew() < 0 ? NULL : Py_NewRef(Py_None);
}

static uint64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static PyObject *made(uint64_t ms)
{
    PyObject *id = PyUnicode_New(ID, 127);
    if (!id) {
        return NULL;
    }
    char *to = (char *)PyUnicode_1BYTE_DATA(id);
    uint64_t number = __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED);
    uint64_t variant = UINT64_C(2) << LOW_BITS | (number & ((UINT64_C(1) << LOW_BITS) - 1));
    hex(to, ms >> 16, 8);
    hex(to + 9, ms, 4);
    hex(to + 15, number >> LOW_BITS & HIGH_MASK, 3);
    hex(to + 19, variant >> 16, 4);
    hex(to + 24, variant, 4);
    memcpy(to + 28, own, OWN);
    to[8] = to[13] = to[18] = to[23] = '-';
    to[14] = '7';
    return id;
}

static PyObject *new_id(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return made(milliseconds());
}

static PyObject *new_ids(PyObject *Py_UNUSED(module), PyObject *count)
{
    Py_ssize_t n = PyNumber_AsSsize_t(count, PyExc_OverflowError);
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    PyObject *ids = PyList_New(n > 0 ? n : 0);
    uint64_t ms = milliseconds();
    for (Py_ssize_t i = 0; ids && i < n; i++) {
        PyObject *id = made(ms);
        if (!id) {
            Py_CLEAR(ids);
            break;
        }
        PyList_SET_ITEM(ids, i, id);
    }
    return ids;
}

/* --- plain calls ---------------------------------------------------------------------------- */

enum { SMALL = 512 }; /* bytes of arguments that are shown whole; the twin's */

/* The arguments as JSON, and as Python shows them, which is JSON's text of that, too. */
typedef struct {
    char json[SMALL], shown[2 * SMALL];
    int json_size, shown_size;
} Arguments;

static bool add(Arguments *to, const char *json, int json_size, const char *shown, int shown_size)
{
    if (json_size >= SMALL - to->json_size || shown_size >= 2 * SMALL - to->shown_size) {
        return false;
    }
    memcpy(to->json + to->json_size, json, (size_t)json_size);
    memcpy(to->shown + to->shown_size, shown, (size_t)shown_size);
    to->json_size += json_size;
    to->shown_size += shown_size;
    return true;
}

static bool add_number(Arguments *to, PyObject *value)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow || number == LLONG_MIN) {
        return false;
    }
    char text[20], *at = text + sizeof text;
    unsigned long long left = (unsigned long long)(number < 0 ? -number : number);
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (number < 0) {
        *--at = '-';
    }
    int size = (int)(text + sizeof text - at);
    return add(to, at, size, at, size);
}

/* Text that is written between quotes as it is, by JSON and by Python. */
static bool add_text(Arguments *to, PyObject *value)
{
    Py_ssize_t size = PyUnicode_GET_LENGTH(value);
    if (!PyUnicode_IS_COMPACT_ASCII(value) || size > SMALL) {
        return false;
    }
    const char *text = (const char *)PyUnicode_1BYTE_DATA(value);
    for (Py_ssize_t i = 0; i < size; i++) {
        if (text[i] < ' ' || text[i] == 127 || strchr("\"'\\", text[i])) {
            return false;
        }
    }
    return add(to, "\"", 1, "'", 1) && add(to, text, (int)size, text, (int)size) &&
           add(to, "\"", 1, "'", 1);
}

static bool add_value(Arguments *to, PyObject *value)
{
    if (PyLong_CheckExact(value)) {
        return add_number(to, value);
    }
    if (PyUnicode_CheckExact(value)) {
        return add_text(to, value);
    }
    if (value == Py_None) {
        return add(to, "null", 4, "None", 4);
    }
    if (value == Py_True) {
        return add(to, "true", 4, "True", 4);
    }
    return value == Py_False && add(to, "false", 5, "False", 5);
}

static bool write_arguments(Arguments *to, PyObject *args)
{
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    bool fits = add(to, "[", 1, "(", 1);
    for (Py_ssize_t i = 0; fits && i < count; i++) {
        fits = (i == 0 || add(to, ",", 1, ", ", 2)) && add_value(to, PyTuple_GET_ITEM(args, i));
    }
    return fits && add(to, "]", 1, ",)", count == 1 ? 2 : 0) &&
           (count == 1 || add(to, "", 0, ")", 1));
}

typedef struct {
    const char *text;
    Py_ssize_t size;
} Piece;

static PyObject *joined(const Piece *pieces, int count)
{
    Py_ssize_t size = 0;
    for (int i = 0; i < count; i++) {
        size += pieces[i].size;
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, size);
    char *to = bytes ? PyBytes_AS_STRING(bytes) : NULL;
    for (int i = 0; bytes && i < count; i++) {
        memcpy(to, pieces[i].text, (size_t)pieces[i].size);
        to += pieces[i].size;
    }
    return bytes;
}

#define LITERAL(text) {text, sizeof(text) - 1}

typedef struct {
    PyObject *twin; /* its `pack` */
} Module;

/* pack(id, root, args, same, follows): see the twin. */
static PyObject *pack(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    Arguments args;
    args.json_size = args.shown_size = 0;
    if (count == 5 && PyUnicode_CheckExact(given[0]) && PyUnicode_IS_COMPACT_ASCII(given[0]) &&
        PyUnicode_CheckExact(given[1]) && PyUnicode_IS_COMPACT_ASCII(given[1]) &&
        PyTuple_CheckExact(given[2]) && PyBytes_CheckExact(given[3]) &&
        PyBytes_CheckExact(given[4]) && write_arguments(&args, given[2])) {
        Piece id = {(const char *)PyUnicode_1BYTE_DATA(given[0]), PyUnicode_GET_LENGTH(given[0])};
        Piece root = {(const char *)PyUnicode_1BYTE_DATA(given[1]), PyUnicode_GET_LENGTH(given[1])};
        Piece same = {PyBytes_AS_STRING(given[3]), PyBytes_GET_SIZE(given[3])};
        Piece follows = {PyBytes_AS_STRING(given[4]), PyBytes_GET_SIZE(given[4])};
        Piece headers[] = {LITERAL("{\"id\":\""), id, LITERAL("\",\"root_id\":\""), root,
                           LITERAL("\",\"argsrepr\":\""), {args.shown, args.shown_size},
                           LITERAL("\",\"kwargsrepr\":\"{}\","), same};
        Piece body[] = {LITERAL("["), {args.json, args.json_size}, follows};
        return Py_BuildValue("NN", joined(headers, 8), joined(body, 3));
    }
    Module *state = PyModule_GetState(module);
    return PyObject_Vectorcall(state->twin, given, (size_t)count, NULL);
}

/* --- the module ----------------------------------------------------------------------------- */

static int execute(PyObject *module)
{
    PyObject *twin = PyImport_ImportModule("penstock._core.twin_calls");
    if (!twin) {
        return -1;
    }
    Module *state = PyModule_GetState(module);
    state->twin = PyObject_GetAttrString(twin, "pack");
    Py_DECREF(twin);
    return state->twin ? start_anew() : -1;
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    Module *state = PyModule_GetState(module);
    Py_VISIT(state->twin);
    return 0;
}

static int clear(PyObject *module)
{
    Module *state = PyModule_GetState(module);
    Py_CLEAR(state->twin);
    return 0;
}

static PyMethodDef methods[] = {
    {"new_id", new_id, METH_NOARGS, "new_id()\n--\n\nA new id."},
    {"new_ids", new_ids, METH_O, "new_ids(count, /)\n--\n\nSo many new ids, in order."},
    {"reseed", reseed, METH_NOARGS, "reseed()\n--\n\nIn a forked child: go on with other ids."},
    {"pack", (PyCFunction)(void (*)(void))pack, METH_FASTCALL,
     "pack(id, root, args, same, follows, /)\n--\n\nHeaders and body of a plain call, or None."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_calls",
    .m_doc = "Ids and the text of plain calls; twin_calls.py says what they are.",
    .m_size = sizeof(Module),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
};

PyMODINIT_FUNC PyInit__calls(void)
{
    return PyModuleDef_Init(&definition);
}
