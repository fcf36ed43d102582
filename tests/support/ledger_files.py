"""Ledgers in real files, with processes of their own that use them and die."""

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from divebell_bridge.money.amounts import Caps
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.rates import Rate, RateCard

DOLLAR = 10**12
CARD = RateCard({"m": Rate.per_million("1.00", "10.00")})
TEXT = "x" * 920  # with the framing 1,000 tokens: a call with 100 tokens of output holds $0.002

_WORKER = """
import sys, time
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.sqlite.ledger import SQLiteLedger
from tests.support.ledger_files import CARD, TEXT, open_run
ledger = SQLiteLedger(sys.argv[1])
run = open_run(ledger, sys.argv[2], dollars="0.10")
run.settle(run.hold("m", [TEXT], 100).charge(500, 50))
child = run.child("0.0", 2)
run.hold("m", [TEXT], 100)
child.hold("m", [TEXT], 100)
print("ready", flush=True)
time.sleep(600)
"""
"""Spends $0.001, and then holds $0.002 in a run and $0.002 in its child."""


def open_run(ledger: Ledger, tenant: str | None, *, dollars: str | None, tokens: int | None = None) -> Meter:
    """A run of the tenant, which gets $1 in all and $0.50 a day if it has no caps yet."""
    day = None
    if tenant is not None:
        has_caps = ledger.account(f"tenant:{tenant}") is not None
        caps: dict[str, Caps] = (
            {} if has_caps else {"total": Caps(DOLLAR, None, None), "per_day": Caps(DOLLAR // 2, None, None)}
        )
        day = ledger.tenant(tenant, total=caps.get("total"), per_day=caps.get("per_day"))
    return Meter(Budget(dollars=dollars, tokens=tokens), CARD, ledger=ledger, parent_account=day)


@contextlib.contextmanager
def worker(path: Path, tenant: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds money in the ledger (see above) until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(path), tenant],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def die(path: Path, tenant: str) -> int:
    """Kill such a process without warning. Returns its process id."""
    with worker(path, tenant) as process:
        return process.pid


def tamper(path: Path, *statements: str) -> None:
    """Change the file as another program could, its rules switched off."""
    db = sqlite3.connect(path)
    try:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute("PRAGMA writable_schema = ON")
        for (trigger,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{trigger}"')
        for statement in statements:
            db.execute(statement)
        db.commit()
    finally:
        db.close()
