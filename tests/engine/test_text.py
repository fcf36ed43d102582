"""Text made fit to be shown: nothing is longer than its limit, and nothing steers a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divebell.text import clip, clip_middle, flatten_and_clip_middle, printable, quote, quote_some, replace_controls

texts = st.text(max_size=60)


@given(texts, st.integers(0, 60))
def test_a_clipped_text_is_within_its_limit_and_begins_as_the_whole(text: str, limit: int) -> None:
    clipped = clip(text, limit)
    assert len(clipped) <= limit
    assert clipped == text or (clipped[:-1] == text[: max(limit - 1, 0)] and clipped.endswith("…"[:limit]))


@pytest.mark.parametrize(
    ("text", "limit", "clipped"),
    [("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd…"), ("abcdef", 1, "…"), ("abcdef", 0, ""), ("", 0, "")],
)
def test_the_mark_counts(text: str, limit: int, clipped: str) -> None:
    assert clip(text, limit) == clipped


def test_the_middle_is_left_out_and_counted() -> None:
    assert clip_middle("a" * 10, 10) == "a" * 10
    assert clip_middle("a" * 6 + "b" * 6, 4) == "aa\n[... 8 characters not shown ...]\nbb"


def test_one_line_with_its_middle_left_out_is_as_long_as_its_limit() -> None:
    line = flatten_and_clip_middle("Which  contract\nends first? " + "x" * 100 + " number 417", 40)
    assert len(line) == 40
    assert line.startswith("Which contrac")
    assert line.endswith("number 417")


@given(st.text())
def test_printable_is_printable_and_leaves_alone_what_is(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
    assert printable(text, replacement=" ").isprintable()
    assert len(printable(text, replacement=" ")) == len(text)


def test_escapes_are_pythons_own_and_lines_can_be_kept() -> None:
    assert printable("a\x1b[2J\n\u202e\ud800é") == r"a\x1b[2J\n\u202e\ud800é"
    assert printable("a\n\tb", keep="\n") == "a\n\\tb"


def test_a_terminal_is_not_steered_and_joiners_stay() -> None:
    assert replace_controls("a\x1b[2J\u202eb\r\nc\td\x9b") == "a\ufffd[2J\ufffdb\nc\td\ufffd"
    assert replace_controls("👩\u200d💻") == "👩\u200d💻"


def test_names_are_quoted() -> None:
    assert quote("it's\n") == '"it\'s\\n"'
    assert quote("n" * 100, 5) == "'nnnn…'"
    assert quote_some(["a", "b", "c"], 2) == "'a', 'b' and 1 more"
