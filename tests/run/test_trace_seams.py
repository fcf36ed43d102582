"""Attacks on where traces meet the rest: a guest's text as a fact, keys that come back from an endpoint, runs that end
without an answer, folders that cannot be, a disk that is slow."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from divebell import RLM, Budget, BudgetExceeded, ConfigurationError, Event, ModelError, ModelRequest, ScriptedModel
from divebell.errors import TraceError
from divebell.models import OpenAIChatModel
from divebell.models.protocol import Completion
from divebell.trace import TraceWriter, read_trace
from tests.support.scripts import block

KEY = "local-key-0123456789"


def only_file(folder: Path) -> Path:
    [file] = folder.glob("*.jsonl")
    return file


@pytest.mark.parametrize("level", ["redacted", "full"])
def test_a_tools_name_that_a_guest_made_up_smuggles_nothing_into_a_redacted_trace(level: Any, tmp_path: Path) -> None:
    code = (
        "from divebell_guest import door\n"
        "print(door.ask('tool', name='SECRET_' + context, arguments=[], keyword_arguments={}))\n"
        "print(known())"
    )
    root = ScriptedModel("root", [block(code), "FINAL(1)"])
    rlm = RLM(root, tools={"known": lambda: "fine"}, trace=level, trace_folder=tmp_path)
    result = rlm.run("hay", "q")
    assert "no tool 'SECRET_hay'" in result.turns[0].cells[0].stdout
    assert result.trace_file is not None
    assert ("SECRET" in result.trace_file.read_text()) is (level == "full")
    told = [event.data["name"] for event in read_trace(result.trace_file).events if event.kind == "tool"]
    assert told == ["unknown", "known"]


@pytest.mark.parametrize("level", ["redacted", "full"])
@pytest.mark.parametrize("secret", [4_711_000_815, 4711.25, True])
def test_a_number_that_a_tool_returned_or_was_given_is_in_no_redacted_trace(
    secret: object, level: Any, tmp_path: Path
) -> None:
    root = ScriptedModel("root", [block("look(look(0), more=look(0))"), "FINAL(1)"])
    tools = {"look": lambda first, more=None: secret}
    result = RLM(root, tools=tools, trace=level, trace_folder=tmp_path).run("hay", "q")
    assert result.trace_file is not None
    told = [event.data for event in read_trace(result.trace_file).events if event.kind == "tool"]
    assert len(told) == 3
    assert all(isinstance(data["result"], str) is (level == "full") for data in told)
    if secret is not True:
        assert (str(secret) in result.trace_file.read_text()) is (level == "full")


@pytest.mark.parametrize("key", ["EMPTY", "none", "ollama"])
def test_what_endpoints_without_keys_are_told_breaks_no_traced_run(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    rlm = RLM(ScriptedModel("root", ["FINAL(EMPTY none ollama)"]), api_key=key, trace="full", trace_folder=tmp_path)
    result = rlm.run("hay", "q")
    assert result.trace_file is not None
    assert "EMPTY none ollama" in result.trace_file.read_text()


class Echoing(OpenAIChatModel):
    """An endpoint that says back what key it was sent."""

    async def complete(self, request: ModelRequest) -> Completion:
        return Completion(text=f"FINAL({KEY})")


@pytest.mark.parametrize("place", ["model", "sub_model", "models"])
def test_a_key_of_a_model_that_its_endpoint_says_back_is_in_no_answer_or_trace(place: str, tmp_path: Path) -> None:
    hostile = Echoing("m", api_key=KEY, base_url="http://127.0.0.1:1/v1")
    call = "FINAL(llm_query('x', model='other'))" if place == "models" else "FINAL(llm_query('x'))"
    models: dict[str, Any] = {"model": ScriptedModel("root", [block(call)])}
    models[place] = {"other": hostile} if place == "models" else hostile
    result = RLM(**models, trace="full", trace_folder=tmp_path).run("hay", "q")
    assert result.answer == ("[secret]" if place == "model" else "FINAL([secret])")  # code gives a sub-reply as it is
    assert result.trace_file is not None
    assert KEY not in result.trace_file.read_text()


class Stuck:
    """A model that does not reply."""

    name = "stuck"

    async def complete(self, request: ModelRequest) -> Completion:
        await asyncio.sleep(60)
        raise AssertionError


async def cancelled(rlm: RLM) -> None:
    begun = asyncio.create_task(rlm.arun("hay", "q"))
    await asyncio.sleep(0.3)
    begun.cancel()
    with pytest.raises(asyncio.CancelledError):
        await begun


async def out_of_time(rlm: RLM) -> None:
    with pytest.raises(BudgetExceeded):
        await rlm.arun("hay", "q")


@pytest.mark.parametrize(("ends", "seconds"), [(cancelled, None), (out_of_time, 0.3)])
def test_a_run_that_is_cut_off_says_so_in_its_last_event_and_so_do_its_children(
    ends: Callable[[RLM], Awaitable[None]], seconds: float | None, tmp_path: Path
) -> None:
    root = ScriptedModel("root", [block("rlm_query('child')")])
    events: list[Event] = []
    rlm = RLM(
        root, Stuck(), budget=Budget(seconds=seconds), on_exhausted="raise",
        trace="full", trace_folder=tmp_path, on_event=events.append,
    )  # fmt: skip
    asyncio.run(ends(rlm))  # type: ignore[arg-type]
    answers = [(event.path, event.data["status"]) for event in events if event.kind == "answer"]
    assert answers == [("0.1", "failed"), ("0", "failed")]
    assert events[-1].kind == "answer"
    assert read_trace(only_file(tmp_path)).complete
    assert [event.kind for event in read_trace(only_file(tmp_path)).events][-2:] == ["answer", "end"]


def test_calls_that_were_in_flight_when_a_run_was_cut_off_are_in_its_trace(tmp_path: Path) -> None:
    root = ScriptedModel("root", [block("llm_query_batched(['one', 'two'])")])
    asyncio.run(cancelled(RLM(root, Stuck(), trace="full", trace_folder=tmp_path)))
    events = read_trace(only_file(tmp_path)).events
    calls = [event.data for event in events if event.kind == "call"]
    assert sorted(call["prompt"] for call in calls) == ["one", "two"]
    assert {call["error_type"] for call in calls} == {"CancelledError"}
    assert [event.kind for event in events][-2:] == ["answer", "end"]


def test_a_fault_of_the_host_too_ends_a_trace_with_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("divebell.run.run.Sandbox", broken)
    with pytest.raises(MemoryError):
        RLM(ScriptedModel("root", []), trace="full", trace_folder=tmp_path).run("hay", "q")
    told = [event for event in read_trace(only_file(tmp_path)).events if event.kind == "answer"]
    assert [event.data["error_type"] for event in told] == ["MemoryError"]


@pytest.mark.parametrize("below", ["file", "file/sub", "nul\0"])
def test_a_trace_folder_that_cannot_be_is_one_clear_error(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    rlm = RLM(ScriptedModel("root", ["FINAL(1)"]), trace="full", trace_folder=tmp_path / below)
    with pytest.raises(TraceError, match=r"trace_folder .* cannot be created"):
        rlm.run("hay", "q")


def test_a_trace_folder_that_is_no_path_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="trace_folder must be the path of a folder"):
        RLM(ScriptedModel("root", []), trace="full", trace_folder=None)  # type: ignore[call-overload]


def test_a_slow_disk_at_the_end_of_a_run_does_not_hold_up_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops_own: list[bool] = []

    def slow(self: TraceWriter, seconds: float = 10.0) -> None:
        try:
            asyncio.get_running_loop()
            loops_own.append(True)
        except RuntimeError:
            loops_own.append(False)
        close(self, seconds)

    close = TraceWriter.close
    monkeypatch.setattr(TraceWriter, "close", slow)
    rlm = RLM(ScriptedModel("root", ["FINAL(1)"]), trace="full", trace_folder=tmp_path)
    rlm.run("hay", "q")
    assert loops_own == [False]


@pytest.mark.slow
def test_a_stream_that_is_left_after_its_run_failed_complains_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    async def leave() -> None:
        stream = RLM(ScriptedModel("root", [])).stream("hay", "q")
        async for event in stream:
            if event.kind == "answer":
                await asyncio.sleep(0.05)
                break
        await stream.aclose()
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(leave())
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_two_streams_of_one_rlm_at_once_get_their_own_events() -> None:
    async def policy(request: ModelRequest) -> str:
        await asyncio.sleep(0.01)
        return f"FINAL({'one' if 'QUERY-1' in str(request.messages) else 'two'})"

    rlm = RLM(ScriptedModel("root", policy))

    async def follow(query: str, pause: float) -> list[Event]:
        events = []
        async for event in rlm.stream("hay", query):
            events.append(event)
            await asyncio.sleep(pause)
        return events

    async def both() -> list[list[Event]]:
        return list(await asyncio.gather(follow("QUERY-1", 0.0), follow("QUERY-2", 0.02)))

    one, two = asyncio.run(both())
    assert [events[0].data["query"] for events in (one, two)] == ["QUERY-1", "QUERY-2"]
    assert [events[-1].data["answer"] for events in (one, two)] == ["one", "two"]
    assert {event.kind for event in one} == {event.kind for event in two}


def test_a_run_whose_model_failed_is_told_with_nothing_of_the_errors_text_where_redacted(tmp_path: Path) -> None:
    def fails(request: ModelRequest) -> str:
        raise ModelError("SECRET detail")

    with pytest.raises(ModelError):
        RLM(ScriptedModel("root", fails), trace="redacted", trace_folder=tmp_path).run("hay", "q")
    assert "SECRET" not in only_file(tmp_path).read_text()
    assert read_trace(only_file(tmp_path)).complete
