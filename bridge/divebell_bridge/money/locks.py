"""Locks on files, which the operating system lets go of when the process that holds them dies, however it dies."""

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

IS_ADVISORY = fcntl is not None
"""Whether a lock keeps out only processes that ask for it. On Windows, no other process can read a locked file."""


def try_lock(file: int) -> bool:
    """Take the lock of an open file, for as long as it is open. False where it is taken."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        return False
    return True
