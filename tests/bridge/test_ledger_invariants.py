"""Whatever tenants, runs and children do, and whichever process dies: no account holds and spends more than its cap,
and money is neither made nor lost. One machine drives every ledger against sums over all holds that there ever were."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from divebell_bridge.money.amounts import Amounts, Caps, Limit
from divebell_bridge.money.bids import CallBid
from divebell_bridge.money.errors import BudgetExceeded
from divebell_bridge.money.escrow import NOT_CARVED, AccountKind, Bid, Fixed, HoldState
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.memory_ledger import MemoryLedger
from divebell_bridge.money.rates import Rate
from divebell_bridge.money.sqlite.ledger import SQLiteLedger

EXAMPLES = int(os.environ.get("DIVEBELL_LEDGER_EXAMPLES", "60"))
STEPS = 50
LIMITS = tuple(Limit)
DAYS = (date(2026, 11, 25), date(2026, 11, 26))

a_cap = st.none() | st.integers(0, 300)
some_caps = st.builds(Caps, a_cap, a_cap, st.none() | st.integers(0, 12))
a_number = st.integers(0, 120)


@dataclass
class Entry:
    """A hold, as the test remembers it. `spent` is None while it is open."""

    id: str
    bid: Bid
    amounts: Amounts
    is_reserve: bool
    spent: Amounts | None = None
    state: HoldState = "held"


@dataclass(eq=False)
class Node:
    """An account, as the test remembers it: its parent, what it was given, and its holds."""

    id: str
    parent: "Node | None"
    caps: Caps
    worker: int | None = None
    carved: tuple[bool, ...] = NOT_CARVED
    children: "list[Node]" = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    is_open: bool = True
    is_frozen: bool = False
    has_an_excuse: bool = False

    def __post_init__(self) -> None:
        if self.parent is not None:
            self.parent.children.append(self)

    @property
    def is_run(self) -> bool:
        return self.worker is not None

    def below(self) -> "Iterator[Node]":
        yield self
        for child in self.children:
            yield from child.below()

    def above(self) -> "Iterator[Node]":
        yield self
        if self.parent is not None:
            yield from self.parent.above()

    def spent(self, limit: int) -> int:
        own = sum(entry.spent[limit] for entry in self.entries if entry.spent is not None)
        return own + sum(each.spent(limit) for each in self.children if not (each.carved[limit] and each.is_open))

    def held(self, limit: int) -> int:
        total = sum(entry.amounts[limit] for entry in self.entries if entry.spent is None)
        for child in self.children:
            if not child.carved[limit]:
                total += child.held(limit)
            elif child.is_open:
                total += child.caps[limit] or 0
        return total

    def in_use(self, limit: int) -> int:
        """What all calls that there ever were under this account cost, or hold."""
        entries = [entry for node in self.below() for entry in node.entries]
        return sum((entry.amounts if entry.spent is None else entry.spent)[limit] for entry in entries)

    def binding(self, limit: int) -> "Iterator[tuple[Node, int, bool]]":
        """The accounts whose caps bind a charge here, with the caps; and whether it counts there, or what is in use."""
        counts = True
        for node in self.above():
            cap = node.caps[limit]
            if cap is not None and (counts or node.spent(limit) + node.held(limit) > cap):
                yield node, cap, counts
            counts = counts and not node.carved[limit]

    def free(self, limit: int) -> int | None:
        free = [
            cap - (node.spent(limit) + node.held(limit) if counts else node.in_use(limit))
            for node, cap, counts in self.binding(limit)
        ]
        return min(free, default=None)

    def free_once_closed(self, limit: int) -> int:
        """If all that is open ended now, for nothing. There must be a cap."""
        return min(
            cap - sum(e.spent[limit] for each in node.below() for e in each.entries if e.spent is not None)
            for node, cap, _ in self.binding(limit)
        )

    def has_room_for(self, amounts: Amounts) -> bool:
        return all((free := self.free(limit)) is None or amounts[limit] <= free for limit in LIMITS)

    def end(self) -> None:
        """As the rules say: calls in flight cost what they hold, what was kept back is not needed."""
        for node in self.below():
            for entry in node.entries:
                if entry.spent is None:
                    entry.spent = Amounts() if entry.is_reserve else entry.amounts
                    entry.state = "refunded" if entry.is_reserve else "uncertain"
            node.is_open = False


class Money(RuleBasedStateMachine):
    """The machine; `make` is where a ledger comes from, and `may_die` whether its processes can."""

    workers = 1
    may_die = False
    forgets_closed_runs = True

    def __init__(self) -> None:
        super().__init__()
        self.ledgers = [self.make() for _ in range(self.workers)]
        self.tenants: dict[str, Node] = {}
        self.days: dict[str, Node] = {}
        self.daily: dict[str, Caps] = {}
        self.runs: list[Node] = []
        self.count = 0
        self.line: list[tuple[int, Node, int]] = []

    def make(self) -> Ledger:
        raise NotImplementedError

    def teardown(self) -> None:
        for ledger in self.ledgers:
            ledger.close()

    def name(self) -> str:
        self.count += 1
        return f"id {self.count}"

    def ledger_of(self, node: Node) -> Ledger:
        assert node.worker is not None
        return self.ledgers[node.worker]

    def open_runs(self) -> list[Node]:
        return [node for node in self.runs if node.is_open]

    def pick(self, data: st.DataObject, open_only: bool = True) -> Node:
        return data.draw(st.sampled_from(self.open_runs() if open_only else self.runs), "account")

    @rule(
        name=st.sampled_from(["acme", "acme@daily", "umbra"]),
        total=st.none() | some_caps,
        per_day=st.none() | some_caps,
        day=st.sampled_from(DAYS),
        data=st.data(),
    )
    def tenant(self, name: str, total: Caps | None, per_day: Caps | None, day: date, data: st.DataObject) -> None:
        """Caps change while runs are open; a tenant's name looks like another's account."""
        ledger = data.draw(st.sampled_from(self.ledgers))
        day_id = ledger.tenant(name, total=total, per_day=per_day, today=day)
        tenant = self.tenants.setdefault(name, Node(f"tenant:{name}", None, Caps()))
        if day_id not in self.days:
            self.days[day_id] = Node(day_id, tenant, Caps())
        if total is not None:
            tenant.caps, tenant.has_an_excuse = total, True
        if per_day is not None:
            self.daily[name] = per_day
            for day_node in self.days.values():
                if day_node.parent is tenant and any(run.is_open for run in day_node.children):
                    day_node.caps, day_node.has_an_excuse = per_day, True
        self.days[day_id].caps = self.daily.get(name, Caps())
        self.days[day_id].has_an_excuse = True

    @rule(data=st.data(), wanted=some_caps, in_full=st.booleans())
    def run(self, data: st.DataObject, wanted: Caps, in_full: bool) -> None:
        parent = data.draw(st.none() | st.sampled_from(list(self.days.values())) if self.days else st.none(), "parent")
        worker = data.draw(st.integers(0, self.workers - 1), "worker")
        self.opened(parent, worker, wanted, "run", in_full=in_full)

    @precondition(lambda self: self.days)
    @rule(data=st.data())
    def stand_in_line(self, data: st.DataObject) -> None:
        day = data.draw(st.sampled_from(list(self.days.values())), "parent")
        worker = data.draw(st.integers(0, self.workers - 1), "worker")
        ticket = self.ledgers[worker].stand_in_line(day.id)
        assert all(ticket > other for other, _, _ in self.line)
        self.line.append((ticket, day, worker))
        self.check_line()

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def leave_line(self, data: st.DataObject) -> None:
        ticket, day, worker = data.draw(st.sampled_from(self.line))
        self.ledgers[worker].leave_line(ticket)
        self.line.remove((ticket, day, worker))
        self.check_line()

    @precondition(lambda self: self.line)
    @rule(data=st.data(), wanted=some_caps, in_full=st.booleans())
    def run_out_of_line(self, data: st.DataObject, wanted: Caps, in_full: bool) -> None:
        ticket, day, worker = data.draw(st.sampled_from(self.line))
        assert self.ledgers[worker].renew_ticket(ticket)
        if self.opened(day, worker, wanted, "run", in_full=in_full, ticket=ticket):
            self.line.remove((ticket, day, worker))
        self.check_line()

    def check_line(self) -> None:
        for ticket, day, _ in self.line:
            for ledger in self.ledgers:
                assert ledger.is_first_in_line(day.id, ticket) == (not self.before(day, ticket))

    def before(self, day: Node, ticket: int | None) -> list[int]:
        """The tickets of those who wait for money of the same tenant, and came first."""
        waiting = [number for number, other, _ in self.line if other.parent is day.parent]
        return [number for number in waiting if ticket is None or number < ticket]

    @precondition(lambda self: self.open_runs())
    @rule(data=st.data(), wanted=some_caps)
    def child(self, data: st.DataObject, wanted: Caps) -> None:
        parent = self.pick(data)
        assert parent.worker is not None
        self.opened(parent, parent.worker, wanted, "child")

    def opened(
        self,
        parent: Node | None,
        worker: int,
        wanted: Caps,
        kind: AccountKind,
        *,
        in_full: bool = False,
        ticket: int | None = None,
    ) -> bool:
        """Open an account, and judge the ledger's answer. Whether it was opened."""
        name = self.name()
        free = [None if parent is None else parent.free(limit) for limit in LIMITS]
        expected = [
            want if want is None or left is None else min(want, max(left, 0))
            for want, left in zip(wanted, free, strict=True)
        ]
        carved = tuple(want is not None and left is not None for want, left in zip(wanted, free, strict=True))
        short = [limit for limit in LIMITS if wanted[limit] and carved[limit] and expected[limit] != wanted[limit]]
        later = {limit: parent.free_once_closed(limit) for limit in short if parent is not None}
        early = [
            limit for limit in short if expected[limit] == 0 or (in_full and (expected[limit] or 0) < later[limit])
        ]
        goes_first = parent is None or not self.before(parent, ticket) or not (in_full or ticket) or not any(carved)
        parent_id = None if parent is None else parent.id
        try:
            caps = self.ledgers[worker].open(
                name, kind=kind, label=name, parent=parent_id, wanted=wanted, in_full=in_full, ticket=ticket
            )
        except BudgetExceeded as error:
            helps, holders = error.waiting_helps, set(error.held_by)
            assert helps == all(left > 0 for left in later.values())
            assert early or not goes_first
            assert holders <= {run.id for run in self.open_runs()}
            return False
        assert goes_first
        assert not early
        assert list(caps) == expected
        self.runs.append(Node(name, parent, caps, worker, carved))
        return True

    @precondition(lambda self: self.open_runs() or (self.runs and not self.forgets_closed_runs))
    @rule(data=st.data(), amounts=st.builds(Amounts, a_number, a_number, st.integers(0, 3)), reserve=st.booleans())
    def hold(self, data: st.DataObject, amounts: Amounts, reserve: bool) -> None:
        self.held(self.pick(data, open_only=self.forgets_closed_runs), Fixed(amounts), reserve=reserve)

    @precondition(lambda self: self.open_runs())
    @rule(data=st.data(), input_tokens=a_number, output=st.integers(1, 100), least=st.integers(1, 100))
    def call(self, data: st.DataObject, input_tokens: int, output: int, least: int) -> None:
        self.held(self.pick(data), CallBid(Rate(1, 2), input_tokens, output, min(least, output)))

    @precondition(lambda self: self.open_runs())
    @rule(data=st.data(), count=st.integers(2, 12), amount=a_number)
    def batch(self, data: st.DataObject, count: int, amount: int) -> None:
        node = self.pick(data)
        for _ in range(count):
            self.held(node, Fixed(Amounts(amount, amount, 1)))

    @precondition(lambda self: any(entry.is_reserve and entry.spent is None for _, entry in self.entries()))
    @rule(data=st.data(), input_tokens=a_number, output=st.integers(1, 100))
    def last_call(self, data: st.DataObject, input_tokens: int, output: int) -> None:
        node, kept = data.draw(
            st.sampled_from([pair for pair in self.entries() if pair[1].is_reserve and pair[1].spent is None]),
            "reserve",
        )
        self.held(node, CallBid(Rate(1, 2), input_tokens, output, 1), replacing=kept)

    def held(self, node: Node, bid: Bid, *, reserve: bool = False, replacing: Entry | None = None) -> None:
        """Hold, and judge the ledger's answer by what is free."""
        name = self.name()
        if replacing is not None:
            replacing.spent = Amounts()
        full, least = bid.amounts(bid.output_tokens), bid.amounts(bid.least_output_tokens)
        may = all(each.is_open and not each.is_frozen for each in node.above())
        fits, fits_least = node.has_room_for(full), node.has_room_for(least)
        try:
            output_tokens, amounts = self.ledger_of(node).hold(
                node.id, name, bid, model="m", reserve=reserve, replacing=None if replacing is None else replacing.id
            )
        except BudgetExceeded as error:
            refused_for_good = not error.waiting_helps
            assert not (may and (fits or (fits_least and refused_for_good)))
            if replacing is not None:
                replacing.spent = None
            return
        assert may
        assert fits_least
        assert (
            output_tokens == bid.output_tokens if fits else bid.least_output_tokens <= output_tokens < bid.output_tokens
        )
        assert amounts == bid.amounts(output_tokens)
        assert node.has_room_for(amounts)
        if replacing is not None:
            replacing.state = "refunded"
        node.entries.append(Entry(name, bid, amounts, reserve))

    def entries(self) -> list[tuple[Node, Entry]]:
        return [(node, entry) for node in self.open_runs() for entry in node.entries]

    def open_calls(self) -> list[tuple[Node, Entry]]:
        return [pair for pair in self.entries() if pair[1].spent is None and not pair[1].is_reserve]

    def settled(self, node: Node, entry: Entry, spent: Amounts, state: HoldState, overrun: bool = False) -> None:
        kept = self.ledger_of(node).settle(entry.id, spent, state=state, overrun=overrun)
        assert (kept.state, kept.spent) == (state, spent)
        entry.spent, entry.state = spent, state
        if overrun or any(used > held for used, held in zip(spent, entry.amounts, strict=True)):
            for above in node.above():
                above.has_an_excuse = True
            if any(above.caps[0] is not None or above.caps[1] is not None for above in node.above()):
                for above in node.above():
                    above.is_frozen = above.is_frozen or above.is_run

    @precondition(lambda self: self.open_calls())
    @rule(data=st.data())
    def settle_within(self, data: st.DataObject) -> None:
        node, entry = data.draw(st.sampled_from(self.open_calls()))
        spent = Amounts(*(data.draw(st.integers(0, amount)) for amount in entry.amounts))
        self.settled(node, entry, spent, "settled")

    @precondition(lambda self: self.open_calls())
    @rule(data=st.data())
    def settle_exactly(self, data: st.DataObject) -> None:
        node, entry = data.draw(st.sampled_from(self.open_calls()))
        self.settled(node, entry, entry.amounts, "settled")

    @precondition(lambda self: self.open_calls())
    @rule(data=st.data(), over=st.just(Amounts()) | st.builds(Amounts, a_number, a_number, st.just(0)))
    def overrun(self, data: st.DataObject, over: Amounts) -> None:
        """The provider used more than it was allowed, of the input or the output, if perhaps not of both together."""
        node, entry = data.draw(st.sampled_from(self.open_calls()))
        spent = Amounts(*(amount + more for amount, more in zip(entry.amounts, over, strict=True)))
        self.settled(node, entry, spent, "settled", overrun=True)

    @precondition(lambda self: self.open_calls())
    @rule(data=st.data(), never_ran=st.booleans())
    def fail(self, data: st.DataObject, never_ran: bool) -> None:
        node, entry = data.draw(st.sampled_from(self.open_calls()))
        if never_ran:
            self.settled(node, entry, Amounts(), "refunded")
        else:
            self.settled(node, entry, entry.amounts, "uncertain")

    @precondition(lambda self: any(entry.spent is not None for _, entry in self.entries()))
    @rule(data=st.data())
    def settle_again(self, data: st.DataObject) -> None:
        """A hold that has ended stays as it ended."""
        ended = [pair for pair in self.entries() if pair[1].spent is not None]
        node, entry = data.draw(st.sampled_from(ended))
        kept = self.ledger_of(node).settle(entry.id, Amounts(1, 1, 1))
        assert (kept.state, kept.spent) == (entry.state, entry.spent)

    @precondition(lambda self: self.open_runs())
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        """A run ends, or is cancelled: with calls in flight, and children open."""
        node = self.pick(data)
        spent = self.ledger_of(node).close_account(node.id)
        node.end()
        assert list(spent) == [node.spent(limit) for limit in LIMITS]

    @precondition(lambda self: self.may_die)
    @rule(data=st.data(), by_others=st.booleans())
    def process_dies(self, data: st.DataObject, by_others: bool) -> None:
        """A process is killed with all that it has open, and is started again; or others find it dead first."""
        worker = data.draw(st.integers(0, self.workers - 1))
        dead = self.ledgers[worker]
        assert isinstance(dead, SQLiteLedger)
        assert dead._process_lock is not None
        dead._process_lock.forget()
        dead._db.close()
        in_flight = sum(node.worker == worker for node, _ in self.open_calls())
        if by_others and self.workers > 1:
            assert self.ledgers[1 - worker].recover() == in_flight
        self.ledgers[worker] = self.make()
        for node in self.open_runs():
            if node.worker == worker:
                node.end()
        self.line = [each for each in self.line if each[2] != worker]
        self.check_line()

    @rule(data=st.data())
    def nobody_is_dead(self, data: st.DataObject) -> None:
        assert data.draw(st.sampled_from(self.ledgers)).recover() == 0

    @invariant()
    def caps_hold_and_no_money_is_made_or_lost(self) -> None:
        for node in [*self.tenants.values(), *self.days.values(), *self.runs]:
            account = self.ledgers[0].account(node.id)
            if account is None:
                assert self.forgets_closed_runs
                assert not node.is_open
                continue
            assert account.is_open == node.is_open
            assert bool(account.frozen) == node.is_frozen
            for limit in LIMITS:
                spent, held, cap = account.spent[limit], account.held[limit], account.caps[limit]
                assert spent == node.spent(limit)
                assert held == node.held(limit)
                assert held == 0 or node.is_open
                assert 0 <= account.reserved[limit] <= held
                assert cap == node.caps[limit]
                assert cap is None or spent + held <= cap + account.overdrawn[limit]
                assert account.overdrawn[limit] == 0 or node.has_an_excuse


class MemoryMoney(Money):
    def make(self) -> Ledger:
        return MemoryLedger()


class SQLiteMoney(Money):
    """Two processes on one file."""

    workers = 2
    may_die = True
    forgets_closed_runs = False

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        super().__init__()

    def make(self) -> Ledger:
        return SQLiteLedger(Path(self._folder.name) / "ledger.db")

    def teardown(self) -> None:
        super().teardown()
        with suppress(OSError):
            self._folder.cleanup()


SETTINGS = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, suppress_health_check=[HealthCheck.too_slow])
TestMemoryLedger = MemoryMoney.TestCase
TestMemoryLedger.settings = SETTINGS
TestSQLiteLedger = pytest.mark.slow(pytest.mark.timeout(600)(SQLiteMoney.TestCase))
TestSQLiteLedger.settings = SETTINGS
