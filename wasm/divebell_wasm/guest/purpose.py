"""Finds out which variables a cell set on purpose. `FINAL(total)` in a reply's text means the variable; `FINAL(B)`,
where B is what a loop over options left behind, means the letter.

The cells' sources are kept for tracebacks (cell.py), so nothing has to be written down while cells run.
"""

import ast
import linecache
from collections.abc import Iterator
from typing import Any

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def is_set_on_purpose(name: str) -> bool:
    """Whether the latest cell that bound the name did so by an assignment: not as the variable of a loop or a `with`,
    and not as a function, a class or a module. False for a name that no cell in memory binds at its top level."""
    cells: list[Any] = [source for filename, source in linecache.cache.items() if filename.startswith("<cell ")]
    for _size, _time, lines, _name in reversed(cells):
        code = "".join(lines)
        if name not in code:
            continue
        try:
            bindings = [is_assigned for bound, is_assigned in _bindings(ast.parse(code)) if bound == name]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if bindings:
            return bindings[-1]
    return False


def _bindings(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """Each name that the code binds in its own scope, in the order in which it stands there, and whether by an
    assignment."""
    if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr)):
        if node.value is not None:
            yield from _bindings(node.value)
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if node.value is not None:
            yield from ((name, True) for target in targets for name in _names(target))
        return
    if isinstance(node, _SCOPES):
        if not isinstance(node, ast.Lambda):
            yield node.name, False
        return
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (((alias.asname or alias.name).partition(".")[0], False) for alias in node.names)
    elif isinstance(node, (ast.For, ast.AsyncFor)):
        yield from ((name, False) for name in _names(node.target))
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        yield from ((name, False) for name in _names(node.optional_vars))
    elif (isinstance(node, ast.ExceptHandler) and node.name) or (
        isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name
    ):
        yield node.name, False
    elif isinstance(node, ast.Delete):
        yield from ((name, False) for target in node.targets for name in _names(target))
    for child in ast.iter_child_nodes(node):
        if isinstance(node, _COMPREHENSIONS) and isinstance(child, ast.comprehension):
            yield from _bindings(child.iter)
        else:
            yield from _bindings(child)


def _names(target: ast.AST) -> list[str]:
    """The names that a target binds: not those in `rows[i]` or `thing.name`."""
    if isinstance(target, ast.Name):
        return [target.id]
    if isinstance(target, ast.Starred):
        return _names(target.value)
    if isinstance(target, (ast.Tuple, ast.List)):
        return [name for element in target.elts for name in _names(element)]
    return []
