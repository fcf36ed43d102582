"""Reading a root model's reply: its code blocks, and its answer if it gives one.

Pure functions, linear in the reply's length. They never raise: whatever a model writes has a reading.

The rules for an answer in the reply's text. `FINAL(...)` or `FINAL_VAR(...)` counts only outside of code blocks, and
only alone on its line or lines; mentioned in prose, in a list, or as a placeholder it does not. The last one wins.
Inside of code the same names are functions, and this module does not look at them.
"""

import ast
import re
import textwrap
from dataclasses import dataclass

MAX_CODE_BLOCKS = 64
MAX_REPLY_CHARACTERS = 8 << 20
MAX_LITERAL_CHARACTERS = 1 << 20

CODE_LANGUAGES = frozenset({"repl", "python", "py", "python3"})
_CONTRACT_NAMES = re.compile(
    r"\b(context|llm_query|llm_query_batched|llm_batch|rlm_query|FINAL|FINAL_VAR|SHOW_VARS|answer|print)\b"
)
_FENCE = re.compile(r"^([ \t]*)(`{3,}|~{3,})[ \t]*([^`\n]*)$")
_FINAL_START = re.compile(r"^[ \t]*(?:\*\*|__|`)?[ \t]*(FINAL_VAR|FINAL)[ \t]*\(")
_ONLY_MARKUP = re.compile(r"^[\s*_`.;!]*$")
_PLACEHOLDER = re.compile(
    r"^[\s\"'<\[{]*(\.\.\.|…|your[ _]?(final[ _])?answer( here)?|(the )?final[ _]?answer( here)?|answer( here)?|value"
    r"|name|variable[ _]name)[\s\"'>\]}]*$",
    re.IGNORECASE,
)
_THINKING = re.compile(r"\A\s*<(think|thinking)>")


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


def _split(text: str) -> tuple[str, list[_Block]]:
    """The prose (each fenced block replaced by an empty line) and the fenced blocks."""
    prose: list[str] = []
    blocks: list[_Block] = []
    fence, language = "", ""
    body: list[str] = []
    for line in text.split("\n"):
        found = _FENCE.match(line) if line.lstrip(" \t")[:3] in ("```", "~~~") else None
        if not fence:
            if found is None:
                prose.append(line)
            else:
                words = found[3].split()
                fence, language, body = found[2], words[0].strip("{}.").lower() if words else "", []
                prose.append("")
        elif found is not None and found[2][0] == fence[0] and len(found[2]) >= len(fence) and not found[3].strip():
            blocks.append(_Block(language, textwrap.dedent("\n".join(body))))
            fence = ""
        else:
            body.append(line)
    if fence:  # never closed: code up to the end
        blocks.append(_Block(language, textwrap.dedent("\n".join(body))))
    return "\n".join(prose), blocks


def _looks_like_code(block: str) -> bool:
    """Whether an unmarked block is Python that uses the contract's names: models forget the mark."""
    if len(block) > MAX_LITERAL_CHARACTERS or not _CONTRACT_NAMES.search(block):
        return False
    try:
        ast.parse(block)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


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
    """The value of a single Python string literal; anything else as it is."""
    if content[:1] in "\"'" and len(content) <= MAX_LITERAL_CHARACTERS:
        try:
            value = ast.literal_eval(content)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return content
        if isinstance(value, str):
            return value
    return content


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
