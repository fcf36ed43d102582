"""Threads and processes that race for the last of one cap: never over it, nothing stuck, nobody starved, and all of the
money that fits used. DIVEBELL_LEDGER_CALLS says how many calls the processes race (10,000 for the full form)."""

import multiprocessing
import os
import random
import threading
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from divebell import Completion, ModelRequest, Usage
from divebell.calls.metered_calls import MeteredCalls
from divebell_bridge.money import escrow
from divebell_bridge.money.amounts import Caps, Limit
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.charges import Hold
from divebell_bridge.money.errors import BudgetExceeded, LedgerBusyError
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.patience import retry_while_busy
from divebell_bridge.money.rates import Rate, RateCard
from divebell_bridge.money.sqlite.ledger import SQLiteLedger

pytestmark = pytest.mark.slow


CALLS = int(os.environ.get("DIVEBELL_LEDGER_CALLS", "1200"))
PROCESSES = 4
THREADS = 4
HELD = 10
"""What each call holds, in pico-dollars; it costs from 1 to as much."""
CARD = RateCard({"m": Rate(0, 1)})


def cap_for(calls: int) -> int:
    """About six in ten of the calls fit, so that there is a race for the last ones."""
    return calls * 55 * 6 // 100


def patiently_held(meter: Meter, rng: random.Random) -> Hold | None:
    """A hold, once there is room; None when there never will be."""
    while True:
        try:
            return meter.hold("m", [], HELD)
        except LedgerBusyError:
            time.sleep(rng.uniform(0.0005, 0.005))
        except BudgetExceeded as refusal:
            if not refusal.waiting_helps:
                return None
            time.sleep(rng.uniform(0.0002, 0.002))


def settled(meter: Meter, hold: Hold, rng: random.Random) -> int:
    cost = rng.randint(1, HELD)
    while True:
        try:
            return meter.settle(hold.charge(0, cost)).spent_picodollars
        except LedgerBusyError:
            time.sleep(rng.uniform(0.0005, 0.005))


def caller(meter: Meter, calls: int, seed: int, sums: list[tuple[int, int]]) -> None:
    """Makes its calls one after the other, until they are made or there is no money for any more."""
    rng = random.Random(seed)
    spent = made = 0
    for _ in range(calls):
        hold = patiently_held(meter, rng)
        if hold is None:
            break
        spent += settled(meter, hold, rng)
        made += 1
    sums.append((made, spent))


def in_threads(meters: list[Meter], calls: int, seed: int) -> tuple[int, int]:
    """What all callers made and spent together; one thread for each meter."""
    sums: list[tuple[int, int]] = []
    threads = [
        threading.Thread(target=caller, args=(meter, calls // len(meters), seed * 1000 + number, sums))
        for number, meter in enumerate(meters)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sums) == len(threads)
    return sum(made for made, _ in sums), sum(spent for _, spent in sums)


def test_thirty_two_threads_race_ten_thousand_calls_for_one_cap_in_memory() -> None:
    cap = cap_for(10_000)
    meter = Meter(Budget(dollars=Decimal(cap).scaleb(-12)), CARD)
    made, spent = in_threads([meter] * 32, 10_000, 1)
    summary = meter.summary()
    assert cap - HELD < spent <= cap
    assert summary["dollars"] == Decimal(spent).scaleb(-12)
    assert (summary["calls"], summary["held_dollars"]) == (made, 0)


class Playing:
    """A model whose replies cost from 1 to all that it was allowed."""

    name = "m"

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.spent = 0
        self.made = 0

    async def complete(self, request: ModelRequest) -> Completion:
        await anyio.sleep(0)
        cost = self._rng.randint(1, request.max_output_tokens)
        self.spent += cost
        self.made += 1
        return Completion(text="", usage=Usage(output_tokens=cost))


async def on_a_loop(meter: Meter, calls: int, seed: int) -> tuple[int, int]:
    """A whole batch at once on one event loop, as a run's cell makes it."""
    model = Playing(seed)
    door = MeteredCalls({"m": model}, max_concurrent=16)
    ended = 0

    async def one() -> None:
        nonlocal ended
        with suppress(BudgetExceeded):
            await door(meter, model, ModelRequest(messages=(), max_output_tokens=HELD))
        ended += 1

    async with anyio.create_task_group() as group:
        for _ in range(calls):
            group.start_soon(one)
    assert ended == calls
    return model.made, model.spent


def worker(path: str, kind: str, calls: int, seed: int, begin: Any, results: Any) -> None:
    """One process of the race."""
    try:
        with SQLiteLedger(path) as ledger:
            day = ledger.tenant("acme")
            meters = [Meter(Budget(), CARD, ledger=ledger, parent_account=day) for _ in range(THREADS)]
            results.put("ready")
            begin.wait(300)
            if kind == "threads":
                found = in_threads(meters, calls, seed)
            else:
                found = anyio.run(on_a_loop, meters[0], calls, seed)
            results.put(found)
    except BaseException as error:
        results.put(repr(error))
        raise


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["threads", "event loops"])
def test_four_processes_race_for_one_cap_in_one_file(kind: str, tmp_path: Path) -> None:
    cap = cap_for(CALLS)
    path = tmp_path / "ledger.db"
    context = multiprocessing.get_context("spawn")
    begin, results = context.Event(), context.Queue()
    with SQLiteLedger(path) as ledger:
        ledger.tenant("acme", total=Caps(cap, None, None))
        processes = [
            context.Process(target=worker, args=(str(path), kind, CALLS // PROCESSES, seed, begin, results))
            for seed in range(PROCESSES)
        ]
        for process in processes:
            process.start()
        assert [results.get(timeout=300) for _ in processes] == ["ready"] * PROCESSES
        started = time.monotonic()
        begin.set()
        sums = [results.get(timeout=800) for _ in processes]
        seconds = time.monotonic() - started
        for process in processes:
            process.join(300)
            assert process.exitcode == 0
        assert all(isinstance(found, tuple) for found in sums), sums
        made, spent = sum(found[0] for found in sums), sum(found[1] for found in sums)
        print(f"{kind}: {made:,} calls by {PROCESSES} processes in {seconds:.1f} s, {spent:,} of {cap:,} spent")
        account = ledger.account("tenant:acme")
        assert account is not None
        assert account.spent.picodollars == spent
        assert account.spent.calls == made
        assert cap - HELD < spent <= cap
        assert account.held.picodollars == account.overdrawn.picodollars == 0


def in_use(ledger: SQLiteLedger) -> int:
    """What all calls for the tenant cost or hold, whoever was given what, at one moment."""
    with ledger._reading() as books:
        tenant = books.account("tenant:acme")
        assert tenant is not None
        bound = escrow.in_use(tenant, 0, Limit.PICODOLLARS, lambda account: books.open_below(account.id))
        return bound.spent + bound.held


@pytest.mark.parametrize("seed", range(3))
def test_a_cap_lowered_in_the_middle_of_a_race_is_kept_from_that_moment_on(seed: int, tmp_path: Path) -> None:
    """Each of four ledgers on one file has a run with a budget of its own, and spends as fast as it can."""
    path, low = tmp_path / "ledger.db", 2_000
    ledgers = [SQLiteLedger(path) for _ in range(4)]
    day = ledgers[0].tenant("acme", total=Caps(40_000, None, None))
    meters = [
        Meter(Budget(dollars="0.00000001"), CARD, ledger=each, parent_account=day, run_id=str(number))
        for number, each in enumerate(ledgers)
    ]
    sums: list[tuple[int, int]] = []
    threads = [
        threading.Thread(target=caller, args=(meter, 400, seed * 10 + at, sums)) for at, meter in enumerate(meters)
    ]
    for thread in threads:
        thread.start()
    with SQLiteLedger(path) as operators:
        while in_use(operators) < 1_000 * (seed + 1):  # lowered under what is in use already, and over it
            time.sleep(0.001)
        retry_while_busy(lambda: operators.tenant("acme", total=Caps(low, None, None)))
        just_after = in_use(operators)
        for thread in threads:
            thread.join()
        assert in_use(operators) <= max(low, just_after)
        for meter in meters:
            meter.close()
        for each in ledgers:
            each.close()
        tenant = operators.account("tenant:acme")
        assert tenant is not None
        assert tenant.held.picodollars == 0
        assert tenant.spent.picodollars == sum(spent for _, spent in sums) <= max(low, just_after)
        assert tenant.spent.picodollars > low - HELD
