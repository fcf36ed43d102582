/* The contents of files in memory: a list of blocks, so that a file grows without being moved, and a cell's save copies
 * only what changed.
 *
 * Guaranteed: MAX_CONTENT_BYTES, of each file and of all; where there is no memory, what was there stays, and the error
 * is NO_SPACE, or the write a short one. Bytes that were never written are zeros, and cost nothing while no byte of their block was.
 */
#include <stdlib.h>
#include <string.h>
#include "files.h"

#define BLOCK_BYTES 16384u
#define SMALLEST_BLOCK_BYTES 64u

static uint32_t content_bytes; /* of all files */

static uint32_t bytes_of_block(const struct node *file, uint32_t index)
{
    if (index >= file->block_slots || file->blocks[index] == NULL)
        return 0;
    return index == 0 ? file->first_block_bytes : BLOCK_BYTES;
}

uint32_t files_read(const struct node *file, uint64_t offset, uint8_t *into, uint32_t bytes)
{
    if (offset >= file->size_bytes)
        return 0;
    if (bytes > file->size_bytes - offset)
        bytes = file->size_bytes - (uint32_t)offset;
    if (file->constant != NULL) {
        memcpy(into, file->constant + offset, bytes);
        return bytes;
    }
    for (uint32_t done = 0; done < bytes;) {
        uint32_t index = ((uint32_t)offset + done) / BLOCK_BYTES, within = ((uint32_t)offset + done) % BLOCK_BYTES;
        uint32_t piece = bytes - done < BLOCK_BYTES - within ? bytes - done : BLOCK_BYTES - within;
        uint32_t there = bytes_of_block(file, index);
        there = there > within ? there - within : 0;
        there = there < piece ? there : piece;
        if (there != 0)
            memcpy(into + done, file->blocks[index] + within, there);
        memset(into + done + there, 0, piece - there);
        done += piece;
    }
    return bytes;
}

static bool has_slots(struct node *file, uint32_t wanted)
{
    if (wanted <= file->block_slots)
        return true;
    uint32_t slots = file->block_slots * 2 > wanted ? file->block_slots * 2 : wanted;
    uint8_t **blocks = realloc(file->blocks, slots * sizeof *blocks);
    if (blocks == NULL)
        return false;
    memset(blocks + file->block_slots, 0, (slots - file->block_slots) * sizeof *blocks);
    file->blocks = blocks;
    file->block_slots = slots;
    return true;
}

/* Make the block hold at least `wanted` bytes; whatever is new in it is zeros. */
static bool has_block(struct node *file, uint32_t index, uint32_t wanted)
{
    uint32_t before = bytes_of_block(file, index), after = BLOCK_BYTES;
    if (wanted <= before)
        return true;
    if (index == 0)
        for (after = before ? before : SMALLEST_BLOCK_BYTES; after < wanted;)
            after *= 2;
    if (after - before > MAX_CONTENT_BYTES - content_bytes || !has_slots(file, index + 1))
        return false;
    uint8_t *block = realloc(file->blocks[index], after);
    if (block == NULL)
        return false;
    memset(block + before, 0, after - before);
    file->blocks[index] = block;
    if (index == 0)
        file->first_block_bytes = after;
    content_bytes += after - before;
    return true;
}

enum error files_write(struct node *file, uint64_t offset, const uint8_t *from, uint32_t bytes, uint32_t *written)
{
    *written = file->is_sink ? bytes : 0;
    if (bytes == 0 || file->is_sink)
        return OK;
    if (offset >= MAX_CONTENT_BYTES)
        return FILE_TOO_BIG;
    if (bytes > MAX_CONTENT_BYTES - offset)
        bytes = MAX_CONTENT_BYTES - (uint32_t)offset;
    while (*written < bytes) {
        uint32_t at = (uint32_t)offset + *written, index = at / BLOCK_BYTES, within = at % BLOCK_BYTES;
        uint32_t piece = bytes - *written < BLOCK_BYTES - within ? bytes - *written : BLOCK_BYTES - within;
        if (!has_block(file, index, within + piece))
            return *written != 0 ? OK : NO_SPACE;
        memcpy(file->blocks[index] + within, from + *written, piece);
        *written += piece;
        if (at + piece > file->size_bytes)
            file->size_bytes = at + piece;
    }
    return OK;
}

static void drop_block(struct node *file, uint32_t index)
{
    content_bytes -= bytes_of_block(file, index);
    free(file->blocks[index]);
    file->blocks[index] = NULL;
    if (index == 0)
        file->first_block_bytes = 0;
}

/* A longer file costs nothing until it is written to. Of a shorter one the rest is zeros should it grow again. */
enum error files_resize(struct node *file, uint64_t size_bytes)
{
    if (file->is_sink)
        return OK;
    if (size_bytes > MAX_CONTENT_BYTES)
        return FILE_TOO_BIG;
    uint32_t kept_blocks = ((uint32_t)size_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
    for (uint32_t index = kept_blocks; index < file->block_slots; index++)
        drop_block(file, index);
    if (kept_blocks == 0) {
        free(file->blocks);
        file->blocks = NULL;
        file->block_slots = 0;
    }
    uint32_t last_bytes = (uint32_t)size_bytes % BLOCK_BYTES;
    if (last_bytes != 0 && bytes_of_block(file, kept_blocks - 1) > last_bytes)
        memset(file->blocks[kept_blocks - 1] + last_bytes, 0, bytes_of_block(file, kept_blocks - 1) - last_bytes);
    file->size_bytes = (uint32_t)size_bytes;
    return OK;
}
