/* Faults at the border between a process and the disk.
 *
 * Preloaded (LD_PRELOAD) into the processes under test, this counts every call that changes something below one folder,
 * over all processes together, and at a chosen count kills the process (before the call, or after half of a write), or
 * lets the call fail with a chosen error. What to do stands in a control block, a small file that the test maps too, so
 * that a running process is armed and disarmed without a restart. Layout: see fault_shim.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT = 0, KILL = 1, HALF = 2, FAIL_ONCE = 3, FAIL_FROM = 4 };
enum { GROWS = 1, /* needs space: fails on a full disk */ SHRINKS = 2 };

struct control {
    _Atomic uint32_t armed;
    uint32_t mode;
    int64_t point;
    _Atomic int64_t counter;
    _Atomic int64_t fired;     /* the count at which something was done, 0 for not yet */
    int32_t error;             /* errno of the FAIL modes */
    uint32_t only_growing;     /* FAIL modes: leave calls alone that free space */
    _Atomic int32_t fired_pid;
    uint32_t trace;            /* write one line per call to the trace file */
    uint32_t root_length;
    char root[1024];
    char trace_path[1024];
};

static struct control *control;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("FAULT_CONTROL");
    if (!path) return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *place = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (place != MAP_FAILED) control = place;
    syscall(SYS_close, fd);
}

static int below_root(const char *path) {
    return strncmp(path, control->root, control->root_length) == 0 &&
           (path[control->root_length] == '/' || path[control->root_length] == 0);
}

/* Absolute path of a name relative to a folder descriptor; empty if it cannot be told. */
static void absolute(int folder, const char *name, char *out) {
    out[0] = 0;
    if (!name) return;
    if (name[0] == '/') {
        snprintf(out, PATH_MAX, "%s", name);
        return;
    }
    char link[64], base[PATH_MAX];
    if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t n = syscall(SYS_readlink, link, base, sizeof base - 1);
    if (n <= 0) return;
    base[n] = 0;
    if (snprintf(out, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) out[0] = 0;
}

static void of_descriptor(int fd, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlink, link, out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = 0;
}

static void trace_line(int64_t number, const char *call, const char *path, size_t size) {
    char line[PATH_MAX + 128];
    int length = snprintf(line, sizeof line, "%lld\t%d\t%s\t%zu\t%s\n", (long long)number, (int)getpid(), call, size, path);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, control->trace_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return;
    syscall(SYS_write, fd, line, (size_t)length);
    syscall(SYS_close, fd);
}

static void die(void) {
    atomic_store(&control->fired_pid, (int32_t)getpid());
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* Count one call. Returns 0 to go on, 1 to write half and die, -1 with errno set to fail. */
static int pass(const char *call, const char *path, int kind, size_t size, int halvable) {
    if (!control || !atomic_load(&control->armed) || !path[0] || !below_root(path)) return 0;
    int saved = errno;
    int64_t number = atomic_fetch_add(&control->counter, 1) + 1;
    if (control->trace) trace_line(number, call, path, size);
    errno = saved;
    switch (control->mode) {
    case KILL:
        if (number == control->point) {
            atomic_store(&control->fired, number);
            die();
        }
        return 0;
    case HALF:
        if (number == control->point) {
            atomic_store(&control->fired, number);
            if (halvable && size > 1) return 1;
            die();
        }
        return 0;
    case FAIL_ONCE:
    case FAIL_FROM:
        if (control->mode == FAIL_ONCE ? number != control->point : number < control->point) return 0;
        if (control->only_growing && kind != GROWS) return 0;
        if (!atomic_load(&control->fired)) atomic_store(&control->fired, number);
        atomic_store(&control->fired_pid, (int32_t)getpid());
        errno = control->error;
        return -1;
    default:
        return 0;
    }
}

static int active(void) { return control && atomic_load(&control->armed); }

#define NEXT(name)                          \
    static __typeof__(&name) next_##name;   \
    if (!next_##name) next_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* Writes through a descriptor. */
ssize_t write(int fd, const void *data, size_t size) {
    NEXT(write);
    if (active()) {
        char path[PATH_MAX];
        of_descriptor(fd, path);
        int what = pass("write", path, GROWS, size, 1);
        if (what < 0) return -1;
        if (what) {
            next_write(fd, data, size / 2);
            die();
        }
    }
    return next_write(fd, data, size);
}

#define PWRITE(name, offset_type)                                                \
    ssize_t name(int fd, const void *data, size_t size, offset_type offset) {    \
        NEXT(name);          \
        if (active()) {                                                          \
            char path[PATH_MAX];                                                 \
            of_descriptor(fd, path);                                             \
            int what = pass(#name, path, GROWS, size, 1);                        \
            if (what < 0) return -1;                                             \
            if (what) {                                                          \
                next_##name(fd, data, size / 2, offset);                         \
                die();                                                           \
            }                                                                    \
        }                                                                        \
        return next_##name(fd, data, size, offset);                              \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

static size_t total(const struct iovec *parts, int count) {
    size_t sum = 0;
    for (int i = 0; i < count; i++) sum += parts[i].iov_len;
    return sum;
}

/* Half of a gathered write: its first part, or half of that if it is the only one. */
static void half(int fd, const struct iovec *parts, int count, off64_t offset) {
    size_t size = count > 1 ? parts[0].iov_len : parts[0].iov_len / 2;
    if (offset < 0) syscall(SYS_write, fd, parts[0].iov_base, size);
    else syscall(SYS_pwrite64, fd, parts[0].iov_base, size, offset);
    die();
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    NEXT(writev);
    if (active()) {
        char path[PATH_MAX];
        of_descriptor(fd, path);
        int what = pass("writev", path, GROWS, total(parts, count), 1);
        if (what < 0) return -1;
        if (what) half(fd, parts, count, -1);
    }
    return next_writev(fd, parts, count);
}

#define PWRITEV(name, offset_type)                                                        \
    ssize_t name(int fd, const struct iovec *parts, int count, offset_type offset) {      \
        NEXT(name);              \
        if (active()) {                                                                   \
            char path[PATH_MAX];                                                          \
            of_descriptor(fd, path);                                                      \
            int what = pass(#name, path, GROWS, total(parts, count), 1);                  \
            if (what < 0) return -1;                                                      \
            if (what) half(fd, parts, count, offset);                                     \
        }                                                                                 \
        return next_##name(fd, parts, count, offset);                                     \
    }
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

ssize_t sendfile(int out, int in, off_t *offset, size_t size) {
    NEXT(sendfile);
    if (active()) {
        char path[PATH_MAX];
        of_descriptor(out, path);
        if (pass("sendfile", path, GROWS, size, 0) < 0) return -1;
    }
    return next_sendfile(out, in, offset, size);
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t size) {
    NEXT(sendfile64);
    if (active()) {
        char path[PATH_MAX];
        of_descriptor(out, path);
        if (pass("sendfile64", path, GROWS, size, 0) < 0) return -1;
    }
    return next_sendfile64(out, in, offset, size);
}

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
    NEXT(copy_file_range);
    if (active()) {
        char path[PATH_MAX];
        of_descriptor(out, path);
        if (pass("copy_file_range", path, GROWS, size, 0) < 0) return -1;
    }
    return next_copy_file_range(in, from, out, to, size, flags);
}

/* Calls on a descriptor that carry no data. */
#define ON_DESCRIPTOR(name, kind, parameters, arguments)                 \
    int name parameters {                                                \
        NEXT(name);                                   \
        if (active()) {                                                  \
            char path[PATH_MAX];                                         \
            of_descriptor(fd, path);                                     \
            if (pass(#name, path, kind, 0, 0) < 0) return -1;            \
        }                                                                \
        return next_##name arguments;                                    \
    }
ON_DESCRIPTOR(fsync, GROWS, (int fd), (fd))
ON_DESCRIPTOR(fdatasync, GROWS, (int fd), (fd))
ON_DESCRIPTOR(ftruncate, SHRINKS, (int fd, off_t size), (fd, size))
ON_DESCRIPTOR(ftruncate64, SHRINKS, (int fd, off64_t size), (fd, size))
ON_DESCRIPTOR(fallocate, GROWS, (int fd, int mode, off_t offset, off_t size), (fd, mode, offset, size))
ON_DESCRIPTOR(fallocate64, GROWS, (int fd, int mode, off64_t offset, off64_t size), (fd, mode, offset, size))

/* posix_fallocate returns the error instead of setting errno. */
int posix_fallocate(int fd, off_t offset, off_t size) {
    NEXT(posix_fallocate);
    if (active()) {
        char path[PATH_MAX];
        of_descriptor(fd, path);
        if (pass("posix_fallocate", path, GROWS, 0, 0) < 0) return errno;
    }
    return next_posix_fallocate(fd, offset, size);
}

/* Calls on names. The path that counts is the one that changes: the target of a rename or link. */
#define ON_NAME(name, kind, folder, file, parameters, arguments)         \
    int name parameters {                                                \
        NEXT(name);                                   \
        if (active()) {                                                  \
            char path[PATH_MAX];                                         \
            absolute(folder, file, path);                                \
            if (pass(#name, path, kind, 0, 0) < 0) return -1;            \
        }                                                                \
        return next_##name arguments;                                    \
    }
ON_NAME(unlink, SHRINKS, AT_FDCWD, name, (const char *name), (name))
ON_NAME(unlinkat, SHRINKS, folder, name, (int folder, const char *name, int flags), (folder, name, flags))
ON_NAME(rmdir, SHRINKS, AT_FDCWD, name, (const char *name), (name))
ON_NAME(mkdir, GROWS, AT_FDCWD, name, (const char *name, mode_t mode), (name, mode))
ON_NAME(mkdirat, GROWS, folder, name, (int folder, const char *name, mode_t mode), (folder, name, mode))
ON_NAME(rename, GROWS, AT_FDCWD, to, (const char *from, const char *to), (from, to))
ON_NAME(renameat, GROWS, to_folder, to, (int folder, const char *from, int to_folder, const char *to),
        (folder, from, to_folder, to))
ON_NAME(renameat2, GROWS, to_folder, to,
        (int folder, const char *from, int to_folder, const char *to, unsigned flags),
        (folder, from, to_folder, to, flags))
ON_NAME(link, GROWS, AT_FDCWD, to, (const char *from, const char *to), (from, to))
ON_NAME(linkat, GROWS, to_folder, to, (int folder, const char *from, int to_folder, const char *to, int flags),
        (folder, from, to_folder, to, flags))
ON_NAME(symlink, GROWS, AT_FDCWD, to, (const char *from, const char *to), (from, to))
ON_NAME(symlinkat, GROWS, folder, to, (const char *from, int folder, const char *to), (from, folder, to))
ON_NAME(truncate, SHRINKS, AT_FDCWD, name, (const char *name, off_t size), (name, size))
ON_NAME(truncate64, SHRINKS, AT_FDCWD, name, (const char *name, off64_t size), (name, size))

/* Opening counts when it makes a file, or empties one. */
static int opening(int folder, const char *name, int flags) {
    if (!active() || !(flags & (O_CREAT | O_TRUNC))) return 0;
    char path[PATH_MAX];
    absolute(folder, name, path);
    struct stat found;
    int exists = path[0] && stat(path, &found) == 0;
    if (exists && !(flags & O_TRUNC && S_ISREG(found.st_mode))) return 0;
    return pass(exists ? "open-truncate" : "open-create", path, exists ? SHRINKS : GROWS, 0, 0);
}

static mode_t mode_of(int flags, va_list rest) {
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(rest, int) : 0;
}

#define OPEN(name)                                                       \
    int name(const char *file, int flags, ...) {                         \
        NEXT(name);                      \
        va_list rest;                                                    \
        va_start(rest, flags);                                           \
        mode_t mode = mode_of(flags, rest);                              \
        va_end(rest);                                                    \
        if (opening(AT_FDCWD, file, flags) < 0) return -1;               \
        return next_##name(file, flags, mode);                           \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                     \
    int name(int folder, const char *file, int flags, ...) {             \
        NEXT(name);                 \
        va_list rest;                                                    \
        va_start(rest, flags);                                           \
        mode_t mode = mode_of(flags, rest);                              \
        va_end(rest);                                                    \
        if (opening(folder, file, flags) < 0) return -1;                 \
        return next_##name(folder, file, flags, mode);                   \
    }
OPENAT(openat)
OPENAT(openat64)

int creat(const char *file, mode_t mode) {
    NEXT(creat);
    if (opening(AT_FDCWD, file, O_CREAT | O_WRONLY | O_TRUNC) < 0) return -1;
    return next_creat(file, mode);
}
