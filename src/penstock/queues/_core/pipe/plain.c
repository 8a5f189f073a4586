/* Small trees travel as ProcessQueue sends them, compiled into this module as well. */
#include "ring/plain.c"
