"""One metered model call: hold, call, settle. The only place that closes a hold."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import anyio

from divebell.bridge.errors import BudgetExceeded
from divebell.bridge.meter import Account, Hold, Meter
from divebell.errors import ModelError, ModelUnavailable, UnknownModel
from divebell.models.protocol import Completion, Message, Model, Request

CALL_TIMEOUT_SECONDS = 600.0
MAX_REPLY_CHARACTERS = 16 << 20


@dataclass(frozen=True, kw_only=True)
class Call:
    """A finished call: the completion, what it cost, how long it took."""

    completion: Completion
    booked: Account
    seconds: float


class Calls:
    """Makes the model calls of one query, all its children's included. Bounded concurrency; calls near the budget's cap
    wait for those in flight to settle."""

    def __init__(
        self, meter: Meter, models: Mapping[str, Model], *, concurrency: int, metadata: dict[str, str]
    ) -> None:
        self.meter = meter
        self._models = models
        self._limiter = anyio.CapacityLimiter(concurrency)
        self._settled = anyio.Event()
        self._metadata = metadata

    def model(self, name: str) -> Model:
        """The model of that name, if this run may use it. UnknownModel, with the names that it may use."""
        found = self._models.get(name)
        if found is None:
            allowed = ", ".join(sorted(self._models))
            raise UnknownModel(f"this run may not use a model named {name[:100]!r}; it may use: {allowed}", model=name)
        return found

    async def __call__(self, model: Model, messages: Sequence[Message], max_output_tokens: int) -> Call:
        """Raises BudgetExceeded where the call may not be made, ModelError where it was made and failed."""
        async with self._limiter:
            hold = await self._hold(model.name, [message["content"] for message in messages], max_output_tokens)
            return await self._made(model, messages, max_output_tokens, hold)

    async def _hold(self, name: str, texts: list[str], max_output_tokens: int) -> Hold:
        while True:
            settled = self._settled
            try:
                return self.meter.hold(name, texts, max_output_tokens)
            except BudgetExceeded as refusal:
                if not refusal.waiting_helps:
                    raise
            await settled.wait()

    async def _made(self, model: Model, messages: Sequence[Message], max_output_tokens: int, hold: Hold) -> Call:
        started = time.monotonic()
        booked: Account | None = None
        try:
            left = self.meter.seconds_left
            timeout = CALL_TIMEOUT_SECONDS if left is None else min(CALL_TIMEOUT_SECONDS, max(left, 0.001))
            request = Request(
                messages=tuple(messages),
                max_output_tokens=max_output_tokens,
                timeout_seconds=timeout,
                metadata=self._metadata,
            )
            try:
                with anyio.fail_after(timeout):
                    completion = await model.complete(request)
            except TimeoutError:
                self.meter.check_time()
                raise ModelUnavailable(f"{model.name} did not answer within {timeout:g} s", model=model.name) from None
            except ModelError:
                raise
            except Exception as error:  # an adapter that breaks its contract
                raise ModelError(f"{model.name} failed: {type(error).__name__}: {error}", model=model.name) from error
            if len(completion.text) > MAX_REPLY_CHARACTERS:
                raise ModelError(f"{model.name} replied with {len(completion.text):,} characters", model=model.name)
            usage = completion.usage
            if usage is not None:
                booked = self.meter.settle(hold, usage.input_tokens, usage.output_tokens, usage.cached_input_tokens)
            else:
                booked = self.meter.forfeit(hold)
            return Call(completion=completion, booked=booked, seconds=time.monotonic() - started)
        finally:
            if booked is None:
                self.meter.forfeit(hold)
            self._settled.set()
            self._settled = anyio.Event()
