/* The Python type Ring, which several files make up: arguments, errors, the GIL and signals around
 * ring.h and items.h.
 *
 *   object.c    this process's hold on a segment, errors, arguments
 *   sending.c   put, put_many       getting.c   get, get_many
 *   watching.c  counts, waiting, shutdown, statistics
 *   module.c    the object's life, the type, the module
 *
 * The GIL is held for what takes no longer than a lock and a small copy, and released for all that
 * may sleep or copies more than RING_BIG bytes. */
#ifndef RING_OBJECT_H
#define RING_OBJECT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "items.h"

#define RING_BIG 65536

/* This process's hold on one segment; Rings of one segment share it, and its slot. All its fields
 * but `ring` are guarded by the GIL. */
struct attachment {
    struct ring ring;
    uint32_t objects, calls; /* Rings, and calls under way (in the process `ring.generation`) */
    struct attachment *next;
};

typedef struct {
    PyObject_HEAD
    struct attachment *at; /* NULL: closed */
    PyObject *spill, *id;
    unsigned long long maxsize, max_bytes;
    uint8_t *buffer; /* NULL while a call uses it */
    size_t room;
    struct record refused; /* that the last put found no room for */
} RingObject;

typedef PyObject *ring_fast(RingObject *self, PyObject *const *args, Py_ssize_t given,
                            PyObject *keywords);
typedef PyObject *ring_plain(RingObject *self, PyObject *unused);

/* object.c */
int ring_find_errors(void); /* at import */
PyObject *ring_raise_closed(void);
PyObject *ring_raise(enum ring_result result);
int ring_hold(RingObject *self, struct ring *ring); /* takes over what was attached */
void ring_let_go(RingObject *self);
struct attachment *ring_enter(RingObject *self); /* kept, with a slot, until: */
void ring_exit(struct attachment *at);
int ring_go_on(RingObject *self, enum ring_result *result);
int ring_give_up(RingObject *self);
int ring_arguments(const char *function, const char *const *names, int required,
                   PyObject *const *args, Py_ssize_t given, PyObject *keywords, PyObject **out);
int64_t ring_read_timeout(PyObject *timeout);
int64_t ring_read_deadline(PyObject *block, PyObject *timeout);

/* sending.c */
ring_fast ring_py_put, ring_py_put_many;
int ring_drop_file(RingObject *self, PyObject *name);

/* getting.c */
ring_fast ring_py_get, ring_py_get_many;
int ring_borrow_buffer(RingObject *self, struct ring_taking *taking);
void ring_return_buffer(RingObject *self, struct ring_taking *taking);
int ring_append(PyObject *list, PyObject *item); /* takes over the item, which may be NULL */

/* watching.c */
ring_fast ring_py_task_done, ring_py_wait, ring_py_join, ring_py_shutdown;
ring_plain ring_py_qsize, ring_py_unfinished, ring_py_interrupt, ring_py_statistics;
ring_plain ring_py_processes;
PyObject *ring_py_is_shutdown(RingObject *self, void *unused);

#endif
