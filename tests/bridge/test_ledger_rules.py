"""What each ledger refuses, and what it leaves unchanged then; tenants whose names are chosen to get at others' money."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from divebell_bridge.money import amounts
from divebell_bridge.money.amounts import NO_CAPS, NOTHING, Amounts, Caps, Limit
from divebell_bridge.money.bids import CallBid
from divebell_bridge.money.dollars import dollars
from divebell_bridge.money.errors import BudgetExceeded, ConfigurationError, LedgerError
from divebell_bridge.money.escrow import MAX_TREE_DEPTH, Fixed
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.memory_ledger import MemoryLedger
from divebell_bridge.money.rates import Rate
from divebell_bridge.money.sqlite.ledger import SQLiteLedger

CALL = Fixed(Amounts(10, 10, 1))
DAY = date(2026, 11, 25)


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """A tenant with 100 in each limit, and a run of it with 60."""
    ledger: Ledger = MemoryLedger() if request.param == "memory" else SQLiteLedger(tmp_path / "ledger.db")
    day = ledger.tenant("acme", total=Caps(100, 100, 100), today=DAY)
    ledger.open("run", kind="run", label="run", parent=day, wanted=Caps(60, 60, 60))
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
    "forgive": lambda ledger: ledger.settle("held", NOTHING, state="forgiven"),  # type: ignore[arg-type]
    "open with less than nothing": lambda ledger: ledger.open(
        "x", kind="run", label="x", parent=None, wanted=Caps(-1, None, None)
    ),
    "open an account twice": lambda ledger: ledger.open("run", kind="run", label="x", parent=None, wanted=NO_CAPS),
    "open under nobody": lambda ledger: ledger.open("x", kind="run", label="x", parent="nobody", wanted=NO_CAPS),
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
    ledger.open("other", kind="run", label="other", parent=None, wanted=Caps(10, 10, 10))
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
    ledger.open("theirs", kind="run", label="theirs", parent=attackers, wanted=NO_CAPS)
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
        ledger.open(f"child {depth}", kind="child", label="child", parent=parent, wanted=Caps(50, None, None))
        parent = f"child {depth}"
    with pytest.raises(LedgerError, match="at most 64 deep"):
        ledger.open("one more", kind="child", label="child", parent=parent, wanted=Caps(50, None, None))
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
        ledger.open("next", kind="run", label="next", parent=day, wanted=Caps(1, None, None))
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
    ledger.hold("run", "late", Fixed(Amounts(30, 0, 1)), model="m")
    ledger.settle("late", Amounts(30, 0, 1))
    ledger.close_account("run")
    assert ledger.room(tomorrow).picodollars == 40
    today = ledger.account(f"day:{DAY}:acme")
    assert today is not None
    assert today.spent.picodollars == 30


def test_a_days_cap_that_is_lowered_after_midnight_binds_the_run_that_began_before(ledger: Ledger) -> None:
    ledger.tenant("acme", per_day=Caps(40, None, None), today=date(2026, 11, 26))
    with pytest.raises(BudgetExceeded) as refused:
        ledger.hold("run", "late", Fixed(Amounts(41, 0, 1)), model="m")
    assert (refused.value.account, refused.value.cap, refused.value.waiting_helps) == (
        f"acme, {DAY}",
        dollars(40),
        False,
    )


def money(amount: int) -> Fixed:
    return Fixed(Amounts(amount, 0, 1))


def lower(ledger: Ledger, to: int, *, each_day: bool = False) -> None:
    caps = Caps(to, None, None)
    ledger.tenant("acme", total=None if each_day else caps, per_day=caps if each_day else None, today=DAY)


@pytest.mark.parametrize("each_day", [False, True], ids=["in all", "each day"])
def test_a_cap_that_is_lowered_binds_a_run_with_a_budget_of_its_own_at_its_next_call(
    ledger: Ledger, each_day: bool
) -> None:
    """The run has 60 set aside. What it is spending just now it may spend; what it has not begun to, it may not."""
    ledger.hold("run", "in flight", money(30), model="m")
    lower(ledger, 40, each_day=each_day)
    assert ledger.room("run").picodollars == 10
    ledger.hold("run", "within", money(10), model="m")
    with pytest.raises(BudgetExceeded) as refused:
        ledger.hold("run", "over", money(1), model="m")
    assert (refused.value.cap, refused.value.held, refused.value.waiting_helps) == (dollars(40), dollars(40), True)
    assert refused.value.account.startswith("acme")
    assert ledger.settle("in flight", Amounts(30, 0, 1)).state == "settled"
    assert ledger.settle("within", Amounts(10, 0, 1)).state == "settled"
    with pytest.raises(BudgetExceeded) as refused:
        ledger.hold("run", "over", money(1), model="m")
    assert not refused.value.waiting_helps
    lower(ledger, 41, each_day=each_day)
    ledger.hold("run", "over", money(1), model="m")
    lower(ledger, 1000, each_day=each_day)
    ledger.hold("run", "free again", money(19), model="m")
    with pytest.raises(BudgetExceeded) as refused:
        ledger.hold("run", "over its own", money(1), model="m")
    assert refused.value.account == "run"


def test_a_lowered_cap_is_one_for_all_runs_and_their_children(ledger: Ledger) -> None:
    day = ledger.tenant("acme", today=DAY)
    ledger.open("other", kind="run", label="other", parent=day, wanted=Caps(20, None, None))
    ledger.open("child", kind="child", label="child", parent="run", wanted=Caps(30, None, None))
    ledger.hold("child", "a", money(5), model="m")
    ledger.settle("a", Amounts(5, 0, 1))
    ledger.hold("other", "b", money(6), model="m")
    lower(ledger, 15)
    assert [ledger.room(each).picodollars for each in ("child", "run", "other")] == [4, 4, 4]
    ledger.hold("child", "c", money(3), model="m")
    with pytest.raises(BudgetExceeded):
        ledger.hold("other", "d", money(2), model="m")
    with pytest.raises(BudgetExceeded):
        ledger.hold("run", "e", money(2), model="m")
    ledger.hold("run", "f", money(1), model="m")
    lower(ledger, 0)
    for account in ("run", "child", "other"):
        with pytest.raises(BudgetExceeded, match=r"\(acme\)"):
            ledger.hold(account, f"g {account}", money(1), model="m")


def test_a_call_is_made_smaller_to_fit_under_a_cap_that_was_lowered(ledger: Ledger) -> None:
    lower(ledger, 25)
    assert ledger.hold("run", "a", CallBid(Rate(0, 1), 0, 50, 10), model="m").output_tokens == 25


def test_what_was_kept_back_for_the_last_call_does_not_get_round_the_brake(ledger: Ledger) -> None:
    ledger.hold("run", "kept", Fixed(Amounts(20, 0, 1)), model="m", reserve=True)
    lower(ledger, 0)
    with pytest.raises(BudgetExceeded) as refused:
        ledger.hold("run", "last", money(20), model="m", replacing="kept")
    assert not refused.value.waiting_helps
    lower(ledger, 20)
    ledger.hold("run", "last", money(20), model="m", replacing="kept")


def test_where_all_is_set_aside_the_refusal_says_by_whom_and_that_it_may_come_back(ledger: Ledger) -> None:
    day = ledger.tenant("acme", today=DAY)
    ledger.open("other", kind="run", label="the other", parent=day, wanted=Caps(40, None, None))
    for wanted, in_full in ((10, False), (10, True), (200, True)):
        with pytest.raises(
            BudgetExceeded,
            match=r"nothing is free for a budget of \$.*: \$.* is set aside by 2 other runs of tenant 'acme'",
        ) as refused:
            ledger.open("late", kind="run", label="late", parent=day, wanted=Caps(wanted, None, None), in_full=in_full)
        assert refused.value.waiting_helps
        assert sorted(refused.value.held_by) == ["run", "the other"]
    ledger.hold("other", "a", money(40), model="m")
    ledger.settle("a", Amounts(40, 0, 1))
    ledger.close_account("other")
    ledger.hold("run", "b", money(60), model="m")
    ledger.settle("b", Amounts(60, 0, 1))
    with pytest.raises(BudgetExceeded, match="is spent by tenant 'acme'") as refused:  # though the run is still open
        ledger.open("late", kind="run", label="late", parent=day, wanted=Caps(10, None, None), in_full=True)
    assert (refused.value.waiting_helps, refused.value.held_by) == (False, ("run",))


def test_who_waits_for_a_whole_budget_gets_all_that_can_be_had_and_not_less(ledger: Ledger) -> None:
    day = ledger.tenant("acme", today=DAY)
    with pytest.raises(BudgetExceeded, match=r"is free for a budget of .* by 1 other run of tenant 'acme'"):
        ledger.open("late", kind="run", label="late", parent=day, wanted=Caps(50, None, None), in_full=True)
    assert ledger.open("less", kind="run", label="less", parent=day, wanted=Caps(50, None, None)).picodollars == 40
    ledger.close_account("less")
    ledger.hold("run", "a", money(60), model="m")
    ledger.settle("a", Amounts(60, 0, 1))
    got = ledger.open("late", kind="run", label="late", parent=day, wanted=Caps(50, None, None), in_full=True)
    assert got.picodollars == 40  # the rest is spent, and to wait for that would be for ever


def test_nobody_is_served_before_those_who_wait(ledger: Ledger) -> None:
    day, wanted = ledger.tenant("acme", today=DAY), Caps(30, None, None)
    first, second = ledger.stand_in_line(day), ledger.stand_in_line(day)
    assert [ledger.is_first_in_line(day, ticket) for ticket in (first, second)] == [True, False]
    for ticket, in_full in ((None, True), (second, True), (second, False)):
        with pytest.raises(BudgetExceeded, match="wait for its money, and came first") as refused:
            ledger.open("late", kind="run", label="late", parent=day, wanted=wanted, in_full=in_full, ticket=ticket)
        assert refused.value.waiting_helps
    ledger.open("unlimited", kind="run", label="unlimited", parent=day, wanted=NO_CAPS, in_full=True)
    others = ledger.tenant("umbra", total=Caps(30, None, None), today=DAY)
    ledger.open("another's", kind="run", label="another's", parent=others, wanted=wanted, in_full=True)
    ledger.open("first", kind="run", label="first", parent=day, wanted=wanted, in_full=True, ticket=first)
    assert ledger.is_first_in_line(day, second)
    assert not ledger.renew_ticket(first)
    ledger.leave_line(second)
    ledger.leave_line(second)
    ledger.open("free for all", kind="run", label="x", parent=day, wanted=Caps(5, None, None), in_full=True)


def test_a_place_in_the_line_that_nobody_renews_is_nobodys(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop of one who waited has ended, and its process goes on."""
    day = ledger.tenant("acme", today=DAY)
    for module in ("memory_ledger", "sqlite.books"):
        monkeypatch.setattr(f"divebell_bridge.money.{module}.STALE_TICKET_SECONDS", -1.0)
    lost, second = ledger.stand_in_line(day), ledger.stand_in_line(day)
    assert ledger.is_first_in_line(day, second)
    assert not ledger.renew_ticket(lost)
    assert ledger.renew_ticket(second)


def test_a_memory_ledger_forgets_what_has_closed() -> None:
    """It grows with what is open, not with what there ever was."""
    ledger = MemoryLedger()
    day = ledger.tenant("acme", today=DAY)
    for number in range(50):
        ledger.open("run", kind="run", label="run", parent=day, wanted=NO_CAPS)
        ledger.open("child", kind="child", label="child", parent="run", wanted=NO_CAPS)
        ledger.hold("child", f"hold {number}", CALL, model="m")
        ledger.close_account("run")
    books = ledger._books
    assert len(books._accounts) == 3
    assert len(books._holds) + len(books._holds_of_account) + sum(map(len, books._children.values())) == 2
    assert ledger.account("run") is None
    tenant = ledger.account("tenant:acme")
    assert tenant is not None
    assert tenant.spent.calls == 50


def test_where_a_limit_that_not_every_call_uses_has_nothing_left_runs_are_opened_all_the_same(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only calls that use some of it are refused. Tokens stand for such a limit."""
    monkeypatch.setattr(amounts, "_IN_EVERY_CALL", frozenset({Limit.PICODOLLARS, Limit.CALLS}))
    day = ledger.tenant("beta", total=Caps(tokens=20), today=DAY)
    assert ledger.open("all", kind="run", label="all", parent=day, wanted=Caps(tokens=20)).tokens == 20
    assert ledger.open("late", kind="run", label="late", parent=day, wanted=Caps(tokens=20)).tokens == 0
    assert ledger.open("child", kind="child", label="child", parent="late", wanted=Caps(tokens=1)).tokens == 0
    with pytest.raises(BudgetExceeded) as waits:
        ledger.open("patient", kind="run", label="patient", parent=day, wanted=Caps(tokens=20), in_full=True)
    assert waits.value.waiting_helps
    ledger.hold("child", "without", Fixed(Amounts(1, 0, 1)), model="m")
    with pytest.raises(BudgetExceeded) as refused:
        ledger.hold("child", "with", Fixed(Amounts(1, 1, 1)), model="m")
    assert (refused.value.limit, refused.value.waiting_helps) == ("tokens", False)
    ledger.hold("all", "everything", Fixed(Amounts(1, 20, 1)), model="m")
    ledger.settle("everything", Amounts(1, 20, 1))
    ledger.close_account("all")
    spent = ledger.open("spent", kind="run", label="spent", parent=day, wanted=Caps(tokens=20), in_full=True)
    assert spent.tokens == 0
