"""Reading a root model's reply: its code blocks, and its answer if it gives one.

Pure functions, linear in the reply's length. They never raise: whatever a model writes has a reading.

The rules for an answer in the reply's text. `FINAL(...)` or `FINAL_VAR(...)` counts only outside of code blocks, and
only alone on its line or lines; mentioned in prose, in a list, or as a placeholder it does not. The last one wins.
Inside of code the same names are functions, and this module does not look at them.
"""

import ast
import re
import textwrap
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MAX_CODE_BLOCKS = 64
MAX_REPLY_CHARACTERS = 8 << 20
MAX_LITERAL_CHARACTERS = 1 << 20
MAX_FENCE_TRIES = 8  # fence lines inside a code block that are tried as its end

CODE_LANGUAGES = frozenset({"repl", "python", "py", "python3"})
_CONTRACT_NAMES = re.compile(
    r"\b(context|llm_query|llm_query_batched|llm_batch|rlm_query|FINAL|FINAL_VAR|SHOW_VARS|answer|print)\b"
)
_LIST_MARKER = re.compile(r"[ \t]*+(?:[-*+]|\d{1,3}[.)])[ \t]++(?=```|~~~)")
_FINAL_START = re.compile(r"[ \t]*+(?:(?:\*\*|__|`)[ \t]*+)?(FINAL_VAR|FINAL)[ \t]*+\(")
_ONLY_MARKUP = re.compile(r"[\s*_`.;!]*+$")
_PLACEHOLDER = re.compile(
    r"""[\s"'<\[{]*+(\.\.\.|…|your[ _]?(final[ _])?answer( here)?|(the )?final[ _]?answer( here)?|answer( here)?)"""
    r"""[\s"'>\]}]*+$""",
    re.IGNORECASE,
)
_THINKING = re.compile(r"\s*+<(think|thinking)>")


@dataclass(frozen=True)
class Final:
    """An answer in a reply's text. kind: "text" (value is the answer) or "variable" (value is its name)."""

    kind: str
    value: str


@dataclass(frozen=True)
class Reply:
    """What a reply asks for: code to run, in order, and an answer."""

    code_blocks: tuple[str, ...]
    final: Final | None


@dataclass
class _Block:
    language: str
    code: str


def strip_thinking(text: str) -> str:
    """The reply without the `<think>...</think>` that some open models begin with."""
    opening = _THINKING.match(text)
    if opening is None:
        return text
    closing = f"</{opening[1]}>"
    at = text.find(closing)
    return text if at < 0 else text[at + len(closing) :].lstrip()


def parse_reply(text: str) -> Reply:
    """Read a reply. Total: every text has a reading."""
    text = text[:MAX_REPLY_CHARACTERS].replace("\r\n", "\n")
    prose, blocks = _split(text)
    marked = [block.code for block in blocks if block.language in CODE_LANGUAGES and block.code.strip()]
    final = _last_final(prose)
    if not marked:
        unmarked = [block.code for block in blocks if not block.language and block.code.strip()]
        if len(unmarked) == 1:
            inside = _last_final(unmarked[0]) if _is_only_a_final(unmarked[0]) else None
            if inside is not None:
                return Reply((), inside)
            if _looks_like_code(unmarked[0]):
                marked = unmarked
    return Reply(tuple(marked[:MAX_CODE_BLOCKS]), final)


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


_warnings_lock = threading.Lock()


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Parsing warns of stray escapes, as in a regular expression; the texts are not ours, so neither are the warnings.

    Python's filters are one list for all threads, hence the lock.
    """
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _compiles(code: str) -> bool:
    if len(code) > MAX_LITERAL_CHARACTERS:
        return False
    try:
        with _without_warnings():
            ast.parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


def _split(text: str) -> tuple[str, list[_Block]]:
    """The prose (each fenced block replaced by an empty line) and the fenced blocks."""
    lines = text.split("\n")
    prose: list[str] = []
    blocks: list[_Block] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        marker = _LIST_MARKER.match(line)
        opening = _fence(line[marker.end() :] if marker else line)
        at += 1
        if opening is None:
            prose.append(line)
            continue
        fence, language = opening[0], _language(opening[1])
        body_end, at = _block_end(lines, at, fence, language)
        blocks.append(_Block(language, textwrap.dedent("\n".join(lines[body_end[0] : body_end[1]]))))
        prose.append("")
    return "\n".join(prose), blocks


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
        if _compiles(textwrap.dedent("\n".join(lines[start:at]))):
            return (start, at), at + 1 if closes else at
        tries += 1
        if closes and first is None:
            first = at
        if tries >= MAX_FENCE_TRIES:
            break
    if first is not None:
        return (start, first), first + 1
    return (start, len(lines)), len(lines)


def _looks_like_code(block: str) -> bool:
    """Whether an unmarked block is Python that uses the contract's names: models forget the mark."""
    return bool(_CONTRACT_NAMES.search(block)) and _compiles(block)


def _is_only_a_final(block: str) -> bool:
    stripped = block.strip()
    start = _FINAL_START.match(stripped)
    if start is None:
        return False
    content, after = _balanced(stripped, start.end())
    return content is not None and not stripped[after:].strip() and not _is_code_call(start[1], content)


def _is_code_call(name: str, content: str) -> bool:
    """FINAL(total) in a block is a call with a variable; FINAL(42) or FINAL(The answer is 42) is the answer itself."""
    return name == "FINAL" and content.strip().isidentifier()


def _last_final(prose: str) -> Final | None:
    """The last FINAL or FINAL_VAR that stands alone at the start of a line."""
    final: Final | None = None
    position = 0
    while position < len(prose):
        end = prose.find("\n", position)
        end = len(prose) if end < 0 else end
        start = _FINAL_START.match(prose[position:end])
        position, found = _read_final(prose, position, end, start) if start else (end + 1, None)
        final = found or final
    return final


def _read_final(prose: str, line: int, line_end: int, start: "re.Match[str]") -> tuple[int, Final | None]:
    """The final that starts on this line, and where to go on."""
    begin = line + start.end()
    content, after = _balanced(prose, begin)
    if content is None:  # never closed: everything up to the end is the answer
        content, after = prose[begin:].rstrip().removesuffix(")"), len(prose)
    rest_end = prose.find("\n", after)
    rest_end = len(prose) if rest_end < 0 else rest_end
    if not _ONLY_MARKUP.match(prose[after:rest_end]):
        return line_end + 1, None
    return rest_end + 1, _as_final(start[1], content)


def _as_final(name: str, content: str) -> Final | None:
    content = content.strip()
    if not content or _PLACEHOLDER.match(content[:100]):
        return None
    if name == "FINAL_VAR":
        variable = content.strip("\"'` \t")
        if variable.isidentifier():
            return Final("variable", variable)
    return Final("text", _unquoted(content))


def _unquoted(content: str) -> str:
    """The value of a single Python string literal, or what a pair of quotes holds; anything else as it is."""
    quote = content[:1]
    if quote not in ("'", '"') or len(content) > MAX_LITERAL_CHARACTERS:
        return content
    try:
        with _without_warnings():
            value = ast.literal_eval(content)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        inside = content[1:-1]
        return inside if len(content) > 1 and content[-1] == quote and quote not in inside else content
    return value if isinstance(value, str) else content


_QUOTED_OR_PAREN = re.compile(r"[()\"'\\\n]")


def _balanced(text: str, begin: int) -> tuple[str | None, int]:
    """The text from `begin` to the parenthesis that closes the one before it, and the position after that.

    Parentheses inside quotes do not count where the quotes are closed; an apostrophe in prose is not a quote. Where
    that reading finds no end, quotes are ignored.
    """
    for heed_quotes in (True, False):
        depth, at = 1, begin
        while found := _QUOTED_OR_PAREN.search(text, at):
            mark, at = found[0], found.end()
            if mark == "(":
                depth += 1
            elif mark == ")":
                depth -= 1
                if depth == 0:
                    return text[begin : found.start()], at
            elif heed_quotes and mark in "\"'" and _opens_literal(text, found.start(), begin):
                closing = _end_of_literal(text, found.start())
                if closing is None:
                    break
                at = closing
    return None, begin


def _opens_literal(text: str, at: int, begin: int) -> bool:
    """A quote opens a literal at the very start, or after a separator; `it's` does not."""
    return at == begin or text[at - 1] in " \t\n(,[{:=+"


def _end_of_literal(text: str, at: int) -> int | None:
    """The position after the literal that opens at `at`; None where it does not close."""
    quote = text[at]
    mark = quote * 3 if text.startswith(quote * 3, at) else quote
    position = at + len(mark)
    while True:
        end = text.find(mark, position)
        if end < 0 or (len(mark) == 1 and "\n" in text[position:end]):
            return None
        slashes = len(text[position:end]) - len(text[position:end].rstrip("\\"))
        if slashes % 2 == 0:
            return end + len(mark)
        position = end + 1
