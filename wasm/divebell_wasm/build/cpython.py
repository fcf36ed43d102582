"""Builds CPython twice from one source: for this machine, and as a library for WebAssembly.

The native one is not optimised, because it only prepares: it configures the other, compiles the frozen library to
exactly the byte code that the guest understands, and runs the tools that need this version.
"""

import os
import shutil
from collections.abc import Mapping

from .toolchain import WASM_TARGET, target_flags
from .work import Work, run

NATIVE_ARGUMENTS = ("--disable-test-modules", "--with-ensurepip=no")
NATIVE_ENVIRONMENT: Mapping[str, str] = {"OPT": "-DNDEBUG -O1"}

MACHINE_FLAGS = ("-msimd128", "-mnontrapping-fptoint", "-msign-ext", "-mno-bulk-memory")
"""What the code may use of WebAssembly. No bulk memory: a fault in such an instruction kills the host's process."""

GUEST_CODE_FLAGS = ("-O3", "-flto", *MACHINE_FLAGS)

WASI_ARGUMENTS = ("--disable-test-modules", "--with-ensurepip=no", "--enable-big-digits=30", "--with-pymalloc")
WASI_COMPILER_FLAGS = (*GUEST_CODE_FLAGS, "-g0")
LIBRARIES = (
    "libpython3.13.a",
    "Modules/_decimal/libmpdec/libmpdec.a",
    "Modules/expat/libexpat.a",
    "Modules/_hacl/libHacl_Hash_SHA2.a",
)
"""What the guest is linked from, within the build folder; CPython's own command-line program is never linked."""


def build_native(work: Work) -> None:
    """Build `work.native_python`."""
    shutil.rmtree(work.native, ignore_errors=True)
    work.native.mkdir()
    run(work, ["../configure", *NATIVE_ARGUMENTS], folder=work.native, environment=NATIVE_ENVIRONMENT)
    run(work, ["make", _jobs()], folder=work.native)


def build_wasi(work: Work, libraries: Mapping[str, str]) -> None:
    """Build LIBRARIES in `work.wasi`, and the file of settings that `sysconfig` reads.

    libraries: configure's variables that say where the C libraries of others are.
    """
    shutil.rmtree(work.wasi, ignore_errors=True)
    work.wasi.mkdir()
    environment = _wasi_environment(work, libraries)
    build_machine = run(work, ["./config.guess"], folder=work.cpython).strip()
    configure = [
        "../configure",
        f"--host={WASM_TARGET}",
        f"--build={build_machine}",
        f"--with-build-python={work.native_python}",
        *WASI_ARGUMENTS,
    ]
    run(work, configure, folder=work.wasi, environment=environment)
    run(work, ["make", _jobs(), *LIBRARIES, "pybuilddir.txt"], folder=work.wasi, environment=environment)


def _wasi_environment(work: Work, libraries: Mapping[str, str]) -> dict[str, str]:
    target = " ".join(target_flags(work.sysroot))
    return {
        "CC": f"clang-19 {target}",
        "CPP": f"clang-cpp-19 {target}",
        "CXX": f"clang++-19 {target}",
        "AR": "llvm-ar-19",
        "RANLIB": "llvm-ranlib-19",
        "CONFIG_SITE": str(work.cpython / "Tools" / "wasm" / "config.site-wasm32-wasi"),
        "PKG_CONFIG_PATH": "",
        "PKG_CONFIG_LIBDIR": str(work.sysroot / "lib" / "pkgconfig"),
        "CFLAGS": " ".join([*WASI_COMPILER_FLAGS, f"-ffile-prefix-map={work.cpython}=."]),
        "LDFLAGS": "-flto",
        **libraries,
    }


def _jobs() -> str:
    return f"-j{os.cpu_count() or 1}"
