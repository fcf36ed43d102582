"""`divebell ledger`: where the money is, who holds it, and closing what dead processes left open.

Reading changes nothing and makes no file; `reconcile` and `cap` open the ledger as a run does.
A ledger that cannot be read ends the command with status 2 and one sentence.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from divebell.cli.exits import USAGE, Exit

MAX_SHOWN = 20_000

ledger = typer.Typer(
    name="ledger",
    no_args_is_help=True,
    help="Show a ledger's accounts and holds, and close what dead processes left open.",
    epilog="The ledger is the file that the engine uses: --file, or DIVEBELL_LEDGER.",
)

LedgerFile = Annotated[Path | None, typer.Option("--file", "-f", envvar="DIVEBELL_LEDGER", help="The ledger's file.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON: dollars as exact decimal strings, null where there is no cap.")
]


@ledger.command()
def show(
    file: LedgerFile = None,
    every: Annotated[bool, typer.Option("--all", "-a", help="Include every day, and all closed runs.")] = False,
    recent: Annotated[
        int, typer.Option(min=0, max=MAX_SHOWN, metavar="N", help="Include the N runs that were closed last.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Show the accounts as a tree: tenants, their days, runs and the runs' children.

    spent: what was charged, including in open runs.
    held: set aside but not spent, for calls in flight, a run's last call, and the budgets of runs and children.
    left: what is free now, under this cap and those above it.
    state: open; closed; frozen, if a provider exceeded its limit; died, if the process of an open run is dead.

    Tokens and calls have a line of their own if they have a cap. --json prints all figures, exactly.
    """
    from divebell.cli import ledger_json, ledger_tables
    from divebell_bridge.money.store import ledger_store

    with _readable(), ledger_store(_named(file)).read() as reports:
        accounts = reports.accounts(closed_runs=MAX_SHOWN if every else recent, every_day=every)
        totals = reports.totals()
    if as_json:
        ledger_json.show(reports, accounts, totals)
    else:
        ledger_tables.show(reports, accounts, totals)


@ledger.command()
def tenants(file: LedgerFile = None, as_json: AsJson = False) -> None:
    """List the tenants: what each spent today (UTC) and in total, the caps, and what is left.

    Tokens and calls have a line of their own if they have a cap.
    """
    from divebell.cli import ledger_json, ledger_tables
    from divebell_bridge.money.store import ledger_store

    with _readable(), ledger_store(_named(file)).read() as reports:
        entries = reports.tenants()
    if as_json:
        ledger_json.tenants(reports, entries)
    else:
        ledger_tables.tenants(reports, entries)


@ledger.command()
def holds(
    file: LedgerFile = None,
    tenant: Annotated[str | None, typer.Option(metavar="NAME", help="Only this tenant.")] = None,
    state: Annotated[
        Literal["held", "settled", "uncertain", "refunded"],
        typer.Option(help="held: in flight now. uncertain: cost unknown, charged in full. refunded: never ran."),
    ] = "held",
    limit: Annotated[int, typer.Option(min=1, max=MAX_SHOWN, metavar="N", help="Show at most N.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List what is held for single calls, and by which process, newest first.

    A hold is the most that a call can cost. One that is "kept back" is for a run's last call.
    A process "died" if it is gone and what it left open has not been closed.
    Holds that have ended are deleted after 90 days; what they cost stays in the accounts.
    """
    from divebell.cli import ledger_json, ledger_tables
    from divebell.cli.display import one_line
    from divebell_bridge.money.store import ledger_store

    with _readable(), ledger_store(_named(file)).read() as reports:
        if tenant is not None and not reports.has_tenant(tenant):
            raise Exit(USAGE, f"no tenant is called {one_line(tenant, 100)!r}: `divebell ledger tenants` lists them")
        entries = reports.holds(tenant=tenant, state=state, limit=limit)
    if as_json:
        ledger_json.holds(reports, entries)
    else:
        ledger_tables.holds(reports, entries, state)


@ledger.command()
def reconcile(file: LedgerFile = None, as_json: AsJson = False) -> None:
    """Close what dead processes left open: their calls in flight are posted as spent, in full.

    They may have been billed, and that cannot be found out any more.
    What was kept back for last calls, and the rest of the runs' budgets, is free again.
    Processes that are alive are not affected. Running it again changes nothing.
    """
    from divebell.cli import ledger_json, ledger_tables
    from divebell_bridge.money.reconcile import reconcile as close_what_died
    from divebell_bridge.money.store import ledger_store

    with _readable():
        done = close_what_died(ledger_store(_named(file)))
    if as_json:
        ledger_json.reconciled(done)
    else:
        ledger_tables.reconciled(done)


@ledger.command()
def cap(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="The tenant whose caps to change.")],
    total: Annotated[
        str | None, typer.Option(metavar="DOLLARS", help="Cap on all its spending; 'none' removes it.")
    ] = None,
    per_day: Annotated[
        str | None, typer.Option(metavar="DOLLARS", help="Cap on each day (UTC); 'none' removes it.")
    ] = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="Allow no more calls at all, until --total sets another cap.")
    ] = False,
    file: LedgerFile = None,
    as_json: AsJson = False,
) -> None:
    """Change a tenant's caps in dollars. A lower cap binds its runs from their next call on, in every process.

    Calls in flight are still paid. Caps in tokens and calls are kept, except by --stop and by --total after it.
    """
    from divebell.cli import ledger_json, ledger_tables
    from divebell.cli.display import one_line
    from divebell.cli.ledger_caps import change_caps
    from divebell_bridge.money.store import ledger_store

    if stop and total is not None:
        raise Exit(USAGE, "--stop and --total both set the total cap: use only one of them")
    if not stop and total is None and per_day is None:
        raise Exit(USAGE, "which cap? give --total DOLLARS, --per-day DOLLARS or --stop")
    store = ledger_store(_named(file))
    with _readable(), store.read() as reports:
        if not reports.has_tenant(tenant):
            raise Exit(USAGE, f"no tenant is called {one_line(tenant, 100)!r}: `divebell ledger tenants` lists them")
    with _readable():
        change_caps(store, tenant, total=total, per_day=per_day, stop=stop)
    with _readable(), store.read() as reports:
        entries = [each for each in reports.tenants() if each.name == tenant]
        (ledger_json if as_json else ledger_tables).tenants(reports, entries)


def _named(file: Path | None) -> Path:
    if file is None:
        raise Exit(USAGE, "which ledger? name its file: --file FILE, or set DIVEBELL_LEDGER")
    return file


@contextmanager
def _readable() -> Iterator[None]:
    """A database's messages may quote what is in it: they are shown as one safe line."""
    from divebell.cli.display import one_line
    from divebell.errors import ConfigurationError, LedgerError

    try:
        yield
    except (LedgerError, ConfigurationError) as error:
        raise Exit(USAGE, one_line(str(error), 600)) from None
