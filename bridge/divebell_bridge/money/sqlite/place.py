"""Where a ledger's file may be: in one place only, so that all who use it see the same entries.

SQLite keeps the newest entries, and the locks of those who write them, in files beside the database, which it finds by
the database's path. Two paths to one file in different folders (a hard link, or a mount of only the file, as by `docker
run -v budgets.db:/data/budgets.db`) are then two ledgers. Each spends the whole of every cap, and they damage each
other's file. Symbolic links do no harm: they are followed before anything is opened.

Guaranteed, on Linux: a file with a second name, and one that is a mount point, are refused. Elsewhere only the second
name is seen. Not guaranteed: anything about the other path, which cannot be seen from here, nor about network drives,
where the files beside the ledger may be visible while locks on them do not work. If those files are removed while the
ledger is open, a process that has it open notices before it holds more; one that opens the ledger then does not.
"""

import os
import re
import stat
from pathlib import Path

from divebell_bridge.money.errors import LedgerError

MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(rb"\\([0-7]{3})")


def check_place(path: Path) -> os.stat_result:
    """The file's status. LedgerError if it is in more places than one; OSError if it does not exist."""
    status = check_names(path)
    if os.fsencode(path) in mount_points():
        raise LedgerError(
            f"the ledger {path} is mounted as a single file: processes that use it at its other path do not see the "
            "same entries, and each side would spend the whole of every cap. Mount its folder instead"
        )
    return status


def newest_entries(path: Path) -> dict[Path, os.stat_result]:
    """The files beside a ledger that is open and was written to, in which SQLite keeps its newest entries and the locks
    of those who write them. They stay the same ones until the last who has the ledger open closes it."""
    files = [path.with_name(path.name + ending) for ending in ("-wal", "-shm")]
    return {file: file.stat() for file in files}


def check_names(path: Path) -> os.stat_result:
    """As `check_place`, but without looking at mounts, which takes longer."""
    status = path.stat()
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        raise LedgerError(
            f"the ledger {path} has {status.st_nlink} names (hard links): processes that use another one do not see "
            "the same entries, and each side spends the whole of every cap. Remove the others, or use symbolic links"
        )
    return status


def mount_points() -> frozenset[bytes]:
    """The paths at which something is mounted; none if the system does not list them."""
    try:
        lines = MOUNTS.read_bytes().splitlines()
    except OSError:
        return frozenset()
    fields = (line.split(b" ", 5) for line in lines)
    return frozenset(_ESCAPED.sub(lambda code: bytes([int(code[1], 8)]), each[4]) for each in fields if len(each) > 4)
