"""A ledger as JSON, for programs: stable keys, dollars as exact decimal strings, null where there is no cap."""

import json
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from divebell_bridge.money.amounts import Amounts, Caps, Limit
from divebell_bridge.money.reconcile import Reconciled
from divebell_bridge.money.report import AccountReport, HoldReport, LedgerReports, TenantReport, Totals, Worker


def _print(report: Mapping[str, Any]) -> None:
    json.dump(report, sys.stdout, indent=2)
    print()


def _amounts(amounts: "Amounts | Caps") -> dict[str, Any]:
    return {limit.unit: _amount(limit, amounts[limit]) for limit in Limit}


def _amount(limit: Limit, value: int | None) -> str | int | None:
    amount = None if value is None else limit.in_unit(value)
    return f"{amount:f}" if isinstance(amount, Decimal) else amount


def _worker(worker: Worker | None) -> dict[str, Any] | None:
    if worker is None:
        return None
    return {"process": worker.process, "alive": worker.is_alive, "died": worker.has_died, "began": worker.began}


def _account(report: AccountReport) -> dict[str, Any]:
    account = report.account
    fields = {
        "id": account.id,
        "kind": account.kind,
        "path": account.label,
        "state": report.state,
        "frozen": account.frozen,
        "opened": report.opened,
        "closed": report.closed,
        "worker": _worker(report.worker),
        "spent": _amounts(report.spent),
        "held": _amounts(report.held),
        "cap": _amounts(account.caps),
        "left": _amounts(report.left),
        "overdrawn": _amounts(account.overdrawn),
        "children": [_account(child) for child in report.children],
    }
    return {**fields, "per_day": _amounts(report.per_day)} if account.kind == "tenant" else fields


def show(reports: LedgerReports, accounts: Sequence[AccountReport], totals: Totals) -> None:
    _print(
        {
            "ledger": reports.location,
            "totals": {
                "tenants": totals.tenants,
                "open_runs": totals.open_runs,
                "open_children": totals.open_children,
                "closed_runs": totals.closed_runs,
                "spent": _amounts(totals.spent),
                "open_calls": totals.open_calls,
                "held_by_calls": _amounts(totals.held),
                "kept_back": _amounts(totals.reserved),
            },
            "processes": {"alive": totals.alive, "died": totals.died},
            "died": {
                "processes": totals.died,
                "calls": totals.died_calls,
                "accounts": totals.died_accounts,
                "held": _amounts(totals.died_held),
            },
            "accounts": [_account(each) for each in accounts],
            "cut": reports.is_cut,
        }
    )


def tenants(reports: LedgerReports, entries: Sequence[TenantReport]) -> None:
    lines = [
        {
            "name": each.name,
            "today": {
                "spent": _amounts(each.spent_today),
                "held": _amounts(each.held_today),
                "cap": _amounts(each.per_day),
                "left": _amounts(each.left_today),
            },
            "total": {
                "spent": _amounts(each.spent),
                "held": _amounts(each.held),
                "cap": _amounts(each.total),
                "left": _amounts(each.left),
            },
            "open_runs": each.open_runs,
        }
        for each in entries
    ]
    _print({"ledger": reports.location, "tenants": lines, "cut": reports.is_cut})


def _hold(entry: HoldReport) -> dict[str, Any]:
    return {
        "id": entry.id,
        "state": entry.state,
        "purpose": entry.purpose,
        "tenant": entry.tenant,
        "path": entry.account,
        "model": entry.model,
        "held": _amounts(entry.held),
        "spent": _amounts(entry.spent),
        "opened": entry.opened,
        "ended": entry.ended,
        "worker": _worker(entry.worker),
    }


def holds(reports: LedgerReports, entries: Sequence[HoldReport]) -> None:
    _print({"ledger": reports.location, "holds": [_hold(each) for each in entries], "cut": reports.is_cut})


def reconciled(done: Reconciled) -> None:
    _print(
        {
            "processes": done.processes,
            "accounts": done.accounts,
            "calls": done.calls,
            "spent": _amounts(done.spent),
            "released": _amounts(done.released),
            "not_closed": [_hold(each) for each in done.left],
            "alive": {"processes": done.alive, "calls": done.alive_calls, "held": _amounts(done.alive_held)},
        }
    )
