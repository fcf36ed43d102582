/* The fcntl that SQLite calls: grants every lock on a file.
 *
 * Locks are between processes, and here is but one. Between its connections SQLite itself keeps order, in the same way
 * on every Unix. wasi-libc's fcntl refuses locks, and SQLite would make do with folders named *-lock, which let two
 * connections not even read together and are left behind where a cell ends in the middle.
 */
#include <fcntl.h>
#include <stdarg.h>

/* What SQLite calls these where the C library has no name for them, as WASI's has not. */
enum { GET_LOCK = 12, LAST_LOCK_COMMAND = 14, UNLOCKED = 2 };

int divebell_sqlite_fcntl(int descriptor, int command, ...)
{
    if (command >= GET_LOCK && command <= LAST_LOCK_COMMAND) {
        va_list arguments;
        va_start(arguments, command);
        va_arg(arguments, struct flock *)->l_type = UNLOCKED;
        va_end(arguments);
    }
    return 0;
}
