/* One item in, one item out: at once, or in the turn of a waiter. */
#include "queue.h"

/* --- in ----------------------------------------------------------------------------------- */

static int push(Queue *q, PyObject *item)
{
    if (store_push(q, item) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 1;
}

static int push_now(Queue *q, PyObject *item)
{
    if (q->order == HEAP) {
        return heap_push(q, item, NULL);
    }
    return has_room(q) ? push(q, item) : 0;
}

int put_now(Queue *q, PyObject *item)
{
    refresh(q);
    int put = q->closed ? 0 : push_now(q, item);
    if (put > 0) {
        settle(q);
    }
    if (put == 0 && q->closed) {
        raise_shut_down(q);
        return -1;
    }
    return put;
}

static int push_called(Queue *q, Waiter *w, PyObject *item)
{
    if (q->order == HEAP) {
        return heap_push(q, item, w);
    }
    w->state = DONE;
    line_quit(w);
    return push(q, item);
}

static void stand_in_line(Queue *q, Line *line, Waiter *w)
{
    line_join(line, w);
    settle(q);
}

int put_for(Queue *q, Waiter *w, PyObject *item)
{
    refresh(q);
    while (w->state == IDLE || w->state == LOST || w->state == CALLED) {
        if (w->state == CALLED) {
            int put = push_called(q, w, item);
            if (put != 0) {
                settle(q);
                return put;
            }
        }
        else if (q->closed) {
            w->state = CLOSED;
        }
        else {
            stand_in_line(q, &q->putters, w);
        }
    }
    if (w->state == CLOSED) {
        raise_shut_down(q);
        return -1;
    }
    w->asleep = w->state == WAITING;
    return w->state == DONE;
}

/* --- out ---------------------------------------------------------------------------------- */

static Py_ssize_t ahead_of(const Waiter *w)
{
    Py_ssize_t ahead = 0;
    while ((w = w->previous)) {
        ahead++;
    }
    return ahead;
}

/* A called getter's item is the one that its place in the line gives it, whoever runs first. */
static PyObject *take_called(Queue *q, Waiter *w)
{
    if (q->order == HEAP) {
        return heap_remove(q, HEAP_LEAST, w);
    }
    PyObject *item = store_remove(q, q->order == LIFO ? q->size - 1 : ahead_of(w));
    w->state = DONE;
    line_quit(w);
    return item;
}

static PyObject *take_available(Queue *q)
{
    if (available(q) <= 0) {
        return NULL;
    }
    if (q->order == HEAP) {
        return heap_remove(q, HEAP_LEAST, NULL);
    }
    return store_remove(q, q->order == LIFO ? q->size - 1 : q->called_getters.count);
}

PyObject *take_now(Queue *q)
{
    refresh(q);
    PyObject *item = take_available(q);
    if (item) {
        settle(q);
    }
    return item;
}

static PyObject *take_turn(Queue *q, Waiter *w, PyObject *match)
{
    if (match) {
        return seek(q, w, match);
    }
    return w->state == CALLED ? take_called(q, w) : NULL;
}

PyObject *take_for(Queue *q, Waiter *w, PyObject *match)
{
    PyObject *item;
    do {
        refresh(q);
        if (w->state == IDLE || w->state == LOST) {
            w->picky = match != NULL;
            w->seen = 0;
            stand_in_line(q, &q->getters, w);
        }
        item = take_turn(q, w, match);
        if (item) {
            settle(q);
            return item;
        }
        if (PyErr_Occurred()) {
            line_leave(q, w);
            return NULL;
        }
    } while (w->state == LOST);
    if (w->state == CLOSED) {
        return raise_shut_down(q);
    }
    w->asleep = true;
    return (PyObject *)w;
}

int join_for(Queue *q, Waiter *w)
{
    refresh(q);
    if (w->state == DONE || q->unfinished == 0) {
        line_leave(q, w);
        return 1;
    }
    if (w->state != WAITING) {
        line_join(&q->joiners, w);
    }
    w->asleep = true;
    return 0;
}
