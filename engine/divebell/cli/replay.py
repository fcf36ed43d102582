"""`divebell replay`: a run again from its journal, and whether it was the same."""

import json
import sys
import time
from collections import Counter
from pathlib import Path

from rich.console import Console

from divebell.calls.spending import cost_text
from divebell.cli.display import Display, one_line, summary_line
from divebell.cli.exits import FAILED, USAGE, Exit
from divebell.cli.inputs import parse_rates, read_context
from divebell.errors import BudgetExceeded, JournalError, ModelError, ReplayDivergedError, RunError
from divebell.events import Event
from divebell.models.adapter import ModelAccess
from divebell.models.registry import ModelFinder
from divebell.replay import replay as run_again
from divebell.resources import default_engine
from divebell.run.result import Result
from divebell.text import for_terminal
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.rates import RateCard


class _Watch:
    """Shows what happens, and counts it."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self.counts: Counter[str] = Counter()
        self.turns = 0

    def on_event(self, event: Event) -> None:
        self.counts[event.kind] += 1
        if event.path == "0":
            self.turns = max(self.turns, event.turn)
        self._display.on_event(event)


def replay(
    console: Console,
    file: Path,
    paths: list[Path],
    *,
    from_turn: int | None,
    model: str | None,
    sub_model: str | None,
    base_url: str | None,
    budget: Budget,
    rates: list[str],
    quiet: bool,
    as_json: bool,
) -> None:
    """The verdict on stdout, the progress on stderr. Going on with a model prints the answer, as `ask` does."""
    context = read_context(paths) if paths else None
    display = Display(console, quiet=quiet or as_json)
    watch = _Watch(display)
    if from_turn is None and model is None:
        _prove(file, context, watch, display, as_json=as_json)
        return
    if from_turn is None or model is None:
        raise Exit(USAGE, "going on with a model takes both: --from-turn N --model M")
    card: RateCard = default_engine().rates.with_overrides(parse_rates(rates))
    models = ModelFinder(ModelAccess(base_url=base_url))
    with display:
        result = run_again(
            file,
            context,
            live_from_turn=from_turn,
            model=models.find(model),
            sub_model=None if sub_model is None else models.find(sub_model),
            budget=budget,
            rates=card,
            on_event=watch.on_event,
        )
    if as_json:
        print(json.dumps({"answer": result.answer, "status": result.status, "spend": result.spend}, default=str))
        return
    if not quiet:
        console.print(f"\n{summary_line(result)}", highlight=False, markup=False)
    print(for_terminal(result.answer) if sys.stdout.isatty() else result.answer)


def _prove(file: Path, context: object, watch: _Watch, display: Display, *, as_json: bool) -> None:
    began = time.monotonic()
    result: Result | None = None
    failed = ""
    try:
        with display:
            result = run_again(file, context, on_event=watch.on_event)  # type: ignore[arg-type]
    except ReplayDivergedError as difference:
        if as_json:
            print(json.dumps({"identical": False, "difference": str(difference)}))
            raise Exit(FAILED) from None
        raise Exit(FAILED, f"not identical: {one_line(str(difference), 2_000)}") from None
    except JournalError as error:
        raise Exit(USAGE, one_line(str(error), 2_000)) from None
    except (BudgetExceeded, ModelError, RunError) as error:  # as it failed the first time, or it would be a difference
        failed = str(error)
    seconds = time.monotonic() - began
    spend = None if result is None else result.spend
    calls = watch.counts["reply"] + watch.counts["call"] if spend is None else spend["calls"]
    told = {
        "turns": watch.turns if result is None else result.iterations,
        "cells": watch.counts["cell"],
        "calls": calls,
        "dollars": None if spend is None else str(spend["dollars"]),
        "unpriced_calls": None if spend is None else spend["unpriced_calls"],
        "seconds": round(seconds, 3),
    }
    if as_json:
        end = {"failed": failed} if result is None else {"answer": result.answer, "status": result.status}
        print(json.dumps({"identical": True, **told, **end}))
        return
    cost = "" if spend is None else f"{cost_text(format(spend['dollars'], '.6f'), spend['unpriced_calls'])}, "
    line = f"identical: {told['turns']} turns, {told['cells']} cells, {calls:,} calls, {cost}in {seconds:.2f} s"
    print(line if result is not None else f"{line}; it failed as it had: {one_line(failed, 500)}")
