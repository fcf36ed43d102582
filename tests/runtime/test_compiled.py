"""The cache of compiled modules is native code that will run: it must be nobody else's, and whole."""

import os
import platform
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime

from divebell import CacheError
from divebell.runtime import compiled, guest_package, native

WAT = '(module (memory (export "memory") 1) (func (export "f") (result i32) i32.const {}))'


@pytest.fixture(scope="module")
def engine() -> wasmtime.Engine:
    return native.make_engine(epochs=False)


@pytest.fixture
def compiles(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stands a small module in for the guest; the list grows with each compilation."""
    made: list[int] = []

    def module_bytes() -> bytes:
        made.append(1)
        return bytes(wasmtime.wat2wasm(WAT.format(42)))

    monkeypatch.setattr(guest_package, "module_bytes", module_bytes)
    return made


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("DIVEBELL_CACHE", str(folder))
    return folder


def answer(engine: wasmtime.Engine, module: wasmtime.Module) -> int:
    store = wasmtime.Store(engine)
    function = wasmtime.Instance(store, module, []).exports(store)["f"]
    assert isinstance(function, wasmtime.Func)
    return int(function(store))


def test_a_module_is_compiled_once_and_then_loaded(engine: wasmtime.Engine, cache: Path, compiles: list[int]) -> None:
    for _ in range(3):
        assert answer(engine, compiled.load(engine, epochs=False)) == 42
    assert len(compiles) == 1
    files = list(cache.glob("*.cwasm"))
    assert [file.name for file in files] == [f"guest-{compiled.cache_key(epochs=False)}.cwasm"]
    assert [file.name for file in cache.iterdir() if stat.S_IMODE(file.stat().st_mode) & 0o077] == []
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["empty", "one_byte", "head", "half", "all_but_one_byte", "noise", "text"])
def test_a_damaged_file_is_compiled_anew(
    engine: wasmtime.Engine, cache: Path, compiles: list[int], damage: str
) -> None:
    compiled.load(engine, epochs=False)
    [path] = cache.glob("*.cwasm")
    whole = path.read_bytes()
    path.write_bytes({
        "empty": b"", "one_byte": whole[:1], "head": whole[:64], "half": whole[: len(whole) // 2], "all_but_one_byte": whole[:-1],
        "noise": os.urandom(len(whole)), "text": b"not a module",
    }[damage])  # fmt: skip
    assert answer(engine, compiled.load(engine, epochs=False)) == 42
    assert len(compiles) == 2
    assert answer(engine, compiled.load(engine, epochs=False)) == 42
    assert len(compiles) == 2


def test_a_module_for_other_settings_is_not_taken(cache: Path, compiles: list[int]) -> None:
    plain, epochs = native.make_engine(epochs=False), native.make_engine(epochs=True)
    compiled.load(plain, epochs=False)
    compiled.load(epochs, epochs=True)
    assert len(compiles) == 2
    assert len(list(cache.glob("*.cwasm"))) == 2
    os.replace(
        cache / f"guest-{compiled.cache_key(epochs=True)}.cwasm",
        cache / f"guest-{compiled.cache_key(epochs=False)}.cwasm",
    )
    assert answer(plain, compiled.load(plain, epochs=False)) == 42


def test_the_key_names_the_module_the_version_and_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {compiled.cache_key(epochs=False), compiled.cache_key(epochs=True)}
    monkeypatch.setattr(compiled, "version", lambda _: "0.0.1")
    keys.add(compiled.cache_key(epochs=False))
    monkeypatch.setattr(native, "WASM_STACK_BYTES", 1)
    keys.add(compiled.cache_key(epochs=False))
    monkeypatch.setattr(platform, "machine", lambda: "other")
    keys.add(compiled.cache_key(epochs=False))
    assert len(keys) == 5


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(engine: wasmtime.Engine, cache: Path, mode: int) -> None:
    cache.mkdir()
    cache.chmod(mode)
    with pytest.raises(CacheError, match="chmod 700"):
        compiled.load(engine, epochs=False)


def test_a_link_instead_of_a_folder_is_refused(engine: wasmtime.Engine, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    cache.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheError):
        compiled.load(engine, epochs=False)


def test_a_file_instead_of_a_folder_is_refused(engine: wasmtime.Engine, cache: Path) -> None:
    cache.write_text("")
    with pytest.raises(CacheError):
        compiled.load(engine, epochs=False)


def test_another_users_folder_is_refused(engine: wasmtime.Engine, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: cache.stat().st_uid + 1)
    with pytest.raises(CacheError, match="that this user owns"):
        compiled.load(engine, epochs=False)


@pytest.mark.parametrize("trap", ["writable_by_others", "link", "folder", "fifo"])
def test_a_file_that_cannot_be_trusted_is_not_loaded(
    engine: wasmtime.Engine, cache: Path, compiles: list[int], tmp_path: Path, trap: str
) -> None:
    compiled.load(engine, epochs=False)
    [path] = cache.glob("*.cwasm")
    if trap == "writable_by_others":
        path.chmod(0o666)
    else:
        path.rename(tmp_path / "moved")
        {"link": lambda: path.symlink_to(tmp_path / "moved"), "folder": path.mkdir, "fifo": lambda: os.mkfifo(path)}[
            trap
        ]()
    assert answer(engine, compiled.load(engine, epochs=False)) == 42
    assert len(compiles) == 2


def test_a_folder_that_cannot_be_written_costs_the_cache_only(
    engine: wasmtime.Engine, cache: Path, compiles: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert answer(engine, compiled.load(engine, epochs=False)) == 42
    assert list(cache.iterdir()) == []


def test_the_default_folder_that_cannot_be_trusted_is_not_used(
    engine: wasmtime.Engine, compiles: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DIVEBELL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "divebell").mkdir()
    (tmp_path / "divebell").chmod(0o777)
    assert answer(engine, compiled.load(engine, epochs=False)) == 42
    assert list((tmp_path / "divebell").iterdir()) == []


def test_only_the_latest_modules_are_kept(engine: wasmtime.Engine, cache: Path, compiles: list[int]) -> None:
    cache.mkdir(mode=0o700)
    for age in range(20):
        old = cache / f"guest-{age:032}.cwasm"
        old.write_text("old")
        os.utime(old, (age, age))
    (cache / "somebody-elses-file").write_text("kept")
    compiled.load(engine, epochs=False)
    names = {file.name for file in cache.iterdir() if file.suffix != ".sha256"}
    assert len(names) == compiled.KEPT_FILES + 1
    assert {"somebody-elses-file", f"guest-{compiled.cache_key(epochs=False)}.cwasm"} <= names


def test_the_folder_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DIVEBELL_CACHE", str(tmp_path / "x"))
    assert compiled.cache_folder() == tmp_path / "x"
    monkeypatch.delenv("DIVEBELL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compiled.cache_folder() == tmp_path / "divebell"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert compiled.cache_folder() == tmp_path / ".cache" / "divebell"


@pytest.mark.slow
def test_two_processes_that_compile_at_once_both_get_a_whole_module(cache: Path, alone: Callable[..., str]) -> None:
    script = f"""
import os, wasmtime
from divebell.runtime import compiled, guest_package, native
guest_package.module_bytes = lambda: bytes(wasmtime.wat2wasm({WAT.format(42)!r}))
children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        engine = native.make_engine(epochs=False)
        for _ in range(20):
            store = wasmtime.Store(engine)
            f = wasmtime.Instance(store, compiled.load(engine, epochs=False), []).exports(store)["f"]
            assert f(store) == 42
            for file in compiled.cache_folder().glob("*.cwasm"):
                if os.getpid() % 2:
                    file.unlink(missing_ok=True)
        os._exit(0)
    children.append(child)
print(all(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 for child in children))
"""
    assert alone(script).strip() == "True"
    assert [file.name for file in cache.iterdir() if file.suffix not in (".cwasm", ".sha256")] == []
