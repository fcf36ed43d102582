"""What a root model's reply means: a table of texts as models write them, the malformed ones above all."""

import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divebell.replies.replies import MAX_CODE_BLOCKS, Final, Note, Reply, parse_reply, strip_thinking


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
    "final before code": ("FINAL(42)\n```repl\nx\n```", Reply(("x",), None)),
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
    read = parse_reply(reply)
    assert (read.code_blocks, read.final) == (expected.code_blocks, expected.final)


def test_the_table_is_as_long_as_promised() -> None:
    assert len(CASES) >= 60


PARTS = st.sampled_from(
    ["FINAL(", "SUBMIT(", "FINAL_VAR(", ")", "(", "1) ", "[0, 1)", ":)", "\n", "\n\n", "```", "```repl\n", "\n```\n", "~~~", "> ",
     "- ", "<think>", "</think>", "[THINK]", "[/THINK]", "<|channel|>final<|message|>", "<|channel|>analysis<|message|>", "<|end|>",
     "<tool_call>", "</tool_call>", '{"name": "python", "arguments": {"code": "x = 1"}}', "<python>", "</python>", "<code>",
     "print(context)", "x = 1", "answer", "42", "'", '"', " ", "`", "**", "analysisA", "assistantfinal", "</s>", "é", "\ud83d"]
)  # fmt: skip


@given(st.lists(PARTS, max_size=40).map("".join), st.booleans())
def test_every_reply_of_the_usual_parts_has_a_reading_and_the_same_one_twice(reply: str, is_cut: bool) -> None:
    read = parse_reply(reply, is_cut=is_cut)
    assert read == parse_reply(reply, is_cut=is_cut)
    assert all(code.strip() for code in read.code_blocks)
    assert read.final is None or read.final.value
    whole = parse_reply(reply)
    if is_cut:
        assert set(read.code_blocks) <= set(whole.code_blocks)
    assert len(strip_thinking(reply)) <= len(reply) + 200


@given(st.text(alphabet="FINAL_VR()\"'`~\n\\ repla=1*.", max_size=400))
def test_every_text_has_a_reading(reply: str) -> None:
    parsed = parse_reply(reply)
    assert len(parsed.code_blocks) <= MAX_CODE_BLOCKS
    assert parsed.final is None or parsed.final.value


HOSTILE: dict[str, Callable[[int], str]] = {
    "backticks": lambda n: "`" * n,
    "fences": lambda n: "```\n" * n,
    "calls that are not closed": lambda n: "FINAL(" * n,
    "calls on lines that are not closed": lambda n: "FINAL(\n" * n,
    "calls that are closed amid words": lambda n: "FINAL(\n" * n + ")x\n" * n,
    "calls with a fence in each": lambda n: "FINAL(\n```\n" * n + ")x\n" * n,
    "calls with a letter in each": lambda n: "FINAL(a) x\n" * n,
    "calls with text before a parenthesis": lambda n: "FINAL(a) (\n" * n,
    "a call and unpaired parentheses": lambda n: "FINAL(1)\n" + "b) c\n" * n,
    "a call and lists": lambda n: "FINAL(" + "a,\n1) b (" * n,
    "quotes in calls": lambda n: "FINAL('" * n,
    "literals in calls": lambda n: "FINAL( 'a)\n" * n + "'",
    "quotes and brackets in a call": lambda n: "FINAL(" + "['" * n,
    "slashes in a call": lambda n: "FINAL(" + "'\\" * n,
    "parentheses in a call": lambda n: "FINAL(" + "(" * n,
    "signs in a call": lambda n: "FINAL(" + "-" * n + "x)",
    "attributes in a call": lambda n: "FINAL(" + "a." * n + "x)",
    "brackets in a call": lambda n: "FINAL(" + "[" * n + "x" + "]" * n + ")",
    "blanks before a call": lambda n: " " * n + "FINAL(",
    "tags before a call": lambda n: "<a>" * n + "FINAL(1)",
    "marks of emphasis before a call": lambda n: "_ " * n + "FINAL(1)",
    "blanks in a fence": lambda n: "```" + " " * n + "`",
    "blanks behind a mark": lambda n: "```repl" + " " * n + "x",
    "a call in code": lambda n: "print(" + "(" * n,
    "blocks that are not Python": lambda n: "```repl\n(\n" * n,
    "fences in a block that is not Python": lambda n: "```repl\nx = (\n" + "```\n" * n,
    "ends of blocks behind code": lambda n: "```repl\n" + "x = 1 ```\n" * n,
    "fences behind words": lambda n: "x: ```python\n" * n,
    "prompts": lambda n: "```repl\n" + ">>> x\n" * n,
    "blocks in a quotation": lambda n: "> ```repl\n" * n,
    "a deep quotation": lambda n: ">" * n + " ```repl\nx",
    "sentences with an answer": lambda n: "the answer is " * n + "FINAL(x)",
    "thoughts": lambda n: "<think>\n" * n,
    "thoughts on a line": lambda n: "a <think> b\n" * n + "</analysis>",
    "thoughts of two names": lambda n: "<think> x </cot>" * n,
    "half a mark of a thought": lambda n: "<think " * n,
    "ends of thoughts": lambda n: "</think>" * n,
    "ends of thoughts on lines": lambda n: "</think\n" * n,
    "channels": lambda n: "<|channel|>final<|message|>" * n,
    "beginnings": lambda n: "<|start|>" * n,
    "channels without tokens": lambda n: "analysisA" + "assistant" * n,
    "tags of code": lambda n: "<python>\n" * n,
    "tags of code and one end": lambda n: "<code>\n" * n + "</code>",
    "tags of calls": lambda n: "<tool_call>\n" * n,
    "tags of calls and one end": lambda n: "<tool_call>\n" * n + "</tool_call>",
    "tags in a call": lambda n: "<tool_call>" + "<arg_key>" * n,
    "braces in a call": lambda n: "<tool_call>" + "{" * n,
    "objects in a call": lambda n: "<tool_call>" + '{"a": 1} ' * n,
    "invocations": lambda n: '<invoke name="a">' * n,
    "lists of calls": lambda n: "[TOOL_CALLS]" * n,
    "functools": lambda n: "functools[{" * n,
    "sections": lambda n: "<｜tool▁call▁begin｜>" * n,
    "python tags": lambda n: "<|python_tag|>" * n,
    "actions": lambda n: "Action: a\nAction Input: b\n" * n,
    "json in a block": lambda n: "```json\n" + "[" * n + "\n```",
    "line feeds": lambda n: "\n" * n,
}


@pytest.mark.slow
@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_reply_of_any_length_is_read(hostile: Callable[[int], str]) -> None:
    parse_reply(hostile(20_000))


def _work(text: str, *, is_cut: bool) -> int:
    """How many calls the reading makes, those of regular expressions among them: that does not depend on the machine."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        parse_reply(text, is_cut=is_cut)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.slow
@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
def test_four_times_the_text_is_four_times_the_work(hostile: Callable[[int], str], is_cut: bool) -> None:
    _work(hostile(50), is_cut=is_cut)  # what is made on first use
    small, large = (_work(hostile(size), is_cut=is_cut) for size in (250, 1_000))
    assert large <= 5 * small + 2_000


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


def test_an_answer_in_words_behind_code_is_spoken_of() -> None:
    read = parse_reply("```repl\nx = 1\n```\nSo the answer is FINAL(42).")
    assert read.final is None
    assert read.notes == (Note("answer_in_words", "42"),)


def test_an_answer_that_was_cut_is_told_only_that() -> None:
    notes = parse_reply("FINAL(The parties are: Ann", is_cut=True).notes
    assert [note.template for note in notes] == ["cut"]
