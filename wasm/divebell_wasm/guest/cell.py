"""One cell: compile it, run it, and describe its outcome."""

import ast
import contextlib
import inspect
import linecache
import signal
import sys
import traceback
import types
from builtins import BaseException, MemoryError, SystemExit, compile, eval, exec, isinstance, len, repr, str, type  # noqa: UP029

from divebell_guest import (
    bounds,
    event_loop,
    files,
    hints,
    interruption,
    namespace,
    notebook_hints,
    rewriting,
    twins,
    wire,
)
from divebell_guest.fibers import current
from divebell_guest.final import Submitted
from divebell_guest.output import Output
from divebell_guest.tickets import in_flight
from divebell_guest.values import to_plain, type_name

CELLS_WITH_SOURCE = 200  # tracebacks can show the lines of this many of the latest cells
MAX_TRACEBACK_FRAMES = 40
MAX_CHAINED = 10  # errors that led to the one that is shown, whose lines are looked through
NO_MEMORY = "the memory of this sandbox is used up: work on slices, and keep no copies of what is large"
MAX_VALUE_MESSAGE_BYTES = 1 << 20  # a last value larger than this comes back as its repr alone

# Cells may replace what `builtins` holds, hence the import above: this module keeps its own.

_VALUE = "__divebell_value__"
_CO_COROUTINE = inspect.CO_COROUTINE
_OUR_FRAMES = ("<divebell_guest", "<frozen>/asyncio/", "<frozen>/concurrent/", "<frozen importlib._bootstrap")
_ABSENT = object()

stdout = Output("<stdout>")
stderr = Output("<stderr>")


def _compile(code: str, filename: str) -> tuple[types.CodeType, bool]:
    """The code object, and whether it leaves the value of a last bare expression behind. With an `await` at its top
    level it is a coroutine's."""
    try:
        tree: ast.Module = compile(code, filename, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)  # type: ignore[assignment]
    except SyntaxError as error:
        notebook_hints.explain(error, code)
        raise
    last = tree.body[-1] if tree.body else None
    has_value = isinstance(last, ast.Expr)
    if isinstance(last, ast.Expr):
        target = ast.copy_location(ast.Name(_VALUE, ast.Store()), last)
        tree.body[-1] = ast.copy_location(ast.Assign([target], last.value), last)
    tree = rewriting.rewrite(tree, code, namespace.bindings)
    return compile(tree, filename, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True), has_value


def _bounded_repr(value: object, limit: int) -> str:
    if isinstance(value, (str, bytes, bytearray)) and len(value) > limit:
        half = max(limit // 2, 1)
        text = f"{value[:half]!r} [... {len(value) - 2 * half:,} more ...] {value[-half:]!r}"
    else:
        text = repr(value)
    if len(text) > limit + 200:
        half = max(limit // 2, 1)
        text = f"{text[:half]} [... {len(text) - 2 * half:,} characters not shown ...] {text[-half:]}"
    return text


def _describe(error: BaseException) -> dict[str, str]:
    """The error as the model should see it: without this package's frames, with the cell's own lines."""
    if type(error) is MemoryError and not error.args:
        error.args = (NO_MEMORY,)
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OUR_FRAMES):
        frames = frames.tb_next
    try:
        message = str(error)
        hint = hints.hint_of(error, namespace.bindings) or files.hint_of(error)
        report = traceback.TracebackException(
            type(error), error, frames, limit=-MAX_TRACEBACK_FRAMES, compact=True, max_group_depth=5
        )
        _omit_machinery(report)
        text = "".join(report.format())
        interrupt_error = interruption.current.raised
        if (
            hint is None
            and interrupt_error is not None
            and interrupt_error is not error
            and str(interrupt_error) not in text
        ):
            # Something put an error of its own in its place, as sqlite3 does where a function of a cell is interrupted.
            hint = f"Before that, {interrupt_error}."
        if hint is not None:
            message, text = f"{message}. {hint}", f"{text.rstrip()}\n{hint}\n"
    except BaseException as describing_error:  # a __str__ that raises, or the interrupt while it runs
        message = text = f"{type_name(error)} (its description failed: {type_name(describing_error)})"
    return {"kind": type_name(error), "message": _shorten(message), "traceback": _shorten(text)}


def _shorten(text: str) -> str:
    """The first and the last part of a text that is over the bound of errors."""
    if len(text) <= bounds.MAX_GUEST_ERROR_CHARACTERS:
        return text
    half = bounds.MAX_GUEST_ERROR_CHARACTERS // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters not shown ...]\n{text[-half:]}"


def _omit_machinery(report: traceback.TracebackException) -> None:
    """Show the cell's lines, and not how awaits and futures came to them, unless there is nothing else to show."""
    for _ in range(MAX_CHAINED):
        cell_frames = [frame for frame in report.stack if not frame.filename.startswith(_OUR_FRAMES)]
        if cell_frames:
            report.stack[:] = cell_frames
        before = report.__cause__ or report.__context__
        if before is None:
            return
        if before.stack and not [frame for frame in before.stack if not frame.filename.startswith(_OUR_FRAMES)]:
            report.__cause__ = report.__context__ = None
            return
        report = before


def _remember_source(filename: str, number: int, code: str) -> None:
    if type(linecache.cache) is not dict:  # a cell's doing
        linecache.cache = {}
    linecache.cache[filename] = (len(code), None, code.splitlines(True), filename)
    linecache.cache.pop(f"<cell {number - CELLS_WITH_SOURCE}>", None)


def forget_sources() -> None:
    for filename in [name for name in linecache.cache if name.startswith("<cell ")]:
        del linecache.cache[filename]


def _execute(code: str, filename: str, output_characters: int) -> tuple[object, str | None, int | None]:
    """Run the code. Returns its value, the value's repr, and the exit status if it called sys.exit. Raises its
    error."""
    compiled, has_value = _compile(code, filename)
    value: object = _ABSENT
    try:
        if compiled.co_flags & _CO_COROUTINE:
            event_loop.run_cell(eval(compiled, namespace.bindings))  # noqa: S307
        else:
            exec(compiled, namespace.bindings)
        value = namespace.bindings.pop(_VALUE, _ABSENT) if has_value else _ABSENT
        if value is None or value is _ABSENT or type(value) is namespace.Printed:
            return value, None, None
        return value, _bounded_repr(value, output_characters), None
    except Submitted:
        return _ABSENT, None, None
    except SystemExit as exit:
        if type(exit) is not SystemExit:  # a class of the cell's own is an error of that name
            raise
        return _ABSENT, None, _exit_status(exit.code)


def run(code: str, number: int, output_characters: int, limit: str) -> dict[str, object]:
    """Run one cell in `__main__`. Returns the outcome as plain data: output, value, error, answer."""
    filename = f"<cell {number}>"
    code = code.removeprefix("\ufeff")  # the mark that some editors begin files with
    stdout.reset(output_characters)
    stderr.reset(output_characters)
    # Only where a cell changed them, since writing what is there already would copy a page.
    if getattr(sys, "stdout", None) is not stdout or getattr(sys, "stderr", None) is not stderr:
        sys.stdout, sys.stderr = stdout, stderr
    state = interruption.current
    state.limit = limit
    if state.raised is not None:  # of a cell before
        state.raised = None
    if signal.getsignal(signal.SIGALRM) is not interruption.on_interrupt:  # a cell's doing
        signal.signal(signal.SIGALRM, interruption.on_interrupt)
    value: object = _ABSENT
    value_repr: str | None = None
    error: dict[str, str] | None = None
    final: dict[str, object] | None = None
    exit_status: int | None = None
    try:
        state.allowed = True
        _remember_source(filename, number, code)
        value, value_repr, exit_status = _execute(code, filename, output_characters)
        if in_flight.is_used:
            _finish_waiting()
        _flush_replaced()
        final = namespace.final_answer.take(namespace.bindings)
        state.allowed = False
    except BaseException as raised:
        final = None  # an answer from a cell that failed does not count
        if raised is state.raised:  # it is repeated until the cell ends, and must not interrupt its own report
            state.allowed = False
            raised.__cause__ = raised.__context__ = None
        try:
            _flush_replaced()
            error = _describe(raised)
            state.allowed = False
        except BaseException:  # the interrupt, raised again at the very end
            state.allowed = False
            error = {"kind": "TimeoutError", "message": "the cell was interrupted", "traceback": "TimeoutError"}
    finally:
        state.allowed = False
    namespace.bindings.pop(_VALUE, None)
    namespace.bindings.pop("__warningregistry__", None)  # the same warning at the same line of another cell is another
    if error is not None:
        namespace.final_answer.forget(namespace.bindings)
    if in_flight.is_used:
        _forget_waiting()
    notices = namespace.restore_contract()
    out, out_missing = stdout.take()
    err, err_missing = stderr.take()
    outcome: dict[str, object] = {
        "stdout": out,
        "stderr": err,
        "missing": out_missing + err_missing,
        "repr": value_repr,
        "error": error,
        "exit_status": exit_status,
        "final": None,
    }
    if notices:
        outcome["notices"] = notices
    if final is not None:
        outcome.update(final)
    if value_repr is not None and value is not _ABSENT:
        _add_value(outcome, value)
    return outcome


def _flush_replaced() -> None:
    """Flush the streams that a cell may have put around ours, so that what they have buffered is shown, too."""
    for stream in (getattr(sys, "stdout", None), getattr(sys, "stderr", None)):
        if stream is not stdout and stream is not stderr and stream is not None:
            with contextlib.suppress(Exception):
                stream.flush()


def _finish_waiting() -> None:
    """As at the end of a program: threads and executors are waited for, tasks of event loops are cancelled."""
    while in_flight.jobs or current.alive:
        in_flight.pump()
    event_loop.finish()


def _forget_waiting() -> None:
    """Drop what is left of the cell; the host has cancelled its calls."""
    in_flight.clear()
    current.alive.clear()
    twins.cache.codes.clear()
    event_loop.abandon()


def _exit_status(code: object) -> int:
    """As the interpreter does at its end: None is 0, a number is itself, and anything else is a message and 1."""
    if code is None:
        return 0
    if type(code) is int:
        return code if abs(code) < 2**31 else 1
    stderr.write(f"{code if type(code) is str else type_name(code)}\n")
    return 1


def _add_value(outcome: dict[str, object], value: object) -> None:
    """Send the value itself along where it is plain data of modest size."""
    if type(value) in (str, bytes, list, tuple, dict) and len(value) > MAX_VALUE_MESSAGE_BYTES:  # type: ignore[arg-type]
        return
    try:
        data = to_plain(value)
        wire.encode(data, MAX_VALUE_MESSAGE_BYTES, is_plain=True)
    except wire.WireError:
        return
    outcome["value"] = data
