"""Retries of a metered call: each is a hold of its own, bounded, and after the pause that the endpoint asks for."""

import math
import time
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from divebell import Budget, Completion, ModelError, ModelRequest, Usage
from divebell.calls import metered_calls as calls_module
from divebell.calls.metered_calls import MAX_ATTEMPTS, MeteredCalls
from divebell_bridge.money.amounts import Amounts
from divebell_bridge.money.escrow import Bid, Grant, HoldEntry
from divebell_bridge.money.memory_ledger import MemoryLedger
from divebell_bridge.money.meter import Meter
from tests.support.played import (
    CARD,
    Played,
    asking,
    cents,
    failing,
    nothing_is_left_over,
)


class Recording(MemoryLedger):
    """Keeps the ids of all holds, and how they ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.ends: list[str] = []

    def hold(self, account_id: str, hold_id: str, bid: Bid, **options: Any) -> Grant:
        grant = super().hold(account_id, hold_id, bid, **options)
        self.ids.append(hold_id)
        return grant

    def settle(self, hold_id: str, spent: Amounts, **options: Any) -> HoldEntry:
        entry = super().settle(hold_id, spent, **options)
        self.ends.append(entry.state)
        return entry


def test_each_attempt_is_a_hold_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "FIRST_RETRY_SECONDS", 0.001)

    async def main() -> None:
        ledger = Recording()
        meter = Meter(Budget(dollars="1"), CARD, ledger=ledger)
        model = Played(failing(ModelError("500", may_retry=True), ModelError("429", may_retry=True, never_ran=True)))
        call = await MeteredCalls({"m": model}, max_concurrent=4)(meter, model, asking(), name="sub-call 1")
        assert call.attempts == len(set(ledger.ids)) == 3
        assert ledger.ends == ["uncertain", "refunded", "settled"]
        assert cents(meter) == 4 + 0 + 1

    anyio.run(main)


def test_attempts_are_bounded_and_every_one_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "FIRST_RETRY_SECONDS", 0.001)

    async def main() -> None:
        meter = Meter(Budget(dollars="1"), CARD)
        model = Played(failing(*[ModelError("500", may_retry=True)] * 50))
        calls = MeteredCalls({"m": model}, max_concurrent=4)
        with pytest.raises(ModelError, match="500"):
            await calls(meter, model, asking())
        assert len(model.requests) == MAX_ATTEMPTS
        assert cents(meter) == 4 * MAX_ATTEMPTS
        nothing_is_left_over(calls, meter, 4)

    anyio.run(main)


def test_a_retry_that_the_budget_does_not_allow_tells_of_the_failure_that_it_was_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls_module, "FIRST_RETRY_SECONDS", 0.001)

    async def main() -> None:
        meter, model = Meter(Budget(dollars="0.05"), CARD), Played(failing(ModelError("500", may_retry=True)))
        with pytest.raises(ModelError, match="500"):
            await MeteredCalls({"m": model}, max_concurrent=4)(meter, model, asking())
        assert len(model.requests) == 1

    anyio.run(main)


@pytest.mark.parametrize("asked", [60.1, 10.0**12, math.inf, math.nan])
def test_an_endpoint_that_asks_for_too_long_a_pause_has_its_call_fail(asked: float) -> None:
    async def main() -> None:
        meter = Meter(Budget(dollars="1"), CARD)
        model = Played(failing(ModelError("429", may_retry=True, never_ran=True, retry_after_seconds=asked)))
        with pytest.raises(ModelError, match="429"):
            await MeteredCalls({"m": model}, max_concurrent=4)(meter, model, asking())
        assert len(model.requests) == 1

    anyio.run(main)


@pytest.mark.parametrize("asked", [0.0, -5.0])
def test_a_pause_of_nothing_or_less_is_none(asked: float) -> None:
    async def main() -> None:
        meter = Meter(Budget(dollars="1"), CARD)
        model = Played(failing(ModelError("429", may_retry=True, never_ran=True, retry_after_seconds=asked)))
        call = await MeteredCalls({"m": model}, max_concurrent=4)(meter, model, asking())
        assert call.attempts == 2

    anyio.run(main)


@pytest.mark.slow
def test_a_pause_that_an_endpoint_asks_for_holds_for_all_calls_of_its_model_and_no_others() -> None:
    pause = 1.0

    async def main() -> None:
        meter = Meter(Budget(dollars="9"), CARD)
        asked_at: list[float] = []
        began: dict[str, list[float]] = {"m": [], "other": []}

        async def play(request: ModelRequest) -> Completion:
            began["m"].append(time.monotonic())
            if not asked_at:
                asked_at.append(time.monotonic())
                raise ModelError("429", may_retry=True, never_ran=True, retry_after_seconds=pause)
            return Completion(text="yes", usage=Usage(output_tokens=1))

        async def play_other(request: ModelRequest) -> Completion:
            began["other"].append(time.monotonic())
            return Completion(text="yes", usage=Usage(output_tokens=1))

        model, other = Played(play), Played(play_other, "other")
        calls = MeteredCalls({"m": model, "other": other}, max_concurrent=1)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(calls, meter, model, asking())
            while not asked_at:
                await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            for _ in range(3):
                group.start_soon(calls, meter, model, asking())
            await calls(meter, other, asking())
            assert len(began["m"]) == 1
        late = sorted(began["m"])[1:]
        assert len(late) == 6
        assert min(late) >= asked_at[0] + pause
        assert began["other"][0] < min(late)

    anyio.run(main)
