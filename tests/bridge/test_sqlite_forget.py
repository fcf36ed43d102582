"""What a SQLite ledger forgets: what ended long ago, in small pieces, and never what it cost."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from divebell_bridge.money.amounts import Amounts, Caps
from divebell_bridge.money.escrow import Fixed
from divebell_bridge.money.sqlite.ledger import SQLiteLedger


def figures(ledger: SQLiteLedger) -> tuple[int, int]:
    """What the tenant has spent, and holds."""
    found = ledger.account("tenant:acme")
    assert found is not None
    return found.spent.picodollars, found.held.picodollars


def test_what_ended_long_ago_is_forgotten_but_for_what_it_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"

    def used(ledger: SQLiteLedger, name: str) -> None:
        ledger.open(name, kind="run", label=name, parent=ledger.tenant("acme"), wanted=Caps(1000, None, None))
        ledger.open(f"{name}.1", kind="child", label=name, parent=name, wanted=Caps(100, None, None))
        ledger.hold(f"{name}.1", f"hold of {name}", Fixed(Amounts(50, 5, 1)), model="m")
        ledger.settle(f"hold of {name}", Amounts(30, 3, 1))

    with monkeypatch.context() as long_ago:
        for module in ("books", "ledger"):
            long_ago.setattr(f"divebell_bridge.money.sqlite.{module}.now_text", lambda: "2020-01-01T00:00:00.000+00:00")
        with SQLiteLedger(path) as ledger:
            used(ledger, "old")
            ledger.close_account("old")
            used(ledger, "old and open")
        # What was still open ended when the ledger was closed: long ago, too.
    with SQLiteLedger(path) as ledger:
        used(ledger, "new")
        ledger.close_account("new")
    with SQLiteLedger(path) as ledger:
        kept = {row[0] for row in ledger._db.execute("SELECT id FROM accounts WHERE kind IN ('run', 'child')")}
        holds = {row[0] for row in ledger._db.execute("SELECT id FROM holds")}
        assert (kept, holds) == ({"new", "new.1"}, {"hold of new"})
        assert ledger._db.execute("SELECT count(*) FROM workers WHERE began < '2021'").fetchone() == (0,)
        assert figures(ledger) == (3 * 30, 0)
        assert ledger._db.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert ledger._db.execute("PRAGMA foreign_key_check").fetchall() == []


def test_what_is_too_old_is_forgotten_in_small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece is a transaction of its own, so nobody waits while a million holds are forgotten."""
    path, ticks = tmp_path / "ledger.db", itertools.count()

    def long_ago() -> str:
        return (datetime(2020, 1, 1, tzinfo=UTC) + timedelta(milliseconds=next(ticks))).isoformat(
            timespec="milliseconds"
        )

    with monkeypatch.context() as patch:
        for module in ("books", "ledger"):
            patch.setattr(f"divebell_bridge.money.sqlite.{module}.now_text", long_ago)
        with SQLiteLedger(path) as ledger:
            for number in range(12):
                ledger.open(f"run {number}", kind="run", label="r", parent=ledger.tenant("acme"), wanted=Caps())
                ledger.open(f"child {number}", kind="child", label="c", parent=f"run {number}", wanted=Caps())
                for hold in range(5):
                    ledger.hold(f"child {number}", f"hold {number}, {hold}", Fixed(Amounts(10, 1, 1)), model="m")
                ledger.close_account(f"run {number}")

    def rows(ledger: SQLiteLedger) -> int:
        assert ledger._db.execute("PRAGMA foreign_key_check").fetchall() == []
        holds = ledger._db.execute("SELECT count(*) FROM holds").fetchone()[0]
        runs = ledger._db.execute("SELECT count(*) FROM accounts WHERE kind IN ('run', 'child')").fetchone()[0]
        assert holds == 0 or runs >= 24  # no account goes before the holds
        return int(holds + runs)

    monkeypatch.setattr("divebell_bridge.money.sqlite.forget.PIECE_ROWS", 10)
    monkeypatch.setattr("divebell_bridge.money.sqlite.ledger.OPENING_PIECES", 2)
    with SQLiteLedger(path) as ledger:
        left = [rows(ledger)]
        assert left == [12 * 7 - 20]
        for number in range(20):
            ledger.open(f"new {number}", kind="run", label="r", parent=None, wanted=Caps())
            left.append(rows(ledger) - (number + 1))
        assert all(0 <= before - after <= 11 for before, after in itertools.pairwise(left))
        assert left[-1] == 0
        assert figures(ledger) == (12 * 5 * 10, 0)
