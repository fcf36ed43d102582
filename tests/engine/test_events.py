"""Events: a class for each kind, whose fields a listener reads, and one record of them for whatever forwards events."""

from typing import Any

import pytest

import divebell
from divebell import RLM, Event, ModelError, ModelRequest, ScriptedModel, events
from divebell.events import (
    CallEnded,
    CellEnded,
    CellStarted,
    ChildEnded,
    RootReplied,
    RunEnded,
    RunStarted,
    ToolEnded,
)

CODE = """```repl
print(lookup("a", deep=True), llm_query("one"), rlm_query("three", context="small"))
try:
    fails()
except ToolError:
    pass
try:
    llm_query("broken")
except ModelError:
    pass
```"""


def played() -> list[Event]:
    """The events of a run in which everything happens once, and a tool and a sub-call fail."""

    def sub(request: ModelRequest) -> str:
        if "broken" in str(request.messages):
            raise ModelError("the endpoint says no")
        return "FINAL(deep)" if request.messages[0]["role"] == "system" else "plain"

    def fails() -> None:
        raise LookupError("no such item")

    seen: list[Event] = []
    tools: dict[str, Any] = {"lookup": lambda name, deep: None, "fails": fails}
    RLM(ScriptedModel("root", [CODE, "FINAL(done)"]), ScriptedModel("sub", sub), tools=tools, on_event=seen.append).run(
        "hay", "where?", metadata={"customer": "acme"}
    )
    return seen


def of(seen: list[Event], kind: type[Event]) -> list[Any]:
    return [event for event in seen if type(event) is kind]


def test_a_listener_reads_fields_by_class() -> None:
    seen = played()
    assert (of(seen, RunStarted)[0].query, of(seen, RunStarted)[0].model) == ("where?", "root")
    assert of(seen, RootReplied)[0].usage.output_tokens > 0
    assert {event.code for event in of(seen, CellStarted)} == {event.code for event in of(seen, CellEnded)}
    assert all(event.cell.ok for event in of(seen, CellEnded))
    looked_up, failed = of(seen, ToolEnded)
    assert (looked_up.name, looked_up.arguments, looked_up.keyword_arguments) == ("lookup", ["a"], {"deep": True})
    assert (looked_up.result, looked_up.error) == (None, None)
    assert (failed.name, failed.error_type) == ("fails", "ToolError")
    answered, broken = of(seen, CallEnded)
    assert (answered.reply, answered.usage.finish_reason, answered.error) == ("plain", "stop", None)
    assert (broken.reply, broken.usage, broken.error, broken.error_type) == (
        None, None, "the endpoint says no", "ModelError",
    )  # fmt: skip
    assert [(child.number, child.answer, child.status) for child in of(seen, ChildEnded)] == [(1, "deep", "answered")]
    assert type(seen[-1]) is RunEnded
    assert (seen[-1].answer, seen[-1].status, seen[-1].stopped_by) == ("done", "answered", None)
    assert {event.metadata["customer"] for event in seen} == {"acme"}


def test_a_record_has_what_applies_and_nothing_else() -> None:
    seen = played()
    looked_up, failed = of(seen, ToolEnded)
    assert looked_up.to_record()["result"] is None, "a tool that returned None has a result"
    assert "error" not in looked_up.to_record()
    assert "result" not in failed.to_record()
    answered, broken = of(seen, CallEnded)
    assert answered.to_record()["input_tokens"] == answered.usage.input_tokens, "usage is laid out flat"
    assert not {"input_tokens", "usage", "reply"} & broken.to_record().keys()
    assert of(seen, RunEnded)[-1].to_record()["stopped_by"] is None


def test_data_is_the_record_and_cannot_be_changed() -> None:
    event = played()[-1]
    assert dict(event.data) == event.to_record()
    assert event.data["answer"] == "done"
    with pytest.raises(TypeError):
        event.data["answer"] = "another"  # type: ignore[index]


def test_the_text_of_an_event_says_nothing_of_its_bodies() -> None:
    assert "where?" not in "".join(map(repr, played()))


def test_every_kind_is_one_class_that_is_exported_and_in_the_module_s_table() -> None:
    classes: list[Any] = [made for made in vars(events).values() if isinstance(made, type) and made.__base__ is Event]
    assert len({made.kind for made in classes}) == len(classes) == 9
    for made in classes:
        assert made.__name__ in events.__all__
        assert f'| {made.__name__} | "{made.kind}" |' in (events.__doc__ or "")
    assert divebell.Event is Event
