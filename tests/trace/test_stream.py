"""Events as an async iterator: in order, bounded, and never in the way of the run."""

import asyncio
import threading

import pytest

from divebell import RLM, Event, ScriptedModel
from divebell.events import CellStarted
from divebell.trace import EventStream


def event(turn: int) -> Event:
    return CellStarted(turn=turn, seconds=1.0, code="")


async def turns(stream: EventStream) -> list[int]:
    return [event.turn async for event in stream]


def test_a_runs_events_arrive_while_it_runs() -> None:
    stream = EventStream()
    rlm = RLM(ScriptedModel("root", ["```repl\nprint(1)\n```", "FINAL(done)"]), on_event=stream)

    async def main() -> tuple[list[str], str]:
        run = asyncio.create_task(rlm.arun("hay", "where?"))
        run.add_done_callback(lambda _: stream.close())
        kinds = []
        async for told in stream:
            kinds.append(told.kind)
            if told.kind == "run":
                assert not run.done()
        return kinds, (await run).answer

    assert asyncio.run(main()) == (["run", *["reply", "code", "cell"] * 2, "answer"], "done")


def test_a_run_in_another_thread() -> None:
    stream = EventStream()

    def work() -> None:
        RLM(ScriptedModel("root", ["FINAL(done)"]), on_event=stream).run("hay", "where?")
        stream.close()

    async def main() -> list[str]:
        thread = threading.Thread(target=work)
        thread.start()
        kinds = [told.kind async for told in stream]
        thread.join()
        return kinds

    assert asyncio.run(main()) == ["run", "reply", "code", "cell", "answer"]


@pytest.mark.parametrize(("drop", "kept"), [("oldest", [7, 8, 9]), ("newest", [0, 1, 2])])
def test_at_the_bound_events_are_dropped_and_counted(drop: str, kept: list[int]) -> None:
    stream = EventStream(max_events=3, drop=drop)  # type: ignore[arg-type]
    for turn in range(10):
        stream(event(turn))
    stream.close()
    assert asyncio.run(turns(stream)) == kept
    assert stream.dropped == 7


def test_after_the_end_nothing_is_taken() -> None:
    stream = EventStream()
    stream(event(1))
    stream.close()
    stream(event(2))
    assert asyncio.run(turns(stream)) == [1]
    assert stream.dropped == 1


def test_an_iterator_that_was_cancelled_loses_nothing() -> None:
    stream = EventStream()

    async def main() -> list[int]:
        waiting = asyncio.create_task(stream.__anext__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        stream(event(1))
        stream.close()
        return await turns(stream)

    assert asyncio.run(main()) == [1]


def test_an_event_loop_that_has_ended_is_no_error() -> None:
    stream = EventStream()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.__anext__(), 0.01)

    asyncio.run(give_up())
    stream(event(1))
    stream.close()
    assert asyncio.run(turns(stream)) == [1]
