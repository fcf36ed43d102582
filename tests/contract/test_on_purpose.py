"""A single word as the answer: a variable's value where the code set that variable on purpose, and else the word."""

import pytest

from divebell import RLM, Sandbox
from divebell.testing import ScriptedModel

ON_PURPOSE = {
    "an assignment": "x = 1",
    "of several": "x, y = 1, 2",
    "with a star": "y, *x = 1, 2",
    "added to": "x = 1\nx += 1",
    "with a type": "x: int = 1",
    "in an expression": "(x := 1)",
    "in an expression in a comprehension": "[x := n for n in range(3)]",
    "in a loop": "for n in range(3):\n    x = n",
    "in a condition": "if True:\n    x = 1",
    "in a try": "try:\n    x = 1\nexcept ValueError:\n    pass",
    "after a loop over it": "for x in range(3):\n    pass\nx = 5",
    "beside a function that has one too": "def f():\n    for x in ():\n        pass\nx = 1",
}
BY_THE_WAY = {
    "a loop": "for x in range(3):\n    pass",
    "a loop over pairs": "for y, (x, z) in [(1, (2, 3))]:\n    pass",
    "an async loop": "async def many():\n    yield 1\nasync for x in many():\n    pass",
    "a loop after an assignment": "x = 1\nfor x in range(3):\n    pass",
    "a with": "import contextlib\nwith contextlib.nullcontext(1) as x:\n    pass",
    "a function": "def x():\n    pass",
    "a class": "class x:\n    pass",
    "an import": "import math as x",
    "from an import": "from math import pi as x",
    "a pattern": "match [1]:\n    case [x]:\n        pass",
    "a comprehension's own": "y = [x for x in range(3)]",
    "an element": "x = {}\ndel x\ny = {}\ny['x'] = 1",
    "a function's own": "def f():\n    x = 1\nf()",
    "never": "y = 1",
    "a type alone": "x: int",
}


@pytest.mark.parametrize("code", ON_PURPOSE.values(), ids=ON_PURPOSE.keys())
def test_it_was_set_on_purpose(code: str) -> None:
    with Sandbox() as box:
        assert box.run(code).ok
        assert box.is_set_on_purpose("x") is True


@pytest.mark.parametrize("code", BY_THE_WAY.values(), ids=BY_THE_WAY.keys())
def test_it_was_not_set_on_purpose(code: str) -> None:
    with Sandbox() as box:
        assert box.run(code).ok
        assert box.is_set_on_purpose("x") is False


def test_the_latest_cell_that_bound_it_decides() -> None:
    with Sandbox() as box:
        box.run("for x in range(3): pass")
        box.run("x = 1")
        box.run("print(x)")
        assert box.is_set_on_purpose("x") is True
        box.run("for x in range(3): pass")
        assert box.is_set_on_purpose("x") is False


def test_it_is_known_in_a_fork_and_after_a_cell_that_failed() -> None:
    with Sandbox() as box:
        box.run("x = 1")
        assert not box.run("x = (").ok
        assert not box.run("1 / 0").ok
        with box.fork() as twin:
            assert twin.is_set_on_purpose("x") is True


@pytest.mark.parametrize(
    "code", ["import linecache\nlinecache.cache = 5", "import ast\nast.parse = None", "x = 1\ndel x"]
)
def test_code_that_breaks_the_search_makes_it_a_word(code: str) -> None:
    with Sandbox() as box:
        box.run(code)
        assert box.is_set_on_purpose("x") is False
        assert box.run("1 + 1").value == 2


@pytest.mark.parametrize(
    ("code", "said", "answer"),
    [
        ("total = 42", "FINAL(total)", "42"),
        ("for B in [1, 2]: pass", "FINAL(B)", "B"),
        ("B = 7", "FINAL(B)", "B"),
        ("for option in 'ab': pass", "FINAL(option)", "option"),
        ("def Paris(): pass", "FINAL(Paris)", "Paris"),
        ("import math as Rome", "FINAL(Rome)", "Rome"),
        ("yes = 5", "FINAL(yes)", "yes"),
        ("found = True", "FINAL(not found)", "not found"),
        ("cats, dogs = 1, 2", "FINAL(cats and dogs)", "cats and dogs"),
        ("low, high = 1, 9", "FINAL(low-high)", "low-high"),
        ("Smith, John = 1, 2", "FINAL(Smith, John)", "Smith, John"),
        ("a = b = c = 1", "FINAL(a if b else c)", "a if b else c"),
        ("x = y = 1", "FINAL(x is y)", "x is y"),
        ("names = ['a', 'b']", "FINAL(', '.join(names))", "a, b"),
        ("for n in range(3): pass", "FINAL_VAR(n)", "2"),
    ],
)
def test_the_answer_of_a_run(code: str, said: str, answer: str) -> None:
    rlm = RLM(ScriptedModel("root", [f"```repl\n{code}\n```", said]))
    assert rlm.completion("text", "What is it?") == answer
