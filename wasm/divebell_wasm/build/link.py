"""Compiles the guest's own C, links it with CPython into one module, and optimises that.

Everything is named relative to the link folder, so the bytes do not know where they were made. Link-time optimisation
runs over CPython, msgpack and the guest together; only the functions that replace libc's are kept out of it, since the
optimiser must not take them for the ones they replace.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from . import c_libraries
from .cpython import GUEST_CODE_FLAGS, LIBRARIES, MACHINE_FLAGS
from .toolchain import target_flags
from .work import PACKAGE, Work, run

TARGET = target_flags("../sysroot/usr")
INCLUDES = ("-Ic", "-I../cpython/Include", "-I../cpython/Include/internal", "-I../cpython/wasi")
COMPILE_FLAGS = (*GUEST_CODE_FLAGS, "-DNDEBUG", "-DPy_BUILD_CORE")
WASI_FLAGS = ("-O2", "-DNDEBUG", "-Wno-int-conversion", "-Wno-int-to-pointer-cast", *MACHINE_FLAGS)
COMPILE_FLAGS_OF: Mapping[str, tuple[str, ...]] = {
    "memory_operations.c": ("-O3", "-DNDEBUG", "-fno-builtin", *MACHINE_FLAGS),
    "file_calls.c": WASI_FLAGS,
    "no_wasi.c": WASI_FLAGS,
}
MSGPACK_FLAGS = (*GUEST_CODE_FLAGS, "-DNDEBUG", "-I../msgpack", "-I../msgpack/msgpack")
FROZEN_FLAGS = ("-O2", "-Wno-c23-extensions", *MACHINE_FLAGS)

LINK_FLAGS = (
    *GUEST_CODE_FLAGS,
    "-mexec-model=reactor",
    "-Wl,-z,stack-size=8388608",
    "-Wl,--stack-first",
    "-Wl,--initial-memory=41943040",
    "-Wl,--strip-debug",
    "-Wl,--export=__stack_pointer",
)
"""The stack comes first in memory, so that overflowing it traps at address 0 instead of overwriting data."""

SYSTEM_LIBRARIES = (
    "-lwasi-emulated-signal",
    "-lwasi-emulated-getpid",
    "-lwasi-emulated-process-clocks",
    "-ldl",
    "-lm",
    "-lpthread",
)
OPTIMISE_FLAGS = (
    "-O3",
    "--enable-simd",
    "--enable-sign-ext",
    "--enable-nontrapping-float-to-int",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
    "--strip-debug",
    "--strip-producers",
    "--strip-target-features",
)


def c_sources() -> list[Path]:
    """The guest's C files and headers, sorted."""
    return sorted(path for path in (PACKAGE / "c").iterdir() if path.suffix in (".c", ".h"))


def link(work: Work) -> None:
    """Make `work.module` from the libraries, the frozen modules and the guest's C."""
    shutil.rmtree(work.link, ignore_errors=True)
    (work.link / "c").mkdir(parents=True)
    for source in c_sources():
        shutil.copy(source, work.link / "c")
    names = [source.name for source in c_sources() if source.suffix == ".c"]
    objects = [_compile(work, f"c/{name}", COMPILE_FLAGS_OF.get(name, COMPILE_FLAGS)) for name in names]
    objects.append(_compile(work, "../msgpack/msgpack/_cmsgpack.c", MSGPACK_FLAGS))
    objects.append(_compile(work, "../frozen/frozen.c", FROZEN_FLAGS))
    objects.append(_compile(work, "../zones/zones.c", FROZEN_FLAGS))
    libraries = [
        *(f"../cpython/wasi/{library}" for library in LIBRARIES),
        *(f"../{one.source}/{one.archive}" for one in c_libraries.LIBRARIES),
    ]
    linked = ["-o", "linked.wasm", *objects, *libraries, *SYSTEM_LIBRARIES]
    run(work, ["clang-19", *TARGET, *LINK_FLAGS, *linked], folder=work.link)
    optimiser = os.path.relpath(work.node / "node_modules" / "binaryen" / "bin" / "wasm-opt", work.link)
    run(work, ["node", optimiser, *OPTIMISE_FLAGS, "linked.wasm", "-o", work.module.name], folder=work.link)


def _compile(work: Work, source: str, flags: tuple[str, ...]) -> str:
    """Compile one file; return its object's name within the link folder."""
    made = f"{Path(source).stem}.o"
    run(work, ["clang-19", *TARGET, *INCLUDES, *flags, "-c", source, "-o", made], folder=work.link)
    return made
