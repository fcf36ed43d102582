"""The SQLite ledger's tables, and the way from each version of them to the next.

The constraints are the last line: even a defect in the rules above, or another program that writes to the file, cannot
make an account hold and spend more than its cap (except for what a provider overdrew, which is counted on its own), end
a hold twice, take back what is spent, or begin a hold under a cap that was lowered and has no room for it (escrow.py,
"The brake").

Amounts are whole numbers. SQLite's integers end at 2**63, which in pico-dollars is 9.2 million dollars. Each limit has
a column for each figure (`held_tokens`). The first version of the tables has those of `_FIRST_LIMITS`; every other
limit has a migration of its own (`add_limit`), which makes its columns with the same constraints.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from divebell_bridge.money.amounts import Limit

_FIRST_LIMITS = ("picodollars", "tokens", "calls")
_FIRST_VERSIONS: dict[str, int] = dict.fromkeys(_FIRST_LIMITS, 1)
"""The first version of the tables that has a limit's columns, by the limit, in the order of `Limit`."""

assert tuple(limit.column for limit in Limit) == tuple(_FIRST_VERSIONS), "a new limit needs a migration"


def columns(*figures: str) -> tuple[str, ...]:
    """The columns of these figures, such as "held", in every limit, in the order of `Limit`."""
    return tuple(f"{figure}_{limit.column}" for figure in figures for limit in Limit)


def columns_in(version: int, *figures: str) -> tuple[str, ...]:
    """As `columns`, to read tables of an earlier version: a column that they do not have yet is its default."""
    return tuple(
        column if version >= _FIRST_VERSIONS[limit.column] else "NULL" if figure == "cap" else "0"
        for figure in figures
        for limit, column in zip(Limit, columns(figure), strict=True)
    )


def by_limit(values: Sequence[Any]) -> list[Sequence[Any]]:
    """The values of such columns, figure by figure."""
    return [values[at : at + len(Limit)] for at in range(0, len(values), len(Limit))]


def _account_columns() -> str:
    return ",\n    ".join(
        f"cap_{limit} INTEGER CHECK (cap_{limit} >= 0),\n"
        f"    carved_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (carved_{limit} IN (0, 1)),\n"
        f"    spent_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (spent_{limit} >= 0),\n"
        f"    held_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (held_{limit} >= 0),\n"
        f"    reserved_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (reserved_{limit} BETWEEN 0 AND held_{limit}),\n"
        f"    overdrawn_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (overdrawn_{limit} >= 0)"
        for limit in _FIRST_LIMITS
    )


def _caps_hold() -> str:
    return ",\n    ".join(
        f"CHECK (overdrawn_{limit} = CASE WHEN cap_{limit} IS NULL THEN 0\n"
        f"        ELSE max(spent_{limit} + held_{limit} - cap_{limit}, 0) END)"
        for limit in _FIRST_LIMITS
    )


def _never(name: str, table: str, when: str, why: str, event: str = "UPDATE") -> str:
    """A trigger for a rule that no CHECK can state: which changes of a row are refused."""
    return f"CREATE TRIGGER {name} BEFORE {event} ON {table} WHEN {when} BEGIN SELECT RAISE (ABORT, '{why}'); END"


def _any_limit(condition: str) -> str:
    return " OR ".join(f"({condition.format(limit=limit)})" for limit in _FIRST_LIMITS)


# What a row may not become in any limit.
_OTHER_CAPS = "NEW.cap_{limit} IS NOT OLD.cap_{limit} OR NEW.carved_{limit} <> OLD.carved_{limit}"
_LESS_SPENT = "NEW.spent_{limit} < OLD.spent_{limit}"
_HELD_OVER_THE_CAP = (
    "NEW.overdrawn_{limit} > OLD.overdrawn_{limit} AND NEW.cap_{limit} IS OLD.cap_{limit} "
    "AND NEW.spent_{limit} <= OLD.spent_{limit}"
)
_LESS_THAN_ITS_HOLDS = (
    "NEW.held_{limit} < OLD.held_{limit} AND NEW.held_{limit} < "
    "(SELECT coalesce(sum(held_{limit}), 0) FROM holds WHERE account = OLD.id AND state = 'held')"
)
_SAME_ACCOUNT = " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in ("id", "kind", "parent", "worker"))
_SAME_HOLD = " OR ".join(
    f"NEW.{column} IS NOT OLD.{column}"
    for column in ("id", "account", "worker", "purpose", "held_picodollars", "held_tokens", "held_calls")
)


def _over_a_lowered_cap(limit: str) -> str:
    """Whether a new hold goes over the cap of an overdrawn account above it: with what is spent there, what the carved
    accounts under it have spent, and what is held for all calls under it."""
    query = """EXISTS (
    WITH RECURSIVE above (id) AS (
        SELECT NEW.account
        UNION SELECT parent FROM accounts JOIN above USING (id) WHERE parent IS NOT NULL
    )
    SELECT 1 FROM accounts AS top
    WHERE top.id IN (SELECT id FROM above) AND top.overdrawn_{limit} > 0 AND top.cap_{limit} < NEW.held_{limit}
    + top.spent_{limit} + (
        WITH RECURSIVE below (id) AS (
            SELECT top.id
            UNION SELECT each.id FROM accounts AS each JOIN below ON each.parent = below.id WHERE each.is_open
        )
        SELECT coalesce((
            SELECT sum(given.spent_{limit}) FROM accounts AS given
            WHERE given.carved_{limit} AND given.id <> top.id AND given.id IN (SELECT id FROM below)
        ), 0) + coalesce((
            SELECT sum(hold.held_{limit}) FROM holds AS hold
            WHERE hold.state = 'held' AND hold.account IN (SELECT id FROM below)
        ), 0)
    ))"""
    return query.replace("{limit}", limit)


def add_limit(name: str) -> tuple[str, ...]:
    """The statements of a migration that adds a limit: its columns, the constraints that every limit has, and a cap of
    0 for the tenants that were stopped, which have one in each of the earlier limits. As MIGRATIONS, never edited once
    a version with such a limit is released.
    """
    accounts = (
        "cap_{limit} INTEGER CHECK (cap_{limit} >= 0)",
        "carved_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (carved_{limit} IN (0, 1))",
        "spent_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (spent_{limit} >= 0)",
        "held_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (held_{limit} >= 0 AND (is_open OR held_{limit} = 0))",
        "reserved_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (reserved_{limit} BETWEEN 0 AND held_{limit})",
        "overdrawn_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (overdrawn_{limit} = CASE WHEN cap_{limit} IS NULL THEN 0 "
        "ELSE max(spent_{limit} + held_{limit} - cap_{limit}, 0) END)",
    )
    holds = (
        "held_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (held_{limit} >= 0)",
        "spent_{limit} INTEGER NOT NULL DEFAULT 0 "
        "CHECK (spent_{limit} >= 0 AND (state IN ('settled', 'uncertain') OR spent_{limit} = 0))",
    )
    is_stopped = " AND ".join(f"cap_{each} = 0" for each in takewhile(lambda each: each != name, _FIRST_VERSIONS))
    statements = (
        *(f"ALTER TABLE accounts ADD COLUMN {column}" for column in accounts),
        *(f"ALTER TABLE holds ADD COLUMN {column}" for column in holds),
        f"UPDATE accounts SET cap_{{limit}} = 0 WHERE kind = 'tenant' AND is_open AND {is_stopped}",  # noqa: S608
        _never(
            "hold_keeps_its_{limit}", "holds", "NEW.held_{limit} <> OLD.held_{limit}",
            "what was held cannot be changed",
        ),
        _never(
            "run_keeps_its_cap_of_{limit}", "accounts", f"OLD.kind IN ('run', 'child') AND ({_OTHER_CAPS})",
            "the caps of a run cannot be changed",
        ),
        _never("spent_{limit}_stay_spent", "accounts", _LESS_SPENT, "what is spent stays spent"),
        _never("no_{limit}_are_held_over_the_cap", "accounts", _HELD_OVER_THE_CAP, "a hold may not go over the cap"),
        _never(
            "held_{limit}_cover_the_holds", "accounts", _LESS_THAN_ITS_HOLDS,
            "the calls in flight hold more than that",
        ),
        _never(
            "{limit}_fit_under_lowered_caps", "holds", _over_a_lowered_cap("{limit}"),
            "a cap was lowered, and has no room for that", "INSERT",
        ),
    )  # fmt: skip
    return tuple(statement.replace("{limit}", name) for statement in statements)


# Entry n takes a file from version n to n + 1, by its statements. What is released is never edited: a change is a new
# entry. For a new limit that is `add_limit("its column")`, and n + 1 in _FIRST_VERSIONS.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE workers (
    id INTEGER PRIMARY KEY,
    life TEXT NOT NULL UNIQUE,
    process INTEGER NOT NULL,
    began TEXT NOT NULL,
    ended TEXT
) STRICT""",
        "CREATE INDEX unfinished_workers ON workers (life) WHERE ended IS NULL",
        f"""CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('tenant', 'daily', 'day', 'run', 'child')),
    path TEXT NOT NULL,
    parent TEXT REFERENCES accounts (id),
    worker INTEGER REFERENCES workers (id),
    frozen TEXT NOT NULL DEFAULT '',
    is_open INTEGER NOT NULL DEFAULT 1 CHECK (is_open IN (0, 1)),
    opened TEXT NOT NULL,
    closed TEXT,
    {_account_columns()},
    {_caps_hold()},
    CHECK (is_open OR (held_picodollars = 0 AND held_tokens = 0 AND held_calls = 0))
) STRICT, WITHOUT ROWID""",
        "CREATE INDEX open_children ON accounts (parent) WHERE is_open",
        "CREATE INDEX open_accounts_of_worker ON accounts (worker) WHERE is_open AND worker IS NOT NULL",
        "CREATE INDEX closed_accounts ON accounts (closed) WHERE closed IS NOT NULL",
        """CREATE TABLE holds (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    worker INTEGER REFERENCES workers (id),
    model TEXT NOT NULL,
    purpose TEXT NOT NULL CHECK (purpose IN ('call', 'reserve')),
    state TEXT NOT NULL CHECK (state IN ('held', 'settled', 'uncertain', 'refunded')),
    held_picodollars INTEGER NOT NULL CHECK (held_picodollars >= 0),
    held_tokens INTEGER NOT NULL CHECK (held_tokens >= 0),
    held_calls INTEGER NOT NULL CHECK (held_calls >= 0),
    spent_picodollars INTEGER NOT NULL DEFAULT 0 CHECK (spent_picodollars >= 0),
    spent_tokens INTEGER NOT NULL DEFAULT 0 CHECK (spent_tokens >= 0),
    spent_calls INTEGER NOT NULL DEFAULT 0 CHECK (spent_calls >= 0),
    opened TEXT NOT NULL,
    ended TEXT,
    CHECK ((state = 'held') = (ended IS NULL)),
    CHECK (state IN ('settled', 'uncertain') OR (spent_picodollars = 0 AND spent_tokens = 0 AND spent_calls = 0))
) STRICT, WITHOUT ROWID""",
        "CREATE INDEX open_holds ON holds (account) WHERE state = 'held'",
        "CREATE INDEX ended_holds ON holds (ended) WHERE ended IS NOT NULL",
        _never("hold_begins_held", "holds", "NEW.state <> 'held'", "a hold begins as held", "INSERT"),
        _never(
            "hold_in_open_account", "holds", "NOT (SELECT is_open FROM accounts WHERE id = NEW.account)",
            "the account is closed", "INSERT",
        ),
        _never("hold_ends_once", "holds", "OLD.state <> 'held'", "the hold has ended"),
        _never("hold_stays_the_same", "holds", _SAME_HOLD, "what was held cannot be changed"),
        _never("hold_is_kept", "holds", "OLD.state = 'held'", "the hold has not ended", "DELETE"),
        _never("account_is_kept", "accounts", "OLD.is_open", "the account is open", "DELETE"),
        _never("account_closes_once", "accounts", "NOT OLD.is_open", "the account is closed"),
        _never("account_stays_the_same", "accounts", _SAME_ACCOUNT, "an account stays whose it is"),
        _never(
            "run_keeps_its_caps", "accounts",
            f"OLD.kind IN ('run', 'child') AND ({_any_limit(_OTHER_CAPS)})",
            "the caps of a run cannot be changed",
        ),
        _never("account_stays_frozen", "accounts", "OLD.frozen <> '' AND NEW.frozen = ''", "the account is frozen"),
        _never(
            "spent_stays_spent", "accounts", _any_limit(_LESS_SPENT), "what is spent stays spent",
        ),
        _never(
            "nothing_is_held_over_the_cap", "accounts", _any_limit(_HELD_OVER_THE_CAP),
            "a hold may not go over the cap",
        ),
        _never(
            "held_covers_the_holds", "accounts", _any_limit(_LESS_THAN_ITS_HOLDS),
            "the calls in flight hold more than that",
        ),
    ),
    (
        """CREATE TABLE tickets (
    ticket INTEGER PRIMARY KEY AUTOINCREMENT,
    root TEXT NOT NULL REFERENCES accounts (id),
    worker INTEGER REFERENCES workers (id),
    renewed TEXT NOT NULL
) STRICT""",
        "CREATE INDEX tickets_in_line ON tickets (root, ticket)",
        _never(
            "hold_fits_under_lowered_caps", "holds", " OR ".join(map(_over_a_lowered_cap, _FIRST_LIMITS)),
            "a cap was lowered, and has no room for that", "INSERT",
        ),
    ),
)  # fmt: skip

VERSION = len(MIGRATIONS)
APPLICATION_ID = 0x44425231  # "DBR1": distinguishes a ledger from other SQLite files
