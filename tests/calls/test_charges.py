"""What each misbehaviour of a provider costs, from the real client over the meter to the ledger: the rows of
tests/support/misbehaviour.py name each case and its charge, and here they are paid.

The sums are written out by hand. REQUEST is 9 + 14 bytes in two messages, so at most 23 + 2 * 16 + 64 = 119 tokens of
input, and 100 of output.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from divebell import Budget, BudgetExceeded, ModelError, Rate, SQLiteLedger, Usage
from divebell.calls import metered_calls as calls_module
from divebell.calls.metered_calls import CallRecord, MeteredCalls
from divebell.calls.retries import Retries
from divebell_bridge.money.amounts import NOTHING, Amounts, total
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.rates import RateCard
from tests.support.chat_server import ChatServer, Reply
from tests.support.misbehaviour import (
    GIVEN_BACK,
    HONEST_USAGE,
    MISBEHAVIOURS,
    WHOLE_HOLD,
    Charge,
    Misbehaviour,
    model_for,
)

INPUT, OUTPUT, CACHED, WRITTEN = 3, 7, 1, 5  # pico-dollars a token
CARD = RateCard({"local": Rate(INPUT, OUTPUT, CACHED, WRITTEN)})
MOST_INPUT, MOST_OUTPUT = 119, 100
HELD = MOST_INPUT * WRITTEN + MOST_OUTPUT * OUTPUT
CAP = Budget(dollars="0.000001")  # a million pico-dollars


def price(usage: Usage) -> int:
    fresh = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
    return (
        fresh * INPUT
        + usage.cached_input_tokens * CACHED
        + usage.cache_write_tokens * WRITTEN
        + usage.output_tokens * OUTPUT
    )


def bill(charge: Charge) -> tuple[str, int, int, int]:
    """How the hold ends, and what is spent of each limit: pico-dollars, tokens, calls."""
    if charge == GIVEN_BACK:
        return "refunded", 0, 0, 0
    if charge == WHOLE_HOLD:
        return "uncertain", HELD, MOST_INPUT + MOST_OUTPUT, 1
    assert not isinstance(charge, str)
    return "settled", price(charge.usage), charge.usage.input_tokens + charge.usage.output_tokens, 1


def breaks_its_limit(charge: Charge) -> bool:
    if isinstance(charge, str):
        return False
    return charge.usage.input_tokens > MOST_INPUT or charge.usage.output_tokens > MOST_OUTPUT


def ends_of_holds(ledger: SQLiteLedger) -> list[tuple[Any, ...]]:
    query = (
        "SELECT state, spent_picodollars, spent_tokens, spent_calls FROM holds WHERE purpose = 'call' ORDER BY opened"
    )
    return ledger._db.execute(query).fetchall()


async def paid(
    row: Misbehaviour, server: ChatServer, ledger: SQLiteLedger
) -> tuple[CallRecord | Exception, dict[str, Any]]:
    """What came of one call of a run of a tenant, and the run's summary. All that the call held is accounted for."""
    day = ledger.tenant("acme")
    meter = Meter(CAP, CARD, ledger=ledger, parent_account=day)
    model = model_for(row, server)
    calls = MeteredCalls({model.name: model}, max_concurrent=2)
    outcome: CallRecord | Exception
    try:
        outcome = await calls(meter, model, row.request)
    except (ModelError, BudgetExceeded) as error:
        outcome = error
    run = ledger.account(meter._account_id)
    assert run is not None
    assert run.held == NOTHING
    in_holds = total(Amounts(*end[1:]) for end in ends_of_holds(ledger))
    assert (run.spent.picodollars, run.spent.tokens, run.spent.calls) == in_holds[:3]
    if breaks_its_limit(row.charge):
        assert run.frozen
        with pytest.raises(BudgetExceeded, match="takes no more calls"):
            await calls(meter, model, row.request)
    else:
        assert not run.frozen
    meter.close()
    for account in ("tenant:acme", day):
        above = ledger.account(account)
        assert above is not None
        assert (above.spent, above.held) == (run.spent, NOTHING)
    return outcome, meter.summary()


@pytest.mark.slow
@pytest.mark.parametrize("row", MISBEHAVIOURS, ids=lambda row: f"{row.api}: {row.name}")
def test_the_charge_of_each_misbehaviour(row: Misbehaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One attempt: settled to the last pico-dollar, the whole hold, or given back."""
    monkeypatch.setattr(calls_module, "MAX_ATTEMPTS", 1)
    monkeypatch.setattr(calls_module, "MAX_CHANGES", 0)
    with ChatServer(row.policy) as server, SQLiteLedger(tmp_path / "ledger.db") as ledger:
        outcome, summary = anyio.run(paid, row, server, ledger)
        ends = ends_of_holds(ledger)
    assert ends == [bill(row.charge)]
    assert isinstance(outcome, CallRecord if row.error is None else row.error)
    state, spent, _tokens, calls = bill(row.charge)
    assert summary["dollars"].scaleb(12) == spent
    assert (summary["calls"], summary["refunded_calls"]) == (calls, 1 - calls)
    assert summary["uncertain_dollars"].scaleb(12) == (spent if state == "uncertain" else 0)
    assert summary["held_dollars"] == 0
    assert bool(summary["frozen"]) is breaks_its_limit(row.charge)
    if not isinstance(row.charge, str):
        assert summary["cached_input_tokens"] == row.charge.usage.cached_input_tokens
        assert summary["cache_write_tokens"] == row.charge.usage.cache_write_tokens


RETRIED = [
    row
    for row in MISBEHAVIOURS
    if row.may_retry and row.is_reached and (row.retry_after_seconds or (0, 0))[1] <= calls_module.MAX_RETRY_SECONDS
]


@pytest.mark.slow
@pytest.mark.parametrize("row", RETRIED, ids=lambda row: f"{row.api}: {row.name}")
def test_a_second_attempt_is_a_second_hold_beside_what_the_first_cost(
    row: Misbehaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider misbehaves once and then answers; the pause that it asks for is kept to, with jitter."""
    pauses: list[float] = []
    monkeypatch.setattr(Retries, "seconds_before", noting(pauses, Retries.seconds_before))
    answers = iter([row.policy({}), Reply(text="4")])
    with ChatServer(lambda _asked: next(answers)) as server, SQLiteLedger(tmp_path / "ledger.db") as ledger:
        outcome, summary = anyio.run(paid, row, server, ledger)
        ends = ends_of_holds(ledger)
    assert isinstance(outcome, CallRecord)
    assert (outcome.attempts, outcome.completion.text) == (2, "4")
    assert sorted(ends) == sorted([bill(row.charge), ("settled", price(HONEST_USAGE), 8, 1)])
    assert summary["dollars"].scaleb(12) == bill(row.charge)[1] + price(HONEST_USAGE)
    low, high = row.retry_after_seconds or (0.25, 0.5 / 1.1)
    assert low <= pauses[0] <= high * 1.1


Pausing = Callable[[Retries, int, ModelError], float | None]


def noting(pauses: list[float], real: Pausing) -> Pausing:
    def noted(retries: Retries, attempt: int, error: ModelError) -> float | None:
        seconds = real(retries, attempt, error)
        assert seconds is not None
        pauses.append(seconds)
        return 0.001

    return noted


def test_the_hold_that_the_sums_here_rest_on() -> None:
    meter = Meter(CAP, CARD)
    hold = meter.hold("local", ["Be brief.", "What is 2 + 2?"], 100)
    assert (hold.picodollars, hold.input_tokens, hold.output_tokens) == (HELD, MOST_INPUT, MOST_OUTPUT)
    meter.close()
