"""Runs made up at random are repeated from their journals, byte for byte: answers, cells, failures, money.

Covered: batches, asyncio, executors, children (in parallel, too), tools (plain, async, failing, late), calls that fail
at random, retries, refusals in the middle of a batch, `budget()`, calls that are given up, typed answers with repairs,
compaction, and every limit that ends a run; in cells time, random, uuid, hash order and id(). Not covered: cells that
their time limit ends (test_time_limits.py).
"""

import os
from pathlib import Path

import pytest

from divebell import DivebellError
from divebell.calls import metered_calls as calls_module
from divebell.journal.records import read_journal
from divebell.run.result import Result
from divebell.testing import replay
from tests.support.random_runs import Plan

RUNS = 100 if os.environ.get("DIVEBELL_FULL") else 20


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "FIRST_RETRY_SECONDS", 0.004)


def told(result: Result) -> list[object]:
    """All of a run that a model or a guest could see."""
    return [
        (turn.reply, [(c.stdout, c.stderr, c.repr, c.error, c.final, c.exit_status, c.truncated) for c in turn.cells])
        for turn in result.turns
    ]


@pytest.mark.parametrize("seed", range(RUNS))
def test_a_run_is_repeated_byte_for_byte(tmp_path: Path, seed: int) -> None:
    journal = tmp_path / "journal"
    made = Plan.of(seed).run(journal)
    before = journal.read_bytes()
    for _ in range(2):
        if isinstance(made, DivebellError):
            with pytest.raises(DivebellError) as failed:
                replay(journal)
            assert str(failed.value) == str(made)
        else:
            again = replay(journal)
            assert told(again) == told(made)
            assert (again.answer, again.status, again.iterations) == (made.answer, made.status, made.iterations)
            assert (again.stopped_by and again.stopped_by.limit) == (made.stopped_by and made.stopped_by.limit)
            assert again.spend == made.spend
    assert journal.read_bytes() == before
    assert read_journal(journal).has_ended
