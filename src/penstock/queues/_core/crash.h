/* Places to die at, for tests only.
 *
 * A part that is crash-safe lists its places in one macro, CRASH_POINTS(X), before it includes
 * this file (or a header that does), and names each in its code: CRASH_POINT(NAME). A name that is
 * not in the list does not compile; one that is listed but nowhere reached fails the test that
 * goes through all of them. Without -DPENSTOCK_CRASH_POINTS nothing is left of it.
 */
#ifndef PENSTOCK_CRASH_H
#define PENSTOCK_CRASH_H

#ifdef PENSTOCK_CRASH_POINTS

#define CRASH_NUMBER(name) CRASH_##name,
enum crash_number { CRASH_NOWHERE, CRASH_POINTS(CRASH_NUMBER) CRASH_END };
#undef CRASH_NUMBER

void crash_here(enum crash_number place); /* the test's: it dies, or counts, or returns */

#define CRASH_POINT(name) crash_here(CRASH_##name)

#else
#define CRASH_POINT(name) ((void)0)
#endif

#endif
