"""What a budget does to a run: the last answer, allotments of children, tenants, and what the result says of it."""

import threading
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from divebell import (
    RLM,
    Budget,
    BudgetExceeded,
    Completion,
    ConfigurationError,
    Engine,
    Event,
    Limits,
    ModelError,
    ModelRequest,
    Rate,
    Result,
    RunError,
    ScriptedModel,
    SQLiteLedger,
    Usage,
)
from divebell.testing import count_tokens
from divebell_bridge.money.amounts import NOTHING, Caps
from tests.support.scripts import block, is_last, request_text

CONTEXT = "the needle is 17\n" + "hay\n" * 100
CENT_PER_TOKEN = Rate.per_million("0", "10000")
FREE = Rate(0, 0)


def root_policy(code: str, last: str = "FINAL(best so far)") -> Callable[[ModelRequest], Completion]:
    """Runs the code every turn, and gives `last` when it is asked for its best answer. Costs a token for each four
    bytes of the input, and one of output."""

    def policy(request: ModelRequest) -> Completion:
        usage = Usage(input_tokens=count_tokens(request_text(request)), output_tokens=1)
        return Completion(text=last if is_last(request) else block(code), usage=usage)

    return policy


def token_each(text: str) -> Callable[[ModelRequest], Completion]:
    """Replies with the text, for one output token."""
    return lambda request: Completion(text=text, usage=Usage(input_tokens=1, output_tokens=1))


def run(code: str, *, budget: Budget, sub: object = None, **options: Any) -> tuple[Result, ScriptedModel]:
    root = ScriptedModel("root", root_policy(code))
    subs = ScriptedModel("sub", sub or token_each("y"))  # type: ignore[arg-type]
    rates = {"root": FREE, "sub": CENT_PER_TOKEN}
    settings: dict[str, Any] = {"rates": rates, "sub_max_output_tokens": 1, "max_iterations": 5, **options}
    return RLM(root, subs, budget=budget, **settings).run(CONTEXT, "q"), subs


def test_a_run_out_of_money_still_answers_and_says_what_stopped_it() -> None:
    result, subs = run("for _ in range(9): llm_query('x')", budget=Budget(dollars="0.05"))
    assert (result.answer, result.status) == ("best so far", "exhausted")
    assert result.stopped_by is not None
    # The cells were refused, not the root, whose calls are free here: so it was the turns that ended the run.
    assert result.stopped_by.limit == "iterations"
    assert result.spend["dollars"] == Decimal("0.05")
    assert len(subs.requests) == 5


@pytest.mark.parametrize(
    ("budget", "limit"),
    [(Budget(dollars="0.20"), "dollars"), (Budget(tokens=40_000), "tokens"), (Budget(calls=4), "calls")],
)
def test_a_root_that_uses_its_budget_up_lands_on_what_was_kept_back(budget: Budget, limit: str) -> None:
    root = ScriptedModel("root", root_policy("print('working')"))
    rlm = RLM(root, budget=budget, rates={"root": Rate.per_million("10", "10")}, max_iterations=1000)
    result = rlm.run(CONTEXT, "q")
    assert (result.answer, result.status) == ("best so far", "exhausted")
    assert result.stopped_by is not None
    assert result.stopped_by.limit == limit
    assert "run " in result.stopped_by.path
    cap = {"dollars": Decimal("0.20"), "tokens": 40_000, "calls": 4}[limit]
    assert result.stopped_by.cap == cap
    assert result.stopped_by.spent <= cap  # type: ignore[operator]
    spend = result.spend
    spent = {"tokens": spend["input_tokens"] + spend["output_tokens"], **spend}[limit]
    assert 0 < spent <= cap
    assert is_last(root.requests[-1])
    assert not any(is_last(request) for request in list(root.requests)[:-1])


def test_a_budget_too_small_for_any_call_raises_with_its_figures() -> None:
    root = ScriptedModel("root", root_policy("1"))
    rlm = RLM(root, budget=Budget(dollars="0.000001"), rates={"root": Rate.per_million("10", "10")})
    with pytest.raises(BudgetExceeded) as raised:
        rlm.run(CONTEXT, "q")
    assert (raised.value.limit, raised.value.cap, raised.value.spent) == ("dollars", Decimal("0.000001"), 0)
    assert not root.requests


def test_on_exhausted_raise_raises() -> None:
    root = ScriptedModel("root", root_policy("print('working')"))
    rlm = RLM(root, budget=Budget(calls=3), on_exhausted="raise")
    with pytest.raises(BudgetExceeded) as raised:
        rlm.run(CONTEXT, "q")
    assert raised.value.limit == "calls"
    assert len(root.requests) == 3, "with nothing to land on, nothing is kept back"
    with pytest.raises(RunError, match="after 2 turns"):
        RLM(root, max_iterations=2, on_exhausted="raise").run(CONTEXT, "q")
    with pytest.raises(ConfigurationError, match="'answer' or 'raise'"):
        RLM(root, on_exhausted="maybe")  # type: ignore[call-overload]


def test_the_last_call_shrinks_to_what_is_left() -> None:
    """A history that has become too dear to send again is shortened for the last call."""

    def policy(request: ModelRequest) -> Completion:
        text = "FINAL(landed)" if is_last(request) else block("print('x' * 20_000)")
        return Completion(text=text, usage=Usage(input_tokens=len(request_text(request)), output_tokens=10))

    root = ScriptedModel("root", policy)
    rlm = RLM(root, budget=Budget(dollars="1"), rates={"root": Rate.per_million("10", "0")}, max_iterations=100)
    result = rlm.run(CONTEXT, "q")
    assert result.answer == "landed"
    assert result.spend["dollars"] <= 1
    last, before = root.requests[-1], root.requests[-2]
    assert len(request_text(last)) < len(request_text(before))
    assert last.messages[0] == before.messages[0]
    assert request_text(before).count("x" * 1000) > request_text(last).count("x" * 1000)


def test_the_variable_at_full_length_survives_the_landing() -> None:
    root = ScriptedModel("root", root_policy("long = 'ab' * 100_000", "FINAL_VAR(long)"))
    result = RLM(root, budget=Budget(calls=2)).run(CONTEXT, "q")
    assert result.answer == "ab" * 100_000


def test_a_last_call_that_fails_is_told_as_the_limit_that_it_was_for() -> None:
    def policy(request: ModelRequest) -> str:
        if is_last(request):
            raise ModelError("down")
        return block("pass")

    with pytest.raises(BudgetExceeded) as raised:
        RLM(ScriptedModel("root", policy), budget=Budget(calls=3)).run(CONTEXT, "q")
    assert raised.value.limit == "calls"
    assert isinstance(raised.value.__cause__, ModelError)


@pytest.mark.slow
def test_a_run_lands_before_its_seconds_are_over_although_a_cell_is_waiting() -> None:
    root = ScriptedModel("root", root_policy("best = 17\nwhile True: llm_query('x')", "FINAL(landed in time)"))
    sub = ScriptedModel("sub", lambda request: "y", delay_seconds=0.01)
    rlm = RLM(root, sub, budget=Budget(seconds=3), limits=Limits(cell_seconds=60))
    result = rlm.run(CONTEXT, "q")
    assert (result.answer, result.status) == ("landed in time", "exhausted")
    assert result.stopped_by is not None
    assert (result.stopped_by.limit, result.stopped_by.cap) == ("seconds", 3)


def test_a_provider_that_breaks_its_limit_freezes_the_run_loudly(caplog: pytest.LogCaptureFixture) -> None:
    greedy = ScriptedModel(
        "sub",
        lambda request: Completion(text="y", usage=Usage(input_tokens=1, output_tokens=request.max_output_tokens + 1)),
    )
    root = ScriptedModel("root", [block("llm_query('x')"), block("llm_query('y')"), "FINAL(1)"])
    rlm = RLM(root, greedy, budget=Budget(dollars="9"), rates={"root": FREE, "sub": CENT_PER_TOKEN})
    result = rlm.run(CONTEXT, "q")
    assert (result.status, result.answer) == ("failed", "'y'")
    assert isinstance(result.error, BudgetExceeded)
    assert "takes no more calls" in str(result.error)
    assert len(greedy.requests) == 1
    assert "'sub' used" in caplog.text
    assert rlm.cost_summary()["dollars"] == Decimal("9.01"), "the output limit was lowered to 900, to fit"


def test_a_batch_of_children_shares_the_budget_and_leaves_the_parent_some() -> None:
    """rlms did not count a child's spending at all."""

    def sub(request: ModelRequest) -> Completion:
        if request.messages[0]["role"] != "system":
            return Completion(text="y", usage=Usage(input_tokens=1, output_tokens=1))
        text = "FINAL(spent)" if is_last(request) else block("while True: llm_query('x')")
        return Completion(text=text, usage=Usage(input_tokens=0, output_tokens=0))

    events: list[Event] = []
    result, subs = run(
        "FINAL(rlm_query_batched(['a', 'b', 'c']))",
        budget=Budget(dollars="0.40"),
        sub=sub,
        sub_max_output_tokens=1,
        max_output_tokens=1,
        on_event=events.append,
    )
    spent = [event.data["spend"]["dollars"] for event in events if event.kind == "child"]
    assert len(spent) == 3
    assert all(0 < each <= Decimal("0.20") for each in spent)
    assert result.spend["dollars"] == sum(spent) <= Decimal("0.40")
    plain = [request for request in subs.requests if request.messages[0]["role"] != "system"]
    assert len(plain) == int(result.spend["dollars"] * 100)


def test_what_a_child_leaves_comes_back() -> None:
    def sub(request: ModelRequest) -> Completion:
        return Completion(text="FINAL(quick)", usage=Usage(input_tokens=1, output_tokens=1))

    code = "for _ in range(20): rlm_query('a')\nFINAL(budget()['dollars'])"
    result, _ = run(code, budget=Budget(dollars="1"), sub=sub, sub_max_output_tokens=10, max_output_tokens=10)
    assert Decimal(result.answer) == 1 - result.spend["dollars"]


def test_a_childs_purse_is_smaller_than_its_parents() -> None:
    def sub(request: ModelRequest) -> Completion:
        text = block("FINAL(budget()['dollars'])") if request.messages[0]["role"] == "system" else "y"
        return Completion(text=text, usage=Usage(input_tokens=0, output_tokens=0))

    code = "FINAL(rlm_query_batched(['a', 'b', 'c']))"
    result, _ = run(code, budget=Budget(dollars="1"), sub=sub, max_output_tokens=1)
    purses = [Decimal(text) for text in eval(result.answer)]
    assert sum(purses) < 1
    assert all(purse <= Decimal("0.34") for purse in purses)


def test_a_refusal_can_be_caught_in_the_cell_and_spends_nothing_more() -> None:
    code = """
n = 0
try:
    while True:
        llm_query('x'); n += 1
except BudgetExceeded as error:
    FINAL(f"{n} {budget()['dollars']} {'free' in str(error)}")
"""
    result, subs = run(code, budget=Budget(dollars="0.05"))
    assert result.answer == "5 0.0 True"
    assert len(subs.requests) == 5


def tenant_rlm(engine: Engine, **caps: Any) -> RLM:
    tenant = engine.tenant("acme", **caps)
    return tenant.rlm(
        ScriptedModel("root", root_policy("r = llm_query_batched(['x'] * 3)\nFINAL(r)")),
        ScriptedModel("sub", token_each("y")),
        rates={"root": FREE, "sub": CENT_PER_TOKEN},
        sub_max_output_tokens=1,
    )


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True])
def test_a_tenants_day_is_a_cap_over_its_runs(shared: bool, tmp_path: Path) -> None:
    with Engine(ledger=tmp_path / "ledger.db" if shared else None) as engine:
        rlm = tenant_rlm(engine, per_day=Budget(dollars="0.05"))
        assert rlm.run(CONTEXT, "q").spend["dollars"] == Decimal("0.03")
        second = rlm.run(CONTEXT, "q")
        assert second.spend["dollars"] == Decimal("0.02")
        assert "BudgetExceeded" in second.answer
        account = engine.ledger.account(engine.tenant("acme").account_for_today())
        assert account is not None
        assert (account.spent.picodollars, account.held) == (5 * 10**10, NOTHING)


def test_a_tenants_runs_at_once_never_spend_more_than_its_cap(tmp_path: Path) -> None:
    with Engine(ledger=tmp_path / "ledger.db") as engine:
        spent: list[Decimal] = []

        def work() -> None:
            spent.append(tenant_rlm(engine, total=Budget(dollars="0.10")).run(CONTEXT, "q").spend["dollars"])

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(spent) == 8
        assert sum(spent) == Decimal("0.10")


def test_a_runs_budget_is_carved_out_of_its_tenants() -> None:
    engine = Engine()
    rlm = tenant_rlm(engine, budget=Budget(dollars="0.02"), total=Budget(dollars="1"))
    result = rlm.run(CONTEXT, "q")
    assert result.spend["dollars"] == Decimal("0.02")
    tenant = engine.ledger.account("tenant:acme")
    assert tenant is not None
    assert (tenant.spent.picodollars, tenant.held.picodollars) == (2 * 10**10, 0)


def test_a_budget_given_to_a_tenants_run_can_only_be_lower() -> None:
    engine = Engine()
    tenant = engine.tenant("acme", budget=Budget(calls=2))
    root = ScriptedModel("root", root_policy("1"))
    result = tenant.rlm(root, budget=Budget(calls=100)).run(CONTEXT, "q")
    assert result.spend["calls"] == 2


def test_a_tenant_with_nothing_left_is_refused_before_any_call() -> None:
    engine = Engine()
    rlm = tenant_rlm(engine, total=Budget(dollars="0"))
    with pytest.raises(BudgetExceeded) as raised:
        tenant_rlm(engine, budget=Budget(dollars="0.10"), total=Budget(dollars="0")).run(CONTEXT, "q")
    assert raised.value.account == "acme"
    assert rlm.cost_summary()["calls"] == 0


@pytest.mark.parametrize("shared", [False, True])
def test_a_cap_that_is_not_named_again_stays_and_an_empty_budget_lifts_it(shared: bool, tmp_path: Path) -> None:
    with Engine(ledger=tmp_path / "ledger.db" if shared else None) as engine:
        engine.tenant("acme", per_day=Budget(calls=5), total=Budget(dollars="2"))
        engine.tenant("acme")
        ledger = engine.ledger
        tomorrow = ledger.account(ledger.tenant("acme", today=date(2100, 1, 1)))
        total = ledger.account("tenant:acme")
        assert tomorrow is not None
        assert total is not None
        assert (tomorrow.caps, total.caps) == (Caps(calls=5), Caps(2 * 10**12))
        engine.tenant("acme", total=Budget())
        assert ledger.room(ledger.tenant("acme")) == Caps(calls=5)


def test_a_tenants_price_is_its_own() -> None:
    engine = Engine(rates={"sub": FREE})
    tenant = engine.tenant("acme", budget=Budget(dollars="1"), rates={"sub": CENT_PER_TOKEN})
    models = (ScriptedModel("root", [block("FINAL(llm_query('x'))")] * 2), ScriptedModel("sub", token_each("y")))
    options: dict[str, Any] = {"rates": {"root": FREE}, "sub_max_output_tokens": 1}
    assert tenant.rlm(*models, **options).run(CONTEXT, "q").spend["dollars"] == Decimal("0.01")
    assert engine.rlm(*models, **options).run(CONTEXT, "q").spend["dollars"] == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda engine: engine.tenant(""),
        lambda engine: engine.tenant("a\nb"),
        lambda engine: engine.tenant("x" * 101),
        lambda engine: engine.tenant("acme", per_day=Budget(seconds=5)),
        lambda engine: RLM(ScriptedModel(), tenant=engine.tenant("acme"), engine=Engine()),
        lambda engine: RLM(ScriptedModel(), tenant=engine.tenant("acme"), ledger=Engine().ledger),
        lambda engine: engine.rlm(),
    ],
)
def test_tenants_that_make_no_sense_are_refused_in_one_sentence(make: Callable[[Engine], object]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make(Engine())
    assert "\n" not in str(raised.value)


def test_the_tenant_and_the_cache_key_reach_the_model_and_no_secret_does() -> None:
    engine = Engine()
    root = ScriptedModel("root", [block("llm_query('x')"), block("1"), "FINAL(1)"] * 2)
    sub = ScriptedModel("sub", lambda request: "y")
    engine.tenant("acme").rlm(root, sub).run(CONTEXT, "q")
    engine.tenant("other").rlm(root, sub).run(CONTEXT, "q")
    keys = [request.metadata["cache_key"] for request in root.requests]
    assert [request.metadata["tenant"] for request in root.requests] == ["acme"] * 3 + ["other"] * 3
    assert len(set(keys[:3])) == len(set(keys[3:])) == 1
    assert keys[0] != keys[3], "tenants never share a cache key"
    assert [request.metadata["tenant"] for request in sub.requests] == ["acme", "other"]
    assert all(set(request.metadata) == {"tenant", "call"} for request in sub.requests)


def test_a_ledger_never_holds_a_prompt_or_a_reply(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Engine(ledger=path) as engine:
        root = ScriptedModel("root", [block("x = llm_query('SECRETPROMPT')"), "FINAL(SECRETANSWER)"])
        engine.tenant("acme").rlm(root, ScriptedModel("sub", lambda request: "SECRETREPLY")).run(CONTEXT, "SECRETQUERY")
    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"acme" in everything
    assert b"SECRET" not in everything
    assert b"needle" not in everything


def test_closing_an_engine_keeps_a_ledger_that_was_given_to_it(tmp_path: Path) -> None:
    ledger = SQLiteLedger(tmp_path / "ledger.db")
    with Engine(ledger=ledger):
        pass
    assert ledger.account("tenant:nobody") is None
    ledger.close()
