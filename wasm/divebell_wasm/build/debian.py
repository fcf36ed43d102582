"""Files out of a Debian suite, through apt with a root of its own: the machine's own package lists stay as they are.

It asks the mirror that the machine's apt is set up for; the address of none is written here. apt checks the archive's
signature with Debian's keyring, and the caller checks the sha256 besides.
"""

import contextlib
import shutil
from functools import cache
from pathlib import Path

from .work import BuildError, Work, run

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def package(work: Work, suite: str, name: str, version: str, folder: Path) -> Path:
    """Download a binary package of exactly this version into `folder`."""
    _apt(work, suite, ["download", f"{name}={version}"], folder)
    (found,) = folder.glob(f"{name}_*.deb")
    return found


def source_file(work: Work, suite: str, source: str, file: str, folder: Path) -> Path:
    """Download a source package and return one of its files.

    A mirror may be in the middle of an update and lack another part of the package (its changes, its description). That
    is no matter as long as this file came; the caller checks its hash.
    """
    with contextlib.suppress(BuildError):
        _apt(work, suite, ["source", "--download-only", source], folder)
    if not (folder / file).exists():
        raise BuildError(f"Debian's {suite} does not hold {file} at the moment: put it into {work.downloads} by hand")
    return folder / file


def _apt(work: Work, suite: str, command: list[str], folder: Path) -> None:
    if shutil.which("apt-get") is None or not KEYRING.exists():
        raise BuildError(f"apt or Debian's keyring is missing, so put the file into {work.downloads} by hand")
    run(work, ["apt-get", *_options(_updated_root(work, suite)), *command], folder=folder)


@cache
def _updated_root(work: Work, suite: str) -> Path:
    """A root whose lists are of this day, from the first of the machine's mirrors that has the suite."""
    root = work.folder / "apt" / suite
    (root / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (root / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    sites = run(work, ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]).split()
    for site in dict.fromkeys(sites):
        lines = [f"{kind} [signed-by={KEYRING}] {site} {suite} main\n" for kind in ("deb", "deb-src")]
        (root / "sources.list").write_text("".join(lines))
        try:
            run(work, ["apt-get", *_options(root), "--error-on=any", "update"])
        except BuildError:
            continue
        return root
    raise BuildError(f"none of the {len(sites)} mirrors that this machine's apt uses has Debian's {suite}")


def _options(root: Path) -> list[str]:
    settings = {
        "Dir::Etc::SourceList": root / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": root / "lists",
        "Dir::Cache": root / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
