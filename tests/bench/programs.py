"""Sixteen small programs that tell how fast an interpreter is. The same text runs in the guest and natively.

This file is a cell: the bench sends it into a sandbox as it is, and runs it in a native interpreter's process. So it
needs nothing but the standard library, and does nothing when it is imported. What a program works on is made once,
before it is timed. A digest of each result is compared between the two, so that both did the same work.
"""

import collections
import hashlib
import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any

PROGRAMS: dict[str, Callable[[], object]] = {}
_made: dict[str, Any] = {}


def program(function: Callable[[], object]) -> Callable[[], object]:
    PROGRAMS[function.__name__] = function
    return function


def make(scale: float) -> None:
    """Make what the programs work on; `scale` is 1 for a real measurement, less for a quick look."""
    users = range(int(20_000 * scale))
    records = [{"id": i, "name": f"user {i}", "tags": ["a", "b", "c"], "v": i * 1.5} for i in users]
    _made["records"] = records
    _made["document"] = json.dumps(records)
    _made["text"] = "User: 1234 | 2025-01-01 | lorem ipsum dolor sit amet\n" * int(40_000 * scale)
    _made["scale"] = scale


def _count(full: int) -> int:
    return max(int(full * _made["scale"]), 1)


@program
def loop() -> object:
    total = 0
    for i in range(_count(1_000_000)):
        total += i * i & 7
    return total


@program
def fibonacci() -> object:
    def fib(n: int) -> int:
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    return fib(24 if _made["scale"] == 1 else 16)


@program
def json_loads() -> object:
    return len(json.loads(_made["document"]))


@program
def json_dumps() -> object:
    return json.dumps(_made["records"])


@program
def find_all() -> object:
    return len(re.findall(r"User: \d+", _made["text"]))


@program
def split() -> object:
    return len(_made["text"].split("\n"))


@program
def count_words() -> object:
    return collections.Counter(_made["text"].split()).most_common(3)


@program
def sort() -> object:
    return sorted(_made["text"].split())[:: _count(50_000)]


@program
def find() -> object:
    return [_made["text"].find(needle) for needle in ("zzzz", "lorex", "0123", "\0")]


@program
def lower() -> object:
    return len(_made["text"].lower())


@program
def dictionary() -> object:
    return len({i: str(i) for i in range(_count(300_000))})


@program
def join() -> object:
    return len("".join([character for character in _made["text"][: _count(1_000_000)] if character != "|"]))


@program
def big_integer() -> object:
    return (3 ** _count(60_000)).bit_length()


@program
def filter_lines() -> object:
    return len([line for line in _made["text"].splitlines() if "1234" in line])


@program
def format_strings() -> object:
    return len([f"{i}:{i * 2}" for i in range(_count(200_000))])


@program
def classes() -> object:
    return len([type("X", (), {})() for _ in range(_count(2_000))])


def measure(name: str) -> tuple[float, str]:
    """Seconds that one run of the program took, and a digest of its result."""
    started = time.perf_counter()
    result = PROGRAMS[name]()
    seconds = time.perf_counter() - started
    return seconds, hashlib.sha256(repr(result).encode()).hexdigest()


def serve() -> None:
    """The native side: answer one JSON line for each name read, until the input ends."""
    for line in sys.stdin:
        print(json.dumps(measure(line.strip())), flush=True)
