"""The files that the repository carries: the compressed module, the manifest of how it came to be, and the licences."""

import json
import lzma
import re
from collections.abc import Mapping

from .. import MANIFEST_FILE, MODULE_FILE, ModuleError, manifest
from . import c_libraries, cpython, fetch, licences, link
from .sources import Package
from .work import PACKAGE, BuildError, Work, say, sha256_of

LICENCES_FILE = "LICENCES.txt"


def compare(work: Work) -> bool:
    """Say whether the module is the committed one; return the answer."""
    found = sha256_of(work.module)
    try:
        expected = manifest().module_sha256
    except ModuleError:
        expected = "none yet"
    same = found == expected
    say(f"guest.wasm: identical ({found})" if same else f"guest.wasm: differs (expected {expected}, got {found})")
    return same


def update(
    work: Work,
    sources: Mapping[str, Mapping[str, str]],
    packages: tuple[Package, ...],
    toolchain: Mapping[str, str],
) -> None:
    """Write the compressed module, its manifest and its licence texts into wasm/."""
    module = work.module.read_bytes()
    compressed = lzma.compress(module, format=lzma.FORMAT_XZ, check=lzma.CHECK_SHA256, preset=9 | lzma.PRESET_EXTREME)
    pins = ("version", "sha256", "integrity")
    fields = {
        "abi_version": abi_version(),
        "module_sha256": sha256_of(work.module),
        "module_bytes": len(module),
        "compressed_bytes": len(compressed),
        "sources": {name: {pin: one[pin] for pin in pins if pin in one} for name, one in sources.items()},
        "patches": fetch.patches(),
        "packages": {one.name: _package_fields(one) for one in packages},
        "flags": flags(),
        "toolchain": toolchain,
        "c_sources": {path.name: sha256_of(path) for path in link.c_sources()},
        "frozen_modules": json.loads((work.frozen / "modules.json").read_text()),
    }
    (PACKAGE / MODULE_FILE).write_bytes(compressed)
    (PACKAGE / MANIFEST_FILE).write_text(json.dumps(fields, indent=1) + "\n")
    (PACKAGE / LICENCES_FILE).write_text(licences.text(work, sources, packages), "utf-8")
    say(f"wrote {MODULE_FILE} ({len(compressed):,} bytes of {len(module):,}), {MANIFEST_FILE} and {LICENCES_FILE}")


def flags() -> dict[str, tuple[str, ...]]:
    """What the tools are told, by step."""
    return {
        "configure": cpython.WASI_ARGUMENTS,
        "cpython": cpython.WASI_COMPILER_FLAGS,
        **c_libraries.flags(),
        "guest": link.COMPILE_FLAGS,
        **link.COMPILE_FLAGS_OF,
        "msgpack": link.MSGPACK_FLAGS,
        "frozen": link.FROZEN_FLAGS,
        "link": (*link.LINK_FLAGS, *link.SYSTEM_LIBRARIES),
        "optimise": link.OPTIMISE_FLAGS,
    }


def abi_version() -> int:
    """The version that the C was compiled with, as divebell.h defines it."""
    found = re.search(r"^#define DIVEBELL_ABI_VERSION (\d+)$", (PACKAGE / "c" / "divebell.h").read_text(), re.MULTILINE)
    if found is None:
        raise BuildError("wasm/divebell_wasm/c/divebell.h no longer defines DIVEBELL_ABI_VERSION on a line of its own")
    return int(found[1])


def _package_fields(package: Package) -> dict[str, object]:
    return {
        "version": package.version,
        "sha256": package.sha256,
        "imports": list(package.imports),
        "licence": package.licence,
        "why": package.why,
    }
