"""Which modules of the standard library are frozen into the guest: all that can do their work there.

The guest has no sockets, processes, threads or terminal. A module that is only for those would fail at its first
use, with an error that misleads the model; without the module the error is an ImportError, which it understands.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from . import zones

LEFT_OUT = {
    "tests, demonstrations and jokes": "test turtledemo __hello__ __phello__ antigravity this",
    "user interfaces": "idlelib tkinter turtle webbrowser curses pty tty",
    "installing and starting Python": "ensurepip venv site zipapp site-packages compileall asyncio.__main__",
    "processes and foreign code": "multiprocessing ctypes concurrent.futures.process",
    "databases that are not linked": "dbm.gnu dbm.ndbm sqlite3.__main__",
    "servers and connections": "wsgiref xmlrpc ftplib imaplib poplib smtplib http.server",
    "libraries that are not linked": "ssl",
    "other systems": "_aix_support _android_support _apple_support _ios_support _osx_support "
    "asyncio.windows_events asyncio.windows_utils encodings.mbcs encodings.oem",
}
PARTS_OF_PACKAGES_LEFT_OUT = {"_pyrepl": ("_pyrepl", "_pyrepl.pager", "_pyrepl.types")}
"""Of these packages only the modules named: `help()` needs a pager."""

SETTINGS_MODULE = "_sysconfigdata__wasi_wasm32-wasi"
SETTINGS_KEPT = ("EXT_SUFFIX", "MULTIARCH", "SOABI", "VERSION", "LDVERSION", "HOST_GNU_TYPE", "abiflags", "TZPATH")


def modules(library: Path) -> Iterator[tuple[str, bool, Path]]:
    """Every module to freeze, sorted by file: its name, whether it is a package, and its source file."""
    left_out = {name for names in LEFT_OUT.values() for name in names.split()}
    for path in sorted(library.rglob("*.py")):
        name, is_package = module_name(path.relative_to(library))
        parents = {name.rsplit(".", depth)[0] for depth in range(name.count(".") + 1)}
        if parents & left_out or "__pycache__" in path.parts:
            continue
        if name not in PARTS_OF_PACKAGES_LEFT_OUT.get(name.partition(".")[0], (name,)):
            continue
        yield name, is_package, path


def module_name(path: Path) -> tuple[str, bool]:
    """The module in a file of a library, and whether it is a package: `a/__init__.py` is (a, True)."""
    parts = path.with_suffix("").parts
    is_package = parts[-1] == "__init__"
    return ".".join(parts[:-1] if is_package else parts), is_package


def settings_source(wasi: Path) -> str:
    """The source of the module behind `sysconfig`, with nothing in it that depends on where it was built.

    The original holds every path and compiler flag of the build; numbers and a few names are what programs ask for.
    """
    folder = wasi / (wasi / "pybuilddir.txt").read_text().strip()
    assignment = (folder / f"{SETTINGS_MODULE}.py").read_text()
    found = ast.literal_eval(assignment.partition(" = ")[2])
    found["TZPATH"] = f"/{zones.FOLDER}"
    kept = {name: found[name] for name in sorted(found) if isinstance(found[name], int) or name in SETTINGS_KEPT}
    return f"build_time_vars = {kept!r}\n"
