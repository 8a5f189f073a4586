#define _GNU_SOURCE
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_file(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t got = read(fd, text, room - 1);
    close(fd);
    if (got <= 0) return 0;
    text[got] = 0;
    return 1;
}

/* The line is `pid (name) state ppid …`; the name may hold anything, so from its last bracket on:
 * the state is field 3, the start time field 22. */
int identity_start(uint32_t pid, uint64_t *start)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    if (!read_file(path, text, sizeof text)) return 0;
    char *at = strrchr(text, ')');
    if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X') return 0;
    for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
    if (!at) return 0;
    *start = strtoull(at, NULL, 10);
    return 1;
}

int identity_alive(uint32_t pid, uint64_t start)
{
    uint64_t now;
    if (kill((pid_t)pid, 0) && errno == ESRCH) return 0;
    return identity_start(pid, &now) && now == start;
}

void identity_boot(uint8_t boot[16])
{
    char text[64];
    int digits = 0;
    memset(boot, 0, 16);
    if (!read_file("/proc/sys/kernel/random/boot_id", text, sizeof text)) return;
    for (char *at = text; *at && digits < 32; at++) {
        if (*at == '-') continue;
        int value = *at <= '9' ? *at - '0' : *at - 'a' + 10;
        boot[digits / 2] = (uint8_t)(boot[digits / 2] << 4 | (value & 15));
        digits++;
    }
}

uint64_t identity_pid_namespace(void)
{
    struct stat namespace;
    return stat("/proc/self/ns/pid", &namespace) ? 0 : (uint64_t)namespace.st_ino;
}
