/* Time, which the guest has only from the host: every reading and every sleep crosses the door.
 *
 * The two requests are fixed bytes, so that a reading needs neither CPython nor an allocation (libc asks for the time
 * at moments when neither may be used). door/wire.py encodes the same messages; tests compare the two.
 */
#include "divebell.h"
#include <string.h>

/* {"v": 1, "op": "clock"} */
static const unsigned char clock_request[] = "\x82\xa1v\x01\xa2op\xa5" "clock";
/* {"v": 1, "op": "sleep", "nanoseconds": uint64}, the number appended */
static const unsigned char sleep_request[] = "\x83\xa1v\x01\xa2op\xa5sleep\xabnanoseconds\xcf";

static uint64_t big_endian(const unsigned char *at)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | at[i];
    return value;
}

/* The answer ends in two msgpack uint64: real time, then monotonic time. Anything else leaves the clock where it was. */
static uint64_t last_real = 1, last_monotonic = 1;

uint64_t divebell_clock_nanoseconds(uint32_t clock_id)
{
    unsigned char answer[64];
    int32_t length = divebell_call(clock_request, sizeof clock_request - 1, answer, sizeof answer);
    if (length >= 18 && length <= (int32_t)sizeof answer) {
        const unsigned char *tail = answer + length - 18;
        if (tail[0] == 0xcf && tail[9] == 0xcf) {
            last_real = big_endian(tail + 1);
            last_monotonic = big_endian(tail + 10);
        }
    }
    return clock_id == 0 ? last_real : last_monotonic;
}

/* The real time as it was last read: costs no crossing of the door. */
uint64_t divebell_latest_nanoseconds(void) { return last_real; }

void divebell_sleep_nanoseconds(uint64_t nanoseconds)
{
    unsigned char request[sizeof sleep_request - 1 + 8], answer[64];
    memcpy(request, sleep_request, sizeof sleep_request - 1);
    for (int i = 0; i < 8; i++)
        request[sizeof sleep_request - 1 + i] = (unsigned char)(nanoseconds >> (56 - 8 * i));
    divebell_call(request, sizeof request, answer, sizeof answer);
}
