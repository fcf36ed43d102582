"""Closing what dead processes left open in a ledger, and reporting how much that was.

A call in flight when its process died may have been billed, so it is posted as spent, in full (ledger.py). Opening the
ledger does that; this reports what it did, from how the ledger is before and after. Doing it again changes nothing.

Not guaranteed: that a process which dies in between is counted; its holds are closed all the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from divebell_bridge.money.amounts import Amounts, total
from divebell_bridge.money.report import HoldReport, LedgerReports
from divebell_bridge.money.store import LedgerStore


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What `reconcile` did: of `processes` that had died, `calls` were posted as spent for `spent`.

    accounts: runs and children that were open, and are closed. released: what was kept back for their last calls.
    left: holds that could not be closed, of processes that are gone. alive, alive_calls, alive_held: the living
    processes, which hold money rightly.
    """

    processes: int
    accounts: int
    calls: int
    spent: Amounts
    released: Amounts
    left: tuple[HoldReport, ...]
    alive: int
    alive_calls: int
    alive_held: Amounts


def reconcile(store: LedgerStore) -> Reconciled:
    """Post the holds of dead processes as spent. LedgerError if there is no ledger, or it cannot be written."""
    with store.read() as before:
        before_totals = before.totals()
        died = [worker.id for worker in before.workers.values() if worker.has_died]
        lost = before.holds(died_only=True)
    with store.open():
        pass
    with store.read() as after:
        closed = {number for number in died if number in after.workers and after.workers[number].ended is not None}
        ended = [entry for entry in _as_they_are_now(after, lost) if entry.state != "held"]
        held = after.holds()
        totals = after.totals()
    calls = [entry for entry in ended if entry.purpose == "call"]
    by_living = [entry for entry in held if entry.worker is not None and entry.worker.is_alive]
    working = [entry for entry in by_living if entry.purpose == "call"]
    return Reconciled(
        processes=len(closed),
        accounts=before_totals.died_accounts - totals.died_accounts,
        calls=len(calls),
        spent=total(entry.spent for entry in calls),
        released=total(entry.held for entry in ended if entry.purpose == "reserve"),
        left=tuple(entry for entry in held if entry.worker is None or not entry.worker.is_alive),
        alive=totals.alive,
        alive_calls=len(working),
        alive_held=total(entry.held for entry in working),
    )


def _as_they_are_now(reports: LedgerReports, entries: Iterable[HoldReport]) -> list[HoldReport]:
    return [entry for each in entries if (entry := reports.hold(each.id)) is not None]
