/* memcpy, memmove and memset without bulk-memory instructions.
 *
 * wasmtime carries `memory.copy` and `memory.fill` out in host code, and a fault there, at the read-only context or at
 * memory that the watchdog took away, kills the whole process. A plain wasm load or store only traps. So the guest is
 * compiled without these instructions, and libc's three functions are replaced by these, in SIMD. Measured against
 * bulk-memory instructions over the interpreter benchmarks: no difference.
 */
#include <stddef.h>
#include <stdint.h>
#include <wasm_simd128.h>

#define NO_BUILTIN __attribute__((no_builtin))

enum { LANE = 16, UNROLLED = 64 };

typedef uint64_t unaligned64 __attribute__((aligned(1)));
typedef uint32_t unaligned32 __attribute__((aligned(1)));

/* Loads everything before it stores anything, so that the two areas may overlap in either direction. */
static inline void copy_unrolled(uint8_t *to, const uint8_t *from)
{
    v128_t a = wasm_v128_load(from), b = wasm_v128_load(from + 16);
    v128_t c = wasm_v128_load(from + 32), d = wasm_v128_load(from + 48);
    wasm_v128_store(to, a);
    wasm_v128_store(to + 16, b);
    wasm_v128_store(to + 32, c);
    wasm_v128_store(to + 48, d);
}

/* Up to 16 bytes, overlapping or not. */
static inline void copy_short(uint8_t *to, const uint8_t *from, size_t length)
{
    if (length >= 8) {
        uint64_t first = *(const unaligned64 *)from, last = *(const unaligned64 *)(from + length - 8);
        *(unaligned64 *)to = first;
        *(unaligned64 *)(to + length - 8) = last;
    } else if (length >= 4) {
        uint32_t first = *(const unaligned32 *)from, last = *(const unaligned32 *)(from + length - 4);
        *(unaligned32 *)to = first;
        *(unaligned32 *)(to + length - 4) = last;
    } else if (length) {
        uint8_t first = from[0], middle = from[length / 2], last = from[length - 1];
        to[0] = first;
        to[length / 2] = middle;
        to[length - 1] = last;
    }
}

NO_BUILTIN void *memcpy(void *restrict destination, const void *restrict source, size_t length)
{
    uint8_t *to = destination;
    const uint8_t *from = source;
    if (length < LANE) {
        copy_short(to, from, length);
        return destination;
    }
    for (; length >= UNROLLED; to += UNROLLED, from += UNROLLED, length -= UNROLLED)
        copy_unrolled(to, from);
    for (; length >= LANE; to += LANE, from += LANE, length -= LANE)
        wasm_v128_store(to, wasm_v128_load(from));
    if (length) /* the last lane overlaps the one before it */
        wasm_v128_store(to + length - LANE, wasm_v128_load(from + length - LANE));
    return destination;
}

NO_BUILTIN void *memmove(void *destination, const void *source, size_t length)
{
    uint8_t *to = destination;
    const uint8_t *from = source;
    if (to == from)
        return destination;
    if (length < LANE) {
        copy_short(to, from, length);
        return destination;
    }
    /* Whole lanes, loaded before they are stored: upwards if the destination lies below, downwards if above. The odd
     * end is loaded before any store and stored last. */
    if (to < from) {
        v128_t end = wasm_v128_load(from + length - LANE);
        uint8_t *end_at = to + length - LANE;
        for (; length >= UNROLLED; to += UNROLLED, from += UNROLLED, length -= UNROLLED)
            copy_unrolled(to, from);
        for (; length >= LANE; to += LANE, from += LANE, length -= LANE)
            wasm_v128_store(to, wasm_v128_load(from));
        wasm_v128_store(end_at, end);
    } else {
        v128_t start = wasm_v128_load(from);
        for (; length >= UNROLLED; length -= UNROLLED)
            copy_unrolled(to + length - UNROLLED, from + length - UNROLLED);
        for (; length >= LANE; length -= LANE)
            wasm_v128_store(to + length - LANE, wasm_v128_load(from + length - LANE));
        wasm_v128_store(to, start);
    }
    return destination;
}

NO_BUILTIN void *memset(void *destination, int value, size_t length)
{
    uint8_t *to = destination;
    if (length < LANE) {
        while (length--)
            *to++ = (uint8_t)value;
        return destination;
    }
    v128_t lane = wasm_i8x16_splat((int8_t)value);
    for (; length >= LANE; to += LANE, length -= LANE)
        wasm_v128_store(to, lane);
    if (length)
        wasm_v128_store(to + length - LANE, lane);
    return destination;
}
