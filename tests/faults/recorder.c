/*
 * Writes down every change of a folder and every ack, in their order: preloaded into the engine.
 *
 * MEDBUS_RECORD names the log, MEDBUS_RECORD_FOLDER the folder. Records are written while a lock is
 * held around the call itself, so that their order is one in which the calls may have happened; a
 * sync is written down after it returned, an ack before it leaves. See power.py for the format.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct __attribute__((packed)) head { char op; uint32_t path, other; uint64_t offset, length; };

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static int log_fd = -1;

static void record(char op, const char *path, const char *other, uint64_t offset,
                   const void *bytes, uint64_t length) {
    if (log_fd < 0)
        log_fd = syscall(SYS_openat, AT_FDCWD, getenv("MEDBUS_RECORD"),
                         O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct head head = {op, strlen(path), strlen(other), offset, bytes ? length : 0};
    struct iovec parts[4] = {{&head, sizeof head}, {(void *)path, head.path},
                             {(void *)other, head.other}, {(void *)bytes, head.length}};
    if (syscall(SYS_writev, log_fd, parts, 4) < 0) abort();
}

static int ours(const char *path) {
    const char *folder = getenv("MEDBUS_RECORD_FOLDER");
    size_t length = folder ? strlen(folder) : 0;
    return length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

/* The absolute path as it was given; the engine uses no other kind of name in there. */
static const char *absolute(const char *path, char *into) {
    if (path[0] == '/') return path;
    char here[PATH_MAX];
    if (!getcwd(here, sizeof here)) here[0] = 0;
    snprintf(into, PATH_MAX, "%.2000s/%.2000s", here, path);
    return into;
}

/* The path behind a descriptor; 0 when it is not in the folder. */
static int named(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
    return n > 0 && ours(path);
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define BEGIN pthread_mutex_lock(&lock)
#define END do { int e = errno; pthread_mutex_unlock(&lock); errno = e; return result; } while (0)

static int opened(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    char room[PATH_MAX];
    struct stat before;
    const char *full = absolute(path, room);
    if (!ours(full) || !(flags & (O_CREAT | O_TRUNC))) return real(path, flags, mode);
    BEGIN;
    int existed = !stat(full, &before);
    int result = real(path, flags, mode);
    if (result >= 0 && !existed) record('c', full, "", 0, NULL, 0);
    else if (result >= 0 && (flags & O_TRUNC)) record('t', full, "", 0, NULL, 0);
    END;
}

#define MODE mode_t mode = 0; va_list more; va_start(more, flags); \
    if (flags & (O_CREAT | O_TMPFILE)) mode = va_arg(more, int); \
    va_end(more)
int open(const char *path, int flags, ...) { MODE; REAL(open); return opened(real, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE; REAL(open64); return opened(real, path, flags, mode); }

static ssize_t wrote(int fd, const void *b, ssize_t n, off64_t at) {
    char path[PATH_MAX];
    if (n > 0 && named(fd, path)) record('w', path, "", at, b, n);
    return n;
}
ssize_t write(int fd, const void *b, size_t n) {
    REAL(write);
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) return real(fd, b, n);
    BEGIN;
    fstat(fd, &st);
    off64_t at = (fcntl(fd, F_GETFL) & O_APPEND) ? st.st_size : lseek64(fd, 0, SEEK_CUR);
    ssize_t result = wrote(fd, b, real(fd, b, n), at);
    END;
}
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) {
    REAL(pwrite); BEGIN; ssize_t result = wrote(fd, b, real(fd, b, n, o), o); END;
}
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) {
    REAL(pwrite64); BEGIN; ssize_t result = wrote(fd, b, real(fd, b, n, o), o); END;
}

static int on_fd(char op, int fd, int result, off64_t length) {
    char path[PATH_MAX];
    if (!result && named(fd, path)) record(op, path, "", length, NULL, 0);
    return result;
}
int ftruncate(int fd, off_t n) {
    REAL(ftruncate); BEGIN; int result = on_fd('t', fd, real(fd, n), n); END;
}
int ftruncate64(int fd, off64_t n) {
    REAL(ftruncate64); BEGIN; int result = on_fd('t', fd, real(fd, n), n); END;
}
int fsync(int fd) { REAL(fsync); BEGIN; int result = on_fd('s', fd, real(fd), 0); END; }
int fdatasync(int fd) { REAL(fdatasync); BEGIN; int result = on_fd('s', fd, real(fd), 0); END; }

static int on_path(char op, const char *path, const char *other, int result) {
    char one[PATH_MAX], two[PATH_MAX];
    path = absolute(path, one);
    other = *other ? absolute(other, two) : other;
    if (!result && ours(path)) record(op, path, other, 0, NULL, 0);
    return result;
}
int rename(const char *a, const char *b) {
    REAL(rename); BEGIN; int result = on_path('r', a, b, real(a, b)); END;
}
int link(const char *a, const char *b) {
    REAL(link); BEGIN; int result = on_path('l', a, b, real(a, b)); END;
}
int unlink(const char *path) {
    REAL(unlink); BEGIN; int result = on_path('u', path, "", real(path)); END;
}
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir); BEGIN; int result = on_path('m', path, "", real(path, mode)); END;
}

static void note(char op, const void *b, size_t n) {
    if (memmem(b, n, "\rMSA|", 5)) {
        pthread_mutex_lock(&lock);
        record(op, "", "", 0, b, n);
        pthread_mutex_unlock(&lock);
    }
}
ssize_t send(int fd, const void *b, size_t n, int flags) {
    REAL(send); note('a', b, n); return real(fd, b, n, flags);
}
ssize_t recv(int fd, void *b, size_t n, int flags) {
    REAL(recv);
    ssize_t got = real(fd, b, n, flags);
    if (got > 0) note('g', b, got);
    return got;
}
