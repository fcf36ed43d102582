"""RLM(output=...): the answer is of the caller's type, or the model is told what is wrong with it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

import pydantic
import pytest

from divebell import RLM, Budget, ConfigurationError, ModelRequest, Result, RunError, ScriptedModel
from tests.support.scripts import block, request_text

CONTEXT = "Alice is 30. Bob is 40."


class People(pydantic.BaseModel):
    names: list[str]
    total: int


@dataclass
class PeopleData:
    names: list[str]
    total: int


class PeopleDict(TypedDict):
    names: list[str]
    total: int


PEOPLE_SCHEMA = {
    "type": "object",
    "properties": {"names": {"type": "array", "items": {"type": "string"}}, "total": {"type": "integer"}},
    "required": ["names", "total"],
    "additionalProperties": False,
}


def run(*replies: str, output: object, **options: Any) -> tuple[Result, ScriptedModel]:
    root = ScriptedModel("root", replies)
    return RLM(root, ScriptedModel("sub", lambda request: "y"), output=output, **options).run(CONTEXT, "who?"), root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (People, People(names=["Alice", "Bob"], total=70)),
        (PeopleData, PeopleData(names=["Alice", "Bob"], total=70)),
        (PeopleDict, {"names": ["Alice", "Bob"], "total": 70}),
        (PEOPLE_SCHEMA, {"names": ["Alice", "Bob"], "total": 70}),
    ],
    ids=["pydantic", "dataclass", "TypedDict", "JSON Schema"],
)
@pytest.mark.parametrize(
    "reply",
    [
        block("names = re.findall('[A-Z][a-z]+', context)\nSUBMIT(names=names, total=30 + 40)"),
        block("SUBMIT({'names': ['Alice', 'Bob'], 'total': 70})"),
        block("FINAL({'names': ['Alice', 'Bob'], 'total': 70})"),
        block("result = dict(names=['Alice', 'Bob'], total=70)") + "\nFINAL_VAR(result)",
        block("answer['content'] = {'names': ['Alice', 'Bob'], 'total': 70}; answer['ready'] = True"),
        'FINAL({"names": ["Alice", "Bob"], "total": 70})',
        "SUBMIT(names=['Alice', 'Bob'], total=70)",
    ],
)
def test_every_way_to_finish_gives_the_callers_type(output: object, expected: object, reply: str) -> None:
    result, _ = run(reply, output=output)
    assert result.value == expected
    assert type(result.value) is type(expected)
    assert result.status == "answered"


@pytest.mark.parametrize(
    ("output", "reply", "expected"),
    [
        (int, "FINAL(42)", 42),
        (list[int], block("FINAL([1, 2, 3])"), [1, 2, 3]),
        (str, "FINAL(just words)", "just words"),
        (bool, block("SUBMIT(True)"), True),
    ],
)
def test_types_that_are_not_objects(output: object, reply: str, expected: object) -> None:
    assert run(reply, output=output)[0].value == expected


def test_a_misfit_in_a_cell_is_told_at_once_and_can_be_caught() -> None:
    result, root = run(
        block("SUBMIT(names='Alice', total='many')"), block("SUBMIT(names=['Alice'], total=30)"), output=People
    )
    assert result.value == People(names=["Alice"], total=30)
    seen = request_text(root.requests[1])
    assert "names" in seen
    assert "total" in seen
    assert "BadAnswer" in seen


def test_a_misfit_in_the_text_is_shown_to_the_model() -> None:
    result, root = run("FINAL(nobody knows)", 'FINAL({"names": [], "total": 0})', output=People)
    assert result.value == People(names=[], total=0)
    assert "does not fit" in request_text(root.requests[1])


def test_repairs_are_bounded_and_then_the_run_lands() -> None:
    result, root = run(*["FINAL(nope)"] * 3, 'FINAL({"names": [], "total": 1})', output=People, max_answer_retries=2)
    assert result.value == People(names=[], total=1)
    assert result.stopped_by is not None
    assert (result.stopped_by.limit, result.stopped_by.cap) == ("repairs", 2)
    assert len(root.requests) == 4


def test_an_answer_that_never_fits_is_a_draft_beside_an_error_that_says_how() -> None:
    for last in ("FINAL(nope)", "nope"):
        result, _ = run(*["FINAL(nope)"] * 2, last, output=People, max_answer_retries=1)
        assert (result.answer, result.value, result.status) == ("nope", None, "failed")
        assert isinstance(result.error, RunError)
        assert "does not fit the schema" in str(result.error)
    with pytest.raises(RunError, match=r"does not fit the schema|no answer after 2 turns"):
        run(*["FINAL(nope)"] * 5, output=People, max_answer_retries=1, on_exhausted="raise")


def test_the_model_is_told_what_is_asked_for() -> None:
    _, root = run('FINAL({"names": [], "total": 0})', output=People)
    told = request_text(root.requests[0])
    assert "SUBMIT" in told
    assert "names" in told
    assert "total" in told


def test_a_child_answers_in_text_whatever_the_query_asks_for() -> None:
    def sub(request: ModelRequest) -> str:
        assert "SUBMIT(" not in request_text(request)
        return "FINAL(plain)"

    root = ScriptedModel("root", [block("SUBMIT(names=[rlm_query('q')], total=1)")])
    result = RLM(root, ScriptedModel("sub", sub), output=People).run(CONTEXT, "who?")
    assert result.value == People(names=["plain"], total=1)


def test_without_a_schema_the_value_is_the_text() -> None:
    result, _ = run("FINAL(42)", output=None)
    assert result.value == result.answer == "42"


@pytest.mark.parametrize("output", ["a name", 5, {}, {"type": "nonsense"}, lambda: None])
def test_an_output_that_is_no_type_is_refused(output: object) -> None:
    with pytest.raises(ConfigurationError) as raised:
        RLM(ScriptedModel("root"), output=output)
    assert "\n" not in str(raised.value)


def structured(replies: list[str]) -> tuple[ScriptedModel, Callable[[str], Result]]:
    sub = ScriptedModel("sub", replies)

    def ask(code: str) -> Result:
        return RLM(ScriptedModel("root", [block(code)] * 2), sub, budget=Budget(calls=20), max_iterations=1).run(
            CONTEXT, "q"
        )

    return sub, ask


SCHEMA = "{'type': 'object', 'properties': {'age': {'type': 'integer'}}, 'required': ['age']}"


def test_a_sub_call_with_a_schema_gives_a_value() -> None:
    sub, ask = structured(['{"age": 30}'])
    assert ask(f"FINAL(llm_query('how old?', schema={SCHEMA})['age'] + 1)").answer == "31"
    assert sub.requests[0].schema is not None
    assert "JSON" in request_text(sub.requests[0])


def test_a_sub_models_misfit_is_repaired() -> None:
    sub, ask = structured(["thirty", '```json\n{"age": "x"}\n```', '{"age": 30}'])
    assert ask(f"FINAL(llm_query('how old?', schema={SCHEMA}))").answer == "{'age': 30}"
    assert len(sub.requests) == 3
    assert "age" in request_text(sub.requests[2])


def test_a_sub_model_that_never_fits_is_a_model_error() -> None:
    sub, ask = structured(["nope"] * 3)
    code = f"try:\n    llm_query('x', schema={SCHEMA})\nexcept ModelError as error:\n    FINAL(error)"
    assert "does not fit the schema" in ask(code).answer
    assert len(sub.requests) == 3


@pytest.mark.parametrize(
    "schema", ["{'type': 'string', 'pattern': '(a+)+$'}", "{'$ref': 'http://evil.example/'}", "{'type': 'nonsense'}"]
)
def test_a_guests_schema_that_could_harm_the_host_is_refused(schema: str) -> None:
    sub, ask = structured(["a" * 40])
    code = f"try:\n    llm_query('x', schema={schema})\nexcept Exception as error:\n    FINAL(type(error).__name__)"
    assert ask(code).answer in ("ModelError", "BadRequest")
    assert not sub.requests


@pytest.mark.parametrize("reply", ["FINAL({1, 2})", "FINAL((1, 2))", "FINAL([1, 2, 2])", "```repl\nFINAL({2, 1})\n```"])
def test_sets_may_be_written_in_any_way(reply: str) -> None:
    assert RLM(ScriptedModel("root", [reply]), output=set[int]).run("abc", "q").value == {1, 2}


def test_bytes_are_shown_as_their_text() -> None:
    result = RLM(ScriptedModel("root", ["```repl\nFINAL(b'abc')\n```"]), output=bytes).run("abc", "q")
    assert (result.answer, result.value) == ("abc", b"abc")
