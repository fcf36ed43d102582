"""Reading an answer that stands in a reply's text: FINAL(...), FINAL_VAR(...), SUBMIT(...).

An answer counts only alone on its line or lines; in a sentence, in a list, in a quotation, or as a placeholder it does
not. The last one wins. Names are as in the contract: `final(...)`, `FINAL:` and `FINAL ANSWER:` are prose.

What stands between the parentheses is a text to some models and Python to others. Where that cannot be told from the
text alone, the Final says so by its kind, and the loop asks the sandbox.

Never raises, and is linear in the text's length: candidates that turn out to be none may cost SCAN_FACTOR times the
text's length in all, and after that no more are read.
"""

import ast
import builtins
import keyword
import re
from dataclasses import dataclass

from divebell.bridge import contract
from divebell.loop.python_text import parsed_expression

MAX_EXPRESSION_CHARACTERS = 20_000
MAX_LABEL_CHARACTERS = 100
SCAN_FACTOR = 4

_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
_SPACE = rf"[ \t\u00a0{_INVISIBLE}]*+"
_NAMES = "|".join(sorted(contract.ANSWERING, key=len, reverse=True))
_CALL = rf"({_NAMES}){_SPACE}[(\uff08]"
_START = re.compile(rf"{_SPACE}(?:(?:\*\*\*?|___?|`{{1,3}}){_SPACE}|[*_](?=[FS]))?{_CALL}")
_ONLY_MARKUP = re.compile(rf"\)*+[\s*_`.;!\u3002{_INVISIBLE}]*+(?:#[^\n]*+|(?:<\|\w{{1,20}}\|>|</\w{{1,20}}>)\s*+)?$")
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
_KEYWORD = re.compile(r"(?:answer|final_answer|value|content|result)\s*+=(?!=)\s*+")
_SURELY_A_VARIABLE = re.compile(r"(?:\w+_)?(?:answer|ans|results?|res|output|response)(?:_\w+)?", re.ASCII)
_PAIRS = {"\u201c": "\u201d", "\u201e": "\u201c", "\u2018": "\u2019", "\u00ab": "\u00bb", "\u300c": "\u300d", "`": "`"}
_QUOTED_OR_PAREN = re.compile(r"[()\uff08\uff09\"'\\\n]")


@dataclass(frozen=True)
class Final:
    """An answer in a reply's text.

    kind says what `value` is:
    - "text": the answer itself.
    - "variable": a variable's name; the answer is what it holds, and if there is none, there is no answer.
    - "text_or_variable": a single word. If a cell has defined a variable of that name, its value; else `text`. (Names
      such as `result` or `final_answer` are "variable": nobody answers with them.)
    - "expression": Python. Run `code` as a cell; if it fails or gives None, the answer is `text`, and where `text` is
      None there is no answer, and the model should see the error.
    - "submit": a call of SUBMIT. Run `code` as a cell.
    """

    kind: str
    value: str
    text: str | None = None

    @property
    def code(self) -> str:
        """The cell that gives this answer; empty where none is needed."""
        if self.kind == "expression":
            return f"FINAL((\n{self.value}\n))"
        return self.value if self.kind == "submit" else ""


class Scan:
    """How many characters the search for closing parentheses may still read, over one reply."""

    def __init__(self, text: str) -> None:
        self.left = SCAN_FACTOR * len(text) + 1000


@dataclass(frozen=True)
class Found:
    """A call of one of the three names, alone on its lines. `end` is where its last line ends."""

    name: str
    content: str
    end: int


def last_final(prose: str, *, may_be_open: bool = True) -> Final | None:
    """The last answer in a text whose code blocks have been taken out (each replaced by an empty line)."""
    scan = Scan(prose)
    final: Found | None = None
    position = 0
    before = ""
    while position < len(prose):
        line_end = _line_end(prose, position)
        line = prose[position:line_end]
        found = find_at(prose, position, scan, may_be_open=may_be_open)
        if found is not None:
            if _is_an_answer(found.content) and not _is_conditional(before):
                final = found
            position = found.end + 1
            before = ""
            continue
        if line.strip():
            before = line
        position = line_end + 1
    return read(final.name, final.content) if final is not None else None


def labelled_final(prose: str) -> Final | None:
    """The answer in a last line such as `So the answer is FINAL(42).`, which says that it is one and not a plan."""
    text = prose.rstrip()
    line = text.rfind("\n") + 1
    opening = _LABELLED.match(text, line, min(len(text), line + MAX_LABEL_CHARACTERS))
    if opening is None or _PLANNED.search(text, line, opening.start(1)):
        return None
    content, after = _balanced(text, opening.end(), Scan(text))
    if content is None or not _ONLY_MARKUP.match(text, after) or not _is_an_answer(content):
        return None
    return read(opening[1], content)


def only_final(block: str) -> Final | None:
    """The answer, if the whole block is one."""
    text = block.strip()
    found = find_at(text, 0, Scan(text), may_be_open=False)
    if found is None or text[found.end :].strip() or not _is_an_answer(found.content):
        return None
    return read(found.name, found.content)


def find_at(text: str, line: int, scan: Scan, *, may_be_open: bool) -> Found | None:
    """The call that begins on the line at that position. Where it is never closed it may hold all that follows."""
    line_end = _line_end(text, line)
    start = _START.match(text, line, line_end)
    if start is None:
        return None
    content, after = _balanced(text, start.end(), scan)
    if content is None:
        return _unclosed(text, start, line_end) if may_be_open and scan.left > 0 else None
    end = _line_end(text, after)
    return Found(start[1], content, end) if _ONLY_MARKUP.match(text, after, end) else None


def _unclosed(text: str, start: "re.Match[str]", line_end: int) -> Found:
    first = text[start.end() : line_end].strip().removesuffix(")")
    if start[1] == "FINAL_VAR" and _bare(first).isidentifier():
        return Found(start[1], first, line_end)
    return Found(start[1], text[start.end() :].rstrip().removesuffix(")"), len(text))


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _is_an_answer(content: str) -> bool:
    content = content.strip(_INVISIBLE + " \t\n\u00a0")
    return bool(content) and (content.isidentifier() or not _PLACEHOLDER.match(content[:100]))


def _is_conditional(before: str) -> bool:
    """`Once I have the sum I would write:` announces an example, not the answer."""
    return before.rstrip().endswith(":") and _CONDITION.search(before[-MAX_LABEL_CHARACTERS * 2 :]) is not None


def read(name: str, content: str) -> Final:
    """What the call means. `content` stands between its parentheses and is not empty."""
    content = content.strip(_INVISIBLE + " \t\n\u00a0")
    if name == "SUBMIT":
        return Final("submit", f"SUBMIT({content}\n)" if "#" in content else f"SUBMIT({content})")
    if name == "FINAL_VAR":
        return _read_variable(content)
    content = content[found.end() :] if (found := _KEYWORD.match(content)) and found.end() < len(content) else content
    if _is_name(_bare_of_backticks(content)):
        word = _bare_of_backticks(content)
        return Final("variable", word) if _SURELY_A_VARIABLE.fullmatch(word) else Final("text_or_variable", word, word)
    return _read_python(content) or Final("text", _unquoted(content))


def _read_variable(content: str) -> Final:
    name = _bare(content)
    if _is_name(name):
        return Final("variable", name)
    return _read_python(name) or _read_python(content) or Final("text", _unquoted(content))


def _is_name(word: str) -> bool:
    return word.isidentifier() and not keyword.iskeyword(word)


def _bare(content: str) -> str:
    """Without the quotes and backticks around it."""
    return content.strip("\"'`\u201c\u201d\u2018\u2019 \t\n")


def _bare_of_backticks(content: str) -> str:
    return content[1:-1] if len(content) > 2 and content[0] == content[-1] == "`" else content


def _read_python(content: str) -> Final | None:
    """The Final of a string literal or of an expression with names in it; None for anything else.

    `Paris (France)` is Python too, and so is `well-known`: a cell that runs them fails, and the text counts.
    """
    if len(content) > MAX_EXPRESSION_CHARACTERS and content[:1] not in ("'", '"'):
        return None
    tree = parsed_expression(content)
    if tree is None:
        return None
    if isinstance(tree, ast.Constant):
        return Final("text", tree.value) if isinstance(tree.value, str) and tree.value else None
    if isinstance(tree, ast.Name) or not any(isinstance(node, ast.Name) for node in ast.walk(tree)):
        return None  # a name with a comment behind it is a text with a # in it
    return Final("expression", content, None if _is_surely_code(tree) else content)


def _is_surely_code(tree: ast.expr) -> bool:
    """Nobody writes an f-string, a method call or a call of a builtin as prose."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            return True
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute):
                return True
            if isinstance(called, ast.Name) and (hasattr(builtins, called.id) or called.id in ("FINAL", "FINAL_VAR")):
                return True
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            return True
    return False


def _unquoted(content: str) -> str:
    """What one pair of quotes, backticks or bold marks around all of it holds; anything else as it is."""
    first, last = content[0], content[-1]
    if len(content) < 3:
        return content
    inside = content[1:-1]
    if first in "'\"" and first == last:
        return inside if first not in re.sub(r"(?<=\w)'(?=\w)", "", inside) else content
    if _PAIRS.get(first) == last and first not in inside and last not in inside:
        return inside
    if content.startswith("**") and content.endswith("**") and len(content) > 4 and "**" not in content[2:-2]:
        return content[2:-2]
    return content


def _balanced(text: str, begin: int, scan: Scan) -> tuple[str | None, int]:
    """The text from `begin` to the parenthesis that closes the one before it, and the position after that.

    Parentheses inside quotes do not count where the quotes are closed; an apostrophe in prose is not a quote. Where
    that reading finds no end, quotes are ignored.
    """
    for heed_quotes in (True, False):
        depth, at = 1, begin
        while found := _QUOTED_OR_PAREN.search(text, at, begin + max(scan.left, 0)):
            mark, at = found[0], found.end()
            if mark in "(\uff08":
                depth += 1
            elif mark in ")\uff09":
                depth -= 1
                if depth == 0:
                    scan.left -= at - begin
                    return text[begin : found.start()], at
            elif heed_quotes and mark in "\"'" and _opens_literal(text, found.start(), begin):
                closing = _end_of_literal(text, found.start())
                if closing is None:
                    break
                at = closing
        scan.left -= (at if found else len(text)) - begin
    return None, begin


def _opens_literal(text: str, at: int, begin: int) -> bool:
    """A quote opens a literal at the very start, or after a separator; `it's` does not."""
    return at == begin or text[at - 1] in " \t\n(,[{:=+"


def _end_of_literal(text: str, at: int) -> int | None:
    """The position after the literal that opens at `at`; None where it does not close."""
    quote = text[at]
    mark = quote * 3 if text.startswith(quote * 3, at) else quote
    position = at + len(mark)
    limit = len(text) if len(mark) == 3 else _line_end(text, at)
    while True:
        end = text.find(mark, position, limit)
        if end < 0:
            return None
        slashes = len(text[position:end]) - len(text[position:end].rstrip("\\"))
        if slashes % 2 == 0:
            return end + len(mark)
        position = end + 1
