"""A run as OpenTelemetry spans and metrics, with the names of the GenAI semantic conventions (1.41, "development").

    pip install 'divebell[otel]'
    exporter = OpenTelemetryListener(provider="openai")   # sends to the tracer and meter providers of the application
    rlm = divebell.RLM(..., on_event=exporter)

| in a run | span | gen_ai.operation.name |
|---|---|---|
| a run, a child | invoke_agent divebell | invoke_agent |
| a call of the root model, a sub-call | chat {model} | chat |
| a cell | execute_tool python | execute_tool |
| a tool | execute_tool {name} | execute_tool |

Metrics: gen_ai.client.token.usage and gen_ai.client.operation.duration. The cost of a call is the attribute
divebell.cost.dollars, for which the conventions have no name.

Spans are made on a separate thread, with the times of the events, so an exporter that is slow or fails does not affect
the run. Prompts, code, output and replies are sent only with `content=True`.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from divebell.errors import ConfigurationError
from divebell.events import (
    CallEnded,
    CallUsage,
    CellEnded,
    CellStarted,
    Event,
    RootReplied,
    RunEnded,
    RunStarted,
    ToolEnded,
)
from divebell.trace.pump import END_SECONDS, Pump
from divebell.trace.schema import ERROR_KINDS, METADATA, Recorder, body_text
from divebell.version import __version__
from divebell_bridge.money.dollars import dollars

try:
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
except ImportError:
    raise ConfigurationError("OpenTelemetry is not installed: pip install 'divebell[otel]'") from None

MAX_OPEN_SPANS = 10_000
MAX_CONTENT_CHARACTERS = 100_000
MAX_NAME_CHARACTERS = 200
TOKEN_BUCKETS = [4**power for power in range(14)]
SECONDS_BUCKETS = [0.01 * 2**power for power in range(14)]
AGENT = "divebell"


@dataclass(frozen=True, kw_only=True, repr=False)
class _QueryStarted(RunStarted):
    """The start of the query's own run, with the wall-clock time that all other times of its events are relative to."""

    began_ns: int


class OpenTelemetryListener:
    """Pass it to the RLM as `on_event`, and close it after the last run.

    provider: who serves the models, by the conventions' names: "openai", "anthropic" and others.
    tracer_provider, meter_provider: the application's global ones by default.
    content: whether bodies are sent, too. secrets: strings that are never sent.

    Concurrent runs need a listener each, because their events do not say which run they belong to.
    """

    def __init__(
        self,
        *,
        provider: str = "openai",
        tracer_provider: "TracerProvider | None" = None,
        meter_provider: "MeterProvider | None" = None,
        content: bool = False,
        secrets: "tuple[str, ...]" = (),
    ) -> None:
        self._provider = provider
        self._recorder = Recorder("full" if content else "off", secrets)
        self._content = content
        self._tracer = trace.get_tracer("divebell", __version__, tracer_provider)
        meter = metrics.get_meter("divebell", __version__, meter_provider)
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
        )
        self._seconds = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=SECONDS_BUCKETS,
        )
        self._runs: dict[str, tuple[Span, float]] = {}
        self._cells: dict[str, tuple[Span, float]] = {}
        self._began_ns = 0
        self._pump = Pump(lambda events, _: self._export(events), name="divebell-otel")

    def __call__(self, event: Event) -> None:
        """Take an event. Returns at once, and never raises."""
        if isinstance(event, RunStarted) and "." not in event.path:
            event = _QueryStarted(**vars(event), began_ns=time.time_ns() - round(event.seconds * 1e9))
        self._pump.put(event)

    @property
    def dropped(self) -> int:
        """How many events did not become spans."""
        return self._pump.dropped

    @property
    def problem(self) -> str | None:
        """Why no more spans are made; None while all is well."""
        return self._pump.problem

    def close(self, seconds: float = END_SECONDS) -> None:
        """Send what is queued, and end the spans that are open."""
        if self._pump.close(seconds):
            self._end_all()

    def _end_all(self) -> None:
        """End the spans that no event has ended, as failed."""
        for span, _ in [*self._cells.values(), *reversed(self._runs.values())]:
            span.set_status(Status(StatusCode.ERROR))
            span.end()
        self._cells.clear()
        self._runs.clear()

    def __enter__(self) -> "OpenTelemetryListener":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _frames: TracebackType | None
    ) -> None:
        self.close()

    def _export(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case RunStarted():
                    self._start_run(event)
                case RootReplied():
                    self._end_cell(event)
                    self._add_chat(event, event.usage, None)
                case CellStarted():
                    self._start_cell(event)
                case CellEnded():
                    self._end_ran_cell(event)
                case CallEnded():
                    self._add_chat(event, event.usage, event.prompt)
                case ToolEnded():
                    self._add_tool(event)
                case RunEnded():
                    self._end_run(event)

    def _ns(self, seconds: float) -> int:
        return self._began_ns + round(seconds * 1e9)

    def _inside(self, path: str) -> "Context | None":
        """The context of the open cell of that run, or of the run itself."""
        at_work = self._cells.get(path) or self._runs.get(path)
        return None if at_work is None else trace.set_span_in_context(at_work[0])

    def _body(self, value: Any) -> str | None:
        """A body as text to send; None if it is not to be sent."""
        if not self._content or value is None:
            return None
        text = body_text(self._recorder.data({"body": value}).get("body"))
        return None if text is None else text[:MAX_CONTENT_CHARACTERS]

    def _start_run(self, event: RunStarted) -> None:
        parent = event.path.rpartition(".")[0]
        if isinstance(event, _QueryStarted):
            self._end_all()
            self._began_ns = event.began_ns
        if len(self._runs) >= MAX_OPEN_SPANS:
            return
        attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": self._provider,
            "gen_ai.agent.name": AGENT,
            "divebell.path": event.path,
            "divebell.run_id": event.run_id or None,
            "gen_ai.input.messages": _message("user", self._body(event.query)),
            **{f"divebell.metadata.{name}": value for name, value in self._metadata(event).items()},
        }
        span = self._tracer.start_span(
            f"invoke_agent {AGENT}",
            context=self._inside(parent) if parent else None,
            kind=SpanKind.INTERNAL,
            attributes=_without_none(attributes),
            start_time=self._ns(event.seconds),
        )
        self._runs[event.path] = (span, event.seconds)

    def _metadata(self, event: Event) -> dict[str, str]:
        record = self._recorder.data({"settings": {METADATA: event.metadata}})
        metadata: dict[str, str] = record["settings"][METADATA]
        return metadata

    def _end_run(self, event: RunEnded) -> None:
        self._end_cell(event)
        open_run = self._runs.pop(event.path, None)
        if open_run is None:
            return
        span, began = open_run
        span.set_attribute("divebell.status", event.status)
        answer = _message("assistant", self._body(event.answer))
        if answer is not None:
            span.set_attribute("gen_ai.output.messages", answer)
        labels = {"gen_ai.agent.name": AGENT}
        if event.status == "failed":
            self._set_error(span, labels, event.error_type, event.error)
        span.end(self._ns(event.seconds))
        self._record_duration("invoke_agent", event.seconds - began, labels)

    def _set_error(self, span: Span, labels: dict[str, str], error_type: str | None, error: str | None) -> None:
        """Mark the span, and the labels of its metric, as failed."""
        labels["error.type"] = _error_type(error_type)
        span.set_attribute("error.type", labels["error.type"])
        span.set_status(Status(StatusCode.ERROR, self._body(error)))

    def _add_chat(self, event: RootReplied | CallEnded, usage: CallUsage | None, prompt: str | None) -> None:
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": self._provider,
            "gen_ai.request.model": event.model,
            "divebell.path": event.path,
            "divebell.turn": event.turn,
            "gen_ai.input.messages": _message("user", self._body(prompt)),
            "gen_ai.output.messages": _message("assistant", self._body(event.reply)),
        }
        if usage is not None:
            attributes |= {
                "gen_ai.usage.input_tokens": usage.input_tokens,
                "gen_ai.usage.output_tokens": usage.output_tokens,
                "gen_ai.usage.cache_read.input_tokens": usage.cached_input_tokens,
                "gen_ai.response.finish_reasons": [usage.finish_reason],
                "divebell.cost.dollars": f"{dollars(usage.picodollars):f}",
            }
        span = self._tracer.start_span(
            f"chat {event.model}".rstrip(),
            context=self._inside(event.path),
            kind=SpanKind.CLIENT,
            attributes=_without_none(attributes),
            start_time=self._ns(event.seconds - event.call_seconds),
        )
        labels = {"gen_ai.request.model": event.model}
        self._count_tokens(usage, labels)
        if isinstance(event, CallEnded) and event.error is not None:
            self._set_error(span, labels, event.error_type, event.error)
        span.end(self._ns(event.seconds))
        self._record_duration("chat", event.call_seconds, labels)

    def _count_tokens(self, usage: CallUsage | None, labels: Mapping[str, str]) -> None:
        if usage is None:
            return
        common = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": self._provider, **labels}
        self._tokens.record(usage.input_tokens, {**common, "gen_ai.token.type": "input"})
        self._tokens.record(usage.output_tokens, {**common, "gen_ai.token.type": "output"})

    def _record_duration(self, operation: str, seconds: float, labels: Mapping[str, str]) -> None:
        common = {"gen_ai.operation.name": operation, "gen_ai.provider.name": self._provider}
        self._seconds.record(seconds, {**common, **labels})

    def _start_cell(self, event: CellStarted) -> None:
        self._end_cell(event)
        if len(self._cells) < MAX_OPEN_SPANS:
            span = self._tool_span(event, "python", event.seconds, event.code)
            self._cells[event.path] = (span, event.seconds)

    def _end_cell(self, event: Event) -> None:
        """End a cell whose own end did not arrive."""
        open_cell = self._cells.pop(event.path, None)
        if open_cell is not None:
            open_cell[0].end(self._ns(event.seconds))

    def _end_ran_cell(self, event: CellEnded) -> None:
        open_cell = self._cells.pop(event.path, None)
        if open_cell is None:
            return
        span, began = open_cell
        labels = {"gen_ai.tool.name": "python"}
        output = self._body(event.cell.output)
        if output is not None:
            span.set_attribute("gen_ai.tool.call.result", output)
        error = event.cell.error
        if error is not None:  # the guest chose the name: only a well-known one is a label
            self._set_error(span, labels, error.kind if error.kind in ERROR_KINDS else None, None)
        span.end(self._ns(event.seconds))
        self._record_duration("execute_tool", event.seconds - began, labels)

    def _add_tool(self, event: ToolEnded) -> None:
        name = event.name[:MAX_NAME_CHARACTERS]
        span = self._tool_span(event, name, event.seconds - event.tool_seconds, event.arguments)
        labels = {"gen_ai.tool.name": name}
        if event.error is not None:
            self._set_error(span, labels, event.error_type, event.error)
        else:
            result = self._body(event.result)
            if result is not None:
                span.set_attribute("gen_ai.tool.call.result", result)
        span.end(self._ns(event.seconds))
        self._record_duration("execute_tool", event.tool_seconds, labels)

    def _tool_span(self, event: Event, name: str, start: float, arguments: Any) -> Span:
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.arguments": self._body(arguments),
            "divebell.path": event.path,
            "divebell.turn": event.turn,
        }
        return self._tracer.start_span(
            f"execute_tool {name}",
            context=self._inside(event.path),
            attributes=_without_none(attributes),
            start_time=self._ns(start),
        )


def _without_none(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _error_type(name: str | None) -> str:
    """A label out of a small set: the class of the error where the event has it, never its text."""
    return name[:MAX_NAME_CHARACTERS] if name is not None and name.isidentifier() else "_OTHER"


def _message(role: str, text: str | None) -> str | None:
    """A message in the conventions' own JSON form."""
    if text is None:
        return None
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}], ensure_ascii=False)
