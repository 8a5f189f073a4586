/* The circular buffer. Nothing here runs Python code. */
#include "queue.h"

#include <string.h>

enum { SMALLEST = 16, WORTH_SHRINKING = 4096 };

/* Entries of a circular buffer, in order, into one piece. */
static void copy_in_order(Entry *to, const Entry *from, Py_ssize_t capacity, Py_ssize_t head,
                          Py_ssize_t size)
{
    Py_ssize_t first = size < capacity - head ? size : capacity - head;
    if (size > 0) {
        memcpy(to, from + head, first * sizeof(Entry));
        memcpy(to + first, from, (size - first) * sizeof(Entry));
    }
}

static int resize(Queue *q, Py_ssize_t capacity)
{
    Entry *entries = PyMem_New(Entry, capacity);
    if (!entries) {
        return -1;
    }
    copy_in_order(entries, q->entries, q->capacity, q->head, q->size);
    PyMem_Free(q->entries);
    q->entries = entries;
    q->capacity = capacity;
    q->head = 0;
    return 0;
}

int store_grow(Queue *q)
{
    return resize(q, q->capacity ? q->capacity * 2 : SMALLEST);
}

/* A queue that was deep once gives its memory back. Where there is none for the copy, it keeps. */
static void shrink(Queue *q)
{
    if (q->capacity >= WORTH_SHRINKING && q->size < q->capacity / 8) {
        (void)resize(q, q->capacity / 4);
    }
}

static void close_gap(Queue *q, Py_ssize_t index)
{
    if (index < q->size / 2) {
        for (; index > 0; index--) {
            *entry_at(q, index) = *entry_at(q, index - 1);
        }
        q->head = (q->head + 1) & (q->capacity - 1);
    }
    else {
        for (; index < q->size - 1; index++) {
            *entry_at(q, index) = *entry_at(q, index + 1);
        }
    }
}

PyObject *store_remove(Queue *q, Py_ssize_t index)
{
    PyObject *item = entry_at(q, index)->item;
    close_gap(q, index);
    q->size--;
    q->got++;
    shrink(q);
    return item;
}

Py_ssize_t store_find(const Queue *q, uint64_t seq)
{
    Py_ssize_t low = 0, high = q->size;
    while (low < high) {
        Py_ssize_t middle = low + (high - low) / 2;
        if (entry_at(q, middle)->seq < seq) {
            low = middle + 1;
        }
        else {
            high = middle;
        }
    }
    return low;
}

Detached store_detach(Queue *q)
{
    Detached all = {q->entries, q->capacity, q->head, q->size};
    q->entries = NULL;
    q->capacity = q->head = q->size = 0;
    q->version++;
    return all;
}

void detached_free(Detached d)
{
    for (Py_ssize_t i = 0; i < d.size; i++) {
        Py_DECREF(d.entries[(d.head + i) & (d.capacity - 1)].item);
    }
    PyMem_Free(d.entries);
}
