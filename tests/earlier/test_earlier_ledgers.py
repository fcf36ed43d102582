"""Ledgers that an earlier Divebell wrote: the same figures, and new runs and calls within what they had left."""

import shutil
import sqlite3
from datetime import date
from pathlib import Path

import pytest

from divebell_bridge.money.amounts import Amounts, Caps
from divebell_bridge.money.errors import BudgetExceeded
from divebell_bridge.money.escrow import Account, Fixed
from divebell_bridge.money.sqlite.ledger import SQLiteLedger
from tests.earlier.figures import LEDGERS, expected, ledger_figures, without_later_limits

CALL = Fixed(Amounts(10, 10, 1))
TODAY = date(2026, 11, 26)
DOLLAR = 10**12


@pytest.fixture
def version_2(tmp_path: Path) -> Path:
    """A copy of the file, since a ledger that is opened is written to."""
    path = tmp_path / "ledger.db"
    shutil.copy(LEDGERS / "version_2.db", path)
    return path


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    """A tenant with two runs of a process that died with a call in flight."""
    path = tmp_path / "ledger.db"
    db = sqlite3.connect(path)
    db.executescript((LEDGERS / "version_1.sql").read_text(encoding="utf-8"))
    db.close()
    return path


def account(ledger: SQLiteLedger, account_id: str) -> Account:
    kept = ledger.account(account_id)
    assert kept is not None
    return kept


@pytest.mark.slow
def test_a_ledger_of_version_2_says_the_same_figures(version_2: Path) -> None:
    kept = expected(LEDGERS / "version_2.db")
    assert without_later_limits(ledger_figures(version_2), kept) == kept


def test_what_a_dead_process_held_in_a_ledger_of_version_2_is_posted_and_its_runs_are_closed(version_2: Path) -> None:
    """Its call in flight costs all that it held; what was kept back, and the rest of its allotment, is free again."""
    before = Amounts(60_000_000, 3_960, 13)  # what runs of acme had spent, the open one too
    with SQLiteLedger(version_2) as ledger:
        acme = account(ledger, "tenant:acme")
        assert acme.caps == Caps(DOLLAR, None, 1_000)
        assert acme.held == Amounts()
        assert acme.spent == Amounts(before.picodollars + 5_000_000, before.tokens + 300, before.calls + 1)
        globex = account(ledger, "tenant:globex")
        assert (globex.spent.picodollars, globex.held) == (5_000_000_000, Amounts())


def test_a_ledger_of_version_2_takes_new_runs_within_what_is_left(version_2: Path) -> None:
    with SQLiteLedger(version_2) as ledger:
        day = ledger.tenant("acme", today=TODAY)
        left = ledger.room(day)
        assert left == Caps(DOLLAR // 10, 10**6, 1_000 - 14)
        assert ledger.open("new", kind="run", label="0", parent=day, wanted=Caps(2 * DOLLAR, None, 50)) == Caps(
            DOLLAR // 10, None, 50
        )
        ledger.hold("new", "one", CALL, model="root")
        ledger.settle("one", Amounts(7, 7, 1))
        ledger.close_account("new")
        assert ledger.room(day) == Caps(DOLLAR // 10 - 7, 10**6 - 7, 1_000 - 15)
        with pytest.raises(BudgetExceeded):
            ledger.open(
                "of it", kind="run", label="0", parent=ledger.tenant("stopped", today=TODAY), wanted=Caps(1, 1, 1)
            )
    with SQLiteLedger(version_2) as again:
        assert again.room(again.tenant("acme", today=TODAY)) == Caps(DOLLAR // 10 - 7, 10**6 - 7, 1_000 - 15)


def test_a_ledger_of_version_1_opens_with_all_that_it_had(version_1: Path) -> None:
    """The call in flight is posted as spent; and the ledger may be used like any other."""
    with SQLiteLedger(version_1) as ledger:
        tenant = account(ledger, "tenant:acme")
        assert (tenant.caps, tenant.spent, tenant.held) == (Caps(100, None, 50), Amounts(19, 19, 2), Amounts())
        day = ledger.tenant("acme", today=TODAY)
        assert ledger.room(day) == Caps(80, None, 48)
        ticket = ledger.stand_in_line(day)
        wanted = Caps(30, None, None)
        assert ledger.open("new", kind="run", label="new", parent=day, wanted=wanted, ticket=ticket) == wanted
        ledger.tenant("acme", total=Caps(20, None, None), today=TODAY)
        with pytest.raises(BudgetExceeded):
            ledger.hold("new", "one", CALL, model="m")


@pytest.mark.parametrize("version", ["version_1", "version_2"])
def test_a_ledger_has_the_rules_of_a_new_one_once_it_was_opened(
    version: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    earlier, new = request.getfixturevalue(version), tmp_path / "new.db"
    for path in (earlier, new):
        SQLiteLedger(path).close()
    assert rules(earlier) == rules(new)


def rules(path: Path) -> list[tuple[str, str]]:
    """The version, and the statements that made the tables, indices and triggers."""
    db = sqlite3.connect(path)
    version = db.execute("SELECT 'version', user_version FROM pragma_user_version").fetchall()
    made = db.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").fetchall()
    db.close()
    return version + made
