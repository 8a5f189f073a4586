/* The memory of a pipe: a sealed file without a name, mapped. See layout.h for what is in it. */
#ifndef PIPE_SEGMENT_H
#define PIPE_SEGMENT_H

#include <stddef.h>

#include "layout.h"

struct segment {
    struct pipe_header *header;
    uint8_t *rings[2]; /* each mapped twice */
    size_t header_size;
    uint64_t capacity;
    uint32_t directions;
};

enum segment_fault { SEGMENT_FOREIGN = -1, SEGMENT_OTHER_VERSION = -2 };

/* The least capacity that is a power of two, whole pages, and not below `bytes`; 0: too large. */
uint64_t segment_capacity(uint64_t bytes);

/* A new memory file, allocated in full and initialised. Its descriptor, or -1 and errno. */
int segment_create(uint32_t directions, uint64_t capacity);

/* 0, an errno, or a segment_fault for memory that is not a pipe of this version. */
int segment_map(struct segment *segment, int fd);
void segment_unmap(struct segment *segment);

#endif
