"""What each ledger refuses, and what it leaves unchanged then; tenants whose names are chosen to get at others' money."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from divebell.bridge.errors import BudgetExceeded, ConfigurationError, LedgerError
from divebell.bridge.escrow import NO_CAPS, NOTHING, Amounts, Caps, Fixed
from divebell.bridge.ledger import MAX_TREE_DEPTH, Ledger
from divebell.bridge.memory_ledger import MemoryLedger
from divebell.bridge.sqlite_ledger import SQLiteLedger

CALL = Fixed(Amounts(10, 10, 1))
DAY = date(2026, 11, 25)


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """A tenant with 100 in each limit, and a run of it with 60."""
    ledger: Ledger = MemoryLedger() if request.param == "memory" else SQLiteLedger(tmp_path / "ledger.db")
    day = ledger.tenant("acme", total=Caps(100, 100, 100), today=DAY)
    ledger.open("run", kind="run", path="run", parent=day, wanted=Caps(60, 60, 60))
    yield ledger
    ledger.close()


def everything(ledger: Ledger) -> list[object]:
    return [ledger.account(each) for each in ("tenant:acme", "daily:acme", f"day:{DAY}:acme", "run")]


MISTAKES: dict[str, Callable[[Ledger], object]] = {
    "hold less than nothing": lambda ledger: ledger.hold("run", "x", Fixed(Amounts(-10, 0, 0)), model="m"),
    "hold a fraction": lambda ledger: ledger.hold("run", "x", Fixed(Amounts(0.5, 0, 0)), model="m"),  # type: ignore[arg-type]
    "hold in no account": lambda ledger: ledger.hold("nobody", "x", CALL, model="m"),
    "use a hold's id twice": lambda ledger: ledger.hold("run", "held", CALL, model="m"),
    "settle for less than nothing": lambda ledger: ledger.settle("held", Amounts(-10, 0, 0)),
    "settle for a fraction": lambda ledger: ledger.settle("held", Amounts(0.5, 0, 0)),  # type: ignore[arg-type]
    "settle what there is not": lambda ledger: ledger.settle("nothing", NOTHING),
    "refund with a cost": lambda ledger: ledger.settle("held", Amounts(1, 0, 0), state="refunded"),
    "end a hold as held": lambda ledger: ledger.settle("held", NOTHING, state="held"),
    "forgive": lambda ledger: ledger.settle("held", NOTHING, state="forgiven"),
    "open with less than nothing": lambda ledger: ledger.open(
        "x", kind="run", path="x", parent=None, wanted=Caps(-1, None, None)
    ),
    "open an account twice": lambda ledger: ledger.open("run", kind="run", path="x", parent=None, wanted=NO_CAPS),
    "open under nobody": lambda ledger: ledger.open("x", kind="run", path="x", parent="nobody", wanted=NO_CAPS),
    "give a tenant less than nothing": lambda ledger: ledger.tenant("acme", total=Caps(-1, None, None), today=DAY),
    "replace a call in flight": lambda ledger: ledger.hold("run", "x", CALL, model="m", replacing="held"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_makes_no_sense_is_refused_and_changes_nothing(mistake: str, ledger: Ledger) -> None:
    ledger.hold("run", "held", CALL, model="m")
    before = everything(ledger)
    with pytest.raises(LedgerError):
        MISTAKES[mistake](ledger)
    assert everything(ledger) == before
    assert ledger.settle("held", Amounts(3, 3, 1)).state == "settled"


def test_one_run_cannot_use_what_another_kept_back(ledger: Ledger) -> None:
    ledger.open("other", kind="run", path="other", parent=None, wanted=Caps(10, 10, 10))
    ledger.hold("run", "kept", CALL, model="m", reserve=True)
    with pytest.raises(LedgerError, match="was not kept back for the last call of other"):
        ledger.hold("other", "last", CALL, model="m", replacing="kept")
    account = ledger.account("run")
    assert account is not None
    assert account.reserved == Amounts(10, 10, 1)


@pytest.mark.parametrize("name", ["acme@daily", f"acme@{DAY}", f"{DAY}:acme", "daily:acme", "tenant:acme"])
def test_a_tenant_named_like_anothers_account_does_not_get_at_it(name: str, ledger: Ledger) -> None:
    """Its caps would have become the other's."""
    before = everything(ledger)
    attackers = ledger.tenant(name, total=Caps(10**12, None, None), per_day=Caps(10**12, None, None), today=DAY)
    ledger.open("theirs", kind="run", path="theirs", parent=attackers, wanted=NO_CAPS)
    ledger.hold("theirs", "large", Fixed(Amounts(10**11, 0, 0)), model="m")
    assert everything(ledger) == before
    with pytest.raises(BudgetExceeded):
        ledger.hold("run", "too much", Fixed(Amounts(61, 0, 0)), model="m")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\0b", "x" * 101, None, 7, "\u202eacme", "\ud800"])
def test_a_tenants_name_is_a_short_printable_text(name: object, ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="printable text"):
        ledger.tenant(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["acme ", " acme", "cafe\u0301", "\u212bngstrom"])
def test_a_tenant_that_looks_like_another_and_has_no_caps_is_refused(name: str, ledger: Ledger) -> None:
    """Who can choose how its name is written, could have chosen a purse without a bottom."""
    with pytest.raises(ConfigurationError, match="without spaces at its ends and in Unicode's form NFC"):
        ledger.tenant(name)
    ledger.tenant("caf\u00e9")


def test_accounts_nest_so_deep_and_the_deepest_can_be_used_and_closed(ledger: Ledger) -> None:
    parent, depth = "run", 3
    while depth < MAX_TREE_DEPTH:
        depth += 1
        ledger.open(f"child {depth}", kind="child", path="child", parent=parent, wanted=Caps(50, None, None))
        parent = f"child {depth}"
    with pytest.raises(LedgerError, match="at most 64 deep"):
        ledger.open("one more", kind="child", path="child", parent=parent, wanted=Caps(50, None, None))
    ledger.hold(parent, "deep", CALL, model="m")
    assert ledger.close_account("run") == Amounts(10, 10, 1)
    tenant = ledger.account("tenant:acme")
    assert tenant is not None
    assert (tenant.spent, tenant.held) == (Amounts(10, 10, 1), NOTHING)


def test_a_cap_lowered_under_what_is_spent_takes_nothing_back_and_lends_nothing_more(ledger: Ledger) -> None:
    ledger.hold("run", "held", Fixed(Amounts(50, 50, 1)), model="m")
    day = ledger.tenant("acme", total=Caps(30, None, None), today=DAY)
    tenant = ledger.account("tenant:acme")
    assert tenant is not None
    assert (tenant.held.picodollars, tenant.overdrawn.picodollars) == (60, 30)
    assert ledger.room(day).picodollars == 0
    with pytest.raises(BudgetExceeded):
        ledger.open("next", kind="run", path="next", parent=day, wanted=Caps(1, None, None))
    ledger.settle("held", Amounts(20, 20, 1))
    ledger.close_account("run")
    tenant = ledger.account("tenant:acme")
    assert tenant is not None
    assert (tenant.spent.picodollars, tenant.held.picodollars, tenant.overdrawn.picodollars) == (20, 0, 0)
    assert ledger.room(day).picodollars == 10


def test_an_overrun_that_stays_within_the_hold_freezes_the_run_too(ledger: Ledger) -> None:
    """More output than asked for beside less input: it does not keep to what it is sent."""
    ledger.hold("run", "held", CALL, model="m")
    ledger.settle("held", Amounts(9, 9, 1), overrun=True)
    with pytest.raises(BudgetExceeded, match="takes no more calls"):
        ledger.hold("run", "next", CALL, model="m")


def test_what_a_provider_overdrew_is_excused_only_while_it_lasts(ledger: Ledger) -> None:
    """An overdraft that was counted for good would loosen the database's own constraint for all time."""
    ledger.hold("run", "held", CALL, model="m")
    ledger.settle("held", Amounts(25, 25, 1))
    run = ledger.account("run")
    assert run is not None
    assert (run.spent.picodollars, run.overdrawn.picodollars) == (25, 0)
    assert "takes no more calls" in run.frozen
    ledger.close_account("run")
    tenant = ledger.account("tenant:acme")
    assert tenant is not None
    assert (tenant.spent.picodollars, tenant.overdrawn.picodollars, tenant.frozen) == (25, 0, "")


def test_the_account_that_is_returned_is_a_copy(ledger: Ledger) -> None:
    account = ledger.account("run")
    assert account is not None
    account.spent = Amounts(-1000, 0, 0)
    account.caps = NO_CAPS
    again = ledger.account("run")
    assert again is not None
    assert (again.spent, again.caps) == (NOTHING, Caps(60, 60, 60))


def test_yesterdays_run_counts_on_yesterday(ledger: Ledger) -> None:
    tomorrow = ledger.tenant("acme", per_day=Caps(40, None, None), today=date(2026, 11, 26))
    ledger.hold("run", "late", Fixed(Amounts(50, 0, 1)), model="m")
    ledger.settle("late", Amounts(50, 0, 1))
    ledger.close_account("run")
    assert ledger.room(tomorrow).picodollars == 40
    today = ledger.account(f"day:{DAY}:acme")
    assert today is not None
    assert today.spent.picodollars == 50


def test_a_memory_ledger_forgets_what_has_closed() -> None:
    """It grows with what is open, not with what there ever was."""
    ledger = MemoryLedger()
    day = ledger.tenant("acme", today=DAY)
    for number in range(50):
        ledger.open("run", kind="run", path="run", parent=day, wanted=NO_CAPS)
        ledger.open("child", kind="child", path="child", parent="run", wanted=NO_CAPS)
        ledger.hold("child", f"hold {number}", CALL, model="m")
        ledger.close_account("run")
    books = ledger._books
    assert len(books._accounts) == 3
    assert sum(map(len, (books._holds, books._of_account, *books._children.values()))) == 2
    assert ledger.account("run") is None
    tenant = ledger.account("tenant:acme")
    assert tenant is not None
    assert tenant.spent.calls == 50
