-- A ledger of version 1: a tenant, a closed run of it, and an open one whose process has died.
PRAGMA application_id = 1145197105;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
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
    cap_picodollars INTEGER CHECK (cap_picodollars >= 0),
    carved_picodollars INTEGER NOT NULL DEFAULT 0 CHECK (carved_picodollars IN (0, 1)),
    spent_picodollars INTEGER NOT NULL DEFAULT 0 CHECK (spent_picodollars >= 0),
    held_picodollars INTEGER NOT NULL DEFAULT 0 CHECK (held_picodollars >= 0),
    reserved_picodollars INTEGER NOT NULL DEFAULT 0 CHECK (reserved_picodollars BETWEEN 0 AND held_picodollars),
    overdrawn_picodollars INTEGER NOT NULL DEFAULT 0 CHECK (overdrawn_picodollars >= 0),
    cap_tokens INTEGER CHECK (cap_tokens >= 0),
    carved_tokens INTEGER NOT NULL DEFAULT 0 CHECK (carved_tokens IN (0, 1)),
    spent_tokens INTEGER NOT NULL DEFAULT 0 CHECK (spent_tokens >= 0),
    held_tokens INTEGER NOT NULL DEFAULT 0 CHECK (held_tokens >= 0),
    reserved_tokens INTEGER NOT NULL DEFAULT 0 CHECK (reserved_tokens BETWEEN 0 AND held_tokens),
    overdrawn_tokens INTEGER NOT NULL DEFAULT 0 CHECK (overdrawn_tokens >= 0),
    cap_calls INTEGER CHECK (cap_calls >= 0),
    carved_calls INTEGER NOT NULL DEFAULT 0 CHECK (carved_calls IN (0, 1)),
    spent_calls INTEGER NOT NULL DEFAULT 0 CHECK (spent_calls >= 0),
    held_calls INTEGER NOT NULL DEFAULT 0 CHECK (held_calls >= 0),
    reserved_calls INTEGER NOT NULL DEFAULT 0 CHECK (reserved_calls BETWEEN 0 AND held_calls),
    overdrawn_calls INTEGER NOT NULL DEFAULT 0 CHECK (overdrawn_calls >= 0),
    CHECK (overdrawn_picodollars = CASE WHEN cap_picodollars IS NULL THEN 0
        ELSE max(spent_picodollars + held_picodollars - cap_picodollars, 0) END),
    CHECK (overdrawn_tokens = CASE WHEN cap_tokens IS NULL THEN 0
        ELSE max(spent_tokens + held_tokens - cap_tokens, 0) END),
    CHECK (overdrawn_calls = CASE WHEN cap_calls IS NULL THEN 0
        ELSE max(spent_calls + held_calls - cap_calls, 0) END),
    CHECK (is_open OR (held_picodollars = 0 AND held_tokens = 0 AND held_calls = 0))
) STRICT, WITHOUT ROWID;
INSERT INTO "accounts" VALUES('daily:acme','daily','acme, each day','tenant:acme',NULL,'',1,'2026-11-25T17:16:26.293+00:00',NULL,80,0,0,0,0,0,NULL,0,0,0,0,0,NULL,0,0,0,0,0);
INSERT INTO "accounts" VALUES('day:2026-11-25:acme','day','acme, 2026-11-25','tenant:acme',NULL,'',1,'2026-11-25T17:16:26.293+00:00',NULL,80,0,7,30,0,0,NULL,0,9,10,0,0,NULL,0,1,1,0,0);
INSERT INTO "accounts" VALUES('run:closed/0','run','run closed','day:2026-11-25:acme',1,'',0,'2026-11-25T17:16:26.293+00:00','2026-11-25T17:16:26.294+00:00',20,1,7,0,0,0,NULL,0,9,0,0,0,NULL,0,1,0,0,0);
INSERT INTO "accounts" VALUES('run:open/0','run','run open','day:2026-11-25:acme',1,'',1,'2026-11-25T17:16:26.294+00:00',NULL,30,1,0,17,5,0,NULL,0,0,10,0,0,NULL,0,0,1,0,0);
INSERT INTO "accounts" VALUES('tenant:acme','tenant','acme',NULL,NULL,'',1,'2026-11-25T17:16:26.293+00:00',NULL,100,0,7,30,0,0,NULL,0,9,10,0,0,50,0,1,1,0,0);
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
INSERT INTO "holds" VALUES('hold closed','run:closed/0',1,'m','call','settled',10,10,1,7,9,1,'2026-11-25T17:16:26.293+00:00','2026-11-25T17:16:26.293+00:00');
INSERT INTO "holds" VALUES('hold open','run:open/0',1,'m','call','held',12,10,1,0,0,0,'2026-11-25T17:16:26.294+00:00',NULL);
INSERT INTO "holds" VALUES('kept back','run:open/0',1,'m','reserve','held',5,0,0,0,0,0,'2026-11-25T17:16:26.294+00:00',NULL);
CREATE TABLE workers (
    id INTEGER PRIMARY KEY,
    life TEXT NOT NULL UNIQUE,
    process INTEGER NOT NULL,
    began TEXT NOT NULL,
    ended TEXT
) STRICT;
INSERT INTO "workers" VALUES(1,'57b55df67c973057',25518,'2026-11-25T17:16:26.292+00:00',NULL);
CREATE INDEX unfinished_workers ON workers (life) WHERE ended IS NULL;
CREATE INDEX open_children ON accounts (parent) WHERE is_open;
CREATE INDEX open_accounts_of_worker ON accounts (worker) WHERE is_open AND worker IS NOT NULL;
CREATE INDEX closed_accounts ON accounts (closed) WHERE closed IS NOT NULL;
CREATE INDEX open_holds ON holds (account) WHERE state = 'held';
CREATE INDEX ended_holds ON holds (ended) WHERE ended IS NOT NULL;
CREATE TRIGGER hold_begins_held BEFORE INSERT ON holds WHEN NEW.state <> 'held' BEGIN SELECT RAISE (ABORT, 'a hold begins as held'); END;
CREATE TRIGGER hold_in_open_account BEFORE INSERT ON holds WHEN NOT (SELECT is_open FROM accounts WHERE id = NEW.account) BEGIN SELECT RAISE (ABORT, 'the account is closed'); END;
CREATE TRIGGER hold_ends_once BEFORE UPDATE ON holds WHEN OLD.state <> 'held' BEGIN SELECT RAISE (ABORT, 'the hold has ended'); END;
CREATE TRIGGER hold_stays_the_same BEFORE UPDATE ON holds WHEN NEW.id IS NOT OLD.id OR NEW.account IS NOT OLD.account OR NEW.worker IS NOT OLD.worker OR NEW.purpose IS NOT OLD.purpose OR NEW.held_picodollars IS NOT OLD.held_picodollars OR NEW.held_tokens IS NOT OLD.held_tokens OR NEW.held_calls IS NOT OLD.held_calls BEGIN SELECT RAISE (ABORT, 'what was held cannot be changed'); END;
CREATE TRIGGER hold_is_kept BEFORE DELETE ON holds WHEN OLD.state = 'held' BEGIN SELECT RAISE (ABORT, 'the hold has not ended'); END;
CREATE TRIGGER account_is_kept BEFORE DELETE ON accounts WHEN OLD.is_open BEGIN SELECT RAISE (ABORT, 'the account is open'); END;
CREATE TRIGGER account_closes_once BEFORE UPDATE ON accounts WHEN NOT OLD.is_open BEGIN SELECT RAISE (ABORT, 'the account is closed'); END;
CREATE TRIGGER account_stays_the_same BEFORE UPDATE ON accounts WHEN NEW.id IS NOT OLD.id OR NEW.kind IS NOT OLD.kind OR NEW.parent IS NOT OLD.parent OR NEW.worker IS NOT OLD.worker BEGIN SELECT RAISE (ABORT, 'an account stays whose it is'); END;
CREATE TRIGGER run_keeps_its_caps BEFORE UPDATE ON accounts WHEN OLD.kind IN ('run', 'child') AND ((NEW.cap_picodollars IS NOT OLD.cap_picodollars OR NEW.carved_picodollars <> OLD.carved_picodollars) OR (NEW.cap_tokens IS NOT OLD.cap_tokens OR NEW.carved_tokens <> OLD.carved_tokens) OR (NEW.cap_calls IS NOT OLD.cap_calls OR NEW.carved_calls <> OLD.carved_calls)) BEGIN SELECT RAISE (ABORT, 'the caps of a run cannot be changed'); END;
CREATE TRIGGER account_stays_frozen BEFORE UPDATE ON accounts WHEN OLD.frozen <> '' AND NEW.frozen = '' BEGIN SELECT RAISE (ABORT, 'the account is frozen'); END;
CREATE TRIGGER spent_stays_spent BEFORE UPDATE ON accounts WHEN (NEW.spent_picodollars < OLD.spent_picodollars) OR (NEW.spent_tokens < OLD.spent_tokens) OR (NEW.spent_calls < OLD.spent_calls) BEGIN SELECT RAISE (ABORT, 'what is spent stays spent'); END;
CREATE TRIGGER nothing_is_held_over_the_cap BEFORE UPDATE ON accounts WHEN (NEW.overdrawn_picodollars > OLD.overdrawn_picodollars AND NEW.cap_picodollars IS OLD.cap_picodollars AND NEW.spent_picodollars <= OLD.spent_picodollars) OR (NEW.overdrawn_tokens > OLD.overdrawn_tokens AND NEW.cap_tokens IS OLD.cap_tokens AND NEW.spent_tokens <= OLD.spent_tokens) OR (NEW.overdrawn_calls > OLD.overdrawn_calls AND NEW.cap_calls IS OLD.cap_calls AND NEW.spent_calls <= OLD.spent_calls) BEGIN SELECT RAISE (ABORT, 'a hold may not go over the cap'); END;
CREATE TRIGGER held_covers_the_holds BEFORE UPDATE ON accounts WHEN (NEW.held_picodollars < OLD.held_picodollars AND NEW.held_picodollars < (SELECT coalesce(sum(held_picodollars), 0) FROM holds WHERE account = OLD.id AND state = 'held')) OR (NEW.held_tokens < OLD.held_tokens AND NEW.held_tokens < (SELECT coalesce(sum(held_tokens), 0) FROM holds WHERE account = OLD.id AND state = 'held')) OR (NEW.held_calls < OLD.held_calls AND NEW.held_calls < (SELECT coalesce(sum(held_calls), 0) FROM holds WHERE account = OLD.id AND state = 'held')) BEGIN SELECT RAISE (ABORT, 'the calls in flight hold more than that'); END;
COMMIT;
