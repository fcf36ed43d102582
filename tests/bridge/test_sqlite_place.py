"""One ledger's file in two places: each place has its own newest entries, and would spend the whole of every cap."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from divebell_bridge.money.amounts import Amounts, Caps
from divebell_bridge.money.errors import LedgerError
from divebell_bridge.money.escrow import Fixed
from divebell_bridge.money.sqlite import place as sqlite_place
from divebell_bridge.money.sqlite.ledger import SQLiteLedger
from divebell_bridge.money.sqlite.report import SQLiteReader

ONLY_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what is mounted where")


def made(path: Path) -> Path:
    SQLiteLedger(path).close()
    return path


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("open_it", [SQLiteLedger, SQLiteReader], ids=["to use it", "to read it"])
@pytest.mark.parametrize("where", ["the same folder", "another folder"])
def test_a_hard_link_is_refused_by_either_name(
    where: str, open_it: Callable[[Path], object], tmp_path: Path, elsewhere: Path
) -> None:
    path = made(tmp_path / "ledger.db")
    other = (tmp_path if where == "the same folder" else elsewhere) / "other.db"
    os.link(path, other)
    for name in (path, other):
        with pytest.raises(LedgerError, match=r"has 2 names \(hard links\).* symbolic links"):
            open_it(name)
    other.unlink()
    open_it(path).close()  # type: ignore[attr-defined]


NEXT: dict[str, Callable[[SQLiteLedger], object]] = {
    "a run": lambda ledger: ledger.open("next", kind="run", label="next", parent=None, wanted=Caps()),
    "a call": lambda ledger: ledger.hold("run", "after", Fixed(Amounts(10, 10, 1)), model="m"),
}


@pytest.mark.parametrize("endings", [("-wal",), ("-shm",), ("-wal", "-shm")], ids="".join)
@pytest.mark.parametrize("following", NEXT)
def test_a_ledger_whose_newest_entries_are_removed_by_hand_lends_nothing_more(
    following: str, endings: tuple[str, ...], tmp_path: Path
) -> None:
    with SQLiteLedger(tmp_path / "ledger.db") as ledger:
        ledger.open("run", kind="run", label="run", parent=None, wanted=Caps(100, None, None))
        ledger.hold("run", "before", Fixed(Amounts(10, 10, 1)), model="m")
        for ending in endings:
            (tmp_path / f"ledger.db{ending}").unlink()
        with pytest.raises(LedgerError, match="newest entries, was deleted or replaced while it was open"):
            NEXT[following](ledger)
        ledger.settle("before", Amounts(5, 5, 1))


@pytest.mark.parametrize("following", NEXT)
def test_a_hard_link_that_is_made_while_the_ledger_is_open_ends_its_lending(
    following: str, tmp_path: Path, elsewhere: Path
) -> None:
    with SQLiteLedger(tmp_path / "ledger.db") as ledger:
        ledger.open("run", kind="run", label="run", parent=None, wanted=Caps(100, None, None))
        ledger.hold("run", "before", Fixed(Amounts(10, 10, 1)), model="m")
        os.link(ledger.path, elsewhere / "ledger.db")
        with pytest.raises(LedgerError, match="hard links"):
            NEXT[following](ledger)
        assert ledger.settle("before", Amounts(4, 4, 1)).state == "settled"
        (elsewhere / "ledger.db").unlink()
        ledger.hold("run", "after", Fixed(Amounts(10, 10, 1)), model="m")


def test_symbolic_links_lead_to_one_ledger(tmp_path: Path, elsewhere: Path) -> None:
    path = tmp_path / "ledger.db"
    (elsewhere / "link.db").symlink_to(path)
    (tmp_path / "folder").symlink_to(elsewhere)
    with SQLiteLedger(path) as one, SQLiteLedger(tmp_path / "folder" / "link.db") as other:
        assert one.path == other.path
        one.tenant("acme", total=Caps(7, None, None))
        account = other.account("tenant:acme")
        assert account is not None
        assert account.caps.picodollars == 7


@pytest.mark.parametrize("following", NEXT)
def test_a_ledger_that_is_moved_while_it_is_open_lends_nothing_more(following: str, tmp_path: Path) -> None:
    with SQLiteLedger(tmp_path / "ledger.db") as ledger:
        ledger.open("run", kind="run", label="run", parent=None, wanted=Caps(100, None, None))
        ledger.path.rename(tmp_path / "moved.db")
        with pytest.raises(LedgerError, match="deleted, moved or replaced"):
            NEXT[following](ledger)


MOUNT = "36 35 98:0 {root} {point} rw,noatime - ext4 /dev/vda rw\n"


@pytest.mark.parametrize("name", ["ledger.db", "with space.db", "tab\tand\\backslash.db", "ledg\u00e9r.db"])
def test_a_mount_of_the_file_alone_is_seen_however_its_name_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path / name)
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr(sqlite_place, "MOUNTS", mounts)
    escaped = "".join(f"\\{ord(each):03o}" if each in " \t\n\\" else each for each in str(path))
    folder = str(tmp_path)
    for points, is_refused in [([folder, escaped + "2"], False), ([], False), (["/proc", escaped], True)]:
        mounts.write_text("".join(MOUNT.format(root="/somewhere", point=point) for point in points), encoding="utf-8")
        if not is_refused:
            SQLiteLedger(path).close()
            continue
        for open_it in (SQLiteLedger, SQLiteReader):
            with pytest.raises(LedgerError, match=r"mounted as a single file.*Mount its folder"):
                open_it(path)


def test_a_mount_that_comes_over_an_open_ledger_ends_its_lending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SQLiteLedger(tmp_path / "ledger.db") as ledger:
        mounts = tmp_path / "mountinfo"
        mounts.write_text(MOUNT.format(root="/x", point=ledger.path))
        monkeypatch.setattr(sqlite_place, "MOUNTS", mounts)
        with pytest.raises(LedgerError, match="mounted as a single file"):
            ledger.open("next", kind="run", label="next", parent=None, wanted=Caps())


def test_where_nothing_tells_of_mounts_none_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_place, "MOUNTS", tmp_path / "there is none")
    assert sqlite_place.mount_points() == frozenset()
    made(tmp_path / "ledger.db")


@ONLY_LINUX
def test_a_real_mount_of_the_file_alone_is_refused_and_one_of_its_folder_is_not(
    tmp_path: Path, elsewhere: Path
) -> None:
    path = made(tmp_path / "ledger.db")
    (elsewhere / "ledger.db").touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    script = (
        f"mount --bind {path} {elsewhere}/ledger.db && mount --bind {tmp_path} {folder} || exit 77\n"
        f"exec {sys.executable} -c '\n"
        "from divebell_bridge.money.sqlite.ledger import SQLiteLedger\n"
        f'SQLiteLedger("{folder}/ledger.db").close()\n'
        f'SQLiteLedger("{elsewhere}/ledger.db")\'\n'
    )
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare here")
    ended = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=120
    )
    if ended.returncode == 77 or "unshare" in ended.stderr:
        pytest.skip(f"nothing may be mounted here: {ended.stderr}")
    assert "mounted as a single file" in ended.stderr
