"""README.md's table: FINAL, FINAL_VAR, `answer` and SUBMIT, as a cell shows them."""

from typing import Any

import pytest

from divebell import Limits, Sandbox
from divebell.sandbox.host import CallableHost
from tests.support.cells import error_kind, value_of


@pytest.mark.parametrize(
    ("code", "text", "data"),
    [
        ("FINAL('text')", "text", "text"),
        ("FINAL([1, {'a': 2.5}])", "[1, {'a': 2.5}]", [1, {"a": 2.5}]),
        ("FINAL((1, 2))", "(1, 2)", [1, 2]),
        ("FINAL(None)", "None", None),
        ("FINAL({1, 2})", "{1, 2}", [1, 2]),
        ("x = {'a': 1}\nFINAL_VAR('x')", "{'a': 1}", {"a": 1}),
        ("x = 5\nFINAL_VAR(x)", "5", 5),
        ("answer['content'] = [1]\nanswer['ready'] = True", "[1]", [1]),
        ("answer = {'content': 'new dict', 'ready': True}", "new dict", "new dict"),
        ("FINAL(1)\nFINAL(2)", "2", 2),
        ("FINAL('x' * 2_000_000)", "x" * 2_000_000, None),
        ("FINAL([0] * 1_100_000)", str([0] * 1_100_000), None),
        ("class A:\n    def __str__(self): return 'an A'\nFINAL(A())", "an A", "an A"),
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
        ("SUBMIT('a', 2)", '["a", 2]', {"*": ["a", 2]}),
        ("FINAL(1)\nSUBMIT(b=2)", '{"b": 2}', {"b": 2}),
        ("SUBMIT(a=1)\nFINAL(2)", '{"a": 1}', {"a": 1}),
        ("for n in range(3):\n    if n == 1: SUBMIT(n)\nSUBMIT('none')", "1", {"answer": 1}),
        ("SUBMIT(a=1)\n1 / 0", '{"a": 1}', {"a": 1}),
        ("import asyncio\nasync def main(): SUBMIT(a=1)\nawait asyncio.gather(main())\n1 / 0", '{"a": 1}', {"a": 1}),
        (
            "import asyncio\nasync def f(i):\n    await llm_query('x')\n    if i == 2: SUBMIT(a=1)\n"
            "async with asyncio.TaskGroup() as group:\n    for i in range(5): group.create_task(f(i))\n1 / 0",
            '{"a": 1}',
            {"a": 1},
        ),
        (
            "from concurrent.futures import ThreadPoolExecutor\n"
            "list(ThreadPoolExecutor().map(lambda a: SUBMIT(a=a) if a == 1 else llm_query('x'), range(5)))\n1 / 0",
            '{"a": 1}',
            {"a": 1},
        ),
        ("import asyncio\nasync def main(): SUBMIT(a=1)\nasyncio.run(main())\n1 / 0", '{"a": 1}', {"a": 1}),
    ],
)
def test_submit_gives_fields_and_text(call: str, text: str, fields: dict[str, Any]) -> None:
    with Sandbox(llm=str.upper) as box:
        cell = box.run(call)
        assert (cell.final, cell.submitted, cell.final_value) == (text, fields, None)
        assert box.run("1").submitted is None


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("SUBMIT()", "TypeError"), ("SUBMIT(1, a=2)", "TypeError"), ("SUBMIT({})", "TypeError"),
        ("SUBMIT(a={(1, 2): 3})", "BadAnswer"), ("SUBMIT(a=print)", "BadAnswer"), ("SUBMIT({1: 2})", "BadAnswer"),
        ("SUBMIT(a='x' * (17 << 20))", "BadAnswer"), ("a = []\na.append(a)\nSUBMIT(a=a)", "BadAnswer"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused_in_the_cell(call: str, error: str) -> None:
    with Sandbox() as box:
        cell = box.run(call)
        assert error_kind(cell) == error
        assert (cell.final, cell.submitted) == (None, None)


class Strict(CallableHost):
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
    with Sandbox(host=strict) as box:
        cell = box.run("SUBMIT(n='many')")
        assert error_kind(cell) == "BadAnswer"
        assert cell.error is not None
        assert cell.error.message == "n: must be a whole number"
        assert (cell.final, cell.submitted) == (None, None)
        cell = box.run("try: SUBMIT(n='many')\nexcept BadAnswer as error: print(error)\nSUBMIT(n=5)")
        assert (cell.submitted, cell.stdout) == ({"n": 5}, "n: must be a whole number\n")
        cell = box.run("try: SUBMIT(n='many')\nexcept BadAnswer: pass")
        assert (cell.ok, cell.final, cell.submitted) == (True, None, None)
    assert strict.checked == [{"n": "many"}, {"n": "many"}, {"n": 5}, {"n": "many"}]


@pytest.mark.parametrize("give", ["FINAL('early')", "answer.update(content='early', ready=True)"])
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


def test_exit_in_a_task_group_ends_the_cell_with_its_status(box: Sandbox) -> None:
    code = "import asyncio, sys\nasync def f():\n    await llm_query('x')\n    FINAL(1)\n    sys.exit(3)\n"
    cell = box.run(code + "async with asyncio.TaskGroup() as group: group.create_task(f())\n1 / 0")
    assert (error_kind(cell), cell.exit_status, cell.final) == (None, 3, "1")


def test_a_name_that_a_cell_took_is_the_contracts_again(box: Sandbox) -> None:
    box.run("def SUBMIT(**k): pass\nFINAL = FINAL_VAR = SUBMIT\ndel llm_query, answer")
    assert box.run("SUBMIT(a=1)").submitted == {"a": 1}
    assert box.run("FINAL(llm_query('a'))").final == "A"
    assert value_of(box.run("answer['ready']")) is False


@pytest.mark.parametrize("fails", ["", "\n1 / 0"])
@pytest.mark.parametrize(
    "give", ["FINAL_VAR('answer')", "FINAL_VAR(answer)", "FINAL(answer)", "answer['ready'] = True"]
)
def test_what_a_cell_puts_in_the_place_of_answer_is_not_lost(box: Sandbox, give: str, fails: str) -> None:
    content = {"content": "Paris", "ready": False}
    for code, held in (
        ("answer = 'Paris'", "Paris"),
        ("answer = {'content': 'Paris', 'ready': False}", content),
        ("answer = {'content': 'Paris'}", {"content": "Paris"}),
        ("del answer", {"content": "Paris", "ready": False}),
        ("answer = ['Paris', 1.5]", ["Paris", 1.5]),
    ):
        box.run(code + fails)
        if code == "del answer":
            box.run("answer['content'] = 'Paris'" + fails)
        assert value_of(box.run("answer")) == held
        assert box.run(give).final == ("Paris" if "1.5" not in code else "['Paris', 1.5]")
    assert box.run(f"answer = llm_query('paris')\n{give if 'ready' not in give else 'FINAL(answer)'}").final == "PARIS"


@pytest.mark.parametrize("ready", ["True", "1", "'True'"])
def test_ready_is_said_in_more_ways_than_one(ready: str) -> None:
    with Sandbox() as box:
        assert box.run(f"answer['content'] = 5\nanswer['ready'] = {ready}").final_value == 5
        assert box.run(f"answer = dict(content=6, ready={ready})").final_value == 6
        assert box.run("answer['ready'] = [1]\nanswer['ready'] = 'no'").final is None


@pytest.mark.parametrize(
    "call", ["FINAL(answer)", "FINAL_VAR(answer)", "FINAL_VAR('answer')", "answer['ready'] = True"]
)
def test_an_answer_without_content_is_none(call: str) -> None:
    with Sandbox() as box:
        cell = box.run(call)
        assert (error_kind(cell), cell.final) == ("NoContent", None)


@pytest.mark.parametrize("name", ["json", "re", "llm_query", "FINAL", "print", "SHOW_VARS", "__builtins__"])
def test_final_var_of_a_name_that_no_cell_defined_is_no_answer(name: str) -> None:
    with Sandbox() as box:
        cell = box.run(f"x = 1\nFINAL_VAR('{name}')")
        assert (error_kind(cell), cell.final) == ("NameError", None)
        assert cell.error is not None
        assert "variables so far: x" in cell.error.message
        assert box.run("json = 'mine'\nFINAL_VAR('json')").final == "mine"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("x = 'Paris'\nFINAL_VAR(x)", "Paris"),
        ("x = 'json'\nFINAL_VAR(x)", "json"),
        ("x = ['Paris']\nFINAL_VAR(x[0])", "Paris"),
        ("FINAL_VAR(llm_query('paris'))", "PARIS"),
        ("result = 5\nname = 'result'\nFINAL_VAR(name)", "5"),
        ("def end(v):\n    FINAL_VAR(v)\nend('Paris')", "Paris"),
        ("import asyncio\nx = 'Paris'\nasync def main(): FINAL_VAR(x)\nasyncio.run(main())", "Paris"),
        ("def FINAL_VAR(x): FINAL('own ' + x)\nx = 'Paris'\nFINAL_VAR(x)", "own Paris"),
    ],
)
def test_final_var_takes_a_variable_itself_too(box: Sandbox, code: str, text: str) -> None:
    assert box.run(code).final == text


HOSTILE = """
class Loops(dict):
    def __contains__(self, key):
        while True: pass
    __getitem__ = get = keys = __iter__ = __eq__ = __contains__
class Liar:
    __class__ = dict
    def __eq__(self, other):
        while True: pass
"""


@pytest.mark.parametrize(
    "code",
    [
        "answer = Loops(content='x', ready=True)",
        "answer = Loops()",
        "answer = Liar()",
        "answer['ready'] = Liar()",
        "answer['content'] = Liar()",
        "answer.clear()",
        "del answer['content'], answer",
        "answer = llm_query",
    ],
)
@pytest.mark.parametrize("fails", ["", "\n1 / 0"])
def test_nothing_in_the_place_of_answer_breaks_the_cell_or_the_next(code: str, fails: str) -> None:
    with Sandbox(limits=Limits(cell_seconds=1, grace_seconds=1)) as box:
        cell = box.run(HOSTILE + code + fails)
        assert (error_kind(cell), cell.restored) == ("ZeroDivisionError" if fails else None, False)
        box.run("answer = 'Paris'")
        assert box.run("FINAL(answer)").final == "Paris"


def test_the_context_may_be_the_answer(box: Sandbox) -> None:
    assert box.run("FINAL_VAR('context')").final == box.run("FINAL_VAR(context)").final == "the context"


@pytest.mark.parametrize("code", ["SHOW_VARS()", "x = SHOW_VARS()\nx", "await asyncio.sleep(0, SHOW_VARS())"])
def test_show_vars_is_shown_once(box: Sandbox, code: str) -> None:
    box.run("import asyncio\nn = [1, 2]")
    assert box.run(code).output.count("n: list, length 2") == 1
    assert value_of(box.run("SHOW_VARS() + ''")) == box.run("SHOW_VARS()").stdout.rstrip("\n")
