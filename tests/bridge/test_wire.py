"""The wire format: what goes in comes out, and what the guest sends can do nothing but be refused."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from divebell_bridge.door import wire
from tests.support.names import name_value

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**300), 2**300)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=100)
)
keys = st.text(max_size=8) | st.integers(-(2**60) + 1, 2**60 - 1) | st.booleans() | st.none() | st.binary(max_size=8)
plain = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(keys, inner, max_size=6), max_leaves=30
)

MESSAGES = [
    wire.encode({"v": 1, "op": "query", "prompts": ["hello", "wörld"], "model": None}),
    wire.encode({"v": 1, "ok": {"stdout": "x" * 300, "value": [1, 2.5, None, True, 2**70, {"a": b"b"}]}}),
    wire.encode({"v": 1, "op": "child", "prompts": ["a"], "contexts": [{"k": ["v"] * 20}]}),
]


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@given(plain)
@settings(max_examples=300)
def test_plain_data_comes_back_the_same(value: object) -> None:
    packed = wire.encode(value)
    for decoded in (wire.decode(packed), wire.decode_bounded(packed)):
        assert decoded == value
        assert repr(decoded) == repr(value)


@pytest.mark.parametrize(
    "value",
    [0, -1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**4000, -(10**4000), math.inf, -0.0, "", "\ud800", "\0",
     "🤿", b"", b"\xff", [], {}, [[]], {1: {None: {b"x": {True: 1.5}}}}],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else f"integer_of_{value.bit_length()}_bits_{value < 0}",
)  # fmt: skip
def test_values_at_the_edges_come_back_the_same(value: object) -> None:
    assert wire.decode_bounded(wire.encode(value)) == value


def test_not_a_number_comes_back() -> None:
    assert math.isnan(wire.decode_bounded(wire.encode(math.nan)))  # type: ignore[arg-type]


def test_a_tuple_comes_back_as_a_list() -> None:
    assert wire.decode_bounded(wire.encode((1, (2, 3)))) == [1, [2, 3]]


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, 1j, len, [object()], {"a": object()}, {(1, object()): 1}, range(3)], ids=name_value
)
def test_what_is_not_plain_is_refused(value: object) -> None:
    with pytest.raises(wire.WireError):
        wire.encode(value)


@pytest.mark.parametrize("value", [msgpack.Timestamp(1), msgpack.ExtType(5, b"x")], ids=name_value)
def test_msgpacks_own_types_are_not_plain_either(value: object) -> None:
    with pytest.raises(wire.WireError):
        wire.encode(value)
    with pytest.raises(wire.WireError):
        wire.decode_bounded(msgpack.packb({"v": 1, "x": [value]}))


def test_an_integer_over_its_limit_is_refused_in_both_directions() -> None:
    wire.encode(1 << (wire.MAX_INTEGER_BYTES * 8 - 2))
    with pytest.raises(wire.WireError):
        wire.encode(1 << (wire.MAX_INTEGER_BYTES * 8))
    with pytest.raises(wire.WireError):
        wire.decode_bounded(msgpack.packb(msgpack.ExtType(1, b"\x01" * (wire.MAX_INTEGER_BYTES + 1))))


def test_circles_and_depth_are_refused_by_the_encoder() -> None:
    circle: list[object] = []
    circle.append(circle)
    for value in (circle, nested(5000)):
        with pytest.raises(wire.WireError):
            wire.encode(value)


def test_a_message_over_its_limit_is_refused() -> None:
    with pytest.raises(wire.WireError, match="over the limit"):
        wire.encode("x" * 1001, 1000)
    with pytest.raises(wire.WireError, match="over the limit"):
        wire.decode_bounded(b"x" * 1001, 1000)


@given(st.binary(max_size=400))
@settings(max_examples=1000)
@example(b"")
@example(b"\xc1")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\x81\x91\x01\x01")
@example(b"\xd6\xff\x00\x00\x00\x01")
@example(b"\xc7\x03\xffabc")
@example(b"\xd9\x01\xff")
def test_any_bytes_give_a_value_or_a_wire_error(packed: bytes) -> None:
    try:
        value = wire.decode_bounded(packed)
    except wire.WireError:
        return
    assert_plain(value)


def assert_plain(value: object) -> None:
    assert type(value) in (type(None), bool, int, float, str, bytes, list, dict), type(value)
    if isinstance(value, list):
        for item in value:
            assert_plain(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            assert_plain(key)
            assert_plain(item)


@pytest.mark.slow
@given(
    st.sampled_from(MESSAGES),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255), st.sampled_from("rid")), max_size=6),
)
@settings(max_examples=1000)
def test_a_valid_message_with_changed_bytes_gives_a_value_or_a_wire_error(
    message: bytes, changes: list[tuple[int, int, str]]
) -> None:
    packed = bytearray(message)
    for where, byte, how in changes:
        at = where % len(packed) if packed else 0
        if how == "r" and packed:
            packed[at] = byte
        elif how == "i":
            packed.insert(at, byte)
        elif packed:
            del packed[at:]
    try:
        value = wire.decode_bounded(bytes(packed))
    except wire.WireError:
        return
    assert_plain(value)


def test_every_prefix_of_a_valid_message_is_refused() -> None:
    for message in MESSAGES:
        for length in range(len(message)):
            with pytest.raises(wire.WireError):
                wire.decode_bounded(message[:length])
        with pytest.raises(wire.WireError):
            wire.decode_bounded(message + b"\xc0")


def test_nesting_is_bounded_exactly() -> None:
    assert wire.decode_bounded(msgpack.packb(nested(wire.MAX_DEPTH - 1))) == nested(wire.MAX_DEPTH - 1)
    for depth in (wire.MAX_DEPTH + 1, 200, 400):
        with pytest.raises(wire.WireError):
            wire.decode_bounded(msgpack.packb(nested(depth)))
    for depth in (1000, 1023, 1024, 1025, 10**5, 10**6):
        for opening in (b"\x91", b"\x81\xc0", b"\x81\xa1a", b"\xdc\x00\x01"):
            with pytest.raises(wire.WireError):
                wire.decode_bounded(opening * depth + b"\xc0")


@pytest.mark.slow
def test_items_are_bounded_over_the_whole_message() -> None:
    half = msgpack.packb([0] * (wire.MAX_ITEMS // 2))
    assert len(wire.decode_bounded(half)) == wire.MAX_ITEMS // 2  # type: ignore[arg-type]
    for packed in (
        b"\x93" + half * 3,
        msgpack.packb([0] * (wire.MAX_ITEMS + 1)),
        msgpack.packb([[]] * wire.MAX_ITEMS),
        msgpack.packb([{}] * wire.MAX_ITEMS),
        msgpack.packb([{1: 1}] * (wire.MAX_ITEMS // 2)),
    ):
        with pytest.raises(wire.WireError):
            wire.decode_bounded(packed)


@pytest.mark.parametrize(
    "claimed", [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"], ids=["array", "map", "str", "bytes", "extension"]
)
@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x0f\x42\x40", b"\x00\x01\x00\x00"])
def test_a_claimed_length_without_its_content_is_refused(claimed: bytes, length: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.decode_bounded(claimed + length)


def test_room_is_not_made_for_what_is_only_claimed() -> None:
    """64 arrays in each other, each claiming a million items in five bytes, would take 512 MB of pointers."""
    import tracemalloc

    tracemalloc.start()
    try:
        with pytest.raises(wire.WireError):
            wire.decode_bounded(b"\xdd\x00\x0f\x42\x40" * 60)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 50 << 20


def test_keys_whose_hashes_collide_are_refused_before_they_cost_quadratic_time() -> None:
    """CPython's hash of an int is its remainder by 2**61 - 1, so a guest can choose keys that all hash alike."""
    modulus = 2**61 - 1
    small = {i * modulus: None for i in range(1, 8)}
    assert len(small) == 7
    colliding = (msgpack.packb(msgpack.ExtType(1, (i * modulus).to_bytes(12, "big"))) for i in range(9, 5009))
    packed = b"\xdf" + (5000).to_bytes(4, "big") + b"".join(key + b"\xc0" for key in colliding)
    with pytest.raises(wire.WireError):
        wire.decode_bounded(packed)


@pytest.mark.parametrize("key", [2**60, -(2**60), 2**63, 2**64 - 1, 2**64, 2**61 - 1])
def test_an_integer_key_over_its_bits_is_refused(key: int) -> None:
    assert wire.decode_bounded(wire.encode({2**60 - 1: 1, -(2**60) + 1: 2})) == {2**60 - 1: 1, -(2**60) + 1: 2}
    with pytest.raises(wire.WireError):
        wire.decode_bounded(wire.encode({key: 1}))


@pytest.mark.slow
def test_keys_that_fill_each_others_places_do_not_stop_the_host(alone: Callable[..., str]) -> None:
    """Small integers hash to themselves, and a dict's search goes from place i to 5 * i + 1: keys that follow that path
    fill it, and each further key that lands on it walks to its end. 640,000 such keys are a message of 4.5 MB."""
    script = """
import msgpack
from divebell_bridge.door import wire
place, keys = 1, []
for _ in range(448_000):
    keys.append(place)
    place = (5 * place + 1) % 2**20
keys += [n * 2**20 + 1 for n in range(1, 192_001)]
packed = b"\\xdf" + len(keys).to_bytes(4, "big") + b"".join(msgpack.packb(key) + b"\\xc0" for key in keys)
try:
    wire.decode_bounded(packed)
except wire.WireError:
    pass
print("ended")
"""
    assert alone(script, seconds=10).strip() == "ended"


@pytest.mark.parametrize(
    "key", [b"\x90", b"\x80", b"\x91\x01", b"\xc7\x03\x05abc"], ids=["list", "map", "long_list", "extension"]
)
def test_a_key_that_cannot_be_hashed_is_refused(key: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.decode_bounded(b"\x81" + key + b"\x01")


def test_answers_have_the_form_that_the_guest_expects() -> None:
    assert wire.decode(wire.success([1])) == {"v": wire.VERSION, "ok": [1]}
    failed = wire.decode(wire.failure("Kind", "m" * 10_000))
    assert failed == {"v": wire.VERSION, "error": {"kind": "Kind", "message": "m" * 4000}}
    assert wire.decode(wire.failure("Kind", "\ud800")) == {
        "v": wire.VERSION,
        "error": {"kind": "Kind", "message": "\ud800"},
    }


# What clock.c writes by hand

CLOCK_C = Path(__file__).resolve().parents[2] / "wasm" / "divebell_wasm" / "c" / "clock.c"


def c_bytes(name: str) -> bytes:
    """The bytes of a C string literal, which may be several literals side by side."""
    found = re.search(rf"{name}\[\] = ((?:\s*\"(?:[^\"\\]|\\.)*\")+);", CLOCK_C.read_text())
    assert found is not None
    pieces = re.findall(r'"((?:[^"\\]|\\.)*)"', found[1])
    return b"".join(re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m[1], 16)]), piece.encode()) for piece in pieces)


def test_the_clock_request_written_in_c_is_what_encode_gives() -> None:
    assert c_bytes("clock_request") == wire.encode({"v": wire.VERSION, "op": wire.CLOCK})


@pytest.mark.parametrize("nanoseconds", [2**32, 2**63, 2**64 - 1])
def test_the_sleep_request_written_in_c_is_what_encode_gives(nanoseconds: int) -> None:
    written = c_bytes("sleep_request") + nanoseconds.to_bytes(8, "big")
    assert written == wire.encode({"v": wire.VERSION, "op": wire.SLEEP, "nanoseconds": nanoseconds})


def test_a_short_sleep_written_in_c_is_understood() -> None:
    written = c_bytes("sleep_request") + (5).to_bytes(8, "big")
    assert wire.decode_bounded(written) == {"v": 1, "op": "sleep", "nanoseconds": 5}


@pytest.mark.parametrize("moment", [2**32, 1_700_000_000 * 10**9, 2**63, 2**64 - 1])
def test_the_clocks_answer_ends_in_the_18_bytes_that_c_reads(moment: int) -> None:
    tail = wire.success((moment, moment))[-18:]
    assert tail == (b"\xcf" + moment.to_bytes(8, "big")) * 2
