"""A ledger as tables, for people: with colours and bars where a terminal is wide enough, plain aligned text in a pipe.

Names and paths come from a file that others write: they are shown without terminal control sequences, in bounded
widths.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.text import Text

from divebell.cli.columns import Page, Row, name_columns, number_columns, word_columns
from divebell.cli.display import money, one_line
from divebell_bridge.money.amounts import NO_CAPS, Amounts, Caps, Limit
from divebell_bridge.money.reconcile import Reconciled
from divebell_bridge.money.report import AccountReport, HoldReport, LedgerReports, TenantReport, Totals, Worker

NAME_CHARACTERS = 60
MAX_INDENT = 10
REASON_CHARACTERS = 200
MAX_NOTES = 20
BAR_CHARACTERS = 12

_STATE_STYLES = {"open": "green", "held": "green", "frozen": "bold red", "died": "bold red", "closed": "dim"}


def amount(value: int | None, limit: Limit = Limit.PICODOLLARS, absent: str = "no cap") -> str:
    """An amount in the unit of a limit. A tiny amount is not shown as nothing."""
    if value is None:
        return absent
    if limit is not Limit.PICODOLLARS:
        return f"{value:,}"
    if not value:
        return "$0"
    return "<$0.000001" if 0 < value < 10**6 else money(value)


def _count(number: int, one: str, more: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def _name(text: str, indent: int = 0, style: str = "") -> Text:
    return Text("  " * min(indent, MAX_INDENT) + one_line(text, NAME_CHARACTERS), style=style)


def _process(worker: Worker | None) -> str:
    if worker is None:
        return ""
    return f"{worker.process} died" if worker.has_died else f"{worker.process}"


def _bar(page: Page, spent: int, held: int, cap: int | None) -> Text:
    """A bar of how much of the cap is spent, and how much is held."""
    if not cap:
        return Text("")
    used, kept, free = ("#", "+", ".") if page.console.options.ascii_only else ("█", "▒", "·")
    to_spent = min(-(-spent * BAR_CHARACTERS // cap), BAR_CHARACTERS)
    to_held = min(-(-(spent + held) * BAR_CHARACTERS // cap), BAR_CHARACTERS) - to_spent
    bar = Text(used * to_spent, style="red" if spent * 10 >= cap * 9 else "green")
    bar.append(kept * to_held, style="yellow")
    return bar.append(free * (BAR_CHARACTERS - to_spent - to_held), style="dim")


def _limits_to_show(caps: Sequence[Caps], amounts: Sequence[Amounts]) -> list[Limit]:
    """The limits that get a line: dollars, limits with a cap, and, if no dollars are used or capped, limits with any
    use."""
    without_dollars = not any(each.picodollars for each in amounts) and all(cap.picodollars is None for cap in caps)
    return [
        limit
        for limit in Limit
        if limit is Limit.PICODOLLARS
        or any(cap[limit] is not None for cap in caps)
        or (without_dollars and any(each[limit] for each in amounts))
    ]


def show(reports: LedgerReports, accounts: Sequence[AccountReport], totals: Totals) -> None:
    """The tree of accounts, notes on those that are frozen, and the sums."""
    page = Page()
    page.line(f"Ledger {one_line(reports.location, 200)}", "bold")
    if accounts:
        columns = [*name_columns("account"), *number_columns("spent", "held", "cap", "left")]
        columns += word_columns(*([""] if page.has_bars else []), "state", *(["process"] if page.is_wide else []))
        rows = [row for depth, report in _walk(accounts) for row in _account_rows(page, depth, report)]
        page.table(columns, rows)
        _print_notes(page, accounts)
    _print_totals(page, totals)
    _print_cut(page, reports)


def _walk(reports: Sequence[AccountReport], depth: int = 0) -> Iterator[tuple[int, AccountReport]]:
    for report in reports:
        yield depth, report
        yield from _walk(report.children, depth + 1)


def _account_rows(page: Page, depth: int, report: AccountReport) -> Iterator[Row]:
    account = report.account
    label = account.label.rpartition(", ")[2] if account.kind in ("day", "child") else account.label
    style = "dim" if not account.is_open else "bold" if depth == 0 else ""
    for number, limit in enumerate(_limits_to_show([account.caps], [report.spent, report.held])):
        is_first = number == 0
        cells: Row = [
            _name(label, depth, style) if is_first else _name(f"({limit.unit})", depth + 1, "dim"),
            amount(report.spent[limit], limit),
            amount(report.held[limit], limit),
            amount(account.caps[limit], limit),
            amount(report.left[limit], limit, "no limit") if account.is_open else "",
        ]
        if page.has_bars:
            cap = account.caps[limit] if account.is_open else None
            cells.append(_bar(page, report.spent[limit], report.held[limit], cap))
        cells.append(Text(report.state, style=_STATE_STYLES[report.state]) if is_first else "")
        if page.is_wide:
            cells.append(_process(report.worker) if is_first and account.is_open else "")
        yield cells


def _print_notes(page: Page, accounts: Sequence[AccountReport]) -> None:
    """Why accounts are frozen, and where a provider went over a cap, which no hold can prevent."""
    notes = []
    for _, report in _walk(accounts):
        account = report.account
        if account.frozen:
            notes.append(f"{one_line(account.label)} is frozen: {one_line(account.frozen, REASON_CHARACTERS)}")
        if any(account.overdrawn) and (account.kind in ("run", "child") or account.caps != NO_CAPS):
            over = ", ".join(
                amount(value, limit) if limit is Limit.PICODOLLARS else limit.quantity(value)
                for limit, value in zip(Limit, account.overdrawn, strict=True)
                if value
            )
            how = "was overdrawn by the provider" if account.kind in ("run", "child") else "is over what its cap allows"
            notes.append(f"{one_line(account.label)} {how}: {over}")
    for note in notes[:MAX_NOTES]:
        page.line(note, "red")
    if len(notes) > MAX_NOTES:
        page.line(f"{len(notes) - MAX_NOTES:,} more such notes: --json has them all")


def _print_totals(page: Page, totals: Totals) -> None:
    page.line(
        f"{_count(totals.tenants, 'tenant')}, {_count(totals.open_runs, 'open run')}, "
        f"{_count(totals.open_children, 'open child', 'open children')}, "
        f"{_count(totals.closed_runs, 'closed run')}; {_processes(totals.alive)} at work"
    )
    page.line(f"spent in all: {_describe_amounts(totals.spent)}")
    reserve_text = f"; {amount(totals.reserved.picodollars)} kept back for last calls" if any(totals.reserved) else ""
    page.line(f"{_count(totals.open_calls, 'open hold')}: {amount(totals.held.picodollars)} for calls{reserve_text}")
    if totals.died:
        page.line(
            f"{_processes(totals.died)} died holding {amount(totals.died_held.picodollars)} "
            f"({_count(totals.died_calls, 'call')}, {_accounts(totals.died_accounts)}): "
            "run `divebell ledger reconcile`",
            "bold yellow",
        )


def _processes(number: int) -> str:
    return _count(number, "process", "processes")


def _accounts(number: int) -> str:
    return _count(number, "open run or child", "open runs and children")


def _describe_amounts(amounts: Amounts) -> str:
    counts = [
        _count(value, limit.unit.removesuffix("s"))
        for limit, value in zip(Limit, amounts, strict=True)
        if limit is not Limit.PICODOLLARS
    ]
    return ", ".join([amount(amounts.picodollars), *counts])


def _print_cut(page: Page, reports: LedgerReports) -> None:
    if reports.is_cut:
        page.line("the ledger has more than is read here: the list and its sums are incomplete", "yellow")


def tenants(reports: LedgerReports, entries: Sequence[TenantReport]) -> None:
    """A line each, and one for each other limit that has a cap."""
    page = Page()
    if not entries:
        page.line("the ledger has no tenants")
        return
    columns = [*name_columns("tenant"), *number_columns("today", "per day", "left today", "in all", "cap", "left")]
    columns += [*word_columns(*([""] if page.has_bars else [])), *word_columns(*(["open"] if page.is_wide else []))]
    rows: list[Row] = []
    for each in entries:
        for number, limit in enumerate(_limits_to_show([each.per_day, each.total], [each.spent, each.held])):
            is_first = number == 0
            cells: Row = [
                _name(each.name, 0, "bold") if is_first else _name(f"({limit.unit})", 1, "dim"),
                amount(each.spent_today[limit], limit),
                amount(each.per_day[limit], limit),
                amount(each.left_today[limit], limit, "no limit"),
                amount(each.spent[limit], limit),
                amount(each.total[limit], limit),
                amount(each.left[limit], limit, "no limit"),
            ]
            if page.has_bars:
                cells.append(_bar(page, each.spent[limit], each.held[limit], each.total[limit]))
            if page.is_wide:
                cells.append(_count(each.open_runs, "run") if is_first else "")
            rows.append(cells)
    page.table(columns, rows)
    _print_cut(page, reports)


def holds(reports: LedgerReports, entries: Sequence[HoldReport], state: str) -> None:
    """Newest first."""
    page = Page()
    if not entries:
        page.line(f"no call is {state}")
        return
    ended = state != "held"
    columns = [*word_columns("since"), *name_columns("run", "model", *(["tenant"] if page.is_wide else []))]
    columns += number_columns("held", *(["spent"] if ended else []), *(["tokens"] if page.is_wide else []))
    columns += word_columns("process", "state")
    rows: list[Row] = []
    now = datetime.now(UTC)
    for each in entries:
        cells: Row = [
            one_line(each.opened[:19]).replace("T", " ") if page.is_wide else _age(each.opened, now),
            _name(each.account),
            _name(each.model),
            *([_name(each.tenant or "")] if page.is_wide else []),
            amount(each.held.picodollars),
            *([amount(each.spent.picodollars)] if ended else []),
            *([amount((each.spent if ended else each.held).tokens, Limit.TOKENS)] if page.is_wide else []),
            _process(each.worker),
            "kept back" if each.purpose == "reserve" and not ended else one_line(each.state, 20),
        ]
        rows.append(cells)
    page.table(columns, rows)
    if reports.is_cut:
        page.line(f"these are the newest {len(entries):,}: there are more, see --limit", "yellow")


def _age(moment: str, now: datetime) -> str:
    """How long ago, in one unit."""
    try:
        seconds = max(int((now - datetime.fromisoformat(moment)).total_seconds()), 0)
    except (ValueError, TypeError):  # not a date, or one without a zone: the file is not trusted
        return "?"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:,} {unit}"
    return f"{seconds} s"


def reconciled(done: Reconciled) -> None:
    """What was closed, what could not be, and who is still at work."""
    page = Page()
    if done.processes:
        page.line(
            f"{_processes(done.processes)} had died: {_count(done.calls, 'call')} in flight posted as spent, "
            f"{amount(done.spent.picodollars)}; {_accounts(done.accounts)} closed"
        )
        if any(done.released):
            page.line(f"{amount(done.released.picodollars)} that was kept back for last calls is free again")
    else:
        page.line("nothing to reconcile: no process died with the ledger open")
    if done.left:
        page.line(
            f"{_count(len(done.left), 'hold')} could not be closed: the run belongs to a process that is "
            "still alive, or it is not known to whom",
            "bold yellow",
        )
        for entry in done.left[:MAX_NOTES]:
            page.line(f"  {one_line(entry.account, NAME_CHARACTERS)}: {amount(entry.held.picodollars)}")
    if done.alive:
        page.line(
            f"{_processes(done.alive)} at work, with {_count(done.alive_calls, 'call')} in flight holding "
            f"{amount(done.alive_held.picodollars)}: left alone"
        )
    sys.stdout.flush()
