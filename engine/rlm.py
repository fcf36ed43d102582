"""`RLM`: from outside, the same as a model call."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import anyio

from divebell.bridge.budget import Budget
from divebell.bridge.errors import BudgetExceeded
from divebell.bridge.ledger import Ledger
from divebell.bridge.meter import Meter
from divebell.bridge.rates import Rate
from divebell.context import Context, Source
from divebell.engine import Engine, default_engine
from divebell.errors import ConfigurationError, ContextError, DivebellError
from divebell.events import EventListener
from divebell.journal.header import header_of, open_journal
from divebell.journal.journal import Journal
from divebell.journal.spent import already_spent
from divebell.limits import Limits
from divebell.loop.cache_key import cache_key
from divebell.loop.calls import Calls, patiently
from divebell.loop.levels import levels_of
from divebell.loop.result import Result
from divebell.loop.run import Run, SessionState
from divebell.loop.settings import Level, Settings
from divebell.models import OpenAIChatModel
from divebell.models.protocol import Model
from divebell.schemas import AnswerSchema
from divebell.session import Session, check_query, run_to_the_end
from divebell.tenant import Tenant


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
    max_repairs: how often a model is told that its answer does not fit `output`, before that.
    window_tokens: what the root models can read; older turns are left out near it, and stay in `history`.
    preview: whether the model is shown the beginning of the context.
    small: whether the root model is a weak one, that is helped by a shorter prompt with an example.
    temperature: of all calls; by default the models' own.
    rates: prices of models that the built-in rate card does not know (needed for a budget in dollars).
    seed: makes the guests' randomness, hash order and clock repeat.
    concurrency: model calls at once, over the run and its children.
    on_exhausted: what happens when a limit ends the turns: "answer" asks the root model once more for its best answer,
        out of what was kept back for that; "raise" raises BudgetExceeded (or RunError, if the turns ran out).
    tenant: for whom this runs: its caps per run, per day and in total apply, and its prices; see Engine.tenant.
    ledger: where the budgets are kept; by default the engine's, which by default is in memory.
    base_url, api_key: where names of models are looked up; by default the OpenAI API and $OPENAI_API_KEY.
    on_event: told of everything that happens; see Event.

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
    ) -> None:
        for name, value, most in (
            ("max_iterations", max_iterations, 10_000),
            ("max_repairs", max_repairs, 100),
            ("window_tokens", window_tokens, 100_000_000),
            ("max_output_tokens", max_output_tokens, 10_000_000),
            ("sub_max_output_tokens", sub_max_output_tokens, 10_000_000),
            ("observation_characters", observation_characters, 10_000_000),
            ("sub_characters", sub_characters, 100_000_000),
            ("concurrency", concurrency, 10_000),
            ("child_concurrency", child_concurrency, 1_000),
        ):
            if type(value) is not int or not 1 <= value <= most:
                raise ConfigurationError(f"{name} must be a whole number from 1 to {most:,}, not {value!r}")
        if on_exhausted not in ("answer", "raise"):
            raise ConfigurationError(f"on_exhausted must be 'answer' or 'raise', not {on_exhausted!r}")
        engine = engine or (tenant.engine if tenant is not None else default_engine())
        if tenant is not None and tenant.engine is not engine:
            raise ConfigurationError("the tenant belongs to another engine: leave out engine, or make it there")
        if tenant is not None and ledger is not None and ledger is not engine.ledger:
            raise ConfigurationError("a tenant's money is in its engine's ledger: leave out ledger")
        self._tenant = tenant
        self._ledger = ledger or engine.ledger
        self._budget = (budget or Budget()).within(tenant.per_run if tenant is not None else None)
        self._rates = engine.rates.with_overrides({**(tenant.rates if tenant is not None else {}), **(rates or {})})

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
        self._settings = Settings(
            levels=levels,
            models=allowed,
            max_iterations=max_iterations,
            max_depth=self._budget.depth,
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
            seconds=self._budget.seconds,
            on_exhausted=on_exhausted,
            schema=None if output is None else AnswerSchema.of(output),
            journal=Journal.off(),
            preview=preview,
            metadata={},
            sub_metadata={} if tenant is None else {"tenant": tenant.name},
        )
        self._concurrency = concurrency
        self._lock = threading.Lock()
        self._total = _empty_summary()

    def completion(self, context: Source, query: str) -> str:
        """The answer to `query` about `context`. As `run`, for those who want only the text."""
        return self.run(context, query).answer

    def run(
        self, context: Source, query: str, *, journal: "Path | str | None" = None, resume: "Path | str | None" = None
    ) -> Result:
        """Run to the end and return the Result.

        journal: a file to be written, from which the run can be repeated exactly (divebell.testing.replay) or resumed.
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
        check_query(query)
        prepared = await self._prepared(context)
        if journal is None and resume is None:
            return await self._answered(prepared, query, None, self._settings, self._budget)
        settings = self._settings
        if settings.seed is None:
            settings = replace(settings, seed=secrets.randbits(63))
        header = await anyio.to_thread.run_sync(header_of, settings, query, prepared)
        opened = await anyio.to_thread.run_sync(open_journal, _path(journal), _path(resume), header)
        try:
            settings = replace(settings, journal=opened, seed=settings.seed if opened.seed is None else opened.seed)
            used = await patiently(lambda: already_spent(opened, self._ledger))
            return await self._answered(prepared, query, None, settings, self._budget.less(used))
        except DivebellError as error:
            opened.check()  # a difference says more than what it led to
            opened.keep_failure("0", error)
            raise
        finally:
            opened.close()

    async def _prepared(self, context: Source) -> Context:
        prepared = await anyio.to_thread.run_sync(Context.of, context)
        if prepared.length == 0:
            raise ContextError("the context is empty: there is nothing to answer from")
        return prepared

    async def _answered(
        self, context: Context, query: str, session: SessionState | None, settings: Settings, budget: Budget
    ) -> Result:
        """One question, with a budget of its own."""
        tenant = self._tenant
        account = None if tenant is None else await patiently(tenant.account_for_today)
        meter = await patiently(lambda: Meter(budget, self._rates, ledger=self._ledger, parent_account=account))
        try:
            settings.journal.begun(meter.run_id)
            self._check_prices(meter)
            key = cache_key(tenant.name if tenant is not None else "", context, query)
            settings = replace(settings, metadata={**settings.sub_metadata, "cache_key": key})
            calls = Calls(settings.models, concurrency=self._concurrency, journal=settings.journal)
            run = Run(
                settings,
                calls,
                meter,
                context=context,
                query=query,
                depth=0,
                started=time.monotonic(),
                session=session,
            )
            with anyio.fail_after(self._budget.seconds):
                return await run.answer()
        except TimeoutError:
            seconds = self._budget.seconds
            sentence = f"the run took longer than its budget of {seconds:g} s"
            raise BudgetExceeded(sentence, limit="seconds", cap=seconds, spent=seconds, path=meter.where) from None
        finally:
            with anyio.CancelScope(shield=True):
                await patiently(meter.close)
            self._add(meter.summary())

    def session(self, context: Source) -> "Session":
        """A conversation about one context: each question has the variables and the history of those before it, and a
        budget of its own. Use it as a context manager, or close it."""
        return Session(self, context)

    def _check_prices(self, meter: Meter) -> None:
        """Refuse before the first call, not in the middle, where a model's price is not known."""
        for model in self._settings.models.values():
            meter.rate_of(model.name)

    def _add(self, summary: dict[str, Any]) -> None:
        with self._lock:
            _merge(self._total, summary)

    def cost_summary(self) -> dict[str, Any]:
        """What all runs since the last `reset` used: calls, tokens, dollars (Decimal), in all and by model."""
        with self._lock:
            copy = _empty_summary()
            _merge(copy, self._total)
            return copy

    def reset(self) -> None:
        """Start counting anew."""
        with self._lock:
            self._total = _empty_summary()


def _path(given: "Path | str | None") -> Path | None:
    return None if given is None else Path(given)


_COUNTED = (
    "calls", "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "uncertain_calls",
    "refunded_calls",
)  # fmt: skip
_MONEY = ("dollars", "uncertain_dollars")


def _empty_summary() -> dict[str, Any]:
    return {**dict.fromkeys(_COUNTED, 0), **dict.fromkeys(_MONEY, Decimal(0)), "models": {}}


def _merge(into: dict[str, Any], summary: dict[str, Any]) -> None:
    for name in (*_COUNTED, *_MONEY):
        into[name] += summary[name]
    for model, account in summary.get("models", {}).items():
        own = into["models"].setdefault(model, {**dict.fromkeys(_COUNTED, 0), **dict.fromkeys(_MONEY, Decimal(0))})
        for name in (*_COUNTED, *_MONEY):
            own[name] += account[name]
