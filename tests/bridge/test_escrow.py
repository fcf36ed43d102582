"""The pure rules: who may hold what, and what changes when nothing may."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divebell_bridge.money import escrow
from divebell_bridge.money.amounts import NOTHING, Amounts, Caps, Limit
from divebell_bridge.money.bids import CallBid
from divebell_bridge.money.errors import BudgetExceeded
from divebell_bridge.money.escrow import Account, Fixed, nothing_below
from divebell_bridge.money.rates import LongPrompt, Rate


def account(name: str, caps: Caps = Caps(), *, carved: bool = False, **amounts: Any) -> Account:  # noqa: B008
    return Account(name, "run", name, caps=caps, carved=(carved, carved, carved), **amounts)


def dollars(amount: int | None) -> Caps:
    return Caps(amount, None, None)


def cost(amount: int) -> Amounts:
    return Amounts(amount, 0, 0)


def test_a_charge_counts_up_to_the_first_carved_account_and_no_further() -> None:
    top, carved, leaf = account("top", dollars(100)), account("carved", dollars(50), carved=True), account("leaf")
    escrow.place_hold([leaf, carved, top], cost(10))
    assert [each.held.picodollars for each in (leaf, carved, top)] == [10, 10, 0]


def test_a_bid_waits_for_calls_in_flight_rather_than_being_lowered() -> None:
    chain = [account("run", dollars(100), held=cost(60))]
    with pytest.raises(BudgetExceeded) as refused:
        escrow.decide(chain, CallBid(Rate(0, 1), 0, 80, 10), nothing_below)
    assert refused.value.waiting_helps


def test_a_bid_that_never_fits_in_full_is_lowered_to_what_is_free() -> None:
    chain = [account("run", dollars(100), spent=cost(60))]
    assert escrow.decide(chain, CallBid(Rate(0, 1), 0, 80, 10), nothing_below) == (40, Amounts(40, 40, 1))
    with pytest.raises(BudgetExceeded) as refused:
        escrow.decide(chain, CallBid(Rate(0, 1), 0, 80, 41), nothing_below)
    assert not refused.value.waiting_helps


def test_to_wait_for_what_is_kept_back_does_not_help() -> None:
    """Nobody frees it before the run ends, so a call that waited for it would wait for ever."""
    chain = [account("run", dollars(100), held=cost(60), reserved=cost(60))]
    with pytest.raises(BudgetExceeded) as refused:
        escrow.decide(chain, Fixed(cost(50)), nothing_below)
    assert not refused.value.waiting_helps


def test_of_two_reasons_the_lasting_one_decides() -> None:
    chain = [account("run", Caps(100, 10, None), held=Amounts(90, 0, 0), spent=Amounts(0, 10, 0))]
    with pytest.raises(BudgetExceeded) as refused:
        escrow.decide(chain, Fixed(Amounts(50, 1, 0)), nothing_below)
    assert (refused.value.limit, refused.value.waiting_helps) == ("tokens", False)


def test_a_call_that_could_be_lowered_does_not_wait_where_the_calls_are_used_up() -> None:
    """The money would come back, and the calls never: it would wait for ever."""
    chain = [account("run", Caps(None, None, 0)), account("tenant", dollars(1), held=cost(1))]
    with pytest.raises(BudgetExceeded) as refused:
        escrow.decide(chain, CallBid(Rate(0, 1), 0, 2, 1), nothing_below)
    assert (refused.value.limit, refused.value.waiting_helps) == ("calls", False)


def test_the_account_that_is_used_up_is_named_wherever_in_the_chain_it_is() -> None:
    chain = [account("run"), account("day"), account("tenant", dollars(5), spent=cost(5))]
    with pytest.raises(BudgetExceeded) as refused:
        escrow.decide(chain, Fixed(cost(1)), nothing_below)
    assert refused.value.account == refused.value.path == "tenant"


def test_an_overdrawn_account_has_no_room_rather_than_less_than_none() -> None:
    chain = [account("run", dollars(100), spent=cost(150))]
    assert escrow.room(chain, nothing_below).picodollars == 0
    with pytest.raises(BudgetExceeded):
        escrow.allot(chain, dollars(1), nothing_below)


def test_a_child_gets_no_more_than_is_free_anywhere_above_it() -> None:
    chain = [account("run", dollars(100)), account("day", dollars(30), spent=cost(10)), account("tenant")]
    assert escrow.allot(chain, Caps(50, 7, None), nothing_below) == (
        Caps(20, 7, None),
        tuple(limit is Limit.PICODOLLARS for limit in Limit),
    )


def test_an_overrun_freezes_the_run_and_its_parents_but_not_its_tenant() -> None:
    tenant = account("tenant", dollars(100))
    tenant.kind = "tenant"
    run, child = account("run", dollars(50), carved=True), account("child", dollars(20), carved=True, held=cost(5))
    escrow.settle_hold([child, run, tenant], cost(5), cost(25))
    assert (child.overdrawn.picodollars, bool(child.frozen), bool(run.frozen), tenant.frozen) == (5, True, True, "")


def test_without_a_cap_that_rests_on_the_provider_an_overrun_stops_nobody() -> None:
    run = account("run", Caps(None, None, 10), held=Amounts(5, 5, 1))
    escrow.settle_hold([run], Amounts(5, 5, 1), Amounts(9, 9, 1))
    assert run.frozen == ""
    assert run.spent == Amounts(9, 9, 1)


amounts = st.builds(Amounts, *[st.integers(0, 50)] * len(Limit))
caps = st.builds(Caps, *[st.none() | st.integers(0, 100)] * len(Limit))
accounts = st.builds(
    lambda caps, carved, spent, held: Account("a", "run", "a", caps=caps, carved=carved, spent=spent, held=held),
    caps, st.tuples(*[st.booleans()] * len(Limit)), amounts, amounts,
)  # fmt: skip
tiers = st.just(()) | st.builds(
    lambda over, inputs, outputs: (LongPrompt(over, Rate(inputs, outputs)),),
    st.integers(0, 40), st.integers(0, 9), st.integers(0, 9),
)  # fmt: skip
rates = st.builds(
    lambda inputs, outputs, tiers: Rate(inputs, outputs, long_prompts=tiers),
    st.integers(0, 3),
    st.integers(0, 3),
    tiers,
)
bids = st.builds(
    lambda rate, inputs, output, less: CallBid(rate, inputs, output, max(output - less, 1)),
    rates, st.integers(0, 60), st.integers(1, 60), st.integers(0, 60),
)  # fmt: skip


@given(st.lists(accounts, min_size=1, max_size=4), bids)
def test_what_is_granted_fits_and_what_is_refused_did_not(chain: list[Account], bid: CallBid) -> None:
    """Over any chain, with any caps, overdrawn ones too, and any rate: a decision changes nothing, what it grants fits,
    and what it refuses for good would not fit even if the calls in flight cost nothing."""
    before = deepcopy(chain)

    def fits(output_tokens: int, *, in_flight: bool) -> bool:
        needed = bid.amounts(output_tokens)
        for limit in Limit:
            for each in chain:
                cap, held = each.caps[limit], each.held[limit] if in_flight else 0
                if cap is not None and each.spent[limit] + held + needed[limit] > cap:
                    return False
                if each.carved[limit]:
                    break
        return True

    try:
        granted, amounts = escrow.decide(chain, bid, nothing_below)
    except BudgetExceeded as error:
        refusal: BudgetExceeded | None = error
    else:
        refusal = None
        assert amounts == bid.amounts(granted)
    assert chain == before
    if refusal is None:
        assert fits(granted, in_flight=True)
        assert bid.least_output_tokens <= granted <= bid.output_tokens
        assert granted == bid.output_tokens or not fits(bid.output_tokens, in_flight=False)
        assert granted == bid.output_tokens or not fits(granted + 1, in_flight=True)
    elif refusal.waiting_helps:
        assert fits(bid.least_output_tokens, in_flight=False)
        assert not fits(bid.output_tokens, in_flight=True)
    else:
        assert not fits(bid.least_output_tokens, in_flight=False)


@given(st.lists(accounts, min_size=1, max_size=4), amounts, amounts)
def test_a_hold_that_ends_leaves_what_it_cost_and_nothing_else(
    chain: list[Account], held: Amounts, spent: Amounts
) -> None:
    before = deepcopy(chain)
    escrow.place_hold(chain, held)
    escrow.settle_hold(chain, held, spent)
    for limit in Limit:
        reached = True
        for was, now in zip(before, chain, strict=True):
            assert now.held[limit] == was.held[limit]
            assert now.spent[limit] == was.spent[limit] + (spent[limit] if reached else 0)
            if reached:
                cap = now.caps[limit]
                over = 0 if cap is None else now.spent[limit] + now.held[limit] - cap
                assert now.overdrawn[limit] == max(over, 0)
            reached = reached and not was.carved[limit]


@given(caps, amounts, caps, st.booleans())
def test_an_allotment_comes_back_but_for_what_was_spent_of_it(
    parent_caps: Caps, spent: Amounts, wanted: Caps, uses_all: bool
) -> None:
    parent = Account("parent", "run", "parent", caps=parent_caps)
    try:
        child_caps, carved = escrow.allot([parent], wanted, nothing_below)
    except BudgetExceeded:
        assert any(want and cap == 0 for want, cap in zip(wanted, parent_caps, strict=True))
        return
    child = Account("child", "child", "child", "parent", caps=child_caps, carved=carved)
    escrow.open_child([parent], child)
    most = escrow.room([child, parent], nothing_below)
    used = Amounts(
        *(
            amount if cap is None else cap if uses_all else min(amount, cap)
            for amount, cap in zip(spent, most, strict=True)
        )
    )
    escrow.place_hold([child, parent], used)
    escrow.settle_hold([child, parent], used, used)
    escrow.close_child([parent], child)
    assert parent.held == NOTHING
    assert parent.spent == used
    assert parent.overdrawn == NOTHING
