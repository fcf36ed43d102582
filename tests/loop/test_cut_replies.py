"""A reply that the output limit cut off: what is whole counts, what is not does not, and the model is told."""

import pytest

from divebell.loop.replies import Final, Note, parse_reply

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
    "a thought that was cut": ("<think>\nFINAL(42)\nor", (), None),
}


@pytest.mark.parametrize(("reply", "code", "final"), CUT.values(), ids=CUT.keys())
def test_a_cut_reply(reply: str, code: tuple[str, ...], final: Final | None) -> None:
    read = parse_reply(reply, is_cut=True)
    assert (read.code_blocks, read.final) == (code, final)
    assert Note("cut") in read.notes
