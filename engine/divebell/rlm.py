"""`RLM`: from outside, the same as a model call."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Unpack, cast, get_args, overload

from divebell.calls.spending import Spending
from divebell.context import Source
from divebell.events import EventListener
from divebell.journal.base import NoJournal
from divebell.models.adapter import ModelAccess
from divebell.models.protocol import Model
from divebell.models.registry import ModelFinder
from divebell.options import Options, RLMOptions
from divebell.run.levels import levels_of
from divebell.run.listeners import Tracing, combine_listeners, guard_listener, secrets_known
from divebell.run.question import Questions, check_query, prepared
from divebell.run.result import Answer_co, Result
from divebell.run.settings import Settings
from divebell.run.streaming import RunStream
from divebell.schemas import AnswerSchema
from divebell.session import Session, run_to_the_end
from divebell.text import quote
from divebell_bridge.money.budget import Budget, check_budget


class RLM(Generic[Answer_co]):
    """A Recursive Language Model (Zhang, Kraska and Khattab, arXiv:2512.24601).

    model: the root model: a name for the OpenAI API or a compatible one, or any Model. "openai-responses:gpt-5" names
        the adapter, too; packages may bring others (models/registry.py).
    sub_model: answers llm_query and is the root of children; by default the same as `model`.
    models: as a list, who answers at each depth: [root, child, leaf], each a name, a Model or a Level; the last one
        stands for all that are deeper, and `model` and `sub_model` are left out. As a dict by name, further models
        that code may name with `llm_query(..., model=...)`; those of the levels may be named in any case.
    output: what the answer must be: a pydantic model, a dataclass, a TypedDict, another type, or a JSON Schema. Then
        Result.value is of that type, for type checkers too: `RLM(model, output=Invoice)` is an RLM[Invoice], and
        without `output` an RLM[str]. Checkers cannot read the type of a union, Literal or Annotated, nor a JSON Schema:
        there say it, `rlm: RLM[int | None] = RLM(model, output=int | None)`; it is Any otherwise.
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
    instructions: what to add to the root model's prompt, in your own words: who asks, in which tone, what to leave out.
        child_instructions: the same for children, which get none of the root's.
    small: whether the root model is a weak one, that is helped by a shorter prompt with an example.
    temperature: of all calls; by default the models' own.
    rates: prices of models that the built-in rate card does not know (needed for a budget in dollars).
    seed: makes the guests' randomness, hash order and clock repeat.
    concurrency: model calls at once, over the run and its children. child_concurrency: children of one run at once.
    call_seconds: how long one model call may take, each try by itself. retries: how often one that failed is tried
        again; see Retries.
    tool_seconds: how long one call of a tool may take; None for Limits.tool_seconds.
    engine: by default the tenant's, or the process's own.
    on_exhausted: what happens when a limit ends the turns: "answer" asks the root model once more for its best answer,
        out of what was kept back for that, and where no call can be made any more, or the model fails for good, gives
        what there is: a Result of status "failed" with a draft and the error. "raise" raises BudgetExceeded, ModelError
        or RunError (if the turns ran out) instead.
    tenant: for whom this runs: its caps per run, per day and in total apply, and its prices; see Engine.tenant.
    ledger: where the budgets are kept; by default the engine's, which by default is in memory.
    base_url, api_key: where models that are given by name are called; by default the OpenAI API and $OPENAI_API_KEY.
    on_event: called with each Event. What it raises breaks no run; the first time it is logged as a WARNING.
    trace: what is written of each run, into a file of its own in trace_folder: "full", "redacted" (bodies as hashes)
        or "off". Result.trace_file names it; `divebell trace FILE --html PAGE` shows it.
    memo: "run" or "tenant" answers identical sub-calls at temperature 0 from what was answered before, within a run or
        a tenant; a Memo is a store of the application's own. None asks every time.
    metadata: the application's own words, such as {"customer": "acme"}: up to 16 short texts, which are in the events,
        the trace, the journal and the Result of every run, and are sent to no model.

    Thread-safe. Raises ConfigurationError where the arguments make no sense, TypeError for an option that does
    not exist. Everything is logged under "divebell": what happens at DEBUG, what its owner should know at WARNING.
    """

    __signature__: ClassVar = Options.signature()

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
        chosen = Options.of(options)
        engine, tenant = chosen.find_engine(), chosen.tenant
        budget = (check_budget(chosen.budget) or Budget()).within(tenant.per_run if tenant is not None else None)
        settings = _settings(model, sub_model, output, chosen, budget)
        of_tenant = engine.rates.with_overrides(None if tenant is None else tenant.rates)
        models = [*(level.model for level in settings.levels), *settings.models.values()]
        self._output = output
        self._spending = Spending()
        self._questions = Questions(
            settings=settings,
            budget=budget,
            rates=of_tenant.with_overrides(chosen.rates),
            ledger=chosen.ledger or engine.ledger,
            tenant=tenant,
            concurrency=chosen.concurrency,
            retries=chosen.retries,
            call_seconds=chosen.call_seconds,
            memo=chosen.memo,
            tracing=Tracing(chosen.trace, chosen.trace_folder, secrets_known(chosen.api_key, models=models)),
            spending=self._spending,
        )

    def __repr__(self) -> str:
        questions = self._questions
        models = ", ".join(level.model.name for level in questions.settings.levels)
        output = "" if self._output is None else f", output={_name_of(self._output)}"
        tenant = "" if questions.tenant is None else f", tenant={questions.tenant.name!r}"
        return f"<RLM {models}{output}, {questions.budget!r}{tenant}>"

    def completion(self, context: Source, query: str) -> str:
        """The answer to `query` about `context`. As `run`, for those who want only the text: a draft is no answer, so
        where Result.status is "failed", what failed is raised."""
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
        resume: such a file to go on from: what it has is not paid again, and the budget is less what was spent, with
            what was in flight in full; its seconds begin anew. Where there is none yet, it is begun. Code runs again to
            where it was, with the recorded completions; a tool that had not ended is called again.
        metadata: the application's own words on this run, over those of the RLM; see RLM.
        on_event: told of what happens in this run, beside the RLM's own.

        Raises ContextError if the context cannot be read, BudgetExceeded if the budget did not allow the root model to
        go on, ModelError if it failed; where there is a draft by then, see Result.raise_if_failed. Inside a running
        event loop use `arun`.
        """

        async def answer() -> Result[Answer_co]:
            return await self.arun(context, query, journal=journal, resume=resume, metadata=metadata, on_event=on_event)

        return run_to_the_end(answer, instead="await rlm.arun(context, query)")

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
        result = await self._questions.answer(
            await prepared(context),
            query,
            listener=guard_listener(on_event),
            journal=None if journal is None else Path(journal),
            resume=None if resume is None else Path(resume),
            metadata=metadata,
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
        return Session(self._questions, context, metadata=metadata)

    def cost_summary(self) -> dict[str, Any]:
        """What all runs since the last `reset` used: calls, tokens, dollars (Decimal), in all and by model."""
        return self._spending.summary()

    def reset(self) -> None:
        """Start counting anew."""
        self._spending.reset()


def _name_of(output: object) -> str:
    if isinstance(output, dict):
        return "a JSON Schema"
    return quote(output.__name__ if isinstance(output, type) and not get_args(output) else str(output))


def _settings(
    model: "str | Model | None", sub_model: "str | Model | None", output: object, options: Options, budget: Budget
) -> Settings:
    """How the loop is to work. ConfigurationError where the options do not go together."""
    engine, tenant = options.find_engine(), options.tenant
    limits = options.limits or engine.limits
    levels, allowed = levels_of(
        model,
        sub_model,
        options.models,
        find=ModelFinder(ModelAccess(api_key=options.api_key, base_url=options.base_url, clients=engine.clients)).find,
        tools=options.tools or {},
        temperature=options.temperature,
        small=options.small,
        root_output_tokens=options.max_output_tokens,
        sub_output_tokens=options.sub_max_output_tokens,
    )
    return Settings(
        levels=levels,
        models=allowed,
        max_iterations=options.max_iterations,
        max_depth=budget.depth,
        max_repairs=options.max_repairs,
        observation_characters=options.observation_characters,
        sub_characters=options.sub_characters,
        window_tokens=options.window_tokens,
        child_concurrency=options.child_concurrency,
        limits=limits,
        tool_seconds=limits.tool_seconds if options.tool_seconds is None else options.tool_seconds,
        seed=options.seed,
        engine=engine,
        listener=guard_listener(options.on_event),
        seconds=budget.seconds,
        on_exhausted=options.on_exhausted,
        schema=None if output is None else AnswerSchema.of(output),
        journal=NoJournal(),
        preview=options.preview,
        instructions=options.instructions,
        child_instructions=options.child_instructions,
        metadata={},
        sub_metadata={} if tenant is None else {"tenant": tenant.name},
        labels=dict(options.metadata or {}),
    )
