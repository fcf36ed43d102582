"""Traces that an earlier Divebell wrote are read into the tree that they were read into then."""

import json
from pathlib import Path

import pytest

from divebell.trace import read_trace
from divebell.trace.html import write_page
from tests.earlier.figures import TRACES, expected, trace_figures

NAMES = ("full", "redacted", "session")


@pytest.mark.parametrize("name", NAMES)
def test_a_trace_is_read_into_the_same_tree(name: str) -> None:
    path = TRACES / f"{name}.trace"
    figures = json.loads(json.dumps(trace_figures(path)))  # as its figures were kept
    assert figures == expected(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_trace_makes_a_page(name: str, tmp_path: Path) -> None:
    path = TRACES / f"{name}.trace"
    write_page(read_trace(path), path.name, tmp_path / "page.html")
    assert "</html>" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_trace_that_a_crash_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    """A span that had begun is open; those before it are as they were."""
    written = (TRACES / "full.trace").read_bytes()
    path = tmp_path / "torn.trace"
    path.write_bytes(written[: len(written) * 2 // 3])
    torn, whole = read_trace(path), read_trace(TRACES / "full.trace")
    assert (torn.torn, torn.complete) == (True, False)
    assert torn.events == whole.events[: len(torn.events)]
    assert torn.events
