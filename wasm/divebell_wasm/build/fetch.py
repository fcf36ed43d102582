"""Gets every input of sources.toml into the downloads folder, and lets nothing through whose sha256 is another."""

import json
import shutil
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from . import debian
from .work import PACKAGE, BuildError, Work, run, say, sha256_of

UPSTREAM_SECONDS = 10
PATCHES = sorted((PACKAGE / "build" / "patches").glob("*.patch"))
"""What the guest's CPython has other than upstream's; each says why in its first lines."""


def cpython(work: Work, source: Mapping[str, str]) -> None:
    """The source of CPython, unpacked into `work.cpython`, with the patches of PATCHES."""
    _unpack(cpython_tarball(work, source), work.cpython)
    for patch in PATCHES:
        run(work, ["patch", "--strip=1", "--batch", "--fuzz=0", f"--input={patch}"], folder=work.cpython)


def cpython_tarball(work: Work, source: Mapping[str, str]) -> Path:
    """The source of CPython, as its one file. Its own tests are in it, too: tests/guest_stdlib runs them."""

    def obtain(folder: Path) -> Path:
        try:
            return _from_upstream(source["url"], folder / source["file"])
        except OSError as error:
            say(f"fetch: upstream does not answer ({error}); trying Debian")
        return debian.source_file(work, source["debian_suite"], source["debian_source"], source["debian_file"], folder)

    return _checked(work, source, obtain)


def patches() -> dict[str, str]:
    """The sha256 of each patch, by its file's name."""
    return {path.name: sha256_of(path) for path in PATCHES}


def debian_source(work: Work, source: Mapping[str, str], folder: Path) -> None:
    """The source of a library, unpacked into `folder`."""

    def obtain(place: Path) -> Path:
        return debian.source_file(work, source["debian_suite"], source["debian_source"], source["debian_file"], place)

    _unpack(_checked(work, source, obtain), folder)


def wasi_libc(work: Work, source: Mapping[str, str]) -> None:
    """The C library for WASI, unpacked: `work.sysroot` is its usr folder."""

    def obtain(folder: Path) -> Path:
        return debian.package(work, source["debian_suite"], source["debian_package"], source["version"], folder)

    package = _checked(work, source, obtain)
    shutil.rmtree(work.sysroot.parent, ignore_errors=True)
    run(work, ["dpkg-deb", "-x", package, work.sysroot.parent])


def msgpack(work: Work, source: Mapping[str, str], pip: Path) -> None:
    """The source of msgpack, unpacked into `work.msgpack`."""
    obtain = partial(_from_pip, work, source, pip, "msgpack", "--no-binary")
    _unpack(_checked(work, source, obtain), work.msgpack)


def tzdata(work: Work, source: Mapping[str, str], pip: Path) -> Path:
    """The wheel of tzdata."""
    return _checked(work, source, partial(_from_pip, work, source, pip, "tzdata", "--only-binary"))


def binaryen(work: Work, source: Mapping[str, str]) -> None:
    """The optimiser, installed into `work.node`."""
    shutil.rmtree(work.node, ignore_errors=True)
    work.node.mkdir(parents=True)
    (work.node / "package.json").write_text("{}\n")
    run(work, ["npm", "install", "--ignore-scripts", "--save-exact", f"binaryen@{source['version']}"], folder=work.node)
    lock = json.loads((work.node / "package-lock.json").read_text())
    found = lock["packages"]["node_modules/binaryen"].get("integrity")
    if found != source["integrity"]:
        raise BuildError(f"binaryen {source['version']} has integrity {found}; sources.toml says {source['integrity']}")


def _checked(work: Work, source: Mapping[str, str], obtain: Callable[[Path], Path]) -> Path:
    """The downloaded file, obtained if it is not there, with the right sha256."""
    kept = work.downloads / source["file"]
    work.downloads.mkdir(parents=True, exist_ok=True)
    if not kept.exists() or sha256_of(kept) != source["sha256"]:
        with tempfile.TemporaryDirectory(dir=work.downloads) as folder:
            obtained = obtain(Path(folder))
            if sha256_of(obtained) != source["sha256"]:
                raise BuildError(f"{obtained.name} has sha256 {sha256_of(obtained)}, not {source['sha256']}")
            obtained.replace(kept)
    return kept


def _from_pip(work: Work, source: Mapping[str, str], pip: Path, name: str, kind: str, folder: Path) -> Path:
    pinned = folder / "requirement.txt"
    pinned.write_text(f"{name}=={source['version']} --hash=sha256:{source['sha256']}\n")
    run(work, [pip, "download", "--no-deps", kind, ":all:", "--require-hashes", "-d", folder, "-r", pinned])
    return folder / source["file"]


def _from_upstream(url: str, file: Path) -> Path:
    """The address is pinned in sources.toml, and the caller checks the hash (hence no S310)."""
    with urllib.request.urlopen(url, timeout=UPSTREAM_SECONDS) as answer, file.open("wb") as out:  # noqa: S310
        shutil.copyfileobj(answer, out)
    return file


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the archive's one top folder as `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as unpacked, tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):  # Python 3.11.0 to 3.11.3 lack it; the archive's hash is checked anyway
            tar.extraction_filter = tarfile.data_filter
        tar.extractall(unpacked)  # noqa: S202 - see above
        (top,) = Path(unpacked).iterdir()
        top.rename(folder)
