"""Tasks of a run that the guest's thread starts: each gives an outcome, whatever becomes of it, and the run's end ends
them."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import anyio.to_thread
import pytest

from divebell.run.tasks import RunTasks
from divebell_bridge.door.door import RefusedError
from divebell_bridge.door.requests import Outcome

ENDED = {"kind": "Unavailable", "message": "the run has ended"}


async def answer() -> Outcome:
    await anyio.sleep(0)
    return {"text": "x"}


async def never() -> Outcome:
    await anyio.sleep_forever()
    raise AssertionError("it was cancelled")


async def broken() -> Outcome:
    raise ValueError("secret")


def in_loop(main: Callable[[RunTasks], Awaitable[None]]) -> None:
    async def run() -> None:
        with anyio.fail_after(300):
            await main(RunTasks())

    anyio.run(run)


async def outcome_of(outcomes: list[Outcome]) -> Outcome:
    while not outcomes:
        await anyio.sleep(0.001)
    [outcome] = outcomes
    return outcome


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (answer, {"text": "x"}),
        (broken, {"kind": "ModelError", "message": "the host failed to answer (ValueError)"}),
    ],
)
def test_a_task_gives_its_outcome_and_no_details_of_a_fault(
    function: Callable[[], Coroutine[Any, Any, Outcome]], expected: Outcome
) -> None:
    async def main(tasks: RunTasks) -> None:
        outcomes: list[Outcome] = []
        await anyio.to_thread.run_sync(tasks.submit, function, outcomes.append)
        assert await outcome_of(outcomes) == expected

    in_loop(main)


def test_a_task_that_is_cancelled_before_or_after_it_begins_gives_an_outcome() -> None:
    async def main(tasks: RunTasks) -> None:
        for begins_first in (False, True):
            outcomes: list[Outcome] = []
            cancel = tasks.submit(never, outcomes.append)
            if begins_first:
                await anyio.sleep(0.01)
            cancel()
            assert await outcome_of(outcomes) == ENDED

    in_loop(main)


def test_closing_ends_what_is_in_flight_and_refuses_what_comes() -> None:
    async def main(tasks: RunTasks) -> None:
        outcomes: list[Outcome] = []
        refusals: list[str] = []
        begun = anyio.Event()

        async def begin_and_wait() -> Outcome:
            begun.set()
            return await never()

        def wait_for_all() -> None:
            with pytest.raises(RefusedError) as caught:
                tasks.run_all([begin_and_wait, answer])
            refusals.append(str(caught.value))

        tasks.submit(never, outcomes.append)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, wait_for_all)
            await begun.wait()
            tasks.close()
        await tasks.wait_closed()
        assert (outcomes, refusals) == ([ENDED], ["the run has ended"])
        await anyio.to_thread.run_sync(wait_for_all)
        tasks.submit(answer, outcomes.append)
        await anyio.sleep(0.01)
        assert outcomes == [ENDED, ENDED]

    in_loop(main)


def test_what_a_task_shields_is_waited_for() -> None:
    async def main(tasks: RunTasks) -> None:
        settled = []

        async def settle() -> Outcome:
            try:
                return await never()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.01)
                    settled.append(True)

        tasks.submit(settle, lambda outcome: None)
        await anyio.sleep(0.01)
        tasks.close()
        await tasks.wait_closed()
        assert settled

    in_loop(main)


def test_after_the_loop_has_ended_nothing_is_submitted() -> None:
    made: list[RunTasks] = []

    async def main(tasks: RunTasks) -> None:
        made.append(tasks)

    in_loop(main)
    outcomes: list[Outcome] = []
    with pytest.raises(RefusedError, match="the run has ended"):
        made[0].submit(answer, outcomes.append)
    assert outcomes == []
