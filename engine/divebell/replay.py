"""`replay`: runs a journal again, without a model or a network, and proves that every cell has the recorded outcome.

The settings come from the journal's header. No model is called: a completion that is not recorded is a divergence, and
so is a different request, cell or answer. With `live_from_turn`, the run is repeated up to that turn, and continues
with real models.
"""

import re
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from divebell.calls.metered_calls import MeteredCalls
from divebell.context import Context, Source
from divebell.errors import ConfigurationError, ContextError, DivebellError, JournalError, SandboxError
from divebell.events import EventListener
from divebell.journal.header import check_header
from divebell.journal.player import Player
from divebell.journal.recorder import Recorder
from divebell.journal.records import JournalContents, Record, read_journal, unpack
from divebell.models.protocol import Model
from divebell.resources import EngineResources, default_engine
from divebell.run.blocking import run_blocking
from divebell.run.result import Result
from divebell.run.run import Run
from divebell.run.setup import QueryScope, Setup
from divebell.run.stored_setup import restore_setup
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.rates import RateCard

MAX_CONCURRENT_CALLS = 64


def replay(
    path: "Path | str",
    context: "Source | None" = None,
    *,
    live_from_turn: int | None = None,
    model: Model | None = None,
    sub_model: Model | None = None,
    budget: Budget | None = None,
    rates: RateCard | None = None,
    engine: EngineResources | None = None,
    on_event: EventListener | None = None,
) -> Result:
    """Run the journal at `path` again and return its Result.

    context: the run's context; by default the one in the journal, which has contexts of up to 4 MB.
    live_from_turn: the first turn for which real models are asked: `model`, and `sub_model` for sub-calls (by default
        the same), within `budget`. From that turn on the application's tools are missing. None for a replay of the
        whole run, which calls no model.

    A run that failed fails again with the same words, as the same BudgetExceeded, RunError or ModelError.

    Raises ReplayDivergedError with the first difference, JournalError if the journal cannot be read or is not
    complete, ConfigurationError if the context is a different one.
    """
    if (live_from_turn is None) != (model is None):
        raise ConfigurationError("give both model and live_from_turn, the turn from which it is asked, or neither")
    if live_from_turn is not None and (type(live_from_turn) is not int or live_from_turn < 1):
        raise ConfigurationError(f"live_from_turn must be the number of a turn, from 1, not {live_from_turn!r}")
    contents = _read_to_turn(Path(path), live_from_turn)
    journal = Player(contents) if live_from_turn is None else Recorder(contents, None, other_models=True)
    try:
        setup = restore_setup(
            contents.header,
            model=model,
            sub_model=sub_model,
            engine=engine or default_engine(),
            seconds=None if budget is None else budget.seconds,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DivebellError):
            raise
        raise JournalError(f"the settings in {path} are damaged ({type(error).__name__}: {error})") from None
    run = partial(
        _rerun,
        setup,
        journal,
        _make_context(contents, context, Path(path)),
        contents.header,
        replace(budget or Budget(), depth=setup.max_depth),
        rates or RateCard(),
        run_id=_recorded_run_id(contents) if model is None else "",
        on_event=on_event,
    )
    return run_blocking(run, instead="await anyio.to_thread.run_sync(replay, path)")


def _read_to_turn(path: Path, live_from_turn: int | None) -> JournalContents:
    """The journal, up to the turn that is asked of a real model. JournalError, or ConfigurationError, if it does not
    go so far."""
    contents = read_journal(path, until_turn=None if live_from_turn is None else live_from_turn - 1)
    check_header(contents.header)
    if live_from_turn is not None and contents.turns < live_from_turn - 1:
        raise ConfigurationError(
            f"the run of {path} had {contents.turns} turns: it cannot continue from turn {live_from_turn}"
        )
    if live_from_turn is None and not contents.has_ended:
        raise JournalError(
            f"the run of {path} did not end: resume it, or replay it up to a turn and continue with a model"
        )
    return contents


async def _rerun(
    setup: Setup,
    journal: Player,
    context: Context,
    header: Record,
    budget: Budget,
    rates: RateCard,
    *,
    run_id: str,
    on_event: EventListener | None,
) -> Result:
    meter = Meter(budget, rates, run_id=run_id or None)
    try:
        for model in setup.levels.models.values():
            meter.rate_of(model.name)
        scope = QueryScope(
            setup=setup,
            calls=MeteredCalls(setup.levels.models, max_concurrent=MAX_CONCURRENT_CALLS, journal=journal),
            journal=journal,
            listener=on_event,
            started=time.monotonic(),
            metadata=header.get("metadata") or {},
        )
        result = await Run(scope, meter, context=context, query=header["query"], depth=0).answer()
        journal.check()
        if result.error is not None:
            journal.compare_failure(result.error)
        return result
    except DivebellError as error:
        journal.check()  # the difference says more than what it led to
        journal.compare_failure(error)
        if isinstance(error, (ContextError, SandboxError)):
            raise JournalError(f"with the settings of the journal no sandbox can be made: {error}") from None
        raise
    finally:
        meter.close()


def _make_context(contents: JournalContents, source: "Source | None", path: Path) -> Context:
    """The run's context, of the source or of what the journal has. ConfigurationError if it is not the same."""
    embedded = contents.header.get("embedded")
    if source is None:
        if embedded is None:
            raise ConfigurationError(f"the context of {path} is too large to be in it: name its file again")
        source = unpack(embedded)
    notes = tuple(contents.header["notes"])
    try:
        context = Context.of(source, notes=notes)
    except ContextError as error:
        raise ConfigurationError(f"the context of {path} cannot be made again: {error}") from None
    if context.digest() != contents.header["context"]["digest"]:
        raise ConfigurationError(f"this is not the context that the run of {path} was about")
    return context


def _recorded_run_id(contents: JournalContents) -> str:
    """The id of the recorded run: a replay is the same run. Empty if the journal has no well-formed id."""
    last = contents.runs[-1] if contents.runs else ""
    return last if re.fullmatch("[0-9a-f]{32}", last) else ""
