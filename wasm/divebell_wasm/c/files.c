/* Files in memory: the tree of folders and files that the guest's code sees, and nothing of the host's.
 *
 * Why: much code writes to /tmp what it reads again a line later, and libraries (tempfile, sqlite3, zipfile) expect it
 * to work. All of it lies in the linear memory, so it counts to the sandbox's memory limit, is taken back with a cell
 * that is killed, and goes along into snapshots and forks, without a word about files anywhere else.
 *
 * The tree: / holds /tmp, where everything may be done, /dev/null, and /usr/share/zoneinfo, whose files are part of the
 * module (zones.c, made by the build). A folder's children are a list in the order in which they came; one table of
 * hashes over all folders finds a name. What is in the files is file_contents.c's matter. A removed file lives on until
 * its last descriptor is closed, as everywhere.
 *
 * Guaranteed: the bounds of files.h; failing changes nothing; every call ends in time linear in the bytes and nodes it
 * touches. Not guaranteed: permissions, links, locks, or anything against code that writes into memory at random.
 */
#include <stdlib.h>
#include <string.h>
#include "divebell.h"
#include "files.h"

#define HASH_SLOTS 4096u

static struct node *by_hash[HASH_SLOTS];
static uint64_t last_number, last_place;
static uint32_t node_count;

struct node divebell_root = {.is_folder = true, .is_pinned = true, .is_read_only = true};

/* FNV-1a over the folder's number and the name. */
static uint32_t hash_of(const struct node *folder, const char *name, uint32_t name_bytes)
{
    uint32_t hash = (2166136261u ^ (uint32_t)folder->number) * 16777619u;
    for (uint32_t i = 0; i < name_bytes; i++)
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return hash;
}

static struct node *child(const struct node *folder, const char *name, uint32_t name_bytes)
{
    uint32_t hash = hash_of(folder, name, name_bytes);
    struct node *node = by_hash[hash % HASH_SLOTS];
    while (node != NULL && !(node->hash == hash && node->parent == folder && node->name_bytes == name_bytes
                             && memcmp(node->name, name, name_bytes) == 0))
        node = node->next_of_hash;
    return node;
}

static bool is_dots(const char *name, uint32_t name_bytes)
{
    return (name_bytes == 1 && name[0] == '.') || (name_bytes == 2 && name[0] == '.' && name[1] == '.');
}

enum error files_find(struct node *start, const char *path, uint32_t path_bytes, struct place *found)
{
    *found = (struct place){.folder = start, .node = start, .is_dots = true};
    if (path_bytes == 0)
        return NOT_FOUND;
    if (path_bytes > MAX_PATH_BYTES)
        return NAME_TOO_LONG;
    for (uint32_t at = 0; at < path_bytes;) {
        if (path[at] == '/') {
            found->must_be_folder = true;
            at++;
            continue;
        }
        /* Another name follows, so what was found so far has to be a folder. */
        struct node *folder = found->node;
        if (folder == NULL)
            return NOT_FOUND;
        if (!folder->is_folder)
            return NOT_FOLDER;
        uint32_t begin = at;
        while (at < path_bytes && path[at] != '/')
            at++;
        *found = (struct place){.folder = folder, .name = path + begin, .name_bytes = at - begin};
        if (found->name_bytes > MAX_NAME_BYTES)
            return NAME_TOO_LONG;
        found->is_dots = is_dots(found->name, found->name_bytes);
        if (!found->is_dots)
            found->node = child(folder, found->name, found->name_bytes);
        else
            found->node = found->name_bytes == 2 && folder->parent ? folder->parent : folder;
    }
    if (found->must_be_folder && found->node != NULL && !found->node->is_folder)
        return NOT_FOLDER;
    return OK;
}

static void link_node(struct node *node, struct node *folder)
{
    node->parent = folder;
    node->place = ++last_place;
    node->hash = hash_of(folder, node->name, node->name_bytes);
    node->next_of_hash = by_hash[node->hash % HASH_SLOTS];
    by_hash[node->hash % HASH_SLOTS] = node;
    node->next = NULL;
    node->previous = folder->last;
    *(folder->last ? &folder->last->next : &folder->first) = node;
    folder->last = node;
}

static void unlink_node(struct node *node)
{
    struct node *folder = node->parent, **link = &by_hash[node->hash % HASH_SLOTS];
    while (*link != node)
        link = &(*link)->next_of_hash;
    *link = node->next_of_hash;
    *(node->previous ? &node->previous->next : &folder->first) = node->next;
    *(node->next ? &node->next->previous : &folder->last) = node->previous;
    node->parent = node->next = node->previous = NULL;
}

static uint32_t depth_of(const struct node *node)
{
    uint32_t depth = 0;
    for (; node->parent != NULL; node = node->parent)
        depth++;
    return depth;
}

/* How many levels a folder has below itself. MAX_DEPTH bounds the recursion. */
static uint32_t height_of(const struct node *node)
{
    uint32_t height = 0;
    for (const struct node *one = node->first; one != NULL; one = one->next) {
        uint32_t below = 1 + height_of(one);
        height = below > height ? below : height;
    }
    return height;
}

/* Whether a name may be added to or taken out of the folder. */
static enum error changeable(const struct node *folder)
{
    if (folder->is_read_only)
        return ACCESS_DENIED;
    return folder->parent == NULL ? NOT_FOUND : OK; /* a folder that was removed while it was open */
}

static struct node *make_node(const char *name, uint32_t name_bytes, bool is_folder)
{
    struct node *node = calloc(1, sizeof *node);
    char *own_name = malloc(name_bytes);
    if (node == NULL || own_name == NULL) {
        free(node);
        free(own_name);
        return NULL;
    }
    memcpy(own_name, name, name_bytes);
    node->name = own_name;
    node->name_bytes = name_bytes;
    node->number = ++last_number;
    node->is_folder = is_folder;
    return node;
}

enum error files_create(const struct place *place, bool is_folder, struct node **made)
{
    enum error error = place->is_dots ? EXISTS : changeable(place->folder);
    if (error != OK)
        return error;
    if (place->must_be_folder && !is_folder)
        return IS_FOLDER;
    if (node_count >= MAX_NODES || depth_of(place->folder) >= MAX_DEPTH)
        return NO_SPACE;
    struct node *node = make_node(place->name, place->name_bytes, is_folder);
    if (node == NULL)
        return NO_SPACE;
    node->accessed = node->modified = node->changed = divebell_clock_nanoseconds(0);
    place->folder->modified = place->folder->changed = node->modified;
    link_node(node, place->folder);
    node_count++;
    *made = node;
    return OK;
}

static void free_if_unused(struct node *node)
{
    if (node->parent != NULL || node->descriptors != 0 || node->is_pinned)
        return;
    files_resize(node, 0);
    free(node->name);
    free(node);
    node_count--;
}

void files_release(struct node *node)
{
    node->descriptors--;
    free_if_unused(node);
}

static void remove_node(struct node *node)
{
    struct node *folder = node->parent;
    unlink_node(node);
    folder->modified = folder->changed = divebell_latest_nanoseconds();
    free_if_unused(node);
}

enum error files_remove(const struct place *place, bool is_folder)
{
    struct node *node = place->node;
    if (node == NULL)
        return NOT_FOUND;
    if (place->is_dots)
        return INVALID;
    if (node->is_folder != is_folder)
        return is_folder ? NOT_FOLDER : IS_FOLDER;
    enum error error = node->is_pinned ? ACCESS_DENIED : changeable(place->folder);
    if (error != OK)
        return error;
    if (node->first != NULL)
        return NOT_EMPTY;
    remove_node(node);
    return OK;
}

static enum error may_replace(const struct node *moved, const struct node *replaced)
{
    if (replaced->is_pinned)
        return ACCESS_DENIED;
    if (moved->is_folder != replaced->is_folder)
        return moved->is_folder ? NOT_FOLDER : IS_FOLDER;
    return replaced->first != NULL ? NOT_EMPTY : OK;
}

enum error files_rename(const struct place *from, const struct place *to)
{
    struct node *node = from->node, *replaced = to->node;
    if (node == NULL)
        return NOT_FOUND;
    if (from->is_dots || to->is_dots)
        return INVALID;
    enum error error = node->is_pinned ? ACCESS_DENIED : changeable(from->folder);
    if (error == OK)
        error = changeable(to->folder);
    if (error == OK && to->must_be_folder && !node->is_folder)
        error = NOT_FOLDER;
    if (error != OK || replaced == node)
        return error;
    for (const struct node *above = to->folder; above != NULL; above = above->parent)
        if (above == node)
            return INVALID;
    if (replaced != NULL && (error = may_replace(node, replaced)) != OK)
        return error;
    if (depth_of(to->folder) + height_of(node) >= MAX_DEPTH)
        return NO_SPACE;
    char *name = malloc(to->name_bytes);
    if (name == NULL)
        return NO_SPACE;
    memcpy(name, to->name, to->name_bytes);
    if (replaced != NULL)
        remove_node(replaced);
    struct node *folder = node->parent;
    unlink_node(node);
    free(node->name);
    node->name = name;
    node->name_bytes = to->name_bytes;
    link_node(node, to->folder);
    node->changed = divebell_latest_nanoseconds();
    folder->modified = folder->changed = to->folder->modified = to->folder->changed = node->changed;
    return OK;
}

static struct node *pinned(struct node *folder, const char *name, uint32_t name_bytes, bool is_folder)
{
    struct node *node = child(folder, name, name_bytes);
    if (node != NULL || (node = make_node(name, name_bytes, is_folder)) == NULL)
        return node;
    node->is_pinned = true;
    link_node(node, folder);
    return node;
}

static bool add_constant_file(const struct constant_file *file)
{
    struct node *node = &divebell_root;
    for (const char *name = file->path, *end; *name != 0; name = *end ? end + 1 : end) {
        end = strchr(name, '/');
        if (end == NULL)
            end = name + strlen(name);
        node = pinned(node, name, (uint32_t)(end - name), *end == '/');
        if (node == NULL)
            return false;
        node->is_read_only = true;
    }
    node->constant = file->contents;
    node->size_bytes = file->size_bytes;
    return true;
}

/* What is there before any code runs; it counts to no bound. */
bool divebell_add_first_files(void)
{
    static const struct constant_file null = {.path = "dev/null"};
    struct node *tmp = pinned(&divebell_root, "tmp", 3, true);
    if (tmp == NULL || !add_constant_file(&null))
        return false;
    struct node *sink = child(child(&divebell_root, "dev", 3), "null", 4);
    sink->is_read_only = false;
    sink->is_sink = true;
    for (uint32_t i = 0; i < divebell_constant_file_count; i++)
        if (!add_constant_file(&divebell_constant_files[i]))
            return false;
    return true;
}
