"""`RLM`: a recursive language model that is called as a model is: a context and a query in, an answer out."""

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
from divebell.wiring import RLMOptions, Wiring, make_signature, read_options
from divebell_bridge.money.budget import Budget, check_budget


class RLM(Generic[Answer_co]):
    """A Recursive Language Model (Zhang, Kraska and Khattab, arXiv:2512.24601).

    The models that answer
    model: the root model, which writes code: a name, called through the OpenAI API or a compatible one, or any Model.
        A name may select an adapter, as in "openai-responses:gpt-5"; packages may register others (models/registry.py).
    sub_model: answers llm_query, and is the root model of children; by default the same as `model`.
    models: a list gives the model of each depth: [root, child, leaf], each a name, a Model or a Level. The last one
        also serves all deeper levels; leave out `model` and `sub_model`. A dict gives further models by name, which
        code may choose with `llm_query(..., model=...)`; the models of the levels can always be chosen.
    base_url, api_key: the endpoint and the key for models given by name; by default the OpenAI API and $OPENAI_API_KEY.
    temperature: sent with every call; by default each model's own.
    max_output_tokens, sub_max_output_tokens: the output limit of each reply of a root model, and of each sub-call,
        including reasoning. Holds are computed from it, so a lower limit lets more calls run concurrently near a cap.
    context_window_tokens: how much the root models can read. Near this limit, older turns are left out of the messages;
        they stay in `history`.
    call_seconds: how long one attempt of a model call may take.
    retries: how often a failed call is retried; see Retries.
    memo: "run" or "tenant" answers identical sub-calls at temperature 0 from earlier replies within a run or a tenant;
        a Memo is a store of the application's own. None calls the model every time.

    What the models are asked
    output: the type of the answer: a pydantic model, a dataclass, a TypedDict, another type, or a JSON Schema. Then
        Result.value is of that type, for type checkers too: `RLM(model, output=Invoice)` is an RLM[Invoice], and
        without `output` an RLM[str]. Checkers cannot infer the type of a union, Literal or Annotated, or of a JSON
        Schema; it is Any, unless you declare it: `rlm: RLM[int | None] = RLM(model, output=int | None)`.
    max_answer_retries: how often a model may correct an answer that does not fit `output`, before it is asked for its
        best answer.
    instructions: your own addition to the root model's prompt: who is asking, the tone, what to leave out.
    child_instructions: the same for children, which do not receive the root's instructions.
    prompt: "standard", or "small" for weak models: a shorter prompt with a worked example.
    show_preview: whether the model is shown the beginning of the context.
    max_shown_characters: how much of its cells' output a root model sees in one turn.
    max_sub_call_characters: how many characters models are told that a sub-call can read.

    What a run may use
    budget: caps on one run and its children; by default there are no caps, and one level of children.
    max_iterations: the most turns of the root model. Then it is asked once for its best answer.
    on_exhausted: what happens when a limit ends the turns. "answer" asks the root model once more for its best answer,
        paid from the reserve. If no call is possible any more, or the model fails for good, the Result has the status
        "failed", with a draft and the error. "raise" raises BudgetExceeded, ModelError, or RunError (if the turns ran
        out) instead.
    max_concurrent_calls: the most model calls in flight, for one run and its children together.
    max_concurrent_children: the most children of one run that work at the same time.
    tools: functions that code may call, by name; see Tools. Level.tools replaces them at one depth.
    tool_seconds: how long one call of a tool may take; None for Limits.tool_seconds.
    limits: the limits of each sandbox; by default the engine's.
    seed: makes randomness, hash order and the clock in the sandboxes reproducible.

    On whose behalf it runs, and who observes it
    engine: the Engine to run in; by default the tenant's, or the process's own.
    tenant: the Tenant that pays: its caps per run, per day and in total apply, and so do its prices; see Engine.tenant.
    ledger: where the budgets are kept; by default the engine's ledger, which by default is in memory.
    rates: prices of models that the built-in rate card does not have. A budget in dollars requires a price.
    on_event: called with each Event. An exception that it raises does not break the run; the first one is logged as a
        WARNING.
    trace: "full", "redacted" (hashes in place of texts) or "off": whether each run writes a trace, into a file of its
        own in trace_folder. Result.trace_file names it; `divebell trace FILE --html PAGE` shows it.
    trace_folder: the folder of these files.
    metadata: the application's own labels, such as {"customer": "acme"}: up to 16 short texts, which appear in the
        events, the trace, the journal and the Result of every run. They are sent to no model.

    Thread-safe. Raises ConfigurationError if the arguments make no sense, TypeError for an option that does not exist.
    Logs under "divebell": at DEBUG what happens, at WARNING what an operator should know.
    """

    __signature__: ClassVar = make_signature()

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
        output = "" if self._output is None else f", output={_describe_output(self._output)}"
        tenant = "" if funding.tenant is None else f", tenant={funding.tenant.name!r}"
        return f"<RLM {models}{output}, {funding.budget!r}{tenant}>"

    def completion(self, context: Source, query: str) -> str:
        """Run, and return only the text of the answer. A draft is not an answer: if Result.status is "failed", this
        raises Result.error."""
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
        """Answer `query` about `context`, and return the Result.

        context: see Context.of. A str is the text itself; for a file, give its Path.
        journal: a new file for the run's journal, from which the run can be replayed exactly (divebell.testing.replay)
            or resumed. Such a run always has a seed (a random one if RLM has none), so its code sees a virtual clock.
        resume: a journal to continue from; it is created if it does not exist. What it has is not paid for again: the
            budget is reduced by what was spent, with calls in flight charged in full, and its seconds begin anew. Code
            runs again up to where it was, with the recorded completions; a tool that had not ended is called again.
        metadata: the application's own labels for this run, in addition to those of the RLM; see RLM.
        on_event: receives the events of this run, in addition to the RLM's own on_event.

        Raises ContextError if the context cannot be read, BudgetExceeded if the budget does not allow the root model to
        continue, and ModelError if the model failed. If there is a draft by then, it returns a Result instead; see
        Result.raise_if_failed. Inside a running event loop, use `arun`.
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
        """Iterate over the run's events as they happen: `async for event in rlm.stream(context, query)`; see RunStream.
        Takes the same arguments as `arun`."""
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
        """Open a conversation about one context. Each question has the variables and the history of those before it,
        and a budget of its own. Use the session as a context manager, or close it. `metadata` is for all its
        questions."""
        return Session(self._parts, context, metadata=metadata)

    def cost_summary(self) -> dict[str, Any]:
        """What all runs used since the last `reset`: calls, tokens and dollars (Decimal), in total and by model."""
        return self._parts.spending.summary()

    def reset(self) -> None:
        """Reset the sums of `cost_summary` to zero."""
        self._parts.spending.reset()


def _describe_output(output: object) -> str:
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
    """Make the setup that every run of the RLM shares. ConfigurationError if the options do not go together."""
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
