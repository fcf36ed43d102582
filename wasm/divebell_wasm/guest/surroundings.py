"""Stand-ins for what programs expect around them: a keyboard, a debugger, processes, a network, locales, sources.

None of it is here. Each use gets an answer that programs understand, in words that a model does.
"""

import _locale
import builtins
import contextlib
import errno
import inspect
import io
import linecache
import locale
import os
import re
import socket
import subprocess
import sys
from types import FunctionType
from typing import Any, NoReturn

from divebell_guest import namespace

LOCALES = ("", "C", "POSIX", "C.UTF-8", "C.utf8")  # in all of them numbers, dates and order are as in "C"
NO_NETWORK = "there is no network in this sandbox"
NO_PROCESSES = "there are no processes and no shell in this sandbox: do it in Python"
NO_KEYBOARD = "there is no keyboard in this sandbox, and nothing to read from sys.stdin: put the value into the code"
NO_DEBUGGER = "breakpoint() is passed over: there is no debugger in this sandbox; print what you want to see"

_original_input = builtins.input
_original_getfile = inspect.getfile
_original_setlocale = _locale.setlocale


class _EmptyInput(io.BytesIO):
    """What sys.stdin reads from."""

    name = "<stdin>"


stdin = io.TextIOWrapper(_EmptyInput(), encoding="utf-8")


def _exit(status: int = 0) -> None:
    """os._exit would end the whole instance; a cell that calls it means to end itself."""
    raise SystemExit(status)


def _no_network(*_arguments: object, **_options: object) -> NoReturn:
    raise OSError(NO_NETWORK)


def _gethostname() -> str:
    """Return the name of the machine: not the host's."""
    return "localhost"


def _no_processes(*_arguments: object, **_options: object) -> NoReturn:
    raise OSError(errno.ENOTSUP, NO_PROCESSES)


def _input(*arguments: object) -> str:
    try:
        return _original_input(*arguments)
    except EOFError:
        if sys.stdin is not stdin:
            raise
    raise EOFError(NO_KEYBOARD)


def _breakpoint(*_arguments: object, **_options: object) -> None:
    print(NO_DEBUGGER, file=sys.stderr)


def _help(*things: object) -> None:
    """Print the documentation of a function, class, module or other object."""
    import pydoc

    if not things:
        names = ", ".join(name for name in namespace.CONTRACT if not isinstance(namespace.CONTRACT[name], type))
        print(f"help(thing) prints what the thing's documentation says. Here without an import: {names}.")
    for thing in things:
        try:
            print(pydoc.render_doc(thing, renderer=pydoc.plaintext))  # type: ignore[attr-defined]
        except ImportError as error:  # a name without documentation
            print(error)


def _setlocale(category: int, name: str | None = None, /) -> str:
    # The C library here takes any name for one of its own.
    if name is not None and not _has_locale(name):
        raise locale.Error(f"unsupported locale setting: {name!r} is not in this sandbox, only 'C' and 'C.UTF-8' are")
    return _original_setlocale(category, name)


def _has_locale(name: str) -> bool:
    """Whether it is a locale of this sandbox, or some of them for categories: `C.UTF-8;C;C`, `LC_CTYPE=C;LC_TIME=C`."""
    return all(part.rpartition("=")[2] in LOCALES for part in name.split(";"))


def _getfile(thing: Any) -> str:
    # The original knows of a class only what its module's file is; a cell's class has a cell instead.
    if isinstance(thing, type) and thing.__module__ == "__main__":
        file = _cell_of(thing)
        if file is not None:
            return file
    return _original_getfile(thing)


def _cell_of(kind: type) -> str | None:
    """The cell that a class was defined in: that of its methods, or else the latest in which it begins at its line."""
    own = [value for value in vars(kind).values() if isinstance(value, FunctionType)]
    files = {value.__code__.co_filename for value in own if value.__qualname__.startswith(f"{kind.__qualname__}.")}
    begins_at = vars(kind).get("__firstlineno__")
    if not isinstance(begins_at, int):
        return None
    begin = re.compile(rf"\s*(@|class\s+{re.escape(kind.__name__)}\b)")
    cells = [name for name in linecache.cache if name.startswith("<cell ")]
    for name in reversed(cells):
        if (name in files or files.isdisjoint(cells)) and begin.match(linecache.getline(name, begins_at)):
            return name
    return None


def _imitate(function: Any, original: Any) -> Any:
    """The function, with the name, docstring and signature of the original."""
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(function, name, getattr(original, name))
    with contextlib.suppress(ValueError):  # some of those in C have none
        function.__signature__ = inspect.signature(original)
    return function


def install() -> None:
    """Replace the originals by the stand-ins above."""
    vars(sys).update(stdin=stdin, __stdin__=stdin, breakpointhook=_breakpoint, __breakpointhook__=_breakpoint)
    vars(builtins).update(help=_help, exit=sys.exit, quit=sys.exit, input=_imitate(_input, _original_input))
    sys.path[:] = [""]  # a module that a cell writes into a file can be imported
    vars(os).update(_exit=_exit, system=_no_processes, popen=_no_processes)
    subprocess.Popen.__init__ = _no_processes  # type: ignore[method-assign]
    socket.socket.__init__ = _no_network  # type: ignore[method-assign]
    for name in ("getaddrinfo", "create_connection", "gethostbyname", "socketpair"):
        vars(socket)[name] = _no_network
    vars(socket)["gethostname"] = _gethostname
    vars(inspect)["getfile"] = _imitate(_getfile, _original_getfile)
    vars(_locale)["setlocale"] = vars(locale)["_setlocale"] = _imitate(_setlocale, _original_setlocale)
