"""What a root model's reply means: a table of texts as models write them, the malformed ones above all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divebell.loop.replies import MAX_CODE_BLOCKS, Final, Reply, parse_reply, strip_thinking


def text(value: str) -> Final:
    return Final("text", value)


def variable(name: str) -> Final:
    return Final("variable", name)


CASES: dict[str, tuple[str, Reply]] = {
    "empty": ("", Reply((), None)),
    "prose only": ("I will look at the context first.", Reply((), None)),
    "one repl block": ("```repl\nx = 1\n```", Reply(("x = 1",), None)),
    "python mark": ("```python\nx = 1\n```", Reply(("x = 1",), None)),
    "py mark": ("```py\nx = 1\n```", Reply(("x = 1",), None)),
    "upper case mark": ("```Python\nx = 1\n```", Reply(("x = 1",), None)),
    "mark with more words": ("```python title=a.py\nx = 1\n```", Reply(("x = 1",), None)),
    "space before the mark": ("``` repl\nx = 1\n```", Reply(("x = 1",), None)),
    "tildes": ("~~~python\nx = 1\n~~~", Reply(("x = 1",), None)),
    "two blocks in order": ("```repl\na\n```\nthen\n```repl\nb\n```", Reply(("a", "b"), None)),
    "another language is not run": ("```bash\nrm -rf /\n```", Reply((), None)),
    "json beside code is not run": ("```json\n{}\n```\n```repl\nx\n```", Reply(("x",), None)),
    "prose after code": ("```repl\nx\n```\nNow I wait for the output.", Reply(("x",), None)),
    "never closed": ("```repl\nx = 1\ny = 2", Reply(("x = 1\ny = 2",), None)),
    "indented in a list": ("1. do:\n   ```py\n   if a:\n       b()\n   ```", Reply(("if a:\n    b()",), None)),
    "longer fence holds a shorter one": ("````repl\ns = '''\n```\n'''\n````", Reply(("s = '''\n```\n'''",), None)),
    "windows line ends": ("```repl\r\nx = 1\r\n```\r\n", Reply(("x = 1",), None)),
    "fence lines in a prompt's text": (
        '```repl\np = """\n```\nsample\n```\n"""\nprint(p)\n```\nThen FINAL.',
        Reply(('p = """\n```\nsample\n```\n"""\nprint(p)',), None),
    ),
    "a block opened before the last was closed": (
        "```repl\na = 1\n```repl\nb = 2\n```",
        Reply(("a = 1", "b = 2"), None),
    ),
    "a fence on the line of its list marker": ("1. ```python\n   x = 1\n   ```", Reply(("x = 1",), None)),
    "code that is not Python ends at its fence": ("```repl\nprint 1\n```\nmore", Reply(("print 1",), None)),
    "empty block is no block": ("```repl\n\n```", Reply((), None)),
    "unmarked code with our names": ("```\nprint(context[:9])\n```", Reply(("print(context[:9])",), None)),
    "unmarked code that awaits one of our names": (
        "```\nawait allm_query_batched(['a', 'b'])\n```",
        Reply(("await allm_query_batched(['a', 'b'])",), None),
    ),
    "unmarked prose": ("```\nthe context says hello\n```", Reply((), None)),
    "unmarked code without our names": ("```\nx = 1\n```", Reply((), None)),
    "two unmarked blocks are a guess": ("```\nprint(1)\n```\n```\nprint(2)\n```", Reply((), None)),
    "unmarked beside marked": ("```\nprint(1)\n```\n```repl\nprint(2)\n```", Reply(("print(2)",), None)),
    "final": ("FINAL(42)", Reply((), text("42"))),
    "final after thought": ("The count is clear.\n\nFINAL(42)", Reply((), text("42"))),
    "final with spaces": ("   FINAL( 42 )  ", Reply((), text("42"))),
    "final in bold": ("**FINAL(42)**", Reply((), text("42"))),
    "final in backticks": ("`FINAL(42)`", Reply((), text("42"))),
    "final with a stop": ("FINAL(42).", Reply((), text("42"))),
    "final with a sentence": ("FINAL(The answer is 42, as seen.)", Reply((), text("The answer is 42, as seen."))),
    "final in quotes": ('FINAL("42")', Reply((), text("42"))),
    "final with escapes": (r'FINAL("a\nb")', Reply((), text("a\nb"))),
    "final with a stray escape": (r'FINAL("\d+")', Reply((), text(r"\d+"))),
    "final in quotes over lines": ('FINAL("a\nb")', Reply((), text("a\nb"))),
    "final in triple quotes": ("FINAL('''a\nb''')", Reply((), text("a\nb"))),
    "final over lines": ("FINAL(first\nsecond)", Reply((), text("first\nsecond"))),
    "final with parentheses": ("FINAL(f(x) (see above))", Reply((), text("f(x) (see above)"))),
    "final with a parenthesis in quotes": ('FINAL(he said "a) b" twice)', Reply((), text('he said "a) b" twice'))),
    "final with an apostrophe": ("FINAL(it's Anna's)", Reply((), text("it's Anna's"))),
    "final with a parenthesis too many": ("FINAL(42))", Reply((), text("42"))),
    "final never closed": ("FINAL(the answer is long", Reply((), text("the answer is long"))),
    "final never closed, over lines": ("FINAL(a\nb\n", Reply((), text("a\nb"))),
    "final with a list": ("FINAL([1, 2, 3])", Reply((), text("[1, 2, 3]"))),
    "final with json": ('FINAL({"a": [1, 2]})', Reply((), text('{"a": [1, 2]}'))),
    "the last final wins": ("FINAL(1)\nNo, wait.\nFINAL(2)", Reply((), text("2"))),
    "final beside code": ("```repl\nx\n```\nFINAL(42)", Reply(("x",), text("42"))),
    "final before code": ("FINAL(42)\n```repl\nx\n```", Reply(("x",), text("42"))),
    "final inside code is code": ("```repl\nFINAL(x)\n```", Reply(("FINAL(x)",), None)),
    "final in a comment of code": ("```repl\n# FINAL(1)\nx\n```", Reply(("# FINAL(1)\nx",), None)),
    "final alone in an unmarked block": ("```\nFINAL(42)\n```", Reply((), text("42"))),
    "final of a name in an unmarked block is code": ("```\nFINAL(total)\n```", Reply(("FINAL(total)",), None)),
    "final_var": ("FINAL_VAR(result)", Reply((), variable("result"))),
    "final_var in quotes": ('FINAL_VAR("result")', Reply((), variable("result"))),
    "final_var in backticks inside": ("FINAL_VAR(`result`)", Reply((), variable("result"))),
    "final_var of an expression": ("FINAL_VAR(a + b)", Reply((), Final("expression", "a + b", "a + b"))),
    "final_var wins over earlier final": ("FINAL(1)\nFINAL_VAR(x)", Reply((), variable("x"))),
    "planned in prose": ("Then I will call FINAL(answer) at the end.", Reply((), None)),
    "planned at the start of a line": ("FINAL(answer) is what I will call next.", Reply((), None)),
    "planned in a list": ("- FINAL(result) once I know", Reply((), None)),
    "planned in a numbered list": ("3. FINAL(the sum)", Reply((), None)),
    "quoted from the instructions": ("> FINAL(your answer)", Reply((), None)),
    "placeholder": ("FINAL(your answer)", Reply((), None)),
    "placeholder of dots": ("FINAL(...)", Reply((), None)),
    "empty final": ("FINAL()", Reply((), None)),
    "another word": ("FINALLY(42)", Reply((), None)),
    "lower case is prose": ("final(42)", Reply((), None)),
    "in the middle of a word": ("MY_FINAL(42)", Reply((), None)),
    "shown inside another block": ("```json\nFINAL(42)\n```", Reply((), None)),
}


@pytest.mark.parametrize(("reply", "expected"), CASES.values(), ids=CASES.keys())
def test_reply(reply: str, expected: Reply) -> None:
    assert parse_reply(reply) == expected


def test_the_table_is_as_long_as_promised() -> None:
    assert len(CASES) >= 60


@given(st.text(alphabet="FINAL_VR()\"'`~\n\\ repla=1*.", max_size=400))
def test_every_text_has_a_reading(reply: str) -> None:
    parsed = parse_reply(reply)
    assert len(parsed.code_blocks) <= MAX_CODE_BLOCKS
    assert parsed.final is None or parsed.final.value


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "hostile",
    [
        "`" * 10**6,
        "```\n" * 250_000,
        "FINAL(" * 200_000,
        "FINAL(\n" * 200_000,
        "FINAL(\n" * 200_000 + ")x\n" * 200_000,
        "FINAL(\n```\n" * 100_000 + ")x\n" * 100_000,
        "FINAL( 'a)\n" * 100_000 + "'",
        "<think>\n" * 200_000,
        "</think>" * 200_000,
        "the answer is " * 100_000 + "FINAL(x)",
        "FINAL(" + "-" * 10**5 + "x)",
        "FINAL(" + "a." * 10**5 + "x)",
        "FINAL(" + "[" * 9000 + "x" + "]" * 9000 + ")",
        "print(" + "(" * 10**5,
        "```repl\n(\n" * 100_000,
        "FINAL('" * 200_000,
        "FINAL(" + "(" * 10**6,
        "FINAL(" + "'\\" * 500_000,
        "FINAL(" + "['" * 500_000,
        "FINAL(a\n'" * 100_000,
        " " * 10**6 + "FINAL(",
        "```" + " " * 10**6 + "`",
        "```repl\nx = (\n" + "```\n" * 250_000,
    ],
    ids=lambda text: repr(text[:9]),
)
def test_a_hostile_reply_costs_linear_time(hostile: str) -> None:
    parse_reply(hostile)


def test_a_reply_of_too_many_blocks_is_cut() -> None:
    assert len(parse_reply("```repl\nx\n```\n" * 500).code_blocks) == MAX_CODE_BLOCKS


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("<think>FINAL(1)</think>\nFINAL(2)", "FINAL(2)"),
        ("<thinking>a</thinking>b", "b"),
        ("<think>never closed", "<think>never closed"),
        ("text <think>x</think>", "text <think>x</think>"),
    ],
)
def test_thinking_is_stripped_from_the_beginning_only(reply: str, expected: str) -> None:
    assert strip_thinking(reply) == expected
