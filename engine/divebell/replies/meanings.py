"""What an answer in a reply's text means. Some models write a text between the parentheses, others write Python.

Where the reply does not show which it is, the Final says so by its kind, and the run asks the sandbox.

Words are a text. What nobody writes as prose is Python: an f-string, the call of a method, a comprehension; names with
an underscore in them, such as `total_count - errors_count`. `not found`, `low-high` and `Smith, John` are valid Python
too, and would have a value if there were variables of these names; they are texts.
"""

import ast
import builtins
import keyword
import re
from dataclasses import dataclass
from typing import Literal

from divebell.replies.closing import INVISIBLE
from divebell.replies.python_text import parse_expression
from divebell_bridge.door import contract

MAX_EXPRESSION_CHARACTERS = 20_000

_KEYWORD = re.compile(r"(?:answer|final_answer|value|content|result)\s*+=(?!=)\s*+")
_SURELY_A_VARIABLE = re.compile(r"(?:\w+_)?(?:answer|ans|results?|res|output|response)(?:_\w+)?", re.ASCII)
_ANSWER_WORDS = re.compile(r"[A-J]|yes|no|true|false|none|null|unknown", re.IGNORECASE | re.ASCII)
_PAIRS = {"\u201c": "\u201d", "\u201e": "\u201c", "\u2018": "\u2019", "\u00ab": "\u00bb", "\u300c": "\u300d", "`": "`"}
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


FinalKind = Literal["text", "variable", "text_or_variable", "expression", "submit"]


@dataclass(frozen=True)
class Final:
    """An answer in a reply's text.

    kind: what `value` is.
    - "text": the answer itself.
    - "variable": a variable's name; the answer is what it holds, and if there is none, there is no answer.
    - "text_or_variable": a single word, which is also `text`. Its variable's value, if a cell set that variable on
      purpose (Sandbox.is_set_on_purpose: by an assignment, not as a loop's variable, a function or an import) and it
      holds plain data; else `text`. (Names such as `result` or `final_answer` are "variable": nobody answers with
      them. `yes`, `no` and the letters of a choice are "text".)
    - "expression": Python. Run `code` as a cell; if it fails or gives None, the answer is `text`, and where `text` is
      None there is no answer, and the model should see the error.
    - "submit": a call of SUBMIT. Run `code` as a cell.
    """

    kind: FinalKind
    value: str
    text: str | None = None

    @property
    def code(self) -> str:
        """The cell that gives this answer; empty if none is needed."""
        if self.kind == "expression":
            return f"FINAL((\n{self.value}\n))"
        return self.value if self.kind == "submit" else ""


def strip_invisible(content: str) -> str:
    """Without white space and invisible marks around it."""
    return content.strip(INVISIBLE + " \t\n\u00a0")


def read_meaning(name: str, content: str) -> Final:
    """The meaning of a call of that name. `content`, between its parentheses, is not empty."""
    content = strip_invisible(content)
    if name == "SUBMIT":
        return Final("submit", f"SUBMIT({content}\n)" if "#" in content else f"SUBMIT({content})")
    if name == "FINAL_VAR":
        return _read_variable(content)
    keyword_match = _KEYWORD.match(content)
    content = content[keyword_match.end() :] if keyword_match and keyword_match.end() < len(content) else content
    word = _strip_backticks(content)
    if not _is_name(word):
        return _read_python(content) or Final("text", _unquote(content))
    if _ANSWER_WORDS.fullmatch(word) and word == content and (len(word) > 1 or word.isupper()):
        return Final("text", word)
    return Final("variable", word) if _SURELY_A_VARIABLE.fullmatch(word) else Final("text_or_variable", word, word)


def _read_variable(content: str) -> Final:
    """The content of FINAL_VAR, which by its name refers to something: so Python in it is an expression."""
    name = content.strip("\"'`\u201c\u201d\u2018\u2019 \t\n")
    if _is_name(name):
        return Final("variable", name)
    return _read_python(name, is_named=True) or _read_python(content, is_named=True) or Final("text", _unquote(content))


def _is_name(word: str) -> bool:
    return word.isidentifier() and not keyword.iskeyword(word)


def _strip_backticks(content: str) -> str:
    return content[1:-1] if len(content) > 2 and content[0] == content[-1] == "`" else content


def _read_python(content: str, *, is_named: bool = False) -> Final | None:
    """The Final of a string literal or of code; None for anything else. is_named: any Python with names is code."""
    if len(content) > MAX_EXPRESSION_CHARACTERS and content[:1] not in ("'", '"'):
        return None
    tree = parse_expression(content)
    if tree is None:
        return None
    if isinstance(tree, ast.Constant):
        return Final("text", tree.value) if isinstance(tree.value, str) and tree.value else None
    nodes = list(ast.walk(tree))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    if isinstance(tree, ast.Name) or not names:
        return None  # a name with a comment behind it is a text with a # in it
    if any(_is_surely_code(node, content) for node in nodes):
        return Final("expression", content)
    is_worded = any(isinstance(node, (ast.BoolOp, ast.Not, ast.Compare, ast.IfExp, ast.Lambda)) for node in nodes)
    if (is_named and not is_worded) or _may_be_code(tree, names, content, is_worded=is_worded):
        return Final("expression", content, content)
    return None


def _is_surely_code(node: ast.AST, content: str) -> bool:
    """Nobody writes an f-string, a method's call, a call of a builtin or a comprehension as prose."""
    if isinstance(node, (ast.JoinedStr, ast.Await, *_COMPREHENSIONS)):
        return True
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        return not node.value.id[:1].isupper()  # `Paris[1]` has a footnote
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute):
        return f"{node.func.attr}(" in content
    is_known = isinstance(node.func, ast.Name) and (
        hasattr(builtins, node.func.id) or node.func.id in contract.FUNCTIONS
    )
    return is_known and _is_called_closely(node, content)


def _may_be_code(tree: ast.expr, names: set[str], content: str, *, is_worded: bool) -> bool:
    """Whether it is code as likely as a text: then it is run, and the text counts where that fails. is_worded: there
    are words of English among its operators."""
    if isinstance(tree, ast.Attribute):
        return " " not in content  # an attribute, or a host such as example.com
    if isinstance(tree, ast.Call):
        return _is_called_closely(tree, content)
    if isinstance(tree, ast.Subscript):
        return True
    if isinstance(tree, ast.Dict):
        return all(isinstance(key, ast.Constant) for key in tree.keys)
    return all("_" in name.strip("_") or (not is_worded and _SURELY_A_VARIABLE.fullmatch(name)) for name in names)


def _is_called_closely(call: ast.Call, content: str) -> bool:
    """`round(total)`, and not `round (of two)`."""
    return isinstance(call.func, ast.Name) and f"{call.func.id}(" in content


def _unquote(content: str) -> str:
    """The content without a pair of quotes, backticks or bold marks around all of it."""
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
