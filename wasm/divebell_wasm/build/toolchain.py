"""The tools that the build runs: found, installed where that is possible, or asked for by their packages' names.

The compiler is pinned to LLVM 19, since another one would give other bytes. The rest only has to work.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from .work import BuildError, Work, run, say

WASM_TARGET = "wasm32-wasi"

COMMANDS: Mapping[str, str] = {
    "clang-19": "clang-19",
    "clang-cpp-19": "clang-19",
    "clang++-19": "clang-19",
    "wasm-ld-19": "lld-19",
    "llvm-ar-19": "llvm-19",
    "llvm-ranlib-19": "llvm-19",
    "gcc": "gcc",
    "make": "make",
    "patch": "patch",
    "tclsh": "tcl",
    "xz": "xz-utils",
    "node": "nodejs",
    "npm": "npm",
}
HEADERS: Mapping[str, str] = {
    "stdlib.h": "libc6-dev",
    "zlib.h": "zlib1g-dev",
    "openssl/ssl.h": "libssl-dev",
    "ffi.h": "libffi-dev",
    "bzlib.h": "libbz2-dev",
    "lzma.h": "liblzma-dev",
}
RUNTIME_PACKAGE = "libclang-rt-19-dev-wasm32"


def provide() -> None:
    """Make sure that every tool is here. Raises BuildError naming exactly the Debian packages that are missing."""
    missing = _missing_packages()
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"toolchain: installing {' '.join(missing)}")
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", "--quiet", *command], check=False, stdin=subprocess.DEVNULL)
        missing = _missing_packages()
    if missing:
        raise BuildError(
            f"tools are missing; on Debian or Ubuntu: apt-get install {' '.join(missing)} "
            "(elsewhere: LLVM 19 with these command names, a C compiler, make, node and npm)"
        )


def target_flags(sysroot: Path | str) -> tuple[str, str]:
    """What tells clang to compile for the guest, against the C library in `sysroot`."""
    return f"--target={WASM_TARGET}", f"--sysroot={sysroot}"


def versions(work: Work, binaryen_version: str) -> dict[str, str]:
    """The versions of the tools whose output is in the module, by name."""
    clang = run(work, ["clang-19", "--version"]).splitlines()[0]
    linker = run(work, ["wasm-ld-19", "--version"]).splitlines()[0]
    return {"clang": _version(clang), "lld": _version(linker), "binaryen": binaryen_version}


def _version(line: str) -> str:
    found = re.search(r"\d+\.\d+\.\d+", line)
    if found is None:
        raise BuildError(f"no version in what a tool says of itself: {line!r}")
    return found[0]


def _missing_packages() -> list[str]:
    checks: list[tuple[str, Callable[[], bool]]] = []
    for command, package in COMMANDS.items():
        checks.append((package, lambda command=command: shutil.which(command) is not None))  # type: ignore[misc]
    for header, package in HEADERS.items():
        checks.append((package, lambda header=header: _has_header(header)))  # type: ignore[misc]
    checks.append((RUNTIME_PACKAGE, _has_wasm_runtime))
    return list(dict.fromkeys(package for package, is_here in checks if not is_here()))


def _has_header(header: str) -> bool:
    if shutil.which("gcc") is None:
        return False
    source = f"#include <{header}>\n"
    command = ["gcc", "-E", "-o", os.devnull, "-"]
    return subprocess.run(command, input=source.encode(), capture_output=True, check=False).returncode == 0


def _has_wasm_runtime() -> bool:
    if shutil.which("clang-19") is None:
        return False
    command = ["clang-19", f"--target={WASM_TARGET}", "-print-libgcc-file-name"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return os.path.isfile(done.stdout.strip())
