/* Sending: send, send_bytes, send_many, and their steps for the awaiting methods. */
#include "end.h"

#include <errno.h>

#include "clock.h"

#define WHOLE_COPY 16384             /* larger messages are copied while other threads run */
#define SOFT_WAIT (CLOCK_SECOND / 200) /* so long may a sender wait for more room than it needs */

/* --- one message, waiting if it must --------------------------------------------------------- */

/* A sender that begins again as soon as one message fits would be woken for each; so it first waits
 * for a quarter of the ring, or for all that there is to be read. */
static uint64_t comfortable(struct side *side, uint64_t from)
{
    uint64_t better = from + side->capacity / 4, most = side_position(side);
    return (int64_t)(most - better) < 0 ? most : better;
}

static enum outcome wait_for_room(struct side *side, uint64_t from)
{
    enum outcome outcome = side_wait(side, comfortable(side, from), clock_now() + SOFT_WAIT);
    return outcome == SIDE_LATE ? side_wait(side, from, CLOCK_NEVER) : outcome;
}

/* Until all is sent, or something has to be seen to by who called. */
static enum outcome push_all(struct side *side, struct outgoing *out)
{
    uint64_t from;
    while (!outbox_push(side, out, &from)) {
        if (!outbox_tell(side)) return SIDE_GONE;
        enum outcome outcome = wait_for_room(side, from);
        if (outcome != SIDE_REACHED) return outcome;
    }
    return outbox_tell(side) ? SIDE_REACHED : SIDE_GONE;
}

static enum outcome push_some(struct side *side, struct outgoing *out)
{
    uint64_t from;
    if (!side_heeded(side)) return SIDE_GONE;
    if (out->span <= WHOLE_COPY && outbox_push(side, out, &from))
        return outbox_tell(side) ? SIDE_REACHED : SIDE_GONE;
    enum outcome outcome;
    Py_BEGIN_ALLOW_THREADS
    outcome = push_all(side, out);
    Py_END_ALLOW_THREADS
    return outcome;
}

/* A signal's handler runs without the lock, unless the message has begun. */
static int handle(End *end, enum outcome outcome, const struct outgoing *out)
{
    struct side *side = &end->outward;
    if (out->begun && end_outcome(outcome, true) == 0) return 0;
    side_unlock(side);
    if (PyErr_Occurred() || end_outcome(outcome, true)) return -1;
    return end_lock(end, side, CLOCK_NEVER);
}

/* Without the lock after an error. */
static int push_locked(End *end, struct outgoing *out)
{
    enum outcome outcome;
    while ((outcome = push_some(&end->outward, out)) != SIDE_REACHED)
        if (handle(end, outcome, out)) return -1;
    return 0;
}

static int push(End *end, struct outgoing *out)
{
    if (end_lock(end, &end->outward, CLOCK_NEVER)) return -1;
    if (push_locked(end, out)) return -1;
    side_unlock(&end->outward);
    return 0;
}

static PyObject *send_message(End *end, struct message *message)
{
    end_enter(end);
    int failed = push(end, &message->out);
    end->sent += !failed;
    end_leave(end);
    message_release(message);
    return failed ? NULL : Py_NewRef(Py_None);
}

/* --- the short way --------------------------------------------------------------------------- */

enum quick { QUICK_DONE, QUICK_GONE, QUICK_NOT };

/* Sends what needs no waiting: nobody else runs meanwhile. */
static enum quick send_quick(End *end, uint8_t kind, const void *data, uint64_t size)
{
    struct side *side = &end->outward;
    uint64_t span = frame_span(size);
    if (size > WHOLE_COPY || !fits_at_once(side, span) || side_try_lock(side)) return QUICK_NOT;
    enum quick result = QUICK_NOT;
    uint64_t tail = side_position(side);
    if (!side_heeded(side)) result = QUICK_GONE;
    else if (side_reached(side, room_from(side, tail, span))) {
        uint64_t next = outbox_write(side, tail, kind, data, (uint32_t)size);
        side_move(side, next);
        result = side_tell(side, next) ? QUICK_DONE : QUICK_GONE;
    }
    side_unlock(side);
    return result;
}

static PyObject *quick_result(End *end, enum quick quick)
{
    if (quick == QUICK_GONE) return raise_broken_pipe();
    end->sent++;
    Py_RETURN_NONE;
}

PyObject *end_send(PyObject *self, PyObject *item)
{
    End *end = (End *)self;
    struct flat flat;
    if (CHECK_WRITABLE(end)) return NULL;
    if (item_flat(item, &flat)) {
        enum quick quick = send_quick(end, flat.kind, flat.data, flat.size);
        if (quick != QUICK_NOT) return quick_result(end, quick);
    }
    struct message message;
    if (message_item(&message, item)) return NULL;
    if (CHECK_WRITABLE(end)) return message_release(&message), NULL; /* pickling ran Python */
    if (message.out.count == 1 && message.parts == NULL) {
        const struct piece *piece = &message.piece;
        enum quick quick = send_quick(end, message.part.kind, piece->data, piece->size);
        if (quick != QUICK_NOT) return message_release(&message), quick_result(end, quick);
    }
    return send_message(end, &message);
}

/* --- bytes ----------------------------------------------------------------------------------- */

static int slice(Py_buffer *view, Py_ssize_t offset, PyObject *size)
{
    const char *fault = NULL;
    Py_ssize_t length = view->len - offset;
    if (offset < 0) fault = "offset is negative";
    else if (length < 0) fault = "buffer length < offset";
    else if (size != Py_None) {
        Py_ssize_t wanted = PyNumber_AsSsize_t(size, PyExc_OverflowError);
        if (wanted == -1 && PyErr_Occurred()) return -1;
        if (wanted < 0) fault = "size is negative";
        else if (wanted > length) fault = "buffer length < offset + size";
        length = wanted;
    }
    if (fault) return PyErr_SetString(PyExc_ValueError, fault), -1;
    view->buf = (char *)view->buf + offset;
    view->len = length;
    return 0;
}

static int parse_bytes(PyObject *const *args, Py_ssize_t count, PyObject *names, Py_buffer *view)
{
    static const char *const keywords[] = {"buf", "offset", "size"};
    PyObject *given[3];
    if (arguments("send_bytes", args, count, names, keywords, 1, 3, given)) return -1;
    Py_ssize_t offset = given[1] ? PyNumber_AsSsize_t(given[1], PyExc_OverflowError) : 0;
    if (offset == -1 && PyErr_Occurred()) return -1;
    if (PyObject_GetBuffer(given[0], view, PyBUF_CONTIG_RO)) return -1;
    if (slice(view, offset, given[2] ? given[2] : Py_None) == 0) return 0;
    PyBuffer_Release(view);
    return -1;
}

PyObject *end_send_bytes(BY_NAME)
{
    End *end = (End *)self;
    Py_buffer view;
    struct message message;
    if (CHECK_WRITABLE(end) || parse_bytes(args, count, names, &view)) return NULL;
    enum quick quick = send_quick(end, ITEM_RAW, view.buf, (uint64_t)view.len);
    if (quick != QUICK_NOT) {
        PyBuffer_Release(&view);
        return quick_result(end, quick);
    }
    message_bytes(&message, &view);
    return send_message(end, &message);
}

/* --- many ------------------------------------------------------------------------------------ */

/* Messages of a batch. Those that are no plain bytes are written first, so that an item that cannot be
 * pickled leaves the pipe untouched; the others are read where they are, when it is their turn. */
struct batch {
    PyObject *items; /* a tuple: nobody changes it meanwhile */
    struct message **written;
    Py_ssize_t count, at;
    uint64_t tail; /* written, and not yet committed */
};

static void batch_release(struct batch *batch)
{
    for (Py_ssize_t i = 0; batch->written && i < batch->count; i++)
        if (batch->written[i]) {
            message_release(batch->written[i]);
            PyMem_Free(batch->written[i]);
        }
    PyMem_Free(batch->written);
    Py_XDECREF(batch->items);
}

static int batch_prepare(struct batch *batch, Py_ssize_t i)
{
    struct flat flat;
    if (item_flat(PyTuple_GET_ITEM(batch->items, i), &flat)) return 0;
    struct message *message = PyMem_Malloc(sizeof *message);
    if (!message) return PyErr_NoMemory(), -1;
    if (message_item(message, PyTuple_GET_ITEM(batch->items, i))) return PyMem_Free(message), -1;
    batch->written[i] = message;
    return 0;
}

static int batch_open(struct batch *batch, PyObject *items)
{
    *batch = (struct batch){.items = PySequence_Tuple(items)};
    if (!batch->items) return -1;
    batch->count = PyTuple_GET_SIZE(batch->items);
    batch->written = PyMem_Calloc((size_t)batch->count + 1, sizeof *batch->written);
    if (!batch->written) return PyErr_NoMemory(), -1;
    for (Py_ssize_t i = 0; i < batch->count; i++)
        if (batch_prepare(batch, i)) return -1;
    return 0;
}

static bool batch_flat(struct batch *batch, struct flat *flat)
{
    struct message *message = batch->written[batch->at];
    if (!message) return item_flat(PyTuple_GET_ITEM(batch->items, batch->at), flat);
    flat->kind = message->part.kind;
    flat->data = message->piece.data;
    flat->size = message->piece.size;
    return message->parts == NULL;
}

/* Writes as many as fit, for one commit. */
static void batch_write(struct batch *batch, struct side *side)
{
    struct flat flat;
    for (; batch->at < batch->count && batch_flat(batch, &flat); batch->at++) {
        uint64_t span = frame_span(flat.size);
        if (flat.size > WHOLE_COPY || !fits_at_once(side, span) ||
            !side_reached(side, room_from(side, batch->tail, span)))
            return;
        batch->tail = outbox_write(side, batch->tail, flat.kind, flat.data, (uint32_t)flat.size);
    }
}

static int batch_one(struct batch *batch, End *end)
{
    struct message message = {0}, *written = batch->written[batch->at];
    PyObject *item = PyTuple_GET_ITEM(batch->items, batch->at);
    if (!written && message_item(&message, item)) return side_unlock(&end->outward), -1;
    int failed = push_locked(end, written ? &written->out : &message.out);
    if (!written) message_release(&message);
    batch->at += !failed;
    return failed;
}

static int batch_commit(struct batch *batch, End *end, Py_ssize_t before)
{
    struct side *side = &end->outward;
    if (batch->at == before) return 0;
    side_move(side, batch->tail);
    end->sent += (uint64_t)(batch->at - before);
    if (side_tell(side, batch->tail)) return 0;
    side_unlock(side);
    return raise_broken_pipe(), -1;
}

/* Without the lock after an error. */
static int batch_send(struct batch *batch, End *end)
{
    struct side *side = &end->outward;
    if (end_lock(end, side, CLOCK_NEVER)) return -1;
    while (batch->at < batch->count) {
        Py_ssize_t before = batch->at;
        batch->tail = side_position(side);
        if (!side_heeded(side)) return side_unlock(side), raise_broken_pipe(), -1;
        batch_write(batch, side);
        if (batch_commit(batch, end, before)) return -1;
        if (batch->at == before) {
            if (batch_one(batch, end)) return -1;
            end->sent++;
        }
    }
    side_unlock(side);
    return 0;
}

PyObject *end_send_many(PyObject *self, PyObject *items)
{
    End *end = (End *)self;
    struct batch batch;
    if (CHECK_WRITABLE(end)) return NULL;
    end_enter(end);
    int failed = batch_open(&batch, items) || CHECK_WRITABLE(end) || batch_send(&batch, end);
    end_leave(end);
    batch_release(&batch);
    return failed ? NULL : Py_NewRef(Py_None);
}

/* --- in steps, for those who must not block -------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    End *end;
    struct message message;
    bool holds, done; /* the lock: from the first frame of a streamed message to the last */
} Sending;

static Sending *sending_new(End *end)
{
    Sending *sending = PyObject_New(Sending, &sending_type);
    if (!sending) return NULL;
    sending->end = (End *)Py_NewRef((PyObject *)end);
    sending->message = (struct message){0};
    sending->holds = sending->done = false;
    return sending;
}

static void give_up(Sending *sending)
{
    End *end = sending->end;
    if (!sending->holds) return;
    sending->holds = false;
    side_unlock(&end->outward);
    end_leave(end);
}

static void sending_free(PyObject *self)
{
    Sending *sending = (Sending *)self;
    give_up(sending);
    message_release(&sending->message);
    Py_DECREF(sending->end);
    PyObject_Free(self);
}

/* True: sent. False: no room; the socket will tell. */
static int push_now(End *end, struct outgoing *out)
{
    struct side *side = &end->outward;
    uint64_t from;
    if (!side_heeded(side)) return -1;
    while (!outbox_push(side, out, &from)) {
        outbox_tell(side);
        if (!side_arm(side, from)) continue;
        return side_hung_up(side) ? -1 : 0;
    }
    return side_tell(side, side_position(side)) ? 1 : -1;
}

static PyObject *stepped(Sending *sending, int result, bool keep)
{
    End *end = sending->end;
    if (keep && !sending->holds) end_enter(end);
    if (!keep && sending->holds) end_leave(end);
    sending->holds = keep;
    if (result < 0) return raise_broken_pipe();
    sending->done = result;
    end->sent += (uint64_t)result;
    return PyBool_FromLong(result);
}

static PyObject *sending_step(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    Sending *sending = (Sending *)self;
    End *end = sending->end;
    struct side *side = &end->outward;
    if (sending->done) Py_RETURN_TRUE;
    if (CHECK_WRITABLE(end)) return NULL;
    if (!sending->holds && side_try_lock(side)) return Py_NewRef(busy);
    int result = push_now(end, &sending->message.out);
    bool keep = result == 0 && sending->message.out.begun;
    if (!keep) side_unlock(side);
    return stepped(sending, result, keep);
}

static PyObject *sending_abort(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    give_up((Sending *)self);
    Py_RETURN_NONE;
}

static PyMethodDef sending_methods[] = {
    {"step", sending_step, METH_NOARGS, NULL},
    {"abort", sending_abort, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyTypeObject sending_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "penstock.queues._core._pipe.Sending",
    .tp_doc = "A message on its way, step by step.",
    .tp_basicsize = sizeof(Sending),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = sending_free,
    .tp_methods = sending_methods,
};

PyObject *end_sending(PyObject *self, PyObject *item)
{
    if (CHECK_WRITABLE((End *)self)) return NULL;
    Sending *sending = sending_new((End *)self);
    if (sending && message_item(&sending->message, item)) Py_CLEAR(sending);
    return (PyObject *)sending;
}

PyObject *end_sending_bytes(BY_NAME)
{
    Py_buffer view;
    if (CHECK_WRITABLE((End *)self) || parse_bytes(args, count, names, &view)) return NULL;
    Sending *sending = sending_new((End *)self);
    if (!sending) return PyBuffer_Release(&view), NULL;
    message_bytes(&sending->message, &view);
    return (PyObject *)sending;
}
