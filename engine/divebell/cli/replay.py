"""`divebell replay`: replays a run from its journal, and reports whether it was identical."""

import json
import sys
import time
from pathlib import Path

from rich.console import Console

from divebell.calls.spending import cost_text
from divebell.cli.amounts import parse_budget
from divebell.cli.display import Display, one_line, summary_line
from divebell.cli.exits import FAILED, USAGE, Exit
from divebell.cli.inputs import parse_rates, read_context
from divebell.cli.options import LiveOptions
from divebell.errors import BudgetExceeded, JournalError, ModelError, ReplayDivergedError, RunError
from divebell.events import CallEnded, CellEnded, Event, RootReplied
from divebell.models.adapter import ModelAccess
from divebell.models.registry import ModelFinder
from divebell.replay import replay
from divebell.resources import default_engine
from divebell.run.result import Result
from divebell.text import replace_controls
from divebell_bridge.money.rates import RateCard


class _EventCounter:
    """Passes events on to the display, and counts turns, cells and calls."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self.turns = self.cells = self.calls = 0

    def on_event(self, event: Event) -> None:
        self.cells += isinstance(event, CellEnded)
        self.calls += isinstance(event, RootReplied | CallEnded)
        if event.path == "0":
            self.turns = max(self.turns, event.turn)
        self._display.on_event(event)


def print_replay(
    console: Console,
    file: Path,
    paths: list[Path],
    *,
    live: LiveOptions,
    quiet: bool,
    as_json: bool,
) -> None:
    """Print the result on stdout and the progress on stderr; if the run continues with a model, the answer, as `ask`
    does."""
    context = read_context(paths) if paths else None
    display = Display(console, quiet=quiet or as_json)
    counter = _EventCounter(display)
    budget = parse_budget(live.budget, live.tokens, live.calls, live.seconds, 1)
    if live.from_turn is None and live.model is None:
        _check_identical(file, context, counter, display, as_json=as_json)
        return
    if live.from_turn is None or live.model is None:
        raise Exit(USAGE, "continuing with a model takes both: --from-turn N --model M")
    card: RateCard = default_engine().rates.with_overrides(parse_rates(live.rate or []))
    models = ModelFinder(ModelAccess(base_url=live.base_url))
    with display:
        result = replay(
            file,
            context,
            live_from_turn=live.from_turn,
            model=models.find(live.model),
            sub_model=None if live.sub_model is None else models.find(live.sub_model),
            budget=budget,
            rates=card,
            on_event=counter.on_event,
        )
    if as_json:
        print(json.dumps({"answer": result.answer, "status": result.status, "spend": result.spend}, default=str))
        return
    if not quiet:
        console.print(f"\n{summary_line(result)}", highlight=False, markup=False)
    print(replace_controls(result.answer) if sys.stdout.isatty() else result.answer)


def _check_identical(file: Path, context: object, counter: _EventCounter, display: Display, *, as_json: bool) -> None:
    """Replay the whole run, and print whether it was identical. Exit with status 1 if it was not."""
    began = time.monotonic()
    result: Result | None = None
    failure_sentence = ""
    try:
        with display:
            result = replay(file, context, on_event=counter.on_event)  # type: ignore[arg-type]
    except ReplayDivergedError as difference:
        if as_json:
            print(json.dumps({"identical": False, "difference": str(difference)}))
            raise Exit(FAILED) from None
        raise Exit(FAILED, f"not identical: {one_line(str(difference), 2_000)}") from None
    except JournalError as error:
        raise Exit(USAGE, one_line(str(error), 2_000)) from None
    except (BudgetExceeded, ModelError, RunError) as error:  # the recorded failure
        failure_sentence = str(error)
    seconds = time.monotonic() - began
    spend = None if result is None else result.spend
    calls = counter.calls if spend is None else spend["calls"]
    facts = {
        "turns": counter.turns if result is None else result.iterations,
        "cells": counter.cells,
        "calls": calls,
        "dollars": None if spend is None else str(spend["dollars"]),
        "unpriced_calls": None if spend is None else spend["unpriced_calls"],
        "seconds": round(seconds, 3),
    }
    if as_json:
        end = {"failed": failure_sentence} if result is None else {"answer": result.answer, "status": result.status}
        print(json.dumps({"identical": True, **facts, **end}))
        return
    cost = "" if spend is None else f"{cost_text(format(spend['dollars'], '.6f'), spend['unpriced_calls'])}, "
    line = f"identical: {facts['turns']} turns, {facts['cells']} cells, {calls:,} calls, {cost}in {seconds:.2f} s"
    print(
        line if result is not None else f"{line}; it failed as it did the first time: {one_line(failure_sentence, 500)}"
    )
