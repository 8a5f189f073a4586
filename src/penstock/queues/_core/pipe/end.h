/* One end of a pipe as a Python object: both its sides, and the memory they are in. */
#ifndef PIPE_END_H
#define PIPE_END_H

#include "items.h"
#include "segment.h"

/* A message that is being received and is not small. */
struct arriving {
    struct incoming in;
    PyObject *room;    /* the part that is being filled; NULL while it goes to a lent buffer */
    PyObject *first;   /* the first part, once another is being filled */
    PyObject *buffers; /* the finished parts after the first: a list */
    uint8_t kind;      /* of the first part */
};

typedef struct {
    PyObject_HEAD
    struct segment segment;
    struct side inward, outward;
    struct arriving arriving;
    uint8_t *backlog; /* small messages that recv_many took and did not give */
    uint64_t backlog_at, backlog_size;
    int memory, inbound, outbound, index; /* descriptors; which of the two ends */
    int users;                            /* calls that let other threads run meanwhile */
    int forks;                            /* how many generations of processes it has seen */
    bool open, readable, writable;
    uint64_t sent, received;
} End;

extern PyTypeObject end_type, sending_type;
extern PyObject *not_yet, *busy; /* what the steps of the awaiting methods give */

/* Begins every call. 0, or -1 with OSError: closed, or the wrong direction. */
int end_check(End *end, bool wanted, const char *text);
#define CHECK_READABLE(end) end_check(end, (end)->readable, "connection is write-only")
#define CHECK_WRITABLE(end) end_check(end, (end)->writable, "connection is read-only")

/* Every call that may let another thread run stands between these: a close() waits for the last. */
void end_enter(End *end);
void end_leave(End *end);

/* The lock of a side, letting other threads run. 0: taken; 1: too late; -1: an exception is set. */
int end_lock(End *end, struct side *side, int64_t deadline);

/* After side_wait: 0 to go on, 1: too late, -1: an exception is set. Without the lock. */
int end_outcome(enum outcome outcome, bool sends);

void end_close(End *end);
int end_start(void); /* at import */
void arriving_drop(struct arriving *arriving);

PyObject *raise_peer_died(void);
PyObject *raise_broken_pipe(void);
PyObject *raise_closed(void);

/* Arguments by position or name; NULL for those not given. -1 with TypeError. */
int arguments(const char *function, PyObject *const *args, Py_ssize_t count, PyObject *names,
              const char *const *keywords, int least, int most, PyObject **given);

#define BY_NAME PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names

/* send.c */
PyObject *end_send(PyObject *self, PyObject *item);
PyObject *end_send_bytes(BY_NAME);
PyObject *end_send_many(PyObject *self, PyObject *items);
PyObject *end_sending(PyObject *self, PyObject *item);
PyObject *end_sending_bytes(BY_NAME);

/* receive.c */
PyObject *end_recv(PyObject *self, PyObject *nothing);
PyObject *end_recv_bytes(BY_NAME);
PyObject *end_recv_bytes_into(BY_NAME);
PyObject *end_recv_many(BY_NAME);
PyObject *end_recv_now(PyObject *self, PyObject *nothing);
PyObject *end_recv_bytes_now(PyObject *self, PyObject *maxlength);
PyObject *end_poll(BY_NAME);

#endif
