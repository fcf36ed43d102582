"""The case that other engines fail: under a cap of 5 cents one cell asks for 1,000 calls at a cent each. One of them spent
10.01 dollars on it, since it looked at its budget between turns; and what children spent it did not count at all."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from divebell import RLM, Budget, Completion, Engine, ModelRequest, Rate, ScriptedModel, Tenant, Usage
from tests.support.scripts import block

pytestmark = pytest.mark.slow


CAP = Decimal("0.05")
CENT_PER_TOKEN = Rate.per_million("0", "10000")
BATCH = "llm_query_batched(['what is on this page?'] * 1000)"


def is_of_a_run(request: ModelRequest) -> bool:
    """Whether this is a turn of a run or a child, which have instructions; plain sub-calls have none."""
    return request.messages[0]["role"] == "system"


def root_of(code: str) -> ScriptedModel:
    """A root model, free of charge, that runs the code and then answers."""
    replies = iter([block(code), "FINAL(done)"])
    return ScriptedModel("root", lambda request: Completion(text=next(replies), usage=Usage()))


class Provider:
    """What the provider would bill: a cent for each token of each reply that it gave."""

    def __init__(self, turn: str, *, cents_per_turn: int = 0) -> None:
        self.cents = 0
        self.calls = 0
        self.turns = 0
        self._turn = turn
        self._cents_per_turn = cents_per_turn

    def __call__(self, request: ModelRequest) -> Completion:
        if is_of_a_run(request):
            self.turns += 1
            self.cents += self._cents_per_turn
            return Completion(text=block(self._turn), usage=Usage(output_tokens=self._cents_per_turn))
        self.calls += 1
        self.cents += 1
        return Completion(text="hay", usage=Usage(input_tokens=5, output_tokens=1))


@pytest.fixture(params=["alone", "memory", "sqlite"])
def payer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tenant | None]:
    """Whose cap it is: the run's own, or a tenant's, in memory and in a file."""
    if request.param == "alone":
        yield None
        return
    with Engine(ledger=tmp_path / "ledger.db" if request.param == "sqlite" else None) as engine:
        yield engine.tenant("acme", total=Budget(dollars=CAP))


def made(payer: Tenant | None, root: ScriptedModel, provider: Provider, *, most_tokens: int, depth: int = 1) -> RLM:
    rates = {"root": Rate(0, 0), "sub": CENT_PER_TOKEN}
    sub = ScriptedModel("sub", provider)
    if payer is None:
        return RLM(
            root, sub, rates=rates, budget=Budget(dollars=CAP, depth=depth),
            max_output_tokens=1, sub_max_output_tokens=most_tokens, max_iterations=3,
        )  # fmt: skip
    return payer.rlm(
        root, sub, rates=rates, budget=Budget(depth=depth),
        max_output_tokens=1, sub_max_output_tokens=most_tokens, max_iterations=3,
    )  # fmt: skip


@pytest.mark.parametrize("most_tokens", [1, 3])
def test_a_batch_of_a_thousand_prompts_at_a_cent_each_spends_at_most_five(
    payer: Tenant | None, most_tokens: int
) -> None:
    """Also where each may cost more than it does: then calls wait for each other near the cap, and as many are made as
    fit."""
    provider = Provider("")
    code = f"try:\n    {BATCH}\nexcept BudgetExceeded as refusal:\n    print(refusal)"
    root = root_of(code)
    rlm = made(payer, root, provider, most_tokens=most_tokens)
    result = rlm.run("page after page", "what is it about?")
    assert result.answer == "done"
    assert result.spend["dollars"] == Decimal(provider.cents) / 100
    assert provider.calls == 5 - (most_tokens - 1)
    assert rlm.cost_summary()["dollars"] <= CAP
    assert result.spend["held_dollars"] == 0


@pytest.mark.parametrize("children", [2, 50])
@pytest.mark.parametrize(("depth", "cents_per_turn"), [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0)])
def test_children_whose_cells_make_such_batches_spend_at_most_five_cents_together(
    payer: Tenant | None, depth: int, cents_per_turn: int, children: int
) -> None:
    """Their children too down to the depth, and each of their turns asks for 1,000 calls. Where a cent is not to be had
    for each of so many, perhaps none can begin."""
    code = f"try:\n    {BATCH}\nexcept BudgetExceeded:\n    pass\nrlm_query_batched(['read on'] * 2)"
    provider = Provider(code, cents_per_turn=cents_per_turn)
    batch = f"try:\n    rlm_query_batched(['read'] * {children})\nexcept Exception as error:\n    print(error)"
    root = root_of(batch)
    rlm = made(payer, root, provider, most_tokens=1, depth=depth)
    result = rlm.run("page after page", "what is it about?")
    assert result.answer == "done"
    assert provider.turns > 0 or children == 50
    assert provider.cents > 0 or children == 50
    assert provider.cents <= 5
    assert result.spend["dollars"] == Decimal(provider.cents) / 100 <= CAP
    if payer is not None:
        account = payer.engine.ledger.account("tenant:acme")
        assert account is not None
        assert account.spent.picodollars == provider.cents * 10**10
        assert account.held.picodollars == account.overdrawn.picodollars == 0
