"""A reply in pieces: its prose, and the blocks of code in it, in order; thoughts are left out.

One walk through the text from its beginning. On each line the first of these is taken, and the walk continues after it,
as at the beginning of a line: an answer that begins on it (with whole blocks in it, it is the answer's text), a fenced
block, a mark of a thought, of a tool's call or of code (marks.py). So a mark of one kind inside another is text.
"""

import re
import textwrap
from dataclasses import dataclass, field, replace

from divebell.replies import languages, marks
from divebell.replies.fences import FencedBlock, Opening, block_at, fence_on, opening_on, quotation_at
from divebell.replies.final_parser import ANSWERING_NAMES, find_call_at
from divebell.replies.notes import Note
from divebell.replies.python_text import compiles, does_more_than_name
from divebell.replies.scanning import Finder, Scan, line_end
from divebell.replies.thoughts import CLOSING, closes_thought, is_quoted, opens_thought, thought_end
from divebell.replies.tool_calls import WrittenCall, calls_in_data, calls_in_text, code_of, data_in

MAX_MARKS_ON_A_LINE = 100
"""Beyond these the rest of the line is prose: each costs one reading of its line."""

_ACTS = re.compile(rf"```|~~~|\b(?:{ANSWERING_NAMES})\s*\(")
_THOUGHT_END_LINE = re.compile(rf"^[ \t]*(?:{CLOSING})", re.IGNORECASE | re.MULTILINE)
_CDATA = re.compile(r"\s*<!\[CDATA\[(.*?)(?:\]\]>)?\s*\Z", re.DOTALL)
_INTERPRETER = re.compile(r"\s*<\|interpreter\|>\s*")
_PRE = re.compile(r"</?pre(?:\s[^<>\n]{0,100})?>", re.IGNORECASE)
_PLUGIN = re.compile(r"\s*<\|plugin\|>\s*")


@dataclass
class Block:
    """Something between marks. place: the prose's length where it stood. form: empty for a fenced block, else what it
    was written as, for the model to read."""

    language: str
    code: str
    place: int
    is_closed: bool = True
    form: str = ""


@dataclass
class Pieces:
    """What a reply is made of. In `prose` each block is an empty line."""

    prose: str = ""
    blocks: list[Block] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    ends_in_thought: bool = False
    scan: Scan = field(default_factory=lambda: Scan(""))
    """How much may still be read without result."""


def split_reply(text: str) -> Pieces:
    """The pieces of any text; never raises, and is linear in the text's length."""
    return _Walk(text).to_the_end()


class _Walk:
    def __init__(self, text: str) -> None:
        self._text = text
        self._finder = Finder(text)
        self._scan = Scan(text)
        self._prose: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._notes: list[Note] = []
        self._line_end = -1
        self._marks_on_line = 0
        self._had_thought = False
        self._ends_in_thought = False

    def to_the_end(self) -> Pieces:
        at = 0
        while at < len(self._text):
            at = self._step(at)
        return Pieces("\n".join(self._prose), self._blocks, self._notes, self._ends_in_thought, self._scan)

    def _step(self, at: int) -> int:
        """Take what begins at `at`, which counts as the beginning of a line; the position after it."""
        text = self._text
        if at > self._line_end:
            self._line_end, self._marks_on_line = line_end(text, at), 0
        end = self._line_end
        answer_end = self._end_of_answer(at)
        if answer_end is not None:
            return self._take_prose(at, answer_end)
        opening = opening_on(text, at, end)
        fence_at = end if opening is None else opening.start if not isinstance(opening, FencedBlock) else at
        search = at
        while self._marks_on_line < MAX_MARKS_ON_A_LINE:
            mark = marks.MARK.search(text, search, end)
            if mark is None or mark.start() > fence_at:
                break
            self._marks_on_line += 1
            after = self._take_mark(mark, at)
            if after is not None:
                return after
            search = mark.end()
        if opening is None:
            return self._take_prose(at, end)
        return self._take_fence(opening, at)

    def _end_of_answer(self, at: int) -> int | None:
        """Where the answer that begins on this line ends, if one does; blocks in it are its own, if they are whole."""
        call = find_call_at(self._text, at, self._scan, may_be_open=False)
        if call is None:
            return None
        mark = marks.MARK.search(self._text, at, self._line_end)
        opens = mark is not None and marks.kind_of(mark) in ("thought", "channel_mark")
        if mark is not None and opens and not self._text[at : mark.start()].strip():
            return None  # <think>FINAL(1)
        fences = sum(fence_on(line) is not None for line in self._text[at : call.end].split("\n"))
        is_whole = fences % 2 == 0 or self._text.count("```", at, call.end) % 2 == 0
        return call.end if is_whole else None

    def _take_prose(self, at: int, end: int) -> int:
        self._add_prose(self._text[at:end])
        return end + 1

    def _add_prose(self, text: str) -> None:
        self._prose.append(text)
        self._length += len(text) + 1

    def _add_block(self, block: Block) -> None:
        if block.code.strip():
            self._blocks.append(block)
        self._add_prose("")

    def _take_fence(self, opening: Opening | FencedBlock, at: int) -> int:
        if isinstance(opening, FencedBlock):
            return self._take_block(opening, at)
        if self._text[at : opening.start].strip():
            self._add_prose(self._text[at : opening.start])
        quotation = quotation_at(self._text, opening)
        if quotation is not None:
            for quoted in split_reply(quotation[0]).blocks:
                quoted.place = self._length
                self._add_block(quoted)
            return quotation[1]
        block = block_at(self._text, opening)
        if not self._had_thought and languages.is_code(block.language) and not compiles(block.code):
            ending = _THOUGHT_END_LINE.search(self._text, opening.body, block.end)
            if ending is not None:  # of a thought without its first mark, in which this block was opened
                self._add_block(Block(block.language, "pass", self._length))
                return ending.start()
        return self._take_block(block, at)

    def _take_block(self, block: FencedBlock, at: int) -> int:
        block = _take_label(block)
        is_code = languages.is_code(block.language)
        if block.language in languages.DATA and self._take_calls(_calls_in_block(block.code), block.is_closed):
            return max(block.end, at + 1)
        code = languages.strip_prompts(block.code) if is_code else block.code
        form = "a block marked `tool_code`" if block.language.replace("_", "") == "toolcode" else ""
        self._add_block(Block(block.language, code, self._length, block.is_closed, form))
        return max(block.end, at + 1)

    def _take_mark(self, mark: "re.Match[str]", start: int) -> int | None:
        """The position after what the mark begins; None if it is prose."""
        kind = marks.kind_of(mark)
        if is_quoted(self._text, mark, start):
            return None
        if kind == "thought":
            return self._take_thought(mark, start)
        if kind == "thought_end":
            return self._end_thought(mark, start)
        if kind == "channel_mark":
            return self._take_channel(mark, start)
        if kind == "other_side":
            self._add_prose(self._text[start : mark.start()])
            self._note_made_up(mark.end())
            return len(self._text)
        if kind == "turn_end":
            self._add_prose(self._text[start : mark.end()])
            return mark.end()
        if kind in marks.TAGS:
            return self._take_tag(mark, kind, start)
        return self._take_call(mark, kind, start)

    def _take_thought(self, mark: "re.Match[str]", start: int) -> int | None:
        end = thought_end(self._text, mark, self._finder)
        if not opens_thought(self._text, mark, start, end):
            return None
        self._had_thought = True
        self._ends_in_thought = end is None
        self._add_prose(self._text[start : mark.start()])
        self._note_thought(mark.end(), len(self._text) if end is None else end)
        return len(self._text) if end is None else end

    def _note_thought(self, begin: int, end: int) -> None:
        if _ACTS.search(self._text, begin, end):
            self._notes.append(Note("in_thought"))

    def _note_made_up(self, begin: int) -> None:
        if _ACTS.search(self._text, begin):
            self._notes.append(Note("made_up_turn"))

    def _end_thought(self, mark: "re.Match[str]", start: int) -> int | None:
        """A thought whose first mark was left out: all before it was thought."""
        if not closes_thought(self._text, mark, start):
            return None
        if self._had_thought and not self._text[mark.end() : mark.end() + 100].strip():
            return mark.end()
        thought = "\n".join((*self._prose, self._text[start : mark.start()]))
        has_code_or_answer = bool(self._blocks) or _ACTS.search(thought) is not None
        self._prose, self._blocks, self._notes, self._length = [], [], [], 0
        if has_code_or_answer:
            self._notes.append(Note("in_thought"))
        return mark.end()

    def _take_channel(self, mark: "re.Match[str]", start: int) -> int:
        channel = marks.channel_of(mark)
        self._add_prose(self._text[start : mark.start()])
        ending = self._finder.find(marks.END_OF_MESSAGE, mark.end())
        end = ending.start() if ending else len(self._text)
        body = self._text[mark.end() : end]
        if channel.recipient and channel.is_assistant:
            data = data_in(body)
            call = WrittenCall(channel.recipient, body if data is None else data)
            self._take_calls([call], ending is not None and ending[0] == "<|call|>")
            return end
        if channel.name in ("final", "commentary") and channel.is_assistant:
            return mark.end()
        self._ends_in_thought = ending is None
        self._note_thought(mark.end(), end)
        return end

    def _take_call(self, mark: "re.Match[str]", kind: str, start: int) -> int | None:
        """A tool's call in the family's own form."""
        ending = self._finder.find(marks.end_of(mark, kind), mark.end())
        includes_marks = marks.includes_its_marks(kind)
        begin = mark.start() if includes_marks else mark.end()
        end = len(self._text) if ending is None else ending.end() if includes_marks else ending.start()
        if self._scan.left <= 0:
            return None
        self._scan.left -= end - begin
        calls = _calls_of_kind(self._text[begin:end], kind)
        if not calls:
            return None
        self._add_prose(self._text[start : mark.start()])
        self._take_calls(calls, ending is not None)
        return len(self._text) if ending is None else ending.end()

    def _take_calls(self, calls: list[WrittenCall], is_closed: bool) -> bool:
        """Take each call as a block, or note that it is not run. Whether there were any."""
        for call in calls:
            code = code_of(call)
            if code is None:
                self._notes.append(Note("call_not_run", call.name))
                continue
            is_whole = is_closed or not isinstance(call.arguments, str)
            self._add_block(Block("repl", code, self._length, is_whole, "the call of a tool"))
        return bool(calls)

    def _take_tag(self, mark: "re.Match[str]", kind: str, start: int) -> int | None:
        """`<python>...</python>` and the like. With a fence in it, the block counts and the tag is ignored."""
        text = self._text
        if _PRE.sub("", text[start : mark.start()]).strip(" \t*_>#-"):
            return None
        ending = self._finder.find(marks.end_of(mark, kind), mark.end())
        end = len(text) if ending is None else ending.start()
        if self._scan.left <= 0:
            return None
        self._scan.left -= end - mark.end()
        body = text[mark.end() : end]
        if "```" in body:
            return None if kind == "odd_fence" else mark.end()
        cdata = _CDATA.match(body)
        code = languages.strip_prompts(textwrap.dedent(cdata[1] if cdata else body).strip("\n"))
        after = "" if ending is None else text[ending.end() : line_end(text, ending.end())]
        is_alone = not _PRE.sub("", after).strip(" \t.*_<>/")
        if kind == "code_tag" and ending is not None and (is_alone or "\n" in body):
            is_code = bool(code.strip())
        else:
            is_code = is_alone and does_more_than_name(code)
        if not is_code:
            return None
        is_tag = kind not in ("bracket_tag", "odd_fence")
        as_written = f"<{marks.name_of_tag(mark)}>" if is_tag else mark[0].replace("`", "'")
        self._add_block(Block("repl", code, self._length, ending is not None, f"`{as_written}`"))
        return len(text) if ending is None else ending.end()


def _take_label(block: FencedBlock) -> FencedBlock:
    """A block whose mark stands on its first line, behind the fence's."""
    label, line_feed, code = block.code.partition("\n")
    if block.language or not line_feed or not languages.is_code(label.strip().lower()):
        return block
    return replace(block, language=label.strip().lower(), code=code)


def _calls_in_block(code: str) -> list[WrittenCall]:
    """The calls that a fenced block holds: as data, or in their family's marks."""
    mark = marks.MARK.match(code.strip())
    if mark is None or marks.kind_of(mark) not in marks.CALLS:
        return calls_in_data(data_in(code))
    return calls_in_text(marks.MARK.sub("", code, count=1) if marks.kind_of(mark) == "wrapper" else code)


def _calls_of_kind(body: str, kind: str) -> list[WrittenCall]:
    if kind == "internlm":
        interpreter = _INTERPRETER.match(body)
        if interpreter is not None:
            return [WrittenCall("python", body[interpreter.end() :].strip("\n"))]
        plugin = _PLUGIN.match(body)
        body = body[plugin.end() :] if plugin else body
    calls = calls_in_text(body)
    if not calls and kind == "python_tag" and body.strip():
        return [WrittenCall("python", body.strip("\n"))]
    return calls
