"""An attacker who can write anywhere in the guest's memory still has only the guest's memory.

forgery.py makes such writes; nothing in these cells is more than Python.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from divebell import Context, Sandbox
from tests.support.forgery import FORGE
from tests.support.threat import LOST, Attack, Threat, ending, threats


def test_the_forged_write_does_write() -> None:
    """Otherwise the tests below would prove nothing."""
    with Sandbox() as box:
        assert box.run(FORGE).ok
        assert box.run("s = 'hello' * 3\nforge(id(s) + 20, 5)[:] = b'HELLO'\ns").value == "HELLOhellohello"
        assert box.run("n = 1000003\nforge(id(n) + 12, 4)[:2] = b'\\x05\\x00'\nn % 65536").value == 5


@pytest.mark.parametrize(
    ("source", "header"),
    [
        ("plain text " * 1000, 20),
        ("Käse " * 1000, 28),
        ("漢字 " * 1000, 28),
        ("🤿 " * 1000, 28),
        (b"bytes " * 1000, 16),
    ],
    ids=["ascii", "latin1", "ucs2", "ucs4", "bytes"],
)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_write_into_the_shared_context_traps_and_nobody_else_sees_it(
    source: str | bytes, header: int, where: str
) -> None:
    context = Context.of(source)
    assert context.shared is not None
    offset = {"first": 0, "middle": context.shared.region.length // 2, "last": context.shared.region.length - 1}[where]
    with Sandbox(context) as box, Sandbox(context) as neighbour:
        assert box.run(FORGE + "kept = 7").ok
        address = f"id(context) + {header} + {offset}"
        assert box.run(f"bytes(forge({address}, 1))").value == context.shared.region.read(offset, 1)
        cell = box.run(f"forge({address}, 1)[0] = 0")
        assert cell.error is not None
        assert (cell.error.kind, cell.restored) == ("Crash", True)
        assert "context" in cell.error.message
        assert box.run("kept").value == 7
        assert box.run("context").value == source
        assert neighbour.run("context").value == source
    with Sandbox(context) as later:
        assert later.run("context").value == source


def test_a_copy_by_the_interpreter_into_the_shared_context_traps() -> None:
    """memcpy, memset and memmove are the guest's own instructions; done by the host's they would end the process."""
    context = Context.of("x" * 1_000_000)
    with Sandbox(context) as box:
        assert box.run(FORGE).ok
        for write in ("m[:] = bytes(500_000)", "m[:] = m[1:] + m[:1]", "m.reverse()"):
            cell = box.run(f"m = forge(id(context) + 20, 500_000)\n{write}")
            assert cell.error is not None, write
            assert cell.error.kind == "Crash", cell
        assert box.run("context.count('x')").value == 1_000_000


def test_a_write_into_the_file_behind_a_mapped_context_traps(tmp_path: Path) -> None:
    path = tmp_path / "context.txt"
    path.write_text("precious " * 1000)
    with Sandbox() as warm:
        warm.run("1")
    with Sandbox(path) as box:
        assert box.run(FORGE).ok
        cell = box.run("forge(id(context) + 20, 9)[:] = b'replaced '")
        assert cell.error is not None
        assert cell.error.kind == "Crash"
    assert path.read_text() == "precious " * 1000


@threats(
    Threat("beyond_the_end_of_memory", "forge(0xFFFF_0000, 100)[0] = 1"),
    Threat("wrapping_around", "forge(0xFFFF_FFFF, 100)[50]"),
    Threat("in_the_middle_of_nowhere", "forge(0x7000_0000, 100)[0]"),
    Threat("reading_all_of_memory", "m = forge(0, 0x7FFF_FFFF)\nfor i in range(0, 1 << 31, 4096): m[i]"),
    Threat("type_pointer_of_an_int", "x = object(); forge(id(x) + 4, 4)[:] = b'\\x10\\0\\0\\0'; repr(x)"),
    Threat("type_pointer_into_nowhere", "x = object(); forge(id(x) + 4, 4)[:] = b'\\0\\0\\0\\x70'; repr(x)"),
    Threat("code_of_a_builtin", "forge(id(len) + 8, 4)[:] = b'\\xff\\xff\\xff\\x0f'; len('x')"),
    Threat("function_pointers_of_str", "w = words(id(str), 60)\nfor i in range(6, 40): w[i] = 0x00BADBAD\nstr(1) + repr(2)"),
    Threat("none_itself", "words(id(None), 2)[1] = 0xBAD0BAD0; repr(None)"),
    Threat("everything_is_ones", "m = forge(0, 1 << 24)\nm[65536:] = b'\\xff' * ((1 << 24) - 65536)\nx = [object() for _ in range(10**5)]"),
    Threat("everything_is_zero", "m = forge(0, 1 << 24)\nm[65536:] = bytes((1 << 24) - 65536)\nx = [object() for _ in range(10**5)]"),
    Threat("recursion_counter", "import sys; sys.setrecursionlimit(10**6)\nw = words(id(object()), 2); f = lambda: f()\nf()"),
)  # fmt: skip
def test_wild_reads_and_writes_cost_the_cell_only(attack: Attack, threat: Threat) -> None:
    attack(
        threat.code, *(LOST | ending("SystemError", "RecursionError", "TypeError", "MemoryError", None)), before=FORGE
    )


@threats(
    Threat("operand_of_a_local", "LOAD_FAST"),
    Threat("operand_of_a_name", "LOAD_NAME"),
    Threat("operand_of_a_global", "LOAD_GLOBAL"),
    Threat("operand_of_a_copy", "COPY"),
    Threat("operand_of_a_swap", "SWAP"),
    Threat("operand_of_a_jump", "JUMP_FORWARD"),
    Threat("operand_of_a_jump_back", "JUMP_BACKWARD"),
    Threat("operand_of_an_unpacking", "UNPACK_SEQUENCE"),
    Threat("operand_of_a_cell", "LOAD_DEREF"),
    Threat("operand_of_a_tuple", "BUILD_TUPLE"),
    Threat("stack_underflow", "POP_TOP"),
    Threat("unknown_instruction", "CACHE"),
)  # fmt: skip
def test_bytecode_that_no_compiler_made_costs_the_cell_only(attack: Attack, threat: Threat) -> None:
    """Each instruction with every operand that fits a byte, and one very large, 64 times over."""
    code = f"""
import opcode
def f(): return None
op, extended = opcode.opmap.get({threat.code!r}, 0), opcode.opmap["EXTENDED_ARG"]
for operand in [*range(0, 256, 5), 2**31 - 1]:
    prefix = b"".join(bytes([extended, operand >> shift & 255]) for shift in (24, 16, 8))
    body = (prefix + bytes([op, operand & 255])) * 64 + bytes([opcode.opmap["RETURN_VALUE"], 0])
    f.__code__ = f.__code__.replace(co_code=body, co_stacksize=1)
    try: f()
    except Exception: pass
"""
    attack(code, *(LOST | ending("SystemError", "RecursionError", "TimeoutError", "MemoryError", None)))


@pytest.mark.slow
def test_the_host_does_not_write_an_answer_into_the_shared_context(alone: Callable[..., str]) -> None:
    """A guest that owns its allocator can name the context's pages as the place for an answer. They are read-only for the
    host as well, and a fault in host code ends the process, not the cell."""
    script = """
import ctypes
from divebell import Sandbox
from divebell_bridge.door import wire
box = Sandbox("x" * 100_000)
neighbour = Sandbox()
instance = box._guest.revive()
request = wire.encode({"v": 1, "op": "clock"})
mailbox = instance._image.layout.mailbox
ctypes.memmove(instance._native.address + mailbox, request, len(request))
instance._door_function, instance._calls_left = box._door.answer, 100
assert instance.time.enter()
for response in (instance._shared_from, instance._shared_from + 65536, instance._shared_from - 4):
    print(instance._door(mailbox, len(request), response, 32))
instance.time.leave()
print(neighbour.run("1 + 1").value)
"""
    assert alone(script).split() == ["-1", "-1", "-1", "2"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["long_answer_of_the_door", "long_request_of_the_host"])
def test_a_guest_that_owns_its_allocator_cannot_make_the_host_write_into_the_context(
    alone: Callable[..., str], how: str
) -> None:
    """The same from inside: the allocator's top chunk is moved to just below the context, so that the buffer for a long
    answer of the door, or for a long request of the host, lies across it."""
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from tests.support.forgery import FORGE, POISON
from divebell import Limits, Sandbox, SandboxError
box = Sandbox("x" * 50_000, llm=lambda prompt: "y" * 500_000, limits=Limits(cell_seconds=20))
neighbour = Sandbox()
assert box.run(FORGE + POISON).ok
assert box.run("heap = find_heap(id(context)); heap is not None").value is True
assert box.run("grown = bytes(40 << 20)").ok
assert box.run("import _divebell, msgpack\\nlong = msgpack.packb(dict(v=1, op='query', prompts=['x']))").ok
if {how!r} == "long_answer_of_the_door":
    box.run("aim(heap, id(context) + 20, forget_free_chunks=True); _divebell.call(long)")
else:
    box.run("aim(heap, id(context) + 20, forget_free_chunks=False)")
    try:
        box["long"] = "z" * 30_000_000
    except SandboxError:
        pass
print(isinstance(box.run("1 + 1").output, str), neighbour.run("1 + 1").value)
"""
    assert alone(script).split() == ["True", "2"]
