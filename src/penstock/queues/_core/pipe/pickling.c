/* Pickles are made and read as ProcessQueue does it, compiled into this module as well. */
#include "ring/pickling.c"
