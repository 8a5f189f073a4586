/* Making a segment, and believing one only after every word of its plan was checked. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "identity.h"
#include "ring.h"

#define LARGEST (1ull << 34)            /* places are 32 bits of 8 bytes, over two laps */
#define POPULATED (64ull * 1024 * 1024) /* smaller rings get all their pages when mapped */

static uint64_t plan_check(const struct ring_plan *plan)
{
    const uint8_t *at = (const uint8_t *)plan;
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < offsetof(struct ring_plan, check); i++)
        sum = (sum ^ at[i]) * 0x100000001b3u;
    return sum;
}

static int refuse(char *why, size_t room, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, room, format, arguments);
    va_end(arguments);
    return -1;
}

static int map_ring(struct ring *ring, int fd, int populate)
{
    int flags = MAP_SHARED | (populate ? MAP_POPULATE : 0);
    void *at = mmap(NULL, ring->plan.file_size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (at == MAP_FAILED) return errno;
    ring->shared = at;
    ring->data = (uint8_t *)at + RING_DATA;
    ring->units = (uint32_t)(ring->plan.bytes / RING_UNIT);
    ring->slot = RING_NOBODY;
    ring->generation = ring_generation - 1;
    return 0;
}

static int draw_plan(struct ring_plan *plan, uint64_t maxsize, uint64_t bytes)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (!bytes || bytes > LARGEST - page) return EINVAL;
    memset(plan, 0, sizeof *plan);
    memcpy(plan->magic, RING_MAGIC, sizeof plan->magic);
    plan->version = RING_VERSION;
    plan->byte_order = RING_BYTE_ORDER;
    plan->word_size = sizeof(void *);
    plan->header_size = sizeof(struct ring_shared);
    plan->bytes = (bytes + page - 1) / page * page;
    plan->file_size = RING_DATA + plan->bytes;
    plan->maxsize = maxsize;
    plan->pid_namespace = identity_pid_namespace();
    identity_boot(plan->boot);
    if (getrandom(plan->id, sizeof plan->id, 0) != sizeof plan->id) return errno;
    plan->check = plan_check(plan);
    return 0;
}

static int check_empty(int fd)
{
    struct stat file;
    if (fstat(fd, &file)) return errno;
    return file.st_size ? EEXIST : 0; /* others may have it mapped */
}

/* The whole file is allocated now: a full disk is an error here, not a bus error later. */
int ring_create(struct ring *ring, int fd, uint64_t maxsize, uint64_t bytes)
{
    int failed = draw_plan(&ring->plan, maxsize, bytes);
    if (!failed) failed = check_empty(fd);
    if (!failed) failed = posix_fallocate(fd, 0, (off_t)ring->plan.file_size);
    if (!failed) failed = map_ring(ring, fd, ring->plan.file_size <= POPULATED);
    if (failed) return failed;
    ring->shared->plan = ring->plan;
    atomic_store_explicit(&ring->shared->ready, RING_READY, memory_order_release);
    return 0;
}

static int check_plan(const struct ring_plan *plan, uint64_t size, char *why, size_t room)
{
    uint8_t boot[16];
    identity_boot(boot);
    if (memcmp(plan->magic, RING_MAGIC, sizeof plan->magic))
        return refuse(why, room, "it does not begin as a queue's segment does");
    if (plan->byte_order != RING_BYTE_ORDER || plan->word_size != sizeof(void *))
        return refuse(why, room, "it was made for another machine: words of %u bytes, order %08x",
                      plan->word_size, plan->byte_order);
    if (plan->version != RING_VERSION || plan->header_size != sizeof(struct ring_shared))
        return refuse(why, room, "it has version %u (header of %u bytes), this is version %u (%zu)",
                      plan->version, plan->header_size, RING_VERSION, sizeof(struct ring_shared));
    if (plan->check != plan_check(plan)) return refuse(why, room, "its header is damaged");
    if (plan->file_size != RING_DATA + plan->bytes || size < plan->file_size)
        return refuse(why, room, "it should have %llu bytes and has %llu",
                      (unsigned long long)plan->file_size, (unsigned long long)size);
    if (memcmp(plan->boot, boot, sizeof boot))
        return refuse(why, room, "it was made before this machine started");
    if (plan->pid_namespace != identity_pid_namespace())
        return refuse(why, room, "it was made in another pid namespace (container)");
    return 0;
}

/* `brief`: only to look at its header. */
int ring_attach(struct ring *ring, int fd, int brief, char *why, size_t room)
{
    struct stat file;
    uint64_t tail, head;
    if (fstat(fd, &file)) return errno;
    ssize_t got = pread(fd, &ring->plan, sizeof ring->plan, 0);
    if (got < 0) return errno;
    if ((size_t)got < sizeof ring->plan) return refuse(why, room, "it is too short");
    if (check_plan(&ring->plan, (uint64_t)file.st_size, why, room)) return -1;
    int failed = map_ring(ring, fd, !brief && ring->plan.file_size <= POPULATED);
    if (failed) return failed;
    int ready = atomic_load_explicit(&ring->shared->ready, memory_order_acquire) == RING_READY;
    if (ready && ring_snapshot(ring, &tail, &head)) return 0;
    ring_detach(ring);
    return refuse(why, room, ready ? "its positions are damaged" : "it was never finished");
}

void ring_detach(struct ring *ring)
{
    munmap(ring->shared, ring->plan.file_size);
    ring->shared = NULL;
}
