"""Fenced blocks in a reply, as models write them: also behind words, list marks, headings and quotation marks.

A fence line closes a block. But code may hold fence lines itself, in the prompts that it writes: where the code up to
the first such line is not Python and up to a later one is, the later one counts. A line that opens another block before
this one is closed ends this one.
"""

import re
import textwrap
from dataclasses import dataclass

from divebell.replies import languages
from divebell.replies.python_text import compiles, does_more_than_name
from divebell.replies.scanning import line_end

MAX_FENCE_TRIES = 8  # fence lines inside a code block that are tried as its end

_OPENING = re.compile(r"(`{3,}|~{3,})[ \t]*+([^`\n]*+)$")
_ONE_LINE = re.compile(r"```[ \t]*+([\w.]+)[ \t]++([^`\n]++)```[ \t]*+[.*]*$")
_ONLY_MARKUP = re.compile(r"(?:[ \t*_>#:.|\u00a0-]|\d{1,3}[.)]|[+\u2022]|</?[\w:|]{1,30}>)*+$")
_ATTRIBUTES = re.compile(r"[\s{\[(.*_]*[\w.+#-]++[\s}\])*_:]*+(?:$|[\w-]+=\S|[{:,]\S)")
_LANGUAGE_ALONE = re.compile(r"[\w+#.-]+")
_QUOTED = re.compile(r"[ \t]*(?:>[ \t]?)+")


@dataclass(frozen=True)
class Opening:
    """A fence that opens a block. start: where it stands; body: where the next line begins."""

    start: int
    body: int
    fence: str
    language: str
    first_line: str
    """Code that stands behind the mark, on the fence's line."""
    quotation: str
    """The marks of a quotation before it, which the block's other lines have too."""


@dataclass(frozen=True)
class FencedBlock:
    """A block. end: the position after it, where what follows is read on."""

    language: str
    code: str
    end: int
    is_closed: bool


def opening_on(text: str, start: int, end: int) -> Opening | FencedBlock | None:
    """The fence that opens a block on the line from `start` to `end`, or the block that is all on it."""
    at = text.find("```", start, end)
    if at < 0:
        at = text.find("~~~", start, end)
        if at < 0 or text[start:at].strip():
            return None
    before = text[start:at]
    is_only_markup = _ONLY_MARKUP.match(before) is not None
    one_line = _ONE_LINE.match(text, at, end)
    if one_line is not None and languages.is_code(languages.language_of(one_line[1])):
        return FencedBlock(languages.language_of(one_line[1]), one_line[2].strip(), end, is_closed=True)
    match = _OPENING.match(text, at, end)
    if match is None:
        return None
    language = languages.language_of(match[2])
    if not is_only_markup and not (
        languages.is_code(language) and _ATTRIBUTES.match(match[2]) if language else before.rstrip(" *_").endswith(":")
    ):
        return None  # prose that mentions a block
    quotation = _QUOTED.match(before)
    first_line = _code_behind(match[2]) if languages.is_code(language) else ""
    return Opening(at, min(end + 1, len(text)), match[1], language, first_line, quotation[0] if quotation else "")


def _code_behind(info: str) -> str:
    """```repl print(context): the code. Attributes such as `title=a.py` are not code."""
    code = info.strip().partition(" ")[2].strip()
    return code if "(" in code and does_more_than_name(code) else ""


def fence_on(line: str) -> tuple[str, str] | None:
    """The fence that the line consists of, and its info string; None if it is not a fence."""
    match = _OPENING.match(line.strip(" \t"))
    return (match[1], match[2].strip()) if match else None


def block_at(text: str, opening: Opening) -> FencedBlock:
    """The block that was opened."""
    is_code = languages.is_code(opening.language)
    first: tuple[int, int] | None = None
    tries = 0
    at = opening.body
    while at < len(text) and tries < MAX_FENCE_TRIES:
        end = line_end(text, at)
        line = text[at:end]
        closing = _find_closing(line, opening, is_code=is_code)
        if closing is None:
            at = end + 1
            continue
        body_end, after, is_fence_alone = closing
        if not is_code:
            return _closed_block(text, opening, at, min(end + 1, len(text)))
        if compiles(_code_until(text, opening, at + body_end)):
            return _closed_block(text, opening, at + body_end, min(at + after, len(text)))
        tries += 1
        if is_fence_alone and first is None:
            first = (at, min(end + 1, len(text)))
        at = end + 1
    if first is not None:
        return _closed_block(text, opening, *first)
    return FencedBlock(opening.language, _code_until(text, opening, len(text)), len(text), is_closed=False)


def _find_closing(line: str, opening: Opening, *, is_code: bool) -> tuple[int, int, bool] | None:
    """How the line may end the block: where in it the body ends, where to read on, and whether the line is only a
    fence."""
    strip_invisible = line.strip(" \t")
    if opening.fence[0] * 3 not in strip_invisible:
        return None
    match = fence_on(line)
    if match is None:
        if is_code and strip_invisible.endswith(opening.fence) and not strip_invisible.startswith(opening.fence):
            return line.rindex(opening.fence), len(line) + 1, False  # print(x)```
        if is_code and strip_invisible.startswith(opening.fence):
            return 0, line.index(opening.fence) + len(opening.fence), False
        return None
    fence, info = match[0], match[1].strip(" *_.")
    if fence[0] != opening.fence[0]:
        return None
    if len(fence) >= len(opening.fence) and not info:
        return 0, len(line) + 1, True
    if not is_code:
        return None
    if languages.is_code(languages.language_of(info)) or _LANGUAGE_ALONE.fullmatch(info):
        return 0, 0, False  # it opens another block
    return 0, line.index(fence) + len(fence), False  # words after the fence


def _closed_block(text: str, opening: Opening, body_end: int, end: int) -> FencedBlock:
    return FencedBlock(opening.language, _code_until(text, opening, body_end), end, is_closed=True)


def _code_until(text: str, opening: Opening, end: int) -> str:
    code = textwrap.dedent(text[opening.body : end].removesuffix("\n"))
    return f"{opening.first_line}\n{code}".removesuffix("\n") if opening.first_line else code


def quotation_at(text: str, opening: Opening) -> tuple[str, int] | None:
    """The rest of the quotation in which the block was opened, from its fence on and without the marks, and where it
    ends; None if the block is in none."""
    if not opening.quotation or not _QUOTED.match(text, opening.body):
        return None
    lines = [text[opening.start : line_end(text, opening.start)]]
    at = opening.body
    while at < len(text) and (mark := _QUOTED.match(text, at)) is not None:
        end = line_end(text, at)
        lines.append(text[mark.end() : end])
        at = min(end + 1, len(text))
    return "\n".join(lines), at
