"""Events to callbacks, to a stream, and to a trace file; none of which slows or breaks a run."""

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from divebell import RLM, ConfigurationError, Event, ModelError, ModelRequest, ScriptedModel
from divebell.trace import read_trace
from tests.support.scripts import block

KINDS = ["run", "reply", "code", "call", "cell", "reply", "answer"]


def rlm(**options: Any) -> RLM:
    root = ScriptedModel("root", [block("x = llm_query('SECRET prompt')"), "FINAL_VAR(x)"] * 3)
    return RLM(root, ScriptedModel("sub", lambda request: "SECRET reply"), **options)


def kinds(events: "list[Event]") -> list[str]:
    return [event.kind for event in events if event.kind in KINDS][: len(KINDS)]


def test_a_stream_gives_every_event_and_ends() -> None:
    async def collect() -> list[Event]:
        return [event async for event in rlm().stream("c", "q")]

    events = asyncio.run(collect())
    assert kinds(events)[:6] == KINDS[:6]
    assert events[-1].kind == "answer"
    assert events[-1].data["answer"] == "SECRET reply"


def test_a_stream_raises_what_ended_the_run() -> None:
    async def collect() -> None:
        async for _ in RLM(ScriptedModel("root", [])).stream("c", "q"):
            pass

    with pytest.raises(ModelError):
        asyncio.run(collect())


def test_leaving_a_stream_ends_the_run() -> None:
    calls = 0

    async def policy(request: ModelRequest) -> str:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        return block("print(1)")

    async def leave() -> int:
        stream = RLM(ScriptedModel("root", policy), max_iterations=1000).stream("c", "q")
        async for event in stream:
            if event.kind == "cell":
                break
        await stream.aclose()
        before = calls
        await asyncio.sleep(0.1)
        return calls - before

    assert asyncio.run(leave()) == 0


def test_a_listener_that_raises_keeps_nothing_from_the_others(tmp_path: Path) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError("broken")

    result = rlm(on_event=broken, trace="full", trace_folder=tmp_path).run("c", "q")
    assert result.trace_file is not None
    assert {event.kind for event in read_trace(result.trace_file).events} >= set(KINDS)


def test_each_run_has_a_trace_of_its_own_for_its_owner_alone(tmp_path: Path) -> None:
    traced = rlm(trace="full", trace_folder=tmp_path / "traces")
    first, second = traced.run("c", "q").trace_file, traced.run("c", "q").trace_file
    assert first is not None
    assert second is not None
    assert first != second
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert "SECRET reply" in first.read_text()


def test_a_redacted_trace_has_no_bodies_and_off_makes_no_file(tmp_path: Path) -> None:
    redacted = rlm(trace="redacted", trace_folder=tmp_path).run("the context", "the SECRET question").trace_file
    assert redacted is not None
    assert "SECRET" not in redacted.read_text()
    assert rlm(trace_folder=tmp_path / "none").run("c", "q").trace_file is None
    assert not (tmp_path / "none").exists()


def test_a_trace_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'full', 'redacted' or 'off'"):
        rlm(trace="everything")


def test_a_key_is_in_no_trace_whoever_wrote_it_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment-0123456789")
    leaking = ScriptedModel("root", [block("print('sk-environment-0123456789')"), "FINAL(1)"])
    file = RLM(leaking, trace="full", trace_folder=tmp_path).run("c", "q").trace_file
    assert file is not None
    assert "sk-environment" not in file.read_text()
