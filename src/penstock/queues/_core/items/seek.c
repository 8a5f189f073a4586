/* Selective receive: the first item that satisfies a predicate.
 *
 * The predicate runs in the thread that waits, on one item after the other, and the items stay
 * where they are meanwhile. A getter in the line looks at no item that somebody ahead of it has not
 * refused yet (`frontier`), and counts as having refused all items before `seen`. One that does not
 * wait (block=False) stands in no line and looks at everything.
 */
#include "queue.h"

/* 1: yes; 0: no; -1: it raised */
static int satisfies(PyObject *match, PyObject *item)
{
    PyObject *verdict = PyObject_CallOneArg(match, item);
    if (!verdict) {
        return -1;
    }
    int yes = PyObject_IsTrue(verdict);
    Py_DECREF(verdict);
    return yes;
}

/* Nothing has ended the search meanwhile: no shutdown, no fork. */
static bool still_seeking(const Waiter *w)
{
    return w->state == WAITING || (w->state == IDLE && !w->line);
}

/* Takes the item with this number, unless it is gone, or only promised items are left. */
static PyObject *claim(Queue *q, Waiter *w, uint64_t seq)
{
    PyObject *item = NULL;
    if (!still_seeking(w)) {
        return NULL;
    }
    if (q->order == HEAP) {
        item = heap_remove(q, seq, NULL);
    }
    else if (available(q) > 0) {
        Py_ssize_t index = store_find(q, seq);
        if (index < q->size && entry_at(q, index)->seq == seq) {
            item = store_remove(q, index);
        }
    }
    if (item) {
        w->state = DONE;
        line_quit(w);
    }
    return item;
}

/* --- items in the order of putting, or the reverse ------------------------------------------ */

typedef struct {
    uint64_t from, to; /* what is still to be looked at */
    bool backwards;
} Search;

/* The next item, as a new reference. */
static bool next_entry(const Queue *q, Search *s, Entry *found)
{
    Py_ssize_t index = s->backwards ? store_find(q, s->to) - 1 : store_find(q, s->from);
    if (index < 0 || index >= q->size) {
        return false;
    }
    *found = *entry_at(q, index);
    if (found->seq < s->from || found->seq >= s->to) {
        return false;
    }
    Py_INCREF(found->item);
    *(s->backwards ? &s->to : &s->from) = found->seq + !s->backwards;
    return true;
}

static PyObject *seek_in_store(Queue *q, Waiter *w, PyObject *match, uint64_t end)
{
    Search search = {w->seen, end, q->order == LIFO};
    Entry entry;
    while (still_seeking(w) && available(q) > 0 && next_entry(q, &search, &entry)) {
        int verdict = satisfies(match, entry.item);
        PyObject *item = verdict > 0 ? claim(q, w, entry.seq) : NULL;
        Py_DECREF(entry.item);
        if (item || verdict < 0) {
            return item;
        }
        if (verdict > 0 && available(q) <= 0) {
            return NULL; /* promised to others now; if it comes free, it is looked at again */
        }
        if (!search.backwards) {
            w->seen = search.from;
        }
    }
    if (available(q) > 0) {
        w->seen = end;
    }
    return NULL;
}

/* --- items of a heap: all are looked at, the least of those that satisfy is taken ------------ */

/* A copy of the entries from `w->seen` on, in no order; NULL: MemoryError. */
static Entry *snapshot(const Queue *q, uint64_t from, uint64_t end, Py_ssize_t *size)
{
    Entry *copy = PyMem_New(Entry, q->size ? q->size : 1);
    *size = 0;
    for (Py_ssize_t i = 0; copy && i < q->size; i++) {
        if (q->entries[i].seq >= from && q->entries[i].seq < end) {
            Py_INCREF(q->entries[i].item);
            copy[(*size)++] = q->entries[i];
        }
    }
    return copy ? copy : (Entry *)PyErr_NoMemory();
}

/* Whether this entry is the best so far; -1: the predicate or a comparison raised. */
static int is_better(PyObject *match, const Entry *entry, const Entry *best)
{
    int yes = satisfies(match, entry->item);
    return yes > 0 && best ? heap_less(entry->item, best->item) : yes;
}

/* -1: error; else whether there is one, and which. */
static int best_of(PyObject *match, const Entry *entries, Py_ssize_t size, uint64_t *seq)
{
    const Entry *best = NULL;
    for (Py_ssize_t i = 0; i < size; i++) {
        int better = is_better(match, &entries[i], best);
        if (better < 0) {
            return -1;
        }
        best = better ? &entries[i] : best;
    }
    *seq = best ? best->seq : 0;
    return best != NULL;
}

static PyObject *seek_in_heap(Queue *q, Waiter *w, PyObject *match, uint64_t end)
{
    uint64_t seq = 0;
    Py_ssize_t size;
    Entry *entries = snapshot(q, w->seen, end, &size);
    if (!entries) {
        return NULL;
    }
    int found = best_of(match, entries, size, &seq);
    PyObject *item = found > 0 ? claim(q, w, seq) : NULL;
    for (Py_ssize_t i = 0; i < size; i++) {
        Py_DECREF(entries[i].item);
    }
    PyMem_Free(entries);
    if (found == 0) {
        w->seen = end;
    }
    return item;
}

/* --- both ----------------------------------------------------------------------------------- */

/* Where this search ends for now, or 0 when there is nothing to look at. */
static uint64_t search_end(Queue *q, Waiter *w)
{
    uint64_t end = frontier(q, w);
    return still_seeking(w) && available(q) > 0 && w->seen < end ? end : 0;
}

PyObject *seek(Queue *q, Waiter *w, PyObject *match)
{
    uint64_t end;
    while ((end = search_end(q, w))) {
        PyObject *item = q->order == HEAP ? seek_in_heap(q, w, match, end)
                                          : seek_in_store(q, w, match, end);
        if (item || PyErr_Occurred()) {
            return item;
        }
        settle(q); /* those behind may look now at what was refused */
    }
    return NULL;
}
