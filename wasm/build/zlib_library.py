"""Builds the one C library that CPython's modules need and the WASI sysroot lacks: zlib, for zlib, gzip and zipfile."""

from collections.abc import Mapping

from . import fetch
from .cpython import GUEST_CODE_FLAGS
from .toolchain import target_flags
from .work import Work, run

FILES = (
    "adler32",
    "compress",
    "crc32",
    "deflate",
    "infback",
    "inffast",
    "inflate",
    "inftrees",
    "trees",
    "uncompr",
    "zutil",
)
"""All of zlib but its own file handling (gz*.c), which CPython does not use."""

FLAGS = (*GUEST_CODE_FLAGS, "-DNDEBUG")
ARCHIVE = "libz.a"


def build(work: Work, source: Mapping[str, str]) -> None:
    """Leave ARCHIVE in `work.zlib`, beside its headers."""
    fetch.zlib(work, source)
    sources = [f"{name}.c" for name in FILES]
    run(
        work,
        ["clang-19", *target_flags("../sysroot/usr"), *FLAGS, "-c", *sources],
        folder=work.zlib,
    )
    run(work, ["llvm-ar-19", "rcs", ARCHIVE, *[f"{name}.o" for name in FILES]], folder=work.zlib)
