"""Async twins: a function of a cell as a coroutine that waits where the function would ask a model.

CPython cannot suspend a plain function in the middle. But the functions that model-written code hands to threads are
written in cells, so their source is here: `def summarise(chunk): return llm_query("Summarise: " + chunk)`. Its twin is
made from that source, an `async def` in which the calls of llm_query and its kin, of tools, and of other functions
that have twins, are awaited. It has the function's globals, defaults and closure, and raises and returns what it would.

Sound, because code that runs in a thread may be interrupted at any of these calls anyway. Where it might not be, there
is no twin, and the function runs as it is, from its beginning to its end: generators, functions that take locks by
hand, names that a class mangles. Calls inside a `with` block (it may hold a lock), a `shared += ...`, a lambda, a
nested function or a generator expression stay as they are: they wait, and everything waits with them.
"""

import ast
import functools
import inspect
import linecache
import types
from collections.abc import Callable, Coroutine, Set
from contextvars import Context
from typing import Any

MAX_KEPT = 1000
_CALL = "__divebell_call__"
_NOT_PLAIN = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

forms: dict[types.FunctionType, Callable[..., Coroutine[Any, Any, Any]]] = {}
"""The async form of each function that asks the host; namespace.py and tools.py fill it."""


class _TwinCodes:
    """The twins' code by the functions' code; None where there is no twin."""

    __slots__ = ("being_made", "codes")

    def __init__(self) -> None:
        self.codes: dict[types.CodeType, types.CodeType | None] = {}
        self.being_made: set[types.CodeType] = set()


cache = _TwinCodes()


class CoroutineCall:
    """A call in the form of a coroutine. `is_direct`: it does nothing but ask the host."""

    __slots__ = ("args", "context", "form", "is_direct", "kwargs")

    def __init__(self, form: Any, args: Any, kwargs: Any, context: Context | None, is_direct: bool) -> None:
        self.form, self.args, self.kwargs, self.context, self.is_direct = form, args, kwargs, context, is_direct

    def coroutine(self) -> Coroutine[Any, Any, Any]:
        """Raises TypeError where the arguments do not fit."""
        coroutine: Coroutine[Any, Any, Any] = self.form(*self.args, **self.kwargs)
        return coroutine


def as_coroutine_call(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CoroutineCall | None:
    """The call function(*args, **kwargs) in the form of a coroutine; None if the function has no twin."""
    context: Context | None = None
    while True:
        if type(function) is functools.partial:
            args, kwargs, function = (*function.args, *args), {**function.keywords, **kwargs}, function.func
        elif type(function) is types.MethodType:
            args, function = (function.__self__, *args), function.__func__
        elif isinstance(getattr(function, "__self__", None), Context) and function.__name__ == "run" and args:
            context, function, args = function.__self__, args[0], args[1:]
        else:
            break
    form = _find_form(function)
    return None if form is None else CoroutineCall(form, args, kwargs, context, function in forms)


def _find_form(function: Any) -> Callable[..., Coroutine[Any, Any, Any]] | None:
    if type(function) is not types.FunctionType:
        return None
    if function in forms:
        return forms[function]
    code = _twin_code(function)
    if code is None:
        return None
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    cells[_CALL] = _call_cell
    twin = types.FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, tuple(cells[n] for n in code.co_freevars)
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin


async def call(function: Any, /, *args: Any, **kwargs: Any) -> Any:
    coroutine_call = as_coroutine_call(function, args, kwargs)
    return function(*args, **kwargs) if coroutine_call is None else await coroutine_call.coroutine()


_call_cell = types.CellType(call)


def _twin_code(function: types.FunctionType) -> types.CodeType | None:
    code = function.__code__
    if code in cache.codes:
        return cache.codes[code]
    if len(cache.codes) >= MAX_KEPT:
        cache.codes.clear()
    cache.being_made.add(code)
    try:
        twin = _make_twin_code(function)
    except (SyntaxError, ValueError, RecursionError):
        twin = None
    finally:
        cache.being_made.discard(code)
    cache.codes[code] = twin
    return twin


def _make_twin_code(function: types.FunctionType) -> types.CodeType | None:
    code = function.__code__
    if (
        code.co_flags & _NOT_PLAIN
        or not code.co_filename.startswith("<cell ")
        or "acquire" in (*code.co_names, *code.co_varnames)
    ):
        return None
    reachable = _reachable(function)
    asking = {name for name, value in reachable.items() if _may_ask(value)}
    if not asking:
        return None
    asking |= {name for name, value in reachable.items() if getattr(value, "__code__", None) in cache.being_made}
    node = _find_definition(code)
    if node is None or _has_private_names(node):
        return None
    if isinstance(node, ast.Lambda):
        body: list[ast.stmt] = [ast.copy_location(ast.Return(node.body), node.body)]
    else:
        body = node.body
    transformer = AwaitCalls(asking, {*code.co_varnames})
    body = [transformer.visit(statement) for statement in body]
    if not transformer.is_changed:
        return None
    return _compile_twin(code, node, body)


def _reachable(function: types.FunctionType) -> dict[str, object]:
    """The current values of the names that the function does not bind itself."""
    code = function.__code__
    values = {name: function.__globals__[name] for name in code.co_names if name in function.__globals__}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            values[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    return values


def _may_ask(value: Any) -> bool:
    """Whether a call of it may ask a model."""
    while type(value) is functools.partial:
        value = value.func
    if type(value) is not types.FunctionType:
        return False
    return value in forms or (value.__code__ not in cache.being_made and _twin_code(value) is not None)


def _find_definition(code: types.CodeType) -> "ast.FunctionDef | ast.Lambda | None":
    """The one definition in its cell that the code was made from."""
    entry: Any = linecache.cache.get(code.co_filename)
    if type(entry) is not tuple or len(entry) != 4:
        return None
    definitions: list[Any] = []
    for node in ast.walk(ast.parse("".join(entry[2]))):
        if isinstance(node, ast.Lambda):
            if (
                code.co_name == "<lambda>"
                and node.lineno == code.co_firstlineno
                and _place_of_node(node.body) in _places_of_code(code)
            ):
                definitions.append(node)
        elif isinstance(node, ast.FunctionDef):
            first = min([decorator.lineno for decorator in node.decorator_list], default=node.lineno)
            if node.name == code.co_name and first == code.co_firstlineno:
                definitions.append(node)
    return definitions[0] if len(definitions) == 1 else None


def _has_private_names(node: ast.AST) -> bool:
    """Whether it has names that a class mangles, which mean something else outside of it."""
    names = [getattr(part, "id", None) or getattr(part, "attr", None) or "" for part in ast.walk(node)]
    return any(name.startswith("__") and not name.endswith("__") for name in names)


def _place_of_node(node: ast.expr) -> tuple[Any, ...]:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def _places_of_code(code: types.CodeType) -> list[tuple[Any, ...]]:
    return list(code.co_positions())


class AwaitCalls(ast.NodeTransformer):
    """Makes calls of the given names awaits of `call`, where that is the function's own code."""

    def __init__(self, names: Set[str], own: Set[str]) -> None:
        self.names = names
        self.own = own  # variables that nobody else sees
        self.is_changed = False

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or node.func.id not in self.names:
            return node
        self.is_changed = True
        call = ast.Call(
            ast.copy_location(ast.Name(_CALL, ast.Load()), node.func), [node.func, *node.args], node.keywords
        )
        return ast.copy_location(ast.Await(ast.copy_location(call, node)), node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        """`total += llm_query(...)` reads the total before it asks, and would lose what others add meanwhile."""
        is_own = isinstance(node.target, ast.Name) and node.target.id in self.own
        return self.generic_visit(node) if is_own else node

    def _leave(self, node: ast.AST) -> ast.AST:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_ClassDef = visit_GeneratorExp = _leave
    visit_With = _leave


def _compile_twin(
    code: types.CodeType, node: "ast.FunctionDef | ast.Lambda", body: list[ast.stmt]
) -> types.CodeType | None:
    """The async function's code: compiled inside of a function that has its free variables as parameters."""
    arguments = node.args
    plain = ast.arguments(
        [_without_annotation(a) for a in arguments.posonlyargs],
        [_without_annotation(a) for a in arguments.args],
        arguments.vararg and _without_annotation(arguments.vararg),
        [_without_annotation(a) for a in arguments.kwonlyargs],
        [None for _ in arguments.kw_defaults],
        arguments.kwarg and _without_annotation(arguments.kwarg),
        [],
    )
    name = "_lambda" if isinstance(node, ast.Lambda) else node.name
    twin = ast.copy_location(ast.AsyncFunctionDef(name, plain, body, [], None, None, []), node)
    free = [ast.arg(n) for n in (*code.co_freevars, _CALL)]
    outer = ast.FunctionDef("_outer", ast.arguments([], free, None, [], [], None, []), [twin], [], None, None, [])
    module = ast.Module([outer], [])
    ast.fix_missing_locations(module)
    compiled: Any = compile(module, code.co_filename, "exec", dont_inherit=True)
    twin_code = _inner(_inner(compiled, "_outer"), name)
    if {*twin_code.co_freevars} - {*code.co_freevars, _CALL} or twin_code.co_argcount != code.co_argcount:
        return None
    return twin_code.replace(co_name=code.co_name, co_qualname=code.co_qualname)


def _without_annotation(argument: ast.arg) -> ast.arg:
    return ast.copy_location(ast.arg(argument.arg), argument)


def _inner(code: types.CodeType, name: str) -> types.CodeType:
    return next(c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == name)
