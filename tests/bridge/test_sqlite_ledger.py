"""One file and many processes: what accidents and attacks do to the file, and what the ledger says then."""

import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from divebell_bridge.money.amounts import Amounts, Caps
from divebell_bridge.money.errors import BudgetExceeded, LedgerBusyError, LedgerError
from divebell_bridge.money.escrow import Fixed
from divebell_bridge.money.sqlite.ledger import SQLiteLedger

Alone = Callable[..., str]
CALL = Fixed(Amounts(10, 10, 1))
ONLY_POSIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

HELD = """
import os, signal, sys
from divebell_bridge.money.amounts import Amounts, Caps
from divebell_bridge.money.escrow import Fixed
from divebell_bridge.money.sqlite.ledger import SQLiteLedger
ledger = SQLiteLedger(sys.argv[1] if len(sys.argv) > 1 else os.environ["LEDGER"])
day = ledger.tenant("acme", total=Caps(100, None, None))
"""


def open_run(ledger: SQLiteLedger, name: str = "run") -> str:
    day = ledger.tenant("acme", total=Caps(100, None, None))
    ledger.open(name, kind="run", label=name, parent=day, wanted=Caps(60, None, None))
    return name


def figures(ledger: SQLiteLedger, account: str = "tenant:acme") -> tuple[int, int]:
    found = ledger.account(account)
    assert found is not None
    return found.spent.picodollars, found.held.picodollars


@ONLY_POSIX
def test_opening_the_file_twice_in_one_process_does_not_let_others_fork_the_books(tmp_path: Path, alone: Alone) -> None:
    """To close any descriptor of a file drops all the locks (POSIX) that the process has on it. Another process that
    closes the ledger then believes that it is the last one, and deletes the WAL into which the first still writes: two
    sets of books, and each of them would lend the whole cap."""
    path = tmp_path / "ledger.db"
    with SQLiteLedger(path) as first:
        open_run(first)
        SQLiteLedger(path).close()
        alone(HELD + "ledger.close()", LEDGER=str(path))
        first.hold("run", "a", CALL, model="m")
        said = alone(HELD + "print(ledger.account('run').held.picodollars)", LEDGER=str(path))
        assert said.strip() == "10"


def test_two_ledgers_on_one_file_in_one_process_are_two_workers(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with SQLiteLedger(path) as one, SQLiteLedger(path) as other:
        open_run(one)
        one.hold("run", "a", CALL, model="m")
        assert one.worker != other.worker
        assert other.recover() == one.recover() == 0
        other.close()
        assert figures(one) == (0, 60)
        assert one.settle("a", Amounts(4, 4, 1)).state == "settled"


@ONLY_POSIX
def test_a_forked_child_is_told_to_open_its_own_even_if_a_thread_held_the_lock(tmp_path: Path, alone: Alone) -> None:
    said = alone(
        HELD
        + """
import threading
from divebell_bridge.money.errors import LedgerError
entered, leave = threading.Event(), threading.Event()
def hog():
    with ledger._lock:
        entered.set()
        leave.wait()
threading.Thread(target=hog, daemon=True).start()
entered.wait()
if os.fork() == 0:
    for use in (lambda: ledger.room(day), lambda: ledger.tenant("x"), ledger.recover):
        try:
            use()
        except LedgerError as error:
            print(error, flush=True)
    ledger.close()
    os._exit(0)
os.wait()
leave.set()
ledger.open("run", kind="run", label="run", parent=day, wanted=Caps(60, None, None))
print(ledger.account("run").caps.picodollars)
""",
        LEDGER=str(tmp_path / "ledger.db"),
    )
    assert said.count("opened before a fork: open it again in the child") == 3
    assert said.split()[-1] == "60"


@ONLY_POSIX
def test_a_forked_child_that_ends_leaves_the_parents_books_alone(tmp_path: Path, alone: Alone) -> None:
    """The child's copy of the connection is closed when its interpreter ends, in the middle of the parent's work."""
    said = alone(
        HELD
        + """
ledger.open("run", kind="run", label="run", parent=day, wanted=Caps(60, None, None))
ledger.hold("run", "before", Fixed(Amounts(10, 10, 1)), model="m")
if os.fork() == 0:
    sys.exit()
os.wait()
ledger.hold("run", "after", Fixed(Amounts(10, 10, 1)), model="m")
with SQLiteLedger(ledger.path) as other:
    print(other.account("run").held.picodollars)
""",
        LEDGER=str(tmp_path / "ledger.db"),
    )
    assert said.strip() == "20"


@ONLY_POSIX
def test_a_forked_child_does_not_keep_its_dead_parent_alive(tmp_path: Path, alone: Alone) -> None:
    said = alone(
        """
import os, signal, subprocess, sys, time
script = '''"""
        + HELD
        + """
ledger.open("run", kind="run", label="run", parent=day, wanted=Caps(60, None, None))
ledger.hold("run", "a", Fixed(Amounts(10, 10, 1)), model="m")
child = os.fork()
if child == 0:
    import time
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
'''
parent = subprocess.Popen([sys.executable, "-c", script, os.environ["LEDGER"]], stdout=subprocess.PIPE, text=True)
child = int(parent.stdout.readline())
parent.wait()
from divebell_bridge.money.sqlite.ledger import SQLiteLedger
ledger = SQLiteLedger(os.environ["LEDGER"])
os.kill(child, 0)
print(ledger.account("tenant:acme").spent.picodollars, ledger.account("tenant:acme").held.picodollars)
os.kill(child, signal.SIGKILL)
parent.stdout.close()
""",
        LEDGER=str(tmp_path / "ledger.db"),
    )
    assert said.split() == ["10", "0"]


def test_a_process_whose_life_file_was_deleted_is_charged_and_goes_on_as_another_worker(tmp_path: Path) -> None:
    """Somebody tidies the folder up: the others take the process for dead. That costs money, and never lends it twice;
    and what it opens afterwards is not lost sight of when it dies in truth."""
    path = tmp_path / "ledger.db"
    alive, other = SQLiteLedger(path), SQLiteLedger(path)
    open_run(alive)
    alive.hold("run", "a", CALL, model="m")
    assert alive._process_lock is not None
    alive._process_lock.path.unlink()
    assert other.recover() == 1
    assert alive.settle("a", Amounts(4, 4, 1)).state == "uncertain"
    with pytest.raises(BudgetExceeded, match="closed"):
        alive.hold("run", "b", CALL, model="m")
    assert figures(alive) == (10, 0)
    open_run(alive, "next")
    alive.hold("next", "c", CALL, model="m")
    assert other.recover() == 0
    alive._process_lock.forget()
    alive._db.close()
    assert other.recover() == 1
    assert figures(other) == (20, 0)
    other.close()


def test_a_process_whose_life_file_was_deleted_does_not_bury_itself(tmp_path: Path) -> None:
    """It waits for money, looks for the dead, and finds its own name without a file."""
    with SQLiteLedger(tmp_path / "ledger.db") as ledger:
        open_run(ledger)
        ledger.hold("run", "a", CALL, model="m")
        assert ledger._process_lock is not None
        ledger._process_lock.path.unlink()
        assert ledger.recover() == 0
        ledger.open("next", kind="run", label="next", parent=None, wanted=Caps())
        assert ledger.recover() == 0
        assert ledger.settle("a", Amounts(4, 4, 1)).state == "settled"
    with SQLiteLedger(tmp_path / "ledger.db") as after:
        assert figures(after) == (4, 0)


def test_a_worker_taken_for_dead_that_opened_more_before_it_noticed_is_not_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    alive, other = SQLiteLedger(path), SQLiteLedger(path)
    day = alive.tenant("acme", total=Caps(100, None, None))
    alive._db.execute("UPDATE workers SET ended = 'now' WHERE id = ?", (alive.worker,))
    alive.open("run", kind="run", label="run", parent=day, wanted=Caps(60, None, None))
    alive.hold("run", "a", CALL, model="m")
    assert other.recover() == 0
    assert alive._process_lock is not None
    alive._process_lock.forget()
    alive._db.close()
    assert other.recover() == 1
    assert figures(other) == (10, 0)
    other.close()


def test_a_life_file_that_cannot_be_opened_is_taken_for_a_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"
    with SQLiteLedger(path) as one, SQLiteLedger(path) as other:
        open_run(one)
        real = os.open

        def refused(file: object, *arguments: object, **options: object) -> int:
            if "-worker-" in str(file):
                raise PermissionError(13, "Permission denied")
            return real(file, *arguments, **options)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refused)
            assert other.recover() == 0
            with pytest.raises(LedgerError, match="cannot be opened: Permission denied"):
                SQLiteLedger(path)
        assert figures(one) == (0, 60)


def test_the_dead_workers_files_are_swept_up(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    dead = SQLiteLedger(path)
    assert dead._process_lock is not None
    dead._process_lock.forget()
    dead._db.close()
    assert len(list(tmp_path.glob("*-worker-*"))) == 1
    SQLiteLedger(path).close()
    assert list(tmp_path.glob("*-worker-*")) == []


def test_a_ledger_deleted_or_replaced_while_it_is_open_lends_nothing_more(tmp_path: Path) -> None:
    """Else whoever makes the file anew would lend the same cap a second time, for as long as this process lives."""
    path = tmp_path / "ledger.db"
    with SQLiteLedger(path) as ledger:
        open_run(ledger)
        for file in tmp_path.glob("ledger.db*"):
            if "-worker-" not in file.name:
                file.unlink()
        with pytest.raises(LedgerError, match="deleted, moved or replaced while it was open"):
            ledger.open("next", kind="run", label="next", parent=None, wanted=Caps())
        with SQLiteLedger(path) as anew:
            open_run(anew)
            with pytest.raises(LedgerError, match="deleted, moved or replaced"):
                ledger.open("next", kind="run", label="next", parent=None, wanted=Caps())


def _sqlite_of_another(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE songs (name TEXT)")
    db.commit()
    db.close()


def _truncated(path: Path) -> None:
    SQLiteLedger(path).close()
    os.truncate(path, path.stat().st_size // 2)


def _overwritten(path: Path) -> None:
    SQLiteLedger(path).close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.write_text("dear diary " * 1000), "cannot be read as a ledger"),
        (lambda path: path.write_bytes(b"SQLite format 3\0"), "cannot be (read as a ledger|used)"),
        (lambda path: path.mkdir(), "is a folder: name a file in it"),
        (_sqlite_of_another, "is a database of something else, not a ledger: name another file"),
        (_truncated, "cannot be read as a ledger"),
        (_overwritten, "cannot be read as a ledger"),
    ],
    ids=["text", "header only", "folder", "another application's", "truncated", "overwritten"],
)
def test_a_file_that_is_no_ledger_is_refused_in_a_sentence(
    spoil: Callable[[Path], object], sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.db"
    spoil(path)
    with pytest.raises(LedgerError, match=sentence):
        SQLiteLedger(path)
    assert list(tmp_path.glob("*-worker-*")) == []


def test_a_ledger_in_a_folder_that_is_not_there_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"there is no folder .* make it"):
        SQLiteLedger(tmp_path / "nowhere" / "ledger.db")


@pytest.mark.parametrize("garbage", [b"\xa5" * 40_000, b"", b"\x37\x7f\x06\x82" + b"\0" * 5000])
def test_a_garbage_wal_is_not_believed(garbage: bytes, tmp_path: Path) -> None:
    """The frames of a WAL carry check sums: what is not SQLite's own writing counts as not written."""
    path = tmp_path / "ledger.db"
    with SQLiteLedger(path) as ledger:
        open_run(ledger)
        ledger.hold("run", "a", CALL, model="m")
    (tmp_path / "ledger.db-wal").write_bytes(garbage)
    with SQLiteLedger(path) as ledger:
        assert figures(ledger) == (10, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of a file's size here")
def test_a_full_disk_is_a_clear_error_that_changes_nothing_and_passes(tmp_path: Path, alone: Alone) -> None:
    said = alone(
        HELD
        + """
import resource
from divebell_bridge.money.errors import LedgerBusyError, LedgerError
ledger.open("run", kind="run", label="run", parent=day, wanted=Caps(60, None, None))
full = os.stat(str(ledger.path) + "-wal").st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
for number in range(3):
    try:
        ledger.hold("run", f"hold {number}", Fixed(Amounts(1, 1, 1)), model="m")
    except LedgerError as error:
        print(type(error).__name__, "cannot be used" in str(error))
print(ledger.account("run").held.picodollars)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ledger.hold("run", "later", Fixed(Amounts(1, 1, 1)), model="m")
print(ledger.account("run").held.picodollars)
""",
        LEDGER=str(tmp_path / "ledger.db"),
    )
    assert said.split() == ["LedgerUnavailableError", "True"] * 3 + ["0", "1"]


def test_a_file_that_may_not_be_written_is_a_clear_error_that_changes_nothing(tmp_path: Path) -> None:
    """What SQLite does with a file that this user may only read."""
    path = tmp_path / "ledger.db"
    with SQLiteLedger(path) as ledger:
        open_run(ledger)
        ledger._db.execute("PRAGMA query_only = ON")
        with pytest.raises(LedgerError, match="cannot be used: attempt to write a readonly database"):
            ledger.hold("run", "a", CALL, model="m")
        assert figures(ledger) == (0, 60)
        ledger._db.execute("PRAGMA query_only = OFF")
        ledger.hold("run", "a", CALL, model="m")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everything")
def test_a_ledger_of_somebody_else_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    SQLiteLedger(path).close()
    path.chmod(0o400)
    with pytest.raises(LedgerError, match="cannot be used"):
        SQLiteLedger(path)


@ONLY_POSIX
def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with SQLiteLedger(tmp_path / "ledger.db") as ledger:
            open_run(ledger)
            modes = {file.name.partition("-worker")[0]: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("ledger.db", "ledger.db-wal", "ledger.db-shm"), 0o600)


def test_while_another_writes_a_reader_reads_and_a_writer_is_told_to_come_back(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with SQLiteLedger(path) as ledger:
        open_run(ledger)
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        assert ledger.room("run").picodollars == 60
        with pytest.raises(LedgerBusyError, match="another process is writing"):
            ledger.hold("run", "a", CALL, model="m")
        writer.execute("ROLLBACK")
        writer.close()
        ledger.hold("run", "a", CALL, model="m")


def test_amounts_over_what_sqlite_can_hold_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    with SQLiteLedger(tmp_path / "ledger.db") as ledger:
        open_run(ledger)
        for wanted in (Caps(2**63, None, None), Caps(None, 2**70, None)):
            with pytest.raises(LedgerError, match="9\\.2 million dollars"):
                ledger.open("huge", kind="run", label="huge", parent=None, wanted=wanted)
        ledger.hold("run", "a", CALL, model="m")
        with pytest.raises(LedgerError):
            ledger.settle("a", Amounts(2**63, 0, 1))
        assert figures(ledger, "run") == (0, 10)
        ledger.settle("a", Amounts(5, 0, 1))


@pytest.mark.parametrize("name", ["\ud800", "a\0b", "m" * 10_000, "'; DROP TABLE holds; --"])
def test_a_models_name_can_be_anything(name: str, tmp_path: Path) -> None:
    with SQLiteLedger(tmp_path / "ledger.db") as ledger:
        open_run(ledger)
        ledger.hold("run", "a", CALL, model=name)
        assert ledger.settle("a", Amounts(5, 5, 1)).state == "settled"


def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    ledger = SQLiteLedger(tmp_path / "ledger.db")
    ledger.close()
    ledger.close()
    for use in (lambda: ledger.room("run"), ledger.recover, lambda: open_run(ledger)):
        with pytest.raises(LedgerError, match="the ledger is closed"):
            use()


def test_closing_posts_what_is_in_flight_as_spent(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with SQLiteLedger(path) as other:
        with SQLiteLedger(path) as ledger:
            open_run(ledger)
            ledger.hold("run", "a", CALL, model="m")
            ledger.hold("run", "kept", CALL, model="m", reserve=True)
        assert figures(other) == (10, 0)
        assert other.recover() == 0


def test_threads_that_find_the_same_worker_dead_bury_it_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    dead = SQLiteLedger(path)
    finders = [SQLiteLedger(path) for _ in range(4)]
    open_run(dead)
    for number in range(6):
        dead.hold("run", str(number), CALL, model="m")
    assert dead._process_lock is not None
    dead._process_lock.forget()
    dead._db.close()
    found: list[int] = []

    def look(ledger: SQLiteLedger) -> None:
        while True:
            try:
                found.append(ledger.recover())
                return
            except LedgerBusyError:
                continue

    threads = [threading.Thread(target=look, args=(ledger,)) for ledger in finders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 0, 0, 6]
    assert figures(finders[0]) == (60, 0)
    for ledger in finders:
        ledger.close()
