"""Values from a model, before anything else looks at them: bounds, JSON, and how a sentence quotes them.

Every value is hostile. `measure` bounds it first, so that later code may walk it without bounds of its own.
"""

import ast
import json
import math
import re
from dataclasses import dataclass
from typing import NoReturn

from divebell.bounds import MAX_ANSWER_NESTING
from divebell.errors import AnswerError
from divebell.replies.python_text import parse_expression
from divebell.text import printable
from divebell_bridge.door.bounds import MAX_INTEGER_BITS

MAX_PARTS = 200_000
MAX_CHARACTERS = 64 << 20
MAX_LITERAL_CHARACTERS = 100_000
MAX_SHOWN_CHARACTERS = 60

_PYTHON_WORDS = {"None": None, "True": True, "False": False}
_SCALARS = frozenset({str, bytes, int, float, bool, type(None)})
_JSON_BLOCK = re.compile(r"^[ \t]*+```[ \t]*+(?:json5?|)[ \t]*+\n(.*?)^[ \t]*+```[ \t]*+$", re.DOTALL | re.MULTILINE)
_JSON_START = re.compile(r"[\[{]")


@dataclass(frozen=True)
class Size:
    """How many parts (values and keys) a value has, and how many characters and bytes they hold."""

    parts: int
    characters: int


def measure(value: object) -> Size:
    """The size of plain data. Raises AnswerError if it is over a bound, or is not plain data."""
    parts = characters = 0
    level: list[object] = [value]
    for _ in range(MAX_ANSWER_NESTING):
        below: list[object] = []
        for part in level:
            inside = _parts_inside(part)
            parts += 1
            characters += len(part) if isinstance(part, (str, bytes)) else 0
            if parts + len(below) + len(inside) > MAX_PARTS or characters > MAX_CHARACTERS:
                raise AnswerError(
                    (f"the answer is too large: at most {MAX_PARTS:,} values and {MAX_CHARACTERS:,} characters",)
                )
            below.extend(inside)
        if not below:
            return Size(parts, characters)
        level = below
    raise AnswerError((f"the answer is nested more than {MAX_ANSWER_NESTING} deep",))


def _parts_inside(part: object) -> "list[object] | tuple[object, ...]":
    """The values and keys directly inside of a list or dict. Raises AnswerError if a part is not plain data."""
    kind = type(part)
    if kind is dict:
        items: dict[object, object] = part  # type: ignore[assignment]
        return [*items, *items.values()]
    if kind is list or kind is tuple:
        return part  # type: ignore[return-value]
    if kind is int and part.bit_length() > MAX_INTEGER_BITS:  # type: ignore[attr-defined]
        raise AnswerError((f"an integer has more than {MAX_INTEGER_BITS:,} bits",))
    if kind not in _SCALARS:
        raise AnswerError((f"{kind.__name__} is not plain data",))
    return ()


def as_json(value: object) -> object:
    """The value as plain JSON: tuples are lists. Raises AnswerError for what JSON cannot hold. `measure` it first."""
    if isinstance(value, (list, tuple)):
        return [as_json(part) for part in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise AnswerError((f"the key {quote_value(key)} is not a string",))
        return {key: as_json(part) for key, part in value.items()}
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise AnswerError(("bytes that are not UTF-8 are not JSON: decode them",)) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise AnswerError((f"{value} is not a JSON number",))
    return value


def parse_json(text: str) -> object:
    """The value that a text holds: JSON, by itself, in a fence or after some words; or a Python literal:
    None, True, False, a list or a dict.

    Raises AnswerError if it holds none of these.
    """
    text = text.strip()
    if len(text) > MAX_CHARACTERS:
        raise AnswerError((f"the answer has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read",))
    if text in _PYTHON_WORDS:
        return _PYTHON_WORDS[text]
    try:
        return _loads(text)
    except AnswerError as error:
        problem = error
    for read in (_read_block, _read_after_words, _read_literal):
        try:
            return read(text)
        except (AnswerError, TypeError, ValueError, RecursionError):
            continue
    raise problem


def _read_block(text: str) -> object:
    block = _JSON_BLOCK.search(text)
    if block is None:
        raise ValueError("there is no fenced block of JSON")
    return _loads(block[1])


def _read_after_words(text: str) -> object:
    start = _JSON_START.search(text)
    if start is None:
        raise ValueError("there is no list and no object")
    value: object = _decoder.raw_decode(text, start.start())[0]
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise AnswerError((f"{name} is not a JSON number",))


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def _loads(text: str) -> object:
    try:
        value: object = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise AnswerError(("the JSON is nested too deep",)) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise AnswerError(
            (f"the answer is not JSON: {error.msg} at {where}; it begins with {quote_value(text)}",)
        ) from None
    except ValueError as error:  # an integer of too many digits
        raise AnswerError((f"the answer is not JSON: {error}"[:200],)) from None
    return value


def _read_literal(text: str) -> object:
    """A dict or list as Python writes it, with single quotes and True. Sets and tuples are lists, as for code."""
    is_literal = len(text) <= MAX_LITERAL_CHARACTERS and text.startswith(("[", "{", "("))
    tree = parse_expression(text) if is_literal else None
    if tree is None:
        raise ValueError("there is no Python literal")
    value: object = ast.literal_eval(_Lists().visit(tree))
    return value


class _Lists(ast.NodeTransformer):
    """Makes lists of sets and tuples, in the order in which they were written."""

    def visit_Set(self, node: ast.Set) -> ast.List:
        return ast.List([self.visit(each) for each in node.elts], ast.Load())

    def visit_Tuple(self, node: ast.Tuple) -> ast.List:
        return ast.List([self.visit(each) for each in node.elts], ast.Load())


def quote_value(value: object) -> str:
    """The value in a few words, for a sentence to a model. Never long, always printable."""
    if isinstance(value, (str, bytes)):
        cut = value[:MAX_SHOWN_CHARACTERS]
        return printable(f"{cut!r}..." if len(value) > MAX_SHOWN_CHARACTERS else repr(cut))
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value):,}"
    if isinstance(value, dict):
        keys = ", ".join(quote_value(key) for key in list(value)[:5])
        return f"an object with {keys}{', ...' if len(value) > 5 else ''}" if value else "an empty object"
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length():,} bits"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return repr(value) if isinstance(value, (int, float)) else f"a {type(value).__name__}"


def path_of(parts: "list[object] | tuple[object, ...]") -> str:
    """Where in the answer: `rows[3].name`. Empty for the answer as a whole."""
    path = ""
    for part in list(parts)[:20]:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            name = printable(str(part)[:MAX_SHOWN_CHARACTERS])
            path += f".{name}" if path else name
    return path


def problem_line(path: str, problem: str) -> str:
    return f"{path}: {problem}" if path else problem
