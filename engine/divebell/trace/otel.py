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

Metrics: gen_ai.client.token.usage and gen_ai.client.operation.duration. What money a call cost is the attribute
divebell.cost.dollars: the conventions have no name for it.

Spans are made on a thread of their own, with the times that the events had: an exporter that is slow or fails does not
touch the run. Prompts, code, output and replies are sent only with `content=True`.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from divebell.cell import Cell
from divebell.errors import ConfigurationError
from divebell.events import Event
from divebell.trace.pump import END_SECONDS, Pump
from divebell.trace.schema import ERROR_KINDS, METADATA, Recorder, body_text, with_outcome
from divebell.version import __version__

try:
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
except ImportError:
    raise ConfigurationError("OpenTelemetry is not installed: pip install 'divebell[otel]'") from None

MAX_OPEN_SPANS = 10_000
MAX_CONTENT_CHARACTERS = 100_000
TOKEN_BUCKETS = [4**power for power in range(14)]
SECONDS_BUCKETS = [0.01 * 2**power for power in range(14)]
AGENT = "divebell"


class OpenTelemetryListener:
    """Give it to the RLM as `on_event`, and close it when no more runs will come.

    provider: what serves the models, by the conventions' names: "openai", "anthropic" and others.
    tracer_provider, meter_provider: by default the application's global ones.
    content: whether bodies are sent too. secrets: strings that are never sent.

    Runs at the same time need a listener each: their events cannot be told apart.
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
        self._pump = Pump(lambda events, _: self._tell_all(events), name="divebell-otel")

    def __call__(self, event: Event) -> None:
        """Take an event. Returns at once, and never raises."""
        if event.kind == "run" and "." not in event.path:
            began_ns = time.time_ns() - round(event.seconds * 1e9)
            event = replace(event, data={**event.data, "began_ns": began_ns})
        self._pump.put(event)

    @property
    def dropped(self) -> int:
        """How many events did not become spans."""
        return self._pump.dropped

    @property
    def problem(self) -> str | None:
        """Why no more spans are made, if that is so."""
        return self._pump.problem

    def close(self, seconds: float = END_SECONDS) -> None:
        """Send what waits, and end what is open."""
        if self._pump.close(seconds):
            self._end_all()

    def _end_all(self) -> None:
        """End what no event ended: those runs failed, or were cancelled."""
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

    def _tell_all(self, events: list[Event]) -> None:
        for event in events:
            tell = getattr(self, f"_on_{event.kind}", None)
            if tell is not None:
                tell(event, with_outcome(event.data))

    def _ns(self, seconds: float) -> int:
        return self._began_ns + round(seconds * 1e9)

    def _inside(self, path: str) -> "Context | None":
        """The context of what is at work in that run."""
        found = self._cells.get(path) or self._runs.get(path)
        return None if found is None else trace.set_span_in_context(found[0])

    def _body(self, value: Any) -> str | None:
        """A body to send; None where none is to be sent."""
        kept = self._recorder.data({"body": value}).get("body") if self._content and value is not None else None
        text = body_text(kept)
        return None if text is None else text[:MAX_CONTENT_CHARACTERS]

    def _on_run(self, event: Event, data: Mapping[str, Any]) -> None:
        parent = event.path.rpartition(".")[0]
        if not parent:
            self._end_all()
            self._began_ns = data["began_ns"]
        if len(self._runs) >= MAX_OPEN_SPANS:
            return
        attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": self._provider,
            "gen_ai.agent.name": AGENT,
            "divebell.path": event.path,
            "divebell.run_id": event.run_id or None,
            "gen_ai.input.messages": _message("user", self._body(data.get("query"))),
            **{f"divebell.metadata.{name}": value for name, value in self._metadata(event).items()},
        }
        span = self._tracer.start_span(
            f"invoke_agent {AGENT}",
            context=self._inside(parent) if parent else None,
            kind=SpanKind.INTERNAL,
            attributes=_given(attributes),
            start_time=self._ns(event.seconds),
        )
        self._runs[event.path] = (span, event.seconds)

    def _metadata(self, event: Event) -> dict[str, str]:
        kept = self._recorder.data({"settings": {METADATA: event.metadata}})
        found: dict[str, str] = kept["settings"][METADATA]
        return found

    def _on_answer(self, event: Event, data: Mapping[str, Any]) -> None:
        cell = self._cells.pop(event.path, None)
        if cell is not None:
            cell[0].end(self._ns(event.seconds))
        found = self._runs.pop(event.path, None)
        if found is None:
            return
        span, began = found
        if isinstance(data.get("status"), str):
            span.set_attribute("divebell.status", data["status"])
        answer = self._body(data.get("answer"))
        if answer is not None:
            span.set_attribute("gen_ai.output.messages", _message("assistant", answer) or "")
        labels = {"gen_ai.agent.name": AGENT}
        if data.get("status") == "failed":
            labels["error.type"] = _error_type(data)
            span.set_attribute("error.type", labels["error.type"])
            span.set_status(Status(StatusCode.ERROR, self._body(str(data.get("error")))))
        span.end(self._ns(event.seconds))
        self._took("invoke_agent", event.seconds - began, labels)

    def _on_reply(self, event: Event, data: Mapping[str, Any]) -> None:
        self._end_cell(event)
        self._chat(event, data, self._inside(event.path))

    def _on_call(self, event: Event, data: Mapping[str, Any]) -> None:
        self._chat(event, data, self._inside(event.path))

    def _chat(self, event: Event, data: Mapping[str, Any], parent: "Context | None") -> None:
        model = str(data.get("model") or "")
        took = float(data.get("call_seconds") or 0.0)
        failure = data.get("error")
        reasons = data.get("finish_reason")
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": self._provider,
            "gen_ai.request.model": model,
            "gen_ai.usage.input_tokens": data.get("input_tokens"),
            "gen_ai.usage.output_tokens": data.get("output_tokens"),
            "gen_ai.usage.cache_read.input_tokens": data.get("cached_input_tokens"),
            "gen_ai.usage.cache_creation.input_tokens": data.get("cache_write_tokens"),
            "gen_ai.response.finish_reasons": [reasons] if isinstance(reasons, str) else None,
            "divebell.cost.dollars": self._recorder.data({"picodollars": data.get("picodollars")}).get("dollars"),
            "divebell.path": event.path,
            "divebell.turn": event.turn,
            "error.type": _error_type(data) if failure else None,
            "gen_ai.input.messages": _message("user", self._body(data.get("prompt"))),
            "gen_ai.output.messages": _message("assistant", self._body(data.get("reply"))),
        }
        span = self._tracer.start_span(
            f"chat {model}".rstrip(),
            context=parent,
            kind=SpanKind.CLIENT,
            attributes=_given(attributes),
            start_time=self._ns(event.seconds - took),
        )
        if failure:
            span.set_status(Status(StatusCode.ERROR, self._body(str(failure))))
        span.end(self._ns(event.seconds))
        self._measure(data, model, took)

    def _measure(self, data: Mapping[str, Any], model: str, took: float) -> None:
        labels = {"gen_ai.request.model": model}
        for kind in ("input", "output"):
            tokens = data.get(f"{kind}_tokens")
            if type(tokens) is int:
                self._tokens.record(
                    tokens,
                    {
                        "gen_ai.operation.name": "chat",
                        "gen_ai.provider.name": self._provider,
                        "gen_ai.token.type": kind,
                        **labels,
                    },
                )
        if data.get("error"):
            labels["error.type"] = _error_type(data)
        self._took("chat", took, labels)

    def _took(self, operation: str, seconds: float, labels: Mapping[str, str]) -> None:
        common = {"gen_ai.operation.name": operation, "gen_ai.provider.name": self._provider}
        self._seconds.record(seconds, {**common, **labels})

    def _on_code(self, event: Event, data: Mapping[str, Any]) -> None:
        self._end_cell(event)
        if len(self._cells) < MAX_OPEN_SPANS:
            span = self._tool_span(event, "python", event.seconds, data.get("code"), self._inside(event.path))
            self._cells[event.path] = (span, event.seconds)

    def _end_cell(self, event: Event) -> None:
        found = self._cells.pop(event.path, None)
        if found is not None:
            found[0].end(self._ns(event.seconds))

    def _on_cell(self, event: Event, data: Mapping[str, Any]) -> None:
        found = self._cells.pop(event.path, None)
        cell = data.get("cell")
        if found is None:
            return
        span, began = found
        labels = {"gen_ai.tool.name": "python"}
        output = self._body(cell.output) if isinstance(cell, Cell) else None
        if output is not None:
            span.set_attribute("gen_ai.tool.call.result", output)
        if isinstance(cell, Cell) and cell.error is not None:
            labels["error.type"] = cell.error.kind if cell.error.kind in ERROR_KINDS else "_OTHER"
            span.set_attribute("error.type", labels["error.type"])
            span.set_status(Status(StatusCode.ERROR))
        span.end(self._ns(event.seconds))
        self._took("execute_tool", event.seconds - began, labels)

    def _on_tool(self, event: Event, data: Mapping[str, Any]) -> None:
        name = str(data.get("name") or "")[:200]
        took = float(data.get("tool_seconds") or 0.0)
        span = self._tool_span(event, name, event.seconds - took, data.get("arguments"), self._inside(event.path))
        result = self._body(data.get("result"))
        if result is not None:
            span.set_attribute("gen_ai.tool.call.result", result)
        labels = {"gen_ai.tool.name": name}
        if data.get("error"):
            labels["error.type"] = _error_type(data)
            span.set_attribute("error.type", labels["error.type"])
            span.set_status(Status(StatusCode.ERROR, self._body(str(data["error"]))))
        span.end(self._ns(event.seconds))
        self._took("execute_tool", took, labels)

    def _tool_span(self, event: Event, name: str, start: float, arguments: Any, parent: "Context | None") -> Span:
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.arguments": self._body(arguments),
            "divebell.path": event.path,
            "divebell.turn": event.turn,
        }
        return self._tracer.start_span(
            f"execute_tool {name}", context=parent, attributes=_given(attributes), start_time=self._ns(start)
        )


def _given(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _error_type(data: Mapping[str, Any]) -> str:
    """A name of few: the class of the error where the event has it, never its text."""
    kind = data.get("error_type")
    return kind[:100] if isinstance(kind, str) and kind.isidentifier() else "_OTHER"


def _message(role: str, text: str | None) -> str | None:
    """A message in the conventions' own JSON form."""
    if text is None:
        return None
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}], ensure_ascii=False)
