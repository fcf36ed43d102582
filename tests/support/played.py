"""Models that play what a test of single calls needs, and what is left over after them."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import anyio
import anyio.lowlevel

from divebell import Completion, ModelError, ModelRequest, Rate, Usage
from divebell.calls.metered_calls import MeteredCalls
from divebell_bridge.money.amounts import NOTHING
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.rates import RateCard

CENT_PER_TOKEN = Rate.per_million("0", "10000")
CARD = RateCard({"m": CENT_PER_TOKEN, "other": CENT_PER_TOKEN})
CENT = 10**10

Play = Callable[[ModelRequest], Awaitable[Completion]]


class Played:
    """A model that is one function; it counts what reached it, and how many were there at once."""

    def __init__(self, play: Play, name: str = "m") -> None:
        self.name = name
        self._play = play
        self.requests: list[ModelRequest] = []
        self.now = 0
        self.peak = 0

    async def complete(self, request: ModelRequest) -> Completion:
        self.requests.append(request)
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            return await self._play(request)
        finally:
            self.now -= 1


def replying(output_tokens: int = 1, *, seconds: float = 0.002) -> Play:
    async def play(request: ModelRequest) -> Completion:
        await anyio.sleep(seconds)
        return Completion(text="yes", usage=Usage(input_tokens=1, output_tokens=output_tokens))

    return play


def failing(*errors: ModelError) -> Play:
    """Raises the errors one after another, and then replies."""
    left = list(errors)

    async def play(request: ModelRequest) -> Completion:
        await anyio.lowlevel.checkpoint()
        if left:
            raise left.pop(0)
        return Completion(text="yes", usage=Usage(input_tokens=1, output_tokens=1))

    return play


def asking(output_tokens: int = 4, text: str = "?") -> ModelRequest:
    return ModelRequest(messages=({"role": "user", "content": text},), max_output_tokens=output_tokens)


def cents(meter: Meter) -> Decimal:
    dollars = meter.summary()["dollars"]
    assert isinstance(dollars, Decimal)
    return dollars * 100


async def outcomes(
    calls: MeteredCalls, meter: Meter, model: Played, requests: list[ModelRequest], **options: Any
) -> list[object]:
    """All at once, each one's Call or error."""
    results: list[object] = [None] * len(requests)

    async def one(index: int) -> None:
        try:
            results[index] = await calls(meter, model, requests[index], **options)
        except Exception as error:
            results[index] = error

    async with anyio.create_task_group() as group:
        for index in range(len(requests)):
            group.start_soon(one, index)
    return results


def nothing_is_left_over(calls: MeteredCalls, meter: Meter, concurrency: int) -> None:
    meter.ledger.backlog.finish_all()
    account = meter.ledger.account(meter._account_id)
    assert account is not None
    assert account.held == NOTHING
    assert meter.summary()["held_dollars"] == 0
    assert calls._queue._places.value == concurrency
    assert not any(gate.locked() for gate in calls._queue._gates.values())
