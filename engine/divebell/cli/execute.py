"""`divebell exec`: a Python file in a sandbox."""

import sys
import threading
from pathlib import Path
from typing import TextIO

from divebell.bounds import MAX_CODE_BYTES
from divebell.cell import Cell
from divebell.cli.exits import FAILED, USAGE, Exit
from divebell.cli.inputs import read_context, show_notes
from divebell.limits import Limits
from divebell.sandbox.sandbox import Sandbox
from divebell.text import replace_controls


def read_code(path: Path) -> str:
    """The code in a file or in standard input. Exit if it cannot be read, is too long or is not text."""
    is_stdin = str(path) == "-"
    what = "standard input" if is_stdin else str(path)
    if is_stdin and sys.stdin is None:
        raise Exit(USAGE, "standard input is closed, and `exec -` reads it")
    try:
        if is_stdin:
            code = sys.stdin.buffer.read(MAX_CODE_BYTES + 1)
        else:
            with path.open("rb") as file:
                code = file.read(MAX_CODE_BYTES + 1)  # a device may have no end
    except OSError as error:
        raise Exit(USAGE, f"cannot read {what}: {error.strerror}") from None
    if len(code) > MAX_CODE_BYTES:
        raise Exit(USAGE, f"{what} is over {MAX_CODE_BYTES:,} bytes, the limit for code")
    try:
        return code.decode("utf-8")
    except UnicodeDecodeError:
        raise Exit(USAGE, f"{what} is not UTF-8 text") from None


def execute_file(path: Path, contexts: list[Path], limits: Limits, seed: int | None) -> None:
    """Print the code's stdout on stdout, its stderr and error on stderr; exit 1 if it failed."""
    code = read_code(path)
    if Path("-") in contexts and str(path) == "-":
        raise Exit(USAGE, "standard input cannot be both the code and the context")
    prepared = read_context(contexts) if contexts else None
    if prepared is not None:
        show_notes(prepared)
    with Sandbox(prepared, limits=limits, seed=seed) as box:
        cell = _run_interruptibly(box, code)
    _write(sys.stdout, cell.stdout)
    if cell.repr is not None:
        _write(sys.stdout, cell.repr + "\n")
    _write(sys.stderr, cell.stderr)
    if cell.error is not None:
        _write(sys.stderr, cell.error.traceback.rstrip("\n") + "\n")
        raise Exit(FAILED)
    if cell.exit_status:
        raise Exit(FAILED)


def _run_interruptibly(box: Sandbox, code: str) -> Cell:
    """Run on another thread, because Ctrl-C does not reach a thread that is inside the guest."""
    cells: list[Cell] = []
    worker = threading.Thread(target=lambda: cells.append(box.run(code)), daemon=True)
    worker.start()
    try:
        while worker.is_alive():
            worker.join(0.1)
    except KeyboardInterrupt:
        box.cancel()
        worker.join()
        raise
    return cells[0]


def _write(stream: TextIO, text: str) -> None:
    """Escape sequences could steer a terminal; a pipe receives the text unchanged."""
    stream.write(replace_controls(text) if stream.isatty() else text)
    stream.flush()
