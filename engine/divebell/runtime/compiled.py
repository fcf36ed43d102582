"""The compiled guest module, cached on disk.

Cranelift takes 3 to 6 seconds for the guest, once per machine; loading the result takes a few milliseconds. A compiled
module is native code, so it is loaded only from a folder that nobody but its owner can write, under a name that hashes
everything that it depends on: the module, wasmtime's version, the settings, the machine.
"""

import contextlib
import hashlib
import logging
import os
import platform
import stat
import tempfile
from importlib.metadata import version
from pathlib import Path

import wasmtime

from divebell.errors import CacheError
from divebell.runtime import guest_package, native
from divebell.runtime.ctrl_c import abandon_at_ctrl_c

_log = logging.getLogger("divebell.cache")

KEPT_FILES = 8  # compiled modules of other versions; the oldest go first


def cache_folder() -> Path:
    """The folder of compiled modules: $DIVEBELL_CACHE, or `divebell` in the user's cache folder."""
    chosen = os.environ.get("DIVEBELL_CACHE")
    if chosen:
        return Path(chosen)
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "divebell"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "divebell"


def make_private_folder(folder: Path) -> Path:
    """Create the folder if it does not exist. Raises CacheError if anybody but this user can write to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = folder.lstat()
    except OSError as error:
        raise CacheError(
            f"the cache folder {folder} cannot be used: {error.strerror}; set DIVEBELL_CACHE to one that can be written"
        ) from None
    if os.name == "posix":
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise CacheError(
                f"the cache folder {folder} is not a folder that this user owns; set DIVEBELL_CACHE to one"
            )
        if status.st_mode & 0o022:
            raise CacheError(f"others can write to the cache folder {folder}; run chmod 700 on it")
    return folder


def cache_key(*, epochs: bool) -> str:
    """A hash of everything that a compiled module depends on."""
    parts = (
        guest_package.manifest().module_sha256,
        version("wasmtime"),
        f"epochs={epochs} stack={native.WASM_STACK_BYTES}",
        platform.system(),
        platform.machine(),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def load(engine: wasmtime.Engine, *, epochs: bool) -> wasmtime.Module:
    """Load the compiled guest from the cache. If it is not there, compile it and put it there."""
    try:
        path = make_private_folder(cache_folder()) / f"guest-{cache_key(epochs=epochs)}.cwasm"
    except CacheError as error:
        if os.environ.get("DIVEBELL_CACHE"):
            raise
        _log.warning("compiling the guest, which takes seconds in each process, because it cannot be kept: %s", error)
        return abandon_at_ctrl_c(lambda: wasmtime.Module(engine, guest_package.module_bytes()))
    module = _from_file(engine, path)
    if module is None:
        _log.info("compiling the guest for this machine, which takes some seconds once (it is kept in %s)", path.parent)
        module = abandon_at_ctrl_c(lambda: _compile(engine, path))
    return module


def _compile(engine: wasmtime.Engine, path: Path) -> wasmtime.Module:
    module = wasmtime.Module(engine, guest_package.module_bytes())
    _store(path, bytes(module.serialize()))
    return module


def _from_file(engine: wasmtime.Engine, path: Path) -> wasmtime.Module | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    if os.name == "posix" and (
        not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022
    ):
        return None
    try:
        return wasmtime.Module.deserialize_file(engine, str(path))
    except wasmtime.WasmtimeError:  # cut short, or made for other processor features: compile again
        return None


def _store(path: Path, compiled: bytes) -> None:
    """Write to a temporary file and rename it, so that no process ever loads half a file. If the disk is full, log a
    warning: the module is not cached."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(compiled)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        old = sorted(path.parent.glob("guest-*.cwasm"), key=lambda one: one.stat().st_mtime)
        for superseded in old[:-KEPT_FILES]:
            superseded.unlink(missing_ok=True)
    except OSError as error:
        _log.warning(
            "the compiled guest cannot be kept in %s (%s), so each process compiles it anew, which takes seconds: "
            "make room there, or set DIVEBELL_CACHE to another folder",
            path.parent,
            error.strerror,
        )
