"""One question from beginning to end: its budget, its journal, its trace file, and the run that answers it.

RLM and Session are the faces of this; here a question gets what is its own. Whatever becomes of the run, its account is
closed and what it used is counted.
"""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import anyio

from divebell.bounds import MAX_QUERY_CHARACTERS
from divebell.calls.cache_key import cache_key
from divebell.calls.fitting import KnownLimits
from divebell.calls.logs import debug_listener
from divebell.calls.memo import Memo
from divebell.calls.metered_calls import Calls, patiently, until_written
from divebell.calls.opening import Opening, running_for
from divebell.calls.retries import Retries
from divebell.calls.spending import Spending, warn_of_unknown_price
from divebell.context import Context, Source
from divebell.context.paths import warn_if_a_path
from divebell.errors import ConfigurationError, ContextError, DivebellError
from divebell.events import EventListener
from divebell.journal.entries import RunEntry
from divebell.journal.header import open_journal
from divebell.journal.records import QUERY_PATH
from divebell.journal.spent import already_spent
from divebell.metadata import merge_metadata
from divebell.run.listeners import Tracing, combine_listeners
from divebell.run.result import Result
from divebell.run.run import Run, SessionState
from divebell.run.settings import Settings
from divebell.run.stored_settings import header_of_run
from divebell.run.tenant_account import TenantAccount
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.errors import BudgetExceeded
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.rates import RateCard

UNWRITTEN = (
    "the ledger could not be written as the run ended: what the run has set aside stays so, and what it spent does not "
    "count there, until the ledger can be written, which is tried again"
)


def check_query(query: str) -> None:
    """ConfigurationError where this is no question."""
    if not isinstance(query, str) or not query.strip():
        raise ConfigurationError("the query is empty: say what is to be answered")
    if len(query) > MAX_QUERY_CHARACTERS:
        raise ConfigurationError(
            f"the query has {len(query):,} characters, at most {MAX_QUERY_CHARACTERS:,} are allowed: "
            "give what is long as the context"
        )


def _context_of(source: Source) -> Context:
    warn_if_a_path(source)
    return Context.of(source)


async def prepared(context: Source) -> Context:
    """The context, made ready. ContextError if it cannot be read, or is empty."""
    made = await anyio.to_thread.run_sync(_context_of, context)
    if made.length == 0:
        raise ContextError("the context is empty: there is nothing to answer from")
    return made


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What all questions to one RLM share."""

    settings: Settings
    budget: Budget
    rates: RateCard
    ledger: Ledger
    tenant: TenantAccount | None
    concurrency: int
    retries: Retries | None
    call_seconds: float
    memo: Literal["run", "tenant"] | Memo | None
    tracing: Tracing
    spending: Spending
    limits: KnownLimits = field(default_factory=KnownLimits)
    """What was learnt of the models; later questions fit at once."""

    async def answer(
        self,
        context: Context,
        query: str,
        *,
        listener: EventListener | None = None,
        session: SessionState | None = None,
        journal: Path | None = None,
        resume: Path | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Result:
        """Answer one question. `listener` is told of this run alone, beside the one of the settings; `metadata` is laid
        over the settings' labels."""
        settings = replace(
            self.settings,
            listener=combine_listeners(self.settings.listener, listener, debug_listener()),
            labels=merge_metadata(self.settings.labels, metadata),
            run_id=secrets.token_hex(16),
        )
        if journal is None and resume is None:
            return await self._traced(context, query, session, settings, self.budget)
        if settings.seed is None:
            settings = replace(settings, seed=secrets.randbits(63))
        header = await anyio.to_thread.run_sync(header_of_run, settings, query, context)
        opened = await anyio.to_thread.run_sync(open_journal, journal, resume, header)
        try:
            settings = replace(settings, journal=opened, seed=opened.seed)
            used = await patiently(lambda: already_spent(opened, self.ledger))
            result = await self._traced(context, query, session, settings, self.budget.less(used))
            if result.error is not None:
                opened.keep_failure(QUERY_PATH, result.error)
            return result
        except DivebellError as error:
            opened.check()  # a difference says more than what it led to
            opened.keep_failure(QUERY_PATH, error)
            raise
        finally:
            opened.close()

    async def _traced(
        self, context: Context, query: str, session: SessionState | None, settings: Settings, budget: Budget
    ) -> Result:
        """With a trace file of its own, where they are wanted."""
        told: dict[str, object] = {
            "models": [level.model.name for level in settings.levels],
            "seed": settings.seed,
            "run_id": settings.run_id,
            "metadata": settings.labels,
        }
        async with self.tracing.of_run(told) as writer:
            listening = replace(settings, listener=combine_listeners(settings.listener, writer))
            result = await self._metered(context, query, session, listening, budget)
        return result if writer is None else replace(result, trace_file=writer.path)

    async def _metered(
        self, context: Context, query: str, session: SessionState | None, settings: Settings, budget: Budget
    ) -> Result:
        """With an account of its own."""
        tenant = self.tenant
        name = tenant.name if tenant is not None else ""
        account = None if tenant is None else await patiently(tenant.account_for_today)
        opening = Opening(
            budget=budget, rates=self.rates, ledger=self.ledger, tenant=name, parent_account=account,
            run_id=settings.run_id or None,
        )  # fmt: skip
        meter = await opening.open()
        try:
            settings.journal.write(RunEntry(meter.run_id))
            for model in settings.models.values():
                meter.rate_of(model.name)  # a price that is not known is refused now, not in the middle
                warn_of_unknown_price(model, self.rates)
            key = cache_key(name, context, query)
            settings = replace(settings, metadata={**settings.sub_metadata, "cache_key": key})
            calls = Calls(
                settings.models,
                concurrency=self.concurrency,
                journal=settings.journal,
                memo=self._memo_of_run(),
                tenant=name,
                shared_places=settings.engine.places,
                limits=self.limits,
                retries=self.retries,
                call_seconds=self.call_seconds,
            )
            began = time.monotonic()
            run = Run(settings, calls, meter, context=context, query=query, depth=0, started=began, session=session)
            with running_for(self.ledger, name), anyio.fail_after(meter.seconds_left):
                result = await run.answer()
        except TimeoutError:
            seconds = budget.seconds
            sentence = f"the run took longer than its budget of {seconds:g} s"
            error = BudgetExceeded(sentence, limit="seconds", cap=seconds, spent=seconds, path=meter.where)
            draft = run.result_of_failure(error)
            if draft is None:
                raise error from None
            result = draft
        finally:
            is_closed = meter.close()
            self.spending.add(meter.summary())
        if is_closed or await until_written(self.ledger):
            return result
        return replace(result, notes=(*result.notes, UNWRITTEN))

    def _memo_of_run(self) -> Memo | None:
        if self.memo == "run":
            return Memo()
        if self.memo == "tenant":
            assert self.tenant is not None
            return self.tenant.memo
        return self.memo
