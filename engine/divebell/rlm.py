"""`RLM`: from outside, the same as a model call."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, Unpack, cast, get_args, overload

from divebell.calls.funding import Funding
from divebell.calls.spending import Spending
from divebell.context import Source
from divebell.events import EventListener
from divebell.models.adapter import ModelAccess
from divebell.models.protocol import Model
from divebell.models.registry import ModelFinder
from divebell.options import Options
from divebell.resources import EngineResources
from divebell.run.blocking import run_blocking
from divebell.run.levels import resolve_levels
from divebell.run.listeners import Tracing, collect_secrets, combine_listeners, guard_listener
from divebell.run.question import RLMParts, answer_question, check_query, prepare_context
from divebell.run.result import Answer_co, Result
from divebell.run.setup import Setup
from divebell.run.streaming import RunStream
from divebell.schemas import AnswerSchema
from divebell.session import Session
from divebell.text import quote
from divebell.wiring import RLMOptions, Wiring, read_options, signature
from divebell_bridge.money.budget import Budget, check_budget


class RLM(Generic[Answer_co]):
    """A Recursive Language Model (Zhang, Kraska and Khattab, arXiv:2512.24601).

    Who answers
    model: the root model: a name for the OpenAI API or a compatible one, or any Model. "openai-responses:gpt-5" names
        the adapter, too; packages may bring others (models/registry.py).
    sub_model: answers llm_query and is the root of children; by default the same as `model`.
    models: as a list, who answers at each depth: [root, child, leaf], each a name, a Model or a Level; the last one
        stands for all that are deeper, and `model` and `sub_model` are left out. As a dict by name, further models
        that code may name with `llm_query(..., model=...)`; the models of the levels may be named in any case.
    base_url, api_key: where models that are given by name are called; by default the OpenAI API and $OPENAI_API_KEY.
    temperature: of all calls; by default the models' own.
    max_output_tokens, sub_max_output_tokens: of each reply of a root model, and of a sub-call, reasoning included. The
        holds rest on them, so a lower limit lets more calls run side by side near a cap.
    context_window_tokens: what the root models can read; near it, older turns are left out of the messages, and stay in
        `history`.
    call_seconds: how long one model call may take, each attempt by itself.
    retries: how often a failed call is tried again; see Retries.
    memo: "run" or "tenant" answers identical sub-calls at temperature 0 from earlier answers, within a run or a tenant;
        a Memo is a store of the application's own. None asks every time.

    What it is asked
    output: what the answer must be: a pydantic model, a dataclass, a TypedDict, another type, or a JSON Schema. Then
        Result.value is of that type, for type checkers too: `RLM(model, output=Invoice)` is an RLM[Invoice], and
        without `output` an RLM[str]. Checkers cannot read the type of a union, Literal or Annotated, nor a JSON Schema:
        state it there, `rlm: RLM[int | None] = RLM(model, output=int | None)`; it is Any otherwise.
    max_answer_retries: how often a model may correct an answer that does not fit `output`, before it is asked for its
        best answer.
    instructions: what to add to the root model's prompt, in your own words: who asks, in which tone, what to leave out.
    child_instructions: the same for children, which do not get the root's instructions.
    prompt: "standard", or "small" for weak models: a shorter prompt with a worked example.
    show_preview: whether the model is shown the beginning of the context.
    max_shown_characters: how much a root model sees of the output of its cells, a turn.
    max_sub_call_characters: how much models are told that a sub-call can read.

    What it may use
    budget: what one run may use, children included; by default without limits, one level of children.
    max_iterations: turns of the root model; then it is asked once for its best answer.
    on_exhausted: what happens when a limit ends the turns. "answer" asks the root model once more for its best answer,
        paid from the reserve. If no call can be made any more, or the model fails for good, the Result has the status
        "failed", with a draft and the error. "raise" raises BudgetExceeded, ModelError or RunError (if the turns ran
        out) instead.
    max_concurrent_calls: how many model calls of one run and its children may be in flight.
    max_concurrent_children: how many children of one run may be at work.
    tools: functions that code may call, by name; see Tools. Level.tools are those of one depth.
    tool_seconds: how long one call of a tool may take; None for Limits.tool_seconds.
    limits: what each sandbox may use; by default the engine's.
    seed: makes the guests' randomness, hash order and clock repeat.

    For whom it runs, and who follows it
    engine: by default the tenant's, or the process's own.
    tenant: for whom this runs: its caps per run, per day and in total apply, and its prices; see Engine.tenant.
    ledger: where the budgets are kept; by default the engine's, which by default is in memory.
    rates: prices of models that the built-in rate card does not know (needed for a budget in dollars).
    on_event: called with each Event. What it raises does not break the run; the first time, it is logged as a WARNING.
    trace: what is written of each run, into a file of its own in trace_folder: "full", "redacted" (bodies as hashes)
        or "off". Result.trace_file names it; `divebell trace FILE --html PAGE` shows it.
    trace_folder: the folder of these files.
    metadata: the application's own words, such as {"customer": "acme"}: up to 16 short texts, which are in the events,
        the trace, the journal and the Result of every run, and are sent to no model.

    Thread-safe. Raises ConfigurationError where the arguments make no sense, TypeError for an option that does not
    exist. Everything is logged under "divebell": what happens at DEBUG, what its owner should know at WARNING.
    """

    __signature__: ClassVar = signature()

    @overload
    def __init__(
        self: "RLM[str]",
        model: "str | Model | None" = None,
        sub_model: "str | Model | None" = None,
        *,
        output: None = None,
        **options: Unpack[RLMOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        model: "str | Model | None" = None,
        sub_model: "str | Model | None" = None,
        *,
        output: type[Answer_co],
        **options: Unpack[RLMOptions],
    ) -> None: ...

    @overload
    def __init__(
        self: "RLM[Any]",
        model: "str | Model | None" = None,
        sub_model: "str | Model | None" = None,
        *,
        output: object,
        **options: Unpack[RLMOptions],
    ) -> None: ...

    def __init__(
        self,
        model: "str | Model | None" = None,
        sub_model: "str | Model | None" = None,
        *,
        output: object = None,
        **options: Unpack[RLMOptions],
    ) -> None:
        checked, wiring = read_options(options)
        engine, tenant = wiring.find_engine(), wiring.tenant
        budget = (check_budget(wiring.budget) or Budget()).within(tenant.per_run if tenant is not None else None)
        rates = engine.rates.with_overrides(None if tenant is None else tenant.rates).with_overrides(wiring.rates)
        setup = _make_setup((model, sub_model), output, checked, wiring, engine, budget)
        models = [*(level.model for level in setup.levels.by_depth), *setup.levels.models.values()]
        memo = wiring.memo
        if memo == "tenant":
            assert tenant is not None, "the wiring has refused this"
            memo = tenant.memo
        self._output = output
        self._parts = RLMParts(
            setup=setup,
            funding=Funding(budget=budget, rates=rates, ledger=wiring.ledger or engine.ledger, tenant=tenant),
            tracing=Tracing(wiring.trace, wiring.trace_folder, collect_secrets(wiring.api_key, models=models)),
            spending=Spending(),
            listener=guard_listener(wiring.on_event),
            metadata=dict(wiring.metadata or {}),
            retries=wiring.retries,
            memo=memo,
        )

    def __repr__(self) -> str:
        setup, funding = self._parts.setup, self._parts.funding
        models = ", ".join(level.model.name for level in setup.levels.by_depth)
        output = "" if self._output is None else f", output={_name_of(self._output)}"
        tenant = "" if funding.tenant is None else f", tenant={funding.tenant.name!r}"
        return f"<RLM {models}{output}, {funding.budget!r}{tenant}>"

    def completion(self, context: Source, query: str) -> str:
        """The answer to `query` about `context`: `run`, for callers who want only the text. A draft is not an answer:
        where Result.status is "failed", Result.error is raised."""
        return self.run(context, query).raise_if_failed().answer

    def run(
        self,
        context: Source,
        query: str,
        *,
        journal: "Path | str | None" = None,
        resume: "Path | str | None" = None,
        metadata: Mapping[str, str] | None = None,
        on_event: EventListener | None = None,
    ) -> Result[Answer_co]:
        """Run to the end and return the Result.

        context: see Context.of. A str is the text itself: for a file give its Path.
        journal: a file to be written, from which the run can be repeated exactly (divebell.testing.replay) or resumed.
            Such a run has a seed, a random one if RLM was given none, and so a clock of its own in its code.
        resume: such a file to go on from. What it has is not paid for again; the budget is reduced by what was spent,
            with calls in flight charged in full, and its seconds begin anew. The file is created if it does not exist.
            Code runs again up to where it was, with the recorded completions; a tool that had not ended is called
            again.
        metadata: the application's own words about this run, over those of the RLM; see RLM.
        on_event: receives the events of this run, in addition to the RLM's own on_event.

        Raises ContextError if the context cannot be read, BudgetExceeded if the budget did not allow the root model to
        go on, ModelError if it failed; where there is a draft by then, see Result.raise_if_failed. Inside a running
        event loop use `arun`.
        """
        run = partial(self.arun, context, query, journal=journal, resume=resume, metadata=metadata, on_event=on_event)
        return run_blocking(run, instead="await rlm.arun(context, query)")

    async def arun(
        self,
        context: Source,
        query: str,
        *,
        journal: "Path | str | None" = None,
        resume: "Path | str | None" = None,
        metadata: Mapping[str, str] | None = None,
        on_event: EventListener | None = None,
    ) -> Result[Answer_co]:
        """As `run`, for asyncio. Cancelling it ends the sandboxes and the model calls."""
        check_query(query)
        result = await answer_question(
            self._parts,
            await prepare_context(context),
            query,
            journal=None if journal is None else Path(journal),
            resume=None if resume is None else Path(resume),
            metadata=metadata,
            on_event=guard_listener(on_event),
        )
        return cast("Result[Answer_co]", result)

    def stream(
        self,
        context: Source,
        query: str,
        *,
        journal: "Path | str | None" = None,
        resume: "Path | str | None" = None,
        metadata: Mapping[str, str] | None = None,
        on_event: EventListener | None = None,
    ) -> RunStream[Answer_co]:
        """The run's events as they happen: `async for event in rlm.stream(context, query)`; see RunStream. Takes what
        `arun` takes."""
        return RunStream(
            lambda events: self.arun(
                context,
                query,
                journal=journal,
                resume=resume,
                metadata=metadata,
                on_event=combine_listeners(events, guard_listener(on_event)),
            )
        )

    def session(self, context: Source, *, metadata: Mapping[str, str] | None = None) -> Session[Answer_co]:
        """A conversation about one context: each question has the variables and the history of those before it, and a
        budget of its own. Use it as a context manager, or close it. `metadata` is that of all its questions."""
        return Session(self._parts, context, metadata=metadata)

    def cost_summary(self) -> dict[str, Any]:
        """What all runs since the last `reset` used: calls, tokens, dollars (Decimal), in all and by model."""
        return self._parts.spending.summary()

    def reset(self) -> None:
        """Start counting anew."""
        self._parts.spending.reset()


def _name_of(output: object) -> str:
    if isinstance(output, dict):
        return "a JSON Schema"
    return quote(output.__name__ if isinstance(output, type) and not get_args(output) else str(output))


def _make_setup(
    models: "tuple[str | Model | None, str | Model | None]",
    output: object,
    options: Options,
    wiring: Wiring,
    engine: EngineResources,
    budget: Budget,
) -> Setup:
    """What every run of the RLM needs to know. ConfigurationError where the options do not go together."""
    access = ModelAccess(api_key=wiring.api_key, base_url=wiring.base_url, clients=engine.clients)
    levels = resolve_levels(
        *models, wiring.models, find=ModelFinder(access).find, tools=wiring.tools or {}, options=options
    )
    return Setup(
        options=options,
        levels=levels,
        limits=wiring.limits or engine.limits,
        schema=None if output is None else AnswerSchema.of(output),
        max_depth=budget.depth,
        seconds=budget.seconds,
        engine=engine,
    )
