"""The folder a build works in, the commands it runs there, and which of its steps are already done.

A step is done when its stamp names the same inputs (versions, hashes, flags), not when some file is newer than another:
so a step runs again exactly when something that could change its output has changed. Stamps name no folder; a finished
work folder may be copied elsewhere and still counts as finished for linking.
"""

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
REPOSITORY = PACKAGE.parents[1]
SOURCE_DATE_EPOCH = "1750000000"
LOG_LINES_SHOWN = 25
WORK_FOLDER_VARIABLE = "DIVEBELL_GUEST_WORK"

REPRODUCIBLE = {
    "SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH,
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}
INHERITED_AWAY = ("CFLAGS", "CPPFLAGS", "CXXFLAGS", "LDFLAGS", "MAKEFLAGS", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


class BuildError(Exception):
    """The build cannot go on; the message is a sentence that says what is wrong and, where known, what to do."""


def default_folder() -> Path:
    """The work folder where none is named: what the environment says, or a folder of the checkout."""
    return Path(os.environ.get(WORK_FOLDER_VARIABLE, REPOSITORY / ".build" / "guest"))


@dataclass(frozen=True)
class Work:
    """Where things are inside the work folder."""

    folder: Path

    @property
    def downloads(self) -> Path:
        return self.folder / "downloads"

    @property
    def cpython(self) -> Path:
        return self.folder / "cpython"

    @property
    def native(self) -> Path:
        return self.cpython / "native"

    @property
    def native_python(self) -> Path:
        return self.native / "python"

    @property
    def wasi(self) -> Path:
        return self.cpython / "wasi"

    @property
    def sysroot(self) -> Path:
        return self.folder / "sysroot" / "usr"

    @property
    def msgpack(self) -> Path:
        return self.folder / "msgpack"

    def library(self, name: str) -> Path:
        return self.folder / name

    @property
    def zones(self) -> Path:
        return self.folder / "zones"

    @property
    def node(self) -> Path:
        return self.folder / "node"

    @property
    def wheels(self) -> Path:
        return self.folder / "wheels"

    @property
    def frozen(self) -> Path:
        return self.folder / "frozen"

    @property
    def link(self) -> Path:
        return self.folder / "link"

    @property
    def module(self) -> Path:
        return self.link / "guest.wasm"


def say(text: str) -> None:
    """Progress, one line at a time, also through a pipe."""
    print(text, flush=True)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(
    work: Work,
    command: Sequence[str | Path],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a command that must succeed, and return what it printed; raise BuildError with its last lines if it fails."""
    log = work.folder / "build.log"
    variables = {name: value for name, value in os.environ.items() if name not in INHERITED_AWAY}
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        cwd=folder or work.folder,
        env=variables | REPRODUCIBLE | dict(environment or {}),
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
    )
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}")
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-LOG_LINES_SHOWN:])
        raise BuildError(f"{words[0]} failed with code {done.returncode}; its last lines (all are in {log}):\n{last}")
    return done.stdout


class Steps:
    """Runs each step unless its stamp says that the same inputs have been through it."""

    def __init__(self, work: Work) -> None:
        self.stamps = work.folder / "stamps"
        self.stamps.mkdir(parents=True, exist_ok=True)

    def do(self, name: str, inputs: Mapping[str, object], product: Path, action: Callable[[], None]) -> str:
        """Do the step if its inputs changed or its product is gone; return the digest of its inputs.

        The steps that build on it put that digest among their own inputs.
        """
        digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
        stamp = self.stamps / name
        if product.exists() and stamp.exists() and stamp.read_text() == digest:
            say(f"{name}: up to date")
            return digest
        stamp.unlink(missing_ok=True)
        say(f"{name}: started")
        start_seconds = time.monotonic()
        action()
        assert product.exists(), f"{name} did not make {product}"
        stamp.write_text(digest)
        say(f"{name}: done in {time.monotonic() - start_seconds:.0f} s")
        return digest
