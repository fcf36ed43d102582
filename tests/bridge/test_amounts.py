"""Limits: one enum that amounts, caps, columns and sentences agree on."""

from decimal import Decimal

from divebell_bridge.money.amounts import NO_CAPS, NOTHING, Amounts, Caps, Limit, total
from divebell_bridge.money.bids import affordable_reserve
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.rates import Rate
from divebell_bridge.money.sqlite.schema import by_limit, columns
from divebell_bridge.money.tally import Tally


def test_a_limit_is_its_place_its_column_and_its_unit() -> None:
    amounts = Amounts(picodollars=10**12, tokens=2_000, calls=3)
    assert [amounts[limit] for limit in Limit] == list(amounts)
    assert [getattr(amounts, limit.column) for limit in Limit] == list(amounts)
    assert [limit.unit for limit in Limit] == ["dollars", "tokens", "calls"]
    assert [limit.quantity(amounts[limit]) for limit in Limit] == ["$1", "2,000 tokens", "3 calls"]
    assert [limit.in_unit(amounts[limit]) for limit in Limit] == [Decimal(1), 2_000, 3]


def test_every_limit_has_its_columns_in_a_file() -> None:
    assert columns("held") == ("held_picodollars", "held_tokens", "held_calls")
    names = columns("held", "spent")
    assert [tuple(each) for each in by_limit(names)] == [columns("held"), columns("spent")]


def test_a_budget_and_what_was_used_have_an_amount_in_every_limit() -> None:
    used = Tally(calls=2, input_tokens=30, output_tokens=10, spent_picodollars=7 * 10**11)
    assert used.amounts == Amounts(7 * 10**11, 40, 2)
    assert Budget(dollars="1", tokens=100, calls=5).less(used.amounts).caps == Caps(3 * 10**11, 60, 3)
    assert Budget(dollars="0.5", tokens=39, calls=1).less(used.amounts).caps == Caps(0, 0, 0)
    assert Budget().less(used.amounts).caps == NO_CAPS
    assert total([used.amounts, Amounts(1, 1, 1)]) == Amounts(7 * 10**11 + 1, 41, 3)


def test_what_is_kept_back_is_a_small_part_of_what_is_free() -> None:
    rate, plans = Rate(1, 1), [(50, 50), (10, 10)]
    assert affordable_reserve(rate, plans, Caps(800, None, None)) == Amounts(100, 0, 0)
    assert affordable_reserve(rate, plans, Caps(799, None, 5)) == Amounts(20, 0, 1)
    assert affordable_reserve(rate, plans, Caps(None, 80, 1)) == Amounts(0, 20, 0)  # a quarter, for the smallest
    assert affordable_reserve(rate, plans, Caps(79, 10**6, 2)) == Amounts(0, 0, 1)
    assert affordable_reserve(rate, plans, NO_CAPS) == NOTHING
