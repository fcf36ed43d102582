"""What the image is made of, and how the host's requests are answered. Loaded last; see wasm/ABI.md."""

import gc
import importlib
import io
import os
import random
import signal
import socket
import sys
import types
import uuid
from typing import NoReturn

import _divebell
from divebell_guest import cell, models, wire
from divebell_guest.values import plain, type_name

# Bound in every sandbox from the start, because model-written code uses them without an import.
PRESET = (
    "collections", "datetime", "itertools", "json", "math", "random", "re", "statistics", "string", "textwrap", "time",
)  # fmt: skip

# What else model-written code imports most: paid for once, at boot, instead of in every sandbox.
PRELOADED = (
    *PRESET, "array", "ast", "asyncio", "base64", "bisect", "calendar", "concurrent.futures", "contextlib", "copy",
    "csv", "dataclasses", "decimal", "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "html", "inspect",
    "linecache", "operator", "pprint", "struct", "traceback", "typing", "unicodedata", "urllib.parse", "zlib",
)  # fmt: skip


def _exit(status: int = 0) -> None:
    """os._exit would end the whole instance; a cell that calls it means to end itself."""
    raise SystemExit(status)


def _no_network(*_arguments: object, **_options: object) -> NoReturn:
    raise OSError("there is no network in this sandbox")


def reseed() -> None:
    """Start all randomness anew from the key that the host has written (wasm/c/random.c)."""
    random.seed(int.from_bytes(os.urandom(32), "big"))
    uuid._node = None  # type: ignore[attr-defined]


def attach(context: object) -> None:
    """`context` is the object that wasm/c/context.c made in front of the shared pages."""
    bind("context", context)


def bind(name: str, value: object) -> None:
    models.CONTRACT[name] = value
    models.namespace[name] = value


_is_fresh = True


def _set(name: str, value: object) -> None:
    if not name.isidentifier():
        raise NameError(f"{name!r} is not a name")
    models.namespace[name] = value


def _get(name: str) -> object:
    if name not in models.namespace:
        raise NameError(f"there is no variable {name!r}")
    return plain(models.namespace[name])


OPERATIONS = {
    wire.RUN: cell.run,
    wire.GET: _get,
    wire.SET: _set,
    wire.BIND: bind,
    wire.FINAL_VARIABLE: models.variable_as_text,
    wire.RESEED: reseed,
}


def dispatch(request: memoryview) -> bytes:
    """Answer one request of the host. Called by wasm/c/guest.c."""
    global _is_fresh
    if _is_fresh:
        _is_fresh = False
        reseed()
    try:
        arguments = wire.decode(request)
        del arguments["v"]
        answer = {"v": wire.VERSION, "ok": OPERATIONS[arguments.pop("op")](**arguments)}
        return wire.encode(answer, wire.MAX_MESSAGE_BYTES)
    except BaseException as error:
        message = str(error)[:2000] if isinstance(error, Exception) else ""
        return wire.encode({"v": wire.VERSION, "error": {"kind": type_name(error), "message": message}})


def _boot() -> None:
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    models.namespace = main.__dict__
    models.namespace["__builtins__"] = __builtins__
    for name in PRELOADED:
        importlib.import_module(name)
    models.preset.update({name: sys.modules[name] for name in PRESET})
    models.namespace.update(models.preset)
    models.restore_contract()
    sys.stdin = sys.__stdin__ = io.StringIO("")
    sys.stdout = sys.__stdout__ = cell.stdout
    sys.stderr = sys.__stderr__ = cell.stderr
    sys.argv = [""]
    os._exit = _exit
    socket.getaddrinfo = _no_network
    socket.create_connection = _no_network
    signal.signal(signal.SIGALRM, cell.on_interrupt)
    _warm_up()
    # Objects of the image are never collected, and their reference counts never written: either would touch, and so
    # copy, their pages in every sandbox.
    gc.collect()
    gc.freeze()
    _divebell.immortalize()


WARM_UP_ROUNDS = 40  # enough for CPython's adaptive interpreter to settle, and so to stop writing to its code


def _warm_up() -> None:
    """Run cells of each usual kind, so that what CPython makes on first use is made in the image."""
    global _is_fresh
    cells = ("import json, re", "print('x', 1)", "_warm = [1, 'a', {'b': 2.5}]\n_warm", "1 + 1", "1 / 0", "")
    for _ in range(WARM_UP_ROUNDS):
        for number, code in enumerate(cells):
            arguments = {"code": code, "number": number, "output_characters": 1000, "cell_seconds": 1.0}
            dispatch(memoryview(wire.encode({"v": wire.VERSION, "op": wire.RUN, **arguments})))
        reseed()
    for name in models.own_names():
        del models.namespace[name]
    cell.forget_sources()
    _is_fresh = True


_boot()
