"""The door: every request gets an answer, every field is checked first, and nothing that a guest sends raises here."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divebell_bridge.door import wire
from divebell_bridge.door.bounds import (
    MAX_ANSWER_BYTES,
    MAX_BATCH_PROMPTS,
    MAX_IMAGE_BYTES,
    MAX_MODEL_NAME_CHARACTERS,
    MAX_OPEN_CALLS,
    MAX_PROMPT_IMAGES,
    MAX_SCHEMA_CHARACTERS,
    MAX_SCHEMA_NESTING,
)
from divebell_bridge.door.door import Door
from divebell_bridge.door.reading import MAX_ARGUMENTS_OF_A_KIND, RefusedError
from divebell_bridge.door.requests import (
    Call,
    ChildQuery,
    ContextItem,
    ContextReference,
    Image,
    Outcome,
    Query,
    ToolCall,
)  # fmt: skip
from divebell_bridge.door.tickets import StartedCall
from tests.support.names import name_value

ERRORS: list[BaseException] = [
    ValueError("secret"), RuntimeError(), MemoryError(), RecursionError(), OSError(5, "secret"), UnicodeError(), AssertionError(),
    StopIteration(), KeyError("secret"), RefusedError("BudgetExceeded", "no more"), wire.WireError("secret"),
]  # fmt: skip
INTERRUPTIONS: list[BaseException] = [KeyboardInterrupt(), SystemExit(), GeneratorExit()]


class FakeHost:
    """A host, and a clock, that remember what reached them, and answer or raise as told."""

    def __init__(self, result: object = None) -> None:
        self.result = result
        self.seen: list[tuple[Any, ...]] = []

    def _did(self, *call: Any) -> Any:
        self.seen.append(call)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result

    takes_references = True

    def query(self, queries: list[Query]) -> Any:
        return self._did("query", queries)

    def child(self, children: list[ChildQuery]) -> Any:
        return self._did("child", children)

    def start(self, call: Call, done: Callable[[Outcome], None]) -> StartedCall:
        done(self._did("start", call))
        return StartedCall(lambda: None)

    def check_answer(self, value: object) -> Any:
        return self._did("check_answer", value)

    def budget(self) -> Any:
        return self._did("budget")

    def read(self) -> Any:
        return self._did("clock")

    def sleep(self, nanoseconds: int) -> Any:
        return self._did("sleep", nanoseconds)

    def pass_time(self, seconds: float) -> None:
        self._did("pass_time", seconds)


def door_of(host: FakeHost) -> Door:
    return Door(host, host)


def ask(host: FakeHost, **request: Any) -> dict[str, Any]:
    answer = wire.decode(door_of(host).answer(wire.encode({"v": wire.VERSION, **request})))
    assert isinstance(answer, dict)
    assert answer["v"] == wire.VERSION
    assert ("ok" in answer) != ("error" in answer)
    return answer


def kind(answer: dict[str, Any]) -> str:
    return str(answer["error"]["kind"])


@given(st.binary(max_size=300))
@settings(max_examples=500)
def test_any_bytes_are_answered(packed: bytes) -> None:
    host = FakeHost(ValueError())
    answer = wire.decode(door_of(host).answer(packed))
    assert isinstance(answer, dict)
    assert "error" in answer


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
NAMES = [
    "query", "child", "tool", "submit", "cancel", "check_answer", "budget", "clock", "sleep", "run", "get", "set",
    "__init__", "",
]  # fmt: skip
FIELDS = [
    "prompts", "contexts", "model", "schema", "images", "references", "name", "arguments", "keyword_arguments", "call",
    "tickets", "value", "nanoseconds", "context", "v", "op", "x",
]  # fmt: skip


@pytest.mark.slow
@given(
    st.sampled_from(NAMES) | values,
    st.dictionaries(st.sampled_from(FIELDS), values | st.just("query") | st.lists(st.text(), max_size=2), max_size=7),
    st.sampled_from([*ERRORS, *INTERRUPTIONS, None, object(), [object()], 5]),
)
@settings(max_examples=800)
def test_any_request_is_answered_whatever_the_host_does(op: object, fields: dict[str, object], result: object) -> None:
    host = FakeHost(result)
    answer = wire.decode(door_of(host).answer(wire.encode({"v": 1, "op": op, **fields})))
    assert isinstance(answer, dict)
    assert ("ok" in answer) != ("error" in answer)
    for call in host.seen:
        for made in call[1] if call[0] in ("query", "child") else call[1:] if call[0] == "start" else ():
            if isinstance(made, ToolCall):
                assert made.name.isidentifier()
                continue
            assert type(made.prompt) is str
            assert made.model is None or (type(made.model) is str and len(made.model) <= MAX_MODEL_NAME_CHARACTERS)
            if isinstance(made, Query):
                assert made.schema is None or type(made.schema) is dict
                assert all(type(image.data) is bytes for image in made.images)
        if call[0] == "sleep":
            assert type(call[1]) is int
            assert call[1] >= 0


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("op", ["query", "child", "budget", "clock", "sleep"])
def test_an_error_of_the_host_is_told_without_its_details(error: BaseException, op: str) -> None:
    answer = ask(FakeHost(error), op=op, prompts=["x"], contexts=[None], nanoseconds=1)
    assert type(answer["error"]["kind"]) is str
    if not isinstance(error, wire.WireError):
        assert "secret" not in str(answer)


@pytest.mark.parametrize("interruption", INTERRUPTIONS, ids=lambda error: type(error).__name__)
def test_an_interruption_is_kept_for_the_sandbox_and_answered_as_such(interruption: BaseException) -> None:
    door = door_of(FakeHost(interruption))
    answer: Any = wire.decode(door.answer(wire.encode({"v": 1, "op": "budget"})))
    assert answer["error"]["kind"] == wire.UNAVAILABLE
    assert door.interrupted is interruption


def test_a_refusal_keeps_its_kind_and_message() -> None:
    answer = ask(FakeHost(RefusedError(wire.BUDGET_EXCEEDED, "no more dollars")), op="query", prompts=["x"])
    assert answer["error"] == {"kind": "BudgetExceeded", "message": "no more dollars"}


@pytest.mark.parametrize("result", [object(), [object()], {"text": {1, 2}}, [{"text": lambda: 0}]], ids=name_value)
def test_an_answer_that_is_not_plain_is_an_error_value(result: object) -> None:
    assert "error" in ask(FakeHost(result), op="query", prompts=["x"])


@pytest.mark.parametrize("version", [0, 2, -1, "1", None, [1], 1.5, b"1"])
def test_another_version_is_refused(version: object) -> None:
    host = FakeHost()
    assert kind(wire.decode(door_of(host).answer(wire.encode({"v": version, "op": "budget"})))) == "BadRequest"  # type: ignore[arg-type]
    assert host.seen == []


@pytest.mark.parametrize(
    "op", ["", "QUERY", "run", "get", "__class__", "query ", None, 1, ["query"], {"query": 1}, b"query", "x" * 10_000]
)
def test_an_operation_that_is_not_in_the_table_is_refused(op: object) -> None:
    host = FakeHost()
    answer = ask(host, op=op)
    assert kind(answer) == "BadRequest"
    assert len(answer["error"]["message"]) < 500
    assert host.seen == []


@pytest.mark.parametrize("message", [[], "x", 5, None, {}, {"op": "budget"}, {1: 2}], ids=name_value)
def test_what_is_not_a_request_is_refused(message: object) -> None:
    assert kind(wire.decode(door_of(FakeHost()).answer(wire.encode(message)))) == "BadRequest"  # type: ignore[arg-type]


@pytest.mark.parametrize("op", ["query", "child"])
@pytest.mark.parametrize(
    "prompts",
    [None, "text", {"a": 1}, 5, [5], [None], [b"x"], ["x", ["y"]], ["x"] * (MAX_BATCH_PROMPTS + 1)],
    ids=lambda p: repr(p)[:20],
)
def test_prompts_that_are_not_a_list_of_str_are_refused(op: str, prompts: object) -> None:
    host = FakeHost([])
    contexts = [None] * len(prompts) if isinstance(prompts, list) else []
    assert kind(ask(host, op=op, prompts=prompts, contexts=contexts)) == "BadRequest"
    assert host.seen == []


@pytest.mark.parametrize("op", ["query", "child"])
@pytest.mark.parametrize(
    "model", [5, True, ["m"], b"m", {"m": 1}, "m" * (MAX_MODEL_NAME_CHARACTERS + 1)], ids=lambda m: repr(m)[:20]
)
def test_a_model_that_is_not_a_name_is_refused(op: str, model: object) -> None:
    host = FakeHost([])
    assert kind(ask(host, op=op, prompts=["x"], contexts=[None], model=model)) == "BadRequest"
    assert host.seen == []


@pytest.mark.parametrize("contexts", [None, "x", [], [None, None], [5], [1.5], [True], {"a": 1}], ids=name_value)
def test_contexts_that_do_not_fit_their_prompts_are_refused(contexts: object) -> None:
    host = FakeHost([])
    assert kind(ask(host, op="child", prompts=["x"], contexts=contexts)) == "BadRequest"
    assert host.seen == []


@pytest.mark.parametrize("nanoseconds", [None, -1, -(2**64), 0.5, "1", True, [1]], ids=name_value)
def test_a_sleep_that_is_not_a_duration_is_refused(nanoseconds: object) -> None:
    host = FakeHost()
    assert kind(ask(host, op="sleep", nanoseconds=nanoseconds)) == "BadRequest"
    assert host.seen == []


def test_what_is_right_reaches_the_host_as_it_is() -> None:
    host = FakeHost([{"text": "reply"}])
    assert ask(host, op="query", prompts=["a\ud800", ""], model="m")["ok"] == [{"text": "reply"}]
    ask(host, op="query", prompts=[])
    ask(host, op="child", prompts=["a", "b"], contexts=[None, {"k": [1]}], model=None)
    ask(host, op="sleep", nanoseconds=0)
    ask(host, op="budget")
    ask(host, op="clock")
    ask(host, op="check_answer", value={"a": [1, None]})
    assert host.seen == [
        ("query", [Query("a\ud800", "m"), Query("", "m")]), ("query", []),
        ("child", [ChildQuery("a"), ChildQuery("b", {"k": [1]})]),
        ("sleep", 0), ("budget",), ("clock",), ("check_answer", {"a": [1, None]}),
    ]  # fmt: skip


def test_schemas_images_and_references_become_types() -> None:
    host = FakeHost([])
    image = {"media_type": "image/png", "data": b"\x89PNG"}
    ask(host, op="query", prompts=["a", "b"], schema={"type": "object"}, images=[[image], None])
    ask(host, op="child", prompts=["a", "b", "c"], contexts=[None, None, "text"],
        references=[{"slice": [5, 10]}, {"item": "key"}, None])  # fmt: skip
    assert host.seen == [
        ("query", [
            Query("a", None, {"type": "object"}, (Image("image/png", b"\x89PNG"),)),
            Query("b", None, {"type": "object"}),
        ]),
        ("child", [ChildQuery("a", ContextReference(5, 10)), ChildQuery("b", ContextItem("key")), ChildQuery("c", "text")]),
    ]  # fmt: skip


def test_references_are_refused_for_host_that_do_not_take_them() -> None:
    host = FakeHost([])
    host.takes_references = False
    answer = ask(host, op="child", prompts=["a"], contexts=[None], references=[{"item": 0}])
    assert kind(answer) == "SendInFull"
    assert host.seen == []


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


BAD_SCHEMAS: tuple[Any, ...] = (
    "object", 5, [], b"x", {1: 2}, {"a": {None: 1}}, {"a": b"bytes"}, nested(MAX_SCHEMA_NESTING),
    {"a": "x" * MAX_SCHEMA_CHARACTERS}, {},
)  # fmt: skip
BAD_IMAGES: tuple[Any, ...] = (
    "x", [], [5], [None, None], [[b"x"]], [[{}]], [[{"media_type": "image/png"}]],
    [[{"media_type": "image/png", "data": "text"}]], [[{"media_type": "text/html", "data": b""}]],
    [[{"media_type": "image/", "data": b""}]], [[{"media_type": "image/png\n", "data": b""}]], [[{"media_type": "image/bmp", "data": b"BM"}]],
    [[{"media_type": 5, "data": b""}]], [[{"media_type": "image/png", "data": b""}] * (MAX_PROMPT_IMAGES + 1)],
    [[{"media_type": "image/png", "data": bytes(MAX_IMAGE_BYTES + 1)}]],
)  # fmt: skip
BAD_REFERENCES: tuple[Any, ...] = (
    "x", [], [5], [None, None], [{}], [{"slice": [1]}], [{"slice": [2, 1]}], [{"slice": [-1, 1]}],
    [{"slice": [0, 2**70]}], [{"slice": [0, 1.0]}], [{"slice": [False, True]}], [{"slice": "ab"}], [{"item": -1}],
    [{"item": True}], [{"item": 1.5}], [{"item": b"x"}], [{"item": None}], [{"slice": [0, 1], "item": 1}],
)  # fmt: skip
BAD_FIELDS: list[dict[str, Any]] = [
    *({"op": "query", "prompts": ["x"], "schema": schema} for schema in BAD_SCHEMAS),
    *({"op": "query", "prompts": ["x"], "images": images} for images in BAD_IMAGES),
    *({"op": "child", "prompts": ["x"], "contexts": [None], "references": references} for references in BAD_REFERENCES),
    {"op": "child", "prompts": ["x"], "contexts": ["text"], "references": [{"item": 0}]},
    *({"op": "tool", "name": name, "arguments": [], "keyword_arguments": {}} for name in (
        None, 5, "", "a b", "a.b", "__import__('os')", "x" * 101, b"x",
    )),
    *({"op": "tool", "name": "x", "arguments": arguments, "keyword_arguments": keywords} for arguments, keywords in (
        (None, {}), ({}, {}), ("x", {}), ([], None), ([], []), ([], {1: 2}), ([1] * (MAX_ARGUMENTS_OF_A_KIND + 1), {}),
        ([], {f"k{n}": 1 for n in range(MAX_ARGUMENTS_OF_A_KIND + 1)}),
    )),
    *({"op": "submit", "call": call, "prompts": ["x"], "contexts": [None]} for call in (
        None, 5, "wait", "submit", "budget", "sleep", ["query"], {"query": 1},
    )),
    *({"op": op, "tickets": tickets} for op in ("wait", "cancel") for tickets in (
        5, "1", {"1": 1}, ["1"], [None], [1.0], [True], [1, 1], list(range(MAX_OPEN_CALLS + 1)), [0], [-1], [2**80], [1],
    )),
    {"op": "cancel"}, {"op": "wait"}, {"op": "wait", "tickets": None, "seconds": 5},
    *({"op": "wait", "tickets": [], "seconds": seconds} for seconds in (
        -1, float("nan"), float("inf"), 2**200, "1", True, [1],
    )),
]  # fmt: skip


@pytest.mark.parametrize("request_", BAD_FIELDS, ids=lambda r: f"{r['op']} {str(list(r.values())[1:])[:50]!r}")
def test_a_field_that_breaks_its_bounds_is_refused_and_nothing_happens(request_: dict[str, Any]) -> None:
    host = FakeHost([])
    assert kind(ask(host, **request_)) == "BadRequest"
    assert host.seen == []


def test_an_answer_over_its_bound_is_refused_before_it_is_checked() -> None:
    host = FakeHost()
    assert kind(ask(host, op="check_answer", value="x" * MAX_ANSWER_BYTES)) == "BadAnswer"
    assert host.seen == []


def test_a_tool_call_reaches_the_host_and_its_outcome_comes_back() -> None:
    host = FakeHost({"value": [1, 2]})
    assert ask(host, op="tool", name="look", arguments=[1], keyword_arguments={"a": None})["ok"] == {"value": [1, 2]}
    assert host.seen == [("start", ToolCall("look", (1,), {"a": None}))]


def test_a_cell_has_so_many_tool_calls_and_the_next_has_them_again() -> None:
    host = FakeHost({"value": 1})
    door = Door(host, host, tool_calls=2)
    call = wire.encode({"v": 1, "op": "tool", "name": "look", "arguments": [], "keyword_arguments": {}})
    submit = wire.encode(
        {"v": 1, "op": "submit", "call": "tool", "name": "x", "arguments": [], "keyword_arguments": {}}
    )

    def kinds(*requests: bytes) -> list[bool]:
        return ["ok" in wire.decode(door.answer(request)) for request in requests]  # type: ignore[operator]

    assert kinds(call, submit, call, submit) == [True, True, False, False]
    door.end_cell()
    door.begin_cell()
    assert kinds(submit, call, call) == [True, True, False]


def test_unknown_fields_are_ignored() -> None:
    assert ask(FakeHost(5), op="budget", extra=[1], self="x")["ok"] == 5


def test_an_operation_named_by_a_huge_integer_is_refused_and_not_printed() -> None:
    assert len(str(ask(FakeHost(), op=1 << 30_000))) < 1000
