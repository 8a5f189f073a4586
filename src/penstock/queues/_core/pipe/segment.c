#define _GNU_SOURCE
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST (UINT64_C(1) << 30) /* sizes of frames have 32 bits */

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t header_size(void)
{
    return (sizeof(struct pipe_header) + page() - 1) / page() * page();
}

uint64_t segment_capacity(uint64_t bytes)
{
    uint64_t capacity = page();
    while (capacity < bytes && capacity <= MOST)
        capacity *= 2;
    return capacity <= MOST ? capacity : 0;
}

/* --- making one ------------------------------------------------------------------------------ */

static int make_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attributes;
    int result = pthread_mutexattr_init(&attributes);
    if (result) return result;
    result = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (!result) result = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (!result) result = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    if (!result) result = pthread_mutex_init(lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return result;
}

static int make_header(struct pipe_header *header, uint32_t directions, uint64_t capacity)
{
    header->layout = PIPE_LAYOUT;
    header->lock_size = sizeof(pthread_mutex_t);
    header->directions = directions;
    header->capacity = capacity;
    for (uint32_t i = 0; i < directions; i++) {
        int result = make_lock(&header->direction[i].sending);
        if (!result) result = make_lock(&header->direction[i].receiving);
        if (result) return result;
    }
    atomic_store(&header->magic, PIPE_MAGIC);
    return 0;
}

static int initialise(int fd, uint32_t directions, uint64_t capacity)
{
    size_t size = header_size();
    void *header = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (header == MAP_FAILED) return errno;
    int result = make_header(header, directions, capacity);
    munmap(header, size);
    return result;
}

/* Allocated in full: later there is no store that could find no memory. */
static int allocate(int fd, off_t size)
{
    int result = posix_fallocate(fd, 0, size);
    if (result) return result;
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ? errno : 0;
}

int segment_create(uint32_t directions, uint64_t capacity)
{
    int fd = memfd_create("penstock-pipe", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return -1;
    int result = allocate(fd, (off_t)(header_size() + directions * capacity));
    if (!result) result = initialise(fd, directions, capacity);
    if (!result) return fd;
    close(fd);
    errno = result;
    return -1;
}

/* --- mapping one ----------------------------------------------------------------------------- */

static uint8_t *map_twice(int fd, uint64_t capacity, off_t offset)
{
    uint8_t *at = mmap(NULL, 2 * capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return NULL;
    for (int i = 0; i < 2; i++)
        if (mmap(at + (size_t)i * capacity, capacity, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_FIXED, fd, offset) == MAP_FAILED) {
            munmap(at, 2 * capacity);
            return NULL;
        }
    return at;
}

static bool sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && seals & F_SEAL_SHRINK;
}

static int check(const struct pipe_header *header, uint64_t file_size)
{
    if (atomic_load(&header->magic) != PIPE_MAGIC) return SEGMENT_FOREIGN;
    if (header->layout != PIPE_LAYOUT || header->lock_size != sizeof(pthread_mutex_t))
        return SEGMENT_OTHER_VERSION;
    if (header->directions < 1 || header->directions > 2 || header->capacity > MOST ||
        segment_capacity(header->capacity) != header->capacity ||
        file_size != header_size() + header->directions * header->capacity)
        return SEGMENT_FOREIGN;
    return 0;
}

static int map_rings(struct segment *segment, int fd)
{
    segment->capacity = segment->header->capacity;
    segment->directions = segment->header->directions;
    for (uint32_t i = 0; i < segment->directions; i++) {
        off_t offset = (off_t)(segment->header_size + i * segment->capacity);
        if (!(segment->rings[i] = map_twice(fd, segment->capacity, offset))) return errno;
    }
    return 0;
}

int segment_map(struct segment *segment, int fd)
{
    struct stat file;
    *segment = (struct segment){.header_size = header_size()};
    if (fstat(fd, &file)) return errno;
    if (!sealed(fd) || (uint64_t)file.st_size < segment->header_size) return SEGMENT_FOREIGN;
    void *header = mmap(NULL, segment->header_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (header == MAP_FAILED) return errno;
    segment->header = header;
    int result = check(header, (uint64_t)file.st_size);
    if (!result) result = map_rings(segment, fd);
    if (result) segment_unmap(segment);
    return result;
}

void segment_unmap(struct segment *segment)
{
    for (int i = 0; i < 2; i++)
        if (segment->rings[i]) munmap(segment->rings[i], 2 * segment->capacity);
    if (segment->header) munmap(segment->header, segment->header_size);
    *segment = (struct segment){0};
}
