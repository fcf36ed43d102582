"""Values from a model: their bounds, their JSON, how they are read from a text, and how a sentence quotes them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divebell.bounds import MAX_ANSWER_NESTING
from divebell.errors import AnswerError
from divebell.schemas import values
from divebell.schemas.values import Size, as_json, measure, parse_json, path_of, problem_line, quote_value
from divebell.text import printable
from tests.support.names import name_value

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=12,
)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (None, Size(1, 0)),
        ("three", Size(1, 5)),
        (b"12", Size(1, 2)),
        ([1, 2, 3], Size(4, 0)),
        ({"key": "value"}, Size(3, 8)),  # the dict, its key and its value
        (("ab", [("c",)]), Size(5, 3)),
    ],
    ids=name_value,
)
def test_a_size_counts_values_keys_and_characters(value: object, size: Size) -> None:
    assert measure(value) == size


def test_nesting_is_bounded() -> None:
    assert measure(nested(MAX_ANSWER_NESTING)).parts == MAX_ANSWER_NESTING
    with pytest.raises(AnswerError, match="nested more than 64 deep"):
        measure(nested(MAX_ANSWER_NESTING + 1))


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(AnswerError, match="nested"):
        measure(endless)


def test_the_number_of_values_is_bounded_however_they_are_shared() -> None:
    """A few lists that hold each other many times over stand for more values than there is memory."""
    measure([0] * (values.MAX_PARTS - 1))
    with pytest.raises(AnswerError, match="too large"):
        measure([0] * values.MAX_PARTS)
    shared: list[object] = [0] * 100
    for _ in range(20):
        shared = [shared] * 100
    with pytest.raises(AnswerError, match="too large"):
        measure(shared)


def test_characters_are_bounded_over_the_whole_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAX_CHARACTERS", 10)
    measure(["12345", b"12345"])
    with pytest.raises(AnswerError, match="too large"):
        measure(["12345", b"123456"])


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({1, 2}, "set is not plain data"),
        ([object()], "object is not plain data"),
        ({"x": 1j}, "complex is not plain data"),
        (2**4096, "an integer has more than 4,096 bits"),
        (-(2**4096), "an integer has more than 4,096 bits"),
        (type("Text", (str,), {})("a subclass may do anything"), "Text is not plain data"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else type(value).__name__,
)
def test_what_is_not_plain_data_is_refused(value: object, error: str) -> None:
    with pytest.raises(AnswerError, match=error):
        measure(value)


@given(JSON)
def test_json_is_itself(value: object) -> None:
    assert as_json(value) == value
    assert parse_json(json.dumps(value)) == value


def test_tuples_and_bytes_become_what_json_has() -> None:
    assert as_json({"rows": ((1, 2), ()), "name": "Zoë".encode()}) == {"rows": [[1, 2], []], "name": "Zoë"}


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({1: "x"}, "the key 1 is not a string"),
        ([b"\xff"], "bytes that are not UTF-8 are not JSON"),
        (float("inf"), "inf is not a JSON number"),
        ({"x": [float("nan")]}, "nan is not a JSON number"),
    ],
    ids=name_value,
)
def test_what_json_cannot_hold_is_refused(value: object, error: str) -> None:
    with pytest.raises(AnswerError, match=error):
        as_json(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('  {"a": [1, 2.5, null]}  ', {"a": [1, 2.5, None]}),
        ("None", None),
        ("True", True),
        ("```json\n[1]\n```", [1]),
        ("Here it is:\n```\n[1]\n```\nDone.", [1]),
        ("  ```json5\n  [1]\n  ```", [1]),
        ('The answer is {"a": 1}, I think.', {"a": 1}),
        ("{'a': (1, {2}), 'b': True}", {"a": [1, [2]], "b": True}),
        ("{3, 1, 2}", [3, 1, 2]),
        ("```json\nnot json\n```\nbut [7] is", [7]),
    ],
)
def test_a_value_is_read_from_what_models_write(text: str, value: object) -> None:
    assert parse_json(text) == value


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "not JSON"),
        ("nothing of the kind", "it begins with 'nothing of the kind'"),
        ("[1, Infinity]", "Infinity is not a JSON number"),
        ("{'a': __import__('os')}", "not JSON"),
        ("[x for x in range(9)]", "not JSON"),
        ("[" * 50_000, "nested too deep"),
        ("1" * 5_000, "not JSON"),
    ],
    ids=lambda text: text[:24],
)
def test_a_text_without_a_value_is_refused(text: str, error: str) -> None:
    with pytest.raises(AnswerError, match=error):
        parse_json(text)


def test_a_text_that_is_too_long_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAX_CHARACTERS", 10)
    assert parse_json("[1, 2, 33]") == [1, 2, 33]
    with pytest.raises(AnswerError, match="11 characters; at most 10 are read"):
        parse_json("[1, 2, 333]")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a 'word'", "\"a 'word'\""),
        ("x" * 61, repr("x" * 60) + "..."),
        (b"\x00", "b'\\x00'"),
        ([1] * 1_000, "a list of 1,000"),
        ({}, "an empty object"),
        ({"a": 1, "b": 2}, "an object with 'a', 'b'"),
        (dict.fromkeys("abcdefg"), "an object with 'a', 'b', 'c', 'd', 'e', ..."),
        (None, "null"),
        (True, "true"),
        (2.5, "2.5"),
        (2**300, "an integer of 301 bits"),
        (object(), "a object"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_sentence_quotes_a_value_in_a_few_words(value: object, text: str) -> None:
    assert quote_value(value) == text


@given(st.text(st.characters(exclude_categories=()), max_size=100))
def test_any_text_is_printed_on_one_line(text: str) -> None:
    for quoted in (printable(text), quote_value(text), path_of([text, 0, text])):
        assert quoted.isprintable()
        quoted.encode()


def test_a_problem_says_where_it_is() -> None:
    assert path_of(["rows", 3, "name"]) == "rows[3].name"
    assert path_of([0, 1]) == "[0][1]"
    assert path_of([]) == ""
    assert path_of([1] * 1_000) == "[1]" * 20
    assert problem_line("rows[3]", "missing") == "rows[3]: missing"
    assert problem_line("", "missing") == "missing"
