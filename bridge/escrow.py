"""The rules of the budget, pure: accounts in a tree, and what may be held, spent and given back in them.

An account has three limits (pico-dollars, tokens, calls). In each it has a cap or none, what is spent, and what is held
for calls and allotments that are not finished. `spent + held <= cap` is the invariant; only a provider that used more
than it was allowed can push them over it, or a cap that was lowered since, and by how much is in `overdrawn`.

The tree. A child's cap is either *carved* out of its parent's (an allotment: held in the parent until the child closes,
so nobody else can have it, and the child can have no more), or it is not, and then whatever counts in the child counts
in the parent as well, and so on upwards. So a charge touches an account and its ancestors up to the first carved cap.
Tenants have days under them, whose caps are not carved (a day's cap is a ceiling, not a promise); runs and their
children carve.

Guaranteed: the functions here change nothing unless all of it fits. Not guaranteed: atomicity between threads or
processes, which is the ledger's business (ledger.py), as is remembering which hold is open.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple, Protocol

from divebell.bridge.budget import dollars
from divebell.bridge.errors import BudgetExceeded


class Amounts(NamedTuple):
    """An amount in each limit."""

    picodollars: int = 0
    tokens: int = 0
    calls: int = 0


class Caps(NamedTuple):
    """A limit each, or None where there is none."""

    picodollars: int | None = None
    tokens: int | None = None
    calls: int | None = None


NOTHING = Amounts()
NO_CAPS = Caps()
LIMIT_NAMES = ("dollars", "tokens", "calls")
_LIMITS = range(len(LIMIT_NAMES))


@dataclass(slots=True)
class Account:
    """One account. `kind` is "tenant", "daily" (the caps of each day), "day", "run" or "child"; `path` is
    what people read.

    reserved: the part of `held` that waits for a run's last call, so that no other call can count on it.
    """

    id: str
    kind: str
    path: str
    parent: str | None = None
    worker: int | None = None
    caps: Caps = NO_CAPS
    carved: tuple[bool, bool, bool] = (False, False, False)
    spent: Amounts = NOTHING
    held: Amounts = NOTHING
    reserved: Amounts = NOTHING
    overdrawn: Amounts = NOTHING
    frozen: str = ""
    is_open: bool = True

    def free(self, limit: int) -> int | None:
        cap = self.caps[limit]
        return None if cap is None else cap - self.spent[limit] - self.held[limit]

    def free_once_settled(self, limit: int) -> int | None:
        cap = self.caps[limit]
        return None if cap is None else cap - self.spent[limit] - self.reserved[limit]


Chain = Sequence[Account]
"""An account, its parent, and so on up to the root."""


class Bid(Protocol):
    """What a call wants to hold. Its output limit may be lowered to fit, never the hold alone."""

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
    """A bid that is what it is."""

    wanted: Amounts
    output_tokens: int = 0
    least_output_tokens: int = 0

    def amounts(self, output_tokens: int) -> Amounts:
        return self.wanted

    def output_tokens_within(self, room: Caps) -> int:
        return 0


def touched(chain: Chain, limit: int) -> Iterator[Account]:
    """The accounts in which a charge to the first one counts."""
    for account in chain:
        yield account
        if account.carved[limit]:
            return


def room(chain: Chain) -> Caps:
    """What is free for the first account now, in each limit; None where nothing limits it."""
    return _least(chain, Account.free)


def room_once_settled(chain: Chain) -> Caps:
    """What would be free if all that is in flight cost nothing. The reserve of a last call is not in flight."""
    return _least(chain, Account.free_once_settled)


def _least(chain: Chain, free_in: Callable[[Account, int], int | None]) -> Caps:
    free: list[int | None] = []
    for limit in _LIMITS:
        each = [left for account in touched(chain, limit) if (left := free_in(account, limit)) is not None]
        free.append(max(min(each), 0) if each else None)
    return Caps(*free)


def decide(chain: Chain, bid: Bid) -> int:
    """The output limit with which the bid may be held now. BudgetExceeded where it may not.

    In full if that fits. If it could fit in full once calls in flight have settled, it is better to wait for them
    (`waiting_helps`). If it never could, the output limit is lowered to fit, down to the bid's least; but not to less
    than half of what it could still be once these have settled.
    """
    for account in chain:
        if account.frozen:
            raise BudgetExceeded(account.frozen, limit="dollars", path=account.path)
        if not account.is_open:
            raise BudgetExceeded(f"the budget of {account.path} is closed", limit="dollars", path=account.path)
    refusal = _refusal(chain, bid.amounts(bid.output_tokens))
    if refusal is None:
        return bid.output_tokens
    if refusal.waiting_helps or bid.least_output_tokens >= bid.output_tokens:
        raise refusal
    now = bid.output_tokens_within(room(chain))
    later = bid.output_tokens_within(room_once_settled(chain))
    if now >= bid.least_output_tokens and 2 * now >= later and _refusal(chain, bid.amounts(now)) is None:
        return now
    least = _refusal(chain, bid.amounts(bid.least_output_tokens))
    if least is not None and not least.waiting_helps:  # in any limit: to wait for the others would be for ever
        raise least
    refusal = least or refusal
    refusal.waiting_helps = refusal.waiting_helps or now < later >= bid.least_output_tokens
    raise refusal


def _refusal(chain: Chain, needed: Amounts) -> BudgetExceeded | None:
    """Why the amounts do not fit, or None if they do. Of several reasons the one that waiting does not help."""
    refusal: BudgetExceeded | None = None
    for limit in _LIMITS:
        for account in touched(chain, limit):
            cap = account.caps[limit]
            if cap is None or account.spent[limit] + account.held[limit] + needed[limit] <= cap:
                continue
            lasting = account.spent[limit] + account.reserved[limit]
            helps = account.held[limit] > account.reserved[limit] and lasting + needed[limit] <= cap
            if refusal is None or (refusal.waiting_helps and not helps):
                refusal = _explained(account, limit, cap, needed[limit], helps)
    return refusal


def _explained(account: Account, limit: int, cap: int, needed: int, waiting_helps: bool) -> BudgetExceeded:
    free = max(cap - account.spent[limit] - account.held[limit], 0)
    if limit == 0:
        sentence = f"the call may cost ${dollars(needed):f}, and ${dollars(free):f} of ${dollars(cap):f} is free"
    elif limit == 1:
        sentence = f"the call may take {needed:,} tokens, and {free:,} of {cap:,} are free"
    elif free == 0:
        sentence = f"all {cap:,} calls of the budget are used or kept back"
    else:
        sentence = f"{needed:,} calls are asked for, and {free:,} of {cap:,} are left"
    return BudgetExceeded(
        f"{sentence} ({account.path})", limit=LIMIT_NAMES[limit], cap=in_unit(limit, cap),
        spent=in_unit(limit, account.spent[limit]), held=in_unit(limit, account.held[limit]),
        path=account.path, waiting_helps=waiting_helps,
    )  # fmt: skip


def in_unit(limit: int, amount: int) -> "Decimal | int":
    """An amount as people see it: pico-dollars as dollars."""
    return dollars(amount) if limit == 0 else amount


def place(chain: Chain, amounts: Amounts, *, reserve: bool = False) -> None:
    """Hold the amounts, which `decide` has found to fit."""
    for limit in _LIMITS:
        for account in touched(chain, limit):
            account.held = _changed(account.held, limit, amounts[limit])
            if reserve:
                account.reserved = _changed(account.reserved, limit, amounts[limit])
            count_overdrawn(account, limit)


def replace(chain: Chain, held: Amounts, spent: Amounts, *, reserve: bool = False, overrun: bool = False) -> None:
    """A hold ends: what it held is free, what it cost is spent. More than it held is booked all the same.

    `overrun` tells that the provider went over a limit that it was sent, even if the sum stayed within the hold.
    """
    for limit in _LIMITS:
        for account in touched(chain, limit):
            account.held = _changed(account.held, limit, -held[limit])
            account.spent = _changed(account.spent, limit, spent[limit])
            if reserve:
                account.reserved = _changed(account.reserved, limit, -held[limit])
            count_overdrawn(account, limit)
    if overrun or any(spent[limit] > held[limit] for limit in _LIMITS):
        _freeze(chain)


def count_overdrawn(account: Account, limit: int) -> None:
    """Bring `overdrawn` up to date."""
    cap = account.caps[limit]
    over = 0 if cap is None else max(account.spent[limit] + account.held[limit] - cap, 0)
    if over != account.overdrawn[limit]:
        account.overdrawn = _changed(account.overdrawn, limit, over - account.overdrawn[limit])


def _freeze(chain: Chain) -> None:
    """No more calls for the run whose provider does not keep to what it is sent, where a cap rests on that."""
    if all(account.caps.picodollars is None and account.caps.tokens is None for account in chain):
        return
    for account in chain:
        if account.kind in ("run", "child"):
            account.frozen = (
                "the provider used more than the most that a request allowed; the cost is booked, and the budget "
                "takes no more calls"
            )


def allotted(chain: Chain, wanted: Caps) -> tuple[Caps, tuple[bool, bool, bool]]:
    """What a child that wants these caps gets out of the chain's first account, and which of them are carved.

    No more than is free. Where the parent is unlimited, the child has its own cap and there is nothing to carve; where
    the child wants no cap of its own, its charges count in the parent. Raises BudgetExceeded where nothing is free.
    """
    free = room(chain)
    caps: list[int | None] = []
    carved: list[bool] = []
    for limit in _LIMITS:
        want, left = wanted[limit], free[limit]
        caps.append(want if want is None or left is None else min(want, left))
        carved.append(want is not None and left is not None)
        if want and caps[-1] == 0:
            refusal = _refusal(chain, Amounts(*(1 if each == limit else 0 for each in _LIMITS)))
            assert refusal is not None
            refusal.waiting_helps = False
            raise refusal
    return Caps(*caps), (carved[0], carved[1], carved[2])


def carve(parents: Chain, child: Account) -> None:
    """Hold a new child's allotment in its parent."""
    place(parents, _allotment(child))


def give_back(parents: Chain, child: Account) -> None:
    """A child closes: its allotment is free again, and what it spent of it is the parent's spending."""
    allotment = _allotment(child)
    spent = Amounts(*(child.spent[limit] if child.carved[limit] else 0 for limit in _LIMITS))
    replace(parents, allotment, spent)


def _allotment(child: Account) -> Amounts:
    return Amounts(*((child.caps[limit] or 0) if child.carved[limit] else 0 for limit in _LIMITS))


def _changed(amounts: Amounts, limit: int, by: int) -> Amounts:
    if not by:
        return amounts
    values = list(amounts)
    values[limit] += by
    assert values[limit] >= 0, "an account gave back more than it had"
    return Amounts(*values)


@dataclass(slots=True)
class HoldEntry:
    """One hold as the ledger keeps it. `state`: "held", then for good "settled", "uncertain" or "refunded"."""

    id: str
    account: str
    worker: int | None
    model: str
    amounts: Amounts
    purpose: str = "call"
    state: str = "held"
    spent: Amounts = field(default=NOTHING)
