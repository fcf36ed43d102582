"""One metered model call: hold, call, settle. The only place that ends a hold.

Guaranteed: no call is sent without a hold for its worst case, and every hold ends, whatever becomes of the call:
settled by the provider's own count, refunded where the call surely never ran, and else charged in full. A retry is a
call of its own, with a hold of its own.

Backpressure. A call that does not fit beside those in flight waits until they have settled, first come, first served in
each account; so near its cap a run slows down instead of failing. It waits without a place among the concurrent calls,
because what it waits for (a child, say) may need that place.
"""

import contextlib
import itertools
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar
from weakref import WeakKeyDictionary

import anyio

from divebell.bounds import MAX_REPLY_CHARACTERS
from divebell.calls.cleaning import clean_completion, clean_error
from divebell.calls.fitting import MAX_CHANGES, KnownLimits
from divebell.calls.logs import log_failure, log_retry, log_waiting
from divebell.calls.memo import Memo
from divebell.calls.retries import ATTEMPTS, CALL_SECONDS, FIRST_SECONDS, MAX_SECONDS, Retries
from divebell.concurrency import FairLimit
from divebell.errors import ContextTooLongError, JournalError, ModelError, ModelUnavailableError, UnknownModelError
from divebell.events import CallUsage
from divebell.journal.base import Journal, NoJournal
from divebell.journal.entries import CallEntry, FailureEntry, MemoEntry, PaidEntry, SentEntry
from divebell.models.endings import INTERRUPTED, ending_of
from divebell.models.protocol import DEFAULT_TIMEOUT_SECONDS, Completion, Model, ModelRequest
from divebell.models.secret_texts import SecretTexts
from divebell.models.traits import identity_of, image_tokens_of, secrets_of, surcharge_percent_of
from divebell.usage import Usage
from divebell_bridge.money.charges import Charge, Hold
from divebell_bridge.money.errors import (
    BudgetExceeded,
    DivebellError,
    LedgerBusyError,
    LedgerError,
    LedgerUnavailableError,
)
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.patience import (
    MONEY_WAIT_SECONDS,
    PATIENCE_SECONDS,
    UNAVAILABLE_PAUSE_SECONDS,
    backoff_seconds,
)
from divebell_bridge.money.tally import Tally

ADAPTER_GRACE_SECONDS = 1.0
MAX_ATTEMPTS, FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = ATTEMPTS, FIRST_SECONDS, MAX_SECONDS
"""Of calls whose run was told nothing of retries."""
LOOK_AGAIN_SECONDS = 0.05  # where others share the ledger, nobody tells us that they settled
RECOVER_SECONDS = 2.0  # waiting for so long, look whether somebody died holding what we wait for
LEDGER_PATIENCE_SECONDS = PATIENCE_SECONDS
ENDING_PATIENCE_SECONDS = (
    2.0  # an answer waits no longer for the ledger, which is told later (bridge/divebell_bridge/money/backlog.py)
)

_log = logging.getLogger("divebell.budget")
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """A finished call: the completion, what it cost, how long the last attempt took, how many there were.

    output_limit_tokens: the output limit that was sent, which may be lower than the one that was asked for.
    """

    completion: Completion
    booked: Tally
    seconds: float
    output_limit_tokens: int
    attempts: int = 1

    def usage(self) -> CallUsage:
        """What events say of it."""
        booked = self.booked
        return CallUsage(
            attempts=self.attempts,
            input_tokens=booked.input_tokens,
            output_tokens=booked.output_tokens,
            cached_input_tokens=booked.cached_input_tokens,
            picodollars=booked.spent_picodollars,
            memo=booked.memo_calls > 0,
            uncertain=booked.uncertain_calls > 0,
            unpriced=booked.unpriced_calls > 0,
            finish_reason=self.completion.finish_reason,
            output_limit_tokens=self.output_limit_tokens,
        )


class MeteredCalls:
    """Makes the model calls of one query, all its children's included: at most `max_concurrent` at once.

    limits: what is known of the models, to be shared by the queries of one RLM. call_seconds: of each attempt.
    shared_places: the engine's limit of calls at once, and its tenants'; by default there is none.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        *,
        max_concurrent: int,
        journal: Journal | None = None,
        memo: Memo | None = None,
        tenant: str = "",
        limits: KnownLimits | None = None,
        retries: Retries | None = None,
        call_seconds: float = CALL_SECONDS,
        shared_places: FairLimit | None = None,
    ) -> None:
        self._models = models
        self._journal = journal or NoJournal()
        self._memo = memo
        self._tenant = tenant
        self.limits = limits or KnownLimits()
        self._retries = retries or Retries(
            attempts=MAX_ATTEMPTS, first_seconds=FIRST_RETRY_SECONDS, max_seconds=MAX_RETRY_SECONDS
        )
        self._call_seconds = call_seconds
        self._secrets = SecretTexts(secrets_of(models.values()))
        self._unnamed = itertools.count(1)
        self._places = anyio.Semaphore(max_concurrent)
        self._shared_places = shared_places or FairLimit(None)
        self._gates: WeakKeyDictionary[Meter, anyio.Lock] = WeakKeyDictionary()
        self._settled = anyio.Event()
        self._quiet_until: dict[str, float] = {}  # by model: the endpoint asked for a pause

    def _secrets_with(self, model: Model) -> SecretTexts:
        """The secrets of all the run's models, and of this one, which may share its name with another of them."""
        own = secrets_of([model])
        known = self._secrets.secrets
        return self._secrets if set(own) <= set(known) else SecretTexts([*known, *own])

    def model(self, name: str) -> Model:
        """The model of that name, if this run may use it. UnknownModelError, with the names that it may use."""
        found = self._models.get(name)
        if found is None:
            allowed = ", ".join(sorted(self._models))
            raise UnknownModelError(
                f"this run may not use a model named {name[:100]!r}; it may use: {allowed}", model=name
            )
        return found

    async def __call__(
        self,
        meter: Meter,
        model: Model,
        request: ModelRequest,
        *,
        least_output_tokens: int | None = None,
        name: str | None = None,
        is_last: bool = False,
        is_sub_call: bool = False,
        may_shorten: bool = False,
    ) -> CallRecord:
        """Make the call, or take it from the journal; it is tried again where the endpoint says that this may help.

        The output limit of the request may be lowered to `least_output_tokens` where the budget has no room for more,
        or the model's window; and to what the endpoint allows. What was sent is `CallRecord.output_limit_tokens`.
        name: tells the call from the run's others, and is the same when the run is repeated; by default a number.
        is_sub_call: whether the guest asked: then the journal keeps a failure too, because the guest goes on with it,
            and the memo may answer.
        may_shorten: whether the caller asks again with less, under another name, where the prompt is too long: then the
            journal keeps that refusal, because the run goes on with it.
        Raises BudgetExceeded where the call may not be made, ModelError where it was made and failed:
        ContextTooLongError where the prompt does not fit into the model's window.
        """
        journal = self._journal
        name = name or f"call {next(self._unnamed)}"
        recorded = journal.find_call(meter.path, name, model.name, request)
        if recorded is not None:
            if isinstance(recorded.outcome, DivebellError):
                raise recorded.outcome
            return CallRecord(
                completion=recorded.outcome,
                booked=recorded.cost,
                seconds=0.0,
                output_limit_tokens=recorded.output_limit_tokens,
            )
        remembered = self._remembered(meter, model, request, name) if is_sub_call else None
        if remembered is not None:
            return remembered
        try:
            call = await self._live(meter, model, request, least_output_tokens, name, is_last)
        except JournalError:
            raise
        except DivebellError as error:
            is_too_long = isinstance(error, ContextTooLongError) and (is_last or may_shorten)
            if is_sub_call or is_too_long or (is_last and isinstance(error, BudgetExceeded)):  # a shorter one is tried
                journal.write(FailureEntry(meter.path, name, model.name, request, error))
            raise
        if self._memo is not None and is_sub_call:
            self._memo.put(self._tenant, identity_of(model), request, call.completion)
        return call

    def _remembered(self, meter: Meter, model: Model, request: ModelRequest, name: str) -> CallRecord | None:
        """The call from the memo, if it is there."""
        found = None if self._memo is None else self._memo.get(self._tenant, identity_of(model), request)
        if found is None:
            return None
        booked = Tally(memo_calls=1)
        self._journal.write(MemoEntry(meter.path, name, model.name, request, found))
        meter.note(model.name, booked)
        return CallRecord(completion=found, booked=booked, seconds=0.0, output_limit_tokens=request.max_output_tokens)

    async def _live(
        self, meter: Meter, model: Model, request: ModelRequest, least: int | None, name: str, is_last: bool
    ) -> CallRecord:
        failure: ModelError | None = None
        least_useful = min(least or request.max_output_tokens, request.max_output_tokens)
        fitted = self.limits.fitted(model, request, least_useful)
        attempt = changes = 0
        while True:
            attempt += 1
            try:
                hold = await self._held(meter, model, fitted, least, f"{name}, attempt {attempt}", is_last)
            except BudgetExceeded:
                if failure is not None:
                    raise failure from None
                raise
            try:
                started = time.monotonic()
                completion, booked = await self._made(meter, model, (request, fitted), hold, name, attempt)
                return CallRecord(
                    completion=completion,
                    booked=booked,
                    seconds=time.monotonic() - started,
                    output_limit_tokens=hold.output_tokens,
                    attempts=attempt,
                )
            except ModelError as error:
                meter.check_time()
                failure = error
                changed = self.limits.changed(model, fitted, hold.output_tokens, error, least_useful)
                if changed is not None and changes < MAX_CHANGES:
                    fitted, changes = changed, changes + 1
                    continue
                seconds = self._retries.seconds_before(attempt - changes, error)
                left = meter.seconds_left
                is_over = attempt - changes == self._retries.attempts or (left is not None and (seconds or 0.0) >= left)
                if seconds is None or is_over:
                    log_failure(meter.run_id, model.name, error, attempt)
                    raise
                log_retry(meter.run_id, model.name, error, attempt, seconds)
            finally:
                self._give_place()
            if failure.retry_after_seconds is not None:
                until = time.monotonic() + seconds
                self._quiet_until[model.name] = max(until, self._quiet_until.get(model.name, until))
            await anyio.sleep(seconds)

    async def _take_place(self) -> None:
        """A place among the calls of this query, and then one among those of its tenant and engine. Whoever has both
        waits for nothing more than the call, so that nobody waits in a ring."""
        await self._places.acquire()
        try:
            await self._shared_places.acquire(self._tenant)
        except BaseException:
            self._places.release()
            raise

    def _give_place(self) -> None:
        self._shared_places.release(self._tenant)
        self._places.release()

    def _quiet_seconds(self, name: str) -> float:
        return max(self._quiet_until.get(name, 0.0) - time.monotonic(), 0.0)

    async def _held(
        self, meter: Meter, model: Model, request: ModelRequest, least: int | None, name: str | None, is_last: bool
    ) -> Hold:
        """A hold, and with it a place among the concurrent calls.

        A call that stood in the queue as the endpoint asked for a pause keeps to it too, out of the others' way.
        """
        while True:
            while (left := self._quiet_seconds(model.name)) > 0:
                await anyio.sleep(left * random.uniform(1.0, 1.2))
            hold = await self._held_unless_quiet(meter, model, request, least, name, is_last)
            if hold is not None:
                return hold

    async def _held_unless_quiet(
        self, meter: Meter, model: Model, request: ModelRequest, least: int | None, name: str | None, is_last: bool
    ) -> Hold | None:
        texts = request.sent_texts()
        image_tokens = image_tokens_of(model, request.sent_images())
        async with self._gates.setdefault(meter, anyio.Lock()):
            waiting_since = began = time.monotonic()
            has_waited = False
            while True:
                await self._take_place()
                if self._quiet_seconds(model.name):
                    self._give_place()
                    return None
                settled = self._settled
                try:
                    return await aretry_while_busy(
                        lambda: meter.hold(
                            model.name,
                            texts,
                            request.max_output_tokens,
                            least_output_tokens=least,
                            other_input_tokens=image_tokens,
                            name=name,
                            is_last=is_last,
                            surcharge_percent=surcharge_percent_of(model),
                        ),
                        also_unavailable=True,
                    )
                except BudgetExceeded as refusal:
                    self._give_place()
                    if not refusal.waiting_helps:
                        raise
                    if meter.owns_account(refusal.account):
                        began = time.monotonic()  # its own calls and children end, and however long they take
                    elif time.monotonic() - began > MONEY_WAIT_SECONDS:
                        refusal.args = (f"{refusal}; the call has waited {MONEY_WAIT_SECONDS:g} s for it",)
                        raise
                    if not has_waited:
                        log_waiting(meter.run_id, model.name, refusal)
                    has_waited = True
                except BaseException:
                    self._give_place()
                    raise
                waiting_since = await self._look_again(meter, settled, waiting_since)

    async def _look_again(self, meter: Meter, settled: anyio.Event, since: float) -> float:
        """Wait until something has settled, here or elsewhere. Returns since when nobody looked for the dead."""
        with anyio.move_on_after(LOOK_AGAIN_SECONDS * random.uniform(0.5, 1.5)):
            await settled.wait()
        if time.monotonic() - since < RECOVER_SECONDS:
            return since
        try:
            await aretry_while_busy(meter.ledger.recover)
        except LedgerError as error:  # then another process looks, or this one later
            _log.warning("what dead processes hold cannot be looked for: %s", error)
        return time.monotonic()

    async def _made(
        self,
        meter: Meter,
        model: Model,
        requests: tuple[ModelRequest, ModelRequest],
        hold: Hold,
        name: str,
        attempt: int,
    ) -> tuple[Completion, Tally]:
        """requests: what was asked for, by which the journal knows the call, and what is sent."""
        request, fitted = requests
        journal, path = self._journal, meter.path
        call = f"{journal.id or meter.run_id}/{path}/{name}{f', attempt {attempt}' if attempt > 1 else ''}"
        marked = replace(fitted, max_output_tokens=hold.output_tokens, metadata={**request.metadata, "call": call})
        charge = hold.charge_nothing()
        failed = True
        try:
            in_full = hold.charge_in_full()
            journal.write(SentEntry(path, name, model.name, hold.id, in_full.booked))
            charge = in_full
            completion = clean_completion(
                await _completed(meter, model, marked, self._call_seconds), self._secrets_with(model)
            )
            charge = _charge_of(hold, completion.usage)
            # Before it is settled, because what is paid for must be there when the run is resumed.
            booked = charge.booked
            journal.write(CallEntry(path, name, model.name, request, completion, hold.id, booked, hold.output_tokens))
            failed = False
        except ModelError as error:
            clean_error(error, self._secrets_with(model))
            if error.never_ran:
                charge = hold.charge_nothing()
            elif (usage := _readable(error.usage)) is not None:
                charge = _charge_of(hold, usage)
            raise
        finally:
            booked = meter.settle(charge)
            if failed:
                with contextlib.suppress(JournalError):  # the journal remembers it, and the next call raises it
                    journal.write(PaidEntry(path, hold.id, booked))
            self._settled.set()
            self._settled = anyio.Event()
        return completion, booked


def _charge_of(hold: Hold, usage: Usage | None) -> Charge:
    """What the call is charged: what the endpoint reported, or the whole hold where it did not."""
    if usage is None:
        return hold.charge_in_full()
    return hold.charge(
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        service_tier=usage.service_tier,
        reported_picodollars=usage.reported_picodollars,
    )


def _readable(usage: object) -> Usage | None:
    """What an adapter says was used, if it is of the right types: an answer is not lost to what is not."""
    return usage if isinstance(usage, Usage) and isinstance(usage.service_tier, str) else None


async def _completed(meter: Meter, model: Model, request: ModelRequest, call_seconds: float) -> Completion:
    """The model's reply. ModelError, or BudgetExceeded where the budget's seconds end first."""
    left, timeout = meter.seconds_left, call_seconds
    if request.timeout_seconds != DEFAULT_TIMEOUT_SECONDS:
        timeout = min(timeout, request.timeout_seconds)
    timeout = timeout if left is None else min(timeout, max(left, 0.001))
    try:
        with anyio.fail_after(timeout + ADAPTER_GRACE_SECONDS):  # the adapter knows better what became of the call
            completion = await model.complete(replace(request, timeout_seconds=timeout))
    except TimeoutError:
        meter.check_time()
        raise ModelUnavailableError(f"{model.name} did not answer within {timeout:g} s", model=model.name) from None
    except ModelError:
        raise
    except Exception as error:  # an adapter that breaks its contract
        raise ModelError(f"{model.name} failed: {type(error).__name__}: {error}", model=model.name) from error
    if not isinstance(completion, Completion) or not isinstance(completion.text, str):
        raise ModelError(f"{model.name} replied with {type(completion).__name__}, not a Completion", model=model.name)
    if len(completion.text) > MAX_REPLY_CHARACTERS:
        raise ModelError(
            f"{model.name} replied with {len(completion.text):,} characters", model=model.name, usage=completion.usage
        )
    ending = ending_of(completion.finish_reason)  # an application's own adapter may pass the endpoint's word on
    if ending == INTERRUPTED:
        sentence = f"{model.name} broke off its reply in the middle"
        raise ModelUnavailableError(sentence, model=model.name, may_retry=True, usage=completion.usage)
    return replace(completion, finish_reason=ending, usage=_readable(completion.usage))


async def aretry_while_busy(
    operation: Callable[[], _T], *, also_unavailable: bool = False, seconds: float = LEDGER_PATIENCE_SECONDS
) -> _T:
    """Do the ledger's operation, again while the ledger is busy, without blocking the event loop. LedgerBusyError if
    that does not end.

    also_unavailable: also while it cannot be written for another reason, because a run that was paid for would end.
    """
    for pause in backoff_seconds(min(seconds, LEDGER_PATIENCE_SECONDS)):
        try:
            return operation()
        except LedgerBusyError:
            await anyio.sleep(pause)
        except LedgerUnavailableError:
            if not also_unavailable:
                raise
            await anyio.sleep(UNAVAILABLE_PAUSE_SECONDS)
    return operation()


async def until_written(ledger: Ledger) -> bool:
    """Wait a moment for a busy ledger, until what could not be written yet is written. Returns whether it is."""
    for pause in backoff_seconds(ENDING_PATIENCE_SECONDS):
        if not ledger.backlog.is_busy:
            break
        await anyio.sleep(pause)
    return not ledger.backlog
