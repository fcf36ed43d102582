"""Runs of one tenant whose budgets do not fit beside each other: they wait, in order, for what comes back; not for ever,
not for what is spent, and nobody is stuck."""

import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from divebell import RLM, Budget, BudgetExceeded, Completion, Engine, ModelRequest, Rate, SQLiteLedger, Tenant, Usage
from divebell.calls import funding, hold_queue
from divebell_bridge.money.amounts import Amounts, Caps
from divebell_bridge.money.escrow import Fixed

RATES = {"gate": Rate.per_million("0", "10000")}  # a cent a token of output
TEN_CENTS = Budget(dollars="0.10")


class Gate:
    """A model that answers each question once it is let through. `at_work` are the questions that it was asked."""

    name = "gate"

    def __init__(self, *, is_open: bool = False) -> None:
        self.at_work: list[str] = []
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        self._open = threading.Event()
        if is_open:
            self._open.set()

    async def complete(self, request: ModelRequest) -> Completion:
        with self._lock:
            self.at_work.append(str(request.messages[-1]["content"]))
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            while not self._open.is_set():
                await anyio.sleep(0.002)
            await anyio.sleep(0.005)
        finally:
            with self._lock:
                self._now -= 1
        return Completion(text="FINAL(done)", usage=Usage(output_tokens=1))

    def let_through(self) -> None:
        self._open.set()


@pytest.fixture(params=["memory", "sqlite"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with Engine(ledger=None if request.param == "memory" else tmp_path / "ledger.db", rates=RATES) as engine:
        yield engine


def acme(engine: Engine, cap: str = "0.50") -> Tenant:
    return engine.tenant("acme", total=Budget(dollars=cap))


def rlm(tenant: Tenant, model: Gate, budget: Budget = TEN_CENTS, **options: Any) -> RLM:
    return tenant.rlm(model, budget=budget, max_output_tokens=1, max_iterations=1, **options)


def is_left_over(engine: Engine) -> tuple[int, int]:
    """What is still held, and the tickets of those who still wait."""
    account = engine.ledger.account("tenant:acme")
    assert account is not None
    day = engine.ledger.tenant("acme")
    last = engine.ledger.stand_in_line(day)
    is_first = engine.ledger.is_first_in_line(day, last)
    engine.ledger.leave_line(last)
    return account.held.picodollars, int(not is_first)


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not condition():
            await anyio.sleep(0.002)


def waiting(engine: Engine) -> int:
    """How many stand in line in this process."""
    return len(engine.ledger.changes._callbacks)


def test_twenty_runs_of_which_five_fit_at_once_all_answer_in_the_order_in_which_they_came(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is that in which accounts open. Two that have theirs race to their models, as anybody does."""
    gate = Gate(is_open=True)
    tenant = acme(engine)
    opened: list[str] = []
    open_account = engine.ledger.open

    def open_and_note(account_id: str, **options: Any) -> Any:
        caps = open_account(account_id, **options)
        opened.append(account_id)
        return caps

    monkeypatch.setattr(engine.ledger, "open", open_and_note)
    runs: dict[str, int] = {}

    async def ask(number: int) -> None:
        runs[(await rlm(tenant, gate).arun("context", "question")).run_id] = number

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(ask, number)
                await until(lambda number=number: len(opened) + waiting(engine) > number)  # type: ignore[misc]

    anyio.run(main)
    assert [runs[account_id.removeprefix("run:").removesuffix("/0")] for account_id in opened] == list(range(20))
    assert gate.most_at_once <= 5
    assert is_left_over(engine) == (0, 0)
    account = engine.ledger.account("tenant:acme")
    assert account is not None
    assert account.spent.picodollars == 20 * 10**10


@pytest.mark.slow
def test_runs_on_threads_and_loops_of_their_own_wait_for_each_other(engine: Engine) -> None:
    gate, tenant, answers = Gate(is_open=True), acme(engine, "0.20"), []

    def ask() -> None:
        answers.append(rlm(tenant, gate).run("context", "question").answer)

    threads = [threading.Thread(target=ask) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert answers == ["done"] * 9
    assert gate.most_at_once <= 2
    assert is_left_over(engine) == (0, 0)


@pytest.mark.slow
def test_who_waits_longer_than_its_budget_of_seconds_is_told_who_holds_the_money(engine: Engine) -> None:
    gate, tenant = Gate(), acme(engine)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(rlm(tenant, gate).arun, "context", "question")
            await until(lambda: len(gate.at_work) == 5)
            with pytest.raises(BudgetExceeded) as refused:
                await rlm(tenant, gate, Budget(dollars="0.10", seconds=0.2)).arun("context", "late")
            gate.let_through()
        error = refused.value
        assert (
            "nothing is free for a budget of $0.1: $0.5 of $0.5 is set aside by 5 other runs of tenant 'acme'"
            in str(error)
        )
        assert "has waited 0.2 s for it" in str(error)
        assert (error.limit, error.waiting_helps, len(error.held_by)) == ("dollars", True, 5)
        assert all(path.startswith("run ") for path in error.held_by)

    anyio.run(main)
    assert len(gate.at_work) == 5
    assert is_left_over(engine) == (0, 0)


def test_without_a_budget_of_seconds_the_wait_has_a_bound_of_its_own(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(funding, "WAIT_SECONDS", 0.1)
    acme(engine)
    day = engine.ledger.tenant("acme")
    engine.ledger.open("holder", kind="run", label="holder", parent=day, wanted=Caps(5 * 10**11, None, None))
    with pytest.raises(BudgetExceeded, match=r"1 other run of tenant 'acme'.*has waited 0\.1 s") as refused:
        rlm(engine.tenant("acme"), Gate()).run("context", "question")
    assert refused.value.held_by == ("holder",)
    engine.ledger.close_account("holder")
    assert is_left_over(engine) == (0, 0)


@pytest.mark.slow
def test_after_half_of_its_time_a_run_takes_what_is_free(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds the most of it for hours: better a smaller budget than none."""
    monkeypatch.setattr(funding, "WAIT_SECONDS", 0.4)
    tenant, gate = acme(engine), Gate(is_open=True)
    day = engine.ledger.tenant("acme")
    engine.ledger.open("holder", kind="run", label="holder", parent=day, wanted=Caps(45 * 10**10, None, None))
    assert rlm(tenant, gate).run("context", "question").answer == "done"
    engine.ledger.close_account("holder")


@pytest.mark.slow
def test_a_run_that_is_cancelled_while_it_waits_keeps_nobody_waiting(engine: Engine) -> None:
    gate, tenant = Gate(), acme(engine, "0.10")

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(rlm(tenant, gate).arun, "context", "first")
            await until(lambda: len(gate.at_work) == 1)
            second = anyio.CancelScope()
            group.start_soon(_within, second, rlm(tenant, gate))
            await until(lambda: waiting(engine) == 1)
            group.start_soon(rlm(tenant, gate).arun, "context", "third")
            await until(lambda: waiting(engine) == 2)
            second.cancel()
            await until(lambda: waiting(engine) == 1)
            gate.let_through()

    async def _within(scope: anyio.CancelScope, cancelled: RLM) -> None:
        with scope:
            await cancelled.arun("context", "second")

    anyio.run(main)
    assert len(gate.at_work) == 2
    assert "third" in gate.at_work[1]
    assert is_left_over(engine) == (0, 0)


@pytest.mark.slow
def test_what_is_spent_is_not_waited_for(engine: Engine) -> None:
    """The rest of a cap is a run's at once, and where nothing is left it is refused at once."""
    tenant, gate = acme(engine, "0.03"), Gate(is_open=True)
    for _ in range(3):
        assert rlm(tenant, gate).run("context", "question").answer == "done"
    with pytest.raises(
        BudgetExceeded, match=r"nothing is left .* \$0\.03 of \$0\.03 is spent by tenant 'acme'"
    ) as refused:
        rlm(tenant, gate).run("context", "question")
    assert not refused.value.waiting_helps
    assert "waited" not in str(refused.value)


@pytest.mark.slow
def test_those_who_wait_hear_at_once_that_the_tenant_was_stopped(engine: Engine) -> None:
    gate, tenant = Gate(), acme(engine, "0.10")
    refusals: list[BudgetExceeded] = []

    async def late() -> None:
        with pytest.raises(BudgetExceeded) as refused:
            await rlm(tenant, gate).arun("context", "late")
        refusals.append(refused.value)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(rlm(tenant, gate).arun, "context", "first")
            await until(lambda: len(gate.at_work) == 1)
            for _ in range(3):
                group.start_soon(late)
            await until(lambda: waiting(engine) == 3)
            tenant.stop()
            await until(lambda: len(refusals) == 3)
            gate.let_through()

    anyio.run(main)
    assert [refusal.waiting_helps for refusal in refusals] == [False] * 3


@pytest.mark.slow
def test_a_run_inside_a_run_of_the_same_tenant_does_not_wait_for_it(engine: Engine) -> None:
    """A tool asks again: it would wait for what its own run has set aside, which waits for the tool."""
    tenant, refusals = acme(engine, "0.10"), []

    def ask_again() -> str:
        try:
            return rlm(tenant, Gate(is_open=True)).run("context", "inner").answer
        except BudgetExceeded as refusal:
            refusals.append(refusal)
            return "refused"

    class Root(Gate):
        async def complete(self, request: ModelRequest) -> Completion:
            return Completion(text="```repl\nSUBMIT(answer=ask_again())\n```", usage=Usage(output_tokens=1))

    result = tenant.rlm(Root(), budget=TEN_CENTS, max_output_tokens=1, tools={"ask_again": ask_again}, output=None).run(
        "context", "outer"
    )
    assert "refused" in str(result.answer)
    assert (refusals[0].waiting_helps, len(refusals[0].held_by)) == (True, 1)
    assert "waited" not in str(refusals[0])


@pytest.mark.slow
def test_another_tenants_runs_and_runs_without_caps_do_not_wait(engine: Engine) -> None:
    tenant, other = acme(engine, "0.10"), engine.tenant("umbra", total=Budget(dollars="0.10"))
    day = engine.ledger.tenant("acme")
    engine.ledger.open("holder", kind="run", label="holder", parent=day, wanted=Caps(10**11, None, None))
    engine.ledger.stand_in_line(day)
    gate = Gate(is_open=True)
    assert rlm(other, gate).run("context", "question").answer == "done"
    tenant.set_caps(total=Budget(dollars="0.20"))
    assert rlm(tenant, gate, Budget()).run("context", "question").answer == "done"


@pytest.mark.slow
def test_processes_wait_for_each_other_and_for_what_the_dead_held(tmp_path: Path) -> None:
    """One that is alive gives its money back, one that died has what it held posted as spent."""
    path, gate = tmp_path / "ledger.db", Gate(is_open=True)
    alive, dead = SQLiteLedger(path), SQLiteLedger(path)
    day = alive.tenant("acme", total=Caps(20 * 10**10, None, None))
    for ledger, name in ((alive, "alive"), (dead, "dead")):
        ledger.open(name, kind="run", label=name, parent=day, wanted=Caps(10**11, None, None))
        ledger.hold(name, f"call of {name}", Fixed(Amounts(10**10, 1, 1)), model="m")
        ledger.stand_in_line(day)
    with Engine(ledger=path, rates=RATES) as engine:
        tenant = engine.tenant("acme")

        async def main() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(rlm(tenant, gate).arun, "context", "question")
                await until(lambda: waiting(engine) == 1)
                assert dead._process_lock is not None
                dead._process_lock.forget()
                dead._db.close()
                alive.close()

        anyio.run(main)
        account = engine.ledger.account("tenant:acme")
        assert account is not None
        assert (Decimal(account.spent.picodollars) / 10**12, account.held.picodollars) == (Decimal("0.03"), 0)
        assert is_left_over(engine) == (0, 0)


@pytest.mark.slow
def test_a_place_that_others_took_for_abandoned_is_taken_anew(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process was suspended for longer than a ticket is good."""
    monkeypatch.setattr(funding, "RENEW_SECONDS", 0.01)
    gate, tenant = Gate(is_open=True), acme(engine, "0.10")
    day = engine.ledger.tenant("acme")
    engine.ledger.open("holder", kind="run", label="holder", parent=day, wanted=Caps(10**11, None, None))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(rlm(tenant, gate).arun, "context", "question")
            await until(lambda: waiting(engine) == 1)
            for ticket in range(1, 10):
                engine.ledger.leave_line(ticket)
            await anyio.sleep(0.1)
            engine.ledger.close_account("holder")

    anyio.run(main)
    assert len(gate.at_work) == 1
    assert is_left_over(engine) == (0, 0)


@pytest.mark.slow
def test_a_call_of_a_run_without_a_budget_does_not_wait_for_ever_for_what_others_hold(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_queue, "MONEY_WAIT_SECONDS", 0.1)
    tenant = acme(engine, "0.10")
    day = engine.ledger.tenant("acme")
    engine.ledger.open("holder", kind="run", label="holder", parent=day, wanted=Caps(10**11, None, None))
    with pytest.raises(BudgetExceeded, match=r"\$0 spent, \$0\.1 set aside \(acme.*has waited 0\.1 s") as refused:
        rlm(tenant, Gate(is_open=True), Budget(), on_exhausted="raise").run("context", "question")
    assert refused.value.waiting_helps
