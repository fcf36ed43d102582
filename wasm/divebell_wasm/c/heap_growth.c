/* sbrk, in place of the C library's, which aborts when it is asked to give memory back.
 *
 * malloc asks for that when it could not extend the heap and wants to undo half of it: with an attached context, which
 * lies in the heap's way, that happens at every memory limit. A wasm memory cannot shrink, so the answer is no, and
 * malloc returns NULL, which is a MemoryError in the cell and not the end of the instance.
 */
#include <errno.h>
#include <stdint.h>

#define WASM_PAGE_BYTES 65536

void *sbrk(intptr_t increment)
{
    if (increment == 0)
        return (void *)(__builtin_wasm_memory_size(0) * WASM_PAGE_BYTES);
    if (increment > 0 && increment % WASM_PAGE_BYTES == 0) {
        uintptr_t before = __builtin_wasm_memory_grow(0, (uintptr_t)increment / WASM_PAGE_BYTES);
        if (before != UINTPTR_MAX)
            return (void *)(before * WASM_PAGE_BYTES);
    }
    errno = ENOMEM;
    return (void *)-1;
}
