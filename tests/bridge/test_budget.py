"""Budget: money is exact, and what is not an amount is refused."""

import copy
import dataclasses
import decimal
import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divebell_bridge.money.amounts import MAX_COUNT
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.dollars import dollars, picodollars
from divebell_bridge.money.errors import ConfigurationError
from tests.support.names import name_value


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("0", 0), ("0.30", 300_000_000_000), ("$0.30", 300_000_000_000), (" $ 5 ", 5 * 10**12), (".5", 5 * 10**11), ("1e-12", 1),
        ("1E3", 10**15), ("0.000000000001", 1), ("0.0000000000010", 1), ("1000000000", 10**21), ("-0", 0), ("+1", 10**12), (0, 0),
        (3, 3 * 10**12), (10**9, 10**21), (Decimal("0.1"), 10**11), (Decimal("1E-12"), 1), (Decimal("0E-50"), 0),
        ("0e999999999", 0), ("0e-999999999", 0), ("-0E+9999999999", 0), ("0.000e99999999999", 0), (Decimal("0E+999999"), 0),
        ("5.", 5 * 10**12), ("0.0003e3", 3 * 10**11), ("999999999.999999999999", 10**21 - 1), ("0.1", 10**11), ("007.50", 7_500_000_000_000),
    ],
)  # fmt: skip
def test_amounts_of_dollars_are_exact(amount: str | int | Decimal, expected: int) -> None:
    assert picodollars(amount) == expected
    assert Budget(dollars=amount).caps.picodollars == expected


@pytest.mark.parametrize(
    "amount",
    [
        0.3, 1.0, float("nan"), True, False, None, b"1", [1], 1j, object(),
        "", " ", "$", "$$1", "abc", "1,000", "1.2.3", "0x10", "1 2", "€5", "5$", "nan", "NaN", "inf", "-inf", "Infinity", "sNaN",
        "-1", "-0.01", -1, Decimal("-1"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"),
        "1000000000.01", 10**9 + 1, "1e10", "1e999999", "0.0000000000001", "1e-13", "1e-1000020", Decimal("1E-13"),
        "1.0000000000000000000000000000001", "0.30000000000000000000000000000000000001", "9" * 5000,
        1e-30, "1e-30", "1e999999999", "1e-999999999", "9e99999999999999999999", Decimal("1E+999999"), Decimal("1E-999999"),
        10**5000, -(10**5000), "1_000", "1 000", "0 .5", "+-1", "e5", ".", "\u0663", "\uff15", "\u00bd", "1\n2", "5" + " " * 10**6 + "5",
    ],
    ids=name_value,
)  # fmt: skip
def test_what_is_no_exact_amount_is_refused(amount: object) -> None:
    with pytest.raises(ConfigurationError) as refused:
        picodollars(amount)  # type: ignore[arg-type]
    assert str(refused.value).startswith("dollars ")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


def test_a_float_is_refused_with_the_way_to_write_it() -> None:
    with pytest.raises(ConfigurationError, match=r'"0\.30"'):
        Budget(dollars=0.3)  # type: ignore[arg-type]


@given(st.integers(0, 10**21))
def test_dollars_and_picodollars_are_each_others_inverse(amount: int) -> None:
    assert picodollars(dollars(amount)) == amount
    assert picodollars(str(dollars(amount))) == amount


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0"),
        (3 * 10**11, "0.3"),
        (5 * 10**12, "5"),
        (10**15, "1000"),
        (1_554 * 10**6, "0.001554"),
        (-(10**10), "-0.01"),
    ],
)
def test_amounts_are_shown_without_zeros_that_say_nothing(amount: int, text: str) -> None:
    """They are in messages and in JSON: "0E-12" for nothing, and "0.300000000000" for 30 cents, would be too."""
    assert str(dollars(amount)) == text


@pytest.mark.parametrize("precision", [1, 4, 28])
def test_an_applications_decimal_settings_do_not_change_an_amount(precision: int) -> None:
    with decimal.localcontext() as context:
        context.prec = precision
        context.rounding = decimal.ROUND_UP
        assert picodollars("123.456789012345") == 123_456_789_012_345
        assert dollars(123_456_789_012_345) == Decimal("123.456789012345")


def test_an_applications_decimal_traps_do_not_change_the_error() -> None:
    with decimal.localcontext() as context:
        context.traps[decimal.Inexact] = context.traps[decimal.Rounded] = True
        with pytest.raises(ConfigurationError):
            picodollars("1.0000000000000000000000000000001")
        assert picodollars("0.3") == 3 * 10**11


def test_a_budget_without_limits_has_none_but_depth() -> None:
    budget = Budget()
    assert (budget.dollars, budget.tokens, budget.calls, budget.seconds, budget.depth, budget.caps.picodollars) == (
        None,
        None,
        None,
        None,
        1,
        None,
    )


@pytest.mark.parametrize(
    "limits",
    [
        {"tokens": -1}, {"tokens": 1.0}, {"tokens": True}, {"tokens": "1"}, {"tokens": MAX_COUNT + 1}, {"calls": -1}, {"calls": 0.5},
        {"calls": True}, {"seconds": 0}, {"seconds": -1}, {"seconds": "1"}, {"seconds": float("nan")}, {"seconds": float("inf")},
        {"seconds": True}, {"depth": -1}, {"depth": 33}, {"depth": 1.0}, {"depth": True}, {"depth": None}, {"dollars": "x"},
        {"tokens": 10**5000}, {"calls": -(10**5000)}, {"seconds": 10**5000}, {"depth": 10**5000}, {"tokens": [10**5000]},
        {"seconds": Decimal("NaN")}, {"seconds": 1e300}, {"calls": Decimal("1")}, {"calls": "\u0663"}, {"tokens": float("nan")},
    ],
    ids=name_value,
)  # fmt: skip
def test_a_limit_out_of_its_range_is_refused_by_name(limits: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(limits))) as refused:
        Budget(**limits)  # type: ignore[arg-type]
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "values", [(5,), ("5",), ("0.30", 100), (None,), (0.3,), (10**5000,)], ids=lambda values: str(len(values))
)
def test_a_budget_without_names_is_refused_with_the_way_to_write_it(values: tuple[object, ...]) -> None:
    with pytest.raises(ConfigurationError, match=r"names of its limits, as Budget\(dollars="):
        Budget(*values)


@pytest.mark.parametrize("name", ["dolars", "budget", "max_calls", "x" * 1_000])
def test_a_budget_says_which_limits_there_are(name: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"no limit .*: it has dollars, tokens, calls, seconds, depth"
    ) as refused:
        Budget(**{name: 3})
    assert len(str(refused.value)) < 200


def test_a_budget_can_be_copied_and_sent_to_another_process() -> None:
    budget = Budget(dollars="0.30", calls=3, depth=2)
    assert copy.deepcopy(budget) == pickle.loads(pickle.dumps(budget)) == dataclasses.replace(budget) == budget


@pytest.mark.parametrize(
    "limits",
    [{"tokens": 0}, {"calls": 0}, {"dollars": "0"}, {"seconds": 0.001}, {"depth": 0}, {"depth": 32}],
    ids=name_value,
)
def test_the_ends_of_the_ranges_are_allowed(limits: dict[str, object]) -> None:
    Budget(**limits)  # type: ignore[arg-type]
