"""Whether a text is Python. The texts are a model's: nothing here runs them, and nothing they hold raises.

Python's parser takes a few hundred bytes of memory a character, so only texts up to a bound are given to it.
"""

import ast
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

MAX_PARSED_CHARACTERS = 1 << 20

_warnings_lock = threading.Lock()


@contextmanager
def _ignoring_warnings() -> Iterator[None]:
    """Parsing warns of stray escapes, as in a regular expression; the texts are not ours, so neither are the warnings.

    Python's filters are one list for all threads, hence the lock.
    """
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def parse_python(code: str) -> ast.Module | None:
    """The code's syntax tree; None if it is not Python or over MAX_PARSED_CHARACTERS."""
    if len(code) > MAX_PARSED_CHARACTERS:
        return None
    try:
        with _ignoring_warnings():
            return ast.parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def parse_expression(source: str) -> ast.expr | None:
    """The tree of one expression, which may go over several lines; None if the source is not a single expression."""
    module = parse_python(f"(\n{source}\n)")
    if module is None or len(module.body) != 1:
        return None
    statement = module.body[0]
    return statement.value if isinstance(statement, ast.Expr) else None


_READS_NOTHING = frozenset({"FINAL", "SUBMIT", "print", "str", "int", "float"})
_DOES_SOMETHING = (
    ast.Call, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.While, ast.If, ast.With, ast.Try, ast.Import,
    ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Await, ast.Subscript,
)  # fmt: skip


def does_more_than_name(code: str) -> bool:
    """Whether it is Python that does more than name things: prose and data may be Python, too."""
    tree = parse_python(code)
    return tree is not None and any(isinstance(node, _DOES_SOMETHING) for node in ast.walk(tree))


def stated_values(code: str) -> str | None:
    """The constants in code that reads nothing but what it has itself set, such as `total = 12345; FINAL(total)`; None
    for any other, which may have computed its answer."""
    tree = parse_python(code)
    if tree is None:
        return None
    nodes = list(ast.walk(tree))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    names_it_may_read = {node.id for node in names if not isinstance(node.ctx, ast.Load)} | _READS_NOTHING
    if any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in nodes) or any(
        node.id not in names_it_may_read for node in names
    ):
        return None
    return " ".join(str(node.value) for node in nodes if isinstance(node, ast.Constant))


def compiles(code: str) -> bool:
    """Whether the code is Python, as far as its syntax tells."""
    return parse_python(code) is not None
