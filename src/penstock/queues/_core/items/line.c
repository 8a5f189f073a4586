/* Lines of waiters, and who may go on. `settle` is called after every change that lets somebody go
 * on; between two calls nobody waits who need not. */
#include "queue.h"

unsigned forks;

/* Waiters whose `wake` is to be called once the queue is whole again. */
typedef struct {
    Waiter *first, *last; /* owned */
} Due;

/* --- one line ---------------------------------------------------------------------------- */

static void link_last(Line *line, Waiter *w)
{
    w->line = line;
    w->previous = line->last;
    w->next = NULL;
    *(line->last ? &line->last->next : &line->first) = w;
    line->last = w;
    line->count++;
}

static void unlink_waiter(Waiter *w)
{
    Line *line = w->line;
    *(w->previous ? &w->previous->next : &line->first) = w->next;
    *(w->next ? &w->next->previous : &line->last) = w->previous;
    line->count--;
    w->line = NULL;
}

void line_join(Line *line, Waiter *w)
{
    Py_INCREF(w);
    link_last(line, w);
    w->state = WAITING;
}

void line_quit(Waiter *w)
{
    if (w->line) {
        unlink_waiter(w);
        Py_DECREF(w);
    }
}

int line_visit(Line *line, visitproc visit, void *arg)
{
    for (Waiter *w = line->first; w; w = w->next) {
        Py_VISIT(w);
    }
    return 0;
}

/* Only the fork and the collector come here: everybody in the line is gone. */
void line_clear(Line *line)
{
    while (line->first) {
        line->first->state = LOST;
        line_quit(line->first);
    }
}

/* --- waking ------------------------------------------------------------------------------- */

static void wake(Waiter *w, Due *due)
{
    if (!w->asleep) {
        return;
    }
    w->asleep = false;
    if (w->lock) {
        PyThread_release_lock(w->lock);
        return;
    }
    Py_INCREF(w);
    w->due = NULL;
    *(due->last ? &due->last->due : &due->first) = w;
    due->last = w;
}

static Waiter *next_due(Due *due)
{
    Waiter *w = due->first;
    due->first = w->due;
    if (!due->first) {
        due->last = NULL;
    }
    return w;
}

/* For what a signal handler raised although the operation it interrupted is done: its result must
 * not get lost. Only the class survives, not the arguments. */
void raise_afterwards(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), type);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

/* Whether somebody is left to be woken. */
static bool call_wake(Waiter *w)
{
    for (int attempt = 0; w->wake && attempt < 2; attempt++) {
        PyObject *result = PyObject_CallNoArgs(w->wake);
        if (result) {
            bool there = PyObject_IsTrue(result) > 0;
            Py_DECREF(result);
            return there;
        }
        if (PyErr_ExceptionMatches(PyExc_Exception)) {
            break;
        }
        raise_afterwards(); /* Ctrl-C, say; it may have come before anybody was woken: once more */
    }
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(w->wake);
    }
    return false;
}

static void call_up(Queue *q, Due *due);

static void wake_due(Queue *q, Due *due)
{
    if (!due->first) {
        return;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    while (due->first) {
        Waiter *w = next_due(due);
        if (!call_wake(w) && w->line) { /* its event loop is closed: the next one, please */
            w->state = IDLE;
            line_quit(w);
            call_up(q, due);
        }
        Py_DECREF(w);
    }
    PyErr_Restore(type, value, traceback);
}

/* --- who may go on ------------------------------------------------------------------------ */

/* The item that the next getter without a predicate would get; for a heap, if the least ones are
 * promised, any: the last one that was put stands for it. */
static uint64_t seq_in_turn(const Queue *q)
{
    Py_ssize_t promised = q->called_getters.count;
    if (q->order == LIFO) {
        return entry_at(q, q->size - 1 - promised)->seq;
    }
    if (q->order == HEAP && promised) {
        return q->next_seq - 1;
    }
    return entry_at(q, promised)->seq;
}

/* Items before this one were refused by everybody ahead of `w` (in no line: by nobody, no matter).
 * Someone ahead who wants any item leaves none. */
uint64_t frontier(const Queue *q, const Waiter *w)
{
    uint64_t least = q->next_seq;
    if (!w->line) {
        return least;
    }
    for (Waiter *ahead = q->getters.first; ahead != w; ahead = ahead->next) {
        if (!ahead->picky) {
            return 0;
        }
        least = ahead->seen < least ? ahead->seen : least;
    }
    return least;
}

static void promise(Waiter *w, Line *called, Due *due)
{
    unlink_waiter(w);
    link_last(called, w);
    w->state = CALLED;
    wake(w, due);
}

static void dismiss(Waiter *w, State state, Due *due)
{
    w->state = state;
    wake(w, due);
    line_quit(w);
}

static void dismiss_all(Line *line, State state, Due *due)
{
    while (line->first) {
        dismiss(line->first, state, due);
    }
}

static void call_getters(Queue *q, Due *due)
{
    uint64_t least = q->next_seq;
    for (Waiter *w = q->getters.first, *next; w && available(q) > 0; w = next) {
        next = w->next;
        if (!w->picky) {
            if (seq_in_turn(q) >= least) {
                return; /* somebody ahead still looks at it */
            }
            promise(w, &q->called_getters, due);
        }
        else if (w->seen < least) {
            least = w->seen;
            wake(w, due);
        }
    }
}

/* After a shutdown nothing new comes: who finds nothing now never will. */
static void dismiss_getters(Queue *q, Due *due)
{
    for (Waiter *w = q->getters.first, *next; w; w = next) {
        next = w->next;
        if (available(q) <= 0 || (w->picky && w->seen >= q->next_seq)) {
            dismiss(w, CLOSED, due);
        }
    }
}

/* A thread's item goes in at its turn. A task must come itself, since it may be cancelled, and a
 * heap's putter too, since comparisons are its own business. True: there is a new item. */
static bool call_putter(Queue *q, Waiter *w, Due *due)
{
    if (!w->item || q->order == HEAP) {
        promise(w, &q->called_putters, due);
        return false;
    }
    if (store_push(q, w->item) < 0) {
        promise(w, &q->called_putters, due); /* it comes itself, and meets the MemoryError */
        return false;
    }
    dismiss(w, DONE, due);
    return true;
}

static bool call_putters(Queue *q, Due *due)
{
    bool news = false;
    while (q->putters.first && has_room(q)) {
        news |= call_putter(q, q->putters.first, due);
    }
    return news;
}

static void call_up(Queue *q, Due *due)
{
    do {
        call_getters(q, due);
        if (q->closed) {
            dismiss_getters(q, due);
        }
    } while (call_putters(q, due));
}

/* --- what others call --------------------------------------------------------------------- */

void settle_slow(Queue *q)
{
    Due due = {NULL, NULL};
    call_up(q, &due);
    wake_due(q, &due);
}

void line_leave(Queue *q, Waiter *w)
{
    w->asleep = false;
    if (w->line) {
        w->state = IDLE;
        line_quit(w);
        settle(q);
    }
}

void finish(Queue *q, Py_ssize_t count)
{
    Due due = {NULL, NULL};
    q->unfinished -= count;
    if (q->unfinished == 0) {
        dismiss_all(&q->joiners, DONE, &due);
        wake_due(q, &due);
    }
}

void close_queue(Queue *q, bool immediate)
{
    Due due = {NULL, NULL};
    Detached drained = {NULL, 0, 0, 0};
    q->closed = true;
    if (immediate) {
        drained = store_detach(q);
        q->unfinished -= drained.size < q->unfinished ? drained.size : q->unfinished;
        dismiss_all(&q->called_getters, CLOSED, &due);
    }
    dismiss_all(&q->called_putters, CLOSED, &due);
    dismiss_all(&q->putters, CLOSED, &due);
    call_up(q, &due);
    if (q->unfinished == 0) {
        dismiss_all(&q->joiners, DONE, &due);
    }
    wake_due(q, &due);
    detached_free(drained);
}

void refresh_slow(Queue *q)
{
    q->forks = forks;
    line_clear(&q->getters);
    line_clear(&q->called_getters);
    line_clear(&q->putters);
    line_clear(&q->called_putters);
    line_clear(&q->joiners);
}
