"""Shows a run in progress: colours and a live line on a terminal, plain lines in a pipe.

What models and guests write is shown as text: control characters, with which a hostile context could rewrite the
terminal, are replaced first.
"""

import time
from types import TracebackType
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.status import Status
from rich.syntax import Syntax
from rich.text import Text

from divebell.calls.spending import cost_text
from divebell.events import (
    CallEnded,
    CallUsage,
    CellEnded,
    CellStarted,
    ChildEnded,
    Event,
    LimitReached,
    RootReplied,
    RunStarted,
)
from divebell.run.result import Result
from divebell.text import clip, clip_middle, flatten, flatten_and_clip_middle, replace_controls
from divebell_bridge.money.dollars import dollars

CODE_CHARACTERS = 4_000
OUTPUT_CHARACTERS = 1_200
LINE_CHARACTERS = 160
MAX_ERROR_CHARACTERS = 600
_PHASES: dict[type[Event], str] = {
    RunStarted: "the model thinks",
    RootReplied: "reading",
    CellStarted: "code runs",
    CellEnded: "the model thinks",
}
"""What the query's own run does after such an event. After a cell it may also run the reply's next code."""
MAX_CALL_LINES = 60  # of one turn; the rest are counted


def one_line(text: str, limit: int = LINE_CHARACTERS) -> str:
    return clip(flatten(replace_controls(text)), limit)


def both_ends(text: str, limit: int) -> str:
    return flatten_and_clip_middle(replace_controls(text), limit)


def money(amount_picodollars: int) -> str:
    amount = dollars(amount_picodollars)
    return f"${amount:.4f}" if amount >= 1 or amount == 0 else f"${amount:.6f}"


def cost_of(usage: CallUsage) -> str:
    return "price unknown" if usage.unpriced else money(usage.picodollars)


class _StatusLine:
    """What a run is doing now, and for how long. Each refresh renders it again, so the time moves on."""

    def __init__(self) -> None:
        self.began = self.phase_began = time.monotonic()
        self.phase = "starting"
        self.turn = self.calls = self.spent_picodollars = 0
        self.has_unknown_price = False

    def follow(self, event: Event) -> None:
        """Count what the event says."""
        match event:
            case RootReplied(usage=usage) | CallEnded(usage=CallUsage() as usage):
                self.spent_picodollars += usage.picodollars
                self.has_unknown_price = self.has_unknown_price or usage.unpriced
        self.calls += isinstance(event, CallEnded)
        if event.path == "0":
            self.turn = max(self.turn, event.turn)
            self.enter(_PHASES.get(type(event), self.phase))

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
        # One line, however narrow the terminal: if it wraps, the lines above it jump.
        return Text(
            " · ".join([*parts, spent, f"{now - self.began:.0f} s in all"]), no_wrap=True, overflow="ellipsis", end=""
        )


class Display:
    """Listens to a run's events. Pass its `on_event` to the RLM, and use it as a context manager around the run."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._live: Status | None = None
        self._status = _StatusLine()
        self._turn_calls = 0

    def __enter__(self) -> "Display":
        if self._console.is_terminal and not self._quiet:
            self._status = _StatusLine()
            self._live = self._console.status(self._status)
            self._live.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _frames: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def on_event(self, event: Event) -> None:
        self._status.follow(event)
        if not self._quiet:
            self._show(event)

    def _show(self, event: Event) -> None:
        match event:
            case RunStarted():
                subject = "query" if event.path == "0" else f"child {event.path}"
                self._line("run", f"{subject}: {one_line(event.query)} ({event.context})", "bold", event)
            case RootReplied():
                self._show_reply(event)
            case CellStarted():
                self._show_code(event)
            case CellEnded():
                self._show_cell(event)
            case CallEnded():
                self._show_call(event)
            case LimitReached():
                sentence = f"{event.limit} ({event.account}): asking for the best answer so far"
                self._line("limit", sentence, "yellow", event)
            case ChildEnded(error=None):
                self._line("child", f"{event.number} answered: {one_line(event.answer)}", "blue", event)
            case ChildEnded(error=str(error)):
                self._line("child", f"{event.number} failed: {one_line(error)}", "red", event)

    def _print(self, renderable: RenderableType) -> None:
        self._console.print(renderable)

    def _line(self, mark: str, text: str, style: str, event: Event) -> None:
        indent = "  " * event.path.count(".")
        line = Text(f"{indent}[{event.seconds:6.2f} s] ", style="dim")
        line.append(f"{mark:<6} ", style=style)
        line.append(text)
        self._print(line)

    def _show_reply(self, event: RootReplied) -> None:
        self._turn_calls = 0
        usage = event.usage
        tokens = f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens"
        cost = f"{tokens}, {cost_of(usage)}, {event.call_seconds:.2f} s"
        self._line("turn", f"{event.turn}  {one_line(event.model, 40)} ({cost})", "bold cyan", event)

    def _show_code(self, event: CellStarted) -> None:
        indent = 2 + 2 * event.path.count(".")
        code = clip_middle(replace_controls(event.code).strip("\n"), CODE_CHARACTERS)
        if self._console.is_terminal:
            self._print(Padding(Syntax(code, "python", theme="ansi_dark", word_wrap=True), (0, 0, 0, indent)))
        else:
            self._block("\n".join(f">>> {line}" for line in code.splitlines()), "", indent)

    def _show_cell(self, event: CellEnded) -> None:
        cell = event.cell
        indent = 2 + 2 * event.path.count(".")
        output = clip_middle(replace_controls(cell.output), OUTPUT_CHARACTERS)
        if output:
            self._block(output, "red" if cell.error is not None else "green", indent)
        self._line("cell", f"{cell.seconds * 1000:,.1f} ms", "dim", event)

    def _block(self, text: str, style: str, indent: int) -> None:
        """Indented text: wrapped on a terminal, line for line in a pipe."""
        if self._console.is_terminal:
            self._print(Padding(Text(text, style=style), (0, 0, 0, indent)))
        else:
            self._print(Text("\n".join(" " * indent + line for line in text.split("\n"))))

    def _show_call(self, event: CallEnded) -> None:
        self._turn_calls += 1
        if self._turn_calls > MAX_CALL_LINES:
            if self._turn_calls == MAX_CALL_LINES + 1:
                self._line("call", "further sub-calls of this turn are counted, not shown", "dim", event)
            return
        reply = f"failed: {event.error}" if event.reply is None else event.reply
        prompt = both_ends(event.prompt, LINE_CHARACTERS // 2)
        cost = ""
        if event.usage is not None:
            cost = " (memo)" if event.usage.memo else f" ({cost_of(event.usage)})"
        self._line(
            "call", f"{event.number}  {prompt}  →  {one_line(reply, LINE_CHARACTERS // 2)}{cost}", "magenta", event
        )


def summary_line(result: Result) -> str:
    """What a run used, in one line."""
    spend: dict[str, Any] = result.spend
    turns = "turn" if result.iterations == 1 else "turns"
    calls = "model call" if spend["calls"] == 1 else "model calls"
    return (
        f"{result.iterations} {turns}, {spend['calls']:,} {calls}, "
        f"{spend['input_tokens']:,} + {spend['output_tokens']:,} tokens, "
        f"{cost_text(format(spend['dollars'], '.6f'), spend['unpriced_calls'])}, {result.seconds:.2f} s"
    )
