"""The guest as data: the sealed WebAssembly module, its manifest, and the Python sources that it runs at boot.

Guarantees: `module_bytes` returns exactly the bytes whose sha256 the manifest names, or raises. It does not compile or
run anything, and it keeps nothing in memory: a caller that needs the module twice keeps it.
"""

import hashlib
import json
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

__all__ = ["GUEST_MODULES", "GUEST_PACKAGE", "Manifest", "ModuleError", "guest_sources", "manifest", "module_bytes"]

GUEST_PACKAGE = "divebell_guest"
"""The name of the guest's own Python package."""

GUEST_MODULES = (
    "interruption", "output", "values", "door", "arguments", "tickets", "fibers", "twins", "queries", "tools",
    "answerable", "final", "namespace", "hints", "rewriting", "executors", "threads", "pools", "event_loop",
    "import_hints", "surroundings", "files", "notebook_hints", "cell", "purpose", "boot",
)  # fmt: skip
"""The modules of that package, in the order in which the guest runs their sources: imports come first."""

MODULE_FILE = "guest.wasm.xz"
MANIFEST_FILE = "manifest.json"
MODULE_BYTES_LIMIT = 64 << 20


class ModuleError(Exception):
    """The packaged module is missing, damaged, or not the one that the manifest describes."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The inputs and tools of the build, as `./build.sh guest --update` recorded them.

    sources: downloaded inputs, by name: version and sha256.
    patches: the sha256 of each change to CPython's source, by file name in wasm/divebell_wasm/build/patches.
    packages: frozen third-party packages, by name: version, sha256 of the wheel, imports, licence, why.
    flags: the flags of the compiler, the linker and the optimiser, by step.
    toolchain: the version of each tool that had a hand in the bytes.
    c_sources: the sha256 of each file in wasm/divebell_wasm/c, by file name.
    frozen_modules: every module that imports without a file, sorted.
    """

    abi_version: int
    module_sha256: str
    module_bytes: int
    compressed_bytes: int
    sources: Mapping[str, Mapping[str, str]]
    patches: Mapping[str, str]
    packages: Mapping[str, Mapping[str, object]]
    flags: Mapping[str, tuple[str, ...]]
    toolchain: Mapping[str, str]
    c_sources: Mapping[str, str]
    frozen_modules: tuple[str, ...]


def manifest() -> Manifest:
    """Read the manifest. Raises ModuleError if it is missing."""
    path = resources.files(__name__) / MANIFEST_FILE
    try:
        fields = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ModuleError(f"no {MANIFEST_FILE} beside the package: build it with ./build.sh guest --update") from error
    fields["flags"] = {step: tuple(flags) for step, flags in fields["flags"].items()}
    fields["frozen_modules"] = tuple(fields["frozen_modules"])
    return Manifest(**fields)


def module_bytes() -> bytes:
    """The guest's WebAssembly module, decompressed (takes about a second). Raises ModuleError unless it is intact."""
    expected = manifest()
    path = resources.files(__name__) / MODULE_FILE
    try:
        module = lzma.LZMADecompressor().decompress(path.read_bytes(), MODULE_BYTES_LIMIT)
    except FileNotFoundError as error:
        raise ModuleError(f"no {MODULE_FILE} beside the package: build it with ./build.sh guest --update") from error
    except lzma.LZMAError as error:
        raise ModuleError(f"{MODULE_FILE} is damaged ({error}): install the package again") from error
    actual = hashlib.sha256(module).hexdigest()
    if actual != expected.module_sha256:
        raise ModuleError(
            f"{MODULE_FILE} has a module with the sha256 {actual}, where the manifest says {expected.module_sha256}: "
            "install the package again"
        )
    return module


def guest_sources() -> dict[str, str]:
    """The Python sources of GUEST_PACKAGE, by module name, in the order in which the guest runs them.

    They import `wire`, `contract` and `bounds` from the same package. These are the door's files, which the host uses
    too; whoever boots the guest puts them right after the package itself.
    """
    folder = resources.files(__name__) / "guest"
    sources = {GUEST_PACKAGE: (folder / "__init__.py").read_text("utf-8")}
    for stem in GUEST_MODULES:
        sources[f"{GUEST_PACKAGE}.{stem}"] = (folder / f"{stem}.py").read_text("utf-8")
    return sources
