"""The bench runs to its end and prints every row. No figure is asserted: this machine may be busy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


CHECKOUT = Path(__file__).parents[2]
ROWS = (
    "spawn",
    "spawn to first output",
    "warm cell",
    "warm cell, request alone",
    "door round trip",
    "attach 4 MiB",
    "attach 64 MiB",
    "attach 100 documents",
    "memory of 100 documents",
    "attach one of them to a child",
    "re.search over 64 MiB",
    "str.find over 64 MiB",
    "private memory",
    "private memory, saved state",
    "load of the compiled module",
    "boot of the image",
    "interpreter, 16 programs",
    "soft interrupt, late by",
    "hard kill, late by",
    "restore after a crash",
    "meter a call, memory",
    "meter a call, SQLite",
    "sub-calls, batched",
    "sub-calls, gather",
    "sub-calls, ThreadPoolExecutor",
    "journal a call",
    "journal an answer at the door",
    "journal a cell",
    "query, everything off",
    "query, journal",
    "query, trace",
    "query, journal and trace",
    "query, replay",
    "query, models of 50 ms, everything off",
    "query, models of 50 ms, trace",
    "query, models of 50 ms, journal and trace",
)


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.bench.figures", *arguments],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def test_quick_run_prints_every_row(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = _run("--quick", "--json", str(file))
    assert done.returncode == 0, done.stderr
    head, _, *lines = done.stdout.splitlines()
    assert "CPUs" in head
    assert "wasmtime" in head
    figures = json.loads(file.read_text())["figures"]
    names = [figure["name"] for figure in figures]
    assert names == (list(ROWS) if sys.platform == "linux" else names)
    assert len(lines) == len(names)
    assert all(line.startswith(f"{name} ") for line, name in zip(lines, names, strict=True))


def test_measures_are_chosen_by_name() -> None:
    done = _run("--quick", "start")
    assert [line.split("  ")[0] for line in done.stdout.splitlines()[2:]] == ["spawn", "spawn to first output"]
    refused = _run("nonsense")
    assert refused.returncode == 2
    assert "there are start, cell" in refused.stderr
