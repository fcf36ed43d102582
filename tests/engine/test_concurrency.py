"""The limit of concurrent calls: over loops and threads, in order, and never losing or inventing a place."""

import asyncio
import gc
import random
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from divebell.concurrency import ConcurrencyLimit, FairLimit
from divebell.errors import ConfigurationError, ModelUnavailableError
from divebell.models import ModelRequest, OpenAIChatModel, OpenAIResponsesModel
from divebell.models.openai.base import OpenAIModel
from tests.support.chat_server import ChatServer


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not holds():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("places", [0, -1, True, 1.5, "3", None])
def test_a_limit_must_be_a_number_above_0(places: int) -> None:
    with pytest.raises(ConfigurationError, match="max_concurrency must be a whole number above 0"):
        ConcurrencyLimit(places)


def test_first_come_first_served_and_nobody_jumps_the_queue() -> None:
    async def run() -> list[str]:
        limit, order = ConcurrencyLimit(1), []

        async def call(name: str) -> None:
            async with limit:
                order.append(name)
                await asyncio.sleep(0)

        async with limit:
            waiting = [asyncio.create_task(call(str(number))) for number in range(5)]
            await until(lambda: limit.waiting == 5)
        late = asyncio.create_task(call("late"))  # the place is free now, but promised
        await asyncio.gather(*waiting, late)
        assert (limit.free, limit.waiting) == (1, 0)
        return order

    assert asyncio.run(run()) == ["0", "1", "2", "3", "4", "late"]


def test_who_is_cancelled_while_waiting_leaves_the_queue() -> None:
    async def run() -> None:
        limit = ConcurrencyLimit(1)

        async def call() -> None:
            async with limit:
                pass

        async with limit:
            first, second = asyncio.create_task(call()), asyncio.create_task(call())
            await until(lambda: limit.waiting == 2)
            first.cancel()
            await asyncio.wait([first])
            assert first.cancelled()
            assert limit.waiting == 1
        await second
        assert (limit.free, limit.waiting) == (1, 0)

    asyncio.run(run())


def test_who_is_cancelled_just_when_given_a_place_passes_it_on() -> None:
    async def run() -> None:
        limit, served = ConcurrencyLimit(1), []

        async def call(name: str) -> None:
            async with limit:
                served.append(name)

        await limit.__aenter__()
        first, second = asyncio.create_task(call("first")), asyncio.create_task(call("second"))
        await until(lambda: limit.waiting == 2)
        await limit.__aexit__(None, None, None)  # gives the place to the first, which has not noticed yet
        first.cancel()
        await asyncio.wait([first, second])
        assert first.cancelled()
        assert served == ["second"]
        assert (limit.free, limit.waiting) == (1, 0)

    asyncio.run(run())


def test_an_error_in_the_block_gives_the_place_back() -> None:
    async def run() -> None:
        limit = ConcurrencyLimit(1)
        with pytest.raises(ZeroDivisionError):
            async with limit:
                raise ZeroDivisionError
        assert limit.free == 1

    asyncio.run(run())


async def _wait_for(limit: ConcurrencyLimit) -> None:
    async with limit:
        pass


def test_a_loop_that_ended_while_it_waited_takes_no_place_with_it() -> None:
    limit = ConcurrencyLimit(1)
    waiting = _wait_for(limit)

    async def begin() -> None:
        await limit.__aenter__()
        waiting.send(None)  # by hand, so that no task cancels it when the loop ends

    async def end() -> None:
        await limit.__aexit__(None, None, None)

    asyncio.run(begin())
    assert limit.waiting == 1
    asyncio.run(end())
    assert (limit.free, limit.waiting) == (1, 0)
    waiting.close()  # which must not give back a place that it never had
    assert limit.free == 1


@pytest.mark.slow
def test_an_abandoned_holder_gives_its_place_back() -> None:
    limit = ConcurrencyLimit(1)

    async def hold() -> None:
        async with limit:
            await asyncio.Event().wait()

    async def begin() -> None:
        holder = hold()
        holder.send(None)
        assert limit.free == 0
        del holder
        gc.collect()

    asyncio.run(begin())
    assert limit.free == 1


def test_threads_and_cancellations_lose_no_place_and_invent_none() -> None:
    limit, lock = ConcurrencyLimit(3), threading.Lock()
    inside, peak, served = 0, 0, 0

    async def call(chance: random.Random) -> None:
        nonlocal inside, peak, served
        async with limit:
            with lock:
                inside += 1
                peak = max(peak, inside)
            try:
                await asyncio.sleep(chance.random() / 1000)
                served += 1
            finally:
                with lock:
                    inside -= 1

    async def many(seed: int) -> None:
        chance = random.Random(seed)
        tasks = [asyncio.create_task(call(chance)) for _ in range(60)]
        for _ in range(40):
            await asyncio.sleep(chance.random() / 2000)
            chance.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    threads = [threading.Thread(target=lambda seed=seed: asyncio.run(many(seed))) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert peak == 3
    assert served > 0
    assert (limit.free, limit.waiting, inside) == (3, 0, 0)


@pytest.mark.parametrize("places", [0, -1, True, 1.5, "3", 10**400])
def test_a_fair_limit_must_be_a_number_above_0_too(places: int) -> None:
    with pytest.raises(ConfigurationError, match="max_concurrent_calls must be a whole number above 0"):
        FairLimit(places)
    with pytest.raises(ConfigurationError, match="max_concurrent_calls must be a whole number above 0"):
        FairLimit(None).limit_group("acme", places)


def served_in_order(limit: FairLimit, calls: list[str]) -> list[str]:
    """In which order calls of these groups are served that came, in this order, while the first had all the places."""

    async def run() -> list[str]:
        order: list[str] = []

        async def call(group: str) -> None:
            await limit.acquire(group)
            order.append(group)
            await asyncio.sleep(0)
            limit.release(group)

        holders = limit._places or 0
        for _ in range(holders):
            await limit.acquire("first")
        tasks = []
        for number, group in enumerate(calls):
            tasks.append(asyncio.create_task(call(group)))
            await until(lambda number=number: limit.waiting == number + 1)  # type: ignore[misc]
        for _ in range(holders):
            limit.release("first")
        await asyncio.gather(*tasks)
        assert (limit.taken, limit.waiting) == (0, 0)
        return order

    return asyncio.run(run())


def test_groups_are_served_in_turn_and_each_in_its_order() -> None:
    assert served_in_order(FairLimit(1), [*"aaaa", *"bb", "c"]) == [*"abcabaa"]
    assert served_in_order(FairLimit(1), [*"ab", *"aaa"]) == [*"abaaa"]


def test_a_group_at_its_own_limit_lets_the_others_by() -> None:
    async def run() -> None:
        limit = FairLimit(3)
        limit.limit_group("small", 1)
        await limit.acquire("small")
        waiting = asyncio.create_task(limit.acquire("small"))
        await until(lambda: limit.waiting == 1)
        await limit.acquire("large")
        await limit.acquire("large")
        late = asyncio.create_task(limit.acquire("large"))
        await until(lambda: limit.waiting == 2)
        limit.release("small")
        await waiting
        assert not late.done()
        limit.release("large")
        await late
        assert (limit.taken, limit.waiting) == (3, 0)
        for group in ("small", "large", "large"):
            limit.release(group)
        assert (limit.taken, set(limit._groups)) == (0, {"small"})

    asyncio.run(run())


def test_without_a_limit_in_all_the_groups_limits_hold_and_can_be_changed() -> None:
    async def run() -> None:
        limit = FairLimit(None)
        for _ in range(50):
            await limit.acquire("free")
        limit.limit_group("acme", 2)
        calls = [asyncio.create_task(limit.acquire("acme")) for _ in range(6)]
        await until(lambda: limit.waiting == 4)
        limit.limit_group("acme", 3)
        await until(lambda: limit.waiting == 3)
        limit.limit_group("acme", 1)  # who has a place keeps it
        for _ in range(3):
            limit.release("acme")
        await until(lambda: limit.waiting == 2)
        limit.limit_group("acme", None)
        await asyncio.gather(*calls)
        assert (limit.taken, limit.waiting) == (53, 0)

    asyncio.run(run())


def test_groups_on_threads_with_cancellations_lose_no_place_and_invent_none() -> None:
    limit, lock = FairLimit(4), threading.Lock()
    groups = {"a": 1, "b": 2, "c": None, "d": 4}
    for name, places in groups.items():
        limit.limit_group(name, places)
    inside = dict.fromkeys(groups, 0)
    peaks = dict.fromkeys([*groups, "all"], 0)

    async def call(group: str, chance: random.Random) -> None:
        await limit.acquire(group)
        try:
            with lock:
                inside[group] += 1
                peaks[group] = max(peaks[group], inside[group])
                peaks["all"] = max(peaks["all"], sum(inside.values()))
            try:
                await asyncio.sleep(chance.random() / 1000)
            finally:
                with lock:
                    inside[group] -= 1
        finally:
            limit.release(group)

    async def many(seed: int) -> None:
        chance = random.Random(seed)
        tasks = [asyncio.create_task(call(chance.choice([*groups]), chance)) for _ in range(60)]
        for _ in range(40):
            await asyncio.sleep(chance.random() / 2000)
            chance.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    threads = [threading.Thread(target=lambda seed=seed: asyncio.run(many(seed))) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (limit.taken, limit.waiting, sum(inside.values())) == (0, 0, 0)
    assert peaks["all"] <= 4
    assert peaks["a"] == 1
    assert peaks["b"] <= 2


def test_places_that_come_back_in_the_middle_of_the_work_are_not_lost_nor_given_twice() -> None:
    """The garbage collector ends an abandoned call on a thread that is giving places just then."""

    async def run() -> None:
        limit = FairLimit(2)
        await limit.acquire("a")
        await limit.acquire("b")
        calls = [asyncio.create_task(limit.acquire(name)) for name in "cdcd"]
        await until(lambda: limit.waiting == 4)
        interrupted: list[int] = []
        real = limit._next

        def interrupting() -> object:
            if not interrupted:
                interrupted.append(True)
                limit.release("b")
            return real()

        limit._next = interrupting  # type: ignore[method-assign,assignment]
        limit.release("a")
        await until(lambda: sum(call.done() for call in calls) == 2)
        assert (limit.taken, limit.waiting) == (2, 2)
        limit.release("c")
        limit.release("d")
        await asyncio.gather(*calls)
        assert (limit.taken, limit.waiting) == (2, 0)

    asyncio.run(run())


def test_a_place_that_comes_back_while_a_free_one_is_taken_is_not_lost() -> None:
    """The garbage collector ends an abandoned call on a thread that takes a free place just then."""

    async def run() -> None:
        limit = FairLimit(3)
        await limit.acquire("a")
        await limit.acquire("b")

        class Interrupting(dict[str, Any]):
            def get(self, name: str, default: Any = None) -> Any:
                if name == "c" and limit.taken == 2:
                    limit.release("a")
                return super().get(name, default)

        limit._groups = Interrupting(limit._groups)
        await limit.acquire("c")
        assert (limit.taken, limit.waiting) == (2, 0)
        for name in "bc":
            limit.release(name)
        assert (limit.taken, limit.waiting) == (0, 0)

    asyncio.run(run())


ASKED = ModelRequest(messages=[{"role": "user", "content": "x"}], max_output_tokens=10, timeout_seconds=20)


@pytest.mark.parametrize("kind", [OpenAIChatModel, OpenAIResponsesModel])
def test_a_model_makes_no_more_calls_at_once_than_it_may_from_all_its_loops(kind: type[OpenAIModel]) -> None:
    lock, meet = threading.Lock(), threading.Barrier(2)
    inside = peak = 0

    def policy(_asked: object) -> str:
        nonlocal inside, peak
        with lock:
            inside += 1
            peak = max(peak, inside)
        meet.wait(300)  # each call waits for another, so that two are surely inside
        with lock:
            inside -= 1
        return "ok"

    async def calls() -> None:
        await asyncio.gather(*(model.complete(ASKED) for _ in range(5)))

    with ChatServer(policy) as server:
        model = kind("m", base_url=server.url, api_key=server.key, max_concurrency=2)
        threads = [threading.Thread(target=lambda: asyncio.run(calls())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.received) == 20
    assert peak == 2


def test_a_call_that_never_got_a_place_never_ran() -> None:
    with ChatServer("late") as server:
        release = threading.Event()
        server.policy = lambda _asked: "late" if release.wait(300) else ""
        model = OpenAIChatModel("m", base_url=server.url, api_key=server.key, max_concurrency=1)

        async def run() -> ModelUnavailableError:
            first = asyncio.create_task(model.complete(ASKED))
            await until(lambda: len(server.received) == 1)
            with pytest.raises(ModelUnavailableError) as caught:
                await model.complete(ModelRequest(messages=ASKED.messages, max_output_tokens=10, timeout_seconds=0.1))
            release.set()
            assert (await first).text == "late"
            return caught.value

        told = asyncio.run(run())
        assert len(server.received) == 1
    assert str(told) == "timed out waiting for a free slot for 'm': raise max_concurrency, or the timeout"
    assert (told.never_ran, told.may_retry, told.usage) == (True, True, None)


def test_max_concurrency_is_checked_when_the_model_is_made() -> None:
    with pytest.raises(ConfigurationError, match="max_concurrency"):
        OpenAIChatModel("m", base_url="http://127.0.0.1", max_concurrency=0)
