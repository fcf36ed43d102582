"""README.md's table, row by row, as far as a sandbox alone shows it: the names, and that they come back."""

from collections.abc import Callable
from typing import Any

import pytest

from divebell import NotPlainDataError, Sandbox
from divebell.sandbox.host import CallableHost
from divebell_bridge.door.contract import FUNCTIONS
from divebell_bridge.door.door import StartedCall
from divebell_bridge.door.requests import Call, ChildQuery, ContextItem, ContextReference, Outcome
from tests.support.cells import error_kind, value_of
from tests.support.meeting import Meeting
from tests.support.names import name_value


class Family(CallableHost):
    """A host that has children: each answers with what it was asked and what context it got."""

    def __init__(self, *, references: bool = True) -> None:
        super().__init__(lambda prompt: prompt)
        self.takes_references = references
        self.seen: list[ChildQuery] = []

    def child(self, children: list[ChildQuery]) -> list[Outcome]:
        self.seen += children
        return [{"text": f"{child.prompt}: {type(child.context).__name__}"} for child in children]

    def start(self, call: Call, done: Callable[[Outcome], None]) -> StartedCall:
        if not isinstance(call, ChildQuery):
            return super().start(call, done)
        done(self.child([call])[0])
        return StartedCall(lambda: None)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_the_contract_has_documentation_and_comes_back(box: Sandbox, name: str) -> None:
    assert value_of(box.run(f"import inspect\nbool({name}.__doc__), str(inspect.signature({name}))[0]")) == [True, "("]
    box.run(f"{name} = 5")
    assert value_of(box.run(f"callable({name})")) is True
    box.run(f"del {name}")
    assert value_of(box.run(f"callable({name})")) is True
    assert value_of(box.run(f"'{name}' in SHOW_VARS()")) is False


@pytest.mark.parametrize("text", ["text", b"bytes", ["a", 1, {"b": [None]}], {"a": ["b", 1.5]}], ids=name_value)
def test_context_has_its_own_type_and_comes_back(text: Any) -> None:
    with Sandbox(text) as box:
        assert value_of(box.run(f"type(context) is {type(text).__name__}, context")) == [True, text]
        box.run("context = None")
        assert value_of(box.run("context")) == text
        box.run("del context")
        assert value_of(box.run("context")) == text


def test_rlms_names_in_one_cell(box: Sandbox) -> None:
    code = """
chunks = [context[:3], context[3:]]
answers = llm_query_batched([f"{c}" for c in chunks])
buffer = "".join(answers)
final_answer = llm_query(f"{buffer}")
print(SHOW_VARS())
answer["content"] = final_answer
answer["ready"] = True
"""
    cell = box.run(code)
    assert cell.error is None
    assert cell.final == "THE CONTEXT"
    assert cell.final_value == "THE CONTEXT"
    cell = box.run('FINAL_VAR("buffer")')
    assert (cell.final, cell.final_value) == ("THE CONTEXT", "THE CONTEXT")


def test_dspys_names_in_one_cell(box: Sandbox) -> None:
    code = "import json\nresults = llm_query_batched(['a', 'b'])\nprint(json.dumps(results))\nSUBMIT(answer=results[0], count=2)"
    cell = box.run(code)
    assert cell.stdout == '["A", "B"]\n'
    assert cell.submitted == {"answer": "A", "count": 2}


def test_children_get_their_contexts_and_answer_in_order() -> None:
    family = Family()
    with Sandbox("the context", host=family) as box:
        assert value_of(box.run("rlm_query('q')")) == "q: NoneType"
        assert value_of(box.run("rlm_query('q', context)")) == "q: ContextReference"
        assert value_of(box.run("rlm_query('q', 'other')")) == "q: str"
        assert value_of(box.run("recursive_llm('q', ['list'])")) == "q: list"
        assert value_of(box.run("rlm_query_batched(['a', 'b'], [{'k': 1}, b'x'])")) == ["a: dict", "b: bytes"]
        assert value_of(box.run("await arlm_query('q', 'other')")) == "q: str"
        assert value_of(box.run("await arlm_query_batched(['a', 'b'], [None, ('t',)])")) == ["a: NoneType", "b: list"]
        assert value_of(box.run("await rlm_query('q', 'x')")) == "q: str"
        assert error_kind(box.run("rlm_query_batched(['a'], [1, 2])")) == "ValueError"
        assert error_kind(box.run("rlm_query('a', {1, 2})")) == "BadRequest"


TEXT = "".join(
    f"line {n} of a text that is long enough for a part of it to be worth a reference\n" for n in range(10_000)
)


@pytest.mark.parametrize("text", [TEXT, TEXT.encode(), TEXT + "\u20ac"], ids=["ascii", "bytes", "wide"])
def test_a_part_of_the_context_goes_to_a_child_as_a_reference(text: Any) -> None:
    family = Family()
    with Sandbox(text, host=family) as box:
        code = "size = 100_000\nfor start in range(0, len(context), size): rlm_query('q', context[start:start + size])"
        assert box.run(code).error is None
        expected = [ContextReference(start, min(start + 100_000, len(text))) for start in range(0, len(text), 100_000)]
        if len(text) % 100_000 < 1 << 16:  # the last part may be shorter than what a reference is for
            assert family.seen.pop().context == text[expected.pop().start :]
        assert [child.context for child in family.seen] == expected
        box.run("await arlm_query('q', context[200_000:400_000])")
        assert family.seen[-1].context == ContextReference(200_000, 400_000)


def test_what_is_not_a_part_of_the_context_or_is_short_goes_as_it_is() -> None:
    family = Family()
    with Sandbox(TEXT, host=family) as box:
        for code in ("'x' * 100_000", "context[:100]", "context[:100_000] + 'x'", "context[:100_000].encode()"):
            assert box.run(f"part = {code}\nrlm_query('q', part)").error is None
            assert family.seen[-1].context == box["part"]


def test_items_of_a_list_or_dict_go_as_references() -> None:
    family = Family()
    documents: list[Any] = [{"n": n} for n in range(100)]
    with Sandbox(documents, host=family) as box:
        assert box.run(
            "for d in context[:3]: rlm_query('q', d)\nrlm_query('q', context[90])\nrlm_query('q', {'n': 5})"
        ).ok
        assert [child.context for child in family.seen] == [
            ContextItem(0), ContextItem(1), ContextItem(2), ContextItem(90), {"n": 5},
        ]  # fmt: skip
    family.seen.clear()
    with Sandbox({"a": [1], "b": [2], "c": "short"}, host=family) as box:
        assert box.run("for d in context.values(): rlm_query('q', d)").ok
        assert [child.context for child in family.seen] == [ContextItem("a"), ContextItem("b"), "short"]


def test_a_host_without_references_gets_the_parts_themselves() -> None:
    family = Family(references=False)
    with Sandbox(TEXT, host=family) as box:
        assert box.run("rlm_query('q', context[:100_000])\nawait arlm_query('q', context[100_000:200_000])").ok
        assert [child.context for child in family.seen] == [TEXT[:100_000], TEXT[100_000:200_000]]
        assert box.run("await arlm_query('q', context[:100_000])").ok
    with Sandbox(TEXT, host=family) as box:
        assert box.run("await arlm_query('q', context[:100_000])").ok
        assert family.seen[-1].context == TEXT[:100_000]


def test_history_is_there_grows_and_comes_back() -> None:
    with Sandbox("text") as box:
        assert value_of(box.run("history")) == []
        box.bind("history", [{"role": "user", "content": "question"}])
        box.append("history", [{"role": "assistant", "content": "reply"}])
        box.run("held = history")
        box.append("history", [{"role": "user", "content": "seen"}])
        assert value_of(box.run("[turn['content'] for turn in history], len(held)")) == [
            ["question", "reply", "seen"],
            2,
        ]
        box.run("history = None")
        assert value_of(box.run("len(history)")) == 3
        assert value_of(box.run("'history' in SHOW_VARS()")) is False
        assert box.run("import os\nos.abort()").restored
        assert value_of(box.run("len(history)")) == 3
        with pytest.raises(NotPlainDataError):
            box.bind("history", object())
        with pytest.raises(KeyError):
            box.append("other", [1])
        twin = box.fork()
        twin.append("history", [{"role": "user", "content": "twin's"}])
        assert [len(value_of(b.run("history"))) for b in (box, twin)] == [3, 4]
        twin.close()


def test_a_sandbox_whose_machinery_a_cell_broke_has_its_bound_names_again() -> None:
    with Sandbox("text") as box:
        box.bind("history", [1])
        box.run("x = 1")
        box.append("history", [2])
        assert box.run("import divebell_guest.boot as b; b.OPERATIONS.clear()").error is None
        assert error_kind(box.run("1")) == "BrokenGuest"
        assert value_of(box.run("history")) == [1, 2]


SCHEMA: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize(
    ("schema", "reply", "expected"),
    [
        (repr(SCHEMA), '{"n": 5}', {"n": 5}), ("dict", '```json\n{"n": 5}\n```', {"n": 5}), ("list", "[1, 2]", [1, 2]),
        ("int", " 7 ", 7), ("float", "1.5", 1.5), ("bool", "true", True), ("list[int]", "[1]", [1]),
        ("dict[str, int]", '{"a": 1}', {"a": 1}), ("int | None", "null", None), ("str", '"text"', "text"),
    ],
)  # fmt: skip
def test_a_schema_makes_a_value_of_the_reply(schema: str, reply: str, expected: object) -> None:
    with Sandbox(llm=lambda prompt: reply) as box:
        assert value_of(box.run(f"llm_query('q', schema={schema})")) == expected
        assert value_of(box.run(f"await allm_query('q', schema={schema})")) == expected
        assert value_of(box.run(f"llm_query_batched(['q', 'q'], schema={schema})")) == [expected] * 2
        assert value_of(box.run(f"await allm_query_batched(['q', 'q'], schema={schema})")) == [expected] * 2


@pytest.mark.parametrize(
    ("schema", "reply"), [("dict", "no JSON"), ("dict", "[1]"), ("int", "true"), ("list", "{}"), ("int", '"5"')]
)
def test_a_reply_that_does_not_fit_its_schema_is_an_error(schema: str, reply: str) -> None:
    with Sandbox(llm=lambda prompt: reply) as box:
        assert error_kind(box.run(f"llm_query('q', schema={schema})")) == "ModelError"
        assert error_kind(box.run(f"await allm_query('q', schema={schema})")) == "ModelError"


@pytest.mark.parametrize("schema", ["5", "'object'", "set", "list[set]", "lambda: 1", "dict[int, int]"])
def test_what_is_no_schema_is_refused_in_the_cell(box: Sandbox, schema: str) -> None:
    assert error_kind(box.run(f"llm_query('q', schema={schema})")) == "TypeError"


PNG = "b'\\x89PNG\\r\\n\\x1a\\n'"


def test_images_reach_a_function_that_takes_them() -> None:
    def llm(prompt: str, images: Any) -> str:
        return " ".join(f"{image.media_type}:{len(image.data)}" for image in images)

    with Sandbox(llm=llm) as box:
        image = f"images=[{PNG}, {{'media_type': 'image/webp', 'data': b'abc'}}]"
        assert value_of(box.run(f"llm_query('q', {image})")) == "image/png:8 image/webp:3"
        assert value_of(box.run(f"await allm_query('q', {image})")) == "image/png:8 image/webp:3"
        assert value_of(box.run(f"llm_query_batched(['a', 'b'], images=[[{PNG}], None])")) == ["image/png:8", ""]
        assert value_of(box.run(f"await allm_query_batched(['a', 'b'], images=[[{PNG}], None])")) == ["image/png:8", ""]
        assert error_kind(box.run("llm_query('q', images=[b'what'])")) == "BadRequest"
        assert error_kind(box.run("llm_query('q', images=['path.png'])")) == "TypeError"
        assert error_kind(box.run(f"llm_query('q', images=[{PNG}] * 21)")) == "BadRequest"
        assert error_kind(box.run(f"llm_query_batched(['a'], images=[[{PNG}], None])")) == "ValueError"


def test_images_are_refused_by_a_function_that_does_not_take_them(box: Sandbox, meeting: Meeting) -> None:
    cell = box.run(f"llm_query('q', images=[{PNG}])")
    assert error_kind(cell) == "ModelError"
    assert "images" in cell.output
    assert meeting.prompts == []


def test_help_prints_what_a_name_is_for(box: Sandbox) -> None:
    assert "Ask a language model" in box.run("help(llm_query)").stdout
