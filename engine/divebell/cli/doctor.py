"""`divebell doctor`: checks this machine, reports which fast paths are available, and fills the caches."""

import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

from rich.console import Console
from rich.table import Table

from divebell.cli.exits import FAILED, Exit
from divebell.engine import Engine
from divebell.errors import CacheError, DivebellError
from divebell.runtime import compiled, dirty, guest_package
from divebell.runtime.pages import can_map, can_protect
from divebell.runtime.stack import stack_bytes
from divebell.sandbox.sandbox import Sandbox

Row = tuple[str, str, str]  # what was checked, its state, what that means
GOOD, SLOW, BAD = "good", "slower", "problem"


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _machine() -> list[Row]:
    system = f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs"
    return [
        ("machine", GOOD, system),
        ("Python", GOOD, f"{platform.python_version()} at {sys.executable}"),
        ("wasmtime", GOOD, version("wasmtime")),
    ]


def _abilities() -> list[Row]:
    rows = [
        ("sharing pages", GOOD, "image and contexts are mapped, not copied")
        if can_map()
        else ("sharing pages", SLOW, "no memfd here: image and contexts are copied into each sandbox"),
        ("killing a cell", GOOD, "by taking its memory away, at no running cost")
        if can_protect()
        else ("killing a cell", SLOW, "by epoch checks: the guest runs about a third slower"),
    ]
    stack = stack_bytes()
    if stack:
        rows.append(("thread stack", GOOD, f"{stack >> 20} MiB on this thread"))
    else:
        rows.append(("thread stack", SLOW, "its size is not known here: cells run on separate threads"))
    return rows


def _cache() -> Row:
    folder = compiled.cache_folder()
    try:
        compiled.make_private_folder(folder)
    except CacheError as error:
        return ("cache", BAD, str(error))
    held = sum(file.stat().st_size for file in folder.glob("guest-*.cwasm"))
    return ("cache", GOOD, f"{folder} ({held >> 20} MiB)")


def _guest() -> list[Row]:
    manifest = guest_package.manifest()
    cpython = manifest.sources.get("cpython", {}).get("version", "")
    rows: list[Row] = [("guest", GOOD, f"CPython {cpython}, {len(manifest.frozen_modules)} modules, "
                                       f"sha256 {manifest.module_sha256[:16]}…")]  # fmt: skip
    engine = Engine()
    warm = _milliseconds(engine.warm)
    rows.append(("compile or load, and boot", GOOD, f"{warm:,.0f} ms (takes seconds only the first time on a machine)"))
    times = []
    for _ in range(20):
        began = time.perf_counter()
        with Sandbox(engine=engine) as box:
            cell = box.run("print(1 + 1)")
            times.append((time.perf_counter() - began) * 1000)
        if cell.stdout != "2\n":
            return [*rows, ("a sandbox", BAD, f"did not compute 1 + 1: {cell.output[:200]!r}")]
    rows.append(
        ("a fresh sandbox and its first print", GOOD, f"{sorted(times)[len(times) // 2]:.2f} ms (median of 20)")
    )
    with Sandbox("x", engine=engine) as box:
        box.run("a = 1")
        restored = box.run("import os; os.abort()").restored and box.run("a").value == 1
        if can_map():
            how = "by the kernel's PAGEMAP_SCAN" if dirty.scan_works() else "by reading /proc/self/pagemap"
        else:
            how = "by comparing pages"
    rows.append(("surviving a crash", GOOD if restored else BAD, f"state is restored; changed pages are found {how}"))
    return rows


def print_diagnosis(console: Console) -> None:
    """Print the report; exit 1 if a sandbox does not work here."""
    rows = [*_machine(), *_abilities(), _cache()]
    try:
        rows += _guest()
    except DivebellError as error:
        rows.append(("a sandbox", BAD, str(error)))
    key = "set" if os.environ.get("OPENAI_API_KEY") else "not set: `divebell ask` needs it, or --base-url"
    rows.append(("OPENAI_API_KEY", GOOD, key))
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    styles = {GOOD: "green", SLOW: "yellow", BAD: "bold red"}
    for what, state, meaning in rows:
        table.add_row(what, f"[{styles[state]}]{state}[/]", meaning.replace("[", r"\["))
    console.print(table)
    if any(state == BAD for _, state, _ in rows):
        raise Exit(FAILED, "something above does not work on this machine")
