/*
 * Makes chosen system calls fail, for tests: preloaded into the engine, commanded by a file.
 *
 * MEDBUS_SHIM names the file. While it exists, each line is a rule: CALL MATCH ACTION COUNT
 *   CALL    sync | write | read   (MATCH is part of the file's path; with $ behind it, its end)
 *           send | recv           (MATCH is part of the bytes)
 *   ACTION  eio | enospc | kill | stop
 *           hang (until the file of rules is gone)
 *           short (a read gives half) | eof (a read gives nothing)
 *   COUNT   how often; -1 for ever
 * `clock - shift SECONDS` moves the wall clock (not the monotonic one) by so many seconds.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define RULES 8
struct rule { char call[8], match[64], action[8]; int count; };
static struct rule rules[RULES];
static struct timespec loaded_at;
static int active;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void load(void) {
    const char *path = getenv("MEDBUS_SHIM");
    struct stat st;
    if (!path || stat(path, &st)) { active = 0; loaded_at.tv_sec = 0; return; }
    if (st.st_mtim.tv_sec == loaded_at.tv_sec && st.st_mtim.tv_nsec == loaded_at.tv_nsec) return;
    loaded_at = st.st_mtim;
    active = 0;
    FILE *file = fopen(path, "r");
    if (!file) return;
    while (active < RULES && fscanf(file, "%7s %63s %7s %d", rules[active].call,
           rules[active].match, rules[active].action, &rules[active].count) == 4) active++;
    fclose(file);
}

/* Whether a path has a match in it, or at its end where the match ends with $. */
static int fits(const char *path, const char *match) {
    size_t length = strlen(match), all = strlen(path);
    if (!length || match[length - 1] != '$') return strstr(path, match) != NULL;
    length--;
    return all >= length && !strncmp(path + all - length, match, length);
}

enum { HALF = -1, NOTHING = -2 };

/* Returns the errno to fail with, HALF or NOTHING for a read, or 0 to go on.
 * Kills, stops or hangs where a rule says so; a hang holds up its own thread only. */
static int judge(const char *call, int fd, const void *bytes, size_t length) {
    char link[64], path[512];
    ssize_t n = 0;
    int verdict = 0, hangs = 0;
    pthread_mutex_lock(&lock);
    load();
    for (int i = 0; i < active && !verdict; i++) {
        struct rule *rule = &rules[i];
        if (!rule->count || strcmp(rule->call, call)) continue;
        if (bytes) {
            if (!memmem(bytes, length, rule->match, strlen(rule->match))) continue;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            n = readlink(link, path, sizeof path - 1);
            path[n > 0 ? n : 0] = 0;
            if (!fits(path, rule->match)) continue;
        }
        if (rule->count > 0) rule->count--;
        if (!strcmp(rule->action, "kill")) kill(getpid(), SIGKILL);
        else if (!strcmp(rule->action, "stop")) kill(getpid(), SIGSTOP);
        else if (!strcmp(rule->action, "hang")) hangs = 1;
        else if (!strcmp(rule->action, "short")) verdict = HALF;
        else if (!strcmp(rule->action, "eof")) verdict = NOTHING;
        else verdict = strcmp(rule->action, "enospc") ? EIO : ENOSPC;
    }
    pthread_mutex_unlock(&lock);
    while (hangs && getenv("MEDBUS_SHIM") && !access(getenv("MEDBUS_SHIM"), F_OK)) usleep(20000);
    return verdict;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define FAIL(call, fd, bytes, length) \
    do { int e = judge(call, fd, bytes, length); if (e) { errno = e; return -1; } } while (0)
#define READ(fd, b, n, o) \
    do { int e = judge("read", fd, NULL, 0); \
         if (e > 0) { errno = e; return -1; } \
         if (e == NOTHING) return 0; \
         return real(fd, b, e == HALF && (n) > 1 ? (n) / 2 : (n), o); } while (0)

int fsync(int fd) { REAL(fsync); FAIL("sync", fd, NULL, 0); return real(fd); }
int fdatasync(int fd) { REAL(fdatasync); FAIL("sync", fd, NULL, 0); return real(fd); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) {
    REAL(pwrite); FAIL("write", fd, NULL, 0); return real(fd, b, n, o);
}
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) {
    REAL(pwrite64); FAIL("write", fd, NULL, 0); return real(fd, b, n, o);
}
ssize_t pread(int fd, void *b, size_t n, off_t o) {
    REAL(pread); READ(fd, b, n, o);
}
ssize_t pread64(int fd, void *b, size_t n, off64_t o) {
    REAL(pread64); READ(fd, b, n, o);
}
ssize_t send(int fd, const void *b, size_t n, int flags) {
    REAL(send); FAIL("send", fd, b, n); return real(fd, b, n, flags);
}
ssize_t recv(int fd, void *b, size_t n, int flags) {
    REAL(recv);
    ssize_t got = real(fd, b, n, flags);
    if (got > 0) FAIL("recv", fd, b, (size_t)got);
    return got;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int result = real(clock, now);
    if (clock != CLOCK_REALTIME) return result;
    pthread_mutex_lock(&lock);
    load();
    for (int i = 0; i < active; i++)
        if (!strcmp(rules[i].call, "clock")) now->tv_sec += rules[i].count;
    pthread_mutex_unlock(&lock);
    return result;
}
