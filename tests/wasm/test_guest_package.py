"""What the engine boots of the guest's package: its error is Divebell's, and the door's facts are among its sources."""

import ast
from pathlib import Path

import pytest

import divebell_wasm
from divebell import DivebellError, GuestError
from divebell.runtime import guest_package
from divebell_bridge import door

DOOR = Path(door.__file__).parent


@pytest.mark.parametrize("name", ["manifest", "module_bytes"])
def test_an_error_of_the_package_is_one_of_divebells(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    with pytest.raises(GuestError, match=r"build it with \./build\.sh guest --update") as caught:
        getattr(guest_package, name)()
    assert caught.value.kind == "BadModule"
    assert isinstance(caught.value.__cause__, divebell_wasm.ModuleError)


def test_the_package_has_no_other_errors() -> None:
    errors = [each for each in vars(divebell_wasm).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert errors == [divebell_wasm.ModuleError]
    assert not issubclass(divebell_wasm.ModuleError, DivebellError)  # the package imports nothing of the engine


def test_the_guest_runs_the_doors_own_files_before_its_own() -> None:
    sources = guest_package.sources()
    names = [name.removeprefix("divebell_guest").removeprefix(".") for name in sources]
    assert names == ["", "wire", "contract", "bounds", *divebell_wasm.GUEST_MODULES]
    for name in ("wire", "contract", "bounds"):
        assert sources[f"divebell_guest.{name}"] == (DOOR / f"{name}.py").read_text("utf-8")


def test_every_file_of_the_guest_is_among_its_modules() -> None:
    folder = Path(divebell_wasm.__file__).parent / "guest"
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(divebell_wasm.GUEST_MODULES)


def test_no_file_of_the_guest_imports_one_that_comes_later() -> None:
    """So there is no circle; imports inside of functions count, too."""
    sources = guest_package.sources()
    for place, (name, source) in enumerate(sources.items()):
        earlier = {each.removeprefix("divebell_guest.") for each in list(sources)[:place]}
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module == "divebell_guest":
                assert {alias.name for alias in node.names} <= earlier, name
            elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("divebell_guest."):
                assert str(node.module).removeprefix("divebell_guest.") in earlier, name
