"""Builds the C libraries that CPython's modules need and the WASI sysroot lacks: zlib, bzip2, liblzma and SQLite.

Each is compiled file by file with the guest's flags, without its own build system: the functions that handle files,
threads and processors are left out or compiled away, and nothing is probed that could differ from machine to machine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from . import fetch
from .cpython import GUEST_CODE_FLAGS
from .toolchain import target_flags
from .work import Steps, Work, run

FLAGS = (*GUEST_CODE_FLAGS, "-DNDEBUG")


def _nothing(_work: Work, _folder: Path) -> None:
    """Most sources are compiled as they come."""


@dataclass(frozen=True)
class Library:
    """One library: where it comes from, what of it is compiled and how, and how CPython's configure script is told."""

    source: str
    """Its table in sources.toml, and its folder in the work folder."""
    archive: str
    files: tuple[str, ...]
    """Patterns of the C files, from its folder."""
    variable: str
    """The start of configure's variables for it: {variable}_CFLAGS and {variable}_LIBS."""
    headers: str = "."
    left_out: tuple[str, ...] = ()
    """Patterns of C files that `files` names and the guest does without."""
    flags: tuple[str, ...] = ()
    prepare: Callable[[Work, Path], None] = field(default=_nothing)

    @property
    def linked_as(self) -> str:
        """What the linker calls it."""
        return self.archive.removeprefix("lib").removesuffix(".a")


def _amalgamate(work: Work, folder: Path) -> None:
    """SQLite's releases are its many files joined into one, which its own build makes with tclsh and a C compiler."""
    run(work, ["./configure", "--disable-shared", "--disable-tcl", "--disable-readline"], folder=folder)
    run(work, ["make", "sqlite3.c", "sqlite3.h"], folder=folder)


_LZMA_FOLDERS = ("common", "check", "lz", "rangecoder", "lzma", "delta", "simple", "api")
_LZMA_FILTERS = ("LZMA1", "LZMA2", "DELTA", "X86", "ARM", "ARMTHUMB", "ARM64", "IA64", "POWERPC", "SPARC", "RISCV")

LIBRARIES = (
    Library(
        source="zlib",
        archive="libz.a",
        variable="ZLIB",
        files=("*.c",),
        left_out=("gz*.c",),  # its own files, which CPython does not use
    ),
    Library(
        source="bzip2",
        archive="libbz2.a",
        variable="BZIP2",
        files=tuple(
            f"{name}.c" for name in ("blocksort", "bzlib", "compress", "crctable", "decompress", "huffman", "randtable")
        ),
    ),
    Library(
        source="xz",
        archive="liblzma.a",
        variable="LIBLZMA",
        headers="src/liblzma/api",
        files=(
            "src/common/tuklib_physmem.c",
            *(f"src/liblzma/{folder}/*.c" for folder in _LZMA_FOLDERS if folder != "api"),
        ),
        left_out=("*_mt.c", "outqueue.c", "hardware_cputhreads.c", "*_small.c", "*_tablegen.c", "*_gen.c"),
        flags=(
            "-Isrc/common",
            *(f"-Isrc/liblzma/{folder}" for folder in _LZMA_FOLDERS),
            *(f"-DHAVE_{name}_H" for name in ("STDBOOL", "STDINT", "INTTYPES", "STRINGS")),
            *(f"-DHAVE_CHECK_{name}" for name in ("CRC32", "CRC64", "SHA256")),
            *(f"-DHAVE_MF_{name}" for name in ("HC3", "HC4", "BT2", "BT3", "BT4")),
            *(f"-DHAVE_{kind}_{name}" for kind in ("ENCODER", "DECODER") for name in _LZMA_FILTERS),
            "-DHAVE_ENCODERS",
            "-DHAVE_DECODERS",
            "-DHAVE__BOOL",
            "-DTUKLIB_SYMBOL_PREFIX=lzma_",
            "-DASSUME_RAM=128",
            "-DSIZEOF_SIZE_T=4",
        ),
    ),
    Library(
        source="sqlite",
        archive="libsqlite3.a",
        variable="LIBSQLITE3",
        files=("sqlite3.c",),
        prepare=_amalgamate,
        flags=(
            "-O2",
            "-DSQLITE_THREADSAFE=0",
            "-DSQLITE_OMIT_LOAD_EXTENSION",
            "-DSQLITE_OMIT_WAL",  # needs memory that processes share
            "-DSQLITE_MAX_MMAP_SIZE=0",
            "-DSQLITE_TEMP_STORE=3",  # what it sorts stays in memory, where the sandbox's limit counts it
            '-DSQLITE_DEFAULT_UNIX_VFS="unix"',
            "-Dfcntl=divebell_sqlite_fcntl",  # c/sqlite_locks.c
            "-DSQLITE_ENABLE_FTS5",
            "-DSQLITE_ENABLE_MATH_FUNCTIONS",
            "-Wno-unused-command-line-argument",
        ),
    ),
)


def flags() -> dict[str, tuple[str, ...]]:
    """What the compiler is told, by library."""
    return {one.source: (*FLAGS, *one.flags) for one in LIBRARIES}


def do_steps(work: Work, steps: Steps, sources: Mapping[str, Mapping[str, str]], inputs: Mapping[str, object]) -> str:
    """Build what is not built yet; return the digest of all of their inputs."""
    digests = []
    for one in LIBRARIES:
        source = sources[one.source]
        wanted = {
            **inputs,
            "source": source,
            "files": one.files,
            "left_out": one.left_out,
            "flags": (*FLAGS, *one.flags),
        }
        product = work.library(one.source) / one.archive
        digests.append(steps.do(one.source, wanted, product, partial(_build, work, one, source)))
    return " ".join(digests)


def _build(work: Work, library: Library, source: Mapping[str, str]) -> None:
    folder = work.library(library.source)
    fetch.debian_source(work, source, folder)
    library.prepare(work, folder)
    left_out = {path for pattern in library.left_out for path in folder.rglob(pattern)}
    files = sorted({path for pattern in library.files for path in folder.glob(pattern)} - left_out)
    names = [str(path.relative_to(folder)) for path in files]
    command = ["clang-19", *target_flags("../sysroot/usr"), *FLAGS, *library.flags, "-c", *names]
    run(work, command, folder=folder)
    run(work, ["llvm-ar-19", "rcs", library.archive, *[f"{path.stem}.o" for path in files]], folder=folder)


def configure_variables(work: Work) -> dict[str, str]:
    """How CPython's configure script finds them."""
    variables = {}
    for one in LIBRARIES:
        folder = work.library(one.source)
        variables[f"{one.variable}_CFLAGS"] = f"-I{folder / one.headers}"
        variables[f"{one.variable}_LIBS"] = f"-L{folder} -l{one.linked_as}"
    return variables
