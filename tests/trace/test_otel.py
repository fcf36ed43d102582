"""A run as OpenTelemetry spans and metrics, into the SDK's own in-memory exporters."""

import json
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from divebell import RLM, Budget, Cell, CellError, ModelError, ModelRequest, Rate, ScriptedModel
from divebell.events import CellEnded, CellStarted
from divebell.trace.otel import OpenTelemetryListener
from tests.support.traces import Novelty, hostile, lively, make_event, with_facts

CODE = "```repl\nprint(llm_query('one'))\nprint(rlm_query('three', context='small'))\n```"


class Collected:
    """Providers whose spans and metrics stay in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader])

    def listener(self, **options: Any) -> OpenTelemetryListener:
        return OpenTelemetryListener(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        return sorted(self.exporter.get_finished_spans(), key=lambda span: (span.start_time, span.name))

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        metrics = [metric for each in data.resource_metrics for scope in each.scope_metrics for metric in scope.metrics]
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]


@pytest.fixture
def collected() -> Collected:
    return Collected()


def run(listener: OpenTelemetryListener) -> str:
    root = ScriptedModel("root", [CODE, "```repl\n1 / 0\n```", "FINAL(done)"])
    sub = ScriptedModel("sub", lambda request: "FINAL(deep)" if request.messages[0]["role"] == "system" else "plain")
    rates = {"root": Rate.per_million("1", "2"), "sub": Rate.per_million("0.1", "0.2")}
    with listener:
        return (
            RLM(root, sub, on_event=listener, budget=Budget(dollars="1"), rates=rates).run("hay " * 10, "where?").answer
        )


def test_a_run_is_a_tree_of_spans_with_the_conventions_names(collected: Collected) -> None:
    before = time.time_ns()
    assert run(collected.listener()) == "done"
    spans = {span.context.span_id: span for span in collected.spans}
    above = [(span.name, spans[span.parent.span_id].name if span.parent else None) for span in spans.values()]
    assert sorted(above, key=str) == sorted(
        [
            ("invoke_agent divebell", None),
            ("chat root", "invoke_agent divebell"),
            ("chat root", "invoke_agent divebell"),
            ("chat root", "invoke_agent divebell"),
            *[("execute_tool python", "invoke_agent divebell")] * 4,
            ("chat sub", "execute_tool python"),
            ("invoke_agent divebell", "execute_tool python"),
            ("chat sub", "invoke_agent divebell"),
        ],
        key=str,
    )
    assert len({span.context.trace_id for span in spans.values()}) == 1
    for span in spans.values():
        assert span.start_time is not None
        assert span.end_time is not None
        assert before <= span.start_time <= span.end_time <= time.time_ns()
    call = next(span for span in spans.values() if span.name == "chat sub")
    assert call.kind == SpanKind.CLIENT
    attributes = dict(call.attributes or {})
    assert attributes.pop("divebell.cost.dollars").startswith("0.0000")
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "sub",
        "gen_ai.usage.input_tokens": 1,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.response.finish_reasons": ("stop",),
        "divebell.path": "0",
        "divebell.turn": 1,
    }


def test_a_failed_cell_is_an_error_without_its_text(collected: Collected) -> None:
    run(collected.listener())
    failed = [span for span in collected.spans if span.status.status_code == StatusCode.ERROR]
    assert [(span.name, (span.attributes or {})["error.type"]) for span in failed] == [
        ("execute_tool python", "ZeroDivisionError")
    ]
    assert failed[0].status.description is None


@pytest.mark.parametrize("content", [False, True])
def test_content_is_sent_only_when_asked_for(collected: Collected, content: bool) -> None:
    with collected.listener(content=content, secrets=("sk-0123456789",)) as listener:
        for event in hostile("ADA says sk-0123456789"):
            listener(with_facts(event, "a fact"))
    said = "".join(span.to_json() for span in collected.spans)
    assert listener.problem is None
    assert len(collected.spans) == 6
    assert ("ADA says [secret]" in said) == content
    assert "sk-0123456789" not in said
    if content:
        call = next(
            span
            for span in collected.spans
            if span.name == "chat a fact" and "gen_ai.input.messages" in (span.attributes or {})
        )
        messages = json.loads((call.attributes or {})["gen_ai.input.messages"])  # type: ignore[arg-type]
        assert messages == [{"role": "user", "parts": [{"type": "text", "content": "ADA says [secret]"}]}]


def test_an_error_name_that_a_guest_made_up_is_no_label(collected: Collected) -> None:
    with collected.listener(content=True) as listener:
        listener(make_event("run", turn=0, seconds=0))
        listener(CellStarted(turn=1, seconds=0.1, code="x"))
        cell = Cell(error=CellError(kind="Evil" * 40, message="", traceback=""))
        listener(CellEnded(turn=1, seconds=0.2, code="x", cell=cell))
    (span,) = [span for span in collected.spans if span.name == "execute_tool python"]
    assert (span.attributes or {})["error.type"] == "_OTHER"


def test_metrics_add_up(collected: Collected) -> None:
    events = list(lively(100))
    with collected.listener(provider="anthropic") as listener:
        for event in events:
            listener(event)
    called = [event.data for event in events if event.kind in ("reply", "call")]
    for kind in ("input", "output"):
        points = [p for p in collected.points("gen_ai.client.token.usage") if p.attributes["gen_ai.token.type"] == kind]
        assert sum(point.sum for point in points) == sum(data.get(f"{kind}_tokens", 0) for data in called)
        assert {point.attributes["gen_ai.request.model"] for point in points} == {"gpt-5", "gpt-5-mini"}
        assert {point.attributes["gen_ai.provider.name"] for point in points} == {"anthropic"}
    took = collected.points("gen_ai.client.operation.duration")
    assert sum(p.count for p in took if p.attributes["gen_ai.operation.name"] == "chat") == len(called)
    assert sum(p.count for p in took if "error.type" in p.attributes) == 2 + sum("error" in data for data in called)
    assert took[0].explicit_bounds[0] == 0.01


def test_a_run_that_failed_leaves_no_open_span(collected: Collected) -> None:
    with collected.listener() as listener:
        for event in list(lively(8))[:4]:
            listener(event)
    assert [span.name for span in collected.spans if span.status.status_code == StatusCode.ERROR] == [
        "invoke_agent divebell",
        "execute_tool python",
    ]


class Slow(SpanExporter):
    """An exporter whose backend does not answer."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.go.wait(300)
        raise RuntimeError("the backend is down")


def test_an_exporter_that_hangs_and_fails_does_not_touch_the_run() -> None:
    slow = Slow()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(slow))
    listener = OpenTelemetryListener(tracer_provider=tracers, meter_provider=MeterProvider())
    root = ScriptedModel("root", ["```repl\nprint(1)\n```", "FINAL(done)"])
    assert RLM(root, on_event=listener).run("hay", "where?").answer == "done"
    assert not slow.go.is_set()
    slow.go.set()
    listener.close()


def test_events_with_nothing_in_them_are_fine(collected: Collected) -> None:
    with collected.listener() as listener:
        for kind in ("run", "reply", "code", "call", "tool", "cell", "child", "limit"):
            listener(make_event(kind))
        listener(Novelty(novelty=None))
        listener(make_event("answer"))
    assert listener.problem is None
    assert {span.name for span in collected.spans} == {
        "invoke_agent divebell",
        "chat",
        "execute_tool python",
        "execute_tool ",
    }


@pytest.mark.slow
def test_without_the_extra_traces_work_and_the_listener_says_what_to_install(alone: Any) -> None:
    script = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import divebell.trace, divebell.cli.trace
try:
    import divebell.trace.otel
except divebell.ConfigurationError as error:
    print(error)
"""
    assert alone(script) == "OpenTelemetry is not installed: pip install 'divebell[otel]'\n"


@pytest.mark.parametrize("content", [False, True])
def test_a_run_that_raised_is_an_error_without_its_text(collected: Collected, content: bool) -> None:
    def fails(request: ModelRequest) -> str:
        raise ModelError("SECRET detail")

    with collected.listener(content=content) as listener, pytest.raises(ModelError):
        RLM(ScriptedModel("root", fails), on_event=listener).run("hay", "where?")
    [span] = [span for span in collected.spans if span.name == "invoke_agent divebell"]
    assert span.status.status_code == StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ModelError"
    assert ("SECRET" in str(span.to_json())) is content


def test_spans_have_the_runs_id_and_what_the_application_said_of_it(collected: Collected) -> None:
    with collected.listener() as listener:
        rlm = RLM(ScriptedModel("root", ["FINAL(1)"]), on_event=listener, metadata={"customer": "acme"})
        result = rlm.run("c", "q", metadata={"request": "7"})
    [span] = [span for span in collected.spans if span.name.startswith("invoke_agent")]
    attributes = dict(span.attributes or {})
    assert attributes["divebell.run_id"] == result.run_id
    assert (attributes["divebell.metadata.customer"], attributes["divebell.metadata.request"]) == ("acme", "7")
