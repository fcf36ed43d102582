"""The database's own last line: what another program, or a defect in our rules, tries with plain SQL is refused."""

import multiprocessing
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from divebell_bridge.money.amounts import STOPPED, Amounts, Caps
from divebell_bridge.money.errors import LedgerError
from divebell_bridge.money.escrow import Fixed
from divebell_bridge.money.sqlite.file import check_version, connect, migrate
from divebell_bridge.money.sqlite.ledger import SQLiteLedger
from divebell_bridge.money.sqlite.schema import APPLICATION_ID, MIGRATIONS, VERSION, add_limit, columns, columns_in

CALL = Fixed(Amounts(10, 10, 1))
LEDGERS = Path(__file__).parents[1] / "earlier" / "ledgers"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A tenant with a cap of 100 in each limit, a run with 60 carved out of it, a call in flight and a settled one, and
    a run that has closed; opened with plain SQLite."""
    path = tmp_path / "ledger.db"
    with SQLiteLedger(path) as ledger:
        day = ledger.tenant("acme", total=Caps(100, 100, 100))
        ledger.open("run", kind="run", label="run", parent=day, wanted=Caps(60, 60, 60))
        ledger.open("over", kind="run", label="over", parent=day, wanted=Caps(5, 5, 5))
        ledger.close_account("over")
        for hold in ("settled", "held"):
            ledger.hold("run", hold, CALL, model="m")
        ledger.settle("settled", Amounts(7, 7, 1))
        plain = sqlite3.connect(path, isolation_level=None)
        yield plain
        plain.close()


ADD_HOLD = (
    "INSERT INTO holds (id, account, worker, model, purpose, state, held_picodollars, held_tokens, held_calls, "
    "spent_picodollars, spent_tokens, spent_calls, opened, ended) VALUES"
)

ATTACKS = {
    "hold more than the cap": "UPDATE accounts SET held_picodollars = 1000 WHERE id = 'run'",
    "hold more than the cap and say that it was overdrawn": (
        "UPDATE accounts SET held_picodollars = 154, overdrawn_picodollars = 101 WHERE id = 'run'"
    ),
    "spend more than the cap": "UPDATE accounts SET spent_tokens = spent_tokens + 1000 WHERE id = 'run'",
    "spend more than the tenant's cap": "UPDATE accounts SET spent_calls = 101 WHERE id = 'tenant:acme'",
    "excuse what is not overdrawn": "UPDATE accounts SET overdrawn_picodollars = 1000 WHERE id = 'run'",
    "take back what is spent": "UPDATE accounts SET spent_picodollars = 0 WHERE id = 'run'",
    "spend a negative amount": "UPDATE accounts SET spent_picodollars = -5 WHERE id = 'run'",
    "hold a negative amount": "UPDATE accounts SET held_picodollars = -5 WHERE id = 'tenant:acme'",
    "free money that a call in flight holds": "UPDATE accounts SET held_picodollars = 0 WHERE id = 'run'",
    "reserve more than is held": "UPDATE accounts SET reserved_calls = 50 WHERE id = 'run'",
    "raise a run's cap": "UPDATE accounts SET cap_picodollars = 10000 WHERE id = 'run'",
    "lift a run's cap": "UPDATE accounts SET cap_picodollars = NULL WHERE id = 'run'",
    "uncarve a run": "UPDATE accounts SET carved_picodollars = 0 WHERE id = 'run'",
    "a fraction": "UPDATE accounts SET spent_picodollars = 7.5 WHERE id = 'run'",
    "a text for an amount": "UPDATE accounts SET held_picodollars = 'lots' WHERE id = 'run'",
    "close with a call in flight": "UPDATE accounts SET is_open = 0, closed = 'now' WHERE id = 'run'",
    "reopen a run": "UPDATE accounts SET is_open = 1 WHERE id = 'over'",
    "spend in a closed run": "UPDATE accounts SET spent_picodollars = 1 WHERE id = 'over'",
    "move a run to another tenant": "UPDATE accounts SET parent = NULL WHERE id = 'run'",
    "give a run to another worker": "UPDATE accounts SET worker = NULL WHERE id = 'run'",
    "drop an open run": "DELETE FROM accounts WHERE id = 'run'",
    "drop a tenant": "DELETE FROM accounts WHERE id = 'tenant:acme'",
    "reopen a settled hold": "UPDATE holds SET state = 'held', ended = NULL WHERE id = 'settled'",
    "settle a hold twice": "UPDATE holds SET spent_picodollars = 1 WHERE id = 'settled'",
    "refund a settled hold": "UPDATE holds SET state = 'refunded', spent_picodollars = 0 WHERE id = 'settled'",
    "lower what is held": "UPDATE holds SET held_picodollars = 0 WHERE id = 'held'",
    "move a hold": "UPDATE holds SET account = 'tenant:acme' WHERE id = 'held'",
    "make a call a reserve": "UPDATE holds SET purpose = 'reserve' WHERE id = 'held'",
    "spend on a refund": "UPDATE holds SET state = 'refunded', spent_calls = 1, ended = 'now' WHERE id = 'held'",
    "end a hold without saying when": "UPDATE holds SET state = 'settled' WHERE id = 'held'",
    "a state that there is not": "UPDATE holds SET state = 'forgiven', ended = 'now' WHERE id = 'held'",
    "drop a call in flight": "DELETE FROM holds WHERE id = 'held'",
    "a hold that begins as settled": (
        f"{ADD_HOLD} ('x', 'run', NULL, 'm', 'call', 'settled', 1, 1, 1, 1, 1, 1, 'now', 'now')"
    ),
    "a hold in a closed run": (f"{ADD_HOLD} ('x', 'over', NULL, 'm', 'call', 'held', 1, 1, 1, 0, 0, 0, 'now', NULL)"),
    "a hold of a negative amount": (
        f"{ADD_HOLD} ('x', 'run', NULL, 'm', 'call', 'held', -1, 1, 1, 0, 0, 0, 'now', NULL)"
    ),
    "a hold's id twice": (f"{ADD_HOLD} ('settled', 'run', NULL, 'm', 'call', 'held', 1, 1, 1, 0, 0, 0, 'now', NULL)"),
}


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_plain_sql_cannot(attack: str, db: sqlite3.Connection) -> None:
    rows = "SELECT * FROM accounts ORDER BY id", "SELECT * FROM holds ORDER BY id"
    before = [db.execute(query).fetchall() for query in rows]
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(ATTACKS[attack])
    assert [db.execute(query).fetchall() for query in rows] == before


def test_plain_sql_cannot_hold_over_a_cap_that_was_lowered_above_the_run(db: sqlite3.Connection) -> None:
    """Of the tenant's 20, the run has spent 7 and holds 10, of an allotment of 60."""
    db.execute("UPDATE accounts SET cap_picodollars = 20, overdrawn_picodollars = 40 WHERE id = 'tenant:acme'")
    db.execute("BEGIN")  # and not kept: the accounts do not have it
    hold = f"{ADD_HOLD} (?, 'run', NULL, 'm', 'call', 'held', ?, 0, 1, 0, 0, 0, 'now', NULL)"
    with pytest.raises(sqlite3.IntegrityError, match="a cap was lowered"):
        db.execute(hold, ("over", 4))
    db.execute(hold, ("within", 3))
    with pytest.raises(sqlite3.IntegrityError, match="a cap was lowered"):
        db.execute(hold, ("over", 1))
    db.execute("ROLLBACK")


def test_plain_sql_cannot_thaw_a_frozen_run(db: sqlite3.Connection) -> None:
    db.execute("UPDATE accounts SET frozen = 'the provider overdrew' WHERE id = 'run'")
    with pytest.raises(sqlite3.IntegrityError, match="frozen"):
        db.execute("UPDATE accounts SET frozen = '' WHERE id = 'run'")


@pytest.fixture
def with_pages(db: sqlite3.Connection) -> sqlite3.Connection:
    """The file after a migration that adds a limit, "pages": of the tenant's 100, a reader's 60 are carved out, 7 of them
    spent and 10 held; and a reader that has closed."""
    for statement in add_limit("pages"):
        db.execute(statement)
    db.execute("UPDATE accounts SET cap_pages = 100, held_pages = 60 WHERE id = 'tenant:acme'")
    for reader in ("reader", "done"):
        db.execute(
            "INSERT INTO accounts (id, kind, path, parent, opened, cap_pages, carved_pages) "
            "VALUES (?, 'run', ?, 'tenant:acme', 'now', 60, 1)",
            (reader, reader),
        )
    db.execute(ADD_PAGES, ("held", 10))
    db.execute("UPDATE accounts SET held_pages = 10, spent_pages = 7 WHERE id = 'reader'")
    db.execute("UPDATE accounts SET is_open = 0, closed = 'now' WHERE id = 'done'")
    return db


ADD_PAGES = (
    "INSERT INTO holds (id, account, model, purpose, state, held_picodollars, held_tokens, held_calls, held_pages, opened) "
    "VALUES ('pages ' || ?, 'reader', 'm', 'call', 'held', 0, 0, 1, ?, 'now')"
)
ATTACKS_ON_PAGES = {
    "hold more than the cap": "UPDATE accounts SET held_pages = 1000 WHERE id = 'reader'",
    "hold more than the cap and say that it was overdrawn": (
        "UPDATE accounts SET held_pages = 54, overdrawn_pages = 1 WHERE id = 'reader'"
    ),
    "excuse what is not overdrawn": "UPDATE accounts SET overdrawn_pages = 1 WHERE id = 'reader'",
    "take back what is spent": "UPDATE accounts SET spent_pages = 6 WHERE id = 'reader'",
    "free what a call in flight holds": "UPDATE accounts SET held_pages = 9 WHERE id = 'reader'",
    "reserve more than is held": "UPDATE accounts SET reserved_pages = 11 WHERE id = 'reader'",
    "raise a run's cap": "UPDATE accounts SET cap_pages = 61 WHERE id = 'reader'",
    "lift a run's cap": "UPDATE accounts SET cap_pages = NULL WHERE id = 'reader'",
    "uncarve a run": "UPDATE accounts SET carved_pages = 0 WHERE id = 'reader'",
    "a negative cap": "UPDATE accounts SET cap_pages = -1 WHERE id = 'tenant:acme'",
    "a fraction": "UPDATE accounts SET spent_pages = 7.5 WHERE id = 'reader'",
    "hold in a closed run": "UPDATE accounts SET held_pages = 1 WHERE id = 'done'",
    "close with a call in flight": "UPDATE accounts SET is_open = 0, closed = 'now' WHERE id = 'reader'",
    "lower what is held": "UPDATE holds SET held_pages = 0 WHERE id = 'pages held'",
    "spend on a refund": (
        "UPDATE holds SET state = 'refunded', spent_pages = 1, ended = 'now' WHERE id = 'pages held'"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS_ON_PAGES)
def test_plain_sql_cannot_in_a_limit_that_a_migration_added(attack: str, with_pages: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        with_pages.execute(ATTACKS_ON_PAGES[attack])


def test_plain_sql_cannot_hold_over_a_lowered_cap_in_a_limit_that_a_migration_added(
    with_pages: sqlite3.Connection,
) -> None:
    """Of the tenant's 20 pages, the reader has spent 7 and holds 10."""
    with_pages.execute("UPDATE accounts SET cap_pages = 20, overdrawn_pages = 40 WHERE id = 'tenant:acme'")
    with pytest.raises(sqlite3.IntegrityError, match="a cap was lowered"):
        with_pages.execute(ADD_PAGES, ("over", 4))
    with_pages.execute(ADD_PAGES, ("within", 3))
    with pytest.raises(sqlite3.IntegrityError, match="a cap was lowered"):
        with_pages.execute(ADD_PAGES, ("one more", 1))


def test_a_new_limit_has_no_cap_but_for_tenants_that_were_stopped(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with SQLiteLedger(path) as ledger:
        ledger.tenant("open", total=Caps(0, 0, 1))
        ledger.tenant("stopped", total=STOPPED)
    with closing(sqlite3.connect(path)) as db:
        for statement in add_limit("pages"):
            db.execute(statement)
        caps = dict(db.execute("SELECT path, cap_pages FROM accounts WHERE kind = 'tenant'"))
    assert caps == {"open": None, "stopped": 0}


def test_what_is_released_is_never_edited() -> None:
    """The tables of a file that version 2 made have the very texts of the first two migrations."""
    with closing(sqlite3.connect(f"{(LEDGERS / 'version_2.db').as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        texts = {sql for name, sql in _tables(db) if not name.startswith("sqlite_")}
    assert texts == {statement for migration in MIGRATIONS[:2] for statement in migration}


def test_each_version_of_the_tables_has_the_columns_that_are_read_from_it() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for version, statements in enumerate(MIGRATIONS, 1):
            for statement in statements:
                db.execute(statement)
            names = {name for (name,) in db.execute("SELECT name FROM pragma_table_info('accounts')")}
            assert set(columns_in(version, "cap", "held")) - {"NULL", "0"} == names & set(columns("cap", "held"))


def _tables(db: sqlite3.Connection) -> list[tuple[str, str]]:
    return db.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").fetchall()


def test_a_file_of_version_0_becomes_a_ledger_of_this_version(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.touch()
    db = connect(path)
    assert check_version(db, path) == 0
    migrate(db, path)
    assert check_version(db, path) == VERSION == len(MIGRATIONS)
    assert db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    tables = _tables(db)
    assert {"accounts", "holds", "workers", "hold_ends_once"} <= {name for name, _ in tables}
    migrate(db, path)
    assert _tables(db) == tables
    db.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"
    db = connect(path)
    with monkeypatch.context() as patch:
        patch.setattr("divebell_bridge.money.sqlite.file.MIGRATIONS", ((*MIGRATIONS[0], "CREATE NONSENSE"),))
        with pytest.raises(sqlite3.OperationalError):
            migrate(db, path)
    assert (check_version(db, path), _tables(db)) == (0, [])
    db.close()
    SQLiteLedger(path).close()


def test_a_file_of_a_newer_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    SQLiteLedger(path).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(LedgerError, match="newer version of Divebell: upgrade"):
        SQLiteLedger(path)


@pytest.mark.parametrize(
    "change",
    [
        "DROP TRIGGER hold_ends_once",
        "CREATE TRIGGER gift AFTER UPDATE ON accounts BEGIN DELETE FROM holds WHERE state <> 'held'; END",
        "ALTER TABLE accounts ADD COLUMN note TEXT",
    ],
)
def test_a_file_whose_rules_were_changed_is_refused(change: str, tmp_path: Path) -> None:
    """A ledger that was prepared by somebody else: its triggers would run in our transactions."""
    path = tmp_path / "ledger.db"
    SQLiteLedger(path).close()
    db = sqlite3.connect(path)
    db.execute(change)
    db.close()
    with pytest.raises(LedgerError, match="not those of a ledger of this version"):
        SQLiteLedger(path)


def test_to_survive_a_power_cut_each_operation_waits_for_the_disk(tmp_path: Path) -> None:
    full = 2
    with SQLiteLedger(tmp_path / "ledger.db", survive_power_loss=True) as ledger:
        assert ledger._db.execute("PRAGMA synchronous").fetchone() == (full,)


def _open_and_count(
    path: str, begin: "multiprocessing.synchronize.Event", results: "multiprocessing.Queue[object]"
) -> None:
    begin.wait(300)
    try:
        with SQLiteLedger(path) as ledger:
            ledger.tenant("acme", total=Caps(5, None, None))
            results.put("opened")
    except Exception as error:
        results.put(repr(error))


@pytest.mark.slow
def test_many_processes_that_make_one_file_at_once_all_open_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    begin, results = context.Event(), context.Queue()
    path = tmp_path / "ledger.db"
    processes = [context.Process(target=_open_and_count, args=(str(path), begin, results)) for _ in range(6)]
    for process in processes:
        process.start()
    begin.set()
    outcomes = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join(300)
    assert outcomes == ["opened"] * len(processes)
    assert len(list(tmp_path.glob("*worker*"))) == 0
