/* Every WASI function that wasi-libc would import, defined inside the guest; those for files are in file_calls.c.
 *
 * This is what makes the module's import section hold one entry. There is no socket, environment variable or process
 * behind these names: they answer "no such thing". Time and randomness go to clock.c and random.c.
 */
#include "divebell.h"
#include <string.h>

#define WASI(name) __imported_wasi_snapshot_preview1_##name

enum { OK = 0, INVALID = 28, NO_SYSTEM_CALL = 52 };

char divebell_last_words[LAST_WORDS_BYTES];
static uint32_t last_words_length;

void divebell_remember_last_words(const char *text, uint32_t length)
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
    divebell_remember_last_words(said, sizeof said - 1);
    __builtin_trap();
}

int32_t WASI(sched_yield)(void) { return OK; }

#define ABSENT(name, parameters)                                                                                       \
    int32_t WASI(name) parameters { return NO_SYSTEM_CALL; }

ABSENT(proc_raise, (int32_t a))
ABSENT(sock_accept, (int32_t a, int32_t b, int32_t c))
ABSENT(sock_recv, (int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f))
ABSENT(sock_send, (int32_t a, int32_t b, int32_t c, int32_t d, int32_t e))
ABSENT(sock_shutdown, (int32_t a, int32_t b))
