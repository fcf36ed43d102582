"""`divebell ledger`: the real command over real files, which real processes use, leave and spoil."""

import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from divebell_bridge.money.amounts import Caps
from divebell_bridge.money.sqlite.ledger import SQLiteLedger
from tests.support.command import COMMAND, Done, environment, run
from tests.support.ledger_files import DOLLAR, TEXT, die, open_run, tamper, worker

pytestmark = pytest.mark.slow


COMMANDS = ("show", "tenants", "holds", "reconcile")
HOSTILE = "\x1b[31m\x1b]0;owned\x07[bold]\u202e[/nonsense]\nroot   $0"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def used(path: Path) -> Iterator[SQLiteLedger]:
    """A tenant with an open run that spent $0.001 and holds $0.002, a child, a closed run; and a run of nobody's."""
    with SQLiteLedger(path) as ledger:
        closed = open_run(ledger, "acme", dollars="0.02")
        closed.settle(closed.hold("m", [TEXT], 100).charge(500, 50))
        closed.close()
        run = open_run(ledger, "acme", dollars="0.1", tokens=1_234_567)
        run.settle(run.hold("m", [TEXT], 100).charge(500, 50))
        run.child("0.0", 2)
        run.hold("m", [TEXT], 100)
        open_run(ledger, None, dollars=None)
        yield ledger


def told(*arguments: str) -> Any:
    done = run("ledger", *arguments, "--json")
    assert (done.status, done.stderr) == (0, "")
    return json.loads(done.stdout)


def on_terminal(columns: int, *arguments: str) -> str:
    """What the command writes to a terminal of that width, colours and all."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
            env=environment({"COLUMNS": str(columns), "TERM": "xterm-256color"}),
        )  # fmt: skip
    finally:
        os.close(theirs)
    written = b""
    with open(ours, "rb", buffering=0) as terminal:
        while True:
            try:
                chunk = terminal.read(65_536)
            except OSError:  # the other end is closed: Linux says so with EIO
                break
            if not chunk:
                break
            written += chunk
    assert process.wait() == 0
    return written.decode()


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


# show


def test_show_is_a_tree_with_what_is_spent_held_and_left(used: SQLiteLedger, path: Path) -> None:
    done = run("ledger", "show", "--file", str(path))
    assert (done.status, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"Ledger {path}"
    rows = {line.split("  ")[0] or line.strip().split("  ")[0]: line.split() for line in lines[2:]}
    assert rows["acme"][1:] == ["$0.002000", "$0.099000", "$1.0000", "$0.899000", "open"]
    by_name = {line.strip().split("  ")[0]: line for line in lines}
    day = next(line for name, line in by_name.items() if re.fullmatch(r"\d{4}-\d\d-\d\d", name))
    assert day.split()[1:] == ["$0.002000", "$0.099000", "$0.500000", "$0.399000", "open"]
    assert day.startswith("  2")
    assert next(line for line in lines if "child 0.0" in line).startswith("      child 0.0  ")
    assert "1,234,567" in done.stdout
    assert re.search(r"^run \w{12} +\$0 +\$0 +no cap +no limit +open +\d+$", done.stdout, re.MULTILINE)
    assert "closed\n" not in done.stdout
    assert "1 tenant, 2 open runs, 1 open child, 1 closed run; 1 process at work" in lines
    assert "spent in all: $0.002000, 1,100 tokens, 2 calls" in lines
    assert "1 open hold: $0.002000 for calls" in lines
    assert "reconcile" not in done.stdout


def test_the_columns_are_aligned_and_nothing_is_cut_in_a_pipe(used: SQLiteLedger, path: Path) -> None:
    lines = run("ledger", "show", "-f", str(path), "--all").stdout.splitlines()
    table = lines[1 : next(number for number, line in enumerate(lines) if line.startswith("1 tenant"))]
    end_of_cap = table[0].index("cap") + 3
    for line in table[1:]:
        assert re.search(r"(\$[\d.]+|no cap|[\d,]+)$", line[:end_of_cap]), line
        assert line[end_of_cap : end_of_cap + 2].strip() == ""
        assert line == line.rstrip()
    assert "…" not in "".join(table)


def test_show_has_closed_runs_if_asked(used: SQLiteLedger, path: Path) -> None:
    for option in (["--all"], ["--recent", "1"]):
        assert run("ledger", "show", "-f", str(path), *option).stdout.count("closed\n") == 1


def test_the_file_may_be_named_by_the_environment(used: SQLiteLedger, path: Path) -> None:
    named = run("ledger", "show", env={"DIVEBELL_LEDGER": str(path)})
    assert named == run("ledger", "show", "--file", str(path))


def test_show_as_json_has_exact_figures(used: SQLiteLedger, path: Path) -> None:
    shown = told("show", "-f", str(path), "--all")
    assert shown["ledger"] == str(path)
    tenant, loose = shown["accounts"]
    (day,) = tenant["children"]
    open_one, closed_one = day["children"]
    assert [each["kind"] for each in (tenant, day, open_one, closed_one, loose)] == [
        "tenant",
        "day",
        "run",
        "run",
        "run",
    ]
    assert tenant["spent"] == {"dollars": "0.002", "tokens": 1100, "calls": 2}
    assert tenant["per_day"] == {"dollars": "0.5", "tokens": None, "calls": None}
    assert Decimal(tenant["cap"]["dollars"]) == sum(
        Decimal(tenant[what]["dollars"]) for what in ("spent", "held", "left")
    )
    assert (closed_one["state"], open_one["state"]) == ("closed", "open")
    assert open_one["worker"]["process"] == os.getpid()
    assert open_one["worker"]["alive"] is True
    assert loose["cap"] == loose["left"] == {"dollars": None, "tokens": None, "calls": None}
    assert shown["totals"]["open_calls"] == 1
    assert shown["totals"]["held_by_calls"]["dollars"] == "0.002"
    assert shown["processes"] == {"alive": 1, "died": 0}


def test_a_frozen_run_is_shown_with_its_reason(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        meter = open_run(ledger, None, dollars="0.1")
        meter.settle(meter.hold("m", [TEXT], 100).charge(500, 50_000))
        done = run("ledger", "show", "-f", str(path))
    assert re.search(r"^run \w+ .* frozen ", done.stdout, re.MULTILINE)
    assert re.search(r"^run \w+ is frozen: the provider used more", done.stdout, re.MULTILINE)
    assert re.search(r"^run \w+ was overdrawn by the provider: \$0\.4", done.stdout, re.MULTILINE)


def test_amounts_too_small_to_be_seen_are_not_shown_as_nothing(path: Path) -> None:
    with SQLiteLedger(path) as ledger:
        ledger.tenant("acme", total=Caps(1, None, None))
        assert re.search(
            r"^acme +\$0 +\$0 +<\$0.000001 +<\$0.000001 ", run("ledger", "show", "-f", str(path)).stdout, re.M
        )


# tenants


def test_tenants_in_a_line_each(used: SQLiteLedger, path: Path) -> None:
    used.tenant("beta", per_day=Caps(None, 1_000_000, None))
    lines = run("ledger", "tenants", "-f", str(path)).stdout.splitlines()
    assert lines[0].split() == ["tenant", "today", "per", "day", "left", "today", "in", "all", "cap", "left", "open"]
    assert lines[1].split() == [
        "acme",
        "$0.002000",
        "$0.500000",
        "$0.399000",
        "$0.002000",
        "$1.0000",
        "$0.899000",
        "1",
        "run",
    ]
    assert lines[2].split()[:6] == ["beta", "$0", "no", "cap", "no", "limit"]
    assert lines[3].split()[:4] == ["(tokens)", "0", "1,000,000", "1,000,000"]
    acme, beta = told("tenants", "-f", str(path))["tenants"]
    assert acme["today"]["left"]["dollars"] == "0.399"
    assert acme["total"]["cap"]["dollars"] == "1"
    assert (acme["open_runs"], beta["open_runs"]) == (1, 0)
    assert beta["today"]["cap"] == {"dollars": None, "tokens": 1_000_000, "calls": None}


def test_an_empty_ledger(path: Path) -> None:
    SQLiteLedger(path).close()
    assert run("ledger", "tenants", "-f", str(path)) == Done(0, "the ledger has no tenants\n", "")
    assert run("ledger", "holds", "-f", str(path)) == Done(0, "no call is held\n", "")
    assert "0 open runs" in run("ledger", "show", "-f", str(path)).stdout


# holds


def test_holds_say_by_whom(used: SQLiteLedger, path: Path) -> None:
    pid = die(path, "other")
    lines = run("ledger", "holds", "-f", str(path)).stdout.splitlines()
    assert len(lines) == 4
    assert sum(f"{pid} died" in line for line in lines) == 2
    assert sum(f"{os.getpid()} " in line and "acme" in line for line in lines) == 1
    assert len(run("ledger", "holds", "-f", str(path), "--tenant", "other").stdout.splitlines()) == 3
    (only,) = told("holds", "-f", str(path), "--tenant", "acme")["holds"]
    assert (only["state"], only["held"]["dollars"], only["model"]) == ("held", "0.002", "m")
    assert only["worker"]["process"] == os.getpid()


def test_holds_of_a_state_and_no_more_than_asked_for(used: SQLiteLedger, path: Path) -> None:
    done = run("ledger", "holds", "-f", str(path), "--state", "settled", "--limit", "1")
    assert len(done.stdout.splitlines()) == 3
    assert "there are more, see --limit" in done.stdout
    both = told("holds", "-f", str(path), "--state", "settled")
    assert [each["spent"]["dollars"] for each in both["holds"]] == ["0.001"] * 2
    assert both["cut"] is False


def test_a_tenant_that_is_not_there(used: SQLiteLedger, path: Path) -> None:
    done = run("ledger", "holds", "-f", str(path), "--tenant", "a\x1b[31mcme")
    assert (done.status, done.stdout) == (2, "")
    assert "no tenant is called" in done.sentence
    assert "\x1b" not in done.sentence


# reconcile


def test_the_dead_are_pointed_out_and_reconciled_once(used: SQLiteLedger, path: Path) -> None:
    pid = die(path, "other")
    shown = run("ledger", "show", "-f", str(path)).stdout
    assert (
        "1 process died holding $0.004000 (2 calls, 2 open runs and children): run `divebell ledger reconcile`" in shown
    )
    assert f"{pid} died" in shown
    done = run("ledger", "reconcile", "-f", str(path))
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "1 process had died: 2 calls in flight posted as spent, $0.004000; 2 open runs and children closed",
        "1 process at work, with 1 call in flight holding $0.002000: left alone",
    ]
    assert "died" not in run("ledger", "show", "-f", str(path)).stdout
    assert run("ledger", "reconcile", "-f", str(path)).stdout.startswith("nothing to reconcile")
    spent = {each["name"]: each["total"]["spent"]["dollars"] for each in told("tenants", "-f", str(path))["tenants"]}
    assert spent == {"acme": "0.002", "other": "0.005"}
    assert len(told("holds", "-f", str(path), "--state", "uncertain")["holds"]) == 2


def test_reconciling_as_json_leaves_the_living_alone(path: Path) -> None:
    with worker(path, "acme") as living:
        pid = die(path, "acme")
        done = told("reconcile", "-f", str(path))
        assert (done["processes"], done["calls"], done["spent"]["dollars"]) == (1, 2, "0.004")
        assert done["alive"] == {
            "processes": 1, "calls": 2, "held": {"dollars": "0.004", "tokens": 2200, "calls": 2},
        }  # fmt: skip
        assert done["not_closed"] == []
        assert {each["worker"]["process"] for each in told("holds", "-f", str(path))["holds"]} == {living.pid} != {pid}
    assert told("reconcile", "-f", str(path))["processes"] == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_file_is_said_and_not_made(command: str, path: Path) -> None:
    done = run("ledger", command, "--file", str(path))
    assert (done.status, done.stdout) == (2, "")
    assert f"there is no ledger at {path}" in done.sentence
    assert list(path.parent.iterdir()) == []
    assert "--file FILE" in run("ledger", command).sentence


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_something_else(command: str, path: Path) -> None:
    path.write_text("a text, and no database " * 100)
    done = run("ledger", command, "--file", str(path))
    assert (done.status, done.stdout) == (2, "")
    assert str(path) in done.sentence
    tamper(path.with_name("other.db"), "CREATE TABLE mine (x)")
    other = run("ledger", command, "--file", str(path.with_name("other.db")))
    assert other.status == 2
    assert "something else" in other.sentence


@pytest.mark.parametrize("command", COMMANDS)
def test_a_newer_ledger(command: str, path: Path) -> None:
    SQLiteLedger(path).close()
    tamper(path, "PRAGMA user_version = 1000")
    done = run("ledger", command, "--file", str(path))
    assert done.status == 2
    assert "newer version" in done.sentence


def test_a_locked_ledger(path: Path) -> None:
    SQLiteLedger(path).close()
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN IMMEDIATE")
        done = run("ledger", "show", "--file", str(path))
    finally:
        db.close()
    assert (done.status, done.stdout) == (2, "")
    assert "another process" in done.sentence


def test_nonsense_in_options(path: Path) -> None:
    for arguments in (["holds", "--state", "lost"], ["holds", "--limit", "0"], ["show", "--recent", "-1"]):
        done = run("ledger", *arguments, "--file", str(path))
        assert (done.status, done.stdout) == (2, "")


@pytest.fixture
def hostile(path: Path) -> Path:
    """A ledger in which every text is one that steers terminals, or is rich's markup."""
    with SQLiteLedger(path) as ledger:
        meter = open_run(ledger, "acme", dollars="0.1")
        meter.hold("m", [TEXT], 100)
        os.close(os.open(path.with_name("kept"), os.O_CREAT))
        spoil = "CAST(x'" + (HOSTILE * 20).encode().hex() + "' AS TEXT)"
        tamper(
            path,
            f"UPDATE accounts SET path = {spoil}, frozen = {spoil}, opened = {spoil}",
            f"UPDATE holds SET model = {spoil}, opened = {spoil}",
        )
    tamper(path, "UPDATE accounts SET is_open = 1", "UPDATE holds SET state = 'held', ended = NULL")
    return path


@pytest.mark.parametrize("command", ["show", "tenants", "holds"])
def test_texts_of_a_hostile_file_cannot_steer_the_terminal(hostile: Path, command: str) -> None:
    for output in (
        run("ledger", command, "-f", str(hostile)).stdout,
        on_terminal(100, "ledger", command, "-f", str(hostile)),
    ):
        plain = without_colours(output.replace("\r\n", "\n"))
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", plain)
        assert "[bold]" in plain  # as text, not as markup
        assert "\x1b[31m\x1b" not in output
        assert max(map(len, plain.splitlines())) < 600
        assert not any(line.startswith("root ") for line in plain.splitlines())


def test_a_schema_error_quotes_no_escape_codes(path: Path) -> None:
    SQLiteLedger(path).close()
    tamper(
        path,
        "UPDATE sqlite_schema SET name = 'a' || char(27) || '[31m', sql = 'CREATE TABLE ' || char(27) WHERE name = 'holds'",
    )
    done = run("ledger", "show", "-f", str(path))
    assert done.status == 2
    assert "\x1b" not in done.sentence


@pytest.mark.parametrize("columns", [80, 160])
def test_a_terminal_shows_all_figures_within_its_width(used: SQLiteLedger, path: Path, columns: int) -> None:
    used.tenant(
        "a tenant with a name that goes on and on and on, longer than there is room for",
        total=Caps(9 * DOLLAR, None, None),
    )
    for command in ("show", "tenants", "holds"):
        output = on_terminal(columns, "ledger", command, "-f", str(path))
        lines = [line.rstrip() for line in without_colours(output).replace("\r\n", "\n").splitlines()]
        assert max(map(len, lines)) <= columns
        if command != "holds":
            assert any("$9.0000" in line for line in lines)
            assert any(line.startswith("a tenant with ") for line in lines)
        assert ("█" in output) == (columns == 160 and command != "holds")
        assert "\x1b[" in output


def test_help_says_enough() -> None:
    assert all(command in run("ledger", "--help").stdout for command in COMMANDS)
    for command in COMMANDS:
        done = run("ledger", command, "--help")
        assert (done.status, done.stderr) == (0, "")
        for word in ("--file", "DIVEBELL_LEDGER", "--json"):
            assert word in done.stdout
