"""Reading a root model's reply: its code blocks, and its answer if it gives one.

Pure functions, linear in the reply's length. They never raise: whatever a model writes has a reading.

Code is what stands in a fenced block marked `repl`, `python` or `py`; or in the only block, if that has no mark and is
Python with the contract's names; or the whole reply, if it has no block and is that. An answer in the reply's text is
read by finals.py. Inside of code the same names are functions, and this module does not look at them, with one
exception: a block that is nothing but `FINAL(...)` and not Python is the answer.

What a model thinks aloud between `<think>` and `</think>` is neither code nor answer.
"""

import ast
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from divebell.bridge import contract
from divebell.loop.finals import Final, Scan, find_at, labelled_final, last_final, only_final
from divebell.loop.notes import Note
from divebell.loop.python_text import compiles, parsed

__all__ = ["Final", "Note", "Reply", "parse_reply", "strip_thinking"]

MAX_CODE_BLOCKS = 64
MAX_REPLY_CHARACTERS = 8 << 20
MAX_FENCE_TRIES = 8  # fence lines inside a code block that are tried as its end

CODE_LANGUAGES = frozenset({"repl", "python", "py", "python3"})
_TEXT_LANGUAGES = frozenset({"", "text", "txt", "plaintext", "markdown", "md", "final", "answer"})
_CONTRACT_NAMES = contract.NAMES | {"print"}
_LIST_MARKER = re.compile(r"[ \t]*+(?:[-*+]|\d{1,3}[.)])[ \t]++(?=```|~~~)")
_ONE_LINE = re.compile(r"[ \t]*+```[ \t]*+(repl|python3?|py)[ \t]++([^`\n]++)```[ \t]*+$", re.IGNORECASE)
_THINKING = re.compile(r"\s*+<(think|thinking)>", re.IGNORECASE)
_THOUGHT_END = re.compile(r"^[ \t]*+</(?:think|thinking)>", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Reply:
    """What a reply asks for: code to run, in order, and an answer.

    The answer counts only after all of the code ran without an error: that is the loop's to see to.

    notes: what was seen and not taken as it stands, in the reply's order; Turns.notes says it to the model, after what
    its code printed, or in the place of "no code" where there was neither code nor an answer.
    """

    code_blocks: tuple[str, ...]
    final: Final | None
    notes: tuple[Note, ...] = ()


@dataclass
class _Block:
    language: str
    code: str


def strip_thinking(text: str) -> str:
    """The reply without the `<think>...</think>` that some open models begin with. Some leave out the first tag."""
    opening = _THINKING.match(text)
    if opening is not None:
        closing = f"</{opening[1]}>"
        at = text.find(closing, opening.end())
        return text if at < 0 else text[at + len(closing) :].lstrip()
    ending = _THOUGHT_END.search(text)
    if ending is None or _THINKING.search(text, 0, ending.start()):
        return text
    return text[ending.end() :].lstrip()


def parse_reply(text: str, *, is_cut: bool = False, tool_calls: Sequence[Mapping[str, Any]] = ()) -> Reply:
    """Read a reply. Total: every text has a reading.

    is_cut: the output limit ended it, so its end is not to be believed: an answer or a block that is not closed does
    not count. tool_calls: Completion.tool_calls, what the endpoint passed on beside the text.
    """
    text = strip_thinking(text[:MAX_REPLY_CHARACTERS].replace("\r\n", "\n"))
    prose, blocks, is_open = _split(text)
    notes: tuple[Note, ...] = ()
    if is_cut:
        notes = (Note("cut"),)
        blocks = blocks[:-1] if is_open else blocks
    blocks = [block for block in blocks if block.code.strip()]
    final = last_final(prose, may_be_open=not is_cut)
    marked: list[str] = []
    for block in blocks:
        if block.language in CODE_LANGUAGES:
            alone = None if compiles(block.code) else only_final(block.code)
            final = final or alone
            if alone is None:
                marked.append(block.code)
    if marked:
        return Reply(tuple(marked[:MAX_CODE_BLOCKS]), final or _final_in_a_fence(blocks), notes)
    if not blocks and not is_cut and _is_code(text, statements=True):
        return Reply((textwrap.dedent(text).strip("\n"),), None)
    unmarked = [block.code for block in blocks if not block.language]
    if len(unmarked) == 1 and _is_code(unmarked[0]):
        return Reply((unmarked[0],), final, notes)
    return Reply((), final or _final_in_a_fence(blocks) or labelled_final(prose), notes)


def _final_in_a_fence(blocks: list[_Block]) -> Final | None:
    """The answer that fills a block of its own, one that is marked as text or has no mark."""
    for block in reversed(blocks):
        if block.language in _TEXT_LANGUAGES:
            final = only_final(block.code)
            if final is not None:
                return final
    return None


def _fence(line: str) -> tuple[str, str] | None:
    """The fence that the line consists of, and its info string; None if it is no fence."""
    line = line.strip(" \t")
    mark = line[:1]
    if mark not in ("`", "~") or not line.startswith(mark * 3):
        return None
    info = line.lstrip(mark)
    fence = line[: len(line) - len(info)]
    return None if mark == "`" and "`" in info else (fence, info.strip())


def _language(info: str) -> str:
    words = info.split(None, 1)
    return words[0].strip("{}.").lower() if words else ""


def _split(text: str) -> tuple[str, list[_Block], bool]:
    """The prose (each fenced block replaced by an empty line), the fenced blocks, and whether the last is not closed.

    A block inside of an answer belongs to the answer: `FINAL(` before it, `)` after it.
    """
    lines = text.split("\n")
    prose: list[str] = []
    blocks: list[_Block] = []
    scan = Scan(text)
    at, position, is_open = 0, 0, False
    while at < len(lines):
        start = at
        line = lines[at]
        marker = _LIST_MARKER.match(line)
        opening = _fence(line[marker.end() :] if marker else line)
        at += 1
        if opening is not None:
            fence, language = opening[0], _language(opening[1])
            body_end, at = _block_end(lines, at, fence, language)
            is_open = body_end[1] == at
            blocks.append(_Block(language, textwrap.dedent("\n".join(lines[body_end[0] : body_end[1]]))))
            prose.append("")
        elif one_line := _ONE_LINE.match(line):
            blocks.append(_Block(one_line[1].lower(), one_line[2].strip()))
            prose.append("")
        elif _THINKING.match(line):
            at = _thought_end(lines, start)
            prose.append("")
        else:
            at += _answer_lines(text, position, scan)
            prose.extend(lines[start:at])
        position += sum(map(len, lines[start:at])) + at - start
    return "\n".join(prose), blocks, is_open and at == len(lines)


def _thought_end(lines: list[str], start: int) -> int:
    """The line after the thought that begins on this one; a thought that does not end is all the rest."""
    for at in range(start, len(lines)):
        if "</think" in lines[at].lower():
            return at + 1
    return len(lines)


def _answer_lines(text: str, position: int, scan: Scan) -> int:
    """How many lines after this one belong to the answer that begins on it, because it has whole blocks in it."""
    found = find_at(text, position, scan, may_be_open=False)
    if found is None or "\n" not in found.content:
        return 0
    lines = text[position : found.end].split("\n")
    fences = sum(_fence(line) is not None for line in lines)
    return len(lines) - 1 if fences and fences % 2 == 0 else 0


def _block_end(lines: list[str], start: int, fence: str, language: str) -> tuple[tuple[int, int], int]:
    """Where the block's body lies, and the line after the block.

    A fence line closes it. But code may hold fence lines itself, in the prompts that it writes: where the code up to
    the first such line is not Python and up to a later one is, the later one counts. A line that opens another block
    before this one is closed ends this one.
    """
    first: int | None = None
    tries = 0
    for at in range(start, len(lines)):
        found = _fence(lines[at])
        if found is None or found[0][0] != fence[0]:
            continue
        closes = len(found[0]) >= len(fence) and not found[1]
        opens = _language(found[1]) in CODE_LANGUAGES
        if not closes and not opens:
            continue
        if language not in CODE_LANGUAGES:
            if closes:
                return (start, at), at + 1
            continue
        if compiles(textwrap.dedent("\n".join(lines[start:at]))):
            return (start, at), at + 1 if closes else at
        tries += 1
        if closes and first is None:
            first = at
        if tries >= MAX_FENCE_TRIES:
            break
    if first is not None:
        return (start, first), first + 1
    return (start, len(lines)), len(lines)


def _is_code(text: str, *, statements: bool = False) -> bool:
    """Whether a text without a mark is Python that uses the contract's names: models forget the mark, and the fence.

    With `statements` it must also do something: an answer alone is not code, nor is a sentence that happens to parse.
    """
    if not any(name in text for name in _CONTRACT_NAMES):
        return False
    tree = parsed(textwrap.dedent(text))
    if tree is None:
        return False
    nodes = list(ast.walk(tree))
    if not any(isinstance(node, ast.Name) and node.id in _CONTRACT_NAMES for node in nodes):
        return False
    if statements:
        return any(isinstance(node, (ast.Assign, ast.AugAssign, ast.For)) or _calls_another(node) for node in nodes)
    return only_final(text) is None or _calls_with_a_name(tree)


def _calls_another(node: ast.AST) -> bool:
    """Whether it calls one of the contract's functions, other than to answer."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    return node.func.id in _CONTRACT_NAMES and node.func.id not in contract.ANSWERING


def _calls_with_a_name(tree: ast.Module) -> bool:
    """FINAL(total) in a block is a call with a variable; FINAL(42) is the answer itself."""
    value = tree.body[0].value if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr) else None
    return not isinstance(value, ast.Call) or any(
        isinstance(node, ast.Name) for part in (*value.args, *value.keywords) for node in ast.walk(part)
    )
