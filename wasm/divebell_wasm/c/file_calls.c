/* WASI's functions for files (fd_* and path_*), over the tree in files.c.
 *
 * wasi-libc turns every path into one that is relative to a folder that is open: the root here, descriptor 3, which it
 * finds by fd_prestat_get. Descriptors 0 to 2 look like devices, so that CPython's start-up does not stumble; what is
 * written to 2 becomes the last words.
 *
 * Guaranteed: odd numbers (descriptors, offsets, sizes, flags) are an error, never a crash. Pointers come from libc.
 */
#include <string.h>
#include "divebell.h"
#include "files.h"

#define WASI(name) __imported_wasi_snapshot_preview1_##name

#define FIRST_DESCRIPTOR 3 /* the root; it stays open */

enum file_type { DEVICE = 2, FOLDER = 3, FILE_TYPE = 4 };
enum open_flag { CREATE = 1, ONLY_FOLDER = 2, EXCLUSIVE = 4, TRUNCATE = 8 };
enum descriptor_flag { APPEND = 1 };
enum right { MAY_READ = 1 << 1, MAY_WRITE = 1 << 6 };
enum time_flag { SET_ACCESSED = 1, ACCESSED_NOW = 2, SET_MODIFIED = 4, MODIFIED_NOW = 8 };

struct descriptor {
    struct node *node; /* NULL where it is closed */
    uint64_t offset;
    uint16_t flags;
    bool may_read, may_write;
    bool is_stamped;   /* the time of its first write is noted, and the later ones are not worth a look at the clock */
};

static struct descriptor descriptors[MAX_DESCRIPTORS] = {{.node = &divebell_root, .may_read = true}};

static struct descriptor *open_descriptor(int32_t number)
{
    uint32_t index = (uint32_t)number - FIRST_DESCRIPTOR;
    return index < MAX_DESCRIPTORS && descriptors[index].node ? &descriptors[index] : NULL;
}

static enum error open_file(int32_t number, struct descriptor **found)
{
    *found = open_descriptor(number);
    if (*found == NULL)
        return BAD_DESCRIPTOR;
    return (*found)->node->is_folder ? IS_FOLDER : OK;
}

static enum error find(int32_t folder, int32_t path, int32_t path_bytes, struct place *found)
{
    struct descriptor *start = open_descriptor(folder);
    if (start == NULL)
        return BAD_DESCRIPTOR;
    if (!start->node->is_folder)
        return NOT_FOLDER;
    return files_find(start->node, (const char *)path, (uint32_t)path_bytes, found);
}

static enum error find_existing(int32_t folder, int32_t path, int32_t path_bytes, struct node **node)
{
    struct place place;
    enum error error = find(folder, path, path_bytes, &place);
    *node = place.node;
    return error == OK && place.node == NULL ? NOT_FOUND : error;
}

int32_t WASI(fd_prestat_get)(int32_t number, int32_t out)
{
    if (number != FIRST_DESCRIPTOR)
        return BAD_DESCRIPTOR;
    *(uint32_t *)out = 0; /* a folder */
    *(uint32_t *)(out + 4) = 1;
    return OK;
}

int32_t WASI(fd_prestat_dir_name)(int32_t number, int32_t path, int32_t path_bytes)
{
    if (number != FIRST_DESCRIPTOR)
        return BAD_DESCRIPTOR;
    if (path_bytes < 1)
        return NAME_TOO_LONG;
    *(char *)path = '/';
    return OK;
}

int32_t WASI(fd_fdstat_get)(int32_t number, int32_t out)
{
    const struct descriptor *one = open_descriptor(number);
    bool is_device = number >= 0 && number < FIRST_DESCRIPTOR;
    if (one == NULL && !is_device)
        return BAD_DESCRIPTOR;
    memset((void *)out, 0, 24);
    *(uint8_t *)out = is_device ? DEVICE : one->node->is_folder ? FOLDER : FILE_TYPE;
    *(uint64_t *)(out + 8) = ~0ull;
    *(uint64_t *)(out + 16) = ~0ull;
    if (one != NULL) {
        *(uint16_t *)(out + 2) = one->flags;
        if (!one->may_read)
            *(uint64_t *)(out + 8) &= ~(uint64_t)MAY_READ;
        if (!one->may_write)
            *(uint64_t *)(out + 8) &= ~(uint64_t)MAY_WRITE;
    }
    return OK;
}

int32_t WASI(fd_fdstat_set_flags)(int32_t number, int32_t flags)
{
    struct descriptor *one = open_descriptor(number);
    if (one == NULL)
        return BAD_DESCRIPTOR;
    one->flags = (uint16_t)flags;
    return OK;
}

static void write_status(const struct node *node, int32_t out)
{
    uint64_t *words = (uint64_t *)out;
    memset(words, 0, 64);
    words[0] = 1; /* the device */
    words[1] = node->number;
    *(uint8_t *)(words + 2) = node->is_folder ? FOLDER : FILE_TYPE;
    words[3] = node->parent != NULL || node->is_pinned;
    words[4] = node->size_bytes;
    words[5] = node->accessed;
    words[6] = node->modified;
    words[7] = node->changed;
}

int32_t WASI(fd_filestat_get)(int32_t number, int32_t out)
{
    const struct descriptor *one = open_descriptor(number);
    if (one == NULL)
        return BAD_DESCRIPTOR;
    write_status(one->node, out);
    return OK;
}

int32_t WASI(path_filestat_get)(int32_t folder, int32_t flags, int32_t path, int32_t path_bytes, int32_t out)
{
    struct node *node;
    enum error error = find_existing(folder, path, path_bytes, &node);
    if (error == OK)
        write_status(node, out);
    return error;
}

static enum error set_times(struct node *node, int64_t accessed, int64_t modified, int32_t flags)
{
    if (node->is_read_only)
        return ACCESS_DENIED;
    node->changed = divebell_clock_nanoseconds(0);
    if (flags & (SET_ACCESSED | ACCESSED_NOW))
        node->accessed = flags & ACCESSED_NOW ? node->changed : (uint64_t)accessed;
    if (flags & (SET_MODIFIED | MODIFIED_NOW))
        node->modified = flags & MODIFIED_NOW ? node->changed : (uint64_t)modified;
    return OK;
}

int32_t WASI(fd_filestat_set_times)(int32_t number, int64_t accessed, int64_t modified, int32_t flags)
{
    struct descriptor *one = open_descriptor(number);
    return one == NULL ? BAD_DESCRIPTOR : set_times(one->node, accessed, modified, flags);
}

int32_t WASI(path_filestat_set_times)(int32_t folder, int32_t lookup, int32_t path, int32_t path_bytes,
                                      int64_t accessed, int64_t modified, int32_t flags)
{
    struct node *node;
    enum error error = find_existing(folder, path, path_bytes, &node);
    return error != OK ? error : set_times(node, accessed, modified, flags);
}

/* What is at the place, or a new file there, if it may be opened so. */
static enum error open_node(const struct place *place, uint32_t flags, bool to_write, struct node **node, bool *is_new)
{
    *node = place->node;
    *is_new = false;
    if (*node == NULL) {
        if (!(flags & CREATE))
            return NOT_FOUND;
        if (flags & ONLY_FOLDER)
            return INVALID;
        *is_new = true;
        return files_create(place, false, node);
    }
    if ((flags & CREATE) && (flags & EXCLUSIVE))
        return EXISTS;
    if ((flags & ONLY_FOLDER) && !(*node)->is_folder)
        return NOT_FOLDER;
    if (!to_write && !(flags & TRUNCATE))
        return (flags & CREATE) && (*node)->is_folder ? IS_FOLDER : OK;
    if ((*node)->is_folder)
        return IS_FOLDER;
    if ((*node)->is_read_only)
        return ACCESS_DENIED;
    return flags & TRUNCATE ? files_resize(*node, 0) : OK;
}

int32_t WASI(path_open)(int32_t folder, int32_t lookup, int32_t path, int32_t path_bytes, int32_t flags,
                        int64_t rights, int64_t inherited_rights, int32_t descriptor_flags, int32_t out)
{
    struct place place;
    enum error error = find(folder, path, path_bytes, &place);
    if (error != OK)
        return error;
    uint32_t index = 0;
    while (index < MAX_DESCRIPTORS && descriptors[index].node != NULL)
        index++;
    if (index == MAX_DESCRIPTORS)
        return TOO_MANY_DESCRIPTORS;
    struct node *node;
    bool is_new, may_write = (rights & MAY_WRITE) != 0;
    error = open_node(&place, (uint32_t)flags, may_write, &node, &is_new);
    if (error != OK)
        return error;
    if ((flags & TRUNCATE) && !is_new)
        node->modified = node->changed = divebell_clock_nanoseconds(0);
    node->descriptors++;
    descriptors[index] = (struct descriptor){
        .node = node,
        .flags = (uint16_t)descriptor_flags,
        .may_read = (rights & MAY_READ) != 0,
        .may_write = may_write,
        .is_stamped = is_new || (flags & TRUNCATE),
    };
    *(int32_t *)out = (int32_t)index + FIRST_DESCRIPTOR;
    return OK;
}

static void close_descriptor(struct descriptor *one)
{
    struct node *node = one->node;
    one->node = NULL;
    files_release(node);
}

int32_t WASI(fd_close)(int32_t number)
{
    struct descriptor *one = open_descriptor(number);
    if (one == NULL || number == FIRST_DESCRIPTOR)
        return BAD_DESCRIPTOR;
    close_descriptor(one);
    return OK;
}

int32_t WASI(fd_renumber)(int32_t from, int32_t to)
{
    struct descriptor *source = open_descriptor(from), *target = open_descriptor(to);
    if (source == NULL || target == NULL || from == FIRST_DESCRIPTOR || to == FIRST_DESCRIPTOR)
        return BAD_DESCRIPTOR;
    if (source == target)
        return OK;
    close_descriptor(target);
    *target = *source;
    source->node = NULL;
    return OK;
}

static enum error read_at(int32_t number, int32_t vectors, int32_t count, uint64_t offset, uint32_t *bytes)
{
    struct descriptor *one;
    enum error error = open_file(number, &one);
    *bytes = 0;
    if (error != OK)
        return error;
    if (!one->may_read)
        return BAD_DESCRIPTOR;
    if (offset > INT64_MAX)
        return INVALID;
    for (int32_t i = 0; i < count; i++) {
        const uint32_t *vector = (const uint32_t *)vectors + 2 * i;
        uint32_t read = files_read(one->node, offset + *bytes, (uint8_t *)vector[0], vector[1]);
        *bytes += read;
        if (read < vector[1])
            break;
    }
    return OK;
}

int32_t WASI(fd_read)(int32_t number, int32_t vectors, int32_t count, int32_t out)
{
    struct descriptor *one = open_descriptor(number);
    if (one == NULL)
        return BAD_DESCRIPTOR;
    enum error error = read_at(number, vectors, count, one->offset, (uint32_t *)out);
    one->offset += *(uint32_t *)out;
    return error;
}

int32_t WASI(fd_pread)(int32_t number, int32_t vectors, int32_t count, int64_t offset, int32_t out)
{
    return read_at(number, vectors, count, (uint64_t)offset, (uint32_t *)out);
}

static enum error write_at(int32_t number, int32_t vectors, int32_t count, uint64_t offset, uint32_t *bytes)
{
    struct descriptor *one;
    enum error error = open_file(number, &one);
    *bytes = 0;
    if (error != OK)
        return error;
    if (!one->may_write)
        return BAD_DESCRIPTOR;
    if (offset > INT64_MAX)
        return INVALID;
    if (!one->is_stamped) {
        one->is_stamped = true;
        one->node->modified = one->node->changed = divebell_clock_nanoseconds(0);
    }
    for (int32_t i = 0; i < count; i++) {
        const uint32_t *vector = (const uint32_t *)vectors + 2 * i;
        uint32_t written;
        error = files_write(one->node, offset + *bytes, (const uint8_t *)vector[0], vector[1], &written);
        *bytes += written;
        if (error != OK || written < vector[1])
            break;
    }
    return *bytes != 0 ? OK : error;
}

int32_t WASI(fd_write)(int32_t number, int32_t vectors, int32_t count, int32_t out)
{
    if (number == 2) {
        *(uint32_t *)out = 0;
        for (int32_t i = 0; i < count; i++) {
            const uint32_t *vector = (const uint32_t *)vectors + 2 * i;
            divebell_remember_last_words((const char *)vector[0], vector[1]);
            *(uint32_t *)out += vector[1];
        }
        return OK;
    }
    struct descriptor *one = open_descriptor(number);
    if (one == NULL)
        return BAD_DESCRIPTOR;
    uint64_t offset = one->flags & APPEND ? one->node->size_bytes : one->offset;
    enum error error = write_at(number, vectors, count, offset, (uint32_t *)out);
    if (*(uint32_t *)out != 0)
        one->offset = offset + *(uint32_t *)out;
    return error;
}

int32_t WASI(fd_pwrite)(int32_t number, int32_t vectors, int32_t count, int64_t offset, int32_t out)
{
    return write_at(number, vectors, count, (uint64_t)offset, (uint32_t *)out);
}

int32_t WASI(fd_seek)(int32_t number, int64_t offset, int32_t whence, int32_t out)
{
    struct descriptor *one;
    enum error error = open_file(number, &one);
    if (error != OK)
        return error == IS_FOLDER ? INVALID : error;
    int64_t bases[] = {0, (int64_t)one->offset, one->node->size_bytes}, wanted;
    if (whence < 0 || whence > 2 || __builtin_add_overflow(bases[whence], offset, &wanted) || wanted < 0)
        return INVALID;
    one->offset = (uint64_t)wanted;
    *(uint64_t *)out = one->offset;
    return OK;
}

int32_t WASI(fd_tell)(int32_t number, int32_t out) { return WASI(fd_seek)(number, 0, 1, out); }

static enum error resize(int32_t number, int64_t size_bytes, bool only_longer)
{
    struct descriptor *one;
    enum error error = open_file(number, &one);
    if (error != OK)
        return error == IS_FOLDER ? INVALID : error;
    if (!one->may_write || size_bytes < 0)
        return INVALID;
    if (only_longer && (uint64_t)size_bytes <= one->node->size_bytes)
        return OK;
    error = files_resize(one->node, (uint64_t)size_bytes);
    if (error == OK)
        one->node->modified = one->node->changed = divebell_clock_nanoseconds(0);
    return error;
}

int32_t WASI(fd_filestat_set_size)(int32_t number, int64_t size_bytes) { return resize(number, size_bytes, false); }

int32_t WASI(fd_allocate)(int32_t number, int64_t offset, int64_t bytes)
{
    int64_t end;
    if (offset < 0 || bytes <= 0)
        return INVALID;
    return __builtin_add_overflow(offset, bytes, &end) ? FILE_TOO_BIG : resize(number, end, true);
}

static int32_t nothing_to_do(int32_t number) { return open_descriptor(number) ? OK : BAD_DESCRIPTOR; }

int32_t WASI(fd_advise)(int32_t number, int64_t offset, int64_t bytes, int32_t advice) { return nothing_to_do(number); }
int32_t WASI(fd_datasync)(int32_t number) { return nothing_to_do(number); }
int32_t WASI(fd_sync)(int32_t number) { return nothing_to_do(number); }

/* Entries are a header of 24 bytes and a name, the last one cut off where the buffer ends. The cookie of each is its
 * node's place, so that a listing goes on rightly though the code removes what it was told of. */
int32_t WASI(fd_readdir)(int32_t number, int32_t buffer, int32_t buffer_bytes, int64_t cookie, int32_t out)
{
    const struct descriptor *one = open_descriptor(number);
    if (one == NULL)
        return BAD_DESCRIPTOR;
    if (!one->node->is_folder)
        return NOT_FOLDER;
    uint32_t used = 0, room = (uint32_t)buffer_bytes;
    for (const struct node *node = one->node->first; node != NULL && used < room; node = node->next) {
        if (node->place <= (uint64_t)cookie)
            continue;
        unsigned char header[24] = {0};
        memcpy(header, &node->place, 8);
        memcpy(header + 8, &node->number, 8);
        memcpy(header + 16, &node->name_bytes, 4);
        header[20] = node->is_folder ? FOLDER : FILE_TYPE;
        uint32_t piece = room - used < sizeof header ? room - used : sizeof header;
        memcpy((char *)buffer + used, header, piece);
        used += piece;
        piece = room - used < node->name_bytes ? room - used : node->name_bytes;
        memcpy((char *)buffer + used, node->name, piece);
        used += piece;
    }
    *(uint32_t *)out = used;
    return OK;
}

int32_t WASI(path_create_directory)(int32_t folder, int32_t path, int32_t path_bytes)
{
    struct place place;
    struct node *made;
    enum error error = find(folder, path, path_bytes, &place);
    if (error != OK)
        return error;
    return place.node != NULL ? EXISTS : files_create(&place, true, &made);
}

int32_t WASI(path_remove_directory)(int32_t folder, int32_t path, int32_t path_bytes)
{
    struct place place;
    enum error error = find(folder, path, path_bytes, &place);
    return error != OK ? error : files_remove(&place, true);
}

int32_t WASI(path_unlink_file)(int32_t folder, int32_t path, int32_t path_bytes)
{
    struct place place;
    enum error error = find(folder, path, path_bytes, &place);
    return error != OK ? error : files_remove(&place, false);
}

int32_t WASI(path_rename)(int32_t folder, int32_t path, int32_t path_bytes, int32_t new_folder, int32_t new_path,
                          int32_t new_path_bytes)
{
    struct place from, to;
    enum error error = find(folder, path, path_bytes, &from);
    if (error == OK)
        error = find(new_folder, new_path, new_path_bytes, &to);
    return error != OK ? error : files_rename(&from, &to);
}

/* There are no links. */
int32_t WASI(path_readlink)(int32_t folder, int32_t path, int32_t path_bytes, int32_t into, int32_t room, int32_t out)
{
    struct node *node;
    enum error error = find_existing(folder, path, path_bytes, &node);
    return error != OK ? error : INVALID;
}

int32_t WASI(path_symlink)(int32_t target, int32_t target_bytes, int32_t folder, int32_t path, int32_t path_bytes)
{
    return NOT_PERMITTED;
}

int32_t WASI(path_link)(int32_t folder, int32_t lookup, int32_t path, int32_t path_bytes, int32_t new_folder,
                        int32_t new_path, int32_t new_path_bytes)
{
    return NOT_PERMITTED;
}

int32_t WASI(fd_fdstat_set_rights)(int32_t number, int64_t rights, int64_t inherited_rights) { return NO_SYSTEM_CALL; }
