/* `_divebell.settle()`: fill the heap's holes, so that whatever is allocated from now on lies together.
 *
 * Why: a sandbox copies each page of the image that it writes to. After boot the free memory lies in hundreds of holes
 * all over the heap, and the few hundred objects of a cell would land in as many places. With the holes filled, they
 * come from a few pages at the heap's end (measured: an empty cell copied 104 pages before, and 62 with this alone).
 * It costs no memory: a hole is free space on a page of the image, and a page that nobody writes to is never copied.
 *
 * Guaranteed: only free memory is taken. Not guaranteed: that no hole is left; what is freed later makes new ones.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>
#include "internal/pycore_interp.h"
#include "internal/pycore_obmalloc.h"
#include "divebell.h"

#define LARGEST_HOLE (4u << 20)

/* CPython's small blocks: up to 512 bytes, in pools of a page for each size, in arenas of 64 pools. Ends when every
 * pool of every arena is full, so that the next block starts a new arena. */
static void fill_pools(void)
{
#ifdef WITH_PYMALLOC
    struct _obmalloc_state *state = PyInterpreterState_Get()->obmalloc;
    poolp *used = state->pools.used; /* at 2 * i the list of size class i, which is empty when it points to itself */
    while (state->mgmt.usable_arenas != NULL)
        if (PyObject_Malloc(SMALL_REQUEST_THRESHOLD) == NULL)
            return;
    for (unsigned i = 0; i < NB_SMALL_SIZE_CLASSES; i++)
        while (used[2 * i] != used[2 * i]->nextpool)
            if (PyObject_Malloc((i + 1) << ALIGNMENT_SHIFT) == NULL)
                return;
#endif
}

/* The C library's free chunks, largest first. It takes the best fit, and cuts from the untouched memory at the heap's
 * end only what fits nowhere else: so a block from there says that no hole of that size is left. */
static void fill_chunks(void)
{
    char *end = malloc(LARGEST_HOLE);
    free(end);
    for (size_t size = LARGEST_HOLE / 2; size >= 8 && end != NULL; size -= size > 1024 ? size / 8 : 8)
        for (;;) {
            char *hole = malloc(size);
            if (hole == NULL || hole >= end) {
                free(hole);
                break;
            }
        }
}

PyObject *divebell_settle(PyObject *module, PyObject *unused)
{
    fill_pools();
    fill_chunks();
    Py_RETURN_NONE;
}
