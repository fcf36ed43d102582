"""One metered model call: hold, call, settle. The only place that ends a hold.

Guaranteed: no call is sent without a hold for its worst case, and every hold ends, whatever becomes of the call:
settled by the provider's own count, refunded where the call certainly never ran, and charged in full otherwise. A retry
is a call of its own, with a hold of its own.

Where a call waits for its hold, and for a place among those in flight, is hold_queue.py.
"""

import contextlib
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import anyio

from divebell.calls.adapter_errors import (
    check_completion,
    mapping_adapter_errors,
    readable_usage,
    timeout_seconds_of,
)
from divebell.calls.fitting import MAX_CHANGES, KnownLimits
from divebell.calls.hold_queue import HoldQueue
from divebell.calls.logs import log_failure, log_retry
from divebell.calls.memo import Memo
from divebell.calls.retries import ATTEMPTS, CALL_SECONDS, FIRST_SECONDS, MAX_SECONDS, Retries
from divebell.concurrency import FairLimit
from divebell.errors import ContextTooLongError, JournalError, ModelError, UnknownModelError
from divebell.events import CallUsage
from divebell.journal.base import Journal, NoJournal
from divebell.journal.entries import CallEntry, FailureEntry, MemoEntry, PaidEntry, SentEntry
from divebell.models.protocol import Completion, Model, ModelRequest
from divebell.models.secret_texts import SecretTexts, clean_completion, clean_error
from divebell.models.traits import identity_of, secrets_of
from divebell.usage import Usage
from divebell_bridge.money.charges import Charge, Hold
from divebell_bridge.money.errors import (
    BudgetExceeded,
    DivebellError,
)
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.tally import Tally

MAX_ATTEMPTS, FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = ATTEMPTS, FIRST_SECONDS, MAX_SECONDS
"""Of calls whose run has no Retries."""


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
        """What it used, for events."""
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
    """Makes the model calls of one query and all its children, at most `max_concurrent` at once.

    known_limits: what endpoints have revealed about the models, shared by the queries of one RLM.
    call_seconds: how long each attempt may take.
    shared_places: the engine's limit of concurrent calls, and its tenants'; by default there is none.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        *,
        max_concurrent: int,
        journal: Journal | None = None,
        memo: Memo | None = None,
        tenant: str = "",
        known_limits: KnownLimits | None = None,
        retries: Retries | None = None,
        call_seconds: float = CALL_SECONDS,
        shared_places: FairLimit | None = None,
    ) -> None:
        self._models = models
        self._journal = journal or NoJournal()
        self._memo = memo
        self._tenant = tenant
        self.known_limits = known_limits or KnownLimits()
        self._retries = retries or Retries(
            attempts=MAX_ATTEMPTS, first_seconds=FIRST_RETRY_SECONDS, max_seconds=MAX_RETRY_SECONDS
        )
        self._call_seconds = call_seconds
        self._named_secrets = secrets_of(models.values())
        self._secrets = SecretTexts(self._named_secrets)
        self._unnamed = itertools.count(1)
        self._queue = HoldQueue(max_concurrent, shared_places or FairLimit(None), tenant)

    def _secrets_with(self, model: Model) -> SecretTexts:
        """The secrets of all the run's models, and of this one, which may share its name with another of them."""
        own = secrets_of([model])
        if set(own).issubset(self._named_secrets):
            return self._secrets
        return SecretTexts([*self._named_secrets, *own])

    def model(self, name: str) -> Model:
        """The model of that name, if this run may use it. UnknownModelError, with the names that it may use."""
        model = self._models.get(name)
        if model is None:
            allowed = ", ".join(sorted(self._models))
            raise UnknownModelError(
                f"this run may not use a model named {name[:100]!r}; it may use: {allowed}", model=name
            )
        return model

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
        is_sub_call: whether the guest asked: then the journal keeps a failure too, because the guest continues with it,
            and the memo may answer.
        may_shorten: whether the caller asks again with less, under another name, where the prompt is too long: then the
            journal keeps that refusal, because the run continues with it.
        Raises BudgetExceeded if the call may not be made, ModelError if it was made and failed:
        ContextTooLongError if the prompt does not fit into the model's window.
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
        remembered = self._recall(meter, model, request, name) if is_sub_call else None
        if remembered is not None:
            return remembered
        try:
            call = await self._call_live(meter, model, request, least_output_tokens, name, is_last)
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

    def _recall(self, meter: Meter, model: Model, request: ModelRequest, name: str) -> CallRecord | None:
        """The call from the memo, if it is there."""
        completion = None if self._memo is None else self._memo.get(self._tenant, identity_of(model), request)
        if completion is None:
            return None
        booked = Tally(memo_calls=1)
        self._journal.write(MemoEntry(meter.path, name, model.name, request, completion))
        meter.note(model.name, booked)
        return CallRecord(
            completion=completion, booked=booked, seconds=0.0, output_limit_tokens=request.max_output_tokens
        )

    async def _call_live(
        self, meter: Meter, model: Model, request: ModelRequest, least: int | None, name: str, is_last: bool
    ) -> CallRecord:
        """Make the call, again where that may help: after a pause, or with a request that the endpoint accepts."""
        failure: ModelError | None = None
        least_useful = min(least or request.max_output_tokens, request.max_output_tokens)
        fitted = self.known_limits.fit(model, request, least_useful)
        attempt = changes = 0
        while True:
            attempt += 1
            try:
                hold = await self._queue.acquire(
                    meter, model, fitted, least=least, name=f"{name}, attempt {attempt}", is_last=is_last
                )
            except BudgetExceeded:
                if failure is not None:
                    raise failure from None
                raise
            try:
                started = time.monotonic()
                completion, booked = await self._send(meter, model, (request, fitted), hold, name, attempt)
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
                changed = self.known_limits.adapt(model, fitted, hold.output_tokens, error, least_useful)
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
                self._queue.release()
            if failure.retry_after_seconds is not None:
                self._queue.pause(model.name, seconds)
            await anyio.sleep(seconds)

    async def _send(
        self,
        meter: Meter,
        model: Model,
        requests: tuple[ModelRequest, ModelRequest],
        hold: Hold,
        name: str,
        attempt: int,
    ) -> tuple[Completion, Tally]:
        """Send the request, and settle the hold. requests: the one that the journal knows the call by, and the one that
        is sent, which may have been changed to fit."""
        request, fitted = requests
        journal, path, model_name = self._journal, meter.path, model.name
        call_id = f"{journal.id or meter.run_id}/{path}/{name}{f', attempt {attempt}' if attempt > 1 else ''}"
        timeout_seconds = timeout_seconds_of(fitted, self._call_seconds, meter.seconds_left)
        sent = replace(
            fitted,
            max_output_tokens=hold.output_tokens,
            timeout_seconds=timeout_seconds,
            metadata={**request.metadata, "call": call_id},
        )
        charge = hold.charge_nothing()
        failed = True
        try:
            in_full = hold.charge_in_full()
            journal.write(SentEntry(path, name, model_name, hold.id, in_full.booked))
            charge = in_full
            with mapping_adapter_errors(model, meter, timeout_seconds):
                reply = await model.complete(sent)
            completion = clean_completion(check_completion(reply, model), self._secrets_with(model))
            charge = _charge_of(hold, completion.usage)
            # Before it is settled, because what is paid for must be there when the run is resumed.
            booked = charge.booked
            journal.write(CallEntry(path, name, model_name, request, completion, hold.id, booked, hold.output_tokens))
            failed = False
        except ModelError as error:
            clean_error(error, self._secrets_with(model))
            if error.never_ran:
                charge = hold.charge_nothing()
            elif (usage := readable_usage(error.usage)) is not None:
                charge = _charge_of(hold, usage)
            raise
        finally:
            booked = meter.settle(charge)
            if failed:
                with contextlib.suppress(JournalError):  # the journal remembers it, and the next call raises it
                    journal.write(PaidEntry(path, hold.id, booked))
            self._queue.report_settled()
        return completion, booked


def _charge_of(hold: Hold, usage: Usage | None) -> Charge:
    """The charge for a call: the usage that the endpoint reported, or the whole hold if it reported none."""
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
