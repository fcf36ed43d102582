"""The rules of the budget, pure: accounts in a tree, and what may be held, spent and given back in them.

An account has several limits (`Limit` in amounts.py). In each it has a cap or none, what is spent, and what is held for
calls and allotments that are not finished. `spent + held <= cap` is the invariant; only a provider that used more than
it was allowed can push them over it, or a cap that was lowered since, and by how much is in `overdrawn`.

The tree. A child's cap is either *carved* out of its parent's (an allotment: held in the parent until the child closes,
so that no other account can use it, and the child can have no more), or it is not, and then whatever counts in the
child counts in the parent as well, and so on upwards. So a charge counts in an account and its ancestors up to the
first carved cap. Tenants have days under them, whose caps are not carved (a day's cap is a ceiling, not a promise);
runs and their children carve.

The brake. A cap that is lowered below what was promised already leaves its account overdrawn: the allotments stay as
they are, because what a run may be spending just now cannot be taken back. From then on a charge below it counts there
as well, beyond the carved cap, against what is truly *in use* there: `in_use + charge <= cap`, where

    in_use = spent + held - what the carved accounts under it, at any depth, have neither spent nor held

which is what all calls under the account have cost or hold. In an account that is not overdrawn this follows from the
first invariant, and needs no check: a carved account's charges are within its cap, and so within what it was given.

Guaranteed: the functions here change nothing unless all of it fits. Not guaranteed: atomicity between threads or
processes, which is the ledger's business (ledger.py), as is remembering which hold is open.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import add, gt, mul, neg, not_
from typing import Literal, NamedTuple, Protocol

from divebell_bridge.money.amounts import NO_CAPS, NOTHING, Amounts, Caps, Limit
from divebell_bridge.money.errors import BudgetExceeded

MAX_HOLDERS_NAMED = 20
MAX_TREE_DEPTH = 64
"""Accounts from a leaf to its root: a run's children, the run, a day, a tenant, and room."""

AccountKind = Literal["tenant", "daily", "day", "run", "child"]
"""A "day" is a tenant's account for a day, "daily" keeps the caps of each."""
HoldState = Literal["held", "settled", "uncertain", "refunded"]
"""A hold is "held", and then for good "settled", "uncertain" (its cost is not known) or "refunded"."""
HoldPurpose = Literal["call", "reserve"]
"""A "reserve" is kept back for a run's last call."""

Carved = tuple[bool, ...]
"""In each limit, whether an account's cap is carved out of its parent's."""

NOT_CARVED: Carved = (False,) * len(Limit)


@dataclass(slots=True)
class Account:
    """One account. `label` is its name for people.

    reserved: the part of `held` that waits for a run's last call, so that no other call can count on it.
    """

    id: str
    kind: AccountKind
    label: str
    parent: str | None = None
    worker: int | None = None
    caps: Caps = NO_CAPS
    carved: Carved = NOT_CARVED
    spent: Amounts = NOTHING
    held: Amounts = NOTHING
    reserved: Amounts = NOTHING
    overdrawn: Amounts = NOTHING
    frozen: str = ""
    is_open: bool = True


Chain = Sequence[Account]
"""An account, its parent, and so on up to the root."""

Below = Callable[[Account], Iterable[Account]]
"""The open accounts under one, at any depth: where nothing is under any, `nothing_below`."""


def nothing_below(account: Account) -> Iterable[Account]:
    """For accounts that have none under them."""
    return ()


class Bid(Protocol):
    """What a call wants to hold. To make it fit, its output limit may be lowered, and the hold with it."""

    @property
    def output_tokens(self) -> int: ...

    @property
    def least_output_tokens(self) -> int: ...

    def amounts(self, output_tokens: int) -> Amounts:
        """The worst case of the call with that output limit."""
        ...

    def output_tokens_within(self, room: Caps) -> int:
        """The most output tokens, up to `output_tokens`, whose worst case fits into the room."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """A bid of amounts that do not depend on an output limit."""

    wanted: Amounts
    output_tokens: int = 0
    least_output_tokens: int = 0

    def amounts(self, output_tokens: int) -> Amounts:
        return self.wanted

    def output_tokens_within(self, room: Caps) -> int:
        return 0


class Grant(NamedTuple):
    """What may be held for a bid: its output limit, and the worst case of the call with that limit."""

    output_tokens: int
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Bound:
    """A cap that a charge must fit under, in one limit: what is spent there, what is held, and the part of that which
    waits for last calls."""

    account: Account
    cap: int
    spent: int
    held: int
    reserved: int

    @property
    def free(self) -> int:
        return self.cap - self.spent - self.held

    @property
    def free_once_settled(self) -> int:
        """If all that is in flight cost nothing. The reserve of a last call is not in flight."""
        return self.cap - self.spent - self.reserved


def binding_caps(chain: Chain, limit: Limit, below: Below) -> Iterator[Bound]:
    """All caps that bind a charge to the chain's first account: of the accounts in which it counts, and beyond the
    first carved cap those that were lowered under what they had given away."""
    counts = True
    for account in chain:
        cap = account.caps[limit]
        if cap is not None and counts:
            yield Bound(account, cap, account.spent[limit], account.held[limit], account.reserved[limit])
        elif cap is not None and account.overdrawn[limit]:
            yield in_use(account, cap, limit, below)
        counts = counts and not account.carved[limit]


def in_use(account: Account, cap: int, limit: Limit, below: Below) -> Bound:
    """The bound in which calls under the account count, rather than the allotments that it has given away."""
    spent, held, reserved = account.spent[limit], account.held[limit], account.reserved[limit]
    for each in below(account):
        if each.carved[limit]:
            spent += each.spent[limit]
            held += each.held[limit] - (each.caps[limit] or 0)
            reserved += each.reserved[limit]
    return Bound(account, cap, spent, held, reserved)


def room(chain: Chain, below: Below) -> Caps:
    """What is free for the first account now, in each limit; None if nothing limits it."""
    return Caps(*(_least(bound.free for bound in binding_caps(chain, limit, below)) for limit in Limit))


def room_once_settled(chain: Chain, below: Below) -> Caps:
    """What would be free if all that is in flight cost nothing. The reserve of a last call is not in flight."""
    return Caps(*(_least(bound.free_once_settled for bound in binding_caps(chain, limit, below)) for limit in Limit))


def room_once_closed(chain: Chain, below: Below) -> Caps:
    """What would be free if all that is open under these accounts closed now, and what is in flight cost nothing."""
    return Caps(
        *(_least(_once_closed(bound, limit, below) for bound in binding_caps(chain, limit, below)) for limit in Limit)
    )


def _once_closed(bound: Bound, limit: Limit, below: Below) -> int:
    return bound.cap - in_use(bound.account, bound.cap, limit, below).spent


def _least(free: Iterable[int]) -> int | None:
    least = min(free, default=None)
    return None if least is None else max(least, 0)


def decide(chain: Chain, bid: Bid, below: Below) -> Grant:
    """The output limit with which the bid may be held now, and what is held with it. BudgetExceeded if it may not.

    In full if that fits. If it could fit in full once calls in flight have settled, it is better to wait for them
    (`waiting_helps`). If it never could, the output limit is lowered to fit, down to the bid's least; but not to less
    than half of what it could still be once these have settled.
    """
    for account in chain:
        if account.frozen:
            raise BudgetExceeded(account.frozen, limit="dollars", account=account.label)
        if not account.is_open:
            raise BudgetExceeded(f"the budget of {account.label} is closed", limit="dollars", account=account.label)
    in_full = bid.amounts(bid.output_tokens)
    refusal = _find_refusal(chain, in_full, below)
    if refusal is None:
        return Grant(bid.output_tokens, in_full)
    if refusal.waiting_helps or bid.least_output_tokens >= bid.output_tokens:
        raise refusal
    now = bid.output_tokens_within(room(chain, below))
    later = bid.output_tokens_within(room_once_settled(chain, below))
    if now >= bid.least_output_tokens and 2 * now >= later:
        lowered = bid.amounts(now)
        if _find_refusal(chain, lowered, below) is None:
            return Grant(now, lowered)
    least = _find_refusal(chain, bid.amounts(bid.least_output_tokens), below)
    if least is not None and not least.waiting_helps:  # in any limit: waiting for the others would never end
        raise least
    refusal = least or refusal
    refusal.waiting_helps = refusal.waiting_helps or now < later >= bid.least_output_tokens
    raise refusal


def _find_refusal(chain: Chain, needed: Amounts, below: Below) -> BudgetExceeded | None:
    """Why the amounts do not fit; None if they do. Of several reasons, one that waiting does not help comes first."""
    refusal: BudgetExceeded | None = None
    for limit in Limit:
        for bound in binding_caps(chain, limit, below):
            if needed[limit] <= bound.free:
                continue
            helps = bound.held > bound.reserved and needed[limit] <= bound.free_once_settled
            if refusal is None or (refusal.waiting_helps and not helps):
                refusal = _call_refusal(bound, limit, needed[limit], helps)
    return refusal


def _call_refusal(bound: Bound, limit: Limit, needed: int, waiting_helps: bool) -> BudgetExceeded:
    free, cap = max(bound.free, 0), bound.cap
    if limit is Limit.PICODOLLARS:
        sentence = (
            f"the call may cost {limit.quantity(needed)}, and {limit.quantity(free)} of {limit.quantity(cap)} is free"
        )
    elif limit is not Limit.CALLS:
        sentence = f"the call may take {limit.quantity(needed)}, and {free:,} of {cap:,} are free"
    elif free == 0:
        sentence = f"all {cap:,} calls of the budget are used or kept back"
    else:
        sentence = f"{needed:,} calls are asked for, and {free:,} of {cap:,} are left"
    if bound.held:
        sentence += f": {limit.quantity(bound.spent)} spent, {limit.quantity(bound.held)} set aside"
    return BudgetExceeded(
        f"{sentence} ({bound.account.label})", limit=limit.unit, cap=limit.in_unit(cap),
        spent=limit.in_unit(bound.spent), held=limit.in_unit(bound.held),
        account=bound.account.label, waiting_helps=waiting_helps,
    )  # fmt: skip


def place_hold(chain: Chain, amounts: Amounts, *, reserve: bool = False) -> None:
    """Hold the amounts, which `decide` has found to fit."""
    _book(chain, amounts, NOTHING, amounts if reserve else NOTHING)


def settle_hold(chain: Chain, held: Amounts, spent: Amounts, *, reserve: bool = False, overrun: bool = False) -> None:
    """End a hold: what it held is free again, and what it cost is spent, even where that is more than it held.

    `overrun`: the provider went over a limit that it was sent, even if the sum stayed within the hold.
    """
    given_back = Amounts(*map(neg, held))
    _book(chain, given_back, spent, given_back if reserve else NOTHING)
    if overrun or any(map(gt, spent, held)):
        _freeze(chain)


def _book(chain: Chain, held: Amounts, spent: Amounts, reserved: Amounts) -> None:
    """Add these to what is held, spent and reserved in the first account, and in those above it, in each limit up to
    the first carved cap. What is below 0 is given back."""
    for account in chain:
        account.held = _plus(account.held, held)
        account.spent = _plus(account.spent, spent)
        account.reserved = _plus(account.reserved, reserved)
        count_overdrawn(account)
        if False not in account.carved:
            return
        if True in account.carved:
            counts_above = tuple(map(not_, account.carved))
            held = Amounts(*map(mul, held, counts_above))
            spent = Amounts(*map(mul, spent, counts_above))
            reserved = Amounts(*map(mul, reserved, counts_above))


def count_overdrawn(account: Account) -> None:
    """Bring `overdrawn` up to date."""
    for limit, cap in enumerate(account.caps):
        over = 0 if cap is None else max(account.spent[limit] + account.held[limit] - cap, 0)
        if over != account.overdrawn[limit]:
            overdrawn = list(account.overdrawn)
            overdrawn[limit] = over
            account.overdrawn = Amounts(*overdrawn)


def _freeze(chain: Chain) -> None:
    """Allow no more calls to a run whose provider ignored a limit that it was sent, if a cap depends on that limit."""
    if all(account.caps[limit] is None for account in chain for limit in Limit if limit.is_reported):
        return
    for account in chain:
        if account.kind in ("run", "child"):
            account.frozen = (
                "the provider used more than the most that a request allowed; the cost is booked, and the budget "
                "takes no more calls"
            )


def allot(chain: Chain, wanted: Caps, below: Below, *, in_full: bool = False) -> tuple[Caps, Carved]:
    """What a child that wants these caps gets out of the chain's first account, and which of them are carved.

    No more than is free. Where the parent is unlimited, the child has its own cap and there is nothing to carve; where
    the child wants no cap of its own, its charges count in the parent. Raises BudgetExceeded if nothing is free of
    what every call uses; of the rest, a child may have none.

    in_full: also where more could be had once others have closed, up to all that is wanted; so whoever waits for that
    gets the same budget whoever else is at work. What is spent already is never waited for: where the rest of a cap is
    less than is wanted, that rest is what the child gets.
    """
    free = room(chain, below)
    if any(want and left is not None and left < want for want, left in zip(wanted, free, strict=True)):
        _check_worth(chain, wanted, free, below, in_full)
    caps: list[int | None] = []
    for want, left in zip(wanted, free, strict=True):
        caps.append(want if want is None or left is None else min(want, left))
    carved = tuple(want is not None and left is not None for want, left in zip(wanted, free, strict=True))
    return Caps(*caps), carved


def _check_worth(chain: Chain, wanted: Caps, free: Caps, below: Below, in_full: bool) -> None:
    """BudgetExceeded if a child cannot, or should not yet, be opened with what is free."""
    later = room_once_closed(chain, below)
    too_early: Limit | None = None
    for limit in Limit:
        want, left, most = wanted[limit], free[limit], later[limit]
        if not want or left is None or most is None or left >= want:
            continue
        if most == 0 and limit.is_in_every_call:
            raise _opening_refusal(chain, limit, want, below, waiting_helps=False)
        if (left == 0 and limit.is_in_every_call) or (in_full and left < min(want, most)):
            too_early = limit
    if too_early is not None:
        raise _opening_refusal(chain, too_early, wanted[too_early] or 0, below, waiting_helps=True)


def _opening_refusal(chain: Chain, limit: Limit, wanted: int, below: Below, *, waiting_helps: bool) -> BudgetExceeded:
    """Why a child is not opened: what of the cap is spent, and who holds the rest."""
    bound = min(
        binding_caps(chain, limit, below),
        key=lambda each: each.free if waiting_helps else _once_closed(each, limit, below),
    )
    account, cap = bound.account, limit.quantity(bound.cap)
    holders = _holders(account, limit, below)
    whose = f"tenant {chain[-1].label!r}" if chain[-1].kind == "tenant" else account.label
    if waiting_helps and holders:
        one, many = ("run", "runs") if holders[0].kind == "run" else ("child", "children")
        others = f"{len(holders):,} other {one if len(holders) == 1 else many}"
        set_aside = sum(each.caps[limit] or 0 for each in holders)
        reason = f"{limit.quantity(set_aside)} of {cap} is set aside by {others} of {whose}"
    elif waiting_helps:
        reason = f"{limit.quantity(bound.held)} of {cap} is set aside by calls of {whose}"
    else:
        reason = f"{limit.quantity(in_use(account, bound.cap, limit, below).spent)} of {cap} is spent by {whose}"
    free = f"{limit.quantity(bound.free)} is free" if bound.free > 0 else "nothing is free"
    free = free if waiting_helps else "nothing is left"
    return BudgetExceeded(
        f"{free} for a budget of {limit.quantity(wanted)}: {reason} ({account.label})",
        limit=limit.unit, cap=limit.in_unit(bound.cap), spent=limit.in_unit(bound.spent),
        held=limit.in_unit(bound.held), account=account.label, waiting_helps=waiting_helps,
        held_by=tuple(each.label for each in holders[:MAX_HOLDERS_NAMED]),
    )  # fmt: skip


def _holders(account: Account, limit: Limit, below: Below) -> list[Account]:
    """The accounts that have a part of the account's cap: not those that have a part of that part."""
    open_accounts = {each.id: each for each in below(account)}

    def is_within_another(each: Account) -> bool:
        above = open_accounts.get(each.parent or "")
        while above is not None:
            if above.carved[limit]:
                return True
            above = open_accounts.get(above.parent or "")
        return False

    holders = [each for each in open_accounts.values() if each.carved[limit] and each.caps[limit]]
    return [each for each in holders if not is_within_another(each)]


def open_child(parents: Chain, child: Account) -> None:
    """Hold a new child's allotment in its parent."""
    place_hold(parents, _allotment(child))


def close_child(parents: Chain, child: Account) -> None:
    """Close a child: its allotment is free again, and what it spent of that counts as its parent's spending."""
    allotment = _allotment(child)
    spent = Amounts(*(child.spent[limit] if child.carved[limit] else 0 for limit in Limit))
    settle_hold(parents, allotment, spent)


def _allotment(child: Account) -> Amounts:
    return Amounts(*((child.caps[limit] or 0) if child.carved[limit] else 0 for limit in Limit))


def _plus(amounts: Amounts, more: Amounts) -> Amounts:
    if more == NOTHING:
        return amounts
    values = Amounts(*map(add, amounts, more))
    assert min(values) >= 0, "an account gave back more than it had"
    return values


@dataclass(slots=True)
class HoldEntry:
    """One hold as the ledger keeps it."""

    id: str
    account: str
    worker: int | None
    model: str
    amounts: Amounts
    purpose: HoldPurpose = "call"
    state: HoldState = "held"
    spent: Amounts = field(default=NOTHING)
