/* Places to die at, for tests only: CRASH_POINT() stands before and after each store that another
 * process may see. Points are counted as a process passes them, not named, so that a test reaches
 * each store of a message in many frames: it kills at the first point, the second, and so on until
 * a run comes through. Without -DPENSTOCK_CRASH_POINTS nothing is left of it. */
#ifndef PIPE_POINTS_H
#define PIPE_POINTS_H

#ifdef PENSTOCK_CRASH_POINTS

#include <signal.h>
#include <unistd.h>

extern long points_left; /* so many points does this process still pass; below 0: all */

#define CRASH_POINT()                                                             \
    do {                                                                          \
        if (points_left >= 0 && points_left-- == 0) kill(getpid(), SIGKILL);      \
    } while (0)

#else
#define CRASH_POINT() ((void)0)
#endif

#endif
