"""A reply that the output limit cut off: what is whole counts, what is not does not, and the model is told."""

import pytest

from divebell.replies.replies import Final, parse_reply

CODE = "```repl\nx = 1\n```\n"

CUT: dict[str, tuple[str, tuple[str, ...], Final | None]] = {
    "an answer that is not closed": ("FINAL(The parties are: Ann, Bob, and", (), None),
    "a number that may go on": ("FINAL(12", (), None),
    "a name that may go on": ("FINAL_VAR(result", (), None),
    "fields that are not closed": ("SUBMIT(name='Ann', total=12", (), None),
    "a block that is not closed, and compiles": ("```repl\nx = 1\ny = 2", (), None),
    "a block whose last line is half a fence": ("```repl\nx = 1\n``", (), None),
    "code without a fence": ("hits = context.count('a')\nprint(hits)", (), None),
    "a whole block before the one that was cut": (CODE + "```repl\ny = 2", ("x = 1",), None),
    "a whole block before words that were cut": (CODE + "Then I will lo", ("x = 1",), None),
    "a whole block before an answer that was cut": (CODE + "FINAL(forty", ("x = 1",), None),
    "a whole answer before words that were cut": ("FINAL(42)\nI counted th", (), Final("text", "42")),
    "the end of a line that may go on": ("FINAL(Options: a)", (), None),
    "an interval whose end is missing": ("FINAL([0, 1)", (), None),
    "a smiley that may be the end": ("FINAL(It works :)", (), None),
    "lines of a list": ("FINAL(The steps are:\n1) open it\n2) rea", (), None),
    "a list that may go on": ("FINAL(It rose)\nand fell)\nand ro", (), None),
    "a whole answer at the very end": ("FINAL(42)", (), Final("text", "42")),
    "a whole answer over lines": ("FINAL(a\nb)\nI cou", (), Final("text", "a\nb")),
    "a whole answer before code that was cut": ("FINAL(42)\n```repl\nx = ", (), None),
    "a whole answer after a block": (CODE + "FINAL(42)\nI cou", ("x = 1",), Final("text", "42")),
    "an answer in a text of a block that was cut": ("```repl\np = [\n```\nFINAL(42)\n", (), None),
    "an answer at the end of a sentence": ("So the answer is FINAL(42)", (), None),
    "an answer in a block of its own that is not closed": ("```\nFINAL(42)", (), None),
    "a call that is not closed": ('<tool_call>\n{"name": "python", "arguments": {"code": "x = 1', (), None),
    "code in tags that are not closed": ("<python>\nx = 1\n", (), None),
    "code after a tag that is not closed": ("<|python_tag|>x = 1", (), None),
    "a call in a channel that was cut": ("<|channel|>commentary to=python code<|message|>x = 1", (), None),
    "a whole call": (
        '<tool_call>\n{"name": "python", "arguments": {"code": "x = 1"}}\n</tool_call>\nI wi',
        ("x = 1",),
        None,
    ),
    "bare json": ('{"name": "python", "arguments": {"code": "x = 1"}}', (), None),
    "an action": ("Action: python\nAction Input: x = f(1)", (), None),
    "a thought that was cut": ("<think>\nFINAL(42)\nor", (), None),
}


@pytest.mark.parametrize(("reply", "code", "final"), CUT.values(), ids=CUT.keys())
def test_a_cut_reply(reply: str, code: tuple[str, ...], final: Final | None) -> None:
    read = parse_reply(reply, is_cut=True)
    assert (read.code_blocks, read.final) == (code, final)
    assert read.notes[0].template in ("cut", "only_thoughts")


@pytest.mark.parametrize(
    ("reply", "template"),
    [
        ("FINAL(The parties are: Ann", "cut"),
        ("<think>\nI wonder", "only_thoughts"),
        ("", "only_thoughts"),
        ("[THINK]I wonder", "only_thoughts"),
        (CODE + "and then", "cut"),
        ("```repl\nx = 1", "cut"),
    ],
)
def test_the_model_is_told_where_it_was_cut(reply: str, template: str) -> None:
    assert [
        note.template for note in parse_reply(reply, is_cut=True).notes if note.template in ("cut", "only_thoughts")
    ] == [template]


def test_a_reply_that_was_not_cut_is_not_told_so() -> None:
    assert parse_reply("FINAL(The parties are: Ann").notes == ()


def test_what_was_called_beside_the_text_is_whole_or_nothing() -> None:
    whole = {"type": "function", "function": {"name": "python", "arguments": '{"code": "x = 1"}'}}
    broken = {"type": "function", "function": {"name": "python", "arguments": '{"code": "x = 1'}}
    bare = {"type": "function", "function": {"name": "python", "arguments": "x = 1"}}
    assert parse_reply("", is_cut=True, tool_calls=[whole]).code_blocks == ("x = 1",)
    assert parse_reply("", is_cut=True, tool_calls=[broken]).code_blocks == ()
    assert parse_reply("", is_cut=True, tool_calls=[bare]).code_blocks == ()
    assert parse_reply("", tool_calls=[bare]).code_blocks == ("x = 1",)
