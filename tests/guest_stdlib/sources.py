"""CPython's own tests, out of the very tarball that the guest is built from."""

import functools
import tarfile
from pathlib import Path

from divebell_wasm.build import fetch
from divebell_wasm.build.sources import sources
from divebell_wasm.build.work import Work, default_folder

LIBRARY = "Lib/"
TESTS = "test/"
# Modules of the library that the guest leaves out, and that tests of other modules import.
HELPERS = (
    "http/server.py",
    "wsgiref/",
    "xmlrpc/",
    "tty.py",
    "dbm/",
    "zipapp.py",
    "this.py",
    "__hello__.py",
    "__phello__/",
)


def tarball() -> Path:
    """The tarball, downloaded if it is not there. Raises BuildError if it cannot be had, or is another."""
    work = Work(default_folder().resolve())
    work.folder.mkdir(parents=True, exist_ok=True)
    return fetch.cpython_tarball(work, sources()["cpython"])


@functools.cache
def test_sources() -> dict[str, bytes]:
    """Every file of the package `test` and of HELPERS, by its name under Lib: `test/test_bisect.py`."""
    found: dict[str, bytes] = {}
    with tarfile.open(tarball()) as archive:
        for member in archive:
            name = member.name.partition("/")[2].removeprefix(LIBRARY)
            if name.startswith((TESTS, *HELPERS)) and member.isfile():
                content = archive.extractfile(member)
                assert content is not None
                found[name] = content.read()
    return found


def modules() -> list[str]:
    """The names of all test modules, those of packages included, without `test.`: `test_bisect`, `test_json.test_dump`.

    A module belongs to them if its file and all folders above it are named as tests are; a package, if tests are in it
    itself.
    """
    found = []
    for file, source in test_sources().items():
        if not file.startswith(TESTS) or not file.endswith(".py"):
            continue
        is_package = file.endswith("/__init__.py")
        parts = file.removeprefix(TESTS).removesuffix("/__init__.py" if is_package else ".py").split("/")
        if all(part.startswith("test_") for part in parts) and (b"TestCase" in source or not is_package):
            found.append(".".join(parts))
    return sorted(found)
