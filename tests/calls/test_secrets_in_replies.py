"""An endpoint that says its key back, and a model of the application's own that has a key: in no answer, error, event,
trace or journal; and a replay of such a run is the same."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

from divebell import RLM, Completion, ModelError, ModelRequest, Usage
from divebell.testing import replay

KEY = "own-0a1b2c3d4e5f6a7b8c9d"


class Telling:
    """A model of an application's own, whose endpoint repeats the key in every form."""

    name = "own"
    secrets = (KEY,)

    def __init__(self, *replies: "str | ModelError | Exception") -> None:
        self._replies = list(replies)

    async def complete(self, request: ModelRequest) -> Completion:
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        calls = ({"type": "function", "function": {"name": "x", "arguments": KEY}},)
        return Completion(text=reply, usage=Usage(input_tokens=5, output_tokens=5), tool_calls=calls)


def everything_in(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def test_a_key_that_is_said_back_is_in_nothing_that_is_kept_and_the_run_repeats(tmp_path: Path) -> None:
    encoded = b64encode(KEY.encode()).decode()
    events: list[str] = []
    model = Telling(f"```repl\nprint('{KEY}')\n```", f"FINAL(the key is {KEY}, or {encoded}, or {KEY[:14]}...)")
    rlm = RLM(model, trace="full", trace_folder=tmp_path / "traces", on_event=lambda event: events.append(repr(event)))
    journal = tmp_path / "run.journal"
    result = rlm.run("a context", "what is the key?", journal=journal)
    assert result.answer == "the key is [secret], or [secret], or [secret]..."
    for text in (everything_in(tmp_path), "".join(events), repr(result)):
        assert KEY not in text
        assert KEY[:14] not in text
        assert encoded[:20] not in text
    assert "[secret]" in everything_in(tmp_path)
    assert replay(journal, context="a context").answer == result.answer


@pytest.mark.parametrize(
    "failure",
    [
        ModelError(f"the endpoint refused {KEY}"),
        ValueError(f"a bad header: Bearer {KEY}"),
        ModelError(f"masked {KEY[:13]}***"),
    ],
)
def test_a_key_is_in_no_error(failure: Exception, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        RLM(Telling(failure), trace="full", trace_folder=tmp_path).run(
            "a context", "why?", journal=tmp_path / "journal"
        )
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY[:13] not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__
    assert KEY[:13] not in everything_in(tmp_path)


def test_a_sub_call_that_fails_with_the_key_tells_the_guest_nothing_of_it() -> None:
    code = "try:\n    llm_query('x')\nexcept Exception as error:\n    FINAL(str(error))"
    model = Telling(f"```repl\n{code}\n```", ModelError(json.dumps({"sent": f"Bearer {KEY}"})))
    answer = RLM(model).run("a context", "why?").answer
    assert "Bearer [secret]" in answer
    assert KEY not in answer
