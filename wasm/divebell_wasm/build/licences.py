"""The licence texts of everything that is inside the module, in one file beside it: distributing it asks for that."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from . import fetch
from .sources import Package
from .work import BuildError, Work

LICENCE_WORDS = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS")
RULE = "=" * 100


def text(work: Work, sources: Mapping[str, Mapping[str, str]], packages: tuple[Package, ...]) -> str:
    """One chapter per component: CPython and what it incorporates, the C libraries, then the packages."""
    opening = (
        "The guest's module (guest.wasm.xz) contains the software below, each part under its own licence.\n"
        f"CPython's source is changed by the files in build/patches: {', '.join(sorted(fetch.patches()))}.\n"
    )
    return opening + "".join(
        f"\n{RULE}\n{name}\n{RULE}\n\n{body.strip()}\n" for name, body in _chapters(work, sources, packages)
    )


def _chapters(
    work: Work, sources: Mapping[str, Mapping[str, str]], packages: tuple[Package, ...]
) -> Iterator[tuple[str, str]]:
    files = {
        "cpython": work.cpython / "LICENSE",
        "cpython: incorporated software": work.cpython / "Doc" / "license.rst",
        "wasi-libc": work.sysroot / "share" / "doc" / "wasi-libc" / "copyright",
        "zlib": work.library("zlib") / "LICENSE",
        "bzip2": work.library("bzip2") / "LICENSE",
        "liblzma": work.library("xz") / "COPYING.0BSD",
        "sqlite": work.library("sqlite") / "LICENSE.md",
        "msgpack": work.msgpack / "COPYING",
    }
    for name, path in files.items():
        yield name, path.read_text("utf-8")
    zones = work.downloads / sources["tzdata"]["file"]
    yield "tzdata", _of_wheel(zones)
    for package in packages:
        (wheel,) = work.wheels.glob(f"{package.name.replace('-', '_')}-{package.version}-*.whl")
        yield f"{package.name} ({package.licence})", _of_wheel(wheel)


def _of_wheel(wheel: Path) -> str:
    """The texts in a wheel's metadata folder, in order of their names."""
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(name for name in archive.namelist() if ".dist-info/" in name)
        kept = [name for name in names if name.rpartition("/")[2].upper().startswith(LICENCE_WORDS)]
        if not kept:
            raise BuildError(f"{wheel.name} holds no licence text")
        return "\n\n".join(archive.read(name).decode("utf-8").strip() for name in kept)
