"""The frozen packages: their wheels, downloaded by exact hash and compiled to byte code by pyodide-build's py-compile.

py-compile must run in the CPython whose byte code is wanted, so it lives in a virtual environment of the native build.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from .sources import Package
from .work import BuildError, Work, run


def make_environment(work: Work, pyodide_build: Mapping[str, str]) -> None:
    """A virtual environment of the native CPython, with pip and pyodide-build in it."""
    shutil.rmtree(environment(work), ignore_errors=True)
    run(work, [work.native_python, "-m", "venv", environment(work)])
    run(work, [pip(work), "install", f"pyodide-build=={pyodide_build['version']}"])


def compile_wheels(work: Work, packages: tuple[Package, ...]) -> None:
    """Leave in `work.wheels` one compiled wheel per package, and nothing else."""
    shutil.rmtree(work.wheels, ignore_errors=True)
    work.wheels.mkdir()
    pinned = work.wheels / "requirements.txt"
    pinned.write_text("".join(f"{one.name}=={one.version} --hash=sha256:{one.sha256}\n" for one in packages))
    only_wheels = ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
    run(work, [pip(work), "download", *only_wheels, "-d", work.wheels, "-r", pinned])
    pinned.unlink()
    run(work, [environment(work) / "bin" / "pyodide", "py-compile", "--silent", work.wheels])
    compiled = sorted(work.wheels.glob("*-cp313-none-any.whl"))
    if len(compiled) != len(packages) or len(compiled) != len(list(work.wheels.iterdir())):
        raise BuildError(f"{len(packages)} packages are listed, and {len(compiled)} wheels came out of py-compile")


def environment(work: Work) -> Path:
    """Where the virtual environment is."""
    return work.folder / "tools"


def pip(work: Work) -> Path:
    """The pip of that environment."""
    return environment(work) / "bin" / "pip"
