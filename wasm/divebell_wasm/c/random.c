/* The guest's only source of randomness: ChaCha20 (RFC 8439) under a key that the host writes into each new sandbox.
 *
 * os.urandom, secrets, uuid and CPython's hash secret all end here, so the key alone decides whether a sandbox is
 * unpredictable (a fresh key) or reproducible (a key derived from the caller's seed).
 */
#include "divebell.h"

uint32_t divebell_random_key[RANDOM_KEY_WORDS];
static uint64_t block_number;

#define ROTATE(v, n) (((v) << (n)) | ((v) >> (32 - (n))))
#define QUARTER_ROUND(a, b, c, d)                                                                                      \
    a += b, d = ROTATE(d ^ a, 16), c += d, b = ROTATE(b ^ c, 12), a += b, d = ROTATE(d ^ a, 8), c += d,                \
    b = ROTATE(b ^ c, 7)

static void next_block(uint32_t out[16])
{
    uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    for (int i = 0; i < RANDOM_KEY_WORDS; i++)
        start[4 + i] = divebell_random_key[i];
    start[12] = (uint32_t)block_number;
    start[13] = (uint32_t)(block_number >> 32);
    block_number++;
    for (int i = 0; i < 16; i++)
        out[i] = start[i];
    for (int round = 0; round < 10; round++) {
        QUARTER_ROUND(out[0], out[4], out[8], out[12]);
        QUARTER_ROUND(out[1], out[5], out[9], out[13]);
        QUARTER_ROUND(out[2], out[6], out[10], out[14]);
        QUARTER_ROUND(out[3], out[7], out[11], out[15]);
        QUARTER_ROUND(out[0], out[5], out[10], out[15]);
        QUARTER_ROUND(out[1], out[6], out[11], out[12]);
        QUARTER_ROUND(out[2], out[7], out[8], out[13]);
        QUARTER_ROUND(out[3], out[4], out[9], out[14]);
    }
    for (int i = 0; i < 16; i++)
        out[i] += start[i];
}

void divebell_random_fill(unsigned char *out, uint32_t length)
{
    uint32_t block[16];
    for (uint32_t at = 0; at < length; at++) {
        if (at % sizeof block == 0)
            next_block(block);
        out[at] = (unsigned char)(block[at % sizeof block / 4] >> (at % 4 * 8));
    }
}
