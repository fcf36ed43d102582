"""The door: every request gets an answer, every field is checked first, and nothing that a guest sends raises here."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divebell.bridge import wire
from divebell.bridge.door import MAX_BATCH, MAX_MODEL_NAME, Door, Refused

ERRORS: list[BaseException] = [
    ValueError("secret"), RuntimeError(), MemoryError(), RecursionError(), OSError(5, "secret"), UnicodeError(), AssertionError(),
    StopIteration(), KeyError("secret"), Refused("BudgetExceeded", "no more"), wire.WireError("secret"),
]  # fmt: skip
INTERRUPTIONS: list[BaseException] = [KeyboardInterrupt(), SystemExit(), GeneratorExit()]


class Recorder:
    """Services that remember what reached them, and answer or raise as told."""

    def __init__(self, result: object = None) -> None:
        self.result = result
        self.seen: list[tuple[Any, ...]] = []

    def _did(self, *call: Any) -> Any:
        self.seen.append(call)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result

    def query(self, prompts: list[str], model: str | None) -> Any:
        return self._did("query", prompts, model)

    def child(self, prompts: list[str], contexts: list[object], model: str | None) -> Any:
        return self._did("child", prompts, contexts, model)

    def budget(self) -> Any:
        return self._did("budget")

    def clock(self) -> Any:
        return self._did("clock")

    def sleep(self, nanoseconds: int) -> Any:
        return self._did("sleep", nanoseconds)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *arguments, **options: self._did(name, *arguments)


def ask(services: Recorder, **request: Any) -> dict[str, Any]:
    answer = wire.decode(Door(services).answer(wire.encode({"v": wire.VERSION, **request})))  # type: ignore[arg-type]
    assert isinstance(answer, dict)
    assert answer["v"] == wire.VERSION
    assert ("ok" in answer) != ("error" in answer)
    return answer


def kind(answer: dict[str, Any]) -> str:
    return str(answer["error"]["kind"])


@given(st.binary(max_size=300))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_answered(packed: bytes) -> None:
    services = Recorder(ValueError())
    answer = wire.decode(Door(services).answer(packed))  # type: ignore[arg-type]
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
NAMES = sorted({"query", "child", "budget", "clock", "sleep", "run", "get", "set", "__init__", ""} | set())


@given(
    st.sampled_from(NAMES) | values,
    st.dictionaries(
        st.sampled_from(["prompts", "contexts", "model", "nanoseconds", "context", "v", "op", "x"]), values, max_size=5
    ),
    st.sampled_from([*ERRORS, *INTERRUPTIONS, None, object(), [object()], 5]),
)
@settings(max_examples=800, deadline=None)
def test_any_request_is_answered_whatever_the_services_do(
    op: object, fields: dict[str, object], result: object
) -> None:
    services = Recorder(result)
    answer = wire.decode(Door(services).answer(wire.encode({"v": 1, "op": op, **fields})))  # type: ignore[arg-type]
    assert isinstance(answer, dict)
    assert ("ok" in answer) != ("error" in answer)
    for call in services.seen:
        if call[0] in ("query", "child"):
            assert all(type(prompt) is str for prompt in call[1])
            assert call[-1] is None or (type(call[-1]) is str and len(call[-1]) <= MAX_MODEL_NAME)
        if call[0] == "sleep":
            assert type(call[1]) is int
            assert call[1] >= 0


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("op", ["query", "child", "budget", "clock", "sleep"])
def test_an_error_of_the_host_is_told_without_its_details(error: BaseException, op: str) -> None:
    answer = ask(Recorder(error), op=op, prompts=["x"], contexts=[None], nanoseconds=1)
    assert type(answer["error"]["kind"]) is str
    if not isinstance(error, wire.WireError):
        assert "secret" not in str(answer)


@pytest.mark.parametrize("interruption", INTERRUPTIONS, ids=lambda error: type(error).__name__)
def test_an_interruption_is_kept_for_the_sandbox_and_answered_as_such(interruption: BaseException) -> None:
    door = Door(Recorder(interruption))  # type: ignore[arg-type]
    answer = wire.decode(door.answer(wire.encode({"v": 1, "op": "budget"})))
    assert answer["error"]["kind"] == wire.UNAVAILABLE  # type: ignore[index, call-overload]
    assert door.interrupted is interruption


def test_a_refusal_keeps_its_kind_and_message() -> None:
    answer = ask(Recorder(Refused(wire.BUDGET_EXCEEDED, "no more dollars")), op="query", prompts=["x"])
    assert answer["error"] == {"kind": "BudgetExceeded", "message": "no more dollars"}


@pytest.mark.parametrize("result", [object(), [object()], {"text": {1, 2}}, [{"text": lambda: 0}]], ids=repr)
def test_an_answer_that_is_not_plain_is_an_error_value(result: object) -> None:
    assert "error" in ask(Recorder(result), op="query", prompts=["x"])


@pytest.mark.parametrize("version", [0, 2, -1, "1", None, [1], 1.5, b"1"])
def test_another_version_is_refused(version: object) -> None:
    services = Recorder()
    assert kind(wire.decode(Door(services).answer(wire.encode({"v": version, "op": "budget"})))) == "BadRequest"  # type: ignore[arg-type]
    assert services.seen == []


@pytest.mark.parametrize(
    "op", ["", "QUERY", "run", "get", "__class__", "query ", None, 1, ["query"], {"query": 1}, b"query", "x" * 10_000]
)
def test_an_operation_that_is_not_in_the_table_is_refused(op: object) -> None:
    services = Recorder()
    answer = ask(services, op=op)
    assert kind(answer) == "BadRequest"
    assert len(answer["error"]["message"]) < 500
    assert services.seen == []


@pytest.mark.parametrize("message", [[], "x", 5, None, {}, {"op": "budget"}, {1: 2}], ids=repr)
def test_what_is_not_a_request_is_refused(message: object) -> None:
    assert kind(wire.decode(Door(Recorder()).answer(wire.encode(message)))) == "BadRequest"  # type: ignore[arg-type]


@pytest.mark.parametrize("op", ["query", "child"])
@pytest.mark.parametrize(
    "prompts",
    [None, "text", {"a": 1}, 5, [5], [None], [b"x"], ["x", ["y"]], ["x"] * (MAX_BATCH + 1)],
    ids=lambda p: repr(p)[:20],
)
def test_prompts_that_are_not_a_list_of_str_are_refused(op: str, prompts: object) -> None:
    services = Recorder([])
    contexts = [None] * len(prompts) if isinstance(prompts, list) else []
    assert kind(ask(services, op=op, prompts=prompts, contexts=contexts)) == "BadRequest"
    assert services.seen == []


@pytest.mark.parametrize("op", ["query", "child"])
@pytest.mark.parametrize(
    "model", [5, True, ["m"], b"m", {"m": 1}, "m" * (MAX_MODEL_NAME + 1)], ids=lambda m: repr(m)[:20]
)
def test_a_model_that_is_not_a_name_is_refused(op: str, model: object) -> None:
    services = Recorder([])
    assert kind(ask(services, op=op, prompts=["x"], contexts=[None], model=model)) == "BadRequest"
    assert services.seen == []


@pytest.mark.parametrize("contexts", [None, "x", [], [None, None], [5], [1.5], [True], {"a": 1}], ids=repr)
def test_contexts_that_do_not_fit_their_prompts_are_refused(contexts: object) -> None:
    services = Recorder([])
    assert kind(ask(services, op="child", prompts=["x"], contexts=contexts)) == "BadRequest"
    assert services.seen == []


@pytest.mark.parametrize("nanoseconds", [None, -1, -(2**64), 0.5, "1", True, [1]], ids=repr)
def test_a_sleep_that_is_not_a_duration_is_refused(nanoseconds: object) -> None:
    services = Recorder()
    assert kind(ask(services, op="sleep", nanoseconds=nanoseconds)) == "BadRequest"
    assert services.seen == []


def test_what_is_right_reaches_the_services_as_it_is() -> None:
    services = Recorder([{"text": "reply"}])
    assert ask(services, op="query", prompts=["a\ud800", ""], model="m")["ok"] == [{"text": "reply"}]
    ask(services, op="query", prompts=[])
    ask(services, op="child", prompts=["a", "b"], contexts=[None, {"k": [1]}], model=None)
    ask(services, op="sleep", nanoseconds=0)
    ask(services, op="budget")
    ask(services, op="clock")
    assert services.seen == [
        ("query", ["a\ud800", ""], "m"), ("query", [], None), ("child", ["a", "b"], [None, {"k": [1]}], None),
        ("sleep", 0), ("budget",), ("clock",),
    ]  # fmt: skip


def test_unknown_fields_are_ignored() -> None:
    assert ask(Recorder(5), op="budget", extra=[1], self="x")["ok"] == 5


def test_an_operation_named_by_a_huge_integer_is_refused_and_not_printed() -> None:
    assert len(str(ask(Recorder(), op=1 << 30_000))) < 1000
