"""Sandbox: the application's own llm function behind the door."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from divebell import (
    Limits,
    Sandbox,
)
from tests.support.cells import error_kind


def test_llm_query_reaches_the_function() -> None:
    with Sandbox(llm=lambda prompt: f"<{prompt}>") as box:
        assert box.run("llm_query('hello')").value == "<hello>"
        assert box.run("llm_query(prompt='a\\ud800\\0é')").value == "<a\ud800\0é>"


def test_the_function_may_take_the_models_name() -> None:
    def llm(prompt: str, model: str | None) -> str:
        return f"{prompt} by {model}"

    with Sandbox(llm=llm) as box:
        assert box.run("llm_query('a'), llm_query('a', model='big'), llm_query('a', 'small')").value == [
            "a by None", "a by big", "a by small",
        ]  # fmt: skip


def test_an_optional_parameter_that_is_not_called_model_is_left_alone() -> None:
    def llm(prompt: str, temperature: float = 0.5) -> str:
        return f"{prompt} {temperature}"

    with Sandbox(llm=llm) as box:
        assert box.run("llm_query('a')").value == "a 0.5"


def test_the_function_may_be_async_and_batches_run_at_once() -> None:
    running, most = 0, 0

    async def llm(prompt: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        return prompt.upper()

    with Sandbox(llm=llm) as box:
        assert box.run("llm_query('a')").value == "A"
        assert box.run("llm_query_batched([c for c in 'abcdefgh'])").value == list("ABCDEFGH")
    assert most > 1


def test_an_async_function_works_inside_a_running_event_loop() -> None:
    async def llm(prompt: str) -> str:
        return prompt.upper()

    async def main() -> object:
        with Sandbox(llm=llm) as box:
            return box.run("llm_query('a'), llm_query_batched(['b', 'c'])").value

    assert asyncio.run(main()) == ["A", ["B", "C"]]


def test_a_callable_object_with_an_async_call_works() -> None:
    class Llm:
        async def __call__(self, prompt: str) -> str:
            return prompt.upper()

    with Sandbox(llm=Llm()) as box:
        assert box.run("llm_query('a')").value == "A"


def test_batches_run_at_once_and_keep_their_order() -> None:
    barrier = threading.Barrier(4, timeout=300)

    def llm(prompt: str) -> str:
        barrier.wait()
        time.sleep(0.01 * (4 - int(prompt)))
        return f"answer {prompt}"

    with Sandbox(llm=llm) as box:
        for name in ("llm_query_batched", "llm_batch", "batch_llm_query"):
            assert box.run(f"{name}(['0', '1', '2', '3'])").value == [f"answer {n}" for n in range(4)]
        assert box.run("llm_query_batched([])").value == []


def test_one_failure_does_not_lose_the_batch() -> None:
    def llm(prompt: str) -> str:
        if prompt == "bad":
            raise ValueError("no such luck")
        return prompt.upper()

    with Sandbox(llm=llm) as box:
        cell = box.run(
            "r = llm_query_batched(['a', 'bad', 'c'])\nr[0], r[2], type(r[1]).__name__, r[1].kind, 'no such luck' in r[1]"
        )
        assert cell.value == ["A", "C", "FailedCall", "ModelError", True]
        assert error_kind(box.run("llm_query_batched(['bad', 'bad'])")) == "ModelError"
        cell = box.run("llm_query('bad')")
        assert cell.error is not None
        assert (cell.error.kind, cell.error.message) == ("ModelError", "ValueError: no such luck")
        assert box.run("try: llm_query('bad')\nexcept ModelError as e: print('caught')").stdout == "caught\n"


@pytest.mark.parametrize("reply", [None, 5, b"bytes", ["list"], object()])
def test_a_reply_that_is_no_str_is_an_error_in_the_cell(reply: Any) -> None:
    with Sandbox(llm=lambda prompt: reply) as box:
        assert error_kind(box.run("llm_query('a')")) == "ModelError"


def test_without_a_function_llm_query_says_how_to_give_one(box: Sandbox) -> None:
    cell = box.run("llm_query('a')")
    assert cell.error is not None
    assert cell.error.kind == "Unavailable"
    assert "Sandbox(llm=" in cell.error.message


@pytest.mark.parametrize(
    "call", ["llm_query(5)", "llm_query(['a'])", "llm_query_batched('a')", "llm_query_batched([1])", "llm_query()"]
)
def test_wrong_arguments_are_type_errors_in_the_cell(call: str) -> None:
    with Sandbox(llm=lambda prompt: prompt) as box:
        assert error_kind(box.run(call)) == "TypeError"


@pytest.mark.slow
def test_waiting_at_the_door_does_not_count_as_computing(short_limits: Limits) -> None:
    def llm(prompt: str) -> str:
        time.sleep(1.2)
        return prompt

    with Sandbox(llm=llm, limits=short_limits) as box:
        assert box.run("llm_query('a')").value == "a"


@pytest.mark.parametrize("raised", [KeyboardInterrupt, asyncio.CancelledError, SystemExit])
def test_an_interruption_of_the_function_passes_on_to_the_caller(raised: type[BaseException]) -> None:
    def llm(prompt: str) -> str:
        if prompt == "stop":
            raise raised
        return prompt

    with Sandbox(llm=llm) as box:
        box.run("x = 1")
        with pytest.raises(raised):
            box.run("llm_query('stop')")
        assert box.run("llm_query('a'), x").value == ["a", 1]


def test_a_sandbox_inside_the_function_of_another() -> None:
    def llm(prompt: str) -> str:
        with Sandbox(prompt, llm=lambda inner: inner[::-1]) as nested:
            return str(nested.run("llm_query(context) + str(len(context))").value)

    with Sandbox(llm=llm) as box:
        assert box.run("llm_query('abc')").value == "cba3"
        assert box.run("llm_query_batched(['abc', 'de'])").value == ["cba3", "ed2"]


def test_sandboxes_nest_several_levels_deep() -> None:
    def llm(prompt: str) -> str:
        if len(prompt) >= 6:
            return prompt
        with Sandbox(prompt, llm=llm) as nested:
            return str(nested.run("llm_query(context + 'x')").value)

    with Sandbox(llm=llm) as box:
        assert box.run("llm_query('')").value == "xxxxxx"


@pytest.mark.slow
def test_a_crash_of_the_inner_sandbox_leaves_the_outer_one_alone(short_limits: Limits) -> None:
    def llm(prompt: str) -> str:
        with Sandbox(limits=short_limits) as nested:
            cell = nested.run(prompt)
            return cell.error.kind if cell.error else "fine"

    with Sandbox(llm=llm) as box:
        for code, kind in (
            ("import os; os.abort()", "Crash"),
            ("sum(iter(int, 1))", "Killed"),
            ("[" * 9000, "MemoryError|SyntaxError|StackOverflow|RecursionError"),
        ):
            assert box.run(f"llm_query({code!r})").value in kind.split("|")
        assert box.run("1").value == 1


USE_INSIDE = {
    "run": "box.run('y = 1').value",
    "get": "box['x']",
    "set": "box.__setitem__('x', 5)",
    "snapshot": "box.snapshot().bytes",
    "fork": "box.fork()",
    "close": "box.close()",
}


@pytest.mark.slow
@pytest.mark.parametrize("how", USE_INSIDE)
def test_using_a_sandbox_inside_its_own_function_is_refused_or_works_and_never_crashes(
    alone: Callable[..., str], how: str
) -> None:
    script = f"""
from divebell import DivebellError, Sandbox
said = []
def llm(prompt):
    try:
        {USE_INSIDE[how]}
    except DivebellError as error:
        said.append(type(error).__name__)
    return "reply"
box = Sandbox("some text", llm=llm)
box.run("x = 1")
cell = box.run("x = 2\\nr = llm_query('a')\\nprint(r)")
try:
    box.run("import os; os.abort()")
    print(box.run("x in (2, 5), context, 'fine'").value)
except DivebellError:
    print("closed")
"""
    assert alone(script).strip() in ("[True, 'some text', 'fine']", "closed")


@pytest.mark.slow
def test_using_a_sandbox_inside_its_own_batch_does_not_hang(alone: Callable[..., str]) -> None:
    script = """
from divebell import DivebellError, Sandbox
def llm(prompt):
    try:
        return str(box["x"])
    except DivebellError as error:
        return type(error).__name__
box = Sandbox(llm=llm)
box.run("x = 1")
print(len(box.run("llm_query_batched(['a', 'b'])").value))
"""
    assert alone(script, seconds=15).strip() == "2"
