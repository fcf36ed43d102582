"""The options of RLM: one list, the same names wherever an RLM is made or asked, each checked as it is given."""

import asyncio
import inspect
import re
from collections import UserDict, UserList, UserString, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Any, get_type_hints

import pytest

from divebell import (
    RLM,
    ConfigurationError,
    Context,
    ContextError,
    Engine,
    Event,
    Level,
    Limits,
    Sandbox,
    Tools,
)
from divebell.options import RENAMED, Options, use_current_names
from divebell.session import Session
from divebell.wiring import RLMOptions, Wiring
from tests.support.names import name_value
from tests.support.scripts import answering, block


def test_type_checkers_and_the_program_have_the_same_list() -> None:
    checked, at_run_time = get_type_hints(RLMOptions), get_type_hints(Options) | get_type_hints(Wiring)
    assert checked == at_run_time
    assert RLMOptions.__required_keys__ == frozenset()
    for option in (*fields(Options), *fields(Wiring)):
        assert inspect.signature(RLM).parameters[option.name].default == option.default
        assert re.search(rf"\b{option.name}[:,]", RLM.__doc__ or ""), option.name


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("max_iteration", "RLM has no option 'max_iteration': did you mean 'max_iterations'?"),
        ("budgets", "did you mean 'budget'?"),
        ("submodel", "did you mean 'sub_model'?"),
        ("xyzzy", r"RLM has no option 'xyzzy'; help\(divebell.RLM\) lists them"),
    ],
)
def test_an_option_that_does_not_exist_is_refused_with_the_one_that_was_meant(name: str, sentence: str) -> None:
    engine = Engine(models={"root": answering()})
    wrong: dict[str, Any] = {name: 1}
    makers: list[Callable[..., object]] = [
        lambda **options: RLM(answering(), **options), engine.rlm, engine.tenant("acme").rlm,
    ]  # fmt: skip
    for make in makers:
        with pytest.raises(TypeError, match=sentence):
            make(**wrong)


@pytest.mark.parametrize(("name", "now"), RENAMED.items())
def test_a_former_name_is_refused_with_the_present_one(name: str, now: str) -> None:
    engine = Engine(models={"root": answering()})
    makers: list[Callable[..., object]] = [
        lambda **options: RLM(answering(), **options), engine.rlm, engine.tenant("acme").rlm,
    ]  # fmt: skip
    sentence = "the option small=True is now prompt='small'" if name == "small" else f"{name!r} is now called {now!r}"
    for make in makers:
        with pytest.raises(TypeError, match=sentence):
            make(**{name: 1})
        make(**{now: getattr(Options(), now)})


def test_former_names_elsewhere_are_refused_too() -> None:
    wrong: dict[str, Any] = {"concurrency": 2}
    for make in (Engine, lambda **options: Engine().tenant("acme", **options)):
        with pytest.raises(TypeError, match="'concurrency' is now called 'max_concurrent_calls'"):
            make(**wrong)
    small: dict[str, Any] = {"model": "m", "small": True}
    with pytest.raises(TypeError, match="small=True is now prompt='small'"):
        Level(**small)
    assert set(inspect.signature(Level).parameters) == {field.name for field in fields(Level)}
    with pytest.raises(AttributeError, match=r"Result\.trace is now called Result\.turns"):
        _ = RLM(answering()).run("c", "q").trace  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "now"), [("epochs", "Engine.runtime.epochs"), ("image", "Engine.warm"), ("watchdog", "Engine.runtime")]
)
def test_an_engines_former_attribute_names_what_is_there_now(name: str, now: str) -> None:
    with Engine() as engine:
        with pytest.raises(AttributeError, match=rf"^Engine\.{name}.* {re.escape(now)}"):
            getattr(engine, name)
        assert not hasattr(engine, "nonsense")


def test_a_sandbox_has_the_limits_of_its_engine() -> None:
    """An engine's limit that a sandbox made in it did not have would be no limit."""
    with Engine(limits=Limits(cell_seconds=2, output_characters=20)) as engine:
        with Sandbox(engine=engine) as box, box.fork() as twin:
            assert box.limits == twin.limits == engine.limits
            assert box.run("print('x' * 100)").truncated
        with Sandbox(engine=engine, limits=Limits(output_characters=200)) as box:
            assert not box.run("print('x' * 100)").truncated


@pytest.mark.parametrize(
    ("recorded", "now"),
    [
        ("no answer after 3 turns: max_repairs allows more", "no answer after 3 turns: max_answer_retries allows more"),
        (
            "too long; set window_tokens= (--window-tokens)",
            "too long; set context_window_tokens= (--context-window-tokens)",
        ),
        (
            "set context_window_tokens= (--context-window-tokens)",
            "set context_window_tokens= (--context-window-tokens)",
        ),
        ("the preview was small", "the preview was small"),
    ],
)
def test_the_errors_of_earlier_journals_are_read_with_the_present_names(recorded: str, now: str) -> None:
    assert use_current_names(recorded) == now


def test_a_header_has_the_names_of_the_past_and_gives_the_same_options_back() -> None:
    options = Options(seed=7, tool_seconds=5.0, max_answer_retries=9, show_preview=False, instructions="Be short.")
    header = options.to_header()
    assert (header["max_repairs"], header["preview"], header["window_tokens"]) == (9, False, 128_000)
    assert Options.from_header(header) == options
    for name in header:
        with pytest.raises(ConfigurationError, match=f"^{name}$"):
            Options.from_header({**header, name: {}})


def test_an_option_that_an_engine_does_not_have_is_refused() -> None:
    wrong: dict[str, Any] = {"modles": {}}
    with pytest.raises(TypeError, match="Engine: there is no option 'modles'"):
        Engine(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tool_seconds": 0}, {"tool_seconds": True}, {"tool_seconds": "5"}, {"tool_seconds": float("nan")},
        {"tool_seconds": 86_401}, {"on_event": "print"}, {"limits": {"memory_bytes": 1}}, {"max_iterations": 0},
        {"max_concurrent_calls": 2.0}, {"prompt": "tiny"}, {"show_preview": 1}, {"memo": "always"}, {"on_exhausted": "ask"}, {"metadata": ["a"]}, {"metadata": {"a": 1}},
        {"metadata": {"": "x"}}, {"metadata": {"a": "x" * 513}}, {"metadata": {"n" * 65: "x"}}, {"metadata": {1: "x"}},
        {"metadata": {str(i): "x" for i in range(17)}},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused_by_its_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RLM(answering(), **wrong)


async def listen(event: Event) -> None:
    """Nobody would await it."""


class Listener:
    async def __call__(self, event: Event) -> None:
        """Neither this."""


@pytest.mark.parametrize(
    ("listener", "sentence"), [(3, "a function of an Event"), (listen, "plain"), (Listener(), "plain")]
)
def test_a_listener_that_could_not_hear_is_refused_wherever_it_is_given(listener: Any, sentence: str) -> None:
    with RLM(answering()).session("c") as session:
        asks: list[Callable[..., object]] = [
            lambda on_event: RLM(answering(), on_event=on_event),
            lambda on_event: RLM(answering()).run("c", "q", on_event=on_event),
            lambda on_event: session.ask("q", on_event=on_event),
            lambda on_event: asyncio.run(anext(RLM(answering()).stream("c", "q", on_event=on_event))),
        ]
        for ask in asks:
            with pytest.raises(ConfigurationError, match=f"on_event must be a {sentence}|on_event must be {sentence}"):
                ask(on_event=listener)


def test_an_engine_and_a_tenant_keep_to_themselves() -> None:
    engine, other = Engine(models={"root": answering()}), Engine()
    with pytest.raises(ConfigurationError, match="leave out engine="):
        engine.rlm(engine=other)
    with pytest.raises(ConfigurationError, match="leave out tenant="):
        engine.tenant("acme").rlm(tenant=engine.tenant("other"))
    assert engine.rlm(engine=engine).completion("c", "q") == "yes"


def parameters(function: Callable[..., object], *without: str) -> dict[str, tuple[object, object]]:
    found = inspect.signature(function).parameters.values()
    return {one.name: (one.kind, one.default) for one in found if one.name not in without}


def test_what_is_no_question_is_refused_for_what_it_is() -> None:
    with pytest.raises(ConfigurationError, match=r"^the query must be a text, not int$"):
        RLM(answering()).run("c", 3)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"^the query is empty"):
        RLM(answering()).run("c", " ")


def test_a_question_is_asked_in_the_same_way_everywhere() -> None:
    assert parameters(RLM.run) == parameters(RLM.arun) == parameters(RLM.stream)
    assert parameters(Session.ask) == parameters(Session.aask) == parameters(Session.stream)
    assert parameters(RLM.run, "context", "journal", "resume") == parameters(Session.ask)
    for function in (RLM.run, Session.ask, Engine.rlm):
        assert all(one.annotation is not Any for one in inspect.signature(function).parameters.values())


SLOW_TOOL = block(
    "try:\n    print(slow())\nexcept ToolError as error:\n    FINAL(str(error))\nelse:\n    FINAL('done')"
)


@pytest.mark.parametrize(
    ("options", "is_ended"),
    [
        ({"limits": Limits(tool_seconds=0.05)}, True),
        ({"tool_seconds": 0.05}, True),
        ({"limits": Limits(tool_seconds=0.05), "tool_seconds": 60.0}, False),  # what was said to RLM itself holds
        ({}, False),
    ],
    ids=str,
)
def test_the_time_of_a_tool_is_that_of_the_limits_unless_it_is_given_by_itself(
    options: dict[str, Any], is_ended: bool
) -> None:
    import threading

    released = threading.Event()

    def slow() -> str:
        """Does not come back within the limit, and at once where there is time enough."""
        if is_ended:
            released.wait(60)
        return "back"

    try:
        answer = RLM(answering(SLOW_TOOL), tools={"slow": slow}, **options).completion("c", "q")
    finally:
        released.set()
    assert ("did not end within 0.05 s" in answer) if is_ended else answer == "done"


def test_the_time_of_a_tool_may_come_from_the_engine() -> None:
    engine = Engine(limits=Limits(tool_seconds=0.05))
    rlm = RLM(answering(), engine=engine)
    assert rlm._parts.setup.tool_seconds == 0.05


def test_tools_may_be_made_before() -> None:
    def lookup(name: str) -> str:
        """Look it up."""
        return name.upper()

    tools = Tools({"lookup": lookup})
    assert RLM(answering(block("FINAL(lookup('a'))")), tools=tools).completion("c", "q") == "A"


class Pages(Sequence[str]):
    """A sequence of an application's own."""

    def __init__(self, *pages: str) -> None:
        self._pages = pages

    def __len__(self) -> int:
        return len(self._pages)

    def __getitem__(self, index: Any) -> Any:
        return self._pages[index]


class Shelf(Mapping[str, str]):
    """A mapping of an application's own."""

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[str]:
        return iter(["a", "b"])

    def __getitem__(self, name: str) -> str:
        return {"a": "x" * 500, "b": "漢" * 500}[name]


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (deque(["a", "b"]), ["a", "b"]),
        (MappingProxyType({"a": "1"}), {"a": "1"}),
        (UserDict({"a": ["b" * 300]}), {"a": ["b" * 300]}),
        (UserList(["a"]), ["a"]),
        (UserString("text"), "text"),
        (Pages("one " * 200, "two"), ["one " * 200, "two"]),
        (Shelf(), {"a": "x" * 500, "b": "漢" * 500}),
        (range(4), [0, 1, 2, 3]),
        ([Shelf(), {"deep": deque([UserString("u" * 300), 2])}], [dict(Shelf()), {"deep": ["u" * 300, 2]}]),
        (("a", ("b",)), ["a", ["b"]]),
        ("notes.txt", "notes.txt"),
        (bytearray(b"ab"), b"ab"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_sequence_or_mapping_is_a_context(given: Any, seen: object) -> None:
    with Sandbox(given) as box:
        assert box["context"] == seen


class Endless(Sequence[object]):
    """Holds itself."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: Any) -> Any:
        if index:
            raise IndexError
        return self


@pytest.mark.parametrize("given", [Endless(), range(10**12), [Endless()], {"a": range(10**9)}], ids=name_value)
def test_one_without_an_end_is_refused(given: Any) -> None:
    with pytest.raises(ContextError, match=r"nested more than 64 deep|over the limit of 1,000,000"):
        Context.of(given)


@pytest.mark.parametrize("given", [{1, 2}, iter("ab"), 3, 2.5, object(), (x for x in "ab")], ids=name_value)
def test_what_has_no_order_or_no_items_is_refused(given: Any) -> None:
    with pytest.raises(ContextError, match="a context is a str, bytes, list, dict, Path or Context"):
        Context.of(given)
