"""The licence texts of everything that is inside the module, in one file beside it: distributing it asks for that."""

import zipfile
from collections.abc import Iterator

from .sources import Package
from .work import BuildError, Work

LICENCE_WORDS = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS")
RULE = "=" * 100


def text(work: Work, packages: tuple[Package, ...]) -> str:
    """One chapter per component: CPython and what it incorporates, the C libraries, then the packages."""
    opening = "The guest's module (guest.wasm.xz) contains the software below, each part under its own licence.\n"
    return opening + "".join(
        f"\n{RULE}\n{name}\n{RULE}\n\n{body.strip()}\n" for name, body in _chapters(work, packages)
    )


def _chapters(work: Work, packages: tuple[Package, ...]) -> Iterator[tuple[str, str]]:
    files = {
        "cpython": work.cpython / "LICENSE",
        "cpython: incorporated software": work.cpython / "Doc" / "license.rst",
        "wasi-libc": work.sysroot / "share" / "doc" / "wasi-libc" / "copyright",
        "zlib": work.zlib / "LICENSE",
        "msgpack": work.msgpack / "COPYING",
    }
    for name, path in files.items():
        yield name, path.read_text("utf-8")
    for package in packages:
        yield f"{package.name} ({package.licence})", _of_wheel(work, package)


def _of_wheel(work: Work, package: Package) -> str:
    """The texts in a wheel's metadata folder, in order of their names."""
    (wheel,) = work.wheels.glob(f"{package.name.replace('-', '_')}-{package.version}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(name for name in archive.namelist() if ".dist-info/" in name)
        kept = [name for name in names if name.rpartition("/")[2].upper().startswith(LICENCE_WORDS)]
        if not kept:
            raise BuildError(f"the wheel of {package.name} holds no licence text")
        return "\n\n".join(archive.read(name).decode("utf-8").strip() for name in kept)
