"""What holds for every file of the house. Who may import whom is stated in pyproject.toml, for import-linter."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("engine", "bridge", "wasm")
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 70
MAX_CONSTRUCTOR_PARAMETERS = 12
FILES = sorted(path for room in ROOMS for path in (ROOT / room).glob("**/*.py"))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_functions_and_constructors_are_of_a_size_that_can_be_read(path: Path) -> None:
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    assert len(source.splitlines()) <= MAX_FILE_LINES
    for function in functions(tree):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        assert lines <= MAX_FUNCTION_LINES, f"{function.name} has {lines} lines"
        if function.name == "__init__":
            taken = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
            assert len(taken) - 1 <= MAX_CONSTRUCTOR_PARAMETERS, (
                f"line {function.lineno}: __init__ takes {len(taken) - 1}"
            )


def test_only_one_file_touches_wasmtimes_private_bindings() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in FILES
        if re.search(r"wasmtime\._(ffi|bindings)|from wasmtime import .*_(ffi|bindings)", path.read_text("utf-8"))
    }
    assert users == {"engine/divebell/runtime/native.py"}
