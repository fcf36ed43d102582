"""Showing a run as it goes: colours and a live line on a terminal, plain lines in a pipe.

What models and guests write is shown as text: control characters, with which a hostile context could rewrite the
terminal, are replaced first.
"""

import re
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.status import Status
from rich.syntax import Syntax
from rich.text import Text

from divebell.calls.spending import cost_text
from divebell.cell import Cell
from divebell.events import Event
from divebell.run.observation import shortened
from divebell.run.result import Result
from divebell_bridge.money.budget import dollars

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
CODE_CHARACTERS = 4_000
OUTPUT_CHARACTERS = 1_200
LINE_CHARACTERS = 160
_PHASES = {"run": "the model thinks", "reply": "reading", "code": "code runs", "cell": "the model thinks"}
"""What the query's own run does after an event of this kind. After a cell it may also run the reply's next code."""
MAX_CALL_LINES = 60  # of one turn; the rest are counted


def safe(text: str) -> str:
    """The text without characters that steer a terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def one_line(text: str, limit: int = LINE_CHARACTERS) -> str:
    flat = " ".join(safe(text).split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def both_ends(text: str, limit: int) -> str:
    """One line with the middle left out: prompts of a batch begin alike, and differ at the end."""
    flat = " ".join(safe(text).split())
    third = limit // 3
    return flat if len(flat) <= limit else f"{flat[:third]} … {flat[third + 3 - limit :]}"


def money(amount_picodollars: int) -> str:
    amount = dollars(amount_picodollars)
    return f"${amount:.4f}" if amount >= 1 or amount == 0 else f"${amount:.6f}"


def cost_of(data: Mapping[str, Any]) -> str:
    """What a call cost, out of its event's data."""
    return "price unknown" if data.get("unpriced") else money(data["picodollars"])


class _StatusLine:
    """What a run does at this moment, and for how long. Each refresh writes it anew, so it never stands still."""

    def __init__(self) -> None:
        self.began = self.phase_began = time.monotonic()
        self.phase = "starting"
        self.turn = self.calls = self.spent_picodollars = 0
        self.has_unknown_price = False

    def enter(self, phase: str) -> None:
        if phase != self.phase:
            self.phase, self.phase_began = phase, time.monotonic()

    def __rich__(self) -> Text:
        now = time.monotonic()
        parts = [f"turn {self.turn}"] if self.turn else []
        parts.append(f"{self.phase} {now - self.phase_began:.0f} s")
        if self.calls:
            parts.append(f"{self.calls:,} sub-call{'' if self.calls == 1 else 's'}")
        spent = "price unknown" if self.has_unknown_price else money(self.spent_picodollars)
        # In one line, however narrow the terminal: one that breaks makes what is above it jump.
        return Text(
            " · ".join([*parts, spent, f"{now - self.began:.0f} s in all"]), no_wrap=True, overflow="ellipsis", end=""
        )


class Display:
    """Listens to a run's events. Give its `on_event` to the RLM, and use it as a context manager around the run."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._live: Status | None = None
        self._now = _StatusLine()
        self._turn_calls = 0

    def __enter__(self) -> "Display":
        if self._console.is_terminal and not self._quiet:
            self._now = _StatusLine()
            self._live = self._console.status(self._now)
            self._live.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _frames: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def on_event(self, event: Event) -> None:
        show = getattr(self, f"_on_{event.kind}", None)
        now = self._now
        now.spent_picodollars += event.data.get("picodollars", 0)
        now.has_unknown_price = now.has_unknown_price or bool(event.data.get("unpriced"))
        now.calls += event.kind == "call"
        if event.path == "0":
            now.turn = max(now.turn, event.turn)
            now.enter(_PHASES.get(event.kind, now.phase))
        if show is not None and not self._quiet:
            show(event)

    def _print(self, renderable: RenderableType) -> None:
        self._console.print(renderable)

    def _line(self, mark: str, text: str, style: str, event: Event) -> None:
        indent = "  " * event.path.count(".")
        line = Text(f"{indent}[{event.seconds:6.2f} s] ", style="dim")
        line.append(f"{mark:<6} ", style=style)
        line.append(text)
        self._print(line)

    def _on_run(self, event: Event) -> None:
        who = "query" if event.path == "0" else f"child {event.path}"
        self._line("run", f"{who}: {one_line(event.data['query'])} ({event.data['context']})", "bold", event)

    def _on_reply(self, event: Event) -> None:
        self._turn_calls = 0
        data = event.data
        tokens = f"{data['input_tokens']:,} + {data['output_tokens']:,} tokens"
        cost = f"{tokens}, {cost_of(data)}, {data['call_seconds']:.2f} s"
        self._line("turn", f"{event.turn}  {one_line(data['model'], 40)} ({cost})", "bold cyan", event)

    def _on_code(self, event: Event) -> None:
        indent = 2 + 2 * event.path.count(".")
        shown = shortened(safe(event.data["code"]).strip("\n"), CODE_CHARACTERS)
        if self._console.is_terminal:
            self._print(Padding(Syntax(shown, "python", theme="ansi_dark", word_wrap=True), (0, 0, 0, indent)))
        else:
            self._block("\n".join(f">>> {line}" for line in shown.splitlines()), "", indent)

    def _on_cell(self, event: Event) -> None:
        cell = event.data["cell"]
        assert isinstance(cell, Cell)
        indent = 2 + 2 * event.path.count(".")
        output = shortened(safe(cell.output), OUTPUT_CHARACTERS)
        if output:
            self._block(output, "red" if cell.error is not None else "green", indent)
        self._line("cell", f"{cell.seconds * 1000:,.1f} ms", "dim", event)

    def _block(self, text: str, style: str, indent: int) -> None:
        """Indented text: wrapped on a terminal, line for line in a pipe."""
        if self._console.is_terminal:
            self._print(Padding(Text(text, style=style), (0, 0, 0, indent)))
        else:
            self._print(Text("\n".join(" " * indent + line for line in text.split("\n"))))

    def _on_call(self, event: Event) -> None:
        self._turn_calls += 1
        data = event.data
        if self._turn_calls > MAX_CALL_LINES:
            if self._turn_calls == MAX_CALL_LINES + 1:
                self._line("call", "further sub-calls of this turn are counted, not shown", "dim", event)
            return
        reply = f"failed: {data['error']}" if "error" in data else data["reply"]
        prompt = both_ends(data["prompt"], LINE_CHARACTERS // 2)
        cost = f" ({cost_of(data)})" if "picodollars" in data else ""
        cost = " (memo)" if data.get("memo") else cost
        self._line(
            "call", f"{data['number']}  {prompt}  →  {one_line(reply, LINE_CHARACTERS // 2)}{cost}", "magenta", event
        )

    def _on_limit(self, event: Event) -> None:
        data = event.data
        self._line("limit", f"{data['limit']} ({data['account']}): asking for the best answer so far", "yellow", event)

    def _on_child(self, event: Event) -> None:
        if "error" in event.data:
            self._line("child", f"{event.data['number']} failed: {one_line(event.data['error'])}", "red", event)
            return
        self._line("child", f"{event.data['number']} answered: {one_line(event.data['answer'])}", "blue", event)


def summary_line(result: Result) -> str:
    """What a run took, in one line."""
    spend: dict[str, Any] = result.spend
    turns = "turn" if result.iterations == 1 else "turns"
    calls = "model call" if spend["calls"] == 1 else "model calls"
    return (
        f"{result.iterations} {turns}, {spend['calls']:,} {calls}, "
        f"{spend['input_tokens']:,} + {spend['output_tokens']:,} tokens, "
        f"{cost_text(format(spend['dollars'], '.6f'), spend['unpriced_calls'])}, {result.seconds:.2f} s"
    )
