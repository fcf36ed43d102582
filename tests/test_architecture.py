"""Three rooms and one door: who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.partition(".")[0] in ("divebell", "divebell_bridge", "divebell_wasm")}


@pytest.mark.parametrize("path", sorted((ROOT / "bridge").glob("**/*.py")), ids=lambda path: path.name)
def test_the_bridge_imports_only_itself(path: Path) -> None:
    assert {name for name in imports(path) if not name.startswith("divebell_bridge")} == set()


@pytest.mark.parametrize("path", sorted((ROOT / "wasm").glob("*.py")), ids=lambda path: path.name)
def test_the_guest_package_imports_nothing_of_ours(path: Path) -> None:
    assert imports(path) == set()


def test_only_one_file_touches_wasmtimes_private_bindings() -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "engine").glob("**/*.py")
        if "_ffi" in path.read_text("utf-8") or "_bindings" in path.read_text("utf-8")
    }
    assert users == {"engine/divebell/runtime/native.py"}
