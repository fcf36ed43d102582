"""Changing a tenant's caps from the command line."""

from divebell_bridge.money.amounts import STOPPED, Caps
from divebell_bridge.money.dollars import picodollars
from divebell_bridge.money.patience import retry_while_busy
from divebell_bridge.money.store import LedgerStore

LIFT = "none"


def change_caps(store: LedgerStore, tenant: str, *, total: str | None, per_day: str | None, stop: bool) -> None:
    """Write the caps. Those in other limits stay, but for what `stop` set, which ends with another cap in dollars.

    ConfigurationError for what is not an amount, LedgerError if the ledger cannot be written.
    """
    new_total, new_day = _amount(total, "--total"), _amount(per_day, "--per-day")
    with store.open() as ledger:
        in_all, each_day = ledger.account(f"tenant:{tenant}"), ledger.account(f"daily:{tenant}")
        total_caps, day_caps = None, None
        if stop:
            total_caps = STOPPED
        elif total is not None:
            other_caps = Caps() if in_all is None or in_all.caps == STOPPED else in_all.caps
            total_caps = other_caps._replace(picodollars=new_total)
        if per_day is not None:
            day_caps = (Caps() if each_day is None else each_day.caps)._replace(picodollars=new_day)
        retry_while_busy(lambda: ledger.tenant(tenant, total=total_caps, per_day=day_caps))


def _amount(text: str | None, what: str) -> int | None:
    return None if text is None or text == LIFT else picodollars(text, what)
