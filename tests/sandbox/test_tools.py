"""Tools on the host's side: what may be a tool, how arguments are checked, what crosses back."""

import asyncio
import enum
from typing import Any, Literal

import pydantic
import pytest

from divebell.errors import ConfigurationError
from divebell.sandbox.tools import MAX_TOOLS, RESERVED_NAMES, Tools
from divebell_bridge.door.requests import ToolCall
from tests.support.names import name_value


def call(function: Any, *arguments: object, **keywords: object) -> dict[str, object]:
    return Tools({"tool": function}).call(ToolCall("tool", arguments, keywords))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        "1a",
        "a.b",
        "class",
        "_",
        "__",
        "__private",
        "__import__",
        "x" * 101,
        5,
        "len",
        "eval",
        *sorted(RESERVED_NAMES),
    ],
)
def test_a_name_that_a_cell_could_not_use_or_has_already_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError):
        Tools({name: lambda: None})


@pytest.mark.parametrize(
    "tools", [[len], "len", 5, {"a": 5}, {"a": None}, {f"t{n}": str for n in range(MAX_TOOLS + 1)}]
)
def test_what_is_no_set_of_tools_is_refused(tools: Any) -> None:
    with pytest.raises(ConfigurationError):
        Tools(tools)


def test_a_tool_is_described_by_its_signature_and_its_documentation() -> None:
    def lookup(key: str, n: int = 1, *, deep: bool = False, where: Any = print) -> list[str]:
        """Look a key up.

        More of it.
        """
        return [key]

    [description] = Tools({"find": lookup}).descriptions
    assert description["name"] == "find"
    assert (
        description["signature"] == "(key: str, n: int = 1, *, deep: bool = False, where: Any = Ellipsis) -> list[str]"
    )
    assert description["documentation"] == "Look a key up.\n\nMore of it."


def test_a_long_documentation_is_cut() -> None:
    def tool() -> None: ...

    tool.__doc__ = "x" * 100_000
    assert len(str(Tools({"tool": tool}).descriptions[0]["documentation"])) == 8_000


class Colour(enum.Enum):
    RED = "red"


class Person(pydantic.BaseModel):
    name: str
    age: int


FITS: list[tuple[Any, Any, Any]] = [
    (int, 5, 5), (float, 5, 5), (float, 1.5, 1.5), (str, "a", "a"), (bool, True, True), (bytes, b"a", b"a"),
    (list, [1, "a"], [1, "a"]), (dict, {"a": 1}, {"a": 1}), (list[int], [1, 2], [1, 2]), (dict[str, int], {"a": 1}, {"a": 1}),
    (int | None, None, None), (int | str, "a", "a"), (Literal["a", "b"], "b", "b"), (tuple[int, str], [1, "a"], (1, "a")),
    (Any, [None], [None]), (object, {"a": 1}, {"a": 1}), (Colour, "red", Colour.RED),
    (Person, {"name": "a", "age": 5}, Person(name="a", age=5)), ("NoSuchName", 5, 5),
]  # fmt: skip
MISFITS: list[tuple[Any, Any]] = [
    (int, "5"), (int, 5.0), (int, True), (int, None), (float, "1.5"), (str, 5), (str, b"a"), (str, None), (bool, 1), (bool, "true"),
    (bytes, "a"), (list, {"a": 1}), (list, "abc"), (dict, [["a", 1]]), (list[int], [1, "2"]), (dict[str, int], {"a": "1"}),
    (int | None, "5"), (int | str, 1.5), (Literal["a", "b"], "c"), (tuple[int, str], [1]), (Colour, "blue"),
    (Person, {"name": "a"}), (Person, {"name": "a", "age": "5"}), (Person, "a"),
]  # fmt: skip


def annotated(annotation: Any) -> tuple[Any, list[Any]]:
    seen: list[Any] = []

    def tool(value):  # type: ignore[no-untyped-def]
        seen.append(value)

    tool.__annotations__ = {"value": annotation}
    return tool, seen


@pytest.mark.parametrize(("annotation", "given", "expected"), FITS, ids=name_value)
def test_an_argument_that_fits_its_annotation_reaches_the_function(annotation: Any, given: Any, expected: Any) -> None:
    tool, seen = annotated(annotation)
    assert call(tool, given) == {"value": None}
    assert call(tool, value=given) == {"value": None}
    assert seen == [expected, expected]


@pytest.mark.parametrize(("annotation", "given"), MISFITS, ids=name_value)
def test_an_argument_that_does_not_fit_never_reaches_the_function(annotation: Any, given: Any) -> None:
    tool, seen = annotated(annotation)
    outcome = call(tool, given)
    assert (outcome["kind"], outcome["error"]) == ("ToolError", "TypeError")
    assert "value" in str(outcome["message"])
    assert seen == []


def test_arguments_that_do_not_bind_never_reach_the_function() -> None:
    seen: list[Any] = []

    def tool(a: int, /, b: int, *rest: int, c: int = 1, **more: str) -> int:
        seen.append((a, b, rest, c, more))
        return len(rest)

    assert call(tool, 1, 2, 3, 4, c=5, d="x") == {"value": 2}
    assert seen == [(1, 2, (3, 4), 5, {"d": "x"})]
    for arguments, keywords in (((), {}), ((1,), {}), ((1, 2), {"a": 3}), ((1, 2, "3"), {}), ((1, 2), {"d": 5})):
        assert call(tool, *arguments, **keywords)["kind"] == "ToolError"
    assert len(seen) == 1


@pytest.mark.parametrize(
    "result",
    [object(), {1, 2}, [print], lambda: 1, {"a": Person(name="a", age=1)}, "x" * (17 << 20)],
    ids=name_value,
)
def test_a_result_that_is_not_plain_or_too_large_is_an_error_and_never_crosses(result: object) -> None:
    outcome = call(lambda: result)
    assert outcome["kind"] == "ToolError"
    assert "value" not in outcome


class Secret(Exception):
    token = "host object"

    def __str__(self) -> str:
        return "what may be told"


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Mute(Exception):
    """One that would end the thread that calls the tool, and with it one of the few that there are."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        (Secret(), "Secret", "what may be told"), (KeyError("k"), "KeyError", "'k'"), (Speechless(), "Speechless", ""), (Mute(), "Mute", ""),
        (SystemExit(3), "SystemExit", "3"), (KeyboardInterrupt(), "KeyboardInterrupt", ""), (ValueError("x" * 10_000), "ValueError", "x" * 2000),
    ],
)  # fmt: skip
def test_an_exception_crosses_by_name_and_message(raised: BaseException, error: str, message: str) -> None:
    def tool() -> None:
        raise raised

    assert call(tool) == {"kind": "ToolError", "error": error, "message": message}


def test_an_async_tool_is_awaited_and_its_cancellation_is_nobodys_result() -> None:
    async def tool(n: int) -> int:
        await asyncio.sleep(0 if n < 5 else 100)
        return n + 1

    tools = Tools({"tool": tool})
    assert tools.is_async(ToolCall("tool"))
    assert asyncio.run(tools.acall(ToolCall("tool", (1,)))) == {"value": 2}
    assert asyncio.run(tools.acall(ToolCall("tool", ("1",))))["kind"] == "ToolError"

    async def cancelled() -> None:
        task = asyncio.ensure_future(tools.acall(ToolCall("tool", (5,))))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())


def test_a_tool_that_is_not_there_is_said_to_be_so_with_those_that_are() -> None:
    outcome = Tools({"one": len, "two": sorted}).call(ToolCall("three"))
    assert outcome["kind"] == "Unavailable"
    assert "one, two" in str(outcome["message"])
