"""`divebell ledger cap`: the emergency brake, on a ledger that another process is using."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from divebell import Engine
from divebell_bridge.money.amounts import STOPPED, Amounts, Caps
from divebell_bridge.money.errors import BudgetExceeded
from divebell_bridge.money.escrow import Fixed
from divebell_bridge.money.sqlite.ledger import SQLiteLedger
from tests.support.command import run

pytestmark = pytest.mark.slow


DOLLAR = 10**12
CALL = Fixed(Amounts(DOLLAR, 10, 1))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SQLiteLedger]:
    """A tenant with a run that has set $20 aside, of which $2 are held."""
    with SQLiteLedger(tmp_path / "ledger.db") as ledger:
        day = ledger.tenant("acme", total=Caps(100 * DOLLAR, 1_000, None), per_day=Caps(None, None, 50))
        ledger.open("run", kind="run", label="run", parent=day, wanted=Caps(20 * DOLLAR, None, None))
        for number in range(2):
            ledger.hold("run", f"hold {number}", CALL, model="m")
        yield ledger


def caps(ledger: SQLiteLedger) -> tuple[Caps, Caps]:
    total, day = ledger.account("tenant:acme"), ledger.account("daily:acme")
    assert total is not None
    assert day is not None
    return total.caps, day.caps


def cap(ledger: SQLiteLedger, *arguments: str) -> str:
    done = run("ledger", "cap", "acme", *arguments, "--file", str(ledger.path))
    assert (done.status, done.stderr) == (0, "")
    return done.stdout


def test_a_lower_cap_binds_the_run_of_another_process_at_its_next_call(ledger: SQLiteLedger) -> None:
    assert "acme" in cap(ledger, "--total", "2.50")
    with pytest.raises(BudgetExceeded, match=r"of \$2\.5 is free.*\(acme\)"):
        ledger.hold("run", "next", CALL, model="m")
    assert ledger.settle("hold 0", Amounts(0, 1, 1)).state == "settled"
    ledger.hold("run", "next", CALL, model="m")
    assert caps(ledger) == (Caps(5 * DOLLAR // 2, 1_000, None), Caps(None, None, 50))


def test_stop_ends_all_calls_and_another_total_lets_them_go_on(ledger: SQLiteLedger) -> None:
    cap(ledger, "--stop")
    with pytest.raises(BudgetExceeded):
        ledger.hold("run", "free of charge", Fixed(Amounts(0, 0, 1)), model="m")
    cap(ledger, "--total", "$50")
    assert caps(ledger)[0] == Caps(50 * DOLLAR, None, None)
    ledger.hold("run", "next", CALL, model="m")


def test_what_an_application_stopped_goes_on_with_another_total(ledger: SQLiteLedger) -> None:
    with Engine(ledger=ledger) as engine:
        engine.tenant("acme").stop()
        assert caps(ledger)[0] == STOPPED
        cap(ledger, "--total", "$50")
        assert caps(ledger)[0] == Caps(50 * DOLLAR)


def test_a_cap_is_lifted_and_the_others_stay(ledger: SQLiteLedger) -> None:
    cap(ledger, "--total", "none", "--per-day", "7")
    assert caps(ledger) == (Caps(None, 1_000, None), Caps(7 * DOLLAR, None, 50))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nobody", "--total", "1"], "no tenant is called 'nobody'"),
        (["acme"], "which cap?"),
        (["acme", "--total", "1", "--stop"], "use only one of them"),
        (["acme", "--total", "lots"], '--total must be a number such as "0.30"'),
        (["acme", "--per-day", "-1"], "--per-day must be from 0"),
        (["acme", "--per-day", "0.30e-999999999"], "--per-day has more than 12 decimal places"),
        (["acme", "--total", "1", "--file", "/nowhere/ledger.db"], "there is no ledger"),
    ],
)
def test_what_makes_no_sense_is_one_sentence_and_changes_nothing(
    arguments: list[str], says: str, ledger: SQLiteLedger
) -> None:
    before = caps(ledger)
    where = [] if "--file" in arguments else ["--file", str(ledger.path)]
    done = run("ledger", "cap", *arguments, *where)
    assert done.status == 2
    assert says in " ".join(done.stderr.split())
    assert caps(ledger) == before
