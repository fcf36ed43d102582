"""Context: the same text in the guest as on the host, whatever its width and length, and nobody can change it."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divebell import Context, ContextError, Limits, Sandbox
from divebell.context import layout
from divebell.resources import default_engine
from tests.support.mapped import mapped_file
from tests.support.names import name_value

PAGE, WASM_PAGE = 4096, 65536
WIDTHS = {"ascii": ("a", 1), "latin1": ("é", 1), "ucs2": ("漢", 2), "ucs4": ("🤿", 4)}
DIGEST = "import hashlib; hashlib.sha256(context.encode('utf-32-le', 'surrogatepass')).hexdigest(), len(context)"


def digest(text: str) -> list[object]:
    return [hashlib.sha256(text.encode("utf-32-le", "surrogatepass")).hexdigest(), len(text)]


@pytest.fixture(autouse=True)
def _warm() -> None:
    default_engine().warm()  # wasmtime's signal handler, which a mapped file needs, is there from now on


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("unit", [PAGE, WASM_PAGE], ids=["page", "wasm_page"])
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_every_width_at_page_boundaries(width: str, unit: int, off: int) -> None:
    character, size = WIDTHS[width]
    text = (character + "x" * 6) * (unit // size // 7 + 1)
    text = text[: unit // size + off]
    with Sandbox(text) as box:
        assert box.run(DIGEST).value == digest(text)
        assert box.run("context[-1], context[:8], type(context) is str, context == context[:]").value == [
            text[-1],
            text[:8],
            True,
            True,
        ]


@pytest.mark.parametrize("length", [1, 2, PAGE - 1, PAGE, PAGE + 1, WASM_PAGE - 1, WASM_PAGE, WASM_PAGE + 1, 1_000_003])
def test_bytes_at_page_boundaries(length: int) -> None:
    data = bytes(i * 31 % 256 for i in range(min(length, 70_000))).ljust(length, b"z")
    with Sandbox(data) as box:
        assert box.run("import hashlib; hashlib.sha256(context).digest(), len(context)").value == [
            hashlib.sha256(data).digest(),
            length,
        ]
        assert box.run("type(context) is bytes, context[-1]").value == [True, data[-1]]


@given(
    st.text(min_size=0, max_size=300)
    | st.text(alphabet=st.characters(min_codepoint=0xD7F0, max_codepoint=0x10010), max_size=50)
)
@settings(max_examples=80)
def test_any_text_arrives_as_it_is(text: str) -> None:
    with Sandbox(text) as box:
        assert box.run("context").value == text
        box["same"] = text
        assert box.run("same == context and hash(same) == hash(context) and {same: 1}[context]").value == 1


@pytest.mark.parametrize("source", ["", b"", [], {}], ids=name_value)
def test_an_empty_context_is_an_empty_object_of_its_type(source: Any) -> None:
    with Sandbox(source) as box:
        assert box.run("context").value == source
        assert box.run("type(context).__name__, len(context)").value == [type(source).__name__, 0]


def test_lone_surrogates_arrive_as_they_are() -> None:
    text = "a\ud800b\udfff" * 5000
    with Sandbox(text) as box:
        assert box.run(DIGEST).value == digest(text)


@pytest.mark.parametrize("late", ["é", "漢", "🤿", "\ud800"])
def test_one_wide_character_at_the_very_end_of_a_long_text_is_seen(late: str) -> None:
    text = "x" * ((1 << 20) + 5) + late
    with Sandbox(text) as box:
        assert box.run(DIGEST).value == digest(text)
        assert box.run(f"context.index({late!r}), context.count('x')").value == [(1 << 20) + 5] * 2


def test_a_text_behaves_as_any_str_does() -> None:
    text = "One fish, two fish, red fish, blue fish. " * 3000
    with Sandbox(text) as box:
        cell = box.run(
            "import re, json, pickle, copy, sys\n"
            "assert isinstance(context, str) and hash(context) == hash(''.join(list(context)))\n"
            "assert context in {context} and context.encode().decode() == context\n"
            "assert pickle.loads(pickle.dumps(context)) == context == copy.deepcopy(context) == json.loads(json.dumps(context))\n"
            "assert context.upper().lower() == context.lower() and context.split() and context + '' == context\n"
            "assert sys.intern(context) == context and f'{context}' == context and context.replace('fish', 'cat').count('cat') == 12000\n"
            "len(re.findall('fish', context)), sys.getrefcount(context) > 10**6"
        )
        assert cell.value == [12000, True], cell.error


def test_a_tuple_is_a_list_in_the_guest() -> None:
    with Sandbox((1, 2)) as box:
        assert box.run("context").value == [1, 2]


@pytest.mark.parametrize(
    "source", [5, 1.5, object(), {1, 2}, iter([]), lambda: 0, None], ids=lambda source: type(source).__name__
)
def test_other_types_are_refused_by_name(source: object) -> None:
    with pytest.raises(ContextError, match=type(source).__name__):
        Context.of(source)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", [[object()], {"a": {1}}, [[[lambda: 0]]], {"a": 1j}])
def test_a_list_of_other_things_is_refused(source: object) -> None:
    with pytest.raises(ContextError):
        Context.of(source)  # type: ignore[arg-type]


def test_bytes_like_objects_are_bytes() -> None:
    for source in (bytearray(b"abc"), memoryview(b"abc"), memoryview(b"aXbXcX")[::2]):
        with Sandbox(source) as box:
            assert box.run("context").value == b"abc"


def test_a_subclass_of_str_is_its_text() -> None:
    class Text(str):
        __slots__ = ()

    with Sandbox(Text("abc")) as box:
        assert box.run("context, type(context).__name__").value == ["abc", "str"]


def test_a_context_says_what_it_is() -> None:
    assert repr(Context.of("é" * 1234)) == "<Context str, length 1,234, shared>"
    assert repr(Context.of([1])) == "<Context list, length 1, by value>"
    assert repr(Context.of([1, "long " * 200])) == "<Context list, length 2, shared>"
    assert Context.of(Context.of("a")).length == 1


def test_a_context_that_is_too_large_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(layout, "MAX_CONTEXT_BYTES", 1000)
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1001)
    for source in ("x" * 1001, "é" * 1001, "漢" * 501, "🤿" * 251, b"x" * 1001, path):
        with pytest.raises(ContextError, match="split it into parts"):
            Context.of(source)
    for fits in ("x" * 1000, "漢" * 500, "🤿" * 250, b"x" * 1000):
        Context.of(fits)


def test_one_context_serves_twenty_sandboxes_from_the_same_pages() -> None:
    context = Context.of("shared " * 1_000_000)
    boxes = [Sandbox(context) for _ in range(20)]
    try:
        with open("/proc/self/maps") as maps:
            inodes = {
                line.split()[4] for line in maps if "memfd:divebell-context" in line and line.split()[1] == "r--s"
            }
        assert context.shared is not None
        assert str(os.fstat(mapped_file(context)).st_ino) in inodes
        for box in boxes:
            assert box.run("context.count('shared')").value == 1_000_000
    finally:
        for box in boxes:
            box.close()


def test_the_sealed_text_cannot_be_changed_by_the_host_either() -> None:
    context = Context.of("sealed")
    assert context.shared is not None
    file = mapped_file(context)
    with pytest.raises(PermissionError):
        os.pwrite(file, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(file, 0)
    with pytest.raises(ValueError, match="sealed"):
        context.shared.region.write(0, b"x")


def test_contexts_that_are_dropped_give_their_descriptors_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x" * 10_000)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        Context.of("some text")
        Context.from_file(path)
    assert len(os.listdir("/proc/self/fd")) <= before + 5


def test_a_large_context_costs_no_memory_of_the_sandboxs_own() -> None:
    with Sandbox("x" * (100 << 20), limits=Limits(memory_bytes=1 << 20)) as box:
        assert box.run("context.count('x')").value == 100 << 20
        assert box.snapshot().bytes < 20 << 20


def test_a_context_is_untouched_by_its_guests_hash_and_encoding() -> None:
    context = Context.of("é" * 100_000)
    with Sandbox(context) as one, Sandbox(context) as other:
        assert one.run("hash(context) != 0, len(context.encode())").value == [True, 200_000]
        assert other.run("len(context.encode())").value == 200_000
        one.run("import os; os.abort()")
        assert one.run("len(context.encode())").value == 200_000
