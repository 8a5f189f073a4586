/* Receiving: recv, recv_bytes, recv_bytes_into, recv_many, poll, and their steps for the awaiting
 * methods. */
#include "end.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "clock.h"

#define WHOLE_COPY 16384 /* larger parts are copied while other threads run */
#define BATCH 16384      /* bytes of small messages that are taken at once */

enum got {
    GOT_ERROR = -1,
    GOT_LATE,
    GOT_SMALL,
    GOT_LARGE, /* in end->arriving */
    GOT_BUSY,  /* somebody else waits at this end */
};

/* What a caller wants of a message. */
struct wish {
    int64_t deadline;
    bool step;           /* never waits: leaves the socket armed instead */
    Py_ssize_t limit;    /* of recv_bytes, or -1 */
    Py_buffer *lent;     /* of recv_bytes_into: bytes go straight there */
    bool used;           /* they did */
    struct small *small;
};

/* --- large messages -------------------------------------------------------------------------- */

/* As multiprocessing has it: the rest of the stream is not to be trusted. */
static void stop_reading(End *end)
{
    if (end->writable) end->readable = false;
    else end_close(end);
}

static void *bad_length(End *end)
{
    stop_reading(end);
    PyErr_SetString(PyExc_OSError, "bad message length");
    return NULL;
}

static bool begins(const struct arriving *arriving)
{
    return !arriving->first;
}

static bool lend(struct incoming *in, struct wish *wish)
{
    if (!wish->lent || in->kind != ITEM_RAW || in->total > (uint64_t)wish->lent->len) return false;
    in->to = wish->lent->buf;
    wish->used = true;
    return true;
}

/* Room for the part that begins. */
static int make_room(End *end, struct wish *wish)
{
    struct arriving *arriving = &end->arriving;
    struct incoming *in = &arriving->in;
    if (wish->limit >= 0 && item_is_bytes(in->kind) && in->total > (uint64_t)wish->limit)
        return bad_length(end), -1;
    Py_CLEAR(arriving->room);
    if (begins(arriving)) arriving->kind = in->kind;
    if (!lend(in, wish) && !(arriving->room = item_room(in->kind, in->total, &in->to))) return -1;
    in->open = true;
    return 0;
}

/* A message that stays unfinished must not stay in a buffer that was only lent. */
static void take_from_lent(End *end, struct wish *wish)
{
    struct arriving *arriving = &end->arriving;
    struct incoming *in = &arriving->in;
    uint8_t *lent = in->to;
    if (!wish->used || !in->open) return;
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    arriving->room = item_room(in->kind, in->total, &in->to);
    if (arriving->room) memcpy(in->to, lent, in->filled);
    else in->open = in->within = false; /* no memory: the rest will be thrown away */
    PyErr_Restore(type, value, trace);
}

static int keep_part(struct arriving *arriving)
{
    if (arriving->first) {
        if (PyList_Append(arriving->buffers, arriving->room)) return -1;
        Py_CLEAR(arriving->room);
        return 0;
    }
    if (!(arriving->buffers = PyList_New(0))) return -1;
    arriving->first = arriving->room;
    arriving->room = NULL;
    return 0;
}

/* What has to be done without the lock before more can be received. */
static int prepare(End *end, enum arrival arrival, struct wish *wish)
{
    switch (arrival) {
    case INBOX_ROOM: return make_room(end, wish);
    case INBOX_PART: return keep_part(&end->arriving);
    case INBOX_DROPPED: arriving_drop(&end->arriving); return 0;
    default: stop_reading(end); return item_damaged(), -1;
    }
}

/* --- one message, waiting if it must --------------------------------------------------------- */

/* Also waits, for a part that is larger than what is there. */
static enum arrival fill_all(struct side *side, struct incoming *in, int64_t deadline,
                             enum outcome *outcome)
{
    enum arrival arrival;
    while ((arrival = inbox_fill(side, in)) == INBOX_EMPTY) {
        inbox_tell(side);
        *outcome = side_wait(side, side_position(side) + 1, deadline);
        if (*outcome != SIDE_REACHED) break;
    }
    return arrival;
}

static enum arrival take_now(End *end, struct small *small)
{
    struct incoming *in = &end->arriving.in;
    enum arrival arrival = inbox_small(&end->inward, in, small);
    return arrival == INBOX_ROOM ? inbox_fill(&end->inward, in) : arrival;
}

/* A step: nothing is there, so the socket shall tell when that changes. */
static enum arrival take_or_arm(End *end, struct wish *wish, enum outcome *outcome)
{
    struct side *side = &end->inward;
    enum arrival arrival;
    while ((arrival = take_now(end, wish->small)) == INBOX_EMPTY) {
        uint64_t next = side_position(side) + 1;
        inbox_tell(side);
        if (!side_arm(side, next)) continue;
        bool gone = side_hung_up(side);
        if (gone && side_reached(side, next)) continue;
        *outcome = gone ? SIDE_GONE : SIDE_LATE;
        break;
    }
    return arrival;
}

static enum arrival take_or_wait(End *end, struct wish *wish, enum outcome *outcome)
{
    struct side *side = &end->inward;
    struct incoming *in = &end->arriving.in;
    enum arrival arrival = INBOX_EMPTY;
    if (!in->open || in->total <= WHOLE_COPY) arrival = take_now(end, wish->small);
    if (arrival != INBOX_EMPTY) return arrival;
    inbox_tell(side);
    if (!in->within && side_glimpse(side, side_position(side) + 1)) return INBOX_EMPTY;
    Py_BEGIN_ALLOW_THREADS
    if (in->open) arrival = fill_all(side, in, wish->deadline, outcome);
    else *outcome = side_wait(side, side_position(side) + 1, wish->deadline);
    Py_END_ALLOW_THREADS
    return arrival;
}

/* With the lock; it is given up before anything but INBOX_EMPTY. GOT_BUSY: go on. */
static enum got receive_some(End *end, struct wish *wish)
{
    struct side *side = &end->inward;
    bool large = end->arriving.in.within;
    enum outcome outcome = SIDE_REACHED;
    enum arrival arrival = wish->step ? take_or_arm(end, wish, &outcome)
                                      : take_or_wait(end, wish, &outcome);
    if (arrival == INBOX_EMPTY && outcome == SIDE_REACHED) return GOT_BUSY;
    if (arrival != INBOX_EMPTY) inbox_tell(side);
    side_unlock(side);
    if (arrival == INBOX_MESSAGE) return large ? GOT_LARGE : GOT_SMALL;
    int failed = arrival == INBOX_EMPTY ? end_outcome(outcome, false)
                                        : prepare(end, arrival, wish);
    if (failed) return failed < 0 ? GOT_ERROR : GOT_LATE;
    failed = end_lock(end, side, wish->deadline);
    return !failed ? GOT_BUSY : failed < 0 ? GOT_ERROR : GOT_LATE;
}

static enum got receive_locked(End *end, struct wish *wish)
{
    enum got got;
    end_enter(end);
    while ((got = receive_some(end, wish)) == GOT_BUSY)
        ;
    if (got <= GOT_LATE) take_from_lent(end, wish);
    end_leave(end);
    return got;
}

/* What recv_many had taken already. */
static enum got from_backlog(End *end, struct small *small)
{
    struct pipe_frame frame;
    const uint8_t *at = end->backlog + end->backlog_at;
    const uint8_t *next = batch_next(at, &frame);
    small->kind = frame.kind;
    small->size = frame.size;
    memcpy(small->data, at + sizeof frame, frame.size);
    end->backlog_at += (uint64_t)(next - at);
    if (end->backlog_at == end->backlog_size) {
        PyMem_Free(end->backlog);
        end->backlog = NULL;
    }
    return GOT_SMALL;
}

static enum got receive(End *end, struct wish *wish)
{
    if (end->backlog) return from_backlog(end, wish->small);
    if (wish->step && side_try_lock(&end->inward)) return GOT_BUSY;
    int failed = wish->step ? 0 : end_lock(end, &end->inward, wish->deadline);
    if (failed) return failed < 0 ? GOT_ERROR : GOT_LATE;
    return receive_locked(end, wish);
}

/* --- what becomes of it ---------------------------------------------------------------------- */

/* Unpickling runs Python, which may receive again: the message is taken out before. */
static PyObject *unpack_large(End *end)
{
    struct arriving *from = &end->arriving, mine = *from;
    from->room = from->first = from->buffers = NULL;
    PyObject *item = NULL;
    if (!mine.first || PyList_Append(mine.buffers, mine.room) == 0)
        item = item_large(mine.kind, mine.first ? mine.first : mine.room, mine.buffers);
    arriving_drop(&mine);
    return item;
}

static PyObject *unpack(End *end, enum got got, const struct small *small)
{
    if (got == GOT_ERROR) return NULL;
    if (got == GOT_LATE) return Py_NewRef(not_yet);
    if (got == GOT_BUSY) return Py_NewRef(busy);
    end->received++;
    return got == GOT_SMALL ? item_small(small->kind, small->data, small->size) : unpack_large(end);
}

/* Pickles and raw bytes as they came. */
static PyObject *bytes_as_sent(End *end, enum got got, const struct small *small)
{
    if (got == GOT_SMALL)
        return item_is_bytes(small->kind)
                   ? PyBytes_FromStringAndSize((const char *)small->data, small->size)
                   : NULL;
    if (end->arriving.first || !item_is_bytes(end->arriving.kind)) return NULL;
    PyObject *room = end->arriving.room;
    end->arriving.room = NULL;
    return room;
}

static PyObject *unpack_bytes(End *end, enum got got, const struct small *small)
{
    if (got <= GOT_LATE || got == GOT_BUSY) return unpack(end, got, small);
    PyObject *bytes = bytes_as_sent(end, got, small);
    if (bytes || PyErr_Occurred()) return end->received++, bytes;
    PyObject *item = unpack(end, got, small);
    bytes = item ? item_as_pickle(item) : NULL;
    Py_XDECREF(item);
    return bytes;
}

/* --- recv and recv_bytes --------------------------------------------------------------------- */

PyObject *end_recv(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    End *end = (End *)self;
    struct small small;
    struct wish wish = {.deadline = CLOCK_NEVER, .limit = -1, .small = &small};
    if (CHECK_READABLE(end)) return NULL;
    return unpack(end, receive(end, &wish), &small);
}

PyObject *end_recv_now(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    End *end = (End *)self;
    struct small small;
    struct wish wish = {.step = true, .limit = -1, .small = &small};
    if (CHECK_READABLE(end)) return NULL;
    return unpack(end, receive(end, &wish), &small);
}

/* None means no limit. */
static int parse_limit(PyObject *maxlength, Py_ssize_t *limit)
{
    *limit = -1;
    if (!maxlength || maxlength == Py_None) return 0;
    *limit = PyNumber_AsSsize_t(maxlength, NULL);
    if (*limit == -1 && PyErr_Occurred()) return -1;
    if (*limit >= 0) return 0;
    PyErr_SetString(PyExc_ValueError, "negative maxlength");
    return -1;
}

static PyObject *recv_bytes(End *end, struct wish *wish, PyObject *maxlength)
{
    struct small small;
    wish->small = &small;
    if (CHECK_READABLE(end) || parse_limit(maxlength, &wish->limit)) return NULL;
    PyObject *bytes = unpack_bytes(end, receive(end, wish), &small);
    if (!bytes || wish->limit < 0 || !PyBytes_Check(bytes)) return bytes;
    if (PyBytes_GET_SIZE(bytes) <= wish->limit) return bytes;
    Py_DECREF(bytes);
    return bad_length(end);
}

PyObject *end_recv_bytes(BY_NAME)
{
    static const char *const keywords[] = {"maxlength"};
    PyObject *maxlength[1];
    struct wish wish = {.deadline = CLOCK_NEVER};
    if (arguments("recv_bytes", args, count, names, keywords, 0, 1, maxlength)) return NULL;
    return recv_bytes((End *)self, &wish, maxlength[0]);
}

PyObject *end_recv_bytes_now(PyObject *self, PyObject *maxlength)
{
    struct wish wish = {.step = true};
    return recv_bytes((End *)self, &wish, maxlength);
}

/* --- recv_bytes_into ------------------------------------------------------------------------- */

static PyObject *raise_too_short(PyObject *bytes)
{
    PyObject *module = PyImport_ImportModule("multiprocessing");
    PyObject *error = module ? PyObject_GetAttrString(module, "BufferTooShort") : NULL;
    if (error) PyErr_SetObject(error, bytes);
    Py_XDECREF(module);
    Py_XDECREF(error);
    return NULL;
}

static PyObject *copy_into(PyObject *bytes, Py_buffer *to)
{
    Py_ssize_t size = PyBytes_GET_SIZE(bytes);
    if (size > to->len) return raise_too_short(bytes);
    memcpy(to->buf, PyBytes_AS_STRING(bytes), (size_t)size);
    return PyLong_FromSsize_t(size);
}

static PyObject *receive_into(End *end, Py_buffer *to)
{
    struct small small;
    struct wish wish = {.deadline = CLOCK_NEVER, .limit = -1, .lent = to, .small = &small};
    enum got got = receive(end, &wish);
    if (got == GOT_LARGE && !end->arriving.room) {
        end->received++;
        return PyLong_FromUnsignedLongLong(end->arriving.in.total);
    }
    PyObject *bytes = unpack_bytes(end, got, &small);
    PyObject *size = bytes ? copy_into(bytes, to) : NULL;
    Py_XDECREF(bytes);
    return size;
}

PyObject *end_recv_bytes_into(BY_NAME)
{
    static const char *const keywords[] = {"buf", "offset"};
    PyObject *given[2], *size = NULL;
    Py_buffer view;
    if (CHECK_READABLE((End *)self)) return NULL;
    if (arguments("recv_bytes_into", args, count, names, keywords, 1, 2, given)) return NULL;
    Py_ssize_t offset = given[1] ? PyNumber_AsSsize_t(given[1], PyExc_OverflowError) : 0;
    if (offset == -1 && PyErr_Occurred()) return NULL;
    if (PyObject_GetBuffer(given[0], &view, PyBUF_CONTIG)) return NULL;
    Py_buffer to = view;
    to.buf = (char *)view.buf + offset;
    to.len = view.len - offset;
    if (offset < 0) PyErr_SetString(PyExc_ValueError, "negative offset");
    else if (to.len < 0) PyErr_SetString(PyExc_ValueError, "offset too large");
    else size = receive_into((End *)self, &to);
    PyBuffer_Release(&view);
    return size;
}

/* --- recv_many ------------------------------------------------------------------------------- */

static void keep_backlog(End *end, const uint8_t *from, const uint8_t *until)
{
    if (from == until || end->backlog) return;
    end->backlog_at = 0;
    end->backlog_size = (uint64_t)(until - from);
    end->backlog = PyMem_Malloc(end->backlog_size);
    if (end->backlog) memcpy(end->backlog, from, end->backlog_size);
}

/* Unpacks until something is wrong; that is for the next call, unless it is the first. */
static int unpack_batch(End *end, PyObject *list, const uint8_t *data, const uint8_t *until)
{
    while (data != until) {
        struct pipe_frame frame;
        const uint8_t *next = batch_next(data, &frame);
        PyObject *item = item_small(frame.kind, data + sizeof frame, frame.size);
        int failed = item ? PyList_Append(list, item) : -1;
        Py_XDECREF(item);
        if (failed) {
            bool first = PyList_GET_SIZE(list) == 0;
            keep_backlog(end, first ? next : data, until);
            if (!first) PyErr_Clear();
            return -1;
        }
        end->received++;
        data = next;
    }
    return 0;
}

/* 1: some; 0: there is none of that kind; -1: see PyErr_Occurred. */
static int take_batch(End *end, PyObject *list, Py_ssize_t limit)
{
    _Alignas(16) uint8_t data[BATCH];
    struct side *side = &end->inward;
    uint64_t size = 0;
    if (end->backlog || side_try_lock(side)) return 0;
    int most = limit < BATCH ? (int)limit : BATCH;
    int count = inbox_batch(side, &end->arriving.in, data, sizeof data, most, &size);
    if (count > 0) inbox_tell(side);
    side_unlock(side);
    if (count <= 0) return 0; /* damage is met again, by one who tells */
    return unpack_batch(end, list, data, data + size) ? -1 : 1;
}

/* Waits only for the first. 1: there it is; 0: too late, or nothing more; -1: error. */
static int take_single(End *end, PyObject *list, int64_t deadline)
{
    struct small small;
    bool first = PyList_GET_SIZE(list) == 0;
    struct wish wish = {.deadline = first ? deadline : 0, .limit = -1, .small = &small};
    if (!first && !end->backlog && !end->arriving.in.within &&
        !side_beyond(&end->inward, side_position(&end->inward) + 1))
        return 0;
    enum got got = receive(end, &wish);
    if (got == GOT_ERROR && !first) PyErr_Clear(); /* the next call meets it again */
    if (got <= GOT_LATE) return first ? (int)got : 0;
    PyObject *item = unpack(end, got, &small);
    int failed = item ? PyList_Append(list, item) : -1;
    Py_XDECREF(item);
    return failed ? -1 : 1;
}

static int take_many(End *end, PyObject *list, Py_ssize_t limit, int64_t deadline)
{
    while (PyList_GET_SIZE(list) < limit) {
        int some = take_batch(end, list, limit - PyList_GET_SIZE(list));
        if (some == 0) some = take_single(end, list, deadline);
        if (some < 0) return PyErr_Occurred() ? -1 : 0;
        if (some == 0 || !end->open) return 0;
    }
    return 0;
}

/* Seconds, or None for ever. */
static int parse_timeout(PyObject *timeout, int64_t *deadline)
{
    *deadline = CLOCK_NEVER;
    if (timeout == Py_None) return 0;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) return -1;
    if (isnan(seconds)) return PyErr_SetString(PyExc_ValueError, "the timeout is not a number"), -1;
    if (seconds <= 0) *deadline = 0;
    else if (seconds < 1e9) *deadline = clock_now() + (int64_t)(seconds * 1e9);
    return 0;
}

static int parse_count(PyObject *limit, Py_ssize_t *count)
{
    *count = PY_SSIZE_T_MAX;
    if (!limit || limit == Py_None) return 0;
    *count = PyNumber_AsSsize_t(limit, PyExc_OverflowError);
    if (*count == -1 && PyErr_Occurred()) return -1;
    if (*count > 0) return 0;
    PyErr_SetString(PyExc_ValueError, "limit must be positive, or None");
    return -1;
}

PyObject *end_recv_many(BY_NAME)
{
    static const char *const keywords[] = {"limit", "timeout"};
    End *end = (End *)self;
    PyObject *given[2];
    Py_ssize_t limit;
    int64_t deadline;
    if (CHECK_READABLE(end)) return NULL;
    if (arguments("recv_many", args, count, names, keywords, 0, 2, given)) return NULL;
    if (parse_count(given[0], &limit) || parse_timeout(given[1] ? given[1] : Py_None, &deadline))
        return NULL;
    PyObject *list = PyList_New(0);
    end_enter(end);
    if (list && take_many(end, list, limit, deadline)) Py_CLEAR(list);
    end_leave(end);
    return list;
}

/* --- poll ------------------------------------------------------------------------------------ */

/* With the lock, which is given up before the end. 1, 0 or -1; 2: look again. */
static int poll_some(End *end, int64_t deadline)
{
    struct side *side = &end->inward;
    enum outcome outcome;
    if (inbox_look(side, &end->arriving.in) != INBOX_EMPTY) return side_unlock(side), 1;
    inbox_tell(side);
    uint64_t next = side_position(side) + 1;
    if (deadline == 0) outcome = side_hung_up(side) ? SIDE_GONE : SIDE_LATE;
    else {
        Py_BEGIN_ALLOW_THREADS
        outcome = side_wait(side, next, deadline);
        Py_END_ALLOW_THREADS
    }
    if (outcome == SIDE_REACHED) return 2;
    side_unlock(side);
    if (outcome == SIDE_GONE || outcome == SIDE_LATE) return outcome == SIDE_GONE;
    if (end_outcome(outcome, false)) return -1;
    int failed = end_lock(end, side, deadline);
    return failed == 0 ? 2 : failed < 0 ? -1 : 0;
}

static int poll_until(End *end, int64_t deadline)
{
    struct side *side = &end->inward;
    int result = 2;
    if (end->backlog || end->arriving.in.within) return 1;
    int failed = deadline ? end_lock(end, side, deadline) : side_try_lock(side);
    if (failed < 0) return -1;
    if (failed) return side_beyond(side, side_position(side) + 1); /* somebody else waits here */
    while (result == 2)
        result = poll_some(end, deadline);
    return result;
}

PyObject *end_poll(BY_NAME)
{
    static const char *const keywords[] = {"timeout"};
    End *end = (End *)self;
    PyObject *timeout;
    int64_t deadline = 0;
    if (CHECK_READABLE(end)) return NULL;
    if (arguments("poll", args, count, names, keywords, 0, 1, &timeout)) return NULL;
    if (timeout && parse_timeout(timeout, &deadline)) return NULL;
    end_enter(end);
    int result = poll_until(end, deadline);
    end_leave(end);
    return result < 0 ? NULL : PyBool_FromLong(result);
}
