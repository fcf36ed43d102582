"""Boots the guest: prepares what goes into the image, and answers the host's requests. Loaded last; see wasm/ABI.md."""

import _random
import ast
import gc
import importlib
import linecache
import os
import random
import signal
import sys
import types
import uuid
from collections.abc import Callable
from typing import Any

import msgpack

import _divebell
from divebell_guest import (
    cell,
    event_loop,
    executors,
    files,
    final,
    import_hints,
    interruption,
    namespace,
    output,
    pools,
    purpose,
    surroundings,
    threads,
    tickets,
    values,
    wire,
)
from divebell_guest.contract import PRESET_MODULES
from divebell_guest.values import to_plain, type_name

# What else model-written code imports most: paid for once, at boot, instead of in every sandbox.
PRELOADED = (
    *PRESET_MODULES, "array", "ast", "asyncio", "base64", "bisect", "calendar", "concurrent.futures", "contextlib",
    "copy", "csv", "dataclasses", "decimal", "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "html",
    "inspect", "linecache", "operator", "pprint", "struct", "traceback", "typing", "unicodedata", "urllib.parse",
    "zlib",
)  # fmt: skip


def reseed() -> None:
    """Restart all randomness from the key that the host has written (c/random.c)."""
    # What random.seed does, without writing values that are there already: each would copy a page in every sandbox.
    generator: Any = random._inst
    _random.Random.seed(generator, int.from_bytes(os.urandom(32), "big"))
    if generator.gauss_next is not None:
        generator.gauss_next = None
    if uuid._node is not None:  # type: ignore[attr-defined]
        uuid._node = None  # type: ignore[attr-defined]


def attach(context: object) -> None:
    """`context` is the object that c/context.c made in front of the shared pages."""
    namespace.bind("context", context)


def attach_value(packed: memoryview) -> None:
    """`packed` is the context as msgpack, in which long texts are references to shared pages (wasm/ABI.md)."""
    namespace.bind(
        "context",
        msgpack.unpackb(packed, ext_hook=_divebell.shared, unicode_errors="surrogatepass", strict_map_key=False),
    )


# Made at boot, because there may be no room for it when it is needed.
_NO_MEMORY = wire.encode({
    "v": wire.VERSION,
    "error": {"kind": "MemoryError", "message": "there was no memory left to report what came of it"},
})  # fmt: skip


class _Sandbox:
    """The state of this sandbox."""

    __slots__ = ("is_seeded",)

    def __init__(self) -> None:
        self.is_seeded = False


sandbox = _Sandbox()


def _set(name: str, value: object) -> None:
    if not name.isidentifier():
        raise NameError(f"{name!r} is not a name")
    namespace.bindings[name] = value


def _get(name: str) -> object:
    if name not in namespace.bindings:
        raise NameError(f"there is no variable {name!r}")
    return to_plain(namespace.bindings[name])


OPERATIONS: dict[str, Callable[..., object]] = {
    wire.RUN: cell.run,
    wire.GET: _get,
    wire.SET: _set,
    wire.BIND: namespace.bind,
    wire.APPEND: namespace.append,
    wire.TOOLS: namespace.bind_tools,
    wire.FINAL_VARIABLE: namespace.variable_as_text,
    wire.ON_PURPOSE: purpose.is_set_on_purpose,
    wire.DRAFT: namespace.draft,
    wire.VARIABLES: namespace.variables,
    wire.RESEED: reseed,
}


def dispatch(request: memoryview) -> bytes:
    """Answer one request of the host. Called by c/guest.c."""
    if not sandbox.is_seeded:
        sandbox.is_seeded = True
        reseed()
    try:
        arguments: Any = wire.decode(request)
        del arguments["v"]
        answer = {"v": wire.VERSION, "ok": OPERATIONS[arguments.pop("op")](**arguments)}
        return wire.encode(answer, wire.MAX_MESSAGE_BYTES, is_plain=True)
    except MemoryError:
        return _NO_MEMORY
    except BaseException as error:
        message = str(error)[:2000] if isinstance(error, Exception) else ""
        return wire.encode({"v": wire.VERSION, "error": {"kind": type_name(error), "message": message}})


def _boot() -> None:
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    namespace.bindings = main.__dict__
    namespace.bindings["__builtins__"] = __builtins__
    for name in PRELOADED:
        importlib.import_module(name)
    namespace.preset.update({name: sys.modules[name] for name in PRESET_MODULES})
    namespace.bindings.update(namespace.preset)
    namespace.restore_contract()
    for module in (event_loop, executors, threads, pools, surroundings, import_hints, files):
        module.install()
    _use_streams(cell.stdout, cell.stderr)
    sys.argv = [""]
    signal.signal(signal.SIGALRM, interruption.on_interrupt)


def _use_streams(stdout: output.Output, stderr: output.Output) -> None:
    cell.stdout, cell.stderr = stdout, stderr
    vars(sys).update(stdout=stdout, __stdout__=stdout, stderr=stderr, __stderr__=stderr)


def settle() -> None:
    """Arrange the image so that a sandbox copies few of its pages. Called by c/guest.c, after all else of boot.

    A sandbox copies each page that it writes to, which costs it 4 KB and the first cell about 2 us. So what a cell
    writes to is put together: its new objects by filling the heap's holes, the image's own by making them again after
    that, and then both by cells that leave their free memory there. Measured: an empty cell copies 48 pages, not 104.
    """
    _warm_up()
    gc.collect()
    _divebell.settle()
    _remake_written_objects()
    _warm_up()
    # Objects of the image are never collected, and their reference counts never written: either would touch, and so
    # copy, their pages in every sandbox.
    gc.collect()
    gc.freeze()
    _divebell.immortalize()


# CPython interns each code's file name, and a new string in that table costs four pages. These are there already.
_file_names = [sys.intern(f"<cell {number}>") for number in range(1, cell.CELLS_WITH_SOURCE + 1)]
_replaced: list[object] = []  # by _remake_written_objects; kept, because each would leave a hole in the heap


def _remake_written_objects() -> None:
    """Make the objects that every cell writes to once more, side by side.

    That includes code: CPython counts in it how often an instruction ran that it could not specialise.
    """
    global sandbox
    _replaced.extend((sandbox, interruption.current, linecache.cache, cell.stdout, cell.stderr, namespace.final_answer))
    sandbox = _Sandbox()
    interruption.current = interruption.Interruption()
    linecache.cache = dict(linecache.cache)
    namespace.final_answer = final.FinalAnswer()
    namespace.bindings["answer"] = namespace.final_answer.answer
    namespace.restore_contract()
    _use_streams(output.Output("<stdout>"), output.Output("<stderr>"))
    functions = {ast.copy_location: None}
    for module in (wire, values, namespace, cell, final, interruption, tickets, output, sys.modules[__name__]):
        for owner in (module, *(value for value in vars(module).values() if isinstance(value, type))):
            functions.update((value, None) for value in vars(owner).values() if isinstance(value, types.FunctionType))
    for function in functions:
        _replaced.append(function.__code__)
        function.__code__ = function.__code__.replace()


WARM_UP_ROUNDS = 40  # enough for CPython's adaptive interpreter to settle, and so to stop writing to its code


def _warm_up() -> None:
    """Run cells of each usual kind, so that what CPython makes on first use is made in the image."""
    cells = ("import json, re", "print('x', 1)", "_warm = [1, 'a', {'b': 2.5}]\n_warm", "1 + 1", "1 / 0", "")
    for _ in range(WARM_UP_ROUNDS):
        for number, code in enumerate(cells):
            arguments = {"code": code, "number": number, "output_characters": 1000, "limit": ""}
            dispatch(memoryview(wire.encode({"v": wire.VERSION, "op": wire.RUN, **arguments})))
        reseed()
    for name in namespace.own_names():
        del namespace.bindings[name]
    cell.forget_sources()
    sandbox.is_seeded = False


_boot()
