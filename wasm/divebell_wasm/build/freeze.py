"""Turns the standard library and the packages into one blob of byte code, and the C table that finds modules in it.

Run by the native CPython (`python -m divebell_wasm.build.freeze WORK_FOLDER`), as byte code belongs to one version. The
table takes the place of `PyImport_FrozenModules`, so an import in the guest reads no file.

Deterministic: modules come in sorted order, file names are those of `file_name`, and each code object is written, read
back and written again, because what marshal writes the first time depends on what else holds a reference to its parts.
"""

import json
import marshal
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from . import stdlib
from .work import PACKAGE, Work, run

PYC_HEADER_BYTES = 16
ALIGNMENT_BYTES = 8
FOLDER = "<frozen>"
"""Where the modules seem to lie; no such folder exists."""

C_TEMPLATE = """\
#include <Python.h>
#include "divebell.h"
const wchar_t divebell_frozen_folder[] = L"%s";
static const unsigned char blob[] __attribute__((aligned(8))) = {
#embed "modules.bin"
};
static const struct _frozen table[] = {
%s    {0},
};
void divebell_use_frozen_modules(void) { PyImport_FrozenModules = table; }
"""


@dataclass(frozen=True)
class Frozen:
    """One module, ready for the blob."""

    name: str
    is_package: bool
    byte_code: bytes


def freeze(work: Work) -> None:
    """Have the native CPython run this file."""
    run(work, [work.native_python, "-m", __name__, work.folder], folder=PACKAGE.parent)


def from_library(work: Work) -> Iterator[Frozen]:
    """The standard library's modules."""
    for name, is_package, path in stdlib.modules(work.cpython / "Lib"):
        yield frozen(name, is_package, path.read_bytes())
    yield frozen(stdlib.SETTINGS_MODULE, False, stdlib.settings_source(work.wasi).encode())


def from_msgpack(work: Work) -> Iterator[Frozen]:
    """The Python half of msgpack; its other half is linked in."""
    for path in sorted((work.msgpack / "msgpack").glob("*.py")):
        name, is_package = stdlib.module_name(path.relative_to(work.msgpack))
        yield frozen(name, is_package, path.read_bytes())


def from_wheels(work: Work) -> Iterator[Frozen]:
    """The modules of the compiled wheels, whose byte code is taken as it is but for the file names in it."""
    for wheel in sorted(work.wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for file in sorted(archive.namelist()):
                if file.endswith(".pyc"):
                    name, is_package = stdlib.module_name(Path(file))
                    code = marshal.loads(archive.read(file)[PYC_HEADER_BYTES:])  # noqa: S302 - compiled here, just now
                    yield Frozen(name, is_package, byte_code(code, file_name(name, is_package)))


def frozen(name: str, is_package: bool, source: bytes) -> Frozen:
    """Compile one module, docstrings included."""
    file = file_name(name, is_package)
    code = compile(source, file, "exec", dont_inherit=True, optimize=0)
    return Frozen(name, is_package, byte_code(code, file))


def file_name(name: str, is_package: bool) -> str:
    """The file name in a module's code: the one that CPython's importer of frozen modules gives it as `__file__`.

    The library compares the two, for example to say which line of a program a warning is about.
    """
    return f"{FOLDER}/{name.replace('.', '/')}{'/__init__' if is_package else ''}.py"


def byte_code(code: CodeType, file: str) -> bytes:
    """The code as marshal writes it, independent of this process and of where it was compiled."""
    once = marshal.dumps(_renamed(code, file))
    return marshal.dumps(marshal.loads(once))  # noqa: S302 - written one line above


def _renamed(code: CodeType, file: str) -> CodeType:
    constants = tuple(_renamed(one, file) if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.replace(co_filename=file, co_consts=constants)


def write(folder: Path, modules: list[Frozen]) -> None:
    """Write the blob, the table, and the list of names."""
    folder.mkdir(parents=True, exist_ok=True)
    blob, rows = bytearray(), []
    for one in modules:
        rows.append(f'    {{"{one.name}", blob + {len(blob)}, {len(one.byte_code)}, {int(one.is_package)}}},\n')
        blob += one.byte_code + bytes(-len(one.byte_code) % ALIGNMENT_BYTES)
    (folder / "modules.bin").write_bytes(blob)
    (folder / "frozen.c").write_text(C_TEMPLATE % (FOLDER, "".join(rows)))
    (folder / "modules.json").write_text(json.dumps([one.name for one in modules], indent=1))


def main(folder: str) -> None:
    """Freeze everything into the work folder's `frozen`."""
    work = Work(Path(folder))
    everything = [*from_library(work), *from_msgpack(work), *from_wheels(work)]
    modules = {one.name: one for one in everything}
    twice = len(everything) - len(modules)
    if twice:
        raise SystemExit(f"{twice} modules would be frozen twice: a package hides a module of another")
    write(work.frozen, [modules[name] for name in sorted(modules)])


if __name__ == "__main__":
    main(sys.argv[1])
