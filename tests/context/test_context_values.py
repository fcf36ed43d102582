"""Lists, dicts and records as contexts: the same in the guest as on the host, their long texts shared and not copied."""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divebell import Context, ContextError, Engine, Limits, Sandbox
from divebell.context import layout
from tests.support.forgery import FORGE
from tests.support.names import name_value

PAGE = 4096
KINDS = {"ascii": "a", "latin1": "é", "ucs2": "漢", "ucs4": "🤿"}


def documents(count: int = 40, length: int = 3000) -> list[str]:
    """Of every kind and of lengths around pages, the kinds in turn."""
    return [(list(KINDS.values())[i % 4] + f"document {i} ") * ((length + i * 97) // 13) for i in range(count)]


def digests(texts: list[str]) -> list[str]:
    return [hashlib.sha256(text.encode()).hexdigest() for text in texts]


VALUES: dict[str, object] = {
    "list of texts": documents(),
    "dict of texts": {f"folder/{i}.md": text for i, text in enumerate(documents())},
    "records": [{"id": i, "score": i / 7, "ok": i % 2 == 0, "none": None, "text": text} for i, text in enumerate(documents())],
    "nested": {"a": [{"b": {"c": [text]}} for text in documents(9)], "d": [[["x" * 5000]], -(2**200), 2**63, b"\0"]},
    "bytes": [os.urandom(length) for length in (0, 10, 70_000, 65_536, 200_001)],
    "bytes and texts": [x for i in range(9) for x in ("text " * (300 + i), os.urandom(66_000 + i), {"k": "é" * 9000})],
    "the same text twice": ["again " * 1000] * 3,
    "surrogates": ["a\ud800\udc00" * 2000, "\udfff" * 3000, "x" * 2000 + "\ud800"],
    "short only": [1, "two", None, {"three": [4.0, True]}],
    "keys": {1: "one " * 500, None: "none " * 500, b"bytes": [], 2.5: {}, 0: "true " * 400},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", VALUES)
def test_a_value_arrives_as_it_is(name: str, engine: Engine) -> None:
    value = VALUES[name]
    with Sandbox(value, engine=engine) as box:  # type: ignore[arg-type]
        assert box["context"] == value
        box["same"] = value
        cell = box.run(
            "def types(x):\n"
            "    inner = x if type(x) is list else [*x.keys(), *x.values()] if type(x) is dict else []\n"
            "    return [type(x).__name__, *map(types, inner)]\n"
            "context == same and types(context) == types(same)"
        )
        assert cell.value is True, cell.error


@pytest.mark.slow
@pytest.mark.parametrize("name", VALUES)
def test_a_value_survives_a_crash_a_snapshot_and_a_fork(name: str, engine: Engine) -> None:
    value = VALUES[name]
    context = Context.of(value)  # type: ignore[arg-type]
    with Sandbox(context, engine=engine) as box:
        box.run(
            "def walk(x):\n"
            "    if type(x) in (str, bytes): yield x\n"
            "    elif type(x) is list:\n        for y in x: yield from walk(y)\n"
            "    elif type(x) is dict:\n        for y in x.values(): yield from walk(y)\n"
            "hashes = {x: hash(x) for x in walk(context)}\nkept = list(hashes)\n"
            "check = lambda: set(hashes) == set(walk(context)) and all(hash(x) == hashes[x] for x in walk(context))"
        )
        assert box.run("import os; os.abort()").restored
        assert box.run("check() and kept == list(hashes)").value is True
        assert box["context"] == value
        snapshot = box.snapshot()
        with Sandbox.restore(snapshot, context, engine=engine) as restored, box.fork() as twin:
            assert restored.run("check() and kept == list(hashes)").value is True
            assert twin.run("check() and kept == list(hashes)").value is True
            assert twin["context"] == restored["context"] == value


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.binary(max_size=30)
    | st.text(max_size=20)
    | st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=9), st.integers(1, 3000)),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9), inner, max_size=6),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.slow
@given(st.lists(plain_values, max_size=6) | st.dictionaries(st.text(max_size=9), plain_values, max_size=6))
@settings(max_examples=120)
def test_any_plain_value_arrives_as_it_is(value: object) -> None:
    with Sandbox(value) as box:  # type: ignore[arg-type]
        assert box["context"] == value


def test_a_tuple_is_a_list_and_subclasses_are_what_they_extend() -> None:
    class Text(str):
        __slots__ = ()

    class Record(dict):  # type: ignore[type-arg]
        pass

    with Sandbox([Record(a=Text("x" * 5000)), (1, Text("b"))]) as box:
        assert box["context"] == [{"a": "x" * 5000}, [1, "b"]]
        assert box.run("type(context[0]).__name__, type(context[0]['a']).__name__").value == ["dict", "str"]


def test_what_the_caller_changes_afterwards_does_not_reach_the_guest() -> None:
    rows = [{"text": "x" * 5000}]
    context = Context.of(rows)
    rows.append({})
    rows[0]["text"] = "y"
    with Sandbox(context) as box:
        assert box["context"] == [{"text": "x" * 5000}]


def test_one_guests_changes_of_its_lists_do_not_reach_another() -> None:
    context = Context.of({"rows": [{"text": text} for text in documents()]})
    with Sandbox(context) as one, Sandbox(context) as other:
        one.run("context['rows'].clear(); context['more'] = 1")
        assert other.run("len(context['rows']), list(context)").value == [40, ["rows"]]


@pytest.mark.parametrize("value", [{(1, 2): "a"}, {"a": {(1,): "b"}}], ids=name_value)
def test_a_key_that_is_not_plain_is_refused(value: object) -> None:
    with pytest.raises(ContextError, match="tuple cannot be a key"):
        Context.of(value)  # type: ignore[arg-type]


def test_nesting_is_bounded() -> None:
    value: object = []
    for _ in range(100):
        value = [value]
    with pytest.raises(ContextError, match="nested"):
        Context.of(value)  # type: ignore[arg-type]


def test_a_value_that_is_too_large_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MAX_CONTEXT_BYTES", 100_000)
    with pytest.raises(ContextError, match="split it into parts"):
        Context.of(["x" * 1000] * 100)
    Context.of(["x" * 1000] * 90)


@pytest.mark.slow
def test_a_value_that_does_not_fit_into_the_sandboxs_memory_says_so() -> None:
    with pytest.raises(ContextError, match="memory limit"):
        Sandbox([[i] for i in range(500_000)], limits=Limits(memory_bytes=4 << 20))


def private_kilobytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="smaps is Linux's")
def test_a_hundred_megabytes_of_documents_cost_each_sandbox_little_of_its_own() -> None:
    context = Context.of([f"{i:08d}" + "all work and no play " * 5000 for i in range(1000)])
    boxes = [Sandbox(context)]
    boxes[0].run("sum(map(len, context))")
    before = private_kilobytes()
    for _ in range(10):
        boxes.append(Sandbox(context))
        assert boxes[-1].run("sum(map(len, context)), len({hash(text) for text in context})").value == [
            105_008_000,
            1000,
        ]
    assert (private_kilobytes() - before) / 10 < 1500
    for box in boxes:
        box.close()


def test_long_texts_do_not_count_against_the_memory_limit() -> None:
    with Sandbox({"a": "x" * (60 << 20), "b": b"y" * (60 << 20)}, limits=Limits(memory_bytes=1 << 20)) as box:
        assert box.run("context['a'].count('x') + context['b'].count(b'y')").value == 120 << 20


def test_many_bytes_split_the_mapping_of_a_sandbox_only_so_often() -> None:
    value = [bytes([i % 256]) * 70_000 for i in range(200)]
    context = Context.of(value)
    assert context.shared is not None
    assert len(context.shared.bytes_at) == layout.MAX_SHARED_BYTES_OBJECTS
    with Sandbox(context) as box:
        assert box["context"] == value


@pytest.mark.slow
@pytest.mark.parametrize("target", ["context[3]", "context[38]", "context[39]"])
def test_a_write_into_a_shared_document_is_stopped(engine: Engine, target: str) -> None:
    context = Context.of([*documents(), b"z" * 100_000, "last " * 1000])
    expected = digests(documents())
    with Sandbox(context, engine=engine) as box, Sandbox(context, engine=engine) as neighbour:
        box.run(FORGE)
        box.run("def data(text): return words(id(text) + 28, 1)[0]")  # PyUnicodeObject.data
        for at in ("0", "1000", "len(" + target + ") - 1"):
            cell = box.run(f"forge(data({target}) + {at}, 1)[0] = 33")
            assert cell.error is not None
            assert cell.error.kind == "Crash", cell.error
        for one in (box, neighbour):
            assert (
                one.run("import hashlib\n[hashlib.sha256(d.encode()).hexdigest() for d in context[:40]]").value
                == expected
            )


def test_a_write_into_shared_bytes_is_stopped_and_one_into_their_header_stays_at_home(engine: Engine) -> None:
    context = Context.of([b"y" * 100_000, b"z" * 100_000])
    with Sandbox(context, engine=engine) as box, Sandbox(context, engine=engine) as neighbour:
        box.run(FORGE)
        for number in (0, 1):
            cell = box.run(f"forge(id(context[{number}]) + 16, 8)[0] = 0")
            assert cell.error is not None
            assert cell.error.kind == "Crash"
        assert box.run("words(id(context[1]) + 8, 1)[0] = 5\nlen(context[1])").value == 5
        assert neighbour.run("[len(b) for b in context], context[1].count(b'z')").value == [[100_000] * 2, 100_000]


def test_a_guest_that_misuses_the_maker_of_shared_texts_hurts_itself_only() -> None:
    context = Context.of(documents())
    with Sandbox(context) as box, Sandbox(context) as neighbour:
        box.run("import _divebell, struct, random")
        for code in (
            "_divebell.shared()",
            "_divebell.shared(2, 'text')",
            "_divebell.shared(2, b'')",
            "_divebell.shared(9, b'x' * 9)",
            "_divebell.shared(2, struct.pack('<BII', 5, 0, 1))",
            "_divebell.shared('2', b'x' * 9)",
        ):
            cell = box.run(code)
            assert cell.error is not None
            assert cell.error.kind in ("TypeError", "ValueError")
        for kind in range(5):
            box.run(f"x = _divebell.shared(2, struct.pack('<BII', {kind}, 0xFFFFFFF0, 0xFFFFFFFF)); x.count(x[:1])")
            box.run(f"x = _divebell.shared(2, struct.pack('<BII', {kind}, 0, 0x7FFFFFFF)); hash(x)")
        for one in (box, neighbour):
            assert one["context"] == documents()


@pytest.mark.parametrize("paths", [[Path("a.txt")], {"a": Path("a.txt")}, (Path("a.txt"), "text")], ids=name_value)
def test_paths_inside_of_a_value_are_refused_with_what_reads_them(paths: Any) -> None:
    with pytest.raises(
        ContextError, match=r"Path is not plain data.*Context\.from_paths\(\.\.\.\) reads several paths"
    ):
        Context.of(paths)
