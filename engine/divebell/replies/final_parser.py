"""Finding an answer that stands in a reply's text: FINAL(...), FINAL_VAR(...), SUBMIT(...).

An answer counts only where nothing else is on its lines; in a sentence, a list, a quotation, or as a placeholder, it
does not. The last one wins. Names are as in the contract: `final(...)`, `FINAL:` and `FINAL ANSWER:` are prose.
meanings.py reads what is between the parentheses.

Never raises, and is linear in the text's length (scanning.py).
"""

import re
from collections import deque
from dataclasses import dataclass

from divebell.replies.closing import INVISIBLE, NEVER_CLOSED, SYMBOLS, end_of_call
from divebell.replies.meanings import Final, read_meaning, strip_invisible
from divebell.replies.notes import Note
from divebell.replies.scanning import Scan, line_end
from divebell_bridge.door import contract

MAX_LABEL_CHARACTERS = 100

_SPACE = rf"[ \t\u00a0{INVISIBLE}]*+"
ANSWERING_NAMES = "|".join(sorted(contract.ANSWERING, key=len, reverse=True))
"""The contract's names that give an answer, for a pattern."""
_CALL = rf"({ANSWERING_NAMES})(?:\*\*|`)?{_SPACE}[(\uff08]"
_TAGS = rf"(?:<[\w:|]{{1,30}}>{_SPACE}){{0,3}}"
_MARKUP = rf"(?:[ \t\u00a0{INVISIBLE}]|[{SYMBOLS}])*+{_TAGS}(?:(?:\*\*\*?|___?|`{{1,3}}){_SPACE}|[*_](?=[FS]))?"
START = re.compile(rf"{_MARKUP}{_CALL}")
"""How a line begins on which an answer may."""
_NEXT = re.compile(rf"^(?:{_MARKUP}{_CALL}|[ \t]*(?:```|~~~))", re.MULTILINE)
_MENTION = re.compile(rf"\b{_CALL}")
_PLACEHOLDER = re.compile(
    r"""[\s"'<\[{]*+(\.\.\.|…|(your|my)[ _]?(final[ _])?answer( here)?|(the )?final[ _]?answer( here)?|answer here|"""
    r"""insert \w+ here|field ?= ?value(, ?\.\.\.)?|(\w++ ?= ?(\.\.\.|…)(, ?)?)++(\.\.\.)?)[\s"'>\]}]*+$""",
    re.IGNORECASE,
)
_LABELLED = re.compile(
    rf"(?:.*\banswer(?: is| would be)?|so|thus|hence|therefore|done|result)[\s:,=*_\u2014-]*+{_CALL}", re.IGNORECASE
)
_PLANNED = re.compile(
    r"\b(will|would|then|once|when|after|later|can|could|should|must|use|using|call|calling|with|by|to|not|next|write)\b|"
    r"['\u2019]ll\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    r"\b(once|when|after|until|if) (I|we)\b|\b(later|eventually|I would|I['\u2019]d)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class FinalCall:
    """A call of one of the three names, with nothing else on its lines. `start` is where its first line begins, `end`
    where its last line ends."""

    name: str
    content: str
    start: int
    end: int

    @property
    def meaning(self) -> Final:
        return read_meaning(self.name, self.content)

    @property
    def is_answer(self) -> bool:
        """Whether it holds more than a placeholder."""
        content = strip_invisible(self.content)
        return bool(content) and (content.isidentifier() or not _PLACEHOLDER.match(content[:100]))


def last_final(prose: str, scan: Scan, *, is_cut: bool = False) -> FinalCall | None:
    """The last answer in a text whose code blocks have been taken out (each replaced by an empty line).

    is_cut: the text's end is missing, so that an answer that is not certainly closed does not count.
    """
    final: FinalCall | None = None
    position = 0
    before = ""
    while position < len(prose):
        end = line_end(prose, position)
        call = find_call_at(prose, position, scan, may_be_open=not is_cut, is_cut=is_cut)
        if call is not None:
            if call.is_answer and not _announces_example(before):
                final = call
            position, before = call.end + 1, ""
            continue
        line = prose[position:end]
        before = line if line.strip() else before
        position = end + 1
    return final


def labelled_final(prose: str) -> Final | None:
    """The answer in a last line such as `So the answer is FINAL(42).`, which says that it is one and not a plan."""
    text = prose.rstrip()
    line = text.rfind("\n") + 1
    opening = _LABELLED.match(text, line, min(len(text), line + MAX_LABEL_CHARACTERS))
    if opening is None or _PLANNED.search(text, line, opening.start(1)):
        return None
    ending = end_of_call(text, opening.end(), _NEXT, Scan(text))
    if ending is None or ending is NEVER_CLOSED or ending.end < len(text):
        return None
    call = FinalCall(opening[1], text[opening.end() : ending.content_end], line, ending.end)
    return call.meaning if call.is_answer else None


def only_final(block: str) -> Final | None:
    """The answer, if the whole block is one."""
    text = block.strip()
    call = find_call_at(text, 0, Scan(text), may_be_open=False)
    if call is None or text[call.end :].strip() or not call.is_answer:
        return None
    return call.meaning


def find_call_at(text: str, line: int, scan: Scan, *, may_be_open: bool, is_cut: bool = False) -> FinalCall | None:
    """The call that begins on the line at that position. Where it is never closed it may hold all that follows."""
    start = START.match(text, line) if scan.left > 0 else None
    if start is None:
        return None
    closed = end_of_call(text, start.end(), _NEXT, scan)
    if closed is NEVER_CLOSED:
        return _read_unclosed(text, line, start, line_end(text, line)) if may_be_open and scan.left > 0 else None
    if closed is None or (is_cut and not closed.is_certain):
        return None
    return FinalCall(start[1], text[start.end() : closed.content_end], line, closed.end)


def note_on_mention(prose: str) -> Note | None:
    """A note on a call that a text without an answer mentions; None if it mentions none."""
    mentions = deque(_MENTION.finditer(prose), maxlen=1)
    if not mentions:
        return None
    start = mentions[0].start()
    return Note("answer_in_words", prose[start : line_end(prose, start)])


def _read_unclosed(text: str, line: int, start: "re.Match[str]", first_end: int) -> FinalCall:
    first = text[start.end() : first_end].strip().removesuffix(")")
    if start[1] == "FINAL_VAR" and first.strip("\"'`\u201c\u201d\u2018\u2019 \t").isidentifier():
        return FinalCall(start[1], first, line, first_end)
    return FinalCall(start[1], text[start.end() :].rstrip().removesuffix(")"), line, len(text))


def _announces_example(before: str) -> bool:
    """`Once I have the sum I would write:` announces an example, not the answer."""
    return before.rstrip().endswith(":") and _CONDITION.search(before[-MAX_LABEL_CHARACTERS * 2 :]) is not None
