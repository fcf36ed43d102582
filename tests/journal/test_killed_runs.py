"""A process is killed at a random moment, and the run resumed: the same answer, and no completion is paid for twice.

What is tested, exactly: the provider's book has every call of the run under one key. A call whose completion was in the
journal at the moment of a kill never reaches the provider again. One that was in flight reaches it again under the same
key, at most once for each kill.
"""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from divebell.journal.records import has_begun, read_journal
from divebell.testing import replay
from divebell_bridge.money.amounts import NOTHING
from divebell_bridge.money.meter import account_id_of
from divebell_bridge.money.sqlite.ledger import SQLiteLedger

pytestmark = pytest.mark.slow


GIVEN_UP = {"0/sub-call 13"}
"""asyncio's task that the code cancels: it may never begin."""
TRIALS = 50 if os.environ.get("DIVEBELL_FULL") else 4
SECONDS = 600


def start(*arguments: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.support.journal_runs", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: "subprocess.Popen[str]") -> str:
    answer, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    return answer


def kill_after(process: "subprocess.Popen[str]", journal: Path, seconds: float) -> bool:
    """Kill it so many seconds after its journal has begun to grow; whether it was still at work."""
    size = journal.stat().st_size if journal.exists() else 0
    until = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < until:
        if journal.exists() and journal.stat().st_size > size:
            break
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    process.communicate()
    return process.returncode != 0


def key(journal: Path, path: str, name: str) -> str:
    return f"{read_journal(journal).header['id']}/{path}/{name}"


def completed(journal: Path) -> set[str]:
    """The keys of the calls that the journal has."""
    if not has_begun(journal):
        return set()
    return {key(journal, path, name) for path, name in read_journal(journal).calls}


def begun(book: Path) -> Counter[str]:
    if not book.exists():
        return Counter()
    return Counter(line[6:] for line in book.read_text().splitlines() if line.startswith("begin "))


def uncut(tmp_path: Path) -> set[str]:
    """The names of the calls of a run that nobody kills."""
    finish(start(tmp_path / "whole.journal", tmp_path / "whole.book"))
    found = begun(tmp_path / "whole.book")
    assert set(found.values()) == {1}
    return {name.partition("/")[2] for name in found}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    return uncut(tmp_path_factory.mktemp("whole"))


class Killed:
    """One run, killed so many times at random moments, and what was seen of it."""

    def __init__(self, folder: Path, wanted: int, *more: Path) -> None:
        self.journal, self.book = folder / "journal", folder / "book"
        self.more = more
        self.kills = 0
        self._known: set[str] = set()
        self._before: Counter[str] = Counter()
        while self.kills < wanted and kill_after(self.start(), self.journal, random.uniform(0.0, 0.3)):
            self.kills += 1
            self.check()

    def start(self) -> "subprocess.Popen[str]":
        return start(self.journal, self.book, *self.more)

    def check(self) -> None:
        """Nothing that the journal had at the last kill has been asked for since."""
        now = begun(self.book)
        again = self._known.intersection(now - self._before)
        assert not again, f"calls whose completions the journal had were made again: {again}"
        self._known, self._before = completed(self.journal), now


def killed(tmp_path: Path, wanted: int, *more: Path) -> Killed:
    """At least one kill came in time."""
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        run = Killed(folder, wanted, *more)
        if run.kills:
            return run
    raise AssertionError("the run ended before every kill")


@pytest.mark.parametrize("trial", range(TRIALS))
def test_a_killed_run_resumes_and_pays_nothing_twice(tmp_path: Path, names: set[str], trial: int) -> None:
    run = killed(tmp_path, 1 + trial % 3)  # some are killed again while they are resumed
    answer = finish(run.start())
    run.check()
    calls = begun(run.book)
    assert {name.partition("/")[2] for name in calls} - GIVEN_UP == names - GIVEN_UP
    assert max(calls.values()) <= 1 + run.kills
    assert replay(run.journal).answer == answer.removesuffix("\n")
    assert finish(run.start()) == answer
    assert begun(run.book) == calls, "a run that had ended asked the provider again"


def test_the_cap_holds_over_a_crash_and_what_follows(tmp_path: Path) -> None:
    """A shared ledger has the dead process's account too: both together are never over the run's cap, although what
    was in flight is there in full."""
    for trial in range(max(TRIALS // 5, 2)):
        folder = tmp_path / f"trial {trial}"
        folder.mkdir()
        ledger = folder / "ledger.db"
        run = killed(folder, 2, ledger)
        finish(run.start())
        run.check()
        with SQLiteLedger(ledger) as books:
            accounts = [books.account(account_id_of(each)) for each in read_journal(run.journal).runs]
        found = [account for account in accounts if account is not None]
        assert len(found) >= 2
        assert all(account.held == NOTHING for account in found)
        spent = sum(account.spent.picodollars for account in found)
        assert 0 < spent <= 6 * 10**11
