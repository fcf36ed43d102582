"""A worker that dies of SIGKILL, at every point of a call's life: what it had settled is spent, what was in flight is
spent in full, and the rest of its allotment is its tenant's again. Real processes, real runs, no farewell."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from divebell import Budget, Completion, ModelRequest, Rate, ScriptedModel, SQLiteLedger, Usage
from divebell.calls import hold_queue
from divebell.calls.metered_calls import MeteredCalls
from divebell_bridge.money.amounts import NOTHING, Caps
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.rates import RateCard

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")

CENT = 10**10

# A run of $1 of a tenant with $2, at a cent a token. The root's turn costs 1 cent and asks for `first`, which costs 1.
# In "batch" it then asks for a, b and c at once, at most 4 cents each: a and b hang, and c replies.
WORKER = """
import os, signal, sys
import anyio
from divebell import RLM, Budget, Completion, Engine, Rate, ScriptedModel, SQLiteLedger, Usage
from divebell_bridge.money.sqlite import ledger as sqlite_ledger
from divebell_bridge.money.sqlite.books import SQLiteBooks

path, point = sys.argv[1:]
C_IS_THE_HOLD_NUMBER = 4


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Dying(SQLiteLedger):
    sub_holds = 0
    c_replied = False
    before_commit = False

    def hold(self, account_id, hold_id, bid, *, model, **options):
        self.sub_holds += model == "sub"
        is_c = model == "sub" and self.sub_holds == C_IS_THE_HOLD_NUMBER
        if is_c and point == "before the hold":
            die()
        self.before_commit = is_c and point == "during the hold's transaction"
        grant = super().hold(account_id, hold_id, bid, model=model, **options)
        if is_c and point == "after the hold":
            die()
        return grant

    def settle(self, hold_id, spent, **options):
        if self.c_replied and point == "before the settlement":
            die()
        self.before_commit = self.c_replied and point == "during the settlement's transaction"
        entry = super().settle(hold_id, spent, **options)
        if self.c_replied and point == "after the settlement":
            die()
        return entry

    def close_account(self, account_id):
        if point == "before the close":
            die()
        self.before_commit = point == "during the close's transaction"
        spent = super().close_account(account_id)
        if point == "after the close":
            die()
        return spent


class Books(SQLiteBooks):
    def flush(self):
        super().flush()
        if ledger.before_commit:
            die()


sqlite_ledger.SQLiteBooks = Books
ledger = None
ledger = Dying.__new__(Dying)
Dying.__init__(ledger, path)
batch = "close" not in point


def root(request):
    code = "llm_query('first')\\n" + ("llm_query_batched(['a', 'b', 'c'])" if batch else "FINAL('done')")
    return Completion(text="```repl\\n" + code + "\\n```", usage=Usage(output_tokens=1))


async def sub(request):
    prompt = request.messages[-1]["content"]
    if prompt in ("a", "b"):
        await anyio.sleep(60)
    if prompt == "c":
        if point == "after the dispatch":
            die()
        ledger.c_replied = True
    return Completion(text="yes", usage=Usage(output_tokens=1))


rates = {"root": Rate.per_million("0", "10000"), "sub": Rate.per_million("0", "10000")}
engine = Engine(ledger=ledger, rates=rates)
acme = engine.tenant("acme", total=Budget(dollars="2"))
rlm = acme.rlm(
    ScriptedModel("root", root), ScriptedModel("sub", sub), budget=Budget(dollars="1"),
    max_output_tokens=5, sub_max_output_tokens=4,
)
print(rlm.run("some context", "so?").answer)
print("it lived on")
"""

POINTS = {  # the point: what is spent in the end, in cents, and how many calls were in flight
    "before the hold": (1 + 1 + 2 * 4, 2),
    "during the hold's transaction": (1 + 1 + 2 * 4, 2),
    "after the hold": (1 + 1 + 3 * 4, 3),
    "after the dispatch": (1 + 1 + 3 * 4, 3),
    "before the settlement": (1 + 1 + 3 * 4, 3),
    "during the settlement's transaction": (1 + 1 + 3 * 4, 3),
    "after the settlement": (1 + 1 + 2 * 4 + 1, 2),
    "before the close": (1 + 1, 0),
    "during the close's transaction": (1 + 1, 0),
    "after the close": (1 + 1, 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_worker_killed(point: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    watcher = SQLiteLedger(path)
    died = subprocess.run([sys.executable, "-c", WORKER, str(path), point], capture_output=True, text=True, timeout=300)
    assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
    spent_cents, in_flight = POINTS[point]
    assert watcher.recover() == in_flight
    tenant = watcher.account("tenant:acme")
    assert tenant is not None
    assert (tenant.spent.picodollars, tenant.held, tenant.overdrawn) == (spent_cents * CENT, NOTHING, NOTHING)
    day = watcher.tenant("acme")
    assert watcher.room(day).picodollars == 200 * CENT - spent_cents * CENT
    watcher.close()
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*) FROM accounts WHERE is_open AND worker IS NOT NULL").fetchone() == (0,)
    states = dict(db.execute("SELECT state, count(*) FROM holds GROUP BY state"))
    assert states.get("uncertain", 0) == in_flight
    assert states["refunded"] == 1  # what was kept back for the last call
    assert "held" not in states
    db.close()


HOLDER = """
import sys, time
from divebell import Budget, Rate, SQLiteLedger
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.rates import RateCard
ledger = SQLiteLedger(sys.argv[1])
meter = Meter(Budget(dollars="0.08"), RateCard({"m": Rate.per_million("0", "10000")}), ledger=ledger,
              parent_account=ledger.tenant("acme"))
meter.hold("m", [], 3)
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_who_waits_for_the_money_of_a_worker_that_is_killed_goes_on_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 cents; the other has 8, of which 3 are in flight. It dies: 3 are spent, and 7 are there for us."""
    monkeypatch.setattr(hold_queue, "RECOVER_SECONDS", 0.1)
    path = tmp_path / "ledger.db"

    async def main(ledger: SQLiteLedger, holder: "subprocess.Popen[str]") -> None:
        model = ScriptedModel("m", lambda request: Completion(text="yes", usage=Usage(output_tokens=7)))
        card = RateCard({"m": Rate.per_million("0", "10000")})
        meter = Meter(Budget(), card, ledger=ledger, parent_account=ledger.tenant("acme"))
        calls = MeteredCalls({"m": model}, max_concurrent=4)
        async with anyio.create_task_group() as group:
            group.start_soon(calls, meter, model, ModelRequest(messages=(), max_output_tokens=7))
            await anyio.sleep(0.4)
            assert not model.requests
            holder.kill()
        assert len(model.requests) == 1
        meter.close()

    with SQLiteLedger(path) as ledger:
        ledger.tenant("acme", total=Caps(10 * CENT, None, None))
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "held\n"
            anyio.run(main, ledger, holder)
        finally:
            holder.kill()
            holder.wait()
            holder.stdout.close()
        tenant = ledger.account("tenant:acme")
        assert tenant is not None
        assert (tenant.spent.picodollars, tenant.held) == (10 * CENT, NOTHING)


BUSY_WORKER = """
import os, sys
sys.path.insert(0, os.getcwd())
from tests.calls.test_races import CARD, THREADS, in_threads
from divebell import Budget, SQLiteLedger
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.patience import retry_while_busy
ledger = SQLiteLedger(sys.argv[1])
day = retry_while_busy(lambda: ledger.tenant("acme"))
meters = [retry_while_busy(lambda: Meter(Budget(), CARD, ledger=ledger, parent_account=day)) for _ in range(THREADS)]
print("ready", flush=True)
in_threads(meters, 10**6, int(sys.argv[2]))
"""


@pytest.mark.slow
def test_workers_killed_at_random_moments_leave_books_that_add_up(tmp_path: Path) -> None:
    """Four at a time, each with threads in the midst of transactions. The sum of all holds is what the tenant spent."""
    path = tmp_path / "ledger.db"
    rng = random.Random(7)
    cap = 10**9
    with SQLiteLedger(path) as ledger:
        ledger.tenant("acme", total=Caps(cap, None, None))
        for generation in range(2):
            workers = [
                subprocess.Popen(
                    [sys.executable, "-c", BUSY_WORKER, str(path), str(generation * 4 + number)],
                    stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
                )
                for number in range(4)
            ]  # fmt: skip
            try:
                for worker in workers:
                    assert worker.stdout is not None
                    assert worker.stdout.readline() == "ready\n"
                for worker in workers:
                    time.sleep(rng.uniform(0.05, 0.3))
                    worker.kill()
            finally:
                for worker in workers:
                    worker.kill()
                    worker.wait()
                    assert worker.stdout is not None
                    worker.stdout.close()
            ledger.recover()
            tenant = ledger.account("tenant:acme")
            assert tenant is not None
            assert tenant.held == NOTHING
            query = "SELECT sum(spent_picodollars), sum(spent_calls) FROM holds"
            assert ledger._db.execute(query).fetchone() == (tenant.spent.picodollars, tenant.spent.calls)
            assert 0 < tenant.spent.picodollars <= cap
        assert ledger._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
