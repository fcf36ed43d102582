"""Tenants as an application makes them: whose caps count, and arguments that make no sense."""

import itertools
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from divebell import (
    RLM,
    Budget,
    BudgetExceeded,
    Completion,
    ConfigurationError,
    Engine,
    ModelRequest,
    Rate,
    ScriptedModel,
    Tenant,
    Usage,
)

CENT_PER_TOKEN = Rate.per_million("0", "10000")


def caps(which: str, dollars: str) -> dict[str, Any]:
    return {which: Budget(dollars=dollars)}


def cent_run(tenant: Tenant) -> RLM:
    """A run of one call, which costs a cent."""
    answer = Completion(text="FINAL(1)", usage=Usage(output_tokens=1))
    root = ScriptedModel("root", lambda request: answer)
    return tenant.rlm(root, rates={"root": CENT_PER_TOKEN}, max_output_tokens=1, on_exhausted="raise")


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True], ids=["memory", "sqlite"])
@pytest.mark.parametrize("which", ["total", "per_day"])
def test_a_cap_that_was_lowered_since_is_not_put_back_by_an_older_tenants_runs(
    which: str, shared: bool, tmp_path: Path
) -> None:
    """A server that was started with 5 dollars, and an operator who lowers that to 2 cents from another process."""
    path = tmp_path / "ledger.db"
    with Engine(ledger=path if shared else None) as servers:
        old = servers.tenant("acme", **caps(which, "5"))
        assert cent_run(old).run("context", "q").spend["dollars"] == Decimal("0.01")
        operators = Engine(ledger=path) if shared else servers
        operators.tenant("acme", **caps(which, "0.02"))
        cent_run(old).run("context", "q")
        with pytest.raises(BudgetExceeded) as raised:
            cent_run(old).run("context", "q")
        assert (raised.value.limit, raised.value.cap, raised.value.spent) == (
            "dollars",
            Decimal("0.02"),
            Decimal("0.02"),
        )
        operators.close()


NONSENSE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a budget as a text": (lambda path: RLM(ScriptedModel(), budget="0.30"), r'budget must be a Budget, as .*"0\.30"'),  # type: ignore[call-overload]
    "a budget as a float": (lambda path: RLM(ScriptedModel(), budget=0.3), "budget must be a Budget"),  # type: ignore[call-overload]
    "a tenant by its name": (lambda path: RLM(ScriptedModel(), tenant="acme"), r"made by engine\.tenant\(NAME\)"),  # type: ignore[call-overload]
    "an engine that is a path": (lambda path: RLM(ScriptedModel(), engine=path), r"made by divebell\.Engine"),  # type: ignore[call-overload]
    "a ledger as a path": (lambda path: RLM(ScriptedModel(), ledger=path), r"or by Engine\(ledger=PATH\)"),  # type: ignore[call-overload]
    "an engine's ledger that is a number": (lambda path: Engine(ledger=5), "a Ledger or the path of its file"),  # type: ignore[arg-type]
    "a ledger without a name": (lambda path: Engine(ledger=""), "a Ledger or the path of its file"),
    "a day's cap as a text": (lambda path: Engine().tenant("a", per_day="5.00"), "per_day must be a Budget"),  # type: ignore[arg-type]
    "a total as a number": (lambda path: Engine().tenant("a", total=5), "total must be a Budget"),  # type: ignore[arg-type]
    "a run's cap as a text": (lambda path: Engine().tenant("a", budget="5.00"), "budget must be a Budget"),  # type: ignore[arg-type]
    "rates as a list": (lambda path: Engine(rates=["m"]), "rates must map names of models"),  # type: ignore[arg-type]
    "a run's rates as a list": (lambda path: RLM(ScriptedModel(), rates=["m"]), "rates must map names of models"),  # type: ignore[call-overload]
    "a tenant's rates as a list": (lambda path: Engine().tenant("a", rates=["m"]), "rates must map names of models"),  # type: ignore[arg-type]
    "a tenant's rate as a text": (
        lambda path: Engine().tenant("a", rates={"m": "1/2"}),  # type: ignore[dict-item]
        r"rates must map names of models .*; for 'm' it has '1/2'$",
    ),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_what_makes_no_sense_is_refused_at_once_in_one_sentence(case: str, tmp_path: Path) -> None:
    make, says = NONSENSE[case]
    with pytest.raises(ConfigurationError, match=says) as raised:
        make(tmp_path / "ledger.db")
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def spender(tenant: Tenant, during: Callable[[int], None], **options: Any) -> RLM:
    """A run with a budget of its own that would make six calls of a cent; `during` happens in each, by its number."""
    calls = itertools.count(1)

    def reply(_request: object) -> Completion:
        number = next(calls)
        during(number)
        text = "FINAL(done)" if number == 6 else "```repl\n1\n```"
        return Completion(text=text, usage=Usage(output_tokens=1))

    rates = {"root": CENT_PER_TOKEN}
    return tenant.rlm(
        ScriptedModel("root", reply), rates=rates, max_output_tokens=1, budget=Budget(dollars="0.10"), **options
    )


def make_again(tenant: Tenant) -> None:
    assert isinstance(tenant.engine, Engine)
    tenant.engine.tenant(tenant.name, total=Budget(dollars="0.03"))


BRAKES: dict[str, Callable[[Tenant], None]] = {
    "stopped": lambda tenant: tenant.stop(),
    "a lower total": lambda tenant: tenant.set_caps(total=Budget(dollars="0.03")),
    "a lower day": lambda tenant: tenant.set_caps(per_day=Budget(dollars="0.03")),
    "fewer calls": lambda tenant: tenant.set_caps(total=Budget(calls=3)),
    "made again with less": make_again,
}


@pytest.mark.slow
@pytest.mark.parametrize("brake", BRAKES)
@pytest.mark.parametrize("shared", [False, True], ids=["memory", "another process's"])
def test_a_cap_lowered_in_flight_ends_a_run_with_a_budget_of_its_own_at_its_next_call(
    brake: str, shared: bool, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.db" if shared else None
    with Engine(ledger=path) as engine:
        operators = Engine(ledger=path) if shared else engine
        acme = engine.tenant("acme", total=Budget(dollars="5", calls=100), per_day=Budget(dollars="5"))
        pulled = operators.tenant("acme")

        def during(number: int) -> None:
            if number == 3:
                BRAKES[brake](pulled)

        with pytest.raises(BudgetExceeded) as raised:
            spender(acme, during, on_exhausted="raise").run("context", "q")
        assert not raised.value.waiting_helps
        assert raised.value.account.startswith("acme")
        account = engine.ledger.account("tenant:acme")
        assert account is not None
        assert (account.spent.calls, account.held.calls) == (3, 0)
        pulled.set_caps(total=Budget(dollars="5"), per_day=Budget())
        assert spender(acme, lambda number: None).run("context", "q").answer == "done"
        operators.close()


def test_a_run_that_the_brake_ends_gives_no_last_answer_for_more_money() -> None:
    with Engine() as engine:
        acme = engine.tenant("acme", total=Budget(dollars="5"))
        with suppress(BudgetExceeded):  # it may still give what it has
            spender(acme, lambda number: acme.stop() if number == 2 else None).run("context", "q")
        account = engine.ledger.account("tenant:acme")
        assert account is not None
        assert account.spent.calls == 2


def test_a_cap_that_limits_seconds_is_refused() -> None:
    with Engine() as engine, pytest.raises(ConfigurationError, match="total cannot limit seconds"):
        engine.tenant("acme").set_caps(total=Budget(seconds=5))


class Counting:
    """A model that notes how many of its calls are at work at once, and which tenant's came when."""

    name = "root"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now: dict[str, int] = {}
        self.peaks: dict[str, int] = {}
        self.order: list[str] = []

    async def complete(self, request: ModelRequest) -> Completion:
        whose = str(request.metadata.get("tenant", ""))
        self._count(whose, 1)
        try:
            await anyio.sleep(0.01)
        finally:
            self._count(whose, -1)
        code = "```repl\nprint(llm_query_batched(['a'] * 8))\n```"
        is_root = "context" in str(request.messages[0]["content"]) and len(request.messages) == 2
        return Completion(text=code if is_root else "FINAL(done)", usage=Usage(output_tokens=1))

    def _count(self, whose: str, by: int) -> None:
        with self._lock:
            if by > 0:
                self.order.append(whose)
            for key in (whose, "all"):
                self.now[key] = self.now.get(key, 0) + by
                self.peaks[key] = max(self.peaks.get(key, 0), self.now[key])


def in_threads(rlms: Sequence[RLM[Any]]) -> list[str]:
    answers: list[str] = []
    threads = [threading.Thread(target=lambda rlm=rlm: answers.append(rlm.run("a text", "q").answer)) for rlm in rlms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return answers


@pytest.mark.slow
def test_an_engines_and_a_tenants_calls_at_once_are_bounded_over_all_their_runs_threads_and_loops() -> None:
    model = Counting()
    with Engine(max_concurrent_calls=3) as engine:
        acme, umbra = engine.tenant("acme", max_concurrent_calls=1), engine.tenant("umbra")
        assert engine.tenant("acme").name == "acme"  # which keeps the limit
        answers = in_threads([each.rlm(model) for each in (acme, umbra, acme, umbra)] + [engine.rlm(model)])
        assert answers == ["done"] * 5
        assert model.peaks["all"] <= 3
        assert model.peaks["acme"] == 1
        assert len(model.order) == 5 * (2 + 8)
        assert (engine.places.taken, engine.places.waiting) == (0, 0)


def test_a_run_that_is_cancelled_while_it_waits_for_the_engines_place_takes_none() -> None:
    with Engine(max_concurrent_calls=1) as engine:
        acme, model = engine.tenant("acme"), Counting()

        async def main() -> None:
            await engine.places.acquire("umbra")
            with anyio.move_on_after(0.05) as scope:
                await acme.rlm(model).arun("a text", "q")
            assert scope.cancelled_caught
            engine.places.release("umbra")
            assert (await acme.rlm(model).arun("a text", "q")).answer == "done"

        anyio.run(main)
        assert (engine.places.taken, engine.places.waiting) == (0, 0)
        account = engine.ledger.account("tenant:acme")
        assert account is not None
        assert account.held.calls == 0


@pytest.mark.parametrize("places", [0, -1, True, "3", 10**400])
def test_a_concurrency_that_makes_no_sense_is_refused_and_changes_nothing(places: int) -> None:
    with pytest.raises(ConfigurationError, match="max_concurrent_calls must be a whole number above 0"):
        Engine(max_concurrent_calls=places)
    with Engine() as engine:
        with pytest.raises(ConfigurationError, match="max_concurrent_calls must be a whole number above 0"):
            engine.tenant("acme", total=Budget(dollars=1), max_concurrent_calls=places)
        assert engine.ledger.account("tenant:acme") is None
