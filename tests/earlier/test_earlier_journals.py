"""Journals that an earlier Divebell wrote replay as they ran: every cell's output, the answer, the money."""

from pathlib import Path

import pytest

from divebell import DivebellError, ModelError
from divebell.testing import replay
from tests.earlier.figures import JOURNALS, expected, result_figures, without_later_limits
from tests.earlier.make_files import CONTEXT, QUERY, RUNS


@pytest.mark.parametrize(
    ("name", "answer", "status", "iterations"),
    [
        ("cut", "Ann, B", "answered", 1),
        ("repeats", "x", "answered", 7),  # four same replies, a cut sub-reply, an empty reply
        ("empty_last", "", "exhausted", 1),
    ],
)
def test_a_journal_from_before_cut_replies_were_marked_replays(
    name: str, answer: str, status: str, iterations: int
) -> None:
    """Models were told other words then, and cut replies counted as whole."""
    result = replay(JOURNALS / f"{name}.journal")
    assert (result.answer, result.status, result.iterations) == (answer, status, iterations)


def test_a_run_that_failed_fails_again_without_a_draft() -> None:
    with pytest.raises(ModelError, match="down"):
        replay(JOURNALS / "failed.journal")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["plain", "concurrent", "children", "tools", "typed", "caught", "endless", "exhausted", "failed_later", "resumed"],
)
def test_a_journal_replays_byte_for_byte(name: str) -> None:
    """The replay itself compares every request, cell and answer; the figures are those that the run gave."""
    path = JOURNALS / f"{name}.journal"
    before = path.read_bytes()
    assert without_later_limits(result_figures(replay(path)), expected(path)) == expected(path)
    assert path.read_bytes() == before


def test_a_run_that_its_budget_ended_raises_the_same_again() -> None:
    path = JOURNALS / "raised.journal"
    with pytest.raises(DivebellError) as raised:
        replay(path)
    assert f"{type(raised.value).__name__}: {raised.value}" == expected(path)


def test_a_journal_that_a_crash_cut_off_is_resumed(tmp_path: Path) -> None:
    """What the file has is not paid again: all figures are those of the whole run."""
    lines = (JOURNALS / "tools.journal").read_bytes().splitlines(keepends=True)
    end_of_turn_1 = next(at for at, line in enumerate(lines) if b'"kind":"sent"' in line and b'"turn 2"' in line)
    path = tmp_path / "tools.journal"
    path.write_bytes(b"".join(lines[:end_of_turn_1]))
    figures = result_figures(RUNS["tools"]().run(CONTEXT, QUERY, resume=path))
    kept = expected(JOURNALS / "tools.journal")
    assert {**without_later_limits(figures, kept), "run_id": None} == {**kept, "run_id": None}
