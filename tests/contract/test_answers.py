"""BRIEF.md's table: FINAL, FINAL_VAR, `answer` and SUBMIT, as a cell shows them."""

from typing import Any

import pytest

from divebell import Sandbox
from divebell.services import CallableServices
from tests.contract.conftest import kind, value


@pytest.mark.parametrize(
    ("code", "text", "data"),
    [
        ("FINAL('text')", "text", "text"),
        ("FINAL([1, {'a': 2.5}])", "[1, {'a': 2.5}]", [1, {"a": 2.5}]),
        ("FINAL((1, 2))", "(1, 2)", [1, 2]),
        ("FINAL(None)", "None", None),
        ("FINAL({1, 2})", "{1, 2}", None),
        ("x = {'a': 1}\nFINAL_VAR('x')", "{'a': 1}", {"a": 1}),
        ("x = 5\nFINAL_VAR(x)", "5", 5),
        ("answer['content'] = [1]\nanswer['ready'] = True", "[1]", [1]),
        ("answer = {'content': 'new dict', 'ready': True}", "new dict", "new dict"),
        ("FINAL(1)\nFINAL(2)", "2", 2),
        ("SUBMIT(a=1)\nFINAL(2)", "2", 2),
        ("FINAL('x' * 2_000_000)", "x" * 2_000_000, None),
        ("FINAL([0] * 1_100_000)", str([0] * 1_100_000), None),
        ("class A:\n    def __str__(self): return 'an A'\nFINAL(A())", "an A", None),
    ],
)
def test_an_answer_has_its_text_and_its_value_where_that_is_plain(code: str, text: str, data: object) -> None:
    with Sandbox() as box:
        cell = box.run(code)
        assert (cell.final, cell.final_value, cell.submitted) == (text, data, None)
        assert box.run("1").final is None


@pytest.mark.parametrize(
    ("call", "text", "fields"),
    [
        ("SUBMIT(answer='text')", "text", {"answer": "text"}),
        ("SUBMIT('text')", "text", {"answer": "text"}),
        ("SUBMIT(answer=5)", "5", {"answer": 5}),
        ("SUBMIT(a=1, b=['é', None])", '{"a": 1, "b": ["é", null]}', {"a": 1, "b": ["é", None]}),
        ("SUBMIT({'a': 1})", '{"a": 1}', {"a": 1}),
        ("SUBMIT([1, 2])", "[1, 2]", {"answer": [1, 2]}),
        ("SUBMIT(n=(1, 2))", '{"n": [1, 2]}', {"n": [1, 2]}),
        ("FINAL(1)\nSUBMIT(b=2)", '{"b": 2}', {"b": 2}),
    ],
)
def test_submit_gives_fields_and_text(call: str, text: str, fields: dict[str, Any]) -> None:
    with Sandbox() as box:
        cell = box.run(call)
        assert (cell.final, cell.submitted, cell.final_value) == (text, fields, None)
        assert box.run("1").submitted is None


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("SUBMIT()", "TypeError"), ("SUBMIT(1, 2)", "TypeError"), ("SUBMIT(1, a=2)", "TypeError"), ("SUBMIT({})", "TypeError"),
        ("SUBMIT(a={1})", "BadAnswer"), ("SUBMIT(a=print)", "BadAnswer"), ("SUBMIT({1: 2})", "BadAnswer"),
        ("SUBMIT(a='x' * (17 << 20))", "BadAnswer"), ("a = []\na.append(a)\nSUBMIT(a=a)", "BadAnswer"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused_in_the_cell(call: str, error: str) -> None:
    with Sandbox() as box:
        cell = box.run(call)
        assert kind(cell) == error
        assert (cell.final, cell.submitted) == (None, None)


class Strict(CallableServices):
    """A host with a schema: n must be a whole number."""

    def __init__(self) -> None:
        super().__init__(None)
        self.checked: list[object] = []

    def check_answer(self, value: object) -> str | None:
        self.checked.append(value)
        fits = isinstance(value, dict) and type(value.get("n")) is int
        return None if fits else "n: must be a whole number"


def test_only_an_answer_that_the_host_accepts_counts() -> None:
    strict = Strict()
    with Sandbox(services=strict) as box:
        cell = box.run("SUBMIT(n='many')")
        assert kind(cell) == "BadAnswer"
        assert cell.error is not None
        assert cell.error.message == "n: must be a whole number"
        assert (cell.final, cell.submitted) == (None, None)
        cell = box.run("try: SUBMIT(n='many')\nexcept BadAnswer as error: print(error)\nSUBMIT(n=5)")
        assert (cell.submitted, cell.stdout) == ({"n": 5}, "n: must be a whole number\n")
        cell = box.run("try: SUBMIT(n='many')\nexcept BadAnswer: pass")
        assert (cell.ok, cell.final, cell.submitted) == (True, None, None)
    assert strict.checked == [{"n": "many"}, {"n": "many"}, {"n": 5}, {"n": "many"}]


@pytest.mark.parametrize("give", ["FINAL('early')", "SUBMIT(a=1)", "answer.update(content='early', ready=True)"])
def test_an_answer_of_a_cell_that_failed_does_not_count(give: str) -> None:
    with Sandbox() as box:
        cell = box.run(f"{give}\n1 / 0")
        assert (cell.final, cell.submitted, cell.final_value) == (None, None, None)
        assert box.run("1").final is None


def test_an_answer_may_be_given_where_the_code_waits() -> None:
    with Sandbox(llm=str.upper) as box:
        assert box.run("import asyncio\nasync def main(): FINAL(await allm_query('a'))\nawait main()").final == "A"
        assert box.run("asyncio.run(main())").final == "A"
        code = "from concurrent.futures import ThreadPoolExecutor\ndef f(): FINAL(llm_query('b'))\nThreadPoolExecutor().submit(f)"
        assert box.run(code).final == "B"


def test_a_name_that_a_cell_took_is_the_contracts_again(box: Sandbox) -> None:
    box.run("def SUBMIT(**k): pass\nanswer = 5\nFINAL = SUBMIT")
    assert box.run("SUBMIT(a=1)").submitted == {"a": 1}
    assert value(box.run("answer")) == {"content": "", "ready": False}
