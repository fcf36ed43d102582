"""A ledger that cannot be written for a while, at any step of a run's life: the answer comes back, what it cost counts,
and nothing stays set aside once the ledger can be written again."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from divebell import (
    RLM,
    Budget,
    Completion,
    Engine,
    LedgerUnavailableError,
    ModelRequest,
    Rate,
    Result,
    ScriptedModel,
    Usage,
)
from divebell.calls import ledger_waiting
from divebell_bridge.money import backlog
from divebell_bridge.money.amounts import Amounts, Caps
from divebell_bridge.money.escrow import Fixed
from divebell_bridge.money.sqlite.ledger import SQLiteLedger

RATES = {"root": Rate.per_million("0", "10000"), "sub": Rate.per_million("0", "10000")}  # a cent a token of output
CALL = Fixed(Amounts(10, 10, 1))


class FullDisk:
    """A connection whose transactions fail as they do where the disk is full: in the middle, or as they are committed."""

    def __init__(self, db: sqlite3.Connection, begin_of_statement: str) -> None:
        self._db = db
        self._failing = begin_of_statement
        self._writes = False

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement.startswith("BEGIN"):
            self._writes = statement == "BEGIN IMMEDIATE"
        if self._writes and statement.startswith(self._failing):
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error
        return self._db.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


def lock(ledger: SQLiteLedger) -> Callable[[], None]:
    other = sqlite3.connect(ledger.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    return other.close


def refuse(ledger: SQLiteLedger) -> Callable[[], None]:
    ledger._db.execute("PRAGMA query_only = ON")

    def allow() -> None:
        ledger._db.execute("PRAGMA query_only = OFF")

    return allow


def fill(statement: str) -> Callable[[SQLiteLedger], Callable[[], None]]:
    def break_it(ledger: SQLiteLedger) -> Callable[[], None]:
        whole = ledger._db
        ledger._db = FullDisk(whole, statement)  # type: ignore[assignment]

        def mend() -> None:
            ledger._db = whole

        return mend

    return break_it


WAYS: dict[str, Callable[[SQLiteLedger], Callable[[], None]]] = {
    "locked by another program": lock,
    "may not be written": refuse,
    "full as a transaction is committed": fill("COMMIT"),
    "full in the middle of one": fill("UPDATE accounts"),
}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(ledger=tmp_path / "ledger.db", rates=RATES) as engine:
        yield engine


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_waiting, "ENDING_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(ledger_waiting, "UNAVAILABLE_PAUSE_SECONDS", 0.02)


def ledger_of(engine: Engine) -> SQLiteLedger:
    assert isinstance(engine.ledger, SQLiteLedger)
    return engine.ledger


def sums(engine: Engine) -> tuple[Decimal, int]:
    """What the tenant has spent, in dollars, and what is held, once the ledger has been told all."""
    engine.ledger.backlog.finish_all()
    account = engine.ledger.account("tenant:acme")
    assert account is not None
    return Decimal(account.spent.picodollars) / 10**12, account.held.picodollars


def with_breaks(engine: Engine, at: dict[str, Callable[[], object]]) -> RLM:
    """A run of three turns, a sub-call and a child; what is in `at` happens as that model call is made."""
    acme = engine.tenant("acme", total=Budget(dollars="5"))
    turns = {
        1: "```repl\nx = llm_query('part')\nprint(x)\n```",
        2: "```repl\ny = rlm_query('child question', 'a text')\nprint(y)\n```",
        3: "FINAL(42)",
    }
    numbers = iter(range(1, 10))

    def root(request: ModelRequest) -> Completion:
        number = next(numbers)
        at.get(f"turn {number}", lambda: None)()
        return Completion(text=turns[number], usage=Usage(output_tokens=1))

    def sub(request: ModelRequest) -> Completion:
        is_child = len(request.messages) > 1
        at.get("child" if is_child else "sub-call", lambda: None)()
        return Completion(text="FINAL(7)" if is_child else "6", usage=Usage(output_tokens=1))

    budget = Budget(dollars="1")
    return acme.rlm(
        ScriptedModel("root", root),
        ScriptedModel("sub", sub),
        budget=budget,
        max_output_tokens=1,
        sub_max_output_tokens=1,
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_an_answer_is_not_lost_where_the_ledger_cannot_be_written_as_the_run_ends(
    way: str, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """It breaks while the last call is under way: neither that call nor the run can be closed."""
    mend: list[Callable[[], None]] = []
    rlm = with_breaks(engine, {"turn 3": lambda: mend.append(WAYS[way](ledger_of(engine)))})
    with caplog.at_level(logging.WARNING, "divebell.ledger"):
        result = rlm.run("context", "question")
    assert (result.answer, result.status) == ("42", "answered")
    assert "the ledger could not be written as the run ended" in result.notes[0]
    assert result.spend["dollars"] == rlm.cost_summary()["dollars"] == Decimal("0.05")
    account = engine.ledger.account("tenant:acme")
    assert account is not None
    assert account.held.picodollars == 10**12
    if way != "locked by another program":
        assert "could not be written, and is tried again" in caplog.text
        with pytest.raises(LedgerUnavailableError):
            engine.ledger.open("more", kind="run", label="more", parent=None, wanted=Caps())
    mend[0]()
    assert sums(engine) == (Decimal("0.05"), 0)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", ["turn 1", "sub-call", "turn 2", "child"])
def test_a_run_goes_on_once_a_ledger_that_broke_in_the_middle_can_be_written_again(
    step: str, way: str, engine: Engine
) -> None:
    """The ends of calls are kept, the next call waits, the child's closing is kept; a moment later all is well."""

    def break_it_for_a_moment() -> None:
        mend = WAYS[way](ledger_of(engine))
        threading.Timer(0.3, mend).start()

    rlm = with_breaks(engine, {step: break_it_for_a_moment})
    result = rlm.run("context", "question")
    assert (result.answer, result.spend["dollars"]) == ("42", Decimal("0.05"))
    assert result.spend["uncertain_calls"] == 0
    assert sums(engine) == (Decimal("0.05"), 0)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_backlog_is_written_without_anybody_asking(way: str, engine: Engine) -> None:
    """The process does nothing more, and others wait for the money."""
    mend: list[Callable[[], None]] = []
    with_breaks(engine, {"turn 3": lambda: mend.append(WAYS[way](ledger_of(engine)))}).run("context", "question")
    thread = engine.ledger.backlog._thread
    assert thread is not None
    mend[0]()
    thread.join(60)
    assert not engine.ledger.backlog
    account = engine.ledger.account("tenant:acme")
    assert account is not None
    assert account.held.picodollars == 0


def test_a_run_whose_ledger_cannot_be_written_any_more_makes_no_further_call_and_gives_what_it_has(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_waiting, "LEDGER_PATIENCE_SECONDS", 0.1)
    mend: list[Callable[[], None]] = []
    rlm = with_breaks(engine, {"turn 2": lambda: mend.append(refuse(ledger_of(engine)))})
    outcome: list[Result | LedgerUnavailableError] = []
    try:
        outcome.append(rlm.run("context", "question"))
    except LedgerUnavailableError as error:
        outcome.append(error)
    assert isinstance(outcome[0], LedgerUnavailableError) or isinstance(outcome[0].error, LedgerUnavailableError)
    assert rlm.cost_summary()["dollars"] == Decimal("0.03")
    mend[0]()
    assert sums(engine) == (Decimal("0.03"), 0)


def test_closing_the_ledger_writes_what_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = SQLiteLedger(path)
    ledger.open("run", kind="run", label="run", parent=ledger.tenant("acme"), wanted=Caps())
    ledger.hold("run", "call", CALL, model="m")
    mend = refuse(ledger)
    assert ledger.settle_eventually("call", Amounts(4, 4, 1)) is None
    assert ledger.close_eventually("run") is None
    mend()
    ledger.close()
    with SQLiteLedger(path) as after:
        tenant = after.account("tenant:acme")
        assert tenant is not None
        assert tenant.spent == Amounts(4, 4, 1)


def test_what_cannot_be_written_to_the_end_is_posted_by_whoever_opens_the_file_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backlog.Backlog.finish_all, "__defaults__", (0.05,))
    path = tmp_path / "ledger.db"
    ledger = SQLiteLedger(path)
    ledger.open("run", kind="run", label="run", parent=ledger.tenant("acme"), wanted=Caps())
    ledger.hold("run", "call", CALL, model="m")
    refuse(ledger)
    ledger.settle_eventually("call", Amounts(4, 4, 1))
    ledger.close()
    assert "posts what they leave open as spent, in full" in caplog.text
    with SQLiteLedger(path) as after:
        tenant = after.account("tenant:acme")
        assert tenant is not None
        assert (tenant.spent, tenant.held) == (Amounts(10, 10, 1), Amounts())


def test_a_process_that_exits_writes_what_it_kept(tmp_path: Path, alone: Callable[..., str]) -> None:
    """It neither closes the ledger nor uses it again."""
    path = tmp_path / "ledger.db"
    alone(
        """
import os
from divebell_bridge.money.amounts import Amounts, Caps
from divebell_bridge.money.escrow import Fixed
from divebell_bridge.money.sqlite.ledger import SQLiteLedger
ledger = SQLiteLedger(os.environ["LEDGER"])
ledger.open("run", kind="run", label="run", parent=ledger.tenant("acme"), wanted=Caps())
ledger.hold("run", "call", Fixed(Amounts(10, 10, 1)), model="m")
from divebell_bridge.money import backlog
backlog.FIRST_RETRY_SECONDS = 3600.0
ledger._db.execute("PRAGMA query_only = ON")
ledger.settle_eventually("call", Amounts(4, 4, 1))
ledger._db.execute("PRAGMA query_only = OFF")
""",
        LEDGER=str(path),
    )
    with SQLiteLedger(path) as after:
        tenant = after.account("tenant:acme")
        assert tenant is not None
        assert (tenant.spent, tenant.held) == (Amounts(4, 4, 1), Amounts())


def test_an_end_that_is_refused_for_good_is_dropped_and_keeps_nobody_waiting(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = ledger_of(engine)
    ledger.open("run", kind="run", label="run", parent=None, wanted=Caps())
    mend = refuse(ledger)
    ledger.settle_eventually("there is no such hold", Amounts(1, 1, 1))
    ledger.close_eventually("run")
    mend()
    ledger.open("next", kind="run", label="next", parent=None, wanted=Caps())
    assert "was refused, and is not tried again: there is no hold" in caplog.text
    account = ledger.account("run")
    assert account is not None
    assert not account.is_open


def test_ends_are_written_in_the_order_in_which_they_came(engine: Engine) -> None:
    """Were the run closed first, its call would be charged in full."""
    ledger = ledger_of(engine)
    ledger.open("run", kind="run", label="run", parent=ledger.tenant("acme"), wanted=Caps())
    ledger.hold("run", "call", CALL, model="m")
    mend = refuse(ledger)
    ledger.settle_eventually("call", Amounts(4, 4, 1))
    mend()
    assert ledger.close_eventually("run") == Amounts(4, 4, 1)
