"""What is sent of a run's messages: append-only, until they outgrow the window."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divebell.errors import ConfigurationError
from divebell.models.protocol import Message
from divebell.run.history import KEPT_FRACTION, LEAST_TURN_TOKENS, MAX_KEPT_TURNS, NOTHING, History

OPENING: list[Message] = [
    {"role": "system", "content": "You answer a question."},
    {"role": "user", "content": "The question: how many?"},
]
OPENING_TOKENS = 300  # with frames, and the note of a compaction


def with_turns(count: int, size: int = 1000) -> History:
    history = History(OPENING)
    for number in range(count):
        history.append("assistant", f"reply {number} " + "r" * size)
        history.append("user", f"output {number} " + "o" * size)
    return history


def test_nothing_is_left_out_below_the_limit() -> None:
    history = with_turns(3)
    assert not history.compact_if_needed(history.tokens)
    assert history.messages == history.full
    assert history.opening == 2


def test_the_oldest_turns_go_and_a_note_says_so() -> None:
    history = with_turns(20)
    assert history.compact_if_needed(history.tokens - 1)
    system, question, *rest = history.messages
    assert system == OPENING[0]
    assert str(question["content"]).startswith(str(OPENING[1]["content"]))
    assert f"[{history.turns_left_out} of your earlier turns are left out" in str(question["content"])
    assert "`history`" in question["content"]
    assert rest == history.full[-len(rest) :]
    assert len(rest) == 2 * (20 - history.turns_left_out)
    assert rest[0]["role"] == "assistant"


def test_roles_still_take_turns_afterwards() -> None:
    history = with_turns(20)
    history.compact_if_needed(10_000)
    roles = [message["role"] for message in history.messages[1:]]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]


def test_it_does_not_happen_again_soon() -> None:
    history = with_turns(20)
    limit = history.tokens - 1
    history.compact_if_needed(limit)
    assert history.tokens <= limit * KEPT_FRACTION
    assert not history.compact_if_needed(limit)


def test_turns_that_were_left_out_are_counted_together() -> None:
    history = with_turns(10)
    history.compact_if_needed(8_000)
    for _ in range(10):
        history.append("assistant", "r" * 1000)
        history.append("user", "o" * 1000)
    history.compact_if_needed(8_000)
    note = str(history.messages[1]["content"])
    assert note.count("left out") == 1
    assert f"[{history.turns_left_out} of" in note
    assert history.turns_left_out + (len(history.messages) - 2) / 2 == 20


def test_short_turns_are_kept_up_to_a_number() -> None:
    history = with_turns(1000, size=0)
    history.compact_if_needed(30_000)
    assert len(history.messages) == 2 + 2 * MAX_KEPT_TURNS


def test_a_last_turn_that_is_too_long_alone_is_shortened() -> None:
    history = with_turns(2)
    history.append("assistant", "look")
    history.append("user", "ä" * 50_000)
    assert history.compact_if_needed(10_000)
    assert history.tokens <= 10_000
    assert history.messages[-2]["content"] == "look"
    assert "characters not shown" in str(history.messages[-1]["content"])
    assert history.full[-1]["content"] == "ä" * 50_000


def test_what_the_provider_reported_counts_instead_of_bytes() -> None:
    history = with_turns(10)
    most = history.tokens
    history.observe(most // 4)
    assert history.tokens == most // 4
    history.append("assistant", "x" * 1000)
    assert most // 4 + 1000 < history.tokens < most // 4 + 1100
    assert not history.compact_if_needed(most // 2)


@pytest.mark.parametrize("report", [0, -1, 10**9])
def test_a_report_that_cannot_be_is_not_believed(report: int) -> None:
    history = with_turns(3)
    before = history.tokens
    history.observe(report)
    assert history.tokens == before


def test_images_count_and_stay_in_the_opening() -> None:
    history = History()
    history.append("user", [{"type": "image", "media_type": "image/png", "data": b"x"}, {"type": "text", "text": "?"}])
    assert history.tokens > 20_000
    for _ in range(20):
        history.append("assistant", "r" * 1000)
        history.append("user", "o" * 1000)
    assert history.compact_if_needed(60_000)
    kinds = [part["type"] for part in history.messages[0]["content"] if not isinstance(part, str)]
    assert kinds == ["image", "text", "text"]


def test_a_window_without_room_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no room"):
        with_turns(1).compact_if_needed(0)


def test_the_lists_given_out_are_the_callers_own() -> None:
    history = with_turns(1)
    history.messages.clear()
    history.full.clear()
    assert len(history.messages) == len(history.full) == 4


turns = st.lists(st.tuples(st.text(max_size=300), st.text(max_size=300), st.integers(1, 30)), max_size=25)


@settings(max_examples=200)
@given(turns, st.integers(OPENING_TOKENS + LEAST_TURN_TOKENS, 8_000), st.none() | st.floats(0.1, 1.0))
def test_what_holds_whatever_is_said(said: list[tuple[str, str, int]], limit: int, rate: float | None) -> None:
    history = History(OPENING)
    appended = list(OPENING)
    before = history.messages
    for reply, output, times in said:
        for role, given_content in (("assistant", reply * times), ("user", output * times)):
            history.append(role, given_content)
            content = given_content if given_content.strip() else NOTHING
            appended.append({"role": role, "content": content})
        compacted = history.compact_if_needed(limit)
        sent = history.messages
        assert compacted or sent[: len(before)] == before, "append-only between compactions"
        assert history.tokens <= limit
        assert history.full == appended
        assert sent[0] == OPENING[0]
        assert str(sent[1]["content"]).startswith(str(OPENING[1]["content"]))
        assert len(sent) == len(appended) - 2 * history.turns_left_out
        if rate is not None:
            history.observe(int(history.tokens * rate))
        before = history.messages
