"""What a file that an earlier Divebell wrote says, as plain JSON data: the generator keeps it beside the file, and the
tests compare it with what today's code reads from the same file."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from divebell.run.result import Result
from divebell.trace import build_tree, read_trace, walk
from divebell_bridge.money.amounts import Limit
from tests.support import command

FOLDER = Path(__file__).parent
JOURNALS, TRACES, LEDGERS = FOLDER / "journals", FOLDER / "traces", FOLDER / "ledgers"
UNITS = frozenset(limit.unit for limit in Limit)
HOLD_STATES = ("held", "settled", "uncertain", "refunded")


def expected(path: Path) -> Any:
    """What was kept beside the file when it was written."""
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def without_later_limits(figures: Any, kept: Any) -> Any:
    """Today's figures without the limits that the earlier Divebell did not have, as far as nothing is in them."""
    if isinstance(figures, dict) and isinstance(kept, dict):
        return {
            name: without_later_limits(figure, kept.get(name))
            for name, figure in figures.items()
            if figure or name in kept or name not in UNITS
        }
    if isinstance(figures, list) and isinstance(kept, list) and len(figures) == len(kept):
        return [without_later_limits(*both) for both in zip(figures, kept, strict=True)]
    return figures


def keep(path: Path, figures: Any) -> None:
    """Write down what the file says, for `expected`."""
    text = json.dumps(figures, indent=1, ensure_ascii=False) + "\n"
    path.with_suffix(".json").write_text(text, encoding="utf-8")


def result_figures(result: Result) -> dict[str, Any]:
    """All of a run but how long it took and where its trace is."""
    value = result.value
    return {
        "run_id": result.run_id,
        "answer": result.answer,
        "value": value if value is None or isinstance(value, str) else repr(value),
        "status": result.status,
        "stopped_by": None if result.stopped_by is None else str(result.stopped_by.limit),
        "is_cut": result.is_cut,
        "error": None if result.error is None else f"{type(result.error).__name__}: {result.error}",
        "iterations": result.iterations,
        "spend": _plain(result.spend),
        "metadata": dict(result.metadata),
        "turns": [
            {
                "reply": turn.reply,
                "cells": [
                    {
                        "stdout": cell.stdout,
                        "stderr": cell.stderr,
                        "repr": cell.repr,
                        "final": cell.final,
                        "error": None if cell.error is None else f"{cell.error.kind}: {cell.error.message}",
                        "exit_status": cell.exit_status,
                    }
                    for cell in turn.cells
                ],
            }
            for turn in result.turns
        ],
    }


def _plain(spend: Any) -> Any:
    """Amounts of money as text, the same for equal amounts."""
    if isinstance(spend, dict):
        return {name: _plain(each) for name, each in sorted(spend.items())}
    return f"{spend.normalize():f}" if isinstance(spend, Decimal) else spend


def trace_figures(path: Path) -> dict[str, Any]:
    """The trace's header and its whole tree, with what each span cost."""
    trace = read_trace(path)
    return {
        "level": trace.level,
        "started": trace.started,
        "settings": trace.settings,
        "complete": trace.complete,
        "torn": trace.torn,
        "dropped": trace.dropped,
        "spans": [
            {
                "depth": depth,
                "kind": span.kind,
                "path": span.path,
                "turn": span.turn,
                "start": span.start,
                "end": span.end,
                "open": span.is_open,
                "failed": span.failed,
                "calls": span.totals.calls,
                "input_tokens": span.totals.input_tokens,
                "output_tokens": span.totals.output_tokens,
                "picodollars": span.totals.picodollars,
                "errors": span.totals.errors,
                "data": span.data,
            }
            for span, depth in walk(build_tree(trace.events))
        ],
    }


def ledger_figures(path: Path) -> dict[str, Any]:
    """What `divebell ledger` says of the file: every account, and the holds in each state. Nothing is written."""

    def said(*arguments: str) -> Any:
        done = command.run("ledger", *arguments, "--file", str(path), "--json")
        assert done.status == 0, done.stderr
        figures = json.loads(done.stdout)
        del figures["ledger"]  # where the file is now
        return figures

    return {"accounts": said("show", "--all")} | {state: said("holds", "--state", state) for state in HOLD_STATES}
