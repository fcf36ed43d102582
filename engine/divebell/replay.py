"""Replay: run a journal again, with no model and no network, and prove that every cell says what it said.

The settings come from the journal's header. Nothing is called: a completion that is not recorded is a divergence, and
so is a request, a cell or an answer that is another. With `live_from_turn` the run is repeated up to there, and goes on
with real models.
"""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from divebell.calls.metered_calls import Calls
from divebell.context import Context, Source
from divebell.errors import ConfigurationError, ContextError, DivebellError, JournalError, ModelError, SandboxError
from divebell.events import EventListener
from divebell.journal.header import COPIED, check_header
from divebell.journal.journal import Journal
from divebell.journal.records import Recorded, read, unpack
from divebell.limits import Limits
from divebell.models.protocol import Completion, Model, Request
from divebell.resources import EngineResources, default_engine
from divebell.run.result import Result
from divebell.run.run import Run
from divebell.run.settings import Resolved, Settings
from divebell.sandbox.tools import Tools
from divebell.schemas import AnswerSchema
from divebell.session import run_to_the_end
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.rates import RateCard

CONCURRENCY = 64


class _Recorded:
    """Stands for a model whose completions are in the journal."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(self, request: Request) -> Completion:
        raise ModelError(f"a replay calls no model, and {self.name!r} was asked", model=self.name, never_ran=True)


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

    context: what the run was about; by default what the journal holds itself (contexts of up to 4 MB).
    live_from_turn: the first turn that is asked of real models: `model`, and `sub_model` for sub-calls (by default the
        same), within `budget`. None for a replay of all of it, which asks nobody. From there on there
        are none of the application's tools.

    A run that failed fails again with the same words, as the same BudgetExceeded, RunError or ModelError.

    Raises ReplayDiverged with the first difference, JournalError where the journal cannot be read or does not end,
    ConfigurationError where the context is another.
    """
    if (live_from_turn is None) != (model is None):
        raise ConfigurationError("a run goes on with a real model from some turn on: give both, or neither")
    if live_from_turn is not None and (type(live_from_turn) is not int or live_from_turn < 1):
        raise ConfigurationError(f"live_from_turn must be the number of a turn, from 1, not {live_from_turn!r}")
    recorded = read(Path(path), until_turn=None if live_from_turn is None else live_from_turn - 1)
    check_header(recorded.header)
    if live_from_turn is not None and recorded.turns < live_from_turn - 1:
        raise ConfigurationError(
            f"the run of {path} had {recorded.turns} turns: it cannot go on from turn {live_from_turn}"
        )
    if live_from_turn is None and not recorded.has_ended:
        raise JournalError(
            f"the run of {path} did not end: resume it, or replay it up to a turn and go on with a model"
        )
    journal = Journal(recorded, None, is_strict=live_from_turn is None, other_models=live_from_turn is not None)
    try:
        settings = _settings(recorded, journal, engine or default_engine(), on_event, model, sub_model, budget)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DivebellError):
            raise
        raise JournalError(f"the settings in {path} are damaged ({type(error).__name__}: {error})") from None
    prepared = _context(recorded, context, Path(path))
    given = budget or Budget()
    depth = settings.max_depth
    allowed = Budget(dollars=given.dollars, tokens=given.tokens, calls=given.calls, seconds=given.seconds, depth=depth)
    return run_to_the_end(
        _again, settings, prepared, recorded.header["query"], allowed, rates or RateCard(),
        instead="await anyio.to_thread.run_sync(replay, path)",
    )  # fmt: skip


async def _again(settings: Settings, context: Context, query: str, budget: Budget, rates: RateCard) -> Result:
    meter = Meter(budget, rates, run_id=settings.run_id or None)
    try:
        for model in settings.models.values():
            meter.rate_of(model.name)
        calls = Calls(settings.models, concurrency=CONCURRENCY, journal=settings.journal)
        run = Run(settings, calls, meter, context=context, query=query, depth=0, started=time.monotonic())
        result = await run.answer()
        settings.journal.check()
        if result.error is not None:
            settings.journal.failed_as(result.error)
        return result
    except DivebellError as error:
        settings.journal.check()  # the difference says more than what it led to
        settings.journal.failed_as(error)
        if isinstance(error, (ContextError, SandboxError)):
            raise JournalError(f"with the settings of the journal no sandbox can be made: {error}") from None
        raise
    finally:
        meter.close()


def _context(recorded: Recorded, given: "Source | None", path: Path) -> Context:
    embedded = recorded.header.get("embedded")
    if given is None:
        if embedded is None:
            raise ConfigurationError(f"the context of {path} is too large to be in it: name its file again")
        given = unpack(embedded)
    notes = tuple(recorded.header["notes"])
    try:
        context = Context.of(given, notes=notes)
    except ContextError as error:
        raise ConfigurationError(f"the context of {path} cannot be made again: {error}") from None
    if context.digest() != recorded.header["context"]["digest"]:
        raise ConfigurationError(f"this is not the context that the run of {path} was about")
    return context


def _run_id(recorded: Recorded) -> str:
    """The id of the recorded run: a replay is the same run. Empty where the journal has none that could be one."""
    last = recorded.runs[-1] if recorded.runs else ""
    return last if re.fullmatch("[0-9a-f]{32}", last) else ""


def _settings(
    recorded: Recorded,
    journal: Journal,
    engine: EngineResources,
    on_event: EventListener | None,
    model: Model | None,
    sub_model: Model | None,
    budget: Budget | None,
) -> Settings:
    told: Mapping[str, Any] = recorded.header["settings"]
    names: Mapping[str, Any] = recorded.header["models"]

    def as_model(name: str, place: int) -> Model:
        live = model if place == 0 else sub_model or model
        return _Recorded(name) if live is None else live

    levels = tuple(
        Resolved(
            model=as_model(name, place),
            temperature=level["temperature"],
            root_output_tokens=level["root_output_tokens"],
            sub_output_tokens=level["sub_output_tokens"],
            small=level["small"],
            tools=Tools.described(level["tools"]),
        )
        for place, (name, level) in enumerate(zip(names["levels"], told["levels"], strict=True))
    )
    known = dict(zip(names["levels"], [level.model for level in levels], strict=True))
    return Settings(
        **{name: told[name] for name in COPIED},
        instructions=told.get("instructions"),
        child_instructions=told.get("child_instructions"),
        levels=levels,
        models={name: known.get(real) or as_model(real, 1) for name, real in names["named"].items()},
        limits=Limits(**told["limits"]),
        engine=engine,
        listener=on_event,
        seconds=None if budget is None else budget.seconds,
        schema=None if told["schema"] is None else AnswerSchema.of(told["schema"]),
        journal=journal,
        metadata={},
        sub_metadata={},
        labels=recorded.header.get("metadata") or {},
        run_id=_run_id(recorded) if model is None else "",
    )
