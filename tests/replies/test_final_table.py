"""Where an answer counts, and what it means: replies as models write them, the malformed ones above all.

The paper (arXiv:2512.24601) reports that 16% of turns misused FINAL and 13% FINAL_VAR: each row is one way to do so.
"""

import pytest

from divebell import Sandbox
from divebell.replies.meanings import Final
from divebell.replies.replies import parse_reply


def text(value: str) -> Final:
    return Final("text", value)


def variable(name: str) -> Final:
    return Final("variable", name)


def word(name: str) -> Final:
    return Final("text_or_variable", name, name)


def either(source: str) -> Final:
    """Python that may as well be a text."""
    return Final("expression", source, source)


def expression(source: str) -> Final:
    return Final("expression", source)


def submit(source: str) -> Final:
    return Final("submit", source)


def read(reply: str) -> tuple[tuple[str, ...], Final | None]:
    parsed = parse_reply(reply)
    return parsed.code_blocks, parsed.final


CODE = "```repl\nx = 1\n```\n"

COUNTS: dict[str, tuple[str, Final]] = {
    "alone": ("FINAL(42)", text("42")),
    "indented by four": ("    FINAL(42)", text("42")),
    "indented by a tab": ("\tFINAL(42)", text("42")),
    "indented by a no-break space": ("\u00a0FINAL(42)", text("42")),
    "amid prose lines": ("I have it.\nFINAL(42)\nThat is all.", text("42")),
    "space before the parenthesis": ("FINAL (42)", text("42")),
    "bold": ("**FINAL(42)**", text("42")),
    "bold and italic": ("***FINAL(42)***", text("42")),
    "italic": ("*FINAL(42)*", text("42")),
    "in underscores": ("__FINAL(42)__", text("42")),
    "backticked": ("`FINAL(42)`", text("42")),
    "in three backticks on one line": ("```FINAL(42)```", text("42")),
    "with a stop": ("FINAL(42).", text("42")),
    "with a semicolon": ("FINAL(42);", text("42")),
    "with a comment": ("FINAL(42)  # the count", text("42")),
    "with a chat token": ("FINAL(42)<|im_end|>", text("42")),
    "with an end tag": ("<answer>\nFINAL(42)</answer>", text("42")),
    "with a tick": ("FINAL(42) ✅", text("42")),
    "behind a tick": ("✅ FINAL(42)", text("42")),
    "behind an arrow": ("→ FINAL(42) 🎉", text("42")),
    "its name in bold": ("**FINAL**(42)", text("42")),
    "its name in backticks": ("`FINAL`(42)", text("42")),
    "a line feed that was escaped": ("FINAL(42)\\n", text("42")),
    "final_var of words": ("FINAL_VAR(not found)", text("not found")),
    "one parenthesis too many": ("FINAL(42))", text("42")),
    "never closed": ("FINAL(forty-two of them", text("forty-two of them")),
    "never closed, over lines": ("FINAL(first\nsecond\n", text("first\nsecond")),
    "windows line ends": ("Done.\r\nFINAL(a\r\nb)\r\n", text("a\nb")),
    "zero-width space before": ("\u200bFINAL(42)", text("42")),
    "byte order mark before": ("\ufeffFINAL(42)", text("42")),
    "zero-width space inside": ("FINAL(\u200b42\u200b)", text("42")),
    "full-width parentheses": ("FINAL\uff08四十二\uff09", word("四十二")),
    "not English": ("FINAL(Ответ — «Москва» (столица).)", text("Ответ — «Москва» (столица).")),
    "right to left": ("FINAL(שלום עולם)", text("שלום עולם")),
    "parentheses inside": ("FINAL(see f(x) (page 3) and (b))", text("see f(x) (page 3) and (b)")),
    "a parenthesis in quotes": ('FINAL(he wrote "a) b" and left)', text('he wrote "a) b" and left')),
    "apostrophes": ("FINAL(it's the dogs' bowl)", text("it's the dogs' bowl")),
    "a quoted apostrophe": ("FINAL('it's broken')", text("it's broken")),
    "double quotes": ('FINAL("42")', text("42")),
    "single quotes": ("FINAL('a, b')", text("a, b")),
    "triple quotes over lines": ('FINAL("""a\n\nb""")', text("a\n\nb")),
    "smart quotes": ("FINAL(“forty two”)", text("forty two")),
    "guillemets": ("FINAL(«да, конечно»)", text("да, конечно")),
    "backticks inside": ("FINAL(`git push -f`)", text("git push -f")),
    "bold inside": ("FINAL(**forty two**)", text("forty two")),
    "two quoted parts are a text": ('FINAL("yes" he said "no")', text('"yes" he said "no"')),
    "raw string": (r"FINAL(r'\d+')", text(r"\d+")),
    "joined strings": ("FINAL('a '\n'b')", text("a b")),
    "keyword": ("FINAL(answer='42')", text("42")),
    "an equation is not a keyword": ("FINAL(x = 5)", text("x = 5")),
    "latex": (r"FINAL(\boxed{42})", text(r"\boxed{42}")),
    "latex with parentheses": (r"FINAL($\left(\frac{1}{2}\right)$)", text(r"$\left(\frac{1}{2}\right)$")),
    "json": ('FINAL({"a": [1, 2], "b": null})', either('{"a": [1, 2], "b": null}')),
    "json without names": ('FINAL({"a": [1, "(2"]})', text('{"a": [1, "(2"]}')),
    "json over lines": ('FINAL({\n  "a": 1\n})', text('{\n  "a": 1\n}')),
    "a list": ("FINAL([1, 2, 3])", text("[1, 2, 3]")),
    "a markdown table": ("FINAL(| a | b |\n|---|---|\n| 1 | (2) |)", text("| a | b |\n|---|---|\n| 1 | (2) |")),
    "a markdown list": ("FINAL(- the one\n- the two)", text("- the one\n- the two")),
    "a code block inside": (
        "FINAL(Use this:\n```python\nprint(1)\n```\nand no more)",
        text("Use this:\n```python\nprint(1)\n```\nand no more"),
    ),
    "a code block at its end": ("FINAL(\n```\nf(x)\n```\n)", text("```\nf(x)\n```")),
    "a hash inside": ("FINAL(issue #4 is open)", text("issue #4 is open")),
    "a url": ("FINAL(https://example.org/a_(b)?c=d)", text("https://example.org/a_(b)?c=d")),
    "very long": (f"FINAL({'long (words) ' * 50_000})", text(("long (words) " * 50_000).strip())),
    "true is a text": ("FINAL(True)", text("True")),
    "the last of two": ("FINAL(1)\nNo, I misread it.\nFINAL(2)", text("2")),
    "the last of two kinds": ("FINAL(1)\nFINAL_VAR(result)", variable("result")),
    "a placeholder after the answer": ("FINAL(42)\nFINAL(...)", text("42")),
    "after a thought": ("<think>FINAL(1)?</think>\nFINAL(2)", text("2")),
    "after a thought in the middle": ("Hm.\n<think>\nFINAL(1)\n</think>\nFINAL(2)", text("2")),
    "after a thought without its first tag": ("maybe FINAL(1)\n</think>\n\nFINAL(2)", text("2")),
    "fence without a mark": ("```\nFINAL(42)\n```", text("42")),
    "fence marked text": ("The answer:\n```text\nFINAL(42)\n```", text("42")),
    "fence marked markdown": ("```markdown\nFINAL(two\nlines)\n```", text("two\nlines")),
    "fence marked repl, and not Python": ("```repl\nFINAL(The answer is 42.)\n```", text("The answer is 42.")),
    "fence marked python, over lines": ("```python\nFINAL(It is so:\n- a\n- b)\n```", text("It is so:\n- a\n- b")),
    "after a label": ("Final answer: FINAL(42)", text("42")),
    "at the end of a sentence": ("I counted twice.\nSo the answer is FINAL(42).", text("42")),
    "after a bold label": ("**Answer:** FINAL(Paris, France)", text("Paris, France")),
    "a single word": ("FINAL(Paris)", word("Paris")),
    "a single word in backticks": ("FINAL(`names`)", word("names")),
    "a name that is no answer": ("FINAL(result)", variable("result")),
    "a name that could be a placeholder": ("FINAL(final_answer)", variable("final_answer")),
    "a name that says it holds the answer": ("FINAL(final_answer_text)", variable("final_answer_text")),
    "a single word in quotes is a text": ('FINAL("result")', text("result")),
    "a single word that is no English": ("FINAL(東京)", word("東京")),
    "words": ("FINAL(the result)", text("the result")),
    "f-string": ('FINAL(f"{count} of {total}")', expression('f"{count} of {total}"')),
    "f-string in triple quotes": ('FINAL(f"""{a}\n(b""")', expression('f"""{a}\n(b"""')),
    "join": ('FINAL(", ".join(names))', expression('", ".join(names)')),
    "a builtin's call": ("FINAL(len(hits))", expression("len(hits)")),
    "a module's call": ("FINAL(json.dumps(rows))", expression("json.dumps(rows)")),
    "an element": ("FINAL(hits[0])", expression("hits[0]")),
    "an entry": ('FINAL(result["total"])', expression('result["total"]')),
    "an attribute or a host": ("FINAL(example.com)", either("example.com")),
    "a call or a remark": ("FINAL(Paris (France))", text("Paris (France)")),
    "a sum or a formula": ("FINAL(a + b)", text("a + b")),
    "names in a dict": ('FINAL({"total": total})', either('{"total": total}')),
    "final of final_var": ("FINAL(FINAL_VAR(result))", expression("FINAL_VAR(result)")),
    "final_var": ("FINAL_VAR(result)", variable("result")),
    "final_var in double quotes": ('FINAL_VAR("result")', variable("result")),
    "final_var in single quotes": ("FINAL_VAR('result')", variable("result")),
    "final_var in backticks": ("FINAL_VAR(`result`)", variable("result")),
    "final_var in smart quotes": ("FINAL_VAR(“result”)", variable("result")),
    "final_var with spaces": ("FINAL_VAR ( result )", variable("result")),
    "final_var of an attribute": ("FINAL_VAR(result.text)", either("result.text")),
    "final_var of an element": ("FINAL_VAR(rows[0])", expression("rows[0]")),
    "final_var of an entry, all in quotes": ("""FINAL_VAR("rows['a']")""", expression("rows['a']")),
    "final_var of a call": ("FINAL_VAR(str(total))", expression("str(total)")),
    "final_var of an f-string": ('FINAL_VAR(f"{x}")', expression('f"{x}"')),
    "final_var of a sentence": ("FINAL_VAR(The answer is 42)", text("The answer is 42")),
    "final_var of a number": ("FINAL_VAR(42)", text("42")),
    "final_var never closed": ("FINAL_VAR(result\nThat holds it.", variable("result")),
    "numbers before its lines": (
        "FINAL(The steps are:\n1) open it\n2) read it)",
        text("The steps are:\n1) open it\n2) read it"),
    ),
    "letters in its line": ("FINAL(Options: a) yes, b) no)", text("Options: a) yes, b) no")),
    "a letter at its beginning": ("FINAL(a) yes, b) no)", text("a) yes, b) no")),
    "letters before its lines": ("FINAL(Choose:\na) yes :)\nb) no)", text("Choose:\na) yes :)\nb) no")),
    "roman numbers": ("FINAL(It has i) a hull, ii) a line)", text("It has i) a hull, ii) a line")),
    "a half-open interval": ("FINAL([0, 1))", text("[0, 1)")),
    "a half-open interval on the left": ("FINAL((0, 1])", text("(0, 1]")),
    "half-open intervals": ("FINAL((-∞, 0] ∪ [1, 2))", text("(-∞, 0] ∪ [1, 2)")),
    "a half-open interval amid words": ("FINAL(x in [0, 1) holds)", text("x in [0, 1) holds")),
    "a half-open interval and more lines": (
        "FINAL(x in [a, b)\nand y in (c, d])\nDone.",
        text("x in [a, b)\nand y in (c, d]"),
    ),
    "a smiley": ("FINAL(It works :) and well)", text("It works :) and well")),
    "a smiley at its end": ("FINAL(It works :))", text("It works :)")),
    "a smiley at a line's end": ("FINAL(It works :)\nand well)", text("It works :)\nand well")),
    "a sad smiley": ("FINAL(It is lost :( for good)", text("It is lost :( for good")),
    "winking": ("FINAL(Sure ;-) it is 42)", text("Sure ;-) it is 42")),
    "a stray parenthesis at a line's end": (
        "FINAL(First, see item 1)\nthen read on\nand item 2)",
        text("First, see item 1)\nthen read on\nand item 2"),
    ),
    "a stray parenthesis at a line's end, after words": (
        "FINAL(It rose)\nand then it fell)",
        text("It rose)\nand then it fell"),
    ),
    "a smiley after it is not its end": ("FINAL(42)\nHope that helps :)", text("42")),
    "a list after it is not its end": ("FINAL(42)\nBecause:\n1) of this\n2) of that (see b)", text("42")),
    "an aside after it is not its end": ("FINAL(42)\n(I counted twice.)", text("42")),
    "an interval after it is not its end": ("FINAL(42)\nx is in [0, 1)", text("42")),
    "numbered lines and another answer": (
        "FINAL(So:\n1) a\n2) b)\nNo, it is this:\nFINAL(So:\n1) c)",
        text("So:\n1) c"),
    ),
    "negation is a text": ("FINAL(not found)", text("not found")),
    "and is a text": ("FINAL(cats and dogs)", text("cats and dogs")),
    "a dash is a text": ("FINAL(low-high)", text("low-high")),
    "a range is a text": ("FINAL(3-4)", text("3-4")),
    "is is a text": ("FINAL(x is y)", text("x is y")),
    "is not is a text": ("FINAL(Rome is not Paris)", text("Rome is not Paris")),
    "a condition is a text": ("FINAL(a if b else c)", text("a if b else c")),
    "in is a text": ("FINAL(Paris in France)", text("Paris in France")),
    "a name and a first name are a text": ("FINAL(Smith, John)", text("Smith, John")),
    "a list of words is a text": ("FINAL([apples, pears])", text("[apples, pears]")),
    "a set of words is a text": ("FINAL({x, y})", text("{x, y}")),
    "a comparison is a text": ("FINAL(a < b)", text("a < b")),
    "a ratio is a text": ("FINAL(input/output)", text("input/output")),
    "a word and its remark are a text": ("FINAL(round (final))", text("round (final)")),
    "a footnote": ("FINAL(Paris[1])", either("Paris[1]")),
    "a letter of a choice": ("FINAL(B)", text("B")),
    "yes": ("FINAL(yes)", text("yes")),
    "No": ("FINAL(No)", text("No")),
    "null": ("FINAL(null)", text("null")),
    "a small letter may be a variable": ("FINAL(n)", word("n")),
    "names that nobody writes as words": ("FINAL(total_count - error_count)", either("total_count - error_count")),
    "a call of one's own": ("FINAL(summarise(rows))", either("summarise(rows)")),
    "a comprehension": ("FINAL([n for n in names])", expression("[n for n in names]")),
    "a call of the contract": ("Here:\nFINAL(llm_query(prompt))", expression("llm_query(prompt)")),
    "submit": ("SUBMIT(name='a', count=2)", submit("SUBMIT(name='a', count=2)")),
    "submit over lines": (
        "Done.\nSUBMIT(\n  names=names,\n  n=len(names),\n)",
        submit("SUBMIT(names=names,\n  n=len(names),)"),
    ),
    "submit in backticks": ("`SUBMIT(a=1)`", submit("SUBMIT(a=1)")),
    "submit with a comment": ("SUBMIT(a=1  # one\n)", submit("SUBMIT(a=1  # one\n)")),
    "submit that is not Python is the cell's to refuse": ("SUBMIT(name=The Name)", submit("SUBMIT(name=The Name)")),
    "submit after final": ("FINAL(1)\nSUBMIT(a=1)", submit("SUBMIT(a=1)")),
}

DOES_NOT_COUNT: dict[str, str] = {
    "at the start of a line, with an aside at its end": "FINAL(answer) is what I call at the end (or so)",
    "at the start of a line, with two asides": "FINAL(answer) once I know (a) the sum, b) the rest)",
    "in a thought of another name": "<seed:think>\nFINAL(42)\n</seed:think>\nI look again.",
    "in a reflection": "<reflection>FINAL(42)\n</reflection>\nI look again.",
    "in a plan": "First I look, then I will call FINAL(answer).",
    "in a plan, at the start of a line": "FINAL(answer) is what I will call at the end.",
    "at the end of a planning line": "Once I know the answer, I call FINAL(total)",
    "with a label that plans": "To give the answer: use FINAL(42)",
    "after a condition": "Once I have counted them I write:\n\nFINAL(42)",
    "in a bullet": "Plan:\n- look\n- FINAL(result)",
    "in a starred bullet": "* FINAL(result)",
    "in a numbered plan": "1. look at it\n2. FINAL(the sum)",
    "in a quotation": "> FINAL(42)",
    "in a heading": "# FINAL(42)",
    "in a table": "| FINAL(42) | the end |",
    "in a string of prose": 'You said "FINAL(42)" before.',
    "in a comment of prose": "// FINAL(42)",
    "empty": "FINAL()",
    "blank": "FINAL(   )",
    "only a zero-width space": "FINAL(\u200b)",
    "placeholder": "FINAL(your answer)",
    "placeholder with more words": "FINAL(your final answer here)",
    "placeholder in brackets": "FINAL(<your_answer>)",
    "placeholder of dots": "FINAL(...)",
    "submit's placeholder": "SUBMIT(field=value, ...)",
    "submit's placeholder with the fields": "SUBMIT(name=..., total=...)",
    "lower case": "final(42)",
    "capitalised": "Final(42)",
    "a label is not a call": "FINAL: 42",
    "another label is not a call": "FINAL ANSWER: 42",
    "another name": "FINAL_ANSWER(42)",
    "square brackets": "FINAL[42]",
    "end of another word": "MY_FINAL(42)",
    "boxed alone": r"$\boxed{42}$",
    "in a thought": "<think>\nFINAL(42)\n</think>\nI should look again.",
    "in a thought that was cut off": "<think>\nFINAL(42)\nor",
    "in a thought in the middle that was cut off": "So.\n<think>\nFINAL(42)\nor",
    "in a block of another language": "```json\nFINAL(42)\n```",
    "in a text block with other lines": "```text\nI could say\nFINAL(42)\n```",
    "empty final_var": "FINAL_VAR()",
    "empty reply": "",
}

CODE_AND_FINAL: dict[str, tuple[str, tuple[str, ...], Final | None]] = {
    "after the code": (CODE + "FINAL(42)", ("x = 1",), text("42")),
    "before the code": ("FINAL(42)\n" + CODE, ("x = 1",), None),
    "in a plan before the code": ("Then I will call FINAL(answer).\n" + CODE, ("x = 1",), None),
    "in a bullet before the code": ("- FINAL(x) at the end\n" + CODE, ("x = 1",), None),
    "at the end of a sentence beside code": (CODE + "So the answer is FINAL(42).", ("x = 1",), None),
    "in its own block beside code": (CODE + "```\nFINAL(42)\n```", ("x = 1",), text("42")),
    "as prose in a marked block beside code": (
        CODE + "```repl\nFINAL(It was 42.)\n```",
        ("x = 1",),
        text("It was 42."),
    ),
    "in the code": ("```repl\nx = 1\nFINAL(x)\n```", ("x = 1\nFINAL(x)",), None),
    "in a later block": (CODE + "```repl\nFINAL(x)\n```", ("x = 1", "FINAL(x)"), None),
    "in a comment of the code": ("```repl\n# FINAL(1)\nx = 1\n```", ("# FINAL(1)\nx = 1",), None),
    "in a string of the code": ('```repl\np = """\nFINAL(1)\n"""\n```', ('p = """\nFINAL(1)\n"""',), None),
    "alone in a marked block": ("```repl\nFINAL(x)\n```", ("FINAL(x)",), None),
    "a number alone in a marked block": ("```repl\nFINAL(42)\n```", ("FINAL(42)",), None),
    "a marked block on one line": ("```repl FINAL(x)```", ("FINAL(x)",), None),
    "a name alone in an unmarked block": ("```\nFINAL(total)\n```", ("FINAL(total)",), None),
    "in code whose block is never closed": ("```repl\nx = 1\nFINAL(x)", ("x = 1\nFINAL(x)",), None),
    "after code whose block is never closed": ("```repl\nx = (\n```\nFINAL(1)", ("x = (",), text("1")),
    "submit in code": ("```repl\nSUBMIT(a=1)\n```", ("SUBMIT(a=1)",), None),
    "before the last code": (CODE + "FINAL(42)\n```repl\ny = 2\n```", ("x = 1", "y = 2"), None),
    "before the code, over lines": ("FINAL(two\nlines)\n" + CODE, ("x = 1",), None),
    "before the code, never closed": ("FINAL(two\n" + CODE, ("x = 1",), None),
    "in its own block before the code": ("```\nFINAL(42)\n```\n" + CODE, ("x = 1",), None),
    "before a block that is not run": ("FINAL(42)\n```json\n{}\n```", (), text("42")),
    "before and after the code": ("FINAL(1)\n" + CODE + "FINAL(2)", ("x = 1",), text("2")),
    "a thought's mark in code": ("```repl\nprint('<think>')\n```\n", ("print('<think>')",), None),
    "a thought's end in a string of code": (
        '```repl\np = """\n</think>\n"""\n```',
        ('p = """\n</think>\n"""',),
        None,
    ),
    "a call's mark in code": ("```repl\np = '<tool_call>'\n```", ("p = '<tool_call>'",), None),
    "submit after the code": (CODE + "SUBMIT(a=x)", ("x = 1",), submit("SUBMIT(a=x)")),
    "code without any fence": (
        "hits = context.count('a')\nFINAL(hits)",
        ("hits = context.count('a')\nFINAL(hits)",),
        None,
    ),
    "a call without any fence": ("print(context[:100])", ("print(context[:100])",), None),
    "prose that is Python by chance": ("answer", (), None),
    "final_var without any fence": ("FINAL_VAR(result)\n", (), variable("result")),
    "a thought with code in it": ("<think>\n```repl\nbad()\n```\n</think>\n" + CODE, ("x = 1",), None),
}


@pytest.mark.parametrize(("reply", "expected"), COUNTS.values(), ids=COUNTS.keys())
def test_counts(reply: str, expected: Final) -> None:
    assert read(reply) == ((), expected)


@pytest.mark.parametrize("reply", DOES_NOT_COUNT.values(), ids=DOES_NOT_COUNT.keys())
def test_does_not_count(reply: str) -> None:
    assert read(reply) == ((), None)


@pytest.mark.parametrize(("reply", "code", "final"), CODE_AND_FINAL.values(), ids=CODE_AND_FINAL.keys())
def test_beside_code(reply: str, code: tuple[str, ...], final: Final | None) -> None:
    assert read(reply) == (code, final)


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ('f"{n} hits"', "2 hits"),
        ("', '.join(names)", "a, b"),
        ("len(names), n", "(2, 2)"),
        ("names[0]  # the first", "a"),
        ("[\n  name\n  for name in names\n]", "['a', 'b']"),
    ],
)
def test_an_expressions_code_gives_its_value(source: str, answer: str) -> None:
    final = parse_reply(f"FINAL({source})").final
    assert final is not None
    with Sandbox() as box:
        box.run("names = ['a', 'b']; n = 2")
        assert box.run(final.code).final == answer


@pytest.mark.parametrize("source", ["f(x)", "example.com", "total_count - 1", '{"total": null}'])
def test_a_text_that_is_python_by_chance_fails_as_code_and_is_kept(source: str) -> None:
    final = parse_reply(f"FINAL({source})").final
    assert final is not None
    assert final.text == source
    with Sandbox() as box:
        assert box.run(final.code).final is None
