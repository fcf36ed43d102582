"""What the host may say of a sandbox's names: its variables, its tools, and functions in the place of the sandbox's."""

import asyncio
from typing import Any

import pytest

from divebell import ConfigurationError, Sandbox, Tools
from divebell.sandbox.host import CallableHost
from divebell.sandbox.tools import REPLACEABLE_NAMES
from divebell.sandbox.variables import Variable, read_variables
from divebell_bridge.door.bounds import MAX_LISTED_VARIABLES
from tests.support.cells import error_kind


def test_variables_are_listed_with_types_and_lengths() -> None:
    with Sandbox("context") as box:
        assert box.variables() == ()
        box.run("text = 'abc'\nnumbers = [1, 2]\nn = 5\ndef f(): pass\nclass A: pass\na = A()\ns = {1}\njson = 1")
        box["given"] = {"a": 1}
        assert box.variables() == (
            Variable("json", "int", None), Variable("text", "str", 3), Variable("numbers", "list", 2), Variable("n", "int", None),
            Variable("f", "function", None), Variable("A", "type", None), Variable("a", "A", None),
            Variable("s", "set", 1), Variable("given", "dict", 1),
        )  # fmt: skip
        box.run("del text, f, A, a, s, numbers, n, given")
        assert [variable.name for variable in box.variables()] == ["json"]


HOSTILE = """
class Long(list):
    def __len__(self):
        while True: pass
    __class__ = property(lambda self: 1 / 0)
class Meta(type):
    __name__ = property(lambda self: 1 / 0)
    def __getattribute__(self, name): raise SystemExit
class Odd(metaclass=Meta): pass
a, b = Long([1, 2]), Odd()
globals()[5] = 1
globals()['not a name'] = 1
globals()['x' * 1000] = 1
globals()['\\ud800'] = 1
T = type('T' * 1000, (), {})
t = T()
"""


def test_hostile_variables_are_listed_without_asking_them() -> None:
    with Sandbox() as box:
        assert box.run(HOSTILE).ok
        found = {variable.name: variable for variable in box.variables()}
        assert found["a"] == Variable("a", "Long", 2)
        assert found["b"].type == "Odd"
        assert len(found["t"].type) == 200
        assert "x" * 1000 not in found
        assert box.run("SHOW_VARS()").ok
        assert box.run("globals().update({f'v{n}': n for n in range(20_000)})").ok
        assert len(box.variables()) == MAX_LISTED_VARIABLES


@pytest.mark.parametrize(
    "listed",
    [None, 5, "abc", [5], [["a"]], [["a", 5, 1]], [[5, "int", 1]], [["a", "int", 1, 2]], [["x" * 201, "int", None]]],
)
def test_what_a_guest_lists_that_is_none_is_left_out(listed: object) -> None:
    assert read_variables(listed) == ()


@pytest.mark.parametrize("length", [-1, 1 << 41, True, 1.5, "1"])
def test_a_length_that_is_none_is_left_out(length: object) -> None:
    assert read_variables([["a", "str", length]]) == (Variable("a", "str", None),)


@pytest.mark.parametrize("name", ["_lookup", "_x1", "lookup_", "_private_tool"])
def test_a_tools_name_may_begin_with_an_underscore(name: str) -> None:
    with Sandbox(tools={name: lambda key: f"found {key}"}) as box:
        assert box.run(f"{name}('a')").value == "found a"
        assert box.run(f"await {name}('b')").value == "found b"
        assert box.variables() == ()
        box.run(f"{name} = 1")
        assert box.run(f"{name}('c')").value == "found c"


@pytest.mark.parametrize("name", ["_", "__", "__x", "__init__", "__builtins__", "__divebell_call__"])
def test_names_that_mean_something_in_python_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        Tools({name: lambda: None})


def test_tools_can_be_changed_at_any_time() -> None:
    with Sandbox("context", tools={"first": lambda: 1, "both": lambda: "old"}) as box:
        assert box.run("x = first(), both()\nx").value == [1, "old"]
        box.set_tools({"second": lambda: 2, "both": lambda: "new"})
        assert box.run("second(), both(), x").value == [2, "new", [1, "old"]]
        assert error_kind(box.run("first()")) == "NameError"
        assert box.run("import os\nos.abort()").restored
        assert box.run("second(), both()").value == [2, "new"]
        snapshot = box.snapshot()
        with box.fork() as twin:
            twin.set_tools({"third": lambda: 3})
            assert twin.run("third()").value == 3
            assert error_kind(twin.run("second()")) == "NameError"
        assert box.run("second()").value == 2
        with Sandbox.restore(snapshot, "context", tools={"fourth": lambda: 4}) as other:
            assert other.run("fourth(), x").value == [4, [1, "old"]]
            other.set_tools(None)
            assert error_kind(other.run("fourth()")) == "NameError"
            other.set_tools(Tools({"fifth": lambda: 5}))
            assert other.run("fifth()").value == 5
        box.set_tools({})
        assert error_kind(box.run("both()")) == "NameError"


def test_tools_of_a_host_are_set_there() -> None:
    host = CallableHost(None, tools=Tools({"a": lambda: 1}))
    with Sandbox(host=host) as box:
        box.set_tools({"b": lambda: 2})
        assert box.run("b()").value == 2
        box.serve(CallableHost(None, tools=Tools({"c": lambda: 3})))
        assert box.run("c()").value == 3
        assert error_kind(box.run("b()")) == "NameError"


@pytest.mark.parametrize("tools", [{"llm_query": len}, {"FINAL": len}, {"a": 5}, [len]])
def test_tools_that_cannot_be_set_change_nothing(tools: Any) -> None:
    with Sandbox(tools={"a": lambda: 1}) as box:
        with pytest.raises(ConfigurationError):
            box.set_tools(tools)
        assert box.run("a()").value == 1


async def slow(prompts: list[str]) -> list[str]:
    await asyncio.sleep(0)
    return [f"mine {prompt}" for prompt in prompts]


def test_the_host_may_answer_the_sandboxs_own_names() -> None:
    with Sandbox(llm=lambda prompt: f"llm {prompt}", replace={"llm_query_batched": slow}) as box:
        for name in (
            "llm_query_batched",
            "llm_batch",
            "batch_llm_query",
            "await llm_batch",
            "await allm_query_batched",
        ):
            assert box.run(f"{name}(['a', 'b'])").value == ["mine a", "mine b"]
        assert box.run("llm_query('a'), await allm_query('b')").value == ["llm a", "llm b"]
        assert "mine" in str(box.run("import asyncio\n(await asyncio.gather(llm_query_batched(['a'])))[0]").value)
        box.run("llm_query_batched = None")
        assert box.run("llm_query_batched(['c'])").value == ["mine c"]
        box.set_tools({}, replace={"llm_query": lambda prompt, model=None: f"other {prompt}"})
        assert box.run("llm_query('a'), await allm_query('a'), llm_query_batched(['a'])").value == [
            "other a", "other a", ["llm a"],
        ]  # fmt: skip
        box.set_tools({})
        assert box.run("llm_query('a'), await allm_query('a'), llm_batch(['a'])").value == ["llm a", "llm a", ["llm a"]]


@pytest.mark.parametrize("name", REPLACEABLE_NAMES)
def test_each_replaceable_name_is_told_of_in_the_refusal_and_works(name: str) -> None:
    with pytest.raises(ConfigurationError, match="replace"):
        Tools({name: lambda: None})
    with Sandbox(replace={name: lambda *given: f"{name} {len(given)}"}) as box:
        assert box.run(f"{name}(1, 2)").value == f"{name} 2"
        assert box.run(f"await {name}(1)").value == f"{name} 1"
        assert box.run("SHOW_VARS()").stdout == "no variables yet\n"
        with box.fork() as twin:
            assert twin.run(f"{name}()").value == f"{name} 0"


@pytest.mark.parametrize("name", ["FINAL", "SUBMIT", "context", "answer", "print", "lookup", 5])
def test_nothing_else_can_be_replaced(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot be replaced"):
        Sandbox(replace={name: lambda: None})


def test_a_replacement_may_be_given_with_tools_and_not_twice() -> None:
    tools = Tools({"a": lambda: 1}, replace={"budget": lambda: {"dollars": 0.5}})
    with Sandbox(tools=tools) as box:
        assert box.run("a(), budget()").value == [1, {"dollars": 0.5}]
    with pytest.raises(ConfigurationError, match="to the Tools themselves"):
        Sandbox(tools=tools, replace={"llm_query": len})
