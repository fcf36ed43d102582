"""Tickets: calls in flight are bounded in number and in bytes, told once, and end with their cell."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from divebell_bridge.door import tickets, wire
from divebell_bridge.door.bounds import MAX_OPEN_CALLS
from divebell_bridge.door.reading import RefusedError
from divebell_bridge.door.requests import Call, Outcome, Query
from divebell_bridge.door.tickets import StartedCall, Tickets


class Counter:
    """Starts calls and ends them when told."""

    def __init__(self, seconds: float | None = None) -> None:
        self.done: dict[str, Callable[[Outcome], None]] = {}
        self.cancelled: list[str] = []
        self.seconds = seconds

    def start(self, call: Call, done: Callable[[Outcome], None]) -> StartedCall:
        assert isinstance(call, Query)
        self.done[call.prompt] = done
        return StartedCall(lambda: self.cancelled.append(call.prompt), self.seconds)

    def finish(self, prompt: str, text: str = "reply") -> None:
        self.done[prompt]({"text": text})


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def table(counter: Counter) -> Tickets:
    return Tickets(counter.start)


def submit(table: Tickets, *prompts: str, request_bytes: int = 10) -> list[int]:
    return table.submit([Query(prompt) for prompt in prompts], request_bytes)


def refusal(function: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(RefusedError) as refused:
        function(*arguments)
    return refused.value.kind


def test_what_is_done_is_told_once_and_the_rest_stays_open(table: Tickets, counter: Counter) -> None:
    first, second, third = submit(table, "a", "b", "c")
    counter.finish("c")
    counter.finish("a")
    assert table.wait(None, None) == [(third, {"text": "reply"}), (first, {"text": "reply"})]
    assert table.wait([second], 0) == []
    assert refusal(table.wait, [first], 0) == "BadRequest"
    assert refusal(table.cancel, [second, third]) == "BadRequest"
    assert counter.cancelled == []
    counter.finish("b")
    assert table.wait([second], None) == [(second, {"text": "reply"})]
    assert refusal(table.wait, None, None) == "BadRequest"


def test_a_wait_for_some_leaves_the_others_where_they_are(table: Tickets, counter: Counter) -> None:
    first, second = submit(table, "a", "b")
    counter.finish("a")
    counter.finish("b")
    assert [number for number, _ in table.wait([second], None)] == [second]
    assert [number for number, _ in table.wait(None, None)] == [first]


def test_a_wait_ends_as_soon_as_a_call_of_another_thread_is_done(table: Tickets, counter: Counter) -> None:
    [number] = submit(table, "a")
    threading.Timer(0.05, counter.finish, ("a",)).start()
    assert table.wait([number], None) == [(number, {"text": "reply"})]


def test_stop_ends_a_wait_and_all_that_follow_until_the_next_cell(table: Tickets) -> None:
    submit(table, "a")
    threading.Timer(0.05, table.stop).start()
    assert refusal(table.wait, None, None) == "Unavailable"
    assert refusal(table.wait, None, 0) == "Unavailable"
    assert refusal(submit, table, "b") == "Unavailable"
    table.clear()
    table.resume()
    assert submit(table, "c")


def test_clear_cancels_what_is_open_and_what_is_told_later_is_dropped(table: Tickets, counter: Counter) -> None:
    submit(table, "a", "b")
    counter.finish("a")
    table.clear()
    assert counter.cancelled == ["b"]
    counter.finish("b")
    assert refusal(table.wait, None, 0) == "BadRequest"


def test_cancel_gives_up_a_call_and_a_finished_one_is_only_forgotten(table: Tickets, counter: Counter) -> None:
    first, second = submit(table, "a", "b")
    counter.finish("a")
    table.cancel([first, second])
    assert counter.cancelled == ["b"]
    assert refusal(table.cancel, [first]) == "BadRequest"


def test_numbers_are_never_used_again(table: Tickets) -> None:
    seen = submit(table, "a", "b")
    table.clear()
    assert not {*seen} & {*submit(table, "c")}


def test_over_the_number_of_open_calls_the_guest_is_told_to_collect(table: Tickets, counter: Counter) -> None:
    submit(table, *(str(n) for n in range(MAX_OPEN_CALLS)))
    assert refusal(submit, table, "one more") == "Busy"
    assert "one more" not in counter.done
    counter.finish("5")
    table.wait(None, None)
    submit(table, "one more")


def test_prompts_of_open_calls_are_bounded_in_bytes(table: Tickets) -> None:
    submit(table, "a", request_bytes=tickets.MAX_REQUEST_BYTES - 100)
    assert refusal(lambda: table.submit([Query("c")], 200)) == "Busy"
    table.clear()
    assert table.submit([Query("c")], 200)


def test_replies_that_nobody_collects_are_bounded_in_bytes(
    table: Tickets, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tickets, "MAX_KEPT_BYTES", 1000)
    submit(table, "a", "b", "c")
    counter.finish("a", "x" * 800)
    counter.finish("b", "x" * 800)
    counter.finish("c", "x" * 100)
    outcomes = [outcome for _, outcome in table.wait(None, None)]
    assert [outcome.get("kind") for outcome in outcomes] == [None, "ModelError", None]


def test_one_answer_holds_so_many_bytes_and_the_next_the_rest(
    table: Tickets, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tickets, "MAX_COLLECTED_BYTES", 1000)
    submit(table, "a", "b", "c")
    for prompt in "abc":
        counter.finish(prompt, "x" * 700)
    assert [len(table.wait(None, None)) for _ in range(3)] == [1, 1, 1]


def test_an_outcome_that_could_not_be_told_is_an_error_and_not_lost(table: Tickets, counter: Counter) -> None:
    submit(table, "a")
    counter.done["a"]({"value": object()})
    [(_, outcome)] = table.wait(None, None)
    assert outcome["kind"] == "ModelError"


def test_the_first_outcome_counts(table: Tickets, counter: Counter) -> None:
    submit(table, "a")
    counter.finish("a", "first")
    counter.finish("a", "second")
    assert [outcome for _, outcome in table.wait(None, None)] == [{"text": "first"}]


def test_a_call_over_its_time_is_answered_for_and_cancelled() -> None:
    counter = Counter(seconds=0.05)
    table = Tickets(counter.start)
    submit(table, "a")
    [(_, outcome)] = table.wait(None, None)
    assert (outcome["kind"], outcome["error"]) == (wire.TOOL_ERROR, "TimeoutError")
    assert counter.cancelled == ["a"]


def test_a_service_that_refuses_to_start_gives_an_outcome() -> None:
    def start(_call: Call, _done: Callable[[Outcome], None]) -> StartedCall:
        raise RefusedError(wire.UNAVAILABLE, "no model here")

    table = Tickets(start)
    [number] = submit(table, "a")
    assert table.wait([number], None) == [(number, {"kind": "Unavailable", "message": "no model here"})]


def test_a_service_that_fails_to_start_gives_an_outcome_and_no_hang() -> None:
    def start(_call: Call, _done: Callable[[Outcome], None]) -> StartedCall:
        raise ValueError("secret")

    table = Tickets(start)
    submit(table, "a", "b")
    outcomes = [outcome for _, outcome in table.wait(None, None)]
    assert [outcome["kind"] for outcome in outcomes] == ["ModelError", "ModelError"]
    assert "secret" not in str(outcomes)
