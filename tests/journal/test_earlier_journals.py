"""Journals that an earlier Divebell wrote, when cut replies counted as whole and models were told other words: they
replay as they ran."""

from pathlib import Path

import pytest

from divebell import ModelError
from divebell.testing import replay

EARLIER = Path(__file__).parent / "earlier"


@pytest.mark.parametrize(
    ("name", "answer", "status", "iterations"),
    [
        ("cut", "Ann, B", "answered", 1),
        ("repeats", "x", "answered", 7),  # four same replies, a cut sub-reply, an empty reply
        ("empty_last", "", "exhausted", 1),
    ],
)
def test_it_replays_as_it_ran(name: str, answer: str, status: str, iterations: int) -> None:
    result = replay(EARLIER / f"{name}.journal")
    assert (result.answer, result.status, result.iterations) == (answer, status, iterations)


def test_a_run_that_failed_fails_again_without_a_draft() -> None:
    with pytest.raises(ModelError, match="down"):
        replay(EARLIER / "failed.journal")
