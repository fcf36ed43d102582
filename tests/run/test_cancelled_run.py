"""A whole run that is cancelled at any of its moments: nothing stays held, its allotments are its tenant's again, its
sandboxes are closed, and what it is charged is what reached the models."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from divebell import RLM, Budget, Completion, Engine, Event, ModelRequest, Rate, ScriptedModel, Usage
from divebell.calls.metered_calls import MeteredCalls
from divebell.run import run as run_module
from divebell.sandbox.sandbox import Sandbox
from divebell_bridge.door.requests import Outcome, Query
from divebell_bridge.money.amounts import NOTHING, Amounts
from divebell_bridge.money.errors import LedgerBusyError
from divebell_bridge.money.escrow import HoldEntry
from divebell_bridge.money.memory_ledger import MemoryLedger
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.rates import RateCard
from tests.support.run_hosts import run_host

CENT = 10**10
RATES = {"root": Rate(0, CENT), "sub": Rate(0, CENT)}
MOST = 2  # tokens of output, so cents, that each call holds
CODE = """```repl
import asyncio
first = llm_query_batched(['x'] * 5)
async def all_of_it():
    return await asyncio.gather(*[allm_query('y') for _ in range(4)], arlm_query('child'))
both = await all_of_it()
children = rlm_query_batched(['a', 'b'])
```"""
CHILDS = "```repl\nllm_query_batched(['z'] * 2)\n```"


class Provider:
    """Both models. It replies for a cent, a moment later; `cancel` is called when the call of that number is there."""

    def __init__(self, cancel_at: int) -> None:
        self.cancel: Any = None
        self.began = 0
        self.replied = 0
        self._cancel_at = cancel_at

    async def __call__(self, request: ModelRequest) -> Completion:
        self.began += 1
        if self.began == self._cancel_at:
            self.cancel()
        messages = request.messages
        is_run = messages[0]["role"] == "system"
        text = "reply"
        if is_run:
            text = "FINAL(done)" if len(messages) > 2 else CODE if "the question" in str(messages) else CHILDS
        await anyio.sleep(0.001)
        self.replied += 1
        return Completion(text=text, usage=Usage(output_tokens=1))


class Counted(Sandbox):
    """Knows which of it are open."""

    open: "set[int]" = set()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        Counted.open.add(id(self))

    def close(self) -> None:
        Counted.open.discard(id(self))
        super().close()


MOMENTS = [("event", number) for number in range(1, 34, 2)] + [("call", number) for number in range(1, 24, 2)]


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True], ids=["memory", "sqlite"])
@pytest.mark.parametrize(("what", "number"), MOMENTS, ids=lambda each: str(each))
def test_a_cancelled_run_holds_nothing_and_pays_for_what_it_asked(
    what: str, number: int, shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "Sandbox", Counted)
    Counted.open.clear()
    provider = Provider(number if what == "call" else 0)
    events = 0
    is_cancelled = False

    async def main(rlm: RLM) -> None:
        scope = anyio.CancelScope()

        def cancel() -> None:
            nonlocal is_cancelled
            is_cancelled = True
            scope.cancel()

        provider.cancel = cancel
        with scope:
            await rlm.arun("some context", "the question")

    def on_event(event: Event) -> None:
        nonlocal events
        events += 1
        if what == "event" and events == number:
            provider.cancel()

    with Engine(ledger=tmp_path / "ledger.db" if shared else None, rates=RATES) as engine:
        acme = engine.tenant("acme", total=Budget(dollars="2"))
        rlm = acme.rlm(
            ScriptedModel("root", provider), ScriptedModel("sub", provider), budget=Budget(dollars="1", depth=1),
            max_output_tokens=MOST, sub_max_output_tokens=MOST, on_event=on_event,
        )  # fmt: skip
        anyio.run(main, rlm)
        tenant = engine.ledger.account("tenant:acme")
        assert tenant is not None
        assert (tenant.held, tenant.reserved, tenant.overdrawn) == (NOTHING, NOTHING, NOTHING)
        cut_off = tenant.spent.calls - provider.replied
        assert tenant.spent.calls >= provider.began  # one may have been cancelled before it was heard of
        assert tenant.spent.picodollars == (provider.replied + MOST * cut_off) * CENT
        assert rlm.cost_summary()["dollars"] == Decimal(tenant.spent.picodollars).scaleb(-12)
        assert Counted.open == set()
        if shared:
            open_accounts = "SELECT count(*) FROM accounts WHERE is_open AND kind IN ('run', 'child')"
            assert engine.ledger._db.execute(open_accounts).fetchone() == (0,)  # type: ignore[attr-defined]
    assert is_cancelled or what == "event"


def test_a_run_cancelled_while_its_sandbox_is_made_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "Sandbox", Counted)
    Counted.open.clear()

    async def main() -> None:
        with anyio.CancelScope() as scope:
            rlm = RLM(ScriptedModel("root", ["FINAL(1)"]), on_event=lambda event: scope.cancel())
            await rlm.arun("some context", "the question")

    anyio.run(main)
    assert Counted.open == set()


class Stuck(MemoryLedger):
    """Another process is writing, and does not stop, while `is_busy`."""

    is_busy = False

    def settle(self, hold_id: str, spent: Amounts, **options: Any) -> HoldEntry:
        if self.is_busy:
            raise LedgerBusyError("busy")
        return super().settle(hold_id, spent, **options)


def test_a_call_that_is_being_settled_as_the_run_ends_costs_what_it_did_and_not_its_hold() -> None:
    """A submitted call has replied, and the ledger is busy. The run is told to end twice: to land, and then for good."""

    async def main() -> None:
        ledger = Stuck()
        meter = Meter(Budget(dollars="1"), RateCard(RATES), ledger=ledger)

        def reply(request: ModelRequest) -> Completion:
            ledger.is_busy = True
            return Completion(text="y", usage=Usage(output_tokens=1))

        model = ScriptedModel("sub", reply)
        calls = MeteredCalls({"sub": model}, max_concurrent=1)

        async def query(prompt: str, model_name: str | None) -> str:
            return (await calls(meter, model, ModelRequest(messages=(), max_output_tokens=MOST))).completion.text

        host = run_host(query)
        outcomes: list[Outcome] = []
        host.start(Query("x"), outcomes.append)
        while not ledger.is_busy:
            await anyio.sleep(0.001)
        for _ in range(2):
            host.tasks.close()
            await anyio.sleep(0.03)
        ledger.is_busy = False
        await host.tasks.wait_closed()
        ledger.backlog.finish_all()
        assert meter.summary()["dollars"] == Decimal("0.01")
        account = ledger.account(meter._account_id)
        assert account is not None
        assert (account.spent.picodollars, account.held) == (CENT, NOTHING)
        assert outcomes == [{"text": "y"}]

    anyio.run(main)
