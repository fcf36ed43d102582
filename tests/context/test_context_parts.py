"""Parts of a context: what Python's own slice or index gives, on the same pages, and nothing around it."""

import ctypes
import os
import random
from pathlib import Path
from typing import Any

import pytest

from divebell import Context, ContextError, Engine, Sandbox
from divebell.runtime.instance import Instance
from tests.support.forgery import FORGE

PAGE = 4096
TEXTS = {
    "ascii": "0123456789abcdef" * 6000,
    "latin1": "0123456789abcdéf" * 6000,
    "ucs2": "0123456789abcd漢é" * 6000,
    "ucs4": "0123456789ab漢🤿é\ud800" * 6000,
    "bytes": bytes(range(256)) * 400,
}
EDGES = [(0, PAGE), (PAGE, 2 * PAGE), (1, None), (None, -1), (PAGE - 1, PAGE * 3 + 1), (PAGE + 4, 60_000), (4, 20_000), (12, 30_000),
         (-50_000, -3), (4000, 90_000), (2 * PAGE - 16, 9 * PAGE), (2 * PAGE - 8, 9 * PAGE), (50_000, 200_000)]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", TEXTS)
def test_a_part_is_pythons_slice(kind: str, engine: Engine) -> None:
    whole = TEXTS[kind]
    context = Context.of(whole)
    for start, end in EDGES:
        part = context.part(start, end)
        assert (part.type_name, part.length) == (type(whole).__name__, len(whole[start:end]))
        with Sandbox(part, engine=engine) as box:
            assert box["context"] == whole[start:end], (start, end)
            box["same"] = whole[start:end]
            assert box.run("context == same and {same: 5}[context]").value == 5
            assert box.run("import os; os.abort()").restored
            assert box.run("context == same and hash(context) == hash(same)").value is True
            with box.fork() as twin:
                assert twin.run("context == same and context[:] == same").value is True


def test_a_part_of_a_part_is_the_part_of_the_whole() -> None:
    rng = random.Random(5)
    for whole in TEXTS.values():
        context, expected = Context.of(whole), whole
        for _ in range(6):
            start, end = sorted(rng.randrange(len(expected) + 1) for _ in range(2))
            context, expected = context.part(start, end), expected[start:end]
            with Sandbox(context) as box:
                assert box["context"] == expected
            if not expected:
                break


@pytest.mark.parametrize("kind", ["ascii", "latin1", "ucs2", "ucs4"])
def test_a_long_part_lies_on_its_parents_pages(kind: str) -> None:
    context = Context.of(TEXTS[kind])
    part = context.part(5001, 80_003)
    assert part.shared is not None
    assert context.shared is not None
    assert part.shared.region is context.shared.region
    again = part.part(1000, -1)
    assert again.shared is not None
    assert again.shared.region is context.shared.region


def test_bytes_from_a_multiple_of_four_lie_on_their_parents_pages() -> None:
    context = Context.of(TEXTS["bytes"])
    shared = [context.part(start, 90_000).shared for start in (8, 9)]
    assert context.shared is not None
    assert shared[0] is not None
    assert shared[1] is not None
    assert shared[0].region is context.shared.region
    assert shared[1].region is not context.shared.region


def test_a_part_has_the_narrowest_kind_that_fits() -> None:
    """CPython compares kinds first, so a wide ASCII text would not be equal to itself."""
    text = "x" * 10_000 + "é" * 10_000 + "漢" * 10_000 + "🤿" * 10_000
    context = Context.of(text)
    for start, end in ((0, 9000), (9000, 19_000), (19_000, 29_000), (29_000, 39_000), (10_000, 20_000), (0, 10_001)):
        with Sandbox(context.part(start, end)) as box:
            box["same"] = text[start:end]
            assert box.run("context == same and same == context and {context: 1}[same]").value == 1
    latin = Context.of("x" * 10_000 + "é")
    part = latin.part(0, 10_000)
    assert part.shared is not None
    assert latin.shared is not None
    assert part.shared.region is latin.shared.region
    with Sandbox(part) as box:
        assert box.run("context.isascii(), context == 'x' * 10_000").value == [True, True]


def test_the_whole_is_itself_and_an_empty_part_is_empty() -> None:
    context = Context.of("text " * 5000)
    assert context.part() is context
    assert context.part(0, 10**9) is context
    for part in (context.part(5, 5), context.part(9, 3), context.part(10**9), Context.of("").part(0, 5)):
        with Sandbox(part) as box:
            assert box.run("context, type(context).__name__").value == ["", "str"]


def test_a_part_of_a_list_and_items_of_values() -> None:
    rows = [{"id": i, "text": f"{i} " * 2000, "data": bytes([i]) * 70_000, "tags": ["a", "b" * 3000]} for i in range(9)]
    context = Context.of({"rows": rows, "title": "short", "empty": "", "number": 5})
    with Sandbox(context.item("rows").part(3, 6)) as box:
        assert box["context"] == rows[3:6]
        assert box.run("import os; os.abort()").restored
        assert box["context"] == rows[3:6]
    for row in (0, 4, -1):
        item = context.item("rows").item(row)
        for one, expected in ((item, rows[row]), (item.item("text"), rows[row]["text"]), (item.item("data"), rows[row]["data"]),
                              (item.item("tags").item(1).part(10, 2990), "b" * 2980), (item.item("tags"), ["a", "b" * 3000])):  # fmt: skip
            with Sandbox(one) as box:
                assert box["context"] == expected
            assert context.shared is not None
            assert one.shared is not None
            assert one.shared.region in (context.shared.region, None)
    with Sandbox(context.item("title")) as title, Sandbox(context.item("empty")) as empty:
        assert (title["context"], empty["context"]) == ("short", "")


def test_what_has_no_such_part_says_so() -> None:
    value = Context.of({"number": 5, "rows": [1]})
    for wrong in (lambda: value.item("none"), lambda: value.item("number"), lambda: value.item([]), lambda: value.item("rows").item(5),
                  lambda: value.item("rows").item("a"), lambda: value.item("rows").item(slice(0, 1)), lambda: value.item("rows").item(0)):  # fmt: skip
        with pytest.raises(ContextError, match=r"the item|there is no item"):
            wrong()
    with pytest.raises(ContextError, match="name a key with item"):
        value.part(0, 1)
    with pytest.raises(ContextError, match=r"part\(start, end\)"):
        Context.of("text").item(0)


def test_a_part_of_a_mapped_file(tmp_path: Path) -> None:
    data = os.urandom(1 << 20)
    (tmp_path / "data").write_bytes(data)
    (tmp_path / "text").write_text("line of text\n" * 100_000)
    binary, text = Context.from_file(tmp_path / "data", binary=True), Context.from_file(tmp_path / "text")
    with Sandbox(binary.part(5000, 900_000)) as one, Sandbox(text.part(4999, 1_000_001)) as other:
        assert one["context"] == data[5000:900_000]
        assert other["context"] == ("line of text\n" * 100_000)[4999:1_000_001]


@pytest.mark.slow
def test_parts_far_into_a_large_context() -> None:
    """Their offsets in the region are larger than any address that a guest has for them."""
    text = Context.of("x" * (150 << 20) + "needle" + "y" * 5000)
    with Sandbox(text.part((150 << 20) - 10, -1)) as box:
        assert box.run("context.index('needle'), len(context), context[-3:]").value == [10, 5015, "yyy"]
    value = Context.of(["x" * (150 << 20), b"bytes" * 50_000, {"text": "é" * 9000}])
    with Sandbox(value.item(1)) as one, Sandbox(value.part(1)) as both, Sandbox(value.item(2)) as other:
        assert one.run("context.count(b'bytes'), hash(context) == hash(b'bytes' * 50_000)").value == [50_000, True]
        assert both["context"] == [b"bytes" * 50_000, {"text": "é" * 9000}]
        assert other["context"] == {"text": "é" * 9000}
        assert one.run("import os; os.abort()").restored
        assert one.run("context.count(b'bytes')").value == 50_000


def test_parts_need_no_descriptors_of_their_own() -> None:
    context = Context.of(["document " * 5000] * 50)
    text = Context.of("text " * 100_000)
    before = len(os.listdir("/proc/self/fd"))
    parts = [context.item(i % 50) for i in range(300)] + [text.part(i, i + 50_000) for i in range(300)]
    parts += [text.part(i, i + 100) for i in range(300)]
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    assert sum(part.length for part in parts) == 300 * 45_000 + 300 * 50_000 + 300 * 100


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ascii", "ucs2", "bytes"])
def test_a_child_has_nothing_around_its_part_in_its_memory(kind: str, engine: Engine) -> None:
    """A hostile child reads all of its memory. The secrets that lie right before and behind its part are not there."""
    secret: Any = {"ascii": "s3cr3t-k3y!!", "ucs2": "s3cr3t漢k3y!!", "bytes": b"s3cr3t-k3y!!"}[kind]
    filler: Any = {"ascii": "harmless", "ucs2": "漢armless", "bytes": b"harmless"}[kind]
    whole = filler * 3000 + secret + filler * 3000 + secret + filler * 3000
    start = whole.index(secret) + len(secret)
    end = whole.index(secret, start)
    raw = secret if isinstance(secret, bytes) else secret.encode("utf-16-le" if kind == "ucs2" else "ascii")
    for context, is_there in ((Context.of(whole), True), (Context.of(whole).part(start, end), False)):
        with Sandbox(context, engine=engine) as box:
            assert box.run("len(context)").value == context.length
            instance = box._guest.revive()
            assert isinstance(instance, Instance)
            memory = ctypes.string_at(instance._native.address, instance._native.memory_bytes)
            assert (raw in memory) is is_there


def test_a_write_into_a_part_is_stopped(engine: Engine) -> None:
    context = Context.of("precious " * 10_000)
    part = context.part(1001, 50_000)
    with Sandbox(part, engine=engine) as box, Sandbox(context, engine=engine) as neighbour:
        box.run(FORGE)
        box.run("data = words(id(context) + 28, 1)[0]")
        for at in (0, 10, 20_000, 48_998):
            cell = box.run(f"forge(data + {at}, 1)[0] = 33")
            assert cell.error is not None
            assert cell.error.kind == "Crash"
        assert box.run("context.count('precious')").value == ("precious " * 10_000)[1001:50_000].count("precious")
        assert neighbour.run("context.count('precious')").value == 10_000


def test_a_write_into_the_page_of_a_bytes_parts_header_stays_at_home(engine: Engine) -> None:
    context = Context.of(b"precious" * 10_000)
    part = context.part(1008, 50_000)
    with Sandbox(part, engine=engine) as box, Sandbox(part, engine=engine) as neighbour:
        box.run(FORGE)
        box.run("forge(id(context) + 16, 8)[0] = 33")
        cell = box.run("forge(id(context) + 16 + 5000, 8)[0] = 33")
        assert cell.error is not None
        assert cell.error.kind == "Crash"
        for one in (box, neighbour):
            assert one["context"] == (b"precious" * 10_000)[1008:50_000]
        with Sandbox(context, engine=engine) as whole:
            assert whole["context"] == b"precious" * 10_000
