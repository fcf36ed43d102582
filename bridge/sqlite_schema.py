"""The SQLite ledger's tables, and the way from each version of them to the next.

The constraints are the last line: even a defect in the rules above, or another program that writes to the file, cannot
make an account hold and spend more than its cap (but for what a provider overdrew, which is counted on its own).

Amounts are whole numbers: pico-dollars, tokens, calls. SQLite's integers end at 2**63, which is 9.2 million dollars.
"""

MAX_AMOUNT = 2**63 - 1

_LIMITS = ("picodollars", "tokens", "calls")


def _account_columns() -> str:
    return ",\n    ".join(
        f"cap_{limit} INTEGER CHECK (cap_{limit} >= 0),\n"
        f"    carved_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (carved_{limit} IN (0, 1)),\n"
        f"    spent_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (spent_{limit} >= 0),\n"
        f"    held_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (held_{limit} >= 0),\n"
        f"    reserved_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (reserved_{limit} BETWEEN 0 AND held_{limit}),\n"
        f"    overdrawn_{limit} INTEGER NOT NULL DEFAULT 0 CHECK (overdrawn_{limit} >= 0)"
        for limit in _LIMITS
    )


def _caps_hold() -> str:
    return ",\n    ".join(
        f"CHECK (cap_{limit} IS NULL OR spent_{limit} + held_{limit} <= cap_{limit} + overdrawn_{limit})"
        for limit in _LIMITS
    )


# Entry n takes a file from version n to n + 1. What is released is never edited: a change is a new entry.
MIGRATIONS = (
    f"""
CREATE TABLE workers (
    id INTEGER PRIMARY KEY,
    life TEXT NOT NULL UNIQUE,
    process INTEGER NOT NULL,
    began TEXT NOT NULL,
    ended TEXT
) STRICT;
CREATE TABLE accounts (
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
) STRICT, WITHOUT ROWID;
CREATE INDEX open_children ON accounts (parent) WHERE is_open;
CREATE INDEX open_accounts_of_worker ON accounts (worker) WHERE is_open AND worker IS NOT NULL;
CREATE TABLE holds (
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
) STRICT, WITHOUT ROWID;
CREATE INDEX open_holds ON holds (account) WHERE state = 'held';
CREATE INDEX ended_holds ON holds (ended) WHERE ended IS NOT NULL;
""",
)

VERSION = len(MIGRATIONS)
APPLICATION_ID = 0x44425231  # "DBR1": tells a ledger from other SQLite files
