"""Changes a cell's code before it runs.

`FINAL_VAR("name")` gives a variable by its name, but models as often write `FINAL_VAR(name)`. Only the code tells these
apart where the variable holds a single word, which could be a name too.

`answer` is made a dict again where the code means that: see `_offer_answer`.

Calls of llm_query and its kin are changed where only an awaitable makes sense. Models write three things that plain
Python would refuse, or run one call after the other:

- `await llm_query(p)`, and a tool in that place;
- `asyncio.gather(*[llm_query(p) for p in prompts])`, and the like with create_task, wait_for and others;
- `async def ask(p): return llm_query(p)`, run many times at once.

In the first two the async form of the name is called instead. In the third the call is awaited, in the way and with the
exceptions of twins.py. What a name stands for is looked at when the code runs: a function of the cell's own is called
as it is. Code without any of these words in it is left alone, unseen.
"""

import ast
from typing import Any

from divebell_guest import namespace, twins
from divebell_guest.contract import AWAITED

_AWAITABLE = "__divebell_awaitable__"
_CALL = "__divebell_call__"
_BY_VALUE = "__divebell_by_value__"
_TAKES_AWAITABLES = frozenset(
    {"gather", "create_task", "ensure_future", "wait_for", "shield", "as_completed", "wait", "run_until_complete"}
)
_SYNC = frozenset(AWAITED)


def rewrite(tree: ast.Module, code: str, bindings: dict[str, object]) -> ast.Module:
    """The cell's syntax tree, changed as above; binds the names that the changed code uses."""
    if "answer" in code and ("ready" in code or "content" in code):
        _offer_answer(tree, bindings)
    if "FINAL_VAR" in code:
        bindings[_BY_VALUE] = namespace.find_by_value_form
        tree = _FinalVarCalls().visit(tree)
    if "async" not in code and "await" not in code:
        return tree
    bindings[_AWAITABLE] = namespace.find_async_form
    bindings[_CALL] = twins.call
    return _AwaitableCalls().visit(tree)  # type: ignore[no-any-return]


def _offer_answer(tree: ast.Module, bindings: dict[str, object]) -> None:
    """Make `answer` the sandbox's dict again, with what the code put into the name as its content, for a cell that
    says answer["ready"] = True: it was written for an engine that puts the name back after every cell."""
    keys: set[object] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "answer" and not isinstance(node.ctx, ast.Load):
            return
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "answer":
            keys.add(node.slice.value if isinstance(node.slice, ast.Constant) else None)
    current = bindings.get("answer")
    # A dict of the code's own may have a key "content"; only "ready" tells that the sandbox's is meant.
    own_keys = {"ready"} if isinstance(current, dict) else {"ready", "content"}
    if not keys.isdisjoint(own_keys):
        namespace.final_answer.take_over(bindings)


class _AwaitableCalls(ast.NodeTransformer):
    def visit_Await(self, node: ast.Await) -> ast.AST:
        self.generic_visit(node)
        _make_awaitable(node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
        if name in _TAKES_AWAITABLES or _is_asyncio_run(node.func):
            for argument in node.args:
                value = argument.value if isinstance(argument, ast.Starred) else argument
                for item in value.elts if isinstance(value, (ast.List, ast.Tuple)) else [value]:
                    _make_awaitable(item.elt if isinstance(item, (ast.ListComp, ast.GeneratorExp)) else item)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        self.generic_visit(node)
        transformer = twins.AwaitCalls(_SYNC - _bound_names(node), _bound_names(node) - _shared_names(node))
        node.body = [transformer.visit(statement) for statement in node.body]
        return node


class _FinalVarCalls(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if (
            isinstance(node.func, ast.Name)
            and node.func.id == "FINAL_VAR"
            and len(node.args) == 1
            and not isinstance(node.args[0], (ast.Constant, ast.Starred))
        ):
            _call_through(node, _BY_VALUE)
        return node


def _call_through(node: ast.Call, chooser: str) -> None:
    """Make the call call `chooser(function)` instead of its function."""
    form = ast.Call(ast.Name(chooser, ast.Load()), [node.func], [])
    node.func = ast.fix_missing_locations(ast.copy_location(form, node.func))


def _make_awaitable(node: ast.AST) -> None:
    """Make a call of a name call the name's async form."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id != _CALL:
        _call_through(node, _AWAITABLE)


def _bound_names(node: ast.AsyncFunctionDef) -> frozenset[str]:
    """Names that the function binds itself, including its parameters and the functions inside it."""
    names: set[Any] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
            names.add(part.id)
        elif isinstance(part, ast.arg):
            names.add(part.arg)
        elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and part is not node:
            names.add(part.name)
    return frozenset(names)


def _shared_names(node: ast.AsyncFunctionDef) -> frozenset[str]:
    """Names that the function declares as global or nonlocal."""
    return frozenset(
        name for part in ast.walk(node) if isinstance(part, (ast.Global, ast.Nonlocal)) for name in part.names
    )


def _is_asyncio_run(called: ast.expr) -> bool:
    return (
        isinstance(called, ast.Attribute)
        and called.attr == "run"
        and isinstance(called.value, ast.Name)
        and called.value.id == "asyncio"
    )
