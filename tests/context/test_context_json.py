"""JSON and JSON Lines as contexts: their data, or one sentence that says where it is wrong."""

import sys
from pathlib import Path

import pytest

from divebell import Context, ContextError, Sandbox
from divebell.context.kinds import json_files


def contents(context: Context) -> object:
    with Sandbox(context) as box:
        return box["context"]


def write(folder: Path, name: str, text: str | bytes) -> Path:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / name


def test_json_is_its_data(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "data.json",
        '{"rows": [{"id": 1, "text": "%s", "x": [1.5, null, true, -99999999999999999999999]}]}' % ("é" * 5000),
    )
    for context in (Context.of(path), Context.from_json(path), Context.from_json(str(path))):
        assert contents(context) == {
            "rows": [{"id": 1, "text": "é" * 5000, "x": [1.5, None, True, -99999999999999999999999]}]
        }
        assert context.notes == ("'data.json' was read as JSON",)
        assert context.item("rows").item(0).item("text").length == 5000


def test_json_lines_are_a_list_of_records(tmp_path: Path) -> None:
    text = '{"a": 1}\n\n  \n{"a": "x\\u2028y\u2028z"}\r\n[1, 2]\n"text"\n3'
    for name in ("rows.jsonl", "rows.ndjson", "ROWS.JSONL"):
        context = Context.of(write(tmp_path, name, text))
        assert contents(context) == [{"a": 1}, {"a": "x\u2028y\u2028z"}, [1, 2], "text", 3]
        assert context.notes == (f"'{name}' was read as JSON Lines: a list of 5 records",)


def test_a_json_file_can_be_read_as_text(tmp_path: Path) -> None:
    path = write(tmp_path, "data.json", "[1, 2]")
    assert contents(Context.of(path, as_text=True)) == contents(Context.from_file(path)) == "[1, 2]"


def test_a_json_text_is_a_text_and_a_number_is_no_context(tmp_path: Path) -> None:
    assert contents(Context.of(write(tmp_path, "a.json", '"only text"'))) == "only text"
    for value, name in (("5", "a number"), ("1.5", "a number"), ("null", "null"), ("true", "true or false")):
        with pytest.raises(ContextError, match=f"a.json holds {name}; a context is"):
            Context.of(write(tmp_path, "a.json", value))


def test_other_encodings_of_json_are_read_and_said(tmp_path: Path) -> None:
    context = Context.of(write(tmp_path, "a.json", '{"a": "Größe"}'.encode("utf-16")))
    assert contents(context) == {"a": "Größe"}
    assert context.notes[0] == "'a.json' is not UTF-8: read as UTF-16-LE"
    assert contents(Context.of(write(tmp_path, "a.json", '{"a": 1}'.encode("utf-8-sig")))) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON at line 1, column 1"),
        ('{"a": 1,\n "b": }', "is not JSON at line 2, column 7"),
        ("{'a': 1}", "is not JSON at line 1, column 2"),
        ('{"a": 1} x', "is not JSON at line 1, column 10: Extra data"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ("[-Infinity]", "-Infinity is not a JSON number"),
        ("[1e999]", "1e999 is beyond the range of a float"),
        ("[" + "7" * 5000 + "]", "an integer has 5,000 digits, and may have 4,300"),
        ('{"a": 1, "b": 2, "a": 3}', "an object has the key 'a' twice"),
        ('{"x": {"a\\n\\u001b": 1, "a\\n\\u001b": 3}}', r"an object has the key 'a\n\x1b' twice"),
        ("[" * 100 + "]" * 100, "nests too deep"),
        ("[" * 200_000 + "]" * 200_000, "nests too deep"),
        ('{"a":' * 200_000, "nests too deep"),
        ("[" * 2_000_000, "nests too deep"),
    ],
)
def test_hostile_json_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ContextError) as raised:
        Context.of(write(tmp_path, "bad.json", text))
    sentence = str(raised.value)
    assert says in sentence
    assert sentence.startswith("'bad.json'")
    assert sentence.endswith("read it as text with Context.of(path, as_text=True)")
    assert sentence.isprintable()
    assert len(sentence) < 300


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 3, column 2"),
        ("NaN", "line 3,"),
        ('{"a":1,"a":2}', "line 3,"),
        ("[" * 100_000, "line 3,"),
        ("\x1b", "line 3, column 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(ContextError) as raised:
        Context.of(write(tmp_path, "rows.jsonl", '{"ok": 1}\n\n' + line + '\n{"ok": 2}\n'))
    assert says in str(raised.value)
    assert str(raised.value).isprintable()


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "MAX_JSON_BYTES", 100)
    monkeypatch.setattr(json_files, "MAX_LINES", 10)
    with pytest.raises(ContextError, match="has 101 bytes, and JSON may have 100: read it as text"):
        Context.of(write(tmp_path, "a.json", "[" + " " * 99 + "]"))
    with pytest.raises(ContextError, match="has over 10 lines, the most that JSON Lines may have"):
        Context.of(write(tmp_path, "a.jsonl", "1\n" * 11))
    assert contents(Context.of(write(tmp_path, "a.jsonl", "1\n" * 10))) == [1] * 10


def test_deep_json_is_refused_even_where_the_recursion_limit_was_raised(tmp_path: Path) -> None:
    """CPython 3.11 guards its C parser with that limit alone."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        with pytest.raises(ContextError, match=r"nests too deep|nested more than"):
            Context.of(write(tmp_path, "a.json", "[" * 300_000 + "]" * 300_000))
    finally:
        sys.setrecursionlimit(before)
