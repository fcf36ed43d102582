"""How much slower the guest's interpreter is than a native one: programs.py in both, in turns, and minima."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from divebell.limits import Limits
from divebell.sandbox.sandbox import Sandbox
from tests.bench import programs

_HERE = Path(__file__).resolve().parent
_GUESTS_VERSION = "3.13"


@dataclass(frozen=True)
class Ratio:
    """Seconds in the guest over seconds in the interpreter that `native` names, by program."""

    native: str
    ratios: dict[str, float]

    @property
    def mean(self) -> float:
        """Geometric."""
        return math.exp(sum(map(math.log, self.ratios.values())) / len(self.ratios))


def _answers(command: str) -> str | None:
    """The interpreter's version, if it is one of the guest's line and runs at all."""
    code = "import platform; print(platform.python_version())"
    try:
        asked = subprocess.run([command, "-I", "-c", code], capture_output=True, text=True, timeout=20)
    except OSError:
        return None
    version = asked.stdout.strip()
    return version if asked.returncode == 0 and version.startswith(_GUESTS_VERSION + ".") else None


def native_interpreter() -> tuple[str, str]:
    """The path and the name of what to compare with: the guest's own native build, another 3.13, or what runs this."""
    built = sorted((_HERE.parent.parent / ".build" / "guest").glob("**/native/python"))
    installed = shutil.which(f"python{_GUESTS_VERSION}")
    for path, what in [*((str(path), "built beside the guest") for path in built), (installed or "", "installed")]:
        if path and (version := _answers(path)):
            return path, f"CPython {version}, {what}"
    version = ".".join(map(str, sys.version_info[:3]))
    return sys.executable, f"CPython {version}, for want of a {_GUESTS_VERSION}"


@contextmanager
def _native(path: str, scale: float) -> "Iterator[subprocess.Popen[str]]":
    code = f"import sys; sys.path.insert(0, {str(_HERE)!r}); import programs; programs.make({scale}); programs.serve()"
    with subprocess.Popen(
        [path, "-I", "-B", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()


def _ask(process: "subprocess.Popen[str]", name: str) -> tuple[float, str]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(name + "\n")
    process.stdin.flush()
    seconds, digest = json.loads(process.stdout.readline())
    return seconds, digest


def measure(rounds: int, scale: float) -> Ratio:
    """Run every program `rounds` times on each side, in turns; the ratio of a program is that of its best times.

    AssertionError where the two sides' results differ.
    """
    path, native = native_interpreter()
    best: dict[str, tuple[float, float]] = {}
    with Sandbox(limits=Limits(memory_bytes=1 << 30, cell_seconds=120)) as box, _native(path, scale) as process:
        prepared = box.run((_HERE / "programs.py").read_text("utf-8") + f"\nmake({scale})")
        assert prepared.error is None, prepared.error
        for _ in range(rounds):
            for name in programs.PROGRAMS:
                there = _ask(process, name)
                cell = box.run(f"measure({name!r})")
                assert cell.error is None, (name, cell.error)
                assert isinstance(cell.value, (list, tuple)), cell.value
                seconds, digest = cell.value
                assert digest == there[1], f"{name} gives another result in the guest than natively"
                before = best.get(name, (math.inf, math.inf))
                best[name] = min(before[0], seconds), min(before[1], there[0])
    return Ratio(native, {name: guest / there for name, (guest, there) in best.items()})
