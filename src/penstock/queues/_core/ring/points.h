/* Where a process may be killed in a test: before and after each store that others could see. */
#ifndef RING_POINTS_H
#define RING_POINTS_H

#define CRASH_POINTS(X)                                                                          \
    X(PUT_LOCKED) X(PUT_SKIPPED) X(PUT_HEADER) X(PUT_PAYLOAD) X(PUT_BEFORE_COMMIT)               \
    X(TAIL_COMMITTED) X(TAIL_DISARMED) X(TAIL_WOKEN) X(PUT_BEFORE_UNLOCK) X(PUT_UNLOCKED)        \
    X(TAKE_LOCKED) X(TAKE_COPIED) X(TAKE_HOLDER) X(HEAD_COMMITTED) X(HEAD_LAST) X(HEAD_TAKEN)    \
    X(HEAD_DISARMED) X(HEAD_WOKEN) X(TAKE_BEFORE_UNLOCK) X(TAKE_UNLOCKED)                        \
    X(LARGE_LOCKED) X(LARGE_COPIED)                                                              \
    X(WAIT_TURN) X(WAIT_ARMED) X(WAIT_WOKEN) X(WAIT_DONE)                                        \
    X(DONE_LOCKED) X(DONE_HOLDER) X(DONE_FINISHED) X(DONE_ACCOUNT) X(DONE_WOKEN)                 \
    X(SETTLE_HOLDER) X(SETTLE_FINISHED) X(SETTLE_LOST) X(SETTLE_ACCOUNT)                         \
    X(CLAIM_LOCKED) X(CLAIM_START) X(CLAIM_PID) X(FREE_PID)                                      \
    X(REPAIR_HEAD_LAST) X(REPAIR_HEAD_TAKEN) X(REPAIR_DONE)                                      \
    X(SHUT_LOCKED) X(SHUT_SET) X(SHUT_WOKEN) X(SHUT_DROPPED) \
    ROBUST_POINTS(X)

#include "robust.h"

#endif
