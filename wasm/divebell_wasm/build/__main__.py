"""`python -m divebell_wasm.build`: build the guest, and say whether it is the module that the repository carries.

Exit status: 0 if it is (or was updated), 1 if it differs or the build failed.
"""

import argparse
import shutil
import sys
from functools import partial
from pathlib import Path

from . import artifact, c_libraries, checks, cpython, fetch, freeze, link, packages, stdlib, toolchain, zones
from .sources import packages as listed_packages
from .sources import sources as listed_sources
from .work import BuildError, Steps, Work, default_folder, sha256_of

KEPT_BY_CLEAN = ("downloads",)


def build(work: Work, *, update: bool) -> bool:
    """Take every step that is not done yet; return whether the committed module is what came out."""
    toolchain.provide()
    source, listed, steps = listed_sources(), listed_packages(), Steps(work)
    versions = toolchain.versions(work, source["binaryen"]["version"])

    cpython_inputs = {**source["cpython"], "patches": fetch.patches()}
    unpacked = steps.do(
        "fetch-cpython", cpython_inputs, work.cpython / "configure", partial(fetch.cpython, work, source["cpython"])
    )
    libc = steps.do(
        "fetch-wasi-libc", source["wasi-libc"], work.sysroot, partial(fetch.wasi_libc, work, source["wasi-libc"])
    )
    optimiser = steps.do(
        "fetch-binaryen",
        source["binaryen"],
        work.node / "node_modules",
        partial(fetch.binaryen, work, source["binaryen"]),
    )
    libraries = c_libraries.do_steps(work, steps, source, {"libc": libc, "toolchain": versions})
    native_inputs = {"source": unpacked, "arguments": cpython.NATIVE_ARGUMENTS}
    native = steps.do("native-cpython", native_inputs, work.native_python, partial(cpython.build_native, work))
    wasi_inputs = {
        "native": native,
        "libraries": libraries,
        "arguments": (*cpython.WASI_ARGUMENTS, *cpython.WASI_COMPILER_FLAGS, *cpython.LIBRARIES),
        "toolchain": versions,
    }
    configured = partial(cpython.build_wasi, work, c_libraries.configure_variables(work))
    wasi = steps.do("wasi-cpython", wasi_inputs, work.wasi / cpython.LIBRARIES[0], configured)

    tools_inputs = {"native": native, "pyodide-build": source["pyodide-build"]}
    tools = steps.do(
        "tools", tools_inputs, packages.pip(work), partial(packages.make_environment, work, source["pyodide-build"])
    )
    msgpack = steps.do(
        "fetch-msgpack",
        source["msgpack"],
        work.msgpack,
        partial(fetch.msgpack, work, source["msgpack"], packages.pip(work)),
    )
    wheels_inputs = {"tools": tools, "wheels": {one.name: one.sha256 for one in listed}}
    wheels = steps.do("packages", wheels_inputs, work.wheels, partial(packages.compile_wheels, work, listed))

    zones_inputs = {"tools": tools, "source": source["tzdata"], "rules": sha256_of(Path(zones.__file__))}
    time_zones = steps.do(
        "zones", zones_inputs, work.zones / "zones.c", partial(zones.make, work, source["tzdata"], packages.pip(work))
    )

    rules = [sha256_of(Path(str(module.__file__))) for module in (freeze, stdlib)]
    frozen_inputs = {"wasi": wasi, "msgpack": msgpack, "wheels": wheels, "rules": rules}
    frozen = steps.do("freeze", frozen_inputs, work.frozen / "frozen.c", partial(freeze.freeze, work))
    link_inputs = {
        "frozen": frozen,
        "zones": time_zones,
        "optimiser": optimiser,
        "flags": artifact.flags(),
        "rules": sha256_of(Path(link.__file__)),
        "c": {path.name: sha256_of(path) for path in link.c_sources()},
    }
    steps.do("link", link_inputs, work.module, partial(link.link, work))

    checks.check(work)
    if update:
        artifact.update(work, source, listed, versions)
    return artifact.compare(work)


def main() -> int:
    """Parse the command line, build, and report a failure in a sentence."""
    parser = argparse.ArgumentParser(prog="./build.sh guest", description="Build the guest's module from source.")
    parser.add_argument("--clean", action="store_true", help="rebuild everything; downloads are kept and checked again")
    parser.add_argument("--update", action="store_true", help="write the module and its manifest into wasm/")
    parser.add_argument("--work", type=Path, default=default_folder(), help="the work folder (default: %(default)s)")
    arguments = parser.parse_args()
    work = Work(arguments.work.resolve())
    try:
        if any(character.isspace() for character in str(work.folder)):
            raise BuildError(f"configure scripts cannot work in a folder with a space in its name: {work.folder}")
        work.folder.mkdir(parents=True, exist_ok=True)
        if arguments.clean:
            _clean(work)
        return 0 if build(work, update=arguments.update) else 1
    except BuildError as error:
        print(f"guest: {error}", file=sys.stderr)
        return 1


def _clean(work: Work) -> None:
    for path in work.folder.iterdir():
        if path.name not in KEPT_BY_CLEAN:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    sys.exit(main())
