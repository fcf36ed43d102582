"""Reading a ledger's file: the figures are right, nothing is taken or written, and a hostile file does no harm."""

import os
import sqlite3
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from divebell_bridge.money import reconcile as reconciling
from divebell_bridge.money.amounts import Amounts, Caps
from divebell_bridge.money.errors import BudgetExceeded, LedgerBusyError, LedgerError
from divebell_bridge.money.escrow import Bid, Fixed
from divebell_bridge.money.report import AccountReport
from divebell_bridge.money.sqlite import report as sqlite_report
from divebell_bridge.money.sqlite import schema
from divebell_bridge.money.sqlite.ledger import SQLiteLedger
from divebell_bridge.money.sqlite.report import SQLiteReader
from divebell_bridge.money.store import ledger_store
from tests.support.ledger_files import DOLLAR, TEXT, die, open_run, tamper, worker
from tests.support.names import name_value

CENT = DOLLAR // 100
MILLI = DOLLAR // 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def flat(reports: list[AccountReport]) -> dict[str, AccountReport]:
    found = {}
    for report in reports:
        found[report.account.label] = report
        found.update(flat(report.children))
    return found


def reconcile(path: Path) -> reconciling.Reconciled:
    return reconciling.reconcile(ledger_store(path))


def by_kind(reader: SQLiteReader, kind: str, closed_runs: int = 0) -> list[AccountReport]:
    return [each for each in flat(reader.accounts(closed_runs=closed_runs)).values() if each.account.kind == kind]


def test_a_tenants_spending_has_that_of_its_open_runs_and_children_in_it(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        run = open_run(ledger, "acme", dollars="0.10")
        run.settle(run.hold("m", [TEXT], 100).charge(500, 50))
        child = run.child("0.0", 2)
        child.settle(child.hold("m", [TEXT], 100).charge(500, 50))
        child.hold("m", [TEXT], 100)
        with SQLiteReader(path) as reader:
            (tenant,) = reader.accounts()
            (day,) = tenant.children
            (shown_run,) = day.children
            (shown_child,) = shown_run.children
            totals = reader.totals()
    assert [each.spent.picodollars for each in (tenant, day, shown_run, shown_child)] == [
        2 * MILLI,
        2 * MILLI,
        2 * MILLI,
        MILLI,
    ]
    assert tenant.held.picodollars == 10 * CENT - 2 * MILLI
    assert shown_child.held == Amounts(2 * MILLI, 1_100, 1)
    assert tenant.left.picodollars == 90 * CENT
    assert day.left.picodollars == 40 * CENT
    assert totals.spent == Amounts(2 * MILLI, 1_100, 2)
    assert (totals.held, totals.open_calls, totals.open_runs, totals.open_children) == (
        Amounts(2 * MILLI, 1_100, 1),
        1,
        1,
        1,
    )


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 1_000), st.sampled_from(["settle", "hold", "close"])), max_size=15
    )
)
def test_money_is_neither_made_nor_lost_by_telling_it(tmp_path: Path, steps: list[tuple[int, int, str]]) -> None:
    """Each account shows, in `spent` and `held` together, what the ledger has, and the total is what calls cost."""
    path = tmp_path / f"{os.urandom(8).hex()}.db"
    with SQLiteLedger(path) as ledger:
        runs = [open_run(ledger, "acme", dollars="0.10"), open_run(ledger, None, dollars="0.10", tokens=50_000)]
        meters = [*runs, runs[0].child("0.0", 2), runs[1].child("0.0", 2)]
        meters.append(meters[2].child("0.0.0", 1))
        expected = 0
        for which, tokens, what in steps:
            meter = meters[which + 1]
            if what == "close" and which > 1:
                meter.close()
                continue
            try:
                hold = meter.hold("m", [TEXT], 100)
            except BudgetExceeded:
                continue
            if what == "settle":
                expected += meter.settle(hold.charge(tokens, 10)).spent_picodollars
        with SQLiteReader(path) as reader:
            reports = flat(reader.accounts(closed_runs=100))
            totals = reader.totals()
            uncertain = sum(each.spent.picodollars for each in reader.holds(state="uncertain"))
        assert len(reports) >= 6
        for report in reports.values():
            account = ledger.account(report.account.id)
            assert account is not None
            assert (
                report.spent.picodollars + report.held.picodollars
                == account.spent.picodollars + account.held.picodollars
            )
        assert totals.spent.picodollars == expected + uncertain
        tops = [each for each in reports.values() if each.account.parent is None]
        assert sum(each.spent.picodollars for each in tops) == totals.spent.picodollars


def test_closed_runs_are_shown_if_asked_for_the_newest_first(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        for _ in range(3):
            run = open_run(ledger, "acme", dollars="0.10")
            run.child("0.0", 2)
            run.close()
        still_open = open_run(ledger, "acme", dollars="0.10")
        with SQLiteReader(path) as reader:
            assert [each.state for each in by_kind(reader, "run")] == ["open"]
            assert by_kind(reader, "child") == []
            two = by_kind(reader, "run", closed_runs=2)
            assert [each.state for each in two].count("closed") == 2
            assert len(by_kind(reader, "child", closed_runs=2)) == 2
            assert len(by_kind(reader, "run", closed_runs=100)) == 4
            assert reader.totals().closed_runs == 3
        still_open.close()


def test_days_are_todays_and_those_with_open_runs_or_every_one(path: Path) -> None:
    today = datetime.now(UTC).date()
    with SQLiteLedger(path) as ledger:
        now, _, old = (ledger.tenant("acme", today=today - timedelta(days=days)) for days in (0, 1, 2))
        ledger.open("r", kind="run", label="run r", parent=old, wanted=Caps())
        with SQLiteReader(path) as reader:
            (tenant,) = reader.accounts(today=today)
            assert {each.account.id for each in tenant.children} == {old, now}
            (tenant,) = reader.accounts(today=today, every_day=True)
            assert len(tenant.children) == 3


def test_a_tenant_in_a_line(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        run = open_run(ledger, "acme", dollars="0.10")
        run.settle(run.hold("m", [TEXT], 100).charge(500, 50))
        with SQLiteReader(path) as reader:
            (tenant,) = reader.tenants()
            (tomorrow,) = reader.tenants(today=date(2999, 1, 1))
    assert (tenant.name, tenant.open_runs) == ("acme", 1)
    assert (tenant.spent_today.picodollars, tenant.spent.picodollars) == (MILLI, MILLI)
    assert (tenant.per_day.picodollars, tenant.total.picodollars) == (50 * CENT, DOLLAR)
    assert (tenant.left_today.picodollars, tenant.left.picodollars) == (40 * CENT, 90 * CENT)
    assert (tomorrow.spent_today, tomorrow.left_today.picodollars) == (Amounts(), 50 * CENT)


def test_what_is_left_today_is_under_the_cap_in_all_too(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        ledger.tenant("acme", total=Caps(5 * CENT, None, 3), per_day=Caps(DOLLAR, 10, None))
        with SQLiteReader(path) as reader:
            (today,) = reader.tenants()
            (tomorrow,) = reader.tenants(today=date(2999, 1, 1))
    assert today.left_today == tomorrow.left_today == Caps(5 * CENT, 10, 3)


def test_holds_by_state_and_tenant_newest_first_with_whom_they_belong_to(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        acme, other = open_run(ledger, "acme", dollars="0.10"), open_run(ledger, None, dollars="0.10")
        acme.keep_back("m", [(1_000, 100)])
        acme.settle(acme.hold("m", [TEXT], 100).charge(500, 50))
        acme.settle(acme.hold("m", [TEXT], 100).charge_nothing())
        acme.settle(acme.hold("m", [TEXT], 100).charge_in_full())
        acme.hold("m", [TEXT], 100)
        other.hold("m", [TEXT], 50)
        with SQLiteReader(path) as reader:
            held = reader.holds()
            assert [each.opened for each in held] == sorted((each.opened for each in held), reverse=True)
            assert sorted(each.purpose for each in held) == ["call", "call", "reserve"]
            assert {each.tenant for each in held} == {"acme", None}
            assert {each.worker.process for each in held if each.worker} == {os.getpid()}
            assert len(reader.holds(tenant="acme")) == 2
            assert reader.holds(tenant="nobody") == []
            (settled,) = reader.holds(state="settled")
            assert (settled.held.picodollars, settled.spent.picodollars) == (2 * MILLI, MILLI)
            assert [each.spent.picodollars for each in reader.holds(state="uncertain")] == [2 * MILLI]
            assert [each.spent for each in reader.holds(state="refunded")] == [Amounts()]
            assert not reader.is_cut
            assert len(reader.holds(limit=2)) == 2
            assert reader.is_cut


def test_the_living_and_the_dead_are_told_apart(path: Path) -> None:
    with SQLiteLedger(path) as ledger, worker(path, "acme") as other:
        with SQLiteReader(path) as reader:
            assert reader.totals().died == 0
            assert {each.process for each in reader.workers.values() if each.is_alive} == {os.getpid(), other.pid}
        other.kill()
        other.wait()
        with SQLiteReader(path) as reader:
            totals = reader.totals()
            assert (totals.alive, totals.died, totals.died_calls, totals.died_accounts) == (1, 1, 2, 2)
            assert totals.died_held.picodollars == 4 * MILLI
            assert {each.state for each in by_kind(reader, "run")} == {"died"}
            assert len(reader.holds(died_only=True)) == 2
        assert ledger.recover() == 2  # the reader took nothing


def test_reading_writes_nothing_and_is_no_worker(path: Path) -> None:
    SQLiteLedger(path).close()
    before = path.read_bytes()
    with SQLiteReader(path) as reader:
        assert len(reader.workers) == 1
        assert reader.totals().alive == 0
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._db.execute("DELETE FROM workers")
    assert path.read_bytes() == before
    assert list(path.parent.glob("*-worker-*")) == []


def test_a_reader_tells_of_one_moment_while_others_write(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        run = open_run(ledger, "acme", dollars="0.10")
        with SQLiteReader(path) as reader:
            run.settle(run.hold("m", [TEXT], 100).charge(500, 50))
            assert reader.totals().spent == Amounts()
            assert flat(reader.accounts())["acme"].spent == Amounts()
        with SQLiteReader(path) as reader:
            assert reader.totals().spent.picodollars == MILLI


def test_a_ledger_named_by_a_link_has_the_same_workers(path: Path) -> None:
    link = path.parent / "elsewhere"
    link.mkdir()
    (link / "link.db").symlink_to(path)
    with SQLiteLedger(path), SQLiteReader(link / "link.db") as reader:
        assert (reader.totals().alive, reader.totals().died) == (1, 0)


def test_a_missing_file_is_not_made(path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger at"):
        SQLiteReader(path)
    with pytest.raises(LedgerError, match="no ledger at"):
        reconcile(path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"not a database, and long enough to be taken for one " * 100], ids=["empty", "text"]
)
def test_a_file_that_is_something_else(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for read in (SQLiteReader, reconcile):
        with pytest.raises(LedgerError, match="ledger"):
            read(path)
    assert path.read_bytes() == content


def test_a_folder_and_a_pipe_are_no_ledgers(path: Path) -> None:
    path.mkdir()
    with pytest.raises(LedgerError, match="no ledger at"):
        SQLiteReader(path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(path / "pipe")
        with pytest.raises(LedgerError, match="no ledger at"):
            SQLiteReader(path / "pipe")


def test_another_programs_database_and_a_newer_ledger(path: Path) -> None:
    other = path.with_name("other.db")
    tamper(other, "CREATE TABLE mine (x)")
    with pytest.raises(LedgerError, match="something else"):
        SQLiteReader(other)
    SQLiteLedger(path).close()
    tamper(path, "PRAGMA user_version = 1000")
    with pytest.raises(LedgerError, match="newer version"):
        SQLiteReader(path)


def test_a_file_that_somebody_has_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SQLiteLedger(path).close()
    monkeypatch.setattr(sqlite_report, "READ_BUSY_MILLISECONDS", 10)
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerBusyError):
            SQLiteReader(path)
    finally:
        db.close()


def test_a_view_that_never_ends_is_not_read(path: Path) -> None:
    """The file could answer with a query of its own, and keep the reader busy for ever."""
    SQLiteLedger(path).close()
    tamper(
        path,
        "ALTER TABLE workers RENAME TO old",
        "CREATE VIEW workers AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) "
        "SELECT x AS id, 'a' AS life, x AS process, 'b' AS began, NULL AS ended FROM n",
    )
    with pytest.raises(LedgerError, match="damaged"):
        SQLiteReader(path)


@pytest.mark.parametrize("life", ["../victim", "/etc/passwd", "", "a\x00b", "0" * 1000], ids=name_value)
def test_a_workers_name_cannot_lead_to_another_file(path: Path, life: str, monkeypatch: pytest.MonkeyPatch) -> None:
    SQLiteLedger(path).close()
    tamper(
        path, f"INSERT INTO workers (life, process, began) VALUES (CAST(x'{life.encode().hex()}' AS TEXT), 1, 'now')"
    )
    probed: list[Path] = []
    monkeypatch.setattr(sqlite_report, "is_alive", lambda file: bool(probed.append(file)))
    for read in (SQLiteReader, reconcile):
        with pytest.raises(LedgerError, match="damaged"):
            read(path)
    assert probed == []


def test_accounts_in_a_ring_end(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        ledger.open("a", kind="run", label="a", parent=None, wanted=Caps())
        ledger.open("b", kind="child", label="b", parent="a", wanted=Caps())
    tamper(path, "UPDATE accounts SET parent = 'b', is_open = 1 WHERE id = 'a'", "UPDATE accounts SET is_open = 1")
    with SQLiteReader(path) as reader:
        assert reader.accounts(closed_runs=10) == []
        assert reader.totals().open_runs == 1


def test_a_tree_that_is_too_deep_is_cut(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        ledger.open("0", kind="run", label="0", parent=None, wanted=Caps())
    for number in range(1, 2_000, 400):
        tamper(
            path,
            *(
                f"INSERT INTO accounts (id, kind, path, parent, opened) VALUES ('{each}', 'child', '{each}', '{each - 1}', 't')"
                for each in range(number, number + 400)
            ),
            "UPDATE accounts SET is_open = 1",
        )
    with SQLiteReader(path) as reader:
        assert 50 <= len(flat(reader.accounts())) <= 70


@pytest.mark.parametrize("value", ["'many'", "-5", "1.5", "x'00'", "NULL"])
def test_an_amount_that_is_no_amount_is_damage(path: Path, value: str) -> None:
    with SQLiteLedger(path) as ledger:
        ledger.tenant("acme")
    tamper(
        path,
        "UPDATE sqlite_schema SET sql = replace(replace(sql, 'STRICT, ', ''), 'INTEGER NOT NULL', '') WHERE name = 'accounts'",
    )
    tamper(path, f"UPDATE accounts SET spent_tokens = {value} WHERE id = 'tenant:acme'")
    with SQLiteReader(path) as reader, pytest.raises(LedgerError, match="damaged"):
        reader.accounts()


def test_a_text_that_is_not_utf_8_is_shown_and_one_without_end_refused(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        ledger.tenant("acme")
    tamper(path, "UPDATE accounts SET path = CAST(x'61ff62' AS TEXT) WHERE id = 'tenant:acme'")
    with SQLiteReader(path) as reader:
        assert [each.account.label for each in reader.accounts()] == ["a\N{REPLACEMENT CHARACTER}b"]
    tamper(path, "UPDATE accounts SET path = printf('%.*c', 10000000, 'x') WHERE id = 'tenant:acme'")
    with SQLiteReader(path) as reader, pytest.raises(LedgerError, match="cannot be read"):
        reader.accounts()


def test_more_rows_than_the_bound_are_cut_and_said_to_be(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_report, "MAX_ROWS", 5)
    with SQLiteLedger(path) as ledger:
        for number in range(10):
            ledger.open(str(number), kind="run", label="r", parent=None, wanted=Caps())
        with SQLiteReader(path) as reader:
            assert not reader.is_cut
            assert len(reader.accounts()) == 5
            assert reader.is_cut


def test_reconciling_posts_what_the_dead_held_and_says_so(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        die(path, "acme")
        living = open_run(ledger, "acme", dollars="0.10")
        living.hold("m", [TEXT], 100)
        done = reconcile(path)
        assert (done.processes, done.accounts, done.calls, done.spent.picodollars) == (1, 2, 2, 4 * MILLI)
        assert (done.left, done.alive, done.alive_calls, done.alive_held.picodollars) == ((), 1, 1, 2 * MILLI)
        account = ledger.account("tenant:acme")
        assert account is not None
        assert account.spent.picodollars == 5 * MILLI
        assert account.held.picodollars == 10 * CENT  # the living run's
        again = reconcile(path)
        assert (again.processes, again.accounts, again.calls, again.spent) == (0, 0, 0, Amounts())
        assert ledger.account("tenant:acme") == account


def test_what_cannot_be_closed_is_told(path: Path) -> None:
    """A hold of a process that is gone, in a run of one that is alive: the run's end will close it."""
    bid: Bid = Fixed(Amounts(MILLI, 1, 1))
    with SQLiteLedger(path) as ledger:
        ledger.open("r", kind="run", label="run r", parent=None, wanted=Caps(DOLLAR, None, None))
        with SQLiteLedger(path) as other:
            other.hold("r", "h", bid, model="m")
        done = reconcile(path)
        assert [(each.account, each.held.picodollars) for each in done.left] == [("run r", MILLI)]
        assert done.alive == 1
        ledger.close_account("r")
        assert reconcile(path).left == ()


def test_readers_and_writers_at_once(path: Path) -> None:
    """Each reader sees a sum that holds, while four threads spend."""
    with SQLiteLedger(path) as ledger:
        run = open_run(ledger, "acme", dollars="0.40")
        stop = threading.Event()

        def spend() -> None:
            while not stop.is_set():
                try:
                    run.settle(run.hold("m", [TEXT], 100).charge(100, 10))
                except (BudgetExceeded, LedgerBusyError):
                    continue

        threads = [threading.Thread(target=spend) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(30):
                with SQLiteReader(path) as reader:
                    (tenant,) = reader.accounts()
                    settled = sum(each.spent.picodollars for each in reader.holds(state="settled"))
                    assert tenant.spent.picodollars == reader.totals().spent.picodollars == settled
                    assert tenant.spent.picodollars + tenant.held.picodollars == 40 * CENT
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_a_limit_that_the_file_does_not_have_yet_reads_as_unused_and_without_a_cap(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SQLiteLedger(path) as ledger:
        day = ledger.tenant("acme", total=Caps(100, 100, 100))
        ledger.open("run", kind="run", label="run", parent=day, wanted=Caps(60, 60, 60))
        ledger.hold("run", "one", Fixed(Amounts(10, 10, 1)), model="m")
        ledger.settle("one", Amounts(7, 7, 1))
        ledger.hold("run", "other", Fixed(Amounts(10, 10, 1)), model="m")
        monkeypatch.setitem(schema._FIRST_VERSIONS, "calls", schema.VERSION + 1)
        with SQLiteReader(path) as reader:
            assert reader.totals().spent == Amounts(7, 7, 0)
            (tenant,) = reader.tenants()
            assert (tenant.total, tenant.left) == (Caps(100, 100, None), Caps(40, 40, None))
            assert [each.held for each in reader.holds()] == [Amounts(10, 10, 0)]
            assert [each.spent for each in reader.holds(state="settled")] == [Amounts(7, 7, 0)]
