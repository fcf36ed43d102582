"""One question from beginning to end: its journal, its trace file, its account, and the run that answers it.

RLM and Session call `answer_question`. Whatever the outcome of the run, its account is closed and its spending is
counted.
"""

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread

from divebell.bounds import MAX_QUERY_CHARACTERS
from divebell.calls.fitting import KnownLimits
from divebell.calls.funding import Funding, mark_running_for
from divebell.calls.ledger_waiting import aretry_while_busy, wait_until_written
from divebell.calls.logs import debug_listener
from divebell.calls.memo import Memo
from divebell.calls.metered_calls import MeteredCalls
from divebell.calls.retries import Retries
from divebell.calls.spending import Spending, warn_of_unknown_price
from divebell.context import Context, Source
from divebell.context.paths import warn_if_a_path
from divebell.errors import ConfigurationError, ContextError, DivebellError
from divebell.events import EventListener
from divebell.journal.base import Journal, NoJournal
from divebell.journal.earlier_spending import find_earlier_spending
from divebell.journal.entries import RunEntry
from divebell.journal.opening import open_journal
from divebell.journal.records import QUERY_PATH
from divebell.metadata import merge_metadata
from divebell.run.listeners import Tracing, combine_listeners
from divebell.run.result import Result
from divebell.run.run import Run, SessionState
from divebell.run.setup import QueryScope, Setup
from divebell.run.stored_setup import make_run_header
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.errors import BudgetExceeded
from divebell_bridge.money.meter import Meter

UNWRITTEN = (
    "the ledger could not be written as the run ended: what the run has set aside stays so, and what it spent does not "
    "count there, until the ledger can be written, which is tried again"
)


def check_query(query: str) -> None:
    """ConfigurationError if this is not a question."""
    if not isinstance(query, str):
        raise ConfigurationError(f"the query must be a text, not {type(query).__name__}")
    if not query.strip():
        raise ConfigurationError("the query is empty: say what is to be answered")
    if len(query) > MAX_QUERY_CHARACTERS:
        raise ConfigurationError(
            f"the query has {len(query):,} characters, at most {MAX_QUERY_CHARACTERS:,} are allowed: "
            "give what is long as the context"
        )


async def prepare_context(source: Source) -> Context:
    """The context, ready to be asked about. ContextError if it cannot be read, or is empty."""
    context = await anyio.to_thread.run_sync(_read_context, source)
    if context.length == 0:
        raise ContextError("the context is empty: there is nothing to answer from")
    return context


def _read_context(source: Source) -> Context:
    warn_if_a_path(source)
    return Context.of(source)


@dataclass(frozen=True, kw_only=True)
class RLMParts:
    """What the questions to one RLM share.

    listener, metadata: those of the RLM; each question may add its own. known_limits: what earlier questions revealed
    about the models' limits, so that the requests of later ones fit at once.
    """

    setup: Setup
    funding: Funding
    tracing: Tracing
    spending: Spending
    listener: EventListener | None
    metadata: Mapping[str, str]
    retries: Retries | None
    memo: Literal["run"] | Memo | None
    known_limits: KnownLimits = field(default_factory=KnownLimits)


async def answer_question(
    parts: RLMParts,
    context: Context,
    query: str,
    *,
    session: SessionState | None = None,
    journal: Path | None = None,
    resume: Path | None = None,
    metadata: Mapping[str, str] | None = None,
    on_event: EventListener | None = None,
) -> Result:
    """Answer one question. `on_event` and `metadata` are this question's, beside those of the RLM."""
    run_id = secrets.token_hex(16)
    metadata = merge_metadata(parts.metadata, metadata)
    async with (
        _open_journal(parts, context, query, metadata, journal=journal, resume=resume) as (run_journal, setup, budget),
        parts.tracing.open_writer(_trace_settings(setup, run_id, metadata)) as writer,
        _open_account(parts, budget, run_id) as account,
    ):
        meter = account.meter
        run_journal.write(RunEntry(meter.run_id))
        _check_prices(setup, meter, parts.funding)
        scope = QueryScope(
            setup=setup,
            calls=_make_calls(parts, setup, run_journal),
            journal=run_journal,
            listener=combine_listeners(parts.listener, on_event, debug_listener(), writer),
            started=time.monotonic(),
            metadata=metadata,
            tenant=parts.funding.tenant_name,
            cache_key=_make_cache_key(parts.funding.tenant_name, context, query),
        )
        run = Run(scope, meter, context=context, query=query, depth=0, session=session)
        try:
            with (
                mark_running_for(parts.funding.ledger, parts.funding.tenant_name),
                anyio.fail_after(meter.seconds_left),
            ):
                result = await run.answer()
        except TimeoutError:
            result = _result_of_timeout(run, meter, budget)
        if result.error is not None:
            run_journal.keep_failure(QUERY_PATH, result.error)
    if not account.is_written:
        result = replace(result, notes=(*result.notes, UNWRITTEN))
    return result if writer is None else replace(result, trace_file=writer.path)


def _result_of_timeout(run: Run, meter: Meter, budget: Budget) -> Result:
    """The draft of a run whose seconds ended. Raises BudgetExceeded if there is none."""
    sentence = f"the run took longer than its budget of {budget.seconds:g} s"
    error = BudgetExceeded(sentence, limit="seconds", cap=budget.seconds, spent=budget.seconds, account=meter.account)
    result = run.result_of_failure(error)
    if result is None:
        raise error from None
    return result


@asynccontextmanager
async def _open_journal(
    parts: RLMParts,
    context: Context,
    query: str,
    metadata: Mapping[str, str],
    *,
    journal: Path | None,
    resume: Path | None,
) -> AsyncIterator[tuple[Journal, Setup, Budget]]:
    """The question's journal, the setup with the journal's seed, and the budget less what the journal's earlier
    processes spent. An error that ends the run is written into the journal."""
    setup, budget = parts.setup, parts.funding.budget
    if journal is None and resume is None:
        yield NoJournal(), setup, budget
        return
    if setup.options.seed is None:
        setup = setup.with_seed(secrets.randbits(63))
    header = await anyio.to_thread.run_sync(make_run_header, setup, query, context, metadata)
    opened = await anyio.to_thread.run_sync(open_journal, journal, resume, header)
    try:
        setup = setup.with_seed(opened.seed)
        used = await aretry_while_busy(lambda: find_earlier_spending(opened, parts.funding.ledger))
        yield opened, setup, budget.less(used)
    except DivebellError as error:
        opened.check()  # a difference says more than what it led to
        opened.keep_failure(QUERY_PATH, error)
        raise
    finally:
        opened.close()


@dataclass
class _Account:
    """An open account. is_written: whether the ledger has its end, once it is closed."""

    meter: Meter
    is_written: bool = False


@asynccontextmanager
async def _open_account(parts: RLMParts, budget: Budget, run_id: str) -> AsyncIterator[_Account]:
    account = _Account(await parts.funding.open_account(budget, run_id))
    try:
        yield account
    finally:
        account.is_written = account.meter.close()
        parts.spending.add(account.meter.summary())
    account.is_written = account.is_written or await wait_until_written(parts.funding.ledger)


def _make_cache_key(tenant: str, context: Context, query: str) -> str:
    """The key by which a provider may find a run's prompts in its prefix cache again: the same for all turns of a run,
    and for the same question about a context of the same shape.

    It only helps the provider to route requests with the same beginning to the same cache, so it need not tell contexts
    apart; but it must tell tenants apart. A digest, so that it says nothing.
    """
    facts = "\n".join([tenant, context.type_name, str(context.length), query])
    return sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _trace_settings(setup: Setup, run_id: str, metadata: Mapping[str, str]) -> dict[str, object]:
    return {
        "models": [level.model.name for level in setup.levels.by_depth],
        "seed": setup.options.seed,
        "run_id": run_id,
        "metadata": metadata,
    }


def _check_prices(setup: Setup, meter: Meter, funding: Funding) -> None:
    """Raise UnknownPriceError now, rather than in the middle of the run, where a budget in dollars needs a price."""
    for model in setup.levels.models.values():
        meter.rate_of(model.name)
        warn_of_unknown_price(model, funding.rates)


def _make_calls(parts: RLMParts, setup: Setup, journal: Journal) -> MeteredCalls:
    return MeteredCalls(
        setup.levels.models,
        max_concurrent=setup.options.max_concurrent_calls,
        journal=journal,
        memo=Memo() if parts.memo == "run" else parts.memo,
        tenant=parts.funding.tenant_name,
        shared_places=setup.engine.places,
        known_limits=parts.known_limits,
        retries=parts.retries,
        call_seconds=setup.options.call_seconds,
    )
