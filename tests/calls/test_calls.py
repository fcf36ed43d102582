"""One metered call: its hold always ends, its place is always given back, whatever becomes of it; and near the cap calls
wait for each other instead of failing."""

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from divebell import Budget, BudgetExceeded, Completion, ModelError, ModelRequest, Usage
from divebell.calls import hold_queue, ledger_waiting
from divebell.calls import metered_calls as calls_module
from divebell.calls.metered_calls import MeteredCalls
from divebell_bridge.money.amounts import NOTHING, Amounts, Caps
from divebell_bridge.money.errors import LedgerBusyError
from divebell_bridge.money.escrow import Bid, Grant, HoldEntry
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.memory_ledger import MemoryLedger
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.rates import RateCard
from divebell_bridge.money.sqlite.ledger import SQLiteLedger
from tests.support.names import name_value
from tests.support.played import (
    CARD,
    CENT,
    Played,
    asking,
    cents,
    failing,
    nothing_is_left_over,
    outcomes,
    replying,
)


def test_near_the_cap_calls_wait_for_those_in_flight_and_all_that_fit_are_served() -> None:
    """Each holds 4 cents and costs 1. Of 8 cents two can be held at once, and 5 served: then 4 do not fit any more."""

    async def main() -> None:
        meter, model = Meter(Budget(dollars="0.08"), CARD), Played(replying())
        calls = MeteredCalls({"m": model}, max_concurrent=16)
        found = await outcomes(calls, meter, model, [asking()] * 12)
        refused = [each for each in found if isinstance(each, BudgetExceeded)]
        assert (len(model.requests), len(refused), cents(meter)) == (5, 7, 5)
        assert model.peak == 2
        assert not any(refusal.waiting_helps for refusal in refused)
        nothing_is_left_over(calls, meter, 16)

    anyio.run(main)


def test_a_call_that_could_not_fit_even_alone_is_refused_at_once() -> None:
    async def main() -> None:
        meter = Meter(Budget(dollars="0.08"), CARD)
        release = anyio.Event()

        async def held_up(request: ModelRequest) -> Completion:
            await release.wait()
            return Completion(text="yes", usage=Usage(output_tokens=1))

        model = Played(held_up)
        calls = MeteredCalls({"m": model}, max_concurrent=16)
        async with anyio.create_task_group() as group:
            group.start_soon(calls, meter, model, asking())
            await anyio.sleep(0.01)
            with pytest.raises(BudgetExceeded, match=r"may cost \$0.09"):
                await calls(meter, model, asking(9))
            release.set()

    anyio.run(main)


def test_calls_are_served_in_their_order_and_a_small_one_does_not_overtake_a_large_one_for_ever() -> None:
    async def main() -> None:
        meter, model = Meter(Budget(dollars="0.10"), CARD), Played(replying(0))
        calls = MeteredCalls({"m": model}, max_concurrent=16)
        sizes = [6, 9, 1, 6, 1, 1, 9, 2]
        await outcomes(calls, meter, model, [asking(size, str(index)) for index, size in enumerate(sizes)])
        assert [request.max_output_tokens for request in model.requests] == sizes

    anyio.run(main)


def test_a_parent_that_waits_for_its_childs_allotment_does_not_take_the_childs_only_place() -> None:
    """With one place for all: who waits for money must not sit on what the holder of the money needs."""

    async def main() -> None:
        meter, model = Meter(Budget(dollars="0.10"), CARD), Played(replying())
        calls = MeteredCalls({"m": model}, max_concurrent=1)
        child = meter.child("0.1", sharing=2)

        async def work() -> None:
            for _ in range(3):
                await anyio.sleep(0.01)
                await calls(child, model, asking(2))
            child.close()

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            await calls(meter, model, asking(7))
        assert [request.max_output_tokens for request in model.requests] == [2, 2, 2, 7]
        assert cents(meter) == 4
        nothing_is_left_over(calls, meter, 1)

    anyio.run(main)


def test_the_lowered_output_limit_is_what_the_provider_is_sent() -> None:
    async def main() -> None:
        meter, model = Meter(Budget(dollars="0.07"), CARD), Played(replying(7))
        calls = MeteredCalls({"m": model}, max_concurrent=4)
        await calls(meter, model, asking(100), least_output_tokens=5)
        assert [request.max_output_tokens for request in model.requests] == [7]
        assert cents(meter) == 7
        with pytest.raises(BudgetExceeded):
            await calls(meter, model, asking(100), least_output_tokens=5)

    anyio.run(main)


def test_the_output_limit_is_not_lowered_under_its_floor() -> None:
    async def main() -> None:
        meter, model = Meter(Budget(dollars="0.07"), CARD), Played(replying())
        with pytest.raises(BudgetExceeded):
            await MeteredCalls({"m": model}, max_concurrent=4)(meter, model, asking(100), least_output_tokens=8)
        assert model.requests == []
        assert cents(meter) == 0

    anyio.run(main)


UNAVAILABLE = {"may_retry": True}
BILLED = Usage(input_tokens=1, output_tokens=3)


@pytest.mark.parametrize(
    ("error", "charged_cents"),
    [
        (ModelError("500"), 4),
        (ModelError("no connection", never_ran=True), 0),
        (ModelError("another tier", usage=BILLED), 3),
        (ModelError("refused, and yet counted", never_ran=True, usage=BILLED), 0),
        (ValueError("an adapter that breaks its contract"), 4),
        (TimeoutError(), 4),
    ],
    ids=str,
)
def test_a_failed_call_costs_its_hold_unless_it_surely_never_ran_or_was_counted(
    error: Exception, charged_cents: int
) -> None:
    async def main() -> None:
        meter, model = Meter(Budget(dollars="1"), CARD), Played(failing(error))  # type: ignore[arg-type]
        calls = MeteredCalls({"m": model}, max_concurrent=4)
        with pytest.raises(ModelError):
            await calls(meter, model, asking())
        assert cents(meter) == charged_cents
        nothing_is_left_over(calls, meter, 4)

    anyio.run(main)


@pytest.mark.parametrize(
    "reply",
    [
        None,
        "text",
        Completion(text=None),  # type: ignore[arg-type]
        Completion(text="x", usage=Usage(input_tokens=None)),  # type: ignore[arg-type]
        Completion(text="x", usage=Usage(output_tokens=0.5)),  # type: ignore[arg-type]
        Completion(text="x", usage=Usage(output_tokens="0")),  # type: ignore[arg-type]
        Completion(text="x", usage=Usage(output_tokens=-(10**9))),
        Completion(text="x", usage=Usage(input_tokens=1, cached_input_tokens=2)),
        Completion(text="x"),
    ],
    ids=name_value,
)
def test_a_reply_that_makes_no_sense_costs_the_whole_hold(reply: Any) -> None:
    async def main() -> None:
        async def play(request: ModelRequest) -> Completion:
            return reply  # type: ignore[no-any-return]

        meter, model = Meter(Budget(dollars="1"), CARD), Played(play)
        calls = MeteredCalls({"m": model}, max_concurrent=4)
        found = await outcomes(calls, meter, model, [asking()])
        assert isinstance(found[0], (ModelError, calls_module.CallRecord))
        assert cents(meter) == 4
        nothing_is_left_over(calls, meter, 4)

    anyio.run(main)


@pytest.mark.parametrize("shared", [False, True], ids=["memory", "sqlite"])
def test_an_absurd_usage_is_not_booked_but_stops_the_run(shared: bool, tmp_path: Path) -> None:
    """More than a ledger can hold: booked, it would overflow every sum above it, or fail to be booked at all."""

    async def main() -> None:
        ledger: Ledger = SQLiteLedger(tmp_path / "ledger.db") if shared else MemoryLedger()
        meter, model = Meter(Budget(dollars="1"), CARD, ledger=ledger), Played(replying(10**30))
        calls = MeteredCalls({"m": model}, max_concurrent=4)
        await calls(meter, model, asking())
        assert cents(meter) == 4
        with pytest.raises(BudgetExceeded, match="takes no more calls"):
            await calls(meter, model, asking())
        nothing_is_left_over(calls, meter, 4)
        meter.close()
        ledger.close()

    anyio.run(main)


class Busy(MemoryLedger):
    """Another process is always just writing: each operation succeeds only the third time that it is tried."""

    always = False

    def __init__(self) -> None:
        super().__init__()
        self.tries: Counter[tuple[str, str]] = Counter()

    def _answer(self, operation: str, hold_id: str) -> None:
        self.tries[operation, hold_id] += 1
        if self.always or self.tries[operation, hold_id] % 3:
            raise LedgerBusyError("busy")

    def hold(self, account_id: str, hold_id: str, bid: Bid, **options: Any) -> Grant:
        self.backlog.catch_up()
        self._answer("hold", hold_id)
        return super().hold(account_id, hold_id, bid, **options)

    def settle(self, hold_id: str, spent: Amounts, **options: Any) -> HoldEntry:
        self._answer("settle", hold_id)
        return super().settle(hold_id, spent, **options)


def test_a_busy_ledger_is_waited_for() -> None:
    async def main() -> None:
        ledger = Busy()
        meter, model = Meter(Budget(dollars="1"), CARD, ledger=ledger), Played(replying())
        calls = MeteredCalls({"m": model}, max_concurrent=4)
        await outcomes(calls, meter, model, [asking()] * 5, name=None)
        assert (len(model.requests), cents(meter)) == (5, 5)
        nothing_is_left_over(calls, meter, 4)
        assert sorted(ledger.tries.values()) == [3] * 10

    anyio.run(main)


def test_a_ledger_that_stays_busy_fails_the_call_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_waiting, "LEDGER_PATIENCE_SECONDS", 0.05)

    async def main() -> None:
        ledger = Busy()
        meter, model = Meter(Budget(dollars="1"), CARD, ledger=ledger), Played(replying())
        ledger.always = True
        calls = MeteredCalls({"m": model}, max_concurrent=4)
        with pytest.raises(LedgerBusyError):
            await calls(meter, model, asking())
        assert model.requests == []
        nothing_is_left_over(calls, meter, 4)

    anyio.run(main)


def test_a_ledger_that_cannot_settle_keeps_the_money_held_until_it_can() -> None:
    """The reply is paid for, so it comes back; the ledger is told of it later."""

    async def main() -> None:
        ledger = Busy()
        day = ledger.tenant("acme", total=Caps(100 * CENT, None, None))
        meter = Meter(Budget(dollars="1"), CARD, ledger=ledger, parent_account=day)

        async def play(request: ModelRequest) -> Completion:
            ledger.always = True
            return Completion(text="yes", usage=Usage(output_tokens=1))

        model = Played(play)
        calls = MeteredCalls({"m": model}, max_concurrent=4)
        assert (await calls(meter, model, asking())).completion.text == "yes"
        assert calls._queue._places.value == 4
        account = ledger.account(meter._account_id)
        assert account is not None
        assert (account.spent.picodollars, account.held.picodollars) == (0, 4 * CENT)
        assert not meter.close()
        assert cents(meter) == 1
        ledger.always = False
        ledger.backlog.finish_all()
        tenant = ledger.account("tenant:acme")
        assert tenant is not None
        assert (tenant.spent.picodollars, tenant.held) == (CENT, NOTHING)

    anyio.run(main)


@pytest.mark.parametrize("moment", range(60))
def test_a_cancellation_at_any_moment_leaves_no_hold_open_and_no_place_taken(
    moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some calls wait for money, some for a place, some for the model, some for their next attempt, some for a ledger
    that is busy. Whatever reached the model is paid for; whatever did not costs nothing."""
    monkeypatch.setattr(calls_module, "FIRST_RETRY_SECONDS", 0.002)
    monkeypatch.setattr(hold_queue, "LOOK_AGAIN_SECONDS", 0.002)

    async def main() -> None:
        ledger = Busy()
        meter = Meter(Budget(dollars="0.40"), CARD, ledger=ledger)
        never_ran = 0

        async def play(request: ModelRequest) -> Completion:
            nonlocal never_ran
            await anyio.sleep(0.002)
            number = len(model.requests)
            if number % 3 == 0:
                never_ran += number % 2
                raise ModelError("no", may_retry=True, never_ran=number % 2 == 1)
            return Completion(text="yes", usage=Usage(output_tokens=1))

        model = Played(play)
        calls = MeteredCalls({"m": model}, max_concurrent=3)

        async def hidden(meter: Meter) -> None:
            with suppress(ModelError, BudgetExceeded):
                await calls(meter, model, asking(10))

        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(hidden, meter)
                for _ in range(moment):
                    await (anyio.sleep(0.0005) if moment % 2 else anyio.lowlevel.checkpoint())
                scope.cancel()
        nothing_is_left_over(calls, meter, 3)
        account = ledger.account(meter._account_id)
        assert account is not None
        assert account.spent.calls == len(model.requests) - never_ran
        assert account.spent.picodollars == int(cents(meter)) * CENT
        meter.close()

    anyio.run(main)


def test_money_that_another_process_gives_back_is_noticed(tmp_path: Path) -> None:
    """Nobody tells us of it: the ledger is looked at again."""

    async def main() -> None:
        path = tmp_path / "ledger.db"
        with SQLiteLedger(path) as ours, SQLiteLedger(path) as theirs:
            day = ours.tenant("acme", total=Caps(10 * CENT, None, None))
            their_run = Meter(Budget(dollars="0.08"), CARD, ledger=theirs, parent_account=day)
            our_run = Meter(Budget(), CARD, ledger=ours, parent_account=day)
            model = Played(replying())
            calls = MeteredCalls({"m": model}, max_concurrent=4)
            async with anyio.create_task_group() as group:
                group.start_soon(calls, our_run, model, asking(5))
                await anyio.sleep(0.1)
                assert model.requests == []
                their_run.close()
            assert len(model.requests) == 1
            our_run.close()

    anyio.run(main)


def test_a_cap_that_a_tenant_gets_while_its_run_is_going_counts_for_models_without_a_price_too() -> None:
    ledger = MemoryLedger()
    day = ledger.tenant("acme")
    meter = Meter(Budget(), RateCard(), ledger=ledger, parent_account=day)
    meter.settle(meter.hold("nonesuch", ["?"], 4).charge(1, 1))
    ledger.tenant("acme", total=Caps(CENT, None, None))
    with pytest.raises(Exception, match="price of 'nonesuch' is not known"):
        meter.hold("nonesuch", ["?"], 4)


def test_a_run_that_is_settled_while_its_account_cannot_be_closed_is_charged_once() -> None:
    """The ledger is busy as the run ends; a call that settles before it is told of that finds the run over."""

    class Closing(MemoryLedger):
        fails = True

        def close_account(self, account_id: str) -> Amounts:
            if self.fails:
                self.fails = False
                raise LedgerBusyError("busy")
            return super().close_account(account_id)

    ledger = Closing()
    day = ledger.tenant("acme")
    meter = Meter(Budget(dollars="1"), CARD, ledger=ledger, parent_account=day)
    hold = meter.hold("m", ["?"], 4)
    assert not meter.close()
    meter.settle(hold.charge(1, 1))
    ledger.backlog.finish_all()
    assert meter.close()
    tenant = ledger.account("tenant:acme")
    assert tenant is not None
    assert tenant.spent.picodollars == 4 * CENT == int(cents(meter)) * CENT


def test_the_floor_of_a_sub_call_is_no_trap_for_short_ones() -> None:
    """A call that asks for fewer tokens than the floor is neither raised to it nor refused for it."""

    async def main() -> None:
        meter, model = Meter(Budget(dollars="0.02"), CARD), Played(replying(2))
        await MeteredCalls({"m": model}, max_concurrent=4)(meter, model, asking(2), least_output_tokens=256)
        assert [request.max_output_tokens for request in model.requests] == [2]

    anyio.run(main)
