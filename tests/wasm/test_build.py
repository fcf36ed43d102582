"""The build's own rules: what it refuses to hand out, what it does again, and what it freezes."""

import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import wasmtime

checks = pytest.importorskip("divebell_wasm.build.checks", reason="the build is not part of an installation")
from divebell_wasm.build import (  # noqa: E402 - needs the line above
    c_libraries,
    fetch,
    freeze,
    link,
    sources,
    stdlib,
    toolchain,
    work,
    zones,
)

DOOR = '(import "divebell" "call" (func (param i32 i32 i32 i32) (result i32)))'
EXPORTED = """
  (memory (export "memory") 1)
  (global (export "__stack_pointer") (mut i32) (i32.const 0))
  (func (export "_initialize"))
  (func (export "divebell_layout"))
  (func (export "divebell_reserve"))
  (func (export "divebell_boot"))
  (func (export "divebell_dispatch"))
  (func (export "divebell_attach"))
  (func (export "divebell_attach_value"))
"""
COPY = "(func (memory.copy (i32.const 0) (i32.const 0) (i32.const 0)))"


@pytest.fixture
def check(tmp_path: Path) -> Callable[[str], None]:
    """Check a module that is given as text, as if the build had made it."""

    def check_text(text: str) -> None:
        folder = work.Work(tmp_path)
        folder.link.mkdir()
        folder.module.write_bytes(wasmtime.wat2wasm(f"(module {text})"))
        checks.check(folder)

    return check_text


def test_a_sealed_module_passes(check: Callable[[str], None]) -> None:
    check(DOOR + EXPORTED)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (EXPORTED, "must import divebell.call"),
        (DOOR + '(import "wasi" "fd_write" (func))' + EXPORTED, "wasi.fd_write"),
        (DOOR.replace("(result i32)", "") + EXPORTED, "must import divebell.call"),
        (DOOR + EXPORTED + '(func (export "more"))', "these differ: more"),
        (DOOR + EXPORTED.replace("divebell_boot", "start"), "these differ: divebell_boot, start"),
        (DOOR + EXPORTED + COPY, "1 bulk-memory instructions are left: memory.copy at 0x"),
        (DOOR + EXPORTED + '(@custom "name" "")', "custom sections are left: name"),
    ],
)
def test_an_unsealed_module_fails_the_build(check: Callable[[str], None], text: str, sentence: str) -> None:
    with pytest.raises(work.BuildError, match=sentence):
        check(text)


def test_a_module_that_names_the_work_folder_fails_the_build(check: Callable[[str], None], tmp_path: Path) -> None:
    with pytest.raises(work.BuildError, match="a path of this machine"):
        check(f'{DOOR} {EXPORTED} (data (i32.const 0) "{tmp_path}/cpython/Lib")')


def test_a_step_runs_again_only_when_its_inputs_change(tmp_path: Path) -> None:
    runs: list[str] = []
    for version in ("1", "1", "2", "2", "1"):
        work.Steps(work.Work(tmp_path)).do("step", {"version": version}, tmp_path, partial(runs.append, version))
    assert runs == ["1", "2", "1"]


def test_a_step_runs_again_when_its_product_is_gone(tmp_path: Path) -> None:
    steps, product = work.Steps(work.Work(tmp_path)), tmp_path / "product"
    steps.do("step", {}, product, product.touch)
    product.unlink()
    steps.do("step", {}, product, product.touch)
    assert product.exists()


def test_a_step_that_failed_runs_again(tmp_path: Path) -> None:
    steps, product = work.Steps(work.Work(tmp_path)), tmp_path / "product"
    with pytest.raises(FileNotFoundError):
        steps.do("step", {}, tmp_path, product.unlink)
    steps.do("step", {}, tmp_path, product.touch)
    assert product.exists()


def test_a_failed_command_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(work.BuildError, match=r"sh failed with code 3.*\nwent wrong"):
        work.run(work.Work(tmp_path), ["sh", "-c", "echo went wrong; exit 3"])


@pytest.mark.parametrize(
    ("file", "name", "is_package"),
    [("json/__init__.py", "json", True), ("json/decoder.py", "json.decoder", False), ("abc.pyc", "abc", False)],
)
def test_modules_are_named_after_their_files(file: str, name: str, is_package: bool) -> None:
    assert stdlib.module_name(Path(file)) == (name, is_package)


def test_missing_tools_are_asked_for_by_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda command: None if command in ("wasm-ld-19", "npm") else command)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(toolchain, "_has_header", lambda header: header != "zlib.h")
    monkeypatch.setattr(toolchain, "_has_wasm_runtime", lambda: False)
    expected = "apt-get install lld-19 npm zlib1g-dev libclang-rt-19-dev-wasm32 "
    with pytest.raises(work.BuildError, match=expected):
        toolchain.provide()


def test_modules_that_cannot_work_are_left_out(tmp_path: Path) -> None:
    for file in ("abc.py", "test/abc.py", "tkinter/ttk.py", "asyncio/windows_utils.py", "_pyrepl/console.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert [name for name, _, _ in stdlib.modules(tmp_path)] == ["abc"]


def test_every_package_says_all_that_is_asked_of_it() -> None:
    listed = sources.packages()
    assert len({one.name for one in listed}) == len(listed)
    assert all(len(one.sha256) == 64 for one in listed)


def test_flags_of_single_files_name_files_that_are_there() -> None:
    assert set(link.COMPILE_FLAGS_OF) <= {path.name for path in link.c_sources()}


def test_every_library_has_a_pinned_source() -> None:
    pinned = sources.sources()
    assert {one.source for one in c_libraries.LIBRARIES} <= set(pinned)
    assert c_libraries.flags().keys() == {one.source for one in c_libraries.LIBRARIES}


def test_every_change_to_cpython_says_why_first() -> None:
    assert fetch.patches().keys() == {path.name for path in fetch.PATCHES}
    for path in fetch.PATCHES:
        assert len(path.read_text().partition("--- a/")[0].split()) > 10, path.name


@pytest.mark.parametrize(
    ("name", "is_package", "file"),
    [("json", True, "<frozen>/json/__init__.py"), ("json.decoder", False, "<frozen>/json/decoder.py")],
)
def test_frozen_modules_have_the_file_names_that_their_importer_gives_them(
    name: str, is_package: bool, file: str
) -> None:
    assert freeze.file_name(name, is_package) == file


def wheel_of_zones(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, contents in files.items():
            archive.writestr(name, contents)
    return path


def test_zones_with_the_same_rules_share_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"tzdata/zoneinfo/Zone/{number:03}": b"TZif" + bytes([number % 5]) for number in range(500)}
    files |= {"tzdata/zoneinfo/zone.tab": b"# no zone", "tzdata/zoneinfo/__init__.py": b"", "other/Zone": b"TZif"}
    monkeypatch.setattr(fetch, "tzdata", lambda *_: wheel_of_zones(tmp_path / "tzdata.whl", files))
    folder = work.Work(tmp_path)
    zones.make(folder, {}, tmp_path)
    assert (folder.zones / "zones.bin").read_bytes() == b"".join(b"TZif" + bytes([one]) for one in range(5))
    rows = [line for line in (folder.zones / "zones.c").read_text().splitlines() if line.startswith("    {")]
    assert rows[0] == '    {"usr/share/zoneinfo/Zone/000", blob + 0, 5},'
    assert rows[6] == '    {"usr/share/zoneinfo/Zone/006", blob + 5, 5},'
    assert len(rows) == 500


def test_a_wheel_without_zones_fails_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"tzdata/zones/UTC": b"TZif"}
    monkeypatch.setattr(fetch, "tzdata", lambda *_: wheel_of_zones(tmp_path / "tzdata.whl", files))
    with pytest.raises(work.BuildError, match="holds 0 time zones"):
        zones.make(work.Work(tmp_path), {}, tmp_path)
