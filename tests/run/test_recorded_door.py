"""A run's door: what depends on time is recorded before the guest has it, and what is recorded is answered again."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from divebell.journal.base import NoJournal, RecordedAnswer
from divebell.run.recorded_door import RecordedDoor
from divebell.run.tasks import RunTasks
from divebell.sandbox.clock import Clock
from divebell.sandbox.host import CallableHost
from divebell_bridge.door import wire
from divebell_bridge.door.door import RefusedError
from divebell_bridge.door.requests import Outcome, Query

HAS_ENDED = {"kind": "Unavailable", "message": "the run has ended"}


class Pages(NoJournal):
    """Has these answers, and keeps what is written."""

    def __init__(self, *recorded: object) -> None:
        self.recorded = [RecordedAnswer(each) for each in recorded]
        self.kept: list[tuple[str, object, RecordedAnswer | None]] = []

    def find_door_answer(self, path: str, op: str, request: bytes) -> RecordedAnswer | None:
        return self.recorded.pop(0) if self.recorded else None

    def keep_door_answer(
        self, path: str, op: str, request: bytes, answer: object, recorded: RecordedAnswer | None
    ) -> None:
        self.kept.append((op, answer, recorded))


class Host(CallableHost):
    """Answers with what it is asked, and refuses "no"; `asked` has what it was asked."""

    def __init__(self) -> None:
        super().__init__(None)
        self.asked: list[str] = []

    def query(self, queries: list[Query]) -> list[Outcome]:
        self.asked += [query.prompt for query in queries]
        if self.asked[-1] == "no":
            raise RefusedError(wire.BUDGET_EXCEEDED, "no more")
        return [{"text": query.prompt} for query in queries]

    def budget(self) -> dict[str, object]:
        self.asked.append("budget")
        return {"calls": 1}


def with_door(journal: Pages, use: Callable[[Callable[..., Any], Host, RunTasks, Clock], Awaitable[None]]) -> None:
    async def main() -> None:
        host, tasks, clock = Host(), RunTasks(), Clock(seeded=True)
        door = RecordedDoor(host, clock, journal, "0", tasks, tool_calls=10)

        def ask(op: str, **fields: object) -> Any:
            answer: Any = wire.decode(door.answer(wire.encode({"v": wire.VERSION, "op": op, **fields})))
            return answer.get("ok", answer.get("error"))

        await use(ask, host, tasks, clock)

    anyio.run(main)


def test_answers_and_refusals_are_recorded_and_what_depends_on_nothing_is_not() -> None:
    journal = Pages()

    async def use(ask: Callable[..., Any], host: Host, tasks: RunTasks, clock: Clock) -> None:
        assert ask("query", prompts=["a"]) == [{"text": "a"}]
        assert ask("query", prompts=["no"]) == {"kind": "BudgetExceeded", "message": "no more"}
        assert ask("budget") == {"calls": 1}
        assert ask("check_answer", value=1) is None
        assert ask("clock") is not None

    with_door(journal, use)
    refusal = {"refused": "BudgetExceeded", "message": "no more"}
    assert journal.kept == [("query", [{"text": "a"}], None), ("query", refusal, None), ("budget", {"calls": 1}, None)]


def test_what_is_recorded_is_answered_again_and_compared() -> None:
    journal = Pages([{"text": "then"}], {"refused": "BudgetExceeded", "message": "then"}, {"calls": 7})
    [then, *_] = journal.recorded

    async def use(ask: Callable[..., Any], host: Host, tasks: RunTasks, clock: Clock) -> None:
        assert ask("query", prompts=["now"]) == [{"text": "then"}]
        assert ask("query", prompts=["no"]) == {"kind": "BudgetExceeded", "message": "then"}
        assert ask("budget") == {"calls": 7}
        assert host.asked == ["now"]

    with_door(journal, use)
    assert journal.kept == [("query", [{"text": "now"}], then)]


@pytest.mark.parametrize("recorded", [[[]], [5]])
def test_a_wait_of_a_damaged_journal_is_compared_as_a_refusal(recorded: object) -> None:
    journal = Pages(recorded)

    async def use(ask: Callable[..., Any], host: Host, tasks: RunTasks, clock: Clock) -> None:
        assert ask("wait", tickets=None, seconds=None) == recorded

    with_door(journal, use)
    assert [answer for _, answer, _ in journal.kept] == [
        {"refused": "Unavailable", "message": "the journal is damaged"}
    ]


def test_a_wait_that_ended_with_nothing_moves_the_clock_and_waits_for_nothing() -> None:
    async def use(ask: Callable[..., Any], host: Host, tasks: RunTasks, clock: Clock) -> None:
        assert ask("wait", tickets=[1], seconds=5) == []
        assert clock.virtual_nanoseconds == 5 * 10**9

    with_door(Pages([]), use)


def test_what_the_guest_is_answered_after_the_end_of_the_run_is_not_recorded() -> None:
    journal = Pages()

    async def use(ask: Callable[..., Any], host: Host, tasks: RunTasks, clock: Clock) -> None:
        tasks.close()
        assert ask("query", prompts=["a"]) == HAS_ENDED
        assert ask("query", prompts=["no"]) == HAS_ENDED

    with_door(journal, use)
    assert journal.kept == []
