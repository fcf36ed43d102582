"""The committed module: sealed, complete, and the one that its manifest and the sources beside it describe."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest
import wasmtime

import divebell_wasm as wasm
from divebell_wasm.sections import FunctionType, Import, Module, parse

FOLDER = Path(__file__).resolve().parents[2] / "wasm" / "divebell_wasm"
EXPORTS = {
    "memory",
    "__stack_pointer",
    "_initialize",
    "divebell_layout",
    "divebell_reserve",
    "divebell_boot",
    "divebell_dispatch",
    "divebell_attach",
    "divebell_attach_value",
}
# fmt: off
PROMISED_MODULES = (
    "argparse", "asyncio", "base64", "bisect", "bs4", "bz2", "calendar", "codecs", "collections",
    "concurrent.futures.thread", "contextlib", "copy", "csv", "dataclasses", "datetime", "dateutil.parser",
    "decimal", "difflib", "email.parser", "enum", "fractions", "functools", "glob", "gzip", "hashlib", "heapq",
    "html", "html.parser", "http", "importlib.metadata", "inspect", "io", "json", "logging", "lzma", "more_itertools",
    "msgpack", "operator", "pathlib", "pickle", "pprint", "pydoc", "pydoc_data.topics", "queue", "random", "re",
    "shelve", "shlex", "sortedcontainers", "sqlite3", "statistics", "string", "subprocess", "sysconfig", "tabulate", "tempfile",
    "textwrap", "threading", "timeit", "tomllib", "traceback", "typing", "unittest", "urllib.parse", "uuid",
    "xml.etree.ElementTree", "zipfile", "zoneinfo",
)
# fmt: on


@pytest.fixture(scope="module")
def data() -> bytes:
    return wasm.module_bytes()


@pytest.fixture(scope="module")
def module(data: bytes) -> Module:
    return parse(data)


@pytest.mark.slow
def test_the_door_is_the_only_import(module: Module) -> None:
    assert module.imports == (Import("divebell", "call", "function", FunctionType(("i32",) * 4, ("i32",))),)


def test_exports_are_those_of_the_abi(module: Module) -> None:
    assert {one.name for one in module.exports} == EXPORTS
    assert len(module.exports) == len(EXPORTS)


def test_no_bulk_memory_instruction_is_in_the_code(module: Module) -> None:
    assert module.bulk_memory == ()


def test_wasmtime_accepts_the_module_with_bulk_memory_switched_off(data: bytes) -> None:
    config = wasmtime.Config()
    config.wasm_bulk_memory = False
    wasmtime.Module.validate(wasmtime.Engine(config), data)


def test_wasmtime_switched_off_bulk_memory_refuses_it() -> None:
    config = wasmtime.Config()
    config.wasm_bulk_memory = False
    text = "(module (memory 1) (func (memory.copy (i32.const 0) (i32.const 0) (i32.const 0))))"
    with pytest.raises(wasmtime.WasmtimeError, match="bulk memory"):
        wasmtime.Module.validate(wasmtime.Engine(config), bytes(wasmtime.wat2wasm(text)))


def test_nothing_tells_where_the_module_was_made(data: bytes, module: Module) -> None:
    assert module.custom_sections == ()
    assert not re.findall(rb"/(?:home|root|Users|build|sysroot)/|\.build/|cpython/(?:Lib|Include|wasi)/", data)


def test_manifest_describes_the_module(data: bytes) -> None:
    manifest = wasm.manifest()
    assert manifest.module_sha256 == hashlib.sha256(data).hexdigest()
    assert manifest.module_bytes == len(data)
    assert manifest.compressed_bytes == (FOLDER / wasm.MODULE_FILE).stat().st_size


def test_the_module_was_built_from_the_c_that_is_here() -> None:
    here = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (FOLDER / "c").glob("*.[ch]")}
    assert here == wasm.manifest().c_sources, "wasm/divebell_wasm/c changed: run ./build.sh guest --update"


def test_the_module_was_built_with_the_abi_that_is_here() -> None:
    header = (FOLDER / "c" / "divebell.h").read_text()
    assert f"#define DIVEBELL_ABI_VERSION {wasm.manifest().abi_version}\n" in header


def test_the_module_was_built_with_the_packages_that_are_listed() -> None:
    listed = tomllib.loads((FOLDER / "packages.toml").read_text())["packages"]
    assert listed == wasm.manifest().packages, "packages.toml changed: run ./build.sh guest --update"


def test_the_module_was_built_from_the_sources_that_are_pinned() -> None:
    pinned = tomllib.loads((FOLDER / "build" / "sources.toml").read_text())
    kept = ("version", "sha256", "integrity")
    expected = {name: {key: one[key] for key in kept if key in one} for name, one in pinned.items()}
    assert expected == wasm.manifest().sources, "sources.toml changed: run ./build.sh guest --update"


def test_the_module_was_built_with_the_patches_that_are_here() -> None:
    here = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (FOLDER / "build/patches").iterdir()}
    assert here == wasm.manifest().patches, "wasm/divebell_wasm/build/patches changed: run ./build.sh guest --update"


def test_what_cells_are_told_of_the_bounds_of_files_is_true() -> None:
    defined = dict(re.findall(r"^#define (MAX_\w+) ([^/\n]+?)\s*(?:/\*.*)?$", (FOLDER / "c/files.h").read_text(), re.M))
    told = (FOLDER / "guest/files.py").read_text()
    assert defined["MAX_CONTENT_BYTES"] == "(1u << 30)"
    assert told.count("1 GiB") == 2
    assert f"{int(defined['MAX_NODES'].rstrip('u')):,} of them" in told
    assert f"{int(defined['MAX_DEPTH'].rstrip('u'))} folders deep" in told
    assert f"{int(defined['MAX_DESCRIPTORS'].rstrip('u')) - 1} files can be open" in told  # one is the root


def test_promised_modules_are_frozen() -> None:
    assert set(PROMISED_MODULES) - set(wasm.manifest().frozen_modules) == set()


def test_every_import_name_of_a_package_is_frozen() -> None:
    manifest = wasm.manifest()
    for package in manifest.packages.values():
        assert set(package["imports"]) <= set(manifest.frozen_modules)  # type: ignore[call-overload]


def test_the_licence_of_every_component_is_beside_the_module() -> None:
    chapters = (FOLDER / "LICENCES.txt").read_text("utf-8")
    manifest = wasm.manifest()
    for name in ("cpython", "wasi-libc", "zlib", "bzip2", "liblzma", "sqlite", "tzdata", "msgpack"):
        assert f"\n{name}\n" in chapters
    for name, package in manifest.packages.items():
        assert f"\n{name} ({package['licence']})\n" in chapters


def test_a_damaged_module_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = (FOLDER / wasm.MODULE_FILE).read_bytes()
    (tmp_path / wasm.MANIFEST_FILE).write_bytes((FOLDER / wasm.MANIFEST_FILE).read_bytes())
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    with pytest.raises(wasm.ModuleError, match=r"no guest\.wasm\.xz"):
        wasm.module_bytes()
    (tmp_path / wasm.MODULE_FILE).write_bytes(good[: len(good) // 2])
    with pytest.raises(wasm.ModuleError, match="sha256"):
        wasm.module_bytes()
    (tmp_path / wasm.MODULE_FILE).write_bytes(good[:100] + bytes(100) + good[200:])
    with pytest.raises(wasm.ModuleError, match="damaged"):
        wasm.module_bytes()
    (tmp_path / wasm.MANIFEST_FILE).unlink()
    with pytest.raises(wasm.ModuleError, match=r"no manifest\.json"):
        wasm.module_bytes()
