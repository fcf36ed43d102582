"""`RLM`: from outside, the same as a model call."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from divebell.bridge.budget import Budget, checked_budget
from divebell.bridge.ledger import Ledger
from divebell.bridge.rates import Rate
from divebell.context import Source
from divebell.engine import Engine, default_engine
from divebell.errors import ConfigurationError
from divebell.events import Event, EventListener
from divebell.journal.journal import Journal
from divebell.limits import Limits
from divebell.loop.levels import levels_of
from divebell.loop.listeners import Tracing, secrets_known
from divebell.loop.memo import Memo
from divebell.loop.result import Result
from divebell.loop.settings import Level, Settings
from divebell.models import OpenAIChatModel
from divebell.models.protocol import Model
from divebell.questions import Questions, check_query, prepared
from divebell.schemas import AnswerSchema
from divebell.session import Session, run_to_the_end
from divebell.spending import Spending
from divebell.tenant import Tenant
from divebell.trace.stream import EventStream


class RLM:
    """A Recursive Language Model (Zhang, Kraska and Khattab, arXiv:2512.24601).

    model: the root model: a name for the OpenAI API or a compatible one, or any Model.
    sub_model: answers llm_query and is the root of children; by default the same as `model`.
    models: as a list, who answers at each depth: [root, child, leaf], each a name, a Model or a Level; the last one
        stands for all that are deeper, and `model` and `sub_model` are left out. As a dict by name, further models
        that code may name with `llm_query(..., model=...)`; those of the levels may be named in any case.
    output: what the answer must be: a pydantic model, a dataclass, a TypedDict, another type, or a JSON Schema. Then
        Result.value is of that type.
    tools: functions that code may call, by name; see Tools. Level.tools are those of one depth.
    budget: what one run may use, children included; by default without limits, one level of children.
    limits: what each sandbox may use.
    max_iterations: turns of the root model; then it is asked once for its best answer.
    max_output_tokens, sub_max_output_tokens: of each reply of a root model, and of a sub-call, reasoning included. The
        holds rest on them, so a lower one lets more calls run side by side near a cap.
    observation_characters: what a root model sees of its cells, a turn.
    sub_characters: what models are told that a sub-call can read.
    max_repairs: how often a model is told that its answer does not fit `output`, before that.
    window_tokens: what the root models can read; older turns are left out near it, and stay in `history`.
    preview: whether the model is shown the beginning of the context.
    small: whether the root model is a weak one, that is helped by a shorter prompt with an example.
    temperature: of all calls; by default the models' own.
    rates: prices of models that the built-in rate card does not know (needed for a budget in dollars).
    seed: makes the guests' randomness, hash order and clock repeat.
    concurrency: model calls at once, over the run and its children. child_concurrency: children of one run at once.
    tool_seconds: how long one call of a tool may take.
    engine: by default the tenant's, or the process's own.
    on_exhausted: what happens when a limit ends the turns: "answer" asks the root model once more for its best answer,
        out of what was kept back for that; "raise" raises BudgetExceeded (or RunError, if the turns ran out).
    tenant: for whom this runs: its caps per run, per day and in total apply, and its prices; see Engine.tenant.
    ledger: where the budgets are kept; by default the engine's, which by default is in memory.
    base_url, api_key: where names of models are looked up; by default the OpenAI API and $OPENAI_API_KEY.
    on_event: told of everything that happens; see Event.
    trace: what is written of each run, into a file of its own in `trace_folder`: "full", "redacted" (bodies as hashes)
        or "off". Result.trace_file names it; `divebell trace FILE --html PAGE` shows it.
    memo: "run" or "tenant" answers identical sub-calls at temperature 0 from what was answered before, within a run or
        a tenant; a Memo is a store of the application's own. None asks every time.

    Thread-safe. Raises ConfigurationError where the arguments make no sense.
    """

    def __init__(
        self,
        model: "str | Model | None" = None,
        sub_model: "str | Model | None" = None,
        *,
        models: "Mapping[str, str | Model] | Sequence[str | Model | Level] | None" = None,
        output: object = None,
        tools: Mapping[str, Callable[..., Any]] | None = None,
        budget: Budget | None = None,
        limits: Limits | None = None,
        max_iterations: int = 20,
        max_repairs: int = 3,
        max_output_tokens: int = 16_384,
        sub_max_output_tokens: int = 4_096,
        observation_characters: int = 20_000,
        sub_characters: int = 400_000,
        window_tokens: int = 128_000,
        preview: bool = True,
        small: bool = False,
        temperature: float | None = None,
        tool_seconds: float = 60.0,
        concurrency: int = 16,
        child_concurrency: int = 4,
        rates: Mapping[str, Rate] | None = None,
        seed: int | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        engine: Engine | None = None,
        tenant: Tenant | None = None,
        ledger: Ledger | None = None,
        on_exhausted: Literal["answer", "raise"] = "answer",
        on_event: EventListener | None = None,
        trace: Literal["full", "redacted", "off"] = "off",
        trace_folder: "Path | str" = "traces",
        memo: Literal["run", "tenant"] | Memo | None = None,
    ) -> None:
        _check_numbers(
            max_iterations=(max_iterations, 10_000),
            max_repairs=(max_repairs, 100),
            window_tokens=(window_tokens, 100_000_000),
            max_output_tokens=(max_output_tokens, 10_000_000),
            sub_max_output_tokens=(sub_max_output_tokens, 10_000_000),
            observation_characters=(observation_characters, 10_000_000),
            sub_characters=(sub_characters, 100_000_000),
            concurrency=(concurrency, 10_000),
            child_concurrency=(child_concurrency, 1_000),
        )
        if on_exhausted not in ("answer", "raise"):
            raise ConfigurationError(f"on_exhausted must be 'answer' or 'raise', not {on_exhausted!r}")
        _check_memo(memo, tenant)
        engine = _engine_of(engine, tenant, ledger)
        levels, allowed = levels_of(
            model,
            sub_model,
            models,
            find=lambda name: OpenAIChatModel(name, api_key=api_key, base_url=base_url),
            tools=tools or {},
            temperature=temperature,
            small=small,
            root_output_tokens=max_output_tokens,
            sub_output_tokens=sub_max_output_tokens,
        )
        own_budget = (checked_budget(budget) or Budget()).within(tenant.per_run if tenant is not None else None)
        settings = Settings(
            levels=levels,
            models=allowed,
            max_iterations=max_iterations,
            max_depth=own_budget.depth,
            max_repairs=max_repairs,
            observation_characters=observation_characters,
            sub_characters=sub_characters,
            window_tokens=window_tokens,
            child_concurrency=child_concurrency,
            limits=limits or engine.limits,
            tool_seconds=tool_seconds,
            seed=seed,
            engine=engine,
            listener=on_event,
            seconds=own_budget.seconds,
            on_exhausted=on_exhausted,
            schema=None if output is None else AnswerSchema.of(output),
            journal=Journal.off(),
            preview=preview,
            metadata={},
            sub_metadata={} if tenant is None else {"tenant": tenant.name},
        )
        of_tenant = engine.rates.with_overrides(None if tenant is None else tenant.rates)
        self._spending = Spending()
        self._questions = Questions(
            settings=settings,
            budget=own_budget,
            rates=of_tenant.with_overrides(rates),
            ledger=ledger or engine.ledger,
            tenant=tenant,
            concurrency=concurrency,
            memo=memo,
            tracing=Tracing(trace, trace_folder, secrets_known(api_key, models=_all_models(settings))),
            spending=self._spending,
        )

    def completion(self, context: Source, query: str) -> str:
        """The answer to `query` about `context`. As `run`, for those who want only the text."""
        return self.run(context, query).answer

    def run(
        self, context: Source, query: str, *, journal: "Path | str | None" = None, resume: "Path | str | None" = None
    ) -> Result:
        """Run to the end and return the Result.

        journal: a file to be written, from which the run can be repeated exactly (divebell.testing.replay) or resumed.
            Such a run has a seed, a random one if RLM was given none, and so a clock of its own in its code.
        resume: such a file to go on from: what it has is not paid again, and the budget is less what was spent, with
            what was in flight in full; its seconds begin anew. Where there is none yet, it is begun. Code runs again to
            where it was, with the recorded completions; a tool that had not ended is called again.

        Raises ContextError if the context cannot be read, BudgetExceeded if the budget did not allow the root model to
        go on, ModelError if it failed. Inside a running event loop use `arun`.
        """
        return run_to_the_end(
            self.arun, context, query, _path(journal), _path(resume), instead="await rlm.arun(context, query)"
        )

    async def arun(
        self,
        context: Source,
        query: str,
        journal: "Path | str | None" = None,
        resume: "Path | str | None" = None,
    ) -> Result:
        """As `run`, for asyncio. Cancelling it ends the sandboxes and the model calls."""
        return await self._arun(context, query, None, journal, resume)

    async def _arun(
        self,
        context: Source,
        query: str,
        listener: EventListener | None,
        journal: "Path | str | None" = None,
        resume: "Path | str | None" = None,
    ) -> Result:
        check_query(query)
        made = await prepared(context)
        return await self._questions.answer(
            made, query, listener=listener, journal=_path(journal), resume=_path(resume)
        )

    async def stream(self, context: Source, query: str, **options: Any) -> AsyncIterator[Event]:
        """The run's events as they happen: `async for event in rlm.stream(context, query)`. The last one is "answer".

        A slow consumer does not slow the run: when it is far behind, the oldest events are dropped (EventStream). What
        ends the run with an error is raised at the end; leaving the loop early cancels the run. Takes what arun takes.
        """
        events = EventStream()
        task = asyncio.ensure_future(self._arun(context, query, events, **options))
        task.add_done_callback(lambda _: events.close())
        try:
            async for event in events:
                yield event
            await task
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # whoever left early is not told of it, at the end of the process neither

    def session(self, context: Source) -> Session:
        """A conversation about one context: each question has the variables and the history of those before it, and a
        budget of its own. Use it as a context manager, or close it."""
        return Session(self._questions, context)

    def cost_summary(self) -> dict[str, Any]:
        """What all runs since the last `reset` used: calls, tokens, dollars (Decimal), in all and by model."""
        return self._spending.summary()

    def reset(self) -> None:
        """Start counting anew."""
        self._spending.reset()


def _path(given: "Path | str | None") -> Path | None:
    return None if given is None else Path(given)


def _all_models(settings: Settings) -> list[Model]:
    return [*(level.model for level in settings.levels), *settings.models.values()]


def _check_numbers(**numbers: tuple[object, int]) -> None:
    for name, (value, most) in numbers.items():
        if type(value) is not int or not 1 <= value <= most:
            raise ConfigurationError(f"{name} must be a whole number from 1 to {most:,}, not {value!r}")


def _check_memo(memo: object, tenant: Tenant | None) -> None:
    if memo not in (None, "run", "tenant") and not isinstance(memo, Memo):
        raise ConfigurationError(f"memo must be 'run', 'tenant', a Memo or None, not {memo!r}")
    if memo == "tenant" and tenant is None:
        raise ConfigurationError("memo='tenant' needs a tenant: engine.tenant(...).rlm(...)")


def _engine_of(engine: Engine | None, tenant: Tenant | None, ledger: Ledger | None) -> Engine:
    """The engine to run with. ConfigurationError where the three do not belong together."""
    _check_kind("engine", engine, Engine, "divebell.Engine(...)")
    _check_kind("tenant", tenant, Tenant, "engine.tenant(NAME)")
    _check_kind("ledger", ledger, Ledger, "SQLiteLedger(PATH), or by Engine(ledger=PATH)")
    chosen = engine or (tenant.engine if tenant is not None else default_engine())
    if tenant is not None and tenant.engine is not chosen:
        raise ConfigurationError("the tenant belongs to another engine: leave out engine, or make it there")
    if tenant is not None and ledger is not None and ledger is not chosen.ledger:
        raise ConfigurationError("a tenant's money is in its engine's ledger: leave out ledger")
    return chosen


def _check_kind(name: str, given: object, kind: type, example: str) -> None:
    if given is not None and not isinstance(given, kind):
        raise ConfigurationError(f"{name} must be made by {example}, not {str(given)[:50]!r}")
