"""Measure how far one question travels through the code, and which files import each other in circles.

    python scripts/measure_house.py [--files]

One question is asked at a local HTTP endpoint, and its one cell makes one `llm_query`. Printed are the files and the
calls of Python that this takes (a coroutine counts each time that it is resumed), the coroutines that wait on top of
each other when the root model's request is sent, what `llm_query` adds, and the circles. --files names the files.

The code is found by the names of its packages, so the figures of two layouts can be compared.
"""

import argparse
import ast
import importlib.util
import inspect
import json
import statistics
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType

import divebell

PACKAGES = ("divebell", "divebell_command", "divebell_bridge", "divebell_wasm")
INSIDE = ("guest", "build", "c")
"""Folders whose Python does not run in the host's process."""
ROUNDS = 5
WITHOUT, WITH = "reply = 'yes'", "reply = llm_query('One word, please.')"

Modules = Mapping[str, Path]


def find_modules() -> dict[str, Path]:
    """The files of the host's code by the names of their modules."""
    modules = {}
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None, f"{package} is not installed"
        for folder in spec.submodule_search_locations or []:
            for path in Path(folder).rglob("*.py"):
                parts = path.relative_to(folder).with_suffix("").parts
                if parts[0] not in INSIDE:
                    modules[".".join([package, *(part for part in parts if part != "__init__")])] = path.resolve()
    return modules


class Endpoint(BaseHTTPRequestHandler):
    """A Chat Completions endpoint: the root model gives a cell and then the answer, every other model says "yes"."""

    protocol_version = "HTTP/1.1"
    cell = WITH

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        has_replied = any(message["role"] == "assistant" for message in request["messages"])
        text = "FINAL_VAR(reply)" if has_replied else f"```repl\n{self.cell}\n```"
        choice = {
            "index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": text if request["model"] == "root" else "yes"},
        }  # fmt: skip
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        reply = {
            "id": "1", "object": "chat.completion", "created": 1, "model": request["model"], "choices": [choice],
            "usage": usage,
        }  # fmt: skip
        body = json.dumps(reply).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)  # at once, so that it is read at once

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is printed."""


@contextmanager
def serve_endpoint() -> Iterator[str]:
    """The endpoint's address while it serves."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


class Recorder:
    """While `is_on`, counts the calls of our functions in every thread that began after `install`."""

    def __init__(self, modules: Modules) -> None:
        self._ours = {str(path): name for name, path in modules.items()}
        self._names: dict[str, str | None] = {}
        self.is_on = False
        self.calls: Counter[tuple[str, str]] = Counter()
        self.awaiting: list[str] = []

    def install(self) -> None:
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    def _module(self, frame: FrameType) -> str | None:
        """The name of our module that the frame runs, None for code of others."""
        file = frame.f_code.co_filename
        if file not in self._names:
            self._names[file] = self._ours.get(str(Path(file).resolve()))
        return self._names[file]

    def _profile(self, frame: FrameType, event: str, _argument: object) -> None:
        if not self.is_on or event != "call":
            return
        module = self._module(frame)
        if module is not None:
            self.calls[module, frame.f_code.co_name] += 1
        elif not self.awaiting and _is_coroutine(frame) and _is_client(frame):
            self.awaiting = [
                f"{self._module(each)}.{each.f_code.co_name}"
                for each in reversed(list(_callers(frame)))
                if _is_coroutine(each) and self._module(each) is not None
            ]


def _is_coroutine(frame: FrameType) -> bool:
    return bool(frame.f_code.co_flags & inspect.CO_COROUTINE)


def _is_client(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in ("openai", "httpx")


def _callers(frame: FrameType) -> Iterator[FrameType]:
    above = frame.f_back
    while above is not None:
        yield above
        above = above.f_back


def ask(base_url: str) -> None:
    rate = divebell.Rate.per_million("1", "2")
    rlm = divebell.RLM("root", "sub", rates={"root": rate, "sub": rate}, base_url=base_url, api_key="none")
    answer = rlm.completion("hay " * 100, "What is it?")
    assert answer == "yes", answer


def record(recorder: Recorder, base_url: str, cell: str) -> Counter[tuple[str, str]]:
    """The calls of one question."""
    Endpoint.cell = cell
    recorder.calls = Counter()
    recorder.is_on = True
    try:
        ask(base_url)
    finally:
        recorder.is_on = False
    return recorder.calls


def find_circles(modules: Modules) -> list[list[str]]:
    """The sets of modules that import each other, lazy imports and those only for types included; the largest
    first."""
    arrows = {name: set(_imports(name, path, modules)) for name, path in modules.items()}
    reached = {name: _reach(name, arrows) for name in arrows}
    circles = {tuple(sorted(other for other in reached[name] if name in reached[other])) for name in arrows}
    return sorted(([*circle] for circle in circles if len(circle) > 1), key=len, reverse=True)


def _imports(name: str, path: Path, modules: Modules) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        for target in targets:
            while target and target not in modules:
                target = target.rpartition(".")[0]
            if target and target != name:
                yield target


def _reach(start: str, arrows: Mapping[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for target in arrows[waiting.pop()] - reached:
            reached.add(target)
            waiting.append(target)
    return reached


def _print_names(names: Iterable[str]) -> None:
    for name in names:
        print(f"    {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how far one question travels through the code.")
    parser.add_argument("--files", action="store_true", help="name the files and the coroutines")
    names_files = parser.parse_args().files
    modules = find_modules()
    recorder = Recorder(modules)
    recorder.install()
    with serve_endpoint() as base_url:
        for cell in (WITH, WITHOUT):  # what is made once in a process is made here
            record(recorder, base_url, cell)
        pairs = [(record(recorder, base_url, WITH), record(recorder, base_url, WITHOUT)) for _ in range(ROUNDS)]
    sys.setprofile(None)
    threading.setprofile(None)
    with_query, without_query = pairs[-1]
    llm_query_calls = statistics.median((one - other).total() for one, other in pairs)
    added = with_query - without_query
    circles = find_circles(modules)
    print(f"host files: {len(modules)}")
    print(f"one question: {statistics.median(one.total() for one, _ in pairs):,.0f} calls", end="")
    print(f" in {len({module for module, _ in with_query})} files")
    if names_files:
        _print_names(sorted({module for module, _ in with_query}))
    print(f"coroutines on the stack at the root model's request: {len(recorder.awaiting)}")
    if names_files:
        _print_names(recorder.awaiting)
    print(f"one llm_query: {llm_query_calls:,.0f} calls", end="")
    print(f" in {len({module for module, _ in added})} files")
    if names_files:
        _print_names(sorted({module for module, _ in added}))
    print(f"circles of files: {len(circles)} ({', '.join(str(len(circle)) for circle in circles) or 'none'})")
    for circle in circles:
        print(f"    {' '.join(circle)}")


if __name__ == "__main__":
    main()
