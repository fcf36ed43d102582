/* Every WASI function that wasi-libc would import, defined inside the guest.
 *
 * This is what makes the module's import section hold one entry. There is no file, socket, environment variable or
 * process behind these names: they answer "no such thing". Time and randomness go to clock.c and random.c.
 */
#include "divebell.h"
#include <string.h>

#define WASI(name) __imported_wasi_snapshot_preview1_##name

enum { OK = 0, BAD_FILE_DESCRIPTOR = 8, INVALID = 28, NO_SYSTEM_CALL = 52 };

char divebell_last_words[LAST_WORDS_BYTES];
static uint32_t last_words_length;

static void remember_last_words(const char *text, uint32_t length)
{
    if (length >= LAST_WORDS_BYTES) {
        text += length - (LAST_WORDS_BYTES - 1);
        length = LAST_WORDS_BYTES - 1;
    }
    uint32_t over = last_words_length + length >= LAST_WORDS_BYTES ? last_words_length + length - LAST_WORDS_BYTES + 1 : 0;
    memmove(divebell_last_words, divebell_last_words + over, last_words_length - over);
    last_words_length -= over;
    memcpy(divebell_last_words + last_words_length, text, length);
    last_words_length += length;
    divebell_last_words[last_words_length] = 0;
}

int32_t WASI(environ_get)(int32_t environment, int32_t buffer) { return OK; }

int32_t WASI(environ_sizes_get)(int32_t count, int32_t size)
{
    *(uint32_t *)count = 0;
    *(uint32_t *)size = 0;
    return OK;
}

int32_t WASI(args_get)(int32_t arguments, int32_t buffer) { return OK; }

int32_t WASI(args_sizes_get)(int32_t count, int32_t size)
{
    *(uint32_t *)count = 0;
    *(uint32_t *)size = 0;
    return OK;
}

int32_t WASI(clock_res_get)(int32_t clock_id, int32_t resolution)
{
    *(uint64_t *)resolution = 1000;
    return OK;
}

int32_t WASI(clock_time_get)(int32_t clock_id, int64_t precision, int32_t time)
{
    *(uint64_t *)time = divebell_clock_nanoseconds((uint32_t)clock_id);
    return OK;
}

int32_t WASI(random_get)(int32_t buffer, int32_t length)
{
    divebell_random_fill((unsigned char *)buffer, (uint32_t)length);
    return OK;
}

/* libc sleeps by polling one clock (preview 1: userdata, tag 0, clock id, timeout, precision, flags). Nothing else can
 * be polled here. */
int32_t WASI(poll_oneoff)(int32_t in, int32_t out, int32_t count, int32_t fired)
{
    const unsigned char *subscription = (const unsigned char *)in;
    if (count < 1 || subscription[8] != 0)
        return INVALID;
    uint32_t clock_id;
    uint64_t timeout;
    uint16_t flags;
    memcpy(&clock_id, subscription + 16, sizeof clock_id);
    memcpy(&timeout, subscription + 24, sizeof timeout);
    memcpy(&flags, subscription + 40, sizeof flags);
    if (flags & 1) { /* an absolute time */
        uint64_t now = divebell_clock_nanoseconds(clock_id);
        timeout = timeout > now ? timeout - now : 0;
    }
    divebell_sleep_nanoseconds(timeout);
    memset((void *)out, 0, 32);
    memcpy((void *)out, subscription, 8);
    *(uint32_t *)fired = 1;
    return OK;
}

_Noreturn void WASI(proc_exit)(int32_t code)
{
    static const char said[] = "the guest called exit\n";
    remember_last_words(said, sizeof said - 1);
    __builtin_trap();
}

int32_t WASI(sched_yield)(void) { return OK; }

/* Descriptors 0 to 2 look like devices, so that CPython's start-up does not stumble; only 2 keeps what it is told. */
int32_t WASI(fd_fdstat_get)(int32_t descriptor, int32_t status)
{
    if (descriptor < 0 || descriptor > 2)
        return BAD_FILE_DESCRIPTOR;
    memset((void *)status, 0, 24);
    *(uint8_t *)status = 2;
    *(uint64_t *)(status + 8) = ~0ull;
    return OK;
}

int32_t WASI(fd_write)(int32_t descriptor, int32_t vectors, int32_t count, int32_t written)
{
    uint32_t total = 0;
    if (descriptor != 2)
        return BAD_FILE_DESCRIPTOR;
    for (int32_t i = 0; i < count; i++) {
        const uint32_t *vector = (const uint32_t *)vectors + 2 * i;
        remember_last_words((const char *)vector[0], vector[1]);
        total += vector[1];
    }
    *(uint32_t *)written = total;
    return OK;
}

int32_t WASI(fd_read)(int32_t descriptor, int32_t vectors, int32_t count, int32_t read) { return BAD_FILE_DESCRIPTOR; }
int32_t WASI(fd_close)(int32_t descriptor) { return BAD_FILE_DESCRIPTOR; }
int32_t WASI(fd_filestat_get)(int32_t descriptor, int32_t status) { return BAD_FILE_DESCRIPTOR; }
int32_t WASI(fd_prestat_get)(int32_t descriptor, int32_t status) { return BAD_FILE_DESCRIPTOR; }
int32_t WASI(fd_prestat_dir_name)(int32_t descriptor, int32_t path, int32_t length) { return BAD_FILE_DESCRIPTOR; }
int32_t WASI(fd_seek)(int32_t descriptor, int64_t offset, int32_t whence, int32_t out) { return BAD_FILE_DESCRIPTOR; }
int32_t WASI(fd_tell)(int32_t descriptor, int32_t out) { return BAD_FILE_DESCRIPTOR; }

#define ABSENT(name, parameters)                                                                                       \
    int32_t WASI(name) parameters { return NO_SYSTEM_CALL; }

ABSENT(fd_advise, (int32_t a, int64_t b, int64_t c, int32_t d))
ABSENT(fd_allocate, (int32_t a, int64_t b, int64_t c))
ABSENT(fd_datasync, (int32_t a))
ABSENT(fd_fdstat_set_flags, (int32_t a, int32_t b))
ABSENT(fd_fdstat_set_rights, (int32_t a, int64_t b, int64_t c))
ABSENT(fd_filestat_set_size, (int32_t a, int64_t b))
ABSENT(fd_filestat_set_times, (int32_t a, int64_t b, int64_t c, int32_t d))
ABSENT(fd_pread, (int32_t a, int32_t b, int32_t c, int64_t d, int32_t e))
ABSENT(fd_pwrite, (int32_t a, int32_t b, int32_t c, int64_t d, int32_t e))
ABSENT(fd_readdir, (int32_t a, int32_t b, int32_t c, int64_t d, int32_t e))
ABSENT(fd_renumber, (int32_t a, int32_t b))
ABSENT(fd_sync, (int32_t a))
ABSENT(path_create_directory, (int32_t a, int32_t b, int32_t c))
ABSENT(path_filestat_get, (int32_t a, int32_t b, int32_t c, int32_t d, int32_t e))
ABSENT(path_filestat_set_times, (int32_t a, int32_t b, int32_t c, int32_t d, int64_t e, int64_t f, int32_t g))
ABSENT(path_link, (int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f, int32_t g))
ABSENT(path_open, (int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, int64_t f, int64_t g, int32_t h, int32_t i))
ABSENT(path_readlink, (int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f))
ABSENT(path_remove_directory, (int32_t a, int32_t b, int32_t c))
ABSENT(path_rename, (int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f))
ABSENT(path_symlink, (int32_t a, int32_t b, int32_t c, int32_t d, int32_t e))
ABSENT(path_unlink_file, (int32_t a, int32_t b, int32_t c))
ABSENT(proc_raise, (int32_t a))
ABSENT(sock_accept, (int32_t a, int32_t b, int32_t c))
ABSENT(sock_recv, (int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f))
ABSENT(sock_send, (int32_t a, int32_t b, int32_t c, int32_t d, int32_t e))
ABSENT(sock_shutdown, (int32_t a, int32_t b))
