"""What the build downloads: the pins of sources.toml and packages.toml, as typed values."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .work import PACKAGE, BuildError

SOURCES_FILE = PACKAGE / "build" / "sources.toml"
PACKAGES_FILE = PACKAGE / "packages.toml"


@dataclass(frozen=True)
class Package:
    """A frozen package: one line of packages.toml."""

    name: str
    version: str
    sha256: str
    imports: tuple[str, ...]
    licence: str
    why: str


def sources() -> dict[str, dict[str, str]]:
    """The tables of sources.toml, by name."""
    return _tables(SOURCES_FILE)


def packages() -> tuple[Package, ...]:
    """The lines of packages.toml, in the file's order."""
    lines: Mapping[str, Mapping[str, object]] = _tables(PACKAGES_FILE)["packages"]  # type: ignore[assignment]
    return tuple(_package(name, fields) for name, fields in lines.items())


def _package(name: str, fields: Mapping[str, object]) -> Package:
    imports = fields.get("imports")
    texts = [fields.get(key) for key in ("version", "sha256", "licence", "why")]
    if not isinstance(imports, list) or not imports or not all(isinstance(text, str) and text for text in texts):
        raise BuildError(f"packages.toml: {name} needs version, sha256, imports, licence and why")
    version, sha256, licence, why = (str(text) for text in texts)
    return Package(name, version, sha256, tuple(str(one) for one in imports), licence, why)


def _tables(path: Path) -> dict[str, dict[str, str]]:
    with path.open("rb") as file:
        return tomllib.load(file)
