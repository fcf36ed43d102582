"""A run that was cut off goes on: what it has is not paid again, and its money is what is left of the first budget.

A crash is played exactly: while a call is in flight, the journal is copied as it is then.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from divebell import (
    RLM,
    Budget,
    BudgetExceeded,
    Completion,
    ConfigurationError,
    JournalError,
    ModelError,
    ModelRequest,
    Rate,
    ReplayDivergedError,
    Usage,
)
from divebell.journal.earlier_spending import find_earlier_spending
from divebell.journal.file import JournalFile
from divebell.journal.header import EMBEDDED_BYTES
from divebell.journal.recorder import Recorder
from divebell.journal.records import has_begun, read_journal
from divebell.testing import ScriptedModel, replay
from divebell_bridge.money.amounts import Amounts
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.rates import RateCard
from divebell_bridge.money.sqlite.ledger import SQLiteLedger
from divebell_bridge.money.tally import Tally
from tests.support.journal_lines import without_checks

RATES = {"m": Rate.per_million("0", "1000000")}  # a dollar a token of output
ASKING = "```repl\nprint([llm_query(f'q {n}') for n in range(4)])\n```"
CONTEXT, QUERY = "hay", "What?"


def replying(text: str, tokens: int = 1) -> Completion:
    return Completion(text=text, usage=Usage(input_tokens=1, output_tokens=tokens))


def asker(seen: list[str], at: Callable[[str], None] = lambda _text: None, root: str = ASKING) -> ScriptedModel:
    """Asks four questions and ends; `at` is called with what is asked, while it is in flight."""

    async def play(request: ModelRequest) -> Completion:
        text = str(request.messages[-1]["content"])
        seen.append(request.metadata["call"].partition("/")[2])
        await asyncio.sleep(0)
        at(text)
        if text.startswith("q "):
            return replying(f"re {text}")
        if any("the child's question" in str(message["content"]) for message in request.messages[:2]):
            return replying("FINAL(of the child)")
        is_first = all(message["role"] != "assistant" for message in request.messages)
        return replying(root if is_first else "FINAL(done)")

    return ScriptedModel("m", play)


def copied_at(moment: str, journal: Path, to: Path) -> Callable[[str], None]:
    def at(text: str) -> None:
        if text == moment and not to.exists():
            shutil.copy(journal, to)

    return at


def rlm(model: ScriptedModel, **more: Any) -> RLM:
    return RLM(model, rates=RATES, max_output_tokens=10, sub_max_output_tokens=5, **more)


def test_what_was_in_flight_at_the_crash_counts_as_spent_in_full(tmp_path: Path) -> None:
    journal, crashed = tmp_path / "journal", tmp_path / "crashed"
    rlm(asker([], copied_at("q 1", journal, crashed)), budget=Budget(dollars=100)).run(CONTEXT, QUERY, journal=journal)
    # Completed: the first turn and q 0, a token each. In flight: q 1, which holds five.
    seen: list[str] = []
    result = rlm(asker(seen), budget=Budget(dollars=100)).run(CONTEXT, QUERY, resume=crashed)
    assert seen == ["0/sub-call 2", "0/sub-call 3", "0/sub-call 4", "0/turn 2"]
    assert result.answer == "done"
    assert result.spend["dollars"] == 2 + 5 + 4
    assert (result.spend["uncertain_dollars"], result.spend["calls"]) == (5, 2 + 1 + 4)


def test_the_cap_is_that_of_all_processes_together(tmp_path: Path) -> None:
    """$14: two are spent and five are lost with the crash, so seven are left; a further crash may not get more."""
    journal, crashed, again = tmp_path / "journal", tmp_path / "crashed", tmp_path / "again"
    budget = Budget(dollars=14)
    first = rlm(asker([], copied_at("q 1", journal, crashed)), budget=budget, on_exhausted="raise")
    with contextlib.suppress(BudgetExceeded):
        first.run(CONTEXT, QUERY, journal=journal)
    second = rlm(asker([], copied_at("q 1", crashed, again)), budget=budget, on_exhausted="raise")
    with contextlib.suppress(BudgetExceeded):
        second.run(CONTEXT, QUERY, resume=crashed)
    assert second.cost_summary()["dollars"] <= 14 - 7
    # Now twice five are lost: two are left, which is less than a sub-call holds.
    third = rlm(asker([]), budget=budget, on_exhausted="raise")
    with pytest.raises(BudgetExceeded):
        third.run(CONTEXT, QUERY, resume=again)
    assert third.cost_summary()["dollars"] <= 2


@pytest.mark.parametrize("limit", ["calls", "tokens"])
def test_calls_and_tokens_count_too(tmp_path: Path, limit: str) -> None:
    journal, crashed = tmp_path / "journal", tmp_path / "crashed"
    first = rlm(asker([], copied_at("q 3", journal, crashed)), budget=Budget(calls=100, tokens=10**6))
    first.run(CONTEXT, QUERY, journal=journal)
    used = {"calls": 5, "tokens": 0}
    for cost in read_journal(crashed).costs.values():
        used["tokens"] += cost.tally.input_tokens + cost.tally.output_tokens
    budget = Budget(**{limit: used[limit]})
    second = rlm(asker([]), budget=budget, on_exhausted="raise")
    with pytest.raises(BudgetExceeded):
        second.run(CONTEXT, QUERY, resume=crashed)
    assert second.cost_summary()["calls"] == 0


def test_a_run_that_failed_tries_again_and_pays_for_what_failed_only(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    seen: list[str] = []

    def break_at_the_end(text: str) -> None:
        if not text.startswith("q ") and len(seen) > 1:
            raise ModelError("down")

    made = rlm(asker(seen, break_at_the_end)).run(CONTEXT, QUERY, journal=journal)
    replayed = replay(journal)
    assert (made.status, str(made.error)) == (replayed.status, str(replayed.error)) == ("failed", "down")
    assert replayed.answer == made.answer != ""
    again: list[str] = []
    assert rlm(asker(again)).run(CONTEXT, QUERY, resume=journal).answer == "done"
    assert again == ["0/turn 2"]
    assert replay(journal).answer == "done"


def test_more_money_takes_a_run_on_that_had_ended_for_want_of_it(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with pytest.raises(BudgetExceeded):
        rlm(asker([]), budget=Budget(dollars=7), on_exhausted="raise").run(CONTEXT, QUERY, journal=journal)
    with pytest.raises(BudgetExceeded):
        replay(journal)
    result = rlm(asker([]), budget=Budget(dollars=100), on_exhausted="raise").run(CONTEXT, QUERY, resume=journal)
    assert result.status == "answered"
    assert replay(journal).answer == result.answer


def test_a_child_that_had_ended_is_not_run_again(tmp_path: Path) -> None:
    journal, crashed = tmp_path / "journal", tmp_path / "crashed"
    root = "```repl\nprint(rlm_query(\"the child's question\"))\nprint(llm_query('q now'))\n```"
    first = asker([], copied_at("q now", journal, crashed), root)
    rlm(first, budget=Budget(depth=1)).run(CONTEXT, QUERY, journal=journal)
    seen: list[str] = []
    kinds: list[tuple[str, str]] = []
    again = rlm(asker(seen, root=root), on_event=lambda event: kinds.append((event.kind, event.path)))
    assert again.run(CONTEXT, QUERY, resume=crashed).answer == "done"
    assert not [name for name in seen if name.startswith("0.1")]
    assert ("child", "0") in kinds
    assert not [path for _, path in kinds if path == "0.1"]


def test_the_last_line_is_torn(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    rlm(asker([])).run(CONTEXT, QUERY, journal=journal)
    whole = journal.read_bytes()
    for cut in (1, 30, len(whole.splitlines()[-1]) + 40):
        journal.write_bytes(whole[:-cut])
        assert rlm(asker([])).run(CONTEXT, QUERY, resume=journal).answer == "done"
        assert replay(journal).answer == "done"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(JournalError, match=r"cannot|is not a regular file"):
        rlm(asker([])).run(CONTEXT, QUERY, resume=tmp_path / "pipe")


def test_a_journal_that_another_has_begun_meanwhile_is_not_begun_anew(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    rlm(asker([])).run(CONTEXT, QUERY, journal=journal)
    before = journal.read_bytes()
    with pytest.raises(JournalError, match="another process has begun"):
        JournalFile.begin_anew(journal, lambda: has_begun(journal))
    assert journal.read_bytes() == before


@pytest.mark.parametrize("kept", [0, 5, 40])
def test_the_header_is_torn_or_not_there_yet(tmp_path: Path, kept: int) -> None:
    journal = tmp_path / "journal"
    rlm(asker([])).run(CONTEXT, QUERY, journal=journal)
    journal.write_bytes(journal.read_bytes()[:kept])
    seen: list[str] = []
    assert rlm(asker(seen)).run(CONTEXT, QUERY, resume=journal).answer == "done"
    assert len(seen) == 6
    assert oct(journal.stat().st_mode & 0o777) == "0o600" or os.name == "nt"


def test_another_run_or_other_settings_are_named(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    rlm(asker([])).run(CONTEXT, QUERY, journal=journal)
    for context, query, model, more, says in (
        ("straw", QUERY, "m", {}, "another context"),
        (CONTEXT, "Who?", "m", {}, "another question"),
        (CONTEXT, QUERY, "n", {}, "set of models"),
        (CONTEXT, QUERY, "m", {"max_iterations": 3}, "another max_iterations"),
        (CONTEXT, QUERY, "m", {"max_shown_characters": 3_000}, "another max_shown_characters"),
        (CONTEXT, QUERY, "m", {"temperature": 0.5}, "another set of tools, temperatures"),
    ):
        before = journal.read_bytes()
        with pytest.raises(ConfigurationError, match=says):
            rlm(ScriptedModel(model, []), **more).run(context, query, resume=journal)
        assert journal.read_bytes() == before
    with pytest.raises(JournalError, match="already"):
        rlm(asker([])).run(CONTEXT, QUERY, journal=journal)
    with pytest.raises(ConfigurationError, match="not both"):
        rlm(asker([])).run(CONTEXT, QUERY, journal=tmp_path / "other", resume=journal)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there two processes are not told from each other")
def test_two_processes_do_not_write_to_one_journal(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    refused: list[int] = []

    def resume_meanwhile(text: str) -> None:
        if text == "q 2":
            script = (
                f"from tests.journal.test_resume import *\nrlm(asker([])).run(CONTEXT, QUERY, resume={str(journal)!r})"
            )
            done = subprocess.run(
                [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
            )
            assert "another process is writing the journal" in done.stderr, done.stderr
            refused.append(done.returncode)

    assert rlm(asker([], resume_meanwhile)).run(CONTEXT, QUERY, journal=journal).answer == "done"
    assert refused == [1]
    assert replay(journal).answer == "done"


def test_a_full_disk_ends_the_run_before_it_pays_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a line is written, and then nothing more: the journal is good up to there."""

    journal = tmp_path / "journal"
    seen: list[str] = []
    write, is_full = os.write, False

    def writing(file: int, data: bytes) -> int:
        nonlocal is_full
        if is_full:
            raise OSError(28, "No space left on device")
        if b"re q 1" in data and b'"kind":"call"' in data:
            is_full = True
            return write(file, data[:20])
        return write(file, data)

    monkeypatch.setattr(os, "write", writing)
    with pytest.raises(JournalError, match="No space left"):
        rlm(asker(seen)).run(CONTEXT, QUERY, journal=journal)
    monkeypatch.undo()
    assert seen == ["0/turn 1", "0/sub-call 1", "0/sub-call 2"]
    assert rlm(asker(seen)).run(CONTEXT, QUERY, resume=journal).answer == "done"
    assert seen[3:] == ["0/sub-call 2", "0/sub-call 3", "0/sub-call 4", "0/turn 2"]


def test_a_run_that_would_do_something_else_stops_before_it_pays(tmp_path: Path) -> None:
    journal, crashed = tmp_path / "journal", tmp_path / "crashed"
    rlm(asker([], copied_at("q 3", journal, crashed))).run(CONTEXT, QUERY, journal=journal)
    crashed.write_bytes(without_checks(crashed.read_bytes()).replace(b"f'q {n}'", b"f'Q {n}'"))
    seen: list[str] = []
    with pytest.raises(ReplayDivergedError, match=r"something other|another is recorded"):
        rlm(asker(seen)).run(CONTEXT, QUERY, resume=crashed)
    assert seen == []


def test_a_tool_that_was_late_is_not_called_again(tmp_path: Path) -> None:
    journal, crashed = tmp_path / "journal", tmp_path / "crashed"
    called: list[int] = []

    async def slow(n: int) -> int:
        called.append(n)
        await asyncio.sleep(30)
        return n

    root = "```repl\ntry:\n    slow(1)\nexcept ToolError as error:\n    print(error)\nprint(llm_query('q now'))\n```"
    first = asker([], copied_at("q now", journal, crashed), root)
    made = rlm(first, tools={"slow": slow}, tool_seconds=0.05).run(CONTEXT, QUERY, journal=journal)
    again = rlm(asker([], root=root), tools={"slow": slow}, tool_seconds=0.05).run(CONTEXT, QUERY, resume=crashed)
    assert called == [1]
    assert again.turns[0].cells[0].stdout == made.turns[0].cells[0].stdout == replay(journal).turns[0].cells[0].stdout
    assert "did not end within 0.05 s" in made.turns[0].cells[0].stdout


def test_a_large_context_is_told_by_its_digest(tmp_path: Path) -> None:
    journal, file = tmp_path / "journal", tmp_path / "context.txt"
    file.write_text("straw " * EMBEDDED_BYTES)
    rlm(asker([])).run(file, QUERY, journal=journal)
    assert journal.stat().st_size < 100_000
    with pytest.raises(ConfigurationError, match="name its file again"):
        replay(journal)
    assert replay(journal, file).answer == replay(journal, file.read_text()).answer == "done"
    with pytest.raises(ConfigurationError, match="not the context"):
        replay(journal, "hay")


@pytest.mark.parametrize(
    "context", [b"\xff\x00", ["a", "b" * 1000], {"x": "\ud800 lone", "y": [1, {"z": "é" * 500}]}, "é\U0001f600"]
)
def test_contexts_of_all_kinds_are_in_the_journal(tmp_path: Path, context: Any) -> None:
    rlm(asker([])).run(context, QUERY, journal=tmp_path / "journal")
    assert replay(tmp_path / "journal").answer == "done"


def test_nothing_is_counted_twice_by_the_rlm(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    one = rlm(asker([]))
    made = one.run(CONTEXT, QUERY, journal=journal)
    again = one.run(CONTEXT, QUERY, resume=journal)
    assert again.spend == made.spend
    assert one.cost_summary()["dollars"] == made.spend["dollars"] == Decimal(6)


def test_a_budget_less_what_was_used() -> None:
    used = Tally(calls=2, input_tokens=10, output_tokens=5, spent_picodollars=3 * 10**12)
    left = Budget(dollars=5, tokens=20, calls=1, seconds=9).less(used.amounts)
    assert (left.dollars, left.tokens, left.calls, left.seconds) == (2, 5, 0, 9)
    with contextlib.closing(Meter(left, RateCard(RATES))) as meter, pytest.raises(BudgetExceeded):
        meter.hold("m", ["x"], 1)


def test_what_was_spent_is_in_each_limit_what_the_journal_or_the_ledger_says_whichever_is_more(tmp_path: Path) -> None:
    class Journal:
        recorded_cost = Tally(calls=3, input_tokens=2, output_tokens=1, spent_picodollars=5)
        earlier_run_ids = ("first", "second")

    journal = cast(Recorder, Journal())
    with SQLiteLedger(tmp_path / "ledger.db") as ledger:
        assert find_earlier_spending(journal, ledger) == Amounts(5, 3, 3)
        for run_id in Journal.earlier_run_ids:
            with contextlib.closing(Meter(Budget(calls=9), RateCard(RATES), ledger=ledger, run_id=run_id)) as meter:
                meter.settle(meter.hold("m", ["x" * 100], 1).charge(99, 1))
        spent = find_earlier_spending(journal, ledger)
        assert (spent.picodollars, spent.tokens, spent.calls) == (2 * 10**12, 200, 3)  # more calls are in the journal
